/* SPDX-License-Identifier: MIT
 *
 * The table of participants: joining, looking, burying by several at once, and that a late
 * burier takes nothing from the next bearer of a number. */
#include "memory/participants.h"
#include "memory/statistics.h"
#include "scenarios.h"

#include <errno.h>
#include <string.h>

#define COUNT 3
#define DEAD_ONE 0x1000
#define NEXT_ONE 0x2000

static struct {
    struct participants_words words;
    struct participant slots[COUNT];
    shared64 held; /* by the bearer of number 0: its incarnation, or 0 */
    struct statistics_row row;
} * table;

static struct {
    unsigned joined, cleaned, buried;
    uint64_t incarnation[EXPLORE_PARTICIPANTS];
} ledger;

static void attach(struct participants *participants) {
    participants_attach(participants, &table->words, table->slots, COUNT);
}

static struct participant_facts facts_of(uint64_t incarnation) {
    struct participant_facts facts = {.pid = (uint32_t)incarnation,
                                      .flags = (uint32_t)incarnation + 1,
                                      .start = incarnation + 2,
                                      .name = incarnation + 3,
                                      .space = incarnation + 4};
    memset(facts.label, (int)(incarnation >> 12), sizeof facts.label - 1);
    return facts;
}

static int join(uint32_t number, uint64_t incarnation) {
    struct participants participants;
    struct participant_facts facts = facts_of(incarnation);
    attach(&participants);
    int error = participants_reserve(&participants, number, incarnation);
    if (error != 0)
        return error;
    statistics_begin(&table->row);
    return participants_appear(&participants, number, incarnation, &facts);
}

static void set_up(void) {
    table = explore_memory(sizeof *table);
    explore_ledger(&ledger, sizeof ledger);
}

/* ---- joining ---- */

static void join_same(void) {
    uint64_t incarnation = 0x1000 * (explore_self() + 1);
    int error = join(0, incarnation);
    explore_check(error == 0 || error == -EAGAIN, "a number is taken, or it is not free");
    ledger.incarnation[explore_self()] = error == 0 ? incarnation : 0;
}

static void expect_one_bearer(void) {
    struct participants participants;
    struct participant_look look;
    attach(&participants);
    participants_look(&participants, 0, &look);
    explore_check((ledger.incarnation[0] != 0) + (ledger.incarnation[1] != 0) == 1,
                  "one of them gets the number");
    explore_check(look.state == PARTICIPANT_LIVE &&
                      look.incarnation == ledger.incarnation[0] + ledger.incarnation[1],
                  "the table tells who");
    explore_check(participants_used(&participants) == 1, "the number is in the used part");
}

const struct scenario participants_joining = {
    .name = "participants join with one number",
    .set_up = set_up,
    .participants = {{"one", join_same, 0}, {"other", join_same, 0}},
    .finish = expect_one_bearer,
    .proves = "memory/participants",
};

/* ---- looking while one leaves and another comes ---- */

static void set_up_live(void) {
    set_up();
    join(0, DEAD_ONE);
}

static void leave_and_join(void) {
    struct participants participants;
    attach(&participants);
    /* What it gives back, it gives back before. */
    uint64_t nothing = 0;
    shared_write(&table->held, &nothing, 8);
    explore_check(participants_begin_leave(&participants, 0, DEAD_ONE) == 0, "it leaves");
    explore_check(participants_end_leave(&participants, 0, DEAD_ONE) == 0, "and is gone");
}

static void join_next(void) {
    uint64_t something = 1;
    int error = join(0, NEXT_ONE);
    if (error == 0)
        shared_write(&table->held, &something, 8);
    ledger.joined = error == 0;
}

static void look_at_it(void) {
    struct participants participants;
    struct participant_look look;
    attach(&participants);
    participants_look(&participants, 0, &look);
    if (look.state != PARTICIPANT_LIVE && look.state != PARTICIPANT_LEAVING)
        return;
    struct participant_facts facts = facts_of(look.incarnation);
    explore_check(memcmp(&facts, &look.facts, sizeof facts) == 0,
                  "the facts are those of the incarnation");
}

const struct scenario participants_looking = {
    .name = "participants look",
    .set_up = set_up_live,
    .participants = {{"leaver", leave_and_join, 0},
                     {"next", join_next, 0},
                     {"looker", look_at_it, 0}},
    .interruptions = 3,
    .overlooks = 2,
    .slow = true,
    .proves = "memory/participants",
};

/* One leaves, and comes again as another: what is seen is of the one or of the other. */
static void leave_and_come(void) {
    leave_and_join();
    join_next();
}

const struct scenario participants_coming = {
    .name = "participants look, one leaves and comes",
    .set_up = set_up_live,
    .participants = {{"leaver", leave_and_come, 0}, {"looker", look_at_it, 0}},
    .interruptions = 2,
    .overlooks = 1,
    .proves = "memory/participants",
};

static void appear(void) {
    explore_check(join(0, NEXT_ONE) == 0, "the number is free");
}

const struct scenario participants_appearing = {
    .name = "participants look, one appears",
    .set_up = set_up,
    .participants = {{"next", appear, 0}, {"looker", look_at_it, 0}},
    .interruptions = 2,
    .overlooks = 1,
    .proves = "memory/participants",
};

/* ---- statistics of a bearer, and of all ---- */

static void count_as_bearer(void) {
    if (join(0, NEXT_ONE) != 0)
        return;
    statistics_add(&table->row, STATISTICS_SENT, 1);
    statistics_add(&table->row, STATISTICS_SENT, 1);
    ledger.joined = 1;
}

static void set_up_counted(void) {
    set_up();
    statistics_add(&table->row, STATISTICS_SENT, 5);
}

static void look_at_counts(void) {
    struct participants participants;
    struct statistics statistics;
    attach(&participants);
    if (!participants_is_there(&participants, 0, NEXT_ONE))
        return;
    statistics_of_bearer(&table->row, &statistics);
    explore_check(statistics.count[STATISTICS_SENT] <= 2, "a bearer's count is its own");
    statistics_sum(&table->row, 1, &statistics);
    explore_check(statistics.count[STATISTICS_SENT] >= 5 && statistics.count[STATISTICS_SENT] <= 7,
                  "what the dead have counted is in the sum, once");
}

static void expect_counts(void) {
    struct statistics own, all;
    statistics_of_bearer(&table->row, &own);
    statistics_sum(&table->row, 1, &all);
    explore_check(own.count[STATISTICS_SENT] == 2 && all.count[STATISTICS_SENT] == 7,
                  "the counts are exact in the end");
}

const struct scenario participants_statistics = {
    .name = "participants' statistics",
    .set_up = set_up_counted,
    .participants = {{"bearer", count_as_bearer, 0}, {"looker", look_at_counts, 0}},
    .finish = expect_counts,
    .proves = "memory/statistics",
};

/* ---- the next bearer of a number whose bearer died while it buried another ---- */

static void set_up_announced(void) {
    set_up();
    shared64_set(&table->slots[1].burying, 1);
}

static void join_both(void) {
    explore_check(join(1, 0x8000) == 0, "its number is free");
    explore_check(join(0, NEXT_ONE) == 0, "what a dead one announced stops nobody");
}

const struct scenario participants_announced = {
    .name = "participants, an announcement of the dead",
    .set_up = set_up_announced,
    .participants = {{"next", join_both, 0}},
    .proves = "memory/participants",
};

/* ---- burying ---- */

/* Number 0 is dead, and holds something; 1 and 2 live. */
static void set_up_dead(void) {
    set_up();
    join(0, DEAD_ONE);
    shared64_set(&table->held, DEAD_ONE);
    join(1, 0x8000);
    join(2, 0x9000);
}

/* Takes whatever the bearer of the number holds: as words that know a number, not an
 * incarnation, have to be taken. */
static int clean(void *context, uint32_t number, uint64_t incarnation) {
    (void)context;
    explore_check(number == 0 && incarnation == DEAD_ONE, "only the dead one is buried");
    uint64_t held = shared64_get_acquire(&table->held);
    explore_check(held != NEXT_ONE, "nothing is taken from the next bearer");
    if (held != 0)
        explore_check(!shared64_swap_if(&table->held, &held, 0) || held != NEXT_ONE,
                      "nothing is taken from the next bearer");
    ledger.cleaned++;
    return 0;
}

static bool lives(void *context, uint32_t number, const struct participant_look *look) {
    (void)context;
    return number != 0 || look->incarnation == NEXT_ONE;
}

static void bury(uint32_t me) {
    struct participants participants;
    attach(&participants);
    int count = participants_sweep(&participants, me, lives, clean, NULL);
    explore_check(count >= 0 && count <= 1, "one is buried, or somebody else did it");
    ledger.buried += (unsigned)count;
}

static void bury_by_one(void) {
    bury(1);
}

/* Without looking for who is dead. */
static void bury_known(uint32_t me) {
    struct participants participants;
    attach(&participants);
    int error = participants_bury(&participants, me, 0, DEAD_ONE, clean, NULL);
    explore_check(error == 0 || error == -ESTALE, "it is buried, or somebody else did it");
    ledger.buried += error == 0;
}

static void bury_known_by_one(void) {
    bury_known(1);
}

static void bury_known_by_two(void) {
    bury_known(2);
}

/* The next bearer of the number holds something of its own, and keeps it. */
static void bear_next(void) {
    int error;
    for (;;) {
        explore_forget(NULL, 0);
        error =
            participants_find_free(
                &(struct participants){.words = &table->words, .slots = table->slots, .count = 1},
                0) == 0
                ? join(0, NEXT_ONE)
                : -EAGAIN;
        if (error == 0)
            break;
        explore_check(error == -EAGAIN || error == -EBUSY, "it is not free, or being buried");
        if (!explore_wait_change())
            return;
    }
    ledger.joined = 1;
    uint64_t nothing = 0;
    explore_check(shared64_swap_if(&table->held, &nothing, NEXT_ONE),
                  "what the dead one held was taken back before");
}

static void expect_kept(void) {
    uint64_t held = shared64_get(&table->held);
    bool is_over = ledger.joined || held == 0;
    explore_check(held == (ledger.joined ? (uint64_t)NEXT_ONE : held), "the next bearer keeps");
    explore_check(is_over || ledger.buried == 0, "a buried one holds nothing");
    if (!explore_is_dead(1) && !explore_is_stopped(1) && !explore_is_dead(0) &&
        !explore_is_stopped(0))
        explore_check(ledger.joined == 1, "the number is used again");
}

const struct scenario participants_burying = {
    .name = "participants bury",
    .set_up = set_up_dead,
    .participants = {{"burier", bury_by_one, 0}, {"next", bear_next, 0}},
    .finish = expect_kept,
    .proves = "memory/participants",
};

const struct scenario participants_burying_both = {
    .name = "participants bury, two at once",
    .set_up = set_up_dead,
    .participants = {{"burier", bury_known_by_one, 0},
                     {"other", bury_known_by_two, 0},
                     {"next", bear_next, 0}},
    .finish = expect_kept,
    .interruptions = 3,
    .proves = "memory/participants",
};

const struct scenario participants_burier_dies = {
    .name = "participants bury, one dies or stops",
    .set_up = set_up_dead,
    .participants = {{"burier", bury_known_by_one, MAY_DIE | MAY_STOP},
                     {"other", bury_known_by_two, 0},
                     {"next", bear_next, 0}},
    .finish = expect_kept,
    .deaths = 1,
    .interruptions = 2,
    .slow = true,
    .proves = "memory/participants",
};
