/* SPDX-License-Identifier: MIT
 *
 * Counters in shared pages: each participant has a row that only it writes, by plain stores,
 * so counting costs no locked instruction; anyone who may read the pages sums them up.
 *
 *       0        8                                64       72                       128
 *       +--------+------- … -------+--------------+--------+------- … -------+--------+
 *       | sent   | received   …    | bytes in     | base of each, in the same order   |
 *       +--------+------- … -------+--------------+--------+------- … -------+--------+
 *
 *     a count  since the row exists: it never goes back
 *     base     the count when the row's present bearer began
 *
 * A row belongs to a number, not to a process: the next bearer of a dead one's number goes on
 * counting where that stopped. So what the dead have counted is in the sum once, for ever,
 * without anybody having to move it: there is nothing that could be done twice, or half. What
 * the present bearer has counted itself is count − base.
 *
 * A participant counts after its step, so one that is killed in between has not counted that
 * one. A count is a tally for people, and no promise hangs on it. */
#ifndef MEMORY_STATISTICS_H
#define MEMORY_STATISTICS_H

#include "base/shared.h"

enum statistics_counter {
    STATISTICS_SENT = 0,
    STATISTICS_RECEIVED = 1,
    STATISTICS_DROPPED = 2,
    STATISTICS_EXPIRED = 3,
    STATISTICS_WITHDRAWN = 4,
    STATISTICS_RETURNED = 5, /* given back, or taken back from the dead */
    STATISTICS_BYTES_SENT = 6,
    STATISTICS_BYTES_RECEIVED = 7,
    STATISTICS_COUNTERS = 8,
};

struct statistics_row {
    _Alignas(64) shared64 count[STATISTICS_COUNTERS];
    shared64 base[STATISTICS_COUNTERS];
};

struct statistics {
    uint64_t count[STATISTICS_COUNTERS];
};

/* A new bearer of the row begins; before it is seen as live. May be done again. */
void statistics_begin(struct statistics_row *row);

/* Counts; by the row's bearer only, one thread at a time. */
static inline void statistics_add(struct statistics_row *row, enum statistics_counter counter,
                                  uint64_t amount) {
    /* Relaxed, both: one writer, and nothing hangs on it. */
    shared64_set(&row->count[counter], shared64_get(&row->count[counter]) + amount);
}

/* What the present bearer has counted. Whoever reads looks before and after whether it still
 * is the bearer (participants_is_there). */
void statistics_of_bearer(const struct statistics_row *row, struct statistics *ret_statistics);

/* What all have counted, the dead included. */
void statistics_sum(const struct statistics_row *rows, uint32_t count,
                    struct statistics *ret_statistics);

#endif
