/* SPDX-License-Identifier: MIT
 *
 * The header of shared objects: published last, read once, every damage seen. */
#include <errno.h>
#include <string.h>

#include "harness/harness.h"
#include "memory/header.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static _Alignas(64) uint8_t memory[HEADER_SIZE];

static const struct header_facts facts = {.flags = HEADER_STAYS,
                                          .size = 0x123456789A,
                                          .required = 0xF1,
                                          .optional = 0xF2,
                                          .incarnation = "0123456789abcde",
                                          .kind = "shm",
                                          .created = 0x0102030405060708,
                                          .pid = 0x11223344,
                                          .body = 0x55667788,
                                          .space = 0xAABBCCDD,
                                          .number = 0x1122334455667788,
                                          .boot = "01234567-89ab-cdef-0123-456789abcde"};

static void make(void) {
    memset(memory, 0, sizeof memory);
    header_write(memory, &facts);
    header_publish(memory);
}

static void test_what_went_in(void **state) {
    (void)state;
    struct header_facts read, expected = facts;
    expected.layout = HEADER_LAYOUT;
    expected.header = HEADER_SIZE;
    make();
    memset(&read, 0, sizeof read);
    assert_int_equal(header_read(memory, sizeof memory, &read), 0);
    assert_memory_equal(&read, &expected, sizeof read);
}

static void test_published_last(void **state) {
    (void)state;
    struct header_facts read = {.pid = 42};
    memset(memory, 0, sizeof memory);
    header_write(memory, &facts);
    assert_int_equal(header_read(memory, sizeof memory, &read), -EAGAIN);
    assert_int_equal(read.pid, 42);
    header_publish(memory);
    assert_int_equal(header_read(memory, sizeof memory, &read), 0);
}

/* The bytes themselves, as docs/FORMATS.md draws them. */
static void test_bytes(void **state) {
    (void)state;
    static const uint8_t start[] = {'c', 'h', 'a', 'p', 'p',  'e',  0x1A, 0x01, 1,    0, 0, 1,
                                    1,   0,   0,   0,   0x9A, 0x78, 0x56, 0x34, 0x12, 0, 0, 0};
    make();
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        assert_memory_equal(memory, start, sizeof start);
    assert_memory_equal(memory + 40, facts.incarnation, 16);
    assert_memory_equal(memory + 56, facts.kind, 16);
    assert_memory_equal(memory + 104, facts.boot, 36);
    for (size_t i = 144; i < sizeof memory; i++)
        assert_int_equal(memory[i], 0);
}

static void test_every_bit(void **state) {
    (void)state;
    for (size_t bit = 0; bit < 144 * 8; bit++) {
        struct header_facts read = {.pid = 42};
        make();
        memory[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int outcome = header_read(memory, sizeof memory, &read);
        bool layout = bit / 8 == 8 || bit / 8 == 9;
        assert_int_equal(outcome, layout ? -EPROTO : -EBADMSG);
        assert_int_equal(read.pid, layout ? 0 : 42);
    }
}

static void test_every_size(void **state) {
    (void)state;
    struct header_facts read;
    make();
    for (size_t size = 0; size < sizeof memory; size++)
        assert_int_equal(header_read(memory, size, &read), -EBADMSG);
    assert_int_equal(header_read(memory, sizeof memory + 1000, &read), 0);
}

/* Of another version: its first words are enough. */
static void test_another_layout(void **state) {
    (void)state;
    struct header_facts read;
    make();
    memory[8] = 9;
    memory[10] = 64;
    memory[11] = 0;
    for (size_t size = 16; size <= sizeof memory; size++) {
        assert_int_equal(header_read(memory, size, &read), -EPROTO);
        assert_int_equal(read.layout, 9);
        assert_int_equal(read.header, 64);
        assert_int_equal(read.flags, HEADER_STAYS);
    }
}

static void test_another_byte_order(void **state) {
    (void)state;
    struct header_facts read;
    make();
    for (size_t i = 0; i < 4; i++) {
        uint8_t byte = memory[i];
        memory[i] = memory[7 - i];
        memory[7 - i] = byte;
    }
    assert_int_equal(header_read(memory, sizeof memory, &read), -EBADMSG);
}

static void test_bad_kinds(void **state) {
    (void)state;
    static const char kinds[][HEADER_KIND_SIZE] = {
        "",
        "Shm",
        "a b",
        "a/b",
        "a.b",
        "a\0b",
        {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'}};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct header_facts bad = facts, read;
        memcpy(bad.kind, kinds[i], sizeof bad.kind);
        memset(memory, 0, sizeof memory);
        header_write(memory, &bad);
        header_publish(memory);
        assert_int_equal(header_read(memory, sizeof memory, &read), -EBADMSG);
    }
}

static void test_too_small(void **state) {
    (void)state;
    struct header_facts bad = facts, read;
    bad.size = HEADER_SIZE - 1;
    memset(memory, 0, sizeof memory);
    header_write(memory, &bad);
    header_publish(memory);
    assert_int_equal(header_read(memory, sizeof memory, &read), -EBADMSG);
}

static void test_state(void **state) {
    (void)state;
    struct header_facts read;
    make();
    assert_int_equal(header_state(memory), HEADER_NAMED);
    header_end(memory);
    assert_int_equal(header_state(memory), HEADER_ENDING);
    assert_int_equal(memory[192], 1);
    assert_int_equal(header_read(memory, sizeof memory, &read), 0); /* no part of the check */
}

static const struct harness_test tests[] = {
    {.name = "what went in comes out", .function = test_what_went_in},
    {.name = "the magic is published last", .function = test_published_last},
    {.name = "the bytes are where the drawing has them", .function = test_bytes},
    {.name = "every flipped bit is seen", .function = test_every_bit},
    {.name = "no size is too small to be refused", .function = test_every_size},
    {.name = "another layout is told by its first words", .function = test_another_layout},
    {.name = "another byte order is no object", .function = test_another_byte_order},
    {.name = "kinds are small letters", .function = test_bad_kinds},
    {.name = "a size below the header's is refused", .function = test_too_small},
    {.name = "the state changes alone", .function = test_state},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, COUNT(tests));
}
