/* SPDX-License-Identifier: MIT
 *
 * Good messages with a bad one between them, received at once: none is lost, and the bad one
 * is told, by the call after the good ones before it. */
#include <chappe/chappe.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "harness/harness.h"
#include "message/envelope.h"

#define COUNT 8

/* Puts good, bad, good into `bytes`. */
static size_t put_three(uint8_t *bytes, bool too_big) {
    const struct envelope plain = {0};
    size_t size = 0;
    for (int i = 0; i < 3; i++) {
        char body[40];
        size_t body_size = (size_t)snprintf(body, sizeof body, "number %d", i);
        if (i == 1 && too_big)
            body_size = 30;
        size += envelope_write(&plain, true, body, body_size, bytes + size);
        memcpy(bytes + size, body, body_size);
        if (i == 1 && !too_big)
            bytes[size] ^= 1; /* the checksum does not fit any more */
        size += body_size;
    }
    return size;
}

static void check(int error, bool too_big) {
    uint8_t bytes[512];
    char address[64];
    chappe_message *messages[COUNT] = {NULL};
    chappe_endpoint *endpoint;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    snprintf(address, sizeof address, "pipe://%d,-?limit=20", ends[0]);
    assert_int_equal(chappe_open(address, NULL, CHAPPE_NOW, &endpoint), 0);
    size_t size = put_three(bytes, too_big);
    assert_int_equal(write(ends[1], bytes, size), size);

    assert_int_equal(chappe_receive_batch(endpoint, NULL, CHAPPE_NOW, messages, COUNT), 1);
    assert_memory_equal(messages[0]->data, "number 0", 8);
    chappe_release(messages[0]);
    error_set(0, "%s", "");
    assert_int_equal(chappe_receive_batch(endpoint, NULL, CHAPPE_NOW, messages, COUNT), error);
    assert_non_null(strstr(chappe_error(), address));
    assert_int_equal(chappe_receive_batch(endpoint, NULL, CHAPPE_NOW, messages, COUNT), 1);
    assert_memory_equal(messages[0]->data, "number 2", 8);
    chappe_release(messages[0]);
    assert_int_equal(chappe_close(endpoint, CHAPPE_NOW, NULL), 0);
    close(ends[0]);
    close(ends[1]);
}

static void test_damaged(void **state) {
    (void)state;
    check(-EBADMSG, false);
}

static void test_too_big(void **state) {
    (void)state;
    check(-EMSGSIZE, true);
}

static const struct harness_test tests[] = {
    {.name = "a damaged message in a batch", .function = test_damaged},
    {.name = "a message beyond the limit in a batch", .function = test_too_big},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
