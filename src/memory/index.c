/* SPDX-License-Identifier: MIT
 *
 * The protocol of an index: see index.h. Every access to a shared word says what it orders. */
#include "memory/index_words.h"

#include <errno.h>

/* Writes the origin of a message that was published at `position`, unless it is there. */
static void save_origin(const struct index *index, uint64_t position, uint64_t word) {
    shared64 *origin = word_origin_of(index, position);
    uint64_t wanted = word_of_origin(index, position, 0, 0) | (word & WORD_BODY_MASK);
    /* Acquire: if this is the origin of a later message, the look at the word sees that. */
    uint64_t found = shared64_get_acquire(origin);
    while (found != wanted) {
        /* Relaxed: the message's own swap, which follows, fails if this was too early. An
         * origin that is replaced never comes back, so neither does a late swap succeed. */
        if (shared64_get(word_slot_of(index, position)) != word)
            return;
        /* Release: whoever sees the swap of the word that follows sees this. */
        if (shared64_swap_if(origin, &found, wanted))
            return;
    }
}

/* ---- the hints ---- */

/* Raises `first` over what is finished. Result: no unfinished message is below it. */
static uint64_t raise_first(const struct index *index) {
    /* Acquire, both: what others knew of the slots below is known here. */
    uint64_t first = shared64_get_acquire(&index->words->first), at = first, word;
    uint64_t next = shared64_get_acquire(&index->words->next);
    if (next > at + index->mask + 1)
        at = next - index->mask - 1; /* the slots of all before it are in later laps */
    for (;; at++) {
        /* Acquire: pairs with every swap of the word. */
        word = shared64_get_acquire(word_slot_of(index, at));
        enum word_age age = word_age_of(index, word, at);
        if (age == WORD_OPEN || (age == WORD_USED && word_is_unfinished(word)))
            break;
    }
    while (first < at) {
        /* Acquire and release: who reads it knows the slots below as we do. */
        if (shared64_swap_if(&index->words->first, &first, at))
            return at;
    }
    return first;
}

static void raise_next(const struct index *index, uint64_t tail) {
    /* Relaxed: only a first guess for the swap. */
    uint64_t next = shared64_get(&index->words->next);
    while (next + INDEX_STRIDE <= tail) {
        /* Acquire and release: who reads it knows the slots below as we do. */
        if (shared64_swap_if(&index->words->next, &next, tail))
            return;
    }
}

/* ---- the sender ---- */

void index_create(struct index_words *words, uint64_t capacity) {
    /* Relaxed: nobody is there yet. */
    shared64_set(&words->capacity, capacity);
}

void index_attach(struct index *index, struct index_words *words, shared64 *slots,
                  shared64 *origins, uint64_t count, uint32_t who) {
    unsigned shift = 0;
    while ((uint64_t)1 << shift < count)
        shift++;
    *index = (struct index){.words = words,
                            .slots = slots,
                            .origins = origins,
                            .mask = count - 1,
                            .shift = shift,
                            .who = who};
}

void index_set_capacity(struct index *index, uint64_t capacity) {
    /* Relaxed: nothing else hangs on it. */
    shared64_set(&index->words->capacity, capacity);
}

/* The first position that is not used. *ret_word: what its slot holds. */
static uint64_t find_tail(struct index *index, uint64_t *ret_word) {
    /* Acquire: the slots below it are seen as used, as who raised it saw them. */
    uint64_t next = shared64_get_acquire(&index->words->next);
    uint64_t at = next > index->tail ? next : index->tail;
    for (;;) {
        /* Acquire: pairs with every swap of the word; a finished message's receiver was done
         * with its body before. */
        uint64_t word = shared64_get_acquire(word_slot_of(index, at));
        enum word_age age = word_age_of(index, word, at);
        if (age == WORD_OPEN) {
            *ret_word = word;
            index->tail = at;
            return at;
        }
        at++;
        if (age == WORD_PASSED) {
            next = shared64_get_acquire(&index->words->next);
            at = next > at ? next : at;
        }
    }
}

/* Brings an unfinished message, in its slot, into the lap of the position `at`. */
static void carry(const struct index *index, uint64_t at, uint64_t word) {
    if ((word & WORD_ELDER) == 0 && word_state_of(word) == INDEX_PUBLISHED)
        save_origin(index, word_position_of(index, word, at), word);
    uint64_t carried =
        (word & ~(WORD_LAP_MASK << WORD_LAP_SHIFT)) | word_lap_of(index, at) | WORD_ELDER;
    /* Release: the origin is there before. If it fails, the next look tells why. */
    shared64_swap_if(word_slot_of(index, at), &word, carried);
}

/* Is there room for one more message at the tail `at`? */
static bool has_room(struct index *index, uint64_t at) {
    /* Relaxed: a change holds from when it is seen. */
    uint64_t capacity = shared64_get(&index->words->capacity), unfinished = 0;
    if (at < index->limit && capacity == index->capacity)
        return true;
    uint64_t first = raise_first(index);
    index->capacity = capacity;
    index->limit = first + capacity;
    if (at < index->limit)
        return true;
    for (uint64_t position = first; position < at && unfinished < capacity; position++) {
        /* Acquire: as in find_tail(). */
        uint64_t word = shared64_get_acquire(word_slot_of(index, position));
        enum word_age age = word_age_of(index, word, position);
        unfinished += age == WORD_OPEN || (age == WORD_USED && word_is_unfinished(word));
    }
    /* Below `at` they can only become fewer; each position from here on adds one at most. */
    index->limit = unfinished < capacity ? at + capacity - unfinished : 0;
    return unfinished < capacity;
}

static void tell_outcome(const struct index *index, uint64_t at, uint64_t word) {
    struct index_item item;
    word_describe(index, word_position_of(index, word, at), word, &item);
    index->tell(index->tell_context, &item);
}

/* After a swap that may have succeeded only because the laps came round in its sleep: then
 * undone, if the word is still there. */
static bool undo_late(const struct index *index, uint64_t at, uint64_t word, uint64_t old) {
    /* Relaxed, both: after a sleep of 2^31 laps nothing is still under way. If we only slept
     * after the swap, the slot is used again, and its word is another. */
    return shared64_get(&index->words->next) > at + index->mask + 1 &&
           shared64_swap_if(word_slot_of(index, at), &word, old);
}

int index_publish(struct index *index, uint32_t place, uint64_t *ret_position) {
    for (;;) {
        uint64_t word, at = find_tail(index, &word);
        if (!has_room(index, at) || (word_is_unfinished(word) && index->in_order))
            return -EAGAIN;
        if (word_is_unfinished(word)) {
            carry(index, at, word);
            continue;
        }
        if (index->tell != NULL && word_state_of(word) != INDEX_EMPTY)
            tell_outcome(index, at, word);
        raise_next(index, at);
        uint64_t published = word_make_published(word_lap_of(index, at), index->who, place);
        /* Release: the body is there before. Here the message begins to exist. */
        if (!shared64_swap_if(word_slot_of(index, at), &word, published) ||
            undo_late(index, at, published,
                      word_make_finished(index, published, INDEX_WITHDRAWN, index->who)))
            continue;
        index->tail = at + 1;
        *ret_position = at;
        return 0;
    }
}

/* Is this word that of the message published at `position`? */
static bool stands_for(const struct index *index, uint64_t word, uint64_t position) {
    if (word_state_of(word) == INDEX_EMPTY)
        return false;
    if ((word & WORD_ELDER) == 0)
        return word >> WORD_LAP_SHIFT == word_lap_of(index, position) >> WORD_LAP_SHIFT;
    /* Relaxed: as in word_describe(). */
    uint64_t origin = shared64_get(word_origin_of(index, position));
    return origin >> WORD_STATE_SHIFT == word_of_origin(index, position, 0, 0) >> WORD_STATE_SHIFT;
}

int index_outcome(const struct index *index, uint64_t position, struct index_item *ret_item) {
    /* Acquire: who finished it was done with its body. */
    uint64_t word = shared64_get_acquire(word_slot_of(index, position));
    if (!stands_for(index, word, position))
        return -ESTALE;
    uint64_t laps = word_laps_ahead(index, word, position); /* that it was carried on */
    word_describe(index, position + (laps << index->shift), word, ret_item);
    return 0;
}

int index_withdraw(struct index *index, uint64_t position, uint32_t place) {
    /* Acquire: as in index_outcome(). */
    uint64_t word = shared64_get_acquire(word_slot_of(index, position));
    for (;;) {
        if (!stands_for(index, word, position))
            return -ESTALE;
        if (word_state_of(word) == INDEX_CLAIMED)
            return -EBUSY;
        if (word_state_of(word) != INDEX_PUBLISHED ||
            (word & WORD_BODY_MASK) != ((uint64_t)index->who << WORD_HIGH_SHIFT | place))
            return -EALREADY;
        /* It fails if it was claimed, finished or carried: look again. */
        if (shared64_swap_if(word_slot_of(index, position), &word,
                             word_make_finished(index, word, INDEX_WITHDRAWN, index->who)))
            return 0;
    }
}

/* ---- the receiver ---- */

/* The best of what is published from `from` on: 1, 0, or -1 if this is an earlier lap. All:
 * passes over earlier laps, and looks at everything; else the first of rank 0 will do. */
static int look(struct index *index, uint64_t from, bool all, index_rank *rank, void *context,
                struct index_item *ret_item) {
    int best = -1;
    index->cursor = from;
    for (uint64_t at = from;; at++) {
        /* Acquire: the body is read after it. Pairs with index_publish(). */
        uint64_t word = shared64_get_acquire(word_slot_of(index, at));
        enum word_age age = word_age_of(index, word, at);
        if (age == WORD_OPEN)
            return best >= 0;
        if (age == WORD_PASSED && !all)
            return -1;
        struct index_item item;
        int wanted = -1;
        if (age == WORD_USED && word_state_of(word) == INDEX_PUBLISHED) {
            word_describe(index, at, word, &item);
            wanted = rank == NULL ? 0 : rank(context, &item);
        }
        if (wanted < 0) {
            index->cursor += best < 0 && index->cursor == at;
            continue;
        }
        /* An elder stands behind what is younger: as long as one waits, no quick look will do. */
        if (item.origin != at)
            index->finds = 0;
        if (best < 0 || wanted < best || (wanted == best && item.origin < ret_item->origin)) {
            best = wanted;
            *ret_item = item;
        }
        if (best == 0 && !all)
            return 1;
    }
}

int index_find(struct index *index, index_rank *rank, void *context, bool thorough,
               struct index_item *ret_item) {
    /* Acquire: what was given back before it was counted is seen. Pairs with tell_returned(). */
    uint64_t returned = shared64_get_acquire(&index->words->returned);
    if (!thorough && index->finds > 0 && returned == index->returned) {
        int found = look(index, index->cursor, false, rank, context, ret_item);
        index->finds -= found == 1 && index->finds > 0;
        if (found >= 0)
            return found;
    }
    /* Whoever gave a message back and was stopped before it could count it: now and then. */
    index->finds = index->mask + 1;
    index->returned = returned;
    return look(index, raise_first(index), true, rank, context, ret_item);
}

void index_look_again(struct index *index) {
    index->finds = 0;
}

int index_claim(struct index *index, struct index_item *item) {
    uint64_t word = item->word, claimed = word_make_claimed(index, word);
    if ((word & WORD_ELDER) == 0)
        save_origin(index, item->position, word);
    /* Release: the origin is there before. Acquire: the body is read after. */
    if (!shared64_swap_if(word_slot_of(index, item->position), &word, claimed))
        return -EAGAIN;
    /* Relaxed: `first` stays below what is unfinished. If not, the laps came round. */
    if (shared64_get(&index->words->first) > item->position &&
        undo_late(index, item->position, claimed, item->word))
        return -EAGAIN;
    item->word = claimed;
    item->state = INDEX_CLAIMED;
    item->who = index->who;
    return 0;
}

int index_settle(struct index *index, const struct index_item *item, enum index_state state) {
    uint64_t word = item->word, finished = word_make_finished(index, word, state, item->lane);
    /* Release: what was read of the body was read before. */
    if (!shared64_swap_if(word_slot_of(index, item->position), &word, finished))
        return -EAGAIN;
    /* Relaxed: `first` may have passed it by now, or else the laps came round. */
    if (shared64_get(&index->words->first) > item->position &&
        undo_late(index, item->position, finished, item->word))
        return -EAGAIN;
    return 0;
}

/* Is this word still that claim? It may have been carried since. */
static bool is_claim(const struct index *index, uint64_t word, const struct index_item *claim) {
    /* Relaxed: a claim's origin was there before the claim. */
    uint64_t origin = shared64_get(word_origin_of(index, claim->origin));
    return word_state_of(word) == INDEX_CLAIMED &&
           (word >> WORD_HIGH_SHIFT & WORD_NUMBER_MASK) == claim->who &&
           ((word & WORD_AGAIN) != 0) == claim->again &&
           origin == word_of_origin(index, claim->origin, claim->lane, claim->place);
}

/* Counts what was given back, so that receivers look behind their cursors. */
static void tell_returned(const struct index *index) {
    /* Release: after the word. */
    shared64_add(&index->words->returned, 1);
}

/* Ends a claim, or -ESTALE: finished, or with INDEX_PUBLISHED given back. */
static int end_claim(const struct index *index, const struct index_item *claim,
                     enum index_state state) {
    shared64 *slot = word_slot_of(index, claim->origin);
    /* Acquire: only for the swap below; carrying may have changed it. */
    uint64_t word = shared64_get_acquire(slot);
    while (is_claim(index, word, claim)) {
        uint64_t kept = word & (WORD_LAP_MASK << WORD_LAP_SHIFT | WORD_ELDER);
        uint64_t ended = state == INDEX_PUBLISHED
                             ? word_make_published(kept | WORD_AGAIN, claim->lane, claim->place)
                             : word_make_finished(index, word, state, claim->lane);
        /* Release: who reads it knows that the claimer is done with the body. */
        if (shared64_swap_if(slot, &word, ended)) {
            if (state == INDEX_PUBLISHED)
                tell_returned(index);
            return 0;
        }
    }
    return -ESTALE;
}

int index_finish(struct index *index, const struct index_item *claim, enum index_state state) {
    return end_claim(index, claim, state);
}

int index_give_back(struct index *index, const struct index_item *claim) {
    return end_claim(index, claim, INDEX_PUBLISHED);
}

int index_take_away(struct index *index, const struct index_item *claim) {
    return end_claim(index, claim, INDEX_PUBLISHED) == 0 ? 0 : -EAGAIN;
}

uint64_t index_take_back(struct index *index, uint32_t who) {
    struct index_item item;
    uint64_t position = 0, count = 0;
    while (index_walk(index, &position, &item) == 1)
        if (item.state == INDEX_CLAIMED && item.who == who)
            count += end_claim(index, &item, INDEX_PUBLISHED) == 0;
    /* Also for those that somebody gave back who was killed before this. */
    tell_returned(index);
    return count;
}

/* ---- every reader, observers ---- */

int index_read(const struct index *index, uint64_t position, struct index_item *ret_item) {
    for (;;) {
        /* Acquire: as in look(). */
        uint64_t word = shared64_get_acquire(word_slot_of(index, position));
        enum word_age age = word_age_of(index, word, position);
        if (age != WORD_USED)
            return age == WORD_OPEN ? 0 : -ESTALE;
        word_describe(index, position, word, ret_item);
        /* An origin belongs to its word only if that is still there. */
        if (!word_has_origin(word) || index_is_still(index, ret_item))
            return 1;
    }
}

bool index_is_still(const struct index *index, const struct index_item *item) {
    /* All reads before are done before this one. */
    shared_fence();
    return shared64_get(word_slot_of(index, item->position)) == item->word;
}

uint64_t index_settle_below(struct index *index, uint64_t position, enum index_state state) {
    struct index_item item;
    uint64_t at = 0, count = 0;
    while (index_walk(index, &at, &item) == 1 && item.position < position)
        if (item.state == INDEX_PUBLISHED)
            count += index_settle(index, &item, state) == 0;
    return count;
}

int index_walk(const struct index *index, uint64_t *position, struct index_item *ret_item) {
    /* Acquire, both: as in raise_first(). */
    uint64_t first = shared64_get_acquire(&index->words->first);
    uint64_t next = shared64_get_acquire(&index->words->next);
    if (next > first + index->mask + 1)
        first = next - index->mask - 1;
    if (*position < first)
        *position = first;
    for (;;) {
        int found = index_read(index, *position, ret_item);
        if (found == 0)
            return 0;
        ++*position;
        if (found == 1)
            return 1;
    }
}

void index_measure(const struct index *index, struct index_figures *ret_figures) {
    struct index_figures figures = {.oldest = UINT64_MAX};
    struct index_item item;
    while (index_walk(index, &figures.tail, &item) == 1) {
        figures.waiting += item.state == INDEX_PUBLISHED;
        figures.held += item.state == INDEX_CLAIMED;
        if (word_is_unfinished(item.word) && item.origin < figures.oldest)
            figures.oldest = item.origin;
    }
    if (figures.oldest == UINT64_MAX)
        figures.oldest = figures.tail;
    *ret_figures = figures;
}
