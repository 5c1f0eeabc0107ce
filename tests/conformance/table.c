/* SPDX-License-Identifier: MIT
 *
 * The table of the harness, made from the table of mechanisms and a table of tests. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conformance/conformance.h"

struct planned {
    struct trial trial;
    const struct conformance_test *test;
};

/* ---- before = after ---- */

struct holdings {
    size_t descriptors, shared_mappings, files, shared_memory;
};

static size_t count_entries(const char *path, unsigned char kind) {
    size_t count = 0;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += kind == DT_UNKNOWN || entry->d_type == kind;
    closedir(directory);
    return count;
}

/* Memory of the C library and of sanitizers comes and goes; what the library maps to share
 * with other processes, or receives from them, does not. */
static size_t count_shared_mappings(void) {
    char line[4096];
    size_t count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        const char *permissions = strchr(line, ' ');
        count += (permissions != NULL && permissions[4] == 's') || strstr(line, "memfd:") != NULL;
    }
    fclose(maps);
    return count;
}

static struct holdings take_stock(void) {
    return (struct holdings){.descriptors = harness_count_descriptors(),
                             .shared_mappings = count_shared_mappings(),
                             .files = count_entries(harness_directory(), DT_UNKNOWN),
                             /* Other tests have folders there. */
                             .shared_memory = count_entries("/dev/shm", DT_REG)};
}

static void run(void **state) {
    const struct planned *planned = *state;
    struct holdings before = take_stock();
    planned->test->function(&planned->trial);
    struct holdings after = take_stock();
    assert_int_equal(after.descriptors, before.descriptors);
    assert_int_equal(after.shared_mappings, before.shared_mappings);
    assert_int_equal(after.files, before.files);
    assert_int_equal(after.shared_memory, before.shared_memory);
}

/* ---- what a trial address can do ---- */

static void expand(const char *pattern, const char *directory, char *address, size_t size) {
    const char *place = strstr(pattern, "{dir}");
    int length = place != NULL ? snprintf(address, size, "%.*s%s%s", (int)(place - pattern),
                                          pattern, directory, place + strlen("{dir}"))
                               : snprintf(address, size, "%s", pattern);
    assert_true(length >= 0 && (size_t)length < size);
}

void trial_address(const struct trial *trial, const char *options, char *address, size_t size) {
    expand(trial->pattern, harness_directory(), address, size);
    if (options == NULL)
        return;
    size_t used = strlen(address);
    const char *joint = strchr(address, '?') != NULL ? "&" : "?";
    int length = snprintf(address + used, size - used, "%s%s", joint, options);
    assert_true(length >= 0 && (size_t)length < size - used);
}

chappe_support trial_support(const struct trial *trial, chappe_capability capability) {
    const chappe_row *row = trial->row;
    return (size_t)capability < row->support_count ? (chappe_support)row->support[capability]
                                                   : CHAPPE_REFUSES;
}

static _Noreturn void stop(const char *what) {
    printf("Bail out! %s: %s\n", what, chappe_error());
    exit(99);
}

/* Are there connections to accept at this address? */
static bool accepts(const char *pattern) {
    char directory[] = "/tmp/chappe-trial-XXXXXX", address[512];
    chappe_endpoint *server, *client;
    if (mkdtemp(directory) == NULL)
        stop(directory);
    expand(pattern, directory, address, sizeof address);
    if (chappe_listen(address, NULL, chappe_in_ms(LONG_MS), &server) < 0)
        stop(address);
    int outcome = chappe_accept(server, CHAPPE_NOW, &client);
    if (outcome != -EAGAIN && outcome != -ENOTSUP)
        stop(address);
    chappe_close(server, CHAPPE_NOW, NULL);
    if (rmdir(directory) < 0)
        stop("a server left something behind");
    return outcome == -EAGAIN;
}

/* All ways to join two ends by one address. Result: how many trials. */
static size_t plan_address(const chappe_row *row, const char *pattern, struct trial *trials) {
    struct trial trial = {
        .row = row, .pattern = pattern, .both = (row->ways & CHAPPE_WAY_BOTH) != 0};
    size_t count = 0;
    if (strstr(pattern, "{dir}") == NULL) {
        trial.way = WAY_PAIR;
        trial.connections = true;
        if ((row->ways & CHAPPE_WAY_PAIR) != 0)
            trials[count++] = trial;
        return count;
    }
    if ((row->ways & CHAPPE_WAY_LISTEN) == 0 || (row->ways & CHAPPE_WAY_OPEN) == 0)
        return 0;
    trial.connections = accepts(pattern);
    trial.way = WAY_SERVER;
    trials[count++] = trial;
    trial.way = WAY_ACCEPT;
    if (trial.connections)
        trials[count++] = trial;
    return count;
}

/* ---- the table ---- */

struct plan {
    struct harness_test *tests;
    size_t count;
};

static bool applies(const struct conformance_test *test, const struct trial *trial) {
    return (test->ways == 0 || (test->ways & (unsigned)trial->way) != 0) &&
           (!test->connections || trial->connections) && (!test->both || trial->both);
}

static void plan_test(struct plan *plan, const struct conformance_test *test,
                      const struct trial *trial) {
    const char *way = trial->way == WAY_PAIR     ? " (pair)"
                      : trial->way == WAY_ACCEPT ? " (accept)"
                                                 : "";
    struct planned *planned = malloc(sizeof *planned);
    struct harness_test *tests =
        realloc(plan->tests, (plan->count + 1) * sizeof(struct harness_test));
    char *name = NULL;
    if (planned == NULL || tests == NULL ||
        asprintf(&name, "%s%s: %s", trial->pattern, way, test->name) < 0)
        stop("no memory");
    *planned = (struct planned){.trial = *trial, .test = test};
    plan->tests = tests;
    tests[plan->count++] = (struct harness_test){
        .name = name, .function = run, .seconds = test->seconds, .context = planned};
}

static void plan_row(struct plan *plan, const chappe_row *row, const struct conformance_test *tests,
                     size_t count) {
    for (const char *const *pattern = row->trials; *pattern != NULL; pattern++) {
        struct trial trials[3];
        size_t trial_count = plan_address(row, *pattern, trials);
        if (trial_count == 0)
            stop("a trial address that cannot be joined");
        for (size_t i = 0; i < trial_count; i++)
            for (size_t j = 0; j < count; j++)
                if (applies(&tests[j], &trials[i]))
                    plan_test(plan, &tests[j], &trials[i]);
    }
}

int conformance_main(int argc, char **argv, const struct conformance_test *tests, size_t count) {
    struct plan plan = {0};
    const chappe_row *row;
    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++)
        plan_row(&plan, row, tests, count);
    int status = harness_main(argc, argv, plan.tests, plan.count);
    for (size_t i = 0; i < plan.count; i++) {
        free((void *)(uintptr_t)plan.tests[i].context);
        free((char *)(uintptr_t)plan.tests[i].name);
    }
    free(plan.tests);
    return status;
}
