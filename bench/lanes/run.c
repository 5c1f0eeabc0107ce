/* SPDX-License-Identifier: MIT
 *
 * Runs one way at one size: a child process on the other processor, new memory, a warm-up,
 * a slice of time. Many short runs with new memory, since which lines of memory a run gets
 * makes a difference that no long run evens out. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loops.h"

#define SAMPLES_MOST ((size_t)1 << 20)
#define WARM_MS 4
#define TOO_LONG_S 60
#define TRIES 10
#define TOGETHER 8
#define MANY_SAMPLES 4096

uint64_t wake_gap_ticks;
static bool in_child;

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fputs("lanes: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    if (in_child)
        kill(getppid(), SIGTERM);
    _exit(2);
}

static void *map(size_t size, int flags) {
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        fail("no memory: %s", strerror(errno));
    return memory;
}

/* Unmapped when the process of the run ends: both of them are children. */
void *common_memory(size_t size) {
    return map(size, MAP_SHARED);
}

void *own_memory(size_t size) {
    return map(size, MAP_PRIVATE);
}

/* ---- time ---- */

static double ticks_per_ns(void) {
    static double known;
    struct timespec from, to;
    if (known > 0)
        return known;
    clock_gettime(CLOCK_MONOTONIC, &from);
    uint64_t start = ticks_now();
    double passed;
    do {
        clock_gettime(CLOCK_MONOTONIC, &to);
        passed = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
    } while (passed < 20e6);
    known = (double)(ticks_now() - start) / passed;
    return known;
}

/* ---- numbers ---- */

static int compare_doubles(const void *a, const void *b) {
    double first = *(const double *)a, second = *(const double *)b;
    return first < second ? -1 : first > second;
}

double quantile_of(const double *values, int count, double part) {
    double sorted[PASSES_MOST];
    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, compare_doubles);
    return sorted[(int)(part * (count - 1) + 0.5)];
}

double median_of(const double *values, int count) {
    return quantile_of(values, count, 0.5);
}

static int compare_samples(const void *a, const void *b) {
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
    return first < second ? -1 : first > second;
}

/* ---- one run ---- */

static void pin(size_t cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) < 0)
        fail("cannot go to CPU %zu: %s", cpu, strerror(errno));
}

static void await_ready(struct run *run) {
    while (shared32_get_acquire(&run->control->ready) < 2)
        sched_yield();
}

static void take_part(struct run *run, const struct way *way) {
    pin(run->is_child && !run->one_cpu ? 1 : 0);
    alarm(TOO_LONG_S);
    if (way->join != NULL)
        way->join(run);
    const struct sched_param first = {.sched_priority = 1};
    if (run->real_time && sched_setscheduler(0, SCHED_FIFO, &first) < 0)
        fail("cannot be a real-time process: %s", strerror(errno));
    shared32_add(&run->control->ready, 1);
    await_ready(run);
    if (run->is_child) {
        void (*const loops[WHAT_COUNT])(struct run *) = {way->pong, way->produce,
                                                         way->produce_batches, way->sleep};
        loops[run->what](run);
    } else {
        void (*const loops[WHAT_COUNT])(struct run *) = {way->ping, way->consume,
                                                         way->consume_batches, way->call};
        loops[run->what](run);
    }
    if (way->leave != NULL)
        way->leave(run);
}

/* What a run came to, told from the process that measured. */
struct outcome {
    double value, p10, p99;
};

static double quantile(uint32_t *samples, size_t count, size_t part) {
    qsort(samples, count, sizeof *samples, compare_samples);
    return samples[(count - 1) * part / 100];
}

/* A percentile of the round trips. The clock may tick in steps that are long beside short ones: of
 * those, some in a row are taken together. */
static double round_trip(const uint32_t *samples, size_t count, size_t part) {
    static uint32_t sums[SAMPLES_MOST];
    size_t together = count >= MANY_SAMPLES ? TOGETHER : 1, sum_count = 0;
    for (size_t i = 0; i + together <= count; i += together, sum_count++)
        for (size_t k = sums[sum_count] = 0; k < together; k++)
            sums[sum_count] += samples[i + k];
    return quantile(sums, sum_count, part) / (double)together;
}

static struct outcome outcome_of(const struct run *run) {
    double ticks = ticks_per_ns();
    if (run->what == STREAM || run->what == BATCHES)
        return (struct outcome){.value = (double)run->messages * 1e9 * ticks / (double)run->took};
    size_t count = run->sample_count;
    if (count == 0)
        return (struct outcome){0};
    double typical = round_trip(run->samples, count, 50), low = round_trip(run->samples, count, 10);
    return (struct outcome){.value = typical / 2 / ticks,
                            .p10 = low / 2 / ticks,
                            .p99 = quantile(run->samples, count, 99) / 2 / ticks};
}

/* In a process of its own, whose memory goes with it. */
static _Noreturn void measure(struct run *run, const struct way *way, struct outcome *ret_outcome) {
    run->control = common_memory(sizeof *run->control);
    run->out = own_memory(SIZE_MOST);
    run->in = own_memory(SIZE_MOST);
    run->samples = own_memory(SAMPLES_MOST * sizeof *run->samples);
    run->sample_most = SAMPLES_MOST;
    way->make(run);
    pid_t child = fork();
    if (child < 0)
        fail("fork: %s", strerror(errno));
    in_child = run->is_child = child == 0;
    if (run->is_child)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* What was private and there before the fork is copied at the first write. */
    memset(run->out, 0x5a, SIZE_MOST);
    memset(run->in, 0x5a, SIZE_MOST);
    take_part(run, way);
    if (run->is_child)
        _exit(0);
    int status;
    if (waitpid(child, &status, 0) != child || status != 0)
        fail("%s: the other process failed", way->name);
    *ret_outcome = outcome_of(run);
    _exit(0);
}

static struct outcome run_once(const struct cell *cell, const struct effort *effort) {
    double ms = ticks_per_ns() * 1e6;
    struct run run = {.what = cell->what,
                      .size = cell->size,
                      .ring = effort->ring,
                      .gap = effort->gap,
                      .one_cpu = effort->one_cpu,
                      .real_time = effort->real_time,
                      .warm_ticks = (uint64_t)(WARM_MS * ms),
                      .ticks = (uint64_t)((WARM_MS + (double)effort->slice_ms) * ms)};
    struct outcome *outcome = common_memory(sizeof *outcome);
    wake_gap_ticks = (uint64_t)(WAKE_EVERY_NS * ticks_per_ns());
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        fail("fork: %s", strerror(errno));
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        measure(&run, cell->way, outcome);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0)
        fail("%s, %s of %zu bytes failed", cell->way->name, what_names[cell->what], cell->size);
    struct outcome result = *outcome;
    munmap(outcome, sizeof *outcome);
    return result;
}

bool run_cell(struct cell *cell, const struct effort *effort) {
    struct outcome outcome = {0};
    for (int i = 0; i < TRIES && outcome.value == 0; i++)
        outcome = run_once(cell, effort);
    cell->value[cell->passes] = outcome.value;
    cell->p10[cell->passes] = outcome.p10;
    cell->p99[cell->passes++] = outcome.p99;
    return outcome.value > 0;
}
