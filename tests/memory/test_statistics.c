/* SPDX-License-Identifier: MIT
 *
 * Statistics: what the dead have counted stays in the sum, once. */
#include "memory/ground.h"
#include "memory/statistics.h"

#define ROWS 3

struct scene {
    struct statistics_row rows[ROWS];
    shared64 steps[ROWS]; /* what each row's bearers did in all, written before it is counted */
    shared64 stop;
};

static void test_rows(void **state) {
    (void)state;
    struct scene *scene = ground_map(sizeof *scene);
    struct statistics sum, own;
    statistics_sum(scene->rows, ROWS, &sum);
    for (int i = 0; i < STATISTICS_COUNTERS; i++)
        assert_int_equal(sum.count[i], 0);
    for (int row = 0; row < ROWS; row++) {
        statistics_begin(&scene->rows[row]);
        statistics_add(&scene->rows[row], STATISTICS_SENT, 1);
        statistics_add(&scene->rows[row], STATISTICS_BYTES_SENT, (uint64_t)row << 40);
    }
    statistics_sum(scene->rows, ROWS, &sum);
    assert_int_equal(sum.count[STATISTICS_SENT], 3);
    assert_int_equal(sum.count[STATISTICS_BYTES_SENT], (uint64_t)3 << 40);
    assert_int_equal(sum.count[STATISTICS_RECEIVED], 0);
    /* The next bearer of a row starts from nothing; the sum keeps what was. */
    statistics_begin(&scene->rows[2]);
    statistics_begin(&scene->rows[2]);
    statistics_of_bearer(&scene->rows[2], &own);
    assert_int_equal(own.count[STATISTICS_SENT], 0);
    statistics_add(&scene->rows[2], STATISTICS_SENT, 5);
    statistics_of_bearer(&scene->rows[2], &own);
    assert_int_equal(own.count[STATISTICS_SENT], 5);
    assert_int_equal(own.count[STATISTICS_BYTES_SENT], 0);
    statistics_sum(scene->rows, ROWS, &sum);
    assert_int_equal(sum.count[STATISTICS_SENT], 8);
    assert_int_equal(sum.count[STATISTICS_BYTES_SENT], (uint64_t)3 << 40);
}

struct bearer {
    struct scene *scene;
    int row;
};

static void be_bearer(void *context) {
    const struct bearer *bearer = context;
    struct statistics_row *row = &bearer->scene->rows[bearer->row];
    shared64 *steps = &bearer->scene->steps[bearer->row];
    statistics_begin(row);
    while (shared64_get(&bearer->scene->stop) == 0) {
        shared64_set(steps, shared64_get(steps) + 1);
        statistics_add(row, STATISTICS_SENT, 1);
        statistics_add(row, STATISTICS_BYTES_SENT, 64);
    }
}

/* Bearers are killed; each kill may leave one step uncounted, and nothing is counted twice. */
static void test_kills(void **state) {
    (void)state;
    struct scene *scene = ground_map(sizeof *scene);
    struct bearer bearers[2] = {{scene, 0}, {scene, 2}};
    struct statistics sum, before = {{0}};
    pid_t peers[2];
    uint64_t random = 777, kills;
    struct timespec begin = {0};
    for (int i = 0; i < 2; i++)
        peers[i] = harness_fork(be_bearer, &bearers[i]);
    for (kills = 0; ground_goes_on(&begin); kills++) {
        uint64_t i = ground_random(&random) % 2;
        ground_let_work(&scene->steps[bearers[i].row], 1 + ground_random(&random) % 50, &random);
        ground_kill(peers[i]);
        peers[i] = harness_fork(be_bearer, &bearers[i]);
        statistics_sum(scene->rows, ROWS, &sum);
        for (int c = 0; c < STATISTICS_COUNTERS; c++)
            assert_true(sum.count[c] >= before.count[c]);
        before = sum;
    }
    shared64_set(&scene->stop, 1);
    for (int i = 0; i < 2; i++)
        harness_join(peers[i]);
    uint64_t steps = scene->steps[0] + scene->steps[2];
    statistics_sum(scene->rows, ROWS, &sum);
    assert_true(sum.count[STATISTICS_SENT] <= steps);
    assert_true(sum.count[STATISTICS_SENT] + kills >= steps);
    assert_true(sum.count[STATISTICS_BYTES_SENT] <= 64 * sum.count[STATISTICS_SENT]);
    assert_true(sum.count[STATISTICS_BYTES_SENT] + 64 * kills >= 64 * sum.count[STATISTICS_SENT]);
    print_message("%llu steps, %llu counted, %llu kills\n", (unsigned long long)steps,
                  (unsigned long long)sum.count[STATISTICS_SENT], (unsigned long long)kills);
}

static const struct harness_test tests[] = {
    {.name = "rows and their sum", .function = test_rows},
    {.name = "killed at random", .function = test_kills},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
