/* SPDX-License-Identifier: MIT
 *
 * Names of Unix sockets: paths of any length and abstract names, and the right to serve
 * one. Whoever serves a path holds a lock on the file PATH.lock beside it for as long as it
 * lives; the kernel gives the lock up when it dies. So there is no moment at which two
 * processes think that the other one is dead. */
#ifndef MECHANISM_UNIX_NAME_H
#define MECHANISM_UNIX_NAME_H

#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "mechanism/mechanism.h"

struct unix_name {
    const char *text; /* the address, for sentences */
    bool abstract;
    struct sockaddr_un address; /* what the kernel is given; for long paths by way of `folder` */
    socklen_t size;
    int folder;               /* the path's, opened; -1 for abstract names */
    int target;               /* a long path's socket, opened to connect; -1 */
    char leaf[NAME_MAX + 1];  /* the path's last part */
    char bound[NAME_MAX + 1]; /* under which name it is bound first */
};

/* Reads the name out of an address. *ret_name needs unix_name_free(). */
int unix_name_parse(const struct opening *opening, struct unix_name *ret_name);
/* The name of a socket in a folder, whose descriptor stays the caller's. `text` begins the
 * sentences. */
int unix_name_in(const char *text, int folder, const char *leaf, struct unix_name *ret_name);
void unix_name_free(struct unix_name *name);

/* Connects `fd` to the name; -ENOENT and -ECONNREFUSED: nobody there. */
int unix_name_connect(struct unix_name *name, int fd);

/* Makes sure that nothing has the name, removing the socket of a dead server. -EADDRINUSE:
 * somebody answers there; -EEXIST: it is no socket. */
int unix_name_make_free(struct unix_name *name, int type);

/* Binds `fd` to a path where nothing is, with that mode. Whoever calls it makes sure that
 * nobody else does. *ret_status is the socket file's. */
int unix_name_bind(struct unix_name *name, int fd, mode_t mode, struct stat *ret_status);

/* A name that is being served. */
struct unix_claim {
    int folder;
    int lock;
    dev_t lock_device; /* of the lock file that we hold */
    ino_t lock_inode;
    dev_t device; /* of the socket file that we made */
    ino_t inode;
    char leaf[NAME_MAX + 1];
};

/* Binds `fd`, of socket type `type`, to the name, taking it over from the dead. *ret_claim
 * is NULL for an abstract name, which the kernel gives up by itself.
 * -EADDRINUSE: a living process has it; -EEXIST: the path is something else. */
int unix_name_claim(struct unix_name *name, int fd, int type, mode_t mode,
                    struct unix_claim **ret_claim);

/* Gives the name up: removes what the claim made, if it is still that, and frees the claim
 * (a struct unix_claim). `owner` false: only closes descriptors. */
void unix_name_release(void *claim, bool owner);

#endif
