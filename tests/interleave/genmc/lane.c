/* SPDX-License-Identifier: MIT
 *
 * The lane for genmc: the library's own source and shared words, under RC11. Two messages, and
 * a writer that may stop after any of them. */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "memory/lane.c"

static struct lane_words words;
static shared64 ring[8];

static void *write_two(void *context) {
    struct lane_writer writer;
    lane_writer_start(&writer, &words, ring, sizeof ring);
    for (uint64_t number = 1; number <= 2; number++) {
        uint64_t *room = lane_reserve(&writer, 8);
        if (room == NULL)
            break;
        *room = number;
        lane_commit(&writer, 8, 0, LANE_MESSAGE);
    }
    return context;
}

static void *read_two(void *context) {
    struct lane_reader reader;
    struct lane_frame frame;
    uint64_t expected = 1;
    lane_reader_start(&reader, &words, ring, sizeof ring);
    for (int look = 0; look < 3; look++) {
        int found = lane_take(&reader, &frame);
        assert(found >= 0);
        if (found == 1) {
            assert(*(uint64_t *)frame.body == expected++);
            lane_free(&reader, reader.position);
        }
    }
    return context;
}

int main(void) {
    pthread_t writer, reader;
    pthread_create(&writer, NULL, write_two, NULL);
    pthread_create(&reader, NULL, read_two, NULL);
    pthread_join(writer, NULL);
    pthread_join(reader, NULL);
    return 0;
}
