/* SPDX-License-Identifier: MIT
 *
 * Words that processes share, by name. The floors above touch shared words through these
 * functions only, so that the same source can be compiled against a layer in which a
 * scheduler drives every access (tests/interleave/base/shared.h has the same names).
 *
 * A function without a suffix is relaxed: it orders nothing. _acquire: nothing after it in
 * program order is done before it. _release: nothing before it is done after it. */
#ifndef BASE_SHARED_H
#define BASE_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef _Atomic(uint64_t) shared64;
typedef _Atomic(uint32_t) shared32; /* what a futex sleeps on */

static inline uint64_t shared64_get(const shared64 *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline uint64_t shared64_get_acquire(const shared64 *word) {
    return atomic_load_explicit(word, memory_order_acquire);
}

static inline void shared64_set(shared64 *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline void shared64_set_release(shared64 *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_release);
}

/* Puts `desired` there if *expected is there, in one step; else *expected becomes what is.
 * Acquire and release when it does, acquire when it does not. Never fails without cause. */
static inline bool shared64_swap_if(shared64 *word, uint64_t *expected, uint64_t desired) {
    return atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_acq_rel,
                                                   memory_order_acquire);
}

/* Result: what was there before. Acquire and release. */
static inline uint64_t shared64_add(shared64 *word, uint64_t value) {
    return atomic_fetch_add_explicit(word, value, memory_order_acq_rel);
}

static inline uint32_t shared32_get(const shared32 *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline uint32_t shared32_get_acquire(const shared32 *word) {
    return atomic_load_explicit(word, memory_order_acquire);
}

static inline void shared32_set(shared32 *word, uint32_t value) {
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline void shared32_set_release(shared32 *word, uint32_t value) {
    atomic_store_explicit(word, value, memory_order_release);
}

static inline bool shared32_swap_if(shared32 *word, uint32_t *expected, uint32_t desired) {
    return atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_acq_rel,
                                                   memory_order_acquire);
}

static inline uint32_t shared32_add(shared32 *word, uint32_t value) {
    return atomic_fetch_add_explicit(word, value, memory_order_acq_rel);
}

static inline uint32_t shared32_or(shared32 *word, uint32_t bits) {
    return atomic_fetch_or_explicit(word, bits, memory_order_acq_rel);
}

static inline uint32_t shared32_and(shared32 *word, uint32_t bits) {
    return atomic_fetch_and_explicit(word, bits, memory_order_acq_rel);
}

/* Everything before it is done, and seen by all, before anything after it. */
static inline void shared_fence(void) {
    atomic_thread_fence(memory_order_seq_cst);
}

/* Orders what this processor is told to do, not what it does: for code whose other half is a
 * barrier for all processors. */
static inline void shared_compiler_fence(void) {
    atomic_signal_fence(memory_order_seq_cst);
}

/* Bodies: plain memory, whose order a word beside it keeps. */
static inline void shared_write(void *to, const void *from, size_t size) {
    memcpy(to, from, size);
}

static inline void shared_read(void *to, const void *from, size_t size) {
    memcpy(to, from, size);
}

/* shared_write() where most bodies are small: a few moves, no call. Two moves that overlap
 * cover every size between once and twice theirs. */
static inline void shared_write_small(void *to, const void *from, size_t size) {
    char *end_to = (char *)to + size;
    const char *end_from = (const char *)from + size;
    if (size > 64) {
        memcpy(to, from, size);
    } else if (size > 32) {
        memcpy(to, from, 32);
        memcpy(end_to - 32, end_from - 32, 32);
    } else if (size > 16) {
        memcpy(to, from, 16);
        memcpy(end_to - 16, end_from - 16, 16);
    } else if (size >= 8) {
        memcpy(to, from, 8);
        memcpy(end_to - 8, end_from - 8, 8);
    } else {
        for (size_t i = 0; i < size; i++)
            ((char *)to)[i] = ((const char *)from)[i];
    }
}

/* ---- hints to the processor: they change no result ---- */

/* Between two looks at a word that another processor writes. */
static inline void shared_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* These lines will next be read by another processor: hand them towards it (CLDEMOTE; does
 * nothing where the processor does not know it). */
static inline void shared_demote(const void *from, size_t size) {
#if defined(__x86_64__)
    for (uintptr_t line = (uintptr_t)from & ~(uintptr_t)63; line < (uintptr_t)from + size;
         line += 64)
        __asm__ volatile("cldemote %0" : : "m"(*(const char *)line));
#else
    (void)from;
    (void)size;
#endif
}

#endif
