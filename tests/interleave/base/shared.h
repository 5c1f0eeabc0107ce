/* SPDX-License-Identifier: MIT
 *
 * Stands in for src/base/shared.h when the memory floor is explored: the same names, but
 * every access is a call to the explorer, which knows the line that it stands on. A word can
 * be touched in no other way. What each function orders is told in src/base/shared.h. */
#ifndef BASE_SHARED_H
#define BASE_SHARED_H

#include "explore.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t hidden;
} shared64;

typedef struct {
    uint32_t hidden;
} shared32;

/* The place of an access. All of them, also those never reached, lie in one section. */
#define EXPLORE_SITE(OPERATION, ORDER)                                                             \
    (__extension__({                                                                               \
        static struct explore_site explored = {                                                    \
            .file = __FILE__,                                                                      \
            .function = __func__,                                                                  \
            .line = __LINE__,                                                                      \
            .operation = (OPERATION),                                                              \
            .order = (ORDER),                                                                      \
        };                                                                                         \
        static struct explore_site *const entry __attribute__((used, section("explore_sites"))) =  \
            &explored;                                                                             \
        (void)entry;                                                                               \
        &explored;                                                                                 \
    }))

#define EXPLORE_BOTH (EXPLORE_ACQUIRE | EXPLORE_RELEASE)

#define shared64_get(WORD) explore_load(EXPLORE_SITE(EXPLORE_LOAD, 0), WORD, 8)
#define shared64_get_acquire(WORD)                                                                 \
    explore_load(EXPLORE_SITE(EXPLORE_LOAD, EXPLORE_ACQUIRE), WORD, 8)
#define shared64_set(WORD, VALUE) explore_store(EXPLORE_SITE(EXPLORE_STORE, 0), WORD, 8, VALUE)
#define shared64_set_release(WORD, VALUE)                                                          \
    explore_store(EXPLORE_SITE(EXPLORE_STORE, EXPLORE_RELEASE), WORD, 8, VALUE)
#define shared64_swap_if(WORD, EXPECTED, DESIRED)                                                  \
    explore_swap_if(EXPLORE_SITE(EXPLORE_SWAP_IF, EXPLORE_BOTH), WORD, 8, EXPECTED, DESIRED)
#define shared64_add(WORD, VALUE)                                                                  \
    explore_change(EXPLORE_SITE(EXPLORE_ADD, EXPLORE_BOTH), WORD, 8, VALUE)

#define shared32_get(WORD) explore_load32(EXPLORE_SITE(EXPLORE_LOAD, 0), WORD)
#define shared32_get_acquire(WORD) explore_load32(EXPLORE_SITE(EXPLORE_LOAD, EXPLORE_ACQUIRE), WORD)
#define shared32_set(WORD, VALUE) explore_store(EXPLORE_SITE(EXPLORE_STORE, 0), WORD, 4, VALUE)
#define shared32_set_release(WORD, VALUE)                                                          \
    explore_store(EXPLORE_SITE(EXPLORE_STORE, EXPLORE_RELEASE), WORD, 4, VALUE)
#define shared32_swap_if(WORD, EXPECTED, DESIRED)                                                  \
    explore_swap_if32(EXPLORE_SITE(EXPLORE_SWAP_IF, EXPLORE_BOTH), WORD, EXPECTED, DESIRED)
#define shared32_add(WORD, VALUE)                                                                  \
    explore_change32(EXPLORE_SITE(EXPLORE_ADD, EXPLORE_BOTH), WORD, VALUE)
#define shared32_or(WORD, BITS) explore_change32(EXPLORE_SITE(EXPLORE_OR, EXPLORE_BOTH), WORD, BITS)
#define shared32_and(WORD, BITS)                                                                   \
    explore_change32(EXPLORE_SITE(EXPLORE_AND, EXPLORE_BOTH), WORD, BITS)

#define shared_fence() explore_fence(EXPLORE_SITE(EXPLORE_FENCE, EXPLORE_BOTH | EXPLORE_SEQUENTIAL))
#define shared_compiler_fence() explore_compiler_fence(EXPLORE_SITE(EXPLORE_COMPILER_FENCE, 0))

#define shared_write(TO, FROM, SIZE) explore_write(EXPLORE_SITE(EXPLORE_WRITE, 0), TO, FROM, SIZE)
#define shared_read(TO, FROM, SIZE) explore_read(EXPLORE_SITE(EXPLORE_READ, 0), TO, FROM, SIZE)
#define shared_write_unguarded(TO, FROM, SIZE)                                                     \
    explore_write_unguarded(EXPLORE_SITE(EXPLORE_WRITE, 0), TO, FROM, SIZE)
#define shared_read_unguarded(TO, FROM, SIZE)                                                      \
    explore_read_unguarded(EXPLORE_SITE(EXPLORE_READ, 0), TO, FROM, SIZE)

/* Hints change no result. */
#define shared_pause() explore_pause()
#define shared_demote(FROM, SIZE) ((void)(FROM), (void)(SIZE))

#endif
