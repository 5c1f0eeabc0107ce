/* SPDX-License-Identifier: MIT
 *
 * Every system call and every allocation fails once, wherever it comes: the call says so in a
 * sentence, gives back what it had, and the next one finds nothing in its way. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "domain/common.h"
#include "fault/injection.h"
#include "os/os.h"

#define CALLS_MOST 2000 /* of one kind in an operation; more is a loop that never ends */

struct operation {
    const char *name;
    void (*prepare)(int folder);
    int (*run)(int folder);      /* 0, or an error with a sentence */
    void (*recover)(int folder); /* after which nothing may be left */
};

static char path[512];

static const char *path_of(const char *name) {
    harness_path(path, sizeof path, name);
    return path;
}

/* ---- operations ---- */

static void prepare_nothing(int folder) {
    (void)folder;
}

static void prepare_dead(int folder) {
    close(bind_socket(folder, "a"));
    domain_object_release(create(folder, "a"), false);
}

static struct domain_object *living;

static void prepare_living(int folder) {
    living = create(folder, "a");
}

static void prepare_lasting(int folder) {
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object;
    check(domain_object_create(&place, &lasting, &object));
    domain_object_release(object, true);
}

static int run_create(int folder) {
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object;
    int error = domain_object_create(&place, &thing, &object);
    if (error == 0)
        domain_object_release(object, true);
    return error;
}

static int run_open(int folder) {
    struct domain_object *object;
    int error = try_open(folder, "a", &object);
    if (error == 0) {
        (void)domain_object_is_alive(object);
        domain_object_release(object, true);
    }
    return error;
}

static int run_destroy(int folder) {
    struct domain_place place = place_at(folder, "a");
    return domain_object_destroy(&place);
}

static int run_sweep(int folder) {
    domain_sweep(folder, 100);
    return 0;
}

static int ignore(void *context, const struct domain_entry *entry) {
    (void)context;
    (void)entry;
    return 0;
}

static int run_list(int folder) {
    return domain_list(folder, ignore, NULL);
}

static int run_domain(int folder) {
    (void)folder;
    struct domain *domain;
    int error = domain_open(path_of("d"), NULL, &domain);
    if (error == 0)
        domain_close(domain);
    return error;
}

static int run_shared(int folder) {
    (void)folder;
    return domain_create(path_of("d"), 02770, getegid());
}

static int run_segment(int folder) {
    struct domain domain = {.folder = folder, .mode = 0600};
    int id;
    void *memory;
    int error = domain_segment(&domain, 5000, 0600, false, "test://a", &id, &memory);
    if (error == 0)
        os_segment_detach(memory);
    return error;
}

static int run_unnamed(int folder) {
    int fd = domain_unnamed_file(folder, 5000, 0600, "test://a");
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

/* ---- what has to be possible afterwards ---- */

static void recover_name(int folder) {
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object;
    int outcome = domain_object_create(&place, &thing, &object);
    if (outcome == -EEXIST) {
        check(domain_object_destroy(&place));
        outcome = domain_object_create(&place, &thing, &object);
    }
    check(outcome);
    domain_object_release(object, true);
    domain_sweep(folder, 100);
}

static void recover_living(int folder) {
    assert_true(exists(folder, "a")); /* whatever failed, it is not taken from the living */
    domain_object_release(living, true);
    recover_name(folder);
}

static void recover_domain(int folder) {
    check(run_domain(folder));
    assert_int_equal(rmdir(path_of("d")), 0);
}

static void recover_shared(int folder) {
    struct domain *domain;
    check(run_shared(folder));
    check(domain_open(path_of("d"), NULL, &domain));
    assert_true(domain->shared);
    assert_int_equal(count_files(domain->folder), 1);
    assert_int_equal(unlinkat(domain->folder, "domain", 0), 0);
    domain_close(domain);
    assert_int_equal(rmdir(path_of("d")), 0);
}

static const struct operation operations[] = {
    {"claiming a free name", prepare_nothing, run_create, recover_name},
    {"claiming a dead one's name", prepare_dead, run_create, recover_name},
    {"claiming a living one's name", prepare_living, run_create, recover_living},
    {"opening a living one", prepare_living, run_open, recover_living},
    {"opening a dead one", prepare_dead, run_open, recover_name},
    {"destroying one", prepare_lasting, run_destroy, recover_name},
    {"sweeping where one lives", prepare_living, run_sweep, recover_living},
    {"sweeping where one died", prepare_dead, run_sweep, recover_name},
    {"listing", prepare_dead, run_list, recover_name},
    {"opening a domain", prepare_nothing, run_domain, recover_domain},
    {"making a shared domain", prepare_nothing, run_shared, recover_shared},
    {"making a segment", prepare_nothing, run_segment, recover_name},
    {"making a file without a name", prepare_nothing, run_unnamed, recover_name},
};

/* ---- the walk ---- */

/* How many segments this process has made which are still there. */
static size_t count_segments(void) {
    struct shm_info info;
    struct shmid_ds segment;
    size_t count = 0;
    int most = shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
    for (int i = 0; i <= most; i++)
        if (shmctl(i, SHM_STAT, &segment) >= 0)
            count += segment.shm_cpid == getpid();
    return count;
}

/* One run. Result: whether it came to the failure. */
static bool run_failing(const struct operation *operation, int folder, bool *ret_failed) {
    struct injection planned = injection;
    const char *name = calls[planned.call].name;
    injection = (struct injection){0};
    operation->prepare(folder);
    error_set(0, "%s", "");
    size_t descriptors = harness_count_descriptors();
    long mappings = mappings_alive, blocks = allocations.alive;
    injection = planned;
    int outcome = operation->run(folder);
    bool done = injection.done;
    injection = (struct injection){0};
    if (outcome < 0 && error_text()[0] == '\0')
        fail_msg("%s: %s %zu: %d without a sentence", operation->name, name, planned.at, outcome);
    if (closed_twice || harness_count_descriptors() != descriptors || mappings_alive != mappings ||
        allocations.alive != blocks)
        fail_msg("%s: %s %zu: descriptors %zu to %zu, mappings %ld to %ld, blocks %ld to %ld",
                 operation->name, name, planned.at, descriptors, harness_count_descriptors(),
                 mappings, mappings_alive, blocks, allocations.alive);
    operation->recover(folder);
    if (count_files(folder) != 0)
        fail_msg("%s: %s %zu: files are left", operation->name, name, planned.at);
    /* Removing what cannot be removed is the one thing that nobody can make up for. */
    if (count_segments() != 0 && strcmp(name, "shmctl") != 0)
        fail_msg("%s: %s %zu: a segment is left", operation->name, name, planned.at);
    *ret_failed = outcome < 0;
    return done;
}

static void remove_segments(void) {
    struct shm_info info;
    struct shmid_ds segment;
    int most = shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
    for (int i = 0; i <= most; i++) {
        int id = shmctl(i, SHM_STAT, &segment);
        if (id >= 0 && segment.shm_cpid == getpid())
            shmctl(id, IPC_RMID, NULL);
    }
}

static void test_walk(void **state) {
    const struct operation *operation = *state;
    size_t failures = 0, failed_runs = 0;
    int folder = open_folder(NULL);
    injection_start();
    for (size_t call = 0; call < WAYS_TO_FAIL; call++)
        for (size_t i = 0; i < ERRORS_MAX && calls[call].errors[i] != 0; i++)
            for (size_t at = 1;; at++) {
                bool failed;
                injection =
                    (struct injection){.call = call, .at = at, .error = calls[call].errors[i]};
                if (!run_failing(operation, folder, &failed))
                    break;
                remove_segments();
                failures++;
                failed_runs += failed;
                assert_true(at < CALLS_MOST);
            }
    print_message("%s: %zu failures, %zu of them reported\n", operation->name, failures,
                  failed_runs);
    assert_true(failures >= 10);
    close(folder);
}

static void test_interrupted(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    injection_start();
    for (size_t i = 0; i < COUNT(operations); i++)
        for (size_t seed = 0; seed < 20; seed++) {
            operations[i].prepare(folder);
            injection = (struct injection){.interrupts = true, .turns = seed};
            int outcome = operations[i].run(folder);
            injection = (struct injection){0};
            assert_true(outcome != -EINTR);
            operations[i].recover(folder);
            assert_int_equal(count_files(folder), 0);
        }
    close(folder);
}

int main(int argc, char **argv) {
    struct harness_test tests[COUNT(operations) + 1] = {
        {.name = "signals end nothing", .function = test_interrupted}};
    for (size_t i = 0; i < COUNT(operations); i++)
        tests[i + 1] = (struct harness_test){
            .name = operations[i].name, .function = test_walk, .context = &operations[i]};
    return harness_main(argc, argv, tests, COUNT(tests));
}
