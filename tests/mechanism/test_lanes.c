/* SPDX-License-Identifier: MIT
 *
 * Connections in shared memory with somebody on the other side who breaks the rules: hellos
 * that are none, memory that is not what it was said to be, rubbish in a lane, floods on the
 * socket. The server cuts them off, loses nothing and serves the others. */
#include <chappe/chappe.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/harness.h"
#include "mechanism/lanes.h"
#include "message/envelope.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_MS 30000
#define NOBODY 65534
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SIZE ((size_t)8192)
#define VERSION 1

/* ---- a server and a good client ---- */

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

static void write_address(char *address, size_t size, const char *options) {
    int length = snprintf(address, size, "shm://lanes?domain=%s%s", harness_directory(), options);
    assert_true(length > 0 && (size_t)length < size);
}

static chappe_endpoint *listen_at(const char *options) {
    char address[512];
    chappe_endpoint *server = NULL;
    write_address(address, sizeof address, options);
    check(chappe_listen(address, NULL, CHAPPE_NOW, &server));
    return server;
}

static chappe_endpoint *open_at(const char *options) {
    char address[512];
    chappe_endpoint *client = NULL;
    write_address(address, sizeof address, options);
    check(chappe_open(address, NULL, chappe_in_ms(LONG_MS), &client));
    return client;
}

static void close_end(chappe_endpoint *endpoint) {
    chappe_undelivered left = {.size = sizeof left};
    check(chappe_close(endpoint, CHAPPE_NOW, &left));
}

static chappe_statistics statistics_of(const chappe_endpoint *endpoint) {
    chappe_statistics numbers = {.size = sizeof numbers};
    check(chappe_get_statistics(endpoint, &numbers));
    return numbers;
}

/* Looks at everything that has come by now; messages of others are released. */
static void settle(chappe_endpoint *server) {
    chappe_message *message = NULL;
    int outcome;
    for (int i = 0; i < 100000; i++) {
        if ((outcome = chappe_receive(server, NULL, CHAPPE_NOW, &message)) < 0) {
            expect_error(outcome, -EAGAIN, "shm://lanes");
            return;
        }
        assert_int_equal(outcome, 0);
        chappe_release(message);
    }
    fail_msg("there are messages without end");
}

/* A good client gets through and has its reply, whatever others have sent before. */
static void check_served(chappe_endpoint *server, chappe_endpoint *client) {
    static uint64_t number;
    chappe_message *message = NULL;
    chappe_token token;
    chappe_settings asks = {.size = sizeof asks, .flags = CHAPPE_ASKS, .correlation = ++number};
    check(chappe_send(client, "good", 4, &asks, chappe_in_ms(LONG_MS)));
    for (;;) {
        int64_t correlation = 0;
        check(chappe_receive(server, NULL, chappe_in_ms(LONG_MS), &message));
        bool good = message->size == 4 && memcmp(message->data, "good", 4) == 0 &&
                    chappe_get(message, CHAPPE_CORRELATION, &correlation) == 0 &&
                    correlation == (int64_t)number;
        if (good)
            break;
        chappe_release(message);
    }
    check(chappe_token_of(message, &token));
    chappe_release(message);
    check(chappe_reply(server, &token, "reply", 5, NULL, CHAPPE_NOW));
    check(chappe_receive(client, NULL, chappe_in_ms(LONG_MS), &message));
    assert_int_equal(message->size, 5);
    assert_memory_equal(message->data, "reply", 5);
    chappe_release(message);
}

/* ---- a client that knows the protocol, and does with it what it likes ---- */

struct foreign {
    int fd, file;
    struct lanes_control *control;
    size_t size;
    struct lane_writer out;
    struct lane_reader in;
};

static void send_packet(int fd, const void *packet, size_t size, const int *files, size_t count) {
    union {
        char bytes[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr aligned;
    } control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)packet, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), files, count * sizeof(int));
    }
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) /* cut off already, or full */
        assert_true(errno == EPIPE || errno == ECONNRESET || errno == EAGAIN ||
                    errno == ETOOMANYREFS);
}

static int connect_foreign(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    harness_path(address.sun_path, sizeof address.sun_path, "shm.lanes.socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail_msg("%s: %s", address.sun_path, strerror(errno));
    return fd;
}

static int memory_file(size_t size, int seals) {
    int file = memfd_create("lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(file >= 0);
    assert_int_equal(fallocate(file, 0, 0, (off_t)size), 0);
    assert_int_equal(fcntl(file, F_ADD_SEALS, seals), 0);
    return file;
}

static struct lanes_hello hello_of(uint64_t size, uint32_t backing, int id) {
    struct lanes_hello hello = {.packet = LANES_HELLO,
                                .magic = "chappe",
                                .version = VERSION,
                                .control_size = sizeof(struct lanes_control),
                                .ticket = {.size = size, .backing = backing, .id = id}};
    return hello;
}

static void *map_file(int file, size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

/* Connects as the library does. */
static struct foreign meet(void) {
    struct foreign foreign = {.fd = connect_foreign(), .size = SIZE};
    struct lanes_hello hello = hello_of(SIZE, BACKING_MEMFD, -1);
    foreign.file = memory_file(SIZE, SEALS);
    foreign.control = map_file(foreign.file, SIZE);
    size_t ring = (SIZE - sizeof(struct lanes_control)) / 2 & ~(size_t)63;
    uint8_t *rings = (uint8_t *)foreign.control + sizeof(struct lanes_control);
    lane_writer_start(&foreign.out, &foreign.control->lanes[0], rings, ring);
    lane_reader_start(&foreign.in, &foreign.control->lanes[1], rings + ring, ring);
    send_packet(foreign.fd, &hello, sizeof hello, &foreign.file, 1);
    return foreign;
}

static void leave(struct foreign *foreign) {
    munmap(foreign->control, foreign->size);
    close(foreign->file);
    close(foreign->fd);
}

static void ring_bell(const struct foreign *foreign) {
    const uint8_t packet = LANES_BELL;
    send_packet(foreign->fd, &packet, 1, NULL, 0);
}

static void put_header(const struct foreign *foreign, uint64_t header) {
    shared64_set_release(foreign->out.ring + foreign->out.offset, header);
    ring_bell(foreign);
}

static bool say(struct foreign *foreign, const char *text) {
    void *room = lane_reserve(&foreign->out, strlen(text));
    if (room == NULL)
        return false;
    memcpy(room, text, strlen(text));
    lane_commit(&foreign->out, strlen(text), 0, LANE_MESSAGE);
    ring_bell(foreign);
    return true;
}

/* The end, or what was said before it. */
static void read_end(int fd, char *ret_text, size_t size) {
    ssize_t got;
    ret_text[0] = '\0';
    while ((got = recv(fd, ret_text, size - 1, 0)) > 0)
        ret_text[got] = '\0';
}

/* It was cut off, and counted. */
static void check_cut_off(chappe_endpoint *server, chappe_endpoint *client, int fd, uint64_t count,
                          const char *what) {
    char text[1024];
    check_served(server, client);
    settle(server);
    if (statistics_of(server).clients_cut_off != count || statistics_of(server).clients != 1)
        fail_msg("%s: %llu were cut off where %llu should be, %llu are there", what,
                 (unsigned long long)statistics_of(server).clients_cut_off,
                 (unsigned long long)count, (unsigned long long)statistics_of(server).clients);
    read_end(fd, text, sizeof text);
}

/* The foreign client is one: what the tests below break works unbroken. */
static void test_foreign_is_served(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at("");
    struct foreign foreign = meet();
    chappe_message *message = NULL;
    chappe_token token;
    struct lane_frame frame;
    for (int i = 0; i < 300; i++) {
        assert_true(say(&foreign, "hello"));
        check(chappe_receive(server, NULL, chappe_in_ms(LONG_MS), &message));
        assert_int_equal(message->size, 5);
        check(chappe_token_of(message, &token));
        chappe_release(message);
        check(chappe_reply(server, &token, "answer", 6, NULL, CHAPPE_NOW));
        assert_int_equal(lane_take(&foreign.in, &frame), 1);
        assert_int_equal(frame.size, 6);
        assert_memory_equal(frame.body, "answer", 6);
        lane_free(&foreign.in, frame.end);
    }
    assert_int_equal(statistics_of(server).clients_cut_off, 0);
    leave(&foreign);
    close_end(server);
}

/* ---- hellos ---- */

struct greeting {
    const char *what;
    size_t cut; /* bytes left out of the hello */
    int file;   /* -1: none */
    size_t files;
    struct lanes_hello hello;
    const char *word; /* in the sentence that comes back; NULL: none has to */
};

static struct lanes_hello other_hello(const char *magic, uint32_t version, uint32_t control) {
    struct lanes_hello hello = hello_of(SIZE, BACKING_MEMFD, -1);
    memcpy(hello.magic, magic, sizeof hello.magic);
    hello.version = version;
    hello.control_size = control;
    return hello;
}

static struct lanes_hello other_packet(uint8_t packet) {
    struct lanes_hello hello = hello_of(SIZE, BACKING_MEMFD, -1);
    hello.packet = packet;
    return hello;
}

static int sparse_file(void) {
    int file = memfd_create("hole", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)SIZE), 0);
    assert_int_equal(fcntl(file, F_ADD_SEALS, SEALS), 0);
    return file;
}

static int read_only_file(void) {
    char path[64];
    int file = memory_file(SIZE, SEALS);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int other = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(other >= 0);
    close(file);
    return other;
}

static void try_greeting(chappe_endpoint *server, chappe_endpoint *client,
                         const struct greeting *greeting) {
    char text[1024];
    size_t before = harness_count_descriptors();
    int fd = connect_foreign();
    const int files[2] = {greeting->file, greeting->file};
    uint64_t cut_off = statistics_of(server).clients_cut_off;
    send_packet(fd, &greeting->hello, sizeof greeting->hello - greeting->cut, files,
                greeting->files);
    check_served(server, client);
    settle(server);
    if (statistics_of(server).clients != 1)
        fail_msg("%s: the client is still there", greeting->what);
    assert_int_equal(statistics_of(server).clients_cut_off, cut_off + 1);
    ssize_t got = recv(fd, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    if (greeting->word != NULL &&
        (got <= 1 || text[0] != LANES_REFUSED || strstr(text + 1, greeting->word) == NULL))
        fail_msg("%s: the sentence that came back is \"%s\"", greeting->what, text);
    close(fd);
    if (harness_count_descriptors() != before)
        fail_msg("%s: %zu descriptors before, %zu after", greeting->what, before,
                 harness_count_descriptors());
}

static void test_hellos(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *client = open_at("");
    check_served(server, client);
    const uint32_t control = sizeof(struct lanes_control);
    const struct lanes_hello good = hello_of(SIZE, BACKING_MEMFD, -1);
    char path[256];
    harness_path(path, sizeof path, "plain");
    int plain = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(plain, (off_t)SIZE), 0);
    int sealed = memory_file(SIZE, SEALS), small = memory_file(4096, SEALS);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const struct greeting greetings[] = {
        {"half a hello", sizeof good / 2, sealed, 1, good, "does not speak"},
        {"one byte", sizeof good - 1, sealed, 1, good, "does not speak"},
        {"another magic", 0, sealed, 1, other_hello("CHAPPE", 1, control), "does not speak"},
        {"another version", 0, sealed, 1, other_hello("chappe", 2, control), "version 2"},
        {"version 0", 0, sealed, 1, other_hello("chappe", 0, control), "version 0"},
        {"another control part", 0, sealed, 1, other_hello("chappe", 1, control + 64), ""},
        {"no packet", 0, sealed, 1, other_packet(0), NULL},
        {"an unknown packet", 0, sealed, 1, other_packet('?'), NULL},
        {"a refusal", 0, sealed, 1, other_packet(LANES_REFUSED), NULL},
        {"no descriptor", 0, -1, 0, good, "announced"},
        {"two descriptors", 0, sealed, 2, good, "announced"},
        {"a smaller file", 0, small, 1, good, "announced"},
        {"a larger file", 0, sealed, 1, hello_of(4096, BACKING_MEMFD, -1), "announced"},
        {"no size", 0, sealed, 1, hello_of(0, BACKING_MEMFD, -1), "announced"},
        {"a crooked size", 0, sealed, 1, hello_of(SIZE - 8, BACKING_MEMFD, -1), "announced"},
        {"all there is", 0, sealed, 1, hello_of(~(uint64_t)4095, BACKING_MEMFD, -1), "announced"},
        {"not sealed", 0, memory_file(SIZE, 0), 1, good, "announced"},
        {"sealed against growing", 0, memory_file(SIZE, F_SEAL_GROW), 1, good, "announced"},
        {"sealed against writing", 0, memory_file(SIZE, SEALS | F_SEAL_WRITE), 1, good, ""},
        {"holes", 0, sparse_file(), 1, good, "announced"},
        {"for reading", 0, read_only_file(), 1, good, NULL},
        {"a file", 0, plain, 1, good, "announced"},
        {"a file with holes", 0, plain, 1, hello_of(SIZE, BACKING_FILE, -1), "announced"},
        {"a pipe", 0, ends[0], 1, good, "announced"},
        {"zeros", 0, open("/dev/zero", O_RDWR | O_CLOEXEC), 1, good, "announced"},
        {"a folder", 0, open("/", O_RDONLY | O_CLOEXEC), 1, good, "announced"},
        {"memory of children", 0, sealed, 1, hello_of(SIZE, BACKING_ANONYMOUS, -1), "announced"},
        {"unknown memory", 0, sealed, 1, hello_of(SIZE, 77, -1), "announced"},
        {"no segment", 0, -1, 0, hello_of(SIZE, BACKING_SYSV, -1), NULL},
        {"a segment's number", 0, -1, 0, hello_of(SIZE, BACKING_SYSV, 0x7FFFFFFF), NULL},
    };
    for (size_t i = 0; i < COUNT(greetings); i++)
        try_greeting(server, client, &greetings[i]);
    close_end(client);
    close_end(server);
}

/* Who says nothing, or nothing but bells, or an empty packet, costs nobody anything. */
static void test_silence(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *client = open_at("");
    const uint8_t bell = LANES_BELL;
    int silent = connect_foreign(), ringing = connect_foreign(), empty = connect_foreign();
    send_packet(ringing, &bell, 1, NULL, 0);
    send_packet(empty, &bell, 0, NULL, 0);
    for (int i = 0; i < 100; i++)
        check_served(server, client);
    settle(server);
    assert_int_equal(statistics_of(server).clients_cut_off, 0);
    assert_true(statistics_of(server).clients >= 3);
    /* It may still say hello. */
    struct lanes_hello hello = hello_of(SIZE, BACKING_MEMFD, -1);
    int file = memory_file(SIZE, SEALS);
    send_packet(silent, &hello, sizeof hello, &file, 1);
    send_packet(silent, &hello, sizeof hello, &file, 1); /* a second one is left out */
    check_served(server, client);
    struct lanes_control *control = map_file(file, SIZE);
    struct lane_writer out;
    lane_writer_start(&out, &control->lanes[0], control + 1,
                      (SIZE - sizeof *control) / 2 & ~(size_t)63);
    memcpy(lane_reserve(&out, 4), "late", 4);
    lane_commit(&out, 4, 0, LANE_MESSAGE);
    send_packet(silent, &bell, 1, NULL, 0);
    chappe_message *message = NULL;
    check(chappe_receive(server, NULL, chappe_in_ms(LONG_MS), &message));
    assert_int_equal(message->size, 4);
    assert_memory_equal(message->data, "late", 4);
    chappe_release(message);
    munmap(control, SIZE);
    close(file);
    close(silent);
    close(ringing);
    close(empty);
    check_served(server, client);
    settle(server);
    assert_int_equal(statistics_of(server).clients, 1);
    close_end(client);
    close_end(server);
}

/* ---- what stands in a lane ---- */

#define HEADER(kind, meta, size)                                                                   \
    (LANE_COMMITTED | (uint64_t)(kind) << LANE_KIND_SHIFT | (uint64_t)(meta) << LANE_META_SHIFT |  \
     (uint64_t)(size))

static void test_headers(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *client = open_at("");
    check_served(server, client);
    size_t ring = (SIZE - sizeof(struct lanes_control)) / 2 & ~(size_t)63;
    uint64_t headers[32], cut_off = 0;
    size_t count = 0;
    headers[count++] = UINT64_MAX;
    headers[count++] = HEADER(LANE_MESSAGE, 0, UINT32_MAX);
    headers[count++] = HEADER(LANE_MESSAGE, 0, ring);
    headers[count++] = HEADER(LANE_MESSAGE, 0, ring - 7);
    headers[count++] = HEADER(LANE_MESSAGE, 0, ring - 8); /* no word is left behind it */
    headers[count++] = HEADER(LANE_PAD, 0, ring);
    headers[count++] = HEADER(LANE_PAD, 0, UINT32_MAX);
    headers[count++] = HEADER(LANE_PAD, 0, ring - 8);
    headers[count++] = HEADER(LANE_MESSAGE, LANE_META_MOST, ring - 1000);
    headers[count++] = HEADER(LANE_MESSAGE, ENVELOPE_HEAD_MAX + 1, 8);
    headers[count++] = HEADER(LANE_MESSAGE, 1, 0);
    headers[count++] = HEADER(LANE_MESSAGE, 8, 8);
    headers[count++] = HEADER(LANE_NEXT, 0, 0); /* into memory that never came */
    headers[count++] = HEADER(LANE_NEXT, 0, 100);
    for (int kind = LANE_END + 1; kind < 16; kind++)
        headers[count++] = HEADER(kind, 0, 8);
    for (size_t i = 0; i < count; i++) {
        char what[64];
        struct foreign foreign = meet();
        snprintf(what, sizeof what, "header 0x%016llx", (unsigned long long)headers[i]);
        put_header(&foreign, headers[i]);
        check_served(server, client);
        /* Damaged metadata costs that message: where the next one begins is known. */
        uint64_t meta = headers[i] >> LANE_META_SHIFT & LANE_META_MOST;
        if (meta > 0 && meta <= 100)
            settle(server);
        check_cut_off(server, client, foreign.fd, ++cut_off, what);
        leave(&foreign);
    }
    close_end(client);
    close_end(server);
}

/* Behind its end a lane has nothing more. */
static void test_behind_the_end(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *client = open_at("");
    check_served(server, client);
    for (int messages = 0; messages < 4; messages++) {
        struct foreign foreign = meet();
        for (int i = 0; i <= messages; i++) /* 0: the end alone */
            shared64_set(foreign.out.ring + i, HEADER(i == 0 ? LANE_END : LANE_MESSAGE, 0, 0));
        ring_bell(&foreign);
        chappe_message *message = NULL;
        expect_error(chappe_receive(server, NULL, CHAPPE_NOW, &message), -EAGAIN, "shm://lanes");
        check_served(server, client);
        leave(&foreign);
        check_served(server, client);
        settle(server);
        assert_int_equal(statistics_of(server).clients, 1);
    }
    close_end(client);
    close_end(server);
}

/* A damaged envelope, damaged in every way that a few thousand random ones find. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void test_random_memory(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *client = open_at("");
    check_served(server, client);
    uint64_t random = 88172645463325252ull;
    for (int round = 0; round < 400; round++) {
        struct foreign foreign = meet();
        shared64 *words = (shared64 *)(void *)foreign.control;
        size_t first = round % 2 == 0 ? sizeof(struct lanes_control) / 8 : 0;
        for (size_t i = first; i < SIZE / 8; i++) {
            uint64_t word = next_random(&random);
            if (round % 4 < 2) /* plausible frames: small, of a kind that there is */
                word =
                    HEADER(word >> 40 & 3, (word >> 32 & 7) == 0 ? word >> 20 & 63 : 0, word & 127);
            shared64_set(words + i, word);
            if (i % 64 == 0)
                ring_bell(&foreign);
        }
        ring_bell(&foreign);
        check_served(server, client);
        for (int i = 0; i < 50; i++) { /* it goes on while it is read */
            shared64_set(words + next_random(&random) % (SIZE / 8), next_random(&random));
            ring_bell(&foreign);
            chappe_message *message = NULL;
            if (chappe_receive(server, NULL, CHAPPE_NOW, &message) == 0)
                chappe_release(message);
        }
        leave(&foreign);
    }
    check_served(server, client);
    settle(server);
    assert_int_equal(statistics_of(server).clients, 1);
    close_end(client);
    close_end(server);
}

/* Random metadata behind a body: no message, or one that fits. */
static void test_random_metadata(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *client = open_at("");
    check_served(server, client);
    uint64_t random = 1234567;
    size_t before = harness_count_descriptors();
    for (int round = 0; round < 2000; round++) {
        struct foreign foreign = meet();
        uint8_t head[ENVELOPE_HEAD_MAX];
        struct envelope envelope = {.type = round, .correlation = 7};
        size_t size = envelope_write(&envelope, round % 2 == 0, "body", 4, head);
        for (uint64_t i = next_random(&random) % 3; i < 3; i++)
            head[next_random(&random) % size] ^= (uint8_t)next_random(&random);
        if (round % 3 == 0)
            size = next_random(&random) % sizeof head;
        uint8_t *room = lane_reserve(&foreign.out, 4 + size);
        assert_non_null(room);
        memcpy(room, "body", 4);
        memcpy(room + 4, head, size);
        lane_commit(&foreign.out, 4, size, LANE_MESSAGE);
        ring_bell(&foreign);
        check_served(server, client);
        leave(&foreign);
        settle(server);
    }
    assert_int_equal(harness_count_descriptors(), before);
    assert_int_equal(statistics_of(server).clients, 1);
    close_end(client);
    close_end(server);
}

/* The words that the other side owns: positions, counts, who sleeps. */
static void test_control_words(void **state) {
    (void)state;
    static const uint64_t values[] = {0, 1, 511, 1 << 20, INT64_MAX, UINT64_MAX, UINT64_MAX - 100};
    chappe_endpoint *server = listen_at(""), *client = open_at("");
    check_served(server, client);
    chappe_message *message = NULL;
    chappe_token token;
    for (size_t i = 0; i < COUNT(values); i++)
        for (int which = 0; which < 5; which++) {
            struct foreign foreign = meet();
            struct lanes_control *control = foreign.control;
            assert_true(say(&foreign, "first"));
            check(chappe_receive(server, NULL, chappe_in_ms(LONG_MS), &message));
            check(chappe_token_of(message, &token));
            chappe_release(message);
            for (int j = 0; j < 300; j++) {
                if (which == 0)
                    shared64_set(&control->lanes[1].consumed, values[i]);
                if (which == 1)
                    shared64_set(&control->lanes[1].taken, values[i]);
                if (which == 2)
                    shared32_set(&control->sides[0].arrivals, (uint32_t)values[i]);
                if (which == 3)
                    shared32_set(&control->sides[1].arrivals, (uint32_t)values[i]);
                if (which == 4)
                    shared64_set(&control->lanes[0].consumed, values[i]);
                int outcome = chappe_reply(server, &token, "0123456789", 10, NULL, CHAPPE_NOW);
                if (outcome < 0)
                    assert_true(outcome == -EAGAIN || outcome == -EPIPE || outcome == -ESTALE);
            }
            check_served(server, client);
            leave(&foreign);
            check_served(server, client);
            settle(server);
            assert_int_equal(statistics_of(server).clients, 1);
        }
    close_end(client);
    close_end(server);
}

/* ---- the next ring ---- */

static void pass_next(const struct foreign *foreign, size_t size, int seals, uint64_t announced) {
    struct lanes_next next = {.packet = LANES_NEXT,
                              .ticket = {.size = announced, .backing = BACKING_MEMFD, .id = -1}};
    int file = memory_file(size, seals);
    send_packet(foreign->fd, &next, sizeof next, &file, 1);
    close(file);
}

static void test_next_rings(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *client = open_at("");
    check_served(server, client);
    const struct {
        const char *what;
        size_t size, announced;
        int seals;
    } rings[] = {
        {"not sealed", 4096, 4096, 0},
        {"smaller than announced", 4096, 8192, SEALS},
        {"larger than announced", 8192, 4096, SEALS},
        {"no size", 4096, 0, SEALS},
        {"crooked", 4096, 100, SEALS},
    };
    size_t before = harness_count_descriptors();
    uint64_t cut_off = 0;
    for (size_t i = 0; i < COUNT(rings); i++) {
        struct foreign foreign = meet();
        pass_next(&foreign, rings[i].size, rings[i].seals, rings[i].announced);
        check_served(server, client);
        put_header(&foreign, HEADER(LANE_NEXT, 0, 0));
        check_cut_off(server, client, foreign.fd, ++cut_off, rings[i].what);
        leave(&foreign);
    }
    /* Rings without end, each of which only leads to the next one. */
    struct foreign foreign = meet();
    uint8_t *memory = NULL;
    shared64 *at = foreign.out.ring;
    for (int i = 0; i < 300; i++) {
        struct lanes_next next = {.packet = LANES_NEXT,
                                  .ticket = {.size = 4096, .backing = BACKING_MEMFD, .id = -1}};
        int file = memory_file(4096, SEALS);
        send_packet(foreign.fd, &next, sizeof next, &file, 1);
        shared64_set_release(at, HEADER(LANE_NEXT, 0, 0));
        if (memory != NULL)
            munmap(memory, 4096);
        memory = map_file(file, 4096);
        close(file);
        at = (shared64 *)(void *)(memory + sizeof(struct lane_words));
        check_served(server, client);
    }
    munmap(memory, 4096);
    leave(&foreign);
    check_served(server, client);
    settle(server);
    assert_int_equal(statistics_of(server).clients, 1);
    assert_int_equal(harness_count_descriptors(), before);
    close_end(client);
    close_end(server);
}

/* ---- floods ---- */

static void test_descriptor_flood(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *client = open_at("");
    check_served(server, client);
    size_t before = harness_count_descriptors();
    const uint8_t packet = LANES_DESCRIPTORS, bell = LANES_BELL;
    int files[8];
    for (size_t i = 0; i < COUNT(files); i++)
        files[i] = STDERR_FILENO;
    for (uint64_t round = 0; round < 5; round++) {
        struct foreign foreign = meet();
        for (int i = 0; i < 200; i++)
            send_packet(foreign.fd, round == 4 ? &bell : &packet, 1, files, COUNT(files));
        if (round == 4) { /* bells that bring descriptors: those are closed */
            for (int i = 0; i < 50; i++)
                check_served(server, client);
            assert_true(say(&foreign, "still here"));
            settle(server);
            assert_int_equal(statistics_of(server).clients_cut_off, round);
        } else {
            check_cut_off(server, client, foreign.fd, round + 1, "descriptors without a message");
        }
        leave(&foreign);
        check_served(server, client);
        settle(server);
        assert_int_equal(harness_count_descriptors(), before);
    }
    close_end(client);
    close_end(server);
}

static void test_memory_flood(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *client = open_at("");
    check_served(server, client);
    size_t before = harness_count_descriptors(), mappings = harness_count_mappings();
    for (uint64_t round = 0; round < 3; round++) {
        struct foreign foreign = meet();
        for (int i = 0; i < 100; i++)
            pass_next(&foreign, 4096, SEALS, 4096);
        check_cut_off(server, client, foreign.fd, round + 1, "rings that nothing leads to");
        leave(&foreign);
    }
    assert_int_equal(harness_count_descriptors(), before);
    assert_true(harness_count_mappings() <= mappings + 4);
    close_end(client);
    close_end(server);
}

static void ring_for_ever(void *context) {
    (void)context;
    struct foreign foreign = meet();
    const uint8_t bell = LANES_BELL;
    while (send(foreign.fd, &bell, 1, MSG_NOSIGNAL) == 1)
        ;
}

static void test_bell_flood(void **state) {
    (void)state;
    chappe_endpoint *server = listen_at(""), *client = open_at("");
    check_served(server, client);
    pid_t ringers[2];
    for (size_t i = 0; i < COUNT(ringers); i++)
        ringers[i] = harness_fork(ring_for_ever, NULL);
    for (int i = 0; i < 300; i++)
        check_served(server, client);
    for (size_t i = 0; i < COUNT(ringers); i++) {
        harness_signal(ringers[i], SIGKILL);
        harness_wait(ringers[i]);
    }
    check_served(server, client);
    settle(server);
    assert_int_equal(statistics_of(server).clients, 1);
    close_end(client);
    close_end(server);
}

/* ---- a server that is none ---- */

/* Somebody else's socket in the place of the server's. */
static int take_place(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    harness_path(address.sun_path, sizeof address.sun_path, "shm.lanes.socket");
    assert_int_equal(unlink(address.sun_path), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 10), 0);
    return fd;
}

static void test_refused(void **state) {
    (void)state;
    char address[512];
    chappe_endpoint *server = listen_at(""), *client = NULL;
    chappe_message *message = NULL;
    write_address(address, sizeof address, "");
    int place = take_place();
    for (int round = 0; round < 4; round++) {
        check(chappe_open(address, NULL, CHAPPE_NOW, &client));
        int fd = accept4(place, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        const char *sentence = "Rversion 2 is spoken here";
        const char *said = round % 2 == 0 ? sentence : "R";
        send_packet(fd, said, strlen(said), NULL, 0);
        if (round < 2)
            close(fd);
        int outcome = chappe_receive(client, NULL, chappe_in_ms(LONG_MS), &message);
        expect_error(outcome, -EPROTO, round % 2 == 0 ? "version 2 is spoken here" : "refused");
        outcome = chappe_send(client, "x", 1, NULL, chappe_in_ms(LONG_MS));
        if (round < 2 && outcome >= 0) /* a closed connection is known after one look */
            outcome = chappe_send(client, "x", 1, NULL, chappe_in_ms(LONG_MS));
        assert_true(outcome < 0 || round >= 2);
        if (round >= 2)
            close(fd);
        close_end(client);
    }
    close(place);
    close_end(server);
}

static void test_rubbish_from_server(void **state) {
    (void)state;
    char address[512];
    chappe_endpoint *server = listen_at(""), *client = NULL;
    chappe_message *message = NULL;
    static const uint64_t headers[] = {UINT64_MAX, HEADER(LANE_MESSAGE, 0, 1 << 20),
                                       HEADER(LANE_NEXT, 0, 0), HEADER(9, 0, 0)};
    write_address(address, sizeof address, "");
    int place = take_place();
    for (size_t i = 0; i < COUNT(headers); i++) {
        union {
            char bytes[CMSG_SPACE(sizeof(int))];
            struct cmsghdr aligned;
        } space;
        struct lanes_hello hello;
        struct iovec part = {.iov_base = &hello, .iov_len = sizeof hello};
        struct msghdr packet = {.msg_iov = &part,
                                .msg_iovlen = 1,
                                .msg_control = space.bytes,
                                .msg_controllen = sizeof space};
        int file;
        check(chappe_open(address, NULL, CHAPPE_NOW, &client));
        int fd = accept4(place, NULL, NULL, SOCK_CLOEXEC);
        assert_int_equal(recvmsg(fd, &packet, MSG_CMSG_CLOEXEC), sizeof hello);
        assert_non_null(CMSG_FIRSTHDR(&packet));
        memcpy(&file, CMSG_DATA(CMSG_FIRSTHDR(&packet)), sizeof file);
        struct lanes_control *control = map_file(file, (size_t)hello.ticket.size);
        size_t ring = ((size_t)hello.ticket.size - sizeof *control) / 2 & ~(size_t)63;
        shared64_set((shared64 *)(void *)((uint8_t *)(control + 1) + ring), headers[i]);
        for (int j = 0; j < 3; j++)
            expect_error(chappe_receive(client, NULL, chappe_in_ms(LONG_MS), &message), -EBADMSG,
                         address);
        close_end(client);
        munmap(control, (size_t)hello.ticket.size);
        close(file);
        close(fd);
    }
    close(place);
    close_end(server);
}

/* ---- memory of other users ---- */

static void become_nobody(void) {
    assert_int_equal(setgroups(0, NULL), 0);
    assert_int_equal(setgid(NOBODY), 0);
    assert_int_equal(setuid(NOBODY), 0);
}

static int connect_map(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    harness_path(address.sun_path, sizeof address.sun_path, "open.socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail_msg("%s: %s", address.sun_path, strerror(errno));
    return fd;
}

/* A file that can be cut short is no memory for a server of another user: it would die of
 * SIGBUS when its client likes. */
static void cut_short(void *context) {
    int ready = *(int *)context;
    become_nobody();
    struct lanes_hello hello = hello_of(SIZE, BACKING_POSIX, -1);
    int fd = connect_map(), file = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(fallocate(file, 0, 0, (off_t)SIZE), 0);
    send_packet(fd, &hello, sizeof hello, &file, 1);
    struct lanes_control *control = map_file(file, SIZE);
    struct lane_writer out;
    lane_writer_start(&out, &control->lanes[0], control + 1,
                      (SIZE - sizeof *control) / 2 & ~(size_t)63);
    memcpy(lane_reserve(&out, 3), "cut", 3);
    lane_commit(&out, 3, 0, LANE_MESSAGE);
    const uint8_t bell = LANES_BELL;
    send_packet(fd, &bell, 1, NULL, 0);
    char text[1024];
    assert_int_equal(read(ready, text, 1), 1); /* the server has seen the message, or the hello */
    assert_int_equal(ftruncate(file, 0), 0);
    send_packet(fd, &bell, 1, NULL, 0);
    read_end(fd, text, sizeof text);
}

struct open_server {
    int ready;
};

static void serve_openly(void *context) {
    const struct open_server *state = context;
    char address[512];
    chappe_endpoint *server = NULL;
    chappe_message *message = NULL;
    snprintf(address, sizeof address, "map://%s/open?mode=0666", harness_directory());
    check(chappe_listen(address, NULL, CHAPPE_NOW, &server));
    int ready = state->ready;
    pid_t client = harness_fork(cut_short, &ready);
    while (statistics_of(server).clients == 0 && statistics_of(server).clients_cut_off == 0) {
        if (chappe_receive(server, NULL, chappe_in_ms(10), &message) == 0)
            chappe_release(message);
    }
    for (int i = 0; i < 20; i++)
        if (chappe_receive(server, NULL, chappe_in_ms(10), &message) == 0)
            chappe_release(message);
    assert_int_equal(write(state->ready, "", 1), 1);
    while (statistics_of(server).clients > 0)
        if (chappe_receive(server, NULL, chappe_in_ms(10), &message) == 0)
            chappe_release(message);
    harness_join(client);
    close_end(server);
}

static void test_cut_short(void **state) {
    (void)state;
    if (geteuid() != 0)
        harness_skip("becoming another user needs root");
    assert_int_equal(chmod(harness_directory(), 0755), 0);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    /* A pipe's end that both reads and writes: the file behind it, opened once more. */
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    struct open_server server = {.ready = open(path, O_RDWR | O_CLOEXEC)};
    assert_true(server.ready >= 0);
    int status = harness_wait(harness_fork(serve_openly, &server));
    if (WIFSIGNALED(status))
        fail_msg("a client of another user kills the server: %s", strsignal(WTERMSIG(status)));
    assert_int_equal(status, 0);
}

/* The number of a segment is its client's word: the server must not do with its own rights
 * what the client may not. */
static void name_segment(void *context) {
    struct lanes_hello hello = hello_of(SIZE, BACKING_SYSV, *(int *)context);
    char text[1024];
    become_nobody();
    assert_true(shmat(hello.ticket.id, NULL, 0) == (void *)-1); /* it may not */
    int fd = connect_map();
    send_packet(fd, &hello, sizeof hello, NULL, 0);
    text[0] = '\0';
    ssize_t got = recv(fd, text, sizeof text - 1, 0); /* attached, or refused, or the end */
    close(fd);
    if (got > 0 && text[0] == LANES_ATTACHED)
        fail_msg("the server attached to a segment of somebody else");
}

static void test_segment_of_others(void **state) {
    (void)state;
    if (geteuid() != 0)
        harness_skip("becoming another user needs root");
    assert_int_equal(chmod(harness_directory(), 0755), 0);
    char address[512];
    chappe_endpoint *server = NULL;
    chappe_message *message = NULL;
    snprintf(address, sizeof address, "map://%s/open?mode=0666", harness_directory());
    check(chappe_listen(address, NULL, CHAPPE_NOW, &server));
    int id = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600);
    assert_true(id >= 0);
    char *secret = shmat(id, NULL, 0);
    assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
    memset(secret, 0x55, SIZE);
    pid_t client = harness_fork(name_segment, &id);
    do {
        if (chappe_receive(server, NULL, chappe_in_ms(20), &message) == 0)
            chappe_release(message);
    } while (statistics_of(server).clients > 0 ||
             statistics_of(server).clients_cut_off + statistics_of(server).clients_refused == 0);
    harness_join(client);
    for (size_t i = 0; i < SIZE; i++)
        assert_int_equal(secret[i], 0x55);
    shmdt(secret);
    close_end(server);
}

static const struct harness_test tests[] = {
    {.name = "a foreign client that keeps the rules is served", .function = test_foreign_is_served},
    {.name = "hellos that are none", .function = test_hellos},
    {.name = "clients that say nothing", .function = test_silence},
    {.name = "headers that cannot be", .function = test_headers},
    {.name = "messages behind the end", .function = test_behind_the_end},
    {.name = "random memory", .function = test_random_memory},
    {.name = "random metadata", .function = test_random_metadata, .seconds = 120},
    {.name = "words of the other side", .function = test_control_words, .seconds = 120},
    {.name = "rings that are none", .function = test_next_rings},
    {.name = "a flood of descriptors", .function = test_descriptor_flood},
    {.name = "a flood of memory", .function = test_memory_flood},
    {.name = "bells without end", .function = test_bell_flood, .seconds = 120},
    {.name = "a server that refuses", .function = test_refused},
    {.name = "rubbish from a server", .function = test_rubbish_from_server},
    {.name = "memory of another user is cut short", .function = test_cut_short},
    {.name = "a segment of somebody else", .function = test_segment_of_others},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, COUNT(tests));
}
