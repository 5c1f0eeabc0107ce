/* SPDX-License-Identifier: MIT
 *
 * Bytes over a connected stream socket. */
#ifndef MECHANISM_SOCKET_IO_H
#define MECHANISM_SOCKET_IO_H

#include "mechanism/bytes.h"

extern const struct bytes_io socket_io;

/* The process on the other side as the kernel noted it when the connection was made. */
void socket_io_peer(int fd, chappe_identity *ret_peer);

#endif
