/* SPDX-License-Identifier: MIT
 *
 * shm:// under load and in need: every kind of memory, every size, rings that grow while they
 * are in use, shortages, names that are taken, ends that are killed, very many connections. */
#include <chappe/chappe.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "domain/domain.h"
#include "harness/harness.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_MS 60000
#define MIB ((size_t)1 << 20)
#define SKIPPED (77 << 8) /* status of a peer that could not do what the test is about */

/* ---- common ---- */

static void check(int outcome) {
    if (outcome < 0)
        fail_msg("%d: %s", outcome, chappe_error());
}

static void expect_error(int outcome, int error, const char *word) {
    if (outcome != error)
        fail_msg("%d, not %d: %s", outcome, error, chappe_error());
    if (strstr(chappe_error(), word) == NULL)
        fail_msg("the sentence does not name \"%s\": %s", word, chappe_error());
}

static chappe_deadline soon(void) {
    return chappe_in_ms(LONG_MS);
}

static void close_end(chappe_endpoint *endpoint) {
    chappe_undelivered left = {.size = sizeof left};
    check(chappe_close(endpoint, CHAPPE_NOW, &left));
}

static const char *address_of(const char *options) {
    static char address[512];
    int length =
        snprintf(address, sizeof address, "shm://plant?domain=%s%s", harness_directory(), options);
    assert_true(length > 0 && (size_t)length < sizeof address);
    return address;
}

static chappe_endpoint *listen_at(const char *options) {
    chappe_endpoint *server = NULL;
    check(chappe_listen(address_of(options), NULL, CHAPPE_NOW, &server));
    return server;
}

static chappe_endpoint *open_at(const char *options) {
    chappe_endpoint *client = NULL;
    check(chappe_open(address_of(options), NULL, soon(), &client));
    return client;
}

/* A server and a client, each as one end; System V memory is attached. */
static void join(const char *options, chappe_endpoint **ret_client, chappe_endpoint **ret_server) {
    chappe_endpoint *server = listen_at(options), *client = open_at(options), *accepted = NULL;
    chappe_message *message = NULL;
    check(chappe_accept(server, soon(), &accepted));
    assert_int_equal(chappe_receive(accepted, NULL, CHAPPE_NOW, &message), -EAGAIN);
    close_end(server);
    *ret_client = client;
    *ret_server = accepted;
}

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_number(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Bytes that tell where they belong. */
static void fill(uint8_t *bytes, size_t size, uint64_t seed) {
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)((seed * 31 + i) * 2654435761u >> 13);
}

static void check_body(const chappe_message *message, size_t size, uint64_t seed) {
    const uint8_t *bytes = message->data;
    if (message->size != size)
        fail_msg("%zu bytes came where %zu were sent", message->size, size);
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (uint8_t)((seed * 31 + i) * 2654435761u >> 13))
            fail_msg("byte %zu of %zu is another one", i, size);
}

/* The test's directory, which is the domain, is empty. */
static void expect_no_names(void) {
    char names[512] = "";
    DIR *folder = opendir(harness_directory());
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            size_t length = strlen(names);
            snprintf(names + length, sizeof names - length, " %s", entry->d_name);
        }
    closedir(folder);
    if (names[0] != '\0')
        fail_msg("left in the domain:%s", names);
}

static time_t started; /* this program; what is older was left by others */

/* Segments that a process made and that are still there. */
static size_t count_segments(pid_t maker) {
    char line[512];
    size_t count = 0;
    int pid;
    long made;
    FILE *lines = fopen("/proc/sysvipc/shm", "re");
    while (lines != NULL && fgets(line, sizeof line, lines) != NULL)
        count += sscanf(line, "%*d %*d %*o %*u %d %*d %*d %*d %*d %*d %*d %*u %*u %ld", &pid,
                        &made) == 2 &&
                 pid == maker && made >= (long)started;
    if (lines != NULL)
        fclose(lines);
    return count;
}

/* ---- sizes ---- */

static const uint8_t *body_of(size_t size, uint64_t seed) {
    static uint8_t *bytes;
    if (bytes == NULL)
        bytes = malloc(64 * MIB + 1);
    assert_non_null(bytes);
    fill(bytes, size, seed);
    return bytes;
}

static void send_sizes(chappe_endpoint *from, chappe_endpoint *to, size_t most) {
    chappe_message *message = NULL;
    uint64_t seed = 0;
    for (size_t power = 1; power <= most; power *= 2)
        for (int add = -1; add <= 1; add++) {
            size_t size = power + (size_t)add;
            check(chappe_send(from, body_of(size, ++seed), size, NULL, CHAPPE_NOW));
            check(chappe_receive(to, NULL, soon(), &message));
            check_body(message, size, seed);
            chappe_release(message);
        }
}

static void test_sizes(void **state) {
    const char *options = *state;
    chappe_endpoint *client, *server;
    join(options, &client, &server);
    send_sizes(client, server, 64 * MIB);
    send_sizes(server, client, 4 * MIB);
    close_end(client);
    close_end(server);
    expect_no_names();
    assert_int_equal(count_segments(getpid()), 0);
}

/* ---- both ways at once ---- */

struct side {
    uint64_t send, sent, receive, received;
};

/* One side: sends messages that differ in size, takes what comes. Every hundredth message
 * carries descriptors. */
static void send_more(chappe_endpoint *end, struct side *side) {
    static uint8_t bytes[40000];
    while (side->sent < side->send) {
        uint64_t seed = side->sent + 1;
        size_t size = (size_t)(seed * 7919 % (seed % 50 == 0 ? 40000 : 300));
        int descriptors[2] = {STDIN_FILENO, STDERR_FILENO};
        chappe_settings settings = {
            .size = sizeof settings, .descriptors = descriptors, .descriptor_count = 2};
        fill(bytes, size, seed);
        int outcome = chappe_send(end, bytes, size, seed % 100 == 0 ? &settings : NULL, CHAPPE_NOW);
        if (outcome == -EAGAIN)
            return;
        check(outcome);
        side->sent++;
    }
}

static void receive_more(chappe_endpoint *end, struct side *side) {
    chappe_message *messages[8];
    while (side->received < side->receive) {
        int got = chappe_receive_batch(end, NULL, CHAPPE_NOW, messages, COUNT(messages));
        if (got == -EAGAIN)
            return;
        check(got);
        if (got == 0)
            fail_msg("the end came after %llu messages", (unsigned long long)side->received);
        for (int i = 0; i < got; i++) {
            uint64_t seed = ++side->received;
            int64_t descriptors = 0;
            check_body(messages[i], (size_t)(seed * 7919 % (seed % 50 == 0 ? 40000 : 300)), seed);
            if (seed % 100 == 0)
                check(chappe_get(messages[i], CHAPPE_DESCRIPTORS, &descriptors));
            assert_int_equal(descriptors, seed % 100 == 0 ? 2 : 0);
        }
        chappe_release_batch(messages, (size_t)got);
    }
}

static void exchange(chappe_endpoint *end, uint64_t count) {
    struct side side = {.send = count, .receive = count};
    while (side.sent < side.send || side.received < side.receive) {
        chappe_wait_item item = {.endpoint = end,
                                 .events = (side.sent < side.send ? CHAPPE_WRITABLE : 0u) |
                                           (side.received < side.receive ? CHAPPE_READABLE : 0u)};
        send_more(end, &side);
        receive_more(end, &side);
        if (side.sent < side.send || side.received < side.receive)
            check(chappe_wait(&item, 1, soon()));
        else
            break;
    }
}

struct one_end {
    const char *options;
    uint64_t count;
};

static void be_client(void *context) {
    const struct one_end *end = context;
    chappe_endpoint *client = open_at(end->options);
    size_t before = harness_count_descriptors();
    exchange(client, end->count);
    assert_true(harness_count_descriptors() <= before);
    check(chappe_finish(client, soon()));
    chappe_message *message = NULL;
    assert_int_equal(chappe_receive(client, NULL, soon(), &message), CHAPPE_END);
    close_end(client);
}

static void test_both_ways(void **state) {
    struct one_end end = {.options = *state, .count = 20000};
    chappe_endpoint *server = listen_at(end.options), *accepted = NULL;
    pid_t client = harness_fork(be_client, &end);
    check(chappe_accept(server, soon(), &accepted));
    exchange(accepted, end.count);
    check(chappe_finish(accepted, soon()));
    harness_join(client);
    close_end(accepted);
    close_end(server);
    expect_no_names();
}

/* ---- growth ---- */

/* Nobody reads while a batch, larger than any first ring, goes: the ring grows in its middle. */
static void test_batch_grows(void **state) {
    chappe_endpoint *client, *server;
    join(*state, &client, &server);
    static chappe_item items[2000];
    static uint64_t numbers[COUNT(items)];
    chappe_message *message = NULL;
    uint64_t received = 0;
    for (size_t i = 0; i < COUNT(items); i++) {
        numbers[i] = i;
        items[i] = (chappe_item){.data = &numbers[i], .size = sizeof numbers[i]};
    }
    for (size_t done = 0; done < COUNT(items);) {
        int sent = chappe_send_batch(client, items + done, COUNT(items) - done, CHAPPE_NOW);
        if (sent == -EAGAIN)
            fail_msg("after %zu messages of 8 bytes the ring is full", done);
        check(sent);
        done += (size_t)sent;
    }
    while (received < COUNT(items)) {
        check(chappe_receive(server, NULL, soon(), &message));
        assert_int_equal(message->size, 8);
        assert_memory_equal(message->data, &numbers[received++], 8);
        chappe_release(message);
    }
    close_end(client);
    close_end(server);
}

/* The receiver keeps every message while the sender goes on: the memory stays bounded, the
 * kept messages stay as they were. */
static void test_holder(void **state) {
    chappe_endpoint *client, *server;
    join(*state, &client, &server);
    enum { SIZE = 5000, MOST = 100000 };
    chappe_message **held = calloc(MOST, sizeof(chappe_message *));
    size_t count = 0;
    assert_non_null(held);
    for (; count < MOST; count++) {
        int outcome = chappe_send(client, body_of(SIZE, count), SIZE, NULL, CHAPPE_NOW);
        if (outcome == -EAGAIN)
            break;
        check(outcome);
        check(chappe_receive(server, NULL, soon(), &held[count]));
    }
    if (count == MOST)
        fail_msg("%d MiB were taken in and are held", (int)(MOST / MIB * SIZE));
    if (count * SIZE < 3 * MIB)
        fail_msg("only %zu messages of %d bytes can be held", count, SIZE);
    for (size_t i = 0; i < count; i++)
        check_body(held[i], SIZE, i);
    for (size_t i = 0; i < count / 2; i++) /* out of order: every other one */
        chappe_release(held[2 * i]);
    for (size_t i = 0; i < count; i++)
        if (i % 2 == 1 || i / 2 >= count / 2) {
            check_body(held[i], SIZE, i);
            chappe_release(held[i]);
        }
    free(held);
    send_sizes(client, server, MIB);
    close_end(client);
    close_end(server);
}

/* A client that never reads: one reply is kept, then -EAGAIN; the others are served. */
static void test_never_reads(void **state) {
    const char *options = *state;
    chappe_endpoint *server = listen_at(options), *mute = open_at(options),
                    *good = open_at(options);
    chappe_message *message = NULL;
    chappe_token token, other;
    static uint8_t bytes[10000];
    size_t count = 0;
    while (chappe_send(mute, "ask", 3, NULL, CHAPPE_NOW) == -EAGAIN)
        assert_int_equal(chappe_receive(server, NULL, CHAPPE_NOW, &message), -EAGAIN);
    check(chappe_receive(server, NULL, soon(), &message));
    check(chappe_token_of(message, &token));
    chappe_release(message);
    int outcome;
    while ((outcome = chappe_reply(server, &token, bytes, sizeof bytes, NULL, CHAPPE_NOW)) == 0)
        if (++count > 10000)
            fail_msg("a client that never reads was sent %zu replies", count);
    expect_error(outcome, -EAGAIN, "shm://plant");
    assert_true(count > 1);
    for (int i = 0; i < 1000; i++) {
        while (chappe_send(good, "good", 4, NULL, CHAPPE_NOW) == -EAGAIN)
            assert_int_equal(chappe_receive(server, NULL, CHAPPE_NOW, &message), -EAGAIN);
        check(chappe_receive(server, NULL, soon(), &message));
        assert_int_equal(message->size, 4);
        check(chappe_token_of(message, &other));
        chappe_release(message);
        check(chappe_reply(server, &other, "yes", 3, NULL, CHAPPE_NOW));
        check(chappe_receive(good, NULL, soon(), &message));
        chappe_release(message);
    }
    /* It reads after all: everything is there, the kept one too. */
    for (size_t i = 0; i < count; i++) {
        while ((outcome = chappe_receive(mute, NULL, CHAPPE_NOW, &message)) == -EAGAIN)
            assert_int_equal(chappe_receive(server, NULL, CHAPPE_NOW, &message), -EAGAIN);
        check(outcome);
        assert_int_equal(message->size, sizeof bytes);
        chappe_release(message);
    }
    check(chappe_reply(server, &token, "last", 4, NULL, CHAPPE_NOW));
    check(chappe_receive(mute, NULL, soon(), &message));
    assert_int_equal(message->size, 4);
    chappe_release(message);
    close_end(mute);
    close_end(good);
    close_end(server);
}

/* A sender reserves room, writes, and exits: there is no message, and then the end. */
static void reserve_and_exit(void *context) {
    chappe_endpoint *client = open_at(context);
    chappe_message *message = NULL, *reply = NULL;
    check(chappe_request(client, "before", 6, NULL, soon(), &reply));
    check(chappe_reserve(client, 1000, NULL, soon(), &message));
    memset(message->data, 'x', 1000);
    _exit(0);
}

static void test_reserves_and_exits(void **state) {
    const char *options = *state;
    chappe_endpoint *server = listen_at(options), *accepted = NULL;
    char copy[64];
    snprintf(copy, sizeof copy, "%s", options);
    for (int round = 0; round < 10; round++) {
        chappe_message *message = NULL;
        chappe_token token;
        pid_t client = harness_fork(reserve_and_exit, copy);
        check(chappe_accept(server, soon(), &accepted));
        check(chappe_receive(accepted, NULL, soon(), &message));
        assert_int_equal(message->size, 6);
        check(chappe_token_of(message, &token));
        chappe_release(message);
        check(chappe_reply(accepted, &token, "yes", 3, NULL, soon()));
        harness_join(client);
        assert_int_equal(chappe_receive(accepted, NULL, soon(), &message), CHAPPE_END);
        int outcome = chappe_send(accepted, "x", 1, NULL, CHAPPE_NOW);
        assert_true(outcome == -EPIPE || outcome == -ECONNRESET);
        close_end(accepted);
    }
    close_end(server);
}

/* ---- pairs over fork ---- */

struct pair {
    chappe_endpoint *mine, *theirs;
    uint64_t count;
};

static void be_child(void *context) {
    struct pair *pair = context;
    close_end(pair->theirs);
    exchange(pair->mine, pair->count);
    check(chappe_finish(pair->mine, soon()));
    close_end(pair->mine);
}

static void test_pair(void **state) {
    char address[512];
    struct pair pair = {.count = 5000};
    chappe_message *message = NULL;
    snprintf(address, sizeof address, "shm://?domain=%s%s", harness_directory(),
             (const char *)*state);
    int outcome = chappe_pair(address, NULL, &pair.mine, &pair.theirs);
    if (strstr(address, "pages=huge") != NULL && (outcome == -ENOMEM || outcome == -ENOSPC)) {
        expect_error(outcome, outcome, "huge");
        harness_skip("the kernel has no huge pages to give");
    }
    check(outcome);
    pid_t child = harness_fork(be_child, &pair);
    close_end(pair.mine);
    exchange(pair.theirs, pair.count);
    assert_int_equal(chappe_receive(pair.theirs, NULL, soon(), &message), CHAPPE_END);
    harness_join(child);
    close_end(pair.theirs);
    expect_no_names();
    assert_int_equal(count_segments(getpid()), 0);
}

/* ---- a ledger ---- */

#define LEDGER 1000000

static void pause_at_random(uint64_t number) {
    if (number % 997 != 0)
        return;
    const struct timespec span = {.tv_nsec = (long)(random_number() % 60000)};
    nanosleep(&span, NULL);
}

static void keep_sending(void *context) {
    chappe_endpoint *client = open_at(context);
    uint64_t words[6];
    random_state ^= (uint64_t)getpid() << 20;
    for (uint64_t i = 0; i < LEDGER;) {
        chappe_item items[16];
        static uint64_t numbers[COUNT(items)];
        size_t count = random_number() % 4 == 0 ? random_number() % COUNT(items) + 1 : 1;
        for (size_t j = 0; j < count; j++) {
            numbers[j] = i + j;
            items[j] = (chappe_item){.data = &numbers[j], .size = 8};
        }
        if (count > 1 && i + count <= LEDGER) {
            int sent = chappe_send_batch(client, items, count, soon());
            check(sent);
            i += (uint64_t)sent;
            continue;
        }
        for (size_t j = 0; j < COUNT(words); j++)
            words[j] = i;
        check(chappe_send(client, words, 8 + i % COUNT(words) * 8, NULL, soon()));
        pause_at_random(i++);
    }
    check(chappe_finish(client, soon()));
    chappe_message *message = NULL;
    check(chappe_receive(client, NULL, soon(), &message));
    assert_int_equal(message->size, 3);
    chappe_release(message);
    close_end(client);
}

static void check_entry(const chappe_message *message, uint64_t number) {
    uint64_t words[6];
    if (message->size < 8 || message->size > sizeof words || message->size % 8 != 0)
        fail_msg("message %llu has %zu bytes", (unsigned long long)number, message->size);
    memcpy(words, message->data, message->size);
    for (size_t i = 0; i < message->size / 8; i++)
        if (words[i] != number)
            fail_msg("word %zu of message %llu is %llu", i, (unsigned long long)number,
                     (unsigned long long)words[i]);
}

static void test_ledger(void **state) {
    char options[64];
    chappe_message *messages[32], *message = NULL;
    snprintf(options, sizeof options, "%s", (const char *)*state);
    chappe_endpoint *server = listen_at(options), *accepted = NULL;
    pid_t client = harness_fork(keep_sending, options);
    check(chappe_accept(server, soon(), &accepted));
    for (uint64_t i = 0; i < LEDGER;) {
        size_t most = random_number() % 2 == 0 ? COUNT(messages) : 1;
        int got = chappe_receive_batch(accepted, NULL, soon(), messages, most);
        check(got);
        if (got == 0)
            fail_msg("the end came after %llu messages", (unsigned long long)i);
        for (int j = 0; j < got; j++)
            check_entry(messages[j], i++);
        chappe_release_batch(messages, (size_t)got);
        pause_at_random(i);
    }
    assert_int_equal(chappe_receive(accepted, NULL, soon(), &message), CHAPPE_END);
    check(chappe_send(accepted, "yes", 3, NULL, soon()));
    harness_join(client);
    close_end(accepted);
    close_end(server);
}

/* ---- many clients at once ---- */

#define MANY 8
#define MANY_MESSAGES 20000

struct one_of_many {
    const char *options;
    uint64_t number;
};

/* Up to 50 requests are under way; each reply says what it answers. */
static void ask_often(void *context) {
    const struct one_of_many *self = context;
    chappe_endpoint *client = open_at(self->options);
    uint64_t sent = 0, answered = 0;
    random_state ^= (uint64_t)getpid() << 20;
    while (answered < MANY_MESSAGES) {
        chappe_message *message = NULL;
        while (sent < MANY_MESSAGES && sent < answered + random_number() % 50 + 1) {
            uint64_t words[2] = {self->number, sent};
            chappe_settings asks = {
                .size = sizeof asks, .flags = CHAPPE_ASKS, .correlation = sent + 1};
            check(chappe_send(client, words, sizeof words, &asks, soon()));
            pause_at_random(++sent);
        }
        check(chappe_receive(client, NULL, soon(), &message));
        uint64_t words[2];
        int64_t correlation = 0;
        assert_int_equal(message->size, sizeof words);
        memcpy(words, message->data, sizeof words);
        check(chappe_get(message, CHAPPE_CORRELATION, &correlation));
        assert_int_equal(words[0], self->number);
        assert_int_equal(words[1], answered++);
        assert_int_equal(correlation, answered);
        chappe_release(message);
    }
    close_end(client);
}

static void test_many_clients(void **state) {
    struct one_of_many selves[MANY];
    pid_t clients[MANY];
    uint64_t next[MANY] = {0};
    char options[64];
    snprintf(options, sizeof options, "%s", (const char *)*state);
    chappe_endpoint *server = listen_at(options);
    for (uint64_t i = 0; i < MANY; i++) {
        selves[i] = (struct one_of_many){.options = options, .number = i};
        clients[i] = harness_fork(ask_often, &selves[i]);
    }
    for (uint64_t i = 0; i < MANY * MANY_MESSAGES; i++) {
        chappe_message *message = NULL;
        chappe_token token;
        uint64_t words[2];
        check(chappe_receive(server, NULL, soon(), &message));
        assert_int_equal(message->size, sizeof words);
        memcpy(words, message->data, sizeof words);
        assert_true(words[0] < MANY);
        assert_int_equal(words[1], next[words[0]]++); /* in order, none lost or doubled */
        check(chappe_token_of(message, &token));
        check(chappe_reply(server, &token, words, sizeof words, NULL, soon()));
        chappe_release(message);
        pause_at_random(i);
    }
    for (size_t i = 0; i < MANY; i++)
        harness_join(clients[i]);
    close_end(server);
    expect_no_names();
}

/* ---- requests both ways at once ---- */

#define REQUESTS 5000

/* Answers what it is asked, and asks. */
static void ask_and_answer(chappe_endpoint *end) {
    uint64_t asked = 0, replies = 0, answered = 0;
    chappe_message *message = NULL;
    while (replies < REQUESTS || answered < REQUESTS) {
        if (asked < REQUESTS && asked - replies < 20) {
            chappe_settings asks = {
                .size = sizeof asks, .flags = CHAPPE_ASKS, .correlation = asked + 1};
            int outcome = chappe_send(end, &asked, sizeof asked, &asks, CHAPPE_NOW);
            if (outcome == 0)
                asked++;
            else if (outcome != -EAGAIN)
                check(outcome);
        }
        bool wait = asked == REQUESTS || asked - replies == 20;
        int outcome = chappe_receive(end, NULL, wait ? soon() : CHAPPE_NOW, &message);
        if (outcome == -EAGAIN)
            continue;
        check(outcome);
        assert_int_equal(outcome, 0);
        int64_t is_reply = 0;
        uint64_t number;
        memcpy(&number, message->data, sizeof number);
        if (chappe_get(message, CHAPPE_IS_REPLY, &is_reply) == 0 && is_reply == 1) {
            assert_int_equal(number, replies++);
        } else {
            chappe_token token;
            assert_int_equal(number, answered++);
            check(chappe_token_of(message, &token));
            check(chappe_reply(end, &token, message->data, message->size, NULL, soon()));
        }
        chappe_release(message);
    }
}

static void be_asked(void *context) {
    chappe_endpoint *client = open_at(context);
    chappe_message *message = NULL;
    ask_and_answer(client);
    check(chappe_finish(client, soon()));
    assert_int_equal(chappe_receive(client, NULL, soon(), &message), CHAPPE_END);
    close_end(client);
}

static void test_requests_both_ways(void **state) {
    char options[64];
    chappe_endpoint *accepted = NULL;
    snprintf(options, sizeof options, "%s", (const char *)*state);
    chappe_endpoint *server = listen_at(options);
    pid_t client = harness_fork(be_asked, options);
    check(chappe_accept(server, soon(), &accepted));
    ask_and_answer(accepted);
    check(chappe_finish(accepted, soon()));
    harness_join(client);
    close_end(accepted);
    close_end(server);
}

/* ---- ends that are killed ---- */

static void pause_for(uint64_t ns) {
    const struct timespec span = {.tv_nsec = (long)ns};
    nanosleep(&span, NULL);
}

/* Answers whatever comes, and never ends. */
static void serve_for_ever(void *context) {
    chappe_endpoint *server = listen_at(context);
    for (;;) {
        chappe_message *message = NULL;
        chappe_token token;
        if (chappe_receive(server, NULL, CHAPPE_FOREVER, &message) != 0)
            continue;
        check(chappe_token_of(message, &token));
        chappe_reply(server, &token, message->data, message->size, NULL, CHAPPE_NOW);
        chappe_release(message);
    }
}

static void ask_for_ever(void *context) {
    static uint8_t bytes[70000];
    for (;;) {
        chappe_endpoint *client = open_at(context);
        chappe_message *reply = NULL;
        for (int i = 0; i < 3; i++)
            if (chappe_request(client, bytes, i == 2 ? sizeof bytes : 100, NULL, soon(), &reply) ==
                0)
                chappe_release(reply);
        close_end(client);
    }
}

static void test_killed_servers(void **state) {
    char options[64];
    snprintf(options, sizeof options, "%s", (const char *)*state);
    size_t before = harness_count_descriptors(), mappings = harness_count_mappings();
    for (int round = 0; round < 150; round++) {
        static uint8_t bytes[20000];
        chappe_message *reply = NULL;
        pid_t server = harness_fork(serve_for_ever, options);
        chappe_endpoint *client = open_at(options);
        pause_for(random_number() % 3000000);
        if (round % 2 == 0) /* in mid-message, in mid-growth, in mid-reply */
            for (int i = 0; i < 20; i++)
                chappe_send(client, bytes, sizeof bytes, NULL, CHAPPE_NOW);
        pause_for(random_number() % 300000);
        harness_signal(server, SIGKILL);
        int outcome = chappe_request(client, "?", 1, NULL, soon(), &reply);
        while (outcome == 0 && reply != NULL) { /* of before */
            chappe_release(reply);
            outcome = chappe_receive(client, NULL, soon(), &reply);
        }
        assert_true(outcome == CHAPPE_END || (outcome < 0 && outcome != -ETIMEDOUT));
        harness_wait(server);
        close_end(client);
        /* Its name passes at once, and nothing is left of it. */
        chappe_endpoint *next = listen_at(options);
        close_end(next);
        expect_no_names();
        assert_int_equal(count_segments(server), 0);
        assert_int_equal(count_segments(getpid()), 0);
        assert_int_equal(harness_count_descriptors(), before);
    }
    /* A sanitizer maps now and then, too. */
    assert_true(harness_count_mappings() <= mappings + 100);
}

/* Whoever opens the domain next removes what a dead process left in it. */
static void open_once_more(void) {
    char address[512];
    chappe_endpoint *nobody = NULL;
    snprintf(address, sizeof address, "shm://nobody?domain=%s", harness_directory());
    assert_int_equal(chappe_open(address, NULL, CHAPPE_NOW, &nobody), -ENOENT);
}

static void test_killed_clients(void **state) {
    char options[64];
    snprintf(options, sizeof options, "%s", (const char *)*state);
    chappe_endpoint *server = listen_at(options);
    size_t before = harness_count_descriptors();
    for (int round = 0; round < 150; round++) {
        chappe_statistics numbers = {.size = sizeof numbers};
        chappe_message *message = NULL;
        chappe_token token;
        pid_t client = harness_fork(ask_for_ever, options);
        uint64_t asked = random_number() % 12;
        for (uint64_t i = 0; i < asked; i++) {
            check(chappe_receive(server, NULL, soon(), &message));
            check(chappe_token_of(message, &token));
            chappe_release(message);
            chappe_reply(server, &token, "yes", 3, NULL, CHAPPE_NOW);
        }
        pause_for(random_number() % 500000);
        harness_signal(client, SIGKILL);
        harness_wait(client);
        for (int i = 0; i < 10000; i++) {
            if (chappe_receive(server, NULL, chappe_in_ms(1), &message) == 0)
                chappe_release(message);
            check(chappe_get_statistics(server, &numbers));
            if (numbers.clients == 0)
                break;
        }
        assert_int_equal(numbers.clients, 0);
        open_once_more();
        assert_int_equal(count_segments(client), 0);
        assert_int_equal(harness_count_descriptors(), before);
    }
    close_end(server);
    expect_no_names();
}

/* ---- ten thousand connections ---- */

#define CONNECTIONS 10000

static long resident_bytes(void) {
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &pages, &resident), 2);
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

static void be_very_many(void *context) {
    (void)context;
    chappe_endpoint **clients = calloc(CONNECTIONS, sizeof(chappe_endpoint *));
    chappe_message *message = NULL;
    assert_non_null(clients);
    long before = resident_bytes();
    for (uint64_t i = 0; i < CONNECTIONS; i++) {
        clients[i] = open_at("");
        check(chappe_send(clients[i], &i, sizeof i, NULL, soon()));
    }
    for (uint64_t i = 0; i < CONNECTIONS; i++) {
        check(chappe_receive(clients[i], NULL, soon(), &message));
        assert_int_equal(message->size, sizeof i);
        assert_memory_equal(message->data, &i, sizeof i);
        chappe_release(message);
    }
    printf("a client: %ld bytes a connection\n", (resident_bytes() - before) / CONNECTIONS);
    for (uint64_t i = 0; i < CONNECTIONS; i++)
        close_end(clients[i]);
    free(clients);
}

static void test_very_many(void **state) {
    (void)state;
    struct rlimit limit = {.rlim_cur = CONNECTIONS + 100, .rlim_max = CONNECTIONS + 100};
    struct rlimit now;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    if (now.rlim_max > limit.rlim_max)
        limit.rlim_max = now.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        harness_skip("10,000 descriptors are more than this user may have");
    chappe_endpoint *server = listen_at("");
    chappe_statistics numbers = {.size = sizeof numbers};
    chappe_message *message = NULL;
    chappe_token token;
    long before = resident_bytes();
    pid_t clients = harness_fork(be_very_many, NULL);
    for (int i = 0; i < CONNECTIONS; i++) {
        check(chappe_receive(server, NULL, soon(), &message));
        check(chappe_token_of(message, &token));
        check(chappe_reply(server, &token, message->data, message->size, NULL, CHAPPE_NOW));
        chappe_release(message);
    }
    check(chappe_get_statistics(server, &numbers));
    printf("the server: %ld bytes a connection\n", (resident_bytes() - before) / CONNECTIONS);
    do {
        int outcome = chappe_receive(server, NULL, chappe_in_ms(20), &message);
        assert_true(outcome == -ETIMEDOUT);
        check(chappe_get_statistics(server, &numbers));
    } while (numbers.clients > 0);
    harness_join(clients);
    assert_int_equal(numbers.received, CONNECTIONS);
    assert_int_equal(numbers.clients_cut_off, 0);
    close_end(server);
}

/* ---- shortages ---- */

/* Nothing is there any more, and nothing worse than an error happened. */
static void expect_shortage(int outcome, const char *word) {
    if (outcome != -ENOSPC)
        fail_msg("%d, not -ENOSPC: %s", outcome, chappe_error());
    assert_non_null(strstr(chappe_error(), "shm://"));
    if (strstr(chappe_error(), word) == NULL)
        fail_msg("the sentence does not name \"%s\": %s", word, chappe_error());
}

static void fill_small_folder(void *context) {
    (void)context;
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", harness_directory(), "tmpfs", 0, "size=256k,mode=0700") < 0)
        _exit(77);
    chappe_endpoint *server = listen_at("&backing=posix"), *client = NULL;
    size_t before = harness_count_descriptors();
    expect_shortage(chappe_open(address_of("&backing=posix&ring=1M"), NULL, CHAPPE_NOW, &client),
                    "file system");
    assert_int_equal(harness_count_descriptors(), before);
    client = open_at("&backing=posix");
    chappe_message *message = NULL;
    /* What it has still serves: the ring cannot grow, the reader makes room. */
    for (uint64_t i = 0, received = 0; received < 20000;) {
        if (chappe_send(client, &i, sizeof i, NULL, CHAPPE_NOW) == 0) {
            i++;
            continue;
        }
        do {
            check(chappe_receive(server, NULL, soon(), &message));
            assert_memory_equal(message->data, &received, 8);
            chappe_release(message);
        } while (++received < i);
    }
    /* A full folder: nobody can listen or connect, and what is there goes on. */
    char path[256];
    harness_path(path, sizeof path, "full");
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    static const char zeros[4096];
    while (write(file, zeros, sizeof zeros) > 0)
        ;
    chappe_endpoint *other = NULL;
    char address[512];
    snprintf(address, sizeof address, "shm://other?domain=%s", harness_directory());
    expect_shortage(chappe_listen(address, NULL, CHAPPE_NOW, &other), "file system");
    expect_shortage(chappe_open(address_of("&backing=posix"), NULL, CHAPPE_NOW, &other), "");
    check(chappe_send(client, "still", 5, NULL, CHAPPE_NOW));
    check(chappe_receive(server, NULL, soon(), &message));
    chappe_release(message);
    close_end(client);
    close_end(server);
    close(file);
}

static void test_full(void **state) {
    (void)state;
    int status = harness_wait(harness_fork(fill_small_folder, NULL));
    if (status == SKIPPED)
        harness_skip("mounting a small file system takes root");
    assert_int_equal(status, 0);
}

static void test_file_limit(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *client = NULL, *other = NULL;
    struct rlimit limit = {.rlim_cur = 65536, .rlim_max = RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    size_t before = harness_count_descriptors();
    expect_error(chappe_open(address_of("&ring=1M"), NULL, CHAPPE_NOW, &client), -EFBIG,
                 "ulimit -f");
    expect_error(chappe_open(address_of("&ring=1M&backing=posix"), NULL, CHAPPE_NOW, &client),
                 -EFBIG, "ulimit -f");
    assert_int_equal(harness_count_descriptors(), before);
    client = open_at("");
    static uint8_t bytes[300000];
    chappe_message *message = NULL;
    for (uint64_t i = 0; i < 10000; i++) { /* the ring stays as it is */
        while (chappe_send(client, bytes, 500, NULL, CHAPPE_NOW) == 0)
            ;
        check(chappe_receive(server, NULL, soon(), &message));
        chappe_release(message);
    }
    while (chappe_receive(server, NULL, CHAPPE_NOW, &message) == 0)
        chappe_release(message);
    int outcome = chappe_send(client, bytes, sizeof bytes, NULL, chappe_in_ms(100));
    if (outcome != -EFBIG && outcome != -ENOSPC && outcome != -EMSGSIZE)
        fail_msg("a body larger than files may be: %d: %s", outcome, chappe_error());
    check(chappe_send(client, "after it", 8, NULL, CHAPPE_NOW));
    check(chappe_receive(server, NULL, soon(), &message));
    assert_int_equal(message->size, 8);
    chappe_release(message);
    assert_null(other);
    close_end(client);
    close_end(server);
}

static bool write_text(const char *folder, const char *name, const char *text) {
    char file[700];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* In a control group with 32 MiB of memory: asks for more in every way, and lives. */
static void ask_for_too_much(void *context) {
    static const char *const pairs[] = {"&backing=memfd", "&backing=posix", "&backing=sysv",
                                        "&backing=anonymous", "&backing=zero"};
    char pid[32], address[512], folder[] = "/dev/shm/chappe-test-XXXXXX";
    chappe_endpoint *a = NULL, *b = NULL, *server, *client;
    snprintf(pid, sizeof pid, "%d", getpid());
    if (!write_text(context, "cgroup.procs", pid))
        _exit(77);
    size_t before = harness_count_descriptors();
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < COUNT(pairs); i++) {
        snprintf(address, sizeof address, "shm://?domain=%s%s&ring=64M", folder, pairs[i]);
        expect_shortage(chappe_pair(address, NULL, &a, &b), "shm://");
        assert_int_equal(harness_count_descriptors(), before);
    }
    assert_int_equal(rmdir(folder), 0); /* nothing is left in it */
    join("", &client, &server);
    chappe_message *message = NULL;
    uint8_t *bytes = mmap(NULL, 64 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(bytes != MAP_FAILED); /* zeros that take no memory */
    expect_shortage(chappe_send(client, bytes, 64 * MIB, NULL, chappe_in_ms(100)), "shm://");
    /* Much that nobody reads: -EAGAIN, or -ENOSPC, and then it goes on. */
    size_t sent = 0, received = 0;
    while (sent < 1000 && chappe_send(client, bytes, 100000, NULL, CHAPPE_NOW) == 0)
        sent++;
    assert_true(sent < 1000);
    for (; received < sent; received++) {
        check(chappe_receive(server, NULL, soon(), &message));
        assert_int_equal(message->size, 100000);
        chappe_release(message);
    }
    check(chappe_send(client, "after it", 8, NULL, CHAPPE_NOW));
    check(chappe_receive(server, NULL, soon(), &message));
    assert_int_equal(message->size, 8);
    chappe_release(message);
    close_end(client);
    close_end(server);
}

/* A new group for memory beside this process's own. False: none can be made here. */
static bool make_group(char *ret_group, size_t size) {
    char line[512], folder[600];
    bool made = false;
    FILE *lines = fopen("/proc/self/cgroup", "re");
    while (lines != NULL && !made && fgets(line, sizeof line, lines) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const char *old = strstr(line, ":memory:");
        if (old == NULL && strncmp(line, "0::", 3) != 0)
            continue;
        snprintf(folder, sizeof folder, "/sys/fs/cgroup%s%s", old != NULL ? "/memory" : "",
                 old != NULL ? old + 8 : line + 3);
        snprintf(ret_group, size, "%.500s/chappe-shm-%d", folder, (int)getpid());
        made = mkdir(ret_group, 0755) == 0;
        const char *limit = old != NULL ? "memory.limit_in_bytes" : "memory.max";
        if (made && !write_text(ret_group, limit, "33554432")) {
            rmdir(ret_group);
            made = false;
        }
    }
    if (lines != NULL)
        fclose(lines);
    return made;
}

static void test_control_group(void **state) {
    (void)state;
    char group[560];
    if (!make_group(group, sizeof group))
        harness_skip("no control group with a memory limit can be made here");
    int status = harness_wait(harness_fork(ask_for_too_much, group));
    for (int i = 0; i < 1000 && rmdir(group) < 0; i++)
        pause_for(1000000);
    if (status == SKIPPED)
        harness_skip("no process may be put into a control group here");
    if (WIFSIGNALED(status))
        fail_msg("killed by %s", strsignal(WTERMSIG(status)));
    assert_int_equal(status, 0);
}

/* ---- names that are taken ---- */

static void own_other_version(void *context) {
    int folder = open(harness_directory(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct domain_place place = {.folder = folder, .leaf = "shm.plant", .text = "test://"};
    const struct domain_wish wish = {.kind = "shm", .version = 2, .size = 64};
    struct domain_object *object = NULL;
    assert_int_equal(domain_object_create(&place, &wish, &object), 0);
    assert_int_equal(write(*(int *)context, "", 1), 1);
    for (;;)
        pause();
}

static void test_other_version(void **state) {
    (void)state;
    int ends[2];
    char byte;
    chappe_endpoint *end = NULL;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t owner = harness_fork(own_other_version, &ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    expect_error(chappe_open(address_of(""), NULL, CHAPPE_NOW, &end), -EPROTO, "version 2");
    assert_int_equal(chappe_listen(address_of(""), NULL, CHAPPE_NOW, &end), -EADDRINUSE);
    harness_signal(owner, SIGKILL);
    harness_wait(owner);
    end = listen_at(""); /* the name of the dead passes, whatever their version was */
    close_end(end);
    expect_no_names();
}

static void test_squatted(void **state) {
    (void)state;
    chappe_endpoint *end = NULL;
    char path[256], target[256];
    struct stat before, after;
    harness_path(path, sizeof path, "shm.plant");
    harness_path(target, sizeof target, "target");
    for (int kind = 0; kind < 6; kind++) {
        int file = -1;
        if (kind == 0)
            assert_int_equal(mkdir(path, 0700), 0);
        if (kind == 1)
            assert_int_equal(symlink(target, path), 0);
        if (kind == 2)
            assert_int_equal(mkfifo(path, 0600), 0);
        if (kind >= 3) {
            file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
            static const char text[5000] = "chappe\x1a\x02 but not quite";
            if (kind >= 4)
                assert_int_equal(write(file, text, kind == 4 ? 8 : sizeof text),
                                 kind == 4 ? 8 : sizeof text);
            close(file);
        }
        assert_int_equal(lstat(path, &before), 0);
        expect_error(chappe_listen(address_of(""), NULL, CHAPPE_NOW, &end), -EEXIST, "shm://plant");
        int outcome = chappe_open(address_of(""), NULL, CHAPPE_NOW, &end);
        expect_error(outcome, -EEXIST, "shm://plant");
        assert_null(end);
        assert_int_equal(lstat(path, &after), 0); /* it was left alone */
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(before.st_size, after.st_size);
        assert_int_equal(kind == 0 ? rmdir(path) : unlink(path), 0);
    }
    assert_int_equal(access(target, F_OK), -1);
    expect_no_names();
}

/* A folder that others may write to, or that belongs to somebody else, is no domain. */
static void test_unsafe_domain(void **state) {
    (void)state;
    chappe_endpoint *end = NULL;
    char address[512], folder[256];
    harness_path(folder, sizeof folder, "domain");
    snprintf(address, sizeof address, "shm://plant?domain=%s", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    static const mode_t modes[] = {0777, 0770, 0722, 01777};
    for (size_t i = 0; i < COUNT(modes); i++) {
        assert_int_equal(chmod(folder, modes[i]), 0);
        expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &end), -EPERM, folder);
        expect_error(chappe_open(address, NULL, CHAPPE_NOW, &end), -EPERM, folder);
    }
    assert_int_equal(chmod(folder, 0700), 0);
    check(chappe_listen(address, NULL, CHAPPE_NOW, &end));
    close_end(end);
    if (geteuid() == 0) {
        assert_int_equal(chown(folder, 65534, 65534), 0);
        expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &end), -EPERM, folder);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void test_taken(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *other = NULL;
    expect_error(chappe_listen(address_of(""), NULL, CHAPPE_NOW, &other), -EADDRINUSE,
                 "shm://plant");
    close_end(server);
    expect_error(chappe_open(address_of(""), NULL, CHAPPE_NOW, &other), -ENOENT, "shm://plant");
    other = listen_at("");
    close_end(other);
}

#define EACH(text, tested, limit)                                                                  \
    {.name = text ", memfd", .function = tested, .seconds = limit, .context = backings_memfd},     \
        {.name = text ", posix", .function = tested, .seconds = limit, .context = backings_posix}, \
    {                                                                                              \
        .name = text ", sysv", .function = tested, .seconds = limit, .context = backings_sysv      \
    }

static const char backings_memfd[] = "&backing=memfd", backings_posix[] = "&backing=posix",
                  backings_sysv[] = "&backing=sysv";

static const struct harness_test tests[] = {
    EACH("every size", test_sizes, 300),
    EACH("both ways at once", test_both_ways, 120),
    {.name = "both ways at once, asleep", .function = test_both_ways, .context = "&wait=sleep"},
    {.name = "both ways at once, spinning", .function = test_both_ways, .context = "&wait=spin"},
    {.name = "both ways at once, large", .function = test_both_ways, .context = "&ring=4M"},
    EACH("a batch in a growing ring", test_batch_grows, 60),
    {.name = "a receiver that keeps all", .function = test_holder, .context = ""},
    {.name = "a receiver that keeps all, posix",
     .function = test_holder,
     .context = backings_posix},
    EACH("a client that never reads", test_never_reads, 60),
    EACH("a sender that reserves and exits", test_reserves_and_exits, 60),
    {.name = "pair", .function = test_pair, .context = ""},
    {.name = "pair, posix", .function = test_pair, .context = backings_posix},
    {.name = "pair, sysv", .function = test_pair, .context = backings_sysv},
    {.name = "pair, anonymous", .function = test_pair, .context = "&backing=anonymous"},
    {.name = "pair, /dev/zero", .function = test_pair, .context = "&backing=zero"},
    {.name = "pair, small", .function = test_pair, .context = "&backing=anonymous&ring=256K"},
    {.name = "pair, spinning", .function = test_pair, .context = "&wait=spin"},
    {.name = "pair, asleep", .function = test_pair, .context = "&wait=sleep"},
    {.name = "pair, huge", .function = test_pair, .context = "&pages=huge"},
    {.name = "pair, huge sysv", .function = test_pair, .context = "&pages=huge&backing=sysv"},
    {.name = "pair, huge anonymous",
     .function = test_pair,
     .context = "&pages=huge&backing=anonymous"},
    {.name = "a million messages", .function = test_ledger, .seconds = 120, .context = ""},
    {.name = "a million messages, asleep",
     .function = test_ledger,
     .seconds = 240,
     .context = "&wait=sleep"},
    {.name = "a million messages, small ring that cannot grow",
     .function = test_ledger,
     .seconds = 240,
     .context = "&backing=sysv&ring=2K"},
    EACH("many clients", test_many_clients, 120),
    {.name = "many clients, asleep",
     .function = test_many_clients,
     .seconds = 120,
     .context = "&wait=sleep"},
    EACH("requests both ways", test_requests_both_ways, 60),
    {.name = "requests both ways, asleep",
     .function = test_requests_both_ways,
     .context = "&wait=sleep"},
    EACH("servers that are killed", test_killed_servers, 120),
    EACH("clients that are killed", test_killed_clients, 120),
    {.name = "10,000 connections", .function = test_very_many, .seconds = 300},
    {.name = "a full folder", .function = test_full},
    {.name = "files may not be large", .function = test_file_limit},
    {.name = "a control group's memory", .function = test_control_group},
    {.name = "an object of another version", .function = test_other_version},
    {.name = "something else has the name", .function = test_squatted},
    {.name = "folders that are no domain", .function = test_unsafe_domain},
    {.name = "a name that is taken", .function = test_taken},
};

int main(int argc, char **argv) {
    started = time(NULL);
    return harness_main(argc, argv, tests, COUNT(tests));
}
