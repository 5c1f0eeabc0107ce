/* SPDX-License-Identifier: MIT
 *
 * The runner: one forked process, process group, directory and time limit a test;
 * TAP on standard output. What the running test has in common with its runner and
 * its peers is one shared page, because any of them may be killed at any moment.
 */
#include "harness.h"
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
    atomic_bool peer_failed; /* a peer's assertion failed, or a peer left its function early */
    atomic_bool skipped;
    char reason[512];
    char directory[128];
};

static struct shared *shared; /* the running test's page */
static pid_t test_process;    /* tells the test from its peers */

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
#define FAULT_SIGNALS (sizeof fault_signals / sizeof fault_signals[0])
static struct sigaction fault_actions[FAULT_SIGNALS]; /* a sanitizer's, or the default */

/* Ends a run that the harness itself cannot go on with. */
static _Noreturn void give_up(const char *what) {
    printf("Bail out! %s: %s\n", what, strerror(errno));
    exit(99);
}

/* ---- the test's process ------------------------------------------------------ */

struct run {
    const struct harness_test *test;
};

/* Under cmocka a crash is a failed test; here it shall be a crash, with the report of
 * the sanitizer if there is one. */
static void restore_fault_actions(void) {
    for (size_t i = 0; i < FAULT_SIGNALS; i++)
        sigaction(fault_signals[i], &fault_actions[i], NULL);
}

static void run_function(void **state) {
    const struct run *run = *state;
    /* cmocka's state is not const; a test reads it as what the table has. */
    void *context = (void *)(uintptr_t)run->test->context;

    restore_fault_actions();
    run->test->function(&context);

    /* Only the test itself comes here: peers exit when their function returns. */
    harness_join_all();
    if (atomic_load(&shared->peer_failed))
        fail_msg("an assertion failed in a peer");
}

/* A failed assertion in a peer comes here too, in the peer: cmocka jumps back to the
 * place where the test began. */
static _Noreturn void run_in_child(const struct harness_test *test, int output) {
    struct run run = {.test = test};
    const struct CMUnitTest unit = {test->name, run_function, NULL, NULL, &run};

    setpgid(0, 0);
    test_process = getpid();
    signal(SIGPIPE, SIG_DFL);
    int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (input < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0)
        _exit(98);
    close(input);
    close(output);
    for (size_t i = 0; i < FAULT_SIGNALS; i++)
        sigaction(fault_signals[i], NULL, &fault_actions[i]);

    int failed = _cmocka_run_group_tests(test->name, &unit, 1, NULL, NULL);
    if (getpid() != test_process)
        harness_fail_from_peer();
    exit(failed != 0);
}

void harness_fail_from_peer(void) {
    atomic_store(&shared->peer_failed, true);
}

void harness_skip(const char *reason) {
    if (getpid() != test_process)
        fail_msg("a peer cannot skip the test: %s", reason);
    snprintf(shared->reason, sizeof shared->reason, "%s", reason);
    atomic_store(&shared->skipped, true);
    skip();
    abort(); /* skip() jumps away; the compiler is not told so */
}

/* ---- the runner's side ----------------------------------------------------------- */

struct outcome {
    int status; /* as of waitpid() */
    bool timed_out;
    size_t left_behind; /* processes */
};

static int remove_entry(const char *path, const struct stat *about, int type, struct FTW *where) {
    (void)about;
    (void)where;
    if (type == FTW_DNR)
        chmod(path, 0700);
    return remove(path) < 0 ? errno : 0;
}

static int open_directory_entry(const char *path, const struct stat *about, int type,
                                struct FTW *where) {
    (void)about;
    (void)where;
    return type == FTW_D || type == FTW_DNR ? chmod(path, 0700) : 0;
}

static void remove_directory(const char *path) {
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0)
        return;
    /* A test took permissions away from a directory of its own. */
    for (int tries = 0; tries < 8; tries++) {
        nftw(path, open_directory_entry, 16, FTW_PHYS);
        if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0)
            return;
    }
    printf("# could not remove %s\n", path);
}

static void make_directory(void) {
    const char *parent = getenv("TMPDIR");
    if (!parent || strlen(parent) > 40) /* names of sockets have to fit */
        parent = "/tmp";
    snprintf(shared->directory, sizeof shared->directory, "%s/chappe-test-XXXXXX", parent);
    if (!mkdtemp(shared->directory))
        give_up(shared->directory);
}

static bool is_alive(int process) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end && size > (size_t)(name_end - text) + 2 && !strchr("ZX", name_end[2]);
}

/* Kills the direct children of this process but one; what they leave behind becomes its
 * next children. Result: how many were alive. */
static size_t kill_children(pid_t but) {
    char path[64];
    size_t alive = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *children = fopen(path, "re");
    if (!children)
        return 0;
    int child;
    while (fscanf(children, "%d", &child) == 1) {
        alive += child != but && is_alive(child);
        kill(child, SIGKILL);
    }
    fclose(children);
    return alive;
}

/* Kills and reaps what the test left: orphans became children of this subreaper. */
static void reap_left_behind(void) {
    for (;;) {
        kill_children(0);
        if (waitpid(-1, NULL, 0) < 0 && errno != EINTR)
            return;
    }
}

static void wait_with_limit(pid_t child, unsigned seconds, struct outcome *ret_outcome) {
    int process = pidfd_open(child, 0);
    if (process < 0)
        give_up("pidfd_open");
    struct pollfd item = {.fd = process, .events = POLLIN};
    int ready;
    do {
        ready = poll(&item, 1, (int)(seconds * 1000));
    } while (ready < 0 && errno == EINTR);
    close(process);

    /* The group is killed before its leader is reaped: until then its number is ours. */
    ret_outcome->timed_out = ready == 0;
    ret_outcome->left_behind = kill_children(child);
    kill(-child, SIGKILL);
    if (waitpid(child, &ret_outcome->status, 0) != child)
        give_up("waitpid");
    reap_left_behind();
}

static void run_one(const struct harness_test *test, int output, struct outcome *ret_outcome) {
    memset(shared, 0, sizeof *shared);
    make_directory();
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        give_up("fork");
    if (child == 0)
        run_in_child(test, output);
    setpgid(child, child);
    wait_with_limit(child, test->seconds ? test->seconds : HARNESS_SECONDS, ret_outcome);
    remove_directory(shared->directory);
}

/* Every line as a TAP comment. */
static void show_output(int output) {
    char buffer[4096];
    bool fresh = true;
    ssize_t size;

    lseek(output, 0, SEEK_SET);
    while ((size = read(output, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < size; i++) {
            if (fresh)
                fputs("#   ", stdout);
            fresh = buffer[i] == '\n';
            putchar(buffer[i]);
        }
    }
    if (!fresh)
        putchar('\n');
}

static bool report(const struct harness_test *test, size_t number, const struct outcome *outcome,
                   int output, bool verbose) {
    unsigned seconds = test->seconds ? test->seconds : HARNESS_SECONDS;
    bool passed = !outcome->timed_out && outcome->status == 0 && outcome->left_behind == 0;
    bool skipped = passed && atomic_load(&shared->skipped);

    printf("%s %zu - %s", passed ? "ok" : "not ok", number, test->name);
    if (skipped)
        printf(" # SKIP %s", shared->reason);
    putchar('\n');
    if (!passed && outcome->timed_out)
        printf("# timed out after %u s\n", seconds);
    else if (!passed && WIFSIGNALED(outcome->status))
        printf("# killed by signal %d (%s)\n", WTERMSIG(outcome->status),
               strsignal(WTERMSIG(outcome->status)));
    else if (!passed && outcome->status != 0)
        printf("# exit status %d\n", WEXITSTATUS(outcome->status));
    if (!passed && !outcome->timed_out && outcome->left_behind > 0)
        printf("# left %zu processes behind\n", outcome->left_behind);
    if (!passed || verbose)
        show_output(output);
    fflush(stdout);
    return passed;
}

static bool matches(const struct harness_test *test, char **patterns) {
    if (!*patterns)
        return true;
    for (; *patterns; patterns++) {
        bool plain = !strpbrk(*patterns, "*?[");
        if (plain ? strstr(test->name, *patterns) != NULL : fnmatch(*patterns, test->name, 0) == 0)
            return true;
    }
    return false;
}

static void prepare(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        give_up("mmap");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        give_up("prctl");
}

int harness_main(int argc, char **argv, const struct harness_test *tests, size_t count) {
    bool list = false, verbose = false;
    int option;
    while ((option = getopt(argc, argv, "lv")) != -1) {
        if (option == '?') {
            fprintf(stderr, "usage: %s [-l] [-v] [PATTERN...]\n", argv[0]);
            return 2;
        }
        list |= option == 'l';
        verbose |= option == 'v';
    }

    size_t selected = 0;
    for (size_t i = 0; i < count; i++)
        selected += matches(&tests[i], argv + optind);
    if (!list)
        printf("1..%zu\n", selected);

    prepare();
    size_t number = 0, failed = 0;
    for (size_t i = 0; i < count; i++) {
        if (!matches(&tests[i], argv + optind))
            continue;
        if (list) {
            puts(tests[i].name);
            continue;
        }
        struct outcome outcome = {0};
        int output = memfd_create("output", MFD_CLOEXEC);
        if (output < 0)
            give_up("memfd_create");
        run_one(&tests[i], output, &outcome);
        failed += !report(&tests[i], ++number, &outcome, output, verbose);
        close(output);
    }
    return failed > 0;
}

/* ---- what a test asks for -------------------------------------------------------- */

const char *harness_directory(void) {
    return shared->directory;
}

void harness_path(char *path, size_t size, const char *name) {
    int length = snprintf(path, size, "%s/%s", shared->directory, name);
    assert_true(length >= 0 && (size_t)length < size);
}

size_t harness_count_descriptors(void) {
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count - 1; /* without the one of this directory */
}

size_t harness_count_mappings(void) {
    char buffer[4096];
    size_t lines = 0;
    ssize_t size;
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

    assert_true(maps >= 0);
    while ((size = read(maps, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < size; i++)
            lines += buffer[i] == '\n';
    close(maps);
    return lines;
}

static const char *need_environment(const char *name) {
    const char *value = getenv(name);
    if (!value)
        fail_msg("%s is not set; run the tests by meson test, or set it", name);
    return value;
}

const char *harness_program(void) {
    return need_environment("CHAPPE_PROGRAM");
}

const char *harness_source(void) {
    return need_environment("CHAPPE_SOURCE");
}
