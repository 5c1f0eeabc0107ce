/* SPDX-License-Identifier: MIT
 *
 * CRC-32C: the vectors of RFC 3720, and both of its ways against each other. */
#include "base/crc32c.c" /* for the two ways, which nobody else sees */

#include "harness/harness.h"

static void test_vectors(void **state) {
    (void)state;
    static const uint8_t read_command[48] = {
        0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0, 0, 0,
        0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
        0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,    0, 0, 0, 0};
    uint8_t bytes[32];
    memset(bytes, 0x00, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x8A9136AA);
    memset(bytes, 0xFF, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x62A8AB43);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x46DD794E);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x113FDB5C);
    assert_int_equal(crc32c(0, read_command, sizeof read_command), 0xD9963A56);
    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void fill(uint8_t *bytes, size_t size) {
    uint32_t number = 7;
    for (size_t i = 0; i < size; i++) {
        number = number * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(number >> 24);
    }
}

static void test_in_pieces(void **state) {
    (void)state;
    uint8_t bytes[200];
    fill(bytes, sizeof bytes);
    uint32_t whole = crc32c(0, bytes, sizeof bytes);
    for (size_t first = 0; first <= sizeof bytes; first++)
        assert_int_equal(crc32c(crc32c(0, bytes, first), bytes + first, sizeof bytes - first),
                         whole);
}

static void test_both_ways(void **state) {
    (void)state;
    uint8_t bytes[100];
    if (!is_fast())
        harness_skip("this processor has no instruction for CRC-32C");
    fill(bytes, sizeof bytes);
    for (size_t start = 0; start < 9; start++)
        for (size_t size = 0; start + size <= sizeof bytes; size++)
            assert_int_equal(plain(0xFFFFFFFF, bytes + start, size),
                             fast(0xFFFFFFFF, bytes + start, size));
}

static const struct harness_test tests[] = {
    {.name = "the vectors of RFC 3720", .function = test_vectors},
    {.name = "in pieces", .function = test_in_pieces},
    {.name = "both ways give the same", .function = test_both_ways},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
