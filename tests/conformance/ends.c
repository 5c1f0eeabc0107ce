/* SPDX-License-Identifier: MIT
 *
 * Two joined ends in two processes, test content, and assertions that show the sentence. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "conformance/conformance.h"

#define BLOCK 65521 /* a prime, so that a shifted body is noticed */

/* ---- assertions ---- */

int check_ok(int outcome, const char *call, const char *file, int line) {
    if (outcome < 0) {
        print_error("%s: %s: %s\n", call, strerror(-outcome), chappe_error());
        _fail(file, line);
    }
    return outcome;
}

void check_fails(int outcome, int error, const char *word, const char *call, const char *file,
                 int line) {
    if (outcome != error) {
        print_error("%s: %d, not %d (%s); last sentence: %s\n", call, outcome, error,
                    strerror(-error), chappe_error());
        _fail(file, line);
    }
    if (chappe_error()[0] == '\0' || (word != NULL && strstr(chappe_error(), word) == NULL)) {
        print_error("%s: the sentence does not name \"%s\": %s\n", call,
                    word != NULL ? word : "anything", chappe_error());
        _fail(file, line);
    }
}

int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t field_of(const chappe_message *message, chappe_field field) {
    int64_t value = -1;
    ok(chappe_get(message, field, &value));
    return value;
}

/* ---- test content ---- */

static const unsigned char *content_block(void) {
    static unsigned char block[BLOCK];
    static bool filled;
    uint32_t state = 2463534242;
    for (size_t i = 0; !filled && i < BLOCK; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        block[i] = (unsigned char)state;
    }
    filled = true;
    return block;
}

void content_fill(void *bytes, size_t size, uint64_t seed) {
    const unsigned char *block = content_block();
    size_t from = (size_t)(seed * 7919 % BLOCK);
    for (size_t done = 0; done < size; from = 0) {
        size_t run = BLOCK - from < size - done ? BLOCK - from : size - done;
        memcpy((char *)bytes + done, block + from, run);
        done += run;
    }
}

void content_check(const void *bytes, size_t size, uint64_t seed) {
    const unsigned char *block = content_block();
    size_t from = (size_t)(seed * 7919 % BLOCK);
    for (size_t done = 0; done < size; from = 0) {
        size_t run = BLOCK - from < size - done ? BLOCK - from : size - done;
        if (memcmp((const char *)bytes + done, block + from, run) != 0)
            fail_msg("wrong content between bytes %zu and %zu of %zu (number %llu)", done,
                     done + run, size, (unsigned long long)seed);
        done += run;
    }
}

void *content_create(size_t size, uint64_t seed) {
    void *bytes = malloc(size > 0 ? size : 1);
    assert_non_null(bytes);
    content_fill(bytes, size, seed);
    return bytes;
}

/* ---- apart from the mechanism ---- */

void side_tell(struct side *side, uint64_t value) {
    assert_int_equal(send(side->control, &value, sizeof value, MSG_NOSIGNAL), sizeof value);
}

uint64_t side_await(struct side *side) {
    uint64_t value = 0;
    ssize_t got;
    do
        got = recv(side->control, &value, sizeof value, 0);
    while (got < 0 && errno == EINTR);
    if (got != sizeof value)
        fail_msg("the other side is gone");
    return value;
}

/* ---- joining ---- */

struct far {
    const struct trial *trial;
    const char *options;
    side_function *function;
    void *context;
    chappe_endpoint *near, *pair; /* made before the fork */
    int control[2];
};

static void greet(struct side *far) {
    ok(side_send(far, "greeting", 8, NULL, chappe_in_ms(LONG_MS)));
    side_await(far);
}

static void receive_greeting(struct side *near) {
    chappe_message *message = side_receive(near);
    assert_int_equal(message->size, 8);
    assert_memory_equal(message->data, "greeting", 8);
    if (near->by_token)
        ok(chappe_token_of(message, &near->token));
    chappe_release(message);
    side_tell(near, 0);
}

static void run_far(void *context) {
    struct far *far = context;
    struct side side = {.trial = far->trial, .endpoint = far->pair, .control = far->control[1]};
    close(far->control[0]);
    ok(chappe_close(far->near, CHAPPE_NOW, NULL)); /* the parent's: goes on there */
    if (far->pair == NULL) {
        char address[512];
        trial_address(far->trial, far->options, address, sizeof address);
        ok(chappe_open(address, NULL, chappe_in_ms(LONG_MS), &side.endpoint));
    }
    greet(&side);
    far->function(&side, far->context);
    side_close(&side);
    close(side.control);
}

struct side join(const struct trial *trial, const char *near_options, const char *far_options,
                 side_function *function, void *context) {
    struct far far = {
        .trial = trial, .options = far_options, .function = function, .context = context};
    char address[512];
    trial_address(trial, near_options, address, sizeof address);
    if (trial->way == WAY_PAIR)
        ok(chappe_pair(address, NULL, &far.near, &far.pair));
    else
        ok(chappe_listen(address, NULL, chappe_in_ms(LONG_MS), &far.near));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, far.control), 0);

    struct side near = {.trial = trial, .near = true, .control = far.control[0]};
    near.peer = harness_fork(run_far, &far);
    close(far.control[1]);
    if (far.pair != NULL)
        ok(chappe_close(far.pair, CHAPPE_NOW, NULL)); /* the child's: goes on there */
    near.endpoint = far.near;
    near.by_token = trial->way == WAY_SERVER;
    if (trial->way == WAY_ACCEPT) {
        near.server = far.near;
        ok(chappe_accept(near.server, chappe_in_ms(LONG_MS), &near.endpoint));
    }
    receive_greeting(&near);
    return near;
}

void side_close(struct side *side) {
    chappe_undelivered left = {.size = sizeof left};
    if (side->endpoint == NULL)
        return;
    ok(chappe_close(side->endpoint, chappe_in_ms(LONG_MS), &left));
    side->endpoint = NULL;
    if (left.count != left.lost)
        fail_msg("closed with %llu undelivered", (unsigned long long)left.count);
}

void side_drop(struct side *side) {
    ok(chappe_close(side->endpoint, CHAPPE_NOW, NULL));
    side->endpoint = NULL;
}

static void end_near(struct side *near) {
    side_close(near);
    ok(chappe_close(near->server, CHAPPE_NOW, NULL));
    near->server = NULL;
}

void part(struct side *near) {
    end_near(near);
    harness_join(near->peer);
    close(near->control);
}

void part_from_killed(struct side *near) {
    end_near(near);
    harness_wait(near->peer);
    close(near->control);
}

void run_both(const struct trial *trial, const char *options, side_function *sender,
              side_function *receiver, void *context) {
    struct side near = join(trial, options, options, sender, context);
    receiver(&near, context);
    part(&near);
    if (!trial->both)
        return;
    near = join(trial, options, options, receiver, context);
    sender(&near, context);
    part(&near);
}

/* ---- sending and receiving ---- */

chappe_settings side_settings(const struct side *side, const chappe_settings *settings) {
    chappe_settings all = {.size = sizeof all};
    if (settings != NULL)
        all = *settings;
    if (side->by_token && all.answers == NULL)
        all.answers = &side->token;
    return all;
}

int side_send(struct side *side, const void *bytes, size_t size, const chappe_settings *settings,
              chappe_deadline deadline) {
    chappe_settings all = side_settings(side, settings);
    bool plain = settings == NULL && !side->by_token;
    return chappe_send(side->endpoint, bytes, size, plain ? NULL : &all, deadline);
}

void side_send_content(struct side *side, size_t size, uint64_t seed,
                       const chappe_settings *settings, chappe_deadline deadline) {
    void *bytes = content_create(size, seed);
    ok(side_send(side, bytes, size, settings, deadline));
    free(bytes);
}

chappe_message *side_receive(struct side *side) {
    chappe_message *message = NULL;
    if (ok(chappe_receive(side->endpoint, NULL, chappe_in_ms(LONG_MS), &message)) != 0)
        fail_msg("the end came instead of a message");
    assert_non_null(message);
    assert_non_null(message->data);
    return message;
}

void side_expect(struct side *side, size_t size, uint64_t seed) {
    chappe_message *message = side_receive(side);
    assert_int_equal(message->size, size);
    content_check(message->data, size, seed);
    chappe_release(message);
}

void side_expect_nothing(struct side *side) {
    chappe_message *message = NULL;
    int outcome = chappe_receive(side->endpoint, NULL, CHAPPE_NOW, &message);
    if (outcome != CHAPPE_END) /* the other side may have closed already */
        fails(outcome, -EAGAIN, NULL);
    assert_null(message);
}
