/* SPDX-License-Identifier: MIT
 *
 * Numbers in text and in bytes. */
#include "base/number.h"

#include "harness/harness.h"

#define UNTOUCHED 77u

struct reading {
    const char *text;
    bool good;
    uint64_t value;
};

static const struct reading sizes[] = {
    {"0", true, 0},
    {"64", true, 64},
    {"007", true, 7},
    {"4K", true, 4096},
    {"1M", true, 1 << 20},
    {"2G", true, UINT64_C(2) << 30},
    {"3T", true, UINT64_C(3) << 40},
    {"18446744073709551615", true, UINT64_MAX},
    {"18014398509481983K", true, UINT64_C(18014398509481983) << 10},
    {"18014398509481984K", false, 0},
    {"16777215T", true, UINT64_C(16777215) << 40},
    {"16777216T", false, 0},
    {"18446744073709551616", false, 0},
    {"99999999999999999999999", false, 0},
    {"", false, 0},
    {"K", false, 0},
    {"-1", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"1k", false, 0},
    {"1KB", false, 0},
    {"1.5M", false, 0},
    {"0x10", false, 0},
    {"1P", false, 0},
};

static void test_sizes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t value = UNTOUCHED;
        bool good = number_size(sizes[i].text, &value);
        if (good != sizes[i].good || value != (good ? sizes[i].value : UNTOUCHED))
            fail_msg("\"%s\" reads as %d, %llu", sizes[i].text, good, (unsigned long long)value);
    }
}

static void test_decimal(void **state) {
    (void)state;
    uint64_t value = UNTOUCHED;
    assert_true(number_decimal("0", 0, &value));
    assert_int_equal(value, 0);
    assert_true(number_decimal("255", 255, &value));
    assert_int_equal(value, 255);
    assert_true(number_decimal("18446744073709551615", UINT64_MAX, &value));
    assert_int_equal(value, UINT64_MAX);
    value = UNTOUCHED;
    static const char *const bad[] = {
        "", "256", "1a", "-1", "0x1", "1K", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (number_decimal(bad[i], 255, &value) || value != UNTOUCHED)
            fail_msg("\"%s\" reads as %llu", bad[i], (unsigned long long)value);
}

static void test_octal(void **state) {
    (void)state;
    uint64_t value = UNTOUCHED;
    assert_true(number_octal("0600", 0777, &value));
    assert_int_equal(value, 0600);
    assert_true(number_octal("777", 0777, &value));
    assert_int_equal(value, 0777);
    value = UNTOUCHED;
    static const char *const bad[] = {
        "", "1000", "8", "78", "0o7", "-7", "7777777777777777777777777"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (number_octal(bad[i], 0777, &value) || value != UNTOUCHED)
            fail_msg("\"%s\" reads as %llu", bad[i], (unsigned long long)value);
}

static void test_bytes(void **state) {
    (void)state;
    uint8_t bytes[9] = {0};
    number_put16(bytes + 1, 0xFEDC); /* not aligned */
    assert_memory_equal(bytes + 1, "\xDC\xFE", 2);
    assert_int_equal(number_get16(bytes + 1), 0xFEDC);
    number_put32(bytes + 1, 0xFEDCBA98);
    assert_memory_equal(bytes + 1, "\x98\xBA\xDC\xFE", 4);
    assert_int_equal(number_get32(bytes + 1), 0xFEDCBA98);
    number_put64(bytes + 1, UINT64_C(0xFEDCBA9876543210));
    assert_memory_equal(bytes + 1, "\x10\x32\x54\x76\x98\xBA\xDC\xFE", 8);
    assert_true(number_get64(bytes + 1) == UINT64_C(0xFEDCBA9876543210));
    number_put32_big(bytes + 1, 0xFEDCBA98);
    assert_memory_equal(bytes + 1, "\xFE\xDC\xBA\x98", 4);
    assert_int_equal(number_get32_big(bytes + 1), 0xFEDCBA98);
    assert_int_equal(bytes[0], 0);
}

static const struct harness_test tests[] = {
    {.name = "sizes", .function = test_sizes},
    {.name = "decimal numbers", .function = test_decimal},
    {.name = "octal numbers", .function = test_octal},
    {.name = "numbers in bytes", .function = test_bytes},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
