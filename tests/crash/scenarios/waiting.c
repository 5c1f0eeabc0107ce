/* SPDX-License-Identifier: MIT
 *
 * Sleeping and waking: a waker is struck, and another one has to wake the sleeper; a sleeper
 * is struck, and its wakers must not mind. */
#include "memory/waiting.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crash/crash.h"
#include "os/os.h"

#define STEP_MS 5000 /* a sleep that nobody ends by then is a lost wake-up */

struct shared {
    _Alignas(64) shared32 word;
    _Alignas(64) shared64 work; /* how much there is to do */
    _Alignas(64) shared64 seen; /* how much of it the sleeper has seen */
    _Alignas(64) shared32 ends;
};

struct state {
    struct shared *shared;
    int sleeper; /* process */
};

static struct state *state_of(struct world *world) {
    return world->state;
}

static long futex(shared32 *word, int operation, uint32_t value, int64_t ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    return syscall(SYS_futex, word, operation, value, ms > 0 ? &time : NULL, NULL, 0);
}

/* Sleeps until there is more work than `seen`. Result: false if nobody woke it. */
static bool sleep_once(struct shared *shared, uint64_t seen) {
    uint32_t value = waiting_announce(&shared->word);
    crash_need(os_barrier() == 0);
    bool woken = true;
    /* Acquire: as a reader of a lane would. */
    if (shared64_get_acquire(&shared->work) == seen && shared32_get(&shared->ends) == 0)
        woken = futex(&shared->word, FUTEX_WAIT, value, STEP_MS) == 0 || errno != ETIMEDOUT;
    waiting_end(&shared->word);
    return woken;
}

/* A sleeper that lives: after each piece of work it sleeps for the next. */
static void be_sleeper(struct world *world) {
    struct shared *shared = state_of(world)->shared;
    uint64_t seen = 0;
    crash_need(os_barrier_register() == 0);
    while (shared32_get(&shared->ends) == 0) {
        uint64_t work = shared64_get_acquire(&shared->work);
        if (work == seen && !sleep_once(shared, seen) &&
            shared64_get_acquire(&shared->work) != seen)
            crash_fail("a wake-up was lost");
        seen = work;
        shared64_set_release(&shared->seen, seen);
    }
}

static void wake(struct shared *shared) {
    if (!waiting_must_wake(&shared->word, true))
        return;
    uint32_t value = waiting_begin_wake(&shared->word);
    futex(&shared->word, FUTEX_WAKE, INT_MAX, 0);
    waiting_end_wake(&shared->word, value);
}

/* One piece of work, by whichever waker. */
static void work(struct shared *shared) {
    shared64_add(&shared->work, 1);
    wake(shared);
}

static void map(struct world *world) {
    struct state *state = state_of(world);
    state->shared = mmap(NULL, sizeof *state->shared, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    crash_need(state->shared != MAP_FAILED);
    crash_need(os_barrier_register() == 0);
}

static void set_up_waker(struct world *world) {
    map(world);
    state_of(world)->sleeper = world_fork(world, be_sleeper);
    /* The operation begins when the sleeper sleeps, or is about to. */
    while ((shared32_get(&state_of(world)->shared->word) & WAITING_ASLEEP) == 0)
        sched_yield();
}

static void register_it(struct world *world) {
    (void)world;
    crash_need(os_barrier_register() == 0);
}

static void wake_one(struct world *world) {
    work(state_of(world)->shared);
}

static void await_seen(struct shared *shared, uint64_t amount) {
    while (shared64_get_acquire(&shared->seen) < amount)
        sched_yield();
}

/* Whatever became of the first waker, the second one's work is seen. */
static void survive_waker(struct world *world, unsigned operations) {
    struct shared *shared = state_of(world)->shared;
    for (unsigned i = 0; i < operations; i++) {
        work(shared);
        await_seen(shared, shared64_get(&shared->work));
    }
}

static void end_sleeper(struct world *world) {
    struct shared *shared = state_of(world)->shared;
    shared32_set(&shared->ends, 1);
    shared32_add(&shared->word, WAITING_COUNT);
    futex(&shared->word, FUTEX_WAKE, INT_MAX, 0);
    world_join(state_of(world)->sleeper);
}

static void unmap(struct world *world) {
    struct state *state = state_of(world);
    crash_need(munmap(state->shared, sizeof *state->shared) == 0);
}

static void account_waker(struct world *world) {
    struct shared *shared = state_of(world)->shared;
    /* A last piece, for what the victim did when it went on. */
    work(shared);
    await_seen(shared, shared64_get(&shared->work));
    end_sleeper(world);
}

/* ---- the sleeper is struck ---- */

static void sleep_in_region(struct world *world) {
    struct shared *shared = state_of(world)->shared;
    while (shared64_get_acquire(&shared->work) == 0)
        if (!sleep_once(shared, 0))
            crash_fail("a wake-up was lost");
}

static void wake_asleep(struct world *world) {
    struct shared *shared = state_of(world)->shared;
    if (shared64_get(&shared->work) == 0)
        work(shared);
}

/* Wakers never wait for a sleeper; the next one sleeps on the dead one's word. */
static void survive_sleeper(struct world *world, unsigned operations) {
    struct shared *shared = state_of(world)->shared;
    for (unsigned i = 0; i < operations; i++)
        work(shared);
    if (!world->killed)
        return;
    shared64_set(&shared->work, 0);
    state_of(world)->sleeper = world_fork(world, be_sleeper);
    work(shared);
    await_seen(shared, 1);
    end_sleeper(world);
}

/* ---- the table ---- */

#define COVERS(...)                                                                                \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

static const struct scenario scenarios[] = {
    {.name = "waiting/waker",
     .covers = COVERS("waiting_must_wake", "waiting_begin_wake", "waiting_end_wake"),
     .set_up = set_up_waker,
     .prepare = register_it,
     .operate = wake_one,
     .recover_prepare = register_it,
     .recover = wake_one,
     .survive = survive_waker,
     .account = account_waker,
     .clean_up = unmap},
    {.name = "waiting/sleeper",
     .covers = COVERS("waiting_announce", "waiting_end"),
     .set_up = map,
     .prepare = register_it,
     .operate = sleep_in_region,
     .attend = wake_asleep,
     .survive = survive_sleeper,
     .clean_up = unmap},
};

const struct scenario_list waiting_scenarios = {.scenarios = scenarios,
                                                .count = sizeof scenarios / sizeof scenarios[0]};
