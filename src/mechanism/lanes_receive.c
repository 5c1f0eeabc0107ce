/* SPDX-License-Identifier: MIT
 *
 * The receiving half of connections in shared memory: messages are read in place. The ring is
 * given back by regions: one is closed after an eighth of the ring, or when its messages are
 * released and the lane is empty, so the word that tells the writer is stored rarely and yet
 * nothing is kept from it. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "mechanism/body_file.h"
#include "mechanism/lanes.h"

#define REGIONS_PER_RING 8

/* A run of frames in a ring, given back as a whole. */
struct region {
    struct region *next; /* younger */
    struct inlet *inlet;
    uint64_t end;  /* position behind its last frame, once it is closed */
    bool released; /* nobody has a message in it any more */
};

/* A ring that is read from. It lives until its last message is released. */
struct inlet {
    struct lanes *lanes; /* NULL: the carrier is gone */
    struct segment *segment;
    struct lane_reader reader;
    struct chunk *chunk; /* of the open region; NULL: none */
    struct region *oldest, *newest;
    struct region *spare;
    uint64_t start;   /* of the open region */
    uint64_t settled; /* up to where the writer was woken for what was taken */
    bool left;        /* the reader went on to another ring, or closed */
};

/* ---- regions ---- */

static void free_inlet(struct inlet *inlet) {
    for (struct region *region = inlet->spare, *next; region != NULL; region = next) {
        next = region->next;
        free(region);
    }
    segment_release(inlet->segment);
    free(inlet);
}

static void wake_writer(struct inlet *inlet) {
    if (inlet->lanes != NULL)
        lanes_wake(inlet->lanes, &lanes_other(inlet->lanes)->room);
}

/* Tells the writer up to where the ring is free. */
static void give_back(struct inlet *inlet) {
    uint64_t freed = inlet->reader.freed;
    while (inlet->oldest != NULL && inlet->oldest->released) {
        struct region *region = inlet->oldest;
        freed = region->end;
        inlet->oldest = region->next;
        region->next = inlet->spare;
        inlet->spare = region;
    }
    if (inlet->oldest == NULL)
        inlet->newest = NULL;
    if (freed != inlet->reader.freed) {
        lane_free(&inlet->reader, freed);
        wake_writer(inlet);
    }
    if (inlet->left && inlet->oldest == NULL)
        free_inlet(inlet);
}

/* The last message of a region was released. */
static void region_gone(struct chunk *chunk) {
    struct region *region = chunk->owner;
    region->released = true;
    give_back(region->inlet);
}

static int open_region(struct inlet *inlet) {
    struct carrier *carrier = &inlet->lanes->carrier;
    struct region *region = inlet->spare;
    if (region != NULL)
        inlet->spare = region->next;
    else if ((region = malloc(sizeof *region)) == NULL)
        return error_of(-ENOMEM, "%s", carrier->address);
    struct chunk *chunk = chunk_around(carrier->store, inlet->reader.ring, inlet->reader.size * 8,
                                       region_gone, region);
    if (chunk == NULL) {
        region->next = inlet->spare;
        inlet->spare = region;
        return error_of(-ENOMEM, "%s", carrier->address);
    }
    chunk->sender = carrier->peer;
    chunk->client = carrier->client;
    *region = (struct region){.inlet = inlet};
    if (inlet->newest != NULL)
        inlet->newest->next = region;
    else
        inlet->oldest = region;
    inlet->newest = region;
    inlet->chunk = chunk;
    inlet->start = inlet->reader.position;
    return 0;
}

/* Nothing more goes into the open region: it is given back with its last message. */
static void close_region(struct inlet *inlet) {
    struct chunk *chunk = inlet->chunk;
    if (chunk == NULL)
        return;
    if (inlet->lanes != NULL)
        inlet->lanes->carrier.quick.reader = NULL;
    inlet->newest->end = inlet->reader.position;
    inlet->chunk = NULL;
    chunk_release(chunk); /* last: the inlet may go with it */
}

/* The lane is empty: nothing is to be kept from its writer. */
static void settle(struct inlet *inlet) {
    struct chunk *chunk = inlet->chunk;
    uint64_t position = inlet->reader.position;
    if (chunk != NULL && chunk->references == 1 && inlet->oldest == inlet->newest) {
        /* Everything was released: the region begins anew. */
        if (inlet->reader.freed == position)
            return;
        inlet->start = position;
        if (inlet->lanes != NULL && inlet->lanes->carrier.quick.reader != NULL)
            lanes_open_quick_reading(inlet->lanes);
        lane_free(&inlet->reader, position);
    } else if (inlet->settled != position) {
        lane_tell_taken(&inlet->reader);
    } else {
        return;
    }
    inlet->settled = position;
    wake_writer(inlet);
}

/* Frames go the quick way up to the one that fills the region. */
void lanes_open_quick_reading(struct lanes *lanes) {
    struct inlet *inlet = lanes->in;
    if (inlet == NULL || inlet->chunk == NULL ||
        lanes->carrier.terms.limit < inlet->reader.size * 8)
        return;
    lanes->carrier.quick.reader = &inlet->reader;
    lanes->carrier.quick.chunk = inlet->chunk;
    lanes->carrier.quick.end = inlet->start + inlet->reader.size / REGIONS_PER_RING;
}

/* ---- inlets ---- */

static struct inlet *make_inlet(struct lanes *lanes, struct segment *segment,
                                struct lane_words *words, void *ring, size_t size) {
    struct inlet *inlet = calloc(1, sizeof *inlet);
    if (inlet == NULL)
        return NULL;
    inlet->lanes = lanes;
    inlet->segment = segment_hold(segment);
    lane_reader_start(&inlet->reader, words, ring, size);
    return inlet;
}

int lanes_open_inlet(struct lanes *lanes, struct segment *segment, struct lane_words *words,
                     void *ring, size_t size) {
    lanes->in = make_inlet(lanes, segment, words, ring, size);
    return lanes->in != NULL ? 0 : error_of(-ENOMEM, "%s", lanes->carrier.address);
}

void lanes_leave_inlet(struct lanes *lanes, bool told) {
    struct inlet *inlet = lanes->in;
    if (inlet == NULL)
        return;
    lanes->carrier.quick.reader = NULL;
    lanes->in = NULL;
    lanes_forget_ahead(lanes); /* positions begin anew */
    if (told)
        settle(inlet);
    inlet->lanes = NULL;
    inlet->left = true;
    if (inlet->chunk != NULL)
        close_region(inlet);
    else if (inlet->oldest == NULL)
        free_inlet(inlet);
}

static bool has_pending(const struct lanes *lanes) {
    return lanes->pending_count > 0;
}

/* The frame “next”: the lane goes on in a segment that came before. */
static int go_on(struct lanes *lanes) {
    const char *name = lanes->carrier.address;
    int error = lanes_fetch(lanes, has_pending);
    if (error < 0)
        return error;
    if (!has_pending(lanes))
        return error_set(-EBADMSG, "%s: a lane goes on in memory that never came", name);
    struct segment *segment = lanes->pending[0];
    if (segment->size < sizeof(struct lane_words) + LANE_RING_LEAST)
        return error_set(-EBADMSG, "%s: a lane goes on in too little memory", name);
    struct inlet *inlet = make_inlet(lanes, segment, (struct lane_words *)(void *)segment->memory,
                                     segment->memory + sizeof(struct lane_words),
                                     segment->size - sizeof(struct lane_words));
    if (inlet == NULL)
        return error_of(-ENOMEM, "%s", name);
    for (size_t i = 1; i < lanes->pending_count; i++)
        lanes->pending[i - 1] = lanes->pending[i];
    lanes->pending_count--;
    segment_release(segment); /* the inlet holds it */
    lanes_leave_inlet(lanes, true);
    lanes->in = inlet;
    return 0;
}

/* ---- bringing in ---- */

bool lanes_has_frame(const struct lanes *lanes) {
    return lanes->in != NULL && lane_is_ready(&lanes->in->reader);
}

bool lanes_is_ready(const struct lanes *lanes) {
    return lanes_has_frame(lanes) || lanes->carrier.postponed != 0 || lanes->ended ||
           lanes->hung_up || lanes->broken;
}

int lanes_receive(struct carrier *carrier, bool block) {
    struct lanes *lanes = (struct lanes *)carrier;
    if (lanes->armed)
        lanes_disarm(lanes);
    if (lanes_has_frame(lanes)) {
        if (lanes->ended)
            lanes_break(lanes); /* nothing can come behind an end */
        return 1;
    }
    if (lanes->in != NULL)
        lanes_read_ahead(lanes, &lanes->in->reader);
    /* Acquire: what was committed before the other side closed is seen below. */
    bool closed = lanes->in != NULL &&
                  (shared32_get_acquire(&lanes_other(lanes)->arrivals) & WAITING_GONE) != 0;
    if (!lanes->hung_up && (closed || block || lanes->in == NULL)) {
        int error = lanes_hear(lanes);
        if (error < 0)
            return error;
    }
    if (lanes_has_frame(lanes) || carrier->postponed != 0 || lanes->broken)
        return 1;
    return lanes->ended || lanes->hung_up || closed ? 0 : -EAGAIN;
}

/* ---- taking out ---- */

/* A body that came as a sealed file, the last of the announced descriptors. */
static int fetch_body(struct lanes *lanes, size_t announced, uint64_t size,
                      struct message *message) {
    struct chunk *chunk;
    if (arrivals_next(&lanes->arrivals) != announced)
        return 0; /* arrivals_give() says why */
    int error =
        body_file_read(&lanes->carrier, lanes->arrivals.descriptors[announced - 1], size, &chunk);
    if (error < 0)
        return error;
    chunk_release(message->chunk);
    message->chunk = chunk;
    message->body.data = chunk->bytes;
    message->body.size = (size_t)size;
    return 0;
}

static int too_large(const struct lanes *lanes, uint64_t size) {
    return error_set(-EMSGSIZE, "%s: a message of %llu bytes came; the limit is %llu (limit=SIZE)",
                     lanes->carrier.address, (unsigned long long)size,
                     (unsigned long long)lanes->carrier.terms.limit);
}

static bool has_arrivals(const struct lanes *lanes) {
    return lanes->arrivals.set_count > 0;
}

static int give_descriptors(struct lanes *lanes, const struct envelope *envelope,
                            struct message *message) {
    const char *name = lanes->carrier.address;
    bool has_file = envelope->body_file != 0;
    size_t announced = envelope->descriptors + (size_t)has_file;
    if (announced == 0)
        return 0;
    int error = lanes_fetch(lanes, has_arrivals);
    if (error == 0 && lanes->arrivals.set_count == 0)
        error = error_set(-EBADMSG, "%s: %zu descriptors were announced and never came", name,
                          announced);
    if (error == 0 && envelope->body_file > lanes->carrier.terms.limit) {
        arrivals_skip(&lanes->arrivals);
        error = too_large(lanes, envelope->body_file);
    }
    if (error == 0 && has_file)
        error = fetch_body(lanes, announced, envelope->body_file, message);
    if (error == 0)
        error = arrivals_give(&lanes->arrivals, name, announced, message->details);
    if (error == 0 && has_file)
        os_close(message->details->descriptors[--message->details->descriptor_count]);
    if (error == 0)
        lanes_wake(lanes, &lanes_other(lanes)->room); /* there is room on the socket again */
    return error;
}

/* The metadata behind a body. Read once, into our own memory: the other side can change it. */
static int complete(struct lanes *lanes, const struct lane_frame *frame, struct message *message) {
    const char *name = lanes->carrier.address;
    uint8_t bytes[ENVELOPE_HEAD_MAX];
    struct envelope envelope;
    size_t head;
    uint64_t size;
    if (frame->meta > sizeof bytes)
        return error_set(-EBADMSG, "%s: %llu bytes of metadata", name,
                         (unsigned long long)frame->meta);
    shared_read(bytes, (const uint8_t *)frame->body + frame->size, frame->meta);
    int found = envelope_read(name, bytes, frame->meta, &head, &size, &envelope);
    if (found < 0)
        return found;
    if (found == 0 || head != frame->meta || size != frame->size)
        return error_set(-EBADMSG, "%s: metadata that does not fit its message", name);
    struct details *details = message_details(message);
    if (details == NULL)
        return error_of(-ENOMEM, "%s", name);
    details->envelope = envelope;
    if (!envelope_is_intact(&envelope, bytes, head, message->body.data, message->body.size))
        return error_set(-EBADMSG, "%s: damaged message: the checksum does not fit", name);
    return give_descriptors(lanes, &envelope, message);
}

/* Other frames than chappe's lie in the lane as they would in a packet. */
static int unwrap(struct lanes *lanes, struct message *message) {
    const struct terms *terms = &lanes->carrier.terms;
    uint8_t *bytes = message->body.data;
    size_t have = message->body.size, scanned = 0;
    struct framed framed = {0};
    int found = have == 0 ? 1 : frame_read(terms, bytes, have, true, &scanned, &framed);
    if (found < 0)
        return found;
    if (found == 0 || framed.head + framed.size + framed.tail != have)
        return error_set(-EBADMSG, "%s: damaged: %zu bytes are not one message of frame=%s",
                         terms->name, have, terms->frame->name);
    message->body.data = bytes + framed.head;
    message->body.size = (size_t)framed.size;
    return 0;
}

static int make_message(struct lanes *lanes, const struct lane_frame *frame,
                        struct message **ret_message) {
    const struct terms *terms = &lanes->carrier.terms;
    if (frame->size > terms->limit)
        return too_large(lanes, frame->size);
    struct message *message = NULL;
    if (lanes->ahead.chunk != NULL)
        message = lanes_finish_ahead(lanes, frame);
    if (message == NULL)
        message = message_create(lanes->in->chunk, frame->body, frame->size);
    if (message == NULL)
        return error_of(-ENOMEM, "%s", terms->name);
    int error = 0;
    if (frame->meta > 0)
        error = complete(lanes, frame, message);
    if (error == 0 && !terms->frame->has_envelope)
        error = unwrap(lanes, message);
    if (error < 0) {
        message_release(message);
        return error;
    }
    *ret_message = message;
    return 0;
}

static int damaged(struct lanes *lanes) {
    lanes_break(lanes); /* nobody knows where the next frame begins */
    return error_set(-EBADMSG, "%s: damaged shared memory: a frame or packet that cannot be",
                     lanes->carrier.address);
}

/* One frame. 1: a message; 0: nothing is there, or an end. */
static int take_one(struct lanes *lanes, struct message **ret_message) {
    for (;;) {
        struct inlet *inlet = lanes->in;
        struct lane_frame frame;
        int error;
        if (!lane_is_ready(&inlet->reader))
            return 0;
        if (inlet->chunk == NULL && (error = open_region(inlet)) < 0)
            return error;
        int taken = lane_take(&inlet->reader, &frame);
        if (taken < 0)
            return damaged(lanes);
        if (taken == 0)
            return 0;
        if (frame.kind == LANE_NEXT && (error = go_on(lanes)) < 0) {
            if (error != -ENOMEM)
                lanes_break(lanes);
            else
                lane_put_back(&inlet->reader, &frame);
            return error;
        }
        if (frame.kind == LANE_END) {
            lanes->ended = true;
            return 0;
        }
        if (frame.kind != LANE_MESSAGE)
            continue;
        error = make_message(lanes, &frame, ret_message);
        if (error == -ENOMEM) {
            lane_put_back(&inlet->reader, &frame);
            return error;
        }
        if (frame.end - inlet->start >= inlet->reader.size / REGIONS_PER_RING)
            close_region(inlet);
        return error < 0 ? error : 1;
    }
}

int lanes_take(struct carrier *carrier, struct message **ret_messages, size_t count) {
    struct lanes *lanes = (struct lanes *)carrier;
    size_t taken = 0;
    int got = carrier_postponed(carrier);
    if (got < 0)
        return got;
    if (lanes->broken)
        return damaged(lanes);
    if (lanes->in == NULL || lanes->ended)
        return 0;
    while (taken < count && (got = take_one(lanes, ret_messages + taken)) > 0)
        taken++;
    if (lanes->in != NULL && !lane_is_ready(&lanes->in->reader))
        settle(lanes->in);
    if (got < 0 && taken > 0)
        carrier_postpone(carrier, got);
    lanes_settle_quick(lanes);
    return got < 0 && taken == 0 ? got : (int)taken;
}
