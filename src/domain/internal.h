/* SPDX-License-Identifier: MIT
 *
 * What the files of this floor share: looking at an object without disturbing it, and
 * removing a dead one. */
#ifndef DOMAIN_INTERNAL_H
#define DOMAIN_INTERNAL_H

#include <sys/stat.h>

#include "domain/domain.h"

/* The two bytes of an object's file that are locked, far behind any data.
 * Life: by the owner, from before the object has its name until the owner's end, never again.
 * Burial: by who removes the name of a dead object, for those few calls. */
#define LIFE_AT ((off_t)1 << 62)
#define BURIAL_AT (((off_t)1 << 62) + 1)

#define SOCKET_SUFFIX ".socket"
#define TEMPORARY_PREFIX ".chappe-"
#define FOLDER_LEAF "domain" /* the object that says of a folder that it is shared */
#define FOLDER_KIND "domain"
#define RECORD_KIND "sysv"

/* An object as somebody sees it who opened its name. */
struct found {
    int fd;
    struct stat status;
    enum domain_state state;
    bool ending;
    int problem; /* what header_read() said */
    struct header_facts facts;
};

/* Opens what has that name and judges it. What is no file of ours is not opened: fd is -1
 * then, or -1 and the state DOMAIN_CLOSED. -ENOENT and what the kernel says. */
int found_open(int folder, const char *leaf, bool write, struct found *ret_found);
void found_close(struct found *found);

/* Whether it lives, from what is known of it and the lock of its descriptor. */
enum domain_state found_judge(const struct found *found);

/* Removes LEAF.socket, if that is a socket. Only for the owner, or with the right of burial. */
void found_remove_socket(int folder, const char *leaf);

/* Removes socket or segment, then the name, of a dead object opened for writing. `end`: of
 * one that stays, after marking it. -EAGAIN: another process is at it; -ENOENT: the name is
 * another object's by now, or nobody's. */
int found_bury(int folder, const char *leaf, const struct found *found, bool end);

/* found_bury(), giving others a moment to finish. -EAGAIN: they do not. */
int found_bury_patiently(int folder, const char *leaf, const struct found *found, bool end);

bool leaf_is_temporary(const char *leaf);
/* Whether it has the form of an object's socket, and which object's. */
bool leaf_is_socket(const char *leaf, char ret_object[DOMAIN_LEAF_SIZE]);
/* The reverse of domain_leaf(); what is not of its form comes out as it is. Result: bytes. */
size_t leaf_name(const char *leaf, const char *kind, char ret_name[DOMAIN_LEAF_SIZE]);

/* Removes the segment that the record of a dead process names, if it is that process's. */
void segment_remove(const char *leaf, const struct found *record);

#endif
