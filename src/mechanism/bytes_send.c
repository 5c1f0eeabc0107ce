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

static bool means_gone(int error) {
    return error == -EPIPE || error == -ECONNRESET || error == -ENOTCONN;
}

/* What a failed write means. `begun`: the other side has seen a part of a message. */
static int write_failed(struct bytes *bytes, int error, bool begun) {
    const char *address = bytes->carrier.address;
    bool gone = means_gone(error);
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
    if (!held_is_full(bytes->carrier.held))
        return 0;
    struct held *held = bytes->carrier.held;
    while (held->done < held->size) {
        struct iovec part = {.iov_base = held->bytes + held->done,
                             .iov_len = held->size - held->done};
        ssize_t written =
            bytes->io->write(bytes, &part, 1, held->descriptors, held->descriptor_count, block);
        if (written == -EAGAIN)
            return -EAGAIN;
        if (written < 0 && means_gone((int)written)) {
            bool begun = held->done > 0;
            bytes->dropped += held->messages;
            bytes->dropped_begun = held->before + held->done;
            bytes->dropped_vague = held->messages > 1 && begun;
            held_forget(held);
            return write_failed(bytes, (int)written, begun);
        }
        if (written < 0) /* a shortage: what is held stays, the next call goes on */
            return write_failed(bytes, (int)written, false);
        held_close_descriptors(held); /* they went with the first byte */
        held->done += (size_t)written;
    }
    held_forget(held);
    return 0;
}

/* ---- one letter ---- */

struct parts {
    uint8_t head[ENVELOPE_HEAD_MAX];
    uint8_t small[1024]; /* all of a small message */
    struct iovec parts[3];
    size_t total;
};

/* One part costs the kernel less than three, and copying a little costs less than that. */
static void join_small(struct parts *parts) {
    if (parts->total > sizeof parts->small)
        return;
    held_join(parts->parts, parts->small);
    parts->parts[1].iov_len = parts->parts[2].iov_len = 0;
    parts->parts[0] = (struct iovec){.iov_base = parts->small, .iov_len = parts->total};
}

static int lay_out(const struct bytes *bytes, const struct letter *letter, struct parts *parts) {
    const struct terms *terms = &bytes->carrier.terms;
    if (letter->size == 0 && !terms->frame->holds_empty)
        return error_set(
            -EINVAL, "%s: frame=%s cannot tell an empty message from none; the other frames can",
            terms->name, terms->frame->name);
    int head = frame_write(terms, &letter->envelope, letter->body, letter->size, parts->head);
    if (head < 0)
        return head;
    parts->parts[0] = (struct iovec){.iov_base = parts->head, .iov_len = (size_t)head};
    parts->parts[1] =
        (struct iovec){.iov_base = (void *)(uintptr_t)letter->body, .iov_len = letter->size};
    parts->parts[2] = (struct iovec){.iov_base = (void *)(uintptr_t)terms->frame->tail,
                                     .iov_len = terms->frame->tail_size};
    parts->total = (size_t)head + letter->size + terms->frame->tail_size;
    join_small(parts);
    return 0;
}

/* The parts from byte `from` on. Result: how many. */
static int rest_of(const struct parts *parts, size_t from, struct iovec ret_rest[3]) {
    int count = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t size = parts->parts[i].iov_len;
        if (from < size) {
            ret_rest[count++] = (struct iovec){.iov_base = (char *)parts->parts[i].iov_base + from,
                                               .iov_len = size - from};
            from = 0;
        } else {
            from -= size;
        }
    }
    return count;
}

/* The other side has the beginning of a message whose rest cannot even be kept: it has to
 * learn that this stream is torn. */
static int give_up(struct bytes *bytes) {
    bytes->progress = 0;
    bytes_finish(&bytes->carrier);
    return error_set(-ECONNABORTED,
                     "%s: no memory to hold the rest of a message; the sending direction is closed",
                     bytes->carrier.address);
}

static int hold_rest(struct bytes *bytes, const struct letter *letter, const struct parts *parts) {
    struct iovec rest[3];
    int count = rest_of(parts, bytes->progress, rest);
    struct held *held = held_make_room(&bytes->carrier.held, parts->total - bytes->progress);
    if (held == NULL && bytes->progress > 0)
        return give_up(bytes);
    if (held == NULL)
        return error_of(-ENOMEM, "%s: %zu bytes", bytes->carrier.address, parts->total);
    int error =
        bytes->progress == 0 ? held_take_descriptors(held, bytes->carrier.address, letter) : 0;
    if (error < 0)
        return error;
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        memcpy(held->bytes + size, rest[i].iov_base, rest[i].iov_len);
        size += rest[i].iov_len;
    }
    held->size = size;
    held->done = 0;
    held->before = bytes->progress;
    held->messages = 1;
    bytes->progress = 0;
    return 1;
}

static void note_size(struct bytes *bytes, size_t framed_size) {
    if (framed_size < bytes->least)
        bytes->least = framed_size;
    if (framed_size > bytes->most)
        bytes->most = framed_size;
}

static void count_sent(struct bytes *bytes, size_t framed_size) {
    bytes->sent++;
    note_size(bytes, framed_size);
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
        bool begun = bytes->progress > 0;
        if (written < 0 && begun && !means_gone((int)written))
            return stopped(bytes, letter, &parts, SEND_HOLD); /* it cannot be taken back */
        if (written < 0) {
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

/* memcpy() for a size that is not known but small: without a call. */
static inline void copy_small(uint8_t *to, const uint8_t *from, size_t size) {
    if (size > 64) {
        memcpy(to, from, size);
    } else if (size >= 16) {
        for (size_t i = 0; i < size - 16; i += 16)
            memcpy(to + i, from + i, 16);
        memcpy(to + size - 16, from + size - 16, 16);
    } else if (size >= 8) {
        memcpy(to, from, 8);
        memcpy(to + size - 8, from + size - 8, 8);
    } else {
        for (size_t i = 0; i < size; i++)
            to[i] = from[i];
    }
}

/* May this one be copied together with others? The rest is left to bytes_send(). */
static inline bool is_gathered(const chappe_item *item, size_t limit) {
    return item->settings == NULL && item->size <= limit && (item->data != NULL || item->size == 0);
}

/* The common case: short envelopes, one after the other. Result: how many. */
static size_t gather_short(struct bytes *bytes, struct held *held, const chappe_item *items,
                           size_t count, uint64_t *ret_bytes) {
    uint64_t terms_limit = bytes->carrier.terms.limit;
    size_t limit = terms_limit < GATHER_MOST / 4 ? (size_t)terms_limit : GATHER_MOST / 4;
    uint8_t *to = held->bytes, *end = held->bytes + GATHER_MOST;
    size_t taken = 0, last = SIZE_MAX;
    uint8_t head[ENVELOPE_SHORT_SIZE];
    for (; taken < count && is_gathered(&items[taken], limit); taken++) {
        size_t size = items[taken].size;
        if (size + ENVELOPE_SHORT_SIZE > (size_t)(end - to))
            break;
        if (size != last) { /* seldom: most batches are of one size */
            envelope_write_short(size, head);
            note_size(bytes, size + ENVELOPE_SHORT_SIZE);
            last = size;
        }
        memcpy(to, head, sizeof head);
        copy_small(to + sizeof head, items[taken].data, size);
        to += sizeof head + size;
    }
    held->size = (size_t)(to - held->bytes);
    *ret_bytes = held->size - taken * ENVELOPE_SHORT_SIZE;
    bytes->sent += taken;
    return taken;
}

/* The other frames. What they refuse is left to bytes_send(), which says why. */
static size_t gather_framed(struct bytes *bytes, struct held *held, const chappe_item *items,
                            size_t count, uint64_t *ret_bytes) {
    const struct terms *terms = &bytes->carrier.terms;
    const struct envelope plain = {0};
    size_t taken = 0;
    for (; taken < count && is_gathered(&items[taken], GATHER_MOST / 4); taken++) {
        size_t size = items[taken].size;
        if ((size == 0 && !terms->frame->holds_empty) ||
            size + ENVELOPE_HEAD_MAX + 1 > GATHER_MOST - held->size)
            break;
        uint8_t *to = held->bytes + held->size;
        int head = frame_write(terms, &plain, items[taken].data, size, to);
        if (head < 0)
            break;
        copy_small(to + head, items[taken].data, size);
        memcpy(to + head + size, terms->frame->tail, terms->frame->tail_size);
        *ret_bytes += size;
        size += (size_t)head + terms->frame->tail_size;
        held->size += size;
        count_sent(bytes, size);
    }
    return taken;
}

int bytes_send_plain(struct carrier *carrier, const chappe_item *items, size_t count,
                     enum send_mode mode, uint64_t *ret_bytes) {
    struct bytes *bytes = (struct bytes *)carrier;
    int error = flush(bytes, mode == SEND_BLOCK);
    if (error < 0)
        return error;
    struct held *held = held_make_room(&bytes->carrier.held, GATHER_MOST);
    if (held == NULL || bytes->progress > 0)
        return 0;
    uint64_t sent = bytes->sent, body_bytes = 0;
    bool is_short = carrier->terms.frame->has_envelope && !carrier->terms.checksum;
    size_t taken =
        (is_short ? gather_short : gather_framed)(bytes, held, items, count, &body_bytes);
    if (taken == 0)
        return 0;
    held->messages = taken;
    uint64_t dropped = bytes->dropped;
    error = flush(bytes, mode == SEND_BLOCK);
    if (error == -ECONNABORTED)
        error = 0; /* whole messages may be out: the next call tells that the reader is gone */
    if (error < 0 && held->size > 0 && held->done > 0)
        error = 0; /* its beginning is out: the rest is held and goes on later */
    if (error < 0) {
        bytes->sent = sent; /* none of it counts as sent, so none as undelivered */
        bytes->dropped = dropped;
        held_forget(held);
        return error;
    }
    *ret_bytes = body_bytes;
    return (int)taken;
}

int bytes_finish(struct carrier *carrier) {
    struct bytes *bytes = (struct bytes *)carrier;
    if (bytes->io->finish != NULL) {
        int error = bytes->io->finish(bytes);
        if (error < 0)
            return error_of(error, "%s: ending the sending direction", carrier->address);
    } else {
        os_close(bytes->out);
        bytes->out = -1;
    }
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
    /* After a half-close of our own, a hang-up only says that both sides have ended. */
    short events = bytes->carrier.sends ? POLLERR | POLLHUP : POLLERR;
    if ((item.revents & events) == 0)
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

/* What the kernel holds unread, in messages, apart from the beginnings of those that are held
 * or were dropped here. */
static uint64_t count_in_kernel(const struct bytes *bytes, int unread, bool *ret_exact) {
    uint64_t begun = bytes->dropped_begun;
    if (held_is_full(bytes->carrier.held))
        begun += bytes->carrier.held->before + bytes->carrier.held->done;
    if (!bytes->io->measures)
        begun = 0;
    *ret_exact = true;
    if (unread > 0 && (uint64_t)unread > begun)
        return messages_in(bytes, (uint64_t)unread - begun, ret_exact);
    return unread == 0 && bytes->reset && bytes->sent > 0 ? most_lost(bytes, ret_exact) : 0;
}

void bytes_undelivered(struct carrier *carrier, chappe_undelivered *ret_undelivered) {
    struct bytes *bytes = (struct bytes *)carrier;
    chappe_undelivered left = {.size = sizeof left, .unread = count_unread(carrier)};
    const struct held *held = held_is_full(bytes->carrier.held) ? bytes->carrier.held : NULL;
    bool gone = is_gone(bytes), exact;
    /* A pipe that was ended cannot be asked any more. */
    int unread = bytes->sent == 0 ? 0 : bytes->out >= 0 ? bytes->io->unread(bytes) : -EBADF;
    left.count = bytes->dropped + (held != NULL ? held->messages : 0) +
                 count_in_kernel(bytes, unread, &exact);
    if (left.count > bytes->sent)
        left.count = bytes->sent;
    left.lost = gone || bytes->reset ? left.count : bytes->dropped;
    bool vague = bytes->dropped_vague || (held != NULL && held->messages > 1 && held->done > 0);
    left.certainty = unread < 0        ? CHAPPE_UNKNOWN
                     : exact && !vague ? CHAPPE_EXACTLY
                                       : CHAPPE_AT_MOST;
    *ret_undelivered = left;
}
