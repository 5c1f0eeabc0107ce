/* SPDX-License-Identifier: MIT
 *
 * An index by one process: what each step does to the words. Steps that come late:
 * test_index_late.c; many participants at once: test_index_many.c. */
#include <errno.h>

#include "memory/index_ground.h"

static void test_in_order(void **state) {
    (void)state;
    index_create(&bench.words, 10);
    struct index sender = attach(7), receiver = attach(4095);
    struct index_item item;
    assert_int_equal(index_find(&receiver, NULL, NULL, false, &item), 0);
    for (uint32_t i = 0; i < 10 * SLOTS; i++) {
        assert_int_equal(publish(&sender, 65535 - i), i);
        assert_int_equal(outcome(&sender, i).state, INDEX_PUBLISHED);
        item = claim(&receiver);
        assert_int_equal(item.origin, i);
        assert_int_equal(item.lane, 7);
        assert_int_equal(item.place, 65535 - i);
        assert_false(item.again);
        assert_int_equal(outcome(&sender, i).state, INDEX_CLAIMED);
        assert_int_equal(outcome(&sender, i).who, 4095);
        assert_int_equal(outcome(&sender, i).lane, 7);
        assert_int_equal(index_find(&receiver, NULL, NULL, i % 2, &item), 0);
        item = outcome(&sender, i);
        assert_int_equal(index_finish(&receiver, &item, INDEX_DONE), 0);
        assert_int_equal(index_finish(&receiver, &item, INDEX_DONE), -ESTALE);
        assert_int_equal(outcome(&sender, i).state, INDEX_DONE);
        assert_int_equal(outcome(&sender, i).who, 4095);
        assert_int_equal(outcome(&sender, i).lane, 7);
    }
    assert_int_equal(index_outcome(&sender, 8 * SLOTS, &item), -ESTALE);
}

static void test_capacity(void **state) {
    (void)state;
    index_create(&bench.words, 4);
    struct index sender = attach(1), other = attach(2), receiver = attach(3);
    struct index_item items[4];
    uint64_t position = 99;
    for (uint32_t i = 0; i < 4; i++)
        publish(i % 2 ? &sender : &other, i);
    assert_int_equal(index_publish(&sender, 5, &position), -EAGAIN);
    assert_int_equal(index_publish(&other, 5, &position), -EAGAIN);
    assert_int_equal(position, 99);
    for (int i = 0; i < 4; i++)
        items[i] = claim(&receiver);
    /* What is held counts as well. */
    assert_int_equal(index_publish(&sender, 5, &position), -EAGAIN);
    /* Any that is finished makes room for one, and only one, whoever takes it. */
    const int order[] = {2, 1, 3, 0};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(index_finish(&receiver, &items[order[i]], INDEX_DONE), 0);
        publish(i % 2 ? &sender : &other, 7);
        assert_int_equal(index_publish(&sender, 5, &position), -EAGAIN);
        assert_int_equal(index_publish(&other, 5, &position), -EAGAIN);
    }
    index_set_capacity(&sender, 5);
    publish(&other, 8);
    assert_int_equal(index_publish(&sender, 5, &position), -EAGAIN);
    index_set_capacity(&sender, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(index_publish(&sender, 5, &position), -EAGAIN);
        struct index_item item = claim(&receiver);
        assert_int_equal(index_finish(&receiver, &item, INDEX_DONE), 0);
    }
    publish(&sender, 1);
    assert_int_equal(index_publish(&other, 5, &position), -EAGAIN);
}

/* A message that stays neither stops the ring nor loses its age. */
static void test_elders(void **state) {
    (void)state;
    index_create(&bench.words, SLOTS);
    struct index sender = attach(1), holder = attach(2), receiver = attach(3), late = attach(4);
    publish(&sender, 100);
    publish(&sender, 101);
    struct index_item held = claim(&holder), item;
    /* 1 stays published, because this receiver's copies of it are all too slow. */
    for (uint32_t i = 2; i < 10 * SLOTS; i++) {
        publish(&sender, i);
        assert_int_equal(index_find(&receiver, NULL, NULL, true, &item), 1);
        assert_int_equal(item.origin, 1);
        assert_int_equal(item.place, 101);
        uint64_t at = item.position + 1;
        while (index_read(&receiver, at, &item) == 1 && item.state != INDEX_PUBLISHED)
            at++;
        assert_int_equal(item.place, i);
        assert_int_equal(index_settle(&receiver, &item, INDEX_DONE), 0);
    }
    assert_int_equal(outcome(&sender, 0).state, INDEX_CLAIMED);
    assert_int_equal(outcome(&sender, 0).origin, 0);
    assert_int_equal(outcome(&sender, 1).state, INDEX_PUBLISHED);
    assert_int_equal(outcome(&sender, 1).origin, 1);
    assert_int_equal(index_withdraw(&sender, 0, 100), -EBUSY);
    publish(&sender, 7);
    assert_int_equal(index_finish(&holder, &held, INDEX_DONE), 0);
    assert_int_equal(outcome(&sender, 0).state, INDEX_DONE);
    assert_int_equal(outcome(&sender, 0).who, 2);
    assert_int_equal(claim(&late).origin, 1);
    assert_int_equal(claim(&late).place, 7);
}

/* As many elders as may be: every slot but one is carried again and again. */
static void test_all_elders(void **state) {
    (void)state;
    index_create(&bench.words, SLOTS);
    struct index sender = attach(1), holder = attach(2);
    struct index_item held[SLOTS];
    uint64_t position;
    for (uint32_t i = 0; i < SLOTS; i++) {
        publish(&sender, i);
        held[i] = claim(&holder);
    }
    assert_int_equal(index_publish(&sender, 0, &position), -EAGAIN);
    for (uint32_t i = 0; i < 5 * SLOTS; i++) {
        assert_int_equal(index_finish(&holder, &held[i * 7 % SLOTS], INDEX_DONE), 0);
        position = publish(&sender, i);
        assert_int_equal(index_publish(&sender, 0, &position), -EAGAIN);
        held[i * 7 % SLOTS] = claim(&holder);
        assert_int_equal(held[i * 7 % SLOTS].origin, position);
        assert_int_equal(held[i * 7 % SLOTS].place, i);
    }
}

static void test_taken_away(void **state) {
    (void)state;
    index_create(&bench.words, 8);
    struct index sender = attach(1), slow = attach(2), other = attach(3);
    for (uint32_t i = 0; i < 4; i++)
        publish(&sender, i);
    struct index_item first = claim(&slow), second = claim(&other), item;
    assert_int_equal(index_take_away(&other, &first), 0);
    assert_int_equal(index_take_away(&other, &first), -EAGAIN);
    assert_int_equal(index_finish(&slow, &first, INDEX_DONE), -ESTALE);
    assert_int_equal(index_give_back(&slow, &first), -ESTALE);
    /* It comes before the newer ones, and is marked. */
    item = claim(&other);
    assert_int_equal(item.origin, 0);
    assert_true(item.again);
    assert_int_equal(index_finish(&slow, &first, INDEX_DONE), -ESTALE);
    assert_int_equal(index_finish(&other, &item, INDEX_DONE), 0);
    assert_int_equal(index_give_back(&other, &second), 0);
    /* The same hand again: the late step of the first time fails all the same. */
    item = claim(&other);
    assert_int_equal(item.origin, 1);
    assert_true(item.again);
    assert_int_equal(index_finish(&other, &second, INDEX_DONE), -ESTALE);
    assert_int_equal(index_finish(&other, &item, INDEX_DONE), 0);
    assert_false(claim(&other).again);
}

static void test_take_back(void **state) {
    (void)state;
    index_create(&bench.words, SLOTS);
    struct index sender = attach(1), dead = attach(2), other = attach(3), nurse = attach(4);
    struct index_item items[10], item;
    for (uint32_t i = 0; i < 10; i++)
        publish(&sender, i);
    for (int i = 0; i < 6; i++)
        items[i] = claim(i % 2 ? &dead : &other);
    /* Some of them are elders by now. */
    for (uint32_t i = 10; i < 3 * SLOTS; i++) {
        publish(&sender, i);
        item = claim(&other);
        assert_int_equal(index_finish(&other, &item, INDEX_DONE), 0);
    }
    assert_int_equal(index_take_back(&nurse, 2), 3);
    assert_int_equal(index_take_back(&nurse, 2), 0);
    for (int i = 1; i < 6; i += 2) {
        item = claim(&other);
        assert_int_equal(item.origin, i);
        assert_true(item.again);
        assert_int_equal(item.place, i);
        assert_int_equal(index_finish(&dead, &items[i], INDEX_DONE), -ESTALE);
    }
    item = claim(&other);
    assert_false(item.again);
    assert_int_equal(index_finish(&other, &items[0], INDEX_DONE), 0);
}

static void test_withdraw(void **state) {
    (void)state;
    index_create(&bench.words, 8);
    struct index sender = attach(1), other = attach(2), receiver = attach(3);
    struct index_item item, found;
    uint64_t a = publish(&sender, 10), b = publish(&sender, 11), c = publish(&other, 12);
    assert_int_equal(index_find(&receiver, NULL, NULL, false, &found), 1);
    assert_int_equal(index_withdraw(&sender, a, 10), 0);
    assert_int_equal(index_claim(&receiver, &found), -EAGAIN);
    assert_int_equal(index_settle(&receiver, &found, INDEX_DONE), -EAGAIN);
    assert_int_equal(index_withdraw(&sender, a, 10), -EALREADY);
    assert_int_equal(outcome(&sender, a).state, INDEX_WITHDRAWN);
    item = claim(&receiver);
    assert_int_equal(item.origin, b);
    assert_int_equal(index_withdraw(&sender, b, 11), -EBUSY);
    assert_int_equal(index_finish(&receiver, &item, INDEX_DONE), 0);
    assert_int_equal(index_withdraw(&sender, b, 11), -EALREADY);
    assert_int_equal(index_withdraw(&sender, c, 12), -EALREADY); /* another's */
    for (uint32_t i = 0; i < SLOTS; i++) {
        item = claim(&receiver);
        assert_int_equal(index_finish(&receiver, &item, INDEX_DONE), 0);
        publish(&sender, i);
    }
    assert_int_equal(index_withdraw(&sender, b, 11), -ESTALE);
}

struct told {
    unsigned count;
    struct index_item last;
};

static void tell(void *context, const struct index_item *item) {
    struct told *told = context;
    told->count++;
    told->last = *item;
}

static void test_dropped_and_told(void **state) {
    (void)state;
    index_create(&bench.words, 4);
    struct told told = {0};
    struct index sender = attach(1), other = attach(2);
    struct index_item item;
    sender.tell = tell;
    sender.tell_context = &told;
    for (uint32_t i = 0; i < 4; i++)
        publish(&other, i);
    for (uint32_t i = 4; i < 3 * SLOTS; i++) {
        uint64_t position;
        assert_int_equal(index_publish(&sender, i, &position), -EAGAIN);
        assert_int_equal(index_find(&sender, NULL, NULL, false, &item), 1);
        assert_int_equal(item.origin, i - 4);
        assert_int_equal(index_settle(&sender, &item, INDEX_DROPPED), 0);
        assert_int_equal(publish(&sender, i), i);
        assert_int_equal(outcome(&other, i - 4).state, INDEX_DROPPED);
        assert_int_equal(outcome(&other, i - 4).who, 1);
        /* The slots' second use tells what became of the first. */
        assert_int_equal(told.count, i < SLOTS ? 0 : i - SLOTS + 1);
        if (told.count > 0) {
            assert_int_equal(told.last.origin, i - SLOTS);
            assert_int_equal(told.last.state, INDEX_DROPPED);
            assert_int_equal(told.last.lane, i - SLOTS < 4 ? 2 : 1);
            assert_int_equal(told.last.who, 1);
        }
    }
}

/* An outcome is told for an elder too, with its own number. */
static void test_elder_told(void **state) {
    (void)state;
    index_create(&bench.words, 8);
    struct told told = {0};
    struct index sender = attach(1), holder = attach(2);
    struct index_item held, item;
    publish(&sender, 42);
    held = claim(&holder);
    for (uint32_t i = 1; i < 4 * SLOTS; i++) {
        publish(&sender, i);
        item = claim(&holder);
        assert_int_equal(index_finish(&holder, &item, INDEX_DONE), 0);
    }
    assert_int_equal(index_finish(&holder, &held, INDEX_EXPIRED), 0);
    sender.tell = tell;
    sender.tell_context = &told;
    while (told.count == 0 || told.last.state == INDEX_DONE) {
        publish(&sender, 1);
        item = claim(&holder);
        assert_int_equal(index_finish(&holder, &item, INDEX_DONE), 0);
        assert_true(told.count <= SLOTS);
    }
    assert_int_equal(told.last.origin, 0);
    assert_int_equal(told.last.state, INDEX_EXPIRED);
    assert_int_equal(told.last.lane, 1);
    assert_int_equal(told.last.who, 2);
}

/* A priority in the place: 0 is the most urgent; 31 is not wanted by half of the looks. */
static int rank(void *context, const struct index_item *item) {
    int priority = (int)(item->place >> 11);
    return context != NULL && priority == 31 ? -1 : priority;
}

static void test_ranks(void **state) {
    (void)state;
    index_create(&bench.words, SLOTS);
    struct index sender = attach(1), receiver = attach(2);
    struct index_item item, last = {0};
    uint64_t random = 88172645463325252;
    int count = 0, unwanted = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        uint32_t place = (uint32_t)(ground_random(&random) % 32) << 11 | i;
        unwanted += place >> 11 == 31;
        publish(&sender, place);
    }
    while (index_find(&receiver, rank, &random, false, &item) == 1) {
        assert_int_equal(index_claim(&receiver, &item), 0);
        assert_int_equal(index_finish(&receiver, &item, INDEX_DONE), 0);
        if (count++ > 0)
            assert_true(item.place >> 11 > last.place >> 11 ||
                        (item.place >> 11 == last.place >> 11 && item.origin > last.origin));
        last = item;
    }
    assert_int_equal(count, SLOTS - unwanted);
    assert_true(unwanted > 0);
    /* What was passed over is found when it is wanted. */
    index_look_again(&receiver);
    for (; index_find(&receiver, rank, NULL, false, &item) == 1; count++)
        assert_int_equal(index_settle(&receiver, &item, INDEX_DONE), 0);
    assert_int_equal(count, SLOTS);
}

static void test_every_reader(void **state) {
    (void)state;
    index_create(&bench.words, 16);
    struct index sender = attach(1), other = attach(2), reader = attach(3);
    struct index_item item;
    uint64_t slow = 0, position;
    sender.in_order = other.in_order = true;
    assert_int_equal(index_read(&reader, 0, &item), 0);
    for (uint32_t i = 0; i < 3 * SLOTS; i++) {
        publish(i % 2 ? &sender : &other, i);
        assert_int_equal(index_read(&reader, i, &item), 1);
        assert_int_equal(item.place, i);
        assert_int_equal(item.origin, i);
        assert_true(index_is_still(&reader, &item));
        assert_int_equal(index_read(&reader, i + 1, &item), 0);
        if (i % 16 == 15) {
            assert_int_equal(index_publish(&sender, 0, &position), -EAGAIN);
            assert_int_equal(index_settle_below(&sender, slow + 16, INDEX_DONE), 16);
            slow += 16;
        }
    }
    assert_int_equal(index_read(&reader, 0, &item), -ESTALE);
    assert_int_equal(index_read(&reader, 2 * SLOTS, &item), 1);
    assert_int_equal(item.state, INDEX_DONE);
}

static void test_measure(void **state) {
    (void)state;
    index_create(&bench.words, SLOTS);
    struct index sender = attach(1), receiver = attach(2);
    struct index_figures figures;
    struct index_item item;
    index_measure(&receiver, &figures);
    assert_int_equal(figures.tail + figures.waiting + figures.held + figures.oldest, 0);
    for (uint32_t i = 0; i < 20; i++)
        publish(&sender, i);
    for (int i = 0; i < 6; i++) {
        item = claim(&receiver);
        if (i != 2)
            assert_int_equal(index_finish(&receiver, &item, INDEX_DONE), 0);
    }
    index_measure(&receiver, &figures);
    assert_int_equal(figures.waiting, 14);
    assert_int_equal(figures.held, 1);
    assert_int_equal(figures.oldest, 2);
    assert_int_equal(figures.tail, 20);
    assert_int_equal(index_settle_below(&receiver, 12, INDEX_PURGED), 6);
    index_measure(&receiver, &figures);
    assert_int_equal(figures.waiting, 8);
    assert_int_equal(figures.held, 1);
}

static const struct harness_test tests[] = {
    {.name = "in order", .function = test_in_order},
    {.name = "the capacity is exact", .function = test_capacity},
    {.name = "a message that stays", .function = test_elders},
    {.name = "all messages stay", .function = test_all_elders},
    {.name = "a claim is taken away", .function = test_taken_away},
    {.name = "the claims of a dead one", .function = test_take_back},
    {.name = "withdrawal or claim", .function = test_withdraw},
    {.name = "the oldest is dropped, and its outcome told", .function = test_dropped_and_told},
    {.name = "the outcome of one that stayed is told", .function = test_elder_told},
    {.name = "by rank, then by age", .function = test_ranks},
    {.name = "every reader", .function = test_every_reader},
    {.name = "figures", .function = test_measure},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
