/* SPDX-License-Identifier: MIT
 *
 * The shape of every carrier of bytes: framing, partial reads and writes, gathering and
 * held output over one descriptor in each direction. A mechanism supplies `struct
 * bytes_io`. */
#ifndef MECHANISM_BYTES_H
#define MECHANISM_BYTES_H

#include <sys/uio.h>

#include "mechanism/arrivals.h"
#include "mechanism/held.h"
#include "mechanism/mechanism.h"
#include "os/os.h"

struct bytes;

struct bytes_io {
    /* Result: how many bytes, 0 for the end; -EAGAIN unless `block`. Arrived descriptors go
     * to bytes->arrivals. */
    ssize_t (*read)(struct bytes *bytes, void *to, size_t size, bool block);
    /* Descriptors travel with the first byte. */
    ssize_t (*write)(struct bytes *bytes, const struct iovec *parts, int count,
                     const int *descriptors, size_t descriptor_count, bool block);
    /* How much of what was written the other side has not read: 0 for nothing, bytes, or
     * memory (`measures` is then false). Negative: nobody knows. */
    int (*unread)(struct bytes *bytes);
    bool measures;
    /* NULL: the other direction is a descriptor of its own, which is closed. */
    int (*finish)(struct bytes *bytes);
};

struct bytes {
    struct carrier carrier; /* first: a carrier is cast to its shape */
    const struct bytes_io *io;
    int in, out; /* may be the same; -1: not open */
    struct os_abilities in_abilities, out_abilities;

    /* Coming in: chunk->bytes[start .. end) is not taken yet. */
    struct chunk *chunk;
    size_t start, end;
    size_t scanned;  /* of the next message, by a frame that looks for its end */
    size_t wanted;   /* size of the next message with head and tail; 0 = not known */
    size_t appetite; /* how large the next chunk is to be */
    bool large;      /* the last message was: read its successor's head only */
    uint64_t skip;   /* of a message beyond the limit that is still to be thrown away */
    bool fresh;      /* something came that take() has not looked at */
    bool ended;
    bool reset; /* the other side went away with unread bytes of ours */
    struct arrivals arrivals;

    /* Going out. */
    size_t progress; /* bytes of the current letter that are out */
    uint64_t sent;
    size_t least, most;     /* framed sizes so far */
    uint64_t dropped_begun; /* bytes of them that were out */
    bool dropped_vague;     /* whole messages may be among those bytes */
    uint64_t dropped;       /* messages that were held when the other side went away */
};

extern const struct carrier_functions bytes_functions;

/* Makes a carrier over descriptors, which it then owns, also on failure. */
int bytes_create(const struct opening *opening, const char *address, const struct bytes_io *io,
                 int in, int out, struct carrier **ret_carrier);

/* bytes_send.c */
int bytes_send(struct carrier *carrier, const struct letter *letter, enum send_mode mode);
int bytes_send_plain(struct carrier *carrier, const chappe_item *items, size_t count,
                     enum send_mode mode, uint64_t *ret_bytes);
void bytes_undelivered(struct carrier *carrier, chappe_undelivered *ret_undelivered);
int bytes_finish(struct carrier *carrier);

#endif
