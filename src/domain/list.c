/* SPDX-License-Identifier: MIT
 *
 * All objects of a folder: showing them, and removing what the dead left. */
#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "domain/internal.h"
#include "os/os.h"

/* ---- removing what the dead left ---- */

struct sweep {
    int folder;
    size_t count; /* of all files */
    size_t most;  /* to look at */
    size_t seen;
    uint32_t seed;
    size_t removed;
};

static int count_one(void *context, const char *leaf) {
    struct sweep *sweep = context;
    (void)leaf;
    sweep->count++;
    return 0;
}

/* Such a name is drawn at random and never used again: removing it hits nothing else. */
static bool sweep_temporary(int folder, const char *leaf) {
    struct stat status;
    if (os_stat(folder, leaf, &status) < 0 || !S_ISREG(status.st_mode))
        return false;
    int fd = os_open_file(folder, leaf, false);
    bool removed = fd >= 0 && os_byte_is_locked(fd, LIFE_AT) == 0 && os_remove(folder, leaf) == 0;
    os_close(fd);
    return removed;
}

static bool sweep_object(int folder, const char *leaf) {
    struct found found;
    if (found_open(folder, leaf, true, &found) < 0)
        return false;
    bool removed = found.state == DOMAIN_DEAD && found_bury(folder, leaf, &found, false) == 0;
    found_close(&found);
    return removed;
}

/* Of many files, another choice each time; of few, all. */
static bool is_chosen(const struct sweep *sweep, const char *leaf) {
    size_t parts = (sweep->count + sweep->most - 1) / sweep->most;
    return parts <= 1 || crc32c(sweep->seed, leaf, strlen(leaf)) % parts == 0;
}

static int sweep_one(void *context, const char *leaf) {
    struct sweep *sweep = context;
    if (!is_chosen(sweep, leaf))
        return 0;
    if (leaf_is_temporary(leaf) ? sweep_temporary(sweep->folder, leaf)
                                : sweep_object(sweep->folder, leaf))
        sweep->removed++;
    return ++sweep->seen < sweep->most ? 0 : 1;
}

size_t domain_sweep(int folder, size_t most) {
    struct sweep sweep = {.folder = folder, .most = most, .seed = (uint32_t)os_now()};
    if (most == 0 || os_list(folder, count_one, &sweep) < 0)
        return 0;
    os_list(folder, sweep_one, &sweep);
    return sweep.removed;
}

/* ---- showing them ---- */

struct listing {
    int folder;
    int (*each)(void *context, const struct domain_entry *entry);
    void *context;
    int answer; /* of the last call */
};

static bool is_companion(int folder, const char *leaf) {
    char object[DOMAIN_LEAF_SIZE];
    struct stat status;
    return leaf_is_socket(leaf, object) && os_stat(folder, leaf, &status) == 0 &&
           S_ISSOCK(status.st_mode) && os_stat(folder, object, &status) == 0;
}

static int list_one(void *context, const char *leaf) {
    struct listing *listing = context;
    struct found found;
    char name[DOMAIN_LEAF_SIZE];
    if (strcmp(leaf, FOLDER_LEAF) == 0 || leaf_is_temporary(leaf) ||
        is_companion(listing->folder, leaf))
        return 0;
    int error = found_open(listing->folder, leaf, false, &found);
    if (error == -ENOENT)
        return 0; /* it went meanwhile */
    if (error < 0)
        return error;
    bool known = found.problem == 0;
    struct domain_entry entry = {.leaf = leaf,
                                 .kind = known ? found.facts.kind : "",
                                 .name = name,
                                 .state = found.state,
                                 .bytes = (uint64_t)found.status.st_size,
                                 .created = known ? found.facts.created : 0,
                                 .pid = known ? (pid_t)found.facts.pid : 0,
                                 .uid = found.status.st_uid};
    entry.name_size = leaf_name(leaf, entry.kind, name);
    found_close(&found);
    listing->answer = listing->each(listing->context, &entry);
    return listing->answer;
}

int domain_list(int folder, int (*each)(void *context, const struct domain_entry *entry),
                void *context) {
    struct listing listing = {.folder = folder, .each = each, .context = context};
    int outcome = os_list(folder, list_one, &listing);
    return outcome < 0 && outcome != listing.answer ? error_of(outcome, "listing a domain")
                                                    : outcome;
}
