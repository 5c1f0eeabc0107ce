/* SPDX-License-Identifier: MIT
 *
 * The envelope of the frame `chappe`: what stands before the body of each message.
 *
 * Short form, for a body below 65,536 bytes with nothing but its size (4 bytes):
 *
 *     0      1      2             4
 *     +------+------+------+------+------ … ------+
 *     | 0xC7 | chk  | size, 16 le | body          |
 *     +------+------+------+------+------ … ------+
 *     chk = 0xA5 xor byte 2 xor byte 3
 *
 * Long form, with metadata or a larger body (8 bytes and the metadata):
 *
 *     0      1      2             4                           8
 *     +------+------+------+------+------+------+------+------+---- … ----+-- … --+
 *     | 0xC8 | chk  | meta, 16 le | size, 32 le               | metadata  | body  |
 *     +------+------+------+------+------+------+------+------+---- … ----+-- … --+
 *     chk = the low 8 bits of CRC-32C over the 8 bytes, chk being 0, and the metadata
 *     meta = bytes of metadata, at most 1,024
 *     size = bytes of the body; 0xFFFFFFFF: see LONG_SIZE
 *
 * Metadata is a row of fields, ascending by tag, each at most once:
 *
 *     +-----+------+------- … -------+
 *     | tag | size | value, le       |
 *     +-----+------+------- … -------+
 *
 *     tag  field        size  value
 *       1  TYPE            8  signed, > 0
 *       2  PRIORITY        4
 *       3  CORRELATION     8  not 0
 *       4  TIME            8  of sending, ns since 1970, signed
 *       5  KIND            1  1 = request, 2 = reply
 *       6  DESCRIPTORS     1  how many travel beside the message, 1 to 253
 *       7  BODY_FILE       8  the body is not here (size = 0) but in a sealed memory file
 *                             of this size, which is the last descriptor beside the message
 *       8  LONG_SIZE       8  the size of the body, when it is above 0xFFFFFFFE
 *     127  CHECKSUM        4  CRC-32C over header (chk being 0), all metadata before this
 *                             value, and the body
 *                             (not one in a file: sealed, it cannot change)
 *     A reader skips fields with a tag of 128 and above that it does not know, and refuses
 *     unknown ones below.
 *
 * A reader that meets any other first byte, a wrong chk, or fields out of order says so and
 * gives the stream up: there is no way to find the next boundary. */
#ifndef MESSAGE_ENVELOPE_H
#define MESSAGE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/number.h"

#define ENVELOPE_SHORT 0xC7
#define ENVELOPE_LONG 0xC8
#define ENVELOPE_SHORT_SIZE 4
#define ENVELOPE_LONG_SIZE 8
#define ENVELOPE_METADATA_MAX 1024
#define ENVELOPE_HEAD_MAX 128 /* what this version writes at most: 8 and 9 fields */

enum envelope_kind { ENVELOPE_MESSAGE = 0, ENVELOPE_REQUEST = 1, ENVELOPE_REPLY = 2 };

/* What travels with a body. Zero means: not there. */
struct envelope {
    int64_t type;
    uint32_t priority;
    uint8_t kind;        /* enum envelope_kind */
    uint8_t descriptors; /* without the body's own */
    bool has_time;
    bool has_checksum;
    uint32_t checksum;
    uint64_t correlation;
    int64_t time;
    uint64_t body_file; /* size of a body that travels as a descriptor */
};

/* Is there anything in it that the short form cannot say? */
static inline bool envelope_is_plain(const struct envelope *envelope) {
    return envelope->type == 0 && envelope->priority == 0 && envelope->kind == ENVELOPE_MESSAGE &&
           envelope->descriptors == 0 && !envelope->has_time && envelope->correlation == 0 &&
           envelope->body_file == 0;
}

/* Writes the header and the metadata for a body of `size` bytes. With `checksum`, the
 * body is read. Result: how many bytes, at most ENVELOPE_HEAD_MAX. */
size_t envelope_write(const struct envelope *envelope, bool checksum, const void *body, size_t size,
                      uint8_t *ret_head);

static inline size_t envelope_write_short(size_t size, uint8_t *ret_head) {
    uint8_t low = (uint8_t)size, high = (uint8_t)(size >> 8);
    number_put32(ret_head, ENVELOPE_SHORT | (uint32_t)(0xA5 ^ low ^ high) << 8 |
                               (uint32_t)low << 16 | (uint32_t)high << 24);
    return ENVELOPE_SHORT_SIZE;
}

/* Is a whole short message at `at`, with a body of at most `limit`? Then its head, else 0. */
static inline uint32_t envelope_short_head(const uint8_t *at, size_t left, uint64_t limit) {
    if (left < ENVELOPE_SHORT_SIZE)
        return 0;
    uint32_t head = number_get32(at);
    uint8_t check = (uint8_t)(0xA5 ^ head >> 16 ^ head >> 24);
    bool whole = left - ENVELOPE_SHORT_SIZE >= head >> 16 && head >> 16 <= limit;
    return whole && (head & 0xFFFF) == (ENVELOPE_SHORT | (uint32_t)check << 8) ? head : 0;
}

/* Reads an envelope from the start of `bytes`. Result: 1, and *ret_head is its size and
 * *ret_size the body's that follows; 0 when more bytes are needed to tell; -EBADMSG with a
 * sentence that begins with `name`. The body's checksum is not checked here. */
int envelope_read(const char *name, const uint8_t *bytes, size_t available, size_t *ret_head,
                  uint64_t *ret_size, struct envelope *ret_envelope);

/* Is the checksum that came with a message right? `head` bytes of envelope at `bytes`. */
bool envelope_is_intact(const struct envelope *envelope, const uint8_t *bytes, size_t head,
                        const void *body, size_t size);

#endif
