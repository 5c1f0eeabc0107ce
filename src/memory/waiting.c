/* SPDX-License-Identifier: MIT
 *
 * The handshake of sleepers and wakers: see waiting.h. */
#include "memory/waiting.h"

uint32_t waiting_announce(shared32 *word) {
    /* The count tells this sleep from the last one, whose waker may still be under way. */
    shared32_add(word, WAITING_COUNT);
    /* The order that matters, this store before the last look, is that of the barrier which
     * follows; acquire and release cost nothing here. */
    return shared32_or(word, WAITING_ASLEEP) | WAITING_ASLEEP;
}

void waiting_end(shared32 *word) {
    shared32_and(word, ~WAITING_ASLEEP);
}

uint32_t waiting_begin_wake(shared32 *word) {
    /* A sleeper that is not yet asleep finds another value, and does not go to sleep. */
    return shared32_add(word, WAITING_COUNT) + WAITING_COUNT;
}

void waiting_end_wake(shared32 *word, uint32_t value) {
    /* Only if nothing has changed: a sleep that began since is somebody else's to end. */
    shared32_swap_if(word, &value, value & ~WAITING_ASLEEP);
}
