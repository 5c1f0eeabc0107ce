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

/* Those that are shared. What the allocator maps for itself is no remains. */
static size_t count_mappings(void) {
    char line[4400], kind[8];
    size_t count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    crash_need(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        count += sscanf(line, "%*s %7s", kind) == 1 && kind[3] == 's';
    fclose(maps);
    return count;
}

static bool was_here(int process) {
    for (size_t i = 0; i < stage_result->process_count; i++)
        if (stage_result->processes[i] == process)
            return true;
    return false;
}

/* Segments that processes of this world made. */
static size_t count_segments(bool removes) {
    char line[512];
    size_t count = 0;
    int creator, id;
    FILE *segments = fopen("/proc/sysvipc/shm", "re");
    if (segments == NULL)
        return 0;
    while (fgets(line, sizeof line, segments) != NULL) {
        if (sscanf(line, "%*d %d %*o %*u %d", &id, &creator) != 2 || !was_here(creator))
            continue;
        count++;
        if (removes)
            shmctl(id, IPC_RMID, NULL);
    }
    fclose(segments);
    return count;
}

void remains_remove_segments(void) {
    count_segments(true);
}

void remains_look(const char *directory, const char *domain, struct remains *ret_remains) {
    ret_remains->files[0] = '\0';
    list_files(directory, ret_remains);
    list_files(domain, ret_remains);
    ret_remains->descriptors = count_descriptors();
    ret_remains->mappings = count_mappings();
    ret_remains->segments = count_segments(false);
}

void remains_compare(const struct remains *before, const struct remains *after) {
    if (strcmp(before->files, after->files) != 0)
        crash_fail("files are left: %s(before: %s)", after->files, before->files);
    if (before->descriptors != after->descriptors)
        crash_fail("%zu descriptors before, %zu after", before->descriptors, after->descriptors);
    if (before->mappings != after->mappings)
        crash_fail("%zu shared mappings before, %zu after", before->mappings, after->mappings);
    if (after->segments > before->segments)
        crash_fail("%zu System V segments are left", after->segments - before->segments);
    if (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD)
        crash_fail("a process is left");
}
