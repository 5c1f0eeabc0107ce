/* SPDX-License-Identifier: MIT
 *
 * The parts of the lane benchmark: ways for messages to go from one process to another, of
 * which some are limits (nothing that carries the same can be faster) and some are lanes;
 * what runs them in turn; what compares them. Whatever fails ends the program. */
#ifndef LANES_LANES_H
#define LANES_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/shared.h"

#define SIZE_MOST ((size_t)1 << 20)
#define BATCH 64 /* messages in a batch call */
#define STOP UINT64_MAX

enum what {
    LATENCY, /* one way: half of a round trip, copied in and copied out */
    STREAM,  /* one direction, a call each; copied in, read in place */
    BATCHES, /* one direction, 64 messages a call */
    WAKE,    /* one message a millisecond to a sleeping receiver, which answers in a word */
    WHAT_COUNT
};
extern const char *const what_names[WHAT_COUNT];

/* What both processes of a run share, beside the way's own memory. */
struct control {
    _Alignas(64) shared32 ready;
    _Alignas(64) shared32 stop; /* for the sender of a stream */
    _Alignas(64) shared64 answer;
};

/* One process's side of a run. */
struct run {
    enum what what;
    size_t size;
    size_t ring;  /* bytes asked for, 0: as the way thinks best */
    uint32_t gap; /* looks between two pauses */
    uint64_t warm_ticks, ticks;
    bool one_cpu, real_time;
    bool is_child;
    struct control *control;
    uint8_t *out, *in; /* the process's own memory, SIZE_MOST each */
    void *common;      /* made before the fork */
    void *own;         /* made after it */
    /* Results, in the parent. */
    uint32_t *samples; /* ticks of each round trip */
    size_t sample_count, sample_most;
    uint64_t messages, took; /* of a stream: messages, ticks */
};

struct way {
    const char *name;
    const char *note; /* one line for --list */
    bool reference;   /* a limit, or there for comparison: no target is its own */
    bool sleeps;      /* can be run on one CPU */
    size_t least[WHAT_COUNT], most[WHAT_COUNT]; /* sizes; most 0: not this */
    void (*make)(struct run *run);              /* before the fork */
    void (*join)(struct run *run);              /* after it, in both; may be NULL */
    /* The parent pings, consumes, and wakes the child up. */
    void (*ping)(struct run *run);
    void (*pong)(struct run *run);
    void (*produce)(struct run *run);
    void (*consume)(struct run *run);
    void (*produce_batches)(struct run *run);
    void (*consume_batches)(struct run *run);
    void (*call)(struct run *run);
    void (*sleep)(struct run *run);
    void (*leave)(struct run *run); /* in both; may be NULL */
};

extern const struct way way_bounce_one, way_bounce_two, way_flag; /* words.c */
extern const struct way way_slots, way_slots_futex;               /* slots.c */
extern const struct way way_futex, way_eventfd, way_vm_read;      /* kernel.c */
extern const struct way way_gathered, way_memcpy;                 /* kernel.c */
extern const struct way way_lane, way_lane_adaptive;              /* direct.c */
extern const struct way way_unix, way_shm, way_shm_spin, way_shm_sleep,
    way_shm_read; /* through.c */

/* ---- run.c ---- */

struct effort {
    int passes;
    uint64_t slice_ms;
    bool one_cpu, real_time;
    size_t ring;
    uint32_t gap;
};

#define PASSES_MOST 101
#define CELLS_MOST 256

/* A way at one size: its results, of all passes. */
struct cell {
    enum what what;
    size_t size;
    const struct way *way;
    int passes;
    double value[PASSES_MOST];                 /* ns (median of a pass), or messages a second */
    double p10[PASSES_MOST], p99[PASSES_MOST]; /* ns */
    double bounce[PASSES_MOST]; /* ns, beside each pass: how far apart the processors were */
};

/* One more pass. False: one of the processes was not given its processor. */
bool run_cell(struct cell *cell, const struct effort *effort);
double median_of(const double *values, int count);
double quantile_of(const double *values, int count, double part);

/* Memory that parent and child share, all there from the start. */
void *common_memory(size_t size);
void *own_memory(size_t size);

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- report.c ---- */

void report(const struct cell *cells, size_t count, bool json);

#endif
