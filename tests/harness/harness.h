/* SPDX-License-Identifier: MIT
 *
 * The test harness: every test of a table runs in a process of its own, under a
 * time limit, and is reported as one TAP line. cmocka's assert_… macros work in
 * the test and in the peers that it forks.
 *
 *     static void test_adds(void **state) {
 *         assert_int_equal(1 + 1, 2);
 *     }
 *
 *     static const struct harness_test tests[] = {
 *         {.name = "adds", .function = test_adds},
 *         {.name = "waits", .function = test_waits, .seconds = 10},
 *     };
 *
 *     int main(int argc, char **argv) {
 *         return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
 *     }
 *
 * A test fails when an assertion fails in it or in a peer, when it dies or runs
 * out of time, and when it leaves a process behind.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#define HARNESS_SECONDS 60 /* the time limit of a test that states none */

struct harness_test {
    const char *name;               /* unique in its program; no '#' and no newline */
    void (*function)(void **state); /* *state is the context */
    unsigned seconds;               /* time limit; 0 = HARNESS_SECONDS */
    const void *context;            /* for tables that are made from another table */
};

/* Runs the tests that the arguments select and prints TAP. Arguments: patterns as of
 * the shell (without * ? [ a part of the name is enough), -l lists, -v shows also
 * what passing tests print. The exit status for main: 0, or 1 if a test failed. */
int harness_main(int argc, char **argv, const struct harness_test *tests, size_t count);

/* Ends the test as skipped. Not in a peer. The reason is one line. */
__attribute__((noreturn)) void harness_skip(const char *reason);

/* A directory that was empty when the test began; removed with its contents after the
 * test, however that ends. Short, so that names of sockets fit. */
const char *harness_directory(void);

/* Writes DIRECTORY/name to `path`. The test fails if it does not fit. */
void harness_path(char *path, size_t size, const char *name);

/* How many descriptors this process has open (/proc/self/fd), and how many lines its map
 * of memory has (/proc/self/maps). */
size_t harness_count_descriptors(void);
size_t harness_count_mappings(void);

/* The built chappe program, and the root of the source tree; from CHAPPE_PROGRAM and
 * CHAPPE_SOURCE. The test fails if they are not set. */
const char *harness_program(void);
const char *harness_source(void);

/* ---- peers: other processes of the same test ------------------------------- */

/* Forks a process that calls function(context) and exits with 0, or with 1 after a
 * failed assertion, which fails the test even if the peer is killed after it. */
pid_t harness_fork(void (*function)(void *context), void *context);

/* Starts a program found in PATH, no shell. descriptors: its standard input, output
 * and error; -1 means /dev/null for input, and the test's own for the others. NULL:
 * all -1. Nothing else is inherited that is close-on-exec. */
pid_t harness_spawn(const char *const *argv, const int descriptors[3]);

/* Waits for a peer; the test fails unless it exited with status 0. */
void harness_join(pid_t peer);

/* Waits for a peer that may have been killed. Result: the status as of waitpid(). */
int harness_wait(pid_t peer);

/* Sends a signal to a peer that was not waited for yet. */
void harness_signal(pid_t peer, int signal);

/* ---- commands --------------------------------------------------------------- */

struct harness_command {
    const char *const *argv; /* NULL ends it; the program is found in PATH, no shell */
    const void *input;       /* for its standard input, which then ends */
    size_t input_size;
    unsigned seconds; /* time limit; 0 = HARNESS_SECONDS */
};

struct harness_result {
    int status;     /* exit status; 128 + signal if killed; 127 if it could not be started */
    bool timed_out; /* it was killed at its limit */
    char *output;   /* standard output, with a NUL byte behind it */
    size_t output_size;
    char *errors; /* standard error, likewise */
    size_t errors_size;
};

/* Runs a command to its end. An input that it does not read to the end is no failure. */
void harness_run(const struct harness_command *command, struct harness_result *ret_result);

void harness_result_free(struct harness_result *result);

#endif
