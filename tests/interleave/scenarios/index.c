/* SPDX-License-Identifier: MIT
 *
 * The index: publication, exact capacity, laps, claims, carrying, all while everybody lives.
 *
 * Senders have the numbers 0 and 1, receivers 2 and 3: the participants' places in the table.
 * The ledger is private memory of the scenario. */
#include "index_parts.h"
#include "scenarios.h"

#include <errno.h>

static void send_three_waiting(void) {
    struct index index;
    index_mine(&index);
    for (unsigned i = 0; i < 3; i++)
        if (!index_send_waiting(&index, i))
            return;
}

static void expect_waiting(void) {
    struct index_figures figures;
    index_measure_all(&figures);
    explore_check(figures.waiting == index_count_sent() && figures.held == 0,
                  "what was published is there, once");
}

/* ---- publication, capacity ---- */

static void set_up_four(void) {
    index_set_up(4, 4);
}

static void set_up_capacity_one(void) {
    index_set_up(2, 1);
}

static void set_up_capacity_two(void) {
    index_set_up(2, 2);
}

const struct scenario index_publication = {
    .name = "index publication",
    .set_up = set_up_four,
    .participants = {{"one", index_send_two, 0}, {"other", index_send_two, 0}},
    .finish = expect_waiting,
    .proves = "memory/index",
};

/* Nobody receives: exactly as many as there is room for come in. */
static void expect_two(void) {
    expect_waiting();
    explore_check(index_count_sent() == 2, "the capacity is exact");
}

const struct scenario index_full = {
    .name = "index full",
    .set_up = set_up_capacity_two,
    .participants = {{"one", index_send_two, 0}, {"other", index_send_two, 0}},
    .finish = expect_two,
    .proves = "memory/index",
};

static void expect_three(void) {
    index_expect_each_once();
    explore_check(index_count_sent() == 3, "who waits for room gets it");
}

const struct scenario index_laps = {
    .name = "index laps",
    .set_up = set_up_capacity_one,
    .participants = {{"sender", send_three_waiting, 0},
                     {"nobody", index_send_none, 0},
                     {"receiver", index_receive_all, 0}},
    .finish = expect_three,
    .slow = true,
    .proves = "memory/index",
};

/* ---- claims ---- */

const struct scenario index_two_receivers = {
    .name = "index two receivers",
    .set_up = set_up_capacity_two,
    .participants = {{"sender", index_send_one, 0},
                     {"nobody", index_send_none, 0},
                     {"receiver", index_receive_all, 0},
                     {"other", index_receive_all, 0}},
    .finish = index_expect_each_once,
    .proves = "memory/index",
};

const struct scenario index_two_senders = {
    .name = "index two senders, one receiver",
    .set_up = set_up_capacity_two,
    .participants = {{"one", index_send_one, 0},
                     {"other", index_send_one, 0},
                     {"receiver", index_receive_all, 0}},
    .finish = index_expect_each_once,
    .proves = "memory/index",
};

const struct scenario index_two_each = {
    .name = "index two messages, two receivers",
    .set_up = set_up_capacity_two,
    .participants = {{"sender", index_send_two, 0},
                     {"nobody", index_send_none, 0},
                     {"receiver", index_receive_all, 0},
                     {"other", index_receive_all, 0}},
    .finish = index_expect_each_once,
    .interruptions = 3,
    .slow = true,
    .proves = "memory/index",
};

/* ---- the laps come round: 2^31 of them ---- */

static void set_up_last_lap(void) {
    uint64_t position = ((uint64_t)1 << 32) - 1;
    index_set_up(2, 1);
    shared64_set(&things->words.first, position);
    shared64_set(&things->words.next, position);
    for (unsigned i = 0; i < 2; i++)
        shared64_set(&things->slots[i],
                     (((uint64_t)1 << 31) - 1 - i) << 33 | (uint64_t)INDEX_DONE << 28);
}

static void send_two_waiting(void) {
    struct index index;
    index_mine(&index);
    for (unsigned i = 0; i < 2; i++)
        if (!index_send_waiting(&index, i))
            return;
}

static void expect_two_each(void) {
    for (unsigned i = 0; i < 2; i++) {
        explore_check(index_ledger.got[0][i] == 1, "each message is received once");
        explore_check(index_ledger.positions[0][i] == ((uint64_t)1 << 32) + i,
                      "positions go on where the laps come round");
    }
}

const struct scenario index_last_lap = {
    .name = "index laps come round",
    .set_up = set_up_last_lap,
    .participants = {{"sender", send_two_waiting, 0},
                     {"nobody", index_send_none, 0},
                     {"receiver", index_receive_all, 0}},
    .finish = expect_two_each,
    .proves = "memory/index",
};

/* ---- carrying ---- */

static void hold_one(void) {
    struct index index;
    struct index_item claim = index_ledger.claim;
    index_mine(&index);
    index_read_body(&claim);
    index_note(&claim);
    explore_check(index_finish(&index, &claim, INDEX_DONE) == 0,
                  "a claim stays a claim, however many laps go by");
}

static void send_rest(void) {
    struct index index;
    index_mine(&index);
    for (unsigned i = 1; i < 3; i++)
        if (!index_send_waiting(&index, i))
            return;
}

/* The first message is there, and claimed by the holder. */
static void set_up_held(void) {
    struct index index;
    struct index_item item;
    uint64_t position, body = index_body(0, 0);
    index_set_up(2, 2);
    index_attach(&index, &things->words, things->slots, things->origins, index_ledger.slots, 0);
    shared_write(&things->bodies[0][0], &body, 8);
    index_publish(&index, 0, &position);
    index_ledger.sent[0] = 1;
    index_ledger.positions[0][0] = 1;
    index.who = 2;
    index_find(&index, NULL, NULL, true, &item);
    index_claim(&index, &item);
    index_ledger.claim = item;
}

const struct scenario index_carrying = {
    .name = "index carrying",
    .set_up = set_up_held,
    .participants = {{"sender", send_rest, 0},
                     {"nobody", index_send_none, 0},
                     {"holder", hold_one, 0},
                     {"receiver", index_receive_all, 0}},
    .finish = index_expect_each_once,
    .interruptions = 3,
    .slow = true,
    .proves = "memory/index",
};

/* One that nobody wants stays, and goes on being offered in its place. */
static int rank_not_first(void *context, const struct index_item *item) {
    (void)context;
    explore_check(item->place != 0 || item->origin == 0,
                  "a message keeps its number where it is carried");
    return item->place == 0 ? -1 : 0;
}

static void receive_but_first(void) {
    struct index index;
    struct index_item item;
    index_mine(&index);
    for (;;) {
        explore_forget(&index, sizeof index);
        if (index_find(&index, rank_not_first, NULL, true, &item) == 1) {
            if (index_claim(&index, &item) == 0) {
                index_read_body(&item);
                index_note(&item);
                explore_check(index_finish(&index, &item, INDEX_DONE) == 0, "it is finished");
            }
            continue;
        }
        explore_forget(&index, sizeof index);
        if (!explore_wait_change())
            return;
    }
}

static void expect_first_left(void) {
    struct index index;
    struct index_item item;
    uint64_t position = 0;
    index_attach(&index, &things->words, things->slots, things->origins, index_ledger.slots, 9);
    explore_check(index_walk(&index, &position, &item) == 1 && item.state == INDEX_PUBLISHED &&
                      item.origin == 0 && item.lane == 0 && item.place == 0,
                  "a message that nobody wants stays what it is");
    explore_check(index_ledger.got[0][1] == 1 && index_ledger.got[0][2] == 1, "the others go by");
    explore_check(index_outcome(&index, 0, &item) == 0 && item.state == INDEX_PUBLISHED,
                  "its sender finds it by its first position");
}

const struct scenario index_carrying_unclaimed = {
    .name = "index carrying what nobody wants",
    .set_up = set_up_capacity_two,
    .participants = {{"sender", send_three_waiting, 0},
                     {"nobody", index_send_none, 0},
                     {"receiver", receive_but_first, 0}},
    .finish = expect_first_left,
    .interruptions = 3,
    .proves = "memory/index",
};

/* ---- a quick look goes on where the last one ended ---- */

static void receive_quickly(void) {
    struct index index;
    struct index_item claim;
    bool thorough = false;
    index_mine(&index);
    for (;;) {
        index_ledger.won[2] = thorough;
        explore_forget(&index, sizeof index);
        if (index_find(&index, NULL, NULL, thorough, &claim) == 1) {
            thorough = false;
            if (index_claim(&index, &claim) != 0)
                continue;
            index_read_body(&claim);
            index_note(&claim);
            index_finish(&index, &claim, INDEX_DONE);
        } else if (!thorough) {
            thorough = true;
        } else if (!explore_wait_change()) {
            return;
        } else {
            thorough = false;
        }
    }
}

const struct scenario index_quick = {
    .name = "index quick looks",
    .set_up = set_up_capacity_two,
    .participants = {{"sender", send_two_waiting, 0},
                     {"other", index_send_one, 0},
                     {"receiver", receive_quickly, 0}},
    .finish = index_expect_each_once,
    .interruptions = 2,
    .slow = true,
    .proves = "memory/index",
};
