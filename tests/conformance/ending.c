/* SPDX-License-Identifier: MIT
 *
 * Conformance: closing, half-closing, the end, and what close says was left behind. */
#include <stdlib.h>
#include <unistd.h>

#include "conformance/conformance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SENT 8 /* fits into every carrier while nobody reads */
#define EACH 1000

static chappe_undelivered close_at(struct side *side, chappe_deadline deadline) {
    chappe_undelivered left = {.size = sizeof left};
    ok(chappe_close(side->endpoint, deadline, &left));
    side->endpoint = NULL;
    assert_int_equal(left.size, sizeof left);
    assert_in_range(left.certainty, CHAPPE_EXACTLY, CHAPPE_UNKNOWN);
    return left;
}

/* Is what close said true, if `count` were left of all that was sent? */
static void check_count(const chappe_undelivered *left, uint64_t count) {
    if (left->certainty == CHAPPE_EXACTLY)
        assert_int_equal(left->count, count);
    if (left->certainty == CHAPPE_AT_MOST)
        assert_in_range(left->count, count, SENT + 1);
    assert_true(left->lost <= left->count);
}

/* ---- nobody reads ---- */

static void close_unread(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < SENT; i++)
        side_send_content(side, EACH, i, NULL, CHAPPE_FOREVER);
    chappe_deadline deadline = chappe_in_ms(20);
    chappe_undelivered left = close_at(side, deadline);
    assert_true(now_ns() >= deadline || left.certainty == CHAPPE_UNKNOWN);
    if (left.certainty != CHAPPE_UNKNOWN)
        assert_true(left.count > 0);
    check_count(&left, SENT);
    assert_int_equal(left.lost, 0);
    assert_int_equal(left.unread, 0);
    side_tell(side, 0);
}

/* What was left is still there to be read. */
static void read_after_close(struct side *side, void *context) {
    (void)context;
    side_await(side);
    for (size_t i = 0; i < SENT; i++)
        side_expect(side, EACH, i);
    chappe_message *message = NULL;
    if (!side->trial->connections || side->by_token) {
        side_expect_nothing(side);
        return;
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(chappe_receive(side->endpoint, NULL, chappe_in_ms(LONG_MS), &message),
                         CHAPPE_END);
    assert_int_equal(chappe_receive_batch(side->endpoint, NULL, CHAPPE_NOW, &message, 1), 0);
    assert_null(message);
}

static void test_close_unread(const struct trial *trial) {
    run_both(trial, NULL, close_unread, read_after_close, NULL);
}

/* ---- some are read, then the reader closes, or goes on ---- */

#define READ 3

static void close_partly_read(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < SENT; i++)
        side_send_content(side, EACH, i, NULL, CHAPPE_FOREVER);
    side_tell(side, 0);
    side_await(side); /* the other side has closed */
    chappe_undelivered left = close_at(side, chappe_in_ms(LONG_MS));
    check_count(&left, left.certainty == CHAPPE_EXACTLY ? left.count : 0);
    if (left.certainty != CHAPPE_UNKNOWN)
        assert_int_equal(left.lost, left.count);
}

/* It may have read ahead: what it had read but not received, it says is unread. */
static void read_some_and_close(struct side *side, void *context) {
    (void)context;
    side_await(side);
    for (size_t i = 0; i < READ; i++)
        side_expect(side, EACH, i);
    chappe_undelivered left = close_at(side, CHAPPE_NOW);
    assert_int_equal(left.count, 0);
    assert_true(left.unread <= SENT - READ);
    side_tell(side, left.unread);
}

static void test_partly_read(const struct trial *trial) {
    run_both(trial, NULL, close_partly_read, read_some_and_close, NULL);
}

/* Everything has come out of the kernel, some of it was never received. */
static void send_eight(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < SENT; i++)
        side_send_content(side, EACH, i, NULL, CHAPPE_FOREVER);
    side_tell(side, 0);
    side_await(side);
}

static void set_aside_and_close(struct side *side, void *context) {
    (void)context;
    const chappe_filter filter = {.size = sizeof filter, .correlation = 5};
    chappe_message *message;
    side_await(side);
    fails(chappe_receive(side->endpoint, &filter, chappe_in_ms(50), &message), -ETIMEDOUT, NULL);
    chappe_undelivered left = close_at(side, CHAPPE_NOW);
    assert_int_equal(left.unread, SENT);
    assert_int_equal(left.count, 0);
    side_tell(side, 0);
}

static void test_unread(const struct trial *trial) {
    run_both(trial, NULL, send_eight, set_aside_and_close, NULL);
}

/* A reader that comes later is waited for. */
static void close_and_drain(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < SENT; i++)
        side_send_content(side, EACH, i, NULL, CHAPPE_FOREVER);
    side_send_content(side, 4 * MIB, SENT, NULL, chappe_in_ms(20)); /* held in part */
    side_tell(side, 0);
    chappe_undelivered left = close_at(side, chappe_in_ms(LONG_MS));
    assert_int_equal(left.count, 0);
    assert_int_equal(left.lost, 0);
}

static void read_all(struct side *side, void *context) {
    (void)context;
    side_await(side);
    for (size_t i = 0; i < SENT; i++)
        side_expect(side, EACH, i);
    side_expect(side, 4 * MIB, SENT);
}

static void test_drain(const struct trial *trial) {
    run_both(trial, NULL, close_and_drain, read_all, NULL);
}

/* ---- messages outlive their endpoint ---- */

static void send_two(struct side *side, void *context) {
    (void)context;
    side_send_content(side, 10, 1, NULL, CHAPPE_FOREVER);
    side_send_content(side, MIB, 2, NULL, CHAPPE_FOREVER);
}

static void test_message_after_close(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, send_two, NULL);
    chappe_message *small = side_receive(&near), *large = side_receive(&near);
    part(&near);
    assert_int_equal(small->size, 10);
    content_check(small->data, 10, 1);
    assert_int_equal(large->size, MIB);
    content_check(large->data, MIB, 2);
    chappe_release(small);
    chappe_release(large);
    chappe_release(NULL);
    ok(chappe_close(NULL, CHAPPE_NOW, NULL));
}

/* ---- half-close ---- */

static void finish_then_receive(struct side *far, void *context) {
    (void)context;
    side_send_content(far, MIB, 1, NULL, chappe_in_ms(20)); /* held in part */
    fails(chappe_finish(far->endpoint, 250), -EINVAL, "deadline");
    side_tell(far, 0);
    int outcome = chappe_finish(far->endpoint, chappe_in_ms(LONG_MS));
    side_tell(far, (uint64_t)-outcome);
    if (outcome == 0) {
        fails(side_send(far, "x", 1, NULL, CHAPPE_NOW), -EBADF, NULL);
        fails(chappe_finish(far->endpoint, CHAPPE_NOW), -ENOTSUP, NULL);
    } else {
        fails(outcome, -ENOTSUP, NULL);
    }
    side_expect(far, MIB, 2);
    side_expect(far, 3, 3);
}

static void test_finish(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, finish_then_receive, NULL);
    chappe_message *message = NULL;
    side_await(&near);
    side_expect(&near, MIB, 1);
    bool finished = side_await(&near) == 0;
    if (finished && near.by_token)
        side_expect_nothing(&near); /* a server never ends */
    else if (finished)
        assert_int_equal(chappe_receive(near.endpoint, NULL, chappe_in_ms(LONG_MS), &message),
                         CHAPPE_END);
    side_send_content(&near, MIB, 2, NULL, chappe_in_ms(LONG_MS));
    side_send_content(&near, 3, 3, NULL, chappe_in_ms(LONG_MS));
    part(&near);
}

static void finish_unread(struct side *far, void *context) {
    (void)context;
    for (size_t i = 0; i < SENT; i++)
        side_send_content(far, EACH, i, NULL, CHAPPE_FOREVER);
    int outcome = chappe_finish(far->endpoint, CHAPPE_NOW);
    chappe_undelivered left = close_at(far, CHAPPE_NOW);
    if (outcome == 0)
        check_count(&left, SENT);
    side_tell(far, 0);
}

static void test_finish_unread(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, finish_unread, NULL);
    side_await(&near);
    for (size_t i = 0; i < SENT; i++)
        side_expect(&near, EACH, i);
    part(&near);
}

/* ---- what failed was not sent ---- */

static void close_at_once(struct side *far, void *context) {
    (void)context;
    side_close(far);
    side_tell(far, 0);
}

static void test_failed_batch(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, close_at_once, NULL);
    side_await(&near);
    chappe_item items[100];
    for (size_t i = 0; i < COUNT(items); i++)
        items[i] = (chappe_item){.data = "item", .size = 4};
    int outcome = chappe_send_batch(near.endpoint, items, COUNT(items), CHAPPE_FOREVER);
    assert_true(outcome == -EPIPE || outcome == -ECONNRESET);
    fails(outcome, outcome, chappe_address(near.endpoint));
    outcome = side_send(&near, "x", 1, NULL, CHAPPE_FOREVER);
    assert_true(outcome == -EPIPE || outcome == -ECONNRESET);
    chappe_undelivered left = close_at(&near, CHAPPE_NOW);
    assert_int_equal(left.count, 0);
    assert_int_equal(left.lost, 0);
    part(&near);
}

int main(int argc, char **argv) {
    static const struct conformance_test tests[] = {
        {.name = "close while nobody reads", .function = test_close_unread},
        {.name = "close after some were read", .function = test_partly_read},
        {.name = "close with unread messages", .function = test_unread},
        {.name = "close waits for the reader", .function = test_drain},
        {.name = "messages outlive their endpoint", .function = test_message_after_close},
        {.name = "half-close", .function = test_finish, .both = true},
        {.name = "half-close while nobody reads", .function = test_finish_unread},
        {.name = "a failed batch was not sent",
         .function = test_failed_batch,
         .ways = WAY_PAIR | WAY_ACCEPT,
         .both = true},
    };
    return conformance_main(argc, argv, tests, COUNT(tests));
}
