/* SPDX-License-Identifier: MIT
 *
 * Waiting words: what the bits do, and that no wake is lost between processes that really
 * sleep, with wakers that are killed. */
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "memory/ground.h"
#include "memory/waiting.h"

static void test_bits(void **state) {
    (void)state;
    shared32 word = 0;
    assert_false(waiting_must_wake(&word, true));
    assert_false(waiting_must_wake(&word, false));
    uint32_t asleep = waiting_announce(&word);
    assert_int_equal(shared32_get(&word), asleep);
    assert_int_equal(asleep & WAITING_ASLEEP, WAITING_ASLEEP);
    assert_true(waiting_must_wake(&word, true));
    assert_true(waiting_must_wake(&word, false));
    uint32_t wake = waiting_begin_wake(&word);
    assert_int_not_equal(shared32_get(&word), asleep); /* a sleep on it returns at once */
    /* Until the wake has ended every other waker wakes as well. */
    assert_true(waiting_must_wake(&word, true));
    waiting_end_wake(&word, wake);
    assert_false(waiting_must_wake(&word, true));
    assert_int_not_equal(waiting_announce(&word), asleep);
    waiting_end(&word);
    assert_false(waiting_must_wake(&word, true));
}

static void test_late_waker(void **state) {
    (void)state;
    shared32 word = 0;
    waiting_announce(&word);
    uint32_t late = waiting_begin_wake(&word); /* and is stopped */
    uint32_t other = waiting_begin_wake(&word);
    waiting_end_wake(&word, other);
    assert_false(waiting_must_wake(&word, true));
    uint32_t asleep = waiting_announce(&word);
    waiting_end_wake(&word, late); /* the sleep that it ends is over */
    assert_int_equal(shared32_get(&word), asleep);
    assert_true(waiting_must_wake(&word, true));
}

static void test_other_bits(void **state) {
    (void)state;
    shared32 word = WAITING_FENCE | WAITING_GONE;
    assert_false(waiting_must_wake(&word, true));
    waiting_announce(&word);
    assert_true(waiting_must_wake(&word, true));
    uint32_t wake = waiting_begin_wake(&word);
    waiting_end_wake(&word, wake);
    assert_int_equal(shared32_get(&word) % WAITING_COUNT, WAITING_FENCE | WAITING_GONE);
    /* The count comes round without touching the bits. */
    word = UINT32_MAX & ~WAITING_ASLEEP;
    uint32_t asleep = waiting_announce(&word);
    assert_int_equal(asleep, WAITING_FENCE | WAITING_GONE | WAITING_ASLEEP);
}

static void test_spin(void **state) {
    (void)state;
    struct waiting_spin spin = {.most = 1000};
    /* What has never paid is tried now and then. */
    int tries = 0;
    for (int i = 0; i < 4 * WAITING_PROBE_EVERY; i++) {
        uint32_t budget = waiting_spin_budget(&spin);
        tries += budget == 1000;
        waiting_spin_learn(&spin, false, budget);
    }
    assert_int_equal(tries, 4);
    /* Once it pays, the whole of it is worth it. */
    waiting_spin_learn(&spin, true, 900);
    assert_int_equal(waiting_spin_budget(&spin), 1000);
    for (int i = 0; i < 20; i++)
        waiting_spin_learn(&spin, false, 1000);
    assert_int_equal(waiting_spin_budget(&spin), 0);
    struct waiting_spin never = {0};
    for (int i = 0; i < 200; i++)
        assert_int_equal(waiting_spin_budget(&never), 0);
}

/* ---- processes that sleep ---- */

struct side {
    _Alignas(64) shared32 word;
    _Alignas(64) shared64 work; /* what this side waits for */
};

struct scene {
    struct side sides[2];
    bool fence; /* no barriers: wakers put a fence after each work */
    shared64 sleeps;
    shared64 stop;
};

static long futex(shared32 *word, int operation, uint32_t value, const struct timespec *limit) {
    return syscall(SYS_futex, word, operation, value, limit, NULL, 0);
}

/* Sleeps until the work is another. A wake that is lost fails the test after 20 s. */
static void wait_for(struct scene *scene, struct side *side, uint64_t done) {
    const struct timespec limit = {.tv_sec = 20};
    while (shared64_get_acquire(&side->work) == done && shared64_get(&scene->stop) == 0) {
        uint32_t asleep = waiting_announce(&side->word);
        if (scene->fence)
            shared_fence();
        else
            assert_int_equal(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0), 0);
        if (shared64_get_acquire(&side->work) == done && shared64_get(&scene->stop) == 0) {
            shared64_add(&scene->sleeps, 1);
            if (futex(&side->word, FUTEX_WAIT, asleep, &limit) < 0 && errno == ETIMEDOUT)
                fail_msg("a wake was lost");
        }
        waiting_end(&side->word);
    }
}

static void work_for(struct scene *scene, struct side *side, uint64_t done) {
    shared64_set_release(&side->work, done);
    if (!waiting_must_wake(&side->word, !scene->fence))
        return;
    uint32_t wake = waiting_begin_wake(&side->word);
    futex(&side->word, FUTEX_WAKE, 1, NULL);
    waiting_end_wake(&side->word, wake);
}

static struct scene *make_scene(bool fence) {
    struct scene *scene = ground_map(sizeof *scene);
    if (!fence && syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) < 0)
        harness_skip("membarrier(2) is not available here");
    scene->fence = fence;
    for (int i = 0; i < 2; i++)
        shared32_set(&scene->sides[i].word, fence ? WAITING_FENCE : 0);
    return scene;
}

static void play(struct scene *scene, int side, uint64_t rounds) {
    if (!scene->fence)
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
    for (uint64_t i = 1; i <= rounds; i++) {
        if (side == 0)
            work_for(scene, &scene->sides[1], i);
        wait_for(scene, &scene->sides[side], i - 1);
        if (side == 1)
            work_for(scene, &scene->sides[0], i);
    }
}

#define ROUNDS 10000

static void be_second(void *context) {
    play(context, 1, ROUNDS);
}

static void ping_pong(bool fence) {
    struct scene *scene = make_scene(fence);
    pid_t peer = harness_fork(be_second, scene);
    play(scene, 0, ROUNDS);
    harness_join(peer);
    assert_true(scene->sleeps > 0);
    print_message("%llu sleeps\n", (unsigned long long)scene->sleeps);
}

static void test_barrier(void **state) {
    (void)state;
    ping_pong(false);
}

static void test_fence(void **state) {
    (void)state;
    ping_pong(true);
}

static void be_sleeper(void *context) {
    struct scene *scene = context;
    if (!scene->fence)
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
    while (shared64_get(&scene->stop) == 0) {
        uint64_t done = shared64_get_acquire(&scene->sides[0].work);
        shared64_set(&scene->sides[1].work, done);
        wait_for(scene, &scene->sides[0], done);
    }
}

static void be_waker(void *context) {
    struct scene *scene = context;
    if (!scene->fence)
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
    while (shared64_get(&scene->stop) == 0) {
        uint64_t done = shared64_get(&scene->sides[0].work) + 1;
        work_for(scene, &scene->sides[0], done);
        /* The sleeper shall sleep again, mostly. */
        while (shared64_get(&scene->sides[1].work) != done && shared64_get(&scene->stop) == 0)
            sched_yield();
        for (uint64_t i = done % 3000; i > 0; i--)
            shared_pause();
    }
}

/* Wakers are killed anywhere; the next one's work wakes the sleeper all the same. */
static void killed_wakers(bool fence) {
    struct scene *scene = make_scene(fence);
    uint64_t random = 99991;
    struct timespec begin = {0};
    pid_t sleeper = harness_fork(be_sleeper, scene);
    while (ground_goes_on(&begin)) {
        pid_t waker = harness_fork(be_waker, scene);
        ground_let_work(&scene->sides[1].work, 1 + ground_random(&random) % 4, &random);
        ground_kill(waker);
    }
    pid_t waker = harness_fork(be_waker, scene);
    uint64_t goal = shared64_get(&scene->sides[1].work) + 10;
    while (shared64_get(&scene->sides[1].work) < goal)
        sched_yield();
    shared64_set(&scene->stop, 1);
    harness_join(waker);
    work_for(scene, &scene->sides[0], UINT64_MAX);
    harness_join(sleeper);
}

static void test_killed_wakers(void **state) {
    (void)state;
    killed_wakers(false);
}

static void test_killed_wakers_fence(void **state) {
    (void)state;
    killed_wakers(true);
}

static const struct harness_test tests[] = {
    {.name = "the bits of a word", .function = test_bits},
    {.name = "a waker that comes late", .function = test_late_waker},
    {.name = "the other bits", .function = test_other_bits},
    {.name = "how long to look is learnt", .function = test_spin},
    {.name = "sleepers with a barrier", .function = test_barrier},
    {.name = "sleepers without", .function = test_fence},
    {.name = "killed wakers", .function = test_killed_wakers},
    {.name = "killed wakers, without barriers", .function = test_killed_wakers_fence},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
