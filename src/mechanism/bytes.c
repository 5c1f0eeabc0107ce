/* SPDX-License-Identifier: MIT
 *
 * The shape of carriers of bytes: reading ahead into a chunk, and taking messages out of it
 * in place. One read brings as many messages as the kernel has; a large message is read
 * straight into memory of its own size. */
#include "mechanism/bytes.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

#define CHUNK_LEAST ((size_t)4096)       /* what an idle connection costs */
#define CHUNK_MOST ((size_t)128 << 10)   /* more than a pipe or socket brings at once */
#define ANNOUNCED_MOST ((size_t)1 << 20) /* believed at once; beyond, memory as bytes arrive */
#define HEAD_READ ((size_t)4096)         /* how much of a large message is copied */

static size_t least_of(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t most_of(size_t a, size_t b) {
    return a > b ? a : b;
}

/* ---- bringing in ---- */

/* Puts what is not taken yet into a new chunk: messages still lie in the old one. */
static int move_chunk(struct bytes *bytes, size_t capacity) {
    size_t have = bytes->end - bytes->start;
    struct chunk *chunk = carrier_chunk(&bytes->carrier, capacity);
    if (chunk == NULL)
        return -ENOMEM;
    if (have > 0)
        memcpy(chunk->bytes, bytes->chunk->bytes + bytes->start, have);
    chunk_release(bytes->chunk);
    bytes->chunk = chunk;
    bytes->start = 0;
    bytes->end = have;
    return 0;
}

/* How large the chunk should be for the next read to be worth it. */
static size_t useful_capacity(const struct bytes *bytes, size_t have) {
    if (bytes->wanted > CHUNK_MOST)
        return least_of(bytes->wanted, most_of(ANNOUNCED_MOST, 2 * have));
    size_t usual = have == 0 && bytes->large ? HEAD_READ : bytes->appetite;
    size_t capacity = most_of(bytes->wanted, usual);
    return have < capacity ? capacity : 2 * have;
}

/* Is a read worth it with the chunk as it is? `have` bytes of the next message are in it. */
static bool has_room(const struct bytes *bytes, size_t have, size_t capacity) {
    const struct chunk *chunk = bytes->chunk;
    size_t room = chunk->capacity - bytes->end;
    if (bytes->wanted > CHUNK_MOST || have >= bytes->appetite)
        return room >= least_of(most_of(bytes->wanted, have + 1) - have, CHUNK_MOST / 2);
    if (room > 0 && chunk->capacity - bytes->start >= capacity)
        return true;
    /* While messages lie in it, what is left of it is used up. */
    return chunk->references > 1 && room >= CHUNK_LEAST / 4 && room + have >= bytes->wanted;
}

static int make_room(struct bytes *bytes) {
    struct chunk *chunk = bytes->chunk;
    bool sole = chunk != NULL && chunk->references == 1;
    if (sole && bytes->start == bytes->end)
        bytes->start = bytes->end = 0;
    size_t have = bytes->end - bytes->start;
    size_t capacity = useful_capacity(bytes, have);
    if (chunk != NULL && has_room(bytes, have, capacity))
        return 0;
    if (sole && chunk->capacity >= capacity) {
        memmove(chunk->bytes, chunk->bytes + bytes->start, have);
        bytes->start = 0;
        bytes->end = have;
        return 0;
    }
    if (!sole || bytes->start > 0 || have <= HEAD_READ)
        return move_chunk(bytes, capacity);
    if (!chunk_grow(&bytes->chunk, capacity))
        return error_of(-ENOMEM, "%s: %zu bytes", bytes->carrier.address, capacity);
    return 0;
}

/* How much to ask for: of a large message no more than itself, and of what follows one only
 * the head, because what is read too early has to be copied. */
static size_t read_size(const struct bytes *bytes) {
    size_t room = bytes->chunk->capacity - bytes->end;
    if (bytes->wanted > CHUNK_MOST)
        return least_of(room, bytes->start + bytes->wanted - bytes->end);
    return bytes->large && bytes->wanted == 0 ? least_of(room, HEAD_READ) : room;
}

static int bytes_receive(struct carrier *carrier, bool block) {
    struct bytes *bytes = (struct bytes *)carrier;
    if (bytes->ended)
        return 0;
    int error = make_room(bytes);
    if (error < 0)
        return error;
    size_t size = read_size(bytes);
    ssize_t got = bytes->io->read(bytes, bytes->chunk->bytes + bytes->end, size, block);
    if (got == -EAGAIN)
        return -EAGAIN;
    if (got < 0) {
        bytes->reset |= got == -ECONNRESET;
        return error_of((int)got, "%s: receiving", carrier->address);
    }
    bytes->fresh = true;
    if (got == 0) {
        bytes->ended = true;
        return 0;
    }
    bytes->end += (size_t)got;
    if ((size_t)got == size && !bytes->large && bytes->appetite < CHUNK_MOST)
        bytes->appetite = least_of(4 * bytes->appetite, CHUNK_MOST);
    return 1;
}

/* ---- taking out ---- */

/* Takes messages with the same head as the first. Where the next one begins is then known
 * without reading how large this one is, so that the processor need not wait for it. */
static size_t take_run(struct bytes *bytes, uint32_t head, struct message **ret_messages,
                       size_t count) {
    struct chunk *chunk = bytes->chunk;
    struct store *store = chunk->store;
    uint8_t *at = chunk->bytes + bytes->start;
    size_t size = head >> 16, step = size + ENVELOPE_SHORT_SIZE, taken = 0;
    size_t whole = (bytes->end - bytes->start) / step;
    if (store->free_count == 0 && !store_refill(store))
        return 0; /* take_one() says so */
    /* All in registers: the messages that are written could be anything to the compiler. */
    struct message **free_end = store->free_messages + store->free_count;
    if (count > whole)
        count = whole;
    if (count > store->free_count)
        count = store->free_count;
    for (; taken < count && number_get32(at) == head; at += step) {
        struct message *message = *--free_end;
        message->body.data = at + ENVELOPE_SHORT_SIZE;
        message->body.size = size;
        message->chunk = chunk;
        message->details = NULL;
        ret_messages[taken++] = message;
    }
    store->free_count -= taken;
    chunk->references += (uint32_t)taken;
    bytes->start = (size_t)(at - chunk->bytes);
    return taken;
}

/* The common case of the frame `chappe`: short envelopes. */
static size_t take_short(struct bytes *bytes, struct message **ret_messages, size_t count) {
    uint64_t limit = bytes->carrier.terms.limit;
    size_t taken = 0;
    while (taken < count) {
        uint32_t head = envelope_short_head(bytes->chunk->bytes + bytes->start,
                                            bytes->end - bytes->start, limit);
        size_t run = head != 0 ? take_run(bytes, head, ret_messages + taken, count - taken) : 0;
        if (run == 0)
            break;
        taken += run;
    }
    return taken;
}

/* The stream ended, or not, within a message of `total` bytes (0: unknown). */
static int torn(struct bytes *bytes, size_t have, uint64_t total) {
    if (!bytes->ended || have == 0)
        return 0;
    bytes->start = bytes->end;
    bytes->wanted = bytes->scanned = 0;
    if (total == 0)
        return error_set(-EBADMSG, "%s: cut off: the other side ended after %zu bytes of a message",
                         bytes->carrier.address, have);
    return error_set(-EBADMSG,
                     "%s: cut off: the other side ended after %zu of %llu bytes of a message",
                     bytes->carrier.address, have, (unsigned long long)total);
}

static bool has_details(const struct envelope *envelope) {
    return envelope->has_checksum || !envelope_is_plain(envelope);
}

/* What a whole message needs beyond its bytes. On failure the message is dropped, but the
 * stream goes on behind it. */
static int complete(struct bytes *bytes, const uint8_t *at, const struct framed *framed,
                    struct message *message) {
    struct arrivals *arrivals = &bytes->arrivals;
    const struct terms *terms = &bytes->carrier.terms;
    size_t announced =
        terms->frame->has_envelope ? framed->envelope.descriptors : arrivals_next(arrivals);
    if (!has_details(&framed->envelope) && announced == 0)
        return 0;
    struct details *details = message_details(message);
    if (details == NULL)
        return error_of(-ENOMEM, "%s", bytes->carrier.address);
    details->envelope = framed->envelope;
    const char *wrong = NULL;
    if (framed->envelope.body_file != 0)
        wrong = "damaged envelope: a body in a file on a stream";
    else if (!envelope_is_intact(&framed->envelope, at, framed->head, at + framed->head,
                                 (size_t)framed->size))
        wrong = "damaged message: the checksum does not fit";
    if (wrong != NULL && announced > 0)
        arrivals_skip(arrivals); /* they would be taken for the next message's */
    if (wrong != NULL)
        return error_set(-EBADMSG, "%s: %s", bytes->carrier.address, wrong);
    return announced > 0 ? arrivals_give(arrivals, terms->name, announced, details) : 0;
}

/* A message beyond the limit: where its end is known, what follows can still be read. */
static int refuse(struct bytes *bytes, int error, const struct framed *framed) {
    if (error == -EMSGSIZE && !bytes->carrier.terms.frame->keeps_reading)
        bytes->skip = framed->head + framed->size + framed->tail;
    return error;
}

static void pass_over(struct bytes *bytes) {
    size_t have = bytes->end - bytes->start;
    size_t step = bytes->skip < have ? (size_t)bytes->skip : have;
    bytes->start += step;
    bytes->skip -= step;
    bytes->wanted = bytes->scanned = 0;
}

static int take_one(struct bytes *bytes, struct message **ret_message) {
    pass_over(bytes);
    size_t have = bytes->end - bytes->start;
    if (have == 0)
        return 0;
    uint8_t *at = bytes->chunk->bytes + bytes->start;
    struct framed framed = {0};
    int found = frame_read(&bytes->carrier.terms, at, have, bytes->ended, &bytes->scanned, &framed);
    if (found < 0)
        return refuse(bytes, found, &framed);
    bytes->wanted = 0;
    if (found == 0)
        return torn(bytes, have, 0);
    uint64_t total = framed.head + framed.size + framed.tail;
    bytes->large = total > CHUNK_MOST;
    if (total > SIZE_MAX / 2)
        return error_set(-EMSGSIZE, "%s: a message of %llu bytes", bytes->carrier.address,
                         (unsigned long long)total);
    if (total > have) {
        bytes->wanted = (size_t)total;
        return torn(bytes, have, total);
    }
    struct message *message = message_create(bytes->chunk, at + framed.head, (size_t)framed.size);
    if (message == NULL)
        return error_of(-ENOMEM, "%s", bytes->carrier.address);
    int error = complete(bytes, at, &framed, message);
    if (error == -ENOMEM) {
        message_release(message); /* its bytes stay: the next call tries again */
        return error;
    }
    bytes->start += (size_t)total;
    bytes->scanned = 0;
    if (error < 0) {
        message_release(message);
        return error;
    }
    *ret_message = message;
    return 1;
}

/* Descriptors stay as long as the message that announces them may still come. */
static void drop_unannounced(struct bytes *bytes) {
    if (bytes->arrivals.set_count == 0 || bytes->start < bytes->end)
        return;
    size_t dropped = arrivals_drop(&bytes->arrivals);
    bytes->carrier.descriptors_closed += dropped;
    log_line(&bytes->carrier.log, CHAPPE_LOG_WARNING, "%s: closed %zu unannounced descriptors",
             bytes->carrier.address, dropped);
}

static int bytes_take(struct carrier *carrier, struct message **ret_messages, size_t count) {
    struct bytes *bytes = (struct bytes *)carrier;
    size_t taken = 0;
    if (!bytes->fresh)
        return 0; /* nothing has come since the last look */
    int found = carrier_postponed(carrier);
    while (found >= 0 && taken < count && bytes->chunk != NULL) {
        if (carrier->terms.frame->has_envelope && bytes->skip == 0)
            taken += take_short(bytes, ret_messages + taken, count - taken);
        if (taken == count)
            break;
        found = take_one(bytes, ret_messages + taken);
        if (found <= 0)
            break;
        taken++;
    }
    bytes->fresh = taken == count || found < 0;
    drop_unannounced(bytes);
    if (bytes->ended && bytes->start == bytes->end) {
        chunk_release(bytes->chunk); /* only the messages in it keep it */
        bytes->chunk = NULL;
        bytes->start = bytes->end = 0;
    }
    if (found < 0 && taken == 0)
        return found;
    if (found < 0)
        carrier_postpone(carrier, found);
    return (int)taken;
}

static void bytes_interest(struct carrier *carrier, struct interest *ret_interest) {
    const struct bytes *bytes = (const struct bytes *)carrier;
    *ret_interest = (struct interest){
        .in = bytes->in,
        .out = carrier->sends || held_is_full(bytes->carrier.held) ? bytes->out : -1,
        .ready = carrier->postponed != 0 || (bytes->fresh && bytes->start < bytes->end),
        .holding = held_is_full(bytes->carrier.held),
    };
}

/* ---- making and ending ---- */

static void close_descriptors(struct bytes *bytes) {
    os_close(bytes->in);
    if (bytes->out != bytes->in)
        os_close(bytes->out);
    bytes->in = bytes->out = -1;
}

static void bytes_close(struct carrier *carrier, bool owner) {
    (void)owner; /* a connection has no name */
    struct bytes *bytes = (struct bytes *)carrier;
    close_descriptors(bytes);
    chunk_release(bytes->chunk);
    arrivals_free(&bytes->arrivals);
    held_free(bytes->carrier.held);
    carrier_end(carrier);
}

const struct carrier_functions bytes_functions = {
    .send = bytes_send,
    .send_plain = bytes_send_plain,
    .receive = bytes_receive,
    .take = bytes_take,
    .interest = bytes_interest,
    .undelivered = bytes_undelivered,
    .finish = bytes_finish,
    .close = bytes_close,
};

int bytes_create(const struct opening *opening, const char *address, const struct bytes_io *io,
                 int in, int out, struct carrier **ret_carrier) {
    struct bytes *bytes = calloc(1, sizeof *bytes);
    int error = bytes == NULL ? error_of(-ENOMEM, "%s", opening->address->text)
                              : carrier_start(&bytes->carrier, &bytes_functions, opening, address);
    if (error < 0) {
        os_close(in);
        if (out != in)
            os_close(out);
        free(bytes);
        return error;
    }
    bytes->io = io;
    bytes->in = in;
    bytes->out = out;
    bytes->appetite = CHUNK_LEAST;
    bytes->least = SIZE_MAX;
    bytes->carrier.receives = in >= 0;
    bytes->carrier.sends = out >= 0;
    *ret_carrier = &bytes->carrier;
    return 0;
}
