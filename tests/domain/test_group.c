/* SPDX-License-Identifier: MIT
 *
 * Domains that the members of a group share. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "domain/common.h"

#define ANNA 61011
#define BORIS 61012
#define CARLA 61013
#define GROUP 61020
#define OTHERS 61021

static char path[512];

static const char *path_of(const char *name) {
    harness_path(path, sizeof path, name);
    return path;
}

static struct domain *open_shared(void) {
    struct domain *domain;
    check(domain_open(path, NULL, &domain));
    assert_true(domain->shared);
    assert_int_equal(domain->mode, 0660);
    assert_int_equal(domain->group, GROUP);
    return domain;
}

static void create_shared(void *context) {
    (void)context;
    check(domain_create(path, 02770, GROUP));
}

/* A folder that its user may make the domain in. */
static void prepare(void) {
    if (geteuid() != 0)
        harness_skip("to be another user takes root");
    assert_int_equal(mkdir(path_of("room"), 0755), 0);
    assert_int_equal(chown(path, ANNA, GROUP), 0);
    path_of("room/d");
}

/* ---- making one ---- */

static void test_made(void **state) {
    (void)state;
    struct stat status;
    prepare();
    for (int i = 0; i < 2; i++) { /* again is success */
        run_as(ANNA, GROUP, create_shared, NULL);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 02770);
        assert_int_equal(status.st_uid, ANNA);
        assert_int_equal(status.st_gid, GROUP);
    }
    expect_error(domain_create(path, 02770, GROUP), -EPERM, "belongs to user 61011");
}

static void test_private(void **state) {
    (void)state;
    struct stat status;
    struct domain *domain;
    for (int i = 0; i < 2; i++) {
        check(domain_create(path_of("d"), i == 0 ? 0 : 0700, 0));
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0700);
    }
    check(domain_open(path, NULL, &domain));
    domain_close(domain);
}

static void test_bad_modes(void **state) {
    (void)state;
    static const mode_t modes[] = {0777, 0750, 01777, 0600, 0660, 04770, 0100700, 1};
    for (size_t i = 0; i < COUNT(modes); i++) {
        expect_error(domain_create(path_of("d"), modes[i], 0), -EINVAL, "2770");
        assert_int_equal(access(path, F_OK), -1);
    }
}

static void test_something_there(void **state) {
    (void)state;
    assert_int_equal(mkdir(path_of("d"), 0700), 0);
    int folder = open_folder(path);
    put_file(folder, "mine", "x", 1);
    expect_error(domain_create(path, 02770, getegid()), -EEXIST, "not empty");
    assert_int_equal(unlinkat(folder, "mine", 0), 0);
    assert_int_equal(chmod(path, 0755), 0);
    expect_error(domain_create(path, 02770, getegid()), -EEXIST, "mode 0755");
    expect_error(domain_create(path, 0700, 0), -EEXIST, "mode 0755");
    close(folder);
}

static void create_for_others(void *context) {
    (void)context;
    expect_error(domain_create(path, 02770, OTHERS), -EPERM, "group 61021");
}

static void test_not_a_member(void **state) {
    (void)state;
    prepare();
    run_as(ANNA, GROUP, create_for_others, NULL);
    run_as(ANNA, GROUP, create_shared, NULL); /* what was half made goes on */
}

static void test_another_group(void **state) {
    (void)state;
    if (geteuid() != 0)
        harness_skip("to have any group takes root");
    check(domain_create(path_of("d"), 02770, GROUP));
    expect_error(domain_create(path, 02770, OTHERS), -EEXIST, "group 61020");
    expect_error(domain_create(path, 0700, 0), -EEXIST, "mode 2770");
}

static void create_and_exit(void *context) {
    be_stepped();
    create_shared(context);
    _exit(0);
}

/* While it is half made nobody else can enter; the next call finishes it. */
static void test_killed_anywhere(void **state) {
    (void)state;
    struct stat status;
    size_t kills = 0;
    prepare();
    for (bool killed = true; killed; kills += killed) {
        pid_t victim = fork_as(ANNA, GROUP, create_and_exit, NULL);
        killed = step(victim, kills);
        if (killed)
            kill_peer(victim);
        if (stat(path, &status) == 0 && (status.st_mode & 07777) != 02770)
            assert_int_equal(status.st_mode & 0077, 0);
        run_as(ANNA, GROUP, create_shared, NULL);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 02770);
        int folder = open_folder(path);
        assert_int_equal(count_files(folder), 1);
        assert_int_equal(unlinkat(folder, "domain", 0), 0);
        close(folder);
        assert_int_equal(rmdir(path), 0);
    }
    print_message("%zu kills\n", kills);
    assert_true(kills > 60);
}

/* ---- using one ---- */

static void own_for_ever(void *context) {
    const int *ready = context;
    struct domain *domain = open_shared();
    struct domain_place place = place_at(domain->folder, "thing.a");
    struct domain_wish wish = thing;
    struct domain_object *object;
    umask(0077);
    wish.mode = domain->mode;
    check(domain_object_create(&place, &wish, &object));
    strcpy(object->body, "of Anna");
    bind_socket(domain->folder, "thing.a");
    assert_int_equal(write(*ready, "r", 1), 1);
    for (;;)
        pause();
}

static void use_annas(void *context) {
    (void)context;
    struct domain *domain = open_shared();
    struct domain_place place = place_at(domain->folder, "thing.a");
    struct domain_object *object, *second;
    check(try_open(domain->folder, "thing.a", &object));
    assert_string_equal(object->body, "of Anna");
    assert_true(domain_object_is_alive(object));
    expect_error(domain_object_create(&place, &thing, &second), -EADDRINUSE, "user 61011");
    domain_object_release(object, true);
    domain_close(domain);
}

static void take_over_annas(void *context) {
    (void)context;
    struct domain *domain;
    check(domain_look(path, NULL, &domain)); /* which sweeps nothing */
    assert_true(exists(domain->folder, "thing.a"));
    struct domain_object *object = create(domain->folder, "thing.a");
    close(bind_socket(domain->folder, "thing.a"));
    domain_object_release(object, true);
    assert_int_equal(count_files(domain->folder), 1);
    domain_close(domain);
}

static void sweep_annas(void *context) {
    (void)context;
    struct domain *domain = open_shared();
    assert_int_equal(count_files(domain->folder), 1);
    domain_close(domain);
}

static pid_t fork_anna(void) {
    int ready[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t anna = fork_as(ANNA, GROUP, own_for_ever, &ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return anna;
}

static void test_two_users(void **state) {
    (void)state;
    prepare();
    run_as(ANNA, GROUP, create_shared, NULL);
    for (int i = 0; i < 2; i++) {
        pid_t anna = fork_anna();
        run_as(BORIS, GROUP, use_annas, NULL);
        kill_peer(anna);
        run_as(BORIS, GROUP, i == 0 ? take_over_annas : sweep_annas, NULL);
    }
}

static void expect_no_entry(void *context) {
    (void)context;
    struct domain *domain = NULL;
    expect_error(domain_open(path, NULL, &domain), -EACCES, path);
}

static void test_stranger(void **state) {
    (void)state;
    prepare();
    run_as(ANNA, GROUP, create_shared, NULL);
    run_as(CARLA, OTHERS, expect_no_entry, NULL);
}

static void make_closed(void *context) {
    (void)context;
    struct domain *domain = open_shared();
    domain_object_release(create(domain->folder, "thing.a"), false); /* mode 0600 */
    domain_close(domain);
}

static void expect_closed(void *context) {
    (void)context;
    struct domain *domain = open_shared();
    struct domain_place place = place_at(domain->folder, "thing.a");
    struct domain_object *object = NULL;
    expect_error(domain_object_create(&place, &thing, &object), -EACCES, "user 61011, with mode");
    expect_error(try_open(domain->folder, "thing.a", &object), -EACCES, "user 61011, with mode");
    assert_null(object);
    domain_close(domain);
}

/* What is one member's alone cannot be judged by another. */
static void test_closed_object(void **state) {
    (void)state;
    prepare();
    run_as(ANNA, GROUP, create_shared, NULL);
    run_as(ANNA, GROUP, make_closed, NULL);
    run_as(BORIS, GROUP, expect_closed, NULL);
}

static void expect_unsafe(void *context) {
    struct domain *domain = NULL;
    expect_error(domain_open(path, NULL, &domain), -EPERM, context);
}

static void replace_domain_file(void *context) {
    (void)context;
    struct domain *domain = open_shared();
    char image[512];
    int fd = openat(domain->folder, "domain", O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, image, sizeof image);
    assert_true(size > 0);
    close(fd);
    assert_int_equal(unlinkat(domain->folder, "domain", 0), 0);
    put_file(domain->folder, "domain", image, (size_t)size);
    domain_close(domain);
}

static void test_tampered(void **state) {
    (void)state;
    prepare();
    run_as(ANNA, GROUP, create_shared, NULL);
    assert_int_equal(chmod(path, 02777), 0);
    run_as(BORIS, GROUP, expect_unsafe, (void *)(uintptr_t) "mode 2777");
    assert_int_equal(chmod(path, 0770), 0);
    run_as(BORIS, GROUP, expect_unsafe, (void *)(uintptr_t) "mode 0770");
    assert_int_equal(chown(path, ANNA, OTHERS), 0);
    assert_int_equal(chmod(path, 02777), 0);
    run_as(BORIS, GROUP, expect_unsafe, (void *)(uintptr_t) "group 61021");
    assert_int_equal(chown(path, ANNA, GROUP), 0);
    assert_int_equal(chmod(path, 02770), 0);
    run_as(BORIS, GROUP, replace_domain_file, NULL); /* not its owner's word any more */
    run_as(BORIS, GROUP, expect_unsafe, (void *)(uintptr_t) "chappe domain create");
}

static const struct harness_test tests[] = {
    {.name = "a shared domain is made, and again", .function = test_made},
    {.name = "a domain of one user", .function = test_private},
    {.name = "other modes are refused", .function = test_bad_modes},
    {.name = "something else there is refused", .function = test_something_there},
    {.name = "only members give a folder to a group", .function = test_not_a_member},
    {.name = "a domain of another group is refused", .function = test_another_group},
    {.name = "a call that was killed anywhere is finished by the next",
     .function = test_killed_anywhere},
    {.name = "two users share objects and take names over", .function = test_two_users},
    {.name = "others cannot enter", .function = test_stranger},
    {.name = "an object that is one user's alone", .function = test_closed_object},
    {.name = "a folder that was changed by force is refused", .function = test_tampered},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, COUNT(tests));
}
