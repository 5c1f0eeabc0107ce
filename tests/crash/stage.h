/* SPDX-License-Identifier: MIT
 *
 * The stepper: proves that an operation can be killed, or stopped, after any instruction.
 *
 * How it works. The runner (run.c) first records the operation of a scenario: a traced process
 * executes it in single steps; each step is noted with its address, whether it was a system
 * call, whether it slept in it, and whether it changed a byte that processes share. Then it
 * strikes, each time in a new world (stage.c), at every step:
 *
 *     kill     SIGKILL after that many instructions; survivors go on and account
 *     stop     the victim stands still there while survivors work; then it goes on
 *     calls    SIGKILL at the entry of each system call, at its exit, and while it sleeps in it
 *     pairs    killed at each step that others can see; a recoverer, recorded in its turn,
 *              is killed at each such step of its own; survivors go on and account
 *
 * A kill after a step that changed no shared byte and made no system call leaves the same
 * world as a kill before it, because what only the victim could see has gone with it. So the
 * steps that others can see, and the beginning, are all that pairs have to strike, and short
 * runs may take few of the others. Of a bulk copy first, last and some repetitions are
 * struck; of a step in a loop that nobody sees the first 16, then the 32nd, 64th, ….
 *
 * After each point: the survivors finish their operations within a second, the ledger is
 * settled, and after clean_up nothing is left: no file in the world's directory or in the
 * domain folder, no System V segment, descriptor, mapping or process. */
#ifndef CRASH_STAGE_H
#define CRASH_STAGE_H

#include "crash/crash.h"
#include "crash/victim.h"

#define SURVIVORS_MS 1000 /* in which survivors finish their operations */
#define STAGE_SECONDS 20  /* after which a world has failed */
#define STAGE_PROCESSES 16
#define SEGMENTS_MOST 4096 /* the kernel's usual limit */

enum strike {
    STRIKE_NONE = 0, /* runs through: all has to be well */
    STRIKE_RECORD,
    STRIKE_KILL,
    STRIKE_STOP,
    STRIKE_CALL_ENTRY,
    STRIKE_CALL_EXIT,
    STRIKE_CALL_SLEEP
};

struct plan {
    const struct scenario *scenario;
    enum strike strike; /* on the victim */
    size_t point;
    bool recovers; /* a second victim comes after the first one's death */
    enum strike recoverer_strike;
    size_t recoverer_point;
    bool seen;           /* others can see the step before the point: all operations */
    unsigned operations; /* of the survivors */
    bool only_steps;     /* to the point in single steps, whatever way the run takes */
    struct trace *trace; /* recorded, or to be */
    struct trace *recoverer_trace;
};

/* What became of a world; in memory that all its processes share. */
struct result {
    bool failed;
    bool missed; /* the run took another way than the recorded one */
    bool late;   /* the survivors took longer than they should */
    size_t steps;
    size_t kills;
    size_t stops;
    uint64_t address; /* at which it struck */
    int processes[STAGE_PROCESSES];
    size_t process_count;
    char text[1024];
};

extern struct result *stage_result;

/* Once, before anything else. */
void stage_prepare(const char *directory, const char *domain);

/* Plays one world. */
void stage_play(const struct plan *plan, struct result *ret_result);

/* Memory for a trace that a stage can fill. */
struct trace *stage_trace(size_t most);

/* ---- for the other files of the stepper ---- */

/* Kills and reaps everything that was left; it became this subreaper's. */
void stage_reap(void);
/* Removes what is in a directory. */
void stage_clear(const char *directory);

bool stage_is_own_memory(uint64_t address);
/* For the search of what is left: these processes were of this world. */
void stage_note_process(int process);
uint64_t stage_base(void);              /* of this program in memory */
bool stage_may_break(uint64_t address); /* a breakpoint can be put there */

/* What a world could leave behind. */
struct remains {
    size_t descriptors, mappings;
    char files[512];
    int segments[SEGMENTS_MOST]; /* all that the machine has */
    size_t segment_count;
};
void remains_look(const char *directory, const char *domain, struct remains *ret_remains);
/* Fails unless all is as before, and no process is left. New segments are removed. */
void remains_compare(const struct remains *before, const struct remains *after);

struct stores *stores_begin(int process);
/* Whether shared memory changed since the last time. call: it may have other mappings. */
bool stores_changed(struct stores *stores, bool call);
void stores_end(struct stores *stores);

#endif
