/* SPDX-License-Identifier: MIT
 *
 * Records an operation, then strikes it at every point. */
#include "crash/campaign.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MOST ((size_t)1 << 22)
#define RECOVERER_STEPS_MOST ((size_t)1 << 20)
#define FAILURES_MOST 5 /* then the rest of that mode is left out */
#define MISSES_MOST 3
#define WALK_MOST 20000 /* steps */
#define AGAIN 16        /* times: then, unless others can see it, only 32, 64, 128, … */
#define REPEATED 16     /* an instruction repeated more often is thinned out */
#define UNSEEN_SHARE 20 /* of the survivors' operations, after what nobody can see */
#define ENDS 3          /* of these repetitions, at both ends, stay */
#define MIDDLES 8

static struct trace *trace, *recoverer_trace;
static const char *const strike_names[] = {"none", "record", "kill",         "stop",
                                           "call", "exit",   "sleep in call"};

struct points {
    uint32_t *at;
    size_t count;
};

struct run {
    const struct scenario *scenario;
    const struct effort *effort;
    FILE *output;
    struct tally *tally;
};

void campaign_prepare(void) {
    trace = stage_trace(STEPS_MOST);
    recoverer_trace = stage_trace(RECOVERER_STEPS_MOST);
}

/* ---- choosing points ---- */

static bool is_visible(const struct trace *of, size_t point) {
    return point == 0 || (of->flags[point - 1] & (STEP_CALLS | STEP_STORES)) != 0;
}

/* Whether an instruction that comes again and again (a loop) is left out this time. */
static bool is_again(const struct trace *of, size_t point) {
    uint32_t rank = of->ranks[point];
    return rank > AGAIN && (rank & (rank - 1)) != 0;
}

/* Whether a point within a long repetition of one instruction is left out. */
static bool is_thinned(size_t point, size_t start, size_t end) {
    size_t length = end - start, place = point - start;
    if (length <= REPEATED || place < ENDS || place + ENDS >= length)
        return false;
    return place % (length / MIDDLES) != 0;
}

/* At most `most` of the points that are visible, or of the others, evenly. */
static void thin(struct points *points, size_t most) {
    if (points->count <= most)
        return;
    for (size_t i = 0; i < most; i++)
        points->at[i] = points->at[i * points->count / most];
    points->count = most;
}

static struct points all_points(const struct trace *of, bool visible) {
    struct points points = {.at = malloc((of->count + 1) * sizeof *points.at)};
    if (points.at == NULL)
        abort();
    for (size_t start = 0; start <= of->count;) {
        size_t end = start + 1;
        while (end <= of->count && of->addresses[end] == of->addresses[start])
            end++;
        for (size_t i = start; i < end; i++)
            if (is_visible(of, i) == visible && !is_thinned(i, start, end) &&
                (visible || !is_again(of, i)))
                points.at[points.count++] = (uint32_t)i;
        start = end;
    }
    return points;
}

/* ---- playing ---- */

static void tell_failure(const struct run *run, const struct plan *plan,
                         const struct result *result) {
    fprintf(run->output, "# %s: %s at %zu of %zu", run->scenario->name, strike_names[plan->strike],
            plan->point, trace->count);
    if (plan->recovers)
        fprintf(run->output, ", recoverer %s at %zu", strike_names[plan->recoverer_strike],
                plan->recoverer_point);
    fprintf(run->output, ", address %#lx: %s\n", (unsigned long)(result->address - stage_base()),
            result->text);
    fflush(run->output);
}

static bool play(const struct run *run, struct plan *plan) {
    struct result result;
    plan->scenario = run->scenario;
    plan->operations = run->effort->operations;
    if (!plan->seen)
        plan->operations = 1 + plan->operations / UNSEEN_SHARE;
    plan->only_steps = false;
    plan->trace = trace;
    plan->recoverer_trace = recoverer_trace;
    stage_play(plan, &result);
    /* A run that depends on time took another way: again, counting steps. */
    for (int i = 0; i < MISSES_MOST && result.missed && plan->point < WALK_MOST; i++) {
        plan->only_steps = i > 0;
        stage_play(plan, &result);
    }
    run->tally->steps += result.steps;
    run->tally->kills += result.kills;
    run->tally->stops += result.stops;
    run->tally->missed += result.missed;
    run->tally->failed += result.failed;
    if (result.failed)
        tell_failure(run, plan, &result);
    return !result.failed;
}

static void strike_points(const struct run *run, enum strike strike, const struct points *points) {
    size_t failures = 0;
    for (size_t i = 0; i < points->count && failures < FAILURES_MOST; i++) {
        struct plan plan = {
            .strike = strike, .point = points->at[i], .seen = is_visible(trace, points->at[i])};
        failures += !play(run, &plan);
    }
}

/* Every point that others can see, and of the others as many as there is effort for. */
static void strike_steps(const struct run *run, enum strike strike, size_t most) {
    for (int visible = 1; visible >= 0; visible--) {
        struct points points = all_points(trace, visible);
        thin(&points, most);
        strike_points(run, strike, &points);
        free(points.at);
    }
}

static void strike_calls(const struct run *run, enum strike strike, unsigned flag, size_t most) {
    struct points points = {.at = malloc((trace->count + 1) * sizeof *points.at)};
    if (points.at == NULL)
        abort();
    for (size_t i = 0; i < trace->count; i++)
        if ((trace->flags[i] & flag) != 0)
            points.at[points.count++] = (uint32_t)i;
    thin(&points, most);
    run->tally->calls += points.count;
    strike_points(run, strike, &points);
    free(points.at);
}

/* The second victim after a kill at `point`: recorded, then killed at each visible point. */
static bool strike_recoverer(const struct run *run, size_t point, size_t most) {
    struct plan plan = {
        .strike = STRIKE_KILL, .point = point, .recovers = true, .recoverer_strike = STRIKE_RECORD};
    recoverer_trace->done = false;
    if (!play(run, &plan))
        return false;
    if (!recoverer_trace->done)
        return true;
    trace_prepare(recoverer_trace);
    struct points points = all_points(recoverer_trace, true);
    thin(&points, most);
    bool well = true;
    for (size_t i = 0; i < points.count && well; i++) {
        plan.recoverer_strike = STRIKE_KILL;
        plan.recoverer_point = points.at[i];
        run->tally->pairs++;
        well = play(run, &plan);
    }
    free(points.at);
    return well;
}

static void strike_pairs(const struct run *run) {
    size_t failures = 0, most = run->effort->pairs;
    struct points points = all_points(trace, true);
    if (points.count * points.count > most)
        thin(&points, most / points.count > 0 ? most / points.count : 1);
    for (size_t i = 0; i < points.count && failures < FAILURES_MOST; i++)
        failures += !strike_recoverer(run, points.at[i], 1 + most / points.count);
    free(points.at);
}

/* ---- what was reached ---- */

static int compare_addresses(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static void write_addresses(const struct trace *of, FILE *addresses) {
    uint64_t *sorted = malloc((of->count + 1) * sizeof *sorted), last = 0;
    if (sorted == NULL)
        abort();
    memcpy(sorted, of->addresses, of->count * sizeof *sorted);
    qsort(sorted, of->count, sizeof *sorted, compare_addresses);
    for (size_t i = 0; i < of->count; i++) {
        if (sorted[i] != last)
            fprintf(addresses, "%lx\n", (unsigned long)(sorted[i] - stage_base()));
        last = sorted[i];
    }
    free(sorted);
}

static bool record(const struct run *run) {
    struct plan plan = {.strike = STRIKE_RECORD, .seen = true};
    trace->done = false;
    if (!play(run, &plan))
        return false;
    trace_prepare(trace);
    run->tally->length = trace->count;
    for (size_t i = 1; i <= trace->count; i++)
        run->tally->visible += is_visible(trace, i);
    return true;
}

void campaign_run(const struct scenario *scenario, const struct effort *effort, FILE *output,
                  FILE *addresses, struct tally *ret_tally) {
    struct tally tally = {0};
    struct run run = {.scenario = scenario, .effort = effort, .output = output, .tally = &tally};
    size_t share = scenario->cost > 1 ? scenario->cost : 1;
    if (record(&run)) {
        if (addresses != NULL)
            write_addresses(trace, addresses);
        strike_steps(&run, STRIKE_KILL, effort->kills / share);
        strike_steps(&run, STRIKE_STOP, effort->stops / share);
        strike_calls(&run, STRIKE_CALL_ENTRY, STEP_CALLS, effort->calls / share);
        strike_calls(&run, STRIKE_CALL_EXIT, STEP_CALLS, effort->calls / share);
        strike_calls(&run, STRIKE_CALL_SLEEP, STEP_SLEEPS, effort->calls / share);
        if (scenario->recover != NULL)
            strike_pairs(&run);
        if (scenario->recover != NULL && addresses != NULL && recoverer_trace->done)
            write_addresses(recoverer_trace, addresses);
    }
    *ret_tally = tally;
}

bool campaign_again(const struct scenario *scenario, enum strike strike, size_t point,
                    FILE *output) {
    struct tally tally = {0};
    struct effort effort = {.operations = 1000};
    struct run run = {.scenario = scenario, .effort = &effort, .output = output, .tally = &tally};
    if (!record(&run))
        return false;
    struct plan plan = {.strike = strike, .point = point, .seen = true};
    return play(&run, &plan);
}
