/* SPDX-License-Identifier: MIT
 *
 * Conformance: the other side is killed, at each stage, and no SIGPIPE comes of it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conformance/conformance.h"

#define ENOUGH 10000 /* more messages of 100,000 bytes than any carrier holds */

static bool is_gone(int error) {
    return error == -EPIPE || error == -ECONNRESET || error == -ECONNABORTED || error == -ESTALE;
}

/* SIGPIPE stays as it was: by default, and not blocked. */
static void check_signals(void) {
    struct sigaction action;
    sigset_t blocked, pending;
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_ptr_equal(action.sa_handler, SIG_DFL);
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &blocked), 0);
    assert_int_equal(sigismember(&blocked, SIGPIPE), 0);
    assert_int_equal(sigpending(&pending), 0);
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
}

static void kill_far(struct side *near) {
    harness_signal(near->peer, SIGKILL);
    harness_wait(near->peer);
}

static void end(struct side *near) {
    ok(chappe_close(near->endpoint, CHAPPE_NOW, NULL));
    ok(chappe_close(near->server, CHAPPE_NOW, NULL));
    close(near->control);
    check_signals();
}

/* What comes of receiving once the other side is dead: the end, or on a server nothing. */
static void expect_end(struct side *near) {
    chappe_message *message = NULL;
    if (near->by_token)
        fails(chappe_receive(near->endpoint, NULL, chappe_in_ms(20), &message), -ETIMEDOUT, NULL);
    for (int i = 0; i < 2 && !near->by_token; i++)
        assert_int_equal(chappe_receive(near->endpoint, NULL, chappe_in_ms(LONG_MS), &message),
                         CHAPPE_END);
    assert_null(message);
}

/* ---- before it connects, and idle ---- */

static void stay(struct side *far, void *context) {
    (void)context;
    side_await(far);
}

static void connect_and_die(void *context) {
    chappe_endpoint *endpoint;
    ok(chappe_open(context, NULL, chappe_in_ms(LONG_MS), &endpoint));
    raise(SIGKILL);
}

static void open_and_send(void *context) {
    chappe_endpoint *endpoint;
    ok(chappe_open(context, NULL, chappe_in_ms(LONG_MS), &endpoint));
    ok(chappe_send(endpoint, "alive", 5, NULL, chappe_in_ms(LONG_MS)));
    ok(chappe_close(endpoint, chappe_in_ms(LONG_MS), NULL));
}

/* A client that dies before anybody accepted it does not disturb the next one. */
static void test_killed_before(const struct trial *trial) {
    char address[512];
    chappe_endpoint *server;
    chappe_message *message;
    trial_address(trial, NULL, address, sizeof address);
    ok(chappe_listen(address, NULL, CHAPPE_NOW, &server));
    pid_t dead = harness_fork(connect_and_die, address);
    harness_wait(dead);
    pid_t alive = harness_fork(open_and_send, address);
    ok(chappe_receive(server, NULL, chappe_in_ms(LONG_MS), &message));
    assert_int_equal(message->size, 5);
    chappe_release(message);
    harness_join(alive);
    ok(chappe_close(server, CHAPPE_NOW, NULL));
}

static void test_killed_idle(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, stay, NULL);
    kill_far(&near);
    if (trial->connections)
        expect_end(&near);
    if (trial->both) {
        int outcome = side_send(&near, "x", 1, NULL, CHAPPE_FOREVER);
        assert_true(is_gone(outcome));
        fails(outcome, outcome, chappe_address(near.endpoint));
    }
    end(&near);
}

/* ---- while it sends ---- */

static void send_for_ever(struct side *far, void *context) {
    (void)context;
    char *bytes = calloc(1, 100 * MIB);
    assert_non_null(bytes);
    side_send_content(far, 20, 7, NULL, CHAPPE_FOREVER);
    side_send(far, bytes, 100 * MIB, NULL, CHAPPE_FOREVER);
    side_await(far);
}

static bool all_zero(const chappe_message *message) {
    const char *bytes = message->data;
    return message->size == 100 * MIB && bytes[0] == 0 &&
           memcmp(bytes, bytes + 1, message->size - 1) == 0;
}

/* What was sent before arrives. Of the last message: all, where the carrier takes a message
 * at once, or none of it, and then the receiver is told. */
static void test_killed_sending(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, send_for_ever, NULL);
    chappe_message *message = NULL;
    side_expect(&near, 20, 7);
    chappe_wait_item item = {.endpoint = near.endpoint, .events = CHAPPE_READABLE};
    ok(chappe_wait(&item, 1, chappe_in_ms(LONG_MS))); /* its beginning is here */
    kill_far(&near);
    chappe_statistics numbers = {.size = sizeof numbers};
    int outcome = chappe_receive(near.endpoint, NULL, chappe_in_ms(1000), &message);
    ok(chappe_get_statistics(near.endpoint, &numbers));
    if (outcome == 0) {
        assert_true(all_zero(message));
        chappe_release(message);
        assert_int_equal(numbers.clients_cut_off, 0);
    } else if (near.by_token) {
        fails(outcome, -ETIMEDOUT, NULL);
        assert_int_equal(numbers.clients_cut_off, 1);
        assert_int_equal(numbers.clients, 0);
    } else {
        fails(outcome, -EBADMSG, "cut off");
    }
    if (trial->connections)
        expect_end(&near);
    end(&near);
}

/* ---- while it receives ---- */

static char process_state(pid_t process) {
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file >= 0 ? read(file, text, sizeof text - 1) : 0;
    close(file);
    const char *name_end = size > 0 ? strrchr(text, ')') : NULL;
    return name_end != NULL ? name_end[2] : '?';
}

struct killing {
    pid_t sender, receiver;
};

/* Kills the receiver once the sender sleeps, usually because it waits for room. */
static void kill_receiver(void *context) {
    const struct killing *killing = context;
    while (process_state(killing->sender) == 'R')
        ;
    assert_int_equal(kill(killing->receiver, SIGKILL), 0);
}

static void send_until_gone(struct side *near, chappe_deadline deadline) {
    char *bytes = calloc(1, 100000);
    assert_non_null(bytes);
    struct killing killing = {.sender = getpid(), .receiver = near->peer};
    pid_t killer = harness_fork(kill_receiver, &killing);
    int outcome = 0, sent = 0;
    for (; outcome == 0 && sent < ENOUGH; sent++)
        outcome = side_send(near, bytes, 100000, NULL, deadline);
    assert_true(is_gone(outcome));
    fails(outcome, outcome, chappe_address(near->endpoint));
    outcome = side_send(near, bytes, 100000, NULL, deadline);
    assert_true(is_gone(outcome));
    free(bytes);
    harness_join(killer);
}

static void test_killed_receiving(const struct trial *trial) {
    for (int i = 0; i < 4; i++) {
        struct side near = join(trial, NULL, NULL, stay, NULL);
        send_until_gone(&near, i % 2 == 0 ? CHAPPE_FOREVER : chappe_in_ms(LONG_MS));
        harness_wait(near.peer);
        end(&near);
    }
}

/* A message is held in part: nobody will ever have seen it whole, and close says so. */
static void test_killed_while_held(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, stay, NULL);
    char *bytes = calloc(1, 8 * MIB);
    assert_non_null(bytes);
    ok(side_send(&near, bytes, 8 * MIB, NULL, chappe_in_ms(20)));
    kill_far(&near);
    int outcome = side_send(&near, bytes, 8 * MIB, NULL, CHAPPE_FOREVER);
    assert_true(is_gone(outcome));
    free(bytes);
    chappe_undelivered left = {.size = sizeof left};
    ok(chappe_close(near.endpoint, chappe_in_ms(LONG_MS), &left));
    if (left.certainty == CHAPPE_EXACTLY)
        assert_int_equal(left.lost, 1);
    else if (left.certainty == CHAPPE_AT_MOST)
        assert_in_range(left.lost, 1, 2);
    assert_true(left.lost <= left.count);
    ok(chappe_close(near.server, CHAPPE_NOW, NULL));
    close(near.control);
    check_signals();
}

int main(int argc, char **argv) {
    static const struct conformance_test tests[] = {
        {.name = "killed before it is accepted",
         .function = test_killed_before,
         .ways = WAY_SERVER},
        {.name = "killed while idle", .function = test_killed_idle},
        {.name = "killed while it sends 100 MiB", .function = test_killed_sending},
        {.name = "killed while it receives", .function = test_killed_receiving, .both = true},
        {.name = "killed while a message is held",
         .function = test_killed_while_held,
         .ways = WAY_PAIR | WAY_ACCEPT,
         .both = true},
    };
    return conformance_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
