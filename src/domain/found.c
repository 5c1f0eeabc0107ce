/* SPDX-License-Identifier: MIT
 *
 * Looking at objects and removing dead ones. */
#include <errno.h>
#include <string.h>

#include "domain/internal.h"
#include "os/os.h"

#define BURIAL_TRIES 100
#define BURIAL_PAUSE 1000000 /* ns */

_Static_assert(HEADER_BOOT_SIZE == OS_BOOT_SIZE, "both hold a boot id");

static bool owner_is_gone(const struct header_facts *facts) {
    struct os_process owner = {
        .pid = (pid_t)facts->pid, .space = facts->space, .number = facts->number};
    memcpy(owner.boot, facts->boot, sizeof owner.boot);
    return os_process_is_gone(&owner);
}

/* Dead is for ever: nobody locks the life of an object again that has a name. */
enum domain_state found_judge(const struct found *found) {
    bool stays = (found->facts.flags & HEADER_STAYS) != 0;
    bool locked = os_byte_is_locked(found->fd, LIFE_AT) != 0; /* or not to be known */
    if (found->problem == -EPROTO)
        return stays || locked ? DOMAIN_OTHER : DOMAIN_DEAD;
    if (found->ending)
        return DOMAIN_DEAD;
    if (stays)
        return DOMAIN_STAYS;
    return !locked || owner_is_gone(&found->facts) ? DOMAIN_DEAD : DOMAIN_ALIVE;
}

static int look(struct found *found) {
    _Alignas(8) uint8_t image[HEADER_SIZE];
    int error = os_stat_of(found->fd, &found->status);
    if (error < 0)
        return error;
    ssize_t got = os_read_at(found->fd, image, sizeof image, 0);
    if (got < 0)
        return (int)got;
    found->problem = header_read(image, (size_t)got, &found->facts);
    if (found->problem == 0)
        found->ending = header_state(image) == HEADER_ENDING;
    if (found->problem == 0 || found->problem == -EPROTO)
        found->state = found_judge(found);
    return 0;
}

int found_open(int folder, const char *leaf, bool write, struct found *ret_found) {
    struct found found = {.fd = -1, .state = DOMAIN_FOREIGN, .problem = -EBADMSG};
    /* Opening a FIFO or a device would do something to it: look before. */
    int error = os_stat(folder, leaf, &found.status);
    if (error < 0)
        return error;
    if (S_ISREG(found.status.st_mode)) {
        found.fd = os_open_file(folder, leaf, write);
        if (found.fd == -EACCES || found.fd == -EPERM)
            found.state = DOMAIN_CLOSED;
        else if (found.fd < 0 && found.fd != -ELOOP && found.fd != -ENXIO && found.fd != -EISDIR)
            return found.fd;
        else if (found.fd >= 0 && (error = look(&found)) < 0) {
            os_close(found.fd);
            return error;
        }
    }
    if (found.fd >= 0 && found.state == DOMAIN_FOREIGN) {
        os_close(found.fd);
        found.fd = -1;
    }
    if (found.fd < 0)
        found.fd = -1;
    *ret_found = found;
    return 0;
}

void found_close(struct found *found) {
    os_close(found->fd);
    found->fd = -1;
}

void found_remove_socket(int folder, const char *leaf) {
    char socket_leaf[DOMAIN_LEAF_SIZE];
    struct stat status;
    domain_socket_leaf(leaf, socket_leaf);
    if (os_stat(folder, socket_leaf, &status) == 0 && S_ISSOCK(status.st_mode))
        os_remove(folder, socket_leaf);
}

/* Writes into the file that its name is being removed: from here on the next goes on. */
static int mark_ending(int fd) {
    void *memory;
    int error = os_map_shared(fd, HEADER_SIZE, &memory);
    if (error < 0)
        return error;
    header_end(memory);
    os_unmap(memory, HEADER_SIZE);
    return 0;
}

/* With the right of burial: nobody else can change the name while it is this object's. */
static int bury(int folder, const char *leaf, const struct found *found, bool end) {
    struct stat status;
    int error = os_stat(folder, leaf, &status);
    if (error < 0)
        return error;
    if (status.st_ino != found->status.st_ino || status.st_dev != found->status.st_dev)
        return -ENOENT;
    if (end && (error = mark_ending(found->fd)) < 0)
        return error;
    found_remove_socket(folder, leaf);
    if (strcmp(found->facts.kind, RECORD_KIND) == 0)
        segment_remove(leaf, found);
    return os_remove(folder, leaf);
}

int found_bury(int folder, const char *leaf, const struct found *found, bool end) {
    int error = os_lock_byte(found->fd, BURIAL_AT);
    if (error < 0)
        return error;
    error = bury(folder, leaf, found, end);
    os_unlock_byte(found->fd, BURIAL_AT);
    return error;
}

int found_bury_patiently(int folder, const char *leaf, const struct found *found, bool end) {
    int error = found_bury(folder, leaf, found, end);
    for (int i = 0; error == -EAGAIN && i < BURIAL_TRIES; i++) {
        os_pause(-1, BURIAL_PAUSE);
        error = found_bury(folder, leaf, found, end);
    }
    return error;
}
