/* SPDX-License-Identifier: MIT
 *
 * unix://: Unix-domain sockets, as streams, sequenced packets or datagrams. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"
#include "mechanism/listener.h"
#include "mechanism/packets.h"
#include "mechanism/socket_io.h"
#include "mechanism/unix_name.h"

/* ---- what the address asks for ---- */

struct unix_options {
    int type;         /* SOCK_… */
    mode_t mode;      /* of a socket with a path */
    uint64_t clients; /* at most; 0 = no limit */
    bool check_uid;   /* the other side must be `uid` */
    bool asked;       /* for that check, in the address */
    bool trust_root;  /* or root */
    uid_t uid;
};

/* Abstract names have no permissions, so there the default is: the same user, or root. */
static int read_uid(const struct address *address, struct unix_options *options) {
    const char *text = address_option(address, "uid");
    bool abstract = address->where[0] == '@';
    options->asked = text != NULL;
    uint64_t uid = os_uid();
    if (text == NULL)
        text = abstract ? "self" : "any";
    options->check_uid = strcmp(text, "any") != 0;
    options->trust_root = strcmp(text, "self") == 0;
    if (options->check_uid && !options->trust_root && !number_decimal(text, UINT32_MAX - 1, &uid))
        return error_set(-EINVAL, "%s: uid=%s is none of any, self and a number", address->text,
                         text);
    options->uid = (uid_t)uid;
    return 0;
}

static int read_options(const struct address *address, struct unix_options *ret_options) {
    static const char *const names[] = {"stream", "seqpacket", "datagram", NULL};
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    struct unix_options options = {0};
    int type, error;
    if ((error = address_choice(address, "type", names, 0, &type)) < 0 ||
        (error = address_size(address, "clients", 0, 1, 1 << 20, &options.clients)) < 0 ||
        (error = address_mode(address, "mode", 0600, &options.mode)) < 0 ||
        (error = read_uid(address, &options)) < 0)
        return error;
    options.type = types[type];
    *ret_options = options;
    return 0;
}

/* ---- connections ---- */

static bool is_welcome(const struct unix_options *options, const chappe_identity *peer) {
    return !options->check_uid || peer->uid == options->uid ||
           (options->trust_root && peer->verified != 0 && peer->uid == 0);
}

/* A carrier over a connected socket, which it takes. */
static int wrap(const struct opening *opening, const struct unix_options *options, int fd,
                struct carrier **ret_carrier) {
    chappe_identity peer = {.size = sizeof peer, .uid = (uid_t)-1, .gid = (gid_t)-1};
    socket_io_peer(fd, &peer);
    if (!is_welcome(options, &peer)) {
        os_close(fd);
        return error_set(-EPERM, "%s: the other side (process %d) is uid %d; option uid= says %d",
                         opening->address->text, (int)peer.pid, (int)peer.uid, (int)options->uid);
    }
    const struct packets_use use = {.connection = true};
    int error = options->type == SOCK_STREAM
                    ? bytes_create(opening, NULL, &socket_io, fd, fd, ret_carrier)
                    : packets_create(opening, NULL, &use, fd, ret_carrier);
    if (error == 0)
        (*ret_carrier)->peer = peer;
    return error;
}

/* A carrier over a socket of datagrams, which it takes. */
static int wrap_datagrams(const struct opening *opening, const struct unix_options *options, int fd,
                          bool server, struct carrier **ret_carrier) {
    const struct packets_use use = {.by_address = server,
                                    .check_uid = options->check_uid,
                                    .trust_root = options->trust_root,
                                    .uid = options->uid};
    int error = os_socket_option(fd, SOL_SOCKET, SO_PASSCRED, 1);
    if (error < 0) {
        os_close(fd);
        return error_of(error, "%s", opening->address->text);
    }
    return packets_create(opening, NULL, &use, fd, ret_carrier);
}

/* ---- opening ---- */

static int connect_named(const struct opening *opening, const struct unix_options *options,
                         int *ret_fd) {
    struct unix_name name;
    int error = unix_name_parse(opening, &name);
    if (error < 0)
        return error;
    /* Non-blocking while it connects: a server with a full backlog must not stop us. */
    int fd = os_socket(AF_UNIX, options->type | SOCK_NONBLOCK);
    error = fd < 0 ? fd : 0;
    if (error == 0 && options->type == SOCK_DGRAM) {
        /* A name of its own, which the kernel chooses and forgets, for the way back. */
        const struct sockaddr any = {.sa_family = AF_UNIX};
        error = os_bind(fd, &any, sizeof any.sa_family);
    }
    if (error == 0)
        error = unix_name_connect(&name, fd);
    if (error == 0)
        error = os_make_blocking(fd);
    unix_name_free(&name);
    if (error == 0) {
        *ret_fd = fd;
        return 0;
    }
    os_close(fd);
    if (error == -ENOENT || error == -ECONNREFUSED)
        return error_set(error, "%s: nobody is there (%s)", opening->address->text,
                         error == -ENOENT ? "no such socket" : "nobody serves it");
    if (error == -EPROTOTYPE)
        return error_set(error, "%s: the server's socket is of another type= than %s",
                         opening->address->text,
                         options->type == SOCK_STREAM      ? "stream"
                         : options->type == SOCK_SEQPACKET ? "seqpacket"
                                                           : "datagram");
    return error_of(error, "%s: connecting", opening->address->text);
}

/* The kernel does not tell who is behind a name for datagrams; the file of a path does. */
static int check_datagram_server(const struct opening *opening,
                                 const struct unix_options *options) {
    struct unix_name name;
    struct stat status;
    if (options->type != SOCK_DGRAM || !options->check_uid || !options->asked)
        return 0;
    int error = unix_name_parse(opening, &name);
    if (error < 0)
        return error;
    if (name.abstract)
        return error_set(-ENOTSUP,
                         "%s: nobody can tell who serves an abstract name for datagrams; choose a "
                         "path, another type=, or uid=any",
                         opening->address->text);
    error = os_stat(name.folder, name.leaf, &status);
    unix_name_free(&name);
    if (error < 0)
        return error_set(error, "%s: nobody is there (no such socket)", opening->address->text);
    const chappe_identity owner = {.uid = status.st_uid, .verified = CHAPPE_BY_SOCKET};
    if (!is_welcome(options, &owner))
        return error_set(-EPERM, "%s: the socket belongs to uid %d; option uid= says %d",
                         opening->address->text, (int)status.st_uid, (int)options->uid);
    return 0;
}

static int unix_open(const struct opening *opening, struct carrier **ret_carrier) {
    struct unix_options options;
    int error = read_options(opening->address, &options), fd;
    if (error == 0)
        error = check_datagram_server(opening, &options);
    if (error == 0)
        error = connect_named(opening, &options, &fd);
    if (error < 0)
        return error;
    return options.type == SOCK_DGRAM ? wrap_datagrams(opening, &options, fd, false, ret_carrier)
                                      : wrap(opening, &options, fd, ret_carrier);
}

static int unix_pair(const struct opening *a, const struct opening *b, struct carrier **ret_a,
                     struct carrier **ret_b) {
    struct unix_options options;
    int error = read_options(a->address, &options);
    if (error < 0)
        return error;
    if (a->address->where_size > 0)
        return error_set(-EINVAL, "%s: a pair has no name: unix://", a->address->text);
    options.check_uid = false;
    int ends[2];
    error = os_socket_pair(options.type, ends);
    if (error < 0)
        return error_of(error, "%s: making a pair", a->address->text);
    struct carrier *first, *second;
    error = wrap(a, &options, ends[0], &first);
    if (error < 0) {
        os_close(ends[1]);
        return error;
    }
    error = wrap(b, &options, ends[1], &second);
    if (error < 0) {
        first->functions->close(first, true);
        return error;
    }
    first->crosses_fork = second->crosses_fork = true;
    /* The kernel noted who made the pair; which process has an end after a fork it cannot know. */
    first->peer.pid = second->peer.pid = 0;
    *ret_a = first;
    *ret_b = second;
    return 0;
}

/* ---- serving ---- */

static int welcome(const struct opening *opening, const void *options, int fd,
                   struct carrier **ret_client) {
    return wrap(opening, options, fd, ret_client);
}

/* A carrier that accepts connections on a bound socket, which it takes. */
static int listen_on(const struct opening *opening, const struct unix_options *options, int fd,
                     struct carrier **ret_carrier) {
    struct unix_options *kept = malloc(sizeof *kept);
    if (kept == NULL) {
        os_close(fd);
        return error_of(-ENOMEM, "%s", opening->address->text);
    }
    *kept = *options;
    const struct listener_use use = {.welcome = welcome, .forget = free, .terms = kept};
    int error = listener_create(opening, &use, fd, ret_carrier);
    if (error == 0)
        (*ret_carrier)->clients_most = options->clients;
    return error;
}

static int bind_named(const struct opening *opening, const struct unix_options *options,
                      int *ret_fd, struct unix_claim **ret_claim) {
    struct unix_name name;
    int error = unix_name_parse(opening, &name);
    if (error < 0)
        return error;
    int fd = os_socket(AF_UNIX, options->type | (options->type == SOCK_DGRAM ? 0 : SOCK_NONBLOCK));
    error = fd < 0 ? error_of(fd, "%s", opening->address->text)
                   : unix_name_claim(&name, fd, options->type, options->mode, ret_claim);
    unix_name_free(&name);
    if (error < 0)
        os_close(fd);
    else
        *ret_fd = fd;
    return error;
}

static int unix_listen(const struct opening *opening, struct carrier **ret_carrier) {
    struct unix_options options;
    struct unix_claim *claim;
    int fd, error = read_options(opening->address, &options);
    if (error == 0)
        error = bind_named(opening, &options, &fd, &claim);
    if (error < 0)
        return error;
    struct carrier *carrier;
    error = options.type == SOCK_DGRAM ? wrap_datagrams(opening, &options, fd, true, &carrier)
                                       : listen_on(opening, &options, fd, &carrier);
    if (error < 0) {
        if (claim != NULL)
            unix_name_release(claim, true);
        return error;
    }
    if (claim != NULL) {
        carrier->name = claim;
        carrier->release_name = unix_name_release;
    }
    *ret_carrier = carrier;
    return 0;
}

static const unsigned char support[CHAPPE_CAPABILITY_COUNT] = {
    [CHAPPE_CAN_TYPE] = CHAPPE_CARRIES,     [CHAPPE_CAN_PRIORITY] = CHAPPE_CARRIES,
    [CHAPPE_CAN_DESCRIPTORS] = CHAPPE_ACTS, [CHAPPE_CAN_IDENTITY] = CHAPPE_ACTS,
    [CHAPPE_CAN_ORDER] = CHAPPE_ACTS,       [CHAPPE_CAN_MANY_SENDERS] = CHAPPE_ACTS,
    [CHAPPE_CAN_REPLY] = CHAPPE_ACTS,       [CHAPPE_CAN_POLL] = CHAPPE_ACTS,
    [CHAPPE_CAN_RELIABILITY] = CHAPPE_ACTS,
};

const struct mechanism mechanism_unix = {
    .row =
        {
            .size = sizeof(chappe_row),
            .scheme = "unix",
            .summary = "Unix-domain sockets: streams, sequenced packets, datagrams",
            .form = "unix:///PATH  unix://./PATH  unix://@NAME",
            .manual =
                "A server listens under a path or under an abstract name (@NAME, which leaves "
                "no file); any number of clients connect.\n\n"
                "Beside the socket at PATH lies PATH.lock, locked by the server for as long as "
                "it lives. The socket of a dead server is taken over, a living one's never; "
                "both files go when the server closes. Paths may be longer than the kernel's "
                "107 bytes.\n\n"
                "The kernel tells each side the process, user and group of the other. "
                "Descriptors travel with messages, at most 253 each. On seqpacket and datagram "
                "a large body travels as a sealed memory file.\n",
            .options =
                (const char *const[]){
                    "type=stream|seqpacket|datagram  the kind of socket (without: stream)",
                    "mode=OCTAL  permissions of the socket file (without: 0600)",
                    "uid=any|self|UID  whom to talk to; self also trusts root (without: any; "
                    "for abstract names self)",
                    "clients=N  how many connections a server has at most (without: no limit)",
                    NULL},
            .trials = (const char *const[]){"unix://{dir}/stream",
                                            "unix://{dir}/seqpacket?type=seqpacket",
                                            "unix://{dir}/datagram?type=datagram", NULL},
            .lost_with_sender = "the message it was writing; the receiver is told",
            .lost_with_receiver = "what it had not received; close counts it",
            .ways = CHAPPE_WAY_PAIR | CHAPPE_WAY_OPEN | CHAPPE_WAY_LISTEN | CHAPPE_WAY_BOTH,
            .support_count = CHAPPE_CAPABILITY_COUNT,
            .support = support,
        },
    .open = unix_open,
    .listen = unix_listen,
    .pair = unix_pair,
};
