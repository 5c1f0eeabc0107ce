/* SPDX-License-Identifier: MIT
 *
 * What goes over the socket beside the lanes: the hello, segments, descriptors, bells, and the
 * news that the other side is gone. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "mechanism/lanes.h"
#include "mechanism/socket_io.h"

#define MAGIC "chappe"
#define VERSION 1
#define PACKET_MOST 1024
#define TRIES 64        /* the kernel may want to be asked more than once */
#define PACKETS_MOST 64 /* read in a row: whoever rings all the time must not hold us */

/* ---- sending ---- */

static int pass(struct lanes *lanes, const void *packet, size_t size, const int *descriptors,
                size_t count) {
    _Alignas(struct cmsghdr) uint8_t control[ARRIVALS_CONTROL_SIZE];
    struct iovec part = {.iov_base = (void *)(uintptr_t)packet, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    arrivals_attach(&message, control, descriptors, count);
    ssize_t sent = os_send(lanes->fd, &message, false);
    /* Too many descriptors under way is a full socket, too. */
    if (sent == -EAGAIN || sent == -ENOBUFS || sent == -ETOOMANYREFS)
        return -EAGAIN;
    return sent < 0 ? (int)sent : 0;
}

int lanes_say_hello(struct lanes *lanes) {
    struct lanes_hello hello = {.packet = LANES_HELLO,
                                .magic = MAGIC,
                                .version = VERSION,
                                .control_size = sizeof(struct lanes_control)};
    struct segment *segment = lanes->segment;
    segment_tell(segment, &hello.ticket);
    int error = -EAGAIN;
    /* Nothing lies on the socket yet, so it has room. */
    for (int i = 0; i < TRIES && error == -EAGAIN; i++)
        error = pass(lanes, &hello, sizeof hello, &segment->descriptor, segment->descriptor >= 0);
    if (error == 0)
        segment_passed(segment);
    return error;
}

int lanes_pass_segment(struct lanes *lanes, struct segment *segment) {
    struct lanes_next next = {.packet = LANES_NEXT};
    segment_tell(segment, &next.ticket);
    int error = pass(lanes, &next, sizeof next, &segment->descriptor, segment->descriptor >= 0);
    if (error == 0)
        segment_passed(segment);
    return error;
}

int lanes_pass_descriptors(struct lanes *lanes, const int *descriptors, size_t count) {
    const uint8_t packet = LANES_DESCRIPTORS;
    return pass(lanes, &packet, sizeof packet, descriptors, count);
}

static bool ring(struct lanes *lanes) {
    const uint8_t packet = LANES_BELL;
    ssize_t sent = os_send_bytes(lanes->fd, &packet, sizeof packet, false);
    /* A broken socket wakes by being broken. */
    return sent >= 0 || sent == -EPIPE || sent == -ECONNRESET;
}

void lanes_ring(struct lanes *lanes, shared32 *word) {
    uint32_t value = waiting_begin_wake(word);
    if (ring(lanes))
        waiting_end_wake(word, value);
    else
        lanes->unrung = true; /* the word still says “asleep”: the next call rings again */
}

void lanes_ring_again(struct lanes *lanes) {
    if (!lanes->unrung)
        return;
    lanes->unrung = false;
    lanes_wake(lanes, &lanes_other(lanes)->arrivals);
    lanes_wake(lanes, &lanes_other(lanes)->room);
}

static void refuse(struct lanes *lanes) {
    char packet[PACKET_MOST];
    int size = snprintf(packet, sizeof packet, "%c%s", LANES_REFUSED, error_text());
    size_t whole = (size_t)size < sizeof packet ? (size_t)size : sizeof packet - 1;
    (void)os_send_bytes(lanes->fd, packet, whole, false); /* it may be gone */
}

/* ---- receiving ---- */

/* The one descriptor that came with a packet, or -1; -EMFILE: it did not fit. */
static int only_descriptor(const struct lanes *lanes, struct msghdr *message) {
    struct arrivals came = {0};
    chappe_identity sender;
    arrivals_collect(&came, message, &sender);
    int fd = -1;
    if (came.set_count > 0 && came.sets[0].cut)
        fd = error_set(-EMFILE, "%s: no descriptor is left for shared memory (ulimit -n)",
                       lanes->carrier.address);
    if (came.count == 1) {
        fd = came.descriptors[0];
        came.count = came.set_count = 0;
    }
    arrivals_drop(&came);
    arrivals_free(&came);
    return fd;
}

static int check_hello(const struct lanes *lanes, const struct lanes_hello *hello, size_t size) {
    const char *name = lanes->carrier.address;
    if (size < sizeof *hello || memcmp(hello->magic, MAGIC, sizeof MAGIC) != 0)
        return error_set(-EBADMSG, "%s: what connected does not speak this mechanism", name);
    if (hello->version != VERSION || hello->control_size != sizeof(struct lanes_control))
        return error_set(-EBADMSG,
                         "%s: the client speaks version %u of the layout, this library version %d",
                         name, hello->version, VERSION);
    return 0;
}

static int meet(struct lanes *lanes, const struct lanes_hello *hello, size_t size,
                struct msghdr *message) {
    int fd = only_descriptor(lanes, message);
    int error = fd == -EMFILE ? fd : check_hello(lanes, hello, size);
    if (error < 0 || lanes->segment != NULL) {
        os_close(fd);
        if (error < 0) {
            lanes_break(lanes);
            refuse(lanes);
        }
        return error;
    }
    struct segment *segment;
    error =
        segment_attach(lanes->carrier.address, &hello->ticket, fd, &lanes->carrier.peer, &segment);
    if (error == 0)
        error = lanes_join(lanes, segment);
    if (error < 0) {
        lanes_break(lanes); /* there is no second hello */
        refuse(lanes);
    }
    return error;
}

/* Without that the other side could never go on in it. */
static int tell_attached(struct lanes *lanes) {
    const uint8_t packet = LANES_ATTACHED;
    ssize_t sent = os_send_bytes(lanes->fd, &packet, sizeof packet, false);
    lanes->answer_owed = sent == -EAGAIN; /* it is tried again with the next look */
    if (sent >= 0 || sent == -EAGAIN || sent == -EPIPE || sent == -ECONNRESET)
        return 0;
    return error_of((int)sent, "%s: answering an offer of memory", lanes->carrier.address);
}

static int collect_segment(struct lanes *lanes, const struct lanes_next *next, size_t size,
                           struct msghdr *message) {
    int fd = only_descriptor(lanes, message);
    if (fd == -EMFILE)
        return fd;
    if (size < sizeof *next) {
        os_close(fd);
        return error_set(-EBADMSG, "%s: damaged packet on the socket", lanes->carrier.address);
    }
    struct segment *segment;
    int error =
        segment_attach(lanes->carrier.address, &next->ticket, fd, &lanes->carrier.peer, &segment);
    /* Its maker has gone since, with the segment: it had not begun to use it. */
    if (!segment_waits((enum backing)next->ticket.backing) && (error == -EINVAL || error == -EIDRM))
        return 0;
    if (error < 0)
        return error;
    lanes->pending[lanes->pending_count++] = segment;
    return segment_waits(segment->backing) ? 0 : tell_attached(lanes);
}

static int hear_refusal(struct lanes *lanes, const char *text, size_t size) {
    return error_set(-EPROTO, "%s: refused by the server: %.*s", lanes->carrier.address, (int)size,
                     text);
}

static int sort(struct lanes *lanes, const void *packet, size_t size, struct msghdr *message) {
    chappe_identity sender;
    switch (*(const uint8_t *)packet) {
    case LANES_BELL:
        break;
    case LANES_ATTACHED:
        lanes->attached = true;
        lanes->stuck = false;
        break;
    case LANES_HELLO:
        return meet(lanes, packet, size, message);
    case LANES_NEXT:
        return collect_segment(lanes, packet, size, message);
    case LANES_DESCRIPTORS:
        arrivals_collect(&lanes->arrivals, message, &sender);
        return 0;
    case LANES_REFUSED:
        os_close(only_descriptor(lanes, message));
        return hear_refusal(lanes, (const char *)packet + 1, size - 1);
    default:
        os_close(only_descriptor(lanes, message));
        return error_set(-EBADMSG, "%s: an unknown packet on the socket", lanes->carrier.address);
    }
    os_close(only_descriptor(lanes, message)); /* bells bring nothing */
    return 0;
}

bool lanes_is_deaf(const struct lanes *lanes) {
    return lanes->arrivals.set_count == ARRIVALS_SETS ||
           lanes->pending_count == LANES_PENDING_MOST ||
           (lanes->arrivals.set_count > 0 && lanes_has_frame(lanes));
}

int lanes_listen(struct lanes *lanes) {
    _Alignas(16) uint8_t packet[PACKET_MOST];
    _Alignas(struct cmsghdr) uint8_t control[ARRIVALS_CONTROL_SIZE];
    if (lanes->answer_owed) {
        int error = tell_attached(lanes);
        if (error < 0)
            return error;
    }
    for (int i = 0; i < PACKETS_MOST && !lanes->hung_up && !lanes_is_deaf(lanes); i++) {
        struct iovec part = {.iov_base = packet, .iov_len = sizeof packet};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t got = os_receive(lanes->fd, &message, false);
        if (got == -EAGAIN)
            return 0;
        if (got == -ECONNRESET && !lanes->reset) {
            lanes->reset = true; /* told before the packets that are still here */
            continue;
        }
        if (got == -ENOMEM || got == -ENOBUFS)
            return error_of(-ENOMEM, "%s: receiving", lanes->carrier.address);
        if (got <= 0) {
            lanes->hung_up = true;
            lanes->carrier.quick.writer = NULL;
            return 0;
        }
        int error = sort(lanes, packet, (size_t)got, &message);
        if (error < 0)
            return error;
    }
    return 0;
}

int lanes_hear(struct lanes *lanes) {
    int error = lanes_listen(lanes);
    bool empty = lanes->in != NULL && !lanes_has_frame(lanes);
    if (error == 0 && empty && lanes_is_deaf(lanes))
        error = error_set(-EBADMSG, "%s: descriptors or memory that nothing announced",
                          lanes->carrier.address);
    if (error == -EBADMSG || error == -EPROTO || error == -EMFILE)
        lanes_break(lanes);
    return error;
}

int lanes_fetch(struct lanes *lanes, bool (*has)(const struct lanes *lanes)) {
    int error = 0;
    for (int i = 0; i < TRIES && error == 0 && !has(lanes); i++)
        error = lanes_listen(lanes);
    return error;
}
