/* SPDX-License-Identifier: MIT
 *
 * Owners and claimants that are killed or stopped: a name passes from the dead at once and is
 * never taken from the living, however many want it, and nothing is left. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "domain/common.h"

#define RACERS 8

/* ---- dead owners ---- */

/* The name passes at once, with its socket, and nothing stays. */
static void check_passes(int folder, const char *leaf) {
    struct domain_object *object = create(folder, leaf);
    close(bind_socket(folder, leaf));
    domain_object_release(object, true);
    domain_sweep(folder, 100);
    assert_int_equal(count_files(folder), 0);
}

static void test_dead_owner(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_object *object = NULL;
    for (int i = 0; i < 20; i++) {
        pid_t owner = fork_owner(folder, "a");
        struct domain_place place = place_at(folder, "a");
        expect_error(domain_object_create(&place, &thing, &object), -EADDRINUSE, "living");
        kill_peer(owner);
        expect_error(try_open(folder, "a", &object), -ECONNREFUSED, "died");
        assert_true(exists(folder, "a.socket"));
        if (i % 2 == 0)
            check_passes(folder, "a");
        else
            assert_int_equal(domain_sweep(folder, 100), 1);
        assert_int_equal(count_files(folder), 0);
    }
    close(folder);
}

/* Its parent has not waited for it yet. */
static void test_zombie(void **state) {
    (void)state;
    siginfo_t info;
    int folder = open_folder(NULL);
    pid_t owner = fork_owner(folder, "a");
    harness_signal(owner, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)owner, &info, WEXITED | WNOWAIT), 0);
    check_passes(folder, "a");
    harness_wait(owner);
    close(folder);
}

static void test_stopped_owner(void **state) {
    (void)state;
    int folder = open_folder(NULL), status;
    pid_t owner = fork_owner(folder, "a");
    struct domain_object *object = NULL;
    struct domain_place place = place_at(folder, "a");
    harness_signal(owner, SIGSTOP);
    assert_int_equal(waitpid(owner, &status, WUNTRACED), owner);
    expect_error(domain_object_create(&place, &thing, &object), -EADDRINUSE, "living");
    assert_int_equal(domain_sweep(folder, 100), 0);
    kill_peer(owner);
    check_passes(folder, "a");
    close(folder);
}

/* ---- children that outlive their parent, with its descriptors ---- */

/* Kills a process that is no peer, and waits until it has ended. */
static void end_process(pid_t process) {
    struct pollfd item = {.fd = pidfd_open(process, 0), .events = POLLIN};
    assert_true(item.fd >= 0);
    assert_int_equal(kill(process, SIGKILL), 0);
    assert_int_equal(poll(&item, 1, -1), 1);
    close(item.fd);
}

struct family {
    int folder;
    int told;
};

static void start_family(void *context) {
    const struct family *family = context;
    create(family->folder, "a");
    bind_socket(family->folder, "a");
    pid_t child = fork();
    if (child == 0) {
        child = getpid();
        if (write(family->told, &child, sizeof child) != sizeof child)
            _exit(1);
    }
    for (;;)
        pause();
}

/* Result: the orphan, which has the lock of its dead parent. */
static pid_t make_orphan(int folder) {
    int told[2];
    pid_t orphan;
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    struct family family = {.folder = folder, .told = told[1]};
    pid_t owner = harness_fork(start_family, &family);
    assert_int_equal(read(told[0], &orphan, sizeof orphan), sizeof orphan);
    kill_peer(owner);
    close(told[0]);
    close(told[1]);
    return orphan;
}

static void test_orphan(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    for (int i = 0; i < 3; i++) {
        pid_t orphan = make_orphan(folder);
        struct domain_object *object = NULL;
        expect_error(try_open(folder, "a", &object), -ECONNREFUSED, "died");
        if (i == 1)
            assert_int_equal(domain_sweep(folder, 100), 1);
        check_passes(folder, "a");
        end_process(orphan);
    }
    close(folder);
}

/* Another PID namespace: nothing is proven there, so the lock alone counts. */
static void hold_in_namespace(void *context) {
    if (unshare(CLONE_NEWPID) < 0)
        _exit(0);
    pid_t first = fork(); /* whose end would end them all */
    if (first == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pid_t owner = fork();
        if (owner == 0)
            start_family(context);
        for (;;)
            pause();
    }
    for (;;)
        pause();
}

static pid_t child_of(pid_t parent) {
    char path[64], text[64] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    close(fd);
    return (pid_t)strtol(text, NULL, 10);
}

static void test_namespace(void **state) {
    (void)state;
    int folder = open_folder(NULL), told[2];
    pid_t inner;
    struct domain_object *object = NULL;
    struct domain_place place = place_at(folder, "a");
    if (geteuid() != 0)
        harness_skip("a PID namespace needs root");
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    struct family family = {.folder = folder, .told = told[1]};
    pid_t outer = harness_fork(hold_in_namespace, &family);
    close(told[1]);
    if (read(told[0], &inner, sizeof inner) != sizeof inner)
        harness_skip("no PID namespace is to be had");
    pid_t first = child_of(outer), owner = child_of(first), orphan = child_of(owner);
    if (first <= 0 || owner <= 0 || orphan <= 0) {
        kill_peer(outer);
        harness_skip("/proc lists no children");
    }
    expect_error(domain_object_create(&place, &thing, &object), -EADDRINUSE, "living");
    end_process(owner);
    expect_error(domain_object_create(&place, &thing, &object), -EADDRINUSE, "living");
    end_process(first); /* and with it all in its namespace */
    kill_peer(outer);
    check_passes(folder, "a");
    close(told[0]);
    close(folder);
}

/* ---- claimants at once ---- */

struct race {
    int folder;
    int start[2], hold[2], told[2];
};

static void race(void *context) {
    const struct race *contest = context;
    struct domain_place place = place_at(contest->folder, "a");
    struct domain_object *object;
    char byte;
    close(contest->start[1]);
    close(contest->hold[1]);
    assert_int_equal(read(contest->start[0], &byte, 1), 0);
    int outcome = domain_object_create(&place, &thing, &object);
    if (outcome != 0) {
        expect_error(outcome, -EADDRINUSE, "test://a");
        assert_int_equal(write(contest->told[1], "l", 1), 1);
        return;
    }
    bind_socket(contest->folder, "a");
    assert_int_equal(write(contest->told[1], "w", 1), 1);
    assert_int_equal(read(contest->hold[0], &byte, 1), 0);
    assert_true(exists(contest->folder, "a") && exists(contest->folder, "a.socket"));
    if (getpid() % 2 == 0)
        domain_object_release(object, true);
    _exit(0); /* the others just end */
}

static void run_race(int folder) {
    struct race contest = {.folder = folder};
    pid_t racers[RACERS];
    size_t won = 0;
    char byte;
    assert_int_equal(pipe2(contest.start, O_CLOEXEC) | pipe2(contest.hold, O_CLOEXEC) |
                         pipe2(contest.told, O_CLOEXEC),
                     0);
    for (size_t i = 0; i < RACERS; i++)
        racers[i] = harness_fork(race, &contest);
    close(contest.start[0]);
    close(contest.start[1]);
    for (size_t i = 0; i < RACERS; i++) {
        assert_int_equal(read(contest.told[0], &byte, 1), 1);
        won += byte == 'w';
    }
    assert_int_equal(won, 1);
    close(contest.hold[0]);
    close(contest.hold[1]);
    for (size_t i = 0; i < RACERS; i++)
        harness_join(racers[i]);
    close(contest.told[0]);
    close(contest.told[1]);
}

static void test_race(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    for (int i = 0; i < 200; i++)
        run_race(folder); /* the name is free, or left by the winner before */
    check_passes(folder, "a");
    close(folder);
}

static void test_race_with_orphan(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    for (int i = 0; i < 50; i++) {
        pid_t orphan = make_orphan(folder);
        run_race(folder);
        end_process(orphan);
    }
    check_passes(folder, "a");
    close(folder);
}

/* ---- killed at random, many at a time ---- */

#define CLAIMANTS 4
#define KILLS 150

struct ledger {
    atomic_int owner;             /* the process that has the name, as it says itself */
    atomic_int killed[CLAIMANTS]; /* the last that was killed in that place */
    atomic_uint claims;
};

struct claimant {
    int folder;
    struct ledger *ledger;
    size_t place;
};

/* The name was free, or its owner had been killed. */
static void check_free(struct ledger *ledger, int previous) {
    if (previous == 0)
        return;
    for (size_t i = 0; i < CLAIMANTS; i++)
        if (atomic_load(&ledger->killed[i]) == previous)
            return;
    fail_msg("process %d has the name already", previous);
}

static void claim_for_ever(void *context) {
    const struct claimant *claimant = context;
    struct ledger *ledger = claimant->ledger;
    struct domain_place place = place_at(claimant->folder, "a");
    for (;;) {
        struct domain_object *object;
        int outcome = domain_object_create(&place, &thing, &object);
        if (outcome != 0) {
            expect_error(outcome, -EADDRINUSE, "test://a");
            continue;
        }
        check_free(ledger, atomic_exchange(&ledger->owner, getpid()));
        close(bind_socket(claimant->folder, "a"));
        atomic_fetch_add(&ledger->claims, 1);
        assert_int_equal(atomic_load(&ledger->owner), getpid());
        atomic_store(&ledger->owner, 0);
        domain_object_release(object, true);
    }
}

static void wait_at_random(struct ledger *ledger) {
    unsigned until = atomic_load(&ledger->claims) + (unsigned)rand() % 20;
    while ((int)(until - atomic_load(&ledger->claims)) > 0)
        sched_yield();
    for (volatile int i = rand() % 20000; i > 0; i--)
        ;
}

static void test_killed_at_random(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct ledger *ledger =
        mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct claimant claimants[CLAIMANTS];
    pid_t peers[CLAIMANTS];
    assert_true(ledger != MAP_FAILED);
    srand((unsigned)getpid());
    for (size_t i = 0; i < CLAIMANTS; i++) {
        claimants[i] = (struct claimant){.folder = folder, .ledger = ledger, .place = i};
        peers[i] = harness_fork(claim_for_ever, &claimants[i]);
    }
    for (int i = 0; i < KILLS; i++) {
        size_t place = (size_t)rand() % CLAIMANTS;
        wait_at_random(ledger);
        atomic_store(&ledger->killed[place], peers[place]);
        kill_peer(peers[place]);
        peers[place] = harness_fork(claim_for_ever, &claimants[place]);
        /* The mark of the one before may stand until the next one has the name. */
        unsigned claims = atomic_load(&ledger->claims);
        while (atomic_load(&ledger->claims) - claims < 2)
            sched_yield();
    }
    for (size_t i = 0; i < CLAIMANTS; i++)
        kill_peer(peers[i]);
    print_message("%u claims, %d kills\n", atomic_load(&ledger->claims), KILLS);
    check_passes(folder, "a");
    close(folder);
}

static const struct harness_test tests[] = {
    {.name = "a dead owner's name passes at once", .function = test_dead_owner},
    {.name = "a dead owner counts as dead before anybody waits for it", .function = test_zombie},
    {.name = "a stopped owner keeps its name", .function = test_stopped_owner},
    {.name = "a child that outlives the owner does not keep the name", .function = test_orphan},
    {.name = "what cannot be proven lives", .function = test_namespace},
    {.name = "of claimants at once one wins", .function = test_race, .seconds = 120},
    {.name = "of claimants at once one wins where an orphan is left",
     .function = test_race_with_orphan,
     .seconds = 120},
    {.name = "killed at random, many at a time", .function = test_killed_at_random, .seconds = 120},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, COUNT(tests));
}
