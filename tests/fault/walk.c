/* SPDX-License-Identifier: MIT
 *
 * The runs of a scene, and what has to be as before after each. */
#include "fault/walk.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "harness/harness.h"

#define LARGE ((size_t)500000)
#define CRAWLS_MOST ((size_t)3000)
#define CALLS_MOST 5000 /* of one kind in a scene; more is a loop that never ends */

/* What is in the world that a scene has to leave as it was. */
struct world {
    size_t descriptors;
    long mappings;
    long blocks;
    size_t names;
    size_t segments;
};

static size_t name_count; /* nftw() has no context */

static int count_name(const char *path, const struct stat *about, int type, struct FTW *where) {
    (void)path;
    (void)about;
    (void)where;
    name_count += type != FTW_D;
    return 0;
}

static size_t count_names(void) {
    name_count = 0;
    assert_int_equal(nftw(harness_directory(), count_name, 8, FTW_PHYS), 0);
    return name_count;
}

/* System V segments that this process made. */
static size_t count_segments(void) {
    char line[512];
    size_t count = 0;
    int maker;
    FILE *lines = fopen("/proc/sysvipc/shm", "re");
    while (lines != NULL && fgets(line, sizeof line, lines) != NULL)
        count += sscanf(line, "%*d %*d %*o %*u %d", &maker) == 1 && maker == getpid();
    if (lines != NULL)
        fclose(lines);
    return count;
}

static void look_at(struct world *world) {
    world->segments = count_segments();
    world->descriptors = harness_count_descriptors();
    world->mappings = mappings_alive;
    world->blocks = allocations.alive;
    world->names = count_names();
}

/* A name cannot be removed while removing, or looking whose it is, fails; and a lock file
 * only by who has the lock. */
static bool may_leave_names(void) {
    const char *name = calls[injection.call].name;
    return injection.done && (strcmp(name, "unlinkat") == 0 || strcmp(name, "fstatat") == 0 ||
                              strcmp(name, "flock") == 0);
}

/* One run in this process. Result: the names that it left. */
static size_t run(struct scene *scene) {
    struct world before, after;
    injection.is_old = scene->is_old;
    closed_twice = scene->failed = scene->retried = scene->told = false;
    error_set(0, "%s", "");
    look_at(&before);
    scene->run(scene);
    look_at(&after);
    if (closed_twice)
        fail_msg("%s: closes a descriptor that is not open", scene_text(scene));
    if (after.descriptors != before.descriptors)
        fail_msg("%s: %zu descriptors before, %zu after", scene_text(scene), before.descriptors,
                 after.descriptors);
    if (after.mappings != before.mappings)
        fail_msg("%s: %ld mappings before, %ld after", scene_text(scene), before.mappings,
                 after.mappings);
    if (after.blocks != before.blocks)
        fail_msg("%s: %ld blocks of memory before, %ld after", scene_text(scene), before.blocks,
                 after.blocks);
    if (after.segments != before.segments)
        fail_msg("%s: %zu System V segments before, %zu after", scene_text(scene), before.segments,
                 after.segments);
    if (after.names > before.names && !may_leave_names())
        fail_msg("%s: %zu names in the folder before, %zu after", scene_text(scene), before.names,
                 after.names);
    return after.names;
}

static void run_clean(struct scene *scene) {
    injection = (struct injection){0};
    if (run(scene) > 0)
        fail_msg("%s: a clean run leaves names", scene->name);
    assert_false(scene->failed);
}

/* One run with a failure. Result: did it come to that? */
static bool run_failing(struct scene *scene, size_t call, size_t at, int error) {
    injection = (struct injection){.call = call, .at = at, .error = error};
    size_t names = run(scene);
    bool done = injection.done;
    if (!done)
        assert_false(scene->failed);
    if (names > 0)
        run_clean(scene);
    return done;
}

/* run_failing() in a process of its own. */
static bool run_failing_apart(struct scene *scene, size_t call, size_t at, int error) {
    int status;
    injection = (struct injection){.call = call, .at = at, .error = error};
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool done = run_failing(scene, call, at, error);
        run_clean(scene);
        fflush(NULL);
        _exit(done ? 10 : 11);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) < 10)
        fail_msg("%s: status 0x%x", scene_text(scene), status);
    return WEXITSTATUS(status) == 10;
}

void walk_failures(struct scene *scene) {
    if (!scene->forks)
        run_clean(scene);
    /* Large bodies take time and make other calls, not other errors. */
    size_t errors = scene->size > LARGE ? 1 : ERRORS_MAX;
    for (size_t call = 0; call < WAYS_TO_FAIL; call++)
        for (size_t i = 0; i < errors && calls[call].errors[i] != 0; i++) {
            size_t at = 1;
            int error = calls[call].errors[i];
            while ((scene->forks ? run_failing_apart : run_failing)(scene, call, at, error))
                assert_true(++at < CALLS_MOST);
            if (at > 1 && !scene->forks)
                run_clean(scene);
        }
}

void walk_disturbances(struct scene *scene) {
    static const struct injection disturbances[] = {
        {.interrupts = true},
        {.tires = true},
        {.interrupts = true, .tires = true},
        {.crawls = true},
        {.crawls = true, .interrupts = true, .tires = true},
    };
    size_t size = scene->size;
    run_clean(scene);
    for (size_t i = 0; i < sizeof disturbances / sizeof disturbances[0]; i++)
        for (size_t seed = 0; seed < 3; seed++) {
            injection = disturbances[i];
            injection.turns = seed;
            if (injection.crawls && size > CRAWLS_MOST)
                scene->size = CRAWLS_MOST; /* a system call a byte */
            run(scene);
            assert_false(scene->failed);
            scene->size = size;
        }
    run_clean(scene);
}
