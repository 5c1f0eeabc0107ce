/* SPDX-License-Identifier: MIT
 *
 * chappe tour: a file between two processes over every mechanism that loses nothing.
 */
#include "tour.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checksum.h"
#include "command.h"
#include "mechanisms.h"
#include "options.h"
#include "port.h"

#define TOUR_FILE_MOST ((off_t)16 << 20) /* of a file that nobody chose */
#define TOUR_READ_MOST ((size_t)1 << 30) /* of a file that tells no size */

#define TOUR_PATH 512

struct tour_values {
    const char *only;
    bool json;
};

const struct option_row tour_options[] = {{.name = "only",
                                           .argument = "SCHEME",
                                           .summary = "only the addresses of this mechanism",
                                           .kind = OPTION_TEXT,
                                           .offset = offsetof(struct tour_values, only)},
                                          {.name = "json",
                                           .summary = "write one JSON object a line and address",
                                           .kind = OPTION_FLAG,
                                           .offset = offsetof(struct tour_values, json)},
                                          {.name = NULL}};

/* Keeps in `path` the largest suitable file of a directory, if it is larger than *size. */
static void tour_search(const char *directory, char path[TOUR_PATH], off_t *size) {
    DIR *entries = opendir(directory);
    struct dirent *entry;

    if (entries == NULL) {
        return;
    }
    while ((entry = readdir(entries)) != NULL) {
        struct stat status;
        char name[TOUR_PATH];
        int length = snprintf(name, sizeof name, "%s/%s", directory, entry->d_name);

        if (length > 0 && (size_t)length < sizeof name && lstat(name, &status) == 0 &&
            S_ISREG(status.st_mode) && status.st_size > *size && status.st_size <= TOUR_FILE_MOST &&
            access(name, R_OK) == 0) {
            memcpy(path, name, (size_t)length + 1);
            *size = status.st_size;
        }
    }
    closedir(entries);
}

static void tour_choose(char path[TOUR_PATH]) {
    static const char *const directories[] = {"/usr/bin", "/usr/lib/x86_64-linux-gnu",
                                              "/usr/lib/aarch64-linux-gnu", "/usr/lib64"};
    off_t size = 0;

    snprintf(path, TOUR_PATH, "/proc/self/exe");
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        tour_search(directories[i], path, &size);
    }
}

/* Reads what cannot be mapped: pipes, and files of /proc that say they are empty. Not what
 * has no end, such as /dev/zero: -EFBIG. */
static int tour_read(struct tour_file *file, int descriptor) {
    size_t capacity = 0;

    for (;;) {
        ssize_t size;

        if (file->size > TOUR_READ_MOST) {
            return -EFBIG;
        }
        if (file->size == capacity) {
            unsigned char *bytes = realloc(file->bytes, capacity == 0 ? TOUR_PIECE : capacity * 2);

            if (bytes == NULL) {
                return -ENOMEM;
            }
            file->bytes = bytes;
            capacity = capacity == 0 ? TOUR_PIECE : capacity * 2;
        }
        size = read(descriptor, file->bytes + file->size, capacity - file->size);
        if (size == 0) {
            return 0;
        }
        if (size < 0 && errno != EINTR) {
            return -errno;
        }
        file->size += size > 0 ? (size_t)size : 0;
    }
}

static int tour_load(struct tour_file *file) {
    bool is_input = strcmp(file->name, "-") == 0;
    int descriptor =
        is_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(file->name, O_RDONLY | O_CLOEXEC);
    struct checksum checksum;
    struct stat status;
    int error = 0;

    if (descriptor < 0) {
        return -errno;
    }
    if (fstat(descriptor, &status) < 0) {
        error = -errno;
    } else if (S_ISREG(status.st_mode) && status.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);

        if (bytes == MAP_FAILED) {
            error = -errno;
        } else {
            file->bytes = bytes;
            file->size = (size_t)status.st_size;
            file->mapped = true;
        }
    } else {
        error = tour_read(file, descriptor);
    }
    close(descriptor);
    if (error == 0) {
        checksum_begin(&checksum);
        checksum_add(&checksum, file->bytes, file->size);
        file->checksum = checksum_sum(&checksum);
    }
    return error;
}

static void tour_unload(struct tour_file *file) {
    if (file->mapped) {
        munmap(file->bytes, file->size);
    } else {
        free(file->bytes);
    }
}

/* Whether the tour tries the addresses of a row. */
static bool tour_tries(const chappe_row *row, const chappe_row *only) {
    return (only == NULL || only == row) &&
           mechanisms_support(row, CHAPPE_CAN_RELIABILITY) == CHAPPE_ACTS &&
           (row->ways & (CHAPPE_WAY_PAIR | CHAPPE_WAY_LISTEN)) != 0;
}

static size_t tour_count(const chappe_row *only) {
    const chappe_row *row;
    size_t count = 0;

    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++) {
        for (size_t j = 0; tour_tries(row, only) && row->trials[j] != NULL; j++) {
            count++;
        }
    }
    return count;
}

/* Tries one address after the other until a signal comes. How many were tried. */
static size_t tour_all(const chappe_row *only, struct tour_report *report, struct signals *signals,
                       struct tour_result *results) {
    const chappe_row *row;
    size_t done = 0;

    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++) {
        for (size_t j = 0; tour_tries(row, only) && row->trials[j] != NULL; j++) {
            if (signals_caught(signals)) {
                return done;
            }
            report->form = row->trials[j];
            report->number = done + 1;
            tour_trial_run(row, row->trials[j], report->file, signals, report, &results[done]);
            tour_report_done(report, &results[done]);
            done++;
        }
    }
    return done;
}

/* The truth about all results: one that is right at least, and none that went wrong. */
static int tour_status(const struct tour_result *results, size_t count) {
    size_t right = 0;

    for (size_t i = 0; i < count; i++) {
        if (results[i].outcome != TOUR_RIGHT && results[i].outcome != TOUR_REFUSED) {
            return STATUS_FAILED;
        }
        right += results[i].outcome == TOUR_RIGHT;
    }
    return right > 0 ? STATUS_DONE : STATUS_FAILED;
}

static void tour_not_tried(const chappe_row *only, struct output *output) {
    const char *separator = "Not tried, because messages may be lost there: ";
    const chappe_row *row;

    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++) {
        if (only == NULL && mechanisms_support(row, CHAPPE_CAN_RELIABILITY) != CHAPPE_ACTS) {
            output_format(output, "%s%s", separator, row->scheme);
            separator = ", ";
        }
    }
    output_text(output, separator[0] == ',' ? ".\n" : "");
}

static int tour_work(const struct tour_values *values, const chappe_row *only,
                     const struct tour_file *file, struct output *output) {
    size_t count = tour_count(only), done;
    struct signals signals;
    struct tour_report report;
    struct tour_result *results;
    int status;

    if (count == 0) {
        complain("%s: may lose messages, so there is no address to try",
                 only != NULL ? only->scheme : "tour");
        return STATUS_FAILED;
    }
    results = calloc(count, sizeof *results);
    status = results == NULL ? -ENOMEM : signals_begin(&signals);
    if (status < 0) {
        complain("tour: %s", strerror(-status));
        free(results);
        return STATUS_FAILED;
    }
    tour_report_begin(&report, file, count);
    done = tour_all(only, &report, &signals, results);
    if (values->json) {
        for (size_t i = 0; i < done; i++) {
            tour_report_json(output, file, &results[i]);
        }
    } else {
        tour_report_table(output, file, results, done);
        tour_not_tried(only, output);
    }
    status = signals.caught != 0 ? STATUS_SIGNAL + signals.caught : tour_status(results, done);
    signals_end(&signals);
    free(results);
    return status;
}

int tour_run(const struct command *command, int argc, char **argv, struct output *output) {
    struct tour_values values = {.only = NULL};
    struct tour_file file = {.size = 0};
    const chappe_row *only = NULL;
    char chosen[TOUR_PATH];
    char **words;
    int count, error;
    int status = options_parse(command, argc, argv, output, &values, &words, &count);

    if (status != 0) {
        return status == OPTIONS_HELPED ? STATUS_DONE : STATUS_USAGE;
    }
    if (values.only != NULL) {
        only = mechanisms_find(values.only);
        if (only == NULL) {
            return mechanisms_unknown(values.only);
        }
    }
    file.name = count > 0 ? words[0] : chosen;
    if (count == 0) {
        tour_choose(chosen);
    }
    error = tour_load(&file);
    if (error < 0) {
        complain("%s: %s", file.name, strerror(-error));
        status = port_status(error);
    } else {
        status = tour_work(&values, only, &file, output);
    }
    tour_unload(&file);
    return status;
}
