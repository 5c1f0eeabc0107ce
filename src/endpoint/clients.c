/* SPDX-License-Identifier: MIT
 *
 * The clients of a server: how they come, stand in queues, and go. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "endpoint/clients.h"
#include "os/os.h"

#define ACCEPTS_MOST 64        /* in a row, before clients get their turn */
#define TRY_AGAIN_NS 100000000 /* how soon, after descriptors had run out */
#define SLOTS_MOST ((size_t)1 << SLOT_BITS)

/* ---- the queue of clients that may have a message ---- */

void clients_make_ready(struct server *server, struct client *client) {
    if (client->ready)
        return;
    client->ready = true;
    client->next_ready = NULL;
    if (server->last_ready != NULL)
        server->last_ready->next_ready = client;
    else
        server->first_ready = client;
    server->last_ready = client;
}

void clients_leave_queue(struct server *server) {
    struct client *client = server->first_ready;
    server->first_ready = client->next_ready;
    if (server->first_ready == NULL)
        server->last_ready = NULL;
    client->ready = false;
}

/* ---- clients with a bell ---- */

void clients_make_warm(struct server *server, struct client *client) {
    if (client->warm || client->carrier->spin == NULL)
        return;
    client->warm = true;
    client->next_warm = server->first_warm;
    server->first_warm = client;
    server->spin.most = client->carrier->spin->most;
}

void clients_make_cold(struct server *server, struct client *client) {
    struct client **link = &server->first_warm;
    if (!client->warm)
        return;
    while (*link != client)
        link = &(*link)->next_warm;
    *link = client->next_warm;
    client->warm = false;
}

/* ---- clients ---- */

struct client *clients_find(const struct server *server, uint64_t number) {
    size_t slot = number & (SLOTS_MOST - 1);
    struct client *client = slot < server->slot_count ? server->slots[slot] : NULL;
    return client != NULL && client->number == number ? client : NULL;
}

int clients_listener_fd(const struct server *server) {
    struct interest interest;
    listener_of(server)->functions->interest(listener_of(server), &interest);
    return interest.in;
}

void clients_watch_listener(struct server *server) {
    if (os_watch(server->watch, clients_listener_fd(server), EPOLLIN, TAG_LISTENER) == 0)
        server->full = false;
}

static void leave_ended(struct server *server, const struct client *client) {
    struct client **link = &server->first_ended;
    while (*link != NULL && *link != client)
        link = &(*link)->next_ended;
    if (*link != NULL)
        *link = client->next_ended;
}

void clients_add_up(chappe_undelivered *sum, const chappe_undelivered *one) {
    sum->count += one->count;
    sum->lost += one->lost;
    sum->unread += one->unread;
    if (one->certainty > sum->certainty)
        sum->certainty = one->certainty;
}

void clients_drop(struct server *server, struct client *client) {
    struct interest interest;
    client->carrier->functions->interest(client->carrier, &interest);
    os_unwatch(server->watch, interest.in);
    log_line(&server->endpoint->log, CHAPPE_LOG_DEBUG, "%s: client %llu left%s",
             listener_of(server)->address, (unsigned long long)(client->number >> SLOT_BITS),
             interest.holding ? ", a reply is lost with it" : "");
    server->descriptors_closed += client->carrier->descriptors_closed;
    chappe_undelivered left;
    client->carrier->functions->undelivered(client->carrier, &left);
    clients_add_up(&server->past, &left);
    client->carrier->functions->close(client->carrier, true);
    server->slots[client->number & (SLOTS_MOST - 1)] = NULL;
    server->client_count--;
    if (client->ended)
        leave_ended(server, client);
    clients_make_cold(server, client);
    free(client);
    if (server->full)
        clients_watch_listener(server);
}

void clients_cut_off(struct server *server, const struct client *client) {
    const chappe_identity *peer = &client->carrier->peer;
    server->endpoint->numbers.clients_cut_off++;
    log_line(&server->endpoint->log, CHAPPE_LOG_WARNING,
             "cut off client %llu (process %d, uid %d): %s",
             (unsigned long long)(client->number >> SLOT_BITS), (int)peer->pid, (int)peer->uid,
             error_text());
}

static struct client **free_slot(struct server *server) {
    for (size_t i = 0; i < server->slot_count; i++)
        if (server->slots[i] == NULL)
            return &server->slots[i];
    size_t count = server->slot_count > 0 ? 2 * server->slot_count : 16;
    if (count > SLOTS_MOST)
        return NULL;
    struct client **slots = realloc(server->slots, count * sizeof(struct client *));
    if (slots == NULL)
        return NULL;
    for (size_t i = server->slot_count; i < count; i++)
        slots[i] = NULL;
    server->slots = slots;
    struct client **slot = &slots[server->slot_count];
    server->slot_count = count;
    return slot;
}

/* Makes a client of a carrier, which it takes also on failure. */
static int admit(struct server *server, struct carrier *carrier) {
    struct client *client = calloc(1, sizeof *client);
    struct client **slot = client != NULL ? free_slot(server) : NULL;
    struct interest interest;
    carrier->functions->interest(carrier, &interest);
    int error = slot == NULL ? -ENOMEM : 0;
    if (error == 0) {
        client->number = ++server->clients_ever << SLOT_BITS | (uint64_t)(slot - server->slots);
        error = os_watch(server->watch, interest.in, EPOLLIN | EPOLLRDHUP, client->number);
    }
    if (error < 0) {
        carrier->functions->close(carrier, true);
        free(client);
        return error_of(error, "%s: one more client", listener_of(server)->address);
    }
    client->carrier = carrier;
    carrier->client = client->number;
    *slot = client;
    server->client_count++;
    clients_make_warm(server, client);
    log_line(&server->endpoint->log, CHAPPE_LOG_DEBUG, "%s: client %llu came (process %d)",
             listener_of(server)->address, (unsigned long long)server->clients_ever,
             (int)carrier->peer.pid);
    return 0;
}

static void refuse(struct server *server, const char *why) {
    server->endpoint->numbers.clients_refused++;
    log_line(&server->endpoint->log, CHAPPE_LOG_WARNING, "refused a client: %s", why);
}

/* No descriptors are left: the listener would stay readable, and we would spin. */
static int stop_accepting(struct server *server, int error) {
    if (server->client_count == 0)
        return error; /* nobody can leave: the caller has to know */
    os_unwatch(server->watch, clients_listener_fd(server));
    server->full = true;
    server->try_again = os_now() + TRY_AGAIN_NS;
    log_line(&server->endpoint->log, CHAPPE_LOG_WARNING, "%s; trying again later", error_text());
    return 0;
}

int clients_accept(struct server *server) {
    struct carrier *listener = listener_of(server), *carrier;
    for (int i = 0; i < ACCEPTS_MOST; i++) {
        int error = listener->functions->accept(listener, server->endpoint->store, &carrier);
        if (error == -EAGAIN)
            return 0;
        if (error == -EMFILE || error == -ENFILE)
            return stop_accepting(server, error);
        if (error == -EPERM) {
            refuse(server, error_text());
            continue;
        }
        if (error < 0)
            return error;
        if (listener->clients_most > 0 && server->client_count >= listener->clients_most) {
            carrier->functions->close(carrier, true);
            refuse(server, "the limit clients= is reached");
            continue;
        }
        error = admit(server, carrier);
        if (error < 0)
            return error;
    }
    return 0;
}
