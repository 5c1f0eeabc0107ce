/* SPDX-License-Identifier: MIT
 *
 * A server of connections whose clients all come out of one chappe_receive(). One epoll
 * descriptor watches the listener and every client; clients with messages at hand take
 * turns, so that none can starve another. A client that holds a reply is not read from until
 * it has taken it: so it costs at most one reply and one read of memory.
 *
 * Clients with a bell (struct carrier) come in two states. A warm one was not asked to ring:
 * it is looked at, by and by. Before a wait every warm one is asked, and is then cold: epoll
 * tells when it rings. */
#include "endpoint/server.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "endpoint/clients.h"
#include "mechanism/held.h"
#include "os/os.h"

#define EVENTS_MOST 64
#define LOOKS_PER_ROUND 64
#define TRY_SOON_NS 4000000 /* what the kernel had no memory for */
#define TAKEN_MOST 256      /* messages, before everybody is looked at */

/* ---- events ---- */

/* Watches a client for what is of use now; that it hangs up is always told. */
static void set_paused(struct server *server, struct client *client, bool paused) {
    struct interest interest;
    client->paused = paused;
    if (client->gone)
        return;
    client->carrier->functions->interest(client->carrier, &interest);
    uint32_t input = client->ended ? 0 : EPOLLIN | EPOLLRDHUP;
    /* A ring is input, whatever it is about. */
    uint32_t output = client->carrier->spin == NULL ? EPOLLOUT
                      : interest.out_events != 0    ? EPOLLIN | EPOLLOUT
                                                    : EPOLLIN;
    os_rewatch(server->watch, interest.in, paused ? output : input, client->number);
}

/* Nothing more can be done for it; what it sent before is still taken. */
static void let_go(struct server *server, struct client *client) {
    struct interest interest;
    client->carrier->functions->interest(client->carrier, &interest);
    os_unwatch(server->watch, interest.in);
    client->gone = true;
    clients_make_ready(server, client);
}

/* Passes on what is held, if that is possible now. */
static int try_to_pass_on(struct server *server, struct client *client) {
    int error = client->carrier->functions->send(client->carrier, NULL, SEND_TRY);
    if (error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM)
        return error;
    set_paused(server, client, false); /* passed on, or lost with the reader */
    clients_make_warm(server, client);
    return 0;
}

/* The same after an event. A carrier with a bell has to be asked to ring again, and only then
 * knows whether the other side still lives. */
static void pass_on(struct server *server, struct client *client) {
    struct interest interest;
    if (try_to_pass_on(server, client) == 0 || client->carrier->spin == NULL)
        return;
    clients_make_cold(server, client);
    client->carrier->functions->interest(client->carrier, &interest);
    if (interest.room && try_to_pass_on(server, client) < 0)
        clients_make_warm(server, client); /* the kernel was short of something: nobody rings */
}

/* 0, or an error that is ours and not the client's. */
static int bring_in(struct server *server, struct client *client, uint32_t events) {
    int got = client->carrier->functions->receive(client->carrier, events != 0);
    if (got == -EAGAIN) {
        clients_make_warm(server, client); /* it rang, so it has to be asked again */
        return 0;
    }
    if (got == -ENOMEM)
        return got;
    if (got > 0) {
        clients_make_ready(server, client);
    } else if (got == 0 && (events & (EPOLLHUP | EPOLLERR)) == 0) {
        client->ended = true; /* half-closed: its replies are still owed */
        client->next_ended = server->first_ended;
        server->first_ended = client;
        set_paused(server, client, client->paused);
        clients_make_ready(server, client);
    } else {
        let_go(server, client);
    }
    return 0;
}

void server_tidy(struct server *server) {
    if (server->full && os_now() >= server->try_again)
        clients_watch_listener(server);
    for (struct client *client = server->first_ended, *next; client != NULL; client = next) {
        next = client->next_ended;
        if (client->owed == 0 && !client->paused && !client->ready && !client->gone &&
            !store_serves(server->endpoint->store, client->number))
            clients_drop(server, client);
    }
}

static int attend(struct server *server, struct client *client, uint32_t events) {
    if (client->gone)
        return 0;
    if (client->paused)
        pass_on(server, client);
    if (client->paused)
        return 0;
    if (!client->ended && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        return bring_in(server, client, events);
    if (client->ended && (events & (EPOLLHUP | EPOLLERR)) != 0)
        let_go(server, client);
    return 0;
}

/* Looks at all warm clients. 1: somebody has something; 0; or an error of ours. */
static int look_at_warm(struct server *server) {
    int error = 0;
    for (struct client *client = server->first_warm, *next; client != NULL; client = next) {
        next = client->next_warm;
        if (client->gone || client->ready)
            continue;
        if (client->paused)
            try_to_pass_on(server, client);
        else if (!client->ended)
            error = bring_in(server, client, 0);
        if (error < 0)
            return error;
    }
    return server->first_ready != NULL;
}

/* The same for as long as it pays. */
static int keep_looking(struct server *server, chappe_deadline deadline) {
    int found = look_at_warm(server);
    if (found != 0 || server->first_warm == NULL || deadline == CHAPPE_NOW)
        return found;
    uint32_t budget = waiting_spin_budget(&server->spin), looks = 0;
    while (found == 0 && looks < budget) {
        if (++looks % LOOKS_PER_ROUND == 0 && os_now() >= deadline)
            break;
        shared_pause();
        found = look_at_warm(server);
    }
    waiting_spin_learn(&server->spin, found > 0, looks);
    return found;
}

void server_ask_to_ring(struct server *server) {
    struct client *again = NULL, *next;
    while (server->first_warm != NULL) {
        struct client *client = server->first_warm;
        struct interest interest;
        clients_make_cold(server, client);
        if (client->gone)
            continue;
        client->carrier->functions->interest(client->carrier, &interest);
        if (client->paused && interest.room && try_to_pass_on(server, client) < 0) {
            client->next_warm = again; /* short of something of the kernel's: nobody rings */
            again = client;
        } else if (interest.ready && !client->paused && !client->ended) {
            bring_in(server, client, EPOLLIN);
        }
    }
    server->short_of = again != NULL;
    for (; again != NULL; again = next) {
        next = again->next_warm;
        clients_make_warm(server, again);
    }
}

void server_interest(struct server *server, uint64_t number, struct interest *ret_interest) {
    struct client *client = clients_find(server, number);
    if (client->paused)
        try_to_pass_on(server, client);
    clients_make_cold(server, client);
    client->carrier->functions->interest(client->carrier, ret_interest);
    if (client->carrier->spin == NULL || client->gone)
        return;
    /* What a bell told is told only once. */
    if (client->paused && ret_interest->room && try_to_pass_on(server, client) == 0)
        ret_interest->holding = false;
    if (ret_interest->ready && !client->paused && !client->ended)
        bring_in(server, client, EPOLLIN);
}

/* 1, or an error of ours. */
static int attend_all(struct server *server, const struct epoll_event *events, int count) {
    int result = 1;
    for (int i = 0; i < count; i++) {
        struct client *client = NULL;
        if (events[i].data.u64 != TAG_LISTENER)
            client = clients_find(server, events[i].data.u64);
        int error = 0;
        if (client != NULL)
            error = attend(server, client, events[i].events);
        else if (events[i].data.u64 == TAG_LISTENER && server->way == SERVER_RECEIVES)
            error = clients_accept(server);
        result = error < 0 ? error : result;
    }
    return result;
}

int server_receive(struct server *server, chappe_deadline deadline) {
    struct epoll_event events[EVENTS_MOST];
    server_tidy(server);
    int found = server->first_warm != NULL ? keep_looking(server, deadline) : 0;
    if (found != 0)
        return found;
    if (deadline != CHAPPE_NOW)
        server_ask_to_ring(server);
    if (server->first_ready != NULL)
        return 1;
    if (server->short_of)
        server->try_again = os_now() + TRY_SOON_NS;
    bool soon = (server->full || server->short_of) && deadline > server->try_again;
    int count =
        os_watch_wait(server->watch, events, EVENTS_MOST, soon ? server->try_again : deadline);
    if (count == -ETIMEDOUT && soon)
        return 1; /* the next call looks at the listener again */
    if (count == -EAGAIN || count == -ETIMEDOUT)
        return endpoint_out_of_time(server->endpoint, count, "nothing to receive");
    if (count < 0)
        return error_of(count, "%s: waiting for clients", listener_of(server)->address);
    return attend_all(server, events, count);
}

/* One client that sends without pause never lets the queue run empty: so now and then
 * everybody else is looked at, too. */
static void glance(struct server *server) {
    struct epoll_event events[EVENTS_MOST];
    server->taken = 0;
    (void)look_at_warm(server); /* an error is told when the queue has run empty */
    int count = os_watch_wait(server->watch, events, EVENTS_MOST, CHAPPE_NOW);
    if (count > 0)
        (void)attend_all(server, events, count);
}

/* May there be something behind what was taken? */
static bool has_more(struct client *client) {
    struct interest interest;
    if (client->ended || client->gone)
        return true;
    if (client->carrier->spin != NULL)
        return client->carrier->functions->receive(client->carrier, false) != -EAGAIN;
    client->carrier->functions->interest(client->carrier, &interest);
    return interest.ready;
}

int server_take(struct server *server, struct message **ret_messages, size_t count) {
    if (server->first_warm != NULL || server->first_ready != NULL)
        server->taken += count;
    if (server->taken >= TAKEN_MOST)
        glance(server);
    while (server->first_ready != NULL) {
        struct client *client = server->first_ready;
        if (client->paused && client->carrier->spin != NULL && !client->gone) {
            clients_leave_queue(server); /* it is looked at again when it has taken its reply */
            continue;
        }
        int taken = client->carrier->functions->take(client->carrier, ret_messages, count);
        clients_leave_queue(server);
        if (taken > 0) {
            if (has_more(client))
                clients_make_ready(server, client); /* at the end: the others come first */
            else
                clients_make_warm(server, client);
            return taken;
        }
        if (taken == -ENOMEM || taken == -EMFILE) { /* our own shortage, not the client's fault */
            clients_make_ready(server, client);
            return taken;
        }
        if (taken < 0)
            clients_cut_off(server, client);
        if (taken < 0 || client->gone)
            clients_drop(server, client);
        else
            clients_make_warm(server, client);
    }
    return 0;
}

bool server_is_ready(const struct server *server) {
    return server->first_ready != NULL;
}

bool server_merges(const struct server *server) {
    return server->way == SERVER_RECEIVES;
}

int server_watch(const struct server *server) {
    return server->watch;
}

/* ---- replies ---- */

void server_owe(struct server *server, uint64_t number) {
    struct client *client = clients_find(server, number);
    if (client != NULL)
        client->owed++;
}

struct carrier *server_client(struct server *server, uint64_t number) {
    struct client *client = clients_find(server, number);
    return client != NULL ? client->carrier : NULL;
}

/* Does it keep a reply? A carrier with a bell is not asked: it would ask to be rung. */
static bool holds(struct client *client) {
    struct interest interest;
    if (client->carrier->spin != NULL)
        return held_is_full(client->carrier->held);
    client->carrier->functions->interest(client->carrier, &interest);
    return interest.holding;
}

void server_sent(struct server *server, uint64_t number, bool sent) {
    struct client *client = clients_find(server, number);
    if (client == NULL)
        return;
    if (sent && client->owed > 0)
        client->owed--;
    bool holding = holds(client);
    if (client->paused == holding)
        return;
    set_paused(server, client, holding);
    clients_make_warm(server, client); /* it has not been asked to ring for room */
}

/* ---- making and ending ---- */

int server_choose(struct server *server, enum server_way way) {
    if (server->way == way)
        return 0;
    if (server->way != SERVER_UNDECIDED)
        return error_set(-EBUSY, "%s: this server %s already", listener_of(server)->address,
                         server->way == SERVER_ACCEPTS ? "accepts its clients one by one"
                                                       : "receives from all clients at once");
    server->way = way;
    return 0;
}

int server_create(chappe_endpoint *endpoint, struct server **ret_server) {
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return error_of(-ENOMEM, "%s", endpoint->carrier->address);
    server->endpoint = endpoint;
    server->watch = os_watch_create();
    int error = server->watch < 0
                    ? server->watch
                    : os_watch(server->watch, clients_listener_fd(server), EPOLLIN, TAG_LISTENER);
    if (error < 0) {
        os_close(server->watch);
        free(server);
        return error_of(error, "%s: watching clients", endpoint->carrier->address);
    }
    *ret_server = server;
    return 0;
}

void server_close(struct server *server, bool owner) {
    for (size_t i = 0; i < server->slot_count; i++) {
        struct client *client = server->slots[i];
        if (client == NULL)
            continue;
        client->carrier->functions->close(client->carrier, owner);
        free(client);
    }
    os_close(server->watch);
    free(server->slots);
    free(server);
}

void server_undelivered(struct server *server, chappe_undelivered *ret_undelivered) {
    chappe_undelivered sum = server->past;
    sum.size = sizeof sum;
    for (size_t i = 0; i < server->slot_count; i++) {
        struct client *client = server->slots[i];
        if (client == NULL)
            continue;
        if (client->paused)
            pass_on(server, client);
        chappe_undelivered one;
        client->carrier->functions->undelivered(client->carrier, &one);
        clients_add_up(&sum, &one);
    }
    *ret_undelivered = sum;
}

uint64_t server_client_count(const struct server *server) {
    return server->client_count;
}

uint64_t server_descriptors_closed(const struct server *server) {
    uint64_t count = server->descriptors_closed;
    for (size_t i = 0; i < server->slot_count; i++)
        if (server->slots[i] != NULL)
            count += server->slots[i]->carrier->descriptors_closed;
    return count;
}
