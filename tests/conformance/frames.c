/* SPDX-License-Identifier: MIT
 *
 * Conformance: every frame, and the limit of messages. */
#include <stdlib.h>
#include <unistd.h>

#include "conformance/conformance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- frames that keep boundaries ---- */

struct frame {
    const char *option;
    char end; /* the byte that no message may hold; 0 also without `ends` */
    bool ends;
};

static const struct frame frames[] = {
    {.option = "frame=chappe"},
    {.option = "frame=line", .end = '\n', .ends = true},
    {.option = "frame=nul", .end = '\0', .ends = true},
    {.option = "frame=length32"},
};
static const size_t sizes[] = {1, 0, 5000, 65535, 65536, 100000, 0, MIB / 8};

/* Content without the byte that ends messages. */
static void *framed_content(const struct frame *frame, size_t size, uint64_t seed) {
    char *bytes = content_create(size, seed);
    for (size_t i = 0; frame->ends && i < size; i++)
        if (bytes[i] == frame->end)
            bytes[i] = 'n';
    return bytes;
}

static void refuse_metadata(struct side *side) {
    static const chappe_settings refused[] = {
        {.size = sizeof(chappe_settings), .type = 1},
        {.size = sizeof(chappe_settings), .priority = 1},
        {.size = sizeof(chappe_settings), .correlation = 1},
        {.size = sizeof(chappe_settings), .flags = CHAPPE_STAMP},
    };
    for (size_t i = 0; i < COUNT(refused); i++)
        fails(side_send(side, "x", 1, &refused[i], CHAPPE_FOREVER), -ENOTSUP, "frame");
    assert_int_equal(chappe_supports(side->endpoint, CHAPPE_CAN_TYPE), CHAPPE_REFUSES);
    assert_int_equal(chappe_supports(side->endpoint, CHAPPE_CAN_PRIORITY), CHAPPE_REFUSES);
}

static void send_framed(struct side *side, void *context) {
    const struct frame *frame = context;
    bool plain = strcmp(frame->option, "frame=chappe") != 0;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *bytes = framed_content(frame, sizes[i], i);
        ok(side_send(side, bytes, sizes[i], NULL, chappe_in_ms(LONG_MS)));
        free(bytes);
        if (frame->ends) {
            const char wrong[3] = {'a', frame->end, 'b'};
            fails(side_send(side, wrong, 3, NULL, CHAPPE_FOREVER), -EINVAL, "frame");
            const chappe_settings own = side_settings(side, NULL);
            const chappe_item item = {.data = wrong, .size = 3, .settings = &own};
            fails(chappe_send_batch(side->endpoint, &item, 1, CHAPPE_FOREVER), -EINVAL, "frame");
        }
        if (plain)
            refuse_metadata(side);
    }
    chappe_settings own = side_settings(side, NULL);
    chappe_item items[500];
    for (size_t i = 0; i < COUNT(items); i++)
        items[i] = (chappe_item){
            .data = "abcdefg", .size = i % 8, .settings = side->by_token ? &own : NULL};
    for (size_t sent = 0; sent < COUNT(items);)
        sent += (size_t)ok(chappe_send_batch(side->endpoint, items + sent, COUNT(items) - sent,
                                             chappe_in_ms(LONG_MS)));
}

static void receive_framed(struct side *side, void *context) {
    const struct frame *frame = context;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        chappe_message *message = side_receive(side);
        void *bytes = framed_content(frame, sizes[i], i);
        assert_int_equal(message->size, sizes[i]);
        assert_memory_equal(message->data, bytes, sizes[i]);
        free(bytes);
        chappe_release(message);
    }
    for (size_t i = 0; i < 500; i++) {
        chappe_message *message = side_receive(side);
        assert_int_equal(message->size, i % 8);
        assert_memory_equal(message->data, "abcdefg", i % 8);
        chappe_release(message);
    }
    side_expect_nothing(side);
}

static void test_frames(const struct trial *trial) {
    for (size_t i = 0; i < COUNT(frames); i++) {
        struct frame frame = frames[i];
        run_both(trial, frame.option, send_framed, receive_framed, &frame);
    }
}

/* ---- raw: a read is a message ---- */

static void send_raw(struct side *side, void *context) {
    (void)context;
    for (uint64_t i = 1; i <= 50; i++) {
        side_send_content(side, i * 20, i, NULL, chappe_in_ms(LONG_MS));
        side_await(side); /* so that two are not one read */
    }
    refuse_metadata(side);
    side_send_content(side, 100000, 7, NULL, chappe_in_ms(LONG_MS));
}

static void receive_raw(struct side *side, void *context) {
    (void)context;
    for (uint64_t i = 1; i <= 50; i++) {
        side_expect(side, i * 20, i);
        side_tell(side, 0);
    }
    char *whole = malloc(100000);
    assert_non_null(whole);
    for (size_t got = 0; got < 100000;) {
        chappe_message *message = side_receive(side);
        assert_in_range(message->size, 1, 100000 - got);
        memcpy(whole + got, message->data, message->size);
        got += message->size;
        chappe_release(message);
    }
    content_check(whole, 100000, 7);
    free(whole);
}

static void test_raw(const struct trial *trial) {
    run_both(trial, "frame=raw", send_raw, receive_raw, NULL);
}

static void test_wrong_options(const struct trial *trial) {
    static const char *const wrong[] = {"frame=none", "frame=line&checksum=yes", "limit=many",
                                        "limit=0",    "checksum=perhaps",        "colour=red",
                                        "frame=%zz"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        char address[512];
        chappe_endpoint *a = NULL, *b = NULL;
        trial_address(trial, wrong[i], address, sizeof address);
        int outcome = trial->way == WAY_PAIR ? chappe_pair(address, NULL, &a, &b)
                                             : chappe_listen(address, NULL, CHAPPE_NOW, &a);
        fails(outcome, -EINVAL, address);
        assert_true(a == NULL && b == NULL);
    }
}

/* ---- limits ---- */

static void send_at_limit(struct side *side, void *context) {
    (void)context;
    chappe_message *message = NULL;
    chappe_settings settings = side_settings(side, NULL);
    char bytes[1001];
    content_fill(bytes, sizeof bytes, 1);
    side_send_content(side, 1000, 1, NULL, CHAPPE_FOREVER);
    fails(side_send(side, bytes, 1001, NULL, CHAPPE_FOREVER), -EMSGSIZE, "1000");
    const chappe_item items[2] = {{.data = bytes, .size = 1000, .settings = &settings},
                                  {.data = bytes, .size = 1001, .settings = &settings}};
    assert_int_equal(ok(chappe_send_batch(side->endpoint, items, 2, CHAPPE_FOREVER)), 1);
    fails(chappe_send_batch(side->endpoint, items + 1, 1, CHAPPE_FOREVER), -EMSGSIZE, "1000");
    fails(chappe_reserve(side->endpoint, 1001, &settings, CHAPPE_NOW, &message), -EMSGSIZE, "1000");
    assert_null(message);
    side_send_content(side, 1000, 2, NULL, CHAPPE_FOREVER);
}

static void receive_at_limit(struct side *side, void *context) {
    (void)context;
    side_expect(side, 1000, 1);
    side_expect(side, 1000, 1);
    side_expect(side, 1000, 2);
    side_expect_nothing(side);
}

static void test_limit(const struct trial *trial) {
    run_both(trial, "limit=1000", send_at_limit, receive_at_limit, NULL);
}

static void send_beyond(struct side *far, void *context) {
    (void)context;
    side_send_content(far, 10, 1, NULL, CHAPPE_FOREVER);
    side_send_content(far, 5000, 2, NULL, CHAPPE_FOREVER);
    /* From here on it may have been cut off. */
    void *bytes = content_create(300000, 3);
    side_send(far, bytes, 300000, NULL, chappe_in_ms(LONG_MS));
    free(bytes);
    side_send(far, "after", 5, NULL, chappe_in_ms(LONG_MS));
    side_tell(far, 0);
    side_await(far);
    side_drop(far);
}

/* The sender has another limit: the receiver is told, and goes on behind the message. */
static void test_beyond_limit(const struct trial *trial) {
    struct side near = join(trial, "limit=1000", NULL, send_beyond, NULL);
    chappe_message *message = NULL;
    side_expect(&near, 10, 1);
    for (int i = 0; i < 2 && trial->way == WAY_ACCEPT; i++)
        fails(chappe_receive(near.endpoint, NULL, chappe_in_ms(LONG_MS), &message), -EMSGSIZE,
              "1000");
    if (trial->way != WAY_SERVER || !trial->connections) {
        message = side_receive(&near);
        assert_int_equal(message->size, 5);
        chappe_release(message);
    } else {
        fails(chappe_receive(near.endpoint, NULL, chappe_in_ms(100), &message), -ETIMEDOUT, NULL);
    }
    if (trial->way == WAY_SERVER) {
        chappe_statistics numbers = {.size = sizeof numbers};
        ok(chappe_get_statistics(near.endpoint, &numbers));
        assert_int_equal(numbers.clients_cut_off, trial->connections ? 1 : 2);
    }
    side_await(&near);
    side_tell(&near, 0);
    part(&near);
}

/* In a batch the error is told by the next call. */
static void send_batch_beyond(struct side *far, void *context) {
    (void)context;
    void *bytes = content_create(5000, 1);
    const chappe_item items[3] = {
        {.data = bytes, .size = 10}, {.data = bytes, .size = 5000}, {.data = bytes, .size = 20}};
    for (size_t sent = 0; sent < 3;)
        sent += (size_t)ok(
            chappe_send_batch(far->endpoint, items + sent, 3 - sent, chappe_in_ms(LONG_MS)));
    free(bytes);
    side_tell(far, 0);
    side_await(far);
}

static void test_batch_beyond_limit(const struct trial *trial) {
    struct side near = join(trial, "limit=1000", NULL, send_batch_beyond, NULL);
    chappe_message *messages[8];
    side_await(&near);
    assert_int_equal(ok(chappe_receive_batch(near.endpoint, NULL, CHAPPE_NOW, messages, 8)), 1);
    assert_int_equal(messages[0]->size, 10);
    chappe_release(messages[0]);
    fails(chappe_receive_batch(near.endpoint, NULL, CHAPPE_NOW, messages, 8), -EMSGSIZE, "1000");
    assert_int_equal(ok(chappe_receive_batch(near.endpoint, NULL, CHAPPE_NOW, messages, 8)), 1);
    assert_int_equal(messages[0]->size, 20);
    chappe_release(messages[0]);
    side_tell(&near, 0);
    part(&near);
}

int main(int argc, char **argv) {
    static const struct conformance_test tests[] = {
        {.name = "frames", .function = test_frames},
        {.name = "frame=raw", .function = test_raw},
        {.name = "wrong options", .function = test_wrong_options},
        {.name = "the limit", .function = test_limit},
        {.name = "a sender with a larger limit",
         .function = test_beyond_limit,
         .ways = WAY_SERVER | WAY_ACCEPT},
        {.name = "a batch of a sender with a larger limit",
         .function = test_batch_beyond_limit,
         .ways = WAY_ACCEPT},
    };
    return conformance_main(argc, argv, tests, COUNT(tests));
}
