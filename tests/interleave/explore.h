/* SPDX-License-Identifier: MIT
 *
 * The explorer: runs the algorithms of src/memory with every interleaving of a few
 * participants, under weak memory, with a death or a stop after every step, and says which
 * promise broke and how.
 *
 * A scenario is a table: what is there at the start, what each participant does, and what
 * must hold when none of them goes on. The sources are those of the library, compiled with
 * base/shared.h of this folder, in which each access to a shared word is a call.
 *
 * The search. Participants are coroutines. Wherever more than one thing can happen (who goes
 * on, who dies, which of the visible values a load returns) the search takes one of them, and
 * runs the scenario again from the start for the next. A state that was reached before is
 * not searched again. State: what each participant has done and got so far, and all that the
 * memory model keeps. A participant's stores and bodies are done at once, without a choice of
 * who goes on: it is left to the loads of the others how long they overlook them. The litmus
 * tests are run with that reduction and without, and must show the same.
 *
 * Where that is too much, a scenario limits how often a participant is interrupted in one run
 * (not counting where it waits), or how often a value is overlooked; in the latter case every
 * store is a choice of who goes on, so that at least all interleavings are there.
 *
 * The memory model. C11 without consume and sequentially consistent accesses, as promise-free
 * views: each word keeps all the values stored to it, in their modification order. Each
 * participant has a view, the newest value it knows of for every word. A load returns any value
 * that is not older than the view. A release store puts the view of its writer beside the
 * value, an acquire load joins it to the reader's. A store takes any place in the modification
 * order that is newer than its writer's view. A read-modify-write stores right behind the
 * value that it read, and nothing comes between. A fence joins the view with that of all fences
 * before it. Bodies are plain memory: two accesses, one of them a store, that nothing orders
 * are a race, and a race is a failure (so no reader of a body can see stale or torn words).
 *
 * What it does not show: a load that is done before an earlier load's or store's value is
 * settled by a later store of its own thread (load buffering); what ARM64 and x86-64 forbid
 * but C11 permits for want of dependencies is shown. A read-modify-write is never weaker than
 * relaxed. More participants, steps and wraps than the scenarios have.
 *
 * Death (SIGKILL). After any step of a participant that may die. What it stored stays: a
 * processor empties its store buffer also when the process is killed. But the others need not
 * see it yet, and a store that nothing ordered before a later one that was seen may never have
 * been done (compilers reorder too). Whoever has learned of the death from the kernel sees all
 * that the dead one did: the lock that is freed, or the closed descriptor, orders it.
 * Stop (SIGSTOP). For a while: that is an interleaving. For ever: a stop, at any step; the
 * others must get to their end without it.
 *
 * Weakening. Each access of src/memory is known by file and line, and can be made weaker than
 * it is written, or left out: then some scenario must fail (weaken.c). */
#ifndef EXPLORE_H
#define EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPLORE_PARTICIPANTS 4

enum explore_operation {
    EXPLORE_LOAD,
    EXPLORE_STORE,
    EXPLORE_SWAP_IF,
    EXPLORE_ADD,
    EXPLORE_OR,
    EXPLORE_AND,
    EXPLORE_FENCE,
    EXPLORE_COMPILER_FENCE,
    EXPLORE_WRITE,
    EXPLORE_READ,
};

#define EXPLORE_ACQUIRE 1u
#define EXPLORE_RELEASE 2u
#define EXPLORE_SEQUENTIAL 4u
/* Of an attempt that fails: a swap without effect only loads. */
#define EXPLORE_ACQUIRE_FAILED 8u
/* The access itself: without it, nothing is done. */
#define EXPLORE_DONE 16u

struct explore_site {
    const char *file;
    const char *function;
    int line;
    enum explore_operation operation;
    unsigned order;       /* as written: EXPLORE_ACQUIRE … */
    unsigned taken_away;  /* of these, and of EXPLORE_DONE … */
    unsigned long visits; /* in this program's run */
};

/* ---- what base/shared.h calls ---- */

uint64_t explore_load(struct explore_site *site, const void *word, unsigned size);
void explore_store(struct explore_site *site, void *word, unsigned size, uint64_t value);
bool explore_swap_if(struct explore_site *site, void *word, unsigned size, uint64_t *expected,
                     uint64_t desired);
bool explore_swap_if32(struct explore_site *site, void *word, uint32_t *expected, uint32_t desired);
uint64_t explore_change(struct explore_site *site, void *word, unsigned size, uint64_t operand);
uint32_t explore_load32(struct explore_site *site, const void *word);
uint32_t explore_change32(struct explore_site *site, void *word, uint32_t operand);
void explore_fence(struct explore_site *site);
void explore_compiler_fence(struct explore_site *site);
void explore_write(struct explore_site *site, void *to, const void *from, size_t size);
void explore_read(struct explore_site *site, void *to, const void *from, size_t size);
void explore_write_unguarded(struct explore_site *site, void *to, const void *from, size_t size);
void explore_read_unguarded(struct explore_site *site, void *to, const void *from, size_t size);
void explore_pause(void);

/* ---- a scenario ---- */

/* What may happen to a participant, or how it runs. */
#define MAY_DIE 1u
#define MAY_STOP 2u
#define REGISTERED 4u /* barriers reach it */

struct explore_participant {
    const char *name;
    void (*run)(void);
    unsigned flags;
};

struct scenario {
    const char *name;
    void (*set_up)(void); /* runs alone, before the participants */
    struct explore_participant participants[EXPLORE_PARTICIPANTS + 1];
    void (*finish)(void);   /* runs alone, and sees everything; may be NULL */
    const char *outcomes;   /* all of what explore_outcome() may tell, sorted; NULL: whatever */
    const char *expects;    /* a part of the failure that there must be; NULL: none */
    unsigned deaths;        /* at most, in one run; stops count */
    unsigned interruptions; /* how often one who could go on does not, + 1; 0: any number */
    unsigned overlooks;     /* how often loads return what is not the newest; 0: any number */
    bool barriers;          /* explore_barrier() is used */
    bool slow;              /* not in the short form */
    const char *proves;     /* the source whose accesses it is to notice; NULL: none */
};

extern const struct scenario *const explore_scenarios[]; /* NULL at the end */

/* Shared memory, all zero: the same at each start. In set_up() only. */
void *explore_memory(size_t size);

/* Private memory of the scenario that participants write and others, or finish(), read. It is
 * all 0 at each start. In set_up() only. Without it, each may read what it wrote itself. */
void explore_ledger(void *ledger, size_t size);

/* All that the running participant still does depends on these bytes, its place in the
 * program, the ledger and shared memory: how it got here may be forgotten. */
void explore_forget(const void *state, size_t size);

/* Ends the search as failed if it does not hold. */
void explore_check(bool holds, const char *promise);

/* Any number below `count`: each is tried. */
unsigned explore_choose(unsigned count);

/* A litmus test's result, of this run. In finish() only. */
void explore_outcome(const char *outcome);

/* Which participant is running: its place in the table. */
unsigned explore_self(void);

/* Waits until `word` has a value that this participant has not seen; what it then loads there
 * is newer. False: nothing will come any more, since nobody else goes on. */
bool explore_wait_newer(const void *word);

/* Waits until somebody else has stored anything since this participant last forgot, or waited,
 * so; what it then loads is not older than now. False as above. */
bool explore_wait_change(void);

/* Waits until that participant is dead or has returned: true, it is dead. Its stores are seen
 * from then on. */
bool explore_wait_end(unsigned participant);
/* Without waiting, and without an order: has it been killed? (For finish().) */
bool explore_is_dead(unsigned participant);
bool explore_is_stopped(unsigned participant);

/* futex(2): sleeps if the word still has that value, until woken. To sleep for ever is a
 * failure. */
void explore_sleep(const void *word, uint32_t value);
void explore_wake(const void *word);

/* An eventfd, by number: rings, and waits until it has rung. To wait for ever is a failure. */
#define EXPLORE_BELLS 4
void explore_ring(unsigned bell);
void explore_wait_bell(unsigned bell);
/* Has it rung? Not after that. */
bool explore_try_bell(unsigned bell);

/* membarrier(2), expedited: each registered participant passes a fence, one after the other. */
void explore_barrier(void);

/* A lock that the kernel keeps: false if somebody who lives has it; the next owner sees what
 * the last did. It is free when its owner is dead. */
#define EXPLORE_LOCKS 4
bool explore_try_lock(unsigned lock);
void explore_unlock(unsigned lock);

#endif
