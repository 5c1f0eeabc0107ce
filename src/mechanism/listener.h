/* SPDX-License-Identifier: MIT
 *
 * A name under which connections of a Unix socket are accepted, whatever they carry. */
#ifndef MECHANISM_LISTENER_H
#define MECHANISM_LISTENER_H

#include "mechanism/mechanism.h"

struct listener_use {
    /* Makes a carrier of an accepted socket, which it takes. -EPERM: the client is refused. */
    int (*welcome)(const struct opening *opening, const void *terms, int fd,
                   struct carrier **ret_client);
    void (*forget)(void *terms);
    void *terms;
};

/* Listens on a bound socket, which it takes, as it does the terms, also on failure. */
int listener_create(const struct opening *opening, const struct listener_use *use, int fd,
                    struct carrier **ret_carrier);

#endif
