/* SPDX-License-Identifier: MIT
 *
 * Conformance: waiting for many things at once, and the pollable descriptor. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "conformance/conformance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The far side does what it is told. */
enum order { ORDER_SEND, ORDER_SEND_TYPED, ORDER_SEND_BATCH, ORDER_RECEIVE, ORDER_END };

static void obey(struct side *side, void *context) {
    (void)context;
    for (uint64_t order; (order = side_await(side)) != ORDER_END; side_tell(side, order)) {
        chappe_settings typed = {.size = sizeof typed, .correlation = 9};
        chappe_item items[10];
        for (size_t i = 0; i < COUNT(items); i++)
            items[i] = (chappe_item){.data = "item", .size = 4};
        if (order == ORDER_SEND)
            side_send_content(side, 50, 1, NULL, chappe_in_ms(LONG_MS));
        if (order == ORDER_SEND_TYPED)
            side_send_content(side, 60, 2, &typed, chappe_in_ms(LONG_MS));
        if (order == ORDER_SEND_BATCH)
            assert_int_equal(
                ok(chappe_send_batch(side->endpoint, items, COUNT(items), chappe_in_ms(LONG_MS))),
                COUNT(items));
        if (order == ORDER_RECEIVE)
            chappe_release(side_receive(side));
    }
}

static void command(struct side *near, enum order order) {
    side_tell(near, order);
    assert_int_equal(side_await(near), order);
}

static void end_obedience(struct side *near) {
    side_tell(near, ORDER_END);
    part(near);
}

/* Readable in vain is possible, but not after a receive in vain. */
static void settle(struct side *near) {
    side_expect_nothing(near);
}

/* ---- chappe_wait ---- */

static void wait_readable(struct side *near, chappe_wait_item items[3], int pipe_end) {
    const chappe_filter filter = {.size = sizeof filter, .correlation = 9};
    chappe_message *message = NULL;
    settle(near);
    fails(chappe_wait(items, 3, CHAPPE_NOW), -EAGAIN, NULL);
    chappe_deadline deadline = chappe_in_ms(20);
    fails(chappe_wait(items, 3, deadline), -ETIMEDOUT, NULL);
    assert_true(now_ns() >= deadline);

    assert_int_equal(write(pipe_end, "x", 1), 1);
    assert_int_equal(ok(chappe_wait(items, 3, CHAPPE_FOREVER)), 1);
    assert_int_equal(items[0].ready, 0);
    assert_int_equal(items[1].ready, CHAPPE_READABLE);
    assert_int_equal(items[2].ready, 0);

    command(near, ORDER_SEND);
    assert_int_equal(ok(chappe_wait(items, 3, chappe_in_ms(LONG_MS))), 2);
    assert_int_equal(items[0].ready, CHAPPE_READABLE);

    /* Set aside, it is there for a receive without a filter, and not for one with it. */
    fails(chappe_receive(near->endpoint, &filter, CHAPPE_NOW, &message), -EAGAIN, NULL);
    assert_int_equal(ok(chappe_wait(items, 1, CHAPPE_NOW)), 1);
    items[0].filter = &filter;
    fails(chappe_wait(items, 1, CHAPPE_NOW), -EAGAIN, NULL);
    command(near, ORDER_SEND_TYPED);
    assert_int_equal(ok(chappe_wait(items, 1, chappe_in_ms(LONG_MS))), 1);
    ok(chappe_receive(near->endpoint, &filter, CHAPPE_NOW, &message));
    assert_int_equal(message->size, 60);
    chappe_release(message);
    items[0].filter = NULL;
    side_expect(near, 50, 1);
    settle(near);
    fails(chappe_wait(items, 1, CHAPPE_NOW), -EAGAIN, NULL);
}

static void test_wait(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, obey, NULL);
    int ends[2], process = pidfd_open(near.peer, 0);
    assert_true(process >= 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    chappe_wait_item items[3] = {
        {.endpoint = near.endpoint, .events = CHAPPE_READABLE},
        {.descriptor = ends[0], .events = CHAPPE_READABLE},
        {.descriptor = process, .events = CHAPPE_READABLE},
    };
    wait_readable(&near, items, ends[1]);

    side_tell(&near, ORDER_END);
    assert_int_equal(ok(chappe_wait(&items[2], 1, chappe_in_ms(LONG_MS))), 1);
    assert_int_equal(items[2].ready, CHAPPE_READABLE);
    if (trial->connections && trial->way != WAY_SERVER) {
        assert_int_equal(ok(chappe_wait(items, 1, CHAPPE_NOW)), 1);
        assert_true((items[0].ready & CHAPPE_READABLE) != 0);
        chappe_message *message;
        assert_int_equal(chappe_receive(near.endpoint, NULL, CHAPPE_NOW, &message), CHAPPE_END);
    }
    close(ends[0]);
    close(ends[1]);
    close(process);
    part(&near);
}

static void test_wait_wrong(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, obey, NULL);
    chappe_wait_item item = {.endpoint = near.endpoint, .events = CHAPPE_READABLE};
    fails(chappe_wait(&item, 0, CHAPPE_NOW), -EINVAL, NULL);
    fails(chappe_wait(NULL, 1, CHAPPE_NOW), -EINVAL, NULL);
    fails(chappe_wait(&item, 1, 250), -EINVAL, "deadline");
    item.events = 64;
    fails(chappe_wait(&item, 1, CHAPPE_NOW), -EINVAL, "0x40");
    item.events = CHAPPE_READABLE;
    item.flags = 1;
    fails(chappe_wait(&item, 1, CHAPPE_NOW), -EINVAL, NULL);
    item = (chappe_wait_item){.descriptor = -1, .events = CHAPPE_READABLE};
    fails(chappe_wait(&item, 1, CHAPPE_NOW), -EINVAL, NULL);
    fails(chappe_fd(near.endpoint, 0), -EINVAL, NULL);
    fails(chappe_fd(near.endpoint, 64), -EINVAL, NULL);
    end_obedience(&near);
}

/* Many items: memory of its own, and the ready one is the last. */
static void test_wait_hundred(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, obey, NULL);
    chappe_wait_item items[100];
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (size_t i = 0; i < COUNT(items); i++)
        items[i] = (chappe_wait_item){.descriptor = ends[0], .events = CHAPPE_READABLE};
    items[99] = (chappe_wait_item){.endpoint = near.endpoint, .events = CHAPPE_READABLE};
    settle(&near);
    fails(chappe_wait(items, COUNT(items), chappe_in_ms(10)), -ETIMEDOUT, NULL);
    command(&near, ORDER_SEND);
    assert_int_equal(ok(chappe_wait(items, COUNT(items), chappe_in_ms(LONG_MS))), 1);
    assert_int_equal(items[99].ready, CHAPPE_READABLE);
    side_expect(&near, 50, 1);
    close(ends[0]);
    close(ends[1]);
    end_obedience(&near);
}

/* ---- room for sending ---- */

static uint64_t fill(struct side *side) {
    char bytes[1000] = {0};
    uint64_t sent = 0;
    int outcome;
    while ((outcome = side_send(side, bytes, sizeof bytes, NULL, CHAPPE_NOW)) == 0)
        sent++;
    fails(outcome, -EAGAIN, NULL);
    return sent;
}

static void test_wait_writable(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, obey, NULL);
    chappe_wait_item item = {.endpoint = near.endpoint, .events = CHAPPE_WRITABLE};
    if (near.by_token)
        item.token = &near.token;
    assert_int_equal(ok(chappe_wait(&item, 1, CHAPPE_NOW)), 1);
    assert_int_equal(item.ready, CHAPPE_WRITABLE);
    uint64_t sent = fill(&near);
    if (trial->connections) /* else there is a queue per asker: a send has to be tried */
        fails(chappe_wait(&item, 1, CHAPPE_NOW), -EAGAIN, NULL);
    /* An endpoint that waits for room takes no harm while nobody reads. */
    for (uint64_t i = 0; i < sent; i++) {
        side_tell(&near, ORDER_RECEIVE);
        chappe_wait_item both = {.endpoint = near.endpoint, .events = CHAPPE_READABLE};
        chappe_wait_item control = {.descriptor = near.control, .events = CHAPPE_READABLE};
        chappe_wait_item items[2] = {both, control};
        for (int vain = 0; items[1].ready == 0; vain++) {
            assert_true(vain < 1000);
            ok(chappe_wait(items, 2, chappe_in_ms(LONG_MS)));
        }
        assert_int_equal(side_await(&near), ORDER_RECEIVE);
    }
    assert_int_equal(ok(chappe_wait(&item, 1, chappe_in_ms(LONG_MS))), 1);
    assert_int_equal(item.ready, CHAPPE_WRITABLE);
    end_obedience(&near);
}

/* ---- the pollable descriptor ---- */

static bool is_readable(int fd) {
    struct pollfd item = {.fd = fd, .events = POLLIN};
    int ready = poll(&item, 1, 0);
    assert_true(ready >= 0);
    return ready > 0;
}

static void await_readable(int fd) {
    struct pollfd item = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&item, 1, LONG_MS), 1);
}

/* Receives by the descriptor alone, until it says that there is nothing. */
static size_t receive_while_readable(struct side *near, int fd) {
    size_t count = 0;
    int vain = 0;
    while (is_readable(fd)) {
        chappe_message *message;
        int outcome = chappe_receive(near->endpoint, NULL, CHAPPE_NOW, &message);
        if (outcome == 0) {
            count++;
            chappe_release(message);
        } else {
            fails(outcome, -EAGAIN, NULL);
            assert_true(++vain < 3); /* readable in vain, but not for ever */
        }
    }
    return count;
}

static void test_pollable(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, obey, NULL);
    const chappe_filter filter = {.size = sizeof filter, .correlation = 9};
    chappe_message *message;
    int fd = ok(chappe_fd(near.endpoint, CHAPPE_READABLE));
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(receive_while_readable(&near, fd), 0);
    command(&near, ORDER_SEND);
    await_readable(fd);
    assert_true(is_readable(fd)); /* level-triggered */
    assert_int_equal(chappe_fd(near.endpoint, CHAPPE_READABLE), fd);
    assert_int_equal(receive_while_readable(&near, fd), 1);

    /* Messages that were read ahead, of which the kernel knows nothing. */
    command(&near, ORDER_SEND_BATCH);
    await_readable(fd);
    chappe_release(side_receive(&near));
    assert_int_equal(receive_while_readable(&near, fd), 9);

    /* Messages that were set aside. */
    command(&near, ORDER_SEND);
    await_readable(fd);
    fails(chappe_receive(near.endpoint, &filter, chappe_in_ms(20), &message), -ETIMEDOUT, NULL);
    assert_true(is_readable(fd));
    assert_int_equal(receive_while_readable(&near, fd), 1);
    end_obedience(&near);
}

/* In an epoll set, level-triggered, asked for after messages were read ahead already. */
static void test_epoll(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, obey, NULL);
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 42};
    command(&near, ORDER_SEND_BATCH);
    chappe_release(side_receive(&near));
    int fd = ok(chappe_fd(near.endpoint, CHAPPE_READABLE));
    assert_int_equal(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
    for (int left = 9; left > 0; left--) {
        assert_int_equal(epoll_wait(set, &event, 1, LONG_MS), 1);
        assert_int_equal(event.data.u64, 42);
        chappe_release(side_receive(&near));
    }
    receive_while_readable(&near, fd);
    assert_int_equal(epoll_wait(set, &event, 1, 0), 0);
    command(&near, ORDER_SEND);
    assert_int_equal(epoll_wait(set, &event, 1, LONG_MS), 1);
    side_expect(&near, 50, 1);
    close(set);
    end_obedience(&near);
}

static void test_pollable_writable(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, obey, NULL);
    int fd = ok(chappe_fd(near.endpoint, CHAPPE_WRITABLE));
    assert_true(is_readable(fd));
    uint64_t sent = fill(&near);
    assert_false(is_readable(fd));
    /* Only held output is of interest now; passing it on, it is passed on by any call. */
    assert_int_equal(ok(chappe_fd(near.endpoint, CHAPPE_READABLE)), fd);
    for (uint64_t i = 0; i < sent; i++) {
        side_tell(&near, ORDER_RECEIVE);
        struct pollfd items[2] = {{.fd = fd, .events = POLLIN},
                                  {.fd = near.control, .events = POLLIN}};
        while (items[1].revents == 0) {
            assert_true(poll(items, 2, LONG_MS) > 0);
            chappe_message *message;
            if (items[0].revents != 0)
                fails(chappe_receive(near.endpoint, NULL, CHAPPE_NOW, &message), -EAGAIN, NULL);
        }
        assert_int_equal(side_await(&near), ORDER_RECEIVE);
    }
    assert_false(is_readable(fd)); /* nothing is held, nothing came */
    assert_int_equal(ok(chappe_fd(near.endpoint, CHAPPE_WRITABLE)), fd);
    assert_true(is_readable(fd));
    end_obedience(&near);
}

int main(int argc, char **argv) {
    static const struct conformance_test tests[] = {
        {.name = "waiting for many", .function = test_wait},
        {.name = "waiting for nothing", .function = test_wait_wrong},
        {.name = "waiting for a hundred", .function = test_wait_hundred},
        {.name = "waiting for room", .function = test_wait_writable, .both = true},
        {.name = "poll", .function = test_pollable},
        {.name = "epoll", .function = test_epoll},
        {.name = "poll for room",
         .function = test_pollable_writable,
         .ways = WAY_PAIR | WAY_ACCEPT,
         .both = true},
    };
    return conformance_main(argc, argv, tests, COUNT(tests));
}
