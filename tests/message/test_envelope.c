/* SPDX-License-Identifier: MIT
 *
 * The envelope: every combination of fields there and back, every truncation, every flipped
 * bit, and the whole sentence about each kind of rubbish. */
#include "message/envelope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "harness/harness.h"

#define NAME "unix:///a"
#define FIELDS 7

static const uint64_t sizes[] = {0,          1,           65535,     65536,     0xFFFFFFFE,
                                 0xFFFFFFFF, 0x100000000, INT64_MAX, UINT64_MAX};
#define SIZE_COUNT (sizeof sizes / sizeof sizes[0])

/* An envelope with those of the fields that `set` has a bit for. */
static struct envelope make(unsigned set) {
    struct envelope envelope = {0};
    envelope.type = (set & 1) != 0 ? INT64_MAX : 0;
    envelope.priority = (set & 2) != 0 ? UINT32_MAX : 0;
    envelope.correlation = (set & 4) != 0 ? UINT64_MAX : 0;
    envelope.has_time = (set & 8) != 0;
    envelope.time = (set & 8) != 0 ? INT64_MIN : 0;
    envelope.kind = (set & 16) != 0 ? ENVELOPE_REPLY : ENVELOPE_MESSAGE;
    envelope.descriptors = (set & 32) != 0 ? 253 : 0;
    envelope.body_file = (set & 64) != 0 ? UINT64_MAX : 0;
    return envelope;
}

/* Reads from a block of exactly that size, so that a sanitizer sees a read beyond it. */
static int read_exactly(const uint8_t *bytes, size_t available, size_t *ret_head,
                        uint64_t *ret_size, struct envelope *ret_envelope) {
    uint8_t *exact = malloc(available > 0 ? available : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, available);
    int found = envelope_read(NAME, available > 0 ? exact : exact + 1, available, ret_head,
                              ret_size, ret_envelope);
    free(exact);
    return found;
}

static void check_same(const struct envelope *a, const struct envelope *b) {
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->priority, b->priority);
    assert_true(a->correlation == b->correlation);
    assert_int_equal(a->has_time, b->has_time);
    assert_int_equal(a->time, b->time);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->descriptors, b->descriptors);
    assert_true(a->body_file == b->body_file);
}

/* There and back, whole and cut off everywhere. */
static void check_round_trip(unsigned set, uint64_t size) {
    uint8_t bytes[ENVELOPE_HEAD_MAX + 8];
    const struct envelope written = make(set);
    struct envelope read;
    size_t head;
    uint64_t read_size;
    size_t count = envelope_write(&written, false, NULL, (size_t)size, bytes);
    assert_true(count <= ENVELOPE_HEAD_MAX);
    assert_int_equal(count == ENVELOPE_SHORT_SIZE, set == 0 && size <= 65535);
    assert_int_equal(read_exactly(bytes, count, &head, &read_size, &read), 1);
    assert_int_equal(head, count);
    assert_true(read_size == size);
    check_same(&written, &read);
    assert_false(read.has_checksum);
    for (size_t cut = 0; cut < count; cut++) {
        head = 1234;
        assert_int_equal(read_exactly(bytes, cut, &head, &read_size, &read), 0);
        assert_int_equal(head, 1234);
    }
}

static void test_round_trips(void **state) {
    (void)state;
    for (unsigned set = 0; set < 1u << FIELDS; set++)
        for (size_t i = 0; i < SIZE_COUNT; i++)
            if ((set & 64) == 0 || sizes[i] == 0) /* a body in a file is not here too */
                check_round_trip(set, sizes[i]);
}

static void test_checksums(void **state) {
    (void)state;
    static uint8_t body[70000];
    static const size_t body_sizes[] = {0, 1, 65535, 65536, 70000};
    uint8_t bytes[ENVELOPE_HEAD_MAX];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i * 31);
    for (unsigned set = 0; set < 1u << (FIELDS - 1); set++)
        for (size_t i = 0; i < 5; i++) {
            const struct envelope written = make(set);
            struct envelope read;
            size_t head, size = body_sizes[i];
            uint64_t read_size;
            size_t count = envelope_write(&written, true, body, size, bytes);
            assert_int_equal(read_exactly(bytes, count, &head, &read_size, &read), 1);
            assert_int_equal(head, count);
            assert_true(read.has_checksum && read_size == size);
            check_same(&written, &read);
            assert_true(envelope_is_intact(&read, bytes, head, body, size));
            for (size_t at = 0; at < size; at += size / 7 + 1) {
                body[at] ^= 0x10;
                assert_false(envelope_is_intact(&read, bytes, head, body, size));
                body[at] ^= 0x10;
            }
            read.checksum ^= 1;
            assert_false(envelope_is_intact(&read, bytes, head, body, size));
        }
}

/* One flipped bit: refused, or asks for more, or is another envelope that could have been
 * sent, within the bytes. */
static void test_flipped_bits(void **state) {
    (void)state;
    uint8_t bytes[ENVELOPE_HEAD_MAX];
    size_t refused = 0, other = 0;
    for (unsigned set = 0; set < 1u << FIELDS; set++) {
        const struct envelope written = make(set);
        size_t count = envelope_write(&written, set % 2 == 0, "", 0, bytes);
        for (size_t bit = 0; bit < 8 * count; bit++) {
            struct envelope read = {0};
            size_t head = 0;
            uint64_t size = 0;
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            int found = read_exactly(bytes, count, &head, &size, &read);
            if (found > 0)
                assert_true(head <= count);
            else if (found < 0)
                assert_int_equal(found, -EBADMSG);
            refused += found < 0;
            other += found > 0;
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    assert_true(refused > 50 * other); /* eight bits of check let few through */
}

/* ---- rubbish ---- */

struct rubbish {
    const char *bytes;
    size_t size;
    const char *sentence; /* after the name, ": " */
};

#define ROW(bytes, sentence)                                                                       \
    { bytes, sizeof bytes - 1, sentence }
#define DAMAGED "damaged envelope: "
#define FOREIGN                                                                                    \
    ", an envelope begins with 0xC7 or 0xC8; for a foreign program choose ?frame=line, nul, "      \
    "length32 or raw"

/* The check byte (the second) of those that begin with 0xC8 is put right first. */
static const struct rubbish rubbish[] = {
    ROW("\0", "a message begins with byte 0x00" FOREIGN),
    ROW("GET / HTTP/1.1\r\n", "a message begins with byte 0x47" FOREIGN),
    ROW("\xFF\xFF\xFF\xFF", "a message begins with byte 0xFF" FOREIGN),
    ROW("\xC7\x00\x00\x00", DAMAGED "the check byte does not fit"),
    ROW("\xC8\0\x01\x04\0\0\0\0", DAMAGED "1025 bytes of metadata; the limit is 1024"),
    ROW("\xC8\0\xFF\xFF\0\0\0\0", DAMAGED "65535 bytes of metadata; the limit is 1024"),
    ROW("\xC8\0\x01\0\0\0\0\0\x01", DAMAGED "a metadata field ends beyond the metadata"),
    ROW("\xC8\0\x02\0\0\0\0\0\x01\x08", DAMAGED "a metadata field ends beyond the metadata"),
    ROW("\xC8\0\x02\0\0\0\0\0\x80\xFF", DAMAGED "a metadata field ends beyond the metadata"),
    ROW("\xC8\0\x02\0\0\0\0\0\0\0", DAMAGED "metadata fields out of order"),
    ROW("\xC8\0\x06\0\0\0\0\0\x05\x01\x01\x05\x01\x01", DAMAGED "metadata fields out of order"),
    ROW("\xC8\0\x06\0\0\0\0\0\x06\x01\x01\x05\x01\x01", DAMAGED "metadata fields out of order"),
    ROW("\xC8\0\x04\0\0\0\0\0\x82\0\x81\0", DAMAGED "metadata fields out of order"),
    ROW("\xC8\0\x02\0\0\0\0\0\x09\0",
        "metadata field 9 is unknown to chappe 0.1.0; is the other side newer?"),
    ROW("\xC8\0\x02\0\0\0\0\0\x7E\0",
        "metadata field 126 is unknown to chappe 0.1.0; is the other side newer?"),
    ROW("\xC8\0\x04\0\0\0\0\0\x05\x02\x01\x00", DAMAGED "a metadata field of the wrong size"),
    ROW("\xC8\0\x02\0\0\0\0\0\x05\x00", DAMAGED "a metadata field of the wrong size"),
    ROW("\xC8\0\x0A\0\0\0\0\0\x01\x08\0\0\0\0\0\0\0\0", DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\x0A\0\0\0\0\0\x01\x08\0\0\0\0\0\0\0\x80",
        DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\x06\0\0\0\0\0\x02\x04\0\0\0\0", DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\x0A\0\0\0\0\0\x03\x08\0\0\0\0\0\0\0\0", DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\x03\0\0\0\0\0\x05\x01\x00", DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\x03\0\0\0\0\0\x05\x01\x03", DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\x03\0\0\0\0\0\x06\x01\x00", DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\x03\0\0\0\0\0\x06\x01\xFE", DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\x0A\0\0\0\0\0\x07\x08\0\0\0\0\0\0\0\0", DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\x0A\0\x01\0\0\0\x07\x08\x01\0\0\0\0\0\0\0",
        DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\x0A\0\0\0\0\0\x08\x08\xFF\xFF\xFF\xFF\0\0\0\0",
        DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\x0A\0\xFF\xFF\xFF\xFF\x08\x08\xFE\xFF\xFF\xFF\0\0\0\0",
        DAMAGED "a metadata value that cannot be"),
    ROW("\xC8\0\0\0\xFF\xFF\xFF\xFF", DAMAGED "a large body without its size"),
};

static void test_rubbish(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
        uint8_t bytes[64];
        char sentence[ERROR_TEXT_SIZE];
        struct envelope read = {.type = 5};
        size_t head = 6;
        uint64_t size = 7;
        memcpy(bytes, rubbish[i].bytes, rubbish[i].size);
        if (bytes[0] == ENVELOPE_LONG)
            bytes[1] = (uint8_t)crc32c(0, bytes, rubbish[i].size);
        error_set(0, "%s", "");
        int found = read_exactly(bytes, rubbish[i].size, &head, &size, &read);
        snprintf(sentence, sizeof sentence, NAME ": %s", rubbish[i].sentence);
        if (found != -EBADMSG || strcmp(error_text(), sentence) != 0)
            fail_msg("row %zu answers %d, \"%s\"\nwanted \"%s\"", i, found, error_text(), sentence);
        assert_true(read.type == 5 && head == 6 && size == 7); /* untouched */
    }
}

static void test_wrong_check_byte(void **state) {
    (void)state;
    uint8_t bytes[] = {ENVELOPE_LONG, 0, 0, 0, 5, 0, 0, 0};
    struct envelope read;
    size_t head;
    uint64_t size;
    uint8_t right = (uint8_t)crc32c(0, bytes, sizeof bytes);
    for (unsigned check = 0; check < 256; check++) {
        bytes[1] = (uint8_t)check;
        int found = read_exactly(bytes, sizeof bytes, &head, &size, &read);
        assert_int_equal(found, check == right ? 1 : -EBADMSG);
    }
    assert_string_equal(error_text(), NAME ": damaged envelope: the check byte does not fit");
}

/* Fields that a later version may add and this one may skip, after the known ones. */
static void test_skips_optional_fields(void **state) {
    (void)state;
    uint8_t bytes[] = {ENVELOPE_LONG, 0, 8, 0, 3, 0, 0, 0, 0x05, 0x01, 0x02, 0x80, 0, 0xFF, 1, 'x'};
    struct envelope read;
    size_t head;
    uint64_t size;
    bytes[1] = (uint8_t)crc32c(0, bytes, sizeof bytes);
    assert_int_equal(read_exactly(bytes, sizeof bytes, &head, &size, &read), 1);
    assert_int_equal(head, sizeof bytes);
    assert_int_equal(size, 3);
    assert_int_equal(read.kind, ENVELOPE_REPLY);
}

static const struct harness_test tests[] = {
    {.name = "all combinations there and back, and cut off", .function = test_round_trips},
    {.name = "checksums", .function = test_checksums},
    {.name = "flipped bits", .function = test_flipped_bits},
    {.name = "rubbish", .function = test_rubbish},
    {.name = "a wrong check byte", .function = test_wrong_check_byte},
    {.name = "fields that may be skipped", .function = test_skips_optional_fields},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
