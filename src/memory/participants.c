/* SPDX-License-Identifier: MIT
 *
 * Joining, leaving and burying: see participants.h. Every access to a shared word says what it
 * orders. */
#include "memory/participants.h"

#include <errno.h>
#include <string.h>

static enum participant_state state_of(uint64_t life) {
    return (enum participant_state)(life & PARTICIPANT_STATE_MASK);
}

static bool is_there(uint64_t life) {
    return state_of(life) == PARTICIPANT_LIVE || state_of(life) == PARTICIPANT_LEAVING;
}

void participants_attach(struct participants *table, struct participants_words *words,
                         struct participant *slots, uint32_t count) {
    *table = (struct participants){.words = words, .slots = slots, .count = count};
}

uint32_t participants_used(const struct participants *table) {
    /* Acquire: a number that was announced by words read before is below it. */
    uint32_t used = shared32_get_acquire(&table->words->used);
    return used < table->count ? used : table->count;
}

uint32_t participants_find_free(const struct participants *table, uint32_t from) {
    for (uint32_t number = from; number < table->count; number++)
        /* Relaxed: a hint; the reservation is the swap. */
        if (state_of(shared64_get(&table->slots[number].life)) == PARTICIPANT_FREE)
            return number;
    return table->count;
}

uint64_t participants_make_incarnation(uint64_t random) {
    uint64_t incarnation = random & ~PARTICIPANT_STATE_MASK;
    return incarnation != 0 ? incarnation : PARTICIPANT_STATE_MASK + 1;
}

/* ---- joining and leaving ---- */

static void raise_used(const struct participants *table, uint32_t number) {
    /* Relaxed: a first guess for the swap. */
    uint32_t used = shared32_get(&table->words->used);
    while (used <= number) {
        /* Release: nothing before it matters; the swap of `life` that follows brings it. */
        if (shared32_swap_if(&table->words->used, &used, number + 1))
            return;
    }
}

/* Does a living one still bury the last bearer of this number? */
static bool is_being_buried(const struct participants *table, uint32_t number) {
    uint32_t used = participants_used(table);
    for (uint32_t other = 0; other < used; other++)
        /* Acquire: whether that one is there is looked at afterwards. The fence before this call
         * orders the look itself. One that has died without being found so keeps the number
         * from use, until it is buried itself. */
        if (shared64_get_acquire(&table->slots[other].burying) == (uint64_t)number + 1 &&
            is_there(shared64_get(&table->slots[other].life)))
            return true;
    return false;
}

int participants_reserve(const struct participants *table, uint32_t number, uint64_t incarnation) {
    struct participant *slot = &table->slots[number];
    raise_used(table, number);
    /* Acquire: what the last bearer's burier did was done before. */
    uint64_t life = shared64_get_acquire(&slot->life);
    if (state_of(life) != PARTICIPANT_FREE ||
        !shared64_swap_if(&slot->life, &life, incarnation | PARTICIPANT_JOINING))
        return -EAGAIN;
    /* Our reservation before our look at the announcements; a burier has its announcement
     * before its look at the life. Also before the fields that participants_appear() writes. */
    shared_fence();
    if (is_being_buried(table, number)) {
        life = incarnation | PARTICIPANT_JOINING;
        shared64_swap_if(&slot->life, &life, incarnation | PARTICIPANT_FREE);
        return -EBUSY;
    }
    return 0;
}

/* One arrow of the drawing. */
static int change_state(const struct participants *table, uint32_t number, uint64_t incarnation,
                        enum participant_state from, enum participant_state to) {
    uint64_t life = incarnation | from;
    /* Release: what was done in the old state was done before. */
    return shared64_swap_if(&table->slots[number].life, &life, incarnation | to) ? 0 : -ESTALE;
}

int participants_appear(const struct participants *table, uint32_t number, uint64_t incarnation,
                        const struct participant_facts *facts) {
    struct participant *slot = &table->slots[number];
    /* Relaxed, all: the release of the swap below comes after them. Only we write here. */
    shared64_set(&slot->burying, 0);
    shared32_set(&slot->pid, facts->pid);
    shared32_set(&slot->flags, facts->flags);
    shared64_set(&slot->start, facts->start);
    shared64_set(&slot->name, facts->name);
    shared64_set(&slot->space, facts->space);
    for (int i = 0; i < PARTICIPANT_LABEL / 8; i++) {
        uint64_t eight;
        memcpy(&eight, facts->label + 8 * i, sizeof eight);
        shared64_set(&slot->label[i], eight);
    }
    return change_state(table, number, incarnation, PARTICIPANT_JOINING, PARTICIPANT_LIVE);
}

int participants_begin_leave(const struct participants *table, uint32_t number,
                             uint64_t incarnation) {
    return change_state(table, number, incarnation, PARTICIPANT_LIVE, PARTICIPANT_LEAVING);
}

int participants_end_leave(const struct participants *table, uint32_t number,
                           uint64_t incarnation) {
    return change_state(table, number, incarnation, PARTICIPANT_LEAVING, PARTICIPANT_FREE);
}

/* ---- looking ---- */

static void read_facts(const struct participant *slot, struct participant_facts *ret_facts) {
    /* Relaxed, all: they come after the acquire of `life` in participants_look(). */
    ret_facts->pid = shared32_get(&slot->pid);
    ret_facts->flags = shared32_get(&slot->flags);
    ret_facts->start = shared64_get(&slot->start);
    ret_facts->name = shared64_get(&slot->name);
    ret_facts->space = shared64_get(&slot->space);
    for (int i = 0; i < PARTICIPANT_LABEL / 8; i++) {
        uint64_t eight = shared64_get(&slot->label[i]);
        memcpy(ret_facts->label + 8 * i, &eight, sizeof eight);
    }
    ret_facts->label[sizeof ret_facts->label - 1] = '\0';
}

void participants_look(const struct participants *table, uint32_t number,
                       struct participant_look *ret_look) {
    const struct participant *slot = &table->slots[number];
    for (;;) {
        /* Acquire: pairs with participants_appear(). */
        uint64_t life = shared64_get_acquire(&slot->life);
        *ret_look = (struct participant_look){.state = state_of(life),
                                              .incarnation = life & ~PARTICIPANT_STATE_MASK};
        if (!is_there(life))
            return;
        read_facts(slot, &ret_look->facts);
        /* The facts are that incarnation's if it is still there after they were read. The next
         * bearer has a fence between its reservation and its facts. */
        shared_fence();
        if (shared64_get(&slot->life) == life)
            return;
    }
}

bool participants_is_there(const struct participants *table, uint32_t number,
                           uint64_t incarnation) {
    /* Acquire: pairs with participants_appear(). */
    uint64_t life = shared64_get_acquire(&table->slots[number].life);
    return is_there(life) && (life & ~PARTICIPANT_STATE_MASK) == incarnation;
}

/* ---- burying ---- */

/* Finds that incarnation dead, or makes it so. */
static bool mark_dead(struct participant *slot, uint64_t incarnation) {
    /* Acquire: what it, or who marked it, did was done before. */
    uint64_t life = shared64_get_acquire(&slot->life);
    while ((life & ~PARTICIPANT_STATE_MASK) == incarnation && state_of(life) != PARTICIPANT_FREE) {
        if (state_of(life) == PARTICIPANT_DEAD ||
            shared64_swap_if(&slot->life, &life, incarnation | PARTICIPANT_DEAD))
            return true;
    }
    return false;
}

int participants_bury(const struct participants *table, uint32_t me, uint32_t number,
                      uint64_t incarnation, participants_clean *clean, void *context) {
    struct participant *slot = &table->slots[number];
    shared64 *burying = &table->slots[me].burying;
    int result = -ESTALE;
    if (!mark_dead(slot, incarnation))
        return result;
    /* Relaxed: the fence orders it. Our announcement before our look at the life: see
     * participants_reserve(). */
    shared64_set(burying, (uint64_t)number + 1);
    shared_fence();
    if (shared64_get(&slot->life) == (incarnation | PARTICIPANT_DEAD)) {
        result = clean(context, number, incarnation);
        if (result == 0)
            /* If it fails, somebody else has done all of it as well. */
            change_state(table, number, incarnation, PARTICIPANT_DEAD, PARTICIPANT_FREE);
    }
    /* Release: nothing of the burial comes after it. */
    shared64_set_release(burying, 0);
    return result;
}

int participants_sweep(const struct participants *table, uint32_t me,
                       participants_is_alive *is_alive, participants_clean *clean, void *context) {
    uint32_t used = participants_used(table);
    int count = 0, error = 0;
    for (uint32_t number = 0; number < used; number++) {
        struct participant_look look;
        participants_look(table, number, &look);
        if (number == me || look.state == PARTICIPANT_FREE)
            continue;
        if (look.state != PARTICIPANT_DEAD && is_alive(context, number, &look))
            continue;
        int result = participants_bury(table, me, number, look.incarnation, clean, context);
        count += result == 0;
        if (result < 0 && result != -ESTALE && error == 0)
            error = result;
    }
    return error < 0 ? error : count;
}
