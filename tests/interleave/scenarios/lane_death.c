/* SPDX-License-Identifier: MIT
 *
 * The lane when its writer or its reader is killed at any step, and another goes on. */
#include "lane_parts.h"
#include "scenarios.h"

/* ---- a dead writer ---- */

/* The second writer sends what the first has not begun; one message is in doubt. */
static void go_on_writing(void) {
    struct lane_writer writer;
    if (!explore_wait_end(0))
        return;
    int error = lane_writer_resume(&writer, &lane->words, lane->ring, sizeof lane->ring);
    explore_check(error == 0, "the lane can be gone on with");
    lane_send_many(&writer, 2);
}

/* Nothing is lost that was sent, nothing comes twice, and only the one in doubt may be missing:
 * then its number is left out. */
static void expect_but_one(void) {
    unsigned expected = 1;
    for (unsigned i = 0; i < lane_ledger.gotten; i++) {
        unsigned number = lane_ledger.got[i];
        explore_check(number >= expected, "nothing comes twice, or out of order");
        explore_check(number - expected <= 1, "at most one message is missing");
        expected = number + 1;
    }
    explore_check(lane_ledger.begun < expected ||
                      (!explore_is_dead(0) && lane_ledger.gotten == lane_ledger.sent) ||
                      lane_ledger.begun == expected,
                  "what was sent is received");
    explore_check(lane_ledger.gotten + explore_is_dead(0) >= lane_ledger.sent,
                  "at most one is missing");
}

const struct scenario lane_writer_dies = {
    .name = "lane writer dies",
    .set_up = lane_set_up,
    .participants = {{"writer", lane_send_three, MAY_DIE},
                     {"second", go_on_writing, 0},
                     {"reader", lane_receive_each, 0}},
    .finish = expect_but_one,
    .deaths = 1,
    .proves = "memory/lane",
};

const struct scenario lane_writer_dies_padding = {
    .name = "lane writer dies, pads",
    .set_up = lane_set_up_two_words,
    .participants = {{"writer", lane_send_three, MAY_DIE},
                     {"second", go_on_writing, 0},
                     {"reader", lane_receive_each, 0}},
    .finish = expect_but_one,
    .deaths = 1,
    .proves = "memory/lane",
};

const struct scenario lane_writer_dies_announcing = {
    .name = "lane writer dies, announced bodies",
    .set_up = lane_set_up_used,
    .participants = {{"writer", lane_send_announced_two, MAY_DIE},
                     {"second", go_on_writing, 0},
                     {"reader", lane_receive_looking_ahead, 0}},
    .finish = expect_but_one,
    .deaths = 1,
    .proves = "memory/lane",
};

/* Both writers of a lane die: the third goes on where the second stopped. */
static void go_on_again(void) {
    struct lane_writer writer;
    if (!explore_wait_end(0) || !explore_wait_end(1))
        return;
    int error = lane_writer_resume(&writer, &lane->words, lane->ring, sizeof lane->ring);
    explore_check(error == 0, "the lane can be gone on with again");
    lane_send_many(&writer, 1);
}

static void expect_but_two(void) {
    unsigned doubtful = explore_is_dead(0) + explore_is_dead(1), expected = 1;
    for (unsigned i = 0; i < lane_ledger.gotten; i++) {
        explore_check(lane_ledger.got[i] >= expected, "nothing comes twice, or out of order");
        expected = lane_ledger.got[i] + 1;
    }
    explore_check(lane_ledger.gotten + doubtful >= lane_ledger.sent,
                  "one is missing for each death at most");
    explore_check(lane_ledger.gotten <= lane_ledger.begun, "nothing comes that was not sent");
}

const struct scenario lane_two_writers_die = {
    .name = "lane writer and its recoverer die",
    .set_up = lane_set_up,
    .participants = {{"writer", lane_send_two, MAY_DIE},
                     {"second", go_on_writing, MAY_DIE},
                     {"third", go_on_again, 0},
                     {"reader", lane_receive_each, 0}},
    .finish = expect_but_two,
    .deaths = 2,
    .slow = true,
    .proves = "memory/lane",
};

/* ---- a batch is all or nothing ---- */

static void send_one_batch(void) {
    struct lane_writer writer;
    lane_writer_start(&writer, &lane->words, lane->ring, sizeof lane->ring);
    lane_send_many(&writer, 1);
    lane_send_batch(&writer, 2);
}

static void go_on_after_batch(void) {
    if (!explore_wait_end(0))
        return;
    lane_ledger.begun = 10; /* told apart from those of the dead */
    struct lane_writer writer;
    int error = lane_writer_resume(&writer, &lane->words, lane->ring, sizeof lane->ring);
    explore_check(error == 0, "the lane can be gone on with");
    lane_send_many(&writer, 2);
}

static void expect_whole_batch(void) {
    unsigned of_batch = 0, of_second = 0;
    for (unsigned i = 0; i < lane_ledger.gotten; i++) {
        of_batch += lane_ledger.got[i] == 2 || lane_ledger.got[i] == 3;
        of_second += lane_ledger.got[i] > 10;
    }
    explore_check(of_batch == 0 || of_batch == 2, "of a batch all messages come, or none");
    explore_check(of_batch == 2 || explore_is_dead(0), "a batch comes if its writer lives");
    explore_check(of_second == (explore_is_dead(0) ? 2 : 0), "what the second sends comes");
}

const struct scenario lane_batch_dies = {
    .name = "lane writer dies, batch",
    .set_up = lane_set_up,
    .participants = {{"writer", send_one_batch, MAY_DIE},
                     {"second", go_on_after_batch, 0},
                     {"reader", lane_receive_each, 0}},
    .finish = expect_whole_batch,
    .deaths = 1,
    .proves = "memory/lane",
};

/* ---- a dead reader ---- */

static void go_on_reading(void) {
    struct lane_reader reader;
    if (!explore_wait_end(1))
        return;
    lane_reader_resume(&reader, &lane->words, lane->ring, sizeof lane->ring);
    while (lane_receive(&reader))
        lane_free_taken(&reader);
}

/* What was taken but not freed comes again, from there on all in order. */
static void expect_again(void) {
    unsigned highest = 0;
    for (unsigned i = 0; i < lane_ledger.gotten; i++) {
        explore_check(lane_ledger.got[i] <= highest + 1, "no message is left out");
        if (lane_ledger.got[i] > highest)
            highest = lane_ledger.got[i];
    }
    explore_check(highest == lane_ledger.sent, "every message that was sent is received");
    explore_check(explore_is_dead(1) || lane_ledger.gotten == lane_ledger.sent,
                  "messages come again only after a death");
}

const struct scenario lane_reader_dies = {
    .name = "lane reader dies",
    .set_up = lane_set_up,
    .participants = {{"writer", lane_send_four, 0},
                     {"reader", lane_receive_pairs, MAY_DIE},
                     {"second", go_on_reading, 0}},
    .finish = expect_again,
    .deaths = 1,
    .proves = "memory/lane",
};

const struct scenario lane_both_die = {
    .name = "lane reader and writer die",
    .set_up = lane_set_up,
    .participants = {{"writer", lane_send_three, MAY_DIE},
                     {"reader", lane_receive_each, MAY_DIE},
                     {"second reader", go_on_reading, 0},
                     {"second writer", go_on_writing, 0}},
    .deaths = 2,
    .slow = true,
    .proves = "memory/lane",
};

/* ---- a stop for ever: the other side gets to its end ---- */

const struct scenario lane_stops = {
    .name = "lane writer or reader stops",
    .set_up = lane_set_up,
    .participants = {{"writer", lane_send_three, MAY_STOP},
                     {"reader", lane_receive_each, MAY_STOP}},
    .deaths = 1,
    .proves = "memory/lane",
};
