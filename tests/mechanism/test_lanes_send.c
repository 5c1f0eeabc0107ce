/* SPDX-License-Identifier: MIT
 *
 * A stream in which everything comes in between: sizes from 4 bytes to 3 MB, single sends,
 * batches, messages written in place and abandoned, while the receiver keeps up to 40 of them.
 * Rings grow, are followed by others, and are pinned by what is kept. */
#include <chappe/chappe.h>
#include <stdio.h>
#include <string.h>

#include "harness/harness.h"

#define COUNT 6000u
#define LARGEST 3000004u
#define KEPT 40u
#define BATCH 64u
#define BATCH_SIZE 6000u
#define LONG_MS 20000

static unsigned seed;

static unsigned draw(unsigned below) {
    seed = seed * 1103515245u + 12345u;
    return (seed >> 8) % below;
}

/* Both sides know how large each message is, and what is in it. */
static size_t size_of(unsigned number) {
    unsigned mixed = number * 2654435761u, kind = (mixed >> 5) % 100;
    unsigned below = kind < 60 ? 200 : kind < 90 ? 5000 : kind < 99 ? 100000 : LARGEST - 4;
    return 4 + (mixed >> 9) % below;
}

static void fill(char *bytes, unsigned number) {
    memset(bytes, (char)(number * 7 + 1), size_of(number));
    memcpy(bytes, &number, sizeof number);
}

static void check(const chappe_message *message, unsigned number) {
    unsigned found;
    const char *bytes = message->data;
    assert_int_equal(message->size, size_of(number));
    memcpy(&found, bytes, sizeof found);
    assert_int_equal(found, number);
    for (size_t i = sizeof number; i < message->size; i += 61)
        assert_int_equal(bytes[i], (char)(number * 7 + 1));
    if (message->size > sizeof number)
        assert_int_equal(bytes[message->size - 1], (char)(number * 7 + 1));
}

static int ok(int result) {
    if (result < 0)
        fail_msg("%s", chappe_error());
    return result;
}

static unsigned send_batch(chappe_endpoint *endpoint, unsigned number) {
    static char bytes[BATCH][BATCH_SIZE];
    chappe_item items[BATCH];
    unsigned count = 0;
    for (; count < BATCH && number + count < COUNT && size_of(number + count) <= BATCH_SIZE;
         count++) {
        fill(bytes[count], number + count);
        items[count] = (chappe_item){.data = bytes[count], .size = size_of(number + count)};
    }
    if (count == 0)
        return 0;
    return (unsigned)ok(chappe_send_batch(endpoint, items, count, chappe_in_ms(LONG_MS)));
}

static unsigned send_in_place(chappe_endpoint *endpoint, unsigned number) {
    chappe_message *message;
    size_t size = size_of(number);
    ok(chappe_reserve(endpoint, size + draw(100), NULL, chappe_in_ms(LONG_MS), &message));
    fill(message->data, number);
    if (draw(10) == 0) {
        chappe_abandon(message);
        return 0;
    }
    ok(chappe_commit(message, size, chappe_in_ms(LONG_MS)));
    return 1;
}

static unsigned send_one(chappe_endpoint *endpoint, unsigned number, bool plain) {
    static char bytes[LARGEST];
    const chappe_settings settings = {.size = sizeof settings, .type = 5};
    fill(bytes, number);
    ok(chappe_send(endpoint, bytes, size_of(number), plain ? NULL : &settings,
                   chappe_in_ms(LONG_MS)));
    return 1;
}

static void send_all(void *context) {
    chappe_endpoint *endpoint;
    ok(chappe_open(context, NULL, chappe_in_ms(LONG_MS), &endpoint));
    seed = 77;
    for (unsigned number = 0; number < COUNT;) {
        unsigned way = draw(10);
        if (way < 5)
            number += send_one(endpoint, number, true);
        else if (way < 7)
            number += send_batch(endpoint, number);
        else if (way < 9)
            number += send_in_place(endpoint, number);
        else
            number += send_one(endpoint, number, false);
    }
    chappe_undelivered left = {.size = sizeof left};
    ok(chappe_close(endpoint, chappe_in_ms(LONG_MS), &left));
    assert_int_equal(left.count, 0);
}

static void receive_all(chappe_endpoint *endpoint) {
    chappe_message *kept[KEPT] = {NULL}, *some[16];
    unsigned numbers[KEPT];
    for (unsigned number = 0; number < COUNT;) {
        int count = draw(3) == 0 ? 16 : 1;
        count =
            ok(chappe_receive_batch(endpoint, NULL, chappe_in_ms(LONG_MS), some, (size_t)count));
        assert_true(count > 0);
        for (int i = 0; i < count; i++, number++) {
            check(some[i], number);
            unsigned place = draw(KEPT);
            if (kept[place] != NULL)
                check(kept[place], numbers[place]); /* nobody has written there meanwhile */
            chappe_release(kept[place]);
            kept[place] = some[i];
            numbers[place] = number;
        }
    }
    chappe_release_batch(kept, KEPT);
}

/* An address, before and behind the directory. */
struct place {
    const char *before, *behind;
};

static void test_mixed(void **state) {
    const struct place *place = *state;
    char address[512];
    chappe_endpoint *server, *client;
    chappe_message *message;
    snprintf(address, sizeof address, "%s%s%s", place->before, harness_directory(), place->behind);
    ok(chappe_listen(address, NULL, CHAPPE_NOW, &server));
    pid_t peer = harness_fork(send_all, address);
    ok(chappe_accept(server, chappe_in_ms(LONG_MS), &client));
    seed = 1;
    receive_all(client);
    assert_int_equal(chappe_receive(client, NULL, chappe_in_ms(LONG_MS), &message), CHAPPE_END);
    harness_join(peer);
    ok(chappe_close(client, CHAPPE_NOW, NULL));
    ok(chappe_close(server, CHAPPE_NOW, NULL));
}

static const struct place unix_place = {"unix://", "/name"};
static const struct place map_place = {"map://", "/name"};
static const struct place shm_place = {"shm://mixed?domain=", ""};
static const struct place sleep_place = {"shm://mixed?domain=", "&wait=sleep"};
static const struct place posix_place = {"shm://mixed?domain=", "&backing=posix"};
static const struct place sysv_place = {"shm://mixed?domain=", "&backing=sysv"};

static const struct harness_test tests[] = {
    {.name = "unix", .function = test_mixed, .context = &unix_place},
    {.name = "map", .function = test_mixed, .context = &map_place},
    {.name = "shm", .function = test_mixed, .context = &shm_place},
    {.name = "shm, asleep", .function = test_mixed, .context = &sleep_place},
    {.name = "shm, posix", .function = test_mixed, .context = &posix_place},
    {.name = "shm, sysv", .function = test_mixed, .context = &sysv_place},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
