/* SPDX-License-Identifier: MIT
 *
 * Limits of latency: a word that goes to and fro between two processors, one word for each
 * direction, and a shared buffer that is handed over with a flag. */
#include "loops.h"

#define PAUSES_BETWEEN_LOOKS 1

struct words {
    _Alignas(128) shared64 there;
    _Alignas(128) shared64 back;
    _Alignas(128) uint8_t buffer[SIZE_MOST];
};

static void words_make(struct run *run) {
    run->common = common_memory(sizeof(struct words));
}

INLINE void await(shared64 *word, uint64_t value) {
    while (shared64_get_acquire(word) != value)
        look_away(PAUSES_BETWEEN_LOOKS);
}

/* The word counts up: the parent makes it odd, the child even. */
static void one_ping(struct run *run) {
    struct words *words = run->common;
    uint64_t value = 0, last = ticks_now(), end = last + run->ticks, warm = last + run->warm_ticks;
    while (last < end && run->sample_count < run->sample_most) {
        shared64_set_release(&words->there, value + 1);
        await(&words->there, value + 2);
        value += 2;
        uint64_t now = ticks_now();
        if (last > warm)
            keep_sample(run, now - last);
        last = now;
    }
    shared64_set_release(&words->there, STOP);
}

static void one_pong(struct run *run) {
    struct words *words = run->common;
    for (uint64_t value = 1;; value += 2) {
        uint64_t seen;
        while ((seen = shared64_get_acquire(&words->there)) != value && seen != STOP)
            look_away(PAUSES_BETWEEN_LOOKS);
        if (seen == STOP)
            return;
        shared64_set_release(&words->there, value + 1);
    }
}

static void two_ping(struct run *run) {
    struct words *words = run->common;
    uint64_t value = 0, last = ticks_now(), end = last + run->ticks, warm = last + run->warm_ticks;
    while (last < end && run->sample_count < run->sample_most) {
        shared64_set_release(&words->there, ++value);
        await(&words->back, value);
        uint64_t now = ticks_now();
        if (last > warm)
            keep_sample(run, now - last);
        last = now;
    }
    shared64_set_release(&words->there, STOP);
}

static void two_pong(struct run *run) {
    struct words *words = run->common;
    for (uint64_t value = 1;; value++) {
        uint64_t seen;
        while ((seen = shared64_get_acquire(&words->there)) != value && seen != STOP)
            look_away(PAUSES_BETWEEN_LOOKS);
        if (seen == STOP)
            return;
        shared64_set_release(&words->back, value);
    }
}

/* ---- the buffer ---- */

/* Whose turn it is: even, the parent's. The buffer is the other's as soon as the flag is. */
static void flag_send(struct run *run, const void *bytes, size_t size) {
    struct words *words = run->common;
    copy(words->buffer, bytes, size);
    shared64_set_release(&words->there, run->is_child ? 0 : 1);
}

static void flag_receive(struct run *run, void *bytes, size_t size) {
    struct words *words = run->common;
    await(&words->there, run->is_child ? 1 : 0);
    copy(bytes, words->buffer, size);
}

static void flag_ping(struct run *run) {
    loop_ping(run, flag_send, flag_receive);
}

static void flag_pong(struct run *run) {
    loop_pong(run, flag_send, flag_receive);
}

const struct way way_bounce_one = {
    .name = "bounce-one",
    .note = "one word, stored by both in turn",
    .reference = true,
    .least = {[LATENCY] = 8},
    .most = {[LATENCY] = 8},
    .make = words_make,
    .ping = one_ping,
    .pong = one_pong,
};

const struct way way_bounce_two = {
    .name = "bounce-two",
    .note = "one word each way: a message cannot be faster without being read early",
    .reference = true,
    .least = {[LATENCY] = 8},
    .most = {[LATENCY] = 64},
    .make = words_make,
    .ping = two_ping,
    .pong = two_pong,
};

const struct way way_flag = {
    .name = "flag",
    .note = "a shared buffer, handed over with a flag",
    .reference = true,
    .least = {[LATENCY] = 8},
    .most = {[LATENCY] = SIZE_MOST},
    .make = words_make,
    .ping = flag_ping,
    .pong = flag_pong,
};
