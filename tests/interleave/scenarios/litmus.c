/* SPDX-License-Identifier: MIT
 *
 * Litmus tests: what C11 permits, and nothing else, must be what the explorer shows. Names as
 * in the literature: MP message passing, SB store buffering, IRIW independent reads of
 * independent writes, CoRR coherence of two reads, 2+2W two writes each, S, R, WRC write to
 * read causality. */
#include "base/shared.h"
#include "scenarios.h"

#include <stdio.h>

static struct { shared64 x, y, z; } * words;

static uint64_t got[4];

static void set_up(void) {
    words = explore_memory(sizeof *words);
    for (unsigned i = 0; i < 4; i++)
        got[i] = 9;
}

static void tell_two(void) {
    char text[32];
    snprintf(text, sizeof text, "%u%u", (unsigned)got[0], (unsigned)got[1]);
    explore_outcome(text);
}

static void tell_four(void) {
    char text[32];
    snprintf(text, sizeof text, "%u%u%u%u", (unsigned)got[0], (unsigned)got[1], (unsigned)got[2],
             (unsigned)got[3]);
    explore_outcome(text);
}

static void tell_final(void) {
    got[0] = shared64_get(&words->x);
    got[1] = shared64_get(&words->y);
    tell_two();
}

/* ---- message passing ---- */

static void write_release(void) {
    shared64_set(&words->x, 1);
    shared64_set_release(&words->y, 1);
}

static void write_relaxed(void) {
    shared64_set(&words->x, 1);
    shared64_set(&words->y, 1);
}

static void write_fence(void) {
    shared64_set(&words->x, 1);
    shared_fence();
    shared64_set(&words->y, 1);
}

static void read_acquire(void) {
    got[0] = shared64_get_acquire(&words->y);
    got[1] = shared64_get(&words->x);
}

static void read_relaxed(void) {
    got[0] = shared64_get(&words->y);
    got[1] = shared64_get(&words->x);
}

static void read_fence(void) {
    got[0] = shared64_get(&words->y);
    shared_fence();
    got[1] = shared64_get(&words->x);
}

#define MP(NAME, TEXT, WRITE, READ, OUTCOMES)                                                      \
    const struct scenario NAME = {.name = TEXT,                                                    \
                                  .set_up = set_up,                                                \
                                  .participants = {{"writer", WRITE, 0}, {"reader", READ, 0}},     \
                                  .finish = tell_two,                                              \
                                  .outcomes = OUTCOMES}

MP(litmus_mp, "litmus MP release acquire", write_release, read_acquire, "00 01 11");
MP(litmus_mp_relaxed_store, "litmus MP relaxed store", write_relaxed, read_acquire, "00 01 10 11");
MP(litmus_mp_relaxed_load, "litmus MP relaxed load", write_release, read_relaxed, "00 01 10 11");
MP(litmus_mp_fences, "litmus MP fences", write_fence, read_fence, "00 01 11");
MP(litmus_mp_fence_acquire, "litmus MP fence and acquire", write_fence, read_acquire, "00 01 11");
MP(litmus_mp_one_fence, "litmus MP fence and relaxed load", write_fence, read_relaxed,
   "00 01 10 11");

/* A read-modify-write by another continues the release. */
static void add_behind(void) {
    uint64_t one = 1;
    got[2] = shared64_swap_if(&words->y, &one, 2);
}

static void read_two(void) {
    got[0] = shared64_get_acquire(&words->y);
    got[1] = shared64_get(&words->x);
    if (got[0] != 2)
        got[0] = got[1] = 0;
}

const struct scenario litmus_release_sequence = {
    .name = "litmus MP through a swap",
    .set_up = set_up,
    .participants = {{"writer", write_release, 0},
                     {"swapper", add_behind, 0},
                     {"reader", read_two, 0}},
    .finish = tell_two,
    .outcomes = "00 21",
};

/* ---- store buffering ---- */

static void buffer_x(void) {
    shared64_set_release(&words->x, 1);
    got[0] = shared64_get_acquire(&words->y);
}

static void buffer_y(void) {
    shared64_set_release(&words->y, 1);
    got[1] = shared64_get_acquire(&words->x);
}

static void fenced_x(void) {
    shared64_set(&words->x, 1);
    shared_fence();
    got[0] = shared64_get(&words->y);
}

static void fenced_y(void) {
    shared64_set(&words->y, 1);
    shared_fence();
    got[1] = shared64_get(&words->x);
}

static void barred_y(void) {
    shared64_set(&words->y, 1);
    explore_barrier();
    got[1] = shared64_get(&words->x);
}

static void ordered_x(void) {
    shared64_set(&words->x, 1);
    shared_compiler_fence();
    got[0] = shared64_get(&words->y);
}

static void unordered_x(void) {
    shared64_set(&words->x, 1);
    got[0] = shared64_get(&words->y);
}

#define SB(NAME, TEXT, ONE, FLAGS, OTHER, BARRIERS, OUTCOMES)                                      \
    const struct scenario NAME = {.name = TEXT,                                                    \
                                  .set_up = set_up,                                                \
                                  .participants = {{"one", ONE, FLAGS}, {"other", OTHER, 0}},      \
                                  .finish = tell_two,                                              \
                                  .barriers = BARRIERS,                                            \
                                  .outcomes = OUTCOMES}

SB(litmus_sb, "litmus SB", buffer_x, 0, buffer_y, false, "00 01 10 11");
SB(litmus_sb_fences, "litmus SB fences", fenced_x, 0, fenced_y, false, "01 10 11");
SB(litmus_sb_one_fence, "litmus SB one fence", fenced_x, 0, buffer_y, false, "00 01 10 11");
SB(litmus_sb_barrier, "litmus SB barrier and compiler fence", ordered_x, REGISTERED, barred_y, true,
   "01 10 11");
SB(litmus_sb_reordered, "litmus SB barrier, no compiler fence", unordered_x, REGISTERED, barred_y,
   true, "00 01 10 11");
SB(litmus_sb_unregistered, "litmus SB barrier, not registered", ordered_x, 0, barred_y, true,
   "00 01 10 11");

/* ---- three and four participants ---- */

static void write_x(void) {
    shared64_set_release(&words->x, 1);
}

static void write_y(void) {
    shared64_set_release(&words->y, 1);
}

static void read_xy(void) {
    got[0] = shared64_get_acquire(&words->x);
    got[1] = shared64_get_acquire(&words->y);
}

static void read_yx(void) {
    got[2] = shared64_get_acquire(&words->y);
    got[3] = shared64_get_acquire(&words->x);
}

static void read_xy_fence(void) {
    got[0] = shared64_get(&words->x);
    shared_fence();
    got[1] = shared64_get(&words->y);
}

static void read_yx_fence(void) {
    got[2] = shared64_get(&words->y);
    shared_fence();
    got[3] = shared64_get(&words->x);
}

const struct scenario litmus_iriw = {
    .name = "litmus IRIW acquire",
    .set_up = set_up,
    .participants = {{"write x", write_x, 0},
                     {"write y", write_y, 0},
                     {"read xy", read_xy, 0},
                     {"read yx", read_yx, 0}},
    .finish = tell_four,
    .outcomes = "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111",
};

const struct scenario litmus_iriw_fences = {
    .name = "litmus IRIW fences",
    .set_up = set_up,
    .participants = {{"write x", write_x, 0},
                     {"write y", write_y, 0},
                     {"read xy", read_xy_fence, 0},
                     {"read yx", read_yx_fence, 0}},
    .finish = tell_four,
    .outcomes = "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1011 1100 1101 1110 1111",
};

static void pass_on(void) {
    if (shared64_get_acquire(&words->x) == 1)
        shared64_set_release(&words->y, 1);
}

const struct scenario litmus_wrc = {
    .name = "litmus WRC",
    .set_up = set_up,
    .participants = {{"writer", write_x, 0}, {"between", pass_on, 0}, {"reader", read_acquire, 0}},
    .finish = tell_two,
    .outcomes = "00 01 11",
};

/* ---- coherence ---- */

static void write_twice(void) {
    shared64_set(&words->x, 1);
    shared64_set(&words->x, 2);
}

static void read_twice(void) {
    got[0] = shared64_get(&words->x);
    got[1] = shared64_get(&words->x);
}

const struct scenario litmus_corr = {
    .name = "litmus CoRR",
    .set_up = set_up,
    .participants = {{"writer", write_twice, 0}, {"reader", read_twice, 0}},
    .finish = tell_two,
    .outcomes = "00 01 02 11 12 22",
};

static void set_x1(void) {
    shared64_set(&words->x, 1);
}

static void set_x2(void) {
    shared64_set(&words->x, 2);
}

static void read_twice_more(void) {
    got[2] = shared64_get(&words->x);
    got[3] = shared64_get(&words->x);
}

/* Two readers never see two stores in different orders: no 1221, no 2112. */
static void tell_disagreement(void) {
    bool differ = got[0] != got[1] && got[2] != got[3] && got[0] != 0 && got[2] != 0 &&
                  got[0] == got[3] && got[1] == got[2];
    explore_outcome(differ ? "differ" : "agree");
}

const struct scenario litmus_corr_two = {
    .name = "litmus CoRR of two writers",
    .set_up = set_up,
    .participants = {{"one", set_x1, 0},
                     {"two", set_x2, 0},
                     {"reader", read_twice, 0},
                     {"other", read_twice_more, 0}},
    .finish = tell_disagreement,
    .outcomes = "agree",
};

static void two_xy(void) {
    shared64_set(&words->x, 1);
    shared64_set(&words->y, 2);
}

static void two_yx(void) {
    shared64_set(&words->y, 1);
    shared64_set(&words->x, 2);
}

static void two_xy_release(void) {
    shared64_set(&words->x, 1);
    shared64_set_release(&words->y, 2);
}

static void two_yx_release(void) {
    shared64_set(&words->y, 1);
    shared64_set_release(&words->x, 2);
}

static void two_xy_fence(void) {
    shared64_set(&words->x, 1);
    shared_fence();
    shared64_set(&words->y, 2);
}

static void two_yx_fence(void) {
    shared64_set(&words->y, 1);
    shared_fence();
    shared64_set(&words->x, 2);
}

#define PAIR(NAME, TEXT, ONE, OTHER, FINISH, OUTCOMES)                                             \
    const struct scenario NAME = {.name = TEXT,                                                    \
                                  .set_up = set_up,                                                \
                                  .participants = {{"one", ONE, 0}, {"other", OTHER, 0}},          \
                                  .finish = FINISH,                                                \
                                  .outcomes = OUTCOMES}

PAIR(litmus_22w, "litmus 2+2W", two_xy, two_yx, tell_final, "11 12 21 22");
PAIR(litmus_22w_release, "litmus 2+2W release", two_xy_release, two_yx_release, tell_final,
     "11 12 21 22");
PAIR(litmus_22w_fences, "litmus 2+2W fences", two_xy_fence, two_yx_fence, tell_final, "12 21 22");

/* ---- read-modify-write ---- */

static void add_one(void) {
    got[explore_self()] = shared64_add(&words->x, 1);
}

static void tell_sum(void) {
    char text[32];
    snprintf(text, sizeof text, "%u", (unsigned)shared64_get(&words->x));
    explore_outcome(text);
}

const struct scenario litmus_adds = {
    .name = "litmus three adds",
    .set_up = set_up,
    .participants = {{"one", add_one, 0}, {"two", add_one, 0}, {"three", add_one, 0}},
    .finish = tell_sum,
    .outcomes = "3",
};

static void swap_own(void) {
    uint64_t zero = 0;
    got[explore_self()] = shared64_swap_if(&words->x, &zero, explore_self() + 1) ? 1 : 0;
}

static void tell_winners(void) {
    char text[32];
    snprintf(text, sizeof text, "%u", (unsigned)(got[0] + got[1] + got[2]));
    explore_outcome(text);
}

const struct scenario litmus_swaps = {
    .name = "litmus three swaps, one wins",
    .set_up = set_up,
    .participants = {{"one", swap_own, 0}, {"two", swap_own, 0}, {"three", swap_own, 0}},
    .finish = tell_winners,
    .outcomes = "1",
};

/* ---- plain memory, death ---- */

static void write_body(void) {
    uint64_t body = 7;
    shared_write(&words->x, &body, 8);
    shared64_set_release(&words->y, 1);
}

static void read_body(void) {
    got[0] = shared64_get_acquire(&words->y);
    got[1] = 0;
    if (got[0] == 1)
        shared_read(&got[1], &words->x, 8);
}

const struct scenario litmus_body = {
    .name = "litmus body",
    .set_up = set_up,
    .participants = {{"writer", write_body, 0}, {"reader", read_body, 0}},
    .finish = tell_two,
    .outcomes = "00 17",
};

static void write_body_relaxed(void) {
    uint64_t body = 7;
    shared_write(&words->x, &body, 8);
    shared64_set(&words->y, 1);
}

const struct scenario litmus_body_race = {
    .name = "litmus body, nothing orders it",
    .set_up = set_up,
    .participants = {{"writer", write_body_relaxed, 0}, {"reader", read_body, 0}},
    .finish = tell_two,
    .expects = "race: reading a body",
};

/* The reader is done, and says so without an order: then it is written over. */
static void read_body_and_free(void) {
    uint64_t body;
    shared_read(&body, &words->x, 8);
    shared64_set(&words->y, 1);
}

static void write_freed_body(void) {
    uint64_t body = 7;
    if (shared64_get_acquire(&words->y) == 1)
        shared_write(&words->x, &body, 8);
}

const struct scenario litmus_free_race = {
    .name = "litmus body freed too early",
    .set_up = set_up,
    .participants = {{"writer", write_freed_body, 0}, {"reader", read_body_and_free, 0}},
    .finish = tell_two,
    .expects = "race: writing a body",
};

static void recover(void) {
    got[2] = explore_wait_end(0);
    got[0] = shared64_get(&words->y);
    got[1] = shared64_get(&words->x);
    if (got[2] == 0)
        got[0] = got[1] = 8;
}

/* 10: the first store was put off by the compiler, or the processor. */
const struct scenario litmus_death = {
    .name = "litmus death between relaxed stores",
    .set_up = set_up,
    .participants = {{"writer", write_relaxed, MAY_DIE}, {"recoverer", recover, 0}},
    .finish = tell_two,
    .deaths = 1,
    .outcomes = "00 01 88",
};

static void write_relaxed_and_go_on(void) {
    write_relaxed();
    shared64_set(&words->z, 1);
}

const struct scenario litmus_death_reordered = {
    .name = "litmus death after relaxed stores",
    .set_up = set_up,
    .participants = {{"writer", write_relaxed_and_go_on, MAY_DIE}, {"recoverer", recover, 0}},
    .finish = tell_two,
    .deaths = 1,
    .outcomes = "00 01 10 11 88",
};

static void write_release_and_go_on(void) {
    write_release();
    shared64_set(&words->z, 1);
}

const struct scenario litmus_death_ordered = {
    .name = "litmus death after a release store",
    .set_up = set_up,
    .participants = {{"writer", write_release_and_go_on, MAY_DIE}, {"recoverer", recover, 0}},
    .finish = tell_two,
    .deaths = 1,
    .outcomes = "00 01 11 88",
};
