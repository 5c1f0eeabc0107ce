/* SPDX-License-Identifier: MIT
 *
 * A lane: frames of all sizes through small rings, its two ends as threads, and ends that are
 * killed and gone on with by others. */
#include <errno.h>
#include <pthread.h>

#include "memory/ground.h"
#include "memory/lane.h"

#define RING 4096
#define SIZE_MOST 700

struct scene {
    struct lane_words words;
    _Alignas(64) uint8_t ring[RING];
    shared64 sent;     /* messages that were published for sure */
    shared64 begun;    /* and the one that may have been */
    shared64 received; /* messages that were taken and freed for sure */
    shared64 goal;
    shared64 stop;
};

static struct scene *make_scene(struct lane_writer *writer, struct lane_reader *reader,
                                uint64_t ring) {
    struct scene *scene = ground_map(sizeof *scene);
    lane_writer_start(writer, &scene->words, scene->ring, ring);
    lane_reader_start(reader, &scene->words, scene->ring, ring);
    return scene;
}

/* The size of a message and its bytes follow from its number. Bytes have their top bit set,
 * so that what an earlier lap left looks like a committed header. */
static uint64_t size_of(uint64_t number, uint64_t most) {
    uint64_t random = number * 0x9e3779b97f4a7c15u + 1;
    return ground_random(&random) % (most + 1);
}

static uint8_t byte_of(uint64_t number, uint64_t at) {
    return (uint8_t)(0x80 | (number * 31 + at * 7));
}

static void fill(uint8_t *body, uint64_t number, uint64_t size) {
    uint8_t bytes[SIZE_MOST + 8];
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = byte_of(number, i);
    if (size > 0)
        shared_write(body, bytes, size);
}

static void check(const struct lane_frame *frame, uint64_t number, uint64_t most) {
    uint8_t bytes[SIZE_MOST + 8];
    uint64_t size = size_of(number, most), meta = number % 3 == 0 ? size / 2 : 0;
    assert_int_equal(frame->kind, LANE_MESSAGE);
    assert_int_equal(frame->size, size - meta);
    assert_int_equal(frame->meta, meta);
    if (size > 0)
        shared_read(bytes, frame->body, size);
    for (uint64_t i = 0; i < size; i++)
        if (bytes[i] != byte_of(number, i))
            fail_msg("message %llu: byte %llu is torn", (unsigned long long)number,
                     (unsigned long long)i);
}

static bool put(struct lane_writer *writer, uint64_t number, uint64_t most) {
    uint64_t size = size_of(number, most), meta = number % 3 == 0 ? size / 2 : 0;
    void *room = number % 5 == 0 ? lane_reserve_aligned(writer, size) : lane_reserve(writer, size);
    if (room == NULL)
        return false;
    assert_int_equal((uintptr_t)room % (number % 5 == 0 ? 16 : 8), 0);
    fill(room, number, size);
    lane_commit(writer, size - meta, meta, LANE_MESSAGE);
    return true;
}

static void test_sizes(void **state) {
    (void)state;
    const uint64_t rings[] = {64, 72, 128, 200, 1024, 4096};
    for (size_t r = 0; r < sizeof rings / sizeof rings[0]; r++) {
        struct lane_writer writer;
        struct lane_reader reader;
        struct lane_frame frame;
        struct scene *scene = make_scene(&writer, &reader, rings[r]);
        memset(scene->ring, 0xff, sizeof scene->ring);
        memset(scene->ring, 0, 8);
        /* The largest frames that always fit; an aligned one may need a word more. */
        uint64_t most = (lane_frame_most(rings[r] / 8) - 2) * 8, sent = 0;
        most = most > SIZE_MOST ? SIZE_MOST : most;
        for (uint64_t number = 0; number < 3000; number++) {
            while (put(&writer, sent, most))
                sent++;
            assert_true(sent > number);
            assert_false(lane_is_drained(&writer));
            bool exact;
            assert_int_equal(lane_count_unread(&writer, &exact), sent - number);
            assert_true(exact);
            assert_int_equal(lane_take(&reader, &frame), 1);
            check(&frame, number, most);
            lane_free(&reader, frame.end);
        }
        for (uint64_t number = 3000; number < sent; number++) {
            assert_int_equal(lane_take(&reader, &frame), 1);
            check(&frame, number, most);
            lane_free(&reader, frame.end);
        }
        assert_int_equal(lane_take(&reader, &frame), 0);
        assert_true(lane_is_drained(&writer));
        assert_null(lane_reserve(&writer, rings[r]));
    }
}

static void test_kinds(void **state) {
    (void)state;
    struct lane_writer writer;
    struct lane_reader reader;
    struct lane_frame frame;
    make_scene(&writer, &reader, 64);
    assert_int_equal(lane_take(&reader, &frame), 0);
    assert_non_null(lane_reserve(&writer, 0));
    lane_commit(&writer, 0, 0, LANE_NEXT);
    assert_int_equal(lane_take(&reader, &frame), 1);
    assert_int_equal(frame.kind, LANE_NEXT);
    lane_free(&reader, frame.end);
    assert_non_null(lane_reserve(&writer, 8));
    lane_commit(&writer, 0, 8, LANE_END);
    assert_int_equal(lane_take(&reader, &frame), 1);
    assert_int_equal(frame.kind, LANE_END);
    assert_int_equal(frame.meta, 8);
}

static void test_batch(void **state) {
    (void)state;
    struct lane_writer writer;
    struct lane_reader reader;
    struct lane_frame frame;
    struct scene *scene = make_scene(&writer, &reader, 256);
    lane_begin_batch(&writer);
    lane_publish(&writer); /* an empty one */
    uint64_t sent = 0, received = 0;
    for (int batch = 0; batch < 200; batch++) {
        lane_begin_batch(&writer);
        while (put(&writer, sent, 40))
            sent++;
        assert_int_equal(lane_take(&reader, &frame), 0);
        /* A writer that is killed now has sent none of them. */
        struct lane_writer heir;
        assert_int_equal(lane_writer_resume(&heir, &scene->words, scene->ring, 256), 0);
        assert_int_equal(heir.position, reader.position);
        if (batch % 2 == 0) {
            lane_publish(&writer);
        } else {
            writer = heir;
            sent = received;
        }
        for (; received < sent; received++) {
            assert_int_equal(lane_take(&reader, &frame), 1);
            check(&frame, received, 40);
        }
        assert_int_equal(lane_take(&reader, &frame), 0);
        lane_free(&reader, reader.position);
    }
    assert_true(received > 400);
}

static void test_tentative(void **state) {
    (void)state;
    struct lane_writer writer;
    struct lane_reader reader;
    struct lane_frame frame;
    struct scene *scene = make_scene(&writer, &reader, 1024);
    for (uint64_t number = 0; number < 100; number++) {
        uint8_t *room = lane_reserve(&writer, 300);
        assert_non_null(room);
        assert_int_equal(lane_look_tentative(&reader, &frame), 0);
        lane_announce(&writer, 300);
        assert_int_equal(lane_progress(&reader), 0);
        fill(room, number, 300);
        lane_advance(&writer, 200);
        assert_int_equal(lane_take(&reader, &frame), 0);
        if (lane_look_tentative(&reader, &frame) == 1) {
            assert_int_equal(frame.size, 300);
            assert_int_equal(lane_progress(&reader), 200);
            assert_int_equal(((uint8_t *)frame.body)[199], byte_of(number, 199));
        } else {
            fail_msg("the announced body is not seen");
        }
        if (number % 3 == 0) {
            /* Its writer dies: it was no message. */
            assert_int_equal(lane_writer_resume(&writer, &scene->words, scene->ring, 1024), 0);
            assert_int_equal(lane_look_tentative(&reader, &frame), 0);
            assert_int_equal(lane_take(&reader, &frame), 0);
            continue;
        }
        lane_commit(&writer, 300, 0, LANE_MESSAGE);
        assert_int_equal(lane_look_tentative(&reader, &frame), 0);
        assert_int_equal(lane_take(&reader, &frame), 1);
        assert_int_equal(frame.size, 300);
        lane_free(&reader, frame.end);
    }
}

/* Headers that no writer of these rules has written are refused. */
static void test_bad_headers(void **state) {
    (void)state;
    const uint64_t headers[] = {
        LANE_COMMITTED | 65,                   /* ends behind the ring */
        LANE_COMMITTED | 56,                   /* no word left for the zero behind it */
        LANE_COMMITTED | UINT32_MAX,           /* */
        LANE_COMMITTED | (uint64_t)4095 << 32, /* metadata alone */
        LANE_COMMITTED | (uint64_t)4 << 56,    /* no such kind */
        UINT64_MAX,
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct lane_writer writer;
        struct lane_reader reader;
        struct lane_frame frame = {.size = 77};
        struct scene *scene = make_scene(&writer, &reader, 64);
        shared64_set(writer.ring, headers[i]);
        assert_int_equal(lane_take(&reader, &frame), -EBADMSG);
        assert_int_equal(frame.size, 77);
        if (i < 4)
            assert_int_equal(lane_writer_resume(&writer, &scene->words, scene->ring, 64), -EBADMSG);
        shared64_set((shared64 *)(void *)scene->ring, LANE_TENTATIVE | (headers[i] & UINT32_MAX));
        if (i < 3)
            assert_int_equal(lane_look_tentative(&reader, &frame), -EBADMSG);
    }
    /* A ring full of committed frames, without an end. */
    struct lane_writer writer;
    struct lane_reader reader;
    struct scene *scene = make_scene(&writer, &reader, 64);
    for (int i = 0; i < 8; i++)
        shared64_set(writer.ring + i, LANE_COMMITTED);
    assert_int_equal(lane_writer_resume(&writer, &scene->words, scene->ring, 64), -EBADMSG);
}

/* ---- both ends at once ---- */

static void write_until(struct scene *scene, struct lane_writer *writer) {
    uint64_t number = shared64_get(&scene->sent);
    while (number < shared64_get(&scene->goal)) {
        shared64_set(&scene->begun, number + 1);
        if (number % 7 == 3) {
            lane_begin_batch(writer);
            bool done = put(writer, number, SIZE_MOST);
            lane_publish(writer);
            number += done;
            if (!done)
                sched_yield();
        } else if (put(writer, number, SIZE_MOST)) {
            number++;
        } else {
            sched_yield();
        }
        shared64_set(&scene->sent, number);
    }
}

static void read_until(struct scene *scene, struct lane_reader *reader, uint64_t number) {
    struct lane_frame frame;
    while (number < shared64_get(&scene->goal)) {
        int taken = lane_take(reader, &frame);
        assert_true(taken >= 0);
        if (taken == 0) {
            sched_yield();
            continue;
        }
        check(&frame, number++, SIZE_MOST);
        if (number % 4 == 0 || frame.end - reader->freed > RING / 32) {
            lane_free(reader, frame.end);
            shared64_set(&scene->received, number);
        }
    }
}

struct end {
    struct scene *scene;
    struct lane_writer writer;
};

static void *write_thread(void *context) {
    struct end *end = context;
    write_until(end->scene, &end->writer);
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    struct end end;
    struct lane_reader reader;
    pthread_t thread;
    end.scene = make_scene(&end.writer, &reader, RING);
    shared64_set(&end.scene->goal, 50000);
    assert_int_equal(pthread_create(&thread, NULL, write_thread, &end), 0);
    read_until(end.scene, &reader, 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- ends that are killed ---- */

static void be_writer(void *context) {
    struct scene *scene = context;
    struct lane_writer writer;
    assert_int_equal(lane_writer_resume(&writer, &scene->words, scene->ring, RING), 0);
    write_until(scene, &writer);
}

/* The first message that is still in the lane is told by the words alone. */
static void be_reader(void *context) {
    struct scene *scene = context;
    struct lane_reader reader;
    lane_reader_resume(&reader, &scene->words, scene->ring, RING);
    read_until(scene, &reader, shared64_get(&scene->received));
}

static void test_killed_writer(void **state) {
    (void)state;
    struct lane_writer writer;
    struct lane_reader reader;
    struct lane_frame frame;
    struct scene *scene = make_scene(&writer, &reader, RING);
    uint64_t random = 31337, received = 0, in_doubt = 0, kills;
    struct timespec begin = {0};
    shared64_set(&scene->goal, UINT64_MAX);
    for (kills = 0; ground_goes_on(&begin); kills++) {
        pid_t peer = harness_fork(be_writer, scene);
        for (uint64_t more = ground_random(&random) % 60; more > 0; more--) {
            while (lane_take(&reader, &frame) == 0)
                sched_yield();
            check(&frame, received++, SIZE_MOST);
            lane_free(&reader, frame.end);
        }
        /* Just now it works: there is room in the ring. */
        for (uint64_t pause = ground_random(&random) % 500; pause > 0; pause--)
            shared_pause();
        ground_kill(peer);
        int taken;
        while ((taken = lane_take(&reader, &frame)) == 1)
            check(&frame, received++, SIZE_MOST);
        assert_int_equal(taken, 0);
        lane_free(&reader, reader.position);
        /* All that was sent for sure, and at most the one that it was at. */
        uint64_t sent = shared64_get(&scene->sent);
        assert_true(received == sent || (received == sent + 1 && scene->begun == received));
        in_doubt += received - sent;
        shared64_set(&scene->sent, received);
    }
    print_message("%llu messages, %llu kills, %llu in doubt\n", (unsigned long long)received,
                  (unsigned long long)kills, (unsigned long long)in_doubt);
}

static void test_killed_reader(void **state) {
    (void)state;
    struct lane_writer writer;
    struct lane_reader reader;
    struct scene *scene = make_scene(&writer, &reader, RING);
    uint64_t random = 27182, number = 0, ends[RING];
    struct timespec begin = {0};
    shared64_set(&scene->goal, UINT64_MAX);
    while (ground_goes_on(&begin)) {
        pid_t peer = harness_fork(be_reader, scene);
        for (uint64_t more = ground_random(&random) % 60; more > 0;) {
            if (!put(&writer, number, SIZE_MOST)) {
                sched_yield();
                continue;
            }
            ends[number++ % RING] = writer.position;
            more--;
        }
        ground_let_work(&scene->received, ground_random(&random) % 3, &random);
        ground_kill(peer);
        /* Freed, but not written down: where the next reader stands tells it. */
        lane_reader_resume(&reader, &scene->words, scene->ring, RING);
        uint64_t first = number;
        while (first > 0 && ends[(first - 1) % RING] > reader.position)
            first--;
        assert_true(first == 0 || ends[(first - 1) % RING] == reader.position);
        assert_in_range(first, shared64_get(&scene->received), number);
        shared64_set(&scene->received, first);
    }
    assert_true(number > 0);
}

static const struct harness_test tests[] = {
    {.name = "all sizes through small rings", .function = test_sizes},
    {.name = "kinds", .function = test_kinds},
    {.name = "a batch is seen at once or not", .function = test_batch},
    {.name = "a body that is announced", .function = test_tentative},
    {.name = "bad headers", .function = test_bad_headers},
    {.name = "two threads", .function = test_threads},
    {.name = "writers killed at random", .function = test_killed_writer},
    {.name = "readers killed at random", .function = test_killed_reader},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
