/* SPDX-License-Identifier: MIT
 *
 * map://: connections in memory-mapped files, beside a file of the user's choice. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "mechanism/lanes_name.h"

#define KIND "map"

/* Splits the path: *ret_folder is opened. */
static int read_path(const struct address *address, int *ret_folder,
                     char ret_leaf[DOMAIN_LEAF_SIZE]) {
    const char *path = address->where, *text = address->text;
    bool is_path = path[0] == '/' || strncmp(path, "./", 2) == 0 || strncmp(path, "../", 3) == 0;
    if (!is_path || strlen(path) != address->where_size)
        return error_set(-EINVAL, "%s: after map:// comes a path that begins with / or ./", text);
    const char *leaf = strrchr(path, '/') + 1;
    if (*leaf == '\0' || strcmp(leaf, ".") == 0 || strcmp(leaf, "..") == 0)
        return error_set(-EINVAL, "%s: the path names a folder, not a file", text);
    if (strlen(leaf) > DOMAIN_LEAF_MOST)
        return error_set(-ENAMETOOLONG, "%s: the last part has %zu bytes; the limit is %d", text,
                         strlen(leaf), DOMAIN_LEAF_MOST);
    char folder[ADDRESS_SIZE_MAX];
    snprintf(folder, sizeof folder, "%.*s", (int)(leaf - path), path);
    int fd = os_open_path(folder);
    if (fd < 0)
        return error_of(fd, "%s: folder %s", text, folder);
    memcpy(ret_leaf, leaf, strlen(leaf) + 1);
    *ret_folder = fd;
    return 0;
}

typedef int name_function(const struct opening *opening, const struct lanes_name *name,
                          const struct lanes_terms *terms, struct carrier **ret_carrier);

static int with_name(const struct opening *opening, name_function *function,
                     struct carrier **ret_carrier) {
    const struct address *address = opening->address;
    struct lanes_terms terms;
    struct lanes_name name;
    char leaf[DOMAIN_LEAF_SIZE];
    int folder, error = lanes_read_terms(address, 0600, &terms, &name);
    if (error == 0 && terms.backing.pages == OS_PAGES_HUGE)
        error = error_set(-EINVAL, "%s: the pages of a file are its file system's", address->text);
    if (error < 0 || (error = read_path(address, &folder, leaf)) < 0)
        return error;
    terms.backing.backing = BACKING_FILE;
    terms.backing.home = backing_home_create(NULL, folder);
    if (terms.backing.home == NULL)
        return error_of(-ENOMEM, "%s", address->text);
    name.kind = KIND;
    name.place = (struct domain_place){.folder = folder, .leaf = leaf, .text = address->text};
    error = function(opening, &name, &terms, ret_carrier);
    backing_home_release(terms.backing.home);
    return error;
}

static int map_open(const struct opening *opening, struct carrier **ret_carrier) {
    return with_name(opening, lanes_open_name, ret_carrier);
}

static int map_listen(const struct opening *opening, struct carrier **ret_carrier) {
    return with_name(opening, lanes_listen_name, ret_carrier);
}

const struct mechanism mechanism_map = {
    .row =
        {
            .size = sizeof(chappe_row),
            .scheme = "map",
            .summary = "Mapped files: shared memory on a file system of your choice",
            .form = "map:///PATH  map://./PATH",
            .manual =
                "As shm://, but the server's name is a file of your choice, and the memory of "
                "its connections are files without a name on the same file system, mapped by both "
                "sides. Where that is a disk, the kernel writes their pages to it when memory is "
                "short.\n\n"
                "The file at PATH is made by the server and goes with it, as does the socket "
                "PATH.socket. A file that is not chappe's is left alone.\n",
            .options = (const char *const[]){LANES_OPTIONS, NULL},
            .trials = (const char *const[]){"map://{dir}/file", NULL},
            .lost_with_sender = "nothing that was sent",
            .lost_with_receiver = "what it had not received; close counts it",
            .ways = CHAPPE_WAY_OPEN | CHAPPE_WAY_LISTEN | CHAPPE_WAY_BOTH,
            .support_count = CHAPPE_CAPABILITY_COUNT,
            .support = lanes_support,
        },
    .open = map_open,
    .listen = map_listen,
};
