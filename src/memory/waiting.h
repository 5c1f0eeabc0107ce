/* SPDX-License-Identifier: MIT
 *
 * Waiting for another process without a system call, or a fence, while it is awake.
 *
 * Each sleeper has a word of 32 bits that only it sleeps on:
 *
 *     bit 0      asleep: whoever makes the sleeper's wish come true must wake it
 *     bit 1      fence: wakers put a full fence between their work and their look at this word
 *     bit 2      gone: the sleeper will never look again
 *     bits 3 to 31  count of wakes, so that a sleep on an old value returns at once
 *
 *     sleeper                                   waker
 *     waiting_announce(): asleep                work: a release store
 *     a barrier for all processors              waiting_must_wake(): asleep?
 *     look once more; found: waiting_end()         waiting_begin_wake(): count
 *     sleep while the word is what announce        ring its bell or wake its futex
 *       returned, or until the bell rings           waiting_end_wake(): awake, if still the
 *     waiting_end(): awake                           same sleep
 *
 * Either the waker sees “asleep”, or the sleeper sees the work: one of the two stores comes
 * before both looks. The order that this needs on the waker's side (its store before its
 * look) is not bought with a fence for every message, but by the sleeper, which is about to
 * pay for a sleep anyhow: membarrier(2) makes every processor that runs a registered process
 * pass a fence. Where a waker's process is not registered, or the sleeper cannot ask for
 * barriers (bit 1), the waker has a fence for each message instead.
 *
 * A waker that is stopped or killed anywhere in between harms nobody: until it has ended its
 * wake, the word still says “asleep”, and every other waker wakes the sleeper itself. So the
 * kernel's wake comes before the word is cleared; and because a futex wake in that moment
 * would be lost on a sleeper that has not gone to sleep yet, the count comes before both.
 *
 * The idea of an asymmetric fence: “Asymmetric Dekker synchronization”, Dice, Huang, Yang. */
#ifndef MEMORY_WAITING_H
#define MEMORY_WAITING_H

#include "base/shared.h"

#define WAITING_ASLEEP 1u
#define WAITING_FENCE 2u
#define WAITING_GONE 4u
#define WAITING_COUNT 8u

/* ---- the sleeper ---- */

/* Result: the value to sleep on. A barrier for all processors must follow, then a look. */
uint32_t waiting_announce(shared32 *word);
void waiting_end(shared32 *word);

/* ---- the waker, after its work ---- */

/* May this process leave the fence out? Only if it is registered for barriers. */
static inline bool waiting_must_wake(const shared32 *word, bool registered) {
    /* A barrier on the sleeper's side orders the processor; this orders the compiler. */
    shared_compiler_fence();
    /* Relaxed: the sleeper's barrier puts this look after our work's store. */
    uint32_t value = shared32_get(word);
    if (registered && (value & (WAITING_ASLEEP | WAITING_FENCE)) == 0)
        return false;
    shared_fence();
    return (shared32_get(word) & WAITING_ASLEEP) != 0;
}

/* Before and after the kernel's wake. The first one's result is for the second. */
uint32_t waiting_begin_wake(shared32 *word);
void waiting_end_wake(shared32 *word, uint32_t value);

/* ---- how long to look before sleeping ---- */

/* Looking pays if what is awaited comes within about the time that a wake takes. This learns
 * from each wait whether it did: `budget` is how many looks the next wait is worth. */
struct waiting_spin {
    uint32_t most; /* looks, 0: never look twice */
    uint32_t budget;
    uint32_t waits; /* since the last try with all of `most` */
};

#define WAITING_PROBE_EVERY 64 /* waits: then what was given up is tried again */

static inline uint32_t waiting_spin_budget(struct waiting_spin *spin) {
    if (spin->budget == spin->most || ++spin->waits < WAITING_PROBE_EVERY)
        return spin->budget;
    spin->waits = 0;
    return spin->most;
}

/* What came of a wait: it came after `looks` looks, or did not. */
static inline void waiting_spin_learn(struct waiting_spin *spin, bool came, uint32_t looks) {
    if (!came)
        spin->budget /= 2;
    else if (looks >= spin->budget / 2)
        spin->budget = spin->most;
}

#endif
