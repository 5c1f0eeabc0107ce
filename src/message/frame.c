/* SPDX-License-Identifier: MIT
 *
 * Frames: chappe, line, nul, length32 and raw. */
#include "message/frame.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

#define LIMIT_STANDARD (1ull << 30)

/* ---- chappe: the envelope ---- */

static int chappe_frame_write(const struct terms *terms, const struct envelope *envelope,
                              const void *body, size_t size, uint8_t *ret_head) {
    return (int)envelope_write(envelope, terms->checksum, body, size, ret_head);
}

static int chappe_frame_read(const struct terms *terms, const uint8_t *bytes, size_t available,
                             bool ended, size_t *scanned, struct framed *ret_framed) {
    (void)ended;
    (void)scanned;
    ret_framed->tail = 0;
    return envelope_read(terms->name, bytes, available, &ret_framed->head, &ret_framed->size,
                         &ret_framed->envelope);
}

/* ---- line and nul: a byte that ends each message ---- */

static int ended_by_write(const struct terms *terms, const struct envelope *envelope,
                          const void *body, size_t size, uint8_t *ret_head) {
    (void)envelope;
    (void)ret_head;
    const char *end = size > 0 ? memchr(body, terms->frame->tail[0], size) : NULL;
    if (end != NULL)
        return error_set(-EINVAL,
                         "%s: byte %zu of the message is the one that ends messages in "
                         "frame=%s; frame=chappe and length32 hold any bytes",
                         terms->name, (size_t)(end - (const char *)body), terms->frame->name);
    return 0;
}

static int ended_by_read(const struct terms *terms, const uint8_t *bytes, size_t available,
                         bool ended, size_t *scanned, struct framed *ret_framed) {
    const uint8_t *end = available > *scanned
                             ? memchr(bytes + *scanned, terms->frame->tail[0], available - *scanned)
                             : NULL;
    *scanned = available;
    *ret_framed = (struct framed){.size = available};
    if (end != NULL) {
        ret_framed->size = (uint64_t)(end - bytes);
        ret_framed->tail = 1;
        return 1;
    }
    if (available > terms->limit)
        return 1; /* frame_read() refuses it; *ret_framed holds at least that many */
    return ended && available > 0; /* a last line may lack its newline */
}

/* ---- length32: the size in four bytes, the most significant first ---- */

static int length32_write(const struct terms *terms, const struct envelope *envelope,
                          const void *body, size_t size, uint8_t *ret_head) {
    (void)envelope;
    (void)body;
    if (size > UINT32_MAX)
        return error_set(-EMSGSIZE, "%s: a message of %zu bytes; frame=length32 holds 4294967295",
                         terms->name, size);
    number_put32_big(ret_head, (uint32_t)size);
    return 4;
}

static int length32_read(const struct terms *terms, const uint8_t *bytes, size_t available,
                         bool ended, size_t *scanned, struct framed *ret_framed) {
    (void)terms;
    (void)ended;
    (void)scanned;
    if (available < 4)
        return 0;
    *ret_framed = (struct framed){.head = 4, .size = number_get32_big(bytes)};
    return 1;
}

/* ---- raw: what one read brings is a message ---- */

static int raw_write(const struct terms *terms, const struct envelope *envelope, const void *body,
                     size_t size, uint8_t *ret_head) {
    (void)terms;
    (void)envelope;
    (void)body;
    (void)size;
    (void)ret_head;
    return 0;
}

static int raw_read(const struct terms *terms, const uint8_t *bytes, size_t available, bool ended,
                    size_t *scanned, struct framed *ret_framed) {
    (void)bytes;
    (void)ended;
    (void)scanned;
    /* What came at once beyond the limit is simply two messages: there was no boundary. */
    *ret_framed = (struct framed){.size = available < terms->limit ? available : terms->limit};
    return available > 0;
}

/* ---- the table ---- */

static const struct frame frames[] = {
    {.name = "chappe",
     .tail = "",
     .has_envelope = true,
     .holds_empty = true,
     .write = chappe_frame_write,
     .read = chappe_frame_read},
    {.name = "line",
     .tail = "\n",
     .tail_size = 1,
     .holds_empty = true,
     .keeps_reading = true,
     .write = ended_by_write,
     .read = ended_by_read},
    {.name = "nul",
     .tail = "",
     .tail_size = 1, /* the byte that ends the string */
     .holds_empty = true,
     .keeps_reading = true,
     .write = ended_by_write,
     .read = ended_by_read},
    {.name = "length32",
     .tail = "",
     .holds_empty = true,
     .write = length32_write,
     .read = length32_read},
    {.name = "raw", .tail = "", .write = raw_write, .read = raw_read},
};

#define FRAME_COUNT (sizeof frames / sizeof frames[0])

int frame_terms(const struct address *address, struct terms *ret_terms) {
    static const char *const yes_no[] = {"no", "yes", NULL};
    const char *names[FRAME_COUNT + 1] = {NULL};
    for (size_t i = 0; i < FRAME_COUNT; i++)
        names[i] = frames[i].name;
    int frame, checksum, error;
    struct terms terms = {.name = address->text};
    if ((error = address_choice(address, "frame", names, 0, &frame)) < 0 ||
        (error = address_choice(address, "checksum", yes_no, 0, &checksum)) < 0 ||
        (error = address_size(address, "limit", LIMIT_STANDARD, 1, INT64_MAX, &terms.limit)) < 0)
        return error;
    terms.frame = &frames[frame];
    terms.checksum = checksum == 1;
    if (terms.checksum && !terms.frame->has_envelope)
        return error_set(-EINVAL, "%s: frame=%s has no room for a checksum; frame=chappe has",
                         address->text, terms.frame->name);
    *ret_terms = terms;
    return 0;
}

static int too_big(const struct terms *terms, uint64_t size) {
    return error_set(-EMSGSIZE, "%s: a message of %s%llu bytes; the limit is %llu (limit=SIZE)",
                     terms->name, terms->frame->keeps_reading ? "at least " : "",
                     (unsigned long long)size, (unsigned long long)terms->limit);
}

int frame_write(const struct terms *terms, const struct envelope *envelope, const void *body,
                size_t size, uint8_t *ret_head) {
    if (size > terms->limit)
        return error_set(-EMSGSIZE, "%s: a message of %zu bytes; the limit is %llu (limit=SIZE)",
                         terms->name, size, (unsigned long long)terms->limit);
    if (!terms->frame->has_envelope && !envelope_is_plain(envelope))
        return error_set(-ENOTSUP,
                         "%s: frame=%s carries bytes only, no type, priority, time, correlation "
                         "or descriptors; frame=chappe does",
                         terms->name, terms->frame->name);
    return terms->frame->write(terms, envelope, body, size, ret_head);
}

int frame_read(const struct terms *terms, const uint8_t *bytes, size_t available, bool ended,
               size_t *scanned, struct framed *ret_framed) {
    int found = terms->frame->read(terms, bytes, available, ended, scanned, ret_framed);
    if (found <= 0)
        return found;
    if (ret_framed->size > terms->limit)
        return too_big(terms, ret_framed->size);
    if (ret_framed->envelope.body_file > terms->limit)
        return too_big(terms, ret_framed->envelope.body_file);
    return 1;
}
