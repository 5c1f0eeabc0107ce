/* SPDX-License-Identifier: MIT
 *
 * A small index in this process's own memory, and the steps of those who take part. */
#ifndef MEMORY_INDEX_GROUND_H
#define MEMORY_INDEX_GROUND_H

#include "memory/ground.h"
#include "memory/index.h"

#define SLOTS 64

struct bench {
    struct index_words words;
    shared64 slots[SLOTS];
    shared64 origins[SLOTS];
};

static struct bench bench;

static inline struct index attach(uint32_t who) {
    struct index index;
    index_attach(&index, &bench.words, bench.slots, bench.origins, SLOTS, who);
    return index;
}

static inline uint64_t publish(struct index *index, uint32_t place) {
    uint64_t position;
    assert_int_equal(index_publish(index, place, &position), 0);
    return position;
}

static inline struct index_item claim(struct index *index) {
    struct index_item item;
    assert_int_equal(index_find(index, NULL, NULL, false, &item), 1);
    assert_int_equal(index_claim(index, &item), 0);
    return item;
}

static inline struct index_item outcome(struct index *index, uint64_t position) {
    struct index_item item;
    assert_int_equal(index_outcome(index, position, &item), 0);
    return item;
}

/* Puts an empty index `laps` laps on: as if so many messages had passed. */
static inline void go_on(uint64_t laps) {
    memset(&bench, 0, sizeof bench);
    index_create(&bench.words, 8);
    struct index sender = attach(1);
    struct index_item item;
    for (uint32_t i = 0; i < SLOTS; i++) {
        publish(&sender, i);
        assert_int_equal(index_find(&sender, NULL, NULL, false, &item), 1);
        assert_int_equal(index_settle(&sender, &item, INDEX_DONE), 0);
    }
    for (uint32_t i = 0; i < SLOTS; i++)
        bench.slots[i] += laps << 33;
    bench.words.first = bench.words.next = (laps + 1) * SLOTS;
}

#endif
