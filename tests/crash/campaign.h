/* SPDX-License-Identifier: MIT
 *
 * All the points of one scenario. */
#ifndef CRASH_CAMPAIGN_H
#define CRASH_CAMPAIGN_H

#include <stdio.h>

#include "crash/stage.h"

struct effort {
    size_t kills, stops, calls, pairs; /* at the most that many points of each */
    unsigned operations;               /* of survivors */
};

struct tally {
    size_t steps;   /* instructions executed one by one, in all worlds */
    size_t length;  /* of the operation */
    size_t visible; /* of these: steps that others can see */
    size_t kills, stops, calls, pairs;
    size_t missed; /* worlds that took another way; played, but not where they should */
    size_t failed;
};

/* Runs one scenario; failures go to `output` as comments. addresses: every distinct address
 * of this program that the operations reached is written there, or NULL. */
void campaign_run(const struct scenario *scenario, const struct effort *effort, FILE *output,
                  FILE *addresses, struct tally *ret_tally);

/* One point again. Result: whether it was well. */
bool campaign_again(const struct scenario *scenario, enum strike strike, size_t point,
                    FILE *output);

void campaign_prepare(void);

#endif
