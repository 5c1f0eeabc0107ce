/* SPDX-License-Identifier: MIT
 *
 * Conformance: deadlines, trying, and messages that are under way when a deadline passes. */
#include <stdlib.h>
#include <unistd.h>

#include "conformance/conformance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TRIES 1000000 /* more than any carrier holds */

/* ---- deadlines of receiving ---- */

static const chappe_deadline spans[] = {1, 250, 999999999, -1, INT64_MIN};

static void send_when_told(struct side *side, void *context) {
    (void)context;
    side_await(side);
    side_send_content(side, 33, 1, NULL, CHAPPE_FOREVER);
    side_await(side);
    side_send_content(side, 44, 2, NULL, CHAPPE_FOREVER);
}

static void receive_by_deadline(struct side *side, void *context) {
    (void)context;
    chappe_message *message = NULL;
    for (int i = 0; i < 3; i++) {
        chappe_deadline deadline = chappe_in_ms(20);
        fails(chappe_receive(side->endpoint, NULL, deadline, &message), -ETIMEDOUT,
              chappe_address(side->endpoint));
        assert_true(now_ns() >= deadline);
        fails(chappe_receive(side->endpoint, NULL, CHAPPE_NOW, &message), -EAGAIN,
              chappe_address(side->endpoint));
        fails(chappe_receive_batch(side->endpoint, NULL, CHAPPE_NOW, &message, 1), -EAGAIN, NULL);
        fails(chappe_receive(side->endpoint, NULL, now_ns() - 1, &message), -ETIMEDOUT, NULL);
    }
    for (size_t i = 0; i < COUNT(spans); i++)
        fails(chappe_receive(side->endpoint, NULL, spans[i], &message), -EINVAL, "deadline");
    assert_null(message);
    side_tell(side, 0);
    assert_int_equal(ok(chappe_receive(side->endpoint, NULL, CHAPPE_FOREVER, &message)), 0);
    assert_int_equal(message->size, 33);
    chappe_release(message);
    side_tell(side, 0);
    side_expect(side, 44, 2);
}

static void test_receive_deadlines(const struct trial *trial) {
    run_both(trial, NULL, send_when_told, receive_by_deadline, NULL);
}

/* ---- deadlines of opening ---- */

static void open_and_greet(void *context) {
    chappe_endpoint *endpoint;
    ok(chappe_open(context, NULL, chappe_in_ms(LONG_MS), &endpoint));
    ok(chappe_send(endpoint, "here", 4, NULL, chappe_in_ms(LONG_MS)));
    ok(chappe_close(endpoint, chappe_in_ms(LONG_MS), NULL));
}

/* Nobody is there by the deadline; later somebody is. */
static void test_open_deadlines(const struct trial *trial) {
    char address[512];
    chappe_endpoint *endpoint = NULL;
    chappe_message *message;
    trial_address(trial, NULL, address, sizeof address);
    chappe_deadline deadline = chappe_in_ms(30);
    int nobody = chappe_open(address, NULL, deadline, &endpoint);
    assert_true(nobody == -ENOENT || nobody == -ECONNREFUSED);
    fails(nobody, nobody, address);
    assert_true(now_ns() >= deadline);
    assert_int_equal(chappe_open(address, NULL, CHAPPE_NOW, &endpoint), nobody);
    for (size_t i = 0; i < COUNT(spans); i++) {
        fails(chappe_open(address, NULL, spans[i], &endpoint), -EINVAL, "deadline");
        fails(chappe_listen(address, NULL, spans[i], &endpoint), -EINVAL, "deadline");
    }
    assert_null(endpoint);
    pid_t peer = harness_fork(open_and_greet, address);
    ok(chappe_listen(address, NULL, CHAPPE_NOW, &endpoint));
    ok(chappe_receive(endpoint, NULL, chappe_in_ms(LONG_MS), &message));
    chappe_release(message);
    ok(chappe_close(endpoint, CHAPPE_NOW, NULL));
    harness_join(peer);
}

static void do_nothing(struct side *side, void *context) {
    (void)context;
    side_await(side);
}

static void test_accept_deadlines(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, do_nothing, NULL);
    chappe_endpoint *client = NULL;
    chappe_deadline deadline = chappe_in_ms(20);
    fails(chappe_accept(near.server, deadline, &client), -ETIMEDOUT, NULL);
    assert_true(now_ns() >= deadline);
    fails(chappe_accept(near.server, CHAPPE_NOW, &client), -EAGAIN, NULL);
    fails(chappe_accept(near.server, 250, &client), -EINVAL, "deadline");
    chappe_message *message;
    fails(chappe_receive(near.server, NULL, CHAPPE_NOW, &message), -EBUSY, NULL);
    assert_null(client);
    side_tell(&near, 0);
    part(&near);
}

static void test_receive_then_accept(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, do_nothing, NULL);
    chappe_endpoint *client = NULL;
    fails(chappe_accept(near.endpoint, CHAPPE_NOW, &client), trial->connections ? -EBUSY : -ENOTSUP,
          NULL);
    fails(chappe_send(near.endpoint, "x", 1, NULL, CHAPPE_NOW), -EDESTADDRREQ, NULL);
    side_tell(&near, 0);
    part(&near);
}

/* ---- trying until it is full ---- */

struct attempt {
    size_t size;
};

static void send_until_full(struct side *side, void *context) {
    const struct attempt *attempt = context;
    uint64_t sent = 0;
    int outcome = 0;
    for (; sent < TRIES && outcome == 0; sent += outcome == 0) {
        void *bytes = content_create(attempt->size, sent);
        outcome = side_send(side, bytes, attempt->size, NULL, CHAPPE_NOW);
        free(bytes);
    }
    fails(outcome, -EAGAIN, chappe_address(side->endpoint));
    assert_true(sent > 0);
    chappe_deadline deadline = chappe_in_ms(20);
    void *bytes = content_create(attempt->size, sent);
    fails(side_send(side, bytes, attempt->size, NULL, deadline), -ETIMEDOUT, NULL);
    free(bytes);
    assert_true(now_ns() >= deadline);
    fails(side_send(side, "x", 1, NULL, 250), -EINVAL, "deadline");
    side_tell(side, sent);
    side_send_content(side, 5, 12345, NULL, chappe_in_ms(LONG_MS));
}

static void receive_accepted(struct side *side, void *context) {
    const struct attempt *attempt = context;
    uint64_t sent = side_await(side);
    for (uint64_t i = 0; i < sent; i++)
        side_expect(side, attempt->size, i);
    side_expect(side, 5, 12345);
    side_expect_nothing(side);
}

static void test_try(const struct trial *trial) {
    struct attempt attempts[] = {{0}, {100}, {5000}, {100000}};
    for (size_t i = 0; i < COUNT(attempts); i++)
        run_both(trial, NULL, send_until_full, receive_accepted, &attempts[i]);
}

/* ---- a deadline in the middle of a message ---- */

static void send_past_deadlines(struct side *side, void *context) {
    (void)context;
    void *large = content_create(8 * MIB, 0);
    uint64_t sent = 0;
    for (int i = 0; i < 3; i++) {
        int outcome = side_send(side, large, 8 * MIB, NULL, chappe_in_ms(20));
        assert_true(outcome == 0 || outcome == -ETIMEDOUT);
        sent += outcome == 0;
    }
    free(large);
    int small = side_send(side, "small", 5, NULL, CHAPPE_NOW);
    assert_true(small == 0 || small == -EAGAIN);
    side_tell(side, sent);
    side_tell(side, small == 0);
    /* What is held goes on in later calls, whatever they are. */
    side_send_content(side, 77, 77, NULL, chappe_in_ms(LONG_MS));
}

static void receive_past_deadlines(struct side *side, void *context) {
    (void)context;
    uint64_t large = side_await(side);
    bool small = side_await(side) != 0;
    for (uint64_t i = 0; i < large; i++)
        side_expect(side, 8 * MIB, 0);
    if (small) {
        chappe_message *message = side_receive(side);
        assert_int_equal(message->size, 5);
        assert_memory_equal(message->data, "small", 5);
        chappe_release(message);
    }
    side_expect(side, 77, 77);
    side_expect_nothing(side);
}

static void test_deadline_in_message(const struct trial *trial) {
    run_both(trial, NULL, send_past_deadlines, receive_past_deadlines, NULL);
}

/* Nothing but waiting passes the rest on. */
static void hold_and_wait(struct side *side, void *context) {
    (void)context;
    void *large = content_create(8 * MIB, 3);
    ok(side_send(side, large, 8 * MIB, NULL, CHAPPE_NOW));
    memset(large, 0, 8 * MIB); /* it is the caller's again */
    free(large);
    side_tell(side, 0);
    chappe_wait_item item = {.endpoint = side->endpoint, .events = CHAPPE_READABLE};
    assert_int_equal(ok(chappe_wait(&item, 1, chappe_in_ms(LONG_MS))), 1);
    assert_int_equal(item.ready, CHAPPE_READABLE);
    side_expect(side, 4, 4);
}

static void receive_and_answer(struct side *side, void *context) {
    (void)context;
    side_await(side);
    side_expect(side, 8 * MIB, 3);
    side_send_content(side, 4, 4, NULL, chappe_in_ms(LONG_MS));
}

static void test_held_while_waiting(const struct trial *trial) {
    run_both(trial, NULL, hold_and_wait, receive_and_answer, NULL);
}

int main(int argc, char **argv) {
    static const struct conformance_test tests[] = {
        {.name = "deadlines of receiving", .function = test_receive_deadlines},
        {.name = "deadlines of opening", .function = test_open_deadlines, .ways = WAY_SERVER},
        {.name = "deadlines of accepting", .function = test_accept_deadlines, .ways = WAY_ACCEPT},
        {.name = "a server that receives does not accept",
         .function = test_receive_then_accept,
         .ways = WAY_SERVER},
        {.name = "trying until it is full", .function = test_try},
        {.name = "a deadline in the middle of a message", .function = test_deadline_in_message},
        {.name = "held output goes on while waiting",
         .function = test_held_while_waiting,
         .both = true},
    };
    return conformance_main(argc, argv, tests, COUNT(tests));
}
