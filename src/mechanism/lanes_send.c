/* SPDX-License-Identifier: MIT
 *
 * The sending half of connections in shared memory: a message is written where it will be
 * read, and a store publishes it. A ring that is too small is followed by a larger one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "mechanism/body_file.h"
#include "mechanism/lanes.h"

#define SPARE 8 /* after every frame there is room for “next” or “end” */
#define FRAME_MOST (LANES_RING_MOST / 4) /* larger bodies travel as files */
#define RINGS_MOST ((size_t)64 << 20)    /* of one direction, held messages included */
#define PIECE ((size_t)16 << 10)         /* that a large body is copied in */
#define LAPS 8
#define RING_BUSY ((size_t)64 << 10) /* what many laps make it grow to */
#define GROW 8                       /* times */

/* ---- rings ---- */

static void free_outlet(struct outlet *outlet) {
    segment_release(outlet->segment);
    free(outlet);
}

void lanes_free_outlets(struct lanes *lanes) {
    for (struct outlet *outlet = lanes->out, *older; outlet != NULL; outlet = older) {
        older = outlet->older;
        free_outlet(outlet);
    }
    lanes->out = NULL;
}

int lanes_open_outlet(struct lanes *lanes, struct segment *segment, struct lane_words *words,
                      void *ring, size_t size) {
    struct outlet *outlet = calloc(1, sizeof *outlet);
    if (outlet == NULL)
        return error_of(-ENOMEM, "%s", lanes->carrier.address);
    outlet->segment = segment_hold(segment);
    outlet->older = lanes->out;
    lane_writer_start(&outlet->writer, words, ring, size);
    lanes->out = outlet;
    return 0;
}

/* Forgets rings out of which everything was read. Result: the bytes of all that are left. */
static size_t tidy_outlets(struct lanes *lanes) {
    size_t sum = 0;
    for (struct outlet **link = &lanes->out; *link != NULL;) {
        struct outlet *outlet = *link;
        if (outlet != lanes->out && lane_is_drained(&outlet->writer)) {
            *link = outlet->older;
            free_outlet(outlet);
            continue;
        }
        sum += (size_t)outlet->writer.size * 8;
        link = &outlet->older;
    }
    return sum;
}

/* How large the next ring is to be, for a frame of `size` bytes; 0: none is needed. */
static size_t next_size(struct lanes *lanes, size_t size) {
    struct lane_writer *writer = &lanes->out->writer;
    size_t now = (size_t)writer->size * 8, wanted = now * GROW;
    size_t most = LANES_RING_USUAL > 64 * size ? LANES_RING_USUAL : 64 * size;
    size_t used = tidy_outlets(lanes);
    if (most > LANES_RING_MOST)
        most = LANES_RING_MOST;
    if (most < 2 * size + 64)
        most = 2 * size + 64; /* a frame that cannot travel as a file */
    if (!segment_travels(lanes->terms.backing.backing) ||
        (used + most > RINGS_MOST && now >= 2 * size + 64))
        return 0;
    if (wanted < 4 * size)
        wanted = 4 * size;
    if (wanted > most)
        wanted = most;
    if (now < most)
        return wanted;
    if (shared64_get(&writer->words->taken) != writer->position)
        return 0;
    /* Full of messages that were taken but are still in use: the same again. But if the reader
     * has only just taken the last, there is room by now. */
    shared_pause();
    return lane_reserve(writer, size) == NULL ? now : 0;
}

static int gone(const struct lanes *lanes) {
    return error_set(-EPIPE, "%s: the other side is gone, nobody receives", lanes->carrier.address);
}

/* Memory for a larger ring, which the other side knows of. A segment that would go with us
 * is offered first, and used when the other side has attached to it. */
static int offer(struct lanes *lanes, size_t ring, struct segment **ret_segment) {
    struct segment *segment = lanes->offered;
    size_t whole = (ring + sizeof(struct lane_words) + 4095) & ~(size_t)4095;
    int error = 0;
    if (segment == NULL) {
        error = segment_create(&lanes->terms.backing, lanes->carrier.address, whole, &segment);
        if (error < 0)
            return error;
        lanes->attached = segment_waits(segment->backing);
        error = lanes_pass_segment(lanes, segment);
        if (error == -EPIPE || error == -ECONNRESET) {
            lanes->hung_up = true;
            error = gone(lanes);
        } else if (error < 0 && error != -EAGAIN) {
            error_of(error, "%s: passing shared memory", lanes->carrier.address);
        }
        lanes->socket_full |= error == -EAGAIN;
        lanes->offered = segment;
    }
    if (error == 0 && !lanes->attached) {
        int heard = lanes_hear(lanes); /* the answer may be here */
        if (heard < 0 || !lanes->attached)
            return heard < 0 ? heard : -EAGAIN;
    }
    lanes->offered = NULL;
    if (error < 0)
        segment_release(segment);
    else
        *ret_segment = segment;
    return error;
}

/* Goes on in a larger ring. -EAGAIN: not now; what the ring has still serves. */
static int grow(struct lanes *lanes, size_t size) {
    size_t ring = next_size(lanes, size);
    struct segment *segment;
    if (ring == 0)
        return -EAGAIN;
    int error = offer(lanes, ring, &segment);
    lanes->stuck = error < 0;
    if (error < 0)
        return error;
    struct lane_writer *before = &lanes->out->writer;
    error = lanes_open_outlet(lanes, segment, (struct lane_words *)(void *)segment->memory,
                              segment->memory + sizeof(struct lane_words),
                              segment->size - sizeof(struct lane_words));
    if (error < 0) {
        lanes->offered = segment; /* the other side has it: it is the next one, later */
        return error;
    }
    lane_reserve(before, 0); /* there is always room for this one */
    lane_commit(before, 0, 0, LANE_NEXT);
    segment_release(segment); /* the outlet holds it */
    return 0;
}

/* A small ring that was filled many times, if never at once: in a larger one the two sides
 * touch the same lines less often, and a lap ends less often. */
static bool is_worn(const struct lane_writer *writer) {
    return writer->position >= LAPS * writer->size && writer->size * 8 < RING_BUSY;
}

/* Room for a frame, in this ring or the next: -EAGAIN: none now. Other errors: there will
 * never be any, a larger ring cannot be made. */
static int find_room(struct lanes *lanes, size_t size, uint8_t **ret_room) {
    size_t whole = size + SPARE;
    if (!lanes->stuck && is_worn(&lanes->out->writer))
        (void)grow(lanes, whole);
    uint8_t *room = lane_reserve(&lanes->out->writer, whole);
    int error = 0;
    if (room == NULL) {
        error = grow(lanes, whole);
        if (error == 0)
            room = lane_reserve(&lanes->out->writer, whole);
    }
    lanes->starved = room == NULL ? whole : 0;
    *ret_room = room;
    bool fits = lane_frame_words(whole, 0) <= lane_frame_most(lanes->out->writer.size);
    return room != NULL ? 0 : fits || error == 0 ? -EAGAIN : error;
}

bool lanes_has_room(struct lanes *lanes) {
    if (lanes->out == NULL || lanes->hung_up || lanes->deserted)
        return lanes->hung_up || lanes->deserted;
    if (lanes->socket_full) {
        struct pollfd item = {.fd = lanes->fd, .events = POLLOUT};
        if (os_wait(&item, 1, 0) <= 0)
            return false;
        lanes->socket_full = false;
    }
    struct lane_writer *writer = &lanes->out->writer;
    if (lanes->starved == 0 || lane_reserve(writer, lanes->starved) != NULL)
        return true;
    /* What no empty ring of this size can take waits for memory, and nobody rings for that. */
    bool fits = lane_frame_words(lanes->starved, 0) <= lane_frame_most(writer->size);
    bool may_grow = !lanes->stuck || (!fits && lanes->offered == NULL);
    return (may_grow && next_size(lanes, (size_t)lanes->starved) > 0) ||
           lane_reserve(writer, lanes->starved) != NULL; /* it may have come meanwhile */
}

/* ---- sending ---- */

/* The other side has closed, or is known to be dead. */
static bool is_gone(const struct lanes *lanes) {
    return lanes->hung_up || lanes->deserted || lanes->broken ||
           (shared32_get(&lanes_other(lanes)->arrivals) & WAITING_GONE) != 0;
}

static int pass_descriptors(struct lanes *lanes, const struct letter *letter) {
    if (letter->descriptor_count == 0)
        return 0;
    int error = lanes_pass_descriptors(lanes, letter->descriptors, letter->descriptor_count);
    lanes->socket_full = error == -EAGAIN;
    if (error == -EPIPE || error == -ECONNRESET) {
        lanes->hung_up = true;
        return gone(lanes);
    }
    return error < 0 && error != -EAGAIN
               ? error_of(error, "%s: passing descriptors", lanes->carrier.address)
               : error;
}

/* A message's parts as they lie in the lane: a head only in frames other than chappe's, whose
 * metadata stands behind the body. */
struct parts {
    uint8_t head[ENVELOPE_HEAD_MAX];
    size_t head_size, meta_size;
    const char *tail;
    size_t tail_size;
};

static int split(const struct terms *terms, const struct letter *letter, struct parts *ret_parts) {
    ret_parts->head_size = ret_parts->meta_size = ret_parts->tail_size = 0;
    if (terms->frame->has_envelope) {
        if (letter->size > terms->limit)
            return error_set(-EMSGSIZE,
                             "%s: a message of %zu bytes; the limit is %llu (limit=SIZE)",
                             terms->name, letter->size, (unsigned long long)terms->limit);
        if (!envelope_is_plain(&letter->envelope) || terms->checksum)
            ret_parts->meta_size = envelope_write(&letter->envelope, terms->checksum, letter->body,
                                                  letter->size, ret_parts->head);
        return 0;
    }
    int head = frame_write(terms, &letter->envelope, letter->body, letter->size, ret_parts->head);
    if (head < 0)
        return head;
    ret_parts->head_size = (size_t)head;
    ret_parts->tail = terms->frame->tail;
    ret_parts->tail_size = terms->frame->tail_size;
    return 0;
}

static void put_together(const struct letter *letter, const struct parts *parts, uint8_t *to) {
    if (parts->head_size > 0)
        shared_write(to, parts->head, parts->head_size);
    to += parts->head_size;
    if (letter->size > 0 && letter->body != to) /* not what was written in place */
        shared_write(to, letter->body, letter->size);
    to += letter->size;
    if (parts->tail_size > 0)
        shared_write(to, parts->tail, parts->tail_size);
}

/* The other side waits for this one: it can copy the first pieces out while the next ones are
 * copied in. Until the commit it is no message. */
static void copy_in_pieces(struct lane_writer *writer, const struct letter *letter, uint8_t *to) {
    if (letter->body == to)
        return; /* written in place */
    lane_announce(writer, letter->size);
    for (size_t done = 0; done < letter->size;) {
        size_t piece = letter->size - done < PIECE ? letter->size - done : PIECE;
        shared_write(to + done, (const uint8_t *)letter->body + done, piece);
        done += piece;
        lane_advance(writer, done);
    }
}

/* The frame is committed: the other side may be asleep. */
static void announce(struct lanes *lanes, const void *frame, size_t size, bool drained) {
    if (drained && size <= 4096)
        shared_demote(frame, size); /* it will be read at once */
    lanes_wake(lanes, &lanes_other(lanes)->arrivals);
}

/* Was the body written into the ring? Then the lane must not go on elsewhere before it is
 * committed: “next” would stand where it lies. */
static bool is_in_place(const struct lanes *lanes, const struct letter *letter) {
    const struct lane_writer *writer = &lanes->out->writer;
    return letter->body == writer->ring + writer->offset + 1;
}

static int send_frame(struct lanes *lanes, const struct letter *letter) {
    struct parts parts;
    int error = split(&lanes->carrier.terms, letter, &parts);
    if (error < 0)
        return error;
    size_t body = parts.head_size + letter->size + parts.tail_size;
    uint8_t *room = NULL;
    if (is_in_place(lanes, letter))
        room = lane_reserve(&lanes->out->writer, body + parts.meta_size + SPARE);
    if (room == NULL && (error = find_room(lanes, body + parts.meta_size, &room)) < 0)
        return error;
    bool drained = lane_is_drained(&lanes->out->writer);
    /* Before the frame, so that they are there when it is. */
    error = pass_descriptors(lanes, letter);
    if (error < 0)
        return error;
    if (drained && letter->size >= LANES_AHEAD_LEAST && body == letter->size)
        copy_in_pieces(&lanes->out->writer, letter, room);
    else
        put_together(letter, &parts, room);
    if (parts.meta_size > 0)
        shared_write(room + body, parts.head, parts.meta_size);
    lane_commit(&lanes->out->writer, body, parts.meta_size, LANE_MESSAGE);
    announce(lanes, room - 8, body + parts.meta_size + 8, drained);
    return 1;
}

/* ---- large bodies ---- */

static int body_file(struct lanes *lanes, const struct letter *letter) {
    if (lanes->file < 0)
        lanes->file = body_file_create(&lanes->carrier, letter);
    return lanes->file;
}

static int send_as_file(struct lanes *lanes, const struct letter *letter, enum send_mode mode) {
    if (letter->descriptor_count >= CHAPPE_DESCRIPTORS_MAX)
        return error_set(-EINVAL,
                         "%s: a body of %zu bytes travels as a descriptor itself, so %d more fit",
                         lanes->carrier.address, letter->size, CHAPPE_DESCRIPTORS_MAX - 1);
    if (letter->size > lanes->carrier.terms.limit)
        return error_set(-EMSGSIZE, "%s: a message of %zu bytes; the limit is %llu (limit=SIZE)",
                         lanes->carrier.address, letter->size,
                         (unsigned long long)lanes->carrier.terms.limit);
    int file = body_file(lanes, letter);
    if (file < 0)
        return file;
    int descriptors[CHAPPE_DESCRIPTORS_MAX];
    for (size_t i = 0; i < letter->descriptor_count; i++)
        descriptors[i] = letter->descriptors[i];
    descriptors[letter->descriptor_count] = file;
    struct letter outer = *letter;
    outer.body = NULL;
    outer.size = 0;
    outer.envelope.body_file = letter->size;
    outer.descriptors = descriptors;
    outer.descriptor_count++;
    int sent = send_frame(lanes, &outer);
    if (sent == -EAGAIN && (mode == SEND_TRY || mode == SEND_BLOCK))
        return sent;
    os_close(file);
    lanes->file = -1;
    return sent;
}

/* ---- held output ---- */

/* Takes a letter over that finds no room. */
static int hold(struct lanes *lanes, const struct letter *letter) {
    struct parts parts;
    int error = split(&lanes->carrier.terms, letter, &parts);
    if (error < 0)
        return error;
    size_t size = parts.head_size + letter->size + parts.tail_size + parts.meta_size;
    struct held *held = held_make_room(&lanes->carrier.held, size > 0 ? size : 1);
    if (held == NULL)
        return error_of(-ENOMEM, "%s: %zu bytes", lanes->carrier.address, size);
    error = held_take_descriptors(held, lanes->carrier.address, letter);
    if (error < 0)
        return error;
    put_together(letter, &parts, held->bytes);
    if (parts.meta_size > 0)
        shared_write(held->bytes + size - parts.meta_size, parts.head, parts.meta_size);
    held->size = size;
    held->messages = 1;
    lanes->held_meta = parts.meta_size;
    return 1;
}

/* Passes on what is held: 0; -EAGAIN: there is still no room. */
static int flush(struct lanes *lanes) {
    struct held *held = lanes->carrier.held;
    if (!held_is_full(held))
        return 0;
    int error = is_gone(lanes) ? gone(lanes) : 0;
    uint8_t *room = NULL;
    const struct letter letter = {.descriptors = held->descriptors,
                                  .descriptor_count = held->descriptor_count};
    if (error == 0)
        error = find_room(lanes, held->size, &room);
    if (error == 0)
        error = pass_descriptors(lanes, &letter);
    if (error == -EAGAIN)
        return error;
    if (error == 0) {
        shared_write(room, held->bytes, held->size);
        lane_commit(&lanes->out->writer, held->size - lanes->held_meta, lanes->held_meta,
                    LANE_MESSAGE);
        announce(lanes, room - 8, held->size + 8, false);
    } else {
        lanes->dropped += held->messages;
    }
    held_forget(held);
    return error;
}

/* ---- the functions of a carrier ---- */

/* The largest body and metadata that go through a ring. */
static size_t frame_most(const struct lanes *lanes) {
    size_t here = (size_t)lane_frame_most(lanes->out->writer.size) * 8 - 2 * SPARE;
    /* A segment that has to be offered first is not waited for. */
    return segment_waits(lanes->terms.backing.backing) && here < FRAME_MOST ? FRAME_MOST : here;
}

/* A ring that cannot grow, and a frame that cannot travel beside it. */
static int check_size(const struct lanes *lanes, const struct letter *letter) {
    size_t most = frame_most(lanes);
    if (segment_travels(lanes->terms.backing.backing) || letter->size + ENVELOPE_HEAD_MAX <= most)
        return 0;
    return error_set(-EMSGSIZE,
                     "%s: a message of %zu bytes; in memory that cannot grow frame=%s carries %zu "
                     "(ring=SIZE)",
                     lanes->carrier.address, letter->size, lanes->carrier.terms.frame->name,
                     most - ENVELOPE_HEAD_MAX);
}

/* A body that is too large for this ring goes as a file, where a larger ring has to be offered
 * first. It is offered now, so that the next ones find it. */
static void prepare_for(struct lanes *lanes, size_t size) {
    enum backing backing = lanes->terms.backing.backing;
    if (segment_travels(backing) && !segment_waits(backing) &&
        size > frame_most(lanes) - ENVELOPE_HEAD_MAX && size <= FRAME_MOST - ENVELOPE_HEAD_MAX)
        (void)grow(lanes, size + ENVELOPE_HEAD_MAX + SPARE);
}

static int send_one(struct lanes *lanes, const struct letter *letter, enum send_mode mode) {
    struct carrier *carrier = &lanes->carrier;
    int error = 0;
    lanes_ring_again(lanes);
    if (lanes->out == NULL) {
        /* The hello, or the answer to it, may have come meanwhile. */
        error = lanes->hung_up ? 0 : lanes_hear(lanes);
        if (error == 0 && (lanes->out == NULL))
            return lanes->hung_up ? gone(lanes) : -EAGAIN;
    }
    if (error == 0)
        error = flush(lanes);
    if (error < 0 || letter == NULL)
        return error;
    if (is_gone(lanes))
        return gone(lanes);
    bool has_envelope = carrier->terms.frame->has_envelope;
    if (has_envelope && !is_in_place(lanes, letter))
        prepare_for(lanes, letter->size);
    bool as_file = has_envelope && letter->size > frame_most(lanes) - ENVELOPE_HEAD_MAX;
    if (!has_envelope && (error = check_size(lanes, letter)) < 0)
        return error;
    int sent = as_file ? send_as_file(lanes, letter, mode) : send_frame(lanes, letter);
    return sent == -EAGAIN && mode == SEND_KEEP ? hold(lanes, letter) : sent;
}

int lanes_send(struct carrier *carrier, const struct letter *letter, enum send_mode mode) {
    struct lanes *lanes = (struct lanes *)carrier;
    int sent = send_one(lanes, letter, mode);
    /* Whoever does not wait would never learn that nobody takes anything any more. */
    if (sent == -EAGAIN && letter != NULL && mode == SEND_HOLD && !lanes->hung_up &&
        lanes->control != NULL && lanes_hear(lanes) == 0 && is_gone(lanes))
        sent = gone(lanes);
    lanes_settle_quick(lanes);
    return sent;
}

int lanes_send_plain(struct carrier *carrier, const chappe_item *items, size_t count,
                     enum send_mode mode, uint64_t *ret_bytes) {
    struct lanes *lanes = (struct lanes *)carrier;
    const struct terms *terms = &carrier->terms;
    (void)mode; /* the caller waits */
    bool plain = lanes->out != NULL && terms->frame->has_envelope && !terms->checksum &&
                 !held_is_full(carrier->held);
    if (!plain)
        return 0;
    if (is_gone(lanes))
        return gone(lanes);
    struct lane_writer *writer = &lanes->out->writer;
    size_t most = (size_t)lane_frame_most(writer->size) * 8 - SPARE - 8, done = 0;
    uint64_t bytes = 0;
    lane_begin_batch(writer);
    for (; done < count && items[done].settings == NULL; done++) {
        const chappe_item *item = &items[done];
        if (item->size > most || item->size > terms->limit ||
            (item->data == NULL && item->size > 0))
            break;
        void *room = lane_reserve_here(writer, item->size + SPARE);
        if (room == NULL && (room = lane_reserve(writer, item->size + SPARE)) == NULL)
            break;
        if (item->size > 0)
            shared_write_small(room, item->data, item->size);
        lane_commit(writer, item->size, 0, LANE_MESSAGE);
        bytes += item->size;
    }
    lane_publish(writer);
    if (done > 0)
        lanes_wake(lanes, &lanes_other(lanes)->arrivals);
    *ret_bytes = bytes;
    return (int)done; /* 0: the first is one for send(), which also finds more room */
}

/* The message outlives the carrier, though it cannot be committed then. */
static void leave_in_place(struct chunk *chunk) {
    segment_release(chunk->owner);
}

struct chunk *lanes_reserve(struct carrier *carrier, size_t size) {
    struct lanes *lanes = (struct lanes *)carrier;
    bool plain = lanes->out != NULL && carrier->terms.frame->has_envelope && !is_gone(lanes) &&
                 !held_is_full(carrier->held);
    size_t whole = size + ENVELOPE_HEAD_MAX + SPARE;
    if (!plain || size > FRAME_MOST)
        return NULL;
    if (lane_reserve(&lanes->out->writer, whole + 8) == NULL && grow(lanes, whole + 8) < 0)
        return NULL;
    void *place = lane_reserve_aligned(&lanes->out->writer, whole);
    if (place == NULL)
        return NULL;
    struct segment *segment = segment_hold(lanes->out->segment);
    struct chunk *chunk = chunk_around(carrier->store, place, size, leave_in_place, segment);
    if (chunk == NULL)
        segment_release(segment);
    return chunk;
}

int lanes_finish(struct carrier *carrier) {
    struct lanes *lanes = (struct lanes *)carrier;
    if (lanes->out == NULL)
        return error_set(-EAGAIN, "%s: the client has not introduced itself yet", carrier->address);
    if (!is_gone(lanes)) {
        lane_reserve(&lanes->out->writer, 0); /* there is always room for this one */
        lane_commit(&lanes->out->writer, 0, 0, LANE_END);
        lanes_wake(lanes, &lanes_other(lanes)->arrivals);
    }
    carrier->sends = false;
    lanes_settle_quick(lanes);
    return 0;
}

void lanes_undelivered(struct carrier *carrier, chappe_undelivered *ret_undelivered) {
    struct lanes *lanes = (struct lanes *)carrier;
    chappe_undelivered left = {.size = sizeof left, .count = lanes->dropped};
    left.lost = lanes->dropped;
    uint64_t unread = 0;
    bool exact = true, once;
    for (const struct outlet *outlet = lanes->out; outlet != NULL; outlet = outlet->older) {
        unread += lane_count_unread(&outlet->writer, &once);
        exact = exact && once;
    }
    if (carrier->held != NULL)
        unread += carrier->held->messages;
    if (!lanes->hung_up)
        (void)lanes_listen(lanes); /* a damaged socket is told by a receive */
    left.count += unread;
    bool lost = lanes->control == NULL ? lanes->hung_up : is_gone(lanes);
    if (lost)
        left.lost += unread;
    /* Who takes many messages says so now and then, and who was killed said so before. */
    bool closed =
        lanes->control != NULL && (shared32_get(&lanes_other(lanes)->arrivals) & WAITING_GONE) != 0;
    left.certainty = unread == 0 || (closed && exact) ? CHAPPE_EXACTLY : CHAPPE_AT_MOST;
    struct message *messages[16];
    int taken;
    while ((taken = lanes_take(carrier, messages, 16)) > 0) {
        left.unread += (uint64_t)taken;
        for (int i = 0; i < taken; i++)
            message_release(messages[i]);
    }
    *ret_undelivered = left;
}
