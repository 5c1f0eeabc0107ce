/* SPDX-License-Identifier: MIT
 *
 * Waiting for several endpoints and descriptors at once. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/error.h"
#include "endpoint/endpoint.h"
#include "endpoint/server.h"
#include "endpoint/token.h"
#include "os/os.h"

#define FEW 32          /* items that need no memory */
#define SOON_NS 4000000 /* how often to look where no ring can be heard */

/* What poll has to look at for one item: a descriptor in each direction. */
struct watched {
    struct pollfd in, out;
    bool holding;
    bool bell;    /* what the kernel finds is a ring, or the end */
    bool deaf;    /* and no ring can be heard: look again soon */
    size_t first; /* its place, or first place, in what is handed to poll */
};

static int check_item(chappe_wait_item *item, chappe_filter *ret_filter) {
    if ((item->events & ~(uint32_t)(CHAPPE_READABLE | CHAPPE_WRITABLE)) != 0 || item->flags != 0)
        return error_set(-EINVAL, "chappe_wait: unknown events 0x%x or flags 0x%x", item->events,
                         item->flags);
    if (item->endpoint == NULL)
        return item->descriptor >= 0
                   ? 0
                   : error_set(-EINVAL,
                               "chappe_wait: an item with neither endpoint nor descriptor");
    int error = endpoint_enter(item->endpoint);
    if (error == 0 && item->filter != NULL)
        error = receive_read_filter(item->endpoint, item->filter, ret_filter);
    return error;
}

/* The carrier that is to be writable: the endpoint's, or on a server an asker's. */
static int writable_carrier(const chappe_wait_item *item, struct carrier **ret_carrier) {
    chappe_endpoint *endpoint = item->endpoint;
    *ret_carrier = endpoint->carrier;
    if (item->token == NULL)
        return 0;
    struct token token;
    int error = token_read(endpoint, item->token, &token);
    if (error < 0 || endpoint->server == NULL)
        return error;
    *ret_carrier = server_client(endpoint->server, token.client);
    return *ret_carrier != NULL
               ? 0
               : error_set(-ESTALE, "%s: the asker is gone", endpoint->carrier->address);
}

/* The kernel only knows of rings; what they are about is found by looking again. */
static void look_by_bell(chappe_wait_item *item, const struct interest *interest,
                         struct watched *watched) {
    watched->bell = true;
    watched->deaf = interest->deaf;
    watched->out = (struct pollfd){.fd = interest->deaf ? -1 : interest->out,
                                   .events = (short)(POLLIN | interest->out_events)};
    if ((item->events & CHAPPE_WRITABLE) != 0 && interest->room && !interest->holding)
        item->ready |= CHAPPE_WRITABLE;
}

/* Finds out what is ready without the kernel, and what to ask it for. */
static int look_at_endpoint(chappe_wait_item *item, const chappe_filter *filter,
                            struct watched *watched) {
    chappe_endpoint *endpoint = item->endpoint;
    struct interest interest;
    struct carrier *writable;
    int error = writable_carrier(item, &writable);
    if (error == -ESTALE) {
        item->ready = CHAPPE_BROKEN;
        return 0;
    }
    if (error < 0)
        return error;
    if (endpoint->server != NULL)
        server_tidy(endpoint->server);
    endpoint_interest(endpoint, &interest);
    watched->holding = interest.holding;
    if ((item->events & CHAPPE_READABLE) != 0) {
        watched->in = (struct pollfd){.fd = interest.in, .events = POLLIN};
        if (interest.ready || receive_has_aside(endpoint, item->filter != NULL ? filter : NULL))
            item->ready |= CHAPPE_READABLE;
    }
    if (writable != endpoint->carrier) {
        server_interest(endpoint->server, writable->client, &interest);
        if ((item->events & CHAPPE_READABLE) != 0 && server_is_ready(endpoint->server))
            item->ready |= CHAPPE_READABLE;
    }
    int out = interest.out;
    if (writable->spin != NULL) {
        look_by_bell(item, &interest, watched);
        return 0;
    }
    if ((item->events & CHAPPE_WRITABLE) != 0 || watched->holding)
        watched->out = (struct pollfd){.fd = out, .events = POLLOUT};
    if ((item->events & CHAPPE_WRITABLE) != 0 && out < 0 && writable->sends)
        item->ready |= CHAPPE_WRITABLE; /* a queue per receiver: a send has to be tried */
    return 0;
}

static int look_at(chappe_wait_item *item, struct watched *watched) {
    chappe_filter filter;
    *watched = (struct watched){.in.fd = -1, .out.fd = -1};
    item->ready = 0;
    int error = check_item(item, &filter);
    if (error < 0)
        return error;
    if (item->endpoint != NULL)
        return look_at_endpoint(item, &filter, watched);
    if ((item->events & CHAPPE_READABLE) != 0)
        watched->in = (struct pollfd){.fd = item->descriptor, .events = POLLIN};
    if ((item->events & CHAPPE_WRITABLE) != 0)
        watched->out = (struct pollfd){.fd = item->descriptor, .events = POLLOUT};
    return 0;
}

/* Something happened at a server: most of it (clients that come, go, or have room for a held
 * reply) is not worth a receive. So it is looked after here, and the next look tells. */
static void attend_server(chappe_wait_item *item, const struct pollfd *found) {
    struct server *server = item->endpoint->server;
    if (!server_merges(server))
        item->ready |= CHAPPE_READABLE;
    else if (found[0].revents != 0 && server_receive(server, CHAPPE_NOW) < 0)
        item->ready |= CHAPPE_READABLE; /* the receive will say what is wrong */
    if (server_is_ready(server))
        item->ready |= CHAPPE_READABLE;
    pollable_settle(item->endpoint); /* messages may have been read ahead */
}

/* What poll found, in the words of the item. */
static void note(chappe_wait_item *item, const struct watched *watched,
                 const struct pollfd *found) {
    if (watched->bell && found[1].revents != 0) {
        if ((found[1].revents & (POLLERR | POLLHUP)) != 0)
            item->ready |= CHAPPE_BROKEN | (item->events & CHAPPE_READABLE);
        send_held(item->endpoint);
        if (item->endpoint->server == NULL)
            return; /* the next look tells */
    }
    bool readable = (found[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0;
    if (readable && item->endpoint != NULL && item->endpoint->server != NULL)
        attend_server(item, found);
    else if (readable)
        item->ready |= CHAPPE_READABLE;
    if (((found[0].revents | found[1].revents) & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        item->ready |= CHAPPE_BROKEN;
    if ((item->events & CHAPPE_WRITABLE) != 0 && (found[1].revents & POLLOUT) != 0 &&
        !watched->holding)
        item->ready |= CHAPPE_WRITABLE;
    if (watched->holding && found[1].revents != 0) {
        send_held(item->endpoint);
        pollable_settle(item->endpoint);
    }
}

struct waiting {
    chappe_wait_item *items;
    size_t count;
    struct watched *watched;
    struct pollfd *polled; /* room for two an item */
};

/* Adds the descriptors of an item to what is handed to poll. The kernel takes no more of
 * them than the process may have open, so there is none in vain and none twice. */
static size_t enter(struct watched *watched, struct pollfd *polled, size_t used) {
    watched->first = used;
    if (watched->in.fd >= 0 && watched->in.fd == watched->out.fd) {
        polled[used] = watched->in;
        polled[used++].events = watched->in.events | watched->out.events;
        return used;
    }
    if (watched->in.fd >= 0)
        polled[used++] = watched->in;
    if (watched->out.fd >= 0)
        polled[used++] = watched->out;
    return used;
}

/* The reverse: what was found, by direction. */
static void leave(const struct watched *watched, const struct pollfd *polled,
                  struct pollfd ret_found[2]) {
    bool same = watched->in.fd >= 0 && watched->in.fd == watched->out.fd;
    size_t at = watched->first;
    ret_found[0] = ret_found[1] = (struct pollfd){.fd = -1};
    if (watched->in.fd >= 0)
        ret_found[0] = polled[same ? at : at++];
    if (watched->out.fd >= 0)
        ret_found[1] = polled[at];
}

/* One look and one poll. Result: how many are ready; 0: only held output went on. */
static int wait_once(struct waiting *waiting, chappe_deadline deadline) {
    int ready = 0;
    size_t used = 0;
    bool deaf = false;
    for (size_t i = 0; i < waiting->count; i++) {
        int error = look_at(&waiting->items[i], &waiting->watched[i]);
        if (error < 0)
            return error;
        deaf |= waiting->watched[i].deaf;
        used = enter(&waiting->watched[i], waiting->polled, used);
        ready += waiting->items[i].ready != 0;
    }
    chappe_deadline until = ready > 0 ? CHAPPE_NOW : deadline, soon = deaf ? os_now() + SOON_NS : 0;
    bool again = deaf && until > soon;
    int found = os_wait(waiting->polled, used, again ? soon : until);
    if (found == -ETIMEDOUT && again)
        return 0;
    if (found < 0 && ready > 0)
        return ready;
    if (found == -EAGAIN || found == -ETIMEDOUT)
        return error_set(found, "none of %zu items is ready%s", waiting->count,
                         found == -EAGAIN ? "" : " by the deadline");
    if (found < 0)
        return error_of(found, "waiting for %zu items", waiting->count);
    ready = 0;
    for (size_t i = 0; i < waiting->count; i++) {
        struct pollfd directions[2];
        leave(&waiting->watched[i], waiting->polled, directions);
        note(&waiting->items[i], &waiting->watched[i], directions);
        ready += waiting->items[i].ready != 0;
    }
    return ready;
}

int chappe_wait(chappe_wait_item *items, size_t count, chappe_deadline deadline) {
    struct watched few_watched[FEW];
    struct pollfd few_polled[2 * FEW];
    struct waiting waiting = {
        .items = items, .count = count, .watched = few_watched, .polled = few_polled};
    if (items == NULL || count == 0 || count > INT_MAX / 2)
        return error_set(-EINVAL, "chappe_wait for %zu items", items == NULL ? 0 : count);
    int error = endpoint_check_deadline(deadline);
    if (error < 0)
        return error;
    void *memory = NULL;
    if (count > FEW) {
        memory = calloc(count, sizeof(struct watched) + 2 * sizeof(struct pollfd));
        if (memory == NULL)
            return error_of(-ENOMEM, "waiting for %zu items", count);
        waiting.watched = memory;
        waiting.polled = (struct pollfd *)(waiting.watched + count);
    }
    int ready, rounds = 0;
    do
        ready = wait_once(&waiting, deadline);
    while (ready == 0 && !endpoint_is_late(deadline, ++rounds));
    free(memory);
    if (ready == 0)
        return error_set(deadline == CHAPPE_NOW ? -EAGAIN : -ETIMEDOUT,
                         "none of %zu items is ready", count);
    return ready;
}
