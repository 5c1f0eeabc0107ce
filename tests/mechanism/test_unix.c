/* SPDX-License-Identifier: MIT
 *
 * unix://: foreign programs on the other side, users, limits, and what an idle endpoint
 * costs. Names are in test_unix_name.c. */
#include <chappe/chappe.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness/harness.h"
#include "message/envelope.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_MS 20000
#define NOBODY 65534

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

static chappe_endpoint *listen_at(const char *options) {
    char address[512];
    chappe_endpoint *server;
    snprintf(address, sizeof address, "unix://%s/name?%s", harness_directory(), options);
    check(chappe_listen(address, NULL, CHAPPE_NOW, &server));
    return server;
}

static chappe_endpoint *open_at(const char *options) {
    char address[512];
    chappe_endpoint *client;
    snprintf(address, sizeof address, "unix://%s/name?%s", harness_directory(), options);
    check(chappe_open(address, NULL, chappe_in_ms(LONG_MS), &client));
    return client;
}

/* A socket of a program that knows nothing of this library. */
static int connect_foreign(int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    harness_path(address.sun_path, sizeof address.sun_path, "name");
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static chappe_statistics statistics_of(const chappe_endpoint *endpoint) {
    chappe_statistics numbers = {.size = sizeof numbers};
    check(chappe_get_statistics(endpoint, &numbers));
    return numbers;
}

/* Receives one message of these bytes. */
static void expect(chappe_endpoint *endpoint, const char *text) {
    chappe_message *message = NULL;
    assert_int_equal(chappe_receive(endpoint, NULL, chappe_in_ms(LONG_MS), &message), 0);
    assert_int_equal(message->size, strlen(text));
    assert_memory_equal(message->data, text, message->size);
    chappe_release(message);
}

/* A well-behaved client gets through, and gets its reply. */
static void check_served(chappe_endpoint *server, chappe_endpoint *client) {
    chappe_message *message = NULL;
    chappe_token token;
    chappe_settings asks = {.size = sizeof asks, .flags = CHAPPE_ASKS, .correlation = 3};
    check(chappe_send(client, "good", 4, &asks, chappe_in_ms(LONG_MS)));
    assert_int_equal(chappe_receive(server, NULL, chappe_in_ms(LONG_MS), &message), 0);
    assert_memory_equal(message->data, "good", 4);
    check(chappe_token_of(message, &token));
    chappe_release(message);
    check(chappe_reply(server, &token, "reply", 5, NULL, CHAPPE_NOW));
    expect(client, "reply");
}

/* Looks at everything that has come by now. */
static void settle(chappe_endpoint *server) {
    chappe_message *message;
    expect_error(chappe_receive(server, NULL, CHAPPE_NOW, &message), -EAGAIN, "receive");
}

/* ---- clients that break the rules ---- */

static void test_rubbish(void **state) {
    (void)state;
    static const unsigned char rubbish[][12] = {
        "GET / HTTP",
        {0xC7, 0, 0, 0},
        {0xC8, 0, 0, 0, 0, 0, 0, 0},
        {0xFF, 0xFF},
        {0xC8, 1, 0xFF, 0xFF, 1, 0, 0, 0},
        {0, 0, 0, 1},
    };
    static const char *const options[] = {"type=stream", "type=seqpacket", "type=datagram"};
    static const int kinds[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        chappe_endpoint *server = listen_at(options[i]), *client = open_at(options[i]);
        check_served(server, client);
        for (size_t j = 0; j < COUNT(rubbish); j++) {
            int foreign = connect_foreign(kinds[i]);
            assert_int_equal(send(foreign, rubbish[j], sizeof rubbish[j], MSG_NOSIGNAL),
                             sizeof rubbish[j]);
            check_served(server, client);
            settle(server);
            char byte;
            if (kinds[i] != SOCK_DGRAM) /* cut off: it reads the end, or a reset */
                assert_true(recv(foreign, &byte, 1, 0) <= 0);
            close(foreign);
            assert_int_equal(statistics_of(server).clients_cut_off, j + 1);
        }
        check(chappe_close(client, CHAPPE_NOW, NULL));
        check(chappe_close(server, CHAPPE_NOW, NULL));
    }
}

/* One byte at a time, half a message and silence, half a message and the end. */
static void test_slow_clients(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at("type=stream"), *client = open_at("type=stream");
    unsigned char slow[ENVELOPE_SHORT_SIZE + 4];
    envelope_write_short(4, slow);
    memcpy(slow + ENVELOPE_SHORT_SIZE, "slow", 4);
    int half = connect_foreign(SOCK_STREAM), torn = connect_foreign(SOCK_STREAM);
    int foreign = connect_foreign(SOCK_STREAM);
    assert_int_equal(send(half, slow, 6, 0), 6);
    assert_int_equal(send(torn, slow, 6, 0), 6);
    for (size_t i = 0; i < sizeof slow; i++) {
        check_served(server, client);
        assert_int_equal(send(foreign, slow + i, 1, 0), 1);
    }
    expect(server, "slow");
    assert_int_equal(statistics_of(server).clients_cut_off, 0);
    close(torn);
    check_served(server, client);
    settle(server);
    assert_int_equal(statistics_of(server).clients_cut_off, 1);
    assert_int_equal(statistics_of(server).clients, 3);
    assert_int_equal(send(half, slow + 6, 2, 0), 2); /* goes on */
    expect(server, "slow");
    close(half);
    close(foreign);
    check(chappe_close(client, CHAPPE_NOW, NULL));
    check(chappe_close(server, CHAPPE_NOW, NULL));
}

/* ---- bodies in memory files ---- */

static void send_file(int fd, int file, uint64_t announced) {
    uint8_t head[ENVELOPE_HEAD_MAX];
    const struct envelope envelope = {.body_file = announced};
    size_t size = envelope_write(&envelope, false, NULL, 0, head);
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control = {0};
    struct iovec part = {.iov_base = head, .iov_len = size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &file, sizeof file);
    assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), size);
}

static int body_file(size_t size, int seals) {
    int file = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(file >= 0);
    char *bytes = calloc(1, size);
    assert_non_null(bytes);
    assert_int_equal(write(file, bytes, size), (ssize_t)size);
    free(bytes);
    assert_int_equal(fcntl(file, F_ADD_SEALS, seals), 0);
    return file;
}

/* A hole costs its sender nothing, and would cost the receiver all of it. */
static int sparse_file(size_t size, int seals) {
    int file = memfd_create("hole", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)size), 0);
    assert_int_equal(fcntl(file, F_ADD_SEALS, seals), 0);
    return file;
}

static void test_body_files(void **state) {
    (void)state;
    const int sealed = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    chappe_endpoint *server = listen_at("type=seqpacket"), *accepted;
    char path[512];
    harness_path(path, sizeof path, "plain");
    const struct {
        int file;
        uint64_t announced;
        const char *word; /* NULL: it is fine */
    } files[] = {
        {body_file(10000, sealed), 10000, NULL},
        {body_file(10000, 0), 10000, "sealed"},
        {body_file(10000, F_SEAL_GROW), 10000, "sealed"},
        {body_file(10000, F_SEAL_SHRINK), 10000, "sealed"},
        {sparse_file(10000, sealed), 10000, "10000"},
        {body_file(10000, sealed), 10001, "10001"},
        {body_file(10000, sealed), 9999, "9999"},
        {open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), 10000, ""},
        {open("/dev/zero", O_RDONLY | O_CLOEXEC), 10000, ""},
    };
    for (size_t i = 0; i < COUNT(files); i++) {
        chappe_message *message = NULL;
        int foreign = connect_foreign(SOCK_SEQPACKET);
        check(chappe_accept(server, CHAPPE_NOW, &accepted));
        size_t before = harness_count_descriptors();
        send_file(foreign, files[i].file, files[i].announced);
        int outcome = chappe_receive(accepted, NULL, CHAPPE_NOW, &message);
        if (files[i].word == NULL) {
            assert_int_equal(outcome, 0);
            assert_int_equal(message->size, 10000);
            chappe_release(message);
        } else {
            expect_error(outcome, -EBADMSG, files[i].word);
        }
        assert_int_equal(harness_count_descriptors(), before);
        close(foreign);
        close(files[i].file);
        check(chappe_close(accepted, CHAPPE_NOW, NULL));
    }
    check(chappe_close(server, CHAPPE_NOW, NULL));
}

/* ---- users ---- */

static void become_nobody(void) {
    assert_int_equal(setgroups(0, NULL), 0);
    assert_int_equal(setgid(NOBODY), 0);
    assert_int_equal(setuid(NOBODY), 0);
}

struct visit {
    char address[512];
    int outcome; /* of opening; 0: sends something, too */
};

static void visit_as_nobody(void *context) {
    const struct visit *visit = context;
    chappe_endpoint *client = NULL;
    become_nobody();
    int outcome = chappe_open(visit->address, NULL, CHAPPE_NOW, &client);
    if (outcome != visit->outcome)
        fail_msg("opening: %d, not %d: %s", outcome, visit->outcome, chappe_error());
    if (client != NULL)
        chappe_send(client, "nobody", 6, NULL, CHAPPE_NOW);
    check(chappe_close(client, CHAPPE_NOW, NULL));
}

/* Somebody else visits. Result: whether the message came. */
static bool visited(const char *where, const char *options, int outcome) {
    struct visit visit = {.outcome = outcome};
    chappe_endpoint *server;
    chappe_message *message = NULL;
    snprintf(visit.address, sizeof visit.address, "unix://%s?%s", where, options);
    check(chappe_listen(visit.address, NULL, CHAPPE_NOW, &server));
    harness_join(harness_fork(visit_as_nobody, &visit));
    int got = chappe_receive(server, NULL, CHAPPE_NOW, &message);
    while (got == -EAGAIN && statistics_of(server).clients > 0)
        got = chappe_receive(server, NULL, CHAPPE_NOW, &message);
    if (got == 0) {
        chappe_identity identity = {.size = sizeof identity};
        check(chappe_sender(message, &identity));
        assert_int_equal(identity.uid, NOBODY);
        assert_int_equal(identity.gid, NOBODY);
        chappe_release(message);
    } else if (outcome == 0) {
        assert_int_equal(statistics_of(server).clients_refused, 1);
    }
    check(chappe_close(server, CHAPPE_NOW, NULL));
    return got == 0;
}

static void test_users(void **state) {
    (void)state;
    static const char *const kinds[] = {"type=stream", "type=seqpacket", "type=datagram"};
    if (geteuid() != 0)
        harness_skip("becoming another user needs root");
    char path[512], abstract[64], options[128];
    harness_path(path, sizeof path, "name");
    snprintf(abstract, sizeof abstract, "@chappe-test-%d", (int)getpid());
    assert_int_equal(chmod(harness_directory(), 0755), 0);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        /* By default the mode of the file keeps others out, and of abstract names the uid.
         * Without connections a stranger learns nothing. */
        assert_false(visited(path, kinds[i], -EACCES));
        assert_false(visited(abstract, kinds[i], 0));
        snprintf(options, sizeof options, "%s&uid=any", kinds[i]);
        assert_true(visited(abstract, options, 0));
        snprintf(options, sizeof options, "%s&mode=0666", kinds[i]);
        assert_true(visited(path, options, 0));
        snprintf(options, sizeof options, "%s&mode=0666&uid=self", kinds[i]);
        assert_false(visited(path, options, 0));
        /* The visitor, too, says whom it trusts: uid=65534 does not fit to this server. */
        snprintf(options, sizeof options, "%s&mode=0666&uid=1234", kinds[i]);
        assert_false(visited(path, options, -EPERM));
    }
}

/* ---- limits ---- */

static void test_clients(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at("clients=2"), *clients[3];
    chappe_message *message;
    for (int i = 0; i < 2; i++) {
        clients[i] = open_at("type=stream");
        check_served(server, clients[i]);
    }
    clients[2] = open_at("type=stream");
    check_served(server, clients[0]);
    check_served(server, clients[1]);
    settle(server);
    assert_int_equal(statistics_of(server).clients, 2);
    assert_int_equal(statistics_of(server).clients_refused, 1);
    assert_int_equal(chappe_receive(clients[2], NULL, chappe_in_ms(LONG_MS), &message), CHAPPE_END);
    check(chappe_close(clients[2], CHAPPE_NOW, NULL));
    check(chappe_close(clients[0], CHAPPE_NOW, NULL));
    check_served(server, clients[1]);
    settle(server);
    clients[0] = open_at("type=stream"); /* one has left */
    check_served(server, clients[0]);
    check(chappe_close(clients[0], CHAPPE_NOW, NULL));
    check(chappe_close(clients[1], CHAPPE_NOW, NULL));
    check(chappe_close(server, CHAPPE_NOW, NULL));
}

/* No descriptors are left: those that are there are served, and later one more. */
static void test_no_descriptors(void **state) {
    (void)state;
    struct rlimit limit, low;
    chappe_endpoint *server = listen_at("type=stream"), *good = open_at("type=stream");
    chappe_endpoint *leaves = open_at("type=stream");
    check_served(server, good);
    check_served(server, leaves);
    int waiting = connect_foreign(SOCK_STREAM);
    unsigned char late[ENVELOPE_SHORT_SIZE + 4];
    envelope_write_short(4, late);
    memcpy(late + ENVELOPE_SHORT_SIZE, "late", 4);
    assert_int_equal(send(waiting, late, sizeof late, 0), sizeof late);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
    close(lowest);
    low = limit;
    low.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (int i = 0; i < 5; i++)
        check_served(server, good);
    chappe_message *message;
    expect_error(chappe_receive(server, NULL, chappe_in_ms(20), &message), -ETIMEDOUT, "receive");
    assert_int_equal(statistics_of(server).clients, 2);
    check(chappe_close(leaves, CHAPPE_NOW, NULL));
    expect(server, "late");
    assert_int_equal(statistics_of(server).clients, 2);
    check_served(server, good);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(waiting);
    check(chappe_close(good, CHAPPE_NOW, NULL));
    check(chappe_close(server, CHAPPE_NOW, NULL));
}

/* ---- the server goes, and comes again ---- */

static void test_restart(void **state) {
    const char *options = *state;
    chappe_endpoint *server = listen_at(options), *client = open_at(options);
    check_served(server, client);
    check(chappe_close(server, CHAPPE_NOW, NULL));
    int outcome = chappe_send(client, "x", 1, NULL, CHAPPE_NOW);
    assert_true(outcome == -EPIPE || outcome == -ECONNRESET);
    server = listen_at(options);
    outcome = chappe_send(client, "x", 1, NULL, CHAPPE_NOW);
    assert_true(outcome == -EPIPE || outcome == -ECONNRESET); /* still the old one */
    check(chappe_close(client, CHAPPE_NOW, NULL));
    client = open_at(options);
    check_served(server, client);
    check(chappe_close(client, CHAPPE_NOW, NULL));
    check(chappe_close(server, CHAPPE_NOW, NULL));
}

static void test_wrong_type(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at("type=seqpacket"), *client = NULL;
    char address[512];
    snprintf(address, sizeof address, "unix://%s/name", harness_directory());
    expect_error(chappe_open(address, NULL, CHAPPE_NOW, &client), -EPROTOTYPE, "type=");
    assert_null(client);
    check(chappe_close(server, CHAPPE_NOW, NULL));
}

static void test_datagrams(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at("type=datagram"), *client = open_at("type=datagram");
    chappe_message *message;
    chappe_token token;
    unsigned char empty[ENVELOPE_SHORT_SIZE];
    envelope_write_short(0, empty);
    int foreign = connect_foreign(SOCK_DGRAM); /* without a name: nobody can answer it */
    assert_int_equal(send(foreign, empty, sizeof empty, 0), sizeof empty);
    check(chappe_receive(server, NULL, CHAPPE_NOW, &message));
    expect_error(chappe_token_of(message, &token), -ENOTSUP, "way back");
    chappe_release(message);
    close(foreign);
    expect_error(chappe_finish(client, CHAPPE_NOW), -ENOTSUP, "datagram");
    check_served(server, client);
    check(chappe_close(client, CHAPPE_NOW, NULL));
    check(chappe_close(server, CHAPPE_NOW, NULL));
}

/* ---- what waiting costs ---- */

#define IDLE 100

static long switches_of(pid_t process) {
    char path[64], line[256];
    long sum = 0, value;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &value) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %ld", &value) == 1)
            sum += value;
    fclose(file);
    return sum;
}

static void wait_idly(void *context) {
    (void)context;
    chappe_wait_item items[IDLE];
    for (size_t i = 0; i < IDLE; i++)
        items[i] =
            (chappe_wait_item){.endpoint = open_at("type=stream"), .events = CHAPPE_READABLE};
    check(chappe_send(items[IDLE - 1].endpoint, "ready", 5, NULL, CHAPPE_FOREVER));
    assert_true(chappe_wait(items, IDLE, CHAPPE_FOREVER) >= 1); /* the server is going */
    for (size_t i = 0; i < IDLE; i++)
        check(chappe_close(items[i].endpoint, CHAPPE_NOW, NULL));
}

static bool is_asleep(pid_t process) {
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0 && read(file, text, sizeof text - 1) > 0);
    close(file);
    return strncmp(strrchr(text, ')'), ") S", 3) == 0;
}

/* Nothing happens for five seconds, so nobody is scheduled: a count, not a speed. */
static void test_idle(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at("type=stream");
    chappe_message *message = NULL;
    pid_t peer = harness_fork(wait_idly, NULL);
    expect(server, "ready");
    while (!is_asleep(peer))
        ;
    long theirs = switches_of(peer);
    long before = switches_of(getpid());
    expect_error(chappe_receive(server, NULL, chappe_in_ms(5000), &message), -ETIMEDOUT, "");
    assert_in_range(switches_of(getpid()) - before, 0, 5); /* to sleep, and to wake up */
    assert_int_equal(switches_of(peer), theirs);
    assert_int_equal(statistics_of(server).clients, IDLE);
    check(chappe_close(server, CHAPPE_NOW, NULL));
    harness_join(peer);
}

int main(int argc, char **argv) {
    static const struct harness_test tests[] = {
        {.name = "rubbish", .function = test_rubbish},
        {.name = "slow clients", .function = test_slow_clients},
        {.name = "bodies in files", .function = test_body_files},
        {.name = "users", .function = test_users},
        {.name = "clients=", .function = test_clients},
        {.name = "no descriptors left", .function = test_no_descriptors},
        {.name = "restart: stream", .function = test_restart, .context = "type=stream"},
        {.name = "restart: seqpacket", .function = test_restart, .context = "type=seqpacket"},
        {.name = "restart: datagram", .function = test_restart, .context = "type=datagram"},
        {.name = "wrong type", .function = test_wrong_type},
        {.name = "datagrams", .function = test_datagrams},
        {.name = "100 idle endpoints", .function = test_idle},
    };
    return harness_main(argc, argv, tests, COUNT(tests));
}
