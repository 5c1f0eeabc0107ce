/* SPDX-License-Identifier: MIT
 *
 * The sentence of the last failure. */
#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "harness/harness.h"

static void test_starts_empty(void **state) {
    (void)state;
    assert_string_equal(error_text(), "");
}

static void test_keeps_sentence_and_code(void **state) {
    (void)state;
    assert_int_equal(error_set(-EMSGSIZE, "%s: %d bytes", "unix:///a", 7), -EMSGSIZE);
    assert_string_equal(error_text(), "unix:///a: 7 bytes");
    assert_int_equal(error_set(-EINVAL, "second"), -EINVAL);
    assert_string_equal(error_text(), "second");
}

static void test_adds_words_of_the_kernel(void **state) {
    (void)state;
    assert_int_equal(error_of(-ENOENT, "%s", "unix:///a"), -ENOENT);
    assert_string_equal(error_text(), "unix:///a: No such file or directory");
}

static void test_unknown_code_has_words_too(void **state) {
    (void)state;
    assert_int_equal(error_of(-4000, "%s", "unix:///a"), -4000);
    assert_memory_equal(error_text(), "unix:///a: ", 11);
}

static void test_may_quote_itself(void **state) {
    (void)state;
    error_set(-EIO, "inner");
    error_set(-EIO, "outer (%s)", error_text());
    assert_string_equal(error_text(), "outer (inner)");
}

static void test_shows_no_control_bytes(void **state) {
    (void)state;
    error_set(-EINVAL, "a\033[31mb\x7f\n\tc\xc3\xbc");
    assert_string_equal(error_text(), "a?[31mb???c\xc3\xbc");
}

static void test_cuts_a_long_sentence(void **state) {
    (void)state;
    char name[2 * ERROR_TEXT_SIZE];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    error_set(-EINVAL, "%s", name);
    assert_int_equal(strlen(error_text()), ERROR_TEXT_SIZE - 1);
    error_of(-EINVAL, "%s", name);
    assert_int_equal(strlen(error_text()), ERROR_TEXT_SIZE - 1);
}

static void *fail_elsewhere(void *context) {
    (void)context;
    assert_string_equal(error_text(), "");
    error_set(-EIO, "of the other thread");
    return NULL;
}

static void test_is_per_thread(void **state) {
    (void)state;
    pthread_t thread;
    error_set(-EIO, "of this thread");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(error_text(), "of this thread");
}

static const struct harness_test tests[] = {
    {.name = "starts empty", .function = test_starts_empty},
    {.name = "keeps sentence and code", .function = test_keeps_sentence_and_code},
    {.name = "adds the words of the kernel", .function = test_adds_words_of_the_kernel},
    {.name = "an unknown code has words too", .function = test_unknown_code_has_words_too},
    {.name = "may quote itself", .function = test_may_quote_itself},
    {.name = "shows no control bytes", .function = test_shows_no_control_bytes},
    {.name = "cuts a long sentence", .function = test_cuts_a_long_sentence},
    {.name = "is per thread", .function = test_is_per_thread},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
