/* SPDX-License-Identifier: MIT
 *
 * What the scenarios of the lane share.
 *
 * Bodies look like headers of committed frames, so that a reader that takes an old body for a
 * header is found out. The ledger: what the writer was about to send, what it has sent, and
 * what the reader got, in private memory of the scenario. */
#ifndef LANE_PARTS_H
#define LANE_PARTS_H

#include "memory/lane.h"

#define LANE_RING 8 /* words */
#define LANE_MOST 12

struct lane_things {
    struct lane_words words;
    shared64 ring[LANE_RING];
};

struct lane_ledger {
    unsigned begun, sent;            /* numbers of the last message */
    unsigned got[LANE_MOST], gotten; /* what readers were given, in order */
    unsigned freed;                  /* number of the last that was freed */
    unsigned size;                   /* of bodies, in words */
    unsigned ahead;                  /* most words read before the message was there */
};

extern struct lane_things *lane;
extern struct lane_ledger lane_ledger;

/* Bodies of one word, and of two. */
void lane_set_up(void);
void lane_set_up_two_words(void);
/* The ring was used before: all but its next header is full of old bodies. */
void lane_set_up_used(void);

/* The rest of what a writer does: false if the lane is full, and its reader will never free it. */
bool lane_send(struct lane_writer *writer, bool aligned);
bool lane_send_announced(struct lane_writer *writer);
void lane_send_many(struct lane_writer *writer, unsigned count);
void lane_send_batch(struct lane_writer *writer, unsigned count);

/* Takes one message; false: none will come. */
bool lane_receive(struct lane_reader *reader);
void lane_free_taken(struct lane_reader *reader);

/* Whole participants. */
void lane_send_two(void);
void lane_send_three(void);
void lane_send_four(void);
void lane_send_announced_two(void);
void lane_receive_each(void);
void lane_receive_pairs(void);
void lane_receive_looking_ahead(void);

#endif
