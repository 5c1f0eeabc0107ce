/* SPDX-License-Identifier: MIT
 *
 * Operations with a fault in them. The stepper has to find each: a run of one of these that
 * comes out well is a fault of the stepper. */
#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "base/shared.h"
#include "crash/crash.h"

#define PATIENCE 100000 /* looks */
#define MESSAGE 7

struct shared {
    shared64 lock, first, second, message[2];
};

static struct shared *shared_of(struct world *world) {
    return *(struct shared **)world->state;
}

static void set_up(struct world *world) {
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    crash_need(shared != MAP_FAILED);
    *(struct shared **)world->state = shared;
    ledger_begin(world, MESSAGE);
    ledger_sent(world, MESSAGE);
    shared64_set(&shared->message[0], MESSAGE);
}

static void clean_up(struct world *world) {
    crash_need(munmap(shared_of(world), sizeof(struct shared)) == 0);
}

/* A lock that dies with nobody. */
static void lock_and_write(struct world *world) {
    struct shared *shared = shared_of(world);
    uint64_t none = 0;
    crash_need(shared64_swap_if(&shared->lock, &none, 1));
    shared64_add(&shared->first, 1);
    shared64_set_release(&shared->lock, 0);
}

static void survive_lock(struct world *world, unsigned operations) {
    struct shared *shared = shared_of(world);
    (void)operations;
    for (unsigned i = 0; i < PATIENCE; i++) {
        uint64_t none = 0;
        if (shared64_swap_if(&shared->lock, &none, 0))
            return;
    }
    crash_fail("the survivors are blocked");
}

/* Two words that belong together. */
static void write_both(struct world *world) {
    shared64_set_release(&shared_of(world)->first, 1);
    shared64_set_release(&shared_of(world)->second, 1);
}

static void account_both(struct world *world) {
    if (shared64_get(&shared_of(world)->first) != shared64_get(&shared_of(world)->second))
        crash_fail("torn");
}

/* A message on its way from one place to another. */
static void move_losing(struct world *world) {
    struct shared *shared = shared_of(world);
    uint64_t message = shared64_get(&shared->message[0]);
    shared64_set_release(&shared->message[0], 0);
    shared64_set_release(&shared->message[1], message);
}

static void move_doubling(struct world *world) {
    struct shared *shared = shared_of(world);
    shared64_set_release(&shared->message[1], shared64_get(&shared->message[0]));
    shared64_set_release(&shared->message[0], 0);
}

static void account_message(struct world *world) {
    for (int i = 0; i < 2; i++)
        if (shared64_get(&shared_of(world)->message[i]) != 0)
            ledger_received(world, MESSAGE);
    ledger_settle(world, 0);
}

/* Counts by a look and a store: whoever comes in between is undone. */
static void count_late(struct world *world) {
    struct shared *shared = shared_of(world);
    /* Volatile, or a compiler could make one instruction of it. */
    volatile uint64_t count = shared64_get_acquire(&shared->first);
    shared64_set_release(&shared->first, count + 1);
}

static void survive_count(struct world *world, unsigned operations) {
    struct shared *shared = shared_of(world);
    for (unsigned i = 0; world->stopped && i < operations; i++)
        shared64_add(&shared->first, 1);
    if (world->stopped)
        shared64_set(&shared->second, operations);
}

static void account_count(struct world *world) {
    if (shared64_get(&shared_of(world)->first) < shared64_get(&shared_of(world)->second))
        crash_fail("a late step undid those of others");
}

/* ---- what is left behind ---- */

static void make_file(struct world *world) {
    char path[256];
    world_path(world, "planted", path, sizeof path);
    close(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    unlink(path);
}

static void make_segment(struct world *world) {
    (void)world;
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    crash_need(id >= 0);
    shmctl(id, IPC_RMID, NULL);
}

static void leave_descriptor(struct world *world, unsigned operations) {
    (void)operations;
    if (world->killed)
        crash_need(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

static void leave_mapping(struct world *world) {
    (void)world;
}

/* ---- the table ---- */

#define PLANTED(title, ...)                                                                        \
    { .name = "planted/" title, .faulty = true, .set_up = set_up, __VA_ARGS__ }

static const struct scenario scenarios[] = {
    PLANTED("blocked", .operate = lock_and_write, .survive = survive_lock, .clean_up = clean_up),
    PLANTED("torn", .operate = write_both, .account = account_both, .clean_up = clean_up),
    PLANTED("lost", .operate = move_losing, .account = account_message, .clean_up = clean_up),
    PLANTED("doubled", .operate = move_doubling, .account = account_message, .clean_up = clean_up),
    PLANTED("late", .operate = count_late, .survive = survive_count, .account = account_count,
            .clean_up = clean_up),
    PLANTED("file", .operate = make_file, .clean_up = clean_up),
    PLANTED("segment", .operate = make_segment, .clean_up = clean_up),
    PLANTED("descriptor", .operate = write_both, .survive = leave_descriptor, .clean_up = clean_up),
    PLANTED("mapping", .operate = write_both, .clean_up = leave_mapping),
};

const struct scenario_list planted_scenarios = {.scenarios = scenarios,
                                                .count = sizeof scenarios / sizeof scenarios[0]};
