/* SPDX-License-Identifier: MIT
 *
 * The words of an index, bit by bit: see index.h. For index.c only. */
#ifndef MEMORY_INDEX_WORDS_H
#define MEMORY_INDEX_WORDS_H

#include "memory/index.h"

#define WORD_LAP_SHIFT 33
#define WORD_LAP_MASK (((uint64_t)1 << 31) - 1)
#define WORD_ELDER ((uint64_t)1 << 32)
#define WORD_AGAIN ((uint64_t)1 << 31)
#define WORD_KEPT_MASK (~(uint64_t)0 << 31) /* what changes of state leave: lap, elder, again */
#define WORD_STATE_SHIFT 28
#define WORD_STATE_MASK 7
#define WORD_HIGH_SHIFT 16 /* lane, claimed by, finished by */
#define WORD_LOW_SHIFT 4   /* lane, if finished */
#define WORD_NUMBER_MASK 4095
#define WORD_PLACE_MASK 65535
#define WORD_BODY_MASK (((uint64_t)1 << 28) - 1) /* lane and place */

#define WORD_ORIGIN_LAP_MASK (((uint64_t)1 << 36) - 1)

/* How a slot's word stands to a position of that slot. */
enum word_age { WORD_OPEN, WORD_USED, WORD_PASSED };

static inline shared64 *word_slot_of(const struct index *index, uint64_t position) {
    return index->slots + (position & index->mask);
}

static inline shared64 *word_origin_of(const struct index *index, uint64_t position) {
    return index->origins + (position & index->mask);
}

static inline uint64_t word_lap_of(const struct index *index, uint64_t position) {
    return (position >> index->shift & WORD_LAP_MASK) << WORD_LAP_SHIFT;
}

/* How many laps a word is ahead of a position, modulo 2^31. */
static inline uint64_t word_laps_ahead(const struct index *index, uint64_t word,
                                       uint64_t position) {
    return ((word >> WORD_LAP_SHIFT) - (position >> index->shift)) & WORD_LAP_MASK;
}

static inline enum index_state word_state_of(uint64_t word) {
    return (enum index_state)(word >> WORD_STATE_SHIFT & WORD_STATE_MASK);
}

static inline bool word_is_unfinished(uint64_t word) {
    return word_state_of(word) == INDEX_PUBLISHED || word_state_of(word) == INDEX_CLAIMED;
}

static inline enum word_age word_age_of(const struct index *index, uint64_t word,
                                        uint64_t position) {
    uint64_t ahead = word_laps_ahead(index, word, position);
    if (ahead == 0)
        return word_state_of(word) == INDEX_EMPTY ? WORD_OPEN : WORD_USED;
    return ahead <= WORD_LAP_MASK / 2 ? WORD_PASSED : WORD_OPEN;
}

/* Does the word need its origin to be understood? */
static inline bool word_has_origin(uint64_t word) {
    return (word & WORD_ELDER) != 0 || word_state_of(word) == INDEX_CLAIMED;
}

static inline uint64_t word_make_published(uint64_t kept, uint32_t lane, uint32_t place) {
    return kept | (uint64_t)INDEX_PUBLISHED << WORD_STATE_SHIFT |
           (uint64_t)lane << WORD_HIGH_SHIFT | place;
}

static inline uint64_t word_make_claimed(const struct index *index, uint64_t word) {
    return (word & (WORD_KEPT_MASK | WORD_PLACE_MASK)) |
           (uint64_t)INDEX_CLAIMED << WORD_STATE_SHIFT | (uint64_t)index->who << WORD_HIGH_SHIFT;
}

static inline uint64_t word_make_finished(const struct index *index, uint64_t word,
                                          enum index_state state, uint32_t lane) {
    return (word & WORD_KEPT_MASK) | (uint64_t)state << WORD_STATE_SHIFT |
           (uint64_t)index->who << WORD_HIGH_SHIFT | (uint64_t)lane << WORD_LOW_SHIFT;
}

/* The position of a word that was found in the slot of a later one. */
static inline uint64_t word_position_of(const struct index *index, uint64_t word, uint64_t later) {
    return later - ((-word_laps_ahead(index, word, later) & WORD_LAP_MASK) << index->shift);
}

/* The position where the message was published whose word is at `position`. */
static inline uint64_t word_find_origin(const struct index *index, uint64_t position, uint64_t word,
                                        uint64_t origin) {
    if ((word & WORD_ELDER) == 0)
        return position;
    uint64_t laps = (position >> index->shift) + 1 - (origin >> WORD_STATE_SHIFT);
    return position - ((laps & WORD_ORIGIN_LAP_MASK) << index->shift);
}

static inline void word_describe(const struct index *index, uint64_t position, uint64_t word,
                                 struct index_item *ret_item) {
    /* Relaxed: who swapped in a word that hangs on its origin had seen that origin there, and
     * our acquire of the word brings it. A newer one means that the word has changed. */
    uint64_t origin = word_has_origin(word) ? shared64_get(word_origin_of(index, position)) : 0;
    struct index_item item = {.position = position,
                              .origin = word_find_origin(index, position, word, origin),
                              .word = word,
                              .state = word_state_of(word),
                              .again = (word & WORD_AGAIN) != 0};
    uint32_t high = (uint32_t)(word >> WORD_HIGH_SHIFT) & WORD_NUMBER_MASK;
    item.who = item.lane = high;
    if (item.state == INDEX_CLAIMED)
        item.lane = (uint32_t)(origin >> WORD_HIGH_SHIFT) & WORD_NUMBER_MASK;
    else if (item.state != INDEX_PUBLISHED)
        item.lane = (uint32_t)(word >> WORD_LOW_SHIFT) & WORD_NUMBER_MASK;
    else
        item.who = 0;
    if (word_is_unfinished(word))
        item.place = (uint32_t)word & WORD_PLACE_MASK;
    *ret_item = item;
}

static inline uint64_t word_of_origin(const struct index *index, uint64_t position, uint32_t lane,
                                      uint32_t place) {
    return (((position >> index->shift) + 1) & WORD_ORIGIN_LAP_MASK) << WORD_STATE_SHIFT |
           (uint64_t)lane << WORD_HIGH_SHIFT | place;
}

#endif
