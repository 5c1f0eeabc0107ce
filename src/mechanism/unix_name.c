/* SPDX-License-Identifier: MIT
 *
 * Names of Unix sockets, and the right to serve one. */
#include "mechanism/unix_name.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"

#define LOCK_SUFFIX ".lock"
#define LEAF_MOST (NAME_MAX - sizeof LOCK_SUFFIX + 1)
#define PATH_MOST (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)
#define LOCK_TRIES 100

/* ---- reading a name ---- */

static int parse_abstract(const char *where, size_t size, struct unix_name *name) {
    size_t room = sizeof name->address.sun_path;
    if (size < 2)
        return error_set(-EINVAL, "%s: an abstract name needs at least one byte after @",
                         name->text);
    if (size > room)
        return error_set(-ENAMETOOLONG, "%s: an abstract name of %zu bytes; the limit is %zu",
                         name->text, size - 1, room - 1);
    name->abstract = true;
    memcpy(name->address.sun_path + 1, where + 1, size - 1); /* byte 0 stays NUL */
    name->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return 0;
}

/* Sets the address to a path that is known to fit. */
__attribute__((format(printf, 2, 3))) static void set_path(struct unix_name *name,
                                                           const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(name->address.sun_path, sizeof name->address.sun_path, format, arguments);
    va_end(arguments);
    name->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)size + 1);
}

static int parse_path(const char *path, size_t size, struct unix_name *name) {
    if (strlen(path) != size)
        return error_set(-EINVAL, "%s: a path cannot hold a NUL byte; abstract names can",
                         name->text);
    const char *slash = strrchr(path, '/');
    const char *leaf = slash + 1;
    if (*leaf == '\0' || strcmp(leaf, ".") == 0 || strcmp(leaf, "..") == 0)
        return error_set(-EINVAL, "%s: the path names a folder, not a socket", name->text);
    if (strlen(leaf) > LEAF_MOST)
        return error_set(-ENAMETOOLONG, "%s: the last part has %zu bytes; the limit is %zu",
                         name->text, strlen(leaf), LEAF_MOST);
    char folder[ADDRESS_SIZE_MAX];
    size_t folder_size = slash == path ? 1 : (size_t)(slash - path);
    memcpy(folder, path, folder_size);
    folder[folder_size] = '\0';
    name->folder = os_open_path(folder);
    if (name->folder < 0)
        return error_of(name->folder, "%s: folder %s", name->text, folder);
    memcpy(name->leaf, leaf, strlen(leaf) + 1);
    memcpy(name->bound, leaf, strlen(leaf) + 1);
    if (size <= PATH_MOST)
        set_path(name, "%s", path);
    return 0;
}

int unix_name_parse(const struct opening *opening, struct unix_name *ret_name) {
    const char *where = opening->address->where;
    size_t size = opening->address->where_size;
    struct unix_name name = {.text = opening->address->text, .folder = -1, .target = -1};
    name.address.sun_family = AF_UNIX;
    int error;
    if (where[0] == '@')
        error = parse_abstract(where, size, &name);
    else if (where[0] == '/' || strncmp(where, "./", 2) == 0 || strncmp(where, "../", 3) == 0)
        error = parse_path(where, size, &name);
    else
        error = error_set(-EINVAL,
                          "%s: after unix:// comes a path that begins with / or ./, or @ and an "
                          "abstract name",
                          name.text);
    if (error == 0)
        *ret_name = name;
    return error;
}

int unix_name_in(const char *text, int folder, const char *leaf, struct unix_name *ret_name) {
    struct unix_name name = {.text = text, .folder = os_duplicate(folder), .target = -1};
    if (name.folder < 0)
        return error_of(name.folder, "%s", text);
    name.address.sun_family = AF_UNIX;
    snprintf(name.leaf, sizeof name.leaf, "%s", leaf);
    snprintf(name.bound, sizeof name.bound, "%s", leaf);
    *ret_name = name;
    return 0;
}

void unix_name_free(struct unix_name *name) {
    os_close(name->folder);
    os_close(name->target);
    name->folder = name->target = -1;
}

/* ---- connecting ---- */

int unix_name_connect(struct unix_name *name, int fd) {
    if (name->size == 0) {
        /* The path is too long for the kernel: name the socket by its descriptor. */
        name->target = os_open_at(name->folder, name->leaf);
        if (name->target < 0)
            return name->target;
        set_path(name, "/proc/self/fd/%d", name->target);
        int error = os_connect(fd, (struct sockaddr *)&name->address, name->size);
        os_close(name->target);
        name->target = -1;
        name->size = 0;
        return error;
    }
    return os_connect(fd, (struct sockaddr *)&name->address, name->size);
}

/* ---- serving ---- */

static void lock_name(const char *leaf, char ret_lock[NAME_MAX + 1]) {
    snprintf(ret_lock, NAME_MAX + 1, "%.*s" LOCK_SUFFIX, (int)LEAF_MOST, leaf);
}

static int in_use(const struct unix_name *name) {
    return error_set(-EADDRINUSE, "%s: a living process serves this name already", name->text);
}

/* Is that file still the one that has the name of the lock? Its owner may have removed it, or
 * somebody else put another one there. */
static bool is_current(int folder, const char *lock_leaf, dev_t device, ino_t inode) {
    struct stat there;
    return os_stat(folder, lock_leaf, &there) == 0 && there.st_ino == inode &&
           there.st_dev == device;
}

/* Takes the lock of the name: fills in its part of the claim. */
static int take_lock(const struct unix_name *name, mode_t mode, struct unix_claim *claim) {
    char lock_leaf[NAME_MAX + 1];
    struct stat here;
    lock_name(name->leaf, lock_leaf);
    for (int i = 0; i < LOCK_TRIES; i++) {
        int lock = os_open_lock(name->folder, lock_leaf, mode | S_IRUSR | S_IWUSR);
        if (lock < 0)
            return error_of(lock, "%s: the lock file %s beside the socket", name->text, lock_leaf);
        int error = os_try_lock(lock);
        if (error == 0 && os_stat_of(lock, &here) == 0 &&
            is_current(name->folder, lock_leaf, here.st_dev, here.st_ino)) {
            claim->lock = lock;
            claim->lock_device = here.st_dev;
            claim->lock_inode = here.st_ino;
            return 0;
        }
        os_close(lock);
        if (error == -EAGAIN)
            return in_use(name);
        if (error < 0)
            return error_of(error, "%s: locking %s", name->text, lock_leaf);
    }
    return in_use(name); /* somebody makes and removes it all the time */
}

/* With the lock held, only a foreign program can live behind the name: does it answer? */
static int probe(struct unix_name *name, int type) {
    int fd = os_socket(AF_UNIX, type | SOCK_NONBLOCK);
    if (fd < 0)
        return error_of(fd, "%s", name->text);
    int error = unix_name_connect(name, fd);
    os_close(fd);
    if (error == -ECONNREFUSED || error == -ENOENT)
        return 0;
    if (error == -EACCES || error == -EPERM)
        return error_of(error, "%s: a socket that may be another user's", name->text);
    return in_use(name);
}

int unix_name_make_free(struct unix_name *name, int type) {
    struct stat status;
    int error = os_stat(name->folder, name->leaf, &status);
    if (error == -ENOENT)
        return 0;
    if (error < 0)
        return error_of(error, "%s", name->text);
    if (!S_ISSOCK(status.st_mode))
        return error_set(-EEXIST, "%s: the path exists and is not a socket; it is left alone",
                         name->text);
    error = probe(name, type);
    if (error < 0)
        return error;
    error = os_remove(name->folder, name->leaf);
    return error < 0 && error != -ENOENT
               ? error_of(error, "%s: removing the socket of a dead server", name->text)
               : 0;
}

/* Under which name a socket with a path beyond sun_path is bound: by way of the folder's
 * descriptor, and where its last part alone is too long, under a short one, then renamed. */
static int set_long_path(struct unix_name *name) {
    char by_folder[32];
    int used = snprintf(by_folder, sizeof by_folder, "/proc/self/fd/%d/", name->folder);
    if ((size_t)used + strlen(name->leaf) > PATH_MOST) {
        uint64_t number;
        int error = os_random(&number, sizeof number);
        if (error < 0)
            return error_of(error, "%s", name->text);
        snprintf(name->bound, sizeof name->bound, ".chappe-%016llx", (unsigned long long)number);
    }
    set_path(name, "%s%.60s", by_folder, name->bound);
    return 0;
}

int unix_name_bind(struct unix_name *name, int fd, mode_t mode, struct stat *ret_status) {
    bool is_long = name->size == 0;
    int error = is_long ? set_long_path(name) : 0;
    if (error < 0)
        return error;
    /* Never wider than asked for, not even for the moment between these calls. */
    error = os_set_mode_of(fd, mode);
    if (error == 0)
        error = os_bind(fd, (struct sockaddr *)&name->address, name->size);
    if (is_long)
        name->size = 0;
    if (error < 0)
        return error_of(error, "%s: binding", name->text);
    struct stat status;
    if ((error = os_set_mode(name->folder, name->bound, mode)) < 0 ||
        (error = os_stat(name->folder, name->bound, &status)) < 0 ||
        (strcmp(name->bound, name->leaf) != 0 &&
         (error = os_rename(name->folder, name->bound, name->leaf)) < 0)) {
        os_remove(name->folder, name->bound);
        return error_of(error, "%s: setting up the socket", name->text);
    }
    *ret_status = status;
    return 0;
}

static int claim_path(struct unix_name *name, int fd, int type, mode_t mode,
                      struct unix_claim *claim) {
    int error = take_lock(name, mode, claim);
    if (error < 0)
        return error;
    memcpy(claim->leaf, name->leaf, sizeof claim->leaf);
    error = unix_name_make_free(name, type);
    struct stat status;
    if (error == 0)
        error = unix_name_bind(name, fd, mode, &status);
    if (error == 0) {
        claim->device = status.st_dev;
        claim->inode = status.st_ino;
    }
    claim->folder = name->folder; /* from here on the claim's */
    name->folder = -1;
    return error;
}

int unix_name_claim(struct unix_name *name, int fd, int type, mode_t mode,
                    struct unix_claim **ret_claim) {
    if (name->abstract) {
        int error = os_bind(fd, (struct sockaddr *)&name->address, name->size);
        if (error == -EADDRINUSE)
            return in_use(name);
        *ret_claim = NULL;
        return error < 0 ? error_of(error, "%s: binding", name->text) : 0;
    }
    struct unix_claim *claim = malloc(sizeof *claim);
    if (claim == NULL)
        return error_of(-ENOMEM, "%s", name->text);
    *claim = (struct unix_claim){.folder = -1, .lock = -1};
    int error = claim_path(name, fd, type, mode, claim);
    if (error < 0)
        unix_name_release(claim, true);
    else
        *ret_claim = claim;
    return error;
}

/* Removes the socket, unless somebody has put another one there by force, then the lock. */
static void remove_files(const struct unix_claim *claim) {
    char lock_leaf[NAME_MAX + 1];
    struct stat status;
    int error = os_stat(claim->folder, claim->leaf, &status);
    bool ours = error == 0 && claim->inode != 0 && status.st_ino == claim->inode &&
                status.st_dev == claim->device;
    if (ours)
        os_remove(claim->folder, claim->leaf);
    lock_name(claim->leaf, lock_leaf);
    if (is_current(claim->folder, lock_leaf, claim->lock_device, claim->lock_inode))
        os_remove(claim->folder, lock_leaf); /* not one that another server has made since */
}

void unix_name_release(void *claimed, bool owner) {
    struct unix_claim *claim = claimed;
    if (claim->lock >= 0 && owner)
        remove_files(claim);
    os_close(claim->lock);
    os_close(claim->folder);
    free(claim);
}
