/* SPDX-License-Identifier: MIT
 *
 * The index: two who want the same message. Withdrawal, dropping, taking without a claim,
 * taking away, readers that all get everything, receipts. */
#include "index_parts.h"
#include "scenarios.h"

#include <errno.h>

static void set_up_one(void) {
    index_set_up(2, 1);
}

static void set_up_two(void) {
    index_set_up(2, 2);
}

static void expect_one_winner(void) {
    struct index_figures figures;
    index_measure_all(&figures);
    explore_check(index_ledger.won[0] + index_ledger.won[2] + index_ledger.won[3] == 1,
                  "one of them has it, and only one");
    explore_check(figures.waiting == 0 && figures.held == 0, "nothing is left");
}

/* ---- withdrawal or claim ---- */

static void send_and_withdraw(void) {
    struct index index;
    index_mine(&index);
    index_send(&index, 0);
    int error = index_withdraw(&index, 0, 0);
    explore_check(error == 0 || error == -EBUSY || error == -EALREADY,
                  "a message is withdrawn, or somebody has it, or is done with it");
    index_ledger.won[0] = error == 0;
    if (error == -EBUSY)
        return;
    /* Its place is one's own again. */
    uint64_t other = 1;
    shared_write(&things->bodies[0][0], &other, 8);
}

static void claim_one(void) {
    struct index index;
    struct index_item claim;
    index_mine(&index);
    if (!index_get(&index, &claim))
        return;
    index_read_body(&claim);
    index_ledger.won[explore_self()] = 1;
    explore_check(index_finish(&index, &claim, INDEX_DONE) == 0, "it is finished");
}

const struct scenario index_withdrawal = {
    .name = "index withdrawal or claim",
    .set_up = set_up_one,
    .participants = {{"sender", send_and_withdraw, 0},
                     {"nobody", index_send_none, 0},
                     {"receiver", claim_one, 0},
                     {"other", claim_one, 0}},
    .finish = expect_one_winner,
    .proves = "memory/index",
};

/* ---- withdrawn when it was given back, again ---- */

static void give_back_again(void) {
    struct index index;
    struct index_item claim;
    index_mine(&index);
    if (index_find(&index, NULL, NULL, true, &claim) != 1 || index_claim(&index, &claim) != 0)
        return;
    index_read_body(&claim);
    explore_check(index_give_back(&index, &claim) == 0, "who has it can give it back");
}

static void withdraw_and_write(void) {
    struct index index;
    uint64_t other = 1;
    index_attach(&index, &things->words, things->slots, things->origins, index_ledger.slots, 0);
    if (index_withdraw(&index, 0, 0) == 0)
        shared_write(&things->bodies[0][0], &other, 8);
}

static void set_up_again(void) {
    struct index index;
    struct index_item item;
    uint64_t body = index_body(0, 0), position;
    set_up_one();
    index_attach(&index, &things->words, things->slots, things->origins, index_ledger.slots, 0);
    shared_write(&things->bodies[0][0], &body, 8);
    index_publish(&index, 0, &position);
    index.who = 3;
    index_find(&index, NULL, NULL, true, &item);
    index_claim(&index, &item);
    index_give_back(&index, &item);
}

/* The word is the same before it was claimed and after it was given back. */
const struct scenario index_withdrawal_again = {
    .name = "index withdrawn after it was given back",
    .set_up = set_up_again,
    .participants = {{"sender", withdraw_and_write, 0},
                     {"nobody", index_send_none, 0},
                     {"giver", give_back_again, 0}},
    .proves = "memory/index",
};

/* ---- copied first, then taken: and the place is used again ---- */

static void send_in_one_place(void) {
    struct index index;
    struct index_item item;
    index_mine(&index);
    index_send(&index, 0);
    while (index_outcome(&index, 0, &item) == 0 && item.state != INDEX_DONE) {
        explore_forget(&index, sizeof index);
        if (!explore_wait_change())
            return;
    }
    uint64_t other = index_body(0, 0) + 99;
    shared_write_unguarded(&things->bodies[0][0], &other, 8);
}

static void take_copied(void) {
    struct index index;
    struct index_item item;
    uint64_t body;
    index_mine(&index);
    while (index_find(&index, NULL, NULL, true, &item) != 1)
        if (!explore_wait_change())
            return;
    shared_read_unguarded(&body, &things->bodies[item.lane][item.place], 8);
    if (index_settle(&index, &item, INDEX_DONE) != 0)
        return;
    explore_check(body == index_body(item.lane, item.place),
                  "who takes a message had copied it, and nothing else");
    index_ledger.won[explore_self()] = 1;
}

const struct scenario index_settling = {
    .name = "index copied, then taken",
    .set_up = set_up_one,
    .participants = {{"sender", send_in_one_place, 0},
                     {"nobody", index_send_none, 0},
                     {"receiver", take_copied, 0},
                     {"other", claim_one, 0}},
    .finish = expect_one_winner,
    .proves = "memory/index",
};

/* ---- the oldest is dropped for a new one ---- */

static void send_dropping(void) {
    struct index index;
    struct index_item item;
    index_mine(&index);
    index_send(&index, 0);
    while (!index_send(&index, 1)) {
        uint64_t position = 0;
        bool dropped = false, held = false;
        while (!dropped && index_walk(&index, &position, &item) == 1) {
            held = item.state == INDEX_CLAIMED;
            dropped =
                item.state == INDEX_PUBLISHED && index_settle(&index, &item, INDEX_DROPPED) == 0;
        }
        index_ledger.won[0] += dropped;
        if (held && !explore_wait_change())
            return;
    }
}

static void expect_dropped_or_received(void) {
    struct index_figures figures;
    index_measure_all(&figures);
    explore_check(index_ledger.won[0] + index_ledger.gotten == 2,
                  "each message is dropped, or received");
    explore_check(index_ledger.got[0][1] == 1, "the new one is received");
    explore_check(figures.waiting == 0 && figures.held == 0, "nothing is left");
}

const struct scenario index_dropping = {
    .name = "index dropping the oldest",
    .set_up = set_up_one,
    .participants = {{"sender", send_dropping, 0},
                     {"nobody", index_send_none, 0},
                     {"receiver", index_receive_all, 0}},
    .finish = expect_dropped_or_received,
    .proves = "memory/index",
};

/* ---- a slow one's claim is taken away ---- */

static void be_slow(void) {
    struct index index;
    struct index_item claim;
    index_mine(&index);
    if (index_find(&index, NULL, NULL, true, &claim) != 1 || index_claim(&index, &claim) != 0)
        return;
    index_ledger.won[2] = index_finish(&index, &claim, INDEX_DONE) == 0;
}

static void take_away(void) {
    struct index index;
    struct index_item item;
    uint64_t position = 0;
    index_mine(&index);
    while (index_walk(&index, &position, &item) == 1)
        if (item.state == INDEX_CLAIMED) {
            explore_check(item.lane == 1 && item.place == 0 && item.who == 2 && item.origin == 0,
                          "who looks at a claim sees whose it is, and of what");
            index_take_away(&index, &item);
        }
    if (index_find(&index, NULL, NULL, true, &item) != 1 || index_claim(&index, &item) != 0)
        return;
    index_read_body(&item);
    index_ledger.won[3] = index_finish(&index, &item, INDEX_DONE) == 0;
}

static void send_alone(void) {
    uint64_t body = index_body(1, 0), position;
    struct index index;
    index_attach(&index, &things->words, things->slots, things->origins, index_ledger.slots, 1);
    shared_write(&things->bodies[1][0], &body, 8);
    index_publish(&index, 0, &position);
}

static void set_up_sent(void) {
    set_up_one();
    send_alone();
}

static void expect_one_finish(void) {
    struct index_figures figures;
    index_measure_all(&figures);
    explore_check(index_ledger.won[2] + index_ledger.won[3] + figures.waiting + figures.held == 1,
                  "a message is finished by one, or still there");
}

const struct scenario index_taking_away = {
    .name = "index taken away from a slow one",
    .set_up = set_up_sent,
    .participants = {{"nobody", index_send_none, 0},
                     {"nobody else", index_send_none, 0},
                     {"slow", be_slow, 0},
                     {"taker", take_away, 0}},
    .finish = expect_one_finish,
    .proves = "memory/index",
};

/* ---- given back ---- */

static void give_back(void) {
    struct index index;
    struct index_item claim;
    index_mine(&index);
    if (index_find(&index, NULL, NULL, true, &claim) != 1 || index_claim(&index, &claim) != 0)
        return;
    index_read_body(&claim);
    explore_check(index_give_back(&index, &claim) == 0, "who has it can give it back");
}

static void receive_after(void) {
    struct index index;
    struct index_item claim;
    index_mine(&index);
    for (;;) {
        explore_forget(&index, sizeof index);
        if (index_find(&index, NULL, NULL, false, &claim) == 1 &&
            index_claim(&index, &claim) == 0) {
            index_read_body(&claim);
            index_ledger.won[explore_self()] = 1;
            index_finish(&index, &claim, INDEX_DONE);
            /* The body's place is used again by whoever sees that. */
            return;
        }
        explore_forget(&index, sizeof index);
        if (!explore_wait_change())
            return;
    }
}

/* Writes where the body was as soon as the message is finished. */
static void use_place_again(void) {
    struct index index;
    struct index_item item;
    uint64_t other = 1;
    index_attach(&index, &things->words, things->slots, things->origins, index_ledger.slots, 1);
    while (index_outcome(&index, 0, &item) == 0 && item.state != INDEX_DONE) {
        explore_forget(&index, sizeof index);
        if (!explore_wait_change())
            return;
    }
    shared_write(&things->bodies[1][0], &other, 8);
}

static void expect_received(void) {
    explore_check(index_ledger.won[3] == 1, "what was given back is received");
}

const struct scenario index_giving_back = {
    .name = "index given back",
    .set_up = set_up_sent,
    .participants = {{"sender", use_place_again, 0},
                     {"nobody", index_send_none, 0},
                     {"giver", give_back, 0},
                     {"receiver", receive_after, 0}},
    .finish = expect_received,
    .proves = "memory/index",
};

/* ---- every reader gets every message ---- */

static void send_to_all(void) {
    struct index index;
    uint64_t body, position;
    index_mine(&index);
    index.in_order = true;
    for (unsigned i = 0; i < 2;) {
        explore_forget(&i, sizeof i);
        /* Acquire: the reader has copied what is below. */
        uint64_t read = shared64_get_acquire(&things->cursor);
        index_settle_below(&index, read, INDEX_DONE);
        body = index_body(0, i);
        if (i == 0 || read == i)
            shared_write(&things->bodies[0][0], &body, 8);
        if ((i == 0 || read == i) && index_publish(&index, 0, &position) == 0)
            i++;
        else if (!explore_wait_change())
            return;
    }
}

static void read_all(void) {
    struct index index;
    struct index_item item;
    uint64_t body;
    index_mine(&index);
    for (uint64_t cursor = 0; cursor < 2;) {
        int found = index_read(&index, cursor, &item);
        explore_check(found >= 0, "a reader that is waited for is not overtaken");
        if (found == 0) {
            explore_forget(&cursor, sizeof cursor);
            if (!explore_wait_change())
                return;
            continue;
        }
        shared_read(&body, &things->bodies[0][item.place], 8);
        explore_check(index_is_still(&index, &item), "it is still that message");
        explore_check(item.state == INDEX_PUBLISHED && item.origin == cursor &&
                          body == index_body(0, (unsigned)cursor),
                      "each reader gets each message");
        cursor++;
        shared64_set_release(&things->cursor, cursor);
        index_ledger.gotten++;
    }
}

static void expect_both_read(void) {
    explore_check(index_ledger.gotten == 2, "the reader got both");
}

const struct scenario index_reading = {
    .name = "index every reader",
    .set_up = set_up_one,
    .participants = {{"sender", send_to_all, 0},
                     {"nobody", index_send_none, 0},
                     {"reader", read_all, 0}},
    .finish = expect_both_read,
    .proves = "memory/index",
};

/* A reader that nobody waits for copies, and then looks whether it was still there. */
static void send_over(void) {
    struct index index;
    uint64_t body, position;
    index_mine(&index);
    index.in_order = true;
    for (unsigned i = 0; i < 3; i++) {
        index_settle_below(&index, i, INDEX_DROPPED);
        /* Before the place is used again: whoever reads the new body there knows that the
         * message is finished. */
        shared_fence();
        body = index_body(0, i);
        shared_write_unguarded(&things->bodies[0][0], &body, 8);
        explore_check(index_publish(&index, 0, &position) == 0, "there is room");
    }
}

static void read_overtaken(void) {
    struct index index;
    struct index_item item;
    uint64_t body;
    index_mine(&index);
    if (index_read(&index, 0, &item) != 1)
        return;
    if (item.state != INDEX_PUBLISHED)
        return;
    shared_read_unguarded(&body, &things->bodies[0][0], 8);
    if (index_is_still(&index, &item))
        explore_check(body == index_body(0, 0), "what is still there was read whole");
}

const struct scenario index_overtaking = {
    .name = "index reader overtaken",
    .set_up = set_up_one,
    .participants = {{"sender", send_over, 0},
                     {"nobody", index_send_none, 0},
                     {"reader", read_overtaken, 0}},
    .proves = "memory/index",
};

/* ---- receipts ---- */

static void note_receipt(void *context, const struct index_item *item) {
    (void)context;
    explore_check(item->state == INDEX_DONE && item->lane == 0 && item->who == 2,
                  "a receipt tells who finished whose message");
    explore_check(item->origin < 3, "and which");
    index_ledger.receipts |= 1u << item->origin;
}

static void send_with_receipts(void) {
    struct index index;
    index_mine(&index);
    index.tell = note_receipt;
    for (unsigned i = 0; i < 3; i++)
        if (!index_send_waiting(&index, i))
            return;
}

static void expect_receipts(void) {
    index_expect_each_once();
    explore_check(index_ledger.receipts == 1, "what is told is what gives its slot up");
}

const struct scenario index_receipts = {
    .name = "index receipts",
    .set_up = set_up_two,
    .participants = {{"sender", send_with_receipts, 0},
                     {"nobody", index_send_none, 0},
                     {"receiver", index_receive_all, 0}},
    .finish = expect_receipts,
    .interruptions = 3,
    .slow = true,
    .proves = "memory/index",
};

/* ---- another capacity ---- */

static void widen(void) {
    struct index index;
    index_mine(&index);
    index_set_capacity(&index, 2);
}

static void send_two_patiently(void) {
    struct index index;
    index_mine(&index);
    for (unsigned i = 0; i < 2; i++)
        if (!index_send_waiting(&index, i))
            return;
}

static void expect_both_sent(void) {
    explore_check(index_count_sent() == 2, "there is room for as many as was said");
}

const struct scenario index_widening = {
    .name = "index gets another capacity",
    .set_up = set_up_one,
    .participants = {{"sender", send_two_patiently, 0}, {"other", widen, 0}},
    .finish = expect_both_sent,
    .proves = "memory/index",
};

/* ---- a sender that others overtake by a lap ---- */

static void send_and_withdraw_three(void) {
    struct index index;
    uint64_t position;
    index_mine(&index);
    for (unsigned i = 0; i < 3; i++)
        if (index_publish(&index, 0, &position) == 0)
            explore_check(index_withdraw(&index, position, 0) == 0, "nobody else wants it");
}

static void expect_other_sent(void) {
    struct index_figures figures;
    index_measure_all(&figures);
    explore_check(index_ledger.sent[1] == figures.waiting, "what was sent is there");
    explore_check(index_ledger.sent[1] == 1, "and there was room");
}

const struct scenario index_lapping = {
    .name = "index sender overtaken by a lap",
    .set_up = set_up_two,
    .participants = {{"quick", send_and_withdraw_three, 0}, {"slow", index_send_one, 0}},
    .finish = expect_other_sent,
    .interruptions = 3,
    .slow = true,
    .proves = "memory/index",
};

/* As if 2^31 laps had gone by: every word is as it was, but for the count that never wraps. */
static void go_round(void) {
    uint64_t next = (uint64_t)1 << 32;
    shared64_set_release(&things->words.next, next);
    shared64_set_release(&things->words.first, next);
}

static void expect_one_there(void) {
    unsigned there = 0;
    for (unsigned i = 0; i < 2; i++)
        there += (shared64_get(&things->slots[i]) >> 28 & 7) == INDEX_PUBLISHED;
    explore_check(there == 1, "it is published once");
}

const struct scenario index_late = {
    .name = "index sender late by all laps",
    .set_up = set_up_two,
    .participants = {{"late", index_send_one, 0}, {"others", go_round, 0}},
    .finish = expect_one_there,
    .proves = "memory/index",
};
