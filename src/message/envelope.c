/* SPDX-License-Identifier: MIT
 *
 * The envelope of the frame `chappe`. Bytes are drawn in the header. */
#include "message/envelope.h"

#include <chappe/chappe.h>
#include <errno.h>

#include "base/crc32c.h"
#include "base/error.h"

enum tag {
    TAG_TYPE = 1,
    TAG_PRIORITY = 2,
    TAG_CORRELATION = 3,
    TAG_TIME = 4,
    TAG_KIND = 5,
    TAG_DESCRIPTORS = 6,
    TAG_BODY_FILE = 7,
    TAG_LONG_SIZE = 8,
    TAG_CHECKSUM = 127,
    TAG_MAY_SKIP = 128
};

#define SIZE_IS_LONG 0xFFFFFFFFu
#define CHECKSUM_FIELD_SIZE 6

/* ---- writing ---- */

static uint8_t *put_field(uint8_t *to, enum tag tag, uint8_t size, uint64_t value) {
    uint8_t bytes[8];
    number_put64(bytes, value);
    to[0] = (uint8_t)tag;
    to[1] = size;
    memcpy(to + 2, bytes, size);
    return to + 2 + size;
}

static uint8_t *put_fields(const struct envelope *envelope, uint64_t size, uint8_t *to) {
    if (envelope->type != 0)
        to = put_field(to, TAG_TYPE, 8, (uint64_t)envelope->type);
    if (envelope->priority != 0)
        to = put_field(to, TAG_PRIORITY, 4, envelope->priority);
    if (envelope->correlation != 0)
        to = put_field(to, TAG_CORRELATION, 8, envelope->correlation);
    if (envelope->has_time)
        to = put_field(to, TAG_TIME, 8, (uint64_t)envelope->time);
    if (envelope->kind != ENVELOPE_MESSAGE)
        to = put_field(to, TAG_KIND, 1, envelope->kind);
    if (envelope->descriptors != 0)
        to = put_field(to, TAG_DESCRIPTORS, 1, envelope->descriptors);
    if (envelope->body_file != 0)
        to = put_field(to, TAG_BODY_FILE, 8, envelope->body_file);
    if (size >= SIZE_IS_LONG)
        to = put_field(to, TAG_LONG_SIZE, 8, size);
    return to;
}

/* CRC of the header and the first `metadata` bytes after it, chk counting as 0. */
static uint32_t sum_head(const uint8_t *head, size_t metadata) {
    uint8_t start[ENVELOPE_LONG_SIZE];
    memcpy(start, head, sizeof start);
    start[1] = 0;
    return crc32c(crc32c(0, start, sizeof start), head + sizeof start, metadata);
}

size_t envelope_write(const struct envelope *envelope, bool checksum, const void *body, size_t size,
                      uint8_t *ret_head) {
    if (size <= UINT16_MAX && !checksum && envelope_is_plain(envelope))
        return envelope_write_short(size, ret_head);
    uint8_t *fields = ret_head + ENVELOPE_LONG_SIZE;
    uint8_t *end = put_fields(envelope, size, fields);
    size_t metadata = (size_t)(end - fields) + (checksum ? CHECKSUM_FIELD_SIZE : 0);
    ret_head[0] = ENVELOPE_LONG;
    ret_head[1] = 0;
    number_put16(ret_head + 2, (uint16_t)metadata);
    number_put32(ret_head + 4, size >= SIZE_IS_LONG ? SIZE_IS_LONG : (uint32_t)size);
    if (checksum) {
        end[0] = TAG_CHECKSUM;
        end[1] = 4;
        number_put32(end + 2, crc32c(sum_head(ret_head, metadata - 4), body, size));
    }
    ret_head[1] = (uint8_t)sum_head(ret_head, metadata);
    return ENVELOPE_LONG_SIZE + metadata;
}

/* ---- reading ---- */

static int damaged(const char *name, const char *what) {
    return error_set(-EBADMSG, "%s: damaged envelope: %s", name, what);
}

/* The size that a known field must have; 0 for an unknown one. */
static uint8_t field_size(uint8_t tag) {
    static const uint8_t sizes[] = {
        [TAG_TYPE] = 8,      [TAG_PRIORITY] = 4,  [TAG_CORRELATION] = 8,
        [TAG_TIME] = 8,      [TAG_KIND] = 1,      [TAG_DESCRIPTORS] = 1,
        [TAG_BODY_FILE] = 8, [TAG_LONG_SIZE] = 8, [TAG_CHECKSUM] = 4,
    };
    return tag < sizeof sizes ? sizes[tag] : 0;
}

static uint64_t field_value(const uint8_t *bytes, uint8_t size) {
    uint8_t wide[8] = {0};
    memcpy(wide, bytes, size);
    return number_get64(wide);
}

/* Takes one known field over. False: a value that cannot be. */
static bool take_field(uint8_t tag, uint64_t value, struct envelope *envelope,
                       uint64_t *body_size) {
    switch (tag) {
    case TAG_TYPE:
        envelope->type = (int64_t)value;
        return envelope->type > 0;
    case TAG_PRIORITY:
        envelope->priority = (uint32_t)value;
        return value != 0;
    case TAG_CORRELATION:
        envelope->correlation = value;
        return value != 0;
    case TAG_TIME:
        envelope->time = (int64_t)value;
        return envelope->has_time = true;
    case TAG_KIND:
        envelope->kind = (uint8_t)value;
        return value == ENVELOPE_REQUEST || value == ENVELOPE_REPLY;
    case TAG_DESCRIPTORS:
        envelope->descriptors = (uint8_t)value;
        return value >= 1 && value <= 253;
    case TAG_BODY_FILE:
        envelope->body_file = value;
        return value != 0 && *body_size == 0;
    case TAG_LONG_SIZE: {
        bool announced = *body_size == SIZE_IS_LONG;
        *body_size = value;
        return announced && value >= SIZE_IS_LONG;
    }
    default: /* TAG_CHECKSUM */
        envelope->checksum = (uint32_t)value;
        return envelope->has_checksum = true;
    }
}

static int read_fields(const char *name, const uint8_t *fields, size_t metadata,
                       struct envelope *envelope, uint64_t *body_size) {
    uint8_t last = 0;
    bool long_size = false;
    for (size_t at = 0; at < metadata;) {
        if (metadata - at < 2 || metadata - at - 2 < fields[at + 1])
            return damaged(name, "a metadata field ends beyond the metadata");
        uint8_t tag = fields[at], size = fields[at + 1];
        if (tag <= last)
            return damaged(name, "metadata fields out of order");
        last = tag;
        if (tag < TAG_MAY_SKIP) {
            if (field_size(tag) == 0)
                return error_set(-EBADMSG,
                                 "%s: metadata field %u is unknown to chappe %s; is the other "
                                 "side newer?",
                                 name, tag, CHAPPE_VERSION);
            if (field_size(tag) != size)
                return damaged(name, "a metadata field of the wrong size");
            if (!take_field(tag, field_value(fields + at + 2, size), envelope, body_size))
                return damaged(name, "a metadata value that cannot be");
            long_size |= tag == TAG_LONG_SIZE;
        }
        at += 2u + size;
    }
    if (*body_size == SIZE_IS_LONG && !long_size)
        return damaged(name, "a large body without its size");
    return 1;
}

static int read_long(const char *name, const uint8_t *bytes, size_t available, size_t *ret_head,
                     uint64_t *ret_size, struct envelope *ret_envelope) {
    if (available < ENVELOPE_LONG_SIZE)
        return 0;
    size_t metadata = number_get16(bytes + 2);
    if (metadata > ENVELOPE_METADATA_MAX)
        return error_set(-EBADMSG, "%s: damaged envelope: %zu bytes of metadata; the limit is %d",
                         name, metadata, ENVELOPE_METADATA_MAX);
    if (available < ENVELOPE_LONG_SIZE + metadata)
        return 0;
    if (bytes[1] != (uint8_t)sum_head(bytes, metadata))
        return damaged(name, "the check byte does not fit");
    struct envelope envelope = {0};
    uint64_t size = number_get32(bytes + 4);
    int known = read_fields(name, bytes + ENVELOPE_LONG_SIZE, metadata, &envelope, &size);
    if (known < 0)
        return known;
    *ret_head = ENVELOPE_LONG_SIZE + metadata;
    *ret_size = size;
    *ret_envelope = envelope;
    return 1;
}

int envelope_read(const char *name, const uint8_t *bytes, size_t available, size_t *ret_head,
                  uint64_t *ret_size, struct envelope *ret_envelope) {
    if (available == 0)
        return 0;
    if (bytes[0] == ENVELOPE_LONG)
        return read_long(name, bytes, available, ret_head, ret_size, ret_envelope);
    if (bytes[0] != ENVELOPE_SHORT)
        return error_set(-EBADMSG,
                         "%s: a message begins with byte 0x%02X, an envelope begins with 0xC7 or "
                         "0xC8; for a foreign program choose ?frame=line, nul, length32 or raw",
                         name, bytes[0]);
    if (available < ENVELOPE_SHORT_SIZE)
        return 0;
    if (bytes[1] != (0xA5 ^ bytes[2] ^ bytes[3]))
        return damaged(name, "the check byte does not fit");
    *ret_head = ENVELOPE_SHORT_SIZE;
    *ret_size = number_get16(bytes + 2);
    *ret_envelope = (struct envelope){0};
    return 1;
}

bool envelope_is_intact(const struct envelope *envelope, const uint8_t *bytes, size_t head,
                        const void *body, size_t size) {
    if (!envelope->has_checksum)
        return true;
    /* The value is the last four bytes only if nothing that may be skipped follows: so look. */
    for (size_t at = ENVELOPE_LONG_SIZE; at < head; at += 2u + bytes[at + 1])
        if (bytes[at] == TAG_CHECKSUM)
            return crc32c(sum_head(bytes, at + 2 - ENVELOPE_LONG_SIZE), body, size) ==
                   envelope->checksum;
    return false;
}
