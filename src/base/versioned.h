/* SPDX-License-Identifier: MIT
 *
 * Structs that begin with their size, so that caller and library may be of different
 * versions. */
#ifndef BASE_VERSIONED_H
#define BASE_VERSIONED_H

#include <stddef.h>

/* Copies a caller's struct (its first member is its size) into one of `size` bytes. Absent
 * (NULL) and missing members become zero. -EINVAL if it is smaller than `least`, -E2BIG if
 * it has members that we do not know and that are not zero. `what` names the type. */
int versioned_read(void *to, size_t size, size_t least, const void *from, const char *what);

/* Copies our struct into the caller's, whose size member stays; what we do not know there
 * becomes zero. -EINVAL if it is smaller than `least`. */
int versioned_write(void *to, size_t size, size_t least, const void *from, const char *what);

#endif
