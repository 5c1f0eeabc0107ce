/* SPDX-License-Identifier: MIT
 *
 * The accesses of the explored sources: each is a step of the running participant. */
#include "inside.h"

#include <stdarg.h>
#include <string.h>

static bool is_alone(void) {
    return schedule.running < 0;
}

static unsigned self(void) {
    return (unsigned)schedule.running;
}

/* ---- the steps of a failure, one a line ---- */

void steps_tell(const struct explore_site *site, const char *format, ...) {
    if (!schedule.tracing)
        return;
    va_list arguments;
    const char *who = is_alone() ? "alone" : schedule.participants[self()].entry->name;
    printf("#   %-10s ", who);
    if (site != NULL) {
        const char *file = strrchr(site->file, '/');
        printf("%s:%d %s: ", file != NULL ? file + 1 : site->file, site->line, site->function);
    }
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

static unsigned order_of(const struct explore_site *site) {
    return site->order & ~site->taken_away;
}

static const char *order_name(const struct explore_site *site) {
    static const char *const names[] = {" relaxed", " acquire", " release", " acquire, release"};
    return names[order_of(site) & (EXPLORE_ACQUIRE | EXPLORE_RELEASE)];
}

static bool is_left_out(const struct explore_site *site) {
    return (site->taken_away & EXPLORE_DONE) != 0;
}

/* ---- atomic words ---- */

uint64_t explore_load(struct explore_site *site, const void *word, unsigned size) {
    unsigned location = views_find(word, size);
    site->visits++;
    if (is_alone())
        return views_newest(location);
    schedule_step(STEP_OTHER);
    uint64_t value = views_load(self(), location, order_of(site));
    steps_tell(site, "load%s [%zu] = %#llx", order_name(site), views_offset(location),
               (unsigned long long)value);
    schedule_remember(value);
    return value;
}

void explore_store(struct explore_site *site, void *word, unsigned size, uint64_t value) {
    unsigned location = views_find(word, size);
    site->visits++;
    if (is_left_out(site))
        return;
    if (is_alone()) {
        views_initialise(location, value);
        return;
    }
    schedule_step(STEP_STORE);
    views_store(self(), location, value, order_of(site));
    steps_tell(site, "store%s [%zu] = %#llx", order_name(site), views_offset(location),
               (unsigned long long)value);
    schedule_remember(value);
}

bool explore_swap_if(struct explore_site *site, void *word, unsigned size, uint64_t *expected,
                     uint64_t desired) {
    unsigned location = views_find(word, size), order = order_of(site);
    site->visits++;
    if (is_alone()) {
        bool same = views_newest(location) == *expected;
        *expected = views_newest(location);
        if (same)
            views_initialise(location, desired);
        return same;
    }
    /* Written: acquire whether it swaps or not. */
    if ((site->taken_away & EXPLORE_ACQUIRE_FAILED) == 0)
        order |= EXPLORE_ACQUIRE_FAILED;
    schedule_step(STEP_OTHER);
    uint64_t wanted = *expected;
    bool swapped = views_swap_if(self(), location, expected, desired, order);
    steps_tell(site, "swap%s [%zu] from %#llx to %#llx: %s%#llx", order_name(site),
               views_offset(location), (unsigned long long)wanted, (unsigned long long)desired,
               swapped ? "yes, was " : "no, is ", (unsigned long long)*expected);
    schedule_remember(swapped ? 1 : 2);
    schedule_remember(*expected);
    return swapped;
}

bool explore_swap_if32(struct explore_site *site, void *word, uint32_t *expected,
                       uint32_t desired) {
    uint64_t value = *expected;
    bool swapped = explore_swap_if(site, word, 4, &value, desired);
    if (!swapped)
        *expected = (uint32_t)value;
    return swapped;
}

static uint64_t change_alone(unsigned location, enum explore_operation operation, uint64_t operand,
                             unsigned size) {
    uint64_t before = views_newest(location);
    uint64_t after = operation == EXPLORE_ADD  ? before + operand
                     : operation == EXPLORE_OR ? before | operand
                                               : before & operand;
    views_initialise(location, size == 4 ? (uint32_t)after : after);
    return before;
}

uint64_t explore_change(struct explore_site *site, void *word, unsigned size, uint64_t operand) {
    unsigned location = views_find(word, size);
    site->visits++;
    if (is_left_out(site))
        return views_newest(location);
    if (is_alone())
        return change_alone(location, site->operation, operand, size);
    schedule_step(STEP_OTHER);
    uint64_t before = views_change(self(), location, site->operation, operand, order_of(site));
    steps_tell(site, "%s%s [%zu] by %#llx: was %#llx", weaken_operation_name(site->operation),
               order_name(site), views_offset(location), (unsigned long long)operand,
               (unsigned long long)before);
    schedule_remember(before);
    return before;
}

uint32_t explore_load32(struct explore_site *site, const void *word) {
    return (uint32_t)explore_load(site, word, 4);
}

uint32_t explore_change32(struct explore_site *site, void *word, uint32_t operand) {
    return (uint32_t)explore_change(site, word, 4, operand);
}

/* ---- fences ---- */

void explore_fence(struct explore_site *site) {
    site->visits++;
    if (is_alone() || is_left_out(site))
        return;
    schedule_step(STEP_OTHER);
    views_fence(self(), order_of(site));
    steps_tell(site, "fence%s", order_of(site) & EXPLORE_SEQUENTIAL ? "" : ", not sequential");
    schedule_remember(0);
}

void explore_compiler_fence(struct explore_site *site) {
    site->visits++;
    if (is_alone() || is_left_out(site))
        return;
    schedule_step(STEP_STORE);
    views_compiler_fence(self());
    schedule_remember(0);
}

/* ---- bodies, word by word ---- */

static uint64_t load_part(unsigned location) {
    return is_alone() ? views_newest(location) : views_load_plain(self(), location);
}

/* Calls for each word of 8 bytes that the range touches: how much of it, from where on. */
static size_t part_of_word(uintptr_t address, size_t left, size_t *ret_offset) {
    *ret_offset = address % 8;
    size_t rest = 8 - *ret_offset;
    return left < rest ? left : rest;
}

void explore_write(struct explore_site *site, void *to, const void *from, size_t size) {
    site->visits++;
    if (is_left_out(site))
        return;
    for (size_t done = 0; done < size;) {
        size_t offset;
        uintptr_t address = (uintptr_t)to + done;
        size_t part = part_of_word(address, size - done, &offset);
        unsigned location = views_find((const char *)to + done - offset, 8);
        if (!is_alone())
            schedule_step(STEP_BODY);
        uint64_t value = part == 8 ? 0 : views_newest(location);
        memcpy((char *)&value + offset, (const char *)from + done, part);
        if (is_alone())
            views_initialise(location, value);
        else
            views_store_plain(self(), location, value);
        steps_tell(site, "body [%zu] = %#llx", views_offset(location), (unsigned long long)value);
        if (!is_alone())
            schedule_remember(value);
        done += part;
    }
}

void explore_read(struct explore_site *site, void *to, const void *from, size_t size) {
    site->visits++;
    for (size_t done = 0; done < size;) {
        size_t offset;
        uintptr_t address = (uintptr_t)from + done;
        size_t part = part_of_word(address, size - done, &offset);
        unsigned location = views_find((const char *)from + done - offset, 8);
        if (!is_alone())
            schedule_step(STEP_BODY);
        uint64_t value = load_part(location);
        memcpy((char *)to + done, (const char *)&value + offset, part);
        steps_tell(site, "body [%zu] is %#llx", views_offset(location), (unsigned long long)value);
        if (!is_alone())
            schedule_remember(value);
        done += part;
    }
}

/* Word by word, relaxed: whatever is found. Of a long body the first and the last word stand for
 * those between, which are as new as can be. */
void explore_read_unguarded(struct explore_site *site, void *to, const void *from, size_t size) {
    for (size_t done = 0; done < size; done += 8) {
        const char *word = (const char *)from + done;
        bool is_between = done > 0 && done + 8 < size;
        uint64_t value =
            is_between ? views_newest(views_find(word, 8)) : explore_load(site, word, 8);
        memcpy((char *)to + done, &value, 8);
        if (is_between && !is_alone())
            schedule_remember(value);
    }
}

void explore_write_unguarded(struct explore_site *site, void *to, const void *from, size_t size) {
    for (size_t done = 0; done < size; done += 8) {
        uint64_t value;
        memcpy(&value, (const char *)from + done, 8);
        explore_store(site, (char *)to + done, 8, value);
    }
}

/* ---- the kernel's part ---- */

bool explore_wait_newer(const void *word) {
    unsigned location = views_find_any(word);
    if (!schedule_wait(WAIT_NEWER, location))
        return false;
    views_insist_newer(self(), location);
    return true;
}

bool explore_wait_change(void) {
    if (!schedule_wait(WAIT_CHANGE, 0))
        return false;
    views_insist_newest(self());
    views_begin(self());
    return true;
}

bool explore_wait_end(unsigned participant) {
    if (!schedule_wait(WAIT_END, participant))
        return false;
    views_follow(self(), participant);
    bool dead = schedule.participants[participant].state == DEAD;
    steps_tell(NULL, "learns that %s %s", schedule.participants[participant].entry->name,
               dead ? "is dead" : "has returned");
    return dead;
}

bool explore_is_dead(unsigned participant) {
    return schedule.participants[participant].state == DEAD;
}

bool explore_is_stopped(unsigned participant) {
    return schedule.participants[participant].state == STOPPED;
}

/* The kernel's look at the word comes after it has queued the sleeper, and its look at the
 * queue after the waker's stores. */
void explore_sleep(const void *word, uint32_t value) {
    unsigned location = views_find(word, 4);
    schedule_step(STEP_OTHER);
    views_fence(self(), EXPLORE_SEQUENTIAL);
    uint64_t found = views_load(self(), location, 0);
    steps_tell(NULL, "sleeps while [%zu] is %#x; it is %#llx", views_offset(location), value,
               (unsigned long long)found);
    schedule_remember(found);
    if (found == value)
        schedule_wait(WAIT_SLEEP, location);
    views_fence(self(), EXPLORE_SEQUENTIAL);
}

void explore_wake(const void *word) {
    unsigned location = views_find(word, 4), woken = 0;
    schedule_step(STEP_OTHER);
    views_fence(self(), EXPLORE_SEQUENTIAL);
    for (unsigned i = 0; i < schedule.count; i++) {
        struct participant *other = &schedule.participants[i];
        if (other->state == WAITING && other->wait == WAIT_SLEEP && other->waits_for == location)
            other->woken = true, woken++;
    }
    steps_tell(NULL, "wakes who sleeps on [%zu]: %u", views_offset(location), woken);
    schedule_remember(woken);
}

void explore_ring(unsigned bell) {
    schedule_step(STEP_OTHER);
    views_fence(self(), EXPLORE_SEQUENTIAL);
    schedule.bells[bell] = true;
    steps_tell(NULL, "rings bell %u", bell);
    schedule_remember(0);
}

void explore_wait_bell(unsigned bell) {
    schedule_step(STEP_OTHER);
    views_fence(self(), EXPLORE_SEQUENTIAL);
    if (!schedule.bells[bell])
        schedule_wait(WAIT_BELL, bell);
    views_fence(self(), EXPLORE_SEQUENTIAL);
    schedule.bells[bell] = false;
    steps_tell(NULL, "hears bell %u", bell);
    schedule_remember(0);
}

bool explore_try_bell(unsigned bell) {
    schedule_step(STEP_OTHER);
    bool rung = schedule.bells[bell];
    schedule.bells[bell] = false;
    steps_tell(NULL, "looks for bell %u: %s", bell, rung ? "rung" : "not rung");
    schedule_remember(rung);
    return rung;
}

void explore_barrier(void) {
    schedule_step(STEP_OTHER);
    views_fence(self(), EXPLORE_SEQUENTIAL);
    steps_tell(NULL, "asks for a barrier");
    schedule_remember(0);
    for (unsigned i = 0; i < schedule.count; i++) {
        if (i == self() || (schedule.participants[i].entry->flags & REGISTERED) == 0)
            continue;
        schedule_step(STEP_OTHER);
        views_barrier(i);
        steps_tell(NULL, "barrier on %s", schedule.participants[i].entry->name);
        schedule_remember(i);
    }
    schedule_step(STEP_OTHER);
    views_fence(self(), EXPLORE_SEQUENTIAL);
    schedule_remember(0);
}

bool explore_try_lock(unsigned lock) {
    schedule_step(STEP_OTHER);
    bool taken = schedule.lock_owners[lock] < 0;
    if (taken) {
        schedule.lock_owners[lock] = schedule.running;
        views_import(self(), &schedule.lock_views[lock]);
    }
    steps_tell(NULL, "lock %u: %s", lock, taken ? "taken" : "somebody has it");
    schedule_remember(taken);
    return taken;
}

void explore_unlock(unsigned lock) {
    schedule_step(STEP_OTHER);
    explore_check(schedule.lock_owners[lock] == schedule.running, "only the owner unlocks");
    views_export(self(), &schedule.lock_views[lock]);
    schedule.lock_owners[lock] = -1;
    steps_tell(NULL, "frees lock %u", lock);
    schedule_remember(0);
}

/* A hint between two looks: scenarios bound their loops by explore_wait_newer() instead. */
void explore_pause(void) {
}

/* ---- of scenarios ---- */

void explore_check(bool holds, const char *promise) {
    if (!holds)
        search_fail("%s", promise);
}

unsigned explore_choose(unsigned count) {
    unsigned choice = search_choose(count);
    if (!is_alone())
        schedule_remember(choice);
    return choice;
}

unsigned explore_self(void) {
    return self();
}
