/* SPDX-License-Identifier: MIT
 *
 * The bare slot ring: as many slots of the message's size as 1,024, or as fit into the ring,
 * a count of what was written and one of what was read, each on a line of its own; both
 * sides keep the other's count as last seen. Spinning, and sleeping on futexes. */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loops.h"

#define SLOTS_MOST 1024
#define RING_BYTES ((size_t)4 << 20)
#define SLOTS_LEAST 4
#define LOOKS_BEFORE_SLEEP 2000

struct slots {
    _Alignas(128) shared64 written;
    shared32 reader_sleeps;
    _Alignas(128) shared64 read;
    shared32 writer_sleeps;
    _Alignas(128) uint8_t bytes[];
};

/* Both directions, as one process sees them. */
struct slots_side {
    struct slots *out, *in;
    uint64_t count, stride;
    uint64_t written, read_seen; /* out */
    uint64_t read, written_seen; /* in */
};

static uint64_t slot_count(const struct run *run) {
    size_t ring = run->ring > 0 ? run->ring : RING_BYTES, stride = (run->size + 63) / 64 * 64;
    uint64_t count = SLOTS_MOST;
    while (count > SLOTS_LEAST && count * stride > ring)
        count /= 2;
    return count;
}

static size_t ring_bytes(const struct run *run) {
    return sizeof(struct slots) + slot_count(run) * ((run->size + 63) / 64 * 64);
}

static void slots_make(struct run *run) {
    run->common = common_memory(2 * ((ring_bytes(run) + 4095) / 4096 * 4096));
}

static void slots_join(struct run *run) {
    struct slots_side *side = run->own = own_memory(sizeof *side);
    char *second = (char *)run->common + (ring_bytes(run) + 4095) / 4096 * 4096;
    side->out = run->is_child ? run->common : (void *)second;
    side->in = run->is_child ? (void *)second : run->common;
    side->count = slot_count(run);
    side->stride = (run->size + 63) / 64 * 64;
}

/* ---- spinning ---- */

INLINE void *slot(const struct slots_side *side, struct slots *slots, uint64_t number) {
    return slots->bytes + (number & (side->count - 1)) * side->stride;
}

static void slots_send(struct run *run, const void *bytes, size_t size) {
    struct slots_side *side = run->own;
    while (side->written - side->read_seen >= side->count) {
        side->read_seen = shared64_get_acquire(&side->out->read);
        if (side->written - side->read_seen >= side->count)
            shared_pause();
    }
    copy(slot(side, side->out, side->written), bytes, size);
    shared64_set_release(&side->out->written, ++side->written);
}

INLINE void slots_await(struct slots_side *side) {
    while (side->read == side->written_seen) {
        side->written_seen = shared64_get_acquire(&side->in->written);
        if (side->read == side->written_seen)
            shared_pause();
    }
}

static void slots_receive(struct run *run, void *bytes, size_t size) {
    struct slots_side *side = run->own;
    slots_await(side);
    copy(bytes, slot(side, side->in, side->read), size);
    shared64_set_release(&side->in->read, ++side->read);
}

/* Gives the last one back first. */
static const void *slots_look(struct run *run, size_t size) {
    struct slots_side *side = run->own;
    (void)size;
    if (side->read > 0)
        shared64_set_release(&side->in->read, side->read);
    slots_await(side);
    return slot(side, side->in, side->read++);
}

/* ---- sleeping ---- */

static long futex(shared32 *word, int what, uint32_t value) {
    return syscall(SYS_futex, word, what, value, NULL, NULL, 0);
}

/* After a store that somebody may sleep for. */
INLINE void wake(shared32 *sleeps) {
    shared_fence();
    if (shared32_get(sleeps) != 0) {
        shared32_set(sleeps, 0);
        futex(sleeps, FUTEX_WAKE, 1);
    }
}

/* Sleeps until `count` is no more `value`. */
INLINE void sleep_on(shared32 *sleeps, shared64 *count, uint64_t value, uint32_t looks) {
    for (uint32_t i = 0; i < looks; i++) {
        if (shared64_get_acquire(count) != value)
            return;
        shared_pause();
    }
    for (;;) {
        shared32_set(sleeps, 1);
        shared_fence();
        if (shared64_get_acquire(count) != value)
            break;
        futex(sleeps, FUTEX_WAIT, 1);
    }
    shared32_set(sleeps, 0);
}

INLINE uint32_t looks_of(const struct run *run) {
    return run->one_cpu || run->what == WAKE ? 0 : LOOKS_BEFORE_SLEEP;
}

static void futex_send(struct run *run, const void *bytes, size_t size) {
    struct slots_side *side = run->own;
    while (side->written - side->read_seen >= side->count) {
        side->read_seen = shared64_get_acquire(&side->out->read);
        if (side->written - side->read_seen >= side->count)
            sleep_on(&side->out->writer_sleeps, &side->out->read, side->read_seen, looks_of(run));
    }
    copy(slot(side, side->out, side->written), bytes, size);
    shared64_set_release(&side->out->written, ++side->written);
    wake(&side->out->reader_sleeps);
}

INLINE void futex_await(struct run *run, struct slots_side *side) {
    while (side->read == side->written_seen) {
        side->written_seen = shared64_get_acquire(&side->in->written);
        if (side->read == side->written_seen)
            sleep_on(&side->in->reader_sleeps, &side->in->written, side->read, looks_of(run));
    }
}

INLINE void futex_give_back(struct slots_side *side) {
    shared64_set_release(&side->in->read, side->read);
    wake(&side->in->writer_sleeps);
}

static void futex_receive(struct run *run, void *bytes, size_t size) {
    struct slots_side *side = run->own;
    futex_await(run, side);
    copy(bytes, slot(side, side->in, side->read++), size);
    futex_give_back(side);
}

static const void *futex_look(struct run *run, size_t size) {
    struct slots_side *side = run->own;
    (void)size;
    if (side->read > 0)
        futex_give_back(side);
    futex_await(run, side);
    return slot(side, side->in, side->read++);
}

/* ---- loops ---- */

static void slots_ping(struct run *run) {
    loop_ping(run, slots_send, slots_receive);
}

static void slots_pong(struct run *run) {
    loop_pong(run, slots_send, slots_receive);
}

static void slots_produce(struct run *run) {
    loop_produce(run, slots_send);
}

static void slots_consume(struct run *run) {
    loop_consume(run, slots_look);
}

static void futex_ping(struct run *run) {
    loop_ping(run, futex_send, futex_receive);
}

static void futex_pong(struct run *run) {
    loop_pong(run, futex_send, futex_receive);
}

static void futex_produce(struct run *run) {
    loop_produce(run, futex_send);
}

static void futex_consume(struct run *run) {
    loop_consume(run, futex_look);
}

const struct way way_slots = {
    .name = "slots",
    .note = "a bare slot ring of 1,024 slots (4 MiB, 4 slots, for large ones), spinning",
    .reference = true,
    .least = {[LATENCY] = 8, [STREAM] = 8},
    .most = {[LATENCY] = SIZE_MOST, [STREAM] = SIZE_MOST},
    .make = slots_make,
    .join = slots_join,
    .ping = slots_ping,
    .pong = slots_pong,
    .produce = slots_produce,
    .consume = slots_consume,
};

const struct way way_slots_futex = {
    .name = "slots-futex",
    .note = "the same, sleeping after a short spin: a fence for each message",
    .reference = true,
    .sleeps = true,
    .least = {[LATENCY] = 8, [STREAM] = 8},
    .most = {[LATENCY] = SIZE_MOST, [STREAM] = SIZE_MOST},
    .make = slots_make,
    .join = slots_join,
    .ping = futex_ping,
    .pong = futex_pong,
    .produce = futex_produce,
    .consume = futex_consume,
};
