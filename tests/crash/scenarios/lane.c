/* SPDX-License-Identifier: MIT
 *
 * A lane whose writer, or reader, is struck; another one then resumes it. */
#include "memory/lane.h"

#include <string.h>
#include <sys/mman.h>

#include "crash/crash.h"

#define RING 1024 /* bytes */
#define BODY 40
#define LARGE 400
#define BEFORE 3 /* messages before the operation */
#define PIECE 64
#define BATCH_MOST 4

enum what { ONE, ALIGNED, BATCH, ANNOUNCED, NONE };

struct lane_case {
    enum what what;
    unsigned count; /* messages of the operation */
    size_t size;
    size_t skip; /* words that the lane has moved on before */
};

struct lane {
    struct lane_words words;
    _Alignas(64) shared64 ring[RING / 8];
};

struct state {
    struct lane *lane;
    struct lane_writer writer;
    struct lane_reader reader;
    unsigned seen;                           /* messages of the operation that came */
    unsigned char bodies[BATCH_MOST][LARGE]; /* filled before the operation */
};

static struct state *state_of(struct world *world) {
    return world->state;
}

static const struct lane_case *case_of(const struct world *world) {
    return world->scenario->context;
}

static void write_one(struct state *state, unsigned number, size_t size) {
    void *room = lane_reserve(&state->writer, size);
    crash_need(room != NULL);
    body_fill(room, size, number);
    lane_commit(&state->writer, size, 0, LANE_MESSAGE);
}

/* Message `place` of the operation. */
static void write_body(struct state *state, unsigned place, size_t size) {
    void *room = lane_reserve(&state->writer, size);
    crash_need(room != NULL);
    shared_write(room, state->bodies[place], size);
    lane_commit(&state->writer, size, 0, LANE_MESSAGE);
}

/* Result: whether there was a message; its number. */
static bool take_one(struct state *state, unsigned *ret_number) {
    struct lane_frame frame;
    int result = lane_take(&state->reader, &frame);
    crash_need(result >= 0);
    if (result == 0)
        return false;
    crash_need(frame.kind == LANE_MESSAGE);
    *ret_number = body_number(frame.body, frame.size);
    lane_free(&state->reader, frame.end);
    return true;
}

static void set_up(struct world *world) {
    struct state *state = state_of(world);
    unsigned number;
    state->lane =
        mmap(NULL, sizeof *state->lane, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    crash_need(state->lane != MAP_FAILED);
    lane_writer_start(&state->writer, &state->lane->words, state->lane->ring, RING);
    lane_reader_start(&state->reader, &state->lane->words, state->lane->ring, RING);
    /* A lap of bytes that look like committed headers, so that every stale word would be
     * noticed; then to the place in the lap where the operation is to begin. */
    for (size_t i = 0; i < case_of(world)->skip; i++) {
        write_one(state, 200, BODY);
        crash_need(take_one(state, &number));
    }
    for (unsigned i = 0; i < BEFORE; i++) {
        ledger_begin(world, i);
        write_one(state, i, BODY);
        ledger_sent(world, i);
    }
}

static void prepare(struct world *world) {
    for (unsigned i = 0; i < case_of(world)->count; i++) {
        ledger_begin(world, BEFORE + i);
        body_fill(state_of(world)->bodies[i], case_of(world)->size, BEFORE + i);
    }
}

static void announce(struct state *state, size_t size) {
    unsigned char *room = lane_reserve(&state->writer, size);
    crash_need(room != NULL);
    lane_announce(&state->writer, size);
    for (size_t at = 0; at < size; at += PIECE) {
        size_t piece = size - at < PIECE ? size - at : PIECE;
        shared_write(room + at, state->bodies[0] + at, piece);
        lane_advance(&state->writer, at + piece);
    }
    lane_commit(&state->writer, size, 0, LANE_MESSAGE);
}

static void operate(struct world *world) {
    const struct lane_case *of = case_of(world);
    struct state *state = state_of(world);
    void *room;
    switch (of->what) {
    case ONE:
        write_body(state, 0, of->size);
        break;
    case ALIGNED:
        room = lane_reserve_aligned(&state->writer, of->size);
        crash_need(room != NULL && (uintptr_t)room % 16 == 0);
        shared_write(room, state->bodies[0], of->size);
        lane_commit(&state->writer, of->size, 0, LANE_MESSAGE);
        break;
    case BATCH:
        lane_begin_batch(&state->writer);
        for (unsigned i = 0; i < of->count; i++)
            write_body(state, i, of->size);
        lane_publish(&state->writer);
        break;
    case ANNOUNCED:
        announce(state, of->size);
        break;
    case NONE:
        break;
    }
}

static void finish(struct world *world) {
    for (unsigned i = 0; i < case_of(world)->count; i++)
        ledger_sent(world, BEFORE + i);
}

/* What is there of a body that is still being written is right already. */
static void read_ahead(struct state *state) {
    unsigned char expected[LARGE];
    struct lane_frame frame;
    int result = lane_look_tentative(&state->reader, &frame);
    crash_need(result >= 0);
    if (result == 0)
        return;
    uint64_t there = lane_progress(&state->reader);
    crash_need(frame.size == LARGE && there <= LARGE);
    body_fill(expected, LARGE, BEFORE);
    crash_need(memcmp(frame.body, expected, there) == 0);
}

static void take_all(struct world *world) {
    struct state *state = state_of(world);
    unsigned number;
    while (take_one(state, &number)) {
        ledger_received(world, number);
        state->seen += number >= BEFORE;
    }
    read_ahead(state);
}

/* Another writer goes on where the dead one was. */
static void go_on(struct world *world, unsigned operations) {
    struct state *state = state_of(world);
    unsigned number;
    crash_need(lane_writer_resume(&state->writer, &state->lane->words, state->lane->ring, RING) ==
               0);
    /* What the dead one had begun is no message, nor is what lies behind it. */
    crash_need(!take_one(state, &number));
    for (unsigned i = 0; i < operations; i++) {
        size_t size = 8 + i % 300;
        write_one(state, 210, size);
        crash_need(take_one(state, &number) && number == 210);
    }
    crash_need(!take_one(state, &number));
}

static void survive(struct world *world, unsigned operations) {
    struct state *state = state_of(world);
    take_all(world);
    if (world->killed) {
        go_on(world, operations);
        return;
    }
    /* The lane is the stopped writer's: nobody else writes there, its reader never waits. */
    for (unsigned i = 0; i < operations; i++) {
        take_all(world);
        lane_free(&state->reader, state->reader.position);
    }
}

static void account(struct world *world) {
    struct state *state = state_of(world);
    if (!world->killed)
        take_all(world);
    /* A batch is there as a whole or not at all. */
    crash_need(state->seen == 0 || state->seen == case_of(world)->count);
    ledger_settle(world, case_of(world)->count);
}

static void clean_up(struct world *world) {
    struct state *state = state_of(world);
    crash_need(munmap(state->lane, sizeof *state->lane) == 0);
}

/* The second victim: it resumes the dead one's lane and writes a message of its own. */
static void recover_prepare(struct world *world) {
    ledger_begin(world, 100);
    body_fill(state_of(world)->bodies[0], BODY, 100);
    world->ledger->excused[100] = 1;
}

static void recover(struct world *world) {
    struct state *state = state_of(world);
    crash_need(lane_writer_resume(&state->writer, &state->lane->words, state->lane->ring, RING) ==
               0);
    write_body(state, 0, BODY);
}

static void account_pair(struct world *world) {
    struct state *state = state_of(world);
    if (world->ledger->received[100])
        state->seen--;
    world->ledger->state[100] = LEDGER_NOTHING;
    account(world);
}

/* ---- the reader is struck ---- */

#define WRITTEN 6 /* messages in the lane */
#define TAKEN 4   /* of which the operation takes this many */

static void set_up_reader(struct world *world) {
    set_up(world);
    for (unsigned i = BEFORE; i < WRITTEN; i++) {
        ledger_begin(world, i);
        write_one(state_of(world), i, BODY);
        ledger_sent(world, i);
    }
    for (unsigned i = 0; i < TAKEN; i++)
        ledger_excuse(world, i);
}

static void read_some(struct world *world) {
    struct state *state = state_of(world);
    struct lane_frame frame;
    for (unsigned i = 0; i < TAKEN; i++) {
        crash_need(lane_take(&state->reader, &frame) == 1);
        if (i % 2 == 1)
            lane_free(&state->reader, frame.end);
    }
}

/* The writer never waits for its reader while there is room. */
static void write_beside(struct world *world) {
    struct state *state = state_of(world);
    bool exact;
    for (unsigned i = WRITTEN; i < WRITTEN + 4; i++) {
        ledger_begin(world, i);
        write_one(state, i, BODY);
        ledger_sent(world, i);
    }
    crash_need(lane_count_unread(&state->writer, &exact) >= WRITTEN - TAKEN && exact);
    while (lane_reserve(&state->writer, BODY) != NULL)
        lane_commit(&state->writer, 0, 0, LANE_PAD);
}

static void survive_reader(struct world *world, unsigned operations) {
    struct state *state = state_of(world);
    unsigned number;
    write_beside(world);
    for (unsigned i = 0; !world->killed && i < operations; i++)
        crash_need(lane_reserve(&state->writer, BODY) == NULL);
    if (!world->killed)
        return;
    lane_reader_resume(&state->reader, &state->lane->words, state->lane->ring, RING);
    take_all(world);
    for (unsigned i = 0; i < operations; i++) {
        write_one(state, 210, 8 + i % 300);
        crash_need(take_one(state, &number) && number == 210);
    }
}

static void account_reader(struct world *world) {
    struct state *state = state_of(world);
    if (!world->killed) {
        lane_reader_resume(&state->reader, &state->lane->words, state->lane->ring, RING);
        take_all(world);
    }
    /* What was freed is gone, in order; what was not is there for the next reader. */
    for (unsigned i = 1; i < WRITTEN; i++)
        crash_need(world->ledger->received[i] >= world->ledger->received[i - 1]);
    ledger_settle(world, 0);
}

/* A second reader resumes, takes two, and is struck as well. */
static void excuse_more(struct world *world) {
    for (unsigned i = TAKEN; i < WRITTEN; i++)
        ledger_excuse(world, i);
}

static void recover_reader(struct world *world) {
    struct state *state = state_of(world);
    struct lane_frame frame;
    lane_reader_resume(&state->reader, &state->lane->words, state->lane->ring, RING);
    crash_need(lane_take(&state->reader, &frame) == 1);
    crash_need(lane_take(&state->reader, &frame) == 1);
    lane_free(&state->reader, frame.end);
}

/* ---- the table ---- */

static const struct lane_case one = {.what = ONE, .count = 1, .size = BODY, .skip = 21};
static const struct lane_case aligned = {.what = ALIGNED, .count = 1, .size = 48, .skip = 24};
static const struct lane_case wraps = {.what = ONE, .count = 1, .size = 120, .skip = 16};
static const struct lane_case batch = {.what = BATCH, .count = 4, .size = BODY, .skip = 15};
static const struct lane_case large = {.what = ANNOUNCED, .count = 1, .size = LARGE, .skip = 30};
static const struct lane_case none = {.what = NONE, .skip = 27};

#define WRITER(title, of)                                                                          \
    {                                                                                              \
        .name = title,                                                                             \
        .covers = (const char *const[]){"lane_reserve", "lane_commit",        "lane_announce",     \
                                        "lane_publish", "lane_writer_resume", NULL},               \
        .context = &(of), .set_up = set_up, .prepare = prepare, .operate = operate,                \
        .finish = finish, .recover_prepare = recover_prepare, .recover = recover,                  \
        .survive = survive, .account = account_pair, .clean_up = clean_up                          \
    }

static const struct scenario scenarios[] = {
    WRITER("lane/commit", one),
    WRITER("lane/aligned", aligned),
    WRITER("lane/wrap", wraps),
    WRITER("lane/batch", batch),
    WRITER("lane/announced", large),
    {.name = "lane/take",
     .covers = (const char *const[]){"lane_take", "lane_free", "lane_reader_resume", NULL},
     .context = &none,
     .set_up = set_up_reader,
     .operate = read_some,
     .recover_prepare = excuse_more,
     .recover = recover_reader,
     .survive = survive_reader,
     .account = account_reader,
     .clean_up = clean_up},
};

const struct scenario_list lane_scenarios = {.scenarios = scenarios,
                                             .count = sizeof scenarios / sizeof scenarios[0]};
