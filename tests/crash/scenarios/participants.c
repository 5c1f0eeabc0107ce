/* SPDX-License-Identifier: MIT
 *
 * The table of participants, and their rows of counters: one that joins, leaves, or buries a
 * dead one is struck. */
#include "memory/participants.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "crash/crash.h"
#include "memory/statistics.h"

#define COUNT 8
#define STAGE 0
#define DEAD 3
#define COUNTED 5 /* what the dead one had counted */

struct shared {
    struct participants_words words;
    struct participant slots[COUNT];
    struct statistics_row rows[COUNT];
    shared64 holdings; /* a bit for each number that holds something */
};

enum bearer { MINE = 1, ITS = 2, DEADS = 3, THIRDS = 4, NEXT = 5 };

struct state {
    struct shared *shared;
    struct participants table;
    uint32_t number; /* of the victim */
};

static struct state *state_of(struct world *world) {
    return world->state;
}

static uint64_t incarnation(enum bearer bearer) {
    return participants_make_incarnation(0x1234567890ull * bearer);
}

/* What the floor above would ask the kernel. */
static bool is_alive(void *context, uint32_t number, const struct participant_look *look) {
    const struct world *world = context;
    (void)number;
    if (look->incarnation == incarnation(DEADS) || look->incarnation == incarnation(THIRDS))
        return false;
    return look->incarnation != incarnation(ITS) || !world->killed;
}

static int clean(void *context, uint32_t number, uint64_t of) {
    (void)of;
    struct world *world = context;
    shared64 *holdings = &state_of(world)->shared->holdings;
    uint64_t held = shared64_get(holdings);
    while (!shared64_swap_if(holdings, &held, held & ~((uint64_t)1 << number)))
        ;
    return 0;
}

/* Result: 0, or why not. */
static int join(struct state *state, uint32_t number, enum bearer bearer) {
    struct participant_facts facts = {.pid = bearer, .name = bearer};
    snprintf(facts.label, sizeof facts.label, "participant %d", (int)bearer);
    int result = participants_reserve(&state->table, number, incarnation(bearer));
    if (result < 0)
        return result;
    statistics_begin(&state->shared->rows[number]);
    return participants_appear(&state->table, number, incarnation(bearer), &facts);
}

static void leave(struct state *state, uint32_t number, enum bearer bearer) {
    crash_need(participants_begin_leave(&state->table, number, incarnation(bearer)) == 0);
    crash_need(participants_end_leave(&state->table, number, incarnation(bearer)) == 0);
}

static void set_up(struct world *world) {
    struct state *state = state_of(world);
    state->shared = mmap(NULL, sizeof *state->shared, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    crash_need(state->shared != MAP_FAILED);
    participants_attach(&state->table, &state->shared->words, state->shared->slots, COUNT);
    crash_need(join(state, STAGE, MINE) == 0);
    crash_need(join(state, DEAD, DEADS) == 0);
    statistics_add(&state->shared->rows[DEAD], STATISTICS_SENT, COUNTED);
    shared64_set(&state->shared->holdings, (uint64_t)1 << DEAD);
}

/* ---- what the victim does ---- */

static void join_free(struct world *world) {
    struct state *state = state_of(world);
    int result = -EAGAIN;
    for (uint32_t from = 0; result < 0;) {
        state->number = participants_find_free(&state->table, from);
        crash_need(state->number < COUNT);
        result = join(state, state->number, ITS);
        crash_need(result == 0 || result == -EAGAIN || result == -EBUSY);
        from = state->number + 1;
    }
}

static void leave_again(struct world *world) {
    leave(state_of(world), state_of(world)->number, ITS);
}

static void sweep(struct world *world) {
    struct state *state = state_of(world);
    crash_need(participants_sweep(&state->table, state->number, is_alive, clean, world) >= 0);
}

/* The number of the dead one, buried before, is reserved again: its row goes on counting. */
static void join_again(struct world *world) {
    struct state *state = state_of(world);
    int result;
    state->number = DEAD;
    do /* others come and go with that number */
        result = join(state, DEAD, ITS);
    while (result == -EAGAIN);
    crash_need(result == 0);
}

static void bury_first(struct world *world) {
    crash_need(participants_sweep(&state_of(world)->table, STAGE, is_alive, clean, world) == 1);
}

static void set_up_buried(struct world *world) {
    set_up(world);
    bury_first(world);
}

static void count(struct world *world) {
    statistics_add(&state_of(world)->shared->rows[state_of(world)->number], STATISTICS_RECEIVED, 1);
}

/* ---- the survivors ---- */

static void check_table(struct world *world) {
    struct state *state = state_of(world);
    unsigned free_numbers = 0, live = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct participant_look look;
        participants_look(&state->table, i, &look);
        live += look.state == PARTICIPANT_LIVE || look.state == PARTICIPANT_LEAVING ||
                look.state == PARTICIPANT_JOINING;
        if (look.state == PARTICIPANT_LIVE)
            crash_need(strncmp(look.facts.label, "participant ", 12) == 0 &&
                       look.facts.pid == look.facts.name);
        free_numbers += look.state == PARTICIPANT_FREE;
    }
    /* All but the stage's, and the victim's while it lives, are free again. */
    crash_need(live <= (world->killed ? 1 : 2));
    crash_need(free_numbers == COUNT - live);
    crash_need(shared64_get(&state->shared->holdings) == 0);
}

static void survive(struct world *world, unsigned operations) {
    struct state *state = state_of(world);
    struct statistics sum;
    crash_need(participants_sweep(&state->table, STAGE, is_alive, clean, world) >= 0);
    check_table(world);
    unsigned busy = 0;
    for (unsigned i = 0; i < operations; i++) {
        uint32_t number = 1 + i % (COUNT - 1);
        int result = join(state, number, NEXT);
        if (result < 0) {
            /* A stopped one, and a stopped burier, cost one number each. */
            crash_need(!world->killed && ++busy <= 2 * (operations / (COUNT - 1) + 1));
            continue;
        }
        leave(state, number, NEXT);
    }
    statistics_sum(state->shared->rows, COUNT, &sum);
    crash_need(sum.count[STATISTICS_SENT] == COUNTED && sum.count[STATISTICS_RECEIVED] <= 1);
}

static void finish(struct world *world) {
    struct participant_look look;
    participants_look(&state_of(world)->table, state_of(world)->number, &look);
    crash_need(look.incarnation != incarnation(ITS) || look.state == PARTICIPANT_LIVE ||
               look.state == PARTICIPANT_FREE);
}

static void account(struct world *world) {
    struct state *state = state_of(world);
    world->killed = true; /* it has ended, one way or the other */
    crash_need(participants_sweep(&state->table, STAGE, is_alive, clean, world) >= 0);
    check_table(world);
}

static void clean_up(struct world *world) {
    struct state *state = state_of(world);
    crash_need(munmap(state->shared, sizeof *state->shared) == 0);
}

/* Second victim: joins, and buries all who are dead. */
static void recover(struct world *world) {
    struct state *state = state_of(world);
    uint32_t number = 5;
    if (join(state, number, THIRDS) == 0)
        participants_sweep(&state->table, number, is_alive, clean, world);
}

/* ---- the table ---- */

#define COVERS(...)                                                                                \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }
#define PARTICIPANTS(title, start, before, region, ...)                                            \
    {                                                                                              \
        .name = "participants/" title, .covers = COVERS(__VA_ARGS__), .set_up = start,             \
        .prepare = before, .operate = region, .finish = finish, .recover = recover,                \
        .survive = survive, .account = account, .clean_up = clean_up                               \
    }

static const struct scenario scenarios[] = {
    PARTICIPANTS("join", set_up, NULL, join_free, "participants_reserve", "participants_appear",
                 "statistics_begin"),
    PARTICIPANTS("join-again", set_up_buried, NULL, join_again, "participants_reserve",
                 "participants_appear", "statistics_begin"),
    PARTICIPANTS("leave", set_up, join_free, leave_again, "participants_begin_leave",
                 "participants_end_leave"),
    PARTICIPANTS("bury", set_up, join_free, sweep, "participants_sweep", "participants_bury"),
    PARTICIPANTS("count", set_up, join_free, count, "statistics_add"),
};

const struct scenario_list participants_scenarios = {
    .scenarios = scenarios, .count = sizeof scenarios / sizeof scenarios[0]};
