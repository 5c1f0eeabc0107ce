/* SPDX-License-Identifier: MIT
 *
 * The memory model: values of each word in their modification order, views of the
 * participants, races on plain memory. */
#include "views.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_SIZE 8192

static _Alignas(64) unsigned char memory[MEMORY_SIZE];
static size_t memory_used;
struct location locations[LOCATIONS];
unsigned locations_count;
static uint8_t location_of[MEMORY_SIZE / 4]; /* + 1 */

/* ---- locations ---- */

void *explore_memory(size_t size) {
    void *start = memory + memory_used;
    memory_used += (size + 63) / 64 * 64;
    if (memory_used > MEMORY_SIZE)
        search_fail("the scenario needs more shared memory than there is");
    return start;
}

void views_forget_locations(void) {
    locations_count = 0;
    memset(location_of, 0, sizeof location_of);
}

void views_start(void) {
    memory_used = 0;
    for (unsigned i = 0; i < locations_count; i++) {
        struct location *location = &locations[i];
        location->count = 1;
        memset(&location->messages[0], 0, sizeof location->messages[0]);
        memset(location->wrote, 0, sizeof location->wrote);
        memset(location->wrote_plain, 0, sizeof location->wrote_plain);
        memset(location->read, 0, sizeof location->read);
        memset(location->read_plain, 0, sizeof location->read_plain);
    }
}

void views_start_knowledge(struct knowledge *knowledge, unsigned self) {
    memset(knowledge, 0, sizeof *knowledge);
    knowledge->now.clock[self] = 1;
}

/* The word's location; it gets one when it is first touched. */
unsigned views_find(const void *word, unsigned size) {
    uintptr_t address = (uintptr_t)word, offset = address - (uintptr_t)memory;
    if (address < (uintptr_t)memory || offset >= memory_used || offset % size != 0)
        search_fail("an access outside of the shared memory, or not aligned");
    unsigned found = location_of[offset / 4];
    if (found != 0 && locations[found - 1].size == size)
        return found - 1;
    if (found != 0 || (size == 8 && location_of[offset / 4 + 1] != 0) ||
        (offset % 8 == 4 && location_of[offset / 4 - 1] != 0 &&
         locations[location_of[offset / 4 - 1] - 1].size == 8))
        search_fail("offset %zu is accessed with two sizes", (size_t)offset);
    if (locations_count == LOCATIONS)
        search_fail("the scenario touches more words than there are");
    struct location *location = &locations[locations_count++];
    memset(location, 0, sizeof *location);
    location->address = address;
    location->size = size;
    location->count = 1;
    location_of[offset / 4] = (uint8_t)locations_count;
    return locations_count - 1;
}

unsigned views_find_any(const void *word) {
    size_t offset = (size_t)((uintptr_t)word - (uintptr_t)memory);
    bool is_known = (uintptr_t)word >= (uintptr_t)memory && offset < memory_used;
    unsigned found = is_known ? location_of[offset / 4] : 0;
    return found != 0 ? found - 1 : views_find(word, 8);
}

size_t views_offset(unsigned location) {
    return (size_t)(locations[location].address - (uintptr_t)memory);
}

uint64_t views_newest(unsigned location) {
    return locations[location].messages[locations[location].count - 1].value;
}

void views_initialise(unsigned location, uint64_t value) {
    locations[location].messages[locations[location].count - 1].value = value;
}

/* ---- views ---- */

static void join_seen(struct view *view, const struct view *other) {
    for (unsigned i = 0; i < locations_count; i++)
        if (other->seen[i] > view->seen[i])
            view->seen[i] = other->seen[i];
}

static void join(struct view *view, const struct view *other) {
    join_seen(view, other);
    for (unsigned i = 0; i < EXPLORE_PARTICIPANTS; i++)
        if (other->clock[i] > view->clock[i])
            view->clock[i] = other->clock[i];
}

static void copy(struct view *view, const struct view *other) {
    memcpy(view->seen, other->seen, locations_count);
    memcpy(view->clock, other->clock, sizeof view->clock);
}

/* What follows is later than what was passed on. */
static void tick(unsigned self) {
    knowledge_of(self)->now.clock[self]++;
}

void views_export(unsigned self, struct view *view) {
    join(view, &knowledge_of(self)->now);
    tick(self);
}

void views_import(unsigned self, const struct view *view) {
    join(&knowledge_of(self)->now, view);
}

void views_follow(unsigned self, unsigned other) {
    join(&knowledge_of(self)->now, &knowledge_of(other)->now);
}

static bool comes_before(unsigned self, const uint16_t when[EXPLORE_PARTICIPANTS]) {
    for (unsigned i = 0; i < schedule.count; i++)
        if (i != self && when[i] > knowledge_of(self)->now.clock[i])
            return false;
    return true;
}

/* States are told apart by more once there are bodies somewhere: then all begins anew. */
static void note_body(unsigned location) {
    if (!locations[location].has_bodies) {
        locations[location].has_bodies = true;
        search_leave(RUN_LEARNED);
    }
}

static void race(unsigned location, const char *what) {
    search_fail("race: %s at offset %zu is ordered with another access by nothing", what,
                views_offset(location));
}

/* ---- loads ---- */

static void settle(unsigned self) {
    copy(&knowledge_of(self)->settled, &knowledge_of(self)->now);
}

static void take_message(unsigned self, unsigned location, unsigned index, unsigned order) {
    struct knowledge *knowledge = knowledge_of(self);
    struct message *message = &locations[location].messages[index];
    message->was_read |= message->writer != self;
    if (knowledge->now.seen[location] < index)
        knowledge->now.seen[location] = (uint8_t)index;
    join(order & EXPLORE_ACQUIRE ? &knowledge->now : &knowledge->loaded, &message->view);
    locations[location].read[self] = knowledge->now.clock[self];
}

uint64_t views_load(unsigned self, unsigned location, unsigned order) {
    struct location *at = &locations[location];
    unsigned oldest = knowledge_of(self)->now.seen[location];
    if (!comes_before(self, at->wrote_plain))
        race(location, "a load");
    /* The newest first: most often it is the one. */
    unsigned index = at->count - 1 - schedule_choose_age(at->count - oldest);
    take_message(self, location, index, order);
    return at->messages[index].value;
}

bool views_has_newer(unsigned self, unsigned location) {
    return locations[location].count - 1 > knowledge_of(self)->now.seen[location];
}

void views_insist_newer(unsigned self, unsigned location) {
    knowledge_of(self)->now.seen[location]++;
}

void views_begin(unsigned self) {
    copy(&knowledge_of(self)->begun, &knowledge_of(self)->now);
}

bool views_has_change(unsigned self) {
    for (unsigned i = 0; i < locations_count; i++)
        for (unsigned k = knowledge_of(self)->begun.seen[i] + 1u; k < locations[i].count; k++)
            if (locations[i].messages[k].writer != self)
                return true;
    return false;
}

/* Time has passed: what has been stored so far is seen. That orders no bodies. */
void views_insist_newest(unsigned self) {
    for (unsigned i = 0; i < locations_count; i++)
        knowledge_of(self)->now.seen[i] = (uint8_t)(locations[i].count - 1);
}

/* ---- stores ---- */

static void make_way(struct view *view, unsigned location, unsigned index) {
    if (view->seen[location] >= index)
        view->seen[location]++;
}

/* A place for a message becomes free: who knows later ones knows them by their new place. */
static void shift(unsigned location, unsigned index) {
    struct location *at = &locations[location];
    memmove(&at->messages[index + 1], &at->messages[index],
            (at->count - index) * sizeof at->messages[0]);
    at->count++;
    for (unsigned i = 0; i < schedule.count; i++) {
        struct knowledge *knowledge = knowledge_of(i);
        struct view *views[] = {&knowledge->now, &knowledge->loaded, &knowledge->fenced,
                                &knowledge->settled, &knowledge->begun};
        for (unsigned k = 0; k < 5; k++)
            make_way(views[k], location, index);
    }
    make_way(&schedule.fences, location, index);
    for (unsigned i = 0; i < EXPLORE_LOCKS; i++)
        make_way(&schedule.lock_views[i], location, index);
    for (unsigned i = 0; i < locations_count; i++)
        for (unsigned k = 0; k < locations[i].count; k++)
            if (i != location || k != index)
                make_way(&locations[i].messages[k].view, location, index);
}

/* What this participant stored before would be there if its next release store is. */
static void order_earlier(unsigned self) {
    for (unsigned i = 0; i < locations_count; i++) {
        struct message *last = &locations[i].messages[locations[i].count - 1];
        if (last->writer == self)
            last->ordered = true;
    }
}

static void put_message(unsigned self, unsigned location, unsigned index, uint64_t value,
                        unsigned order) {
    struct location *at = &locations[location];
    struct knowledge *knowledge = knowledge_of(self);
    if (at->count == MESSAGES)
        search_fail("more stores to a word than there is room for");
    if (!comes_before(self, at->wrote_plain) || !comes_before(self, at->read_plain))
        race(location, "a store");
    if (order & EXPLORE_RELEASE) {
        order_earlier(self);
        settle(self);
    }
    if (index < at->count)
        shift(location, index);
    else
        at->count++;
    struct message *message = &at->messages[index];
    knowledge->now.seen[location] = (uint8_t)index;
    message->value = at->size == 4 ? (uint32_t)value : value;
    message->writer = (uint8_t)self;
    message->joined = message->ordered = message->was_read = false;
    copy(&message->view, order & EXPLORE_RELEASE ? &knowledge->now : &knowledge->fenced);
    message->view.seen[location] = (uint8_t)index;
    at->wrote[self] = knowledge->now.clock[self];
    if (order & EXPLORE_RELEASE)
        tick(self);
}

void views_store(unsigned self, unsigned location, uint64_t value, unsigned order) {
    struct location *at = &locations[location];
    unsigned oldest = knowledge_of(self)->now.seen[location], places[MESSAGES], count = 0;
    for (unsigned index = at->count; index > oldest; index--)
        if (index == at->count || !at->messages[index].joined)
            places[count++] = index;
    put_message(self, location, places[schedule_choose_age(count)], value, order);
}

/* Stores right behind message `index`, which it has read. */
static void put_joined(unsigned self, unsigned location, unsigned index, uint64_t value,
                       unsigned order) {
    struct location *at = &locations[location];
    take_message(self, location, index, order);
    put_message(self, location, index + 1, value, order);
    struct message *message = &at->messages[index + 1];
    /* Who reads this also follows the one whose release it continues. */
    join(&message->view, &at->messages[index].view);
    message->joined = message->ordered = true;
    if (order & EXPLORE_RELEASE)
        settle(self);
}

static bool can_follow(const struct location *at, unsigned index) {
    return index + 1 == at->count || !at->messages[index + 1].joined;
}

bool views_swap_if(unsigned self, unsigned location, uint64_t *expected, uint64_t desired,
                   unsigned order) {
    struct location *at = &locations[location];
    unsigned oldest = knowledge_of(self)->now.seen[location], places[MESSAGES], count = 0;
    if (!comes_before(self, at->wrote_plain))
        race(location, "a swap");
    for (unsigned index = at->count; index-- > oldest;)
        if (at->messages[index].value != *expected || can_follow(at, index))
            places[count++] = index;
    unsigned index = places[schedule_choose_age(count)];
    if (at->messages[index].value == *expected) {
        put_joined(self, location, index, desired, order);
        return true;
    }
    take_message(self, location, index, order & EXPLORE_ACQUIRE_FAILED ? EXPLORE_ACQUIRE : 0);
    *expected = at->messages[index].value;
    return false;
}

uint64_t views_change(unsigned self, unsigned location, enum explore_operation operation,
                      uint64_t operand, unsigned order) {
    struct location *at = &locations[location];
    unsigned oldest = knowledge_of(self)->now.seen[location], places[MESSAGES], count = 0;
    if (!comes_before(self, at->wrote_plain))
        race(location, "a change");
    for (unsigned index = at->count; index-- > oldest;)
        if (can_follow(at, index))
            places[count++] = index;
    unsigned index = places[schedule_choose_age(count)];
    uint64_t before = at->messages[index].value;
    uint64_t after = operation == EXPLORE_ADD  ? before + operand
                     : operation == EXPLORE_OR ? before | operand
                                               : before & operand;
    put_joined(self, location, index, after, order);
    return before;
}

/* ---- fences ---- */

void views_fence(unsigned self, unsigned order) {
    struct knowledge *knowledge = knowledge_of(self);
    join(&knowledge->now, &knowledge->loaded);
    if (order & EXPLORE_SEQUENTIAL) {
        /* Coherence only: a fence alone orders no plain accesses of others. */
        join_seen(&knowledge->now, &schedule.fences);
        join_seen(&schedule.fences, &knowledge->now);
    }
    order_earlier(self);
    copy(&knowledge->fenced, &knowledge->now);
    settle(self);
    tick(self);
}

/* A death that comes after it finds what was stored before it done: compilers may put off a
 * store, processors empty their store buffers. */
void views_compiler_fence(unsigned self) {
    order_earlier(self);
    settle(self);
}

/* A fence that a processor is made to pass between two of its instructions. What the compiler
 * may have put behind that place is not known by it. */
void views_barrier(unsigned self) {
    struct knowledge *knowledge = knowledge_of(self);
    order_earlier(self);
    join_seen(&schedule.fences, &knowledge->settled);
    join_seen(&knowledge->now, &schedule.fences);
}

/* ---- plain memory ---- */

uint64_t views_load_plain(unsigned self, unsigned location) {
    struct location *at = &locations[location];
    note_body(location);
    if (!comes_before(self, at->wrote) || !comes_before(self, at->wrote_plain))
        race(location, "reading a body");
    at->read_plain[self] = knowledge_of(self)->now.clock[self];
    return views_newest(location);
}

void views_store_plain(unsigned self, unsigned location, uint64_t value) {
    struct location *at = &locations[location];
    note_body(location);
    struct knowledge *knowledge = knowledge_of(self);
    if (!comes_before(self, at->wrote) || !comes_before(self, at->wrote_plain) ||
        !comes_before(self, at->read) || !comes_before(self, at->read_plain))
        race(location, "writing a body");
    if (at->count == MESSAGES)
        search_fail("more stores to a word than there is room for");
    struct message *message = &at->messages[at->count++];
    memset(message, 0, sizeof *message);
    message->value = value;
    message->writer = (uint8_t)self;
    message->ordered = true; /* only whoever it is ordered before may look at it */
    knowledge->now.seen[location] = (uint8_t)(at->count - 1);
    message->view.seen[location] = (uint8_t)(at->count - 1);
    at->wrote_plain[self] = knowledge->now.clock[self];
}

/* ---- death ---- */

void views_drop_unordered(unsigned self) {
    unsigned candidates[LOCATIONS], count = 0;
    for (unsigned i = 0; i < locations_count; i++) {
        const struct location *at = &locations[i];
        const struct message *last = &at->messages[at->count - 1];
        if (at->count > 1 && last->writer == self && !last->ordered && !last->was_read)
            candidates[count++] = i;
    }
    unsigned choice = search_choose(count + 1);
    if (choice == 0)
        return;
    unsigned location = candidates[choice - 1];
    locations[location].count--;
    steps_tell(NULL, "its store at offset %zu was not done yet", views_offset(location));
    uint8_t newest = (uint8_t)(locations[location].count - 1);
    struct knowledge *knowledge = knowledge_of(self);
    struct view *views[] = {&knowledge->now,     &knowledge->loaded, &knowledge->fenced,
                            &knowledge->settled, &knowledge->begun,  &schedule.fences};
    for (unsigned i = 0; i < 6; i++)
        if (views[i]->seen[location] > newest)
            views[i]->seen[location] = newest;
    for (unsigned i = 0; i < locations_count; i++)
        for (unsigned k = 0; k < locations[i].count; k++)
            if (locations[i].messages[k].view.seen[location] > newest)
                locations[i].messages[k].view.seen[location] = newest;
}
