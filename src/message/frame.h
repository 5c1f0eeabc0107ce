/* SPDX-License-Identifier: MIT
 *
 * Frames: how message boundaries stand in a row of bytes. Encoding and decoding only; no
 * frame knows where its bytes come from. */
#ifndef MESSAGE_FRAME_H
#define MESSAGE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message/address.h"
#include "message/envelope.h"

struct frame;

/* What both sides of an address have to agree on. */
struct terms {
    const struct frame *frame;
    uint64_t limit;   /* largest body */
    bool checksum;    /* send one with each message */
    const char *name; /* the address, for sentences; as long-lived as its owner */
};

/* A message found in a row of bytes. */
struct framed {
    size_t head;   /* bytes before the body */
    uint64_t size; /* of the body */
    size_t tail;   /* bytes after it */
    struct envelope envelope;
};

struct frame {
    const char *name;
    const char *tail; /* after each body; tail_size bytes */
    size_t tail_size;
    bool has_envelope;  /* metadata travels */
    bool holds_empty;   /* a body of no bytes is a message on a stream too */
    bool keeps_reading; /* the end of a message is found by looking for it */

    /* The head for a body. Result: its size, at most ENVELOPE_HEAD_MAX, or a negative errno
     * value with a sentence where the frame cannot hold these bytes. */
    int (*write)(const struct terms *terms, const struct envelope *envelope, const void *body,
                 size_t size, uint8_t *ret_head);

    /* Looks at the next message of a stream. *scanned: how far earlier calls looked, 0 for a
     * new message. `ended`: nothing more will come.
     * Result: 1, and *ret_framed says where it is (its body may not be here whole yet);
     * 0 if more bytes are needed to say; a negative errno value with a sentence. */
    int (*read)(const struct terms *terms, const uint8_t *bytes, size_t available, bool ended,
                size_t *scanned, struct framed *ret_framed);
};

/* The options frame=, limit= and checksum= of an address. */
int frame_terms(const struct address *address, struct terms *ret_terms);

/* write() of the frame after the checks that all frames share. */
int frame_write(const struct terms *terms, const struct envelope *envelope, const void *body,
                size_t size, uint8_t *ret_head);

/* read() of the frame, then the check against the limit. */
int frame_read(const struct terms *terms, const uint8_t *bytes, size_t available, bool ended,
               size_t *scanned, struct framed *ret_framed);

#endif
