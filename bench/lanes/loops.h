/* SPDX-License-Identifier: MIT
 *
 * What a run does, message by message. Each way makes its own loops of these, with its own
 * functions in them, so that no limit and no lane pays for a call through a pointer. */
#ifndef LANES_LOOPS_H
#define LANES_LOOPS_H

#include <string.h>
#include <time.h>

#include "base/shared.h"
#include "lanes.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- time ---- */

INLINE uint64_t ticks_now(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
#endif
}

/* Between two looks at something that the other process changes. */
INLINE void look_away(uint32_t pauses) {
    for (uint32_t i = 0; i < pauses; i++)
        shared_pause();
}

/* ---- payload ---- */

/* The same for limits and lanes: short ones without a call. */
INLINE void copy(void *to, const void *from, size_t size) {
    struct sixteen {
        uint64_t a, b;
    } first, last;
    if (size > 64 || size < 8) {
        memcpy(to, from, size);
    } else if (size <= 16) {
        uint64_t a, b;
        memcpy(&a, from, 8);
        memcpy(&b, (const char *)from + size - 8, 8);
        memcpy(to, &a, 8);
        memcpy((char *)to + size - 8, &b, 8);
    } else if (size <= 32) {
        memcpy(&first, from, 16);
        memcpy(&last, (const char *)from + size - 16, 16);
        memcpy(to, &first, 16);
        memcpy((char *)to + size - 16, &last, 16);
    } else {
        struct sixteen second, third;
        memcpy(&first, from, 16);
        memcpy(&second, (const char *)from + 16, 16);
        memcpy(&third, (const char *)from + size - 32, 16);
        memcpy(&last, (const char *)from + size - 16, 16);
        memcpy(to, &first, 16);
        memcpy((char *)to + 16, &second, 16);
        memcpy((char *)to + size - 32, &third, 16);
        memcpy((char *)to + size - 16, &last, 16);
    }
}

/* Every message starts and ends with its number. */
INLINE void stamp(void *bytes, size_t size, uint64_t number) {
    memcpy(bytes, &number, sizeof number);
    memcpy((char *)bytes + size - sizeof number, &number, sizeof number);
}

INLINE uint64_t number_of(const void *bytes) {
    uint64_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

INLINE void check(const void *bytes, size_t size, uint64_t number) {
    uint64_t first = number_of(bytes);
    if (__builtin_expect(first != number && first != STOP, 0))
        fail("message %llu came where %llu should", (unsigned long long)first,
             (unsigned long long)number);
    if (__builtin_expect(number_of((const char *)bytes + size - 8) != first, 0))
        fail("message %llu is torn", (unsigned long long)number);
}

INLINE void read_lines(const void *bytes, size_t size) {
    uint64_t sum = 0;
    for (size_t at = 64; at < size; at += 64)
        sum += ((const unsigned char *)bytes)[at];
    __asm__ volatile("" : : "r"(sum));
}

/* Checks a message in place, and reads a byte of each line. */
INLINE uint64_t check_in_place(const void *bytes, size_t size, uint64_t number) {
    check(bytes, size, number);
    read_lines(bytes, size);
    return number_of(bytes);
}

/* ---- latency ---- */

typedef void send_function(struct run *run, const void *bytes, size_t size);
typedef void receive_function(struct run *run, void *bytes, size_t size);

INLINE void keep_sample(struct run *run, uint64_t ticks) {
    if (run->sample_count < run->sample_most)
        run->samples[run->sample_count++] = ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
}

INLINE void loop_ping(struct run *run, send_function *send, receive_function *receive) {
    const size_t size = run->size;
    uint64_t number = 0, start = ticks_now(), last = start, end = start + run->ticks;
    uint64_t warm = start + run->warm_ticks;
    while (last < end && run->sample_count < run->sample_most) {
        stamp(run->out, size, ++number);
        send(run, run->out, size);
        receive(run, run->in, size);
        check(run->in, size, number);
        uint64_t now = ticks_now();
        if (last > warm)
            keep_sample(run, now - last);
        last = now;
    }
    stamp(run->out, size, STOP);
    send(run, run->out, size);
}

INLINE void loop_pong(struct run *run, send_function *send, receive_function *receive) {
    const size_t size = run->size;
    for (uint64_t number = 1;; number++) {
        receive(run, run->in, size);
        check(run->in, size, number);
        if (number_of(run->in) == STOP)
            return;
        stamp(run->out, size, number);
        send(run, run->out, size);
    }
}

/* ---- streams ---- */

/* Result: the message in place, or in run->in; it stays until the next look. */
typedef const void *look_function(struct run *run, size_t size);

INLINE bool is_stopped(struct run *run) {
    return shared32_get(&run->control->stop) != 0;
}

INLINE void loop_produce(struct run *run, send_function *send) {
    const size_t size = run->size;
    for (uint64_t number = 1; !is_stopped(run); number++) {
        stamp(run->out, size, number);
        send(run, run->out, size);
    }
    stamp(run->out, size, STOP);
    send(run, run->out, size);
}

/* When messages are counted: from the first look at the clock after the warm-up. */
struct meter {
    uint64_t warm_until, started, started_at, end;
    bool stopped;
};

INLINE struct meter meter_start(const struct run *run) {
    uint64_t now = ticks_now();
    return (struct meter){.warm_until = now + run->warm_ticks, .end = now + run->ticks};
}

/* `count` messages have come by now. */
INLINE void meter_look(struct meter *meter, struct run *run, uint64_t count) {
    uint64_t now = ticks_now();
    if (meter->started == 0) {
        if (now >= meter->warm_until) {
            meter->started = now;
            meter->started_at = count;
        }
    } else if (now >= meter->end && !meter->stopped) {
        run->messages = count - meter->started_at;
        run->took = now - meter->started;
        meter->stopped = true;
        shared32_set_release(&run->control->stop, 1);
    }
}

INLINE uint64_t messages_between_looks(size_t size) {
    return size >= 4096 ? 8 : 32768 / size;
}

INLINE void loop_consume(struct run *run, look_function *look) {
    const size_t size = run->size;
    const uint64_t every = messages_between_looks(size);
    struct meter meter = meter_start(run);
    for (uint64_t number = 1, rest = every;; number++) {
        if (check_in_place(look(run, size), size, number) == STOP)
            return;
        if (--rest == 0) {
            rest = every;
            meter_look(&meter, run, number);
        }
    }
}

/* ---- waking ---- */

#define WAKE_EVERY_NS 1500000

/* What each wake sets out with: the receiver has gone to sleep by now. */
INLINE void rest(uint64_t ticks) {
    for (uint64_t until = ticks_now() + ticks; ticks_now() < until;)
        shared_pause();
}

INLINE void wait_for_answer(struct run *run, uint64_t number) {
    while (shared64_get_acquire(&run->control->answer) != number)
        shared_pause();
}

extern uint64_t wake_gap_ticks; /* run.c */

INLINE void loop_call(struct run *run, send_function *send) {
    const size_t size = run->size;
    uint64_t end = ticks_now() + 4 * run->ticks;
    for (uint64_t number = 1; ticks_now() < end; number++) {
        rest(wake_gap_ticks);
        uint64_t start = ticks_now();
        stamp(run->out, size, number);
        send(run, run->out, size);
        wait_for_answer(run, number);
        keep_sample(run, 2 * (ticks_now() - start));
    }
    stamp(run->out, size, STOP);
    send(run, run->out, size);
}

INLINE void loop_sleep(struct run *run, receive_function *receive) {
    const size_t size = run->size;
    for (uint64_t number = 1;; number++) {
        receive(run, run->in, size);
        check(run->in, size, number);
        if (number_of(run->in) == STOP)
            return;
        shared64_set_release(&run->control->answer, number);
    }
}

#endif
