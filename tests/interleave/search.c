/* SPDX-License-Identifier: MIT
 *
 * The search: which choice each run takes, which states were there before, what failed. */
#include "inside.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHOICES 20000
#define OUTCOMES 64
#define OUTCOME_SIZE 32

jmp_buf search_escape;

static struct {
    unsigned char taken[CHOICES], count[CHOICES];
    unsigned length, at;
} path;

static struct {
    uint64_t *hashes; /* 0: free */
    size_t size, used;
} visited;

static char failure[512];
static char outcomes[OUTCOMES][OUTCOME_SIZE];
static unsigned outcome_count;

/* ---- choices ---- */

unsigned search_choose(unsigned count) {
    if (count <= 1)
        return 0;
    if (path.at == path.length) {
        if (path.length == CHOICES || count > 255)
            search_fail("a run has too many choices");
        path.taken[path.length] = 0;
        path.count[path.length++] = (unsigned char)count;
    }
    return path.taken[path.at++];
}

bool search_is_new(void) {
    return path.at == path.length;
}

/* The next path in order; false: that was the last. */
static bool next_path(void) {
    while (path.length > 0 && path.taken[path.length - 1] + 1 == path.count[path.length - 1])
        path.length--;
    if (path.length == 0)
        return false;
    path.taken[path.length - 1]++;
    return true;
}

/* ---- states ---- */

static bool put_hash(uint64_t *hashes, size_t size, uint64_t hash) {
    size_t at = hash & (size - 1);
    while (hashes[at] != 0 && hashes[at] != hash)
        at = (at + 1) & (size - 1);
    bool there = hashes[at] == hash;
    hashes[at] = hash;
    return there;
}

static void grow(void) {
    size_t size = visited.size == 0 ? 1 << 16 : visited.size * 4;
    uint64_t *hashes = calloc(size, sizeof *hashes);
    if (hashes == NULL)
        search_fail("no memory for more states");
    for (size_t i = 0; i < visited.size; i++)
        if (visited.hashes[i] != 0)
            put_hash(hashes, size, visited.hashes[i]);
    free(visited.hashes);
    visited.hashes = hashes;
    visited.size = size;
}

bool search_was_here(uint64_t hash) {
    if (visited.used * 2 >= visited.size)
        grow();
    bool there = put_hash(visited.hashes, visited.size, hash | 1);
    visited.used += !there;
    return there;
}

/* ---- ends of a run ---- */

void search_leave(enum run_end end) {
    _longjmp(search_escape, (int)end + 1);
}

void search_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure, sizeof failure, format, arguments);
    va_end(arguments);
    search_leave(RUN_FAILED);
}

void explore_outcome(const char *outcome) {
    for (unsigned i = 0; i < outcome_count; i++)
        if (strcmp(outcomes[i], outcome) == 0)
            return;
    if (outcome_count == OUTCOMES)
        search_fail("a scenario has too many outcomes");
    snprintf(outcomes[outcome_count++], OUTCOME_SIZE, "%s", outcome);
    if (schedule.tracing)
        printf("#   outcome %s\n", outcome);
}

static int compare_outcomes(const void *one, const void *other) {
    return strcmp(one, other);
}

/* All outcomes that were expected, and no other. */
static void check_outcomes(const struct scenario *scenario) {
    char found[OUTCOMES * OUTCOME_SIZE] = "";
    if (scenario->outcomes == NULL)
        return;
    qsort(outcomes, outcome_count, OUTCOME_SIZE, compare_outcomes);
    for (unsigned i = 0; i < outcome_count; i++) {
        strncat(found, i > 0 ? " " : "", sizeof found - strlen(found) - 1);
        strncat(found, outcomes[i], sizeof found - strlen(found) - 1);
    }
    if (strcmp(found, scenario->outcomes) != 0)
        snprintf(failure, sizeof failure, "outcomes %s; expected %s", found, scenario->outcomes);
}

static void forget_states(void) {
    free(visited.hashes);
    visited.hashes = NULL;
    visited.size = visited.used = 0;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void search_run(const struct scenario *scenario, bool every_step, struct search *ret_search) {
    struct search search = {0};
    double started = now();
    path.length = path.at = 0;
    outcome_count = 0;
    forget_states();
    failure[0] = '\0';
    views_forget_locations();
    schedule.scenario = scenario;
    schedule.every_step = every_step;
    for (;;) {
        path.at = 0;
        enum run_end end = schedule_run();
        search.runs++;
        if (schedule.steps > search.deepest)
            search.deepest = schedule.steps;
        if (end == RUN_FAILED)
            break;
        if (end == RUN_LEARNED) {
            forget_states();
            outcome_count = 0;
            path.length = 0;
        } else if (!next_path()) {
            check_outcomes(scenario);
            break;
        }
    }
    search.states = visited.used;
    search.outcomes = outcome_count;
    search.seconds = now() - started;
    search.failure = failure[0] != '\0' ? failure : NULL;
    *ret_search = search;
}

void search_show(void) {
    schedule.tracing = true;
    /* The path stands where it failed: the same choices lead there again. */
    path.length = path.at;
    path.at = 0;
    schedule_run();
    schedule.tracing = false;
}
