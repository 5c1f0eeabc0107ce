/* SPDX-License-Identifier: MIT
 *
 * Descriptors that came beside bytes (SCM_RIGHTS), waiting for the message that announces
 * them. Shared by the shapes for bytes and packets. */
#ifndef MECHANISM_ARRIVALS_H
#define MECHANISM_ARRIVALS_H

#include <sys/socket.h>

#include "mechanism/mechanism.h"

#define ARRIVALS_SETS 4 /* of a message that is still coming, and of what came with its end */
#define ARRIVALS_MAX (ARRIVALS_SETS * CHAPPE_DESCRIPTORS_MAX)
/* Room for the largest set of descriptors and a set of credentials. */
#define ARRIVALS_CONTROL_SIZE                                                                      \
    (CMSG_SPACE(CHAPPE_DESCRIPTORS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred)))

/* What came with one call of the kernel: the descriptors of one message, all or none. */
struct arrival_set {
    size_t count;
    bool cut; /* they did not fit into this process: all are closed */
};

struct arrivals {
    int *descriptors; /* of all sets, in order; made when the first one comes */
    size_t count;
    struct arrival_set sets[ARRIVALS_SETS];
    size_t set_count;
};

/* How many the next message may have. */
static inline size_t arrivals_next(const struct arrivals *arrivals) {
    return arrivals->set_count > 0 ? arrivals->sets[0].count : 0;
}

/* Takes what the control part of a received message brought. *ret_sender is filled in if
 * there are credentials. A set that does not fit is closed whole. */
void arrivals_collect(struct arrivals *arrivals, struct msghdr *message,
                      chappe_identity *ret_sender);

/* Gives the next set to a message that announces `count` descriptors; its details exist.
 * -EMFILE if they were cut, -EBADMSG if it is of another size (in both cases the set is gone),
 * -ENOMEM (nothing has changed), all with a sentence. */
int arrivals_give(struct arrivals *arrivals, const char *name, size_t count,
                  struct details *details);

/* Closes the next set: its message is not to be delivered. */
void arrivals_skip(struct arrivals *arrivals);

/* Closes what nobody announced. Result: how many. */
size_t arrivals_drop(struct arrivals *arrivals);
void arrivals_free(struct arrivals *arrivals);

/* The control part for `count` descriptors. `space` has ARRIVALS_CONTROL_SIZE bytes. */
void arrivals_attach(struct msghdr *message, void *space, const int *descriptors, size_t count);

#endif
