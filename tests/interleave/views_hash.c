/* SPDX-License-Identifier: MIT
 *
 * The state of the memory model as a number: equal for states from which the same can follow. */
#include "views.h"

#include <string.h>

/* Messages that nobody can load any more count for nothing. */
static unsigned oldest_in_reach(unsigned location) {
    unsigned oldest = locations[location].count - 1;
    for (unsigned i = 0; i < schedule.count; i++) {
        enum participant_state state = schedule.participants[i].state;
        unsigned seen = knowledge_of(i)->now.seen[location];
        if ((state == READY || state == WAITING) && seen < oldest)
            oldest = seen;
    }
    return oldest;
}

/* Of the moments that accesses to bodies are compared with, those that somebody who goes on does
 * not know to be past; a clock is as good as the number of them that it is behind of. */
struct moments {
    uint16_t when[EXPLORE_PARTICIPANTS][4 * LOCATIONS];
    unsigned count[EXPLORE_PARTICIPANTS];
};

static bool is_open_moment(unsigned who, uint16_t when) {
    for (unsigned i = 0; i < schedule.count; i++) {
        enum participant_state state = schedule.participants[i].state;
        if (i != who && (state == READY || state == WAITING) &&
            knowledge_of(i)->now.clock[who] < when)
            return true;
    }
    return false;
}

static void add_moment(struct moments *moments, unsigned who, uint16_t when) {
    unsigned at = 0;
    if (when == 0)
        return;
    while (at < moments->count[who] && moments->when[who][at] < when)
        at++;
    if (at < moments->count[who] && moments->when[who][at] == when)
        return;
    if (!is_open_moment(who, when))
        return;
    memmove(&moments->when[who][at + 1], &moments->when[who][at],
            (moments->count[who] - at) * sizeof moments->when[who][0]);
    moments->when[who][at] = when;
    moments->count[who]++;
}

static void list_moments(struct moments *moments) {
    memset(moments->count, 0, sizeof moments->count);
    for (unsigned i = 0; i < locations_count; i++) {
        const struct location *at = &locations[i];
        for (unsigned who = 0; at->has_bodies && who < schedule.count; who++) {
            add_moment(moments, who, at->wrote[who]);
            add_moment(moments, who, at->wrote_plain[who]);
            add_moment(moments, who, at->read[who]);
            add_moment(moments, who, at->read_plain[who]);
        }
    }
}

static uint64_t rank_moment(const struct moments *moments, unsigned who, uint16_t when) {
    unsigned rank = 0;
    while (rank < moments->count[who] && moments->when[who][rank] <= when)
        rank++;
    return rank;
}

static uint64_t hash_clock(uint64_t hash, const uint16_t clock[EXPLORE_PARTICIPANTS],
                           const struct moments *moments) {
    uint64_t word = 0;
    for (unsigned who = 0; who < schedule.count; who++)
        word = word << 16 | rank_moment(moments, who, clock[who]);
    return mix(hash, word);
}

static uint64_t hash_view(uint64_t hash, const struct view *view, const uint8_t *oldest,
                          const struct moments *moments) {
    _Alignas(16) uint8_t newer[LOCATIONS];
    unsigned count = (locations_count + 15) / 16 * 16;
    for (unsigned i = 0; i < count; i++)
        newer[i] = view->seen[i] > oldest[i] ? (uint8_t)(view->seen[i] - oldest[i]) : 0;
    for (unsigned i = 0; i < count; i += 8) {
        uint64_t word;
        memcpy(&word, newer + i, 8);
        hash = mix(hash, word);
    }
    return hash_clock(hash, view->clock, moments);
}

/* Of a death: what may be dropped. */
static unsigned flags_of(const struct message *message, bool is_last) {
    unsigned flags = message->joined;
    if (is_last && schedule.deaths > 0)
        flags |= message->writer * 8u + message->ordered * 4u + message->was_read * 2u;
    return flags;
}

uint64_t views_hash(uint64_t hash) {
    static struct moments moments;
    uint8_t oldest[LOCATIONS] = {0};
    list_moments(&moments);
    for (unsigned i = 0; i < locations_count; i++)
        oldest[i] = (uint8_t)oldest_in_reach(i);
    for (unsigned i = 0; i < locations_count; i++) {
        const struct location *at = &locations[i];
        hash = mix(hash, at->count - oldest[i]);
        for (unsigned k = oldest[i]; k < at->count; k++) {
            const struct message *message = &at->messages[k];
            hash = mix(hash, message->value);
            hash = mix(hash, flags_of(message, k + 1 == at->count));
            hash = hash_view(hash, &message->view, oldest, &moments);
        }
        if (!at->has_bodies)
            continue;
        hash = hash_clock(hash, at->wrote, &moments);
        hash = hash_clock(hash, at->wrote_plain, &moments);
        hash = hash_clock(hash, at->read, &moments);
        hash = hash_clock(hash, at->read_plain, &moments);
    }
    for (unsigned i = 0; i < schedule.count; i++) {
        const struct knowledge *knowledge = knowledge_of(i);
        hash = hash_view(hash, &knowledge->now, oldest, &moments);
        hash = hash_view(hash, &knowledge->loaded, oldest, &moments);
        hash = hash_view(hash, &knowledge->fenced, oldest, &moments);
        hash = hash_view(hash, &knowledge->begun, oldest, &moments);
        if (schedule.scenario->barriers)
            hash = hash_view(hash, &knowledge->settled, oldest, &moments);
    }
    for (unsigned i = 0; i < EXPLORE_LOCKS; i++)
        hash = hash_view(hash, &schedule.lock_views[i], oldest, &moments);
    return hash_view(hash, &schedule.fences, oldest, &moments);
}
