/* SPDX-License-Identifier: MIT
 *
 * The nearest of some words. */
#include "base/text.h"

#include <string.h>

#include "harness/harness.h"

static void test_distance(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } pairs[] = {
        {"", "", 0},         {"a", "", 1},         {"", "abc", 3},        {"unix", "unix", 0},
        {"unix", "unx", 1},  {"unix", "uniix", 1}, {"unix", "unax", 1},   {"unix", "uinx", 1},
        {"pipe", "unix", 4}, {"pipe", "epip", 2},  {"limit", "limti", 1},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_int_equal(text_distance(pairs[i].a, pairs[i].b), pairs[i].distance);
        assert_int_equal(text_distance(pairs[i].b, pairs[i].a), pairs[i].distance);
    }
}

static void test_long_words(void **state) {
    (void)state;
    char word[34];
    memset(word, 'x', 33);
    word[33] = '\0';
    assert_int_equal(text_distance(word, "x"), 32);
    assert_int_equal(text_distance("x", word), 32);
    word[32] = '\0';
    assert_int_equal(text_distance(word, word), 0);
    assert_int_equal(text_distance(word, word + 1), 1);
}

static const char *nearest(const char *word) {
    static const char *const candidates[] = {"pipe", "stdio", "unix", "limit", "frame", "checksum"};
    const char *best = NULL;
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++)
        text_nearest(word, candidates[i], &best);
    return best;
}

static void test_nearest(void **state) {
    (void)state;
    assert_string_equal(nearest("unx"), "unix");
    assert_string_equal(nearest("uinx"), "unix");
    assert_string_equal(nearest("pip"), "pipe");
    assert_string_equal(nearest("limits"), "limit");
    assert_string_equal(nearest("chekcsum"), "checksum");
    assert_string_equal(nearest("frame"), "frame");
}

static void test_nothing_near(void **state) {
    (void)state;
    assert_null(nearest("tcp"));
    assert_null(nearest("websocket"));
    assert_null(nearest("x"));
}

static const struct harness_test tests[] = {
    {.name = "distance", .function = test_distance},
    {.name = "long words", .function = test_long_words},
    {.name = "the nearest", .function = test_nearest},
    {.name = "nothing is near", .function = test_nothing_near},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
