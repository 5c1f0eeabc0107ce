/* SPDX-License-Identifier: MIT
 *
 * Waiting for descriptors until a deadline. */
#include "os/os.h"

#include <errno.h>
#include <sys/eventfd.h>

#define SECOND 1000000000

/* What is left of a deadline, for the calls that take a span. NULL: for ever. */
static const struct timespec *span_until(int64_t deadline, struct timespec *span) {
    if (deadline == INT64_MAX)
        return NULL;
    int64_t left = deadline <= 0 ? 0 : deadline - os_now();
    if (left < 0)
        left = 0;
    span->tv_sec = left / SECOND;
    span->tv_nsec = left % SECOND;
    return span;
}

/* The answer when nothing was ready: was there any waiting at all? */
static int none_ready(int64_t deadline) {
    return deadline <= 0 ? -EAGAIN : -ETIMEDOUT;
}

int os_wait(struct pollfd *items, size_t count, int64_t deadline) {
    struct timespec span;
    for (;;) {
        int ready = os_calls.ppoll(items, count, span_until(deadline, &span), NULL);
        if (ready > 0)
            return ready;
        if (ready == 0)
            return none_ready(deadline);
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

void os_pause(int fd, int64_t ns) {
    struct timespec span = {.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
    struct pollfd item = {.fd = fd, .events = 0};
    os_calls.ppoll(&item, 1, &span, NULL);
}

int os_watch_create(void) {
    int watch = os_calls.epoll_create1(EPOLL_CLOEXEC);
    return watch < 0 ? -errno : watch;
}

static int change(int watch, int operation, int fd, uint32_t events, uint64_t tag) {
    struct epoll_event event = {.events = events, .data.u64 = tag};
    return os_calls.epoll_ctl(watch, operation, fd, &event) < 0 ? -errno : 0;
}

int os_watch(int watch, int fd, uint32_t events, uint64_t tag) {
    return change(watch, EPOLL_CTL_ADD, fd, events, tag);
}

int os_rewatch(int watch, int fd, uint32_t events, uint64_t tag) {
    return change(watch, EPOLL_CTL_MOD, fd, events, tag);
}

void os_unwatch(int watch, int fd) {
    change(watch, EPOLL_CTL_DEL, fd, 0, 0); /* fails only if it is not there */
}

int os_watch_wait(int watch, struct epoll_event *ret_events, int count, int64_t deadline) {
    struct timespec span;
    for (;;) {
        int ready =
            os_calls.epoll_pwait2(watch, ret_events, count, span_until(deadline, &span), NULL);
        if (ready > 0)
            return ready;
        if (ready == 0)
            return none_ready(deadline);
        if (errno != EINTR)
            return -errno;
    }
}

int os_bell_create(void) {
    int bell = os_calls.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return bell < 0 ? -errno : bell;
}

/* A full counter already rings, an empty one is already hushed: failure is success. */
void os_bell_ring(int bell) {
    uint64_t one = 1;
    const struct iovec part = {.iov_base = &one, .iov_len = sizeof one};
    while (os_calls.pwritev2(bell, &part, 1, -1, 0) < 0 && errno == EINTR)
        ;
}

void os_bell_hush(int bell) {
    uint64_t count;
    const struct iovec part = {.iov_base = &count, .iov_len = sizeof count};
    while (os_calls.preadv2(bell, &part, 1, -1, 0) < 0 && errno == EINTR)
        ;
}
