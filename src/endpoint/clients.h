/* SPDX-License-Identifier: MIT
 *
 * The inside of a server of connections: its clients, in slots, and the queues that they stand
 * in. server.c says how they are served. */
#ifndef ENDPOINT_CLIENTS_H
#define ENDPOINT_CLIENTS_H

#include "endpoint/server.h"

#define TAG_LISTENER UINT64_MAX /* of the server's epoll; others are numbers of clients */

struct client {
    struct carrier *carrier;
    uint64_t number;
    struct client *next_ready;
    struct client *next_ended;
    struct client *next_warm;
    bool warm;
    uint64_t owed; /* tokens taken and not answered */
    bool ready;    /* in the queue of those that may have a message at hand */
    bool ended;    /* it will send nothing more, but may still take replies */
    bool gone;     /* to be dropped when what it sent before has been taken */
    bool paused;   /* holds a reply: watched for room, not for input */
};

struct server {
    chappe_endpoint *endpoint;
    enum server_way way;
    int watch;
    bool full;               /* out of descriptors: the listener is not watched */
    bool short_of;           /* memory for a reply that is held: tried again soon */
    int64_t try_again;       /* when, then */
    chappe_undelivered past; /* of clients that have gone */
    struct client **slots;
    size_t slot_count; /* how many there are; all above are new */
    size_t client_count;
    uint64_t clients_ever;
    struct client *first_ready, *last_ready;
    struct client *first_warm;
    uint64_t taken;              /* messages asked for since all were looked at */
    struct waiting_spin spin;    /* over all warm clients */
    struct client *first_ended;  /* half-closed: they may still be owed replies */
    uint64_t descriptors_closed; /* by clients that have gone */
};

static inline struct carrier *listener_of(const struct server *server) {
    return server->endpoint->carrier;
}

/* The queue of those that may have a message at hand. */
void clients_make_ready(struct server *server, struct client *client);
void clients_leave_queue(struct server *server); /* the first one */

/* Clients with a bell: warm ones are looked at, cold ones were asked to ring. */
void clients_make_warm(struct server *server, struct client *client);
void clients_make_cold(struct server *server, struct client *client);

/* NULL: it has gone. */
struct client *clients_find(const struct server *server, uint64_t number);
int clients_listener_fd(const struct server *server);
void clients_watch_listener(struct server *server);
void clients_add_up(chappe_undelivered *sum, const chappe_undelivered *one);

/* Takes in who has come. 0, or an error that is ours and not a client's. */
int clients_accept(struct server *server);
/* Counts one that broke the rules, and says so in the log: the thread's sentence tells how. */
void clients_cut_off(struct server *server, const struct client *client);
/* Takes a client that is not in the queue out of the server. */
void clients_drop(struct server *server, struct client *client);

#endif
