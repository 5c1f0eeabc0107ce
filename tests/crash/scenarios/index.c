/* SPDX-License-Identifier: MIT
 *
 * The shared index of messages: a sender, a receiver, or one that cleans up after a dead one
 * is struck. Messages are known by their places, which are their numbers in the ledger. */
#include "memory/index.h"

#include <errno.h>
#include <sys/mman.h>

#include "crash/crash.h"

#define SLOTS 64
#define CAPACITY 40
#define BEFORE 3 /* messages there before */
#define OWN 10   /* the victim's message */
#define RECOVERED 100
#define OTHERS 250 /* among survivors; in no ledger */

enum participant { VICTIM = 1, STAGE = 2, DEAD = 3, RECOVERER = 4 };

struct shared {
    struct index_words words;
    shared64 slots[SLOTS], origins[SLOTS];
};

struct state {
    struct shared *shared;
    struct index mine, its, third;
    struct index_item item;
    uint64_t position;
    bool holds;
    int result;
};

struct index_case {
    world_function *before; /* in set_up */
    world_function *operate;
    world_function *after; /* in finish */
    world_function *while_stopped;
};

static struct state *state_of(struct world *world) {
    return world->state;
}

static const struct index_case *case_of(const struct world *world) {
    return world->scenario->context;
}

static void publish(struct world *world, struct index *index, unsigned number) {
    uint64_t position;
    if (number != OTHERS)
        ledger_begin(world, number);
    crash_need(index_publish(index, number, &position) == 0);
    if (number != OTHERS)
        ledger_sent(world, number);
}

/* Claims the oldest and finishes it. Result: whether there was one. */
static bool take(struct world *world, struct index *index, struct index_item *ret_item) {
    while (index_find(index, NULL, NULL, true, ret_item) == 1) {
        int result = index_claim(index, ret_item);
        crash_need(result == 0 || result == -EAGAIN);
        if (result == -EAGAIN)
            continue;
        struct index_item claim = *ret_item;
        crash_need(index_finish(index, &claim, INDEX_DONE) == 0);
        if (claim.place != OTHERS)
            ledger_received(world, claim.place);
        return true;
    }
    return false;
}

static void take_all(struct world *world) {
    struct index_item item;
    uint64_t last = 0;
    bool first = true;
    while (take(world, &state_of(world)->mine, &item)) {
        /* What comes back from the dead comes before what is newer. */
        crash_need(first || item.origin > last);
        first = false;
        last = item.origin;
    }
}

static void attach(struct state *state, struct index *index, uint32_t who) {
    index_attach(index, &state->shared->words, state->shared->slots, state->shared->origins, SLOTS,
                 who);
}

static void set_up(struct world *world) {
    struct state *state = state_of(world);
    state->shared = mmap(NULL, sizeof *state->shared, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    crash_need(state->shared != MAP_FAILED);
    index_create(&state->shared->words, CAPACITY);
    attach(state, &state->mine, STAGE);
    attach(state, &state->its, VICTIM);
    attach(state, &state->third, DEAD);
    /* So that slots have been used before. */
    for (unsigned i = 0; i < SLOTS; i++) {
        struct index_item item;
        publish(world, &state->mine, OTHERS);
        crash_need(take(world, &state->mine, &item));
    }
    for (unsigned i = 0; i < BEFORE; i++)
        publish(world, &state->mine, i);
    if (case_of(world)->before != NULL)
        case_of(world)->before(world);
}

/* ---- what the victim does ---- */

static void publish_prepare(struct world *world) {
    ledger_begin(world, OWN);
}

static void publish_own(struct world *world) {
    struct state *state = state_of(world);
    state->result = index_publish(&state->its, OWN, &state->position);
}

static void publish_after(struct world *world) {
    crash_need(state_of(world)->result == 0);
    ledger_sent(world, OWN);
}

static void claim_one(struct world *world) {
    struct state *state = state_of(world);
    state->holds = false;
    while (!state->holds && index_find(&state->its, NULL, NULL, true, &state->item) == 1)
        state->holds = index_claim(&state->its, &state->item) == 0;
}

static void claim_after(struct world *world) {
    struct state *state = state_of(world);
    if (state->holds && index_finish(&state->its, &state->item, INDEX_DONE) == 0 &&
        state->item.place != OTHERS)
        ledger_received(world, state->item.place);
}

static void hold(struct world *world) {
    claim_one(world);
    crash_need(state_of(world)->holds && state_of(world)->item.place == 0);
}

static void hold_excused(struct world *world) {
    hold(world);
    ledger_excuse(world, 0);
}

static void finish_claim(struct world *world) {
    struct state *state = state_of(world);
    state->result = index_finish(&state->its, &state->item, INDEX_DONE);
}

/* A claim that was taken away is no longer the victim's, however late it finishes. */
static void finish_after(struct world *world) {
    struct state *state = state_of(world);
    crash_need(state->result == 0 || state->result == -ESTALE);
    if (state->result == 0)
        ledger_received(world, 0);
    world->ledger->excused[0] = 0;
}

static void take_away(struct world *world) {
    struct state *state = state_of(world);
    uint64_t position = 0;
    struct index_item item;
    while (index_walk(&state->mine, &position, &item) == 1)
        if (item.state == INDEX_CLAIMED && item.who == VICTIM)
            crash_need(index_take_away(&state->mine, &item) == 0);
}

static void give_back(struct world *world) {
    struct state *state = state_of(world);
    state->result = index_give_back(&state->its, &state->item);
}

static void own_before(struct world *world) {
    struct state *state = state_of(world);
    ledger_begin(world, OWN);
    crash_need(index_publish(&state->its, OWN, &state->position) == 0);
    ledger_sent(world, OWN);
    ledger_excuse(world, OWN);
}

static void withdraw(struct world *world) {
    struct state *state = state_of(world);
    state->result = index_withdraw(&state->its, state->position, OWN);
}

/* Withdrawal or claim, never both, never neither. */
static void withdraw_after(struct world *world) {
    int result = state_of(world)->result;
    crash_need(result == 0 || result == -EBUSY || result == -EALREADY || result == -ESTALE);
    if (result == 0)
        ledger_received(world, OWN);
    world->ledger->excused[OWN] = 0;
}

static void drop_prepare(struct world *world) {
    ledger_excuse(world, 0);
}

static void drop_oldest(struct world *world) {
    struct state *state = state_of(world);
    state->result = -EAGAIN;
    if (index_find(&state->its, NULL, NULL, true, &state->item) == 1)
        state->result = index_settle(&state->its, &state->item, INDEX_DROPPED);
}

static void drop_after(struct world *world) {
    struct state *state = state_of(world);
    if (state->result == 0 && state->item.place != OTHERS)
        ledger_received(world, state->item.place);
    world->ledger->excused[0] = 0;
}

/* A dead participant holds two messages. */
static void dead_holds(struct world *world) {
    struct state *state = state_of(world);
    struct index_item item;
    for (int i = 0; i < 2; i++) {
        crash_need(index_find(&state->third, NULL, NULL, true, &item) == 1);
        crash_need(index_claim(&state->third, &item) == 0);
    }
}

static void take_back(struct world *world) {
    index_take_back(&state_of(world)->its, DEAD);
}

/* The next slot is held by a dead one since the lap before: the sender has to carry it on. */
static void dead_is_in_the_way(struct world *world) {
    struct state *state = state_of(world);
    struct index_item item;
    dead_holds(world);
    crash_need(take(world, &state->mine, &item));
    for (unsigned i = BEFORE; i < SLOTS; i++) {
        publish(world, &state->mine, OTHERS);
        crash_need(take(world, &state->mine, &item));
    }
}

static void settle_below(struct world *world) {
    struct state *state = state_of(world);
    index_settle_below(&state->its, SLOTS + 2, INDEX_DROPPED);
}

static void settle_prepare(struct world *world) {
    ledger_excuse(world, 0);
    ledger_excuse(world, 1);
}

static void set_capacity(struct world *world) {
    index_set_capacity(&state_of(world)->its, CAPACITY / 2);
}

/* ---- the survivors ---- */

static void finish(struct world *world) {
    if (case_of(world)->after != NULL)
        case_of(world)->after(world);
}

static void survive(struct world *world, unsigned operations) {
    struct state *state = state_of(world);
    struct index_item item;
    if (world->killed)
        index_take_back(&state->mine, VICTIM);
    index_take_back(&state->mine, DEAD);
    index_take_back(&state->mine, RECOVERER);
    if (world->stopped && case_of(world)->while_stopped != NULL)
        case_of(world)->while_stopped(world);
    take_all(world);
    for (unsigned i = 0; i < operations; i++) {
        publish(world, &state->mine, OTHERS);
        crash_need(take(world, &state->mine, &item));
    }
    /* Capacity is exact, whoever was struck. */
    struct index_figures figures;
    index_measure(&state->mine, &figures);
    uint64_t limit = shared64_get(&state->shared->words.capacity), count = 0, position;
    crash_need(figures.waiting == 0 && figures.held <= (world->stopped ? 1 : 0));
    while (index_publish(&state->mine, OTHERS, &position) == 0)
        count++;
    crash_need(count + figures.held == limit);
    take_all(world);
}

static void clean_up(struct world *world) {
    struct state *state = state_of(world);
    crash_need(munmap(state->shared, sizeof *state->shared) == 0);
}

/* Second victim: takes back what the first one held, and publishes. */
static void recover_prepare(struct world *world) {
    struct state *state = state_of(world);
    attach(state, &state->third, RECOVERER);
    ledger_begin(world, RECOVERED);
}

static void recover(struct world *world) {
    struct state *state = state_of(world);
    index_take_back(&state->third, VICTIM);
    index_take_back(&state->third, DEAD);
    state->result = index_publish(&state->third, RECOVERED, &state->position);
}

static void account_pair(struct world *world) {
    take_all(world);
    ledger_settle(world, 2);
}

/* ---- the table ---- */

static const struct index_case publishing = {.after = publish_after},
                               claiming = {.after = claim_after},
                               finishing = {.before = hold_excused,
                                            .after = finish_after,
                                            .while_stopped = take_away},
                               giving = {.before = hold},
                               withdrawing = {.before = own_before, .after = withdraw_after},
                               dropping = {.after = drop_after}, taking = {.before = dead_holds},
                               carrying = {.before = dead_is_in_the_way, .after = publish_after},
                               settling = {0};

#define COVERS(...)                                                                                \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }
#define INDEX(title, of, before_region, region, ...)                                               \
    {                                                                                              \
        .name = "index/" title, .covers = COVERS(__VA_ARGS__), .context = &(of), .set_up = set_up, \
        .prepare = before_region, .operate = region, .finish = finish,                             \
        .recover_prepare = recover_prepare, .recover = recover, .survive = survive,                \
        .account = account_pair, .clean_up = clean_up                                              \
    }

static const struct scenario scenarios[] = {
    INDEX("publish", publishing, publish_prepare, publish_own, "index_publish"),
    INDEX("carry", carrying, publish_prepare, publish_own, "index_publish"),
    INDEX("claim", claiming, NULL, claim_one, "index_find", "index_claim"),
    INDEX("finish", finishing, NULL, finish_claim, "index_finish", "index_take_away"),
    INDEX("give-back", giving, NULL, give_back, "index_give_back"),
    INDEX("withdraw", withdrawing, NULL, withdraw, "index_withdraw"),
    INDEX("drop", dropping, drop_prepare, drop_oldest, "index_settle"),
    INDEX("take-back", taking, NULL, take_back, "index_take_back"),
    INDEX("settle-below", settling, settle_prepare, settle_below, "index_settle_below"),
    INDEX("set-capacity", settling, NULL, set_capacity, "index_set_capacity"),
};

const struct scenario_list index_scenarios = {.scenarios = scenarios,
                                              .count = sizeof scenarios / sizeof scenarios[0]};
