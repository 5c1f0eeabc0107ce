/* SPDX-License-Identifier: MIT
 *
 * The same through the public interface, as a program would do it: the child listens, the
 * parent opens. */
#include <chappe/chappe.h>
#include <stdio.h>
#include <unistd.h>

#include "loops.h"

struct through {
    chappe_endpoint *endpoint;
    chappe_message *last;
    chappe_item items[BATCH];
    chappe_message *messages[BATCH];
    uint8_t *payloads;
};

static void connect_by(struct run *run, const char *name, const char *options) {
    struct through *through = run->own = own_memory(sizeof *through);
    char address[128];
    chappe_endpoint *server;
    /* The parent's pid names the run for both. */
    snprintf(address, sizeof address, "%s%d%s", name, run->is_child ? getppid() : getpid(),
             options);
    if (!run->is_child) {
        if (chappe_open(address, NULL, chappe_in_ms(5000), &through->endpoint) < 0)
            fail("%s", chappe_error());
    } else if (chappe_listen(address, NULL, chappe_in_ms(5000), &server) < 0 ||
               chappe_accept(server, chappe_in_ms(5000), &through->endpoint) < 0) {
        fail("%s", chappe_error());
    } else {
        chappe_close(server, CHAPPE_NOW, NULL);
    }
    through->payloads = own_memory(BATCH * 1024);
}

static void through_leave(struct run *run) {
    struct through *through = run->own;
    chappe_release(through->last);
    chappe_close(through->endpoint, CHAPPE_NOW, NULL);
}

static void through_send(struct run *run, const void *bytes, size_t size) {
    struct through *through = run->own;
    if (__builtin_expect(chappe_send(through->endpoint, bytes, size, NULL, CHAPPE_FOREVER) < 0, 0))
        fail("%s", chappe_error());
}

INLINE chappe_message *next(struct through *through, size_t size) {
    chappe_message *message;
    int result = chappe_receive(through->endpoint, NULL, CHAPPE_FOREVER, &message);
    if (__builtin_expect(result != 0, 0))
        fail("%s", result < 0 ? chappe_error() : "the other side ended");
    if (__builtin_expect(message->size != size, 0))
        fail("a message of %zu bytes came", message->size);
    return message;
}

static void through_receive(struct run *run, void *bytes, size_t size) {
    chappe_message *message = next(run->own, size);
    copy(bytes, message->data, size);
    chappe_release(message);
}

/* Looks at each line of it where it is, and keeps only what is checked. */
static void through_read(struct run *run, void *bytes, size_t size) {
    chappe_message *message = next(run->own, size);
    read_lines(message->data, size);
    copy(bytes, message->data, 8);
    copy((char *)bytes + size - 8, (const char *)message->data + size - 8, 8);
    chappe_release(message);
}

static const void *through_look(struct run *run, size_t size) {
    struct through *through = run->own;
    chappe_release(through->last);
    through->last = next(through, size);
    return through->last->data;
}

static void through_ping(struct run *run) {
    loop_ping(run, through_send, through_receive);
}

static void through_pong(struct run *run) {
    loop_pong(run, through_send, through_receive);
}

static void through_ping_reading(struct run *run) {
    loop_ping(run, through_send, through_read);
}

static void through_pong_reading(struct run *run) {
    loop_pong(run, through_send, through_read);
}

static void through_produce(struct run *run) {
    loop_produce(run, through_send);
}

static void through_consume(struct run *run) {
    loop_consume(run, through_look);
}

static void through_call(struct run *run) {
    loop_call(run, through_send);
}

static void through_sleep(struct run *run) {
    loop_sleep(run, through_receive);
}

static void through_produce_batches(struct run *run) {
    struct through *through = run->own;
    const size_t size = run->size;
    for (int i = 0; i < BATCH; i++)
        through->items[i] =
            (chappe_item){.data = through->payloads + (size_t)i * size, .size = size};
    for (uint64_t number = 1; !is_stopped(run); number += BATCH) {
        for (size_t i = 0; i < BATCH; i++)
            stamp(through->payloads + i * size, size, number + i);
        for (int sent = 0; sent < BATCH;) {
            int result = chappe_send_batch(through->endpoint, through->items + sent,
                                           (size_t)(BATCH - sent), CHAPPE_FOREVER);
            if (result < 0)
                fail("%s", chappe_error());
            sent += result;
        }
    }
    stamp(run->out, size, STOP);
    through_send(run, run->out, size);
}

static void through_consume_batches(struct run *run) {
    struct through *through = run->own;
    struct meter meter = meter_start(run);
    for (uint64_t number = 1, rest = 512;;) {
        bool stopped = false;
        int count =
            chappe_receive_batch(through->endpoint, NULL, CHAPPE_FOREVER, through->messages, BATCH);
        if (count <= 0)
            fail("%s", count < 0 ? chappe_error() : "the other side ended");
        for (int i = 0; i < count; i++) {
            const chappe_message *message = through->messages[i];
            stopped |= check_in_place(message->data, message->size, number++) == STOP;
        }
        chappe_release_batch(through->messages, (size_t)count);
        if (stopped)
            return;
        if (--rest == 0) {
            rest = 512;
            meter_look(&meter, run, number);
        }
    }
}

static void nothing_before(struct run *run) {
    (void)run;
}

static void unix_join(struct run *run) {
    connect_by(run, "unix://@bench-lanes-", "");
}

static void shm_join(struct run *run) {
    connect_by(run, "shm://bench-lanes-", "");
}

static void shm_spin_join(struct run *run) {
    connect_by(run, "shm://bench-lanes-", "?wait=spin");
}

static void shm_sleep_join(struct run *run) {
    connect_by(run, "shm://bench-lanes-", "?wait=sleep");
}

const struct way way_unix = {
    .name = "unix",
    .note = "unix:// through the public interface, for comparison",
    .reference = true,
    .sleeps = true,
    .least = {[LATENCY] = 8, [STREAM] = 8, [BATCHES] = 8, [WAKE] = 8},
    .most = {[LATENCY] = SIZE_MOST, [STREAM] = SIZE_MOST, [BATCHES] = 1024, [WAKE] = SIZE_MOST},
    .join = unix_join,
    .make = nothing_before,
    .ping = through_ping,
    .pong = through_pong,
    .produce = through_produce,
    .consume = through_consume,
    .produce_batches = through_produce_batches,
    .consume_batches = through_consume_batches,
    .call = through_call,
    .sleep = through_sleep,
    .leave = through_leave,
};

const struct way way_shm = {
    .name = "shm",
    .note = "shm:// through the public interface, as it is by default: adaptive",
    .sleeps = true,
    .least = {[LATENCY] = 8, [STREAM] = 8, [BATCHES] = 8, [WAKE] = 8},
    .most = {[LATENCY] = SIZE_MOST, [STREAM] = SIZE_MOST, [BATCHES] = 1024, [WAKE] = SIZE_MOST},
    .join = shm_join,
    .make = nothing_before,
    .ping = through_ping,
    .pong = through_pong,
    .produce = through_produce,
    .consume = through_consume,
    .produce_batches = through_produce_batches,
    .consume_batches = through_consume_batches,
    .call = through_call,
    .sleep = through_sleep,
    .leave = through_leave,
};

const struct way way_shm_spin = {
    .name = "shm-spin",
    .note = "the same, spinning",
    .least = {[LATENCY] = 8, [STREAM] = 8, [BATCHES] = 8},
    .most = {[LATENCY] = SIZE_MOST, [STREAM] = SIZE_MOST, [BATCHES] = 1024},
    .join = shm_spin_join,
    .make = nothing_before,
    .ping = through_ping,
    .pong = through_pong,
    .produce = through_produce,
    .consume = through_consume,
    .produce_batches = through_produce_batches,
    .consume_batches = through_consume_batches,
    .call = through_call,
    .sleep = through_sleep,
    .leave = through_leave,
};

const struct way way_shm_sleep = {
    .name = "shm-sleep",
    .note = "the same, sleeping at once",
    .sleeps = true,
    .least = {[WAKE] = 8},
    .most = {[WAKE] = SIZE_MOST},
    .join = shm_sleep_join,
    .make = nothing_before,
    .ping = through_ping,
    .pong = through_pong,
    .produce = through_produce,
    .consume = through_consume,
    .produce_batches = through_produce_batches,
    .consume_batches = through_consume_batches,
    .call = through_call,
    .sleep = through_sleep,
    .leave = through_leave,
};

const struct way way_shm_read = {
    .name = "shm-read",
    .note = "as shm-spin, but each line is read where it is, and not copied out",
    .least = {[LATENCY] = 1024},
    .most = {[LATENCY] = SIZE_MOST},
    .join = shm_spin_join,
    .make = nothing_before,
    .ping = through_ping_reading,
    .pong = through_pong_reading,
    .leave = through_leave,
};
