/* SPDX-License-Identifier: MIT
 *
 * Descriptors that came beside bytes (SCM_RIGHTS), waiting for the message that announces
 * them. Shared by the shapes for bytes and packets. */
#ifndef MECHANISM_ARRIVALS_H
#define MECHANISM_ARRIVALS_H

#include <sys/socket.h>

#include "mechanism/mechanism.h"

#define ARRIVALS_MAX (2 * CHAPPE_DESCRIPTORS_MAX)
/* Room for the largest set of descriptors and a set of credentials. */
#define ARRIVALS_CONTROL_SIZE                                                                      \
    (CMSG_SPACE(CHAPPE_DESCRIPTORS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred)))

struct arrivals {
    int *descriptors; /* made when the first one comes */
    size_t count;
    bool cut; /* some did not fit into this process: all of that set are closed */
};

/* Takes what the control part of a received message brought. *ret_sender is filled in if
 * there are credentials. A set that does not fit is closed whole, and arrivals->cut set. */
void arrivals_collect(struct arrivals *arrivals, struct msghdr *message,
                      chappe_identity *ret_sender);

/* Gives the first `count` to a message; its details exist. -EMFILE if they were cut, -EBADMSG
 * if fewer came, -ENOMEM (nothing has changed), all with a sentence. */
int arrivals_give(struct arrivals *arrivals, const char *name, size_t count,
                  struct details *details);

/* Closes what nobody announced. Result: how many. */
size_t arrivals_drop(struct arrivals *arrivals);
void arrivals_free(struct arrivals *arrivals);

/* The control part for `count` descriptors. `space` has ARRIVALS_CONTROL_SIZE bytes. */
void arrivals_attach(struct msghdr *message, void *space, const int *descriptors, size_t count);

#endif
