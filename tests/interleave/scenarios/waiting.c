/* SPDX-License-Identifier: MIT
 *
 * Sleepers and wakers: no wake-up is lost, whoever of the wakers is killed or stopped at
 * whatever step. A sleeper that sleeps for ever is a failure of its own (explore.h). */
#include "memory/waiting.h"
#include "scenarios.h"

static struct {
    _Alignas(64) shared32 word;
    _Alignas(64) shared32 works[2]; /* what each waker has done, as a count */
} * shared;

static uint32_t seen[2];

static void set_up(void) {
    shared = explore_memory(sizeof *shared);
    seen[0] = seen[1] = 0;
}

/* This sleeper cannot ask for barriers. */
static void set_up_fence(void) {
    set_up();
    shared32_set(&shared->word, WAITING_FENCE);
}

/* ---- the sleeper ---- */

static uint32_t look(unsigned waker) {
    seen[waker] = shared32_get_acquire(&shared->works[waker]);
    return seen[waker];
}

enum method { FUTEX, FUTEX_AND_FENCE, BELL };

static void await(unsigned waker, uint32_t count, enum method method) {
    while (look(waker) < count) {
        uint32_t value = waiting_announce(&shared->word);
        if (method == FUTEX_AND_FENCE)
            shared_fence();
        else
            explore_barrier();
        if (look(waker) < count) {
            if (method == BELL)
                explore_wait_bell(0);
            else
                explore_sleep(&shared->word, value);
        }
        waiting_end(&shared->word);
    }
}

static void await_one(void) {
    await(0, 1, FUTEX);
}

static void await_two(void) {
    await(0, 1, FUTEX);
    await(0, 2, FUTEX);
}

static void await_fence(void) {
    await(0, 1, FUTEX_AND_FENCE);
    await(0, 2, FUTEX_AND_FENCE);
}

static void await_bell(void) {
    await(0, 1, BELL);
    await(0, 2, BELL);
}

/* One after the other: the first one's waker may still be under way when the second sleep
 * begins. */
static void await_both(void) {
    await(0, 1, FUTEX);
    await(1, 1, FUTEX);
}

static void await_second(void) {
    await(1, 1, FUTEX);
}

static void await_second_bell(void) {
    await(1, 1, BELL);
}

/* A bell that is read after the announcement may have been the only one for it: whoever reads
 * one announces again. `careless`: does not. */
static void await_reading(uint32_t count, bool careless) {
    while (look(0) < count) {
        bool heard;
        do {
            waiting_announce(&shared->word);
            explore_barrier();
            heard = explore_try_bell(0);
        } while (heard && look(0) < count && !careless);
        if (look(0) < count)
            explore_wait_bell(0);
        waiting_end(&shared->word);
    }
}

static void await_bell_read(void) {
    await_reading(2, false);
}

static void await_bell_careless(void) {
    await_reading(2, true);
}

/* ---- wakers ---- */

static void work(unsigned waker, uint32_t count, bool registered, enum method method) {
    shared32_set_release(&shared->works[waker], count);
    if (!waiting_must_wake(&shared->word, registered))
        return;
    uint32_t value = waiting_begin_wake(&shared->word);
    if (method == BELL)
        explore_ring(0);
    else
        explore_wake(&shared->word);
    waiting_end_wake(&shared->word, value);
}

static void work_once(void) {
    work(0, 1, true, FUTEX);
}

static void work_twice(void) {
    work(0, 1, true, FUTEX);
    work(0, 2, true, FUTEX);
}

static void work_twice_unregistered(void) {
    work(0, 1, false, FUTEX);
    work(0, 2, false, FUTEX);
}

static void work_twice_bell(void) {
    work(0, 1, true, BELL);
    work(0, 2, true, BELL);
}

static void work_second(void) {
    work(1, 1, true, FUTEX);
}

static void work_once_bell(void) {
    work(0, 1, true, BELL);
}

static void work_second_bell(void) {
    work(1, 1, true, BELL);
}

/* ---- ends ---- */

static void expect_awake(void) {
    explore_check((shared32_get(&shared->word) & WAITING_ASLEEP) == 0,
                  "whoever has woken up is not said to be asleep");
}

#define WAITING(NAME, TEXT, SET_UP, SLEEPER, WAKER, FLAGS)                                         \
    const struct scenario NAME = {                                                                 \
        .name = TEXT,                                                                              \
        .set_up = SET_UP,                                                                          \
        .participants = {{"sleeper", SLEEPER, REGISTERED}, {"waker", WAKER, FLAGS}},               \
        .finish = expect_awake,                                                                    \
        .barriers = true,                                                                          \
        .proves = "memory/waiting"}

WAITING(waiting_once, "waiting once", set_up, await_one, work_once, REGISTERED);
WAITING(waiting_twice, "waiting twice", set_up, await_two, work_twice, REGISTERED);
WAITING(waiting_unregistered, "waiting, waker not registered", set_up, await_two,
        work_twice_unregistered, 0);
WAITING(waiting_fence, "waiting with a fence", set_up_fence, await_fence, work_twice, REGISTERED);
WAITING(waiting_bell, "waiting with a bell", set_up, await_bell, work_twice_bell, REGISTERED);

WAITING(waiting_bell_read, "waiting with a bell that is read first", set_up, await_bell_read,
        work_twice_bell, REGISTERED);

const struct scenario waiting_bell_careless = {
    .name = "waiting with a bell that is read after the announcement",
    .set_up = set_up,
    .participants = {{"sleeper", await_bell_careless, REGISTERED},
                     {"waker", work_twice_bell, REGISTERED}},
    .expects = "sleeper sleeps for ever",
    .barriers = true,
};

const struct scenario waiting_two_wakers = {
    .name = "waiting for two wakers",
    .set_up = set_up,
    .participants = {{"sleeper", await_both, REGISTERED},
                     {"first", work_once, REGISTERED},
                     {"second", work_second, REGISTERED}},
    .finish = expect_awake,
    .barriers = true,
    .proves = "memory/waiting",
};

const struct scenario waiting_dead_waker = {
    .name = "waiting, another waker dies or stops",
    .set_up = set_up,
    .participants = {{"sleeper", await_second, REGISTERED},
                     {"first", work_once, REGISTERED | MAY_DIE | MAY_STOP},
                     {"second", work_second, REGISTERED}},
    .finish = expect_awake,
    .deaths = 1,
    .barriers = true,
    .proves = "memory/waiting",
};

const struct scenario waiting_dead_bell = {
    .name = "waiting with a bell, another waker dies or stops",
    .set_up = set_up,
    .participants = {{"sleeper", await_second_bell, REGISTERED},
                     {"first", work_once_bell, REGISTERED | MAY_DIE | MAY_STOP},
                     {"second", work_second_bell, REGISTERED}},
    .finish = expect_awake,
    .deaths = 1,
    .barriers = true,
    .slow = true,
    .proves = "memory/waiting",
};
