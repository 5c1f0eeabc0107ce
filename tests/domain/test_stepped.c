/* SPDX-License-Identifier: MIT
 *
 * Victims that are killed or stopped at each of their system calls, before and after, alone
 * and by twos, on this kernel and on older ones: the next one finds the name free, and nothing
 * is left. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "domain/common.h"
#include "os/os.h"

struct operation {
    const char *name;
    void (*prepare)(int folder);
    void (*run)(int folder);
    size_t least;      /* stops that it has at least */
    void (*age)(void); /* makes the kernel an older one; or NULL */
};

/* ---- older kernels and other file systems ---- */

/* Which knows no files without a name. */
static int old_openat(int folder, const char *name, int flags, mode_t mode) {
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return openat(folder, name, flags, mode);
}

static void forget_unnamed(void) {
    os_calls.openat = old_openat;
}

/* Which names them by way of /proc only. */
static int old_linkat(int from, const char *name, int to, const char *new_name, int flags) {
    if ((flags & AT_EMPTY_PATH) != 0) {
        errno = ENOENT;
        return -1;
    }
    return linkat(from, name, to, new_name, flags);
}

static void forget_linking(void) {
    os_calls.linkat = old_linkat;
}

/* And where /proc is not mounted. */
static int lone_linkat(int from, const char *name, int to, const char *new_name, int flags) {
    if ((flags & (AT_EMPTY_PATH | AT_SYMLINK_FOLLOW)) != 0) {
        errno = ENOENT;
        return -1;
    }
    return linkat(from, name, to, new_name, flags);
}

static void forget_proc(void) {
    os_calls.linkat = lone_linkat;
}

struct victim {
    int folder;
    void (*run)(int folder);
};

static void be_victim(void *context) {
    const struct victim *victim = context;
    be_stepped();
    victim->run(victim->folder);
    _exit(0);
}

/* Starts an operation. Result: the victim, stopped there; or 0: it has ended. */
static pid_t start_victim(int folder, void (*run)(int folder), size_t stops) {
    struct victim victim = {.folder = folder, .run = run};
    pid_t peer = harness_fork(be_victim, &victim);
    return step(peer, stops) ? peer : 0;
}

static void prepare_nothing(int folder) {
    (void)folder;
}

static void prepare_dead(int folder) {
    close(bind_socket(folder, "a"));
    domain_object_release(create(folder, "a"), false);
    assert_true(exists(folder, "a") && exists(folder, "a.socket"));
}

static void prepare_lasting(int folder) {
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object;
    check(domain_object_create(&place, &lasting, &object));
    close(bind_socket(folder, "a"));
    domain_object_release(object, true);
}

static void prepare_half_destroyed(int folder) {
    struct domain_object *object;
    prepare_lasting(folder);
    check(try_open(folder, "a", &object));
    header_end(object->memory);
    domain_object_release(object, true);
}

static void run_claim(int folder) {
    struct domain_object *object = create(folder, "a");
    close(bind_socket(folder, "a"));
    domain_object_release(object, true);
}

static void run_create_lasting(int folder) {
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object;
    check(domain_object_create(&place, &lasting, &object));
    domain_object_release(object, true);
}

static void run_destroy(int folder) {
    struct domain_place place = place_at(folder, "a");
    check(domain_object_destroy(&place));
}

static void run_open(int folder) {
    struct domain_object *object;
    if (try_open(folder, "a", &object) == 0)
        domain_object_release(object, true);
}

static void run_sweep(int folder) {
    domain_sweep(folder, 100);
}

enum {
    CLAIM_FREE,
    CLAIM_DEAD,
    MAKE_LASTING,
    DESTROY,
    OPEN,
    OPEN_HALF_DESTROYED,
    CLAIM_HALF_DESTROYED,
    SWEEP,
    CLAIM_NAMED,
    CLAIM_BY_PROC,
    CLAIM_WITHOUT_PROC,
};

static const struct operation operations[] = {
    [CLAIM_FREE] = {"claiming a free name", prepare_nothing, run_claim, 60, NULL},
    [CLAIM_DEAD] = {"claiming a dead one's name", prepare_dead, run_claim, 80, NULL},
    [MAKE_LASTING] = {"making an object that stays", prepare_nothing, run_create_lasting, 40, NULL},
    [DESTROY] = {"destroying one", prepare_lasting, run_destroy, 20, NULL},
    [OPEN] = {"opening one", prepare_lasting, run_open, 16, NULL},
    [OPEN_HALF_DESTROYED] = {"opening a half-destroyed one", prepare_half_destroyed, run_open, 20,
                             NULL},
    [CLAIM_HALF_DESTROYED] = {"claiming the name of a half-destroyed one", prepare_half_destroyed,
                              run_claim, 80, NULL},
    [SWEEP] = {"sweeping", prepare_dead, run_sweep, 30, NULL},
    [CLAIM_NAMED] = {"claiming, without unnamed files", prepare_dead, run_claim, 80,
                     forget_unnamed},
    [CLAIM_BY_PROC] = {"claiming, naming files by /proc", prepare_dead, run_claim, 80,
                       forget_linking},
    [CLAIM_WITHOUT_PROC] = {"claiming, without a way to name files", prepare_dead, run_claim, 90,
                            forget_proc},
};

/* Whatever was done up to now: the name is to be had, and nothing is left in the end. */
static void check_recovers(int folder) {
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object;
    int outcome = domain_object_create(&place, &thing, &object);
    if (outcome == -EEXIST) { /* one that stays, whole */
        check(try_open(folder, "a", &object));
        assert_true(domain_object_is_alive(object));
        domain_object_release(object, true);
        check(domain_object_destroy(&place));
        outcome = domain_object_create(&place, &thing, &object);
    }
    check(outcome);
    close(bind_socket(folder, "a"));
    domain_object_release(object, true);
    domain_sweep(folder, 100);
    assert_int_equal(count_files(folder), 0);
}

static void test_killed_anywhere(void **state) {
    const struct operation *operation = *state;
    if (operation->age != NULL)
        operation->age();
    int folder = open_folder(NULL);
    size_t kills = 0;
    for (pid_t victim = 1; victim != 0;) {
        operation->prepare(folder);
        victim = start_victim(folder, operation->run, kills);
        if (victim != 0) {
            kill_peer(victim);
            kills++;
        }
        check_recovers(folder);
    }
    print_message("%s: %zu kills\n", operation->name, kills);
    assert_true(kills > operation->least);
    close(folder);
}

/* A victim, then its recoverer, then a third. */
static void test_killed_twice(void **state) {
    const struct operation *operation = *state;
    if (operation->age != NULL)
        operation->age();
    int folder = open_folder(NULL);
    size_t kills = 0;
    for (size_t i = 0;; i += 3) { /* entries and exits in turn, as 3 is odd */
        operation->prepare(folder);
        pid_t victim = start_victim(folder, operation->run, i);
        if (victim == 0)
            break;
        kill_peer(victim);
        for (size_t j = i % 5;; j += 5) {
            pid_t second = start_victim(folder, check_recovers, j);
            if (second == 0)
                break;
            kill_peer(second);
            kills++;
            check_recovers(folder);
            operation->prepare(folder);
            kill_peer(start_victim(folder, operation->run, i));
        }
        check_recovers(folder);
    }
    check_recovers(folder);
    print_message("%s: %zu pairs of kills\n", operation->name, kills);
    assert_true(kills > 100);
    close(folder);
}

/* ---- stopped anywhere, and going on later ---- */

static atomic_int *outcome_of_victim;

static void run_claim_and_tell(int folder) {
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object;
    int outcome = domain_object_create(&place, &thing, &object);
    if (outcome == 0) {
        assert_true(exists(folder, "a"));
        close(bind_socket(folder, "a"));
        domain_object_release(object, true);
    }
    atomic_store(outcome_of_victim, outcome);
}

/* While it is stopped, either the survivor gets the name and the victim does not, or the other
 * way round; unless the victim is done with it. */
static void check_stopped(int folder, pid_t victim, size_t *refused) {
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object;
    int outcome = domain_object_create(&place, &thing, &object);
    if (outcome == 0) {
        int socket = bind_socket(folder, "a");
        for (int i = 0; i < 10; i++) /* others go on, too */
            domain_object_release(create(folder, "b"), true);
        go_on(victim);
        assert_true(exists(folder, "a") && exists(folder, "a.socket"));
        domain_object_release(object, true);
        close(socket);
        int other = atomic_load(outcome_of_victim);
        assert_true(other == -EADDRINUSE || other == 0);
    } else {
        expect_error(outcome, -EADDRINUSE, "test://a");
        ++*refused;
        go_on(victim);
        assert_int_equal(atomic_load(outcome_of_victim), 0);
    }
}

static void test_stopped_anywhere(void **state) {
    const struct operation *operation = *state;
    if (operation->age != NULL)
        operation->age();
    int folder = open_folder(NULL);
    size_t stops = 0, refused = 0;
    outcome_of_victim = mmap(NULL, sizeof *outcome_of_victim, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(outcome_of_victim != MAP_FAILED);
    for (;; stops++) {
        operation->prepare(folder);
        atomic_store(outcome_of_victim, 1);
        pid_t victim = start_victim(folder, run_claim_and_tell, stops);
        if (victim == 0)
            break;
        check_stopped(folder, victim, &refused);
        check_recovers(folder);
    }
    check_recovers(folder);
    print_message("%s: %zu stops, %zu times the name was refused\n", operation->name, stops,
                  refused);
    assert_true(stops > operation->least && refused > 10);
    close(folder);
}

static const struct harness_test tests[] = {
    {.name = "killed anywhere: claiming a free name",
     .function = test_killed_anywhere,
     .context = &operations[CLAIM_FREE]},
    {.name = "killed anywhere: claiming a dead one's name",
     .function = test_killed_anywhere,
     .context = &operations[CLAIM_DEAD]},
    {.name = "killed anywhere: making an object that stays",
     .function = test_killed_anywhere,
     .context = &operations[MAKE_LASTING]},
    {.name = "killed anywhere: destroying one",
     .function = test_killed_anywhere,
     .context = &operations[DESTROY]},
    {.name = "killed anywhere: opening one",
     .function = test_killed_anywhere,
     .context = &operations[OPEN]},
    {.name = "killed anywhere: opening a half-destroyed one",
     .function = test_killed_anywhere,
     .context = &operations[OPEN_HALF_DESTROYED]},
    {.name = "killed anywhere: claiming the name of a half-destroyed one",
     .function = test_killed_anywhere,
     .context = &operations[CLAIM_HALF_DESTROYED]},
    {.name = "killed anywhere: sweeping",
     .function = test_killed_anywhere,
     .context = &operations[SWEEP]},
    {.name = "killed anywhere: claiming, without unnamed files",
     .function = test_killed_anywhere,
     .context = &operations[CLAIM_NAMED]},
    {.name = "killed anywhere: claiming, naming files by /proc",
     .function = test_killed_anywhere,
     .context = &operations[CLAIM_BY_PROC]},
    {.name = "killed anywhere: claiming, without a way to name files",
     .function = test_killed_anywhere,
     .context = &operations[CLAIM_WITHOUT_PROC]},
    {.name = "killed twice: claiming a dead one's name",
     .function = test_killed_twice,
     .context = &operations[CLAIM_DEAD],
     .seconds = 120},
    {.name = "killed twice: destroying one",
     .function = test_killed_twice,
     .context = &operations[DESTROY],
     .seconds = 120},
    {.name = "stopped anywhere: claiming a free name",
     .function = test_stopped_anywhere,
     .context = &operations[CLAIM_FREE]},
    {.name = "stopped anywhere: claiming a dead one's name",
     .function = test_stopped_anywhere,
     .context = &operations[CLAIM_DEAD]},
    {.name = "stopped anywhere: claiming, without unnamed files",
     .function = test_stopped_anywhere,
     .context = &operations[CLAIM_NAMED]},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, COUNT(tests));
}
