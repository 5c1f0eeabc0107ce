/* SPDX-License-Identifier: MIT
 *
 * pipe:// and stdio://: inherited descriptors of every kind, whose flags belong to others,
 * and kernels that know neither RWF_NOWAIT nor RWF_NOSIGNAL. */
#include <chappe/chappe.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "harness/harness.h"
#include "os/os.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_MS 20000

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void make_pipe(int ends[2]) {
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
}

__attribute__((format(printf, 1, 2))) static chappe_endpoint *open_address(const char *format,
                                                                           ...) {
    char address[256];
    chappe_endpoint *endpoint = NULL;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(address, sizeof address, format, arguments);
    va_end(arguments);
    if (chappe_open(address, NULL, CHAPPE_NOW, &endpoint) != 0)
        fail_msg("%s", chappe_error());
    return endpoint;
}

static void expect(chappe_endpoint *endpoint, const char *text) {
    chappe_message *message = NULL;
    if (chappe_receive(endpoint, NULL, chappe_in_ms(LONG_MS), &message) != 0)
        fail_msg("%s", chappe_error());
    assert_int_equal(message->size, strlen(text));
    assert_memory_equal(message->data, text, message->size);
    chappe_release(message);
}

static void expect_error(int outcome, int error, const char *word) {
    assert_int_equal(outcome, error);
    if (strstr(chappe_error(), word) == NULL)
        fail_msg("the sentence does not name \"%s\": %s", word, chappe_error());
}

static void send_text(chappe_endpoint *endpoint, const char *text) {
    if (chappe_send(endpoint, text, strlen(text), NULL, chappe_in_ms(LONG_MS)) != 0)
        fail_msg("%s", chappe_error());
}

/* ---- the forms of an address ---- */

static void test_forms(void **state) {
    (void)state;
    int there[2], back[2];
    chappe_message *message = NULL;
    make_pipe(there);
    make_pipe(back);
    chappe_endpoint *a = open_address("pipe://%d,%d", back[0], there[1]);
    chappe_endpoint *b = open_address("pipe://%d,%d?frame=chappe", there[0], back[1]);
    chappe_endpoint *reader = open_address("pipe://%d", there[0]);
    chappe_endpoint *writer = open_address("pipe://-,%d", there[1]);
    chappe_endpoint *only = open_address("pipe://%d,-", there[0]);
    send_text(a, "there");
    expect(b, "there");
    send_text(b, "and back");
    expect(a, "and back");
    send_text(writer, "one way");
    expect(reader, "one way");
    expect_error(chappe_send(reader, "x", 1, NULL, CHAPPE_NOW), -EBADF, "not open for sending");
    expect_error(chappe_send(only, "x", 1, NULL, CHAPPE_NOW), -EBADF, "not open for sending");
    expect_error(chappe_receive(writer, NULL, CHAPPE_NOW, &message), -EBADF, "receiving");
    chappe_message *reply = NULL;
    expect_error(chappe_request(writer, "x", 1, NULL, CHAPPE_NOW, &reply), -ENOTSUP, "way back");
    send_text(writer, "no way back");
    assert_int_equal(chappe_receive(only, NULL, CHAPPE_NOW, &message), 0);
    chappe_token token;
    expect_error(chappe_token_of(message, &token), -ENOTSUP, "way back");
    chappe_release(message);
    chappe_endpoint *all[] = {a, b, reader, writer, only};
    for (size_t i = 0; i < COUNT(all); i++)
        assert_int_equal(chappe_close(all[i], CHAPPE_NOW, NULL), 0);
    /* The program's own descriptors are still open. */
    assert_int_equal(write(there[1], "x", 1), 1);
    assert_int_equal(close(there[0]) | close(there[1]) | close(back[0]) | close(back[1]), 0);
}

static void test_wrong_forms(void **state) {
    (void)state;
    int ends[2];
    char reads[64], writes[64];
    make_pipe(ends);
    snprintf(reads, sizeof reads, "pipe://-,%d", ends[0]);
    snprintf(writes, sizeof writes, "pipe://%d,-", ends[1]);
    const struct {
        const char *address;
        int error;
    } wrong[] = {
        {"pipe://", -EINVAL},      {"pipe://-", -EINVAL},      {"pipe://-,-", -EINVAL},
        {"pipe://x", -EINVAL},     {"pipe://3,", -EINVAL},     {"pipe://,3", -EINVAL},
        {"pipe://3,4,5", -EINVAL}, {"pipe://-3", -EINVAL},     {"pipe://99999999999", -EINVAL},
        {"pipe://900", -EBADF},    {"pipe://900,901", -EBADF}, {reads, -EBADF},
        {writes, -EBADF},          {"stdio://1", -EINVAL},     {"pipe://0?capacity=x", -EINVAL},
    };
    size_t before = harness_count_descriptors();
    for (size_t i = 0; i < COUNT(wrong); i++) {
        chappe_endpoint *endpoint = NULL;
        int outcome = chappe_open(wrong[i].address, NULL, CHAPPE_NOW, &endpoint);
        if (outcome != wrong[i].error && strcmp(wrong[i].address, "pipe://0?capacity=x") != 0)
            fail_msg("%s: %d, not %d: %s", wrong[i].address, outcome, wrong[i].error,
                     chappe_error());
        if (outcome == 0)
            chappe_close(endpoint, CHAPPE_NOW, NULL);
        else
            expect_error(outcome, outcome, wrong[i].address);
    }
    chappe_endpoint *a = NULL, *b = NULL;
    expect_error(chappe_pair("pipe://3,4", NULL, &a, &b), -EINVAL, "pipe://3,4");
    expect_error(chappe_listen("pipe://", NULL, CHAPPE_NOW, &a), -ENOTSUP, "listened on");
    expect_error(chappe_listen("stdio://", NULL, CHAPPE_NOW, &a), -ENOTSUP, "stdio");
    assert_true(a == NULL && b == NULL);
    assert_int_equal(harness_count_descriptors(), before);
}

static void test_stdio(void **state) {
    (void)state;
    int there[2], back[2], kept = dup(1);
    make_pipe(there);
    make_pipe(back);
    assert_int_equal(dup2(there[0], 0), 0);
    assert_int_equal(dup2(back[1], 1), 1);
    chappe_endpoint *own = open_address("stdio://");
    chappe_endpoint *other = open_address("pipe://%d,%d", back[0], there[1]);
    send_text(other, "in");
    expect(own, "in");
    send_text(own, "out");
    expect(other, "out");
    chappe_close(own, CHAPPE_NOW, NULL);
    close(1);
    own = open_address("stdio://"); /* one direction is all there is */
    expect_error(chappe_send(own, "x", 1, NULL, CHAPPE_NOW), -EBADF, "sending");
    send_text(other, "still in");
    expect(own, "still in");
    chappe_close(own, CHAPPE_NOW, NULL);
    close(0);
    expect_error(chappe_open("stdio://", NULL, CHAPPE_NOW, &own), -EBADF, "closed");
    assert_int_equal(open("/dev/null", O_RDONLY), 0);
    assert_int_equal(dup2(kept, 1), 1);
    chappe_close(other, CHAPPE_NOW, NULL);
}

static void test_capacity(void **state) {
    (void)state;
    chappe_endpoint *a, *b;
    char bytes[4000] = {0};
    uint64_t sent[2] = {0, 0};
    const char *const addresses[2] = {"pipe://?capacity=4K", "pipe://?capacity=256K"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(chappe_pair(addresses[i], NULL, &a, &b), 0);
        while (chappe_send(a, bytes, sizeof bytes, NULL, CHAPPE_NOW) == 0)
            sent[i]++;
        chappe_close(a, CHAPPE_NOW, NULL);
        chappe_close(b, CHAPPE_NOW, NULL);
    }
    assert_in_range(sent[0], 1, 2); /* the last one may be held in part */
    assert_in_range(sent[1], 60, 67);
    a = NULL;
    expect_error(chappe_pair("pipe://?capacity=2G", NULL, &a, &b), -EINVAL, "capacity");
    assert_null(a);
}

/* ---- descriptors of every kind ---- */

static void test_regular_file(void **state) {
    (void)state;
    char path[256];
    chappe_message *message;
    harness_path(path, sizeof path, "file");
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    chappe_endpoint *writer = open_address("pipe://-,%d?frame=line", file);
    send_text(writer, "first");
    send_text(writer, "second");
    chappe_undelivered left = {.size = sizeof left};
    assert_int_equal(chappe_close(writer, chappe_in_ms(LONG_MS), &left), 0);
    assert_int_equal(left.count, 0); /* it is in the file */
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    chappe_endpoint *reader = open_address("pipe://%d,-?frame=line", file);
    int pollable = chappe_fd(reader, CHAPPE_READABLE);
    struct pollfd item = {.fd = pollable, .events = POLLIN};
    assert_int_equal(poll(&item, 1, 0), 1); /* a file never makes anyone wait */
    expect(reader, "first");
    expect(reader, "second");
    for (int i = 0; i < 2; i++)
        assert_int_equal(chappe_receive(reader, NULL, CHAPPE_NOW, &message), CHAPPE_END);
    chappe_close(reader, CHAPPE_NOW, NULL);
    close(file);
}

static void test_full_disk(void **state) {
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    chappe_endpoint *endpoint = open_address("pipe://-,%d", full);
    expect_error(chappe_send(endpoint, "x", 1, NULL, CHAPPE_FOREVER), -ENOSPC, "No space");
    expect_error(chappe_send(endpoint, "x", 1, NULL, CHAPPE_NOW), -ENOSPC, "pipe://-,");
    chappe_close(endpoint, CHAPPE_NOW, NULL);
    close(full);
}

static void test_terminal(void **state) {
    (void)state;
    int main_side = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    chappe_message *message;
    assert_true(main_side >= 0);
    assert_int_equal(grantpt(main_side) | unlockpt(main_side), 0);
    int terminal = open(ptsname(main_side), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0);
    struct termios settings;
    assert_int_equal(tcgetattr(terminal, &settings), 0);
    cfmakeraw(&settings);
    assert_int_equal(tcsetattr(terminal, TCSANOW, &settings), 0);
    chappe_endpoint *endpoint = open_address("pipe://%d?frame=line", terminal);
    int outcome = chappe_receive(endpoint, NULL, CHAPPE_NOW, &message);
    assert_int_equal(outcome, -EAGAIN);
    chappe_deadline deadline = chappe_in_ms(20);
    assert_int_equal(chappe_receive(endpoint, NULL, deadline, &message), -ETIMEDOUT);
    assert_true(now_ns() >= deadline);
    assert_int_equal(write(main_side, "typed\n", 6), 6);
    expect(endpoint, "typed");
    char shown[8] = "";
    send_text(endpoint, "shown");
    assert_int_equal(read(main_side, shown, sizeof shown), 6);
    assert_memory_equal(shown, "shown\n", 6);
    chappe_close(endpoint, CHAPPE_NOW, NULL);
    close(terminal);
    close(main_side);
}

static void test_socket(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    chappe_endpoint *a = open_address("pipe://%d", ends[0]);
    chappe_endpoint *b = open_address("pipe://%d", ends[1]);
    send_text(a, "there");
    expect(b, "there");
    send_text(b, "back");
    expect(a, "back");
    chappe_close(b, CHAPPE_NOW, NULL);
    close(ends[1]);
    /* The test has SIGPIPE at its default and not blocked. */
    assert_int_equal(chappe_send(a, "x", 1, NULL, CHAPPE_NOW), -EPIPE);
    chappe_close(a, CHAPPE_NOW, NULL);
    close(ends[0]);
}

/* ---- flags that belong to others ---- */

static void write_later(void *context) {
    const int *ends = context;
    char byte;
    close(ends[3]);
    assert_int_equal(read(ends[2], &byte, 1), 0); /* the reader is about to wait */
    chappe_endpoint *writer = open_address("pipe://-,%d", ends[1]);
    send_text(writer, "late");
    chappe_close(writer, CHAPPE_NOW, NULL);
}

/* Blocking calls wait although the shared description does not, and leave it so. */
static void check_nonblocking(int flags) {
    int ends[4];
    make_pipe(ends);
    make_pipe(ends + 2);
    assert_int_equal(fcntl(ends[0], F_SETFL, flags), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, flags), 0);
    int before[2] = {fcntl(ends[0], F_GETFL), fcntl(ends[1], F_GETFL)};
    pid_t peer = harness_fork(write_later, ends);
    chappe_endpoint *reader = open_address("pipe://%d", ends[0]);
    chappe_message *message = NULL;
    assert_int_equal(chappe_receive(reader, NULL, CHAPPE_NOW, &message), -EAGAIN);
    close(ends[3]);
    assert_int_equal(chappe_receive(reader, NULL, CHAPPE_FOREVER, &message), 0);
    assert_memory_equal(message->data, "late", 4);
    chappe_release(message);
    harness_join(peer);
    char bytes[50000] = {0};
    chappe_endpoint *writer = open_address("pipe://-,%d", ends[1]);
    while (chappe_send(writer, bytes, sizeof bytes, NULL, CHAPPE_NOW) == 0)
        ;
    chappe_deadline deadline = chappe_in_ms(20);
    assert_int_equal(chappe_send(writer, bytes, sizeof bytes, NULL, deadline), -ETIMEDOUT);
    assert_true(now_ns() >= deadline);
    assert_int_equal(fcntl(ends[0], F_GETFL), before[0]);
    assert_int_equal(fcntl(ends[1], F_GETFL), before[1]);
    chappe_close(writer, CHAPPE_NOW, NULL);
    chappe_close(reader, CHAPPE_NOW, NULL);
    for (int i = 0; i < 3; i++)
        close(ends[i]);
}

static void test_flags(void **state) {
    (void)state;
    check_nonblocking(0);
    check_nonblocking(O_NONBLOCK);
}

/* ---- kernels that know less ---- */

static struct os_calls real;
static int refused_flags; /* RWF_… that this kernel does not know */

static ssize_t old_write(int fd, const struct iovec *parts, int count, off_t at, int flags) {
    if ((flags & refused_flags) == 0)
        return real.pwritev2(fd, parts, count, at, flags);
    errno = EOPNOTSUPP;
    return -1;
}

static ssize_t old_read(int fd, const struct iovec *parts, int count, off_t at, int flags) {
    if ((flags & refused_flags) == 0)
        return real.preadv2(fd, parts, count, at, flags);
    errno = EOPNOTSUPP;
    return -1;
}

static void use_old_kernel(int flags) {
    refused_flags = flags;
    real = os_calls;
    os_calls.pwritev2 = old_write;
    os_calls.preadv2 = old_read;
}

static bool is_pending(int signal) {
    sigset_t pending;
    assert_int_equal(sigpending(&pending), 0);
    return sigismember(&pending, signal) == 1;
}

/* SIGPIPE is at its default: if one came out, this process would be gone. */
static void check_gone(void) {
    int ends[2];
    sigset_t before, after;
    make_pipe(ends);
    chappe_endpoint *writer = open_address("pipe://-,%d", ends[1]);
    close(ends[0]);
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &before), 0);
    assert_int_equal(chappe_send(writer, "x", 1, NULL, CHAPPE_FOREVER), -EPIPE);
    assert_int_equal(chappe_send(writer, "x", 1, NULL, chappe_in_ms(50)), -EPIPE);
    assert_int_equal(chappe_send(writer, "x", 1, NULL, CHAPPE_NOW), -EPIPE);
    assert_false(is_pending(SIGPIPE));
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &after), 0);
    assert_int_equal(sigismember(&after, SIGPIPE), sigismember(&before, SIGPIPE));

    /* One that the program has pending is the program's. */
    sigset_t pipe_only;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    assert_int_equal(sigprocmask(SIG_BLOCK, &pipe_only, NULL), 0);
    assert_int_equal(raise(SIGPIPE), 0);
    assert_int_equal(chappe_send(writer, "x", 1, NULL, CHAPPE_NOW), -EPIPE);
    assert_true(is_pending(SIGPIPE));
    const struct timespec at_once = {0};
    assert_int_equal(sigtimedwait(&pipe_only, NULL, &at_once), SIGPIPE);
    assert_false(is_pending(SIGPIPE));
    assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    chappe_close(writer, CHAPPE_NOW, NULL);
    close(ends[1]);
}

static void receive_slowly(void *context) {
    const int *ends = context;
    char byte;
    close(ends[1]);
    close(ends[3]);
    assert_int_equal(read(ends[2], &byte, 1), 0); /* until the writer is full */
    chappe_endpoint *reader = open_address("pipe://%d", ends[0]);
    chappe_message *message;
    char last = -1;
    while (chappe_receive(reader, NULL, chappe_in_ms(LONG_MS), &message) == 0) {
        const char *bytes = message->data;
        assert_int_equal(message->size, 50000);
        assert_int_equal(bytes[0], last + 1);
        assert_memory_equal(bytes, bytes + 1, message->size - 1);
        last = bytes[0];
        chappe_release(message);
    }
    assert_true(last > 0);
    chappe_close(reader, CHAPPE_NOW, NULL);
}

/* Deadlines hold, and what was begun arrives whole. */
static void check_deadlines(void) {
    int ends[4];
    char bytes[50000];
    make_pipe(ends);
    make_pipe(ends + 2);
    pid_t peer = harness_fork(receive_slowly, ends);
    chappe_endpoint *reader = open_address("pipe://%d", ends[0]);
    chappe_message *message;
    chappe_deadline deadline = chappe_in_ms(20);
    assert_int_equal(chappe_receive(reader, NULL, CHAPPE_NOW, &message), -EAGAIN);
    assert_int_equal(chappe_receive(reader, NULL, deadline, &message), -ETIMEDOUT);
    assert_true(now_ns() >= deadline);
    chappe_close(reader, CHAPPE_NOW, NULL);
    close(ends[0]);
    chappe_endpoint *writer = open_address("pipe://-,%d", ends[1]);
    close(ends[1]);
    int outcome = 0;
    for (char i = 0; outcome == 0; i++) {
        memset(bytes, i, sizeof bytes);
        deadline = chappe_in_ms(20);
        outcome = chappe_send(writer, bytes, sizeof bytes, NULL, i < 1 ? CHAPPE_NOW : deadline);
    }
    assert_int_equal(outcome, -ETIMEDOUT);
    assert_true(now_ns() >= deadline);
    close(ends[2]);
    close(ends[3]);
    chappe_undelivered left = {.size = sizeof left};
    assert_int_equal(chappe_close(writer, chappe_in_ms(LONG_MS), &left), 0);
    assert_int_equal(left.count, 0);
    harness_join(peer);
}

static void test_old_kernel(void **state) {
    const int *flags = *state;
    use_old_kernel(*flags);
    check_gone();
    check_deadlines();
    check_nonblocking(0);
    check_nonblocking(O_NONBLOCK);
}

int main(int argc, char **argv) {
    static const int none = 0, nosignal = 0x100, both = 0x108;
    static const struct harness_test tests[] = {
        {.name = "forms of an address", .function = test_forms},
        {.name = "wrong forms", .function = test_wrong_forms},
        {.name = "stdio://", .function = test_stdio},
        {.name = "capacity=", .function = test_capacity},
        {.name = "a regular file", .function = test_regular_file},
        {.name = "a full disk", .function = test_full_disk},
        {.name = "a terminal", .function = test_terminal},
        {.name = "a socket", .function = test_socket},
        {.name = "flags of the descriptors", .function = test_flags},
        {.name = "this kernel", .function = test_old_kernel, .context = &none},
        {.name = "a kernel without RWF_NOSIGNAL",
         .function = test_old_kernel,
         .context = &nosignal},
        {.name = "a kernel without both flags", .function = test_old_kernel, .context = &both},
    };
    return harness_main(argc, argv, tests, COUNT(tests));
}
