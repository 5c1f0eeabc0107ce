/* SPDX-License-Identifier: MIT
 *
 * Limits and targets, and the results as a table or as lines of JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lanes.h"

const char *const what_names[WHAT_COUNT] = {
    [LATENCY] = "latency",
    [STREAM] = "stream",
    [BATCHES] = "batch",
    [WAKE] = "wake",
};

/* What a lane is to reach: a part of the best of these limits, or a rate. */
struct target {
    enum what what;
    size_t least, most; /* sizes */
    const struct way *limits[2];
    double ratio;
    double rate;      /* instead of limits */
    double p99_ratio; /* of the limit's median; 0: none */
};

static const struct target targets[] = {
    {LATENCY, 8, 64, {&way_bounce_two}, 1.1, 0, 2.3},
    {LATENCY, 1024, 1024, {&way_flag, &way_slots}, 0.9, 0, 0},
    {LATENCY, 65536, 65536, {&way_flag, &way_slots}, 0.85, 0, 0},
    {LATENCY, SIZE_MOST, SIZE_MOST, {&way_vm_read}, 1.0, 0, 0},
    {STREAM, 8, 8, {NULL}, 1, 150e6, 0},
    {STREAM, 64, 64, {NULL}, 1, 95e6, 0},
    {STREAM, 1024, 1024, {&way_slots}, 1.05, 0, 0},
    {STREAM, 65536, 65536, {&way_slots}, 1.0, 0, 0},
    {STREAM, SIZE_MOST, SIZE_MOST, {&way_slots}, 0.95, 0, 0},
    {BATCHES, 8, 8, {&way_gathered}, 1.0, 0, 0},
    {BATCHES, 64, 64, {NULL}, 1, 150e6, 0},
    {WAKE, 8, SIZE_MOST, {&way_futex}, 1.1, 0, 0},
};

static const struct target *target_of(const struct cell *cell) {
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        if (targets[i].what == cell->what && cell->size >= targets[i].least &&
            cell->size <= targets[i].most)
            return &targets[i];
    return NULL;
}

static bool is_rate(const struct cell *cell) {
    return cell->what == STREAM || cell->what == BATCHES;
}

static double median(const struct cell *cell) {
    return median_of(cell->value, cell->passes);
}

static const struct cell *cell_of(const struct cell *cells, size_t count, const struct cell *like,
                                  const struct way *way) {
    for (size_t i = 0; i < count; i++)
        if (cells[i].what == like->what && cells[i].size == like->size && cells[i].way == way)
            return &cells[i];
    return NULL;
}

/* The better of the limits of the cell's target. NULL: none was measured. */
static const struct cell *limit_of(const struct cell *cells, size_t count,
                                   const struct cell *cell) {
    const struct target *target = target_of(cell);
    const struct cell *best = NULL;
    for (int i = 0; target != NULL && i < 2; i++) {
        const struct cell *limit = cell_of(cells, count, cell, target->limits[i]);
        if (limit != NULL && (best == NULL || (median(limit) > median(best)) == is_rate(cell)))
            best = limit;
    }
    return best;
}

struct verdict {
    const struct target *target;
    const struct cell *limit; /* NULL: a rate */
    bool known, met, p99_met;
    double ratio, p99_ratio;
};

/* Ratios are taken pass by pass. */
static struct verdict judge(const struct cell *cells, size_t count, const struct cell *cell) {
    struct verdict verdict = {.target = target_of(cell), .limit = limit_of(cells, count, cell)};
    double ratios[PASSES_MOST], p99[PASSES_MOST];
    if (verdict.target == NULL || (verdict.limit == NULL && verdict.target->rate == 0))
        return verdict;
    for (int i = 0; i < cell->passes; i++) {
        double limit = verdict.limit != NULL ? verdict.limit->value[i] : verdict.target->rate;
        ratios[i] = cell->value[i] / limit;
        p99[i] = cell->p99[i] / limit;
    }
    verdict.known = true;
    verdict.ratio = median_of(ratios, cell->passes);
    verdict.p99_ratio = median_of(p99, cell->passes);
    verdict.met = is_rate(cell) ? verdict.ratio >= verdict.target->ratio
                                : verdict.ratio <= verdict.target->ratio;
    verdict.p99_met =
        verdict.target->p99_ratio == 0 || verdict.p99_ratio <= verdict.target->p99_ratio;
    return verdict;
}

/* ---- near and far ---- */

/* Where the processors' distance changes under way (a virtual machine whose processors are
 * moved about), passes are told apart by it: a ratio of limits to lanes is another one near
 * than far. Result: passes with a longer bounce are far; infinite: they are all alike. */
#define APART 3

static double far_from(const struct cell *cells, size_t count) {
    double least = HUGE_VAL, most = 0;
    for (size_t i = 0; i < count; i++)
        for (int pass = 0; pass < cells[i].passes; pass++) {
            least = fmin(least, cells[i].bounce[pass]);
            most = fmax(most, cells[i].bounce[pass]);
        }
    return least > 0 && most > APART * least ? sqrt(least * most) : HUGE_VAL;
}

/* Only the passes with a bounce in that range. */
static size_t pick(const struct cell *cells, size_t count, double least, double most,
                   struct cell *ret_cells) {
    size_t picked = 0;
    for (size_t i = 0; i < count; i++) {
        struct cell *cell = &ret_cells[picked];
        *cell = cells[i];
        cell->passes = 0;
        for (int pass = 0; pass < cells[i].passes; pass++)
            if (cells[i].bounce[pass] >= least && cells[i].bounce[pass] < most) {
                cell->value[cell->passes] = cells[i].value[pass];
                cell->p99[cell->passes] = cells[i].p99[pass];
                cell->bounce[cell->passes++] = cells[i].bounce[pass];
            }
        picked += cell->passes > 0;
    }
    return picked;
}

/* ---- as a table ---- */

static const char *size_text(size_t size, char ret_text[32]) {
    if (size >= 1 << 20)
        snprintf(ret_text, 32, "%zu MiB", size >> 20);
    else if (size >= 1 << 10)
        snprintf(ret_text, 32, "%zu KiB", size >> 10);
    else
        snprintf(ret_text, 32, "%zu B", size);
    return ret_text;
}

static void table_target(const struct verdict *verdict, bool rate) {
    if (!verdict->known)
        return;
    printf("  %5.2f ", verdict->ratio);
    if (verdict->limit != NULL)
        printf("x %-10s", verdict->limit->way->name);
    else
        printf("x %3.0f M/s   ", verdict->target->rate / 1e6);
    printf(" %s %.2f %s", rate ? ">=" : "<=", verdict->target->ratio,
           verdict->met ? "met" : "MISSED");
    if (verdict->target->p99_ratio > 0)
        printf("; p99 %.2f <= %.2f %s", verdict->p99_ratio, verdict->target->p99_ratio,
               verdict->p99_met ? "met" : "MISSED");
}

static void table_row(const struct cell *cells, size_t count, const struct cell *cell) {
    char size[32];
    double low = quantile_of(cell->value, cell->passes, 0.25);
    double high = quantile_of(cell->value, cell->passes, 0.75);
    printf("%-8s%8s  %-14s%3d ", what_names[cell->what], size_text(cell->size, size),
           cell->way->name, cell->passes);
    if (is_rate(cell)) {
        printf("%10.2f M/s (%.2f %.2f)", median(cell) / 1e6, low / 1e6, high / 1e6);
        if (cell->size >= 1024)
            printf("  %.1f GB/s", median(cell) * (double)cell->size / 1e9);
    } else {
        double p99 = median_of(cell->p99, cell->passes);
        double unit = median(cell) >= 10000 ? 1e3 : 1;
        printf("%10.1f %s (%.1f %.1f) p99 %.1f", median(cell) / unit, unit > 1 ? "us" : "ns",
               low / unit, high / unit, p99 / unit);
    }
    struct verdict verdict = judge(cells, count, cell);
    if (!cell->way->reference)
        table_target(&verdict, is_rate(cell));
    puts("");
}

static void report_table(const struct cell *cells, size_t count) {
    size_t judged = 0, missed = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (cells[i].what != cells[i - 1].what || cells[i].size != cells[i - 1].size))
            puts("");
        table_row(cells, count, &cells[i]);
        struct verdict verdict = judge(cells, count, &cells[i]);
        if (!cells[i].way->reference && verdict.known) {
            judged++;
            missed += !verdict.met || !verdict.p99_met;
        }
    }
    printf("\n%zu of %zu targets met\n", judged - missed, judged);
}

/* ---- as JSON ---- */

static void report_json(const struct cell *cells, size_t count, const char *distance) {
    for (size_t i = 0; i < count; i++) {
        const struct cell *cell = &cells[i];
        struct verdict verdict = judge(cells, count, cell);
        printf("{\"distance\":\"%s\",\"what\":\"%s\",\"size\":%zu,\"way\":\"%s\"", distance,
               what_names[cell->what], cell->size, cell->way->name);
        printf(",\"is_reference\":%s,\"passes\":%d", cell->way->reference ? "true" : "false",
               cell->passes);
        printf(",\"bounce_ns\":%.1f", median_of(cell->bounce, cell->passes));
        printf(",\"%s\":%.2f", is_rate(cell) ? "messages_per_s" : "ns", median(cell));
        printf(",\"quartiles\":[%.2f,%.2f]", quantile_of(cell->value, cell->passes, 0.25),
               quantile_of(cell->value, cell->passes, 0.75));
        if (!is_rate(cell))
            printf(",\"p99_ns\":%.2f", median_of(cell->p99, cell->passes));
        if (!cell->way->reference && verdict.known) {
            printf(",\"ratio\":%.4f,\"target\":%.2f,\"of\":\"%s\",\"met\":%s", verdict.ratio,
                   verdict.target->ratio, verdict.limit != NULL ? verdict.limit->way->name : "rate",
                   verdict.met ? "true" : "false");
            if (verdict.target->p99_ratio > 0)
                printf(",\"p99_ratio\":%.4f,\"p99_target\":%.2f,\"p99_met\":%s", verdict.p99_ratio,
                       verdict.target->p99_ratio, verdict.p99_met ? "true" : "false");
        }
        puts("}");
    }
}

static void report_part(const struct cell *cells, size_t count, bool json, const char *distance,
                        double least, double most) {
    static struct cell picked[CELLS_MOST];
    size_t picked_count = pick(cells, count, least, most, picked);
    if (picked_count == 0)
        return;
    if (json) {
        report_json(picked, picked_count, distance);
        return;
    }
    printf("Distance of the processors: %s", distance);
    if (most < HUGE_VAL || least > 0)
        printf(": a word bounces in %s than %.0f ns", least > 0 ? "more" : "less",
               least > 0 ? least : most);
    puts("\n");
    report_table(picked, picked_count);
}

void report(const struct cell *cells, size_t count, bool json) {
    double split = far_from(cells, count);
    if (split == HUGE_VAL) {
        report_part(cells, count, json, "steady", 0, HUGE_VAL);
        return;
    }
    report_part(cells, count, json, "near", 0, split);
    if (!json)
        puts("");
    report_part(cells, count, json, "far", split, HUGE_VAL);
}
