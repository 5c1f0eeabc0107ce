/* SPDX-License-Identifier: MIT
 *
 * What the tour tells: progress on standard error while it works, then a table that fits
 * 80 columns, or JSON.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "help.h"
#include "json.h"
#include "tour.h"

#define REPORT_ADDRESS 37 /* columns for the address */

void tour_report_begin(struct tour_report *report, const struct tour_file *file, size_t count) {
    output_begin(&report->error, STDERR_FILENO);
    report->file = file;
    report->number = 0;
    report->count = count;
    report->form = "";
}

void tour_report_progress(struct tour_report *report, const struct tour_shared *shared) {
    static const char *const phases[] = {[TOUR_OPENING] = "opening",
                                         [TOUR_THERE] = "there",
                                         [TOUR_BACK] = "back",
                                         [TOUR_SINGLE] = "one at a time",
                                         [TOUR_CLOSING] = "closing"};

    if (!report->error.terminal) {
        return;
    }
    output_format(&report->error, "\r\033[K%zu of %zu: %.40s  %s, %" PRIu64 " messages",
                  report->number, report->count, report->form, phases[atomic_load(&shared->phase)],
                  atomic_load(&shared->progress));
    (void)output_flush(&report->error);
}

/* A whole number with a comma every three digits. */
static void report_whole(char *text, size_t size, uint64_t number) {
    char digits[32];
    size_t length, used = 0;

    length = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, number);
    for (size_t i = 0; i < length && used + 2 < size; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            text[used++] = ',';
        }
        text[used++] = digits[i];
    }
    text[used] = '\0';
}

/* Below 100 with one decimal place. */
static void report_number(char *text, size_t size, double number) {
    if (number < 99.95) {
        snprintf(text, size, "%.1f", number);
    } else {
        report_whole(text, size, (uint64_t)(number + 0.5));
    }
}

/* Millions of bytes a second. */
static double report_speed(const struct tour_stream *stream) {
    int64_t taken_ns = stream->end_ns - stream->begin_ns;

    return taken_ns > 0 ? (double)stream->received_bytes * 1e3 / (double)taken_ns : 0.0;
}

void tour_report_done(struct tour_report *report, const struct tour_result *result) {
    struct output *error = &report->error;

    if (error->terminal) {
        output_text(error, "\r\033[K");
        (void)output_flush(error);
        return;
    }
    output_format(error, "%zu of %zu: %s: ", report->number, report->count, report->form);
    switch (result->outcome) {
    case TOUR_RIGHT:
        output_text(error, "ok");
        break;
    case TOUR_REFUSED:
        output_text(error, "refused by this machine: ");
        break;
    case TOUR_FAILED:
        output_text(error, "failed: ");
        break;
    case TOUR_INTERRUPTED:
        output_text(error, "interrupted");
        break;
    }
    output_visible(error, result->reason);
    output_text(error, "\n");
    (void)output_flush(error);
}

static void report_file(struct output *output, const struct tour_file *file) {
    char size[32];

    report_whole(size, sizeof size, file->size);
    output_visible(output, file->name);
    output_format(output, "\n%s bytes, checksum %016" PRIx64 "\n\n", size, file->checksum);
}

static void report_cell(struct output *output, double number, size_t width) {
    char text[32];

    report_number(text, sizeof text, number);
    output_cell(output, text, width, true);
}

static void report_row(struct output *output, const struct tour_result *result) {
    uint64_t messages = result->there.messages + result->back.messages + result->singles;
    char text[32];

    output_cell(output, result->form, REPORT_ADDRESS, false);
    if (output_columns(result->form) > REPORT_ADDRESS) {
        output_text(output, "\n");
        output_cell(output, "", REPORT_ADDRESS, false);
    }
    if (result->outcome != TOUR_RIGHT) {
        bool refused = result->outcome == TOUR_REFUSED;

        output_style(output, refused ? STYLE_DIM : STYLE_BAD);
        output_text(output, refused                          ? "  refused by this machine"
                            : result->outcome == TOUR_FAILED ? "  failed"
                                                             : "  interrupted");
        output_style(output, STYLE_PLAIN);
        output_text(output, "\n");
        if (result->reason[0] != '\0') {
            output_text(output, "    ");
            output_wrapped(output, result->reason, 4, HELP_WIDTH);
        }
        return;
    }
    snprintf(text, sizeof text, "%" PRIu64, messages);
    output_cell(output, text, 9, true);
    report_cell(output, (double)result->median_ns / 1e3, 8);
    report_cell(output, (double)result->late_ns / 1e3, 8);
    report_cell(output, report_speed(&result->there), 7);
    if (result->has_back) {
        report_cell(output, report_speed(&result->back), 7);
    } else {
        output_cell(output, output->unicode ? "–" : "-", 7, true);
    }
    output_style(output, STYLE_GOOD);
    output_text(output, "  ok\n");
    output_style(output, STYLE_PLAIN);
}

void tour_report_table(struct output *output, const struct tour_file *file,
                       const struct tour_result *results, size_t count) {
    size_t right = 0, refused = 0, interrupted = 0;

    report_file(output, file);
    output_style(output, STYLE_BOLD);
    output_cell(output, "", REPORT_ADDRESS + 8, false);
    output_cell(output, output->unicode ? "one at a time, µs" : "one at a time, us", 17, true);
    output_cell(output, "whole, MB/s", 14, true);
    output_text(output, "\n");
    output_cell(output, "address", REPORT_ADDRESS, false);
    output_cell(output, "messages", 9, true);
    output_cell(output, "median", 8, true);
    output_cell(output, "99th", 8, true);
    output_cell(output, "there", 7, true);
    output_cell(output, "back", 7, true);
    output_style(output, STYLE_PLAIN);
    output_text(output, "\n");
    for (size_t i = 0; i < count; i++) {
        report_row(output, &results[i]);
        right += results[i].outcome == TOUR_RIGHT;
        refused += results[i].outcome == TOUR_REFUSED;
        interrupted += results[i].outcome == TOUR_INTERRUPTED;
    }
    output_format(output, "\n%zu of %zu right, byte for byte", right, count);
    if (refused > 0) {
        output_format(output, "; %zu refused by this machine", refused);
    }
    if (interrupted > 0) {
        output_format(output, "; %zu interrupted", interrupted);
    }
    if (right + refused + interrupted < count) {
        output_format(output, "; %zu failed", count - right - refused - interrupted);
    }
    output_text(output, ".\n");
}

void tour_report_json(struct output *output, const struct tour_file *file,
                      const struct tour_result *result) {
    static const char *const outcomes[] = {[TOUR_RIGHT] = "right",
                                           [TOUR_REFUSED] = "refused",
                                           [TOUR_FAILED] = "failed",
                                           [TOUR_INTERRUPTED] = "interrupted"};

    output_text(output, "{\"address\":");
    json_string(output, result->form);
    output_text(output, ",\"scheme\":");
    json_string(output, result->row->scheme);
    output_format(output, ",\"outcome\":\"%s\"", outcomes[result->outcome]);
    if (result->outcome != TOUR_RIGHT) {
        output_text(output, ",\"reason\":");
        json_string(output, result->reason);
        output_text(output, "}\n");
        return;
    }
    output_text(output, ",\"file\":");
    json_string(output, file->name);
    output_format(output, ",\"bytes\":%zu,\"checksum\":\"%016" PRIx64 "\",\"messages\":%" PRIu64,
                  file->size, file->checksum,
                  result->there.messages + result->back.messages + result->singles);
    output_format(output, ",\"median_us\":%.3f,\"p99_us\":%.3f,\"there_mb_per_s\":%.1f",
                  (double)result->median_ns / 1e3, (double)result->late_ns / 1e3,
                  report_speed(&result->there));
    if (result->has_back) {
        output_format(output, ",\"back_mb_per_s\":%.1f", report_speed(&result->back));
    }
    output_text(output, "}\n");
}
