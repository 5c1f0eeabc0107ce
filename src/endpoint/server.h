/* SPDX-License-Identifier: MIT
 *
 * A server of connections whose clients all come out of one chappe_receive(). */
#ifndef ENDPOINT_SERVER_H
#define ENDPOINT_SERVER_H

#include "endpoint/endpoint.h"

enum server_way { SERVER_UNDECIDED, SERVER_RECEIVES, SERVER_ACCEPTS };

int server_create(chappe_endpoint *endpoint, struct server **ret_server);
void server_close(struct server *server, bool owner);

/* The first call decides whether clients are merged or accepted. -EBUSY: the other way. */
int server_choose(struct server *server, enum server_way way);

/* As the functions of a carrier, over all clients. */
int server_take(struct server *server, struct message **ret_messages, size_t count);
int server_receive(struct server *server, chappe_deadline deadline);
bool server_is_ready(const struct server *server);
/* Before a wait: asks the clients that have a bell to ring it. */
void server_ask_to_ring(struct server *server);
bool server_merges(const struct server *server); /* all clients into one receive */
int server_watch(const struct server *server);   /* the epoll descriptor of all of it */

/* The carrier of a client, NULL if it has gone. */
struct carrier *server_client(struct server *server, uint64_t number);
/* What to wait for on a client that is there: passes on what it holds, and forgets nothing
 * that its bell told. */
void server_interest(struct server *server, uint64_t number, struct interest *ret_interest);
/* A token for one of its messages was taken: a reply may follow. */
void server_owe(struct server *server, uint64_t number);
/* Lets clients go that have ended their sending and to whom nothing is owed any more. */
void server_tidy(struct server *server);
/* A letter to it was sent, and perhaps held; or was not. */
void server_sent(struct server *server, uint64_t number, bool sent);

/* Adds up what clients have not taken; passes on what can go on. */
void server_undelivered(struct server *server, chappe_undelivered *ret_undelivered);
uint64_t server_client_count(const struct server *server);
uint64_t server_descriptors_closed(const struct server *server);

#endif
