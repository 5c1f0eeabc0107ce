/* SPDX-License-Identifier: MIT
 *
 * Reading and writing without waiting and without SIGPIPE, on descriptors whose flags
 * belong to others: O_NONBLOCK would reach every process that shares them. */
#include "os/os.h"

#include <errno.h>
#include <limits.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100 /* Linux 6.18 */
#endif

/* 0 when `fd` is ready or broken, -EAGAIN when it would make us wait. */
static int look(int fd, short events) {
    struct pollfd item = {.fd = fd, .events = events};
    int ready = os_wait(&item, 1, 0);
    return ready < 0 ? ready : 0;
}

ssize_t os_read(int fd, struct os_abilities *abilities, void *bytes, size_t size, bool block) {
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    for (;;) {
        int flags = block || abilities->no_nowait ? 0 : RWF_NOWAIT;
        if (!block && flags == 0) {
            int error = look(fd, POLLIN);
            if (error < 0)
                return error;
        }
        ssize_t got =
            flags == 0 ? os_calls.read(fd, bytes, size) : os_calls.preadv2(fd, &part, 1, -1, flags);
        if (got >= 0)
            return got;
        if (errno == EOPNOTSUPP && flags != 0)
            abilities->no_nowait = true;
        else if (errno == EAGAIN && block) {
            /* Somebody else made the description non-blocking. */
            struct pollfd item = {.fd = fd, .events = POLLIN};
            os_wait(&item, 1, INT64_MAX);
        } else if (errno != EINTR)
            return -errno;
    }
}

/* One write with SIGPIPE kept from the thread: blocked around the call, and the one that
 * the call may have raised is taken back, unless one was waiting before. */
static ssize_t write_masked(int fd, const struct iovec *parts, int count, int flags) {
    sigset_t pipe_only, before, waiting;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    if (os_calls.sigpending(&waiting) < 0)
        return -1;
    int error = os_calls.pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    if (error != 0) {
        errno = error;
        return -1;
    }
    ssize_t written = os_calls.pwritev2(fd, parts, count, -1, flags);
    int kept = errno;
    if (written < 0 && kept == EPIPE && !sigismember(&waiting, SIGPIPE)) {
        const struct timespec at_once = {0};
        while (os_calls.sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR)
            ;
    }
    os_calls.pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = kept;
    return written;
}

/* The first `most` bytes of some parts. Result: how many parts. */
static int shorten(const struct iovec *parts, int count, size_t most, struct iovec *ret_parts) {
    int used = 0;
    for (; used < count && most > 0; used++) {
        ret_parts[used] = parts[used];
        if (ret_parts[used].iov_len > most)
            ret_parts[used].iov_len = most;
        most -= ret_parts[used].iov_len;
    }
    return used;
}

static ssize_t write_once(int fd, const struct os_abilities *abilities, const struct iovec *parts,
                          int count, int flags) {
    if (abilities->no_nosignal)
        return write_masked(fd, parts, count, flags);
    return os_calls.pwritev2(fd, parts, count, -1, flags | RWF_NOSIGNAL);
}

#define PARTS_MAX 8

ssize_t os_write(int fd, struct os_abilities *abilities, const struct iovec *parts, int count,
                 bool block) {
    struct iovec first[PARTS_MAX];
    for (;;) {
        int flags = block || abilities->no_nowait ? 0 : RWF_NOWAIT;
        if (!block && flags == 0) {
            int error = look(fd, POLLOUT);
            if (error < 0)
                return error;
            count = shorten(parts, count < PARTS_MAX ? count : PARTS_MAX, PIPE_BUF, first);
            parts = first;
        }
        ssize_t written = write_once(fd, abilities, parts, count, flags);
        if (written >= 0)
            return written;
        /* The kernel does not say which of the two flags it does not know: the newer first. */
        if (errno == EOPNOTSUPP && !abilities->no_nosignal)
            abilities->no_nosignal = true;
        else if (errno == EOPNOTSUPP && flags != 0)
            abilities->no_nowait = true;
        else if (errno == EAGAIN && block) {
            struct pollfd item = {.fd = fd, .events = POLLOUT};
            os_wait(&item, 1, INT64_MAX);
        } else if (errno != EINTR)
            return -errno;
    }
}
