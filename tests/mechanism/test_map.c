/* SPDX-License-Identifier: MIT
 *
 * map://: the file of the user's choice, and what may be in its place; shortages of its file
 * system; users. */
#include <chappe/chappe.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "domain/domain.h"
#include "harness/harness.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_MS 30000
#define NOBODY 65534
#define SKIPPED (77 << 8) /* status of a peer that could not do what the test is about */

/* ---- common ---- */

static void check(int outcome) {
    if (outcome < 0)
        fail_msg("%d: %s", outcome, chappe_error());
}

static void expect_error(int outcome, int error, const char *word) {
    if (outcome != error)
        fail_msg("%d, not %d: %s", outcome, error, chappe_error());
    if (strstr(chappe_error(), word) == NULL)
        fail_msg("the sentence does not name \"%s\": %s", word, chappe_error());
}

static const char *address_of(const char *leaf_and_options) {
    static char address[512];
    int length =
        snprintf(address, sizeof address, "map://%s/%s", harness_directory(), leaf_and_options);
    assert_true(length > 0 && (size_t)length < sizeof address);
    return address;
}

static void close_end(chappe_endpoint *endpoint) {
    chappe_undelivered left = {.size = sizeof left};
    check(chappe_close(endpoint, CHAPPE_NOW, &left));
}

/* A message there, and one back. */
static void talk(chappe_endpoint *client, chappe_endpoint *server) {
    chappe_message *message = NULL;
    chappe_token token;
    check(chappe_send(client, "there", 5, NULL, chappe_in_ms(LONG_MS)));
    check(chappe_receive(server, NULL, chappe_in_ms(LONG_MS), &message));
    assert_int_equal(message->size, 5);
    assert_memory_equal(message->data, "there", 5);
    check(chappe_token_of(message, &token));
    chappe_release(message);
    check(chappe_reply(server, &token, "back", 4, NULL, CHAPPE_NOW));
    check(chappe_receive(client, NULL, chappe_in_ms(LONG_MS), &message));
    assert_int_equal(message->size, 4);
    assert_memory_equal(message->data, "back", 4);
    chappe_release(message);
}

static bool is_there(const char *leaf) {
    char path[256];
    struct stat status;
    harness_path(path, sizeof path, leaf);
    return lstat(path, &status) == 0;
}

/* ---- paths ---- */

static void test_paths(void **state) {
    (void)state;
    chappe_endpoint *end = NULL;
    static const char *const wrong[] = {"map://",        "map://file",   "map://~/file",
                                        "map:///tmp/",   "map:///",      "map://./",
                                        "map:///tmp/..", "map:///tmp/.", "map:///tmp/a%00b"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        expect_error(chappe_listen(wrong[i], NULL, CHAPPE_NOW, &end), -EINVAL, "map:");
        expect_error(chappe_open(wrong[i], NULL, CHAPPE_NOW, &end), -EINVAL, "map:");
    }
    char address[512];
    expect_error(chappe_listen(address_of("file?pages=huge"), NULL, CHAPPE_NOW, &end), -EINVAL,
                 "file system");
    expect_error(chappe_listen(address_of("nowhere/file"), NULL, CHAPPE_NOW, &end), -ENOENT,
                 "nowhere");
    expect_error(chappe_open(address_of("nowhere/file"), NULL, CHAPPE_NOW, &end), -ENOENT,
                 "nowhere");
    expect_error(chappe_open(address_of("file"), NULL, CHAPPE_NOW, &end), -ENOENT, "nobody");
    snprintf(address, sizeof address, "map://%s/%0249d", harness_directory(), 1);
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &end), -ENAMETOOLONG, "248");
    /* The longest name, in a long folder, has a socket, too. */
    char folder[256], *leaf = address + strlen("map://");
    harness_path(folder, sizeof folder,
                 "0123456789012345678901234567890123456789012345678901234"
                 "567890123456789012345678901234567890");
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(address, sizeof address, "map://%s/%0240d", folder, 1);
    assert_true(strlen(leaf) > sizeof((struct sockaddr_un *)NULL)->sun_path);
    chappe_endpoint *client = NULL;
    check(chappe_listen(address, NULL, CHAPPE_NOW, &end));
    check(chappe_open(address, NULL, CHAPPE_NOW, &client));
    talk(client, end);
    close_end(client);
    close_end(end);
    assert_int_equal(rmdir(folder), 0); /* it is empty again */
}

static void test_relative(void **state) {
    (void)state;
    chappe_endpoint *server = NULL, *client = NULL;
    assert_int_equal(chdir(harness_directory()), 0);
    check(chappe_listen("map://./here?ring=64K", NULL, CHAPPE_NOW, &server));
    check(chappe_open(address_of("here"), NULL, CHAPPE_NOW, &client));
    assert_int_equal(chdir("/"), 0); /* the folder was looked up once */
    talk(client, server);
    close_end(client);
    close_end(server);
    assert_false(is_there("here"));
    assert_false(is_there("here.socket"));
}

/* ---- what may be in the place of the file ---- */

enum thing { FOLDER, LINK, DANGLING_LINK, FIFO, SOCKET, EMPTY, TEXT, ALMOST, THINGS };

static void make(enum thing thing, const char *path) {
    static const char almost[4096] = "chappe\x1a\x02 but not quite";
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char other[300];
    int fd = -1;
    snprintf(other, sizeof other, "%s-other", path);
    switch (thing) {
    case FOLDER:
        assert_int_equal(mkdir(path, 0700), 0);
        break;
    case LINK:
        fd = open(other, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        assert_int_equal(symlink(other, path), 0);
        break;
    case DANGLING_LINK:
        assert_int_equal(symlink("/nonexistent/chappe", path), 0);
        break;
    case FIFO:
        assert_int_equal(mkfifo(path, 0600), 0);
        break;
    case SOCKET:
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        snprintf(name.sun_path, sizeof name.sun_path, "%.100s", path);
        assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
        break;
    default:
        fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        if (thing == TEXT)
            assert_int_equal(write(fd, "my letters\n", 11), 11);
        if (thing == ALMOST)
            assert_int_equal(write(fd, almost, sizeof almost), sizeof almost);
    }
    if (fd >= 0)
        close(fd);
}

/* It is left alone, and whoever asks for it does not hang. */
static void test_squatted(void **state) {
    (void)state;
    char path[256];
    struct stat before, after;
    chappe_endpoint *end = NULL;
    harness_path(path, sizeof path, "file");
    for (enum thing thing = FOLDER; thing < THINGS; thing++) {
        make(thing, path);
        assert_int_equal(lstat(path, &before), 0);
        size_t descriptors = harness_count_descriptors();
        int outcome = chappe_listen(address_of("file"), NULL, CHAPPE_NOW, &end);
        if (outcome != -EEXIST)
            fail_msg("thing %d: listening answers %d: %s", (int)thing, outcome, chappe_error());
        outcome = chappe_open(address_of("file"), NULL, CHAPPE_NOW, &end);
        if (outcome != -EEXIST)
            fail_msg("thing %d: opening answers %d: %s", (int)thing, outcome, chappe_error());
        assert_int_equal(harness_count_descriptors(), descriptors);
        assert_int_equal(lstat(path, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(before.st_size, after.st_size);
        assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
        assert_int_equal(thing == FOLDER ? rmdir(path) : unlink(path), 0);
        assert_false(is_there("file.socket"));
    }
}

/* PATH.socket is somebody else's: it is not taken from the living, nor is a file lost. */
static void test_socket_squatted(void **state) {
    (void)state;
    char path[256];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    chappe_endpoint *end = NULL;
    harness_path(path, sizeof path, "file.socket");
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "letters", 7), 7);
    int outcome = chappe_listen(address_of("file"), NULL, CHAPPE_NOW, &end);
    if (outcome != -EEXIST && outcome != -EADDRINUSE)
        fail_msg("listening answers %d: %s", outcome, chappe_error());
    assert_true(is_there("file.socket"));
    assert_false(is_there("file"));
    close(fd);
    assert_int_equal(unlink(path), 0);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    snprintf(name.sun_path, sizeof name.sun_path, "%.100s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, 4), 0);
    expect_error(chappe_listen(address_of("file"), NULL, CHAPPE_NOW, &end), -EADDRINUSE, "file");
    assert_true(is_there("file.socket"));
    assert_false(is_there("file"));
    close(fd); /* the dead one's is taken over */
    check(chappe_listen(address_of("file"), NULL, CHAPPE_NOW, &end));
    close_end(end);
    assert_false(is_there("file.socket"));
}

static void own_other_version(void *context) {
    int folder = open(harness_directory(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct domain_place place = {.folder = folder, .leaf = "file", .text = "test://"};
    const struct domain_wish wish = {.kind = "map", .version = 2, .size = 64};
    struct domain_object *object = NULL;
    assert_int_equal(domain_object_create(&place, &wish, &object), 0);
    assert_int_equal(write(*(int *)context, "", 1), 1);
    for (;;)
        pause();
}

static void test_other_version(void **state) {
    (void)state;
    int ends[2];
    char byte;
    chappe_endpoint *end = NULL;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t owner = harness_fork(own_other_version, &ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    expect_error(chappe_open(address_of("file"), NULL, CHAPPE_NOW, &end), -EPROTO, "version 2");
    assert_int_equal(chappe_listen(address_of("file"), NULL, CHAPPE_NOW, &end), -EADDRINUSE);
    harness_signal(owner, SIGKILL);
    harness_wait(owner);
    check(chappe_listen(address_of("file"), NULL, CHAPPE_NOW, &end));
    close_end(end);
    assert_false(is_there("file"));
}

/* The file goes away under a server, or another one takes its place: those who are connected
 * go on, and the server's end removes nothing that is not its own. */
static void test_removed(void **state) {
    (void)state;
    char path[256];
    chappe_endpoint *server = NULL, *client = NULL;
    harness_path(path, sizeof path, "file");
    check(chappe_listen(address_of("file"), NULL, CHAPPE_NOW, &server));
    check(chappe_open(address_of("file"), NULL, CHAPPE_NOW, &client));
    talk(client, server);
    assert_int_equal(unlink(path), 0);
    make(TEXT, path);
    talk(client, server);
    close_end(client);
    close_end(server);
    assert_true(is_there("file"));
}

/* ---- users ---- */

static void become_nobody(void) {
    assert_int_equal(setgroups(0, NULL), 0);
    assert_int_equal(setgid(NOBODY), 0);
    assert_int_equal(setuid(NOBODY), 0);
}

struct visit {
    char address[512];
    int outcome;
};

static void visit_as_nobody(void *context) {
    const struct visit *visit = context;
    chappe_endpoint *client = NULL;
    chappe_message *message = NULL;
    become_nobody();
    int outcome = chappe_open(visit->address, NULL, CHAPPE_NOW, &client);
    if (outcome != visit->outcome)
        fail_msg("opening: %d, not %d: %s", outcome, visit->outcome, chappe_error());
    if (client == NULL)
        return;
    outcome = chappe_request(client, "nobody", 6, NULL, chappe_in_ms(LONG_MS), &message);
    if (outcome == 0)
        chappe_release(message);
    close_end(client);
}

static void test_users(void **state) {
    (void)state;
    if (geteuid() != 0)
        harness_skip("becoming another user needs root");
    assert_int_equal(chmod(harness_directory(), 0755), 0);
    struct visit visit = {.outcome = -EACCES};
    chappe_endpoint *server = NULL;
    chappe_message *message = NULL;
    snprintf(visit.address, sizeof visit.address, "%s", address_of("file"));
    check(chappe_listen(visit.address, NULL, CHAPPE_NOW, &server));
    struct stat status;
    char path[256];
    harness_path(path, sizeof path, "file");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    harness_join(harness_fork(visit_as_nobody, &visit));
    assert_int_equal(chappe_receive(server, NULL, CHAPPE_NOW, &message), -EAGAIN);
    close_end(server);
    /* The folder does not let them in. */
    assert_int_equal(chmod(harness_directory(), 0700), 0);
    check(chappe_listen(address_of("file?mode=0666"), NULL, CHAPPE_NOW, &server));
    harness_join(harness_fork(visit_as_nobody, &visit));
    close_end(server);
}

/* ---- shortages ---- */

static void fill_small_folder(void *context) {
    (void)context;
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", harness_directory(), "tmpfs", 0, "size=256k,mode=0700") < 0)
        _exit(77);
    chappe_endpoint *server = NULL, *client = NULL, *other = NULL;
    chappe_message *message = NULL;
    check(chappe_listen(address_of("file"), NULL, CHAPPE_NOW, &server));
    size_t descriptors = harness_count_descriptors();
    expect_error(chappe_open(address_of("file?ring=1M"), NULL, CHAPPE_NOW, &client), -ENOSPC,
                 "file system");
    assert_int_equal(harness_count_descriptors(), descriptors);
    check(chappe_open(address_of("file"), NULL, CHAPPE_NOW, &client));
    for (uint64_t i = 0, received = 0; received < 20000;) {
        if (chappe_send(client, &i, sizeof i, NULL, CHAPPE_NOW) == 0) {
            i++;
            continue;
        }
        do {
            check(chappe_receive(server, NULL, chappe_in_ms(LONG_MS), &message));
            assert_memory_equal(message->data, &received, 8);
            chappe_release(message);
        } while (++received < i);
    }
    /* A body that the file system has no room for. */
    static uint8_t bytes[600000];
    int outcome = chappe_send(client, bytes, sizeof bytes, NULL, chappe_in_ms(100));
    if (outcome < 0 && outcome != -ENOSPC && outcome != -ETIMEDOUT)
        fail_msg("600,000 bytes: %d: %s", outcome, chappe_error());
    if (outcome == 0) {
        check(chappe_receive(server, NULL, chappe_in_ms(LONG_MS), &message));
        assert_int_equal(message->size, sizeof bytes);
        chappe_release(message);
    }
    char path[256];
    harness_path(path, sizeof path, "full");
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    static const char zeros[4096];
    while (write(file, zeros, sizeof zeros) > 0)
        ;
    expect_error(chappe_listen(address_of("second"), NULL, CHAPPE_NOW, &other), -ENOSPC,
                 "file system");
    expect_error(chappe_open(address_of("file"), NULL, CHAPPE_NOW, &other), -ENOSPC, "map:");
    assert_false(is_there("second"));
    talk(client, server);
    close_end(client);
    close_end(server);
    close(file);
}

static void test_full(void **state) {
    (void)state;
    int status = harness_wait(harness_fork(fill_small_folder, NULL));
    if (status == SKIPPED)
        harness_skip("mounting a small file system takes root");
    assert_int_equal(status, 0);
}

static void become_reader(void *context) {
    (void)context;
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", harness_directory(), "tmpfs", MS_RDONLY, "size=64k,mode=0700") < 0)
        _exit(77);
    chappe_endpoint *end = NULL;
    expect_error(chappe_listen(address_of("file"), NULL, CHAPPE_NOW, &end), -EROFS, "map:");
    expect_error(chappe_open(address_of("file"), NULL, CHAPPE_NOW, &end), -ENOENT, "map:");
}

static void test_read_only(void **state) {
    (void)state;
    int status = harness_wait(harness_fork(become_reader, NULL));
    if (status == SKIPPED)
        harness_skip("mounting a file system takes root");
    assert_int_equal(status, 0);
}

static const struct harness_test tests[] = {
    {.name = "paths", .function = test_paths},
    {.name = "a path from here", .function = test_relative},
    {.name = "something else is at the path", .function = test_squatted},
    {.name = "something else is at the socket's path", .function = test_socket_squatted},
    {.name = "an object of another version", .function = test_other_version},
    {.name = "a file that is removed", .function = test_removed},
    {.name = "users", .function = test_users},
    {.name = "a full file system", .function = test_full},
    {.name = "a file system for reading", .function = test_read_only},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, COUNT(tests));
}
