/* SPDX-License-Identifier: MIT
 *
 * lanes: messages in shared memory beside the limits of the machine, in one run. README.md
 * tells how to read it, docs/PERFORMANCE.md what it told. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lanes.h"

#define ONLY_MOST 16
#define TRIES 4 /* of a pass */

static const struct way *const ways[] = {
    &way_bounce_one, &way_bounce_two,    &way_flag,    &way_slots,  &way_slots_futex,
    &way_futex,      &way_eventfd,       &way_vm_read, &way_memcpy, &way_gathered,
    &way_lane,       &way_lane_adaptive, &way_unix,    &way_shm,    &way_shm_spin,
    &way_shm_sleep,  &way_shm_read,
};

struct request {
    struct effort effort;
    bool json, list;
    const char *only[ONLY_MOST];
    int only_count;
};

static const char usage[] =
    "usage: lanes [--passes N] [--slice MS] [--one-cpu] [--json] [--only NAME]... [--list]\n"
    "             [--real-time] [--ring BYTES] [--gap PAUSES]\n"
    "  --only NAME   a way (see --list), latency stream batch wake, or a size: 8 48 64 1K 64K 1M;\n"
    "                of several, a cell has to be named once for each kind of name\n"
    "  --passes N    whole rounds over all cells; medians are taken over them (7)\n"
    "  --slice MS    length of each run (25)\n"
    "  --one-cpu     both processes on one CPU: only what sleeps\n"
    "  --real-time   as real-time processes, which other work does not disturb (root)\n"
    "  --ring BYTES  for lanes used directly and slots; --gap: pauses between two looks\n"
    "Exit status: 0 measured, 2 not.\n";

static _Noreturn void misused(const char *what) {
    fprintf(stderr, "lanes: %s\n%s", what, usage);
    exit(2);
}

static size_t number_of(const char *text, unsigned long most) {
    char *after;
    unsigned long number = strtoul(text, &after, 10);
    if (*text < '0' || *text > '9' || *after != '\0' || number > most)
        misused("a number that cannot be");
    return number;
}

/* ---- which cells ---- */

static size_t size_named(const char *name) {
    char *after;
    size_t size = strtoul(name, &after, 10);
    return *after == 'K' ? size << 10 : *after == 'M' ? size << 20 : size;
}

enum name_kind { NAME_WHAT, NAME_SIZE, NAME_WAY, NAME_KINDS };

static enum name_kind kind_of(const char *name) {
    if (*name >= '0' && *name <= '9')
        return NAME_SIZE;
    for (int what = 0; what < WHAT_COUNT; what++)
        if (strcmp(name, what_names[what]) == 0)
            return NAME_WHAT;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (strcmp(name, ways[i]->name) == 0)
            return NAME_WAY;
    misused("an unknown name");
}

static bool is_wanted(const struct request *request, const struct cell *cell) {
    bool asked[NAME_KINDS] = {false}, named[NAME_KINDS] = {false};
    for (int i = 0; i < request->only_count; i++) {
        const char *name = request->only[i];
        enum name_kind kind = kind_of(name);
        asked[kind] = true;
        named[kind] |= strcmp(name, what_names[cell->what]) == 0 ||
                       strcmp(name, cell->way->name) == 0 ||
                       (kind == NAME_SIZE && size_named(name) == cell->size);
    }
    for (int kind = 0; kind < NAME_KINDS; kind++)
        if (asked[kind] && !named[kind])
            return false;
    return true;
}

static size_t list_cells(const struct request *request, struct cell *cells) {
    static const size_t sizes[WHAT_COUNT][8] = {
        [LATENCY] = {8, 48, 64, 1 << 10, 64 << 10, 1 << 20},
        [STREAM] = {8, 64, 1 << 10, 64 << 10, 1 << 20},
        [BATCHES] = {8, 64, 1 << 10},
        [WAKE] = {64},
    };
    size_t count = 0;
    for (int what = 0; what < WHAT_COUNT; what++)
        for (const size_t *size = sizes[what]; *size > 0; size++)
            for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
                struct cell *cell = &cells[count];
                memset(cell, 0, sizeof *cell);
                cell->what = (enum what)what;
                cell->size = *size;
                cell->way = ways[i];
                if (*size < ways[i]->least[what] || *size > ways[i]->most[what] ||
                    (request->effort.one_cpu && (!ways[i]->sleeps || what == WAKE)))
                    continue;
                count += is_wanted(request, cell);
            }
    return count;
}

/* ---- the command ---- */

/* One pass over cells of one kind and size, with a look at the processors' distance before
 * and after. If it has changed meanwhile, or a process was not given its processor, the pass
 * tells nothing; but the last try has to do. */
static bool run_group(struct cell *cells, size_t count, const struct effort *effort, bool last) {
    struct cell probe[2] = {{.way = &way_bounce_two, .size = 8},
                            {.way = &way_bounce_two, .size = 8}};
    struct effort short_one = {.slice_ms = 2, .real_time = effort->real_time};
    bool all = effort->one_cpu || run_cell(&probe[0], &short_one);
    for (size_t i = 0; i < count; i++)
        all = run_cell(&cells[i], effort) && all;
    all = (effort->one_cpu || run_cell(&probe[1], &short_one)) && all;
    /* Not the median: others may have had the processors for part of the look. */
    double before = probe[0].p10[0], after = probe[1].p10[0];
    if (!all || (!last && (before > 1.5 * after || after > 1.5 * before))) {
        for (size_t i = 0; i < count; i++)
            cells[i].passes--;
        return false;
    }
    for (size_t i = 0; i < count; i++)
        cells[i].bounce[cells[i].passes - 1] = (before + after) / 2;
    return true;
}

static void run_all(struct cell *cells, size_t count, const struct effort *effort) {
    for (int pass = 0; pass < effort->passes; pass++)
        for (size_t from = 0, to; from < count; from = to) {
            for (to = from; to < count && cells[to].what == cells[from].what &&
                            cells[to].size == cells[from].size;)
                to++;
            for (int i = 0; i < TRIES; i++)
                if (run_group(cells + from, to - from, effort, i == TRIES - 1))
                    break;
        }
}

/* A word that takes this long to bounce was waiting for a processor, not for a line. */
#define DISTURBED_NS 5000

static void warn_if_disturbed(const struct cell *cells, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (cells[i].passes > 0 && median_of(cells[i].bounce, cells[i].passes) > DISTURBED_NS) {
            fputs("lanes: other work had the processors, the ratios tell little: --real-time\n",
                  stderr);
            return;
        }
}

static void list_ways(void) {
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        printf("%-14s %-9s %s\n", ways[i]->name, ways[i]->reference ? "reference" : "",
               ways[i]->note);
}

static void read_options(int count, char **words, struct request *request) {
    static const struct option options[] = {
        {"passes", required_argument, NULL, 'p'},
        {"slice", required_argument, NULL, 's'},
        {"one-cpu", no_argument, NULL, '1'},
        {"json", no_argument, NULL, 'j'},
        {"only", required_argument, NULL, 'o'},
        {"list", no_argument, NULL, 'l'},
        {"ring", required_argument, NULL, 'r'},
        {"gap", required_argument, NULL, 'g'},
        {"real-time", no_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;
    while ((option = getopt_long(count, words, "", options, NULL)) >= 0) {
        if (option == 'p')
            request->effort.passes = (int)number_of(optarg, PASSES_MOST);
        else if (option == 's')
            request->effort.slice_ms = number_of(optarg, 10000);
        else if (option == '1')
            request->effort.one_cpu = true;
        else if (option == 't')
            request->effort.real_time = true;
        else if (option == 'j')
            request->json = true;
        else if (option == 'l')
            request->list = true;
        else if (option == 'r')
            request->effort.ring = number_of(optarg, 1ul << 30);
        else if (option == 'g')
            request->effort.gap = (uint32_t)number_of(optarg, 10000);
        else if (option == 'o' && request->only_count < ONLY_MOST)
            request->only[request->only_count++] = optarg;
        else if (option == 'h')
            exit(fputs(usage, stdout) < 0 ? 2 : 0);
        else
            misused("see below");
    }
    if (optind < count || request->effort.passes < 1 || request->effort.slice_ms < 1)
        misused("see below");
}

int main(int count, char **words) {
    static struct cell cells[CELLS_MOST];
    struct request request = {.effort = {.passes = 7, .slice_ms = 25}};
    read_options(count, words, &request);
    if (request.list) {
        list_ways();
        return 0;
    }
    size_t wanted = list_cells(&request, cells);
    if (wanted == 0)
        misused("no cell has all these names");
    if (!request.effort.one_cpu && sysconf(_SC_NPROCESSORS_ONLN) < 2)
        fail("there is only one CPU: --one-cpu");
    run_all(cells, wanted, &request.effort);
    report(cells, wanted, request.json);
    warn_if_disturbed(cells, wanted);
    return 0;
}
