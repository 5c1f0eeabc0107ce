/* SPDX-License-Identifier: MIT
 *
 * Output that a carrier has taken over. */
#include "mechanism/held.h"

#include <stdlib.h>

#include "base/error.h"
#include "os/os.h"

struct held *held_make_room(struct held **held, size_t size) {
    if (*held == NULL && (*held = calloc(1, sizeof **held)) == NULL)
        return NULL;
    if ((*held)->capacity < size) {
        uint8_t *larger = realloc((*held)->bytes, size);
        if (larger == NULL)
            return NULL;
        (*held)->bytes = larger;
        (*held)->capacity = size;
    }
    return *held;
}

int held_take_descriptors(struct held *held, const char *name, const struct letter *letter) {
    for (size_t i = 0; i < letter->descriptor_count; i++) {
        int copy = os_duplicate(letter->descriptors[i]);
        if (copy < 0) {
            held_close_descriptors(held);
            return error_of(copy, "%s: descriptor %d", name, letter->descriptors[i]);
        }
        held->descriptors[held->descriptor_count++] = copy;
    }
    return 0;
}

void held_close_descriptors(struct held *held) {
    for (size_t i = 0; i < held->descriptor_count; i++)
        os_close(held->descriptors[i]);
    held->descriptor_count = 0;
}

void held_forget(struct held *held) {
    held_close_descriptors(held);
    held->size = held->done = held->before = 0;
    held->messages = 0;
    if (held->capacity > HELD_WARM) {
        free(held->bytes);
        held->bytes = NULL;
        held->capacity = 0;
    }
}

void held_free(struct held *held) {
    if (held == NULL)
        return;
    held_close_descriptors(held);
    free(held->bytes);
    free(held);
}
