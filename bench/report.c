/* SPDX-License-Identifier: MIT
 *
 * Targets, and the results as a table or as JSON. */
#include "bench.h"

#define TIME_MOST 1.10
#define RATE_LEAST 0.90
#define ALLOCATIONS_MOST 0.01 /* a message: one per message would be 1 */

const char *const kind_names[KIND_COUNT] = {
    [KIND_PIPE] = "pipe",
    [KIND_STREAM] = "stream",
    [KIND_SEQPACKET] = "seqpacket",
    [KIND_DATAGRAM] = "datagram",
};
const char *const what_names[WHAT_COUNT] = {
    [LATENCY] = "latency",
    [THROUGHPUT] = "throughput",
    [BATCH] = "batch",
    [BATCH_IN_PLACE] = "batch-in-place",
};
const char *const place_names[PLACE_COUNT] = {
    [TWO_CPUS] = "two-cpus",
    [UNPINNED] = "unpinned",
    [ONE_CPU] = "one-cpu",
};

bool is_rate(const struct row *row) {
    return row->what >= BATCH;
}

bool has_target(const struct row *row) {
    return row->what != BATCH_IN_PLACE;
}

double target_of(const struct row *row) {
    return is_rate(row) ? RATE_LEAST : TIME_MOST;
}

double result_of(const struct row *row) {
    return is_rate(row) ? 1 / row->ratio : row->ratio;
}

bool is_met(const struct row *row) {
    double result = result_of(row);
    if (!has_target(row))
        return true;
    return is_rate(row) ? result >= target_of(row) : result <= target_of(row);
}

bool allocates(const struct row *row) {
    return row->allocations > ALLOCATIONS_MOST;
}

static const char *size_text(size_t size, char ret_text[32]) {
    if (size >= 1 << 20)
        snprintf(ret_text, 32, "%zu MiB", size >> 20);
    else if (size >= 1 << 10)
        snprintf(ret_text, 32, "%zu KiB", size >> 10);
    else
        snprintf(ret_text, 32, "%zu B", size);
    return ret_text;
}

void report_table_start(enum place place) {
    static const char *const titles[PLACE_COUNT] = {
        [TWO_CPUS] = "Two processes, pinned to a CPU each",
        [UNPINNED] = "Two processes, not pinned",
        [ONE_CPU] = "Two processes on one CPU (waking costs least, so overhead shows most)",
    };
    printf("\n%s\n", titles[place]);
    puts("                               by hand   chappe  ratio  (quartiles)    p99  target");
}

/* A batch shows millions of messages per second, all else microseconds a message. */
void report_table_row(const struct row *row) {
    char size[32], p99[16] = "";
    static const char *const titles[WHAT_COUNT] = {
        [LATENCY] = "latency us",
        [THROUGHPUT] = "stream us",
        [BATCH] = "batch M/s",
        [BATCH_IN_PLACE] = "in place M/s",
    };
    double shown[2];
    for (int way = 0; way < 2; way++)
        shown[way] = is_rate(row) ? 1e3 / row->ns[way] : row->ns[way] / 1e3;
    double ends[2] = {row->ratio_low, row->ratio_high};
    if (is_rate(row)) {
        ends[0] = 1 / row->ratio_high;
        ends[1] = 1 / row->ratio_low;
    }
    if (row->what == LATENCY)
        snprintf(p99, sizeof p99, "%.2f", row->p99[1] / row->p99[0]);
    printf("%-9s %7s %-12s%8.2f %8.2f  %5.2f  (%4.2f %4.2f)  %5s  ", kind_names[row->kind],
           size_text(row->size, size), titles[row->what], shown[0], shown[1], result_of(row),
           ends[0], ends[1], p99);
    if (has_target(row))
        printf("%s%.2f %s\n", is_rate(row) ? ">=" : "<=", target_of(row),
               is_met(row) ? "pass" : "MISS");
    else
        puts("none");
    fflush(stdout);
}

static void json_row(const struct row *row) {
    printf("{\"place\":\"%s\",\"mechanism\":\"%s\",\"size\":%zu,\"what\":\"%s\"",
           place_names[row->place], kind_names[row->kind], row->size, what_names[row->what]);
    printf(",\"ns_by_hand\":%.1f,\"ns_chappe\":%.1f", row->ns[0], row->ns[1]);
    if (row->what == LATENCY)
        printf(",\"p99_ns_by_hand\":%.1f,\"p99_ns_chappe\":%.1f", row->p99[0], row->p99[1]);
    printf(",\"time_ratio\":%.4f,\"time_ratio_quartiles\":[%.4f,%.4f],\"pairs\":%d", row->ratio,
           row->ratio_low, row->ratio_high, row->pairs);
    printf(",\"allocations_per_message\":%.6f", row->allocations);
    printf(",\"result\":%.4f", result_of(row));
    if (has_target(row))
        printf(",\"target\":{\"of\":\"%s\",\"%s\":%.2f},\"pass\":%s",
               is_rate(row) ? "rate" : "time", is_rate(row) ? "least" : "most", target_of(row),
               is_met(row) ? "true" : "false");
    fputs("}", stdout);
}

void report_json(const struct row *rows, size_t count) {
    puts("[");
    for (size_t i = 0; i < count; i++) {
        json_row(&rows[i]);
        puts(i + 1 < count ? "," : "");
    }
    puts("]");
}
