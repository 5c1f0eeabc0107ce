/* SPDX-License-Identifier: MIT
 *
 * The lane with both sides alive: messages, pads, batches, announced bodies, growth. */
#include "lane_parts.h"
#include "scenarios.h"

#define BODY (LANE_COMMITTED | 8)

struct lane_things *lane;
struct lane_ledger lane_ledger;

static struct lane_things *larger;

static void set_up_lane(unsigned size) {
    lane = explore_memory(sizeof *lane);
    larger = explore_memory(sizeof *larger);
    memset(&lane_ledger, 0, sizeof lane_ledger);
    lane_ledger.size = size;
}

void lane_set_up(void) {
    set_up_lane(1);
}

void lane_set_up_two_words(void) {
    set_up_lane(2);
}

void lane_set_up_used(void) {
    lane_set_up_two_words();
    shared64_set(&lane->words.consumed, LANE_RING);
    shared64_set(&lane->words.taken, LANE_RING);
    for (unsigned i = 1; i < LANE_RING; i++)
        shared64_set(&lane->ring[i], BODY);
}

/* ---- parts ---- */

static uint64_t body_word(unsigned number, unsigned word) {
    return BODY | (uint64_t)number << 32 | (uint64_t)word << 40;
}

static void *reserve(struct lane_writer *writer, bool aligned) {
    for (;;) {
        void *room = aligned ? lane_reserve_aligned(writer, lane_ledger.size * 8)
                             : lane_reserve(writer, lane_ledger.size * 8);
        if (room != NULL || !explore_wait_newer(&writer->words->consumed))
            return room;
    }
}

static void write_body(void *room, unsigned number) {
    for (unsigned i = 0; i < lane_ledger.size; i++) {
        uint64_t word = body_word(number, i);
        shared_write((uint64_t *)room + i, &word, 8);
    }
}

/* It is told to somebody outside: compilers put no store off beyond that. */
static void log_sent(unsigned number) {
    shared_compiler_fence();
    lane_ledger.sent = number;
}

/* False: the lane is full, and its reader will never free it. */
bool lane_send(struct lane_writer *writer, bool aligned) {
    unsigned number = lane_ledger.begun + 1;
    void *room = reserve(writer, aligned);
    if (room == NULL)
        return false;
    write_body(room, number);
    lane_ledger.begun = number;
    lane_commit(writer, lane_ledger.size * 8, 0, LANE_MESSAGE);
    if (!writer->batch)
        log_sent(number);
    return true;
}

void lane_send_many(struct lane_writer *writer, unsigned count) {
    while (count > 0 && lane_send(writer, false))
        count--;
}

static unsigned read_number(const struct lane_frame *frame, unsigned words) {
    uint64_t first, word;
    shared_read(&first, frame->body, 8);
    unsigned number = first >> 32 & 0xff;
    explore_check(first == body_word(number, 0), "a body is what was written");
    for (unsigned i = 1; i < words; i++) {
        shared_read(&word, (const uint64_t *)frame->body + i, 8);
        explore_check(word == body_word(number, i), "all words of a body are of one message");
    }
    return number;
}

/* Takes one message; false: none will come. */
bool lane_receive(struct lane_reader *reader) {
    struct lane_frame frame;
    int found;
    while ((found = lane_take(reader, &frame)) == 0)
        if (!explore_wait_newer(reader->ring + reader->offset))
            return false;
    explore_check(found == 1, "every frame fits");
    explore_check(frame.kind == LANE_MESSAGE && frame.size == lane_ledger.size * 8 &&
                      frame.meta == 0,
                  "a frame is what was committed");
    unsigned number = read_number(&frame, lane_ledger.size);
    explore_check(number > lane_ledger.freed, "what was freed does not come again");
    lane_ledger.got[lane_ledger.gotten++] = number;
    return true;
}

void lane_free_taken(struct lane_reader *reader) {
    lane_free(reader, reader->position);
    shared_compiler_fence();
    lane_ledger.freed = lane_ledger.got[lane_ledger.gotten - 1];
}

/* ---- ends ---- */

static void expect_in_order(unsigned count) {
    explore_check(lane_ledger.gotten == count, "every message that was sent is received, once");
    for (unsigned i = 0; i < count; i++)
        explore_check(lane_ledger.got[i] == i + 1, "messages come in order");
}

static void expect_all(void) {
    expect_in_order(lane_ledger.sent);
}

/* ---- messages, with wraps and pads ---- */

void lane_send_four(void) {
    struct lane_writer writer;
    lane_writer_start(&writer, &lane->words, lane->ring, sizeof lane->ring);
    lane_send_many(&writer, 4);
}

void lane_send_two(void) {
    struct lane_writer writer;
    lane_writer_start(&writer, &lane->words, lane->ring, sizeof lane->ring);
    lane_send_many(&writer, 2);
}

void lane_send_three(void) {
    struct lane_writer writer;
    lane_writer_start(&writer, &lane->words, lane->ring, sizeof lane->ring);
    lane_send_many(&writer, 3);
}

void lane_receive_each(void) {
    struct lane_reader reader;
    lane_reader_start(&reader, &lane->words, lane->ring, sizeof lane->ring);
    while (lane_receive(&reader))
        lane_free_taken(&reader);
}

/* Frees when nothing is there, or every second message. */
void lane_receive_pairs(void) {
    struct lane_reader reader;
    struct lane_frame frame;
    lane_reader_start(&reader, &lane->words, lane->ring, sizeof lane->ring);
    while (lane_receive(&reader)) {
        if (lane_ledger.gotten % 2 == 1 && lane_take(&reader, &frame) == 1)
            lane_ledger.got[lane_ledger.gotten++] = read_number(&frame, lane_ledger.size);
        lane_free_taken(&reader);
    }
}

static void finish_four(void) {
    explore_check(lane_ledger.sent == 4, "the writer gets all of its messages through");
    expect_all();
}

const struct scenario lane_messages = {
    .name = "lane messages",
    .set_up = lane_set_up,
    .participants = {{"writer", lane_send_four, 0}, {"reader", lane_receive_each, 0}},
    .finish = finish_four,
    .proves = "memory/lane",
};

const struct scenario lane_pads = {
    .name = "lane pads",
    .set_up = lane_set_up_two_words,
    .participants = {{"writer", lane_send_four, 0}, {"reader", lane_receive_each, 0}},
    .finish = finish_four,
    .proves = "memory/lane",
};

const struct scenario lane_pairs = {
    .name = "lane freed in pairs",
    .set_up = lane_set_up,
    .participants = {{"writer", lane_send_four, 0}, {"reader", lane_receive_pairs, 0}},
    .finish = finish_four,
    .proves = "memory/lane",
};

static void send_aligned(void) {
    struct lane_writer writer;
    lane_writer_start(&writer, &lane->words, lane->ring, sizeof lane->ring);
    for (unsigned i = 0; i < 3; i++)
        lane_send(&writer, true);
}

static void finish_three(void) {
    explore_check(lane_ledger.sent == 3, "the writer gets all of its messages through");
    expect_all();
}

const struct scenario lane_aligned = {
    .name = "lane aligned",
    .set_up = lane_set_up,
    .participants = {{"writer", send_aligned, 0}, {"reader", lane_receive_each, 0}},
    .finish = finish_three,
    .proves = "memory/lane",
};

/* ---- what is still unread ---- */

static void send_and_count(void) {
    struct lane_writer writer;
    lane_writer_start(&writer, &lane->words, lane->ring, sizeof lane->ring);
    for (unsigned i = 0; i < 3; i++) {
        bool exact = false;
        lane_send(&writer, false);
        uint64_t count = lane_count_unread(&writer, &exact);
        explore_check(!exact || count <= lane_ledger.sent, "no more is unread than was sent");
    }
}

/* Takes, puts back, takes again; tells that it has taken, and frees one behind. */
static void receive_holding(void) {
    struct lane_reader reader;
    struct lane_frame frame;
    uint64_t behind = 0;
    lane_reader_start(&reader, &lane->words, lane->ring, sizeof lane->ring);
    while (lane_receive(&reader)) {
        lane_tell_taken(&reader);
        if (lane_take(&reader, &frame) == 1)
            lane_put_back(&reader, &frame);
        lane_free(&reader, behind);
        behind = reader.position;
    }
    lane_free(&reader, behind);
}

/* Everything is told as taken when it is, and not before. */
static void finish_held(void) {
    struct lane_writer writer;
    bool exact = false;
    explore_check(lane_writer_resume(&writer, &lane->words, lane->ring, sizeof lane->ring) == 0,
                  "the lane can be gone on with");
    uint64_t count = lane_count_unread(&writer, &exact);
    explore_check(exact && count == lane_ledger.sent - lane_ledger.gotten,
                  "what is not taken is unread");
    expect_in_order(lane_ledger.gotten);
}

static void stop_without_freeing(void) {
    struct lane_reader reader;
    lane_reader_start(&reader, &lane->words, lane->ring, sizeof lane->ring);
    if (lane_receive(&reader) && lane_receive(&reader))
        lane_tell_taken(&reader);
}

static void finish_counted(void) {
    struct lane_writer writer;
    bool exact = false;
    explore_check(lane_writer_resume(&writer, &lane->words, lane->ring, sizeof lane->ring) == 0,
                  "the lane can be gone on with");
    explore_check(lane_is_drained(&writer), "all that was received was freed");
    explore_check(lane_count_unread(&writer, &exact) == 0 && exact, "nothing is unread");
    expect_all();
}

const struct scenario lane_counting = {
    .name = "lane counting",
    .set_up = lane_set_up,
    .participants = {{"writer", send_and_count, 0}, {"reader", lane_receive_each, 0}},
    .finish = finish_counted,
    .proves = "memory/lane",
};

const struct scenario lane_holding = {
    .name = "lane holding and putting back",
    .set_up = lane_set_up,
    .participants = {{"writer", lane_send_four, 0}, {"reader", receive_holding, 0}},
    .finish = finish_held,
    .proves = "memory/lane",
};

const struct scenario lane_taken = {
    .name = "lane taken, not freed",
    .set_up = lane_set_up,
    .participants = {{"writer", lane_send_three, 0}, {"reader", stop_without_freeing, 0}},
    .finish = finish_held,
    .proves = "memory/lane",
};

/* ---- batches ---- */

void lane_send_batch(struct lane_writer *writer, unsigned count) {
    lane_begin_batch(writer);
    for (unsigned i = 0; i < count && lane_reserve(writer, lane_ledger.size * 8) != NULL; i++)
        lane_send(writer, false);
    lane_publish(writer);
    log_sent(lane_ledger.begun);
}

static void send_batches(void) {
    struct lane_writer writer;
    lane_writer_start(&writer, &lane->words, lane->ring, sizeof lane->ring);
    for (unsigned i = 0; i < 3; i++) {
        lane_send_batch(&writer, 2);
        if (lane_reserve(&writer, 8) == NULL && !explore_wait_newer(&lane->words.consumed))
            return;
    }
}

const struct scenario lane_batches = {
    .name = "lane batches",
    .set_up = lane_set_up,
    .participants = {{"writer", send_batches, 0}, {"reader", lane_receive_each, 0}},
    .finish = expect_all,
    .proves = "memory/lane",
};

/* ---- announced bodies ---- */

bool lane_send_announced(struct lane_writer *writer) {
    unsigned number = lane_ledger.begun + 1;
    uint64_t *room = reserve(writer, false);
    if (room == NULL)
        return false;
    lane_announce(writer, lane_ledger.size * 8);
    for (unsigned i = 0; i < lane_ledger.size; i++) {
        uint64_t word = body_word(number, i);
        shared_write(room + i, &word, 8);
        lane_advance(writer, (i + 1) * 8);
    }
    lane_ledger.begun = number;
    lane_commit(writer, lane_ledger.size * 8, 0, LANE_MESSAGE);
    log_sent(number);
    return true;
}

void lane_send_announced_two(void) {
    struct lane_writer writer;
    int error = lane_writer_resume(&writer, &lane->words, lane->ring, sizeof lane->ring);
    explore_check(error == 0, "the lane can be gone on with");
    lane_send_announced(&writer);
    lane_send_announced(&writer);
}

/* Reads the words that are said to be there before the message is. */
static void look_ahead(struct lane_reader *reader) {
    struct lane_frame frame;
    uint64_t word;
    if (lane_look_tentative(reader, &frame) != 1)
        return;
    explore_check(frame.size == lane_ledger.size * 8, "what is announced is what comes");
    uint64_t there = lane_progress(reader);
    explore_check(there <= frame.size, "no more is there than was announced");
    for (unsigned i = 0; i < there / 8; i++) {
        shared_read(&word, (const uint64_t *)frame.body + i, 8);
        explore_check(word == body_word(lane_ledger.gotten + 1, i),
                      "the progress is that of the announced body");
    }
    if (there / 8 > lane_ledger.ahead)
        lane_ledger.ahead = (unsigned)there / 8;
}

void lane_receive_looking_ahead(void) {
    struct lane_reader reader;
    lane_reader_resume(&reader, &lane->words, lane->ring, sizeof lane->ring);
    for (;;) {
        look_ahead(&reader);
        if (!lane_receive(&reader))
            return;
        lane_free_taken(&reader);
    }
}

/* A reader may see nothing ahead, and it may see all of it. */
static void finish_announced(void) {
    static const char *const names[] = {"0", "1", "2"};
    expect_all();
    explore_outcome(names[lane_ledger.ahead]);
}

const struct scenario lane_announced = {
    .name = "lane announced bodies",
    .set_up = lane_set_up_two_words,
    .participants = {{"writer", lane_send_announced_two, 0},
                     {"reader", lane_receive_looking_ahead, 0}},
    .finish = finish_announced,
    .outcomes = "0 1 2",
    .proves = "memory/lane",
};

/* ---- growth ---- */

static void send_growing(void) {
    struct lane_writer writer;
    lane_writer_start(&writer, &lane->words, lane->ring, sizeof lane->ring);
    lane_send_many(&writer, 2);
    if (lane_reserve(&writer, 0) == NULL)
        return;
    lane_commit(&writer, 0, 0, LANE_NEXT);
    lane_writer_start(&writer, &larger->words, larger->ring, sizeof larger->ring);
    lane_send_many(&writer, 2);
}

static void receive_growing(void) {
    struct lane_reader reader;
    struct lane_frame frame;
    lane_reader_start(&reader, &lane->words, lane->ring, sizeof lane->ring);
    lane_receive(&reader);
    lane_receive(&reader);
    while (lane_take(&reader, &frame) == 0)
        if (!explore_wait_newer(reader.ring + reader.offset))
            return;
    explore_check(frame.kind == LANE_NEXT, "the lane goes on in another ring");
    lane_reader_start(&reader, &larger->words, larger->ring, sizeof larger->ring);
    while (lane_receive(&reader))
        lane_free_taken(&reader);
}

const struct scenario lane_growth = {
    .name = "lane growth",
    .set_up = lane_set_up,
    .participants = {{"writer", send_growing, 0}, {"reader", receive_growing, 0}},
    .finish = finish_four,
    .proves = "memory/lane",
};
