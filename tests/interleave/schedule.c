/* SPDX-License-Identifier: MIT
 *
 * One run of a scenario: participants as coroutines, who goes on, who dies. */
#include "inside.h"

#include <string.h>
#include <ucontext.h>

#define STACK_SIZE (256 * 1024)
#define STEPS_MOST 20000 /* of a run that does not come to an end */

struct schedule schedule;

static _Alignas(64) unsigned char stacks[EXPLORE_PARTICIPANTS][STACK_SIZE];
static ucontext_t coroutines[EXPLORE_PARTICIPANTS], starter;
static bool are_made;
static jmp_buf scheduler;

/* ---- coroutines ---- */

/* ucontext makes them, once; setjmp and longjmp change between them, since that needs no
 * system call. A participant that is given up is begun again from its start. */
static struct participant *running(void) {
    return &schedule.participants[schedule.running];
}

__attribute__((noreturn)) static void leave_for_ever(enum participant_state state) {
    running()->state = state;
    if (state == DEAD) {
        for (unsigned i = 0; i < EXPLORE_LOCKS; i++)
            if (schedule.lock_owners[i] == schedule.running) {
                views_export((unsigned)schedule.running, &schedule.lock_views[i]);
                schedule.lock_owners[i] = -1;
            }
    }
    _longjmp(scheduler, 1);
}

static void live(int index) {
    struct participant *participant = &schedule.participants[index];
    if (_setjmp(participant->start) == 0)
        swapcontext(&coroutines[index], &starter);
    running()->entry->run();
    leave_for_ever(DONE);
}

static void make_coroutines(void) {
    for (int i = 0; i < EXPLORE_PARTICIPANTS; i++) {
        getcontext(&coroutines[i]);
        coroutines[i].uc_stack.ss_sp = stacks[i];
        coroutines[i].uc_stack.ss_size = STACK_SIZE;
        coroutines[i].uc_link = NULL;
        makecontext(&coroutines[i], (void (*)(void))live, 1, i);
        swapcontext(&starter, &coroutines[i]);
    }
    are_made = true;
}

static void go_on(unsigned index) {
    struct participant *participant = &schedule.participants[index];
    schedule.running = (int)index;
    if (_setjmp(scheduler) == 0) {
        bool begun = participant->begun;
        participant->begun = true;
        _longjmp(begun ? participant->context : participant->start, 1);
    }
    schedule.running = -1;
}

/* Who goes on, and whether to be killed; nobody can: NOBODY. */
struct decision {
    unsigned who;
    bool dies, is_made;
};

#define NOBODY EXPLORE_PARTICIPANTS

static struct decision decision;

static void decide(int last);

/* Leaves it to the search who goes on; most often it is the same. */
static void let_others(void) {
    decide(schedule.running);
    if (decision.who == (unsigned)schedule.running && !decision.dies)
        decision.is_made = false;
    else if (_setjmp(running()->context) == 0)
        _longjmp(scheduler, 1);
}

/* ---- death ---- */

static void die(void) {
    schedule.deaths--;
    views_drop_unordered((unsigned)schedule.running);
    steps_tell(NULL, "is killed");
    leave_for_ever(DEAD);
}

static void stop(void) {
    schedule.deaths--;
    steps_tell(NULL, "is stopped for ever");
    leave_for_ever(STOPPED);
}

/* Does the running participant die, or stop for ever, instead of its next step? */
static void ask_for_death(void) {
    unsigned flags = schedule.deaths > 0 ? running()->entry->flags & (MAY_DIE | MAY_STOP) : 0;
    if (flags == 0)
        return;
    unsigned choice = search_choose(flags == (MAY_DIE | MAY_STOP) ? 3 : 2);
    if (choice == 0)
        return;
    if (choice == 1 && (flags & MAY_DIE) != 0)
        die();
    stop();
}

/* ---- steps ---- */

void schedule_remember(uint64_t value) {
    running()->history = mix(running()->history, value + 1);
}

unsigned schedule_choose_age(unsigned count) {
    if (schedule.scenario->overlooks == 0)
        return search_choose(count);
    unsigned choice = schedule.overlooks > 0 ? search_choose(count) : 0;
    schedule.overlooks -= choice > 0;
    return choice;
}

void schedule_step(enum step step) {
    if (++schedule.steps > STEPS_MOST)
        search_fail("a run does not come to an end");
    bool reached = schedule.scenario->barriers && (running()->entry->flags & REGISTERED) != 0;
    bool is_choice = step == STEP_OTHER || (step == STEP_STORE && schedule.scenario->overlooks > 0);
    if (is_choice || schedule.every_step || reached)
        let_others();
    ask_for_death();
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size) {
    for (size_t done = 0; done < size; done += 8) {
        uint64_t word = 0;
        memcpy(&word, (const char *)bytes + done, size - done < 8 ? size - done : 8);
        hash = mix(hash, word);
    }
    return hash;
}

void explore_forget(const void *state, size_t size) {
    views_begin((unsigned)schedule.running);
    running()->history = hash_bytes((uint64_t)schedule.running + 1, state, size);
}

void explore_ledger(void *ledger, size_t size) {
    memset(ledger, 0, size);
    schedule.ledger = ledger;
    schedule.ledger_size = size;
}

bool schedule_wait(enum wait_kind kind, unsigned waits_for) {
    struct participant *self = running();
    self->wait = kind;
    self->waits_for = waits_for;
    self->woken = self->gave_up = false;
    self->state = WAITING;
    let_others();
    self->state = READY;
    schedule_remember(self->gave_up);
    return !self->gave_up;
}

static bool has_come(unsigned index) {
    const struct participant *participant = &schedule.participants[index];
    enum participant_state other = DONE;
    switch (participant->wait) {
    case WAIT_NEWER:
        return views_has_newer(index, participant->waits_for);
    case WAIT_CHANGE:
        return views_has_change(index);
    case WAIT_END:
        other = schedule.participants[participant->waits_for].state;
        return other == DONE || other == DEAD;
    case WAIT_SLEEP:
        return participant->woken;
    case WAIT_BELL:
        return schedule.bells[participant->waits_for];
    }
    return false;
}

static bool is_ready(unsigned index) {
    enum participant_state state = schedule.participants[index].state;
    return state == READY || (state == WAITING && has_come(index));
}

/* ---- a run ---- */

static uint64_t state_hash(int last) {
    uint64_t hash = hash_bytes(schedule.deaths, schedule.ledger, schedule.ledger_size);
    hash = mix(hash, (schedule.overlooks * 64 + schedule.interruptions) * 8u + (unsigned)last);
    for (unsigned i = 0; i < schedule.count; i++) {
        const struct participant *participant = &schedule.participants[i];
        hash = mix(hash, participant->history);
        hash = mix(hash, participant->state * 64u + participant->wait * 8u +
                             participant->woken * 4u + participant->begun * 2u);
        hash = mix(hash, participant->state == WAITING ? participant->waits_for : 0);
    }
    uint64_t kernel = 0;
    for (unsigned i = 0; i < EXPLORE_BELLS; i++)
        kernel = kernel << 1 | schedule.bells[i];
    for (unsigned i = 0; i < EXPLORE_LOCKS; i++)
        kernel = kernel << 3 | (unsigned)(schedule.lock_owners[i] + 1);
    return views_hash(mix(hash, kernel));
}

/* Those who can go on, and those who wait and may be killed doing so. Where the scenario limits
 * how often a participant is interrupted, `last` may be the only one. */
static unsigned list_choices(unsigned choices[2 * EXPLORE_PARTICIPANTS], unsigned *ret_ready,
                             int last) {
    unsigned count = 0;
    bool is_limited = schedule.scenario->interruptions > 0;
    if (is_limited && schedule.interruptions == 0 && last >= 0 && is_ready((unsigned)last)) {
        choices[0] = (unsigned)last;
        return *ret_ready = 1;
    }
    for (unsigned i = 0; i < schedule.count; i++)
        if (is_ready(i))
            choices[count++] = i;
    *ret_ready = count;
    for (unsigned i = 0; i < schedule.count; i++)
        if (schedule.participants[i].state == WAITING && !has_come(i) && schedule.deaths > 0 &&
            (schedule.participants[i].entry->flags & MAY_DIE) != 0)
            choices[count++] = i;
    return count;
}

static void decide(int last) {
    unsigned choices[2 * EXPLORE_PARTICIPANTS], ready;
    unsigned count = list_choices(choices, &ready, last);
    bool is_limited = schedule.scenario->interruptions > 0;
    if (search_is_new() && search_was_here(state_hash(is_limited ? last + 1 : 0)))
        search_leave(RUN_SEEN_BEFORE);
    /* To kill a sleeper is one choice more, also where nobody can go on. */
    unsigned choice = search_choose(ready == 0 ? count + 1 : count);
    decision.who = choice < count ? choices[choice] : NOBODY;
    decision.dies = choice >= ready;
    decision.is_made = true;
    if (is_limited && last >= 0 && is_ready((unsigned)last) && decision.who != (unsigned)last)
        schedule.interruptions--;
}

static void kill_waiting(unsigned index) {
    schedule.running = (int)index;
    if (_setjmp(scheduler) == 0)
        die();
    schedule.running = -1;
}

/* Nobody can go on. Whoever only looks now and then learns so; a sleeper has been forgotten. */
static bool end_waits(void) {
    for (unsigned i = 0; i < schedule.count; i++) {
        struct participant *participant = &schedule.participants[i];
        if (participant->state == WAITING && participant->wait != WAIT_SLEEP &&
            participant->wait != WAIT_BELL) {
            participant->gave_up = true;
            go_on(i);
            return true;
        }
    }
    for (unsigned i = 0; i < schedule.count; i++)
        if (schedule.participants[i].state == WAITING)
            search_fail("%s sleeps for ever", schedule.participants[i].entry->name);
    return false;
}

static void run_participants(void) {
    decision.is_made = false;
    for (;;) {
        if (!decision.is_made)
            decide(-1);
        decision.is_made = false;
        if (decision.who == NOBODY) {
            if (!end_waits())
                return;
        } else if (decision.dies) {
            kill_waiting(decision.who);
        } else {
            go_on(decision.who);
        }
    }
}

static void start(void) {
    views_start();
    schedule.count = 0;
    schedule.running = -1;
    schedule.deaths = schedule.scenario->deaths;
    schedule.overlooks = schedule.scenario->overlooks;
    schedule.interruptions = schedule.scenario->interruptions;
    if (schedule.interruptions > 0)
        schedule.interruptions--;
    schedule.ledger_size = 0;
    schedule.steps = 0;
    memset(&schedule.fences, 0, sizeof schedule.fences);
    memset(schedule.bells, 0, sizeof schedule.bells);
    memset(schedule.lock_views, 0, sizeof schedule.lock_views);
    for (unsigned i = 0; i < EXPLORE_LOCKS; i++)
        schedule.lock_owners[i] = -1;
    while (schedule.scenario->participants[schedule.count].run != NULL) {
        struct participant *participant = &schedule.participants[schedule.count];
        participant->entry = &schedule.scenario->participants[schedule.count];
        participant->state = READY;
        participant->begun = false;
        participant->history = schedule.count + 1;
        participant->wait = WAIT_NEWER;
        participant->woken = participant->gave_up = false;
        views_start_knowledge(&participant->knowledge, schedule.count);
        schedule.count++;
    }
}

enum run_end schedule_run(void) {
    if (!are_made)
        make_coroutines();
    int end = _setjmp(search_escape);
    if (end != 0)
        return (enum run_end)(end - 1);
    start();
    schedule.scenario->set_up();
    run_participants();
    schedule.running = -1;
    if (schedule.scenario->finish != NULL)
        schedule.scenario->finish();
    return RUN_COMPLETE;
}
