/* SPDX-License-Identifier: MIT
 *
 * The sending half of carriers of bytes. One letter goes out with one gathering write;
 * several small ones are copied together first, which costs less than a system call each.
 * What the kernel took only in part is held and passed on later, because the other side has
 * its beginning already. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "mechanism/bytes.h"

#define GATHER_MOST HELD_WARM /* one write of many messages */

/* ---- held output ---- */

/* What a failed write means. `begun`: the other side has seen a part of a message. */
static int write_failed(struct bytes *bytes, int error, bool begun) {
    const char *address = bytes->carrier.address;
    bool gone = error == -EPIPE || error == -ECONNRESET || error == -ENOTCONN;
    bytes->reset |= error == -ECONNRESET;
    if (gone && begun)
        return error_set(-ECONNABORTED, "%s: the other side went away in mid-message", address);
    if (gone)
        return error_set(error == -ENOTCONN ? -EPIPE : error,
                         "%s: the other side is gone, nobody receives", address);
    return error_of(error, "%s: sending", address);
}

/* Passes held output on. 0: all of it is out. */
static int flush(struct bytes *bytes, bool block) {
    if (!held_is_full(bytes->held))
        return 0;
    struct held *held = bytes->held;
    while (held->done < held->size) {
        struct iovec part = {.iov_base = held->bytes + held->done,
                             .iov_len = held->size - held->done};
        ssize_t written = bytes->io->write(bytes, &part, 1, held->descriptors,
                                           held->descriptor_count, block);
        if (written == -EAGAIN)
            return -EAGAIN;
        if (written < 0) {
            bool begun = held->done > 0;
            bytes->dropped += held->messages;
            held_forget(held);
            return write_failed(bytes, (int)written, begun);
        }
        held_close_descriptors(held); /* they went with the first byte */
        held->done += (size_t)written;
    }
    held_forget(held);
    return 0;
}

/* ---- one letter ---- */

struct parts {
    uint8_t head[ENVELOPE_HEAD_MAX];
    struct iovec parts[3];
    size_t total;
};

static int lay_out(const struct bytes *bytes, const struct letter *letter, struct parts *parts) {
    const struct terms *terms = &bytes->carrier.terms;
    if (letter->size == 0 && !terms->frame->holds_empty)
        return error_set(-EINVAL,
                         "%s: frame=%s cannot tell an empty message from none; the other frames can",
                         terms->name, terms->frame->name);
    int head = frame_write(terms, &letter->envelope, letter->body, letter->size, parts->head);
    if (head < 0)
        return head;
    parts->parts[0] = (struct iovec){.iov_base = parts->head, .iov_len = (size_t)head};
    parts->parts[1] = (struct iovec){.iov_base = (void *)(uintptr_t)letter->body,
                                     .iov_len = letter->size};
    parts->parts[2] = (struct iovec){.iov_base = (void *)(uintptr_t)terms->frame->tail,
                                     .iov_len = terms->frame->tail_size};
    parts->total = (size_t)head + letter->size + terms->frame->tail_size;
    return 0;
}

/* The parts from byte `from` on. Result: how many. */
static int rest_of(const struct parts *parts, size_t from, struct iovec ret_rest[3]) {
    int count = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t size = parts->parts[i].iov_len;
        if (from < size) {
            ret_rest[count++] = (struct iovec){
                .iov_base = (char *)parts->parts[i].iov_base + from, .iov_len = size - from};
            from = 0;
        } else {
            from -= size;
        }
    }
    return count;
}

static int hold_rest(struct bytes *bytes, const struct letter *letter, const struct parts *parts) {
    struct iovec rest[3];
    int count = rest_of(parts, bytes->progress, rest);
    struct held *held = held_make_room(&bytes->held, parts->total - bytes->progress);
    if (held == NULL)
        return error_of(-ENOMEM, "%s: %zu bytes", bytes->carrier.address, parts->total);
    int error = bytes->progress == 0 ? held_take_descriptors(held, bytes->carrier.address, letter)
                                     : 0;
    if (error < 0)
        return error;
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        memcpy(held->bytes + size, rest[i].iov_base, rest[i].iov_len);
        size += rest[i].iov_len;
    }
    held->size = size;
    held->done = 0;
    held->messages = 1;
    bytes->progress = 0;
    return 1;
}

static void count_sent(struct bytes *bytes, size_t framed_size) {
    bytes->sent++;
    if (framed_size < bytes->least)
        bytes->least = framed_size;
    if (framed_size > bytes->most)
        bytes->most = framed_size;
}

/* The kernel takes no more for now. */
static int stopped(struct bytes *bytes, const struct letter *letter, const struct parts *parts,
                   enum send_mode mode) {
    bool take_over = mode == SEND_KEEP || (mode == SEND_HOLD && bytes->progress > 0);
    if (!take_over)
        return -EAGAIN;
    int held = hold_rest(bytes, letter, parts);
    if (held > 0)
        count_sent(bytes, parts->total);
    return held;
}

static int send_one(struct bytes *bytes, const struct letter *letter, enum send_mode mode) {
    struct parts parts;
    int error = lay_out(bytes, letter, &parts);
    if (error < 0)
        return error;
    while (bytes->progress < parts.total) {
        struct iovec rest[3];
        int count = rest_of(&parts, bytes->progress, rest);
        size_t descriptors = bytes->progress == 0 ? letter->descriptor_count : 0;
        ssize_t written = bytes->io->write(bytes, rest, count, letter->descriptors, descriptors,
                                           mode == SEND_BLOCK);
        if (written == -EAGAIN)
            return stopped(bytes, letter, &parts, mode);
        if (written < 0) {
            bool begun = bytes->progress > 0;
            bytes->progress = 0;
            return write_failed(bytes, (int)written, begun);
        }
        bytes->progress += (size_t)written;
    }
    bytes->progress = 0;
    count_sent(bytes, parts.total);
    return 1;
}

int bytes_send(struct carrier *carrier, const struct letter *letter, enum send_mode mode) {
    struct bytes *bytes = (struct bytes *)carrier;
    int error = flush(bytes, mode == SEND_BLOCK);
    return error < 0 || letter == NULL ? error : send_one(bytes, letter, mode);
}

/* ---- several plain messages ---- */

/* The common case: short envelopes, one after the other. Result: how many. */
static size_t gather_short(struct bytes *bytes, struct held *held, const chappe_item *items,
                           size_t count) {
    uint64_t limit = bytes->carrier.terms.limit;
    uint8_t *to = held->bytes, *end = held->bytes + GATHER_MOST;
    size_t taken = 0, least = bytes->least, most = bytes->most;
    for (; taken < count; taken++) {
        size_t size = items[taken].size;
        if (items[taken].settings != NULL || size > GATHER_MOST / 4 || size > limit ||
            size + ENVELOPE_SHORT_SIZE > (size_t)(end - to))
            break;
        to += envelope_write_short(size, to);
        if (size > 0)
            memcpy(to, items[taken].data, size);
        to += size;
        least = size + ENVELOPE_SHORT_SIZE < least ? size + ENVELOPE_SHORT_SIZE : least;
        most = size + ENVELOPE_SHORT_SIZE > most ? size + ENVELOPE_SHORT_SIZE : most;
    }
    held->size = (size_t)(to - held->bytes);
    bytes->sent += taken;
    bytes->least = least;
    bytes->most = most;
    return taken;
}

/* The other frames. What they refuse is left to bytes_send(), which says why. */
static size_t gather_framed(struct bytes *bytes, struct held *held, const chappe_item *items,
                            size_t count) {
    const struct terms *terms = &bytes->carrier.terms;
    const struct envelope plain = {0};
    size_t taken = 0;
    for (; taken < count && items[taken].settings == NULL; taken++) {
        size_t size = items[taken].size;
        if (size > GATHER_MOST / 4 || (size == 0 && !terms->frame->holds_empty) ||
            size + ENVELOPE_HEAD_MAX + 1 > GATHER_MOST - held->size)
            break;
        uint8_t *to = held->bytes + held->size;
        int head = frame_write(terms, &plain, items[taken].data, size, to);
        if (head < 0)
            break;
        if (size > 0)
            memcpy(to + head, items[taken].data, size);
        memcpy(to + head + size, terms->frame->tail, terms->frame->tail_size);
        size += (size_t)head + terms->frame->tail_size;
        held->size += size;
        count_sent(bytes, size);
    }
    return taken;
}

int bytes_send_plain(struct carrier *carrier, const chappe_item *items, size_t count,
                     enum send_mode mode) {
    struct bytes *bytes = (struct bytes *)carrier;
    int error = flush(bytes, mode == SEND_BLOCK);
    if (error < 0)
        return error;
    struct held *held = held_make_room(&bytes->held, GATHER_MOST);
    if (held == NULL || bytes->progress > 0)
        return 0;
    uint64_t sent = bytes->sent;
    bool is_short = carrier->terms.frame->has_envelope && !carrier->terms.checksum;
    size_t taken = (is_short ? gather_short : gather_framed)(bytes, held, items, count);
    if (taken == 0)
        return 0;
    held->messages = taken;
    error = flush(bytes, mode == SEND_BLOCK);
    if (error == -EAGAIN && held->done == 0) {
        bytes->sent = sent; /* nothing is out: as if it had not been */
        held_forget(held);
        return -EAGAIN;
    }
    return error < 0 && error != -EAGAIN ? error : (int)taken;
}

int bytes_finish(struct carrier *carrier) {
    struct bytes *bytes = (struct bytes *)carrier;
    if (bytes->io->finish != NULL) {
        int error = bytes->io->finish(bytes);
        if (error < 0)
            return error_of(error, "%s: ending the sending direction", carrier->address);
    } else {
        os_close(bytes->out);
    }
    bytes->out = -1;
    carrier->sends = false;
    return 0;
}

/* ---- what the other side has not taken ---- */

/* How many messages `unread` bytes are. Exact when all were of one size. */
static uint64_t messages_in(const struct bytes *bytes, uint64_t unread, bool *ret_exact) {
    *ret_exact = bytes->io->measures && bytes->least == bytes->most;
    uint64_t count = (unread + bytes->least - 1) / bytes->least;
    return count < bytes->sent ? count : bytes->sent;
}

/* Whole messages that came, but were not received. Takes them. */
static uint64_t count_unread(struct carrier *carrier) {
    uint64_t count = 0;
    struct message *message;
    while (carrier->functions->take(carrier, &message, 1) == 1) {
        message_release(message);
        count++;
    }
    return count;
}

/* Is the other side's reading end closed? */
static bool is_gone(struct bytes *bytes) {
    struct pollfd item = {.fd = bytes->out, .events = 0};
    if (bytes->out < 0 || os_wait(&item, 1, 0) <= 0)
        return false;
    if ((item.revents & (POLLERR | POLLHUP)) == 0)
        return false;
    bytes->reset |= os_socket_error(bytes->out) == -ECONNRESET;
    return true;
}

/* The kernel has thrown unread messages away without counting them: no more than fit into
 * the socket's buffer, and one that was being written. */
static uint64_t most_lost(const struct bytes *bytes, bool *ret_exact) {
    int buffer = os_send_buffer(bytes->out);
    uint64_t fits = buffer > 0 ? (uint64_t)buffer / bytes->least + 2 : UINT64_MAX;
    *ret_exact = false;
    return fits < bytes->sent ? fits : bytes->sent;
}

void bytes_undelivered(struct carrier *carrier, chappe_undelivered *ret_undelivered) {
    struct bytes *bytes = (struct bytes *)carrier;
    chappe_undelivered left = {.size = sizeof left, .count = bytes->dropped, .lost = bytes->dropped};
    uint64_t held = held_is_full(bytes->held) ? bytes->held->messages : 0;
    bool exact = true;
    bool gone = is_gone(bytes);
    int unread = bytes->sent > 0 && bytes->out >= 0 ? bytes->io->unread(bytes) : 0;
    if (unread > 0 && bytes->sent > 0)
        left.count += messages_in(bytes, (uint64_t)unread, &exact);
    else if (bytes->reset && bytes->sent > 0)
        left.count = most_lost(bytes, &exact);
    left.count = left.count > held ? left.count : held;
    if (gone || bytes->reset)
        left.lost = left.count;
    left.certainty = unread < 0 ? CHAPPE_UNKNOWN : exact ? CHAPPE_EXACTLY : CHAPPE_AT_MOST;
    left.unread = count_unread(carrier);
    *ret_undelivered = left;
}
