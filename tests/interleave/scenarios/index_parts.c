/* SPDX-License-Identifier: MIT
 *
 * The parts of the index's scenarios: see index_parts.h. */
#include "index_parts.h"

#include <errno.h>
#include <string.h>

struct index_things *things;
struct index_ledger index_ledger;

void index_set_up(uint64_t slots, uint64_t capacity) {
    things = explore_memory(sizeof *things);
    explore_ledger(&index_ledger, sizeof index_ledger);
    index_ledger.slots = slots;
    index_create(&things->words, capacity);
}

void index_mine(struct index *index) {
    index_attach(index, &things->words, things->slots, things->origins, index_ledger.slots,
                 explore_self());
}

uint64_t index_body(unsigned lane, unsigned place) {
    return 0xb0d1e50000u + lane * 256 + place;
}

/* False: full. */
bool index_send(struct index *index, unsigned place) {
    uint64_t body = index_body(index->who, place), position;
    shared_write(&things->bodies[index->who][place], &body, 8);
    index_ledger.begun[index->who]++;
    int error = index_publish(index, place, &position);
    shared_compiler_fence();
    if (error == 0) {
        index_ledger.sent[index->who]++;
        index_ledger.positions[index->who][place] = position + 1;
        return true;
    }
    explore_check(error == -EAGAIN, "a publication succeeds, or there is no room");
    index_ledger.begun[index->who]--;
    return false;
}

/* Until there is room; false: there will be none. */
bool index_send_waiting(struct index *index, unsigned place) {
    for (;;) {
        explore_forget(index, sizeof *index);
        if (index_send(index, place))
            return true;
        explore_forget(index, sizeof *index);
        if (!explore_wait_change())
            return false;
    }
}

void index_read_body(const struct index_item *item) {
    uint64_t body;
    explore_check(item->lane < INDEX_SENDERS && item->place < INDEX_BODIES,
                  "a message tells whose it is, and where");
    shared_read(&body, &things->bodies[item->lane][item->place], 8);
    explore_check(body == index_body(item->lane, item->place), "a body is what was written");
}

void index_note(const struct index_item *item) {
    index_ledger.got[item->lane][item->place]++;
    index_ledger.gotten++;
}

/* One claim; false: nothing will come any more. */
bool index_get(struct index *index, struct index_item *ret_claim) {
    for (;;) {
        explore_forget(index, sizeof *index);
        if (index_find(index, NULL, NULL, true, ret_claim) == 1) {
            if (index_claim(index, ret_claim) == 0)
                return true;
            continue;
        }
        explore_forget(index, sizeof *index);
        if (!explore_wait_change())
            return false;
    }
}

/* Holds a number that the scenario does not need. */
void index_send_none(void) {
}

void index_send_two(void) {
    struct index index;
    index_mine(&index);
    index_send(&index, 0);
    index_send(&index, 1);
}

void index_send_one(void) {
    struct index index;
    index_mine(&index);
    index_send(&index, 0);
}

/* Claims, reads, finishes. */
void index_receive_all(void) {
    struct index index;
    struct index_item claim;
    index_mine(&index);
    while (index_get(&index, &claim)) {
        index_read_body(&claim);
        index_note(&claim);
        explore_check(index_finish(&index, &claim, INDEX_DONE) == 0,
                      "nobody takes a claim from one who lives");
    }
}

unsigned index_count_sent(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < INDEX_SENDERS; i++)
        count += index_ledger.sent[i];
    return count;
}

void index_measure_all(struct index_figures *ret_figures) {
    struct index index;
    index_attach(&index, &things->words, things->slots, things->origins, index_ledger.slots, 9);
    index_measure(&index, ret_figures);
}

/* Each message once, and the index is empty. */
void index_expect_each_once(void) {
    struct index_figures figures;
    index_measure_all(&figures);
    for (unsigned lane = 0; lane < INDEX_SENDERS; lane++)
        for (unsigned place = 0; place < INDEX_BODIES; place++)
            explore_check(index_ledger.got[lane][place] ==
                              (index_ledger.positions[lane][place] != 0),
                          "every message that was sent is received, once");
    explore_check(figures.waiting == 0 && figures.held == 0, "nothing is left");
    explore_check(figures.tail >= index_count_sent(), "each message has a position");
}
