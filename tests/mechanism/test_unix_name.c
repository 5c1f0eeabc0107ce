/* SPDX-License-Identifier: MIT
 *
 * Names of Unix sockets: who may have one, who loses it, and what they look like. */
#include <chappe/chappe.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness/harness.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_MS 20000
#define RACERS 100

static void expect_error(int outcome, int error, const char *word) {
    if (outcome != error)
        fail_msg("%d, not %d: %s", outcome, error, chappe_error());
    if (strstr(chappe_error(), word) == NULL)
        fail_msg("the sentence does not name \"%s\": %s", word, chappe_error());
}

static void check(int outcome) {
    if (outcome != 0)
        fail_msg("%d: %s", outcome, chappe_error());
}

static const char *const types[] = {"stream", "seqpacket", "datagram"};

/* unix://DIRECTORY/name?type=TYPE */
static void make_address(char address[512], const char *name, const char *type) {
    snprintf(address, 512, "unix://%s/%s?type=%s", harness_directory(), name, type);
}

static bool exists(const char *name) {
    char path[512];
    struct stat status;
    harness_path(path, sizeof path, name);
    return lstat(path, &status) == 0;
}

/* A server and one message through it. */
static void check_works(const char *address) {
    chappe_endpoint *server, *client;
    chappe_message *message;
    check(chappe_listen(address, NULL, CHAPPE_NOW, &server));
    check(chappe_open(address, NULL, CHAPPE_NOW, &client));
    check(chappe_send(client, "x", 1, NULL, CHAPPE_NOW));
    check(chappe_receive(server, NULL, chappe_in_ms(LONG_MS), &message));
    chappe_release(message);
    check(chappe_close(client, CHAPPE_NOW, NULL));
    check(chappe_close(server, CHAPPE_NOW, NULL));
}

/* ---- servers that live, and servers that were killed ---- */

struct start {
    const char *address;
    int told;        /* gets one byte: 'w' for won, 'l' for lost */
    const int *hold; /* a pipe: the winner lives until it ends */
};

static void start_server(void *context) {
    const struct start *start = context;
    chappe_endpoint *server = NULL;
    char byte;
    int outcome = chappe_listen(start->address, NULL, CHAPPE_NOW, &server);
    if (outcome != 0) {
        expect_error(outcome, -EADDRINUSE, "living");
        assert_int_equal(write(start->told, "l", 1), 1);
        return;
    }
    assert_int_equal(write(start->told, "w", 1), 1);
    close(start->hold[1]);
    assert_int_equal(read(start->hold[0], &byte, 1), 0);
    check(chappe_close(server, CHAPPE_NOW, NULL));
}

static void test_killed(void **state) {
    const char *type = *state;
    char address[512], byte;
    int told[2], hold[2];
    make_address(address, "name", type);
    assert_int_equal(pipe2(told, O_CLOEXEC) | pipe2(hold, O_CLOEXEC), 0);
    for (int i = 0; i < 3; i++) {
        struct start start = {.address = address, .told = told[1], .hold = hold};
        pid_t server = harness_fork(start_server, &start);
        assert_int_equal(read(told[0], &byte, 1), 1);
        assert_int_equal(byte, 'w');
        chappe_endpoint *second = NULL;
        expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &second), -EADDRINUSE, address);
        assert_null(second);
        harness_signal(server, SIGKILL);
        harness_wait(server);
        assert_true(exists("name") && exists("name.lock"));
        expect_error(chappe_open(address, NULL, CHAPPE_NOW, &second), -ECONNREFUSED, address);
        if (i > 0)
            check_works(address); /* its socket is taken over */
    }
    check_works(address);
    assert_false(exists("name"));
    assert_false(exists("name.lock"));
    for (int i = 0; i < 2; i++) {
        close(told[i]);
        close(hold[i]);
    }
}

/* Starts everybody at once. Result: how many won. */
static size_t race(const char *address, pid_t *racers, pid_t dying) {
    int told[2], hold[2];
    size_t won = 0;
    char byte;
    assert_int_equal(pipe2(told, O_CLOEXEC) | pipe2(hold, O_CLOEXEC), 0);
    for (size_t i = 0; i < RACERS; i++) {
        struct start start = {.address = address, .told = told[1], .hold = hold};
        racers[i] = harness_fork(start_server, &start);
        if (i == RACERS / 4 && dying > 0)
            harness_signal(dying, SIGKILL);
    }
    for (size_t i = 0; i < RACERS; i++) {
        assert_int_equal(read(told[0], &byte, 1), 1);
        won += byte == 'w';
    }
    for (int i = 0; i < 2; i++) {
        close(told[i]);
        close(hold[i]);
    }
    return won;
}

static void live_until_killed(void *context) {
    const struct start *start = context;
    chappe_endpoint *server;
    check(chappe_listen(start->address, NULL, CHAPPE_NOW, &server));
    assert_int_equal(write(start->told, "w", 1), 1);
    for (;;)
        pause();
}

static void test_race(void **state) {
    const char *type = *state;
    char address[512], byte;
    pid_t racers[RACERS];
    make_address(address, "name", type);
    for (int round = 0; round < 4; round++) {
        pid_t dying = 0;
        int told[2];
        assert_int_equal(pipe2(told, O_CLOEXEC), 0);
        if (round % 2 == 1) { /* with a server that is killed in the middle */
            struct start start = {.address = address, .told = told[1]};
            dying = harness_fork(live_until_killed, &start);
            assert_int_equal(read(told[0], &byte, 1), 1);
        }
        size_t won = race(address, racers, dying);
        if (dying > 0) {
            harness_wait(dying);
            assert_in_range(won, 0, 1); /* all may have come while it lived */
        } else {
            assert_int_equal(won, 1);
        }
        for (size_t i = 0; i < RACERS; i++)
            harness_join(racers[i]);
        close(told[0]);
        close(told[1]);
    }
    check_works(address);
}

/* ---- foreign programs under the name ---- */

static int bind_foreign(const char *name, int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    harness_path(address.sun_path, sizeof address.sun_path, name);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    if (type != SOCK_DGRAM)
        assert_int_equal(listen(fd, 0), 0);
    return fd;
}

static void test_foreign(void **state) {
    (void)state;
    static const int kinds[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    for (size_t i = 0; i < COUNT(kinds); i++)
        for (size_t j = 0; j < COUNT(types); j++) {
            char address[512], path[512];
            chappe_endpoint *server = NULL;
            int foreign = bind_foreign("foreign", kinds[i]);
            make_address(address, "foreign", types[j]);
            for (int again = 0; again < 3; again++) /* its backlog is full after the first */
                expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &server), -EADDRINUSE,
                             address);
            assert_null(server);
            assert_true(exists("foreign"));
            assert_false(exists("foreign.lock"));
            close(foreign);
            assert_true(exists("foreign"));
            check_works(address); /* it is dead: taken over */
            assert_false(exists("foreign"));
            harness_path(path, sizeof path, "foreign");
        }
}

static void test_not_a_socket(void **state) {
    (void)state;
    char address[512], path[512], content[8] = "";
    chappe_endpoint *endpoint = NULL;
    make_address(address, "file", "stream");
    harness_path(path, sizeof path, "file");
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(file, "kept", 4), 4);
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &endpoint), -EEXIST, address);
    assert_int_equal(pread(file, content, sizeof content, 0), 4);
    assert_string_equal(content, "kept");
    assert_true(exists("file"));
    assert_false(exists("file.lock"));
    close(file);
    make_address(address, "missing/name", "stream");
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &endpoint), -ENOENT, "missing");
    make_address(address, "file/name", "stream");
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &endpoint), -ENOTDIR, "file");
    make_address(address, "", "stream");
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &endpoint), -EINVAL, "folder");
    assert_null(endpoint);
}

/* Somebody removed the socket by force and serves the name himself: his is left alone. */
static void test_replaced(void **state) {
    (void)state;
    char address[512], path[512];
    chappe_endpoint *server;
    make_address(address, "name", "stream");
    harness_path(path, sizeof path, "name");
    check(chappe_listen(address, NULL, CHAPPE_NOW, &server));
    assert_int_equal(unlink(path), 0);
    int foreign = bind_foreign("name", SOCK_STREAM);
    check(chappe_close(server, CHAPPE_NOW, NULL));
    assert_true(exists("name"));
    assert_false(exists("name.lock"));
    close(foreign);
}

/* ---- long and strange names ---- */

static void test_long(void **state) {
    const char *type = *state;
    char address[1024], folder[512], name[300];
    memset(name, 'f', 200);
    name[200] = '\0';
    harness_path(folder, sizeof folder, name);
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(address, sizeof address, "unix://%s/short?type=%s", folder, type);
    check_works(address);
    memset(name, 'n', 250);
    name[250] = '\0';
    snprintf(address, sizeof address, "unix://%s/%s?type=%s", folder, name, type);
    check_works(address);
    check_works(address);
    snprintf(address, sizeof address, "unix://%s/%s?type=%s", harness_directory(), name, type);
    check_works(address);
    name[250] = 'n';
    name[251] = '\0';
    snprintf(address, sizeof address, "unix://%s/%s?type=%s", folder, name, type);
    chappe_endpoint *endpoint = NULL;
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &endpoint), -ENAMETOOLONG, "250");
    assert_null(endpoint);
    assert_int_equal(rmdir(folder), 0); /* nothing was left in it */
}

/* A killed server with a long name is taken over as well. */
static void test_long_killed(void **state) {
    (void)state;
    char address[1024], name[251], byte;
    int told[2];
    memset(name, 'n', 250);
    name[250] = '\0';
    snprintf(address, sizeof address, "unix://%s/%s", harness_directory(), name);
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    struct start start = {.address = address, .told = told[1]};
    pid_t server = harness_fork(live_until_killed, &start);
    assert_int_equal(read(told[0], &byte, 1), 1);
    chappe_endpoint *second = NULL;
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &second), -EADDRINUSE, "living");
    harness_signal(server, SIGKILL);
    harness_wait(server);
    check_works(address);
    close(told[0]);
    close(told[1]);
}

static void test_strange(void **state) {
    (void)state;
    char address[512];
    chappe_endpoint *endpoint = NULL;
    for (size_t i = 0; i < COUNT(types); i++) {
        snprintf(address, sizeof address, "unix://%s/a%%20b%%3Fc%%25?type=%s", harness_directory(),
                 types[i]);
        check_works(address);
        snprintf(address, sizeof address, "unix://@chappe-test-%d-%%00a%%00?type=%s", (int)getpid(),
                 types[i]);
        check_works(address);
    }
    /* Names with a different end after a NUL byte are different names. */
    chappe_endpoint *one, *two;
    snprintf(address, sizeof address, "unix://@chappe-test-%d%%00a", (int)getpid());
    check(chappe_listen(address, NULL, CHAPPE_NOW, &one));
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &endpoint), -EADDRINUSE, "living");
    snprintf(address, sizeof address, "unix://@chappe-test-%d%%00b", (int)getpid());
    check(chappe_listen(address, NULL, CHAPPE_NOW, &two));
    check(chappe_close(one, CHAPPE_NOW, NULL));
    check(chappe_close(two, CHAPPE_NOW, NULL));
    snprintf(address, sizeof address, "unix://%s/a%%00b", harness_directory());
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &endpoint), -EINVAL, "NUL");
    expect_error(chappe_listen("unix://@", NULL, CHAPPE_NOW, &endpoint), -EINVAL, "abstract");
    expect_error(chappe_listen("unix://name", NULL, CHAPPE_NOW, &endpoint), -EINVAL, "path");
    snprintf(address, sizeof address, "unix://@%0108d", 0);
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &endpoint), -ENAMETOOLONG, "107");
    assert_null(endpoint);
}

static void test_relative(void **state) {
    (void)state;
    assert_int_equal(chdir(harness_directory()), 0);
    check_works("unix://./name");
    assert_int_equal(mkdir("folder", 0700) | chdir("folder"), 0);
    check_works("unix://../name?type=datagram");
}

/* ---- modes ---- */

static void test_modes(void **state) {
    (void)state;
    static const struct {
        const char *option;
        mode_t mode;
    } modes[] = {{"type=stream", 0600}, {"mode=0660", 0660}, {"mode=0777", 0777}, {"mode=0", 0}};
    char address[1024], path[512];
    struct stat status;
    chappe_endpoint *server = NULL;
    umask(027); /* an asked mode is meant */
    harness_path(path, sizeof path, "name");
    for (size_t i = 0; i < COUNT(modes); i++) {
        snprintf(address, sizeof address, "unix://%s?%s", path, modes[i].option);
        check(chappe_listen(address, NULL, CHAPPE_NOW, &server));
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, modes[i].mode);
        check(chappe_close(server, CHAPPE_NOW, NULL));
    }
    server = NULL;
    snprintf(address, sizeof address, "unix://%s?mode=1777", path);
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &server), -EINVAL, "mode");
    snprintf(address, sizeof address, "unix://%s?mode=8", path);
    expect_error(chappe_listen(address, NULL, CHAPPE_NOW, &server), -EINVAL, "mode");
    assert_null(server);
    assert_int_equal(umask(022), 027); /* the process's own */
}

int main(int argc, char **argv) {
    static const struct harness_test tests[] = {
        {.name = "killed stream", .function = test_killed, .context = "stream"},
        {.name = "killed seqpacket", .function = test_killed, .context = "seqpacket"},
        {.name = "killed datagram", .function = test_killed, .context = "datagram"},
        {.name = "100 start at once: stream", .function = test_race, .context = "stream"},
        {.name = "100 start at once: datagram", .function = test_race, .context = "datagram"},
        {.name = "foreign servers", .function = test_foreign},
        {.name = "not a socket", .function = test_not_a_socket},
        {.name = "replaced by force", .function = test_replaced},
        {.name = "long names: stream", .function = test_long, .context = "stream"},
        {.name = "long names: seqpacket", .function = test_long, .context = "seqpacket"},
        {.name = "long names: datagram", .function = test_long, .context = "datagram"},
        {.name = "a killed server with a long name", .function = test_long_killed},
        {.name = "strange names", .function = test_strange},
        {.name = "relative names", .function = test_relative},
        {.name = "modes", .function = test_modes},
    };
    return harness_main(argc, argv, tests, COUNT(tests));
}
