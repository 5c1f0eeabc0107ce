/* SPDX-License-Identifier: MIT
 *
 * A stand-in for the harness and for cmocka, where there is no cmocka: as much of both as the
 * tests of the memory floor use. Each test is a process of its own, with a time limit. */
#ifndef HARNESS_H
#define HARNESS_H

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define HARNESS_SECONDS 120

struct harness_test {
    const char *name;
    void (*function)(void **state);
    unsigned seconds;
    const void *context;
};

struct harness_page {
    atomic_bool failed;
    atomic_bool skipped;
    char directory[64];
};

static struct harness_page *harness_page;

__attribute__((noreturn, format(printf, 3, 4), unused)) static void
harness_fail(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("# %s:%d: ", file, line);
    vprintf(format, arguments);
    puts("");
    va_end(arguments);
    fflush(stdout);
    atomic_store(&harness_page->failed, true);
    _exit(1);
}

__attribute__((noreturn, unused)) static void harness_skip(const char *reason) {
    printf("# %s\n", reason);
    fflush(stdout);
    atomic_store(&harness_page->skipped, true);
    _exit(0);
}

#define fail_msg(...) harness_fail(__FILE__, __LINE__, __VA_ARGS__)
#define print_message(...) ((void)printf("# " __VA_ARGS__))
#define assert_true(what)                                                                          \
    ((what) ? (void)0 : harness_fail(__FILE__, __LINE__, "%s is false", #what))
#define assert_false(what) assert_true(!(what))
#define assert_null(what) assert_true((what) == NULL)
#define assert_non_null(what) assert_true((what) != NULL)
#define harness_compare(a, sign, b)                                                                \
    ((uint64_t)(a)sign(uint64_t)(b)                                                                \
         ? (void)0                                                                                 \
         : harness_fail(__FILE__, __LINE__, "%s is %#llx, not " #sign " %s, %#llx", #a,            \
                        (unsigned long long)(a), #b, (unsigned long long)(b)))
#define assert_int_equal(a, b) harness_compare(a, ==, b)
#define assert_int_not_equal(a, b) harness_compare(a, !=, b)
#define assert_in_range(a, least, most)                                                            \
    (harness_compare(a, >=, least), harness_compare(a, <=, most))
#define assert_memory_equal(a, b, size) assert_true(memcmp(a, b, size) == 0)
#define assert_memory_not_equal(a, b, size) assert_true(memcmp(a, b, size) != 0)
#define assert_string_equal(a, b) assert_true(strcmp(a, b) == 0)

__attribute__((unused)) static const char *harness_directory(void) {
    return harness_page->directory;
}

__attribute__((unused)) static void harness_path(char *path, size_t size, const char *name) {
    int length = snprintf(path, size, "%s/%s", harness_page->directory, name);
    assert_true(length >= 0 && (size_t)length < size);
}

__attribute__((unused)) static pid_t harness_fork(void (*function)(void *), void *context) {
    fflush(stdout);
    pid_t peer = fork();
    assert_true(peer >= 0);
    if (peer == 0) {
        function(context);
        fflush(stdout);
        _exit(0);
    }
    return peer;
}

__attribute__((unused)) static int harness_wait(pid_t peer) {
    int status = -1;
    while (waitpid(peer, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

__attribute__((unused)) static void harness_join(pid_t peer) {
    assert_int_equal(harness_wait(peer), 0);
}

__attribute__((unused)) static void harness_signal(pid_t peer, int signal) {
    assert_int_equal(kill(peer, signal), 0);
}

static int harness_remove(const char *path, const struct stat *about, int type, struct FTW *where) {
    (void)about;
    (void)type;
    (void)where;
    return remove(path);
}

/* One test; its peers are in its group, and are killed with it. */
static bool harness_run_test(const struct harness_test *test) {
    memset(harness_page, 0, sizeof *harness_page);
    strcpy(harness_page->directory, "/tmp/chappe-test-XXXXXX");
    if (mkdtemp(harness_page->directory) == NULL)
        return false;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        void *state = NULL;
        setpgid(0, 0);
        alarm(test->seconds ? test->seconds : HARNESS_SECONDS);
        test->function(&state);
        fflush(stdout);
        _exit(0);
    }
    int status = child < 0 ? -1 : harness_wait(child);
    if (child > 0)
        kill(-child, SIGKILL);
    nftw(harness_page->directory, harness_remove, 8, FTW_DEPTH | FTW_PHYS);
    if (WIFSIGNALED(status))
        printf("# killed by signal %d\n", WTERMSIG(status));
    return status == 0 && !atomic_load(&harness_page->failed);
}

static int harness_main(int argc, char **argv, const struct harness_test *tests, size_t count) {
    size_t failed = 0;
    (void)argc;
    (void)argv;
    harness_page =
        mmap(NULL, sizeof *harness_page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (harness_page == MAP_FAILED)
        return 1;
    printf("1..%zu\n", count);
    for (size_t i = 0; i < count; i++) {
        bool passed = harness_run_test(&tests[i]);
        failed += !passed;
        printf("%s %zu - %s%s\n", passed ? "ok" : "not ok", i + 1, tests[i].name,
               passed && atomic_load(&harness_page->skipped) ? " # SKIP" : "");
    }
    return failed > 0;
}

#endif
