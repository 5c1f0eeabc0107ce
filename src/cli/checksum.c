/* SPDX-License-Identifier: MIT
 *
 * Checksum: see checksum.h.
 */
#include "checksum.h"

#include <string.h>

#define CHECKSUM_PRIME UINT64_C(0x100000001b3)
#define CHECKSUM_START UINT64_C(0xcbf29ce484222325)

static uint64_t checksum_step(uint64_t lane, uint64_t word) {
    lane = (lane ^ word) * CHECKSUM_PRIME;
    /* Multiplying moves differences up only; turning brings them down again. */
    return lane << 29 | lane >> 35;
}

static void checksum_block(struct checksum *checksum, const unsigned char *bytes) {
    uint64_t words[CHECKSUM_BLOCK / 8];

    memcpy(words, bytes, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        checksum->lanes[i] = checksum_step(checksum->lanes[i], words[i]);
    }
}

void checksum_begin(struct checksum *checksum) {
    checksum->size = 0;
    for (size_t i = 0; i < sizeof checksum->lanes / sizeof checksum->lanes[0]; i++) {
        checksum->lanes[i] = checksum_step(CHECKSUM_START, i);
    }
}

void checksum_add(struct checksum *checksum, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    size_t held = checksum->size % CHECKSUM_BLOCK;

    checksum->size += size;
    if (held > 0) {
        size_t room = CHECKSUM_BLOCK - held;
        size_t taken = size < room ? size : room;

        memcpy(checksum->held + held, at, taken);
        at += taken;
        size -= taken;
        if (taken < room) {
            return;
        }
        checksum_block(checksum, checksum->held);
    }
    for (; size >= CHECKSUM_BLOCK; size -= CHECKSUM_BLOCK) {
        checksum_block(checksum, at);
        at += CHECKSUM_BLOCK;
    }
    if (size > 0) {
        memcpy(checksum->held, at, size);
    }
}

uint64_t checksum_sum(const struct checksum *checksum) {
    uint64_t sum = checksum_step(CHECKSUM_START, checksum->size);

    for (size_t i = 0; i < sizeof checksum->lanes / sizeof checksum->lanes[0]; i++) {
        sum = checksum_step(sum, checksum->lanes[i]);
    }
    for (size_t i = 0; i < checksum->size % CHECKSUM_BLOCK; i++) {
        sum = checksum_step(sum, checksum->held[i]);
    }
    return sum ^ sum >> 32;
}
