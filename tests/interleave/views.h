/* SPDX-License-Identifier: MIT
 *
 * How the memory model keeps words: for views.c and views_hash.c. */
#ifndef VIEWS_H
#define VIEWS_H

#include "inside.h"

struct message {
    uint64_t value;
    struct view view;
    uint8_t writer;
    bool joined;  /* by a read-modify-write to the message before it */
    bool ordered; /* a later store that is there would show it */
    bool was_read;
};

struct location {
    uintptr_t address;
    unsigned size;
    unsigned count;
    bool has_bodies; /* plain memory: found out once, by whatever run */
    struct message messages[MESSAGES];
    /* When each participant last did this here, by its own clock. */
    uint16_t wrote[EXPLORE_PARTICIPANTS], wrote_plain[EXPLORE_PARTICIPANTS];
    uint16_t read[EXPLORE_PARTICIPANTS], read_plain[EXPLORE_PARTICIPANTS];
};

extern struct location locations[LOCATIONS];
extern unsigned locations_count;

#endif
