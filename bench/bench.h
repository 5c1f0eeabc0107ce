/* SPDX-License-Identifier: MIT
 *
 * The parts of the benchmark: two ways for messages to go, by hand and through chappe, and
 * what measures them side by side. Whatever fails ends the program with a sentence. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum kind { KIND_PIPE, KIND_STREAM, KIND_SEQPACKET, KIND_DATAGRAM, KIND_COUNT };
extern const char *const kind_names[KIND_COUNT];

#define INLINE_MOST ((size_t)128 << 10) /* larger bodies go as files on carriers of packets */
#define SIZE_MOST ((size_t)1 << 20)
#define BATCH_BYTES ((size_t)64 << 10)
#define BATCH_SENT 5461 /* as many of 8 bytes as fill 64 KiB with their heads */
#define BATCH_RECEIVED 256

/* ---- payload ---- */

/* The whole payload is written before each send, and read after each receive. Messages
 * have a byte of their number everywhere. */
static inline uint64_t payload_word(uint64_t number) {
    return (number & 0xFF) * 0x0101010101010101u;
}

static inline void payload_write(uint8_t *bytes, size_t size, uint64_t number) {
    uint64_t word = payload_word(number);
    if (size > 64 || size % sizeof word != 0) {
        memset(bytes, (int)(number & 0xFF), size);
        return;
    }
    for (const uint8_t *end = bytes + size; bytes < end; bytes += sizeof word)
        memcpy(bytes, &word, sizeof word);
}

/* Are all bytes those of that message? They are summed, in words. */
static inline bool payload_is(const uint8_t *bytes, size_t size, uint64_t number) {
    uint64_t sum = 0, word = 0;
    size_t words = size / sizeof word;
    for (size_t i = 0; i < words; i++) {
        memcpy(&word, bytes + i * sizeof word, sizeof word);
        sum += word;
    }
    for (size_t i = words * sizeof word; i < size; i++)
        sum += bytes[i];
    return sum == payload_word(number) * words + (number & 0xFF) * (size % sizeof word);
}

/* ---- ways for messages to go ---- */

/* One end, which sends and receives; each way has its own. */
struct channel;

struct way {
    const char *name;
    /* For messages of up to `most` bytes. */
    void (*pair)(enum kind kind, size_t most, struct channel *ret_ends[2]);
    void (*send)(struct channel *channel, const uint8_t *bytes, size_t size);
    /* The bytes are valid until done(). */
    const uint8_t *(*receive)(struct channel *channel, size_t *ret_size);
    void (*done)(struct channel *channel);
    /* Messages first .. first + count - 1 of one size, as many in a system call as fit:
     * writes each and sends it; receives and reads each, and fails if one is wrong. */
    void (*send_many)(struct channel *channel, size_t size, uint64_t first, uint64_t count);
    /* The same, but written right where they are sent from; NULL: there is no such way. */
    void (*send_in_place)(struct channel *channel, size_t size, uint64_t first, uint64_t count);
    void (*receive_many)(struct channel *channel, size_t size, uint64_t first, uint64_t count);
    void (*close)(struct channel *channel);
};

extern const struct way way_by_hand;
extern const struct way way_through_chappe;

/* ---- measuring ---- */

enum what { LATENCY, THROUGHPUT, BATCH, BATCH_IN_PLACE, WHAT_COUNT };
extern const char *const what_names[WHAT_COUNT];

/* Where the two processes run. */
enum place { TWO_CPUS, UNPINNED, ONE_CPU, PLACE_COUNT };
extern const char *const place_names[PLACE_COUNT];

struct effort {
    int rounds;       /* each with two new processes */
    int pairs;        /* of runs in each round: by hand and through chappe in turn */
    int64_t slice_ns; /* length of a run */
};

struct row {
    enum place place;
    enum kind kind;
    enum what what;
    size_t size;
    /* Results. Time of a message in ns: median of the runs. */
    double ns[2]; /* by hand, through chappe */
    double p99[2];
    double ratio; /* chappe / by hand: the median of the pairs; its quartiles */
    double ratio_low, ratio_high;
    int pairs;
    double allocations; /* through chappe: of both processes, for each message */
};

/* Fills in the results. False, with the reason: it cannot be measured here. */
bool measure(struct row *row, const struct effort *effort, const char **ret_reason);
/* `count` messages one way only, for a tracer. */
void measure_traced(const struct row *row, const struct way *way, uint64_t count);

/* ---- targets and output (report.c) ---- */

/* Is it a comparison of rates, which is to be high? Else one of times. */
bool is_rate(const struct row *row);
bool has_target(const struct row *row);
/* Time through chappe / by hand at the most, or rate at the least. */
double target_of(const struct row *row);
/* What is compared with the target. */
double result_of(const struct row *row);
bool is_met(const struct row *row);
/* Does it allocate for messages? Buffers that still grow do not count. */
bool allocates(const struct row *row);
void report_table_start(enum place place);
void report_table_row(const struct row *row);
void report_json(const struct row *rows, size_t count);

/* ---- allocations.c ---- */

/* Calls of malloc(), calloc(), realloc() and the like so far, by chappe or the benchmark. */
uint64_t allocations(void);

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
