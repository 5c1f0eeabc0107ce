/* SPDX-License-Identifier: MIT
 *
 * Addresses: what they mean, and the whole sentence about each that means nothing. */
#include "message/address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "harness/harness.h"
#include "message/frame.h"

static const char *const own_options[] = {"type=a|b  the kind", "clients=N  how many", NULL};

/* ---- good ones ---- */

static void test_parts(void **state) {
    (void)state;
    struct address *address;
    const char *text = "unix:///run/a%20b%00c?type=x%26y&flag&empty=";
    assert_int_equal(address_parse(text, &address), 0);
    assert_string_equal(address->text, text);
    assert_string_equal(address->scheme, "unix");
    assert_int_equal(address->where_size, 10);
    assert_memory_equal(address->where, "/run/a b\0c", 11);
    assert_int_equal(address->option_count, 3);
    assert_string_equal(address_option(address, "type"), "x&y");
    assert_string_equal(address_option(address, "flag"), "");
    assert_string_equal(address_option(address, "empty"), "");
    assert_null(address_option(address, "clients"));
    free(address);
}

static void test_short_forms(void **state) {
    (void)state;
    static const struct {
        const char *text, *scheme, *where;
    } good[] = {
        {"pipe://", "pipe", ""},       {"stdio://", "stdio", ""},
        {"pipe://3,-", "pipe", "3,-"}, {"unix://@x", "unix", "@x"},
        {"unix://./a", "unix", "./a"}, {"a1://x://y", "a1", "x://y"},
        {"x://a%3Fb", "x", "a?b"},     {"x://a%2fb", "x", "a/b"},
        {"x://a?", "x", "a"},          {"x://\xC3\xBC", "x", "\xC3\xBC"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct address *address;
        if (address_parse(good[i].text, &address) < 0)
            fail_msg("%s: %s", good[i].text, error_text());
        assert_string_equal(address->scheme, good[i].scheme);
        assert_string_equal(address->where, good[i].where);
        free(address);
    }
}

/* ---- bad ones ---- */

struct bad {
    const char *text;
    int error;
    const char *sentence; /* after the address, ": " */
};

#define PERCENT "% must be followed by two hexadecimal digits (%25 is % itself)"
#define FORM "an address is scheme://where, such as unix:///run/my.socket"

static const struct bad bad[] = {
    {"unix", -EINVAL, FORM},
    {"unix:", -EINVAL, FORM},
    {"unix:/", -EINVAL, FORM},
    {"/run/a.socket", -EINVAL, FORM},
    {"://", -EINVAL, FORM},
    {":///run", -EINVAL, FORM},
    {"Unix://a", -EINVAL, "a scheme is lower-case letters and digits"},
    {"un ix://a", -EINVAL, "a scheme is lower-case letters and digits"},
    {"un-ix://a", -EINVAL, "a scheme is lower-case letters and digits"},
    {"un%69x://a", -EINVAL, "a scheme is lower-case letters and digits"},
    {"x://%", -EINVAL, PERCENT},
    {"x://%4", -EINVAL, PERCENT},
    {"x://%4g", -EINVAL, PERCENT},
    {"x://%g4", -EINVAL, PERCENT},
    {"x://a%?limit=1", -EINVAL, PERCENT},
    {"x://a?limit=%", -EINVAL, PERCENT},
    {"x://a?limit=%1", -EINVAL, PERCENT},
    {"x://a?limit=1%00", -EINVAL, PERCENT},
    {"x://a?limit=1&limit=2", -EINVAL, "option limit is given twice"},
    {"x://a?flag&flag", -EINVAL, "option flag is given twice"},
    {"x://?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", -EINVAL, "more than 16 options"},
};

static const struct bad bad_options[] = {
    {"x://a?limits=1", -EINVAL, "no option “limits”; did you mean “limit”?"},
    {"x://a?frmae=raw", -EINVAL, "no option “frmae”; did you mean “frame”?"},
    {"x://a?typ=a", -EINVAL, "no option “typ”; did you mean “type”?"},
    {"x://a?client=1", -EINVAL, "no option “client”; did you mean “clients”?"},
    {"x://a?bananas=1", -EINVAL, "no option “bananas”; see `chappe help x`"},
    {"x://a?Limit=1", -EINVAL, "no option “Limit”; did you mean “limit”?"},
    {"x://a?frame=lines", -EINVAL, "frame=lines is none of chappe, line, nul, length32, raw"},
    {"x://a?frame", -EINVAL, "frame= is none of chappe, line, nul, length32, raw"},
    {"x://a?checksum=1", -EINVAL, "checksum=1 is none of no, yes"},
    {"x://a?frame=raw&checksum=yes", -EINVAL,
     "frame=raw has no room for a checksum; frame=chappe has"},
    {"x://a?limit=0", -EINVAL, "limit=0 is not between 1 and 9223372036854775807"},
    {"x://a?limit=-1", -EINVAL, "limit=-1 is not a size such as 64, 4K or 1M"},
    {"x://a?limit=1X", -EINVAL, "limit=1X is not a size such as 64, 4K or 1M"},
    {"x://a?limit=", -EINVAL, "limit= is not a size such as 64, 4K or 1M"},
    {"x://a?limit=16777215T", -EINVAL, "limit=16777215T is not between 1 and 9223372036854775807"},
};

static void check_failure(const struct bad *wanted, int error) {
    char sentence[ERROR_TEXT_SIZE];
    snprintf(sentence, sizeof sentence, "%s: %s", wanted->text, wanted->sentence);
    if (error != wanted->error || strcmp(error_text(), sentence) != 0)
        fail_msg("%s answers %d, \"%s\"\nwanted  %d, \"%s\"", wanted->text, error, error_text(),
                 wanted->error, sentence);
}

static void test_bad(void **state) {
    (void)state;
    struct address *none = NULL;
    assert_int_equal(address_parse("", &none), -EINVAL);
    assert_string_equal(error_text(), "an empty address; an address is scheme://where");
    assert_null(none);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct address untouched, *address = &untouched;
        check_failure(&bad[i], address_parse(bad[i].text, &address));
        assert_ptr_equal(address, &untouched);
    }
}

static void test_bad_options(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_options / sizeof bad_options[0]; i++) {
        struct address *address;
        struct terms terms;
        assert_int_equal(address_parse(bad_options[i].text, &address), 0);
        int error = address_check_options(address, own_options);
        if (error == 0)
            error = frame_terms(address, &terms);
        check_failure(&bad_options[i], error);
        free(address);
    }
}

static void test_no_address(void **state) {
    (void)state;
    struct address *address = NULL;
    assert_int_equal(address_parse(NULL, &address), -EINVAL);
    assert_string_equal(error_text(), "no address was given");
}

static void test_longest(void **state) {
    (void)state;
    static char text[ADDRESS_SIZE_MAX + 1];
    struct address *address = NULL;
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "unix:///", 8);
    assert_int_equal(address_parse(text, &address), -ENAMETOOLONG);
    assert_string_equal(error_text(), "an address of 4096 bytes; the limit is 4095");
    assert_null(address);
    text[ADDRESS_SIZE_MAX - 1] = '\0';
    assert_int_equal(address_parse(text, &address), 0);
    assert_int_equal(address->where_size, ADDRESS_SIZE_MAX - 1 - 7);
    free(address);
}

/* ---- standards ---- */

static void test_terms(void **state) {
    (void)state;
    struct address *address;
    struct terms terms;
    assert_int_equal(address_parse("x://a", &address), 0);
    assert_int_equal(frame_terms(address, &terms), 0);
    assert_string_equal(terms.frame->name, "chappe");
    assert_true(terms.limit == 1 << 30);
    assert_false(terms.checksum);
    free(address);
    assert_int_equal(address_parse("x://a?limit=4K&checksum=yes", &address), 0);
    assert_int_equal(frame_terms(address, &terms), 0);
    assert_true(terms.limit == 4096);
    assert_true(terms.checksum);
    free(address);
}

/* ---- escaping ---- */

static void test_round_trip(void **state) {
    (void)state;
    char bytes[256], escaped[3 * 256 + 1], text[1024];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    size_t size = address_escape(bytes, sizeof bytes, escaped, sizeof escaped);
    assert_int_equal(size, strlen(escaped));
    for (const char *c = escaped; *c != '\0'; c++)
        assert_true(*c > 0x20 && *c < 0x7F && *c != '?');
    snprintf(text, sizeof text, "x://%s", escaped);
    struct address *address;
    assert_int_equal(address_parse(text, &address), 0);
    assert_int_equal(address->where_size, sizeof bytes);
    assert_memory_equal(address->where, bytes, sizeof bytes);
    free(address);
}

static void test_escape_without_room(void **state) {
    (void)state;
    char *text = malloc(6);
    assert_int_equal(address_escape("a b c", 5, text, 6), 9);
    assert_string_equal(text, "a%20b");
    assert_int_equal(address_escape("abc", 3, text, 1), 3);
    assert_string_equal(text, "");
    assert_int_equal(address_escape("abc", 3, NULL, 0), 3);
    free(text);
}

static const struct harness_test tests[] = {
    {.name = "the parts of an address", .function = test_parts},
    {.name = "short forms", .function = test_short_forms},
    {.name = "bad addresses", .function = test_bad},
    {.name = "bad options", .function = test_bad_options},
    {.name = "no address", .function = test_no_address},
    {.name = "the longest address", .function = test_longest},
    {.name = "what goes without saying", .function = test_terms},
    {.name = "escaping and back", .function = test_round_trip},
    {.name = "escaping without room", .function = test_escape_without_room},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
