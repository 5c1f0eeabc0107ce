/* SPDX-License-Identifier: MIT
 *
 * A lane: messages of any length from one writer to one reader, in memory that both map.
 * Only the writer writes its ring. A message exists when its header's word is there: one
 * release store publishes it, or a whole batch; before that store, nothing; after it, all.
 *
 * The control words, 128 bytes, each line written by one side only:
 *
 *       0                8                16                          64
 *       +----------------+----------------+------------ … ------------+
 *       | consumed       | taken          | 0                         |  by the reader
 *       +----------------+----------------+------------ … ------------+
 *      64               72               80                          128
 *       +----------------+----------------+------------ … ------------+
 *       | progress       | 0              | 0                         |  by the writer
 *       +----------------+----------------+------------ … ------------+
 *
 *     consumed  position below which the writer may write again
 *     taken     position up to which messages were handed over; told now and then
 *     progress  bytes that are there of a body whose header is tentative
 *
 * Positions count words of 8 bytes since the lane began; the word of a position lies in the
 * ring at the position modulo its size, but for the end of a lap, which a pad skips.
 *
 * The ring is a row of frames. All numbers are of the machine's own byte order:
 *
 *       0        4      5.5   7      8
 *       +--------+------+-----+------+-------- … --------+------ … ------+-------+
 *       | size   | meta | 0   | kind | body              | metadata      | to 8  |
 *       +--------+------+-----+------+-------- … --------+------ … ------+-------+
 *       bits 0 to 31 size, 32 to 43 meta, 56 to 59 kind, 62 tentative, 63 committed
 *
 *     kind  0 message · 1 pad, nothing more in this lap · 2 next, the lane goes on in
 *           another ring · 3 end, the writer sends no more
 *
 * Rules that make it safe to kill or stop either side at any instruction:
 * - The word behind the last committed frame is 0. The writer zeroes the word behind a
 *   frame before it commits it, so what an earlier lap left is never taken for a header.
 * - A frame is written only where the reader is done: below consumed + size.
 * - The reader looks at a word only after it saw the header before it committed.
 * - A recoverer finds the end by walking from `consumed` to the first word that is not
 *   committed; no other word has to agree.
 *
 * The protocol and its figures: experiments of our own; that a header doubles as the commit
 * word is Aeron's idea (log buffers), one position store for many messages the Disruptor's. */
#ifndef MEMORY_LANE_H
#define MEMORY_LANE_H

#include "base/shared.h"

#define LANE_COMMITTED ((uint64_t)1 << 63)
#define LANE_TENTATIVE ((uint64_t)1 << 62)
#define LANE_META_SHIFT 32
#define LANE_KIND_SHIFT 56
#define LANE_META_MOST 4095
#define LANE_BODY_MOST UINT32_MAX
#define LANE_RING_LEAST 64 /* bytes */

enum lane_kind { LANE_MESSAGE = 0, LANE_PAD = 1, LANE_NEXT = 2, LANE_END = 3 };

struct lane_words {
    _Alignas(64) shared64 consumed;
    shared64 taken;
    _Alignas(64) shared64 progress;
};

/* The writer's side, in its own memory. */
struct lane_writer {
    struct lane_words *words;
    shared64 *ring;
    uint64_t size;      /* of the ring, in words */
    uint64_t position;  /* of the next header */
    uint64_t offset;    /* of it in the ring */
    uint64_t limit;     /* may write below: consumed, as last seen, + size */
    bool batch;         /* the first header of a batch is kept back */
    uint64_t first;     /* that header; 0: none yet */
    shared64 *first_at; /* and where it belongs */
};

/* The reader's side, in its own memory. */
struct lane_reader {
    struct lane_words *words;
    shared64 *ring;
    uint64_t size;
    uint64_t position; /* of the next header to look at */
    uint64_t offset;
    uint64_t freed; /* consumed, as last told */
};

struct lane_frame {
    void *body;
    uint64_t size;
    uint64_t meta;  /* bytes of metadata behind the body */
    uint64_t kind;  /* an enum lane_kind, but for pads */
    uint64_t start; /* position of its header */
    uint64_t end;   /* position behind it */
};

/* How many words a frame takes. */
static inline uint64_t lane_frame_words(uint64_t size, uint64_t meta) {
    return 1 + (size + meta + 7) / 8;
}

/* The largest frame that always finds room in an empty ring of `size` words, wherever its
 * writer stands: a pad before it is shorter than the frame. */
static inline uint64_t lane_frame_most(uint64_t size) {
    return (size - 1) / 2;
}

/* A new lane: words and a ring of `bytes` bytes, all zero. `ring` is aligned to 8. */
void lane_writer_start(struct lane_writer *writer, struct lane_words *words, void *ring,
                       uint64_t bytes);
void lane_reader_start(struct lane_reader *reader, struct lane_words *words, void *ring,
                       uint64_t bytes);

/* Going on where a dead writer or reader of this lane stopped. The writer's: -EBADMSG if the
 * ring cannot have been written by these rules (no sentence). The reader's: messages that
 * were taken but not freed come again. */
int lane_writer_resume(struct lane_writer *writer, struct lane_words *words, void *ring,
                       uint64_t bytes);
void lane_reader_resume(struct lane_reader *reader, struct lane_words *words, void *ring,
                        uint64_t bytes);

/* ---- the writer ---- */

/* Room for a frame with `size` bytes of body and metadata together, contiguous and aligned to
 * 8; NULL: none now. Nothing is published, but for a pad. */
void *lane_reserve(struct lane_writer *writer, uint64_t size);
/* The same, if it is known to be there and no pad is needed; else NULL. */
static inline void *lane_reserve_here(struct lane_writer *writer, uint64_t size) {
    uint64_t words = lane_frame_words(size, 0);
    /* One word more than the frame: the zero behind it. */
    if (writer->offset + words >= writer->size || writer->position + words >= writer->limit)
        return NULL;
    return writer->ring + writer->offset + 1;
}
/* The same, aligned to 16. */
void *lane_reserve_aligned(struct lane_writer *writer, uint64_t size);

/* Stores the header of a frame at the writer's offset: here it begins to exist. */
void lane_put_header(struct lane_writer *writer, uint64_t header);

/* Publishes what was written where lane_reserve() said; `size` + `meta` is at most what was
 * reserved. In a batch only the first header is kept back. */
static inline void lane_commit(struct lane_writer *writer, uint64_t size, uint64_t meta,
                               enum lane_kind kind) {
    uint64_t words = lane_frame_words(size, meta), end = writer->offset + words;
    uint64_t header =
        LANE_COMMITTED | (uint64_t)kind << LANE_KIND_SHIFT | meta << LANE_META_SHIFT | size;
    if (end == writer->size)
        end = 0;
    /* The word behind the frame: 0, so that the reader stops there. Relaxed: the release of
     * the header comes after it. */
    shared64_set(writer->ring + end, 0);
    if (writer->batch && writer->first != 0)
        /* Relaxed: as in lane_put_header(). */
        shared64_set(writer->ring + writer->offset, header);
    else if (writer->batch)
        lane_put_header(writer, header);
    else
        /* Release: body, metadata and the zero behind the frame are there before its header.
         * Pairs with the acquire in lane_take(). */
        shared64_set_release(writer->ring + writer->offset, header);
    writer->position += words;
    writer->offset = end;
}

/* From here on, commits are not seen until lane_publish() shows them all at once. A writer
 * killed in between has sent none of them. */
void lane_begin_batch(struct lane_writer *writer);
void lane_publish(struct lane_writer *writer);

/* For a large body: says that it is coming, and how much of it is there, so that the reader
 * can copy at the same time. It is no message until lane_commit(). Not in a batch. */
void lane_announce(struct lane_writer *writer, uint64_t size);
void lane_advance(struct lane_writer *writer, uint64_t bytes);

/* Has the reader freed everything that was written? Then it waits for the next. */
static inline bool lane_is_drained(const struct lane_writer *writer) {
    return shared64_get(&writer->words->consumed) == writer->position;
}

/* How many messages were committed that the reader has not said to have taken. A walk over
 * frames that the reader may be freeing: `ret_exact` is false if it was overtaken. */
uint64_t lane_count_unread(const struct lane_writer *writer, bool *ret_exact);

/* ---- the reader ---- */

/* The next frame: 1; 0: nothing is there; -EBADMSG: not a frame that fits (no sentence).
 * The frame stays until lane_free() of its end. */
int lane_take(struct lane_reader *reader, struct lane_frame *ret_frame);
/* The same for a message without metadata that does not end a lap; 0: lane_take() has to be
 * asked. */
static inline int lane_take_here(struct lane_reader *reader, struct lane_frame *ret_frame) {
    shared64 *at = reader->ring + reader->offset;
    /* Acquire: what the header announces is read after it. Pairs with lane_commit(). */
    uint64_t header = shared64_get_acquire(at), position = reader->position;
    uint64_t words = lane_frame_words((uint32_t)header, 0);
    /* Committed, kind and metadata 0; in its lap, and no further than the writer may write. */
    if (header >> 32 != LANE_COMMITTED >> 32 || reader->offset + words >= reader->size ||
        position + words >= reader->freed + reader->size)
        return 0;
    *ret_frame = (struct lane_frame){
        .body = at + 1, .size = (uint32_t)header, .start = position, .end = position + words};
    reader->offset += words;
    reader->position = position + words;
    return 1;
}

/* Is the next frame there? The look is not ordered: lane_take() is. */
static inline bool lane_is_ready(const struct lane_reader *reader) {
    return (shared64_get(reader->ring + reader->offset) & LANE_COMMITTED) != 0;
}

/* The last frame that was taken is to be taken again. */
void lane_put_back(struct lane_reader *reader, const struct lane_frame *frame);

/* The next frame is announced: 1, and its body up to lane_progress() bytes may be read. */
int lane_look_tentative(const struct lane_reader *reader, struct lane_frame *ret_frame);
uint64_t lane_progress(const struct lane_reader *reader);

/* Everything before that position is not needed any more. */
void lane_free(struct lane_reader *reader, uint64_t position);
/* Everything that was taken is told, though not freed. */
static inline void lane_tell_taken(const struct lane_reader *reader) {
    /* Relaxed: a count; no memory hangs on it. */
    shared64_set(&reader->words->taken, reader->position);
}

#endif
