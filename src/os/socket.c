/* SPDX-License-Identifier: MIT
 *
 * Sockets, without SIGPIPE and close-on-exec from birth. */
#include "os/os.h"

#include <errno.h>

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

static int result(int value) {
    return value < 0 ? -errno : value;
}

int os_socket(int family, int type) {
    return result(os_calls.socket(family, type | SOCK_CLOEXEC, 0));
}

int os_socket_pair(int type, int ret_ends[2]) {
    return result(os_calls.socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret_ends));
}

int os_bind(int fd, const struct sockaddr *name, socklen_t size) {
    return result(os_calls.bind(fd, name, size));
}

int os_listen(int fd) {
    return result(os_calls.listen(fd, BACKLOG));
}

/* The listening descriptor is our own and non-blocking; what comes out of it is not. */
int os_accept(int fd) {
    int client;
    do
        client = result(os_calls.accept4(fd, NULL, NULL, SOCK_CLOEXEC));
    while (client == -EINTR || client == -ECONNABORTED);
    return client;
}

int os_connect(int fd, const struct sockaddr *name, socklen_t size) {
    return result(os_calls.connect(fd, name, size));
}

int os_finish_sending(int fd) {
    return result(os_calls.shutdown(fd, SHUT_WR));
}

int os_peer_credentials(int fd, struct ucred *ret_peer) {
    socklen_t size = sizeof *ret_peer;
    return result(os_calls.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_peer, &size));
}

int os_socket_option(int fd, int level, int option, int value) {
    return result(os_calls.setsockopt(fd, level, option, &value, sizeof value));
}

static int ask(int fd, int option, int *ret_value) {
    socklen_t size = sizeof *ret_value;
    return result(os_calls.getsockopt(fd, SOL_SOCKET, option, ret_value, &size));
}

int os_send_buffer(int fd) {
    int bytes;
    int error = ask(fd, SO_SNDBUF, &bytes);
    return error < 0 ? error : bytes;
}

int os_socket_error(int fd) {
    int pending = 0;
    int error = ask(fd, SO_ERROR, &pending);
    return error < 0 ? error : -pending;
}

ssize_t os_send(int fd, const struct msghdr *message, bool block) {
    int flags = MSG_NOSIGNAL | (block ? 0 : MSG_DONTWAIT);
    ssize_t sent;
    do
        sent = os_calls.sendmsg(fd, message, flags);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

ssize_t os_send_bytes(int fd, const void *bytes, size_t size, bool block) {
    int flags = MSG_NOSIGNAL | (block ? 0 : MSG_DONTWAIT);
    ssize_t sent;
    do
        sent = os_calls.send(fd, bytes, size, flags);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

ssize_t os_receive(int fd, struct msghdr *message, bool block) {
    int flags = MSG_CMSG_CLOEXEC | (block ? 0 : MSG_DONTWAIT);
    ssize_t got;
    do
        got = os_calls.recvmsg(fd, message, flags);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}
