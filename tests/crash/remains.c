/* SPDX-License-Identifier: MIT
 *
 * What a world has left behind: files, System V segments, descriptors, mappings, processes. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/stage.h"

static void list_files(const char *path, struct remains *remains) {
    DIR *directory = opendir(path);
    size_t length = strlen(remains->files);
    if (directory == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int written =
            snprintf(remains->files + length, sizeof remains->files - length, "%s ", entry->d_name);
        if (written < 0 || (size_t)written >= sizeof remains->files - length)
            break;
        length += (size_t)written;
    }
    closedir(directory);
}

static size_t count_descriptors(void) {
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    crash_need(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* Those that are shared, or of files in memory. What the allocator maps for itself is no
 * remains. */
static size_t count_mappings(void) {
    char line[4400], kind[8];
    size_t count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    crash_need(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        count += sscanf(line, "%*s %7s", kind) == 1 &&
                 (kind[3] == 's' || strstr(line, "memfd:") != NULL);
    fclose(maps);
    return count;
}

static bool was_here(int process) {
    for (size_t i = 0; i < stage_result->process_count; i++)
        if (stage_result->processes[i] == process)
            return true;
    return false;
}

/* The segments of the machine; only those of this world's processes, if `own`. */
static size_t list_segments(int *segments, bool own) {
    char line[512];
    size_t count = 0;
    int creator, id;
    FILE *all = fopen("/proc/sysvipc/shm", "re");
    while (all != NULL && count < SEGMENTS_MOST && fgets(line, sizeof line, all) != NULL)
        if (sscanf(line, "%*d %d %*o %*u %d", &id, &creator) == 2 && (!own || was_here(creator)))
            segments[count++] = id;
    if (all != NULL)
        fclose(all);
    return count;
}

static bool is_among(const struct remains *remains, int segment) {
    for (size_t i = 0; i < remains->segment_count; i++)
        if (remains->segments[i] == segment)
            return true;
    return false;
}

/* New ones that this world's processes made. Numbers of processes are used again, those of
 * segments that are there are not: one that was there before is somebody else's. */
static size_t remove_new_segments(const struct remains *before) {
    static int own[SEGMENTS_MOST];
    size_t count = 0, all = list_segments(own, true);
    for (size_t i = 0; i < all; i++) {
        if (is_among(before, own[i]))
            continue;
        count++;
        /* So that the machine is as it was. */
        shmctl(own[i], IPC_RMID, NULL);
    }
    return count;
}

void remains_look(const char *directory, const char *domain, struct remains *ret_remains) {
    ret_remains->files[0] = '\0';
    list_files(directory, ret_remains);
    list_files(domain, ret_remains);
    ret_remains->descriptors = count_descriptors();
    ret_remains->mappings = count_mappings();
    ret_remains->segment_count = list_segments(ret_remains->segments, false);
}

void remains_compare(const struct remains *before, const struct remains *after) {
    if (strcmp(before->files, after->files) != 0)
        crash_fail("files are left: %s(before: %s)", after->files, before->files);
    if (before->descriptors != after->descriptors)
        crash_fail("%zu descriptors before, %zu after", before->descriptors, after->descriptors);
    if (before->mappings != after->mappings)
        crash_fail("%zu shared mappings before, %zu after", before->mappings, after->mappings);
    size_t segments = remove_new_segments(before);
    if (segments > 0)
        crash_fail("%zu System V segments are left", segments);
    if (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD)
        crash_fail("a process is left");
}
