/* SPDX-License-Identifier: MIT
 *
 * What the tests of the memory floor share: memory that forked processes share, random
 * numbers, processes that are killed at random instants. */
#ifndef MEMORY_GROUND_H
#define MEMORY_GROUND_H

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "base/shared.h"
#include "harness/harness.h"

static inline void *ground_map(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

/* xorshift: the same numbers in every run of one seed. */
static inline uint64_t ground_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Gives the processor away for a moment that is different every time, while a victim works:
 * until `progress` has moved by `steps`, and a little more. */
static inline void ground_let_work(const shared64 *progress, uint64_t steps, uint64_t *random) {
    uint64_t start = shared64_get(progress), more = ground_random(random) % 2000;
    for (uint64_t tries = 0; shared64_get(progress) - start < steps && tries < 20000; tries++)
        sched_yield();
    for (uint64_t i = 0; i < more; i++)
        shared_pause();
}

/* For loops that go on for a while, at least twice: true for the first 3 s. */
static inline bool ground_goes_on(struct timespec *begin) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (begin->tv_sec == 0)
        *begin = now;
    return now.tv_sec - begin->tv_sec < 3;
}

/* Kills a peer that is at work. A peer whose assertion failed ends the test as well. */
static inline void ground_kill(pid_t peer) {
    harness_signal(peer, SIGKILL);
    int status = harness_wait(peer);
    assert_true(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

#endif
