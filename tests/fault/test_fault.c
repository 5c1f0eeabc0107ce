/* SPDX-License-Identifier: MIT
 *
 * Makes every kernel call and every allocation of the library fail, one at a time, in
 * everything that programs do with it; and disturbs those that may be disturbed. At the end
 * a table tells how often each was made to fail. A call that never was makes the test red. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fault/walk.h"
#include "harness/harness.h"

#define SCENES_MOST 96
#define LARGE ((size_t)1 << 20)
#define MEDIUM ((size_t)70000)

static struct scene scenes[SCENES_MOST];
static struct harness_test tests[2 * SCENES_MOST + 1];
static size_t scene_count, test_count;
static size_t *tests_run; /* shared by their processes */

/* {dir} in an address stands for the empty directory of the test. */
static void settle(struct scene *scene) {
    char text[sizeof scene->address];
    const char *mark = strstr(scene->address, "{dir}");
    scene_prepare();
    ++*tests_run;
    if (mark == NULL)
        return;
    int before = (int)(mark - scene->address);
    int size = snprintf(text, sizeof text, "%.*s%s%s", before, scene->address, harness_directory(),
                        mark + 5);
    assert_true(size > 0 && (size_t)size < sizeof text);
    memcpy(scene->address, text, (size_t)size + 1);
}

/* Folders on the way of a long path. */
static void make_folders(const struct scene *scene) {
    char path[sizeof scene->address];
    snprintf(path, sizeof path, "%s", strstr(scene->address, "://") + 3);
    for (char *slash = path + strlen(harness_directory()); (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
}

static void test_failures(void **state) {
    struct scene *scene = *state;
    settle(scene);
    if (strstr(scene->name, "long path") != NULL)
        make_folders(scene);
    walk_failures(scene);
}

static void test_disturbances(void **state) {
    struct scene *scene = *state;
    settle(scene);
    if (strstr(scene->name, "long path") != NULL)
        make_folders(scene);
    walk_disturbances(scene);
}

/* Calls that only making a domain needs: tests/domain/test_faults.c. */
static bool is_elsewhere(const char *name) {
    return strcmp(name, "mkdirat") == 0 || strcmp(name, "fchown") == 0;
}

static void test_table(void **state) {
    (void)state;
    if (*tests_run + 1 != test_count)
        harness_skip("only some of the scenes were run");
    for (size_t call = 0; call < WAYS_TO_FAIL; call++)
        if (times_failed[call] == 0 && !is_elsewhere(calls[call].name))
            fail_msg("%s was never made to fail", calls[call].name);
}

/* ---- the list of scenes ---- */

static void add_test(const char *what, void (*function)(void **), struct scene *scene) {
    char *name = malloc(strlen(what) + sizeof scene->name);
    if (name == NULL)
        abort();
    sprintf(name, "%s%s", what, scene != NULL ? scene->name : "");
    tests[test_count++] =
        (struct harness_test){.name = name, .function = function, .seconds = 120, .context = scene};
}

static struct scene *add(const char *name, scene_function *run, const char *address, size_t size) {
    struct scene *scene = &scenes[scene_count++];
    snprintf(scene->name, sizeof scene->name, "%s", name);
    snprintf(scene->address, sizeof scene->address, "%s", address);
    scene->run = run;
    scene->size = size;
    scene->is_pair =
        strncmp(address, "unix://{dir}", 12) != 0 && strncmp(address, "unix://@", 8) != 0;
    return scene;
}

static void add_trials(void) {
    const chappe_row *row;
    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++)
        for (const char *const *trial = row->trials; *trial != NULL; trial++)
            for (int variant = 0; variant < 4; variant++) {
                char name[96];
                size_t size = (variant & 1) != 0 ? LARGE : MEDIUM;
                snprintf(name, sizeof name, "%s, %zu bytes%s", *trial, size,
                         variant >= 2 ? ", tried again" : "");
                struct scene *scene = add(name, scene_exchange, *trial, size);
                scene->is_pair = (row->ways & CHAPPE_WAY_LISTEN) == 0;
                scene->once_more = variant >= 2;
                add_test("failures: ", test_failures, scene);
                if (variant == 0)
                    add_test("disturbances: ", test_disturbances, scene);
            }
}

static void add_both(struct scene *scene) {
    add_test("failures: ", test_failures, scene);
    add_test("disturbances: ", test_disturbances, scene);
}

/* Ways in that the trials of the table do not take. */
/* Connections in shared memory: an address that is not a pair's. */
static struct scene *add_named(const char *name, scene_function *run, const char *address,
                               size_t size) {
    struct scene *scene = add(name, run, address, size);
    scene->is_pair = false;
    return scene;
}

static void add_lanes(void) {
    add_both(add_named("accepted lanes", scene_accept, "shm://lanes?domain={dir}", 100));
    add_both(add_named("accepted lanes in files", scene_accept, "map://{dir}/lanes", 100));
    add_both(add_named("many clients in memory", scene_clients, "shm://lanes?domain={dir}", 100));
    add_both(add_named("nobody reads a lane", scene_slow, "shm://lanes?domain={dir}", LARGE));
    add_both(add_named("nobody reads a small lane", scene_slow,
                       "shm://lanes?domain={dir}&backing=posix&ring=1K", MEDIUM));
    add_both(add("a pair of lanes", scene_exchange, "shm://", MEDIUM));
    add_both(add("a pair of lanes in files", scene_exchange, "shm://?backing=posix&domain={dir}",
                 MEDIUM));
    add_both(add("a pair of lanes in segments", scene_exchange, "shm://?backing=sysv&domain={dir}",
                 MEDIUM));
    add_both(add("a pair of inherited lanes", scene_exchange, "shm://?backing=anonymous", MEDIUM));
    add_both(add("a pair of inherited zeros", scene_exchange, "shm://?backing=zero", MEDIUM));
    add_both(add_named("lanes that sleep", scene_exchange, "shm://lanes?domain={dir}&wait=sleep",
                       MEDIUM));
    add_both(add_named("lanes with checksums", scene_exchange,
                       "shm://lanes?domain={dir}&checksum=yes", MEDIUM));
}

static void add_others(void) {
    char address[512];
    snprintf(address, sizeof address, "unix://{dir}/%080d/%0200d", 1, 2);
    add_both(add("long path", scene_accept, address, 100));
    snprintf(address, sizeof address, "unix://{dir}/%0120d/short", 1);
    add_both(add("long path, short end", scene_accept, address, 100));
    add_both(add("abstract name", scene_accept, "unix://@chappe-fault-%00-test", 100));
    add_both(add("accepted packets", scene_accept, "unix://{dir}/p?type=seqpacket", 100));
    add_both(add("many clients", scene_clients, "unix://{dir}/many", 100));
    add_both(add("a pair of sockets", scene_exchange, "unix://", MEDIUM));
    add_both(add("a pair of packet sockets", scene_exchange, "unix://?type=seqpacket", MEDIUM));
    add_both(add("pipes of a capacity", scene_exchange, "pipe://?capacity=65536", MEDIUM));
    add_both(add("nobody reads a pipe", scene_slow, "pipe://", LARGE));
    add_both(add("nobody reads a socket", scene_slow, "unix://", LARGE));
    add_both(add("nobody reads packets", scene_slow, "unix://?type=seqpacket", LARGE));
    add_both(add("a dead server's socket", scene_takeover, "unix://{dir}/dead", 100));
    add_both(add("descriptors", scene_descriptor_ends, "pipe://", 100));
    add_both(add("the reader is gone", scene_reader_gone, "pipe://", 100));
    struct scene *old = add("an older kernel", scene_exchange, "pipe://", MEDIUM);
    struct scene *gone =
        add("an older kernel, the reader is gone", scene_reader_gone, "pipe://", 1);
    old->is_old = gone->is_old = true;
    add_both(old);
    add_both(gone);
    add_lanes();
    add_both(add("a log", scene_log, "pipe://", 100));
    struct scene *first = add("the first call of a process", scene_process_mark, "pipe://", 100);
    first->forks = true;
    add_test("failures: ", test_failures, first);
}

static void print_table(void) {
    size_t failed = 0;
    for (size_t call = 0; call < WAYS_TO_FAIL; call++) {
        printf("# %-16s failed %zu times\n", calls[call].name, times_failed[call]);
        failed += call < CALL_COUNT && times_failed[call] > 0;
    }
    printf("# %zu of %zu calls of the table were made to fail\n", failed, CALL_COUNT);
}

int main(int argc, char **argv) {
    injection_start();
    tests_run =
        mmap(NULL, sizeof *tests_run, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    add_trials();
    add_others();
    add_test("every call was made to fail", test_table, NULL);
    int status = harness_main(argc, argv, tests, test_count);
    print_table();
    return status;
}
