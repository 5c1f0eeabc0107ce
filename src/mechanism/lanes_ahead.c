/* SPDX-License-Identifier: MIT
 *
 * Large bodies that one side copies out while the other copies them in: then a body takes as
 * long as the slower of the two, and not as both. Nothing depends on it: without memory the
 * body is read in place when it is whole. */
#include "mechanism/lanes.h"

void lanes_forget_ahead(struct lanes *lanes) {
    chunk_release(lanes->ahead.chunk);
    lanes->ahead = (struct ahead){0};
}

static void copy_ahead(struct ahead *ahead, const struct lane_frame *frame, uint64_t available) {
    if (available > ahead->size)
        available = ahead->size;
    if (available <= ahead->copied)
        return;
    shared_read(ahead->chunk->bytes + ahead->copied, (const uint8_t *)frame->body + ahead->copied,
                available - ahead->copied);
    ahead->copied = available;
}

void lanes_read_ahead(struct lanes *lanes, const struct lane_reader *reader) {
    struct lane_frame frame;
    struct ahead *ahead = &lanes->ahead;
    if (lane_look_tentative(reader, &frame) != 1 || frame.size < LANES_AHEAD_LEAST ||
        frame.size > lanes->carrier.terms.limit)
        return;
    if (ahead->chunk != NULL && (ahead->start != frame.start || ahead->size != frame.size))
        lanes_forget_ahead(lanes);
    if (ahead->chunk == NULL) {
        struct chunk *chunk = carrier_chunk(&lanes->carrier, (size_t)frame.size);
        if (chunk == NULL)
            return;
        *ahead = (struct ahead){.chunk = chunk, .start = frame.start, .size = frame.size};
    }
    copy_ahead(ahead, &frame, lane_progress(reader));
}

struct message *lanes_finish_ahead(struct lanes *lanes, const struct lane_frame *frame) {
    struct ahead *ahead = &lanes->ahead;
    struct message *message = NULL;
    if (ahead->start == frame->start && ahead->size == frame->size) {
        copy_ahead(ahead, frame, frame->size);
        message = message_create(ahead->chunk, ahead->chunk->bytes, (size_t)frame->size);
    }
    if (message != NULL || ahead->start < frame->start)
        lanes_forget_ahead(lanes);
    return message;
}
