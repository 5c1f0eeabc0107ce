/* SPDX-License-Identifier: MIT
 *
 * Conformance: many messages in few calls, and messages that are written in place. */
#include <stdlib.h>
#include <unistd.h>

#include "conformance/conformance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MANY 100000

/* ---- batches ---- */

struct batch {
    size_t count;
    bool settings; /* every tenth item has some */
    bool large;    /* every hundredth is large */
};

static size_t item_size(const struct batch *batch, size_t i) {
    return batch->large && i % 100 == 37 ? 70000 : i % 65;
}

static int64_t item_type(const struct batch *batch, size_t i) {
    return batch->settings && i % 10 == 3 ? (int64_t)i + 1 : 0;
}

struct items {
    chappe_item *items;
    chappe_settings *settings;
    void *content; /* of the longest item, for all: where it begins tells which one it is */
};

static struct items make_items(const struct side *side, const struct batch *batch) {
    struct items all = {.items = calloc(batch->count, sizeof(chappe_item)),
                        .settings = calloc(batch->count, sizeof(chappe_settings)),
                        .content = content_create(70000 + 1000, 0)};
    assert_non_null(all.items);
    assert_non_null(all.settings);
    for (size_t i = 0; i < batch->count; i++) {
        chappe_settings own = {.size = sizeof own, .type = item_type(batch, i)};
        all.settings[i] = side_settings(side, &own);
        all.items[i] =
            (chappe_item){.data = (char *)all.content + i % 1000, .size = item_size(batch, i)};
        if (own.type != 0 || side->by_token)
            all.items[i].settings = &all.settings[i];
    }
    return all;
}

static void free_items(struct items *all) {
    free(all->items);
    free(all->settings);
    free(all->content);
}

/* Batches with settings need a carrier for these. */
static struct batch usable(const struct side *side, const struct batch *batch) {
    struct batch used = *batch;
    used.settings &= trial_support(side->trial, CHAPPE_CAN_TYPE) != CHAPPE_REFUSES;
    return used;
}

static void send_batches(struct side *side, void *context) {
    struct batch batch = usable(side, context);
    struct items all = make_items(side, &batch);
    for (size_t sent = 0; sent < batch.count;) {
        chappe_deadline deadline = sent == 0 ? CHAPPE_FOREVER : chappe_in_ms(LONG_MS);
        int some =
            ok(chappe_send_batch(side->endpoint, all.items + sent, batch.count - sent, deadline));
        assert_in_range(some, 1, batch.count - sent);
        sent += (size_t)some;
    }
    free_items(&all);
}

/* Content of make_items(): of one block, so it can be compared where it begins. */
static void check_item(const struct batch *batch, const void *content, size_t i,
                       const chappe_message *message) {
    int64_t type = 0;
    assert_int_equal(message->size, item_size(batch, i));
    assert_memory_equal(message->data, (const char *)content + i % 1000, message->size);
    int outcome = chappe_get(message, CHAPPE_TYPE, &type);
    assert_int_equal(outcome, item_type(batch, i) != 0 ? 0 : -ENODATA);
    assert_int_equal(type, item_type(batch, i));
}

static void receive_batches(struct side *side, void *context) {
    struct batch batch = usable(side, context);
    void *content = content_create(70000 + 1000, 0);
    chappe_message *messages[4096];
    for (size_t got = 0; got < batch.count;) {
        int some = ok(chappe_receive_batch(side->endpoint, NULL, chappe_in_ms(LONG_MS), messages,
                                           got % 3 == 0 ? COUNT(messages) : 100));
        assert_in_range(some, 1, batch.count - got);
        for (size_t i = 0; i < (size_t)some; i++)
            check_item(&batch, content, got + i, messages[i]);
        chappe_release_batch(messages, (size_t)some);
        got += (size_t)some;
    }
    free(content);
    side_expect_nothing(side);
}

static void test_batches(const struct trial *trial) {
    struct batch batches[] = {{1, false, false},      {7, true, false},    {1000, false, false},
                              {1000, true, true},     {1000, false, true}, {MANY, false, false},
                              {MANY / 5, true, false}};
    for (size_t i = 0; i < COUNT(batches); i++)
        run_both(trial, NULL, send_batches, receive_batches, &batches[i]);
}

/* ---- a batch that does not fit ---- */

static void send_part(struct side *side, void *context) {
    struct batch batch = usable(side, context);
    struct items all = make_items(side, &batch);
    int some = ok(chappe_send_batch(side->endpoint, all.items, batch.count, CHAPPE_NOW));
    assert_in_range(some, 1, batch.count - 1); /* nobody reads, so it cannot all fit */
    size_t sent = (size_t)some;
    some = chappe_send_batch(side->endpoint, all.items + sent, batch.count - sent, CHAPPE_NOW);
    assert_true(some > 0 || some == -EAGAIN);
    sent += some > 0 ? (size_t)some : 0;
    chappe_deadline deadline = chappe_in_ms(20);
    some = chappe_send_batch(side->endpoint, all.items + sent, batch.count - sent, deadline);
    assert_true(some > 0 || some == -ETIMEDOUT);
    assert_true(now_ns() >= deadline);
    sent += some > 0 ? (size_t)some : 0;
    side_tell(side, sent);
    free_items(&all);
}

static void receive_part(struct side *side, void *context) {
    struct batch batch = usable(side, context);
    void *content = content_create(70000 + 1000, 0);
    size_t sent = side_await(side);
    for (size_t i = 0; i < sent; i++) {
        chappe_message *message = side_receive(side);
        check_item(&batch, content, i, message);
        chappe_release(message);
    }
    free(content);
    side_expect_nothing(side);
}

static void test_part_of_a_batch(const struct trial *trial) {
    struct batch batches[] = {{MANY, false, false}, {MANY, true, true}};
    for (size_t i = 0; i < COUNT(batches); i++)
        run_both(trial, NULL, send_part, receive_part, &batches[i]);
}

static void send_wrong_batches(struct side *side, void *context) {
    (void)context;
    chappe_settings own = side_settings(side, NULL);
    chappe_item items[] = {{.data = "a", .size = 1, .settings = &own},
                           {.data = NULL, .size = 1, .settings = &own}};
    chappe_message *message = NULL;
    fails(chappe_send_batch(side->endpoint, items, 0, CHAPPE_NOW), -EINVAL, NULL);
    fails(chappe_send_batch(side->endpoint, NULL, 1, CHAPPE_NOW), -EINVAL, NULL);
    fails(chappe_send_batch(side->endpoint, items, (size_t)INT32_MAX + 1, CHAPPE_NOW), -EINVAL,
          NULL);
    fails(chappe_send_batch(side->endpoint, items, 2, 250), -EINVAL, "deadline");
    fails(chappe_receive_batch(side->endpoint, NULL, CHAPPE_NOW, &message, 0), -EINVAL, NULL);
    fails(chappe_receive_batch(side->endpoint, NULL, CHAPPE_NOW, NULL, 1), -EINVAL, NULL);
    assert_null(message);
    /* The reason for stopping early is found by sending the rest. */
    chappe_settings refused = own;
    refused.type = -5;
    items[1] = (chappe_item){.data = "b", .size = 1, .settings = &refused};
    assert_int_equal(ok(chappe_send_batch(side->endpoint, items, 2, CHAPPE_FOREVER)), 1);
    fails(chappe_send_batch(side->endpoint, items + 1, 1, CHAPPE_FOREVER), -EINVAL, "type");
}

static void receive_one(struct side *side, void *context) {
    (void)context;
    chappe_message *message = side_receive(side);
    assert_int_equal(message->size, 1);
    assert_memory_equal(message->data, "a", 1);
    chappe_release(message);
    side_expect_nothing(side);
}

static void test_wrong_batches(const struct trial *trial) {
    run_both(trial, NULL, send_wrong_batches, receive_one, NULL);
}

/* ---- writing in place ---- */

static const size_t reserved_sizes[] = {0, 1, 5000, 70000, MIB};

static void reserve_and_commit(struct side *side, size_t i) {
    size_t size = reserved_sizes[i];
    chappe_settings own = {.size = sizeof own, .correlation = 100 + i};
    chappe_settings settings = side_settings(side, &own);
    chappe_message *message = NULL, *second = NULL;
    ok(chappe_reserve(side->endpoint, size, &settings, chappe_in_ms(LONG_MS), &message));
    memset(&settings, 0, sizeof settings); /* copied */
    assert_int_equal(message->size, size);
    assert_int_equal((uintptr_t)message->data % _Alignof(max_align_t), 0);
    fails(side_send(side, "x", 1, NULL, CHAPPE_NOW), -EBUSY, "reserved");
    settings = side_settings(side, NULL);
    const chappe_item item = {.data = "x", .size = 1, .settings = &settings};
    fails(chappe_send_batch(side->endpoint, &item, 1, CHAPPE_NOW), -EBUSY, NULL);
    fails(chappe_reserve(side->endpoint, 1, &settings, CHAPPE_NOW, &second), -EBUSY, NULL);
    assert_null(second);
    fails(chappe_commit(message, size + 1, CHAPPE_NOW), -EINVAL, NULL);
    fails(chappe_commit(message, size, 250), -EINVAL, "deadline");
    size_t shorter = i % 2 == 0 ? size : size / 2;
    content_fill(message->data, shorter, i);
    ok(chappe_commit(message, shorter, chappe_in_ms(LONG_MS)));
}

static void send_reserved(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < COUNT(reserved_sizes); i++) {
        chappe_settings settings = side_settings(side, NULL);
        chappe_message *message;
        ok(chappe_reserve(side->endpoint, 50, &settings, CHAPPE_NOW, &message));
        memset(message->data, 'x', 50);
        (i % 2 == 0 ? chappe_abandon : chappe_release)(message); /* leaves nothing */
        reserve_and_commit(side, i);
        side_send_content(side, 3, i, NULL, CHAPPE_FOREVER); /* no longer busy */
    }
    chappe_abandon(NULL);
    chappe_message *message;
    chappe_settings settings = side_settings(side, NULL);
    ok(chappe_reserve(side->endpoint, 50, &settings, CHAPPE_NOW, &message));
    side_await(side);
    side_close(side);
    memset(message->data, 'x', 50); /* its memory is still there */
    fails(chappe_commit(message, 50, CHAPPE_FOREVER), -EBADF, NULL);
    chappe_abandon(message);
}

static void receive_reserved(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < COUNT(reserved_sizes); i++) {
        chappe_message *message = side_receive(side);
        size_t size = i % 2 == 0 ? reserved_sizes[i] : reserved_sizes[i] / 2;
        assert_int_equal(message->size, size);
        content_check(message->data, size, i);
        assert_int_equal(field_of(message, CHAPPE_CORRELATION), 100 + i);
        fails(chappe_commit(message, 0, CHAPPE_NOW), -EINVAL, NULL); /* not reserved */
        chappe_release(message);
        side_expect(side, 3, i);
    }
    side_expect_nothing(side);
    side_tell(side, 0);
}

static void test_reserve(const struct trial *trial) {
    run_both(trial, NULL, send_reserved, receive_reserved, NULL);
}

int main(int argc, char **argv) {
    static const struct conformance_test tests[] = {
        {.name = "batches", .function = test_batches},
        {.name = "a part of a batch", .function = test_part_of_a_batch},
        {.name = "wrong batches", .function = test_wrong_batches},
        {.name = "writing in place", .function = test_reserve},
    };
    return conformance_main(argc, argv, tests, COUNT(tests));
}
