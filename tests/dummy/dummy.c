/* SPDX-License-Identifier: MIT
 *
 * A mechanism that only the private build of tests/check/dummy.py has: a pair of pipes,
 * one each way. Whatever shows it found it in the table.
 */
#include "mechanism/bytes.h"
#include "mechanism/mechanism.h"
#include "os/os.h"

static ssize_t dummy_read(struct bytes *bytes, void *to, size_t size, bool block) {
    return os_read(bytes->in, &bytes->in_abilities, to, size, block);
}

static ssize_t dummy_write(struct bytes *bytes, const struct iovec *parts, int count,
                           const int *descriptors, size_t descriptor_count, bool block) {
    (void)descriptors;
    (void)descriptor_count;
    return os_write(bytes->out, &bytes->out_abilities, parts, count, block);
}

static int dummy_unread(struct bytes *bytes) {
    return os_bytes_unread(bytes->out);
}

static const struct bytes_io dummy_io = {
    .read = dummy_read,
    .write = dummy_write,
    .unread = dummy_unread,
    .measures = true,
};

static int dummy_pair(const struct opening *a, const struct opening *b, struct carrier **ret_a,
                      struct carrier **ret_b) {
    int there[2], back[2];
    struct carrier *first, *second;
    int outcome = os_pipe(there);
    if (outcome < 0)
        return outcome;
    outcome = os_pipe(back);
    if (outcome < 0) {
        os_close(there[0]);
        os_close(there[1]);
        return outcome;
    }
    outcome = bytes_create(a, NULL, &dummy_io, back[0], there[1], &first);
    if (outcome < 0) {
        os_close(there[0]);
        os_close(back[1]);
        return outcome;
    }
    outcome = bytes_create(b, NULL, &dummy_io, there[0], back[1], &second);
    if (outcome < 0) {
        first->functions->close(first, true);
        return outcome;
    }
    first->crosses_fork = second->crosses_fork = true;
    *ret_a = first;
    *ret_b = second;
    return 0;
}

static const char *const dummy_options[] = {NULL};
static const char *const dummy_trials[] = {"dummy://", NULL};
static const unsigned char dummy_support[CHAPPE_CAPABILITY_COUNT] = {
    [CHAPPE_CAN_TYPE] = CHAPPE_CARRIES, [CHAPPE_CAN_PRIORITY] = CHAPPE_CARRIES,
    [CHAPPE_CAN_ORDER] = CHAPPE_ACTS,   [CHAPPE_CAN_REPLY] = CHAPPE_ACTS,
    [CHAPPE_CAN_POLL] = CHAPPE_ACTS,    [CHAPPE_CAN_RELIABILITY] = CHAPPE_ACTS,
};

const struct mechanism mechanism_dummy = {
    .row =
        {
            .size = sizeof(chappe_row),
            .scheme = "dummy",
            .summary = "two pipes, to show that a row is all it takes",
            .form = "dummy://",
            .manual = "Two anonymous pipes between related processes, one each way. No installed "
                      "library has it.",
            .options = dummy_options,
            .trials = dummy_trials,
            .lost_with_sender = "the message that it was writing, reported",
            .lost_with_receiver = "what it had not read",
            .ways = CHAPPE_WAY_PAIR | CHAPPE_WAY_BOTH,
            .support_count = CHAPPE_CAPABILITY_COUNT,
            .support = dummy_support,
        },
    .pair = dummy_pair,
};
