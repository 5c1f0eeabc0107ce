/* SPDX-License-Identifier: MIT
 *
 * System V segments: used by id, and never left behind. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

#include "base/error.h"
#include "domain/common.h"
#include "os/os.h"

#define SIZE ((size_t)123456)

static char path[512];

static struct domain *open_domain(void) {
    struct domain *domain;
    harness_path(path, sizeof path, "d");
    check(domain_open(path, NULL, &domain));
    return domain;
}

/* How many segments that process has made which are still there. */
static size_t segments_of(pid_t process) {
    char line[512];
    size_t count = 0;
    FILE *lines = fopen("/proc/sysvipc/shm", "re");
    assert_non_null(lines);
    while (fgets(line, sizeof line, lines) != NULL) {
        int key, id, creator;
        unsigned mode;
        unsigned long size;
        if (sscanf(line, "%d %d %o %lu %d", &key, &id, &mode, &size, &creator) == 5)
            count += creator == process;
    }
    fclose(lines);
    return count;
}

static void attach(void *context) {
    char *memory = shmat(*(const int *)context, NULL, 0);
    assert_true(memory != (void *)-1);
    assert_string_equal(memory, "hello");
    memory[0] = 'j';
}

static void test_made(void **state) {
    (void)state;
    int id;
    void *memory;
    struct shmid_ds status;
    struct domain *domain = open_domain();
    size_t descriptors = harness_count_descriptors();
    check(domain_segment(domain, SIZE, 0600, false, "shm://plant", &id, &memory));
    assert_int_equal(count_files(domain->folder), 0);
    strcpy(memory, "hello");
    harness_join(harness_fork(attach, &id)); /* by its id, which has no key any more */
    assert_string_equal(memory, "jello");
    assert_int_equal(shmctl(id, IPC_STAT, &status), 0);
    assert_int_equal(status.shm_segsz, SIZE);
    assert_int_equal(status.shm_perm.__key, IPC_PRIVATE);
    assert_int_equal(status.shm_perm.mode & 0777, 0600);
    assert_int_equal(segments_of(getpid()), 1);
    shmdt(memory);
    assert_int_equal(segments_of(getpid()), 0);
    assert_int_equal(harness_count_descriptors(), descriptors);
    domain_close(domain);
}

static int refuse_shmget(key_t key, size_t size, int flags) {
    (void)key, (void)size, (void)flags;
    errno = ENOSPC;
    return -1;
}

static void *refuse_shmat(int id, const void *at, int flags) {
    (void)id, (void)at, (void)flags;
    errno = ENOMEM;
    return (void *)-1;
}

static void test_refused(void **state) {
    (void)state;
    int id = 42;
    void *memory = NULL;
    struct domain *domain = open_domain();
    expect_error(domain_segment(domain, 0, 0600, false, "t", &id, &memory), -EINVAL, "shmmax");
    os_calls.shmat = refuse_shmat;
    expect_error(domain_segment(domain, SIZE, 0600, false, "t", &id, &memory), -ENOMEM,
                 "attaching");
    assert_int_equal(segments_of(getpid()), 0);
    os_calls.shmget = refuse_shmget;
    expect_error(domain_segment(domain, SIZE, 0600, false, "t", &id, &memory), -ENOSPC, "shmmni");
    assert_int_equal(count_files(domain->folder), 0);
    assert_int_equal(id, 42);
    assert_null(memory);
    domain_close(domain);
}

static size_t taken;

static int taken_shmget(key_t key, size_t size, int flags) {
    if (taken-- > 0) {
        errno = EEXIST;
        return -1;
    }
    return shmget(key, size, flags);
}

static void test_taken_keys(void **state) {
    (void)state;
    int id;
    void *memory;
    struct domain *domain = open_domain();
    os_calls.shmget = taken_shmget;
    taken = 5;
    check(domain_segment(domain, SIZE, 0600, false, "t", &id, &memory));
    shmdt(memory);
    taken = 1000;
    expect_error(domain_segment(domain, SIZE, 0600, false, "t", &id, &memory), -EEXIST, "in use");
    assert_int_equal(count_files(domain->folder), 0);
    domain_close(domain);
}

/* ---- killed in between ---- */

static void be_victim(void *context) {
    int id;
    void *memory;
    be_stepped();
    domain_segment(context, SIZE, 0600, false, "t", &id, &memory);
    _exit(0);
}

static void test_killed_anywhere(void **state) {
    (void)state;
    struct domain *domain = open_domain();
    size_t kills = 0, left = 0;
    for (bool killed = true; killed; kills += killed) {
        pid_t victim = harness_fork(be_victim, domain);
        killed = step(victim, kills);
        if (killed)
            kill_peer(victim);
        left += segments_of(victim);
        domain_close(open_domain()); /* the next opening clears it away */
        assert_int_equal(segments_of(victim), 0);
        assert_int_equal(count_files(domain->folder), 0);
    }
    print_message("%zu kills, %zu of them left a segment\n", kills, left);
    assert_true(kills > 60 && left > 1);
    domain_close(domain);
}

/* ---- a record, and a segment that is not its ---- */

struct record {
    int folder;
    uint64_t size;
    bool make;
    int ready;
};

#define KEY 0x0c4a9e51

static void fill_record(void *context, void *body, size_t size) {
    memcpy(body, context, size);
}

static void leave_record(void *context) {
    struct record *record = context;
    struct domain_place place = place_at(record->folder, "sysv.0c4a9e51");
    struct domain_wish wish = {.kind = "sysv",
                               .version = 1,
                               .size = sizeof record->size,
                               .fill = fill_record,
                               .context = &record->size};
    struct domain_object *object;
    check(domain_object_create(&place, &wish, &object));
    if (record->make)
        assert_true(shmget(KEY, SIZE, IPC_CREAT | IPC_EXCL | 0600) >= 0);
    domain_object_release(object, false);
}

static bool is_there(void) {
    return shmget(KEY, 0, 0) >= 0;
}

static void test_strange_segments(void **state) {
    (void)state;
    struct domain *domain = open_domain();
    struct record record = {.folder = domain->folder, .size = SIZE, .make = true};
    harness_join(harness_fork(leave_record, &record));
    assert_true(is_there());
    domain_close(open_domain());
    assert_false(is_there()); /* the owner's own */
    int id = shmget(KEY, SIZE, IPC_CREAT | IPC_EXCL | 0600);
    assert_true(id >= 0);
    record.make = false;
    harness_join(harness_fork(leave_record, &record));
    domain_close(open_domain());
    assert_true(is_there()); /* another process's, with the same key */
    assert_int_equal(count_files(domain->folder), 0);
    assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
    record.make = true;
    record.size = SIZE - 1;
    harness_join(harness_fork(leave_record, &record));
    domain_close(open_domain());
    assert_true(is_there()); /* another size */
    assert_int_equal(shmctl(shmget(KEY, 0, 0), IPC_RMID, NULL), 0);
    harness_join(harness_fork(leave_record, &record));
    assert_int_equal(shmctl(shmget(KEY, 0, 0), IPC_RMID, NULL), 0);
    domain_close(open_domain()); /* nothing there at all */
    assert_int_equal(count_files(domain->folder), 0);
    domain_close(domain);
}

static const struct harness_test tests[] = {
    {.name = "a segment is used by its id, and leaves nothing", .function = test_made},
    {.name = "a refused segment leaves nothing", .function = test_refused},
    {.name = "keys that others have are left to them", .function = test_taken_keys},
    {.name = "a maker that is killed anywhere leaves nothing for good",
     .function = test_killed_anywhere},
    {.name = "a strange segment with a record's key is left alone",
     .function = test_strange_segments},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, COUNT(tests));
}
