/* SPDX-License-Identifier: MIT
 *
 * Connections in shared memory: making, watching and ending them. */
#include "mechanism/lanes.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "mechanism/socket_io.h"

#define PAGE ((size_t)4096)
#define FIRST_SIZE ((size_t)8192) /* of the first segment, where nobody asks for more */

static void free_lanes(struct lanes *lanes) {
    lanes_leave_inlet(lanes, false);
    lanes_free_outlets(lanes);
    for (size_t i = 0; i < lanes->pending_count; i++)
        segment_release(lanes->pending[i]);
    segment_release(lanes->offered);
    segment_release(lanes->segment);
    backing_home_release(lanes->terms.backing.home);
    arrivals_free(&lanes->arrivals);
    held_free(lanes->carrier.held);
    os_close(lanes->file);
    os_close(lanes->fd);
    carrier_end(&lanes->carrier);
}

/* ---- making ---- */

static int create(const struct opening *opening, const struct lanes_terms *terms, int fd,
                  unsigned side, struct lanes **ret_lanes) {
    struct lanes *lanes = calloc(1, sizeof *lanes);
    int error = lanes == NULL ? error_of(-ENOMEM, "%s", opening->address->text)
                              : carrier_start(&lanes->carrier, &lanes_functions, opening, NULL);
    if (error < 0) {
        free(lanes);
        os_close(fd);
        return error;
    }
    lanes->terms = *terms;
    backing_home_hold(terms->backing.home);
    lanes->fd = fd;
    lanes->file = -1;
    lanes->side = side;
    lanes->registered = os_barrier_register() == 0;
    lanes->spin = (struct waiting_spin){.most = terms->spin, .budget = terms->spin};
    lanes->carrier.spin = &lanes->spin;
    *ret_lanes = lanes;
    return 0;
}

int lanes_join(struct lanes *lanes, struct segment *segment) {
    size_t control = sizeof(struct lanes_control);
    size_t ring = segment->size <= control ? 0 : (segment->size - control) / 2 & ~(size_t)63;
    if (ring < LANE_RING_LEAST) {
        segment_release(segment);
        return error_set(-EBADMSG, "%s: too little shared memory", lanes->carrier.address);
    }
    lanes->segment = segment;
    lanes->control = (struct lanes_control *)(void *)segment->memory;
    uint8_t *rings[2] = {segment->memory + control, segment->memory + control + ring};
    unsigned own = lanes->side, other = 1 - own;
    int error = lanes_open_outlet(lanes, segment, &lanes->control->lanes[own], rings[own], ring);
    if (error == 0)
        error = lanes_open_inlet(lanes, segment, &lanes->control->lanes[other], rings[other], ring);
    if (!lanes->registered) {
        /* We cannot ask for barriers: wakers have to fence. */
        shared32_or(&lanes_own(lanes)->arrivals, WAITING_FENCE);
        shared32_or(&lanes_own(lanes)->room, WAITING_FENCE);
    }
    return error;
}

/* The memory of both lanes. */
static int make_first(struct lanes *lanes, const struct backing_terms *backing) {
    size_t ring = lanes->terms.ring, size = FIRST_SIZE;
    if (ring > 0)
        size = (sizeof(struct lanes_control) + 2 * ring + PAGE - 1) / PAGE * PAGE;
    struct segment *segment;
    int error = segment_create(backing, lanes->carrier.address, size, &segment);
    return error < 0 ? error : lanes_join(lanes, segment);
}

int lanes_connect(const struct opening *opening, const struct lanes_terms *terms, int fd,
                  struct carrier **ret_carrier) {
    struct lanes *lanes;
    int error = create(opening, terms, fd, 0, &lanes);
    if (error < 0)
        return error;
    socket_io_peer(fd, &lanes->carrier.peer);
    /* Messages may be sent before the server knows of us: in memory that waits for it. */
    struct backing_terms first = terms->backing;
    if (!segment_waits(first.backing))
        first.backing = BACKING_MEMFD;
    error = make_first(lanes, &first);
    if (error == 0 && (error = lanes_say_hello(lanes)) < 0)
        error = error_of(error == -EAGAIN ? -ECONNREFUSED : error, "%s: greeting the server",
                         lanes->carrier.address);
    if (error < 0) {
        free_lanes(lanes);
        return error;
    }
    *ret_carrier = &lanes->carrier;
    return 0;
}

int lanes_accept(const struct opening *opening, const struct lanes_terms *terms, int fd,
                 struct carrier **ret_carrier) {
    struct lanes *lanes;
    int error = create(opening, terms, fd, 1, &lanes);
    if (error < 0)
        return error;
    socket_io_peer(fd, &lanes->carrier.peer);
    /* Usually the hello is here already; if not, or if it is wrong, receive() says so. */
    *ret_carrier = &lanes->carrier;
    return 0;
}

int lanes_pair(const struct opening *a, const struct opening *b, const struct lanes_terms *terms,
               const int ends[2], struct carrier **ret_a, struct carrier **ret_b) {
    struct lanes *first, *second;
    int error = create(a, terms, ends[0], 0, &first);
    if (error < 0) {
        os_close(ends[1]);
        return error;
    }
    error = create(b, terms, ends[1], 1, &second);
    if (error < 0) {
        free_lanes(first);
        return error;
    }
    struct segment *again;
    error = make_first(first, &terms->backing);
    if (error == 0)
        error = segment_again(first->carrier.address, first->segment, &again);
    if (error == 0)
        error = lanes_join(second, again);
    if (error < 0) {
        free_lanes(first);
        free_lanes(second);
        return error;
    }
    segment_passed(first->segment);
    socket_io_peer(ends[0], &first->carrier.peer);
    socket_io_peer(ends[1], &second->carrier.peer);
    /* The kernel noted who made the pair; which process has an end after a fork it cannot know. */
    first->carrier.peer.pid = second->carrier.peer.pid = 0;
    first->carrier.crosses_fork = second->carrier.crosses_fork = true;
    *ret_a = &first->carrier;
    *ret_b = &second->carrier;
    return 0;
}

/* ---- the quick way ---- */

void lanes_settle_quick(struct lanes *lanes) {
    struct carrier *carrier = &lanes->carrier;
    const struct terms *terms = &carrier->terms;
    bool usual = lanes->control != NULL && lanes->registered && terms->frame->has_envelope &&
                 !terms->checksum && terms->limit >= QUICK_MOST && !lanes->broken;
    bool sends = usual && carrier->sends && !lanes->hung_up && !held_is_full(carrier->held) &&
                 lanes->starved == 0;
    carrier->quick = (struct quick){0};
    if (sends && lanes->out != NULL) {
        carrier->quick.writer = &lanes->out->writer;
        carrier->quick.sleeper = &lanes_other(lanes)->arrivals;
    }
    if (usual && !lanes->armed && !lanes->ended && carrier->postponed == 0)
        lanes_open_quick_reading(lanes);
}

void lanes_break(struct lanes *lanes) {
    lanes->broken = true;
    lanes->carrier.quick = (struct quick){0};
}

static void lanes_wake_reader(struct carrier *carrier) {
    struct lanes *lanes = (struct lanes *)carrier;
    lanes_wake(lanes, &lanes_other(lanes)->arrivals);
}

/* ---- waiting ---- */

/* Announces a sleep on the words that matter. Whoever changes something then rings. */
static void arm(struct lanes *lanes, bool for_room) {
    struct lanes_side *own = lanes_own(lanes);
    waiting_announce(&own->arrivals);
    if (for_room)
        waiting_announce(&own->room);
    if (lanes->registered && os_barrier() < 0)
        lanes->registered = false;
    if (!lanes->registered) {
        shared32_or(&own->arrivals, WAITING_FENCE);
        shared32_or(&own->room, WAITING_FENCE);
    }
    shared_fence(); /* against wakers that fence, and our own part of the barrier */
    lanes->armed = true;
    lanes->carrier.quick.reader = NULL;
}

void lanes_disarm(struct lanes *lanes) {
    lanes->armed = false;
    waiting_end(&lanes_own(lanes)->arrivals);
    waiting_end(&lanes_own(lanes)->room);
}

/* The end lies behind packets that wait for their messages to be received. */
static void look_for_hangup(struct lanes *lanes) {
    struct pollfd item = {.fd = lanes->fd};
    if (os_wait(&item, 1, 0) > 0 && (item.revents & (POLLHUP | POLLERR)) != 0)
        lanes->deserted = true;
}

/* Bells are heard before the sleep is announced: one that comes later is for this sleep, and
 * has to be found by whoever polls. */
static void lanes_interest(struct carrier *carrier, struct interest *ret_interest) {
    struct lanes *lanes = (struct lanes *)carrier;
    if (lanes->control != NULL)
        lanes_ring_again(lanes);
    bool ready = lanes_is_ready(lanes), room = lanes_has_room(lanes);
    bool holding = held_is_full(carrier->held);
    if (!ready || !room) {
        int error = lanes->hung_up ? 0 : lanes_hear(lanes);
        if (error < 0)
            carrier_postpone(carrier, error);
        if (lanes_is_deaf(lanes))
            look_for_hangup(lanes);
        bool for_room = !room || holding;
        if (lanes->control != NULL)
            arm(lanes, for_room);
        ready = lanes_is_ready(lanes);
        room = lanes_has_room(lanes);
        if (!room && !for_room && lanes->control != NULL) {
            arm(lanes, true); /* there was some, by way of memory that is not to be had */
            room = lanes_has_room(lanes);
        }
    }
    *ret_interest = (struct interest){.in = lanes->fd,
                                      .out = lanes->fd,
                                      .ready = ready,
                                      .holding = holding || lanes->unrung,
                                      .room = room,
                                      .deaf = lanes_is_deaf(lanes),
                                      .out_events = lanes->socket_full ? POLLOUT : 0};
}

/* ---- ending ---- */

static void lanes_close(struct carrier *carrier, bool owner) {
    struct lanes *lanes = (struct lanes *)carrier;
    carrier_release_name(carrier, owner);
    if (lanes->control != NULL && owner) {
        lanes_leave_inlet(lanes, true);
        /* Release: what was taken is told before. */
        shared32_or(&lanes_own(lanes)->arrivals, WAITING_GONE);
    }
    free_lanes(lanes);
}

const struct carrier_functions lanes_functions = {
    .send = lanes_send,
    .send_plain = lanes_send_plain,
    .reserve = lanes_reserve,
    .wake = lanes_wake_reader,
    .receive = lanes_receive,
    .take = lanes_take,
    .interest = lanes_interest,
    .undelivered = lanes_undelivered,
    .finish = lanes_finish,
    .close = lanes_close,
};
