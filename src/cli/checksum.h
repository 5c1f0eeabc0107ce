/* SPDX-License-Identifier: MIT
 *
 * A fast 64-bit checksum over bytes that come in pieces of any size: in the manner of
 * FNV-1a, but over four words at a time. Every step can be undone, so a difference in a
 * single word always changes the sum. For finding faults, not attackers.
 */
#ifndef CHAPPE_CLI_CHECKSUM_H
#define CHAPPE_CLI_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define CHECKSUM_BLOCK 32

struct checksum {
    uint64_t lanes[CHECKSUM_BLOCK / 8];
    uint64_t size;                      /* of all so far */
    unsigned char held[CHECKSUM_BLOCK]; /* the last size % CHECKSUM_BLOCK bytes */
};

void checksum_begin(struct checksum *checksum);
void checksum_add(struct checksum *checksum, const void *bytes, size_t size);
uint64_t checksum_sum(const struct checksum *checksum);

#endif
