/* SPDX-License-Identifier: MIT
 *
 * A kernel that fails when it is told to: stands in os_calls in the place of the real one.
 *
 * Calls that undo something (close, munmap, giving back a signal mask) do it and then
 * report the failure: that is what Linux does, and nobody could do anything about it. */
#ifndef FAULT_INJECTION_H
#define FAULT_INJECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "fault/allocations.h"
#include "os/os.h"

/* The members of struct os_calls in their order, and then the allocations. */
#define CALL_COUNT (sizeof(struct os_calls) / sizeof(void (*)(void)))
#define WAYS_TO_FAIL (CALL_COUNT + ALLOCATION_COUNT)
#define ERRORS_MAX 4

struct call {
    const char *name;
    int errors[ERRORS_MAX]; /* what it is made to fail with, one after the other; 0 ends */
    bool interruptible;     /* EINTR is among its errors in the manual, and it has to go on */
};

extern const struct call calls[WAYS_TO_FAIL];

struct injection {
    size_t call; /* which one fails */
    size_t at;   /* at which call of it, from 1; 0: never */
    int error;   /* with what */
    size_t seen; /* calls of it so far */
    bool done;   /* it has failed */

    bool interrupts; /* every other interruptible call is interrupted */
    bool tires;      /* every other call that need not wait answers EAGAIN */
    bool crawls;     /* streams give and take one byte at a time */
    bool is_old;     /* the kernel knows neither RWF_NOWAIT nor RWF_NOSIGNAL */
    size_t turns;    /* of “every other” */
};

extern struct injection injection;

/* How often each was made to fail; shared by all processes that the program forks. */
extern size_t *times_failed;

/* Once, before anything is forked. */
void injection_start(void);

/* What the library has mapped and not unmapped, other than the page of the process mark. */
extern long mappings_alive;

/* A descriptor was closed that was not open. */
extern bool closed_twice;

#endif
