/* SPDX-License-Identifier: MIT
 *
 * Tests that pass, fail, hang and die on purpose, for tests/harness/test_harness.py.
 */
#include "harness/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_passes(void **state) {
    (void)state;
    puts("words of a passing test");
}

static void test_fails(void **state) {
    (void)state;
    puts("words of a failing test");
    assert_int_equal(1, 2);
}

static void test_skips(void **state) {
    (void)state;
    harness_skip("the moon is full");
}

static void test_hangs(void **state) {
    (void)state;
    pause();
}

static void sleep_for_ever(void *context) {
    (void)context;
    for (;;)
        pause();
}

static void test_hangs_with_peer(void **state) {
    (void)state;
    harness_join(harness_fork(sleep_for_ever, NULL));
}

static void test_crashes(void **state) {
    (void)state;
    signal(SIGSEGV, SIG_DFL); /* a sanitizer would make it an exit status */
    raise(SIGSEGV);
}

static void test_exits(void **state) {
    (void)state;
    _exit(3);
}

static void fail_here(void *context) {
    puts("words of a failing peer");
    assert_string_equal(context, "something else");
}

static void test_peer_fails(void **state) {
    (void)state;
    char word[] = "this";
    harness_fork(fail_here, word);
}

static int ready[2];

static void tell_and_sleep(void) {
    if (write(ready[1], "x", 1) == 1)
        pause();
}

static void fail_then_sleep(void *context) {
    (void)context;
    atexit(tell_and_sleep);
    assert_true(false);
}

/* Even if the test then kills the peer on purpose. */
static void test_peer_fails_and_is_killed(void **state) {
    (void)state;
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t peer = harness_fork(fail_then_sleep, NULL);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    harness_signal(peer, SIGKILL);
    harness_wait(peer);
}

static void test_leaves_process(void **state) {
    (void)state;
    if (fork() == 0)
        sleep_for_ever(NULL);
}

static void test_leaves_session(void **state) {
    (void)state;
    if (fork() == 0) {
        setsid();
        sleep_for_ever(NULL);
    }
}

static void do_nothing(void *context) {
    (void)context;
}

static void test_peers(void **state) {
    (void)state;
    harness_fork(do_nothing, NULL); /* joined by the harness */
    harness_join(harness_fork(do_nothing, NULL));
    pid_t killed = harness_fork(sleep_for_ever, NULL);
    harness_signal(killed, SIGKILL);
    int status = harness_wait(killed);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void test_counts(void **state) {
    (void)state;
    size_t descriptors = harness_count_descriptors();
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(harness_count_descriptors(), descriptors + 2);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(harness_count_descriptors(), descriptors);
    assert_true(harness_count_mappings() > 3);
}

static void test_directory(void **state) {
    (void)state;
    char path[256];
    harness_path(path, sizeof path, "locked");
    assert_int_equal(mkdir(path, 0700), 0);
    harness_path(path, sizeof path, "locked/inside");
    assert_int_equal(mkdir(path, 0000), 0);
    printf("directory %s\n", harness_directory());
}

static void run_command(const char *const *argv, const char *input, unsigned seconds,
                        struct harness_result *ret_result) {
    struct harness_command command = {
        .argv = argv, .input = input, .input_size = strlen(input), .seconds = seconds};
    harness_run(&command, ret_result);
}

static void test_commands(void **state) {
    (void)state;
    struct harness_result result;

    run_command((const char *[]){"cat", NULL}, "in and out", 10, &result);
    assert_string_equal(result.output, "in and out");
    assert_int_equal(result.output_size, 10);
    assert_int_equal(result.errors_size, 0);
    assert_int_equal(result.status, 0);
    harness_result_free(&result);

    run_command((const char *[]){"sh", "-c", "echo wrong >&2; exit 7", NULL}, "unread", 10,
                &result);
    assert_string_equal(result.errors, "wrong\n");
    assert_int_equal(result.status, 7);
    harness_result_free(&result);

    run_command((const char *[]){"sh", "-c", "echo first; kill -9 $$", NULL}, "", 10, &result);
    assert_string_equal(result.output, "first\n");
    assert_int_equal(result.status, 128 + 9);
    harness_result_free(&result);

    run_command((const char *[]){"no-such-program", NULL}, "", 10, &result);
    assert_int_equal(result.status, 127);
    harness_result_free(&result);

    /* The command's own children hold its output open. */
    run_command((const char *[]){"sh", "-c", "sleep 1000 & wait", NULL}, "", 1, &result);
    assert_true(result.timed_out);
    harness_result_free(&result);
}

/* More than a pipe holds, both ways at once. */
static void test_big_command(void **state) {
    (void)state;
    size_t size = 3 << 20;
    char *input = malloc(size);
    assert_non_null(input);
    memset(input, 'x', size);
    struct harness_command command = {
        .argv = (const char *[]){"cat", NULL}, .input = input, .input_size = size};
    struct harness_result result;
    harness_run(&command, &result);
    assert_int_equal(result.output_size, size);
    assert_memory_equal(result.output, input, size);
    harness_result_free(&result);
    free(input);
}

static void test_spawn(void **state) {
    (void)state;
    int ends[2];
    char line[8] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t peer =
        harness_spawn((const char *[]){"echo", "hello", NULL}, (const int[]){-1, ends[1], -1});
    close(ends[1]);
    assert_int_equal(read(ends[0], line, sizeof line), 6);
    assert_string_equal(line, "hello\n");
    close(ends[0]);
    harness_join(peer);
}

static void test_context(void **state) {
    assert_string_equal(*state, "from the table");
}

static const struct harness_test tests[] = {
    {.name = "passes", .function = test_passes},
    {.name = "fails", .function = test_fails},
    {.name = "skips", .function = test_skips},
    {.name = "hangs", .function = test_hangs, .seconds = 1},
    {.name = "hangs with peer", .function = test_hangs_with_peer, .seconds = 1},
    {.name = "crashes", .function = test_crashes},
    {.name = "exits", .function = test_exits},
    {.name = "peer fails", .function = test_peer_fails},
    {.name = "peer fails and is killed", .function = test_peer_fails_and_is_killed},
    {.name = "leaves process", .function = test_leaves_process},
    {.name = "leaves session", .function = test_leaves_session},
    {.name = "peers", .function = test_peers},
    {.name = "counts", .function = test_counts},
    {.name = "directory", .function = test_directory},
    {.name = "commands", .function = test_commands},
    {.name = "big command", .function = test_big_command},
    {.name = "spawn", .function = test_spawn},
    {.name = "context", .function = test_context, .context = "from the table"},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
