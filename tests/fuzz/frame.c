/* SPDX-License-Identifier: MIT
 *
 * Any bytes through the decoder of every frame. The first byte of the input chooses the
 * frame, the second the limit, the third how the rest is split.
 *
 * What has to hold: a message lies within the bytes; the messages, and the error after them,
 * are the same whatever the pieces are; what was decoded can be written and read again. */
#include "message/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define MESSAGES_MOST 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    int end; /* 0, or the error after the messages */
    size_t count;
    size_t used; /* bytes that the messages took */
    size_t at[MESSAGES_MOST];
    size_t sizes[MESSAGES_MOST];
};

static void require(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s (%s)\n", what, error_text());
    abort();
}

static struct address *read_terms(const uint8_t *data, struct terms *ret_terms) {
    static const char *const frames[] = {"chappe", "chappe&checksum=yes", "line", "nul", "length32",
                                         "raw"};
    static const char *const limits[] = {"1G", "1", "16", "255", "4K", "65535", "65536", "5G"};
    char text[128];
    struct address *address = NULL;
    snprintf(text, sizeof text, "x://a?frame=%s&limit=%s", frames[data[0] % 6],
             limits[data[1] % 8]);
    require(address_parse(text, &address) == 0, "the address is good");
    require(frame_terms(address, ret_terms) == 0, "the terms are good");
    return address;
}

/* What was decoded, written and read again. */
static void check_round_trip(const struct terms *terms, const struct framed *framed,
                             const uint8_t *body) {
    uint8_t head[ENVELOPE_HEAD_MAX];
    struct framed again = {0};
    size_t scanned = 0;
    int head_size = frame_write(terms, &framed->envelope, body, (size_t)framed->size, head);
    require(head_size >= 0, "what was read can be written");
    size_t total = (size_t)head_size + (size_t)framed->size + terms->frame->tail_size;
    uint8_t *bytes = malloc(total > 0 ? total : 1);
    require(bytes != NULL, "there is memory");
    memcpy(bytes, head, (size_t)head_size);
    memcpy(bytes + head_size, body, (size_t)framed->size);
    memcpy(bytes + head_size + framed->size, terms->frame->tail, terms->frame->tail_size);
    require(frame_read(terms, bytes, total, false, &scanned, &again) == (total > 0),
            "what was written can be read");
    require(again.size == framed->size && again.envelope.type == framed->envelope.type &&
                again.envelope.priority == framed->envelope.priority &&
                again.envelope.correlation == framed->envelope.correlation &&
                again.envelope.time == framed->envelope.time &&
                again.envelope.has_time == framed->envelope.has_time &&
                again.envelope.kind == framed->envelope.kind &&
                again.envelope.descriptors == framed->envelope.descriptors &&
                again.envelope.body_file == framed->envelope.body_file,
            "it is the same message");
    free(bytes);
}

/* How much of the input is there after the next piece. */
static size_t grow(size_t available, size_t size, uint8_t split) {
    static const size_t steps[] = {1, 2, 3, 7, 64, 1000, 65536, SIZE_MAX / 2};
    size_t step = steps[split % 8];
    return size - available < step ? size : available + step;
}

static void decode(const struct terms *terms, const uint8_t *bytes, size_t size, uint8_t split,
                   struct outcome *ret_outcome) {
    size_t available = 0, scanned = 0;
    *ret_outcome = (struct outcome){0};
    while (ret_outcome->count < MESSAGES_MOST) {
        size_t at = ret_outcome->used, have = available - at;
        bool ended = available == size;
        uint8_t *exact = malloc(have > 0 ? have : 1);
        struct framed framed = {0};
        require(exact != NULL, "there is memory");
        memcpy(exact, bytes + at, have);
        int found = frame_read(terms, exact, have, ended, &scanned, &framed);
        uint64_t total = framed.head + framed.size + framed.tail;
        if (found < 0) {
            require(found == -EBADMSG || found == -EMSGSIZE, "the error is one of two");
            require(strncmp(error_text(), terms->name, strlen(terms->name)) == 0,
                    "the sentence names the address");
            ret_outcome->end = found;
        } else if (found > 0 && total <= have) {
            require(total > 0 && framed.size <= terms->limit, "within the limit");
            check_round_trip(terms, &framed, exact + framed.head);
            ret_outcome->at[ret_outcome->count] = at + framed.head;
            ret_outcome->sizes[ret_outcome->count++] = (size_t)framed.size;
            ret_outcome->used += (size_t)total;
            scanned = 0;
        }
        free(exact);
        if (found < 0)
            return;
        if (found == 0 || total > have) {
            if (ended)
                return;
            available = grow(available, size, split);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct outcome whole, pieces;
    struct terms terms;
    if (size < 3)
        return 0;
    /* Byte by byte through much input takes long and finds no more. */
    uint8_t split = size > 2000 ? data[2] | 4 : data[2];
    struct address *address = read_terms(data, &terms);
    decode(&terms, data + 3, size - 3, 7, &whole);
    decode(&terms, data + 3, size - 3, split, &pieces);
    if (strcmp(terms.frame->name, "raw") != 0) {
        require(whole.end == pieces.end, "the same end whatever the pieces");
        require(whole.count == pieces.count, "as many messages whatever the pieces");
        require(memcmp(whole.at, pieces.at, whole.count * sizeof whole.at[0]) == 0 &&
                    memcmp(whole.sizes, pieces.sizes, whole.count * sizeof whole.sizes[0]) == 0,
                "the same messages whatever the pieces");
    } else if (whole.count < MESSAGES_MOST && pieces.count < MESSAGES_MOST) {
        require(whole.used == size - 3 && pieces.used == size - 3, "all bytes came through");
    }
    free(address);
    return 0;
}
