/* SPDX-License-Identifier: MIT
 *
 * Is every memory order needed, and would we notice if it were missing? Each access of the
 * explored sources is made weaker than it is written, or left out, one at a time; then some
 * scenario must fail. What is needless after all stands in a table with its reason. */
#include "inside.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SITES 512
#define SCENARIOS 128
#define NEEDLESS 128
#define STATES_MOST 250000 /* of a scenario that is run for every weakening */

extern struct explore_site *const __start_explore_sites[];
extern struct explore_site *const __stop_explore_sites[];

/* One place in the source; header functions are in several objects. */
struct place {
    const struct explore_site *site;
    const char *file;
    unsigned number; /* among those of the same function and operation */
    bool is_reached;
    bool scenarios[SCENARIOS]; /* those that reach this place, and are not long */
};

static struct place places[SITES];
static unsigned place_count;

static struct {
    char key[160];
    bool used;
} needless[NEEDLESS];
static unsigned needless_count;

/* The scenarios, those of few states first. */
static unsigned in_order[SCENARIOS], order_count;
static unsigned long states_of[SCENARIOS];

static bool is_thorough; /* what is needless is tried, too */

const char *weaken_operation_name(enum explore_operation operation) {
    static const char *const names[] = {
        [EXPLORE_LOAD] = "get",     [EXPLORE_STORE] = "set",
        [EXPLORE_SWAP_IF] = "swap", [EXPLORE_ADD] = "add",
        [EXPLORE_OR] = "or",        [EXPLORE_AND] = "and",
        [EXPLORE_FENCE] = "fence",  [EXPLORE_COMPILER_FENCE] = "compiler_fence",
        [EXPLORE_WRITE] = "write",  [EXPLORE_READ] = "read",
    };
    return names[operation];
}

/* ---- the places ---- */

/* "memory/lane.c" of "…/src/memory/lane.c", NULL: not an explored source. */
static const char *source_name(const char *path) {
    const char *name = strstr(path, "src/memory/");
    return name != NULL ? name + strlen("src/") : NULL;
}

static bool same_place(const struct explore_site *one, const struct explore_site *other) {
    return one->line == other->line && one->operation == other->operation &&
           one->order == other->order && strcmp(one->function, other->function) == 0 &&
           strcmp(one->file, other->file) == 0;
}

static struct place *find_place(const struct explore_site *site) {
    for (unsigned i = 0; i < place_count; i++)
        if (same_place(places[i].site, site))
            return &places[i];
    return NULL;
}

static int compare_places(const void *one, const void *other) {
    const struct place *left = one, *right = other;
    int files = strcmp(left->file, right->file);
    return files != 0 ? files : left->site->line - right->site->line;
}

static void find_places(void) {
    for (struct explore_site *const *site = __start_explore_sites; site < __stop_explore_sites;
         site++) {
        const char *file = source_name((*site)->file);
        if (file == NULL || find_place(*site) != NULL || place_count == SITES)
            continue;
        places[place_count++] = (struct place){.site = *site, .file = file};
    }
    qsort(places, place_count, sizeof places[0], compare_places);
    for (unsigned i = 0; i < place_count; i++) {
        places[i].number = 1;
        for (unsigned k = 0; k < i; k++)
            places[i].number += places[k].site->operation == places[i].site->operation &&
                                strcmp(places[k].file, places[i].file) == 0 &&
                                strcmp(places[k].site->function, places[i].site->function) == 0;
    }
}

static void take_away(const struct place *place, unsigned what) {
    for (struct explore_site *const *site = __start_explore_sites; site < __stop_explore_sites;
         site++)
        if (same_place(*site, place->site))
            (*site)->taken_away = what;
}

static void put_in_order(unsigned scenario, unsigned long states) {
    unsigned at = order_count++;
    states_of[scenario] = states;
    for (; at > 0 && states_of[in_order[at - 1]] > states; at--)
        in_order[at] = in_order[at - 1];
    in_order[at] = scenario;
}

/* Which scenarios reach which places: all of them run once as they are. One that fails so
 * notices nothing. */
static void visit(bool thorough) {
    for (unsigned i = 0; explore_scenarios[i] != NULL && i < SCENARIOS; i++) {
        if (explore_scenarios[i]->proves == NULL || (explore_scenarios[i]->slow && !thorough))
            continue;
        struct search search;
        for (struct explore_site *const *site = __start_explore_sites; site < __stop_explore_sites;
             site++)
            (*site)->visits = 0;
        search_run(explore_scenarios[i], false, &search);
        if (search.failure != NULL) {
            tap_point(false, "%s fails without any weakening", explore_scenarios[i]->name);
            continue;
        }
        put_in_order(i, search.states);
        for (struct explore_site *const *site = __start_explore_sites; site < __stop_explore_sites;
             site++) {
            struct place *place = (*site)->visits > 0 ? find_place(*site) : NULL;
            if (place == NULL)
                continue;
            place->is_reached = true;
            if (search.states <= STATES_MOST)
                place->scenarios[i] = true;
        }
    }
}

/* ---- the table of the needless ---- */

static bool read_needless(const char *path) {
    char line[512];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    while (fgets(line, sizeof line, file) != NULL && needless_count < NEEDLESS) {
        char *colon = strstr(line, ": ");
        if (line[0] == '#' || colon == NULL)
            continue;
        *colon = '\0';
        if (strlen(line) < sizeof needless[0].key)
            strcpy(needless[needless_count++].key, line);
    }
    fclose(file);
    return true;
}

static bool is_needless(const char *key) {
    for (unsigned i = 0; i < needless_count; i++)
        if (strcmp(needless[i].key, key) == 0)
            return needless[i].used = true;
    return false;
}

/* ---- one weakening ---- */

/* In a process of its own: what it breaks may break this program too. Result: the first
 * scenario that fails, or NULL. */
static const char *find_noticing(const struct place *place, unsigned what) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        take_away(place, what);
        for (unsigned k = 0; k < order_count; k++) {
            unsigned i = in_order[k];
            struct search search;
            if (!place->scenarios[i])
                continue;
            search_run(explore_scenarios[i], false, &search);
            if (search.failure != NULL)
                _exit((int)i + 1);
        }
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return NULL;
    if (WIFSIGNALED(status))
        return "a run that broke off";
    unsigned code = (unsigned)WEXITSTATUS(status);
    return code == 0 ? NULL : explore_scenarios[code - 1]->name;
}

static void weaken(const struct place *place, unsigned what, const char *name, const char *pattern,
                   unsigned counts[3]) {
    char key[160];
    snprintf(key, sizeof key, "%s %s %s %u without %s", place->file, place->site->function,
             weaken_operation_name(place->site->operation), place->number, name);
    if (pattern != NULL && fnmatch(pattern, key, 0) != 0)
        return;
    bool needed = !is_needless(key);
    if (!needed && !is_thorough)
        return;
    const char *noticing = find_noticing(place, what);
    counts[0]++;
    counts[1] += noticing != NULL;
    counts[2] += noticing == NULL && !needed;
    if (noticing != NULL)
        tap_point(needed, "%s (line %d): %s by %s", key, place->site->line,
                  needed ? "noticed" : "said to be needless, but noticed", noticing);
    else
        tap_point(!needed, "%s (line %d): %s", key, place->site->line,
                  needed ? "nothing notices" : "needless");
}

static void weaken_place(const struct place *place, const char *pattern, unsigned counts[3]) {
    enum explore_operation operation = place->site->operation;
    unsigned order = place->site->order;
    if (!place->is_reached) {
        if (!is_thorough)
            return; /* perhaps by a long one */
        tap_point(false, "%s %s %s %u (line %d): no scenario reaches it", place->file,
                  place->site->function, weaken_operation_name(operation), place->number,
                  place->site->line);
        return;
    }
    if (order & EXPLORE_SEQUENTIAL)
        weaken(place, EXPLORE_SEQUENTIAL, "sequence", pattern, counts);
    else if (order & EXPLORE_ACQUIRE)
        weaken(place, EXPLORE_ACQUIRE, "acquire", pattern, counts);
    if (operation == EXPLORE_SWAP_IF)
        weaken(place, EXPLORE_ACQUIRE_FAILED, "acquire of a failure", pattern, counts);
    if ((order & EXPLORE_RELEASE) != 0 && (order & EXPLORE_SEQUENTIAL) == 0)
        weaken(place, EXPLORE_RELEASE, "release", pattern, counts);
    if (operation != EXPLORE_LOAD && operation != EXPLORE_READ && operation != EXPLORE_SWAP_IF)
        weaken(place, EXPLORE_DONE, "itself", pattern, counts);
}

int weaken_all(const char *needless_path, const char *pattern, bool thorough) {
    unsigned counts[3] = {0};
    if (!read_needless(needless_path)) {
        fprintf(stderr, "cannot read %s\n", needless_path);
        return 2;
    }
    is_thorough = thorough;
    find_places();
    visit(thorough);
    for (unsigned i = 0; i < place_count; i++)
        weaken_place(&places[i], pattern, counts);
    for (unsigned i = 0; i < needless_count && pattern == NULL && thorough; i++)
        tap_point(needless[i].used, "needless: %s is a weakening that there is", needless[i].key);
    printf("# %u places, %u weakenings: %u noticed, %u needless\n", place_count, counts[0],
           counts[1], counts[2]);
    return 0;
}
