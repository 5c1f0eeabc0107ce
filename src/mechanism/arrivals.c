/* SPDX-License-Identifier: MIT
 *
 * Descriptors that came beside bytes (SCM_RIGHTS). The kernel hands out duplicates that
 * nobody asked for: each must end in a message or be closed. */
#include "mechanism/arrivals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"

/* Keeps a set, or none of it: a part of a set is worth nothing, the numbers in it would name
 * the wrong files. */
static void keep(struct arrivals *arrivals, const int *descriptors, size_t count, bool cut) {
    bool room = arrivals->set_count < ARRIVALS_SETS;
    if (!cut && room && arrivals->descriptors == NULL)
        arrivals->descriptors = malloc(ARRIVALS_MAX * sizeof(int));
    bool fits = !cut && room && arrivals->descriptors != NULL;
    for (size_t i = 0; i < count; i++) {
        if (fits)
            arrivals->descriptors[arrivals->count++] = descriptors[i];
        else
            os_close(descriptors[i]);
    }
    /* More sets than messages can be under way: they are of nobody. */
    if (room)
        arrivals->sets[arrivals->set_count++] =
            (struct arrival_set){.count = fits ? count : 0, .cut = !fits};
}

static void collect_one(struct arrivals *arrivals, struct cmsghdr *control, bool cut,
                        chappe_identity *ret_sender) {
    if (control->cmsg_level != SOL_SOCKET)
        return;
    if (control->cmsg_type == SCM_CREDENTIALS) {
        struct ucred sender;
        memcpy(&sender, CMSG_DATA(control), sizeof sender);
        *ret_sender = (chappe_identity){.size = sizeof *ret_sender,
                                        .pid = sender.pid,
                                        .uid = sender.uid,
                                        .gid = sender.gid,
                                        .verified = CHAPPE_BY_MESSAGE};
    } else if (control->cmsg_type == SCM_RIGHTS) {
        int descriptors[CHAPPE_DESCRIPTORS_MAX];
        size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (count > CHAPPE_DESCRIPTORS_MAX)
            count = CHAPPE_DESCRIPTORS_MAX;
        memcpy(descriptors, CMSG_DATA(control), count * sizeof(int));
        keep(arrivals, descriptors, count, cut);
    }
}

void arrivals_collect(struct arrivals *arrivals, struct msghdr *message,
                      chappe_identity *ret_sender) {
    bool cut = (message->msg_flags & MSG_CTRUNC) != 0;
    size_t sets = arrivals->set_count;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR(message, control))
        collect_one(arrivals, control, cut, ret_sender);
    if (cut && arrivals->set_count == sets)
        keep(arrivals, NULL, 0, true); /* not even the first one fitted */
}

/* Takes the next set off, whose descriptors are somebody else's from here on. */
static void take_off(struct arrivals *arrivals) {
    size_t count = arrivals->sets[0].count;
    arrivals->count -= count;
    arrivals->set_count--;
    if (arrivals->count > 0)
        memmove(arrivals->descriptors, arrivals->descriptors + count,
                arrivals->count * sizeof(int));
    memmove(arrivals->sets, arrivals->sets + 1, arrivals->set_count * sizeof arrivals->sets[0]);
}

void arrivals_skip(struct arrivals *arrivals) {
    if (arrivals->set_count == 0)
        return;
    for (size_t i = 0; i < arrivals->sets[0].count; i++)
        os_close(arrivals->descriptors[i]);
    take_off(arrivals);
}

int arrivals_give(struct arrivals *arrivals, const char *name, size_t count,
                  struct details *details) {
    size_t came = arrivals_next(arrivals);
    if (arrivals->set_count > 0 && arrivals->sets[0].cut) {
        arrivals_skip(arrivals);
        return error_set(-EMFILE,
                         "%s: a message with %zu descriptors was dropped: they did not fit into "
                         "this process (RLIMIT_NOFILE, memory); all are closed",
                         name, count);
    }
    if (came != count) {
        arrivals_skip(arrivals);
        return error_set(-EBADMSG, "%s: a message announces %zu descriptors, %zu came", name, count,
                         came);
    }
    if (details->descriptor_room < count) {
        int *room = realloc(details->descriptors, count * sizeof *room);
        if (room == NULL)
            return error_of(-ENOMEM, "%s: %zu descriptors", name, count);
        details->descriptors = room;
        details->descriptor_room = count;
    }
    memcpy(details->descriptors, arrivals->descriptors, count * sizeof(int));
    details->descriptor_count = count;
    take_off(arrivals);
    return 0;
}

size_t arrivals_drop(struct arrivals *arrivals) {
    size_t count = arrivals->count;
    while (arrivals->set_count > 0)
        arrivals_skip(arrivals);
    return count;
}

void arrivals_free(struct arrivals *arrivals) {
    arrivals_drop(arrivals);
    free(arrivals->descriptors);
    arrivals->descriptors = NULL;
}

void arrivals_attach(struct msghdr *message, void *space, const int *descriptors, size_t count) {
    if (count == 0)
        return;
    message->msg_control = space;
    message->msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(control), descriptors, count * sizeof(int));
}
