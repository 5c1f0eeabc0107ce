/* SPDX-License-Identifier: MIT
 *
 * A table of participants: who takes part in something that processes share. A participant
 * has a number, which other words name it by, and an incarnation, a random number that tells
 * it from whoever had its number before. Whether one lives only the kernel knows: the floor
 * above answers that, by a lock or a descriptor that the kernel holds for the process.
 *
 * The table begins with 64 bytes; then 256 bytes for each number:
 *
 *       0        4                                                  64
 *       +--------+--------------------- … ---------------------------+
 *       | used   | 0                                                 |
 *       +--------+--------------------- … ---------------------------+
 *
 *       0                8                16       20       24               32
 *       +----------------+----------------+--------+--------+----------------+
 *       | life           | burying        | pid    | flags  | start          |
 *       +----------------+----------------+--------+--------+----------------+
 *      32               40               48                                 64
 *       +----------------+----------------+------------- … ------------------+
 *       | name           | space          | 0                                |
 *       +----------------+----------------+------------- … ------------------+
 *      64       68                                                          128
 *       +--------+---------------------- … ---------------------------------+
 *       | wait   | 0                                                         |  waiting.h
 *       +--------+---------------------- … ---------------------------------+
 *     128                                                                   256
 *       +------------------------------- … ---------------------------------+
 *       | label: text, the rest 0                                           |
 *       +------------------------------- … ---------------------------------+
 *
 *     used     no number from here on was ever reserved
 *     life     bits 3 to 63 the incarnation, bits 0 to 2 the state; 0 never reserved
 *     burying  number + 1 of the dead one whose burial this participant takes part in, or 0
 *     pid, start, space  the process, its start time, its namespace of pids: for people; the
 *              floor above must not decide by them alone that somebody is dead
 *     flags, name  what the floor above makes of them
 *
 *     free ──reserve──> joining ──appear──> live ──begin_leave──> leaving ──end_leave──> free
 *                          └───────────────────┴──── found dead ─────┴──> dead ──buried──> free
 *
 * Every arrow is one compare-and-swap of `life` that expects the incarnation: a late step for
 * somebody who is gone fails. The fields are written while joining, by the joiner alone, and
 * do not change until it is gone.
 *
 * Burial gives back what the dead one held. Anyone who lives may do it, several at once, each
 * from the start; every step of it may be done twice. So nobody waits for a burier that was
 * stopped or killed. But a burier that comes late must not take from the next bearer of the
 * number; therefore each announces first which number it buries, and then looks again whether
 * that is still dead, and a number is reserved only if, after the reservation, no living one
 * announces it. Of these two looks one comes after both stores. What a stopped burier costs
 * is one free number, until it goes on or dies. */
#ifndef MEMORY_PARTICIPANTS_H
#define MEMORY_PARTICIPANTS_H

#include "base/shared.h"

#define PARTICIPANT_LABEL 128
#define PARTICIPANT_STATE_MASK ((uint64_t)7)

enum participant_state {
    PARTICIPANT_FREE = 0,
    PARTICIPANT_JOINING = 1,
    PARTICIPANT_LIVE = 2,
    PARTICIPANT_LEAVING = 3,
    PARTICIPANT_DEAD = 4,
};

struct participant {
    _Alignas(64) shared64 life;
    shared64 burying;
    shared32 pid;
    shared32 flags;
    shared64 start;
    shared64 name;
    shared64 space;
    _Alignas(64) shared32 wait;
    _Alignas(64) shared64 label[PARTICIPANT_LABEL / 8];
};

struct participants_words {
    _Alignas(64) shared32 used;
};

/* One's own view of a table. */
struct participants {
    struct participants_words *words;
    struct participant *slots;
    uint32_t count;
};

/* What a participant says of itself. */
struct participant_facts {
    uint32_t pid;
    uint32_t flags;
    uint64_t start;
    uint64_t name;
    uint64_t space;
    char label[PARTICIPANT_LABEL]; /* ends with a NUL byte */
};

struct participant_look {
    enum participant_state state;
    uint64_t incarnation;
    struct participant_facts facts; /* all 0 unless it is live or leaving */
};

/* Does the process still live that was this incarnation of this number? What cannot be told
 * is alive. Once the answer was no, it stays no. */
typedef bool participants_is_alive(void *context, uint32_t number,
                                   const struct participant_look *look);

/* Gives back everything that the dead incarnation of this number held. May run several times,
 * by several at once, and must then be harmless. 0 or a negative errno: it is tried again. */
typedef int participants_clean(void *context, uint32_t number, uint64_t incarnation);

/* A table is all 0 when it is new. */
void participants_attach(struct participants *table, struct participants_words *words,
                         struct participant *slots, uint32_t count);

/* The lowest free number that is not below `from`; the count of the table: none. */
uint32_t participants_find_free(const struct participants *table, uint32_t from);

/* How much of the table was ever used: no number is in use from there on. */
uint32_t participants_used(const struct participants *table);

/* A random number becomes an incarnation: not 0, and the bits of the state are 0. */
uint64_t participants_make_incarnation(uint64_t random);

/* Takes a free number. By then the kernel must hold what proves that this number's bearer
 * lives. -EAGAIN: it is not free; -EBUSY: somebody still buries its last bearer; another
 * number will do. */
int participants_reserve(const struct participants *table, uint32_t number, uint64_t incarnation);

/* Says who one is, and is there for all. -ESTALE: one was found dead, which is a fault of
 * participants_is_alive. */
int participants_appear(const struct participants *table, uint32_t number, uint64_t incarnation,
                        const struct participant_facts *facts);

/* Leaves: after the first call one begins nothing new and gives back what one holds; after the
 * second the number is free. -ESTALE as above. */
int participants_begin_leave(const struct participants *table, uint32_t number,
                             uint64_t incarnation);
int participants_end_leave(const struct participants *table, uint32_t number, uint64_t incarnation);

/* Who has that number. */
void participants_look(const struct participants *table, uint32_t number,
                       struct participant_look *ret_look);

/* Is that incarnation in the table as live or leaving? Says nothing about its process. */
bool participants_is_there(const struct participants *table, uint32_t number, uint64_t incarnation);

/* Buries an incarnation whose process does not live any more; `me`, a live participant, does
 * one burial at a time. -ESTALE: it is buried already. An error of `clean` ends it early: it
 * stays dead, to be buried by a later call. */
int participants_bury(const struct participants *table, uint32_t me, uint32_t number,
                      uint64_t incarnation, participants_clean *clean, void *context);

/* Buries all whose process does not live any more. Result: how many, or the first error of
 * `clean`. */
int participants_sweep(const struct participants *table, uint32_t me,
                       participants_is_alive *is_alive, participants_clean *clean, void *context);

#endif
