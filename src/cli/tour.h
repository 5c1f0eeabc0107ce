/* SPDX-License-Identifier: MIT
 *
 * What the parts of the tour share: the file, the memory in which the two processes of a
 * trial report to the one that started them, and the result.
 *
 *   tour.c        the command: which file, which addresses, the exit status
 *   tour_trial.c  one address: starts two processes, watches them, ends them
 *   tour_side.c   what these two processes do
 *   tour_report.c progress, table, JSON
 */
#ifndef CHAPPE_CLI_TOUR_H
#define CHAPPE_CLI_TOUR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <chappe/chappe.h>

#include "output.h"
#include "signals.h"

#define TOUR_PIECE ((size_t)65536) /* bytes of a message */
#define TOUR_SINGLES 2000          /* messages that are timed one at a time */
#define TOUR_PATIENCE_MS 60000     /* without any progress */
#define TOUR_REASON 512

struct tour_file {
    const char *name;
    unsigned char *bytes;
    size_t size;
    bool mapped; /* bytes is a mapping, otherwise allocated */
    uint64_t checksum;
};

/* One way of the whole file. */
struct tour_stream {
    int64_t begin_ns; /* before the first send */
    int64_t end_ns;   /* the receiver has read all */
    uint64_t sent_checksum, received_checksum;
    uint64_t sent_bytes, received_bytes;
    uint64_t messages;
};

/* Why a side gave up. */
struct tour_failure {
    _Atomic bool complete; /* set last */
    int64_t at_ns;
    int error; /* a negative errno, or 0 where it is no matter of the kernel */
    bool opening;
    char reason[TOUR_REASON];
};

enum tour_phase { TOUR_OPENING, TOUR_THERE, TOUR_BACK, TOUR_SINGLE, TOUR_CLOSING };

/* Memory of a trial that all three processes see. */
struct tour_shared {
    _Atomic uint64_t progress; /* messages received so far, and phases begun */
    _Atomic int phase;
    struct tour_failure failures[2];
    struct tour_stream there, back;
    uint64_t singles;
    int64_t sent_ns[TOUR_SINGLES], received_ns[TOUR_SINGLES];
};

struct tour_trial {
    const chappe_row *row;
    const char *form;    /* the address as the row gives it, with {dir} */
    const char *address; /* to be used */
    bool back;           /* there is a way back */
};

enum tour_outcome { TOUR_RIGHT, TOUR_REFUSED, TOUR_FAILED, TOUR_INTERRUPTED };

struct tour_result {
    const chappe_row *row;
    const char *form;
    enum tour_outcome outcome;
    char reason[TOUR_REASON];
    bool has_back;
    struct tour_stream there, back;
    uint64_t singles;
    int64_t median_ns, late_ns; /* of single messages: the middle, and the 99th of 100 */
};

/* Where the progress is told. */
struct tour_report {
    struct output error; /* standard error */
    size_t number, count;
    const char *form;
    const struct tour_file *file;
};

/* The two processes: one makes the name, one uses it; of a pair, each has an end. */
enum tour_role { TOUR_KEEPER, TOUR_OPENER };

/* Works as one of them until all is done; what it found is in the shared memory. The
 * exit status of the process. `end` is its end of a pair, or NULL. */
int tour_side_run(enum tour_role role, const struct tour_trial *trial, const struct tour_file *file,
                  struct tour_shared *shared, int control, chappe_endpoint *end);

/* Tries one address. `form` may name {dir}. */
void tour_trial_run(const chappe_row *row, const char *form, const struct tour_file *file,
                    struct signals *signals, struct tour_report *report,
                    struct tour_result *result);

/* Nanoseconds on CLOCK_MONOTONIC. */
int64_t tour_now(void);

void tour_report_begin(struct tour_report *report, const struct tour_file *file, size_t count);
void tour_report_progress(struct tour_report *report, const struct tour_shared *shared);
void tour_report_done(struct tour_report *report, const struct tour_result *result);
void tour_report_table(struct output *output, const struct tour_file *file,
                       const struct tour_result *results, size_t count);
void tour_report_json(struct output *output, const struct tour_file *file,
                      const struct tour_result *result);

#endif
