/* SPDX-License-Identifier: MIT
 *
 * Conformance: what is sent arrives, whole, once, in order, with what goes with it. */
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "conformance/conformance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- sizes ---- */

static const size_t sizes[] = {
    0,   1, PIPE_BUF - 1, PIPE_BUF, PIPE_BUF + 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1,
    MIB, 0, 3 * MIB + 17, 2};

static void send_sizes(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < COUNT(sizes); i++)
        side_send_content(side, sizes[i], i, NULL, CHAPPE_FOREVER);
    for (size_t i = 0; i < COUNT(sizes); i++)
        side_send_content(side, sizes[i], i, NULL, chappe_in_ms(LONG_MS));
}

static void receive_sizes(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        chappe_message *message;
        assert_int_equal(ok(chappe_receive(side->endpoint, NULL, CHAPPE_FOREVER, &message)), 0);
        assert_int_equal(message->size, sizes[i]);
        content_check(message->data, sizes[i], i);
        chappe_release(message);
    }
    for (size_t i = 0; i < COUNT(sizes); i++)
        side_expect(side, sizes[i], i);
}

static void test_sizes(const struct trial *trial) {
    run_both(trial, NULL, send_sizes, receive_sizes, NULL);
}

static void send_large(struct side *side, void *context) {
    (void)context;
    side_send_content(side, 100 * MIB, 5, NULL, chappe_in_ms(LONG_MS));
    side_send_content(side, 100, 6, NULL, chappe_in_ms(LONG_MS));
}

static void receive_large(struct side *side, void *context) {
    (void)context;
    side_expect(side, 100 * MIB, 5);
    side_expect(side, 100, 6);
}

static void test_large(const struct trial *trial) {
    run_both(trial, NULL, send_large, receive_large, NULL);
}

/* ---- order ---- */

#define ORDERED 10000

static size_t ordered_size(size_t i) {
    return i % 500 == 499 ? 70000 + i : i * 7919 % 3000;
}

static void send_ordered(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < ORDERED; i++)
        side_send_content(side, ordered_size(i), i, NULL,
                          i % 2 == 0 ? CHAPPE_FOREVER : chappe_in_ms(LONG_MS));
}

/* Every eighth message stays in hand for a while: what follows must not touch it. */
static void receive_ordered(struct side *side, void *context) {
    (void)context;
    chappe_message *kept = NULL;
    size_t kept_number = 0;
    for (size_t i = 0; i < ORDERED; i++) {
        chappe_message *message = side_receive(side);
        assert_int_equal(message->size, ordered_size(i));
        content_check(message->data, message->size, i);
        if (i % 8 != 0) {
            chappe_release(message);
            continue;
        }
        if (kept != NULL)
            content_check(kept->data, ordered_size(kept_number), kept_number);
        chappe_release(kept);
        kept = message;
        kept_number = i;
    }
    chappe_release(kept);
    side_expect_nothing(side);
}

static void test_order(const struct trial *trial) {
    run_both(trial, NULL, send_ordered, receive_ordered, NULL);
}

/* ---- metadata ---- */

static const chappe_settings cases[] = {
    {.size = sizeof(chappe_settings)},
    {.size = sizeof(chappe_settings), .type = 1},
    {.size = sizeof(chappe_settings), .type = INT64_MAX},
    {.size = sizeof(chappe_settings), .priority = 1},
    {.size = sizeof(chappe_settings), .priority = UINT32_MAX},
    {.size = sizeof(chappe_settings), .correlation = 1},
    {.size = sizeof(chappe_settings), .correlation = ((uint64_t)1 << 62) - 1},
    {.size = sizeof(chappe_settings), .flags = CHAPPE_STAMP},
    {.size = sizeof(chappe_settings), .flags = CHAPPE_ASKS},
    {.size = sizeof(chappe_settings),
     .type = 77,
     .priority = 9,
     .correlation = 123456789,
     .flags = CHAPPE_STAMP | CHAPPE_ASKS},
};
static const size_t case_sizes[] = {0, 10, 70000, MIB};

static int64_t calendar_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The sentence of a refusal names the address and every mechanism that does not refuse. */
static void check_refusal(const struct side *side, chappe_capability capability, int outcome) {
    fails(outcome, -ENOTSUP, chappe_address(side->endpoint));
    const chappe_row *row;
    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++)
        if ((size_t)capability < row->support_count && row->support[capability] != CHAPPE_REFUSES)
            fails(outcome, -ENOTSUP, row->scheme);
}

static bool refuses(const struct side *side, chappe_capability capability) {
    return trial_support(side->trial, capability) == CHAPPE_REFUSES;
}

/* What the row refuses of some settings; CHAPPE_CAPABILITY_COUNT: nothing. */
static chappe_capability refused_of(const struct side *side, const chappe_settings *settings) {
    if (settings->type != 0 && refuses(side, CHAPPE_CAN_TYPE))
        return CHAPPE_CAN_TYPE;
    if (settings->priority != 0 && refuses(side, CHAPPE_CAN_PRIORITY))
        return CHAPPE_CAN_PRIORITY;
    return CHAPPE_CAPABILITY_COUNT;
}

static void send_cases(struct side *side, void *context) {
    (void)context;
    for (size_t i = 0; i < COUNT(cases) * COUNT(case_sizes); i++) {
        size_t size = case_sizes[i % COUNT(case_sizes)];
        const chappe_settings *settings = &cases[i / COUNT(case_sizes)];
        void *bytes = content_create(size, i);
        int outcome = side_send(side, bytes, size, settings, chappe_in_ms(LONG_MS));
        chappe_capability refused = refused_of(side, settings);
        if (refused != CHAPPE_CAPABILITY_COUNT)
            check_refusal(side, refused, outcome);
        else
            ok(outcome);
        free(bytes);
    }
}

/* A field that may be absent: 0 stands for that. */
static void check_field(const chappe_message *message, chappe_field field, int64_t wanted) {
    int64_t value = -1;
    if (wanted != 0) {
        assert_int_equal(field_of(message, field), wanted);
        return;
    }
    fails(chappe_get(message, field, &value), -ENODATA, NULL);
    assert_int_equal(value, -1);
}

static void check_case(const chappe_message *message, const chappe_settings *sent,
                       int64_t started) {
    check_field(message, CHAPPE_TYPE, sent->type);
    assert_int_equal(field_of(message, CHAPPE_PRIORITY), sent->priority);
    check_field(message, CHAPPE_CORRELATION, (int64_t)sent->correlation);
    assert_int_equal(field_of(message, CHAPPE_DESCRIPTORS), 0);
    assert_int_equal(field_of(message, CHAPPE_IS_REQUEST), (sent->flags & CHAPPE_ASKS) != 0);
    assert_int_equal(field_of(message, CHAPPE_IS_REPLY), 0);
    if ((sent->flags & CHAPPE_STAMP) == 0) {
        check_field(message, CHAPPE_TIME, 0);
        return;
    }
    int64_t time = field_of(message, CHAPPE_TIME);
    assert_true(time >= started && time <= calendar_ns());
}

static void receive_cases(struct side *side, void *context) {
    int64_t started = *(const int64_t *)context, last = 0;
    for (size_t i = 0; i < COUNT(cases) * COUNT(case_sizes); i++) {
        size_t size = case_sizes[i % COUNT(case_sizes)];
        const chappe_settings *sent = &cases[i / COUNT(case_sizes)];
        if (refused_of(side, sent) != CHAPPE_CAPABILITY_COUNT)
            continue;
        chappe_message *message = side_receive(side);
        assert_int_equal(message->size, size);
        content_check(message->data, size, i);
        check_case(message, sent, started);
        int64_t sequence = field_of(message, CHAPPE_SEQUENCE);
        assert_true(sequence > 0 && (last == 0 || sequence == last + 1));
        last = sequence;
        fails(chappe_get(message, (chappe_field)99, &sequence), -EINVAL, NULL);
        chappe_release(message);
    }
}

static void test_metadata(const struct trial *trial) {
    int64_t started = calendar_ns();
    run_both(trial, NULL, send_cases, receive_cases, &started);
}

static void test_checksum(const struct trial *trial) {
    int64_t started = calendar_ns();
    run_both(trial, "checksum=yes", send_cases, receive_cases, &started);
    run_both(trial, "checksum=yes", send_sizes, receive_sizes, NULL);
}

/* ---- settings that cannot be ---- */

struct larger {
    chappe_settings settings;
    uint64_t unknown;
};

static void send_wrong(struct side *side, void *context) {
    (void)context;
    const chappe_settings wrong[] = {
        {.size = sizeof(chappe_settings), .type = -1},
        {.size = sizeof(chappe_settings), .flags = 1u << 31},
        {.size = sizeof(chappe_settings), .correlation = (uint64_t)1 << 62},
        {.size = sizeof(chappe_settings), .correlation = UINT64_MAX},
        {.size = sizeof(chappe_settings), .descriptor_count = 1},
        {.size = 0, .type = 1},
        {.size = sizeof(size_t)},
    };
    for (size_t i = 0; i < COUNT(wrong); i++)
        fails(side_send(side, "x", 1, &wrong[i], CHAPPE_FOREVER), -EINVAL, NULL);
    fails(side_send(side, NULL, 1, NULL, CHAPPE_FOREVER), -EINVAL, chappe_address(side->endpoint));
    struct larger larger = {.settings = side_settings(side, NULL), .unknown = 1};
    larger.settings.size = sizeof larger;
    fails(chappe_send(side->endpoint, "x", 1, &larger.settings, CHAPPE_FOREVER), -E2BIG, NULL);
    larger.unknown = 0;
    ok(chappe_send(side->endpoint, "x", 1, &larger.settings, CHAPPE_FOREVER));
    ok(side_send(side, NULL, 0, NULL, CHAPPE_FOREVER));
}

static void receive_right(struct side *side, void *context) {
    (void)context;
    chappe_message *message = side_receive(side);
    assert_int_equal(message->size, 1);
    chappe_release(message);
    side_expect(side, 0, 0);
}

static void test_wrong_settings(const struct trial *trial) {
    run_both(trial, NULL, send_wrong, receive_right, NULL);
}

/* ---- numbers ---- */

#define COUNTED 100

static chappe_statistics statistics_of(const struct side *side) {
    chappe_statistics numbers = {.size = sizeof numbers};
    ok(chappe_get_statistics(side->endpoint, &numbers));
    return numbers;
}

static void send_counted(struct side *side, void *context) {
    (void)context;
    chappe_statistics before = statistics_of(side);
    for (size_t i = 0; i < COUNTED; i++)
        side_send_content(side, i, i, NULL, CHAPPE_FOREVER);
    chappe_statistics after = statistics_of(side);
    assert_int_equal(after.sent - before.sent, COUNTED);
    assert_int_equal(after.sent_bytes - before.sent_bytes, COUNTED * (COUNTED - 1) / 2);
    assert_int_equal(after.received, before.received);
}

static void receive_counted(struct side *side, void *context) {
    (void)context;
    chappe_statistics before = statistics_of(side);
    for (size_t i = 0; i < COUNTED; i++)
        side_expect(side, i, i);
    chappe_statistics after = statistics_of(side);
    assert_int_equal(after.received - before.received, COUNTED);
    assert_int_equal(after.received_bytes - before.received_bytes, COUNTED * (COUNTED - 1) / 2);
    assert_int_equal(after.sent, before.sent);
    assert_int_equal(after.clients_cut_off + after.clients_refused + after.replies_late, 0);
    if (side->by_token && side->trial->connections)
        assert_int_equal(after.clients, 1);
    chappe_statistics small = {.size = 3};
    fails(chappe_get_statistics(side->endpoint, &small), -EINVAL, NULL);
}

static void test_statistics(const struct trial *trial) {
    run_both(trial, NULL, send_counted, receive_counted, NULL);
}

int main(int argc, char **argv) {
    static const struct conformance_test tests[] = {
        {.name = "sizes from 0 to 3 MiB", .function = test_sizes},
        {.name = "100 MiB", .function = test_large},
        {.name = "order of 10,000 messages", .function = test_order},
        {.name = "metadata", .function = test_metadata},
        {.name = "checksum", .function = test_checksum},
        {.name = "wrong settings", .function = test_wrong_settings},
        {.name = "statistics", .function = test_statistics},
    };
    return conformance_main(argc, argv, tests, COUNT(tests));
}
