/* SPDX-License-Identifier: MIT
 *
 * What the explorer's own files share. See explore.h for the whole. */
#ifndef INSIDE_H
#define INSIDE_H

#include "explore.h"

#include <setjmp.h>
#include <stdio.h>

/* ---- views.c: the memory model ---- */

#define LOCATIONS 128
#define MESSAGES 40

/* For each location the newest message known, by its place in the modification order; for
 * each participant how much of what it did comes before. */
struct view {
    uint8_t seen[LOCATIONS];
    uint16_t clock[EXPLORE_PARTICIPANTS];
};

/* What a participant knows: now; once a fence makes its relaxed loads count; what its relaxed
 * stores pass on; what a barrier on it makes known to others; and what it knew when it began
 * what it is trying. */
struct knowledge {
    struct view now, loaded, fenced, settled, begun;
};

void views_forget_locations(void); /* for another scenario */
void views_start(void);            /* for another run: all locations hold 0 */
void views_start_knowledge(struct knowledge *knowledge, unsigned self);
unsigned views_find(const void *word, unsigned size);
unsigned views_find_any(const void *word); /* of whatever size it has */
size_t views_offset(unsigned location);

/* Alone, in order. */
uint64_t views_newest(unsigned location);
void views_initialise(unsigned location, uint64_t value);

/* By a participant. `choose` is asked where several things are permitted. */
uint64_t views_load(unsigned self, unsigned location, unsigned order);
void views_store(unsigned self, unsigned location, uint64_t value, unsigned order);
bool views_swap_if(unsigned self, unsigned location, uint64_t *expected, uint64_t desired,
                   unsigned order);
uint64_t views_change(unsigned self, unsigned location, enum explore_operation operation,
                      uint64_t operand, unsigned order);
void views_fence(unsigned self, unsigned order);
void views_compiler_fence(unsigned self);
void views_barrier(unsigned self);
uint64_t views_load_plain(unsigned self, unsigned location);
void views_store_plain(unsigned self, unsigned location, uint64_t value);

bool views_has_newer(unsigned self, unsigned location);
bool views_has_change(unsigned self); /* by others, since what it is trying was begun */
void views_insist_newest(unsigned self);
void views_begin(unsigned self);
void views_insist_newer(unsigned self, unsigned location);
/* All that `other` did comes before what `self` does from now on. */
void views_follow(unsigned self, unsigned other);
void views_export(unsigned self, struct view *view); /* joins what is known now to it */
void views_import(unsigned self, const struct view *view);
/* Some store of a participant that dies was perhaps not done yet: asks which. */
void views_drop_unordered(unsigned self);
uint64_t views_hash(uint64_t hash);

/* ---- steps.c: the accesses ---- */

void steps_tell(const struct explore_site *site, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- schedule.c: one run ---- */

enum participant_state { READY, WAITING, DONE, DEAD, STOPPED };
enum wait_kind { WAIT_NEWER, WAIT_CHANGE, WAIT_END, WAIT_SLEEP, WAIT_BELL };

struct participant {
    const struct explore_participant *entry;
    enum participant_state state;
    enum wait_kind wait;
    unsigned waits_for; /* location, participant or bell */
    bool woken, gave_up;
    bool begun;
    uint64_t history; /* of what it did and got */
    struct knowledge knowledge;
    jmp_buf start, context;
};

struct schedule {
    const struct scenario *scenario;
    struct participant participants[EXPLORE_PARTICIPANTS];
    unsigned count;
    int running;     /* -1: set_up() or finish() */
    unsigned deaths; /* that are left */
    unsigned interruptions;
    unsigned overlooks;  /* that are left, if they are limited */
    unsigned long steps; /* of this run */
    bool every_step;     /* a choice of who goes on before every step */
    bool tracing;
    struct view fences; /* known to whoever passes one */
    const void *ledger; /* of the scenario */
    size_t ledger_size;
    bool bells[EXPLORE_BELLS];
    int lock_owners[EXPLORE_LOCKS]; /* -1: free */
    struct view lock_views[EXPLORE_LOCKS];
};

extern struct schedule schedule;

static inline struct knowledge *knowledge_of(unsigned self) {
    return &schedule.participants[self].knowledge;
}

enum run_end { RUN_COMPLETE, RUN_SEEN_BEFORE, RUN_LEARNED, RUN_FAILED };
enum run_end schedule_run(void);

/* Before a step of the running participant. Of a body's it need not be a choice who does it, and
 * not of a store's, if loads may overlook it as long as they like. */
enum step { STEP_BODY, STEP_STORE, STEP_OTHER };
void schedule_step(enum step step);
/* One of the newest first and older ones, if the running participant may overlook some yet. */
unsigned schedule_choose_age(unsigned count);
/* Until that holds; false: it never will. */
bool schedule_wait(enum wait_kind kind, unsigned waits_for);
void schedule_remember(uint64_t value);

static inline uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

/* ---- search.c: all runs ---- */

struct search {
    unsigned long runs, states, outcomes;
    unsigned long deepest; /* steps */
    double seconds;
    const char *failure; /* NULL: none */
};

/* All runs of the scenario. The failure is the first. */
void search_run(const struct scenario *scenario, bool every_step, struct search *ret_search);
/* The failure that it found again, step by step. */
void search_show(void);

unsigned search_choose(unsigned count);
/* Has this state been reached before? */
bool search_was_here(uint64_t hash);
bool search_is_new(void); /* beyond what the last run did */
__attribute__((noreturn)) void search_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
__attribute__((noreturn)) void search_leave(enum run_end end); /* this run */
extern jmp_buf search_escape;

/* ---- weaken.c ---- */

/* Each access of the scenarios' sources made weaker in turn; prints a point for each. */
int weaken_all(const char *needless_path, const char *pattern, bool thorough);
const char *weaken_operation_name(enum explore_operation operation);

/* ---- main.c ---- */

void tap_point(bool passed, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
