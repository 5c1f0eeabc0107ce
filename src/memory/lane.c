/* SPDX-License-Identifier: MIT
 *
 * The protocol of a lane: see lane.h. Every access to a shared word says what it orders. */
#include "memory/lane.h"

#include <errno.h>

#define WORD 8
#define KIND_MASK 15

void lane_writer_start(struct lane_writer *writer, struct lane_words *words, void *ring,
                       uint64_t bytes) {
    *writer = (struct lane_writer){
        .words = words, .ring = ring, .size = bytes / WORD, .limit = bytes / WORD};
}

void lane_reader_start(struct lane_reader *reader, struct lane_words *words, void *ring,
                       uint64_t bytes) {
    *reader = (struct lane_reader){.words = words, .ring = ring, .size = bytes / WORD};
}

/* ---- the writer ---- */

void lane_put_header(struct lane_writer *writer, uint64_t header) {
    shared64 *at = writer->ring + writer->offset;
    if (!writer->batch) {
        /* Release: body, metadata and the zero behind the frame are there before its header.
         * Pairs with the acquire in lane_take(). */
        shared64_set_release(at, header);
    } else if (writer->first == 0) {
        writer->first = header;
        writer->first_at = at;
    } else {
        /* Relaxed: the reader does not get here before it has seen the first header of the
         * batch, whose release comes after this. */
        shared64_set(at, header);
    }
}

static void move_on(struct lane_writer *writer, uint64_t words) {
    writer->position += words;
    writer->offset += words;
    if (writer->offset == writer->size)
        writer->offset = 0;
}

/* The word behind a frame of `words` words: 0, so that the reader stops there. Relaxed: the
 * release of the frame's header comes after it. */
static void zero_behind(struct lane_writer *writer, uint64_t words) {
    uint64_t offset = writer->offset + words;
    shared64_set(writer->ring + (offset == writer->size ? 0 : offset), 0);
}

/* Skips the rest of the lap. */
static void pad(struct lane_writer *writer) {
    uint64_t rest = writer->size - writer->offset;
    zero_behind(writer, rest);
    lane_put_header(writer,
                    LANE_COMMITTED | (uint64_t)LANE_PAD << LANE_KIND_SHIFT | (rest - 1) * WORD);
    move_on(writer, rest);
}

static bool has_room(struct lane_writer *writer, uint64_t words) {
    if (writer->position + words <= writer->limit)
        return true;
    /* Acquire: pairs with the release in lane_free(): the reader is done with its reads
     * before we write over what it read. */
    writer->limit = shared64_get_acquire(&writer->words->consumed) + writer->size;
    return writer->position + words <= writer->limit;
}

void *lane_reserve(struct lane_writer *writer, uint64_t size) {
    uint64_t words = lane_frame_words(size, 0), rest = writer->size - writer->offset;
    /* One word more than the frame: the zero behind it. */
    if (words <= rest)
        return has_room(writer, words + 1) ? writer->ring + writer->offset + 1 : NULL;
    if (words >= writer->size || !has_room(writer, rest + words + 1))
        return NULL;
    pad(writer);
    return writer->ring + 1;
}

void *lane_reserve_aligned(struct lane_writer *writer, uint64_t size) {
    void *room = lane_reserve(writer, size);
    if (room == NULL || (uintptr_t)room % 16 == 0)
        return room;
    /* An empty pad of one word moves the frame on. */
    if (lane_reserve(writer, size + WORD) == NULL)
        return NULL;
    room = writer->ring + writer->offset + 1;
    if ((uintptr_t)room % 16 == 0)
        return room;
    zero_behind(writer, 1);
    lane_put_header(writer, LANE_COMMITTED | (uint64_t)LANE_PAD << LANE_KIND_SHIFT);
    move_on(writer, 1);
    return writer->ring + writer->offset + 1;
}

void lane_begin_batch(struct lane_writer *writer) {
    writer->batch = true;
    writer->first = 0;
}

void lane_publish(struct lane_writer *writer) {
    writer->batch = false;
    if (writer->first != 0)
        /* Release: all frames of the batch are there before the first header. */
        shared64_set_release(writer->first_at, writer->first);
    writer->first = 0;
}

void lane_announce(struct lane_writer *writer, uint64_t size) {
    /* Relaxed: the release of the header comes after it, so a reader that sees the header
     * never sees the progress of an earlier body. */
    shared64_set(&writer->words->progress, 0);
    /* Release: pairs with the acquire in lane_look_tentative(). */
    shared64_set_release(writer->ring + writer->offset, LANE_TENTATIVE | size);
}

void lane_advance(struct lane_writer *writer, uint64_t bytes) {
    /* Release: these bytes are there before they are counted. */
    shared64_set_release(&writer->words->progress, bytes);
}

/* ---- walking ---- */

/* A lap is `size` words, pads included: so a position tells where its word lies. */
static uint64_t frame_at(const shared64 *ring, uint64_t size, uint64_t position,
                         uint64_t *ret_header) {
    /* Acquire: pairs with lane_put_header(); a resumed lane is read on from here. */
    uint64_t header = shared64_get_acquire(ring + position % size);
    *ret_header = header;
    return lane_frame_words((uint32_t)header, header >> LANE_META_SHIFT & LANE_META_MOST);
}

uint64_t lane_count_unread(const struct lane_writer *writer, bool *ret_exact) {
    /* Acquire: the walk below comes after it. It is the reader's word: no further back than
     * there is memory. */
    uint64_t taken = shared64_get_acquire(&writer->words->taken), count = 0, header;
    *ret_exact = taken <= writer->position && writer->position - taken <= writer->size;
    for (uint64_t at = taken; *ret_exact && at < writer->position;) {
        at += frame_at(writer->ring, writer->size, at, &header);
        count += (header >> LANE_KIND_SHIFT & KIND_MASK) == LANE_MESSAGE;
    }
    if (*ret_exact)
        *ret_exact = shared64_get_acquire(&writer->words->taken) == taken;
    return count;
}

/* What a dead writer had only announced is no message, but its reader may be copying along:
 * so its words become a pad, and are not written again before the reader has freed them. */
static void skip_announced(struct lane_writer *writer, uint64_t header) {
    uint64_t words = lane_frame_words((uint32_t)header, 0);
    if ((header & LANE_TENTATIVE) == 0 || words > writer->size - writer->offset ||
        writer->position + words + 1 > writer->limit) {
        /* Relaxed: the reader takes no notice of the difference. */
        shared64_set(writer->ring + writer->offset, 0);
        return;
    }
    zero_behind(writer, words);
    lane_put_header(writer,
                    LANE_COMMITTED | (uint64_t)LANE_PAD << LANE_KIND_SHIFT | (words - 1) * WORD);
    move_on(writer, words);
}

int lane_writer_resume(struct lane_writer *writer, struct lane_words *words, void *ring,
                       uint64_t bytes) {
    lane_writer_start(writer, words, ring, bytes);
    /* Acquire: as in has_room(). */
    uint64_t consumed = shared64_get_acquire(&words->consumed), at = consumed, header;
    for (;;) {
        uint64_t frame = frame_at(writer->ring, writer->size, at, &header);
        if ((header & LANE_COMMITTED) == 0)
            break;
        at += frame;
        if (frame > writer->size - (at - frame) % writer->size || at >= consumed + writer->size)
            return -EBADMSG;
    }
    writer->position = at;
    writer->offset = at % writer->size;
    writer->limit = consumed + writer->size;
    skip_announced(writer, header);
    return 0;
}

void lane_reader_resume(struct lane_reader *reader, struct lane_words *words, void *ring,
                        uint64_t bytes) {
    lane_reader_start(reader, words, ring, bytes);
    /* Acquire: as in has_room(). */
    reader->position = reader->freed = shared64_get_acquire(&words->consumed);
    reader->offset = reader->position % reader->size;
}

/* ---- the reader ---- */

static bool read_header(const struct lane_reader *reader, uint64_t header,
                        struct lane_frame *ret_frame) {
    uint64_t size = (uint32_t)header, meta = header >> LANE_META_SHIFT & LANE_META_MOST;
    uint64_t words = lane_frame_words(size, meta);
    /* A frame ends in its lap, and never further than the writer was allowed to write. */
    if (words > reader->size - reader->offset ||
        reader->position + words + 1 > reader->freed + reader->size)
        return false;
    *ret_frame = (struct lane_frame){.body = reader->ring + reader->offset + 1,
                                     .size = size,
                                     .meta = meta,
                                     .kind = header >> LANE_KIND_SHIFT & KIND_MASK,
                                     .start = reader->position,
                                     .end = reader->position + words};
    return true;
}

int lane_take(struct lane_reader *reader, struct lane_frame *ret_frame) {
    for (;;) {
        /* Acquire: what the header announces is read after it. Pairs with lane_put_header(). */
        uint64_t header = shared64_get_acquire(reader->ring + reader->offset);
        if ((header & LANE_COMMITTED) == 0)
            return 0;
        struct lane_frame frame;
        if (!read_header(reader, header, &frame) || frame.kind > LANE_END)
            return -EBADMSG;
        reader->offset += frame.end - frame.start;
        reader->position = frame.end;
        if (reader->offset == reader->size)
            reader->offset = 0;
        if (frame.kind != LANE_PAD) {
            *ret_frame = frame;
            return 1;
        }
    }
}

void lane_put_back(struct lane_reader *reader, const struct lane_frame *frame) {
    reader->position = frame->start;
    reader->offset = frame->start % reader->size;
}

int lane_look_tentative(const struct lane_reader *reader, struct lane_frame *ret_frame) {
    /* Acquire: pairs with lane_announce(): the progress is not older than the header. */
    uint64_t header = shared64_get_acquire(reader->ring + reader->offset);
    if ((header & (LANE_COMMITTED | LANE_TENTATIVE)) != LANE_TENTATIVE)
        return 0;
    return read_header(reader, header, ret_frame) ? 1 : -EBADMSG;
}

uint64_t lane_progress(const struct lane_reader *reader) {
    /* Acquire: the bytes that it counts are read after it. Pairs with lane_advance(). */
    return shared64_get_acquire(&reader->words->progress);
}

void lane_free(struct lane_reader *reader, uint64_t position) {
    reader->freed = position;
    /* Relaxed: a count for people and for close; no memory hangs on it. */
    shared64_set(&reader->words->taken, reader->position);
    /* Release: our reads are done before the writer may write there. Pairs with has_room(). */
    shared64_set_release(&reader->words->consumed, position);
}
