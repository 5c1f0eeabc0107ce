/* SPDX-License-Identifier: MIT
 *
 * Servers of connections in shared memory, by name: what an address asks for, listening under
 * a named object and connecting to one. The object's body holds one page of numbers. */
#ifndef MECHANISM_LANES_NAME_H
#define MECHANISM_LANES_NAME_H

#include "mechanism/lanes.h"

/* The options that all rows of this shape have. */
#define LANES_OPTIONS                                                                              \
    "ring=SIZE  memory of each direction at first (without: 3.7K); it grows to what is needed",    \
        "wait=adaptive|spin|sleep  look for messages before sleeping: as long as it pays, "        \
        "always, "                                                                                 \
        "never (without: adaptive)",                                                               \
        "pages=usual|huge  kind of memory pages (without: usual)",                                 \
        "mode=OCTAL  who may connect (without: 0600)",                                             \
        "clients=N  how many connections a server has at most (without: no limit)"

/* What connections in shared memory can do, whatever they are named by. */
extern const unsigned char lanes_support[CHAPPE_CAPABILITY_COUNT];

struct lanes_name {
    struct domain_place place;
    const char *kind; /* of the object */
    mode_t mode;      /* that it gets */
    uint64_t clients; /* at most; 0: no limit */
};

/* Reads the common options. */
int lanes_read_terms(const struct address *address, mode_t standard_mode,
                     struct lanes_terms *ret_terms, struct lanes_name *ret_name);

/* Both hold terms->backing.home as long as they need it. */
int lanes_open_name(const struct opening *opening, const struct lanes_name *name,
                    const struct lanes_terms *terms, struct carrier **ret_carrier);
int lanes_listen_name(const struct opening *opening, const struct lanes_name *name,
                      const struct lanes_terms *terms, struct carrier **ret_carrier);

/* A pair without a name. */
int lanes_open_pair(const struct opening *a, const struct opening *b,
                    const struct lanes_terms *terms, struct carrier **ret_a,
                    struct carrier **ret_b);

#endif
