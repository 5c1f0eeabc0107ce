/* SPDX-License-Identifier: MIT
 *
 * How to get to a point of a recorded run without stepping through everything before it: a
 * breakpoint on an address, so many times, then the rest in single steps. What makes the cost
 * of all points of an operation grow with its length, and not with its square. */
#include <stdlib.h>
#include <string.h>

#include "crash/stage.h"
#include "crash/victim.h"

#define STOPS_A_HIT 3 /* what a hit of a breakpoint costs, in single steps */

struct slot {
    uint64_t address;
    uint32_t count;
};

static uint32_t count_up(struct slot *slots, size_t mask, uint64_t address) {
    size_t at = (address * 0x9e3779b97f4a7c15u >> 20) & mask;
    while (slots[at].address != 0 && slots[at].address != address)
        at = (at + 1) & mask;
    slots[at].address = address;
    return ++slots[at].count;
}

void trace_prepare(struct trace *trace) {
    size_t size = 1024;
    while (size < trace->count * 2 + 2)
        size *= 2;
    struct slot *slots = calloc(size, sizeof *slots);
    crash_need(slots != NULL);
    uint64_t cost = 0;
    for (size_t i = 0; i <= trace->count; i++) {
        trace->ranks[i] = count_up(slots, size - 1, trace->addresses[i]);
        uint64_t direct = (uint64_t)trace->ranks[i] * STOPS_A_HIT;
        bool steps_on = i > 0 && (cost + 1 <= direct || !stage_may_break(trace->addresses[i]));
        if (i == 0) {
            trace->anchors[0] = 0;
        } else if (steps_on) {
            trace->anchors[i] = trace->anchors[i - 1];
            cost++;
        } else {
            trace->anchors[i] = (uint32_t)i;
            cost = direct;
        }
    }
    free(slots);
}
