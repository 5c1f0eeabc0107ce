/* SPDX-License-Identifier: MIT
 *
 * The header that every shared object begins with, 256 bytes:
 *
 *       0                8        10       12       16               24
 *       +----------------+--------+--------+--------+----------------+
 *       | magic          | layout | header | flags  | size           |
 *       +----------------+--------+--------+--------+----------------+
 *      24               32               40               56        72
 *       +----------------+----------------+----------------+---------+
 *       | required       | optional       | incarnation    | kind    |
 *       +----------------+----------------+----------------+---------+
 *      72               80       84      88               96        104
 *       +----------------+--------+-------+----------------+---------+
 *       | created        | pid    | body  | space          | number  |
 *       +----------------+--------+-------+----------------+---------+
 *      104                                140     144                192
 *       +---------------------------------+--------+------- … -------+
 *       | boot                            | check  | 0               |
 *       +---------------------------------+--------+------- … -------+
 *      192     196                                                   256
 *       +--------+--------------------------- … ---------------------+
 *       | state  | 0                                                 |
 *       +--------+--------------------------- … ---------------------+
 *
 *     magic        "chappe", 0x1A, 0x01 as one word; stored last, so whoever sees it finds
 *                  the rest. 0: not finished
 *     layout       version of this header: 1
 *     header       its size: where the body begins
 *     flags        bit 0: stays until it is destroyed, else goes with its owner
 *     size         of header and body together
 *     required     features that whoever uses the object must know
 *     optional     features that it may leave alone
 *     incarnation  16 random bytes: this object and no other, whatever its name
 *     kind         what it is, such as "shm"; the rest zeros
 *     created      CLOCK_REALTIME, ns
 *     pid          of the owner, in its own PID namespace
 *     body         version of the body's layout
 *     space        that PID namespace: its inode in /proc/self/ns/pid; 0: not known
 *     number       inode of the owner's pidfd, never used again; 0: not known
 *     boot         /proc/sys/kernel/random/boot_id of its machine, or zeros
 *     check        CRC-32C of the bytes from 8 to 140
 *     state        0: named · 1: ending, its name is being removed
 *
 * All numbers are of the machine's own byte order; an object of another byte order has
 * another magic. magic, layout, header and flags have this place in every version, so an
 * object of another version can be told from a foreign file, and a dead one replaced. */
#ifndef MEMORY_HEADER_H
#define MEMORY_HEADER_H

#include "base/shared.h"

#define HEADER_SIZE 256
#define HEADER_LAYOUT 1
#define HEADER_KIND_SIZE 16 /* with a NUL byte */
#define HEADER_BOOT_SIZE 36

enum header_flag { HEADER_STAYS = 1 };
enum header_state { HEADER_NAMED = 0, HEADER_ENDING = 1 };

struct header_facts {
    uint16_t layout;
    uint16_t header;
    uint32_t flags;
    uint64_t size;
    uint64_t required, optional;
    uint8_t incarnation[16];
    char kind[HEADER_KIND_SIZE];
    int64_t created;
    uint32_t pid;
    uint32_t body;
    uint64_t space, number;
    char boot[HEADER_BOOT_SIZE];
};

/* Writes all but the magic into HEADER_SIZE zero bytes, aligned to 8; layout and header are
 * filled in. Nobody else reads the memory yet, or everybody finds the magic missing. */
void header_write(void *memory, const struct header_facts *facts);

/* Stores the magic: from here on the object is one. */
void header_publish(void *memory);

/* Reads a header out of `size` bytes, aligned to 8, mapped or a copy, once: what another
 * process writes there meanwhile does not get past the checks.
 * -EAGAIN: it is not published. -EBADMSG: not an object, or damaged. -EPROTO: another layout;
 * then layout, header and flags alone are filled in. */
int header_read(const void *memory, size_t size, struct header_facts *ret_facts);

/* The one word that changes after publication: named or ending. */
uint32_t header_state(const void *memory);
void header_end(void *memory);

#endif
