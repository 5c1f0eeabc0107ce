/* SPDX-License-Identifier: MIT
 *
 * Which instructions change memory that processes share: after every step, all shared
 * writable pages of the victim are compared with a copy. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "crash/stage.h"

#define PAGE ((size_t)4096)
#define AREAS_MOST 64
#define PRESENT (3ull << 62) /* in memory, or swapped */

struct area {
    uint64_t start;
    size_t size;
    unsigned char *copy; /* zero where the page was not there yet */
};

struct stores {
    int process;
    int pages; /* /proc/…/pagemap */
    struct area areas[AREAS_MOST];
    size_t count;
    unsigned char *now; /* of the largest area */
    uint64_t *entries;
    size_t most;
};

static void forget(struct stores *stores) {
    for (size_t i = 0; i < stores->count; i++)
        free(stores->areas[i].copy);
    stores->count = 0;
}

static void add(struct stores *stores, uint64_t start, size_t size) {
    crash_need(stores->count < AREAS_MOST);
    stores->areas[stores->count] =
        (struct area){.start = start, .size = size, .copy = calloc(1, size)};
    crash_need(stores->areas[stores->count++].copy != NULL);
    if (size <= stores->most)
        return;
    stores->most = size;
    free(stores->now);
    free(stores->entries);
    stores->now = malloc(size);
    stores->entries = malloc(size / PAGE * sizeof *stores->entries);
}

/* Whether these pages changed; one that is there for the first time counts if not zero. */
static bool read_pages(struct stores *stores, struct area *area, size_t first, size_t count) {
    struct iovec to = {stores->now, count * PAGE};
    struct iovec from = {(void *)(uintptr_t)(area->start + first * PAGE), count * PAGE};
    bool changed = false;
    if (process_vm_readv(stores->process, &to, 1, &from, 1, 0) != (ssize_t)(count * PAGE))
        return false; /* beyond the end of its file */
    if (memcmp(area->copy + first * PAGE, stores->now, count * PAGE) != 0) {
        memcpy(area->copy + first * PAGE, stores->now, count * PAGE);
        changed = true;
    }
    return changed;
}

static bool read_area(struct stores *stores, struct area *area) {
    size_t pages = area->size / PAGE;
    ssize_t size = pread(stores->pages, stores->entries, pages * sizeof *stores->entries,
                         (off_t)(area->start / PAGE * sizeof *stores->entries));
    bool changed = false;
    if (size < 0)
        return false;
    pages = (size_t)size / sizeof *stores->entries;
    for (size_t i = 0; i < pages;) {
        size_t run = 0;
        while (i + run < pages && (stores->entries[i + run] & PRESENT) != 0)
            run++;
        if (run > 0)
            changed |= read_pages(stores, area, i, run);
        i += run > 0 ? run : 1;
    }
    return changed;
}

static bool is_known(const struct stores *stores, uint64_t start, size_t size) {
    for (size_t i = 0; i < stores->count; i++)
        if (stores->areas[i].start == start && stores->areas[i].size == size)
            return true;
    return false;
}

/* The shared writable areas, as they are now. Result: whether others than before. */
static bool find_areas(struct stores *stores, bool all) {
    char path[64], line[4400], kind[8];
    unsigned long start, end;
    bool other = false;
    snprintf(path, sizeof path, "/proc/%d/maps", stores->process);
    FILE *maps = fopen(path, "re");
    crash_need(maps != NULL);
    size_t seen = 0;
    struct area found[AREAS_MOST];
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, kind) != 3 || kind[1] != 'w' ||
            kind[3] != 's' || stage_is_own_memory(start))
            continue;
        crash_need(seen < AREAS_MOST);
        other |= !is_known(stores, start, end - start);
        found[seen++] = (struct area){.start = start, .size = end - start};
    }
    fclose(maps);
    if (!all && !other && seen == stores->count)
        return false;
    forget(stores);
    for (size_t i = 0; i < seen; i++) {
        add(stores, found[i].start, found[i].size);
        read_area(stores, &stores->areas[i]);
    }
    return true;
}

struct stores *stores_begin(int process) {
    char path[64];
    struct stores *stores = calloc(1, sizeof *stores);
    crash_need(stores != NULL);
    stores->process = process;
    snprintf(path, sizeof path, "/proc/%d/pagemap", process);
    stores->pages = open(path, O_RDONLY | O_CLOEXEC);
    crash_need(stores->pages >= 0);
    find_areas(stores, true);
    return stores;
}

bool stores_changed(struct stores *stores, bool call) {
    if (call && find_areas(stores, false))
        return true;
    bool changed = false;
    for (size_t i = 0; i < stores->count; i++)
        changed |= read_area(stores, &stores->areas[i]);
    return changed;
}

void stores_end(struct stores *stores) {
    forget(stores);
    close(stores->pages);
    free(stores->now);
    free(stores->entries);
    free(stores);
}
