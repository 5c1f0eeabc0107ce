/* SPDX-License-Identifier: MIT
 *
 * Bytes over a connected stream socket, descriptors beside them. */
#include "mechanism/socket_io.h"

#include <errno.h>

static ssize_t socket_io_read(struct bytes *bytes, void *to, size_t size, bool block) {
    _Alignas(struct cmsghdr) uint8_t control[ARRIVALS_CONTROL_SIZE];
    struct iovec part = {.iov_base = to, .iov_len = size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t got = os_receive(bytes->in, &message, block);
    /* With no room for a single descriptor there is only the flag. */
    if (got >= 0 && (message.msg_controllen > 0 || (message.msg_flags & MSG_CTRUNC) != 0)) {
        chappe_identity nobody;
        arrivals_collect(&bytes->arrivals, &message, &nobody);
    }
    return got;
}

static ssize_t socket_io_write(struct bytes *bytes, const struct iovec *parts, int count,
                               const int *descriptors, size_t descriptor_count, bool block) {
    if (count == 1 && descriptor_count == 0)
        return os_send_bytes(bytes->out, parts[0].iov_base, parts[0].iov_len, block);
    _Alignas(struct cmsghdr) uint8_t control[ARRIVALS_CONTROL_SIZE];
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                             .msg_iovlen = (size_t)count};
    arrivals_attach(&message, control, descriptors, descriptor_count);
    return os_send(bytes->out, &message, block);
}

static int socket_io_unread(struct bytes *bytes) {
    return os_socket_unread(bytes->out);
}

static int socket_io_finish(struct bytes *bytes) {
    return os_finish_sending(bytes->out);
}

const struct bytes_io socket_io = {
    .read = socket_io_read,
    .write = socket_io_write,
    .unread = socket_io_unread,
    .measures = false, /* SIOCOUTQ of a Unix socket counts memory, not bytes */
    .finish = socket_io_finish,
};

void socket_io_peer(int fd, chappe_identity *ret_peer) {
    struct ucred peer;
    /* The kernel gives pid 0 and uid -1 for a peer that it did not note. */
    if (os_peer_credentials(fd, &peer) == 0 && peer.uid != (uid_t)-1)
        *ret_peer = (chappe_identity){.size = sizeof *ret_peer,
                                      .pid = peer.pid,
                                      .uid = peer.uid,
                                      .gid = peer.gid,
                                      .verified = CHAPPE_BY_SOCKET};
}
