/* SPDX-License-Identifier: MIT
 *
 * Output that a carrier has taken over, because the other side has its beginning already or
 * because its sender must not wait. One per carrier, made when first needed. */
#ifndef MECHANISM_HELD_H
#define MECHANISM_HELD_H

#include <string.h>
#include <sys/uio.h>

#include "mechanism/mechanism.h"

#define HELD_WARM ((size_t)64 << 10) /* this much memory stays when nothing is held */

struct held {
    uint8_t *bytes;
    size_t capacity, size, done; /* [done .. size) is still to be written */
    size_t before;               /* of the same message, what went out before it was held */
    uint64_t messages;           /* in it */
    size_t descriptor_count;
    int descriptors[CHAPPE_DESCRIPTORS_MAX]; /* duplicates, to go with the first byte */
};

/* Copies the head, body and tail of a message together. */
static inline void held_join(const struct iovec parts[3], uint8_t *to) {
    for (size_t i = 0; i < 3; to += parts[i++].iov_len)
        if (parts[i].iov_len > 0)
            memcpy(to, parts[i].iov_base, parts[i].iov_len);
}

/* Is anything held? */
static inline bool held_is_full(const struct held *held) {
    return held != NULL && held->messages > 0;
}

/* *held with room for `size` bytes; NULL without memory. */
struct held *held_make_room(struct held **held, size_t size);

/* Duplicates the descriptors of a letter: they have to outlive the call. */
int held_take_descriptors(struct held *held, const char *name, const struct letter *letter);
void held_close_descriptors(struct held *held);

/* Nothing is held any more; a little memory stays warm. */
void held_forget(struct held *held);
void held_free(struct held *held); /* NULL does nothing */

#endif
