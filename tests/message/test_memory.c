/* SPDX-License-Identifier: MIT
 *
 * Memory: sizes that are only announced cost none, and once things are warm no message
 * costs an allocation. */
#include <chappe/chappe.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "fault/allocations.h"
#include "harness/harness.h"
#include "message/envelope.h"

#define BOUND ((size_t)2 << 20) /* what an announced gigabyte may cost */
#define LARGE ((size_t)1 << 20)

/* ---- announced sizes ---- */

static size_t resident(void) {
    char line[256];
    size_t kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "re");
    assert_non_null(status);
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "VmRSS: %zu kB", &kilobytes) == 1)
            break;
    fclose(status);
    return kilobytes * 1024;
}

static const struct announcement {
    const char *options;
    const char *bytes;
    size_t size;
} announcements[] = {
    {"", "\xC8\0\0\0\0\0\0\x40", 8}, /* 1 GiB in the long form; the check byte is put right */
    {"?frame=length32", "\x40\0\0\0", 4},
};

/* A gigabyte is announced, a few bytes follow, then more in small pieces. */
static void check_announcement(const struct announcement *announcement) {
    uint8_t bytes[64] = {0};
    char address[64], piece[1000] = {0};
    chappe_endpoint *endpoint;
    chappe_message *message = NULL;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    snprintf(address, sizeof address, "pipe://%d,-%s", ends[0], announcement->options);
    assert_int_equal(chappe_open(address, NULL, CHAPPE_NOW, &endpoint), 0);
    memcpy(bytes, announcement->bytes, announcement->size);
    if (bytes[0] == ENVELOPE_LONG)
        bytes[1] = (uint8_t)crc32c(0, bytes, announcement->size);

    size_t asked = allocations.bytes, held = mallinfo2().uordblks, pages = resident();
    assert_int_equal(write(ends[1], bytes, announcement->size + 5), announcement->size + 5);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(chappe_receive(endpoint, NULL, CHAPPE_NOW, &message), -EAGAIN);
        assert_int_equal(write(ends[1], piece, sizeof piece), sizeof piece);
    }
    assert_in_range(allocations.bytes - asked, 0, BOUND);
    size_t held_now = mallinfo2().uordblks, pages_now = resident();
    assert_in_range(held_now > held ? held_now - held : 0, 0, BOUND);
    assert_in_range(pages_now > pages ? pages_now - pages : 0, 0, BOUND);

    close(ends[1]);
    int result = -EAGAIN;
    for (int i = 0; i < 100 && result == -EAGAIN; i++)
        result = chappe_receive(endpoint, NULL, CHAPPE_NOW, &message);
    assert_int_equal(result, -EBADMSG);
    assert_non_null(strstr(chappe_error(), address));
    assert_non_null(strstr(chappe_error(), "cut off"));
    assert_int_equal(chappe_close(endpoint, CHAPPE_NOW, NULL), 0);
    close(ends[0]);
}

static void test_announced(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof announcements / sizeof announcements[0]; i++)
        check_announcement(&announcements[i]);
}

/* Memory grows with what has come, and goes with the message. */
static void test_grows_as_bytes_arrive(void **state) {
    (void)state;
    static char piece[50000];
    const size_t size = 8 << 20;
    chappe_endpoint *endpoint;
    chappe_message *message = NULL;
    char address[64];
    uint8_t head[4];
    int ends[2];
    long before = allocations.alive;
    assert_int_equal(pipe(ends), 0);
    snprintf(address, sizeof address, "pipe://%d,-?frame=length32", ends[0]);
    assert_int_equal(chappe_open(address, NULL, CHAPPE_NOW, &endpoint), 0);
    number_put32_big(head, (uint32_t)size);
    assert_int_equal(write(ends[1], head, 4), 4);
    size_t asked = allocations.bytes;
    for (size_t sent = 0; sent < size;) {
        size_t some = size - sent < sizeof piece ? size - sent : sizeof piece;
        assert_int_equal(write(ends[1], piece, some), some);
        sent += some;
        int result = chappe_receive(endpoint, NULL, CHAPPE_NOW, &message);
        assert_int_equal(result, sent < size ? -EAGAIN : 0);
        if (sent < size) /* doubling: all steps together are twice the last one */
            assert_in_range(allocations.bytes - asked, 0, BOUND + 5 * sent);
    }
    assert_int_equal(message->size, size);
    chappe_release(message);
    chappe_close(endpoint, CHAPPE_NOW, NULL);
    assert_int_equal(allocations.alive, before);
    close(ends[0]);
    close(ends[1]);
}

/* ---- no allocation per message ---- */

struct exchange {
    const char *address;
    size_t size;
    int count;
    bool as_file; /* the body travels as a memory file: one mapping with its record each */
    chappe_endpoint *ends[2];
};

#define WARM 200
#define GROWTH_MOST 8 /* a receiver that falls behind for the first time gets larger chunks */

static void receive_all(void *context) {
    const struct exchange *exchange = context;
    chappe_message *message = NULL;
    size_t made = 0;
    chappe_close(exchange->ends[0], CHAPPE_NOW, NULL);
    for (int i = 0; i < exchange->count; i++) {
        if (i == WARM)
            made = allocations.made;
        assert_int_equal(chappe_receive(exchange->ends[1], NULL, CHAPPE_FOREVER, &message), 0);
        assert_int_equal(message->size, exchange->size);
        chappe_release(message);
    }
    size_t expected = exchange->as_file ? 2u * (unsigned)(exchange->count - WARM) : 0;
    if (allocations.made - made > expected + GROWTH_MOST)
        fail_msg("%s, %zu bytes: receiving %d messages takes %zu allocations", exchange->address,
                 exchange->size, exchange->count - WARM, allocations.made - made);
    chappe_close(exchange->ends[1], CHAPPE_NOW, NULL);
}

static void test_no_allocation(void **state) {
    static char bytes[LARGE];
    struct exchange *exchange = *state;
    size_t made = 0;
    assert_int_equal(chappe_pair(exchange->address, NULL, &exchange->ends[0], &exchange->ends[1]),
                     0);
    pid_t peer = harness_fork(receive_all, exchange);
    chappe_close(exchange->ends[1], CHAPPE_NOW, NULL);
    for (int i = 0; i < exchange->count; i++) {
        if (i == WARM)
            made = allocations.made;
        assert_int_equal(
            chappe_send(exchange->ends[0], bytes, exchange->size, NULL, CHAPPE_FOREVER), 0);
    }
    if (allocations.made != made)
        fail_msg("%s, %zu bytes: sending %d messages takes %zu allocations", exchange->address,
                 exchange->size, exchange->count - WARM, allocations.made - made);
    harness_join(peer);
    chappe_close(exchange->ends[0], CHAPPE_NOW, NULL);
}

static struct exchange exchanges[] = {
    {.address = "pipe://", .size = 64, .count = 10000 + WARM},
    {.address = "unix://", .size = 64, .count = 10000 + WARM},
    {.address = "unix://?type=seqpacket", .size = 64, .count = 10000 + WARM},
    {.address = "unix://?type=datagram", .size = 64, .count = 10000 + WARM},
    {.address = "pipe://", .size = LARGE, .count = 1000 + WARM},
    {.address = "unix://", .size = LARGE, .count = 1000 + WARM},
    {.address = "unix://?type=seqpacket", .size = LARGE, .count = 1000 + WARM, .as_file = true},
    {.address = "unix://?type=datagram", .size = LARGE, .count = 1000 + WARM, .as_file = true},
};

static const struct harness_test tests[] = {
    {.name = "an announced gigabyte costs nothing", .function = test_announced},
    {.name = "memory grows as bytes arrive", .function = test_grows_as_bytes_arrive},
    {.name = "no allocation: pipe, 64 bytes", test_no_allocation, .context = &exchanges[0]},
    {.name = "no allocation: stream, 64 bytes", test_no_allocation, .context = &exchanges[1]},
    {.name = "no allocation: seqpacket, 64 bytes", test_no_allocation, .context = &exchanges[2]},
    {.name = "no allocation: datagram, 64 bytes", test_no_allocation, .context = &exchanges[3]},
    {.name = "no allocation: pipe, 1 MiB", test_no_allocation, .context = &exchanges[4]},
    {.name = "no allocation: stream, 1 MiB", test_no_allocation, .context = &exchanges[5]},
    {.name = "no allocation: seqpacket, 1 MiB", test_no_allocation, .context = &exchanges[6]},
    {.name = "no allocation: datagram, 1 MiB", test_no_allocation, .context = &exchanges[7]},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
