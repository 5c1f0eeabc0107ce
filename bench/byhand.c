/* SPDX-License-Identifier: MIT
 *
 * byhand: the same messages through chappe and by hand-written system calls, in one run.
 * README.md tells what is measured and how to read it. */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>

#include "bench.h"

#define ROWS_MOST 128
#define ONLY_MOST 8

struct request {
    bool json;
    struct effort effort;
    const char *only[ONLY_MOST];
    int only_count;
};

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fputs("byhand: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

/* ---- which rows ---- */

static const char *size_name(size_t size, char ret_name[32]) {
    if (size >= 1 << 20)
        snprintf(ret_name, 32, "%zuM", size >> 20);
    else if (size >= 1 << 10)
        snprintf(ret_name, 32, "%zuK", size >> 10);
    else
        snprintf(ret_name, 32, "%zu", size);
    return ret_name;
}

static bool is_named(const struct row *row, const char *name) {
    char size[32];
    return strcmp(name, place_names[row->place]) == 0 || strcmp(name, kind_names[row->kind]) == 0 ||
           strcmp(name, what_names[row->what]) == 0 ||
           strcmp(name, size_name(row->size, size)) == 0;
}

static size_t list_rows(const struct request *request, struct row *ret_rows) {
    static const struct row batches[] = {
        {.kind = KIND_STREAM, .what = BATCH, .size = 8},
        {.kind = KIND_STREAM, .what = BATCH, .size = 64},
        {.kind = KIND_PIPE, .what = BATCH, .size = 8},
        {.kind = KIND_PIPE, .what = BATCH, .size = 64},
        {.kind = KIND_STREAM, .what = BATCH_IN_PLACE, .size = 8},
        {.kind = KIND_STREAM, .what = BATCH_IN_PLACE, .size = 64},
    };
    static const size_t sizes[] = {64, 1 << 10, 64 << 10, 1 << 20};
    struct row all[ROWS_MOST];
    size_t count = 0, kept = 0;
    for (int place = 0; place < PLACE_COUNT; place++) {
        size_t first = count;
        for (int kind = 0; kind < KIND_COUNT; kind++)
            for (int what = LATENCY; what <= THROUGHPUT; what++)
                for (size_t i = 0; i < 4; i++)
                    all[count++] = (struct row){
                        .kind = (enum kind)kind, .what = (enum what)what, .size = sizes[i]};
        memcpy(all + count, batches, sizeof batches);
        count += sizeof batches / sizeof batches[0];
        for (size_t i = first; i < count; i++)
            all[i].place = (enum place)place;
    }
    for (size_t i = 0; i < count; i++) {
        bool wanted = true;
        for (int k = 0; k < request->only_count; k++)
            wanted = wanted && is_named(&all[i], request->only[k]);
        if (wanted)
            ret_rows[kept++] = all[i];
    }
    return kept;
}

/* ---- the command ---- */

static const char usage[] =
    "usage: byhand [--quick] [--json] [--only NAME]... [--pairs N] [--slice MS]\n"
    "       byhand --trace WAY MECHANISM WHAT SIZE COUNT\n"
    "  --only NAME  rows with that name only; several: rows with all of them.\n"
    "               two-cpus unpinned one-cpu; pipe stream seqpacket datagram;\n"
    "               latency throughput batch batch-in-place; 8 64 1K 64K 1M\n"
    "  --quick      fewer and shorter runs\n"
    "  --trace      COUNT messages one way only, to be run under strace\n"
    "Exit status: 0 all targets met, 1 some missed, 2 not measured.\n";

static _Noreturn void misused(const char *what) {
    fprintf(stderr, "byhand: %s\n%s", what, usage);
    exit(2);
}

static long number_of(const char *text, long most) {
    char *after;
    long number = strtol(text, &after, 10);
    if (*text == '\0' || *after != '\0' || number < 1 || number > most)
        misused("a number that cannot be");
    return number;
}

static int index_of(const char *name, const char *const *names, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    misused("an unknown name");
}

static int trace(char **words, int count) {
    if (count != 5)
        misused("--trace takes five words");
    static const char *const way_names[] = {"by-hand", "chappe"};
    const struct way *way =
        index_of(words[0], way_names, 2) == 0 ? &way_by_hand : &way_through_chappe;
    struct row row = {.place = TWO_CPUS,
                      .kind = (enum kind)index_of(words[1], kind_names, KIND_COUNT),
                      .what = (enum what)index_of(words[2], what_names, WHAT_COUNT),
                      .size = (size_t)number_of(words[3], SIZE_MOST)};
    measure_traced(&row, way, (uint64_t)number_of(words[4], 100000000));
    return 0;
}

static bool read_options(int count, char **words, struct request *request) {
    static const struct option options[] = {
        {"quick", no_argument, NULL, 'q'},       {"json", no_argument, NULL, 'j'},
        {"only", required_argument, NULL, 'o'},  {"pairs", required_argument, NULL, 'p'},
        {"slice", required_argument, NULL, 's'}, {"trace", no_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},        {0},
    };
    int option;
    while ((option = getopt_long(count, words, "+", options, NULL)) >= 0) {
        if (option == 't')
            return false;
        if (option == 'q')
            request->effort = (struct effort){.rounds = 1, .pairs = 5, .slice_ns = 5000000};
        else if (option == 'j')
            request->json = true;
        else if (option == 'p')
            request->effort.pairs = (int)number_of(optarg, 1000);
        else if (option == 's')
            request->effort.slice_ns = number_of(optarg, 10000) * 1000000;
        else if (option == 'o' && request->only_count < ONLY_MOST)
            request->only[request->only_count++] = optarg;
        else if (option == 'h')
            exit(fputs(usage, stdout) < 0 ? 2 : 0);
        else
            misused("see below");
    }
    if (optind < count)
        misused("too many words");
    return true;
}

/* What the table does not show row by row. Result: are all targets met? */
static bool sum_up(const struct row *rows, size_t count, bool table) {
    size_t targets = 0, missed = 0, allocating = 0;
    for (size_t i = 0; i < count; i++) {
        targets += has_target(&rows[i]);
        missed += !is_met(&rows[i]);
        allocating += allocates(&rows[i]);
    }
    if (!table)
        return missed + allocating == 0;
    puts("");
    for (size_t i = 0; i < count; i++)
        if (allocates(&rows[i]))
            printf("allocates: %s %s %s %zu B: %.4f a message\n", place_names[rows[i].place],
                   kind_names[rows[i].kind], what_names[rows[i].what], rows[i].size,
                   rows[i].allocations);
    printf("%zu of %zu targets met; allocations per message once warm: %s\n", targets - missed,
           targets, allocating == 0 ? "none" : "see above");
    return missed + allocating == 0;
}

int main(int count, char **words) {
    struct request request = {.effort = {.rounds = 3, .pairs = 5, .slice_ns = 15000000}};
    if (!read_options(count, words, &request))
        return trace(words + optind, count - optind);
    struct row rows[ROWS_MOST];
    size_t wanted = list_rows(&request, rows), measured = 0;
    if (wanted == 0)
        misused("no row has all these names");
    if (!request.json)
        printf("chappe and hand-written system calls, medians of %d pairs of runs\n",
               request.effort.rounds * request.effort.pairs);
    int place = -1;
    for (size_t i = 0; i < wanted; i++) {
        const char *reason;
        if (!measure(&rows[i], &request.effort, &reason)) {
            if (i == 0 || rows[i].place != rows[i - 1].place)
                fprintf(stderr, "byhand: left out: %s: %s\n", place_names[rows[i].place], reason);
            continue;
        }
        if (!request.json && place != (int)rows[i].place)
            report_table_start(rows[i].place);
        place = (int)rows[i].place;
        rows[measured++] = rows[i];
        if (!request.json)
            report_table_row(&rows[measured - 1]);
    }
    if (request.json)
        report_json(rows, measured);
    bool met = sum_up(rows, measured, !request.json);
    return measured == 0 ? 2 : met ? 0 : 1;
}
