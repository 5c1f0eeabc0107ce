/* SPDX-License-Identifier: MIT
 *
 * An index whose participants come late: by a message, by a lap, by so many laps that the
 * words look the same again; and any steps, against a model. */
#include <errno.h>

#include "memory/index_ground.h"

/* The laps in the words come round; the positions do not. */
static void test_laps_come_round(void **state) {
    (void)state;
    const uint64_t laps[] = {((uint64_t)1 << 31) - 4, ((uint64_t)1 << 36) - 4,
                             ((uint64_t)1 << 30) - 4, ((uint64_t)1 << 50) - 4};
    for (size_t i = 0; i < sizeof laps / sizeof laps[0]; i++) {
        go_on(laps[i]);
        struct index sender = attach(1), receiver = attach(2);
        struct index_item held, item;
        uint64_t start = publish(&sender, 9);
        assert_int_equal(start, (laps[i] + 1) * SLOTS);
        held = claim(&receiver);
        for (uint32_t n = 1; n < 10 * SLOTS; n++) {
            assert_int_equal(publish(&sender, n) % SLOTS, (n + (n - 1) / (SLOTS - 1)) % SLOTS);
            item = claim(&receiver);
            assert_int_equal(item.place, n);
            assert_int_equal(index_finish(&receiver, &item, INDEX_DONE), 0);
        }
        assert_int_equal(outcome(&sender, start).origin, start);
        assert_int_equal(index_finish(&receiver, &held, INDEX_DONE), 0);
        assert_int_equal(outcome(&sender, start).state, INDEX_DONE);
    }
}

/* A step that slept while the laps came round exactly finds the very word it expects, and is
 * undone. */
static void test_late_by_all_laps(void **state) {
    (void)state;
    index_create(&bench.words, 8);
    struct index sender = attach(1), receiver = attach(2);
    struct index_item item, copy;
    publish(&sender, 5);
    assert_int_equal(index_find(&receiver, NULL, NULL, false, &item), 1);
    copy = item;
    bench.words.first = bench.words.next = (uint64_t)SLOTS << 31;
    assert_int_equal(index_claim(&receiver, &item), -EAGAIN);
    assert_int_equal(bench.slots[0], copy.word);
    assert_int_equal(index_settle(&receiver, &copy, INDEX_DONE), -EAGAIN);
    assert_int_equal(bench.slots[0], copy.word);
}

/* Late steps meet the next message of the same slot, in the same hands. */
static void test_late_steps(void **state) {
    (void)state;
    index_create(&bench.words, 8);
    struct index sender = attach(1), other = attach(2), slow = attach(3), quick = attach(4);
    struct index_item found, old, item, again;
    publish(&sender, 5);
    assert_int_equal(index_find(&slow, NULL, NULL, false, &found), 1);
    old = claim(&quick);
    assert_int_equal(index_take_away(&slow, &old), 0);
    item = claim(&other);
    assert_int_equal(index_finish(&other, &item, INDEX_DONE), 0);
    for (uint32_t i = 1; i < SLOTS; i++) {
        publish(&sender, i);
        item = claim(&other);
        assert_int_equal(index_finish(&other, &item, INDEX_DONE), 0);
    }
    publish(&other, 5); /* the slot's next message, in a place of the same name */
    item = claim(&quick);
    assert_int_equal(item.origin, SLOTS);
    assert_int_equal(index_finish(&quick, &old, INDEX_DONE), -ESTALE);
    assert_int_equal(index_claim(&slow, &found), -EAGAIN);
    assert_int_equal(index_settle(&slow, &found, INDEX_DONE), -EAGAIN);
    again = outcome(&sender, SLOTS);
    assert_int_equal(again.state, INDEX_CLAIMED);
    assert_int_equal(again.lane, 2);
    assert_int_equal(index_finish(&quick, &item, INDEX_DONE), 0);
}

/* A receiver that is a lap behind finds the elder first, though it stands behind. */
static void test_behind_by_a_lap(void **state) {
    (void)state;
    index_create(&bench.words, SLOTS);
    struct index sender = attach(1), other = attach(2), slow = attach(3);
    struct index_item item;
    assert_int_equal(index_find(&slow, NULL, NULL, false, &item), 0);
    publish(&sender, 1000);
    for (uint64_t i = 1; i < SLOTS; i++) {
        publish(&sender, 1);
        assert_int_equal(index_read(&other, i, &item), 1);
        if (i < SLOTS - 1)
            assert_int_equal(index_settle(&other, &item, INDEX_DONE), 0);
    }
    publish(&sender, 2);
    assert_int_equal(index_find(&slow, NULL, NULL, false, &item), 1);
    assert_int_equal(item.origin, 0);
    assert_int_equal(item.place, 1000);
    assert_int_equal(item.position, SLOTS);
    /* What the outcome tells of an elder can be claimed, too. */
    item = outcome(&sender, 0);
    assert_int_equal(item.position, SLOTS);
    assert_int_equal(index_claim(&slow, &item), 0);
    assert_int_equal(index_finish(&slow, &item, INDEX_DONE), 0);
    assert_int_equal(claim(&slow).place, 1);
    assert_int_equal(claim(&slow).place, 2);
}

/* Gives a claim back like somebody who was killed, or stopped, before it could count it. */
static void give_back_uncounted(struct index *index, const struct index_item *claim) {
    uint64_t returned = bench.words.returned;
    assert_int_equal(index_give_back(index, claim), 0);
    bench.words.returned = returned;
}

static void test_uncounted_return(void **state) {
    (void)state;
    index_create(&bench.words, SLOTS);
    struct index sender = attach(1), holder = attach(2), receiver = attach(3);
    struct index_item held, item;
    publish(&sender, 1);
    held = claim(&holder);
    publish(&sender, 2);
    assert_int_equal(claim(&receiver).place, 2);
    give_back_uncounted(&holder, &held);
    /* Killed: whoever buries it counts it. */
    index_take_back(&sender, 2);
    publish(&sender, 3);
    item = claim(&receiver);
    assert_int_equal(item.place, 1);
    assert_int_equal(index_finish(&receiver, &item, INDEX_DONE), 0);
    assert_int_equal(claim(&receiver).place, 3);
    /* Stopped: busy receivers look at everything now and then. */
    publish(&sender, 4);
    held = claim(&holder);
    publish(&sender, 5);
    assert_int_equal(claim(&receiver).place, 5);
    give_back_uncounted(&holder, &held);
    uint32_t finds = 0;
    do {
        publish(&sender, 6);
        item = claim(&receiver);
        assert_int_equal(index_finish(&receiver, &item, INDEX_DONE), 0);
    } while (item.place == 6 && ++finds <= SLOTS);
    assert_int_equal(item.place, 4);
    /* An idle one looks thoroughly before it sleeps. */
    publish(&sender, 7);
    while ((held = claim(&holder)).place != 7)
        continue;
    assert_int_equal(index_find(&receiver, NULL, NULL, true, &item), 0);
    give_back_uncounted(&holder, &held);
    assert_int_equal(index_find(&receiver, NULL, NULL, true, &item), 1);
    assert_int_equal(item.place, 7);
}

/* ---- any steps, against a model ---- */

struct message {
    uint64_t origin;
    uint32_t place;
    bool held, again;
    struct index_item claim;
};

struct model {
    struct message messages[SLOTS];
    uint64_t count, capacity, random;
    struct index sender, receivers[2];
};

static void forget(struct model *model, uint64_t i) {
    memmove(model->messages + i, model->messages + i + 1,
            (--model->count - i) * sizeof model->messages[0]);
}

/* The oldest that waits is found, by a quick look as by a thorough one, and is claimed, or
 * settled, or withdrawn. */
static void step_find(struct model *model) {
    struct index *receiver = &model->receivers[ground_random(&model->random) % 2];
    struct index_item item;
    uint64_t i = 0, way = ground_random(&model->random) % 8;
    while (i < model->count && model->messages[i].held)
        i++;
    int found = index_find(receiver, NULL, NULL, way % 2, &item);
    assert_int_equal(found, i < model->count);
    if (!found)
        return;
    struct message *message = &model->messages[i];
    assert_int_equal(item.origin, message->origin);
    assert_int_equal(item.place, message->place);
    assert_int_equal(item.again, message->again);
    if (way < 6) {
        assert_int_equal(index_claim(receiver, &item), 0);
        message->held = true;
        message->claim = item;
    } else if (way == 6) {
        assert_int_equal(index_settle(receiver, &item, INDEX_DONE), 0);
        forget(model, i);
    } else {
        assert_int_equal(index_withdraw(&model->sender, item.origin, item.place), 0);
        forget(model, i);
    }
}

/* Any claim is finished or given back. */
static void step_end(struct model *model) {
    uint64_t i = ground_random(&model->random) % (model->count + 1);
    if (i == model->count || !model->messages[i].held)
        return;
    struct message *message = &model->messages[i];
    struct index *holder = &model->receivers[message->claim.who - 2];
    if (ground_random(&model->random) % 4 == 0) {
        assert_int_equal(index_give_back(holder, &message->claim), 0);
        message->held = false;
        message->again = true;
    } else {
        assert_int_equal(index_finish(holder, &message->claim, INDEX_DONE), 0);
        forget(model, i);
    }
}

static void step_publish(struct model *model) {
    uint64_t position;
    uint32_t place = (uint32_t)ground_random(&model->random) % INDEX_PLACES;
    struct index_figures figures;
    index_measure(&model->sender, &figures);
    assert_int_equal(figures.waiting + figures.held, model->count);
    assert_int_equal(figures.oldest, model->count > 0 ? model->messages[0].origin : figures.tail);
    int error = index_publish(&model->sender, place, &position);
    assert_int_equal(error, model->count < model->capacity ? 0 : -EAGAIN);
    if (error < 0)
        return;
    assert_true(position >= figures.tail && position < figures.tail + SLOTS);
    model->messages[model->count++] = (struct message){.origin = position, .place = place};
}

static void test_model(void **state) {
    (void)state;
    const uint64_t capacities[] = {1, 3, 17, SLOTS - 1, SLOTS};
    for (size_t c = 0; c < sizeof capacities / sizeof capacities[0]; c++) {
        struct model model = {.capacity = capacities[c], .random = 20260 + c};
        memset(&bench, 0, sizeof bench);
        index_create(&bench.words, model.capacity);
        model.sender = attach(1);
        model.receivers[0] = attach(2);
        model.receivers[1] = attach(3);
        for (int i = 0; i < 60000; i++) {
            /* At times it fills, at times it empties, at times few stay for long. */
            uint64_t phase = (uint64_t)i / 3000 % 4, step = ground_random(&model.random) % 8;
            if (step < (phase == 1 ? 5u : 3u))
                step_publish(&model);
            else if (step < 6)
                step_find(&model);
            else
                step_end(&model);
            if (phase == 2)
                step_end(&model);
        }
    }
}

/* What happens while a sender is stopped between its look at the tail and its swap. */
struct pause {
    struct index *other;
    uint64_t others; /* how many messages another one passes on meanwhile */
    uint64_t laps;   /* or how far the laps go on */
    unsigned count;
};

static void pause_sender(void *context, const struct index_item *item) {
    struct pause *pause = context;
    struct index_item passed;
    (void)item;
    if (pause->count++ > 0)
        return;
    for (uint64_t i = 0; i < pause->others; i++) {
        publish(pause->other, (uint32_t)i);
        passed = claim(pause->other);
        assert_int_equal(index_finish(pause->other, &passed, INDEX_DONE), 0);
    }
    if (pause->laps > 0)
        bench.words.first = bench.words.next =
            bench.words.next / SLOTS * SLOTS + pause->laps * SLOTS;
}

static void test_stopped_sender(void **state) {
    (void)state;
    const uint64_t others[] = {0, 1, 2, SLOTS - 1, SLOTS, SLOTS + 1, 10 * SLOTS};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        go_on(0);
        struct index sender = attach(1), other = attach(2);
        struct pause pause = {.other = &other, .others = others[i]};
        sender.tell = pause_sender;
        sender.tell_context = &pause;
        assert_int_equal(publish(&sender, 77), SLOTS + others[i]);
        struct index_item item = claim(&other);
        assert_int_equal(item.place, 77);
        assert_int_equal(item.origin, SLOTS + others[i]);
        assert_int_equal(index_find(&other, NULL, NULL, true, &item), 0);
    }
}

/* So many laps passed that its swap succeeds: what it put there is no message. */
static void test_sender_late_by_all_laps(void **state) {
    (void)state;
    go_on(0);
    struct index sender = attach(1), other = attach(2);
    struct pause pause = {.other = &other, .laps = (uint64_t)1 << 31};
    uint64_t late = SLOTS + ((uint64_t)SLOTS << 31);
    struct index_item item;
    sender.tell = pause_sender;
    sender.tell_context = &pause;
    assert_int_equal(publish(&sender, 77), late + 1);
    assert_int_equal(outcome(&other, late).state, INDEX_WITHDRAWN);
    item = claim(&other);
    assert_int_equal(item.origin, late + 1);
    assert_int_equal(item.place, 77);
    assert_int_equal(index_find(&other, NULL, NULL, true, &item), 0);
}

static const struct harness_test tests[] = {
    {.name = "the laps come round", .function = test_laps_come_round},
    {.name = "late by exactly all laps", .function = test_late_by_all_laps},
    {.name = "late steps of two hands", .function = test_late_steps},
    {.name = "behind by a lap", .function = test_behind_by_a_lap},
    {.name = "given back, and not counted", .function = test_uncounted_return},
    {.name = "any steps, against a model", .function = test_model},
    {.name = "a sender stopped before its swap", .function = test_stopped_sender},
    {.name = "a sender late by exactly all laps", .function = test_sender_late_by_all_laps},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
