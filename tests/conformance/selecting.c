/* SPDX-License-Identifier: MIT
 *
 * Conformance: receiving by type, priority, correlation and sender. */
#include <stdlib.h>
#include <unistd.h>

#include "conformance/conformance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ASIDE_MOST 4096

/* Message number i of these tests: its body is the number. */
static chappe_settings numbered_settings(size_t i) {
    return (chappe_settings){.size = sizeof(chappe_settings),
                             .type = (int64_t)(i % 4),
                             .priority = (uint32_t)(i % 3),
                             .correlation = i % 5};
}

static void send_numbered(struct side *side, size_t count) {
    for (size_t i = 0; i < count; i++) {
        chappe_settings settings = numbered_settings(i);
        if (trial_support(side->trial, CHAPPE_CAN_TYPE) == CHAPPE_REFUSES)
            settings.type = 0;
        if (trial_support(side->trial, CHAPPE_CAN_PRIORITY) == CHAPPE_REFUSES)
            settings.priority = 0;
        ok(side_send(side, &i, sizeof i, &settings, chappe_in_ms(LONG_MS)));
    }
}

static size_t number_of(const chappe_message *message) {
    size_t number;
    assert_int_equal(message->size, sizeof number);
    memcpy(&number, message->data, sizeof number);
    return number;
}

static size_t receive_number(struct side *side, const chappe_filter *filter) {
    chappe_message *message = NULL;
    assert_int_equal(ok(chappe_receive(side->endpoint, filter, chappe_in_ms(LONG_MS), &message)),
                     0);
    size_t number = number_of(message);
    chappe_release(message);
    return number;
}

/* ---- what a filter lets through ---- */

static bool fits(const chappe_filter *filter, size_t i) {
    chappe_settings sent = numbered_settings(i);
    if (filter->type_match == CHAPPE_TYPE_IS && sent.type != filter->type)
        return false;
    if (filter->type_match == CHAPPE_TYPE_IS_NOT && sent.type == filter->type)
        return false;
    return sent.priority >= filter->priority_least &&
           (filter->correlation == 0 || sent.correlation == filter->correlation);
}

#define SELECTED 120

static const chappe_filter filters[] = {
    {.size = sizeof(chappe_filter), .type_match = CHAPPE_TYPE_IS, .type = 3},
    {.size = sizeof(chappe_filter), .type_match = CHAPPE_TYPE_IS, .type = 0},
    {.size = sizeof(chappe_filter), .type_match = CHAPPE_TYPE_IS_NOT, .type = 1},
    {.size = sizeof(chappe_filter), .priority_least = 2},
    {.size = sizeof(chappe_filter), .correlation = 4},
    {.size = sizeof(chappe_filter),
     .type_match = CHAPPE_TYPE_IS,
     .type = 2,
     .priority_least = 1,
     .correlation = 3},
    {.size = sizeof(chappe_filter)},
};

static void send_selected(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < COUNT(filters); i++)
        send_numbered(side, SELECTED);
}

/* First all that match, in order, then the others, in order. */
static void receive_selected(struct side *side, void *context) {
    (void)context;
    for (size_t f = 0; f < COUNT(filters); f++) {
        for (size_t i = 0; i < SELECTED; i++)
            if (fits(&filters[f], i))
                assert_int_equal(receive_number(side, &filters[f]), i);
        for (size_t i = 0; i < SELECTED; i++)
            if (!fits(&filters[f], i))
                assert_int_equal(receive_number(side, NULL), i);
    }
    side_expect_nothing(side);
}

static bool selects(const struct trial *trial) {
    return trial_support(trial, CHAPPE_CAN_TYPE) != CHAPPE_REFUSES &&
           trial_support(trial, CHAPPE_CAN_PRIORITY) != CHAPPE_REFUSES;
}

static void test_filters(const struct trial *trial) {
    if (!selects(trial))
        harness_skip("this row refuses type or priority");
    run_both(trial, NULL, send_selected, receive_selected, NULL);
}

/* Batches: what was set aside comes first, then what comes in. */
static void receive_in_batches(struct side *side, void *context) {
    (void)context;
    chappe_message *messages[SELECTED];
    for (size_t f = 0; f < COUNT(filters); f++) {
        size_t last = 0, seen = 0, wanted = 0;
        for (size_t i = 0; i < SELECTED; i++)
            wanted += fits(&filters[f], i);
        while (seen < wanted) {
            int some = ok(chappe_receive_batch(side->endpoint, &filters[f], chappe_in_ms(LONG_MS),
                                               messages, wanted - seen));
            assert_true(some > 0);
            for (int i = 0; i < some; i++) {
                size_t number = number_of(messages[i]);
                assert_true(fits(&filters[f], number) && (seen == 0 || number > last));
                last = number;
                seen++;
            }
            chappe_release_batch(messages, (size_t)some);
        }
        for (size_t i = 0; i < SELECTED; i++)
            if (!fits(&filters[f], i))
                assert_int_equal(receive_number(side, NULL), i);
    }
}

static void test_filtered_batches(const struct trial *trial) {
    if (!selects(trial))
        harness_skip("this row refuses type or priority");
    run_both(trial, NULL, send_selected, receive_in_batches, NULL);
}

static void test_wrong_filters(const struct trial *trial) {
    const chappe_filter wrong[] = {
        {.size = sizeof(chappe_filter), .type = 3},
        {.size = sizeof(chappe_filter), .type_match = 3},
        {.size = sizeof(chappe_filter), .flags = 1},
        {.size = 8},
    };
    struct side near = join(trial, NULL, NULL, send_selected, NULL);
    chappe_message *message = NULL;
    for (size_t i = 0; i < COUNT(wrong); i++)
        fails(chappe_receive(near.endpoint, &wrong[i], CHAPPE_NOW, &message), -EINVAL, "filter");
    assert_null(message);
    for (size_t i = 0; i < COUNT(filters) * SELECTED; i++)
        assert_int_equal(receive_number(&near, NULL), i % SELECTED);
    part(&near);
}

/* ---- by sender ---- */

static void send_twice(struct side *side, void *context) {
    (void)context;
    side_send_content(side, 20, 1, NULL, CHAPPE_FOREVER);
    side_send_content(side, 30, 2, NULL, CHAPPE_FOREVER);
    side_await(side);
}

static void test_by_sender(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, send_twice, NULL);
    chappe_filter filter = {.size = sizeof filter, .sender = near.peer};
    chappe_message *message = NULL;
    if (trial_support(trial, CHAPPE_CAN_IDENTITY) == CHAPPE_REFUSES) {
        fails(chappe_receive(near.endpoint, &filter, CHAPPE_NOW, &message), -ENOTSUP,
              trial->row->scheme);
    } else if (trial->way == WAY_PAIR) {
        /* The kernel noted who made the pair, which is both ends' maker. */
        filter.sender = getpid();
    }
    if (trial_support(trial, CHAPPE_CAN_IDENTITY) != CHAPPE_REFUSES) {
        filter.sender++;
        fails(chappe_receive(near.endpoint, &filter, chappe_in_ms(30), &message), -ETIMEDOUT, NULL);
        filter.sender--;
        ok(chappe_receive(near.endpoint, &filter, chappe_in_ms(LONG_MS), &message));
        assert_int_equal(message->size, 20);
        chappe_release(message);
        side_expect(&near, 30, 2);
    } else {
        side_expect(&near, 20, 1);
        side_expect(&near, 30, 2);
    }
    side_tell(&near, 0);
    part(&near);
}

/* ---- the limits of setting aside ---- */

/* A server passes a reply that it holds on in its calls only: so it goes on calling. Nothing
 * comes from the other side meanwhile. */
static void serve_until_told(struct side *side) {
    chappe_wait_item items[2] = {{.descriptor = side->control, .events = CHAPPE_READABLE},
                                 {.endpoint = side->endpoint, .events = CHAPPE_READABLE}};
    while (items[0].ready == 0)
        assert_true(chappe_wait(items, 2, chappe_in_ms(LONG_MS)) > 0);
    side_await(side);
}

static void send_more_than_fits(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < ASIDE_MOST + 10; i++)
        ok(side_send(side, &i, sizeof i, NULL, chappe_in_ms(LONG_MS)));
    chappe_settings wanted = {.size = sizeof wanted, .correlation = 5};
    size_t number = 99999;
    ok(side_send(side, &number, sizeof number, &wanted, chappe_in_ms(LONG_MS)));
    serve_until_told(side);
}

static void receive_more_than_fits(struct side *side, void *context) {
    (void)context;
    const chappe_filter filter = {.size = sizeof filter, .correlation = 5};
    chappe_message *message = NULL;
    for (int i = 0; i < 2; i++)
        fails(chappe_receive(side->endpoint, &filter, chappe_in_ms(LONG_MS), &message), -ENOBUFS,
              "4096");
    fails(chappe_receive_batch(side->endpoint, &filter, CHAPPE_NOW, &message, 1), -ENOBUFS, "4096");
    assert_null(message);
    /* There has to be room for one more, because it may not match either. */
    for (size_t i = 0; i < 11; i++)
        assert_int_equal(receive_number(side, NULL), i);
    assert_int_equal(receive_number(side, &filter), 99999);
    for (size_t i = 11; i < ASIDE_MOST + 10; i++)
        assert_int_equal(receive_number(side, NULL), i);
    side_expect_nothing(side);
    side_tell(side, 0);
}

static void test_aside_count(const struct trial *trial) {
    run_both(trial, NULL, send_more_than_fits, receive_more_than_fits, NULL);
}

static void send_more_bytes(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < 8; i++)
        side_send_content(side, 1000, i, NULL, chappe_in_ms(LONG_MS));
    serve_until_told(side);
}

/* With limit=4000, four messages of 1,000 bytes are all that is set aside. */
static void receive_more_bytes(struct side *side, void *context) {
    (void)context;
    const chappe_filter filter = {.size = sizeof filter, .correlation = 5};
    chappe_message *message = NULL;
    fails(chappe_receive(side->endpoint, &filter, chappe_in_ms(LONG_MS), &message), -ENOBUFS,
          "4000");
    assert_null(message);
    for (size_t i = 0; i < 8; i++)
        side_expect(side, 1000, i);
    side_tell(side, 0);
}

static void test_aside_bytes(const struct trial *trial) {
    run_both(trial, "limit=4000", send_more_bytes, receive_more_bytes, NULL);
}

int main(int argc, char **argv) {
    static const struct conformance_test tests[] = {
        {.name = "filters", .function = test_filters},
        {.name = "batches by filter", .function = test_filtered_batches},
        {.name = "wrong filters", .function = test_wrong_filters},
        {.name = "by sender", .function = test_by_sender},
        {.name = "the most messages set aside", .function = test_aside_count},
        {.name = "the most bytes set aside", .function = test_aside_bytes},
    };
    return conformance_main(argc, argv, tests, COUNT(tests));
}
