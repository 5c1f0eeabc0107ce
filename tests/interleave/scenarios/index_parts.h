/* SPDX-License-Identifier: MIT
 *
 * What the scenarios of the index share. */
#ifndef INDEX_PARTS_H
#define INDEX_PARTS_H

#include "memory/index.h"

#define INDEX_SENDERS 2
#define INDEX_BODIES 4

struct index_things {
    struct index_words words;
    shared64 slots[4];
    shared64 origins[4];
    uint64_t bodies[INDEX_SENDERS][INDEX_BODIES];
    shared64 cursor; /* of a reader that is waited for */
};

struct index_ledger {
    uint64_t slots;
    unsigned begun[INDEX_SENDERS], sent[INDEX_SENDERS];
    uint64_t positions[INDEX_SENDERS][INDEX_BODIES]; /* + 1; 0: not sent */
    unsigned got[INDEX_SENDERS][INDEX_BODIES];       /* how often */
    unsigned gotten;
    unsigned won[4];              /* by each participant */
    unsigned again[INDEX_BODIES]; /* redelivered, and marked so */
    struct index_item claim;      /* that was there from the start */
    unsigned receipts;            /* a bit for each position */
};

extern struct index_things *things;
extern struct index_ledger index_ledger;

void index_set_up(uint64_t slots, uint64_t capacity);
void index_mine(struct index *index);
uint64_t index_body(unsigned lane, unsigned place);
bool index_send(struct index *index, unsigned place);
bool index_send_waiting(struct index *index, unsigned place);
void index_read_body(const struct index_item *item);
void index_note(const struct index_item *item);
bool index_get(struct index *index, struct index_item *ret_claim);
unsigned index_count_sent(void);
void index_measure_all(struct index_figures *ret_figures);
/* Every message that was sent was received once, and nothing is left. */
void index_expect_each_once(void);

/* Whole participants. */
void index_send_none(void);
void index_send_one(void);
void index_send_two(void);
void index_receive_all(void);

#endif
