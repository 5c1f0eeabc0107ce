/* SPDX-License-Identifier: MIT
 *
 * The floor that calls the kernel: deadlines, reading and writing with and without the
 * kernel's newer flags, sealed bodies, the mark of a process. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/harness.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif

/* ---- deadlines ---- */

static void test_nothing_ready(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(os_pipe(ends), 0);
    struct pollfd item = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(os_wait(&item, 1, 0), -EAGAIN);
    assert_int_equal(os_wait(&item, 1, os_now() - 1), -ETIMEDOUT);
    int64_t deadline = os_now() + 3000000;
    assert_int_equal(os_wait(&item, 1, deadline), -ETIMEDOUT);
    assert_true(os_now() >= deadline);
    int watch = os_watch_create();
    struct epoll_event event;
    assert_int_equal(os_watch(watch, ends[0], EPOLLIN, 5), 0);
    assert_int_equal(os_watch_wait(watch, &event, 1, 0), -EAGAIN);
    assert_int_equal(os_watch_wait(watch, &event, 1, os_now() + 1000000), -ETIMEDOUT);
    assert_int_equal(os_write_all(ends[1], "x", 1), 0);
    assert_int_equal(os_watch_wait(watch, &event, 1, INT64_MAX), 1);
    assert_int_equal(event.data.u64, 5);
    assert_int_equal(os_wait(&item, 1, INT64_MAX), 1);
    assert_int_equal(os_wait(&item, 1, 0), 1);
}

static int waits; /* calls of the stand-in */

static int interrupted_ppoll(struct pollfd *items, nfds_t count, const struct timespec *span,
                             const sigset_t *mask) {
    (void)mask;
    if (++waits < 4) {
        errno = EINTR;
        return -1;
    }
    return ppoll(items, count, span, NULL);
}

static void test_a_signal_does_not_end_a_wait(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(os_pipe(ends), 0);
    struct pollfd item = {.fd = ends[0], .events = POLLIN};
    os_calls.ppoll = interrupted_ppoll;
    assert_int_equal(os_wait(&item, 1, os_now() + 1000000), -ETIMEDOUT);
    assert_int_equal(waits, 4);
}

static void test_a_bell(void **state) {
    (void)state;
    int bell = os_bell_create();
    struct pollfd item = {.fd = bell, .events = POLLIN};
    assert_int_equal(os_wait(&item, 1, 0), -EAGAIN);
    os_bell_hush(bell); /* an empty one: does not wait */
    os_bell_ring(bell);
    os_bell_ring(bell);
    assert_int_equal(os_wait(&item, 1, 0), 1);
    os_bell_hush(bell);
    assert_int_equal(os_wait(&item, 1, 0), -EAGAIN);
}

/* ---- reading and writing, on kernels old and new ---- */

static int unknown_flags;

static ssize_t older_preadv2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
    if ((flags & unknown_flags) != 0) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return preadv2(fd, parts, count, at, flags & ~RWF_NOSIGNAL);
}

static ssize_t older_pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
    if ((flags & unknown_flags) != 0) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return pwritev2(fd, parts, count, at, flags);
}

static void read_and_write(int flags) {
    static char bytes[200000], back[200000];
    struct os_abilities in = {0}, out = {0};
    int ends[2];
    unknown_flags = flags;
    os_calls.preadv2 = older_preadv2;
    os_calls.pwritev2 = older_pwritev2;
    assert_int_equal(os_pipe(ends), 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7 + (i >> 8));
    assert_int_equal(os_read(ends[0], &in, back, 1, false), -EAGAIN);
    size_t sent = 0, got = 0;
    for (int i = 0; i < 10000 && got < sizeof bytes; i++) {
        const struct iovec parts[2] = {{.iov_base = bytes + sent, .iov_len = sent < 1000 ? 10 : 0},
                                       {.iov_base = bytes + sent + (sent < 1000 ? 10 : 0),
                                        .iov_len = sizeof bytes - sent - (sent < 1000 ? 10 : 0)}};
        ssize_t some = sent < sizeof bytes ? os_write(ends[1], &out, parts, 2, false) : -EAGAIN;
        assert_true(some > 0 || some == -EAGAIN);
        sent += some > 0 ? (size_t)some : 0;
        some = os_read(ends[0], &in, back + got, sizeof back - got, i % 3 != 0 && sent > got + 1);
        assert_true(some > 0 || some == -EAGAIN);
        got += some > 0 ? (size_t)some : 0;
    }
    assert_int_equal(got, sizeof bytes);
    assert_memory_equal(bytes, back, sizeof bytes);
    if ((flags & RWF_NOWAIT) != 0)
        assert_true(in.no_nowait && out.no_nowait);
    if ((flags & RWF_NOSIGNAL) != 0)
        assert_true(out.no_nosignal);
    os_close(ends[0]);
    const struct iovec part = {.iov_base = bytes, .iov_len = 10};
    assert_int_equal(os_write(ends[1], &out, &part, 1, false), -EPIPE); /* no SIGPIPE */
    assert_int_equal(os_write(ends[1], &out, &part, 1, true), -EPIPE);
}

static void test_this_kernel(void **state) {
    (void)state;
    read_and_write(0);
}

static void test_without_nowait(void **state) {
    (void)state;
    read_and_write(RWF_NOWAIT);
}

static void test_without_nosignal(void **state) {
    (void)state;
    read_and_write(RWF_NOSIGNAL);
}

static void test_without_both(void **state) {
    (void)state;
    read_and_write(RWF_NOWAIT | RWF_NOSIGNAL);
}

/* A signal that waited before stays, one of ours does not, the mask is as it was. */
static void test_signals_of_the_caller(void **state) {
    (void)state;
    sigset_t pipe_only, waiting, mask;
    struct os_abilities abilities = {0};
    int ends[2];
    unknown_flags = RWF_NOSIGNAL;
    os_calls.pwritev2 = older_pwritev2;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, NULL);
    raise(SIGPIPE);
    assert_int_equal(os_pipe(ends), 0);
    os_close(ends[0]);
    char text[] = "x";
    const struct iovec part = {.iov_base = text, .iov_len = 1};
    assert_int_equal(os_write(ends[1], &abilities, &part, 1, true), -EPIPE);
    sigpending(&waiting);
    assert_int_equal(sigismember(&waiting, SIGPIPE), 1);
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGPIPE), 1);
    const struct timespec at_once = {0};
    assert_int_equal(sigtimedwait(&pipe_only, NULL, &at_once), SIGPIPE);
    assert_int_equal(os_write(ends[1], &abilities, &part, 1, true), -EPIPE);
    sigpending(&waiting);
    assert_int_equal(sigismember(&waiting, SIGPIPE), 0);
}

/* ---- sealed bodies ---- */

static void test_sealed_body(void **state) {
    (void)state;
    static const char bytes[5000] = "a body";
    void *memory = NULL;
    int fd = os_sealed_body(bytes, sizeof bytes);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 10), -1);
    assert_int_equal(ftruncate(fd, 10000), -1);
    assert_int_equal(os_map_sealed(fd, sizeof bytes - 1, &memory), -EBADMSG);
    assert_int_equal(os_map_sealed(fd, sizeof bytes + 1, &memory), -EBADMSG);
    assert_int_equal(os_map_sealed(fd, 0, &memory), -EBADMSG);
    assert_null(memory);
    assert_int_equal(os_map_sealed(fd, sizeof bytes, &memory), 0);
    assert_memory_equal(memory, bytes, sizeof bytes);
    os_unmap(memory, sizeof bytes);
    static char copy[sizeof bytes];
    for (int i = 0; i < 2; i++) { /* twice: a reader does not move what others read from */
        memset(copy, 0, sizeof copy);
        assert_int_equal(os_read_sealed(fd, copy, sizeof copy), 0);
        assert_memory_equal(copy, bytes, sizeof bytes);
    }
    assert_int_equal(os_read_sealed(fd, copy, sizeof copy - 1), -EBADMSG);
    os_close(fd);
}

static void test_unsealed_bodies(void **state) {
    (void)state;
    static const int seals[] = {0, F_SEAL_SHRINK, F_SEAL_WRITE, F_SEAL_GROW};
    void *memory = NULL;
    for (size_t i = 0; i < sizeof seals / sizeof seals[0]; i++) {
        int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(ftruncate(fd, 100), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, seals[i]), 0);
        char bytes[100];
        assert_int_equal(os_map_sealed(fd, 100, &memory), -EPERM);
        assert_int_equal(os_read_sealed(fd, bytes, sizeof bytes), -EPERM);
        close(fd);
    }
    int ends[2];
    assert_int_equal(os_pipe(ends), 0);
    assert_int_equal(os_map_sealed(ends[0], 100, &memory), -EPERM);
    assert_null(memory);
}

/* ---- the process ---- */

static void *read_mark(void *context) {
    *(uint64_t *)context = os_process_mark();
    return NULL;
}

static void test_mark_of_threads(void **state) {
    (void)state;
    uint64_t marks[8] = {0};
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_mark, &marks[i]), 0);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < 8; i++)
        assert_true(marks[i] != 0 && marks[i] == marks[0]);
    assert_true(os_process_mark() == marks[0]);
}

static void test_mark_of_forks(void **state) {
    (void)state;
    uint64_t mark = os_process_mark();
    uint64_t *marks = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) {
        marks[0] = os_process_mark();
        if (fork() == 0) {
            marks[1] = os_process_mark();
            _exit(0);
        }
        wait(NULL);
        marks[2] = os_process_mark();
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(mark != 0 && marks[0] != 0 && marks[1] != 0);
    assert_true(mark != marks[0] && marks[0] != marks[1] && mark != marks[1]);
    assert_true(marks[0] == marks[2]);
    assert_true(os_process_mark() == mark);
}

static void test_shared_word(void **state) {
    (void)state;
    uint64_t *word = os_shared_word();
    assert_non_null(word);
    assert_true(*word == 0);
    pid_t child = fork();
    if (child == 0) {
        *word = 99;
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(*word == 99);
    os_shared_word_free(word);
    os_shared_word_free(NULL);
}

static const struct harness_test tests[] = {
    {.name = "nothing is ready", .function = test_nothing_ready},
    {.name = "a signal does not end a wait", .function = test_a_signal_does_not_end_a_wait},
    {.name = "a bell", .function = test_a_bell},
    {.name = "reads and writes with this kernel", .function = test_this_kernel},
    {.name = "reads and writes without RWF_NOWAIT", .function = test_without_nowait},
    {.name = "reads and writes without RWF_NOSIGNAL", .function = test_without_nosignal},
    {.name = "reads and writes without both", .function = test_without_both},
    {.name = "the signals of the caller stay", .function = test_signals_of_the_caller},
    {.name = "a sealed body", .function = test_sealed_body},
    {.name = "a body that is not sealed", .function = test_unsealed_bodies},
    {.name = "one mark for all threads", .function = test_mark_of_threads},
    {.name = "another mark for every fork", .function = test_mark_of_forks},
    {.name = "a word that forks share", .function = test_shared_word},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
