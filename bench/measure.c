/* SPDX-License-Identifier: MIT
 *
 * Measures a row: two processes with a channel of each way between them. The parent times
 * short runs by hand and through chappe in turn, so that whatever else the machine does
 * meets both alike; the child answers or receives. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define ROUND_TRIPS_MOST 100000 /* in one run */
#define WARM_MOST 50            /* messages before each run that are not timed */

/* One run, as the child is told it. */
struct command {
    int way; /* of ways[] */
    enum what what;
    size_t size;
    uint64_t count;
};

struct pair {
    struct channel *ends[2][2]; /* [way][0: the parent's] */
    int commands[2];
    pid_t child;
    uint64_t *child_allocations; /* shared: of each way, in timed runs */
};

struct samples {
    double *ns;
    size_t count, room;
};

static const struct way *const ways[2] = {&way_by_hand, &way_through_chappe};
static uint8_t payload[SIZE_MOST];

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* ---- samples ---- */

static void samples_add(struct samples *samples, double ns) {
    if (samples->count == samples->room) {
        samples->room = samples->room > 0 ? 2 * samples->room : 4096;
        samples->ns = realloc(samples->ns, samples->room * sizeof *samples->ns);
        if (samples->ns == NULL)
            fail("no memory");
    }
    samples->ns[samples->count++] = ns;
}

static int compare(const void *a, const void *b) {
    double first = *(const double *)a, second = *(const double *)b;
    return first < second ? -1 : first > second;
}

/* Sorts the samples from `from` on. */
static double quantile(struct samples *samples, size_t from, double part) {
    size_t count = samples->count - from;
    qsort(samples->ns + from, count, sizeof *samples->ns, compare);
    return samples->ns[from + (size_t)(part * (double)(count - 1) + 0.5)];
}

/* ---- the two sides of a run ---- */

static void send_one(const struct way *way, struct channel *channel, size_t size, uint64_t number) {
    payload_write(payload, size, number);
    way->send(channel, payload, size);
}

static void receive_one(const struct way *way, struct channel *channel, size_t size,
                        uint64_t number) {
    size_t got;
    const uint8_t *bytes = way->receive(channel, &got);
    if (got != size || !payload_is(bytes, got, number))
        fail("%s: a wrong message", way->name);
    way->done(channel);
}

static void send_all(const struct way *way, struct channel *channel, const struct command *command,
                     uint64_t first, uint64_t count) {
    if (command->what == BATCH_IN_PLACE && way->send_in_place != NULL)
        way->send_in_place(channel, command->size, first, count);
    else if (command->what >= BATCH)
        way->send_many(channel, command->size, first, count);
    else
        for (uint64_t number = first; number < first + count; number++)
            send_one(way, channel, command->size, number);
}

static void receive_all(const struct way *way, struct channel *channel,
                        const struct command *command, uint64_t first, uint64_t count) {
    if (command->what >= BATCH)
        way->receive_many(channel, command->size, first, count);
    else
        for (uint64_t number = first; number < first + count; number++)
            receive_one(way, channel, command->size, number);
}

static uint64_t warm_count(uint64_t count) {
    return count < WARM_MOST ? count : WARM_MOST;
}

/* The child's side. */
static void answer(const struct pair *pair, const struct command *command) {
    const struct way *way = ways[command->way];
    struct channel *channel = pair->ends[command->way][1];
    uint64_t warm = warm_count(command->count), before = 0;
    if (command->what == LATENCY) {
        for (uint64_t number = 0; number < warm + command->count; number++) {
            before = number == warm ? allocations() : before;
            receive_one(way, channel, command->size, number);
            send_one(way, channel, command->size, number + 1);
        }
    } else {
        receive_all(way, channel, command, 0, warm);
        send_one(way, channel, 8, 0);
        before = allocations();
        receive_all(way, channel, command, warm, command->count);
    }
    pair->child_allocations[command->way] += allocations() - before;
    if (command->what != LATENCY)
        send_one(way, channel, 8, 0);
}

/* The parent's side. Result: the time of a message, in ns; its samples are half round trips. */
static double run(const struct pair *pair, const struct command *command, struct samples *samples,
                  uint64_t *parent_allocations) {
    const struct way *way = ways[command->way];
    struct channel *channel = pair->ends[command->way][0];
    uint64_t warm = warm_count(command->count), before = 0;
    size_t first = samples->count;
    double start = 0;
    if (write(pair->commands[1], command, sizeof *command) != (ssize_t)sizeof *command)
        fail("the child is gone");
    if (command->what == LATENCY) {
        uint64_t allocated = 0;
        for (uint64_t number = 0; number < warm + command->count; number++) {
            before = allocations();
            start = now_ns();
            send_one(way, channel, command->size, number);
            receive_one(way, channel, command->size, number + 1);
            double end = now_ns();
            allocated += number < warm ? 0 : allocations() - before;
            if (number >= warm)
                samples_add(samples, (end - start) / 2);
        }
        *parent_allocations += allocated;
        return quantile(samples, first, 0.5);
    }
    send_all(way, channel, command, 0, warm);
    receive_one(way, channel, 8, 0);
    before = allocations();
    start = now_ns();
    send_all(way, channel, command, warm, command->count);
    *parent_allocations += allocations() - before;
    receive_one(way, channel, 8, 0);
    samples_add(samples, (now_ns() - start) / (double)command->count);
    return samples->ns[first];
}

/* ---- two processes ---- */

/* The CPUs that this process may use, before anything is pinned. */
static const cpu_set_t *allowed_cpus(void) {
    static cpu_set_t allowed;
    static bool known;
    if (!known && sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        fail("sched_getaffinity: %s", strerror(errno));
    known = true;
    return &allowed;
}

/* To the CPU with that index among the allowed ones. */
static void pin(size_t index) {
    cpu_set_t one;
    index %= (size_t)CPU_COUNT(allowed_cpus());
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, allowed_cpus()) && index-- == 0)
            CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) < 0)
        fail("sched_setaffinity: %s", strerror(errno));
}

static void go_to(enum place place, bool child) {
    if (place == UNPINNED)
        sched_setaffinity(0, sizeof(cpu_set_t), allowed_cpus());
    else
        pin(place == ONE_CPU || child ? 1 : 0);
}

static _Noreturn void serve(struct pair *pair) {
    struct command command;
    while (read(pair->commands[0], &command, sizeof command) == (ssize_t)sizeof command)
        answer(pair, &command);
    _exit(0);
}

static struct pair start(const struct row *row, int ways_used) {
    struct pair pair = {0};
    if (pipe(pair.commands) < 0)
        fail("pipe: %s", strerror(errno));
    pair.child_allocations =
        mmap(NULL, 2 * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pair.child_allocations == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    for (int way = 0; way < 2; way++) {
        /* A batch on any carrier is compared with a stream gathered by hand. */
        enum kind kind = row->what >= BATCH && way == 0 ? KIND_STREAM : row->kind;
        if ((ways_used & 1 << way) != 0)
            ways[way]->pair(kind, row->size, pair.ends[way]);
    }
    fflush(NULL);
    pair.child = fork();
    if (pair.child < 0)
        fail("fork: %s", strerror(errno));
    for (int way = 0; way < 2; way++)
        if (pair.ends[way][0] != NULL)
            ways[way]->close(pair.ends[way][pair.child == 0 ? 0 : 1]);
    close(pair.commands[pair.child == 0 ? 1 : 0]);
    go_to(row->place, pair.child == 0);
    if (pair.child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(&pair);
    }
    return pair;
}

static void end(struct pair *pair) {
    close(pair->commands[1]);
    int status;
    if (waitpid(pair->child, &status, 0) != pair->child || status != 0)
        fail("the other process failed");
    for (int way = 0; way < 2; way++)
        if (pair->ends[way][0] != NULL)
            ways[way]->close(pair->ends[way][0]);
    munmap(pair->child_allocations, 2 * sizeof(uint64_t));
}

/* ---- a row ---- */

/* How many messages fill a run. Warms both ways too. */
static uint64_t calibrate(const struct pair *pair, const struct row *row, int64_t slice_ns) {
    struct samples samples = {0};
    uint64_t count = 1, ignored = 0, most = row->what == LATENCY ? ROUND_TRIPS_MOST : 100000000;
    double each = 0;
    while (count < most && (double)count * each < (double)slice_ns / 4) {
        count *= 4;
        for (int way = 0; way < 2; way++)
            each =
                run(pair, &(struct command){way, row->what, row->size, count}, &samples, &ignored);
        each *= row->what == LATENCY ? 2 : 1;
    }
    free(samples.ns);
    double wanted = (double)slice_ns / each;
    return wanted > (double)most ? most : wanted < 1 ? 1 : (uint64_t)wanted;
}

/* What the rounds of a row have brought so far. */
struct results {
    struct samples of_runs[2]; /* the result of each run */
    struct samples single[2];  /* of each message, for latency */
    struct samples ratios;
    uint64_t messages, allocated; /* through chappe */
};

static void measure_round(const struct row *row, const struct effort *effort,
                          struct results *results) {
    struct pair pair = start(row, 3);
    uint64_t count = calibrate(&pair, row, effort->slice_ns);
    pair.child_allocations[1] = 0;
    for (int i = 0; i < effort->pairs; i++) {
        double ns[2];
        for (int turn = 0; turn < 2; turn++) {
            int way = (i + turn) % 2; /* who begins changes */
            uint64_t allocated = 0;
            ns[way] = run(&pair, &(struct command){way, row->what, row->size, count},
                          &results->single[way], &allocated);
            samples_add(&results->of_runs[way], ns[way]);
            results->messages += way == 1 ? count * (row->what == LATENCY ? 2 : 1) : 0;
            results->allocated += way == 1 ? allocated : 0;
        }
        samples_add(&results->ratios, ns[1] / ns[0]);
    }
    results->allocated += pair.child_allocations[1];
    end(&pair);
}

bool measure(struct row *row, const struct effort *effort, const char **ret_reason) {
    if (row->place == TWO_CPUS && CPU_COUNT(allowed_cpus()) < 2) {
        *ret_reason = "there is only one CPU";
        return false;
    }
    struct results results = {0};
    for (int i = 0; i < effort->rounds; i++)
        measure_round(row, effort, &results);
    for (int way = 0; way < 2; way++) {
        row->ns[way] = quantile(&results.of_runs[way], 0, 0.5);
        row->p99[way] = quantile(&results.single[way], 0, 0.99);
        free(results.of_runs[way].ns);
        free(results.single[way].ns);
    }
    row->ratio = quantile(&results.ratios, 0, 0.5);
    row->ratio_low = quantile(&results.ratios, 0, 0.25);
    row->ratio_high = quantile(&results.ratios, 0, 0.75);
    row->pairs = (int)results.ratios.count;
    row->allocations = (double)results.allocated / (double)results.messages;
    free(results.ratios.ns);
    return true;
}

void measure_traced(const struct row *row, const struct way *way, uint64_t count) {
    int index = way == ways[1];
    struct pair pair = start(row, 1 << index);
    struct samples samples = {0};
    uint64_t ignored = 0;
    run(&pair, &(struct command){index, row->what, row->size, count}, &samples, &ignored);
    free(samples.ns);
    end(&pair);
}
