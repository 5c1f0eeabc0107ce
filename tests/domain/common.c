/* SPDX-License-Identifier: MIT
 *
 * What the tests of domains share. */
#include "domain/common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

const struct domain_wish thing = {.kind = "thing", .version = 3, .size = 100};
const struct domain_wish lasting = {.kind = "thing", .version = 3, .size = 100, .stays = true};

void expect_error(int outcome, int error, const char *word) {
    if (outcome != error)
        fail_msg("%d, not %d: %s", outcome, error, error_text());
    if (strstr(error_text(), word) == NULL)
        fail_msg("the sentence does not say \"%s\": %s", word, error_text());
}

void check(int outcome) {
    if (outcome != 0)
        fail_msg("%d: %s", outcome, error_text());
}

int open_folder(const char *path) {
    int folder = open(path != NULL ? path : harness_directory(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder >= 0);
    return folder;
}

struct domain_place place_at(int folder, const char *leaf) {
    static char text[512];
    snprintf(text, sizeof text, "test://%s", leaf);
    return (struct domain_place){.folder = folder, .leaf = leaf, .text = text};
}

struct domain_object *create(int folder, const char *leaf) {
    struct domain_place place = place_at(folder, leaf);
    struct domain_object *object;
    check(domain_object_create(&place, &thing, &object));
    return object;
}

int try_open(int folder, const char *leaf, struct domain_object **ret_object) {
    struct domain_place place = place_at(folder, leaf);
    return domain_object_open(&place, thing.kind, thing.version, 0, ret_object);
}

size_t count_files(int folder) {
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fdopendir(again);
    size_t count = 0;
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            count++;
    closedir(directory);
    return count;
}

bool exists(int folder, const char *leaf) {
    struct stat status;
    return fstatat(folder, leaf, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

void put_file(int folder, const char *leaf, const void *bytes, size_t size) {
    int fd = openat(folder, leaf, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

int bind_socket(int folder, const char *leaf) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char socket_leaf[DOMAIN_LEAF_SIZE];
    domain_socket_leaf(leaf, socket_leaf);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%.60s", folder,
             socket_leaf);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail_msg("binding %s: %s", socket_leaf, strerror(errno));
    return fd;
}

struct owner {
    int folder;
    const char *leaf;
    int ready;
};

static void own(void *context) {
    const struct owner *owner = context;
    create(owner->folder, owner->leaf);
    bind_socket(owner->folder, owner->leaf);
    assert_int_equal(write(owner->ready, "r", 1), 1);
    for (;;)
        pause();
}

pid_t fork_owner(int folder, const char *leaf) {
    int ready[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    struct owner owner = {.folder = folder, .leaf = leaf, .ready = ready[1]};
    pid_t peer = harness_fork(own, &owner);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return peer;
}

void kill_peer(pid_t peer) {
    harness_signal(peer, SIGKILL);
    harness_wait(peer);
}

/* ---- peers that go from system call to system call ---- */

void be_stepped(void) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(1);
    raise(SIGSTOP);
}

bool step(pid_t peer, size_t stops) {
    int status;
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)peer, &info, WEXITED | WSTOPPED | WNOWAIT), 0);
    if (info.si_code == CLD_EXITED) {
        harness_wait(peer);
        harness_skip("ptrace is not permitted");
    }
    assert_int_equal(waitpid(peer, &status, __WALL), peer);
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, peer, NULL, (void *)PTRACE_O_EXITKILL), 0);
    for (size_t i = 0; i < stops; i++) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, peer, NULL, NULL), 0);
        assert_int_equal(waitid(P_PID, (id_t)peer, &info, WEXITED | WSTOPPED | WNOWAIT), 0);
        if (info.si_code == CLD_EXITED || info.si_code == CLD_KILLED) {
            harness_join(peer);
            return false;
        }
        assert_int_equal(waitpid(peer, &status, __WALL), peer);
    }
    return true;
}

void go_on(pid_t peer) {
    assert_int_equal(ptrace(PTRACE_DETACH, peer, NULL, NULL), 0);
    harness_join(peer);
}

/* ---- other users ---- */

struct person {
    uid_t user;
    gid_t group;
    void (*function)(void *context);
    void *context;
};

static void be_person(void *context) {
    const struct person *person = context;
    assert_int_equal(setgroups(1, &person->group), 0);
    assert_int_equal(setresgid(person->group, person->group, person->group), 0);
    assert_int_equal(setresuid(person->user, person->user, person->user), 0);
    person->function(person->context);
}

pid_t fork_as(uid_t user, gid_t group, void (*function)(void *context), void *context) {
    if (geteuid() != 0)
        harness_skip("to be another user takes root");
    assert_int_equal(chmod(harness_directory(), 0755), 0);
    struct person person = {user, group, function, context};
    return harness_fork(be_person, &person);
}

void run_as(uid_t user, gid_t group, void (*function)(void *context), void *context) {
    harness_join(fork_as(user, group, function, context));
}
