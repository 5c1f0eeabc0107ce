/* SPDX-License-Identifier: MIT
 *
 * Conformance: forks, many clients, and clients that behave badly. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "conformance/conformance.h"

#define CLIENTS 50
#define ROUNDS 20
#define ASKED 8 /* every carrier holds that many while nobody reads */

/* Sanitizers keep freed memory mapped. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MAPPINGS_TELL false
#elif defined(__has_feature)
#define MAPPINGS_TELL !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define MAPPINGS_TELL true
#endif

/* ---- the fork rule ---- */

static void use_in_child(void *context) {
    chappe_endpoint *endpoint = context;
    chappe_message *message = NULL;
    chappe_wait_item item = {.endpoint = endpoint, .events = CHAPPE_READABLE};
    chappe_endpoint *client;
    fails(chappe_send(endpoint, "x", 1, NULL, CHAPPE_NOW), -ECHILD, chappe_address(endpoint));
    fails(chappe_receive(endpoint, NULL, CHAPPE_NOW, &message), -ECHILD, NULL);
    fails(chappe_reserve(endpoint, 1, NULL, CHAPPE_NOW, &message), -ECHILD, NULL);
    fails(chappe_request(endpoint, "x", 1, NULL, CHAPPE_NOW, &message), -ECHILD, NULL);
    fails(chappe_wait(&item, 1, CHAPPE_NOW), -ECHILD, NULL);
    fails(chappe_fd(endpoint, CHAPPE_READABLE), -ECHILD, NULL);
    fails(chappe_finish(endpoint, CHAPPE_NOW), -ECHILD, NULL);
    fails(chappe_accept(endpoint, CHAPPE_NOW, &client), -ECHILD, NULL);
    assert_null(message);
    chappe_statistics numbers = {.size = sizeof numbers};
    ok(chappe_get_statistics(endpoint, &numbers));
    assert_true(chappe_address(endpoint)[0] != '\0');
    chappe_undelivered left = {.size = sizeof left};
    ok(chappe_close(endpoint, CHAPPE_FOREVER, &left)); /* does not wait */
    assert_int_equal(left.count, 0);
}

static void talk(struct side *far, void *context) {
    (void)context;
    side_send_content(far, 1000, 1, NULL, chappe_in_ms(LONG_MS));
    side_await(far);
    side_send_content(far, 2000, 2, NULL, chappe_in_ms(LONG_MS));
    side_await(far);
}

/* The children's closes leave the name and the connection alone. */
static void test_fork(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, talk, NULL);
    harness_join(harness_fork(use_in_child, near.endpoint));
    if (near.server != NULL)
        harness_join(harness_fork(use_in_child, near.server));
    side_expect(&near, 1000, 1);
    side_tell(&near, 0);
    side_expect(&near, 2000, 2);
    side_tell(&near, 0);
    part(&near);
}

/* A message in hand crosses the fork as memory, and can be released on both sides. */
static void read_and_release(void *context) {
    chappe_message *message = context;
    content_check(message->data, 1000, 1);
    chappe_release(message);
}

static void test_message_over_fork(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, talk, NULL);
    chappe_message *message = side_receive(&near);
    harness_join(harness_fork(read_and_release, message));
    content_check(message->data, 1000, 1);
    chappe_release(message);
    side_tell(&near, 0);
    side_expect(&near, 2000, 2);
    side_tell(&near, 0);
    part(&near);
}

struct both_ends {
    chappe_endpoint *a, *b;
};

static void use_first(void *context) {
    struct both_ends *ends = context;
    ok(chappe_send(ends->b, "mine", 4, NULL, CHAPPE_NOW));
    ok(chappe_close(ends->a, CHAPPE_NOW, NULL));
    ok(chappe_close(ends->b, chappe_in_ms(LONG_MS), NULL));
}

/* The first process that uses an end of a pair owns it. */
static void test_pair_owner(const struct trial *trial) {
    struct both_ends ends;
    chappe_message *message = NULL;
    char address[512];
    trial_address(trial, NULL, address, sizeof address);
    ok(chappe_pair(address, NULL, &ends.a, &ends.b));
    pid_t child = harness_fork(use_first, &ends);
    ok(chappe_receive(ends.a, NULL, chappe_in_ms(LONG_MS), &message));
    assert_memory_equal(message->data, "mine", 4);
    chappe_release(message);
    fails(chappe_send(ends.b, "x", 1, NULL, CHAPPE_NOW), -ECHILD, NULL);
    fails(chappe_receive(ends.b, NULL, CHAPPE_NOW, &message), -ECHILD, NULL);
    ok(chappe_close(ends.b, CHAPPE_NOW, NULL));
    harness_join(child);
    assert_int_equal(chappe_receive(ends.a, NULL, chappe_in_ms(LONG_MS), &message), CHAPPE_END);
    ok(chappe_close(ends.a, CHAPPE_NOW, NULL));
}

/* ---- many clients of a server ---- */

struct crowd {
    char address[512];
    size_t number;
};

static void be_client(void *context) {
    const struct crowd *crowd = context;
    chappe_endpoint *endpoint;
    ok(chappe_open(crowd->address, NULL, chappe_in_ms(LONG_MS), &endpoint));
    for (size_t i = 0; i < ROUNDS; i++) {
        size_t question[2] = {crowd->number, i};
        chappe_message *message = NULL;
        ok(chappe_request(endpoint, question, sizeof question, NULL, chappe_in_ms(LONG_MS),
                          &message));
        assert_int_equal(message->size, 100 + crowd->number);
        content_check(message->data, message->size, crowd->number * ROUNDS + i);
        chappe_release(message);
    }
    ok(chappe_close(endpoint, chappe_in_ms(LONG_MS), NULL));
}

/* Answers one question of be_client(). */
static void serve_one(chappe_endpoint *server) {
    chappe_message *message = NULL;
    chappe_token token;
    size_t question[2];
    char reply[100 + CLIENTS];
    ok(chappe_receive(server, NULL, chappe_in_ms(LONG_MS), &message));
    assert_int_equal(message->size, sizeof question);
    memcpy(question, message->data, sizeof question);
    ok(chappe_token_of(message, &token));
    chappe_release(message);
    content_fill(reply, 100 + question[0], question[0] * ROUNDS + question[1]);
    ok(chappe_reply(server, &token, reply, 100 + question[0], NULL, chappe_in_ms(LONG_MS)));
}

static void start_clients(struct crowd *crowd, pid_t *peers, size_t count) {
    for (crowd->number = 0; crowd->number < count; crowd->number++)
        peers[crowd->number] = harness_fork(be_client, crowd);
}

static void test_many_clients(const struct trial *trial) {
    struct crowd crowd;
    pid_t peers[CLIENTS];
    chappe_endpoint *server;
    trial_address(trial, NULL, crowd.address, sizeof crowd.address);
    ok(chappe_listen(crowd.address, NULL, CHAPPE_NOW, &server));
    start_clients(&crowd, peers, CLIENTS);
    for (size_t i = 0; i < (size_t)CLIENTS * ROUNDS; i++)
        serve_one(server);
    for (size_t i = 0; i < CLIENTS; i++)
        harness_join(peers[i]);
    chappe_message *message;
    fails(chappe_receive(server, NULL, CHAPPE_NOW, &message), -EAGAIN, NULL);
    chappe_statistics numbers = {.size = sizeof numbers};
    ok(chappe_get_statistics(server, &numbers));
    assert_int_equal(numbers.received, CLIENTS * ROUNDS);
    assert_int_equal(numbers.sent, CLIENTS * ROUNDS);
    assert_int_equal(numbers.clients_cut_off, 0);
    assert_int_equal(numbers.clients, 0);
    ok(chappe_close(server, CHAPPE_NOW, NULL));
}

/* ---- one that never reads its replies ---- */

static void flood(struct side *far, void *context) {
    (void)context;
    for (int i = 0; i < 3; i++)
        side_send_content(far, 10, 3, NULL, chappe_in_ms(LONG_MS));
    side_tell(far, 0);
    side_await(far);
    side_drop(far);
}

/* Replies to the flooder until nothing is taken any more; then others are served. */
static void test_never_reads(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, flood, NULL);
    struct crowd crowd;
    pid_t peer;
    int outcome;
    char *reply = calloc(1, 50000);
    assert_non_null(reply);
    side_await(&near);
    while ((outcome = side_send(&near, reply, 50000, NULL, CHAPPE_NOW)) == 0)
        ;
    fails(outcome, -EAGAIN, NULL);
    free(reply);
    trial_address(trial, NULL, crowd.address, sizeof crowd.address);
    start_clients(&crowd, &peer, 1);
    for (size_t served = 0; served < ROUNDS;) {
        chappe_message *message = NULL;
        chappe_token token;
        size_t question[2] = {0, 0};
        char answer[100];
        ok(chappe_receive(near.endpoint, NULL, chappe_in_ms(LONG_MS), &message));
        bool flooder = message->size == 10;
        if (!flooder)
            memcpy(question, message->data, sizeof question);
        ok(chappe_token_of(message, &token));
        chappe_release(message);
        if (flooder)
            continue;
        content_fill(answer, sizeof answer, question[1]);
        ok(chappe_reply(near.endpoint, &token, answer, sizeof answer, NULL, CHAPPE_NOW));
        served++;
    }
    harness_join(peer);
    side_tell(&near, 0);
    part(&near);
}

/* Its requests are still received after it has gone, although a reply to it was stuck. */
static void ask_and_leave(struct side *far, void *context) {
    (void)context;
    for (uint64_t i = 0; i < ASKED; i++)
        side_send_content(far, 10, i, NULL, chappe_in_ms(LONG_MS));
    side_tell(far, 0);
    side_await(far);
    side_drop(far);
    side_tell(far, 0);
}

static void test_left_with_a_reply(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, ask_and_leave, NULL);
    chappe_message *message;
    char *reply = calloc(1, 4 * MIB);
    assert_non_null(reply);
    side_expect(&near, 10, 0);
    ok(side_send(&near, reply, 4 * MIB, NULL, CHAPPE_NOW));
    free(reply);
    side_await(&near);
    side_tell(&near, 0);
    side_await(&near);
    for (uint64_t i = 1; i < ASKED; i++)
        side_expect(&near, 10, i);
    fails(chappe_receive(near.endpoint, NULL, CHAPPE_NOW, &message), -EAGAIN, NULL);
    part(&near);
}

/* ---- a server again under the same name ---- */

static void test_open_and_close(const struct trial *trial) {
    char address[512];
    size_t before = 0;
    trial_address(trial, NULL, address, sizeof address);
    for (int i = 0; i < 600; i++) {
        chappe_endpoint *a = NULL, *b = NULL;
        if (trial->way == WAY_PAIR) {
            ok(chappe_pair(address, NULL, &a, &b));
        } else {
            ok(chappe_listen(address, NULL, CHAPPE_NOW, &a));
            fails(chappe_listen(address, NULL, CHAPPE_NOW, &b), -EADDRINUSE, address);
            ok(chappe_open(address, NULL, CHAPPE_NOW, &b));
        }
        chappe_message *message;
        ok(chappe_send(b, "x", 1, NULL, CHAPPE_NOW));
        ok(chappe_receive(a, NULL, chappe_in_ms(LONG_MS), &message));
        chappe_release(message);
        ok(chappe_close(b, CHAPPE_NOW, NULL));
        ok(chappe_close(a, CHAPPE_NOW, NULL));
        if (i == 100)
            before = harness_count_mappings();
    }
    if (MAPPINGS_TELL)
        assert_true(harness_count_mappings() < before + 100);
}

int main(int argc, char **argv) {
    static const struct conformance_test tests[] = {
        {.name = "handles in a child", .function = test_fork},
        {.name = "messages in a child", .function = test_message_over_fork},
        {.name = "who uses an end first owns it", .function = test_pair_owner, .ways = WAY_PAIR},
        {.name = "50 clients", .function = test_many_clients, .ways = WAY_SERVER, .both = true},
        {.name = "a client that never reads",
         .function = test_never_reads,
         .ways = WAY_SERVER,
         .connections = true, /* without them the askers share the server's buffer */
         .both = true},
        {.name = "a client that left with a reply stuck",
         .function = test_left_with_a_reply,
         .ways = WAY_SERVER,
         .both = true},
        {.name = "open and close 600 times",
         .function = test_open_and_close,
         .ways = WAY_PAIR | WAY_SERVER},
    };
    return conformance_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
