/* SPDX-License-Identifier: MIT
 *
 * Room for shared memory: every shortage is an error with a sentence, before anything is
 * written, and leaves nothing. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "domain/common.h"
#include "os/os.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* ---- real shortages ---- */

static void fill_file_system(void *context) {
    (void)context;
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", harness_directory(), "tmpfs", 0, "size=256k,nr_inodes=4,mode=0700") < 0)
        _exit(77);
    int folder = open_folder(NULL);
    size_t descriptors = harness_count_descriptors();
    struct domain_place place = place_at(folder, "a");
    struct domain_wish wish = thing;
    struct domain_object *object = NULL, *others[4];
    wish.size = MIB;
    expect_error(domain_object_create(&place, &wish, &object), -ENOSPC, "file system");
    expect_error(domain_object_create(&place, &wish, &object), -ENOSPC, "1048832");
    assert_null(object);
    assert_int_equal(count_files(folder), 0);
    assert_int_equal(harness_count_descriptors(), descriptors);
    wish.size = 200 * KIB;
    check(domain_object_create(&place, &wish, &object));
    memset(object->body, 1, object->size); /* all of it is there */
    domain_object_release(object, true);
    others[0] = create(folder, "a");
    others[1] = create(folder, "b");
    others[2] = create(folder, "c");
    place = place_at(folder, "d"); /* the folder itself is the fourth */
    expect_error(domain_object_create(&place, &thing, &object), -ENOSPC, "test://d");
    for (size_t i = 0; i < 3; i++)
        domain_object_release(others[i], true);
    assert_int_equal(count_files(folder), 0);
    close(folder);
}

static void test_full(void **state) {
    (void)state;
    int status = harness_wait(harness_fork(fill_file_system, NULL));
    if (status == 77 << 8)
        harness_skip("mounting a small file system takes root");
    assert_int_equal(status, 0);
}

static void test_file_limit(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_place place = place_at(folder, "a");
    struct domain_wish wish = thing;
    struct domain_object *object = NULL;
    struct rlimit limit = {.rlim_cur = 8192, .rlim_max = RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    wish.size = 8192; /* and the header */
    expect_error(domain_object_create(&place, &wish, &object), -EFBIG, "ulimit -f");
    assert_int_equal(count_files(folder), 0);
    wish.size = 8192 - HEADER_SIZE;
    check(domain_object_create(&place, &wish, &object));
    domain_object_release(object, true);
    close(folder);
}

static bool write_text(const char *folder, const char *name, const char *text) {
    char file[600];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return written;
}

/* In a control group with 16 MiB of memory: asks for too much, and lives. */
static void ask_for_too_much(void *context) {
    const char *group = context;
    char pid[32];
    snprintf(pid, sizeof pid, "%d", getpid());
    if (!write_text(group, "cgroup.procs", pid))
        _exit(77);
    int fd = memfd_create("space", MFD_CLOEXEC);
    assert_true(fd >= 0);
    expect_error(domain_space(fd, 64 * MIB, "shm://plant"), -ENOSPC, group);
    expect_error(domain_space(fd, 64 * MIB, "shm://plant"), -ENOSPC, "16777216");
    check(domain_space(fd, 4 * MIB, "shm://plant"));
    char *memory = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(memory != MAP_FAILED);
    memset(memory, 1, 4 * MIB);
    expect_error(domain_room(14 * MIB, "shm://plant"), -ENOSPC, "free");
    close(fd);
}

/* The group of this process, as a folder. */
static bool find_own_group(char *folder, size_t size, const char **limit) {
    char line[512];
    bool found = false;
    FILE *lines = fopen("/proc/self/cgroup", "re");
    while (lines != NULL && !found && fgets(line, sizeof line, lines) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const char *at = strstr(line, ":memory:");
        *limit = at != NULL ? "memory.limit_in_bytes" : "memory.max";
        if (at != NULL)
            snprintf(folder, size, "/sys/fs/cgroup/memory%.400s", at + 8);
        else if (strncmp(line, "0::", 3) == 0)
            snprintf(folder, size, "/sys/fs/cgroup%.400s", line + 3);
        char file[600];
        snprintf(file, sizeof file, "%s/%s", folder, *limit);
        found = (at != NULL || strncmp(line, "0::", 3) == 0) && access(file, W_OK) == 0;
    }
    if (lines != NULL)
        fclose(lines);
    return found;
}

static void test_control_group(void **state) {
    (void)state;
    char own[520], group[560];
    const char *limit;
    if (!find_own_group(own, sizeof own, &limit))
        harness_skip("no control group with a memory limit can be made here");
    snprintf(group, sizeof group, "%s/chappe-test-%d", own, getpid());
    if (mkdir(group, 0755) < 0)
        harness_skip("no control group can be made here");
    if (!write_text(group, limit, "16777216")) {
        rmdir(group);
        harness_skip("no memory limit can be set here");
    }
    int status = harness_wait(harness_fork(ask_for_too_much, group));
    rmdir(group);
    if (status == 77 << 8)
        harness_skip("no process can be moved to another control group here");
    assert_int_equal(status, 0);
}

/* ---- limits of every kind, as files of our own ---- */

static int (*real_openat)(int, const char *, int, mode_t);

/* What is below /proc and /sys is looked for in the test's directory. */
static int redirected_openat(int folder, const char *name, int flags, mode_t mode) {
    char file[600];
    if (strncmp(name, "/proc/", 6) != 0 && strncmp(name, "/sys/", 5) != 0)
        return real_openat(folder, name, flags, mode);
    snprintf(file, sizeof file, "%s%s", harness_directory(), name);
    return real_openat(AT_FDCWD, file, flags, mode);
}

static void put(const char *name, const char *text) {
    char file[600];
    snprintf(file, sizeof file, "%s%s", harness_directory(), name);
    for (char *slash = strchr(file + strlen(harness_directory()) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(file, 0700);
        *slash = '/';
    }
    FILE *to = fopen(file, "we");
    assert_non_null(to);
    fputs(text, to);
    fclose(to);
}

static void redirect(void) {
    real_openat = os_calls.openat;
    os_calls.openat = redirected_openat;
}

#define MANY "MemTotal: 9 kB\nMemAvailable:   99999999 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"

static void test_nothing_known(void **state) {
    (void)state;
    redirect();
    check(domain_room(1024 * MIB, "t")); /* neither /proc nor /sys */
    put("/proc/meminfo", MANY);
    check(domain_room(1024 * MIB, "t"));
    put("/proc/self/cgroup", "");
    check(domain_room(1024 * MIB, "t"));
    put("/proc/self/cgroup", "rubbish\n::\n:\n0:\n1:memory\n");
    check(domain_room(1024 * MIB, "t"));
    put("/proc/self/cgroup", "1:memory:/a\n0::/b");
    check(domain_room(1024 * MIB, "t"));
}

static void test_machine(void **state) {
    (void)state;
    redirect();
    put("/proc/meminfo", "MemFree: 1 kB\nMemAvailable:      20480 kB\nSwapFree: 0 kB\n");
    check(domain_room(19 * MIB, "t"));
    expect_error(domain_room(20 * MIB, "t"), -ENOSPC, "MemAvailable of /proc/meminfo is 20480 kB");
    put("/proc/meminfo", "MemFree: 1 kB\nMemAvailable:      20480 kB\nSwapFree: 10240 kB\n");
    check(domain_room(29 * MIB, "t"));
    expect_error(domain_room(30 * MIB, "t"), -ENOSPC, "t: ");
}

static void test_second_version(void **state) {
    (void)state;
    redirect();
    put("/proc/meminfo", MANY);
    put("/proc/self/cgroup", "1:name=systemd:/x\n0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.current", "1048576\n");
    check(domain_room(100 * MIB, "t"));
    put("/sys/fs/cgroup/a/memory.max", "33554432\n"); /* of the one above */
    put("/sys/fs/cgroup/a/memory.current", "31457280\n");
    check(domain_room(1 * MIB, "t"));
    expect_error(domain_room(2 * MIB, "t"), -ENOSPC, "/sys/fs/cgroup/a/memory.max is 33554432");
    /* Pages of files are given up when memory is needed; tmpfs counts elsewhere. */
    put("/sys/fs/cgroup/a/memory.stat",
        "anon 1\nfile 20971520\nshmem 9\ninactive_file 4194304\nactive_file 8388608\n");
    check(domain_room(13 * MIB, "t"));
    expect_error(domain_room(14 * MIB, "t"), -ENOSPC, "of which 14680064 are free");
    put("/sys/fs/cgroup/a/b/memory.max", "8388608");
    expect_error(domain_room(7 * MIB, "t"), -ENOSPC, "/sys/fs/cgroup/a/b/memory.max");
}

static void test_swap(void **state) {
    (void)state;
    redirect();
    put("/proc/meminfo", "MemAvailable: 99999999 kB\nSwapFree: 20480 kB\n");
    put("/proc/self/cgroup", "0::/");
    put("/sys/fs/cgroup/memory.max", "10485760");
    put("/sys/fs/cgroup/memory.current", "8388608");
    check(domain_room(21 * MIB, "t")); /* 2 MiB, and 20 of swap space */
    expect_error(domain_room(22 * MIB, "t"), -ENOSPC, "memory.max");
    put("/sys/fs/cgroup/memory.swap.max", "5242880");
    put("/sys/fs/cgroup/memory.swap.current", "1048576");
    check(domain_room(5 * MIB, "t"));
    expect_error(domain_room(6 * MIB, "t"), -ENOSPC, "memory.max");
    put("/sys/fs/cgroup/memory.swap.max", "max");
    check(domain_room(21 * MIB, "t"));
}

static void test_first_version(void **state) {
    (void)state;
    redirect();
    put("/proc/meminfo", "MemAvailable: 99999999 kB\nSwapFree: 20480 kB\n");
    put("/proc/self/cgroup", "8:pids:/\n4:cpu,memory:/a\n0::/\n");
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "10485760\n");
    put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "8388608\n");
    check(domain_room(21 * MIB, "t"));
    put("/sys/fs/cgroup/memory/a/memory.memsw.limit_in_bytes", "12582912\n");
    put("/sys/fs/cgroup/memory/a/memory.memsw.usage_in_bytes", "9437184\n");
    check(domain_room(2 * MIB, "t"));
    expect_error(domain_room(3 * MIB, "t"), -ENOSPC,
                 "/sys/fs/cgroup/memory/a/memory.limit_in_bytes is 10485760");
    put("/sys/fs/cgroup/memory/a/memory.stat",
        "cache 7\ninactive_file 7340032\ntotal_inactive_file 1048576\ntotal_active_file 1048576\n");
    check(domain_room(4 * MIB, "t"));
    expect_error(domain_room(5 * MIB, "t"), -ENOSPC, "memory.limit_in_bytes");
    put("/proc/self/cgroup", "4:memory2,notmemory:/a\n");
    check(domain_room(21 * MIB, "t"));
}

/* ---- files without a name ---- */

static void test_unnamed(void **state) {
    (void)state;
    struct stat status;
    int folder = open_folder(NULL);
    size_t descriptors = harness_count_descriptors();
    int fd = domain_unnamed_file(folder, 10000, 0640, "t");
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 10000);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(status.st_nlink, 0);
    close(fd);
    struct rlimit limit = {.rlim_cur = 8192, .rlim_max = RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    expect_error(domain_unnamed_file(folder, 10000, 0640, "t"), -EFBIG, "10000 bytes");
    assert_int_equal(harness_count_descriptors(), descriptors);
    close(folder);
}

static const struct harness_test tests[] = {
    {.name = "a full file system", .function = test_full},
    {.name = "the limit of file sizes", .function = test_file_limit},
    {.name = "the memory limit of a control group", .function = test_control_group},
    {.name = "where nothing is known there is room", .function = test_nothing_known},
    {.name = "the machine's memory", .function = test_machine},
    {.name = "control groups, version 2", .function = test_second_version},
    {.name = "swap space is room", .function = test_swap},
    {.name = "control groups, version 1", .function = test_first_version},
    {.name = "files without a name", .function = test_unnamed},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, COUNT(tests));
}
