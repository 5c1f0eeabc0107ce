/* SPDX-License-Identifier: MIT
 *
 * The pollable descriptor: an epoll descriptor over the carrier's own (or over the epoll
 * descriptor of a server), and a bell for messages that were read ahead, of which the kernel
 * knows nothing. */
#include <errno.h>

#include "base/error.h"
#include "endpoint/endpoint.h"
#include "os/os.h"

void pollable_close(chappe_endpoint *endpoint) {
    struct pollable *pollable = &endpoint->pollable;
    os_close(pollable->watch);
    os_close(pollable->bell);
    pollable->watch = pollable->bell = -1;
    pollable->armed = false;
}

void pollable_forget_out(chappe_endpoint *endpoint) {
    struct pollable *pollable = &endpoint->pollable;
    struct interest interest;
    endpoint_interest(endpoint, &interest);
    if (pollable->out_events != 0 && interest.out >= 0)
        os_unwatch(pollable->watch, interest.out);
    pollable->out_events = 0;
}

/* Makes the watch look for `events` on a descriptor; *watched is what it looks for now. */
static int adjust(struct pollable *pollable, int fd, uint32_t events, uint32_t *watched) {
    if (fd < 0 || events == *watched)
        return 0;
    int error = 0;
    if (*watched == 0)
        error = os_watch(pollable->watch, fd, events, 0);
    else if (events == 0)
        os_unwatch(pollable->watch, fd);
    else
        error = os_rewatch(pollable->watch, fd, events, 0);
    if (error == -EPERM) {
        pollable->always = true; /* a file: never makes anyone wait */
        error = 0;
    }
    if (error == 0)
        *watched = events;
    return error;
}

static int adjust_carrier(chappe_endpoint *endpoint, const struct interest *interest) {
    struct pollable *pollable = &endpoint->pollable;
    uint32_t in = (pollable->wanted & CHAPPE_READABLE) != 0 ? EPOLLIN | EPOLLRDHUP : 0;
    if (endpoint->carrier->spin != NULL) {
        /* A ring is input, whatever it is about. */
        uint32_t events = EPOLLIN | EPOLLRDHUP | (interest->out_events != 0 ? EPOLLOUT : 0);
        return adjust(pollable, interest->in, events, &pollable->in_events);
    }
    uint32_t out = (pollable->wanted & CHAPPE_WRITABLE) != 0 || interest->holding ? EPOLLOUT : 0;
    if (interest->in == interest->out)
        return adjust(pollable, interest->in, in | out, &pollable->in_events);
    int error = adjust(pollable, interest->in, in, &pollable->in_events);
    int other = adjust(pollable, interest->out, out, &pollable->out_events);
    return error < 0 ? error : other;
}

int pollable_settle(chappe_endpoint *endpoint) {
    struct pollable *pollable = &endpoint->pollable;
    struct interest interest;
    if (!pollable->armed)
        return 0;
    endpoint_interest(endpoint, &interest);
    int error = adjust_carrier(endpoint, &interest);
    bool here = interest.ready || endpoint->aside.first != NULL;
    bool rings = pollable->always || (here && (pollable->wanted & CHAPPE_READABLE) != 0) ||
                 (interest.room && (pollable->wanted & CHAPPE_WRITABLE) != 0);
    if (rings && !pollable->rings)
        os_bell_ring(pollable->bell);
    if (!rings && pollable->rings)
        os_bell_hush(pollable->bell);
    pollable->rings = rings;
    return error;
}

static int arm(chappe_endpoint *endpoint) {
    struct pollable *pollable = &endpoint->pollable;
    int bell = os_bell_create();
    if (bell < 0)
        return error_of(bell, "%s: a pollable descriptor", endpoint->carrier->address);
    int watch = os_watch_create();
    int error = watch < 0 ? watch : os_watch(watch, bell, EPOLLIN, 0);
    if (error < 0) {
        os_close(bell);
        os_close(watch);
        return error_of(error, "%s: a pollable descriptor", endpoint->carrier->address);
    }
    pollable->bell = bell;
    pollable->watch = watch;
    pollable->armed = true;
    return 0;
}

int chappe_fd(chappe_endpoint *endpoint, uint32_t events) {
    int error = endpoint_enter(endpoint);
    if (error < 0)
        return error;
    if (events == 0 || (events & ~(uint32_t)(CHAPPE_READABLE | CHAPPE_WRITABLE)) != 0)
        return error_set(-EINVAL, "%s: events 0x%x; CHAPPE_READABLE, CHAPPE_WRITABLE or both",
                         endpoint->carrier->address, events);
    if (!endpoint->pollable.armed && (error = arm(endpoint)) < 0)
        return error;
    endpoint->pollable.wanted = events;
    error = pollable_settle(endpoint);
    return error < 0 ? error_of(error, "%s: a pollable descriptor", endpoint->carrier->address)
                     : endpoint->pollable.watch;
}
