/* SPDX-License-Identifier: MIT
 *
 * Counters in shared pages: see statistics.h. */
#include "memory/statistics.h"

void statistics_begin(struct statistics_row *row) {
    for (int i = 0; i < STATISTICS_COUNTERS; i++)
        /* Relaxed, both: the row is ours from the last bearer's burial on; readers get them by
         * the release with which we appear. */
        shared64_set(&row->base[i], shared64_get(&row->count[i]));
}

void statistics_of_bearer(const struct statistics_row *row, struct statistics *ret_statistics) {
    for (int i = 0; i < STATISTICS_COUNTERS; i++) {
        /* Acquire: the count is read after its base, which it is never below. */
        uint64_t base = shared64_get_acquire(&row->base[i]);
        ret_statistics->count[i] = shared64_get(&row->count[i]) - base;
    }
}

void statistics_sum(const struct statistics_row *rows, uint32_t count,
                    struct statistics *ret_statistics) {
    struct statistics sum = {0};
    for (uint32_t row = 0; row < count; row++)
        for (int i = 0; i < STATISTICS_COUNTERS; i++)
            /* Relaxed: each is a number of its own. */
            sum.count[i] += shared64_get(&rows[row].count[i]);
    *ret_statistics = sum;
}
