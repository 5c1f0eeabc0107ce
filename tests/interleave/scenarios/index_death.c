/* SPDX-License-Identifier: MIT
 *
 * The index when senders or receivers are killed at any step. */
#include "index_parts.h"
#include "scenarios.h"

static void set_up_two(void) {
    index_set_up(2, 2);
}

/* ---- a dead sender ---- */

/* What it was about to publish is there or not; the capacity is exact nevertheless. */
static void expect_exact(void) {
    struct index_figures figures;
    index_measure_all(&figures);
    unsigned most = index_ledger.begun[0] + index_ledger.begun[1], sent = index_count_sent();
    explore_check(figures.waiting >= sent && figures.waiting <= most && figures.held == 0,
                  "what was published is there, and at most what was begun");
    explore_check(figures.waiting == 2 || explore_is_dead(0),
                  "the living fill the mailbox exactly");
    explore_check(figures.waiting <= 2, "there are never more than the capacity");
}

const struct scenario index_sender_dies = {
    .name = "index sender dies",
    .set_up = set_up_two,
    .participants = {{"dying", index_send_two, MAY_DIE}, {"other", index_send_two, 0}},
    .finish = expect_exact,
    .deaths = 1,
    .proves = "memory/index",
};

/* ---- a dead receiver ---- */

static void receive_and_die(void) {
    struct index index;
    struct index_item claim;
    index_mine(&index);
    while (index_get(&index, &claim)) {
        index_read_body(&claim);
        if (index_finish(&index, &claim, INDEX_DONE) == 0) {
            shared_compiler_fence();
            index_note(&claim);
        }
    }
}

/* Takes back what the dead ones hold, and receives it. */
static void take_over(unsigned first, unsigned last) {
    struct index index;
    struct index_item claim;
    index_mine(&index);
    for (unsigned who = first; who <= last; who++) {
        if (!explore_wait_end(who))
            return;
        if (explore_is_dead(who))
            index_take_back(&index, who);
    }
    while (index_get(&index, &claim)) {
        index_read_body(&claim);
        index_ledger.again[claim.place] += claim.again;
        if (index_finish(&index, &claim, INDEX_DONE) == 0) {
            shared_compiler_fence();
            index_note(&claim);
        }
    }
}

static void take_over_one(void) {
    take_over(2, 2);
}

static void send_alone(unsigned count) {
    struct index index;
    uint64_t position, body;
    index_attach(&index, &things->words, things->slots, things->origins, index_ledger.slots, 0);
    for (unsigned i = 0; i < count; i++) {
        body = index_body(0, i);
        shared_write(&things->bodies[0][i], &body, 8);
        index_publish(&index, i, &position);
        index_ledger.sent[0]++;
    }
}

static void set_up_sent(void) {
    set_up_two();
    send_alone(2);
}

static void set_up_one_sent(void) {
    set_up_two();
    send_alone(1);
}

/* One is in doubt for each death: it was finished, but not noted. */
static void expect_all_but_doubtful(void) {
    struct index_figures figures;
    unsigned missing = 0, deaths = explore_is_dead(2) + explore_is_dead(3);
    index_measure_all(&figures);
    for (unsigned i = 0; i < index_ledger.sent[0]; i++) {
        explore_check(index_ledger.got[0][i] <= 1, "no message is finished twice");
        missing += index_ledger.got[0][i] == 0;
    }
    explore_check(missing <= deaths, "none is lost but the one in doubt");
    explore_check(figures.waiting == 0 && figures.held == 0, "nothing stays in a dead one's hand");
}

const struct scenario index_receiver_dies = {
    .name = "index receiver dies",
    .set_up = set_up_sent,
    .participants = {{"nobody", index_send_none, 0},
                     {"nobody else", index_send_none, 0},
                     {"dying", receive_and_die, MAY_DIE},
                     {"second", take_over_one, 0}},
    .finish = expect_all_but_doubtful,
    .deaths = 1,
    .proves = "memory/index",
};

/* ---- and its recoverer dies too ---- */

static void take_over_both(void) {
    unsigned order[] = {2, 3};
    struct index index;
    struct index_item claim;
    index_mine(&index);
    for (unsigned i = 0; i < 2; i++) {
        if (!explore_wait_end(order[i]))
            return;
        if (explore_is_dead(order[i]))
            index_take_back(&index, order[i]);
    }
    while (index_get(&index, &claim)) {
        index_read_body(&claim);
        if (index_finish(&index, &claim, INDEX_DONE) == 0)
            index_note(&claim);
    }
}

const struct scenario index_two_receivers_die = {
    .name = "index receiver and its recoverer die",
    .set_up = set_up_one_sent,
    .participants = {{"third", take_over_both, 0},
                     {"nobody", index_send_none, 0},
                     {"dying", receive_and_die, MAY_DIE},
                     {"second", take_over_one, MAY_DIE}},
    .finish = expect_all_but_doubtful,
    .deaths = 2,
    .interruptions = 3,
    .slow = true,
    .proves = "memory/index",
};

/* ---- a stop for ever: the others get to their end ---- */

static void receive_until(void) {
    index_receive_all();
}

const struct scenario index_stops = {
    .name = "index participant stops",
    .set_up = set_up_two,
    .participants = {{"sender", index_send_one, MAY_STOP},
                     {"other", index_send_one, 0},
                     {"receiver", receive_until, MAY_STOP}},
    .deaths = 1,
    .interruptions = 3,
    .proves = "memory/index",
};
