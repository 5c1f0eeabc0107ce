/* SPDX-License-Identifier: MIT
 *
 * Structs of callers of other versions. */
#include "base/versioned.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "harness/harness.h"

struct old {
    size_t size;
    unsigned long a;
};

struct ours {
    size_t size;
    unsigned long a, b;
};

struct newer {
    size_t size;
    unsigned long a, b, c;
};

#define LEAST sizeof(struct old)

static int read_ours(struct ours *to, const void *from) {
    return versioned_read(to, sizeof *to, LEAST, from, "struct_name");
}

static void test_absent_is_all_zero(void **state) {
    (void)state;
    struct ours to = {1, 2, 3};
    assert_int_equal(read_ours(&to, NULL), 0);
    assert_int_equal(to.size | to.a | to.b, 0);
}

static void test_older_caller(void **state) {
    (void)state;
    struct ours to = {1, 2, 3};
    const struct old from = {sizeof from, 5};
    assert_int_equal(read_ours(&to, &from), 0);
    assert_int_equal(to.a, 5);
    assert_int_equal(to.b, 0);
}

static void test_newer_caller(void **state) {
    (void)state;
    struct ours to = {1, 2, 3};
    struct newer from = {sizeof from, 5, 6, 0};
    assert_int_equal(read_ours(&to, &from), 0);
    assert_int_equal(to.a, 5);
    assert_int_equal(to.b, 6);
    from.c = 1UL << 56; /* the last byte of it */
    to = (struct ours){1, 2, 3};
    assert_int_equal(read_ours(&to, &from), -E2BIG);
    assert_string_equal(error_text(),
                        "struct_name has a field at byte 31 that this version does not know");
    assert_int_equal(to.a, 2);
}

static void test_too_small(void **state) {
    (void)state;
    struct ours to = {1, 2, 3};
    for (size_t size = 0; size < LEAST; size++) {
        const struct old from = {size, 5};
        assert_int_equal(read_ours(&to, &from), -EINVAL);
        assert_non_null(strstr(error_text(), "set it to sizeof(struct_name)"));
        assert_int_equal(to.a, 2);
    }
}

static void test_writes_to_all(void **state) {
    (void)state;
    const struct ours from = {sizeof from, 5, 6};
    struct old older = {sizeof older, 1};
    struct ours same = {sizeof same, 1, 1};
    struct newer newer = {sizeof newer, 1, 1, 1};
    assert_int_equal(versioned_write(&older, sizeof from, LEAST, &from, "name"), 0);
    assert_int_equal(versioned_write(&same, sizeof from, LEAST, &from, "name"), 0);
    assert_int_equal(versioned_write(&newer, sizeof from, LEAST, &from, "name"), 0);
    assert_int_equal(older.size, sizeof older);
    assert_int_equal(older.a, 5);
    assert_int_equal(same.size, sizeof same);
    assert_int_equal(same.b, 6);
    assert_int_equal(newer.size, sizeof newer);
    assert_int_equal(newer.b, 6);
    assert_int_equal(newer.c, 0);
    older = (struct old){LEAST - 1, 1};
    assert_int_equal(versioned_write(&older, sizeof from, LEAST, &from, "name"), -EINVAL);
    assert_int_equal(older.a, 1);
}

static const struct harness_test tests[] = {
    {.name = "absent is all zero", .function = test_absent_is_all_zero},
    {.name = "an older caller", .function = test_older_caller},
    {.name = "a newer caller", .function = test_newer_caller},
    {.name = "too small", .function = test_too_small},
    {.name = "writes to all of them", .function = test_writes_to_all},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
