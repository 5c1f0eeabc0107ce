/* SPDX-License-Identifier: MIT
 *
 * The shape of carriers that keep boundaries themselves: sequenced packets and datagrams of
 * Unix sockets. A body that is too large for a packet travels as a sealed memory file beside
 * a packet that holds its envelope only. */
#ifndef MECHANISM_PACKETS_H
#define MECHANISM_PACKETS_H

#include "mechanism/mechanism.h"

/* How a socket of packets is used. */
struct packets_use {
    bool connection; /* it has an end, and the other side an identity */
    bool by_address; /* messages come from anyone: reply to their way_back */
    bool check_uid;  /* messages of other users than `uid` are refused */
    bool trust_root; /* but for uid 0 */
    uid_t uid;
};

/* Makes a carrier over a socket, which it then owns, also on failure. */
int packets_create(const struct opening *opening, const char *address,
                   const struct packets_use *use, int fd, struct carrier **ret_carrier);

#endif
