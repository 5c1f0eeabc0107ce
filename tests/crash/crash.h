/* SPDX-License-Identifier: MIT
 *
 * What a scenario is: an operation of a victim, and the survivors that have to live with its
 * death, or its standstill, after any instruction of that operation.
 *
 * The stepper (README in stage.h) makes a new world for each point at which it strikes:
 *
 *     the stage, a process        set_up ─ part ─────────── attend … ─ survive ─ account ─ clean_up
 *                                        │                   ↑
 *     the victim, forked there           prepare ─ [ operate ] ─ finish
 *                                                  ↑ killed or stopped after any instruction
 *
 * The stage is itself the survivor, and the victim's tracer. Pairs of kills have a second
 * victim, forked after the first one's death, which recovers in the same way.
 *
 * A new feature is one file in scenarios/ with `const struct scenario_list NAME_scenarios`,
 * and its NAME in the list in meson.build. */
#ifndef CRASH_H
#define CRASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_MOST 256
#define LEDGER_SENDER 50 /* the numbers from a multiple of this on are one sender's */
#define STATE_MOST 8192

/* Of each numbered message. The ledger is in memory that all processes of a world share. */
enum ledger_state { LEDGER_NOTHING = 0, LEDGER_BEGUN, LEDGER_SENT };

struct ledger {
    unsigned char state[LEDGER_MOST];    /* an enum ledger_state, as its sender says */
    unsigned char received[LEDGER_MOST]; /* how often a survivor had it */
    unsigned char excused[LEDGER_MOST];  /* it may be lost with the victim */
};

struct world {
    const struct scenario *scenario;
    const char *directory; /* empty, and empty it has to be at the end */
    bool killed;           /* the victim is dead; else it stands still, or has finished */
    bool stopped;          /* it stands still; false again when it went on */
    bool recoverer_killed;
    struct ledger *ledger;
    int control[2]; /* a socket pair: [0] the stage's, [1] the victim's */
    void *state;    /* the scenario's own: STATE_MOST bytes, zero at first; a fork copies it */
};

typedef void world_function(struct world *world);

struct scenario {
    const char *name;          /* unique: "lane/commit" */
    const char *const *covers; /* names of public or internal functions; NULL ends */
    const void *context;       /* for tables that are made from another table */

    world_function *set_up;  /* stage: before the fork */
    world_function *prepare; /* victim: before the region; it may wait for the stage */
    world_function *part;    /* stage: after the fork, while the victim prepares */
    world_function *operate; /* victim: every instruction of this is struck */
    world_function *attend;  /* stage: called while the victim sleeps in a system call */
    world_function *finish;  /* victim, if it lives: tells the ledger what came of it */

    world_function *recover_prepare; /* second victim, outside of its region */
    world_function *recover;         /* every store and call of this is struck, too */

    /* Stage: that many operations, which have to be done within a second whatever has become
     * of the victims; world->stopped tells waits on a stopped one, which end by deadline. */
    void (*survive)(struct world *world, unsigned operations);
    world_function *account;  /* stage: receives what is there and settles the ledger */
    world_function *clean_up; /* stage: gives everything back; nothing may be left then */
    unsigned cost;            /* 0; or: only that part of the points is struck */
    bool rare;                /* not in short runs */
    bool faulty;              /* has to fail; runs only when it is named */
};

struct scenario_list {
    const struct scenario *scenarios;
    size_t count;
    /* For lists that are made at run time; or NULL. */
    const struct scenario *(*make)(const char *directory, size_t *ret_count);
};

/* Ends the run of this point as failed, from any process of the world. */
__attribute__((noreturn, format(printf, 1, 2))) void crash_fail(const char *format, ...);
#define crash_need(condition)                                                                      \
    ((condition) ? (void)0 : crash_fail("%s:%d: %s", __FILE__, __LINE__, #condition))

/* Directory and name as one path. */
void world_path(const struct world *world, const char *name, char *path, size_t size);

/* Tells the other process that it may go on, and waits for that. */
void world_tell(struct world *world, int side);
void world_await(struct world *world, int side);

/* Forks a survivor beside the stage; joins it: it has to end well. */
int world_fork(struct world *world, world_function *function);
void world_join(int process);

/* ---- the ledger ---- */

void ledger_begin(struct world *world, unsigned number);
void ledger_sent(struct world *world, unsigned number);
void ledger_excuse(struct world *world, unsigned number);
void ledger_received(struct world *world, unsigned number);

/* Everything sent was received once, but for what is excused; what was only begun was
 * received once or not at all, and of those in doubt the first ones; nothing else came.
 * Where `victim` lives, nothing may be in doubt. `doubts_most`: for one kill. */
void ledger_settle(struct world *world, unsigned doubts_most);

/* A body of `size` bytes, at least 8, that tells its number; and back, checked in full. */
void body_fill(void *bytes, size_t size, unsigned number);
unsigned body_number(const void *bytes, size_t size);

#endif
