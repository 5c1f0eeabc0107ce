/* SPDX-License-Identifier: MIT
 *
 * What the receiving and the sending half of carriers of packets share. */
#ifndef MECHANISM_PACKETS_HALVES_H
#define MECHANISM_PACKETS_HALVES_H

#include "mechanism/arrivals.h"
#include "mechanism/held.h"
#include "mechanism/packets.h"
#include "os/os.h"

struct packets {
    struct carrier carrier;
    struct packets_use use;
    int fd;

    /* Coming in: one packet, in chunk->bytes[start .. end), none if start == end and not
     * `fresh`. Packets are put one after the other into the chunk. */
    struct chunk *chunk;
    size_t start, end;
    size_t appetite;
    bool fresh; /* a packet is there that take() has not looked at (it may be empty) */
    bool ended;
    bool reset;  /* the other side went away with unread packets of ours */
    bool resets; /* and the receiver has to be told, once */
    struct arrivals arrivals;
    chappe_identity sender;
    size_t way_back_size;
    uint8_t way_back[DETAILS_WAY_BACK_MAX];

    int file; /* the body of a letter that will be tried again; -1 */
    uint64_t sent;
    uint64_t dropped;
};

/* packets_send.c */
int packets_send(struct carrier *carrier, const struct letter *letter, enum send_mode mode);
int packets_finish(struct carrier *carrier);

#endif
