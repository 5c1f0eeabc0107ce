/* SPDX-License-Identifier: MIT
 *
 * A lane each way, used directly: what the memory floor does by itself, without endpoints
 * and messages around it. Spinning, and waiting adaptively. */
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loops.h"
#include "memory/lane.h"
#include "memory/waiting.h"

#define RING_SMALL ((size_t)256 << 10)
#define RING_LARGE ((size_t)4 << 20)
#define PIECE ((size_t)16 << 10)
#define OVERLAP_FROM ((size_t)32 << 10)
#define PAUSES_BETWEEN_LOOKS 1
#define STREAK 4 /* messages in a row */
#define PAUSES_AFTER_STREAK 16
#define LOOKS_BEFORE_SLEEP 500

struct direct_lane {
    struct lane_words words;
    _Alignas(64) shared32 reader_waits;
    _Alignas(64) shared32 writer_waits;
    _Alignas(64) shared64 ring[];
};

struct direct {
    struct lane_writer writer;
    struct lane_reader reader;
    struct direct_lane *out, *in;
    uint64_t end; /* of the frame in hand */
    uint64_t step;
    struct waiting_spin receiving, sending;
    uint32_t gap;
    uint32_t streak; /* messages since the lane was last found empty */
};

static size_t ring_bytes(const struct run *run) {
    return run->ring > 0 ? run->ring : run->size > PIECE ? RING_LARGE : RING_SMALL;
}

static void direct_make(struct run *run) {
    if (lane_frame_words(run->size, 0) > lane_frame_most(ring_bytes(run) / 8))
        fail("a ring of %zu bytes never has room for %zu", ring_bytes(run), run->size);
    run->common = common_memory(2 * (sizeof(struct direct_lane) + ring_bytes(run)));
}

static void direct_join(struct run *run) {
    struct direct *direct = run->own = own_memory(sizeof *direct);
    size_t bytes = ring_bytes(run);
    struct direct_lane *first = run->common;
    struct direct_lane *second = (void *)((char *)(first + 1) + bytes);
    direct->out = run->is_child ? first : second;
    direct->in = run->is_child ? second : first;
    lane_writer_start(&direct->writer, &direct->out->words, direct->out->ring, bytes);
    lane_reader_start(&direct->reader, &direct->in->words, direct->in->ring, bytes);
    direct->step = bytes / 8 / 8;
    uint32_t looks = run->one_cpu || run->what == WAKE ? 0 : LOOKS_BEFORE_SLEEP;
    direct->receiving = direct->sending = (struct waiting_spin){.most = looks, .budget = looks};
    direct->gap = run->gap > 0 ? run->gap : PAUSES_BETWEEN_LOOKS;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) < 0)
        fail("membarrier: cannot register");
}

/* ---- waiting ---- */

static long futex(shared32 *word, int what, uint32_t value) {
    return syscall(SYS_futex, word, what, value, NULL, NULL, 0);
}

static void wake(shared32 *word) {
    uint32_t value = waiting_begin_wake(word);
    futex(word, FUTEX_WAKE, 1);
    waiting_end_wake(word, value);
}

INLINE void wake_if_asleep(shared32 *word, bool sleeping) {
    if (sleeping && __builtin_expect(waiting_must_wake(word, true), 0))
        wake(word);
}

/* Looks until it is there; sleeps when that takes too long. `is_there` is a look. */
typedef bool look_once(struct direct *direct, void *what);

INLINE void wait_for(struct direct *direct, look_once *is_there, void *what, shared32 *word,
                     struct waiting_spin *spin, bool sleeping) {
    uint32_t budget = sleeping ? waiting_spin_budget(spin) : UINT32_MAX, looks = 0;
    while (looks < budget || !sleeping) {
        look_away(direct->gap);
        if (is_there(direct, what)) {
            if (sleeping)
                waiting_spin_learn(spin, true, looks);
            return;
        }
        looks++;
    }
    for (;;) {
        uint32_t value = waiting_announce(word);
        syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
        bool there = is_there(direct, what);
        if (!there)
            futex(word, FUTEX_WAIT, value);
        waiting_end(word);
        if (there || is_there(direct, what))
            break;
    }
    if (sleeping)
        waiting_spin_learn(spin, false, looks);
}

/* ---- sending ---- */

struct wanted {
    size_t size;
    void *room;
};

static bool is_room(struct direct *direct, void *what) {
    struct wanted *wanted = what;
    wanted->room = lane_reserve(&direct->writer, wanted->size);
    return wanted->room != NULL;
}

INLINE void *reserve(struct direct *direct, size_t size, bool sleeping) {
    void *room = lane_reserve(&direct->writer, size);
    if (__builtin_expect(room != NULL, 1))
        return room;
    struct wanted wanted = {.size = size};
    wait_for(direct, is_room, &wanted, &direct->out->writer_waits, &direct->sending, sleeping);
    return wanted.room;
}

INLINE void direct_send(struct run *run, const void *bytes, size_t size, bool sleeping,
                        bool overlap) {
    struct direct *direct = run->own;
    char *room = reserve(direct, size, sleeping);
    if (overlap && size >= OVERLAP_FROM) {
        lane_announce(&direct->writer, size);
        for (size_t at = 0; at < size; at += PIECE) {
            size_t piece = size - at < PIECE ? size - at : PIECE;
            memcpy(room + at, (const char *)bytes + at, piece);
            lane_advance(&direct->writer, at + piece);
            if (at == 0)
                wake_if_asleep(&direct->out->reader_waits, sleeping);
        }
    } else {
        copy(room, bytes, size);
    }
    lane_commit(&direct->writer, size, 0, LANE_MESSAGE);
    wake_if_asleep(&direct->out->reader_waits, sleeping);
}

/* ---- receiving ---- */

INLINE void give_back(struct direct *direct, bool sleeping) {
    lane_free(&direct->reader, direct->end);
    wake_if_asleep(&direct->in->writer_waits, sleeping);
}

static bool is_frame(struct direct *direct, void *what) {
    return lane_take(&direct->reader, what) != 0;
}

static bool is_any_frame(struct direct *direct, void *what) {
    return lane_look_tentative(&direct->reader, what) != 0 || lane_take(&direct->reader, what) != 0;
}

/* The next frame, whole. What was in hand before it is given back now and then, and before
 * any wait. */
INLINE struct lane_frame take(struct direct *direct, bool sleeping) {
    struct lane_frame frame;
    if (direct->end - direct->reader.freed >= direct->step)
        give_back(direct, sleeping);
    int result = lane_take(&direct->reader, &frame);
    if (result == 0) {
        if (direct->end != direct->reader.freed)
            give_back(direct, sleeping);
        /* At the heels of a writer in full flow: each look would take the line from it that
         * it is writing to. A lone message is not made to wait by this. */
        if (direct->streak >= STREAK)
            look_away(PAUSES_AFTER_STREAK);
        direct->streak = 0;
        wait_for(direct, is_frame, &frame, &direct->in->reader_waits, &direct->receiving, sleeping);
    }
    direct->streak++;
    direct->end = frame.end;
    return frame;
}

/* A large body is copied while it comes. */
static void receive_large(struct direct *direct, void *bytes, size_t size, bool sleeping) {
    struct lane_frame frame;
    size_t at = 0;
    if (direct->end != direct->reader.freed)
        give_back(direct, sleeping);
    if (!is_any_frame(direct, &frame))
        wait_for(direct, is_any_frame, &frame, &direct->in->reader_waits, &direct->receiving,
                 sleeping);
    if (direct->reader.position == frame.start) {
        while (at < size) {
            size_t there = lane_progress(&direct->reader);
            if (there == at) {
                shared_pause();
                continue;
            }
            memcpy((char *)bytes + at, (const char *)frame.body + at, there - at);
            at = there;
        }
        while (lane_take(&direct->reader, &frame) == 0)
            shared_pause();
    }
    memcpy((char *)bytes + at, (const char *)frame.body + at, size - at);
    direct->end = frame.end;
}

INLINE void direct_receive(struct run *run, void *bytes, size_t size, bool sleeping) {
    struct direct *direct = run->own;
    if (size >= OVERLAP_FROM) {
        receive_large(direct, bytes, size, sleeping);
        return;
    }
    struct lane_frame frame = take(direct, sleeping);
    copy(bytes, frame.body, frame.size);
}

/* ---- batches ---- */

INLINE void direct_produce_batches(struct run *run, bool sleeping) {
    struct direct *direct = run->own;
    const size_t size = run->size;
    for (uint64_t number = 1; !is_stopped(run);) {
        lane_begin_batch(&direct->writer);
        for (int i = 0; i < BATCH; i++, number++) {
            void *room = lane_reserve(&direct->writer, size);
            if (__builtin_expect(room == NULL, 0)) {
                /* What is there so far is shown before any wait. */
                lane_publish(&direct->writer);
                wake_if_asleep(&direct->out->reader_waits, sleeping);
                room = reserve(direct, size, sleeping);
                lane_begin_batch(&direct->writer);
            }
            stamp(run->out, size, number);
            copy(room, run->out, size);
            lane_commit(&direct->writer, size, 0, LANE_MESSAGE);
        }
        lane_publish(&direct->writer);
        wake_if_asleep(&direct->out->reader_waits, sleeping);
    }
    stamp(run->out, size, STOP);
    direct_send(run, run->out, size, sleeping, false);
}

INLINE void direct_consume_batches(struct run *run, bool sleeping) {
    struct direct *direct = run->own;
    const size_t size = run->size;
    struct meter meter = meter_start(run);
    for (uint64_t number = 1, rest = 512;;) {
        struct lane_frame frames[BATCH];
        int count = 1;
        frames[0] = take(direct, sleeping);
        while (count < BATCH && lane_take(&direct->reader, &frames[count]) > 0)
            count++;
        for (int i = 0; i < count; i++)
            if (check_in_place(frames[i].body, size, number++) == STOP)
                return;
        direct->end = frames[count - 1].end;
        if (--rest == 0) {
            rest = 512;
            meter_look(&meter, run, number);
        }
    }
}

/* ---- loops: spinning ---- */

static void spin_send(struct run *run, const void *bytes, size_t size) {
    direct_send(run, bytes, size, false, true);
}

static void spin_send_whole(struct run *run, const void *bytes, size_t size) {
    direct_send(run, bytes, size, false, false);
}

static void spin_receive(struct run *run, void *bytes, size_t size) {
    direct_receive(run, bytes, size, false);
}

static const void *spin_look(struct run *run, size_t size) {
    (void)size;
    return take(run->own, false).body;
}

static void spin_ping(struct run *run) {
    loop_ping(run, spin_send, spin_receive);
}

static void spin_pong(struct run *run) {
    loop_pong(run, spin_send, spin_receive);
}

static void spin_produce(struct run *run) {
    loop_produce(run, spin_send_whole);
}

static void spin_consume(struct run *run) {
    loop_consume(run, spin_look);
}

static void spin_produce_batches(struct run *run) {
    direct_produce_batches(run, false);
}

static void spin_consume_batches(struct run *run) {
    direct_consume_batches(run, false);
}

/* ---- loops: adaptive ---- */

static void adaptive_send(struct run *run, const void *bytes, size_t size) {
    direct_send(run, bytes, size, true, true);
}

static void adaptive_send_whole(struct run *run, const void *bytes, size_t size) {
    direct_send(run, bytes, size, true, false);
}

static void adaptive_receive(struct run *run, void *bytes, size_t size) {
    direct_receive(run, bytes, size, true);
}

static const void *adaptive_look(struct run *run, size_t size) {
    (void)size;
    return take(run->own, true).body;
}

static void adaptive_ping(struct run *run) {
    loop_ping(run, adaptive_send, adaptive_receive);
}

static void adaptive_pong(struct run *run) {
    loop_pong(run, adaptive_send, adaptive_receive);
}

static void adaptive_produce(struct run *run) {
    loop_produce(run, adaptive_send_whole);
}

static void adaptive_consume(struct run *run) {
    loop_consume(run, adaptive_look);
}

static void adaptive_produce_batches(struct run *run) {
    direct_produce_batches(run, true);
}

static void adaptive_consume_batches(struct run *run) {
    direct_consume_batches(run, true);
}

static void adaptive_call(struct run *run) {
    loop_call(run, adaptive_send);
}

static void adaptive_sleep(struct run *run) {
    loop_sleep(run, adaptive_receive);
}

const struct way way_lane = {
    .name = "lane",
    .note = "src/memory/lane.h by itself, spinning",
    .least = {[LATENCY] = 8, [STREAM] = 8, [BATCHES] = 8},
    .most = {[LATENCY] = SIZE_MOST, [STREAM] = SIZE_MOST, [BATCHES] = 1024},
    .make = direct_make,
    .join = direct_join,
    .ping = spin_ping,
    .pong = spin_pong,
    .produce = spin_produce,
    .consume = spin_consume,
    .produce_batches = spin_produce_batches,
    .consume_batches = spin_consume_batches,
};

const struct way way_lane_adaptive = {
    .name = "lane-adaptive",
    .note = "the same with src/memory/waiting.h: a spin, then a futex; WAKE: no spin",
    .sleeps = true,
    .least = {[LATENCY] = 8, [STREAM] = 8, [BATCHES] = 8, [WAKE] = 8},
    .most = {[LATENCY] = SIZE_MOST, [STREAM] = SIZE_MOST, [BATCHES] = 1024, [WAKE] = SIZE_MOST},
    .make = direct_make,
    .join = direct_join,
    .ping = adaptive_ping,
    .pong = adaptive_pong,
    .produce = adaptive_produce,
    .consume = adaptive_consume,
    .produce_batches = adaptive_produce_batches,
    .consume_batches = adaptive_consume_batches,
    .call = adaptive_call,
    .sleep = adaptive_sleep,
};
