/* SPDX-License-Identifier: MIT
 *
 * The folder of a domain: which one it is, and when it is not safe. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "domain/common.h"

#define USER 61001
#define GROUP 61001

static char path[512];

static const char *path_of(const char *name) {
    harness_path(path, sizeof path, name);
    return path;
}

static unsigned mode_of(const char *of) {
    struct stat status;
    assert_int_equal(lstat(of, &status), 0);
    return status.st_mode & 07777;
}

static void make_folder(const char *name, mode_t mode, uid_t owner) {
    assert_int_equal(mkdir(path_of(name), 0700), 0);
    assert_int_equal(chmod(path, mode), 0);
    if (owner != 0)
        assert_int_equal(chown(path, owner, (gid_t)owner), 0);
}

static void check_opens(const char *where) {
    struct domain *domain;
    check(domain_open(where, NULL, &domain));
    assert_false(domain->shared);
    assert_int_equal(domain->mode, 0600);
    domain_object_release(create(domain->folder, "a"), true);
    domain_close(domain);
}

static void check_refused(const char *where, int error, const char *word) {
    struct domain *domain = NULL;
    expect_error(domain_open(where, "shm://plant", &domain), error, word);
    expect_error(domain_open(where, "shm://plant", &domain), error, "shm://plant");
    assert_null(domain);
}

/* ---- made when it is needed ---- */

static void test_made(void **state) {
    (void)state;
    struct domain *domain = NULL;
    size_t descriptors = harness_count_descriptors();
    expect_error(domain_look(path_of("d"), NULL, &domain), -ENOENT, path);
    assert_null(domain);
    check_opens(path_of("d"));
    assert_int_equal(mode_of(path), 0700);
    check_opens(path);
    strcat(path, "//");
    check_opens(path);
    check(domain_look(path, NULL, &domain));
    assert_string_equal(domain->path, path_of("d"));
    domain_close(domain);
    domain_close(NULL);
    assert_int_equal(harness_count_descriptors(), descriptors);
    expect_error(domain_open(path_of("no/d"), NULL, &domain), -ENOENT, path);
    expect_error(domain_open("", NULL, &domain), -EINVAL, "empty");
    char longest[PATH_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[PATH_MAX + 1] = '\0';
    expect_error(domain_open(longest, "t", &domain), -ENAMETOOLONG, "4095");
}

static void test_variable(void **state) {
    (void)state;
    struct domain *domain = NULL;
    assert_int_equal(setenv("CHAPPE_DOMAIN", path_of("d"), 1), 0);
    check(domain_open(NULL, NULL, &domain));
    assert_string_equal(domain->path, path);
    domain_close(domain);
    assert_int_equal(setenv("CHAPPE_DOMAIN", "here", 1), 0);
    expect_error(domain_open(NULL, NULL, &domain), -EINVAL, "CHAPPE_DOMAIN=here");
    assert_int_equal(setenv("CHAPPE_DOMAIN", "here", 1), 0);
    check_opens(path); /* a path that is given counts more */
}

static void open_default(void *context) {
    const char *expected = context;
    struct domain *domain = NULL;
    unsetenv("CHAPPE_DOMAIN");
    umask(0777);
    check(domain_open(NULL, NULL, &domain));
    assert_string_equal(domain->path, expected);
    domain_object_release(create(domain->folder, "a"), true);
    domain_close(domain);
}

static void test_default(void **state) {
    (void)state;
    char expected[64];
    struct stat status;
    snprintf(expected, sizeof expected, "/dev/shm/chappe-%d", USER);
    rmdir(expected);
    run_as(USER, GROUP, open_default, expected);
    assert_int_equal(mode_of(expected), 0700); /* whatever the umask */
    assert_int_equal(lstat(expected, &status), 0);
    assert_int_equal(status.st_uid, USER);
    run_as(USER, GROUP, open_default, expected);
    assert_int_equal(rmdir(expected), 0);
}

/* Opening it removes what the dead left there; looking does not. */
static void test_opening_sweeps(void **state) {
    (void)state;
    struct domain *domain;
    check(domain_open(path_of("d"), NULL, &domain));
    kill_peer(fork_owner(domain->folder, "thing.a"));
    assert_int_equal(count_files(domain->folder), 2);
    domain_close(domain);
    check(domain_look(path, NULL, &domain));
    assert_int_equal(count_files(domain->folder), 2);
    domain_close(domain);
    check(domain_open(path, NULL, &domain));
    assert_int_equal(count_files(domain->folder), 0);
    domain_close(domain);
}

/* ---- not safe ---- */

static void expect_squatted(void *context) {
    (void)context;
    unsetenv("CHAPPE_DOMAIN");
    check_refused(NULL, -EPERM, "belongs to user 0");
    check_refused(NULL, -EPERM, "/dev/shm/chappe-61001");
}

static void expect_link(void *context) {
    (void)context;
    unsetenv("CHAPPE_DOMAIN");
    check_refused(NULL, -ENOTDIR, "link");
}

static void expect_closed(void *context) {
    (void)context;
    unsetenv("CHAPPE_DOMAIN");
    check_refused(NULL, -EACCES, "/dev/shm/chappe-61001");
}

static void test_squatted_default(void **state) {
    (void)state;
    char squatted[64];
    if (geteuid() != 0)
        harness_skip("to be another user takes root");
    snprintf(squatted, sizeof squatted, "/dev/shm/chappe-%d", USER);
    assert_int_equal(mkdir(squatted, 0755), 0);
    run_as(USER, GROUP, expect_squatted, NULL);
    assert_int_equal(chmod(squatted, 0700), 0);
    run_as(USER, GROUP, expect_closed, NULL);
    assert_int_equal(rmdir(squatted), 0);
    make_folder("mine", 0700, USER);
    assert_int_equal(symlink(path_of("mine"), squatted), 0);
    run_as(USER, GROUP, expect_link, NULL);
    assert_int_equal(unlink(squatted), 0);
    int fd = open(squatted, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    close(fd);
    run_as(USER, GROUP, expect_link, NULL);
    assert_int_equal(unlink(squatted), 0);
}

static void test_others_may_write(void **state) {
    (void)state;
    static const mode_t modes[] = {0770, 0702, 0777, 01777, 02770, 0722};
    for (size_t i = 0; i < COUNT(modes); i++) {
        make_folder("d", modes[i], 0);
        check_refused(path_of("d"), -EPERM, "chappe domain create");
        assert_int_equal(rmdir(path), 0);
    }
    make_folder("d", 0755, 0); /* they may only see that it is there */
    check_opens(path_of("d"));
}

static void test_links_and_files(void **state) {
    (void)state;
    char link[512];
    make_folder("d", 0700, 0);
    harness_path(link, sizeof link, "link");
    assert_int_equal(symlink(path_of("d"), link), 0);
    check_refused(link, -ENOTDIR, "link");
    strcat(link, "/");
    check_refused(link, -ENOTDIR, "link");
    int fd = open(path_of("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    check_refused(path, -ENOTDIR, "no folder");
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    check_refused(path, -ENOTDIR, "no folder");
}

static void test_parent(void **state) {
    (void)state;
    make_folder("parent", 0777, 0);
    check_refused(path_of("parent/d"), -EPERM, "everybody may rename it");
    assert_int_equal(chmod(path_of("parent"), 01777), 0);
    check_opens(path_of("parent/d"));
}

static void test_of_another_user(void **state) {
    (void)state;
    if (geteuid() != 0)
        harness_skip("to be another user takes root");
    make_folder("d", 0700, USER);
    check_refused(path_of("d"), -EPERM, "belongs to user 61001, not to user 0");
}

static const struct harness_test tests[] = {
    {.name = "a folder is made when it is first needed", .function = test_made},
    {.name = "CHAPPE_DOMAIN names another folder", .function = test_variable},
    {.name = "the default is of one user, whatever the umask", .function = test_default},
    {.name = "opening removes what the dead left", .function = test_opening_sweeps},
    {.name = "a default that somebody squats is refused", .function = test_squatted_default},
    {.name = "a folder that others may write to is refused", .function = test_others_may_write},
    {.name = "links and files are no folders", .function = test_links_and_files},
    {.name = "a folder that everybody may rename is refused", .function = test_parent},
    {.name = "another user's folder is refused", .function = test_of_another_user},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, COUNT(tests));
}
