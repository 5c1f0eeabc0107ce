/* SPDX-License-Identifier: MIT
 *
 * Room for shared memory, found out before it is used: what the kernel would answer with a
 * signal or by killing a process becomes -ENOSPC, and a sentence that names the limit. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "domain/internal.h"
#include "os/os.h"

#define FILE_SIZE 4096 /* of the kernel's files that are read whole */
#define GROUP_SIZE 2048
#define FOLDER_SIZE (GROUP_SIZE + 32)
#define PATH_SIZE (FOLDER_SIZE + 64)
#define NO_LIMIT ((uint64_t)1 << 62) /* version 1 writes what it cannot reach */
#define MARGIN ((uint64_t)256 << 10) /* page tables and what else the kernel counts */

/* ---- the kernel's numbers ---- */

/* The number behind `key` and blanks at the start of a line. */
static bool find_number(const char *text, const char *key, uint64_t *ret_number) {
    size_t length = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && isspace((unsigned char)line[length])) {
            *ret_number = strtoull(line + length, NULL, 10);
            return true;
        }
        if (*line == '\0')
            break;
    }
    return false;
}

/* A file with one number; "max" is no number. */
static bool read_number(const char *folder, const char *name, uint64_t *ret_number) {
    char path[PATH_SIZE], text[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (os_read_text(path, text, sizeof text) < 0 || !isdigit((unsigned char)text[0]))
        return false;
    *ret_number = strtoull(text, NULL, 10);
    return true;
}

/* Adds up what `key` and `other` say in memory.stat: pages of files on disks, which the
 * kernel gives up when it needs memory. */
static uint64_t reclaimable(const char *folder, const char *key, const char *other) {
    char path[PATH_SIZE], text[FILE_SIZE];
    uint64_t first = 0, second = 0;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    if (os_read_text(path, text, sizeof text) < 0)
        return 0;
    find_number(text, key, &first);
    find_number(text, other, &second);
    return first + second;
}

/* ---- control groups ---- */

/* The two versions of control groups, and what their files are called. */
struct version {
    const char *line; /* of /proc/self/cgroup: what stands between the colons */
    const char *mounts[2];
    const char *limit, *usage;
    const char *swap_limit, *swap_usage;
    bool swap_with_memory; /* these two count memory, too */
    const char *inactive, *active;
};

static const struct version versions[] = {
    {.line = "",
     .mounts = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"},
     .limit = "memory.max",
     .usage = "memory.current",
     .swap_limit = "memory.swap.max",
     .swap_usage = "memory.swap.current",
     .inactive = "inactive_file",
     .active = "active_file"},
    {.line = "memory",
     .mounts = {"/sys/fs/cgroup/memory", NULL},
     .limit = "memory.limit_in_bytes",
     .usage = "memory.usage_in_bytes",
     .swap_limit = "memory.memsw.limit_in_bytes",
     .swap_usage = "memory.memsw.usage_in_bytes",
     .swap_with_memory = true,
     .inactive = "total_inactive_file",
     .active = "total_active_file"},
};

/* This process's group in a line "N:CONTROLLERS:/GROUP" of /proc/self/cgroup. */
static bool find_group(const char *lines, const char *controller, char ret_group[GROUP_SIZE]) {
    size_t wanted = strlen(controller);
    for (const char *line = lines; *line != '\0'; line += *line == '\n') {
        const char *end = line + strcspn(line, "\n");
        const char *names = memchr(line, ':', (size_t)(end - line));
        const char *group =
            names != NULL ? memchr(names + 1, ':', (size_t)(end - names - 1)) : NULL;
        for (const char *name = names; group != NULL && name < group;) {
            const char *next = name + 1 + strcspn(name + 1, ",:");
            size_t size = (size_t)(end - group - 1);
            if ((size_t)(next - name - 1) == wanted && memcmp(name + 1, controller, wanted) == 0 &&
                size < GROUP_SIZE) {
                memcpy(ret_group, group + 1, size);
                ret_group[size] = '\0';
                return true;
            }
            name = next;
        }
        line = end;
    }
    return false;
}

static uint64_t room_of(uint64_t limit, uint64_t used) {
    return limit > used ? limit - used : 0;
}

/* How much of `need` could be there, with `given_up` of what is used given up for it. */
static uint64_t room_with_swap(const struct version *version, const char *folder, uint64_t room,
                               uint64_t given_up, uint64_t swap) {
    uint64_t limit, used;
    if (!read_number(folder, version->swap_limit, &limit) ||
        !read_number(folder, version->swap_usage, &used))
        return room + swap;
    if (!version->swap_with_memory) {
        uint64_t left = room_of(limit, used);
        return room + (left < swap ? left : swap);
    }
    uint64_t both = room_of(limit, room_of(used, given_up));
    return both < room + swap ? both : room + swap;
}

/* One group: is there room under its own limit? Swap space counts as room. */
static int check_group(const struct version *version, const char *folder, uint64_t need,
                       uint64_t swap, const char *text) {
    uint64_t limit, used;
    if (!read_number(folder, version->limit, &limit) || !read_number(folder, version->usage, &used))
        return 0;
    if (room_of(limit, used) >= need)
        return 0;
    uint64_t given_up = reclaimable(folder, version->inactive, version->active);
    uint64_t room = room_of(limit, room_of(used, given_up));
    if (room_with_swap(version, folder, room, given_up, swap) >= need)
        return 0;
    return error_set(-ENOSPC, "%s: %llu bytes of memory; %s/%s is %llu, of which %llu are free",
                     text, (unsigned long long)need, folder, version->limit,
                     (unsigned long long)limit, (unsigned long long)room);
}

/* The group, and all above it: each can have a limit. */
static int check_groups(const struct version *version, const char *group, uint64_t need,
                        uint64_t swap, const char *text) {
    for (size_t i = 0; i < sizeof version->mounts / sizeof version->mounts[0]; i++) {
        char folder[FOLDER_SIZE];
        size_t mount = version->mounts[i] != NULL ? strlen(version->mounts[i]) : 0;
        if (mount == 0)
            continue;
        snprintf(folder, sizeof folder, "%s%s", version->mounts[i], group);
        for (;;) {
            int error = check_group(version, folder, need, swap, text);
            if (error < 0)
                return error;
            char *slash = strrchr(folder, '/');
            if (strlen(folder) <= mount || slash == NULL)
                break;
            *slash = '\0';
        }
    }
    return 0;
}

/* ---- all limits ---- */

static int check_machine(const char *memory, uint64_t need, uint64_t swap, const char *text) {
    uint64_t available;
    if (!find_number(memory, "MemAvailable:", &available) || available * 1024 + swap >= need)
        return 0;
    return error_set(-ENOSPC, "%s: %llu bytes of memory; MemAvailable of /proc/meminfo is %llu kB",
                     text, (unsigned long long)need, (unsigned long long)available);
}

int domain_room(size_t size, const char *text) {
    char lines[FILE_SIZE], group[GROUP_SIZE];
    uint64_t need = (uint64_t)size + size / 256 + MARGIN, swap = 0;
    if (os_read_text("/proc/meminfo", lines, sizeof lines) > 0) {
        if (find_number(lines, "SwapFree:", &swap))
            swap *= 1024;
        int error = check_machine(lines, need, swap, text);
        if (error < 0)
            return error;
    }
    if (os_read_text("/proc/self/cgroup", lines, sizeof lines) <= 0)
        return 0;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        if (!find_group(lines, versions[i].line, group))
            continue;
        int error = check_groups(&versions[i], group, need, swap, text);
        if (error < 0)
            return error;
    }
    return 0;
}

int domain_space(int fd, size_t size, const char *text) {
    if (os_is_memory(fd) == 1) {
        int error = domain_room(size, text);
        if (error < 0)
            return error;
    }
    int error = os_allocate(fd, size);
    if (error == -ENOSPC)
        return error_set(error, "%s: the file system has no room for %zu bytes", text, size);
    if (error == -EFBIG)
        return error_set(error, "%s: a file of %zu bytes; RLIMIT_FSIZE (ulimit -f) limits it", text,
                         size);
    return error < 0 ? error_of(error, "%s: room for %zu bytes", text, size) : 0;
}

int domain_unnamed_file(int folder, size_t size, mode_t mode, const char *text) {
    int fd = os_unnamed_file(folder, mode);
    if (fd < 0)
        return error_of(fd, "%s: a file without a name in the folder", text);
    int error = domain_space(fd, size, text);
    if (error == 0 && (error = os_set_mode_of(fd, mode)) < 0)
        error_of(error, "%s: setting the mode of a file", text);
    if (error < 0) {
        os_close(fd);
        return error;
    }
    return fd;
}
