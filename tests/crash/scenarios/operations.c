/* SPDX-License-Identifier: MIT
 *
 * Every operation of the public interface, as the victim does it. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "crash/scenarios/endpoints.h"

#define ALL (ROLE_PAIR | ROLE_CLIENT | ROLE_SERVER | ROLE_ACCEPTED)
#define OWN_END (ROLE_PAIR | ROLE_CLIENT | ROLE_ACCEPTED)
#define COVERS(...)                                                                                \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }
#define TYPE 7
#define GROWING 9000           /* more than a lane has room for at first */
#define HUGE ((size_t)3 << 20) /* more than a carrier takes at once */

static void need(int result, const char *call) {
    if (result < 0)
        crash_fail("%s: %d (%s)", call, result, chappe_error());
}

static chappe_deadline soon(void) {
    return chappe_in_ms(SOON_MS);
}

static void send_with(struct world *world, chappe_settings *settings) {
    struct ends *ends = ends_of(world);
    size_t size = operation_size(trial_of(world)->operation);
    settings->size = sizeof *settings;
    if (trial_of(world)->role == ROLE_SERVER)
        need(chappe_reply(ends->far, &ends->token, ends->body, size, settings, soon()), "reply");
    else
        need(chappe_send(ends->far, ends->body, size, settings, soon()), "send");
}

static void send_one(struct world *world) {
    chappe_settings settings = {0};
    send_with(world, &settings);
}

static void send_dressed(struct world *world) {
    chappe_settings settings = {
        .type = TYPE, .priority = 3, .correlation = 5, .flags = CHAPPE_STAMP};
    send_with(world, &settings);
}

static void send_descriptors(struct world *world) {
    int descriptors[2] = {world->control[1], world->control[1]};
    chappe_settings settings = {.descriptors = descriptors, .descriptor_count = 2};
    send_with(world, &settings);
}

static void send_batch(struct world *world) {
    struct ends *ends = ends_of(world);
    chappe_item items[BATCH];
    for (size_t i = 0; i < BATCH; i++)
        items[i] = (chappe_item){.data = ends->body + i * SMALL, .size = SMALL};
    for (int sent = 0; sent < BATCH;) {
        int result = chappe_send_batch(ends->far, items + sent, (size_t)(BATCH - sent), soon());
        need(result, "send_batch");
        sent += result;
    }
}

static void reserve(struct world *world) {
    struct ends *ends = ends_of(world);
    size_t size = operation_size(trial_of(world)->operation);
    need(chappe_reserve(ends->far, size, NULL, soon(), &ends->message), "reserve");
    memcpy(ends->message->data, ends->body, size);
    need(chappe_commit(ends->message, size, soon()), "commit");
    ends->message = NULL;
}

static void abandon(struct world *world) {
    struct ends *ends = ends_of(world);
    need(chappe_reserve(ends->far, SMALL, NULL, soon(), &ends->message), "reserve");
    memcpy(ends->message->data, ends->body, SMALL);
    chappe_abandon(ends->message);
    ends->message = NULL;
}

static void check_next(struct world *world, const chappe_filter *filter) {
    struct ends *ends = ends_of(world);
    size_t size = operation_size(trial_of(world)->operation);
    int result = chappe_receive(ends->far, filter, soon(), &ends->message);
    need(result, "receive");
    crash_need(result == 0 && ends->message->size == size);
}

static void receive(struct world *world) {
    check_next(world, NULL);
    chappe_release(ends_of(world)->message);
    ends_of(world)->message = NULL;
}

/* The second message, while the first one is set aside; then the first one. */
static void receive_selected(struct world *world) {
    chappe_filter filter = {
        .size = sizeof filter, .type_match = CHAPPE_TYPE_IS_NOT, .type = TYPE + 1};
    check_next(world, &filter);
    chappe_release(ends_of(world)->message);
    ends_of(world)->message = NULL;
    filter = (chappe_filter){.size = sizeof filter, .type_match = CHAPPE_TYPE_IS, .type = TYPE + 1};
    int result = chappe_receive(ends_of(world)->far, &filter, CHAPPE_NOW, &ends_of(world)->message);
    crash_need(result == -EAGAIN);
    receive(world);
}

static void receive_batch(struct world *world) {
    struct ends *ends = ends_of(world);
    for (int got = 0; got < BATCH;) {
        int result = chappe_receive_batch(ends->far, NULL, soon(), ends->messages + got,
                                          (size_t)(BATCH - got));
        need(result, "receive_batch");
        crash_need(result > 0);
        got += result;
    }
    chappe_release_batch(ends->messages, BATCH);
    memset(ends->messages, 0, sizeof ends->messages);
}

static void take_descriptor(struct world *world) {
    struct ends *ends = ends_of(world);
    check_next(world, NULL);
    int fd = chappe_take_fd(ends->message, 0);
    need(fd, "take_fd");
    close(fd);
    chappe_release(ends->message); /* with the other one */
    ends->message = NULL;
}

static void request(struct world *world) {
    struct ends *ends = ends_of(world);
    int result = chappe_request(ends->far, ends->body, SMALL, NULL, soon(), &ends->message);
    need(result, "request");
    crash_need(result == 0);
    chappe_release(ends->message);
    ends->message = NULL;
}

static void reply(struct world *world) {
    struct ends *ends = ends_of(world);
    chappe_token token;
    check_next(world, NULL);
    need(chappe_token_of(ends->message, &token), "token_of");
    need(chappe_reply(ends->far, &token, ends->body, SMALL, NULL, soon()), "reply");
    chappe_release(ends->message);
    ends->message = NULL;
}

static void wait_for_one(struct world *world) {
    chappe_wait_item item = {.endpoint = ends_of(world)->far, .events = CHAPPE_READABLE};
    int result = 0;
    while (item.ready == 0) {
        result = chappe_wait(&item, 1, soon());
        need(result, "wait");
    }
    crash_need(result == 1 && (item.ready & CHAPPE_READABLE) != 0);
}

static void watch(struct world *world) {
    int fd = chappe_fd(ends_of(world)->far, CHAPPE_READABLE);
    need(fd, "fd");
    struct pollfd item = {.fd = fd, .events = POLLIN};
    crash_need(poll(&item, 1, SOON_MS) == 1);
    receive(world);
}

/* The stage's part while the victim sleeps for a message. */
static void send_awaited(struct world *world) {
    struct ends *ends = ends_of(world);
    chappe_endpoint *from = ends->near != NULL ? ends->near : ends->server;
    if (ends->sent_well || from == NULL ||
        (ends->near == NULL && ends->token.opaque[0] == 0 && ends->token.opaque[1] == 0))
        return;
    unsigned char body[SMALL];
    body_fill(body, sizeof body, 160);
    int result = ends->near != NULL
                     ? chappe_send(from, body, sizeof body, NULL, CHAPPE_NOW)
                     : chappe_reply(from, &ends->token, body, sizeof body, NULL, CHAPPE_NOW);
    ends->sent_well = result == 0;
}

static void end_sending(struct world *world) {
    need(chappe_finish(ends_of(world)->far, soon()), "finish");
}

static void close_end(struct world *world) {
    struct ends *ends = ends_of(world);
    need(chappe_close(ends->far, soon(), NULL), "close");
    ends->far = NULL;
}

static void send_and_close(struct world *world) {
    send_one(world);
    close_end(world);
}

static void make_pair(struct world *world) {
    struct ends *ends = ends_of(world);
    need(chappe_pair(ends->address, NULL, &ends->near, &ends->far), "pair");
}

static void open_end(struct world *world) {
    struct ends *ends = ends_of(world);
    need(chappe_open(ends->address, NULL, soon(), &ends->far), "open");
}

static void listen_end(struct world *world) {
    struct ends *ends = ends_of(world);
    need(chappe_listen(ends->address, NULL, soon(), &ends->far), "listen");
}

static void accept_end(struct world *world) {
    struct ends *ends = ends_of(world);
    need(chappe_accept(ends->server, soon(), &ends->far), "accept");
}

/* Whoever comes after the victim, in its role. */
static void come_next(struct world *world) {
    enum role role = trial_of(world)->role;
    if (role == ROLE_PAIR)
        make_pair(world);
    else if (role == ROLE_CLIENT)
        open_end(world);
    else
        listen_end(world);
}

static void look_around(struct world *world) {
    struct ends *ends = ends_of(world);
    chappe_identity identity = {.size = sizeof identity};
    chappe_statistics statistics = {.size = sizeof statistics};
    int64_t value;
    check_next(world, NULL);
    chappe_sender(ends->message, &identity);
    chappe_peer_identity(ends->far, &identity);
    crash_need(chappe_get(ends->message, CHAPPE_SEQUENCE, &value) == 0);
    crash_need(chappe_address(ends->far)[0] != '\0');
    crash_need(chappe_supports(ends->far, CHAPPE_CAN_ORDER) >= 0);
    need(chappe_get_statistics(ends->far, &statistics), "get_statistics");
    chappe_release(ends->message);
    ends->message = NULL;
}

#define DRESS                                                                                      \
    { .size = sizeof(chappe_settings), .type = TYPE }

const struct operation endpoint_operations[] = {
    {.name = "pair",
     .covers = COVERS("chappe_pair"),
     .operate = make_pair,
     .roles = ROLE_PAIR,
     .bare = true},
    {.name = "open",
     .recover = come_next,
     .covers = COVERS("chappe_open"),
     .operate = open_end,
     .roles = ROLE_CLIENT,
     .bare = true},
    {.name = "listen",
     .recover = come_next,
     .covers = COVERS("chappe_listen"),
     .operate = listen_end,
     .roles = ROLE_SERVER,
     .bare = true},
    {.name = "accept",
     .recover = come_next,
     .covers = COVERS("chappe_accept"),
     .operate = accept_end,
     .roles = ROLE_ACCEPTED,
     .bare = true},
    {.name = "send",
     .covers = COVERS("chappe_send", "chappe_reply"),
     .operate = send_one,
     .roles = ALL,
     .outgoing = 1,
     .both = true},
    {.name = "send-one-way",
     .covers = COVERS("chappe_send"),
     .operate = send_one,
     .roles = ROLE_CLIENT,
     .outgoing = 1},
    {.name = "send-dressed",
     .covers = COVERS("chappe_send"),
     .operate = send_dressed,
     .roles = OWN_END,
     .outgoing = 1,
     .both = true},
    {.name = "send-growing",
     .covers = COVERS("chappe_send"),
     .operate = send_one,
     .roles = ROLE_PAIR | ROLE_CLIENT,
     .outgoing = 1,
     .both = true,
     .connections = true,
     .size = GROWING},
    {.name = "send-large",
     .covers = COVERS("chappe_send"),
     .operate = send_one,
     .roles = OWN_END,
     .outgoing = 1,
     .both = true,
     .connections = true,
     .size = HUGE,
     .cost = 4},
    {.name = "send-descriptors",
     .covers = COVERS("chappe_send"),
     .operate = send_descriptors,
     .roles = OWN_END,
     .outgoing = 1,
     .both = true,
     .needs = CHAPPE_CAN_DESCRIPTORS + 1},
    {.name = "send-batch",
     .covers = COVERS("chappe_send_batch"),
     .operate = send_batch,
     .roles = OWN_END,
     .outgoing = BATCH,
     .both = true},
    {.name = "reserve",
     .covers = COVERS("chappe_reserve", "chappe_commit"),
     .operate = reserve,
     .roles = OWN_END,
     .outgoing = 1,
     .both = true},
    {.name = "reserve-large",
     .covers = COVERS("chappe_reserve", "chappe_commit"),
     .operate = reserve,
     .roles = ROLE_PAIR | ROLE_CLIENT,
     .outgoing = 1,
     .both = true,
     .connections = true,
     .size = GROWING},
    {.name = "abandon",
     .covers = COVERS("chappe_reserve", "chappe_abandon"),
     .operate = abandon,
     .roles = OWN_END,
     .both = true},
    {.name = "receive",
     .covers = COVERS("chappe_receive", "chappe_release"),
     .operate = receive,
     .roles = ALL,
     .incoming = 1,
     .both = true},
    {.name = "receive-large",
     .covers = COVERS("chappe_receive", "chappe_release"),
     .operate = receive,
     .roles = OWN_END,
     .incoming = 1,
     .both = true,
     .connections = true,
     .size = 40000},
    {.name = "receive-asleep",
     .covers = COVERS("chappe_receive"),
     .operate = receive,
     .roles = ALL,
     .both = true,
     .attend = send_awaited},
    {.name = "receive-selected",
     .covers = COVERS("chappe_receive"),
     .operate = receive_selected,
     .roles = OWN_END,
     .incoming = 2,
     .both = true,
     .ask = DRESS,
     .connections = true},
    {.name = "receive-batch",
     .covers = COVERS("chappe_receive_batch", "chappe_release_batch"),
     .operate = receive_batch,
     .roles = ALL,
     .incoming = BATCH,
     .both = true},
    {.name = "take-fd",
     .covers = COVERS("chappe_take_fd"),
     .operate = take_descriptor,
     .roles = OWN_END,
     .incoming = 1,
     .both = true,
     .needs = CHAPPE_CAN_DESCRIPTORS + 1,
     .ask = {.descriptor_count = 2}},
    {.name = "request",
     .covers = COVERS("chappe_request"),
     .operate = request,
     .roles = ROLE_PAIR | ROLE_CLIENT | ROLE_ACCEPTED,
     .outgoing = 1,
     .both = true},
    {.name = "reply",
     .covers = COVERS("chappe_reply", "chappe_token_of"),
     .operate = reply,
     .roles = ROLE_PAIR | ROLE_SERVER | ROLE_ACCEPTED,
     .incoming = 1,
     .outgoing = 1,
     .both = true,
     .ask = {.flags = CHAPPE_ASKS}},
    {.name = "wait",
     .covers = COVERS("chappe_wait"),
     .operate = wait_for_one,
     .roles = ALL,
     .incoming = 1,
     .both = true},
    {.name = "wait-asleep",
     .covers = COVERS("chappe_wait"),
     .operate = wait_for_one,
     .roles = ALL,
     .both = true,
     .attend = send_awaited},
    {.name = "fd",
     .covers = COVERS("chappe_fd"),
     .operate = watch,
     .roles = ALL,
     .incoming = 1,
     .both = true},
    {.name = "finish",
     .covers = COVERS("chappe_finish"),
     .operate = end_sending,
     .roles = OWN_END,
     .both = true,
     .connections = true},
    {.name = "close",
     .recover = come_next,
     .covers = COVERS("chappe_close"),
     .operate = close_end,
     .roles = ALL,
     .both = true,
     .ends = true},
    {.name = "send-close",
     .covers = COVERS("chappe_send", "chappe_close"),
     .operate = send_and_close,
     .roles = OWN_END,
     .outgoing = 1,
     .both = true,
     .connections = true},
    {.name = "look",
     .covers = COVERS("chappe_get", "chappe_sender", "chappe_peer_identity", "chappe_address",
                      "chappe_supports", "chappe_get_statistics"),
     .operate = look_around,
     .roles = ALL,
     .incoming = 1,
     .both = true},
};
const size_t endpoint_operation_count = sizeof endpoint_operations / sizeof endpoint_operations[0];
