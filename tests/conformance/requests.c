/* SPDX-License-Identifier: MIT
 *
 * Conformance: requests and replies. The far side asks, the near side answers. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "conformance/conformance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Receives one request and its token. */
static chappe_message *receive_request(struct side *near, chappe_token *token) {
    chappe_message *message = side_receive(near);
    ok(chappe_token_of(message, token));
    return message;
}

/* Asks with content of `size` bytes and expects the reply to be content of `reply` bytes. */
static void ask(struct side *far, size_t size, size_t reply, uint64_t seed) {
    void *bytes = content_create(size, seed);
    chappe_message *message = NULL;
    chappe_deadline deadline = seed % 2 == 0 ? CHAPPE_FOREVER : chappe_in_ms(LONG_MS);
    assert_int_equal(ok(chappe_request(far->endpoint, bytes, size, NULL, deadline, &message)), 0);
    assert_int_equal(message->size, reply);
    content_check(message->data, reply, seed);
    assert_int_equal(field_of(message, CHAPPE_IS_REPLY), 1);
    chappe_release(message);
    free(bytes);
}

/* Answers with the seed's content of `reply` bytes, by chappe_reply(). */
static void answer(struct side *near, const chappe_token *token, size_t reply, uint64_t seed) {
    void *bytes = content_create(reply, seed);
    ok(chappe_reply(near->endpoint, token, bytes, reply, NULL, chappe_in_ms(LONG_MS)));
    free(bytes);
}

/* ---- one after the other, with other messages in between ---- */

static const size_t asked_sizes[] = {0, 1, 5000, 70000, MIB};

static void ask_in_turn(struct side *far, void *context) {
    (void)context;
    for (size_t i = 0; i < 200; i++)
        ask(far, i, i * 3, i);
    for (size_t i = 0; i < COUNT(asked_sizes); i++)
        ask(far, asked_sizes[i], asked_sizes[COUNT(asked_sizes) - 1 - i], i);
    for (uint64_t i = 0; i < 600; i++)
        side_expect(far, 7, 1000 + i); /* were set aside, in order */
    side_expect_nothing(far);
}

static void test_requests(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, ask_in_turn, NULL);
    chappe_token token;
    for (size_t i = 0; i < 200; i++) {
        chappe_message *message = receive_request(&near, &token);
        assert_int_equal(field_of(message, CHAPPE_IS_REQUEST), 1);
        assert_int_equal(message->size, i);
        content_check(message->data, i, i);
        chappe_release(message);
        for (uint64_t j = 0; j < 3; j++)
            side_send_content(&near, 7, 1000 + 3 * i + j, NULL, chappe_in_ms(LONG_MS));
        answer(&near, &token, i * 3, i);
    }
    for (size_t i = 0; i < COUNT(asked_sizes); i++) {
        chappe_release(receive_request(&near, &token));
        answer(&near, &token, asked_sizes[COUNT(asked_sizes) - 1 - i], i);
    }
    part(&near);
}

/* ---- late ---- */

static void ask_too_early(struct side *far, void *context) {
    (void)context;
    chappe_message *message = NULL;
    chappe_deadline deadline = chappe_in_ms(20);
    fails(chappe_request(far->endpoint, "early", 5, NULL, deadline, &message), -ETIMEDOUT,
          chappe_address(far->endpoint));
    assert_true(now_ns() >= deadline);
    fails(chappe_request(far->endpoint, "now", 3, NULL, CHAPPE_NOW, &message), -EAGAIN, NULL);
    fails(chappe_request(far->endpoint, "span", 4, NULL, 250, &message), -EINVAL, "deadline");
    assert_null(message);
    side_tell(far, 0);
    ask(far, 10, 11, 3); /* the replies to the first two came before this one's */
    chappe_statistics numbers = {.size = sizeof numbers};
    ok(chappe_get_statistics(far->endpoint, &numbers));
    assert_int_equal(numbers.replies_late, 2);
    side_await(far);
    side_expect(far, 12, 4);
    side_expect_nothing(far);
    ok(chappe_get_statistics(far->endpoint, &numbers));
    assert_int_equal(numbers.replies_late, 3); /* the second reply to the last request */
}

static void test_late(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, ask_too_early, NULL);
    chappe_token tokens[3];
    for (int i = 0; i < 2; i++)
        chappe_release(receive_request(&near, &tokens[i]));
    side_await(&near);
    chappe_release(receive_request(&near, &tokens[2]));
    answer(&near, &tokens[0], 5, 0);
    answer(&near, &tokens[1], 70000, 0);
    answer(&near, &tokens[2], 11, 3);
    answer(&near, &tokens[2], 11, 3); /* a token may be used more than once */
    side_send_content(&near, 12, 4, NULL, chappe_in_ms(LONG_MS));
    side_tell(&near, 0);
    part(&near);
}

/* ---- several outstanding, answered in any order ---- */

#define OUTSTANDING 9

static void ask_several(struct side *far, void *context) {
    (void)context;
    for (uint64_t i = 1; i <= OUTSTANDING; i++) {
        chappe_settings settings = {
            .size = sizeof settings, .flags = CHAPPE_ASKS, .correlation = i};
        ok(side_send(far, &i, sizeof i, &settings, chappe_in_ms(LONG_MS)));
    }
    for (uint64_t i = 1; i <= OUTSTANDING; i++) {
        const chappe_filter filter = {.size = sizeof filter, .correlation = i};
        chappe_message *message;
        ok(chappe_receive(far->endpoint, &filter, chappe_in_ms(LONG_MS), &message));
        assert_int_equal(message->size, 10 * i);
        assert_int_equal(field_of(message, CHAPPE_CORRELATION), i);
        assert_int_equal(field_of(message, CHAPPE_IS_REPLY), 1);
        chappe_release(message);
    }
    /* A request with a correlation of its own. */
    chappe_settings settings = {.size = sizeof settings, .correlation = 4711};
    chappe_message *message;
    ok(chappe_request(far->endpoint, "own", 3, &settings, chappe_in_ms(LONG_MS), &message));
    assert_int_equal(field_of(message, CHAPPE_CORRELATION), 4711);
    chappe_release(message);
    settings.correlation = (uint64_t)1 << 62;
    fails(chappe_request(far->endpoint, "own", 3, &settings, CHAPPE_NOW, &message), -EINVAL,
          "2^62");
}

static void test_several(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, ask_several, NULL);
    chappe_token tokens[OUTSTANDING], copies[OUTSTANDING], own;
    for (uint64_t i = 0; i < OUTSTANDING; i++) {
        chappe_message *message = receive_request(&near, &tokens[i]);
        assert_int_equal(field_of(message, CHAPPE_CORRELATION), i + 1);
        chappe_release(message);
    }
    memcpy(copies, tokens, sizeof tokens); /* plain values */
    memset(tokens, 0xEE, sizeof tokens);
    for (size_t i = 0; i < OUTSTANDING; i++) {
        size_t j = i * 4 % OUTSTANDING; /* each once, out of order */
        answer(&near, &copies[j], 10 * (j + 1), 0);
    }
    chappe_release(receive_request(&near, &own));
    answer(&near, &own, 1, 0);
    /* With another endpoint the token is worth nothing. */
    fails(chappe_reply(near.endpoint, &tokens[0], "x", 1, NULL, CHAPPE_NOW), -EINVAL, "token");
    fails(chappe_reply(near.endpoint, NULL, "x", 1, NULL, CHAPPE_NOW), -EINVAL, "token");
    part(&near);
}

/* ---- replies in every way of sending ---- */

static void ask_three(struct side *far, void *context) {
    (void)context;
    for (uint64_t i = 0; i < 3; i++)
        ask(far, 5, 100, i);
}

static void test_ways_to_reply(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, ask_three, NULL);
    chappe_token token;
    char content[100];
    chappe_release(receive_request(&near, &token));
    chappe_settings settings = {.size = sizeof settings, .answers = &token};
    content_fill(content, sizeof content, 0);
    ok(chappe_send(near.endpoint, content, sizeof content, &settings, chappe_in_ms(LONG_MS)));

    chappe_release(receive_request(&near, &token));
    content_fill(content, sizeof content, 1);
    chappe_item item = {.data = content, .size = sizeof content, .settings = &settings};
    assert_int_equal(ok(chappe_send_batch(near.endpoint, &item, 1, chappe_in_ms(LONG_MS))), 1);

    chappe_release(receive_request(&near, &token));
    chappe_message *message;
    ok(chappe_reserve(near.endpoint, sizeof content, &settings, chappe_in_ms(LONG_MS), &message));
    memset(&token, 0, sizeof token); /* copied */
    content_fill(message->data, sizeof content, 2);
    ok(chappe_commit(message, sizeof content, chappe_in_ms(LONG_MS)));
    part(&near);
}

/* ---- the asker is killed ---- */

static void ask_for_ever(struct side *far, void *context) {
    (void)context;
    chappe_message *message;
    chappe_request(far->endpoint, "x", 1, NULL, CHAPPE_FOREVER, &message);
    fail_msg("a reply came to a request that nobody answers");
}

static void test_asker_killed(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, ask_for_ever, NULL);
    chappe_token token;
    chappe_message *message = NULL;
    chappe_release(receive_request(&near, &token));
    harness_signal(near.peer, SIGKILL);
    harness_wait(near.peer);
    if (trial->way == WAY_SERVER) {
        /* The server notices by itself; others' messages would come out of this call. */
        fails(chappe_receive(near.endpoint, NULL, chappe_in_ms(20), &message), -ETIMEDOUT, NULL);
        fails(chappe_reply(near.endpoint, &token, "x", 1, NULL, CHAPPE_NOW), -ESTALE, "asker");
        chappe_wait_item item = {
            .endpoint = near.endpoint, .events = CHAPPE_WRITABLE, .token = &token};
        if (trial->connections) {
            assert_int_equal(ok(chappe_wait(&item, 1, CHAPPE_NOW)), 1);
            assert_int_equal(item.ready, CHAPPE_BROKEN);
        }
    } else {
        int outcome = chappe_reply(near.endpoint, &token, "x", 1, NULL, CHAPPE_NOW);
        bool told = outcome == -EPIPE || outcome == -ECONNRESET || outcome == -ESTALE;
        assert_true(told || outcome == 0); /* memory takes it: a wait learns of the death */
        assert_int_equal(chappe_receive(near.endpoint, NULL, chappe_in_ms(LONG_MS), &message),
                         CHAPPE_END);
        if (!told)
            fails(chappe_reply(near.endpoint, &token, "x", 1, NULL, CHAPPE_NOW), -EPIPE, "gone");
    }
    ok(chappe_close(near.endpoint, CHAPPE_NOW, NULL));
    ok(chappe_close(near.server, CHAPPE_NOW, NULL));
    close(near.control);
}

/* ---- frames without correlation ---- */

static void ask_plainly(struct side *far, void *context) {
    (void)context;
    chappe_message *message = NULL;
    for (int i = 0; i < 3; i++) {
        ok(chappe_request(far->endpoint, "what", 4, NULL, chappe_in_ms(LONG_MS), &message));
        assert_int_equal(message->size, 6);
        assert_memory_equal(message->data, "answer", 6);
        chappe_release(message);
    }
    fails(chappe_request(far->endpoint, "late", 4, NULL, chappe_in_ms(20), &message), -ETIMEDOUT,
          NULL);
    fails(chappe_request(far->endpoint, "more", 4, NULL, CHAPPE_NOW, &message), -EPROTO, "frame");
    side_tell(far, 0);
    message = side_receive(far);
    assert_memory_equal(message->data, "late", 4);
    chappe_release(message);
    ok(chappe_request(far->endpoint, "what", 4, NULL, chappe_in_ms(LONG_MS), &message));
    assert_memory_equal(message->data, "answer", 6);
    chappe_release(message);
}

static void test_plain_requests(const struct trial *trial) {
    static const char *const frames[] = {"frame=line", "frame=nul", "frame=length32"};
    for (size_t i = 0; i < COUNT(frames); i++) {
        struct side near = join(trial, frames[i], frames[i], ask_plainly, NULL);
        chappe_token token;
        for (int j = 0; j < 5; j++) {
            chappe_message *message = receive_request(&near, &token);
            bool late = memcmp(message->data, "late", 4) == 0;
            assert_int_equal(message->size, 4);
            chappe_release(message);
            if (late)
                side_await(&near);
            ok(chappe_reply(near.endpoint, &token, late ? "late" : "answer", late ? 4 : 6, NULL,
                            chappe_in_ms(LONG_MS)));
        }
        part(&near);
    }
}

int main(int argc, char **argv) {
    static const struct conformance_test tests[] = {
        {.name = "requests", .function = test_requests, .both = true},
        {.name = "late replies", .function = test_late, .both = true},
        {.name = "several outstanding", .function = test_several, .both = true},
        {.name = "ways to reply", .function = test_ways_to_reply, .both = true},
        {.name = "the asker is killed", .function = test_asker_killed, .both = true},
        {.name = "requests without correlation", .function = test_plain_requests, .both = true},
    };
    return conformance_main(argc, argv, tests, COUNT(tests));
}
