/* SPDX-License-Identifier: MIT
 *
 * Messages by hand: blocking descriptors and as few system calls as the same job can be done
 * with. On byte streams each message has its size in four bytes before it; both go out with
 * one writev(). Packets go as they are. A body that a packet does not hold goes as a sealed
 * memory file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench.h"

#define HEAD sizeof(uint32_t)
#define BUFFER_SIZE (((size_t)64 << 10) + 4096) /* 64 KiB with its head fits */

struct channel {
    int in, out;
    bool packets;
    bool files;      /* some bodies are too large for a packet */
    uint8_t *buffer; /* bytes[start .. end) are not taken yet */
    size_t start, end;
    uint8_t *large; /* messages that the buffer does not hold are read here */
};

static _Noreturn void failed(const char *call) {
    fail("by hand: %s: %s", call, strerror(errno));
}

static struct channel *around(enum kind kind, size_t most, int in, int out) {
    struct channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL || (channel->buffer = aligned_alloc(4096, INLINE_MOST)) == NULL ||
        (channel->large = aligned_alloc(4096, SIZE_MOST)) == NULL)
        fail("no memory");
    channel->in = in;
    channel->out = out;
    channel->packets = kind == KIND_SEQPACKET || kind == KIND_DATAGRAM;
    channel->files = channel->packets && most > INLINE_MOST;
    return channel;
}

static void hand_pair(enum kind kind, size_t most, struct channel *ret_ends[2]) {
    static const int types[KIND_COUNT] = {
        [KIND_STREAM] = SOCK_STREAM,
        [KIND_SEQPACKET] = SOCK_SEQPACKET,
        [KIND_DATAGRAM] = SOCK_DGRAM,
    };
    int there[2], back[2];
    if (kind == KIND_PIPE) {
        if (pipe2(there, O_CLOEXEC) < 0 || pipe2(back, O_CLOEXEC) < 0)
            failed("pipe2");
        ret_ends[0] = around(kind, most, back[0], there[1]);
        ret_ends[1] = around(kind, most, there[0], back[1]);
        return;
    }
    if (socketpair(AF_UNIX, types[kind] | SOCK_CLOEXEC, 0, there) < 0)
        failed("socketpair");
    ret_ends[0] = around(kind, most, there[0], there[0]);
    ret_ends[1] = around(kind, most, there[1], there[1]);
}

/* ---- byte streams ---- */

static void write_all(int fd, struct iovec *parts, int count) {
    for (;;) {
        ssize_t written = writev(fd, parts, count);
        if (written < 0 && errno != EINTR)
            failed("writev");
        for (; count > 0 && written >= (ssize_t)parts->iov_len; parts++, count--)
            written -= (ssize_t)parts->iov_len;
        if (count == 0)
            return;
        if (written > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + written;
            parts->iov_len -= (size_t)written;
        }
    }
}

static void stream_send(struct channel *channel, const uint8_t *bytes, size_t size) {
    uint32_t head = (uint32_t)size;
    struct iovec parts[2] = {{.iov_base = &head, .iov_len = HEAD},
                             {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size}};
    write_all(channel->out, parts, 2);
}

static size_t read_some(int fd, void *to, size_t size) {
    for (;;) {
        ssize_t got = read(fd, to, size);
        if (got > 0)
            return (size_t)got;
        if (got == 0)
            fail("by hand: the other side ended");
        if (errno != EINTR)
            failed("read");
    }
}

/* Reads as much as there is, with room for a message of `size` bytes and its head. */
static void read_ahead(struct channel *channel, size_t size) {
    size_t have = channel->end - channel->start;
    if (have == 0 || BUFFER_SIZE - channel->start < size) {
        memmove(channel->buffer, channel->buffer + channel->start, have);
        channel->start = 0;
        channel->end = have;
    }
    channel->end +=
        read_some(channel->in, channel->buffer + channel->end, BUFFER_SIZE - channel->end);
}

static const uint8_t *receive_large(struct channel *channel, size_t size) {
    size_t have = channel->end - channel->start - HEAD;
    if (size > SIZE_MOST)
        fail("by hand: a message of %zu bytes", size);
    memcpy(channel->large, channel->buffer + channel->start + HEAD, have);
    channel->start = channel->end = 0;
    while (have < size)
        have += read_some(channel->in, channel->large + have, size - have);
    return channel->large;
}

static const uint8_t *stream_receive(struct channel *channel, size_t *ret_size) {
    while (channel->end - channel->start < HEAD)
        read_ahead(channel, HEAD);
    uint32_t size;
    memcpy(&size, channel->buffer + channel->start, HEAD);
    *ret_size = size;
    if (size > BUFFER_SIZE - HEAD)
        return receive_large(channel, size);
    while (channel->end - channel->start < HEAD + size)
        read_ahead(channel, HEAD + size);
    const uint8_t *bytes = channel->buffer + channel->start + HEAD;
    channel->start += HEAD + size;
    return bytes;
}

/* ---- packets ---- */

union control {
    struct cmsghdr head;
    uint8_t space[CMSG_SPACE(sizeof(int))];
};

static void send_file(struct channel *channel, const uint8_t *bytes, size_t size) {
    int file = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0)
        failed("memfd_create");
    if (write(file, bytes, size) != (ssize_t)size)
        failed("write");
    if (fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        failed("fcntl");
    union control control = {.head = {.cmsg_level = SOL_SOCKET,
                                      .cmsg_type = SCM_RIGHTS,
                                      .cmsg_len = CMSG_LEN(sizeof file)}};
    memcpy(CMSG_DATA(&control.head), &file, sizeof file);
    struct iovec part = {.iov_base = &size, .iov_len = sizeof size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    if (sendmsg(channel->out, &message, MSG_NOSIGNAL) < 0)
        failed("sendmsg");
    close(file);
}

/* The body in a file that came. Up to some MiB reading costs less than mapping, page faults
 * and unmapping, and a file that shrinks meanwhile is no danger. */
static const uint8_t *read_file(struct channel *channel, int file, size_t size) {
    if (size > SIZE_MOST || pread(file, channel->large, size, 0) != (ssize_t)size)
        fail("by hand: a file of another size");
    close(file);
    return channel->large;
}

static void packet_send(struct channel *channel, const uint8_t *bytes, size_t size) {
    if (size > INLINE_MOST)
        send_file(channel, bytes, size);
    else if (send(channel->out, bytes, size, MSG_NOSIGNAL) < 0)
        failed("send");
}

static const uint8_t *packet_receive(struct channel *channel, size_t *ret_size) {
    if (!channel->files) {
        ssize_t got = recv(channel->in, channel->buffer, INLINE_MOST, 0);
        if (got < 0)
            failed("recv");
        *ret_size = (size_t)got;
        return channel->buffer;
    }
    union control control;
    struct iovec part = {.iov_base = channel->buffer, .iov_len = INLINE_MOST};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(channel->in, &message, MSG_CMSG_CLOEXEC);
    if (got < 0)
        failed("recvmsg");
    *ret_size = (size_t)got;
    if (message.msg_controllen == 0)
        return channel->buffer;
    int file;
    memcpy(&file, CMSG_DATA(&control.head), sizeof file);
    memcpy(ret_size, channel->buffer, sizeof *ret_size);
    return read_file(channel, file, *ret_size);
}

/* ---- either ---- */

static void hand_send(struct channel *channel, const uint8_t *bytes, size_t size) {
    (channel->packets ? packet_send : stream_send)(channel, bytes, size);
}

static const uint8_t *hand_receive(struct channel *channel, size_t *ret_size) {
    return (channel->packets ? packet_receive : stream_receive)(channel, ret_size);
}

static void hand_done(struct channel *channel) {
    (void)channel; /* the next message takes the place of this one */
}

static void hand_close(struct channel *channel) {
    close(channel->in);
    if (channel->out != channel->in)
        close(channel->out);
    free(channel->buffer);
    free(channel->large);
    free(channel);
}

/* ---- many: gathered into writes and reads of 64 KiB ---- */

/* memcpy() without a call for short messages. */
static inline void copy(uint8_t *to, const uint8_t *from, size_t size) {
    if (size < 8 || size > 64) {
        memcpy(to, from, size);
        return;
    }
    for (size_t at = 0; at + 8 < size; at += 8)
        memcpy(to + at, from + at, 8);
    memcpy(to + size - 8, from + size - 8, 8); /* may overlap what is there already */
}

/* Messages that lie in the program's memory, each of its own size. */
static void gather(struct channel *channel, const struct iovec *messages, size_t count) {
    static uint8_t gathered[BATCH_BYTES];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t head = (uint32_t)messages[i].iov_len;
        if (BATCH_BYTES - used < HEAD + messages[i].iov_len) {
            write_all(channel->out, &(struct iovec){.iov_base = gathered, .iov_len = used}, 1);
            used = 0;
        }
        memcpy(gathered + used, &head, HEAD);
        copy(gathered + used + HEAD, messages[i].iov_base, messages[i].iov_len);
        used += HEAD + messages[i].iov_len;
    }
    write_all(channel->out, &(struct iovec){.iov_base = gathered, .iov_len = used}, 1);
}

static void hand_send_many(struct channel *channel, size_t size, uint64_t first, uint64_t count) {
    static uint8_t payloads[BATCH_BYTES];
    static struct iovec messages[BATCH_SENT];
    /* As many as fill one write. */
    const size_t most = BATCH_BYTES / (HEAD + size);
    for (size_t i = 0; i < most; i++)
        messages[i] = (struct iovec){.iov_base = payloads + i * size, .iov_len = size};
    for (uint64_t number = first; number < first + count;) {
        size_t some = most;
        if (some > first + count - number)
            some = (size_t)(first + count - number);
        for (size_t i = 0; i < some; i++)
            payload_write(payloads + i * size, size, number + i);
        gather(channel, messages, some);
        number += some;
    }
}

static void hand_send_in_place(struct channel *channel, size_t size, uint64_t first,
                               uint64_t count) {
    static uint8_t gathered[BATCH_BYTES];
    const uint32_t head = (uint32_t)size;
    size_t used = 0;
    for (uint64_t number = first; number < first + count; number++) {
        if (BATCH_BYTES - used < HEAD + size) {
            write_all(channel->out, &(struct iovec){.iov_base = gathered, .iov_len = used}, 1);
            used = 0;
        }
        memcpy(gathered + used, &head, HEAD);
        payload_write(gathered + used + HEAD, size, number);
        used += HEAD + size;
    }
    write_all(channel->out, &(struct iovec){.iov_base = gathered, .iov_len = used}, 1);
}

static void hand_receive_many(struct channel *channel, size_t size, uint64_t first,
                              uint64_t count) {
    bool right = true;
    uint64_t number = first;
    uint8_t *buffer = channel->buffer;
    while (number < first + count) {
        size_t have = channel->end - channel->start, at = 0;
        memmove(buffer, buffer + channel->start, have);
        have += read_some(channel->in, buffer + have, BATCH_BYTES - have);
        while (have - at >= HEAD) {
            uint32_t length;
            memcpy(&length, buffer + at, HEAD);
            if (length > have - at - HEAD)
                break;
            right &= length == size && payload_is(buffer + at + HEAD, length, number++);
            at += HEAD + length;
        }
        channel->start = at;
        channel->end = have;
    }
    if (!right)
        fail("by hand: a wrong payload");
}

const struct way way_by_hand = {
    .name = "by hand",
    .pair = hand_pair,
    .send = hand_send,
    .receive = hand_receive,
    .done = hand_done,
    .send_many = hand_send_many,
    .send_in_place = hand_send_in_place,
    .receive_many = hand_receive_many,
    .close = hand_close,
};
