/* SPDX-License-Identifier: MIT
 *
 * A way past the calls: what a plain message needs of a carrier in shared memory, so that
 * sending and receiving it is a few dozen instructions in one function. A carrier opens it
 * while nothing special is on, and closes it otherwise: both sides of the floors then go the
 * long way, which does all that this one leaves out. */
#ifndef MECHANISM_QUICK_H
#define MECHANISM_QUICK_H

#include "memory/lane.h"
#include "memory/waiting.h"

#define QUICK_MOST 1024 /* bytes of a body */

struct quick {
    /* Sending; NULL: closed. */
    struct lane_writer *writer;
    shared32 *sleeper; /* the other side's word: somebody may have to be woken */
    /* Receiving; NULL: closed. */
    struct lane_reader *reader;
    struct chunk *chunk; /* that messages refer to */
    uint64_t end;        /* frames from this position on go the long way */
};

/* Writes a plain message. False: it has to go the long way, and nothing was done. *ret_wake:
 * the other side sleeps. */
static inline bool quick_send(const struct quick *quick, const void *bytes, size_t size,
                              bool *ret_wake) {
    struct lane_writer *writer = quick->writer;
    /* Relaxed: a hint; what counts is the look after the commit. */
    if (size > QUICK_MOST || (shared32_get(quick->sleeper) & WAITING_GONE) != 0)
        return false;
    /* A word is spared behind the frame, as the long way does. */
    void *room = lane_reserve_here(writer, size + 8);
    if (room == NULL)
        return false;
    shared_write_small(room, bytes, size);
    lane_commit(writer, size, 0, LANE_MESSAGE);
    *ret_wake = waiting_must_wake(quick->sleeper, true);
    return true;
}

#endif
