/* SPDX-License-Identifier: MIT
 *
 * Domains: safe folders, and the named objects in them that processes share.
 *
 * An object is one file. It is made without a name, locked, filled in, and then linked to its
 * name in one step, so nobody sees a half-made one and whoever is killed before leaves
 * nothing. The owner holds a lock on the open file until the kernel gives it up, so a living
 * one's name is never taken, and a dead one's passes at once: to the next who asks for the
 * name, or away, by the next who opens the domain.
 *
 * Whose lock is inherited by a forked child lives no longer for it: the header says which
 * process made the object, and when that one is proven to be gone (by its pidfd, in the same
 * PID namespace since the same boot), the lock counts for nothing. What cannot be proven
 * lives.
 *
 * All functions return 0 or a negative errno value with a sentence. */
#ifndef DOMAIN_DOMAIN_H
#define DOMAIN_DOMAIN_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "memory/header.h"

#define DOMAIN_LEAF_SIZE (NAME_MAX + 1)
#define DOMAIN_LEAF_MOST (NAME_MAX - 7) /* ".socket" has room behind it */
#define DOMAIN_PATH_SIZE PATH_MAX

/* ---- the folder ---- */

struct domain {
    int folder;                  /* descriptor; what follows is relative to it */
    uid_t owner;                 /* of the folder */
    gid_t group;                 /* of a shared one */
    bool shared;                 /* made with `chappe domain create --group` */
    mode_t mode;                 /* that objects get which ask for none: 0600, or 0660 if shared */
    char path[DOMAIN_PATH_SIZE]; /* for sentences */
};

/* Opens the folder at `path`; NULL: $CHAPPE_DOMAIN, and without it /dev/shm/chappe-UID. Makes
 * it, for this user alone, if nothing is there. Then removes leftovers of the dead in it
 * (domain_sweep()). `text` begins the sentences (an address; NULL: the path).
 * -EPERM: it is another user's, or others may write there without having been allowed to by
 * `chappe domain create`. -ENOTDIR, -ELOOP: it is no folder, or a link. */
int domain_open(const char *path, const char *text, struct domain **ret_domain);
void domain_close(struct domain *domain); /* NULL does nothing */

/* As domain_open(), for looking only: makes nothing and removes nothing. -ENOENT. */
int domain_look(const char *path, const char *text, struct domain **ret_domain);

/* Makes a domain. `mode` 0 or 0700: for this user; 0770 (or 2770): shared by `group`. Goes on
 * where a killed call stopped; one that is there already with the same group is success.
 * -EEXIST: something else is there. */
int domain_create(const char *path, mode_t mode, gid_t group);

/* ---- names ---- */

/* Where an object has its name: in a domain or in any folder. */
struct domain_place {
    int folder;       /* a descriptor (O_PATH will do); stays the caller's */
    const char *leaf; /* the file's name there */
    const char *text; /* what sentences call it: an address */
};

/* The leaf of an object in a domain: KIND.NAME, bytes that a file name cannot or should not
 * hold as %XX. -EINVAL: the name is empty; -ENAMETOOLONG: more than DOMAIN_LEAF_MOST bytes in
 * that form. */
int domain_leaf(const char *kind, const char *name, size_t size, const char *text,
                char ret_leaf[DOMAIN_LEAF_SIZE]);

/* The name of the socket that belongs to an object: LEAF.socket. */
void domain_socket_leaf(const char *leaf, char ret_leaf[DOMAIN_LEAF_SIZE]);

/* ---- objects ---- */

struct domain_wish {
    const char *kind;  /* at most 15 bytes */
    uint32_t version;  /* of the body's layout */
    uint64_t required; /* features, see memory/header.h */
    uint64_t optional;
    size_t size; /* of the body, which begins 256 bytes into the file, as zeros */
    mode_t mode; /* 0: 0600 */
    bool stays;  /* until domain_object_destroy(); else it goes with its owner */
    /* Fills in the body before anybody can see it. NULL: it stays zero. It may be called again,
     * for another file, if the first one got no name. */
    void (*fill)(void *context, void *body, size_t size);
    void *context;
};

struct domain_object {
    struct header_facts facts; /* as read once and checked */
    void *memory;              /* all of it, mapped for reading and writing; NULL: not mapped */
    void *body;                /* 256 bytes into it (into what facts.header says) */
    size_t size;               /* of the body */
    bool owner;                /* it goes with this handle */
    bool no_socket;            /* what is at LEAF.socket is not the owner's: it stays */
    int fd;                    /* never to be passed on: who holds the owner's keeps it alive */
    int folder;                /* a descriptor of its own */
    uint64_t device, inode;
    char leaf[DOMAIN_LEAF_SIZE];
    char text[]; /* for sentences */
};

/* Makes an object and gives it its name, taking it over from the dead. Its owner is this
 * process; beside it, only the owner touches the socket LEAF.socket. It may bind that one as
 * soon as this function has succeeded; what is there then was put there by force.
 * Where another process is stopped while it removes a dead one's name, this function waits
 * for it up to 0.1 s.
 * -EADDRINUSE: a living process has the name. -EEXIST: it stays until it is destroyed, or the
 * file is not an object of this library; it is left alone. -ENOSPC: no room, see
 * domain_space(). */
int domain_object_create(const struct domain_place *place, const struct domain_wish *wish,
                         struct domain_object **ret_object);

/* Opens and maps what another process made. `kind` and `version` must be these, and no
 * feature may be required beyond those in `known`.
 * -ENOENT: no such name. -ECONNREFUSED: its owner has died. -EPROTO: another version; the
 * sentence names both. -EEXIST: not an object, or one of another kind. */
int domain_object_open(const struct domain_place *place, const char *kind, uint32_t version,
                       uint64_t known, struct domain_object **ret_object);

/* Its owner lives, or it stays and was not destroyed. */
bool domain_object_is_alive(const struct domain_object *object);

/* Frees the handle. Of an owner: removes LEAF.socket, then the name, if it is still that
 * object's. `own` false (in a forked child): only closes. NULL does nothing. */
void domain_object_release(struct domain_object *object, bool own);

/* Destroys an object that stays: marks it, then removes socket and name. Whoever has it open
 * goes on seeing it, no longer alive. -ENOENT: no such name, or another call just did it.
 * -EBUSY: it goes with its owner, who lives. */
int domain_object_destroy(const struct domain_place *place);

/* ---- leftovers and lists ---- */

/* Removes what the dead left: objects that went with their owner, with their sockets;
 * temporary files; half-destroyed objects; records of System V segments, with the segment.
 * Looks at no more than `most` files, any of them if there are more. Never fails. Result:
 * how many were removed. */
size_t domain_sweep(int folder, size_t most);

enum domain_state {
    DOMAIN_ALIVE,   /* its owner lives */
    DOMAIN_STAYS,   /* until it is destroyed */
    DOMAIN_DEAD,    /* its owner has died, or it was half destroyed */
    DOMAIN_OTHER,   /* an object of another layout version */
    DOMAIN_FOREIGN, /* not an object of this library */
    DOMAIN_CLOSED,  /* this user may not read it */
};

struct domain_entry {
    const char *leaf;
    const char *kind; /* "" if not known */
    const char *name; /* without escapes; the leaf, if it is no object's; ends with NUL */
    size_t name_size; /* it may hold NUL bytes */
    enum domain_state state;
    uint64_t bytes;  /* of the file */
    int64_t created; /* ns since 1970; 0: not known */
    pid_t pid;       /* of its owner, in that one's PID namespace; 0: not known */
    uid_t uid;       /* whose file it is */
};

/* Calls `each` for every object and foreign file; sockets that belong to an object are left
 * out. Ends when it answers other than 0, with that. */
int domain_list(int folder, int (*each)(void *context, const struct domain_entry *entry),
                void *context);

/* ---- memory ---- */

/* Makes a file `size` bytes long with room for all of them, now: shortage is -ENOSPC with a
 * sentence that names the limit (the file system, the memory limit of a cgroup, the machine's
 * memory), not a signal or the out-of-memory killer later. -EFBIG: RLIMIT_FSIZE. `text`
 * begins the sentences. */
int domain_space(int fd, size_t size, const char *text);

/* Only the look at the limits, for memory that is no file yet: 0 or -ENOSPC. */
int domain_room(size_t size, const char *text);

/* A file of that size without a name in that folder, with room for all of it. Result: a
 * descriptor. */
int domain_unnamed_file(int folder, size_t size, mode_t mode, const char *text);

/* A System V segment, attached here; others attach it by its id as long as somebody has it
 * attached, and then it is gone: its key is taken away before this function returns, and a
 * record in the domain sees to it if this process is killed in between.
 * -ENOSPC: no room, or too many segments; -EINVAL: the size is beyond the limits. */
int domain_segment(const struct domain *domain, size_t size, mode_t mode, bool huge,
                   const char *text, int *ret_id, void **ret_memory);

#endif
