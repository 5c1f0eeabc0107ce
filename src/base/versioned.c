/* SPDX-License-Identifier: MIT
 *
 * Structs that begin with their size. */
#include "base/versioned.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

static size_t size_of(const void *versioned) {
    size_t size;
    memcpy(&size, versioned, sizeof size);
    return size;
}

static int too_small(const char *what, size_t size, size_t least) {
    return error_set(-EINVAL, "%s.size is %zu; set it to sizeof(%s), which is at least %zu", what,
                     size, what, least);
}

int versioned_read(void *to, size_t size, size_t least, const void *from, const char *what) {
    if (from == NULL) {
        memset(to, 0, size);
        return 0;
    }
    size_t given = size_of(from);
    if (given < least)
        return too_small(what, given, least);
    const char *bytes = from;
    for (size_t i = size; i < given; i++)
        if (bytes[i] != 0)
            return error_set(-E2BIG, "%s has a field at byte %zu that this version does not know",
                             what, i);
    memset(to, 0, size);
    memcpy(to, from, given < size ? given : size);
    return 0;
}

int versioned_write(void *to, size_t size, size_t least, const void *from, const char *what) {
    size_t given = size_of(to);
    if (given < least)
        return too_small(what, given, least);
    memset(to, 0, given);
    memcpy(to, from, given < size ? given : size);
    memcpy(to, &given, sizeof given);
    return 0;
}
