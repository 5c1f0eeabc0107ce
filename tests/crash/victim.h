/* SPDX-License-Identifier: MIT
 *
 * A traced process: started, stepped, brought to a point, killed. */
#ifndef CRASH_VICTIM_H
#define CRASH_VICTIM_H

#include <sys/types.h>

#include "crash/crash.h"

/* The instructions of one run of an operation, in order. */
enum {
    STEP_CALLS = 1,  /* a system call */
    STEP_STORES = 2, /* changed memory that processes share */
    STEP_SLEEPS = 4  /* a system call in which it slept */
};

struct trace {
    uint64_t *addresses; /* of the instruction that is next, before each step; then the end */
    unsigned char *flags;
    uint32_t *ranks;   /* how often that address was next before, this time included */
    uint32_t *anchors; /* from which step a point is reached best */
    size_t count;      /* steps */
    size_t most;
    bool done;
};

struct victim {
    pid_t process;
    struct world *world;
    uint64_t address; /* of the next instruction */
    bool at_end;      /* of the region */
    bool slept;       /* during the last wait */
    size_t steps;
};

/* Forks it; it stands at the beginning of its region when this returns. part: see struct
 * scenario, or NULL. */
void victim_start(struct victim *victim, struct world *world, world_function *prepare,
                  world_function *operate, world_function *finish, world_function *part);

/* One instruction. At the end of the region it does nothing. */
void victim_step(struct victim *victim);

/* Records a whole region, and which steps others can see. */
void victim_record(struct victim *victim, struct trace *trace);

/* Makes ranks and anchors of a recorded trace. */
void trace_prepare(struct trace *trace);

/* Brings it to where `point` steps are done. Result: false if this run took another way. */
bool victim_reach(struct victim *victim, const struct trace *trace, size_t point);

/* That many single steps. Result: false if the region ended before. */
bool victim_walk(struct victim *victim, size_t point);

/* At a system call: goes on until its entry, or its exit. Result: false if it is at none. */
bool victim_to_call(struct victim *victim, bool exit);
/* At a system call in which it sleeps: until it sleeps. Result: false if it did not. */
bool victim_to_sleep(struct victim *victim);

void victim_kill(struct victim *victim);
/* Lets it go on to its end, which has to be a good one. */
void victim_finish(struct victim *victim);

#endif
