/* SPDX-License-Identifier: MIT
 *
 * A piece of memory that two processes share, whatever it is made of: a file of memory, a
 * file, a System V segment, or a mapping that only children inherit. Whoever makes one tells
 * the other side of it by a ticket: a few bytes and at most one descriptor. */
#ifndef MECHANISM_SEGMENT_H
#define MECHANISM_SEGMENT_H

#include <chappe/chappe.h>

#include "base/shared.h"
#include "domain/domain.h"
#include "os/os.h"

enum backing {
    BACKING_MEMFD,     /* a file of memory without a name, sealed against shrinking */
    BACKING_POSIX,     /* a file in /dev/shm, as of shm_open(3) */
    BACKING_SYSV,      /* a System V segment */
    BACKING_ANONYMOUS, /* an anonymous mapping that children inherit */
    BACKING_ZERO,      /* the same by way of /dev/zero */
    BACKING_FILE       /* a file in a folder of the caller's choice, without a name */
};

/* Where files of memory and records of System V segments lie. Connections of one server
 * share it, perhaps in several threads. */
struct backing_home {
    shared32 references;
    struct domain *domain; /* or NULL */
    int folder;            /* for files, where there is no domain; -1 */
};

/* What segments of a carrier are made of. */
struct backing_terms {
    enum backing backing;
    enum os_pages pages;
    mode_t mode;               /* who may attach */
    struct backing_home *home; /* one reference is the terms' own; NULL: not needed */
};

struct segment {
    uint8_t *memory;
    size_t size;
    enum backing backing;
    int descriptor; /* to be passed; -1: none, or passed */
    int id;         /* of a System V segment */
    uint32_t references;
};

/* The bytes of a ticket, as they travel. */
struct segment_ticket {
    uint64_t size;
    uint32_t backing;
    int32_t id;
};

/* Can the other side attach to one that is made after the processes parted? */
bool segment_travels(enum backing backing);
/* Is one kept while it is under way, though its maker has gone? A System V segment goes with
 * the last process that is attached to it. */
bool segment_waits(enum backing backing);

/* Takes both, also on failure (NULL). */
struct backing_home *backing_home_create(struct domain *domain, int folder);
struct backing_home *backing_home_hold(struct backing_home *home); /* NULL: NULL */
void backing_home_release(struct backing_home *home);              /* NULL does nothing */

/* Makes one, zeroed, of at least `size` bytes. Errors have a sentence that begins with
 * `name`. */
int segment_create(const struct backing_terms *terms, const char *name, size_t size,
                   struct segment **ret_segment);
/* The other side's, by its ticket; `descriptor` (-1: none) is taken in any case. Checks that
 * it is as large as announced, and that its maker cannot use us against others, or shrink it
 * under us: memory that is not sealed is taken only from users who could kill us anyhow. */
int segment_attach(const char *name, const struct segment_ticket *ticket, int descriptor,
                   const chappe_identity *maker, struct segment **ret_segment);
/* The same memory at another address, for the other end of a pair. */
int segment_again(const char *name, const struct segment *segment, struct segment **ret_segment);

void segment_tell(const struct segment *segment, struct segment_ticket *ret_ticket);
void segment_passed(struct segment *segment); /* its descriptor is not needed any more */
struct segment *segment_hold(struct segment *segment);
void segment_release(struct segment *segment); /* NULL does nothing */

#endif
