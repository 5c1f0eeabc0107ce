/* SPDX-License-Identifier: MIT
 *
 * Participants: joining, leaving, being buried, by one process and by many that are killed
 * while they do so. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "memory/ground.h"
#include "memory/participants.h"

#define COUNT 12

struct scene {
    struct participants_words words;
    struct participant slots[COUNT];
    shared64 held[COUNT]; /* incarnation of who holds something by that number */
    shared64 joined;
    shared64 buried;
    shared64 stop;
};

static struct scene *make_scene(struct participants *ret_table) {
    struct scene *scene = ground_map(sizeof *scene);
    participants_attach(ret_table, &scene->words, scene->slots, COUNT);
    return scene;
}

static const struct participant_facts facts = {
    .pid = 42, .flags = 3, .start = 77, .name = 99, .space = 5, .label = "the label"};

static void join(const struct participants *table, uint32_t number, uint64_t incarnation) {
    assert_int_equal(participants_reserve(table, number, incarnation), 0);
    assert_int_equal(participants_appear(table, number, incarnation, &facts), 0);
}

static int clean_nothing(void *context, uint32_t number, uint64_t incarnation) {
    (void)number;
    (void)incarnation;
    *(int *)context += 1;
    return 0;
}

static bool nobody_lives(void *context, uint32_t number, const struct participant_look *look) {
    (void)context;
    (void)number;
    assert_true(look->state != PARTICIPANT_FREE);
    return false;
}

static void test_life(void **state) {
    (void)state;
    struct participants table;
    make_scene(&table);
    struct participant_look look;
    assert_int_equal(participants_make_incarnation(0), 8);
    assert_int_equal(participants_make_incarnation(7), 8);
    assert_int_equal(participants_make_incarnation(UINT64_MAX), UINT64_MAX - 7);
    assert_int_equal(participants_used(&table), 0);
    assert_int_equal(participants_find_free(&table, 3), 3);
    assert_int_equal(participants_reserve(&table, 3, 800), 0);
    assert_int_equal(participants_used(&table), 4);
    assert_int_equal(participants_reserve(&table, 3, 1600), -EAGAIN);
    participants_look(&table, 3, &look);
    assert_int_equal(look.state, PARTICIPANT_JOINING);
    assert_int_equal(look.incarnation, 800);
    assert_int_equal(look.facts.pid, 0);
    assert_false(participants_is_there(&table, 3, 800));
    assert_int_equal(participants_appear(&table, 3, 800, &facts), 0);
    assert_true(participants_is_there(&table, 3, 800));
    assert_false(participants_is_there(&table, 3, 1600));
    participants_look(&table, 3, &look);
    assert_int_equal(look.state, PARTICIPANT_LIVE);
    assert_memory_equal(&look.facts, &facts, sizeof facts);
    assert_int_equal(participants_find_free(&table, 3), 4);
    assert_int_equal(participants_end_leave(&table, 3, 800), -ESTALE);
    assert_int_equal(participants_begin_leave(&table, 3, 800), 0);
    assert_true(participants_is_there(&table, 3, 800));
    assert_int_equal(participants_end_leave(&table, 3, 800), 0);
    assert_false(participants_is_there(&table, 3, 800));
    assert_int_equal(participants_reserve(&table, 3, 1600), 0);
    assert_int_equal(participants_find_free(&table, 3), 4);
    assert_int_equal(participants_find_free(&table, COUNT), COUNT);
}

static void test_dead(void **state) {
    (void)state;
    struct participants table;
    make_scene(&table);
    int cleaned = 0;
    join(&table, 0, 80);
    join(&table, 1, 160);
    assert_int_equal(participants_reserve(&table, 2, 240), 0); /* dies while joining */
    join(&table, 3, 320);
    assert_int_equal(participants_begin_leave(&table, 3, 320), 0); /* and while leaving */
    assert_int_equal(participants_sweep(&table, 0, nobody_lives, clean_nothing, &cleaned), 3);
    assert_int_equal(cleaned, 3);
    for (uint32_t i = 1; i < 4; i++) {
        struct participant_look look;
        participants_look(&table, i, &look);
        assert_int_equal(look.state, PARTICIPANT_FREE);
    }
    assert_true(participants_is_there(&table, 0, 80));
    /* Every late step of the dead fails. */
    assert_int_equal(participants_begin_leave(&table, 1, 160), -ESTALE);
    assert_int_equal(participants_appear(&table, 2, 240, &facts), -ESTALE);
    assert_int_equal(participants_end_leave(&table, 3, 320), -ESTALE);
    join(&table, 1, 400);
    assert_int_equal(participants_bury(&table, 0, 1, 160, clean_nothing, &cleaned), -ESTALE);
    assert_true(participants_is_there(&table, 1, 400));
    assert_int_equal(cleaned, 3);
}

/* What happens while a burier is in the middle. */
struct middle {
    const struct participants *table;
    int depth;
    int error;
};

static int clean_slowly(void *context, uint32_t number, uint64_t incarnation) {
    struct middle *middle = context;
    if (middle->depth++ > 0)
        return middle->error;
    /* This burier is stopped here. Another does it all. */
    assert_int_equal(participants_reserve(middle->table, number, 8000), -EAGAIN);
    assert_int_equal(participants_bury(middle->table, 1, number, incarnation, clean_slowly, middle),
                     0);
    /* The number is free now, but kept from use while this one is still under way. */
    assert_int_equal(participants_reserve(middle->table, number, 8000), -EBUSY);
    assert_int_equal(participants_find_free(middle->table, number), number);
    assert_int_equal(participants_bury(middle->table, 1, number, incarnation, clean_slowly, middle),
                     -ESTALE);
    return 0;
}

static void test_slow_burier(void **state) {
    (void)state;
    struct participants table;
    make_scene(&table);
    struct middle middle = {.table = &table};
    join(&table, 0, 80);
    join(&table, 1, 160);
    join(&table, 2, 240);
    assert_int_equal(participants_bury(&table, 0, 2, 240, clean_slowly, &middle), 0);
    assert_int_equal(middle.depth, 2);
    join(&table, 2, 320);
}

static int clean_badly(void *context, uint32_t number, uint64_t incarnation) {
    (void)context;
    (void)number;
    (void)incarnation;
    return -ENOMEM;
}

static void test_failed_burial(void **state) {
    (void)state;
    struct participants table;
    make_scene(&table);
    struct participant_look look;
    int cleaned = 0;
    join(&table, 0, 80);
    join(&table, 1, 160);
    assert_int_equal(participants_sweep(&table, 0, nobody_lives, clean_badly, NULL), -ENOMEM);
    participants_look(&table, 1, &look);
    assert_int_equal(look.state, PARTICIPANT_DEAD);
    assert_int_equal(participants_reserve(&table, 1, 240), -EAGAIN);
    assert_int_equal(participants_sweep(&table, 0, nobody_lives, clean_nothing, &cleaned), 1);
    join(&table, 1, 240);
}

/* A burier that died in the middle does not keep the number for ever. */
static void test_dead_burier(void **state) {
    (void)state;
    struct participants table;
    struct scene *scene = make_scene(&table);
    int cleaned = 0;
    join(&table, 0, 80);
    join(&table, 1, 160);
    join(&table, 2, 240);
    /* 1 announced the burial of 2, and was killed. */
    scene->slots[1].burying = 3;
    assert_int_equal(participants_bury(&table, 0, 2, 240, clean_nothing, &cleaned), 0);
    assert_int_equal(participants_reserve(&table, 2, 320), -EBUSY);
    assert_int_equal(participants_bury(&table, 0, 1, 160, clean_nothing, &cleaned), 0);
    join(&table, 2, 320);
    /* Nor does its next bearer inherit the announcement. */
    join(&table, 1, 400);
    assert_int_equal(participants_begin_leave(&table, 2, 320), 0);
    assert_int_equal(participants_end_leave(&table, 2, 320), 0);
    join(&table, 2, 480);
}

/* ---- processes that are killed ---- */

/* The kernel's word on who lives: a lock of the file on the byte of the number. */
static int lock_number(int file, uint32_t number, short type, int command) {
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)number, .l_len = 1};
    if (fcntl(file, command, &lock) < 0)
        return -errno;
    return lock.l_type == F_UNLCK && command == F_GETLK ? 0 : 1;
}

struct member {
    struct scene *scene;
    struct participants table;
    int file;
    uint32_t number;
    uint64_t incarnation;
};

static bool is_alive(void *context, uint32_t number, const struct participant_look *look) {
    const struct member *member = context;
    (void)look;
    return lock_number(member->file, number, F_WRLCK, F_GETLK) == 1;
}

/* While this runs, nobody else may bear the number: what is held by it is the dead one's. */
static int clean_held(void *context, uint32_t number, uint64_t incarnation) {
    const struct member *member = context;
    struct participant_look look;
    for (int i = 0; i < 3; i++) {
        uint64_t held = shared64_get_acquire(&member->scene->held[number]);
        assert_true(held == 0 || held == incarnation);
        if (held == incarnation)
            shared64_swap_if(&member->scene->held[number], &held, 0);
        participants_look(&member->table, number, &look);
        assert_true(look.state != PARTICIPANT_LIVE && look.state != PARTICIPANT_LEAVING);
    }
    shared64_add(&member->scene->buried, 1);
    return 0;
}

static bool take_number(struct member *member, uint64_t *random) {
    uint32_t from = (uint32_t)(ground_random(random) % COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t number = (from + i) % COUNT;
        if (lock_number(member->file, number, F_WRLCK, F_SETLK) < 0)
            continue;
        member->number = number;
        member->incarnation = participants_make_incarnation(ground_random(random));
        if (participants_reserve(&member->table, number, member->incarnation) == 0)
            return true;
        lock_number(member->file, number, F_UNLCK, F_SETLK);
    }
    return false;
}

/* Joins, holds something, buries others, leaves, over and over. */
static void be_member(void *context) {
    struct member member = *(struct member *)context;
    char path[128];
    uint64_t random = (uint64_t)getpid() * 2654435761u | 1;
    harness_path(path, sizeof path, "locks");
    member.file = open(path, O_RDWR | O_CLOEXEC);
    assert_true(member.file >= 0);
    while (shared64_get(&member.scene->stop) == 0) {
        if (!take_number(&member, &random)) {
            sched_yield();
            continue;
        }
        assert_int_equal(
            participants_appear(&member.table, member.number, member.incarnation, &facts), 0);
        uint64_t nothing = 0;
        assert_true(
            shared64_swap_if(&member.scene->held[member.number], &nothing, member.incarnation));
        shared64_add(&member.scene->joined, 1);
        for (uint64_t i = ground_random(&random) % 4; i > 0; i--)
            assert_true(participants_sweep(&member.table, member.number, is_alive, clean_held,
                                           &member) >= 0);
        assert_int_equal(shared64_get(&member.scene->held[member.number]), member.incarnation);
        assert_int_equal(participants_begin_leave(&member.table, member.number, member.incarnation),
                         0);
        shared64_set(&member.scene->held[member.number], 0);
        assert_int_equal(participants_end_leave(&member.table, member.number, member.incarnation),
                         0);
        lock_number(member.file, member.number, F_UNLCK, F_SETLK);
    }
}

static void test_kills(void **state) {
    (void)state;
    struct member member = {0};
    char path[128];
    uint64_t random = 424242, kills = 0;
    pid_t peers[4];
    struct timespec begin = {0};
    member.scene = make_scene(&member.table);
    harness_path(path, sizeof path, "locks");
    member.file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(member.file >= 0);
    for (int i = 0; i < 4; i++)
        peers[i] = harness_fork(be_member, &member);
    do {
        uint64_t i = ground_random(&random) % 4;
        ground_let_work(&member.scene->joined, 1 + ground_random(&random) % 4, &random);
        ground_kill(peers[i]);
        peers[i] = harness_fork(be_member, &member);
        kills++;
    } while (ground_goes_on(&begin));
    shared64_set(&member.scene->stop, 1);
    for (int i = 0; i < 4; i++)
        harness_join(peers[i]);
    /* One more, and nothing is left. */
    shared64_set(&member.scene->stop, 0);
    assert_true(take_number(&member, &random));
    assert_int_equal(participants_appear(&member.table, member.number, member.incarnation, &facts),
                     0);
    assert_true(participants_sweep(&member.table, member.number, is_alive, clean_held, &member) >=
                0);
    for (uint32_t number = 0; number < COUNT; number++) {
        struct participant_look look;
        participants_look(&member.table, number, &look);
        assert_true(number == member.number || look.state == PARTICIPANT_FREE);
        assert_int_equal(member.scene->held[number], 0);
    }
    print_message("%llu kills, %llu joined, %llu burials\n", (unsigned long long)kills,
                  (unsigned long long)member.scene->joined,
                  (unsigned long long)member.scene->buried);
    assert_true(member.scene->buried > 0);
}

static const struct harness_test tests[] = {
    {.name = "joining and leaving", .function = test_life},
    {.name = "the dead are buried", .function = test_dead},
    {.name = "a burier that is slow", .function = test_slow_burier},
    {.name = "a burial that fails", .function = test_failed_burial},
    {.name = "a burier that died", .function = test_dead_burier},
    {.name = "killed at random", .function = test_kills},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
