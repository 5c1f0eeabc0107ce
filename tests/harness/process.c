/* SPDX-License-Identifier: MIT
 *
 * Other processes of a test: forked peers, spawned programs, commands that are run
 * to their end.
 */
#include "harness.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PEERS_MAX 1024 /* peers of one test that were not waited for yet */

static pid_t peers[PEERS_MAX];
static size_t peer_count;

/* ---- peers ------------------------------------------------------------------------ */

static pid_t fork_peer(void) {
    assert_true(peer_count < PEERS_MAX);
    fflush(NULL); /* or the child would print it again */
    pid_t peer = fork();
    if (peer < 0)
        fail_msg("fork: %s", strerror(errno));
    if (peer == 0)
        peer_count = 0;
    else
        peers[peer_count++] = peer;
    return peer;
}

pid_t harness_fork(void (*function)(void *context), void *context) {
    pid_t peer = fork_peer();
    if (peer == 0) {
        function(context);
        harness_join_all();
        exit(0);
    }
    return peer;
}

static _Noreturn void execute(const char *const *argv, const int descriptors[3]) {
    int copies[3];
    for (int i = 0; i < 3; i++) {
        int from = descriptors[i] >= 0 ? descriptors[i] : i;
        if (descriptors[i] < 0 && i == 0)
            from = open("/dev/null", O_RDONLY | O_CLOEXEC);
        copies[i] = fcntl(from, F_DUPFD_CLOEXEC, 3);
    }
    for (int i = 0; i < 3; i++)
        if (copies[i] < 0 || dup2(copies[i], i) < 0)
            _exit(127);
    /* execvp() promises not to change the strings. */
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

pid_t harness_spawn(const char *const *argv, const int descriptors[3]) {
    static const int none[3] = {-1, -1, -1};
    pid_t peer = fork_peer();
    if (peer == 0)
        execute(argv, descriptors ? descriptors : none);
    return peer;
}

static size_t find_peer(pid_t peer) {
    size_t i = 0;
    while (i < peer_count && peers[i] != peer)
        i++;
    if (i == peer_count)
        fail_msg("process %d is no peer, or was waited for already", (int)peer);
    return i;
}

int harness_wait(pid_t peer) {
    size_t place = find_peer(peer);
    int status;
    pid_t answer;
    do {
        answer = waitpid(peer, &status, 0);
    } while (answer < 0 && errno == EINTR);
    if (answer < 0)
        fail_msg("waitpid: %s", strerror(errno));
    peers[place] = peers[--peer_count];
    return status;
}

void harness_join(pid_t peer) {
    int status = harness_wait(peer);
    if (WIFSIGNALED(status))
        fail_msg("peer %d was killed by signal %d (%s)", (int)peer, WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) != 0)
        fail_msg("peer %d exited with status %d", (int)peer, WEXITSTATUS(status));
}

void harness_join_all(void) {
    while (peer_count > 0)
        harness_join(peers[peer_count - 1]);
}

void harness_signal(pid_t peer, int signal) {
    find_peer(peer);
    assert_int_equal(kill(peer, signal), 0);
}

/* ---- commands ----------------------------------------------------------------------- */

struct capture {
    int descriptor; /* -1 at its end */
    char *data;
    size_t size;
    size_t capacity;
};

struct child {
    pid_t process;
    pid_t feeder; /* writes the input, so that this process needs no care for SIGPIPE */
    struct capture captures[2];
};

static void make_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) < 0)
        fail_msg("pipe2: %s", strerror(errno));
}

static int64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static pid_t start_feeder(const struct harness_command *command, int input) {
    pid_t feeder = fork();
    if (feeder != 0)
        return feeder;
    const char *bytes = command->input;
    dup2(input, 0);
    close_range(3, ~0U, 0);
    for (size_t done = 0; done < command->input_size;) {
        ssize_t size = write(0, bytes + done, command->input_size - done);
        if (size < 0 && errno != EINTR)
            _exit(1);
        done += size > 0 ? (size_t)size : 0;
    }
    _exit(0);
}

static void start_child(const struct harness_command *command, struct child *ret_child) {
    int input[2], output[2], errors[2];
    make_pipe(input);
    make_pipe(output);
    make_pipe(errors);
    fflush(NULL);

    ret_child->process = fork();
    if (ret_child->process == 0) {
        setpgid(0, 0);
        execute(command->argv, (const int[]){input[0], output[1], errors[1]});
    }
    ret_child->feeder = start_feeder(command, input[1]);
    if (ret_child->process < 0 || ret_child->feeder < 0)
        fail_msg("fork: %s", strerror(errno));
    setpgid(ret_child->process, ret_child->process);
    close(input[0]);
    close(input[1]);
    close(output[1]);
    close(errors[1]);
    ret_child->captures[0] = (struct capture){.descriptor = output[0]};
    ret_child->captures[1] = (struct capture){.descriptor = errors[0]};
}

static void read_some(struct capture *capture) {
    if (capture->capacity - capture->size < 4096) {
        capture->capacity = capture->capacity ? capture->capacity * 2 : 16384;
        capture->data = realloc(capture->data, capture->capacity);
        assert_non_null(capture->data);
    }
    /* One byte stays free for the NUL byte. */
    ssize_t size = read(capture->descriptor, capture->data + capture->size,
                        capture->capacity - capture->size - 1);
    if (size < 0 && errno == EINTR)
        return;
    if (size > 0) {
        capture->size += (size_t)size;
        return;
    }
    close(capture->descriptor);
    capture->descriptor = -1;
}

/* Reads until both outputs end and the process is dead. Result: false at the deadline. */
static bool follow(struct child *child, int64_t deadline_ms) {
    int process = pidfd_open(child->process, 0);
    assert_true(process >= 0);
    bool alive = true, in_time = true;

    while (in_time &&
           (alive || child->captures[0].descriptor >= 0 || child->captures[1].descriptor >= 0)) {
        struct pollfd items[3] = {
            {.fd = child->captures[0].descriptor, .events = POLLIN},
            {.fd = child->captures[1].descriptor, .events = POLLIN},
            {.fd = alive ? process : -1, .events = POLLIN},
        };
        int64_t left = deadline_ms - now_ms();
        int ready = left > 0 ? poll(items, 3, (int)left) : 0;
        in_time = ready != 0;
        for (int i = 0; ready > 0 && i < 2; i++)
            if (items[i].revents)
                read_some(&child->captures[i]);
        if (ready > 0 && items[2].revents)
            alive = false;
    }
    close(process);
    return in_time;
}

static void finish_capture(struct capture *capture, char **ret_data, size_t *ret_size) {
    if (capture->descriptor >= 0)
        close(capture->descriptor);
    if (!capture->data)
        capture->data = malloc(1);
    assert_non_null(capture->data);
    capture->data[capture->size] = '\0';
    *ret_data = capture->data;
    *ret_size = capture->size;
}

void harness_run(const struct harness_command *command, struct harness_result *ret_result) {
    struct child child;
    int status;
    unsigned seconds = command->seconds ? command->seconds : HARNESS_SECONDS;

    prctl(PR_SET_CHILD_SUBREAPER, 1); /* to reap what a killed command leaves */
    start_child(command, &child);
    *ret_result = (struct harness_result){0};
    ret_result->timed_out = !follow(&child, now_ms() + (int64_t)seconds * 1000);

    /* Neither is reaped yet, so the numbers are still theirs. */
    if (ret_result->timed_out)
        kill(-child.process, SIGKILL);
    kill(child.feeder, SIGKILL);
    waitpid(child.feeder, NULL, 0);
    while (waitpid(child.process, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    while (ret_result->timed_out && waitpid(-child.process, NULL, 0) > 0)
        ;
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    ret_result->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    finish_capture(&child.captures[0], &ret_result->output, &ret_result->output_size);
    finish_capture(&child.captures[1], &ret_result->errors, &ret_result->errors_size);
}

void harness_result_free(struct harness_result *result) {
    free(result->output);
    free(result->errors);
    *result = (struct harness_result){0};
}
