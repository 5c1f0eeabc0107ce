/* SPDX-License-Identifier: MIT
 *
 * The frames: where messages begin and end, whatever the pieces are that they come in. */
#include "message/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "harness/harness.h"

static struct address *address; /* the terms point into it */

static struct terms terms_of(const char *text) {
    struct terms terms;
    assert_int_equal(address_parse(text, &address), 0);
    assert_int_equal(frame_terms(address, &terms), 0);
    return terms;
}

static const char *const with_ends[] = {"x://a?frame=chappe", "x://a?frame=chappe&checksum=yes",
                                        "x://a?frame=line", "x://a?frame=nul",
                                        "x://a?frame=length32"};

static size_t put(const struct terms *terms, const void *body, size_t size, uint8_t *to) {
    const struct envelope plain = {0};
    int head = frame_write(terms, &plain, body, size, to);
    assert_true(head >= 0 && head <= ENVELOPE_HEAD_MAX);
    memcpy(to + head, body, size);
    memcpy(to + head + size, terms->frame->tail, terms->frame->tail_size);
    return (size_t)head + size + terms->frame->tail_size;
}

static int look(const struct terms *terms, const uint8_t *bytes, size_t available, bool ended,
                size_t *scanned, struct framed *ret_framed) {
    uint8_t *exact = malloc(available > 0 ? available : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, available);
    int found = frame_read(terms, exact, available, ended, scanned, ret_framed);
    free(exact);
    return found;
}

/* Byte by byte: nothing is found too early, and in the end the message. */
static void check_there_and_back(const struct terms *terms, const char *body, size_t size) {
    uint8_t bytes[512];
    size_t total = put(terms, body, size, bytes), scanned = 0;
    struct framed framed = {0};
    for (size_t available = 0; available <= total; available++) {
        int found = look(terms, bytes, available, false, &scanned, &framed);
        assert_true(found == 0 || found == 1);
        if (found == 1)
            assert_int_equal(framed.head + framed.size + framed.tail, total);
        else
            assert_true(available < total);
    }
    assert_int_equal(framed.size, size);
    assert_memory_equal(bytes + framed.head, body, size);
}

static void test_there_and_back(void **state) {
    (void)state;
    char body[300];
    memset(body, 'b', sizeof body);
    for (size_t i = 0; i < sizeof with_ends / sizeof with_ends[0]; i++) {
        struct terms terms = terms_of(with_ends[i]);
        for (size_t size = 0; size <= sizeof body; size++)
            check_there_and_back(&terms, body, size);
        free(address);
    }
}

static void test_last_line(void **state) {
    (void)state;
    struct terms terms = terms_of("x://a?frame=line");
    struct framed framed = {0};
    size_t scanned = 0;
    assert_int_equal(look(&terms, (const uint8_t *)"tail", 4, false, &scanned, &framed), 0);
    assert_int_equal(look(&terms, (const uint8_t *)"tail", 4, true, &scanned, &framed), 1);
    assert_int_equal(framed.size, 4);
    assert_int_equal(framed.tail, 0);
    scanned = 0;
    assert_int_equal(look(&terms, (const uint8_t *)"", 0, true, &scanned, &framed), 0);
    free(address);
}

static void test_raw(void **state) {
    (void)state;
    struct terms terms = terms_of("x://a?frame=raw&limit=10");
    struct framed framed = {0};
    size_t scanned = 0;
    const uint8_t *bytes = (const uint8_t *)"0123456789abc";
    assert_int_equal(look(&terms, bytes, 0, false, &scanned, &framed), 0);
    assert_int_equal(look(&terms, bytes, 3, false, &scanned, &framed), 1);
    assert_int_equal(framed.size, 3);
    assert_int_equal(look(&terms, bytes, 13, false, &scanned, &framed), 1);
    assert_int_equal(framed.size, 10);
    free(address);
}

/* ---- what a frame cannot hold ---- */

struct refusal {
    const char *address;
    const char *body;
    size_t size;
    int error;
    const char *sentence; /* after the address, ": " */
};

static const struct refusal unwritable[] = {
    {"x://a?frame=line", "a\nb", 3, -EINVAL,
     "byte 1 of the message is the one that ends messages in frame=line; frame=chappe and "
     "length32 hold any bytes"},
    {"x://a?frame=nul", "ab\0", 3, -EINVAL,
     "byte 2 of the message is the one that ends messages in frame=nul; frame=chappe and "
     "length32 hold any bytes"},
    {"x://a?limit=2", "abc", 3, -EMSGSIZE, "a message of 3 bytes; the limit is 2 (limit=SIZE)"},
    {"x://a?frame=raw&limit=2", "abc", 3, -EMSGSIZE,
     "a message of 3 bytes; the limit is 2 (limit=SIZE)"},
    {"x://a?frame=length32&limit=5G", NULL, 0x100000000, -EMSGSIZE,
     "a message of 4294967296 bytes; frame=length32 holds 4294967295"},
};

static const struct refusal unreadable[] = {
    {"x://a?limit=3", "\xC7\xA1\x04\0", 4, -EMSGSIZE,
     "a message of 4 bytes; the limit is 3 (limit=SIZE)"},
    {"x://a?frame=length32", "\xFF\xFF\xFF\xFF", 4, -EMSGSIZE,
     "a message of 4294967295 bytes; the limit is 1073741824 (limit=SIZE)"},
    {"x://a?frame=length32&limit=255", "\0\0\x01\0", 4, -EMSGSIZE,
     "a message of 256 bytes; the limit is 255 (limit=SIZE)"},
    {"x://a?frame=line&limit=3", "abcd\n", 5, -EMSGSIZE,
     "a message of at least 4 bytes; the limit is 3 (limit=SIZE)"},
    {"x://a?frame=line&limit=3", "abcd", 4, -EMSGSIZE,
     "a message of at least 4 bytes; the limit is 3 (limit=SIZE)"},
    {"x://a?frame=nul&limit=3", "abcde", 5, -EMSGSIZE,
     "a message of at least 5 bytes; the limit is 3 (limit=SIZE)"},
    {"x://a", "x", 1, -EBADMSG,
     "a message begins with byte 0x78, an envelope begins with 0xC7 or 0xC8; for a foreign "
     "program choose ?frame=line, nul, length32 or raw"},
};

static void check_refusal(const struct refusal *wanted, int error) {
    char sentence[ERROR_TEXT_SIZE];
    snprintf(sentence, sizeof sentence, "%s: %s", wanted->address, wanted->sentence);
    if (error != wanted->error || strcmp(error_text(), sentence) != 0)
        fail_msg("%s answers %d, \"%s\"\nwanted %d, \"%s\"", wanted->address, error, error_text(),
                 wanted->error, sentence);
}

static void test_unwritable(void **state) {
    (void)state;
    const struct envelope plain = {0};
    uint8_t head[ENVELOPE_HEAD_MAX];
    for (size_t i = 0; i < sizeof unwritable / sizeof unwritable[0]; i++) {
        struct terms terms = terms_of(unwritable[i].address);
        check_refusal(&unwritable[i],
                      frame_write(&terms, &plain, unwritable[i].body, unwritable[i].size, head));
        free(address);
    }
}

static void test_unreadable(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof unreadable / sizeof unreadable[0]; i++) {
        struct terms terms = terms_of(unreadable[i].address);
        struct framed framed = {0};
        size_t scanned = 0;
        check_refusal(&unreadable[i], look(&terms, (const uint8_t *)unreadable[i].body,
                                           unreadable[i].size, false, &scanned, &framed));
        free(address);
    }
}

static void test_at_the_limit(void **state) {
    (void)state;
    static const char *const limited[] = {"x://a?limit=3", "x://a?limit=3&frame=line",
                                          "x://a?limit=3&frame=nul",
                                          "x://a?limit=3&frame=length32"};
    for (size_t i = 0; i < sizeof limited / sizeof limited[0]; i++) {
        struct terms terms = terms_of(limited[i]);
        check_there_and_back(&terms, "abc", 3);
        free(address);
    }
}

static void test_metadata_needs_an_envelope(void **state) {
    (void)state;
    const struct envelope typed = {.type = 1};
    uint8_t head[ENVELOPE_HEAD_MAX];
    for (size_t i = 2; i < sizeof with_ends / sizeof with_ends[0]; i++) {
        struct terms terms = terms_of(with_ends[i]);
        assert_int_equal(frame_write(&terms, &typed, "a", 1, head), -ENOTSUP);
        assert_non_null(strstr(error_text(), with_ends[i]));
        assert_non_null(strstr(error_text(), "frame=chappe does"));
        free(address);
    }
}

/* A body in a file counts too. */
static void test_limit_of_body_files(void **state) {
    (void)state;
    struct terms terms = terms_of("x://a?limit=1000");
    const struct envelope envelope = {.body_file = 1001};
    uint8_t head[ENVELOPE_HEAD_MAX];
    struct framed framed = {0};
    size_t scanned = 0;
    int size = frame_write(&terms, &envelope, NULL, 0, head);
    assert_true(size > 0);
    assert_int_equal(look(&terms, head, (size_t)size, false, &scanned, &framed), -EMSGSIZE);
    assert_string_equal(
        error_text(), "x://a?limit=1000: a message of 1001 bytes; the limit is 1000 (limit=SIZE)");
    free(address);
}

static const struct harness_test tests[] = {
    {.name = "there and back, byte by byte", .function = test_there_and_back},
    {.name = "the last line", .function = test_last_line},
    {.name = "no boundaries", .function = test_raw},
    {.name = "what a frame cannot hold", .function = test_unwritable},
    {.name = "what a reader refuses", .function = test_unreadable},
    {.name = "at the limit", .function = test_at_the_limit},
    {.name = "metadata needs an envelope", .function = test_metadata_needs_an_envelope},
    {.name = "the limit of a body in a file", .function = test_limit_of_body_files},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
