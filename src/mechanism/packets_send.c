/* SPDX-License-Identifier: MIT
 *
 * The sending half of carriers of packets: small messages copied together, others gathered
 * by the kernel, large ones as sealed memory files. */
#include <errno.h>

#include "base/error.h"
#include "mechanism/body_file.h"
#include "mechanism/packets_halves.h"

#define SMALL_MOST 2048                 /* an envelope and a body that are copied together */
#define INLINE_MOST ((size_t)128 << 10) /* below the usual net.core.wmem_default of 208 KiB */

static int send_failed(struct packets *packets, int error, const struct letter *letter) {
    const char *name = packets->carrier.address;
    packets->reset |= error == -ECONNRESET;
    if (letter != NULL && letter->to != NULL && (error == -ECONNREFUSED || error == -ENOENT))
        return error_set(-ESTALE, "%s: the asker is gone", name);
    if (error == -EPIPE || error == -ECONNRESET || error == -ENOTCONN || error == -ECONNREFUSED)
        return error_set(error == -ECONNRESET ? error : -EPIPE,
                         "%s: the other side is gone, nobody receives", name);
    if (error == -EMSGSIZE)
        return error_set(error, "%s: the packet is larger than net.core.wmem_default allows", name);
    return error_of(error, "%s: sending", name);
}

static int flush(struct packets *packets, bool block) {
    struct held *held = packets->carrier.held;
    if (!held_is_full(held))
        return 0;
    _Alignas(struct cmsghdr) uint8_t control[ARRIVALS_CONTROL_SIZE];
    struct iovec part = {.iov_base = held->bytes, .iov_len = held->size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    arrivals_attach(&message, control, held->descriptors, held->descriptor_count);
    ssize_t sent = os_send(packets->fd, &message, block);
    if (sent == -EAGAIN)
        return -EAGAIN;
    if (sent < 0)
        packets->dropped += held->messages;
    held_forget(held);
    return sent < 0 ? send_failed(packets, (int)sent, NULL) : 0;
}

/* Takes a packet over whole. */
static int hold(struct packets *packets, const struct letter *letter, const struct iovec *parts) {
    size_t size = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len;
    struct held *held = held_make_room(&packets->carrier.held, size);
    if (held == NULL)
        return error_of(-ENOMEM, "%s: %zu bytes", packets->carrier.address, size);
    int error = held_take_descriptors(held, packets->carrier.address, letter);
    if (error < 0)
        return error;
    held_join(parts, held->bytes);
    held->size = size;
    held->messages = 1;
    return 1;
}

/* One part costs the kernel less than three, and copying a little costs less than that.
 * Result: how many parts are left. */
static int join_small(struct iovec parts[3], uint8_t small[SMALL_MOST]) {
    size_t total = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len;
    if (total > SMALL_MOST)
        return parts[2].iov_len > 0 ? 3 : 2;
    held_join(parts, small);
    parts[0] = (struct iovec){.iov_base = small, .iov_len = total};
    parts[1].iov_len = parts[2].iov_len = 0;
    return 1;
}

/* The common case: a small plain message over a connection. */
static int send_small(struct packets *packets, const struct letter *letter, bool block) {
    uint8_t small[SMALL_MOST];
    size_t head = envelope_write_short(letter->size, small);
    if (letter->size > 0)
        memcpy(small + head, letter->body, letter->size);
    ssize_t sent = os_send_bytes(packets->fd, small, head + letter->size, block);
    if (sent == -EAGAIN)
        return -EAGAIN;
    if (sent < 0)
        return send_failed(packets, (int)sent, letter);
    packets->sent++;
    return 1;
}

static bool is_small(const struct packets *packets, const struct letter *letter,
                     enum send_mode mode) {
    const struct terms *terms = &packets->carrier.terms;
    return letter->size + ENVELOPE_SHORT_SIZE <= SMALL_MOST && letter->size <= terms->limit &&
           terms->frame->has_envelope && !terms->checksum && letter->to == NULL &&
           letter->descriptor_count == 0 && mode != SEND_KEEP &&
           envelope_is_plain(&letter->envelope);
}

/* Sends an envelope and a body as one packet. -EMSGSIZE comes out without a sentence. */
static int send_packet(struct packets *packets, const struct letter *letter, enum send_mode mode) {
    const struct terms *terms = &packets->carrier.terms;
    uint8_t head[ENVELOPE_HEAD_MAX];
    int head_size = frame_write(terms, &letter->envelope, letter->body, letter->size, head);
    if (head_size < 0)
        return head_size;
    struct iovec parts[3] = {
        {.iov_base = head, .iov_len = (size_t)head_size},
        {.iov_base = (void *)(uintptr_t)letter->body, .iov_len = letter->size},
        {.iov_base = (void *)(uintptr_t)terms->frame->tail, .iov_len = terms->frame->tail_size},
    };
    uint8_t small[SMALL_MOST];
    int count = join_small(parts, small);
    _Alignas(struct cmsghdr) uint8_t control[ARRIVALS_CONTROL_SIZE];
    struct msghdr message = {.msg_iov = parts,
                             .msg_iovlen = (size_t)count,
                             .msg_name = (void *)(uintptr_t)letter->to,
                             .msg_namelen = (socklen_t)letter->to_size};
    arrivals_attach(&message, control, letter->descriptors, letter->descriptor_count);
    ssize_t sent = os_send(packets->fd, &message, mode == SEND_BLOCK);
    if (sent == -EAGAIN && mode == SEND_KEEP && letter->to == NULL)
        sent = hold(packets, letter, parts);
    if (sent == -EAGAIN || sent == -EMSGSIZE)
        return (int)sent;
    if (sent < 0)
        return send_failed(packets, (int)sent, letter);
    packets->sent++;
    return 1;
}

/* The file for a body that is too large, made once for a letter that is tried again. */
static int body_file(struct packets *packets, const struct letter *letter) {
    if (packets->file >= 0)
        return packets->file;
    int file = body_file_create(&packets->carrier, letter);
    if (file < 0)
        return file;
    return packets->file = file;
}

/* Sends the body as a sealed file, and its envelope as the packet. */
static int send_as_file(struct packets *packets, const struct letter *letter, enum send_mode mode) {
    if (letter->descriptor_count >= CHAPPE_DESCRIPTORS_MAX)
        return error_set(-EINVAL,
                         "%s: a body of %zu bytes travels as a descriptor itself, so %d more fit",
                         packets->carrier.address, letter->size, CHAPPE_DESCRIPTORS_MAX - 1);
    int file = body_file(packets, letter);
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
    int sent = send_packet(packets, &outer, mode);
    if (sent == -EAGAIN && mode == SEND_TRY)
        return sent;
    os_close(file);
    packets->file = -1;
    return sent;
}

int packets_send(struct carrier *carrier, const struct letter *letter, enum send_mode mode) {
    struct packets *packets = (struct packets *)carrier;
    const struct terms *terms = &carrier->terms;
    int error = flush(packets, mode == SEND_BLOCK);
    if (error < 0 || letter == NULL)
        return error;
    if (is_small(packets, letter, mode))
        return send_small(packets, letter, mode == SEND_BLOCK);
    if (letter->size == 0 && !terms->frame->holds_empty && packets->use.connection)
        return error_set(-EINVAL,
                         "%s: frame=%s cannot tell an empty message from the end; the other "
                         "frames can",
                         terms->name, terms->frame->name);
    if (letter->size > terms->limit)
        return error_set(-EMSGSIZE, "%s: a message of %zu bytes; the limit is %llu (limit=SIZE)",
                         terms->name, letter->size, (unsigned long long)terms->limit);
    bool may_be_file = terms->frame->has_envelope && letter->size > 0;
    bool as_file = may_be_file && letter->size > INLINE_MOST;
    int sent = as_file ? -EMSGSIZE : send_packet(packets, letter, mode);
    if (sent == -EMSGSIZE && may_be_file)
        sent = send_as_file(packets, letter, mode);
    return sent == -EMSGSIZE ? send_failed(packets, sent, letter) : sent;
}

int packets_finish(struct carrier *carrier) {
    struct packets *packets = (struct packets *)carrier;
    if (!packets->use.connection)
        return error_set(-ENOTSUP, "%s: datagrams have no end; stream and seqpacket do",
                         carrier->address);
    int error = os_finish_sending(packets->fd);
    if (error < 0)
        return error_of(error, "%s: ending the sending direction", carrier->address);
    carrier->sends = false;
    return 0;
}
