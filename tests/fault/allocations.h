/* SPDX-License-Identifier: MIT
 *
 * Every malloc(), calloc(), realloc() and strdup() of the program and of the library in it
 * comes by here (the linker's --wrap), to be counted, and refused when a test says so. What
 * the C library allocates for itself does not. */
#ifndef FAULT_ALLOCATIONS_H
#define FAULT_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>

enum allocation { ALLOCATION_MALLOC, ALLOCATION_CALLOC, ALLOCATION_REALLOC, ALLOCATION_STRDUP };
#define ALLOCATION_COUNT 4

struct allocations {
    size_t made;  /* calls that gave memory */
    size_t bytes; /* that those asked for */
    long alive;   /* blocks made minus blocks freed */
    /* Asked before each; true: it is to fail. NULL: none fails. */
    bool (*refuses)(enum allocation allocation);
};

extern struct allocations allocations;

#endif
