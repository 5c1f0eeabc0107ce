/* SPDX-License-Identifier: MIT
 *
 * The folder of a domain: whose it is, who may write there, and making one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "domain/internal.h"
#include "os/os.h"

#define PRIVATE_MODE 0700
#define SHARED_MODE 02770
#define ALL_BITS 07777u
#define SWEEP_MOST 32 /* files that each opening looks at */

/* The body of the object that says of a folder that it is shared. */
struct sharing {
    uint32_t group;
    uint32_t mode;
};

/* ---- which folder ---- */

/* Without slashes at the end, which would make the kernel follow a link. */
static int copy_path(const char *path, const char *text, char ret_path[DOMAIN_PATH_SIZE]) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    if (size == 0)
        return error_set(-EINVAL, "%s: the path of the domain is empty", text);
    if (size >= DOMAIN_PATH_SIZE)
        return error_set(-ENAMETOOLONG, "%s: a path of %zu bytes; the limit is %d", text, size,
                         DOMAIN_PATH_SIZE - 1);
    memcpy(ret_path, path, size);
    ret_path[size] = '\0';
    return 0;
}

static int choose_path(const char *path, const char *text, char ret_path[DOMAIN_PATH_SIZE]) {
    const char *variable = path == NULL ? os_environment("CHAPPE_DOMAIN") : NULL;
    if (variable != NULL && variable[0] != '\0') {
        if (variable[0] != '/')
            return error_set(-EINVAL, "CHAPPE_DOMAIN=%s: the path must begin with /", variable);
        path = variable;
    }
    if (path != NULL)
        return copy_path(path, text != NULL ? text : path, ret_path);
    snprintf(ret_path, DOMAIN_PATH_SIZE, "/dev/shm/chappe-%u", (unsigned)os_uid());
    return 0;
}

/* "ADDRESS: domain PATH", or the path alone. */
struct speaker {
    char words[ERROR_TEXT_SIZE / 2];
};

static void introduce(const char *text, const char *path, struct speaker *ret_speaker) {
    if (text != NULL)
        snprintf(ret_speaker->words, sizeof ret_speaker->words, "%.1024s: domain %.1200s", text,
                 path);
    else
        snprintf(ret_speaker->words, sizeof ret_speaker->words, "domain %.2048s", path);
}

/* ---- is it safe? ---- */

/* What the folder says of itself, if its owner wrote that. */
static int read_sharing(int folder, uid_t owner, struct sharing *ret_sharing) {
    struct found found;
    int error = found_open(folder, FOLDER_LEAF, false, &found);
    if (error < 0)
        return error;
    if (found.state != DOMAIN_STAYS || strcmp(found.facts.kind, FOLDER_KIND) != 0 ||
        found.status.st_uid != owner)
        error = -EPERM;
    else if (os_read_at(found.fd, ret_sharing, sizeof *ret_sharing, found.facts.header) !=
             sizeof *ret_sharing)
        error = -EBADMSG;
    found_close(&found);
    return error;
}

/* Others may write there: only if `chappe domain create` said so. */
static int check_shared(struct domain *domain, const struct stat *status, const char *words) {
    struct sharing sharing;
    unsigned mode = status->st_mode & ALL_BITS;
    if (read_sharing(domain->folder, status->st_uid, &sharing) < 0)
        return error_set(-EPERM,
                         "%s: other users may write there (mode %04o), and it was not made with "
                         "chappe domain create --group",
                         words, mode);
    if (mode != SHARED_MODE || sharing.mode != SHARED_MODE || sharing.group != status->st_gid)
        return error_set(-EPERM,
                         "%s: it was made for group %u with mode %04o, but has group %u and mode "
                         "%04o",
                         words, sharing.group, sharing.mode, (unsigned)status->st_gid, mode);
    domain->shared = true;
    domain->mode = 0660;
    return 0;
}

static int check_folder(struct domain *domain, const char *words) {
    struct stat status, parent;
    int error;
    if ((error = os_stat_of(domain->folder, &status)) < 0 ||
        (error = os_stat(domain->folder, "..", &parent)) < 0)
        return error_of(error, "%s", words);
    domain->owner = status.st_uid;
    domain->group = status.st_gid;
    domain->mode = 0600;
    if ((parent.st_mode & S_IWOTH) != 0 && (parent.st_mode & S_ISVTX) == 0)
        return error_set(-EPERM,
                         "%s: everybody may rename it, as the folder that it is in has mode %04o",
                         words, parent.st_mode & ALL_BITS);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return check_shared(domain, &status, words);
    if (status.st_uid != os_uid())
        return error_set(-EPERM, "%s: it belongs to user %u, not to user %u", words,
                         (unsigned)status.st_uid, (unsigned)os_uid());
    return 0;
}

/* ---- opening ---- */

/* A folder of ours that its maker could not finish: the umask took away our own rights. */
static bool mend(const char *path) {
    struct stat status;
    return os_stat(AT_FDCWD, path, &status) == 0 && S_ISDIR(status.st_mode) &&
           status.st_uid == os_uid() && (status.st_mode & PRIVATE_MODE) != PRIVATE_MODE &&
           (status.st_mode & ALL_BITS & ~(unsigned)PRIVATE_MODE) == 0 &&
           os_set_mode(AT_FDCWD, path, PRIVATE_MODE) == 0;
}

static int open_folder(const char *path, bool make) {
    int folder = os_open_folder(-1, path);
    if (folder == -ENOENT && make) {
        int error = os_make_folder(-1, path, PRIVATE_MODE);
        if (error < 0 && error != -EEXIST)
            return error;
        folder = os_open_folder(-1, path);
    }
    if (folder == -EACCES && make && mend(path))
        folder = os_open_folder(-1, path);
    return folder;
}

static int open_domain(const char *path, const char *text, bool make, struct domain **ret_domain) {
    struct speaker speaker;
    struct domain *domain = calloc(1, sizeof *domain);
    if (domain == NULL)
        return error_of(-ENOMEM, "%s", text != NULL ? text : "a domain");
    int error = choose_path(path, text, domain->path);
    domain->folder = -1;
    if (error == 0) {
        introduce(text, domain->path, &speaker);
        error = domain->folder = open_folder(domain->path, make);
        if (error == -ELOOP || error == -ENOTDIR)
            error_set(error, "%s: it is no folder, or a link to one", speaker.words);
        else if (error == -ENOENT && !make)
            error_set(error, "%s: there is no such folder (it is made when a name in it is used)",
                      speaker.words);
        else if (error < 0)
            error_of(error, "%s", speaker.words);
        else
            error = check_folder(domain, speaker.words);
    }
    if (error < 0)
        domain_close(domain);
    else
        *ret_domain = domain;
    return error;
}

int domain_look(const char *path, const char *text, struct domain **ret_domain) {
    return open_domain(path, text, false, ret_domain);
}

int domain_open(const char *path, const char *text, struct domain **ret_domain) {
    int error = open_domain(path, text, true, ret_domain);
    if (error == 0)
        domain_sweep((*ret_domain)->folder, SWEEP_MOST);
    return error;
}

void domain_close(struct domain *domain) {
    if (domain == NULL)
        return;
    os_close(domain->folder);
    free(domain);
}

/* ---- making a shared one ---- */

static int refuse_others(void *context, const char *leaf) {
    (void)context;
    return strcmp(leaf, FOLDER_LEAF) == 0 || leaf_is_temporary(leaf) ? 0 : 1;
}

static void fill_sharing(void *context, void *body, size_t size) {
    memcpy(body, context, size);
}

/* The object that says of the folder that it is shared; one of a call that was killed stays,
 * if it says the same. */
static int write_sharing(int folder, const char *words, const struct sharing *sharing) {
    struct sharing there;
    struct domain_object *object;
    struct domain_place place = {.folder = folder, .leaf = FOLDER_LEAF, .text = words};
    struct domain_wish wish = {.kind = FOLDER_KIND,
                               .version = 1,
                               .size = sizeof *sharing,
                               .mode = 0640,
                               .stays = true,
                               .fill = fill_sharing,
                               .context = (void *)(uintptr_t)sharing};
    if (read_sharing(folder, os_uid(), &there) == 0) {
        if (memcmp(&there, sharing, sizeof there) == 0)
            return 0;
        int error = domain_object_destroy(&place);
        if (error < 0 && error != -ENOENT)
            return error;
    }
    int error = domain_object_create(&place, &wish, &object);
    if (error == 0)
        domain_object_release(object, true);
    return error;
}

/* Until the last step nobody else can enter; each step may find that it was done before. */
static int share(int folder, gid_t group, const char *words) {
    struct sharing sharing = {.group = group, .mode = SHARED_MODE};
    int error = os_set_group_of(folder, group);
    if (error < 0)
        return error_of(error, "%s: giving it to group %u", words, (unsigned)group);
    error = os_set_mode_of(folder, S_ISGID | PRIVATE_MODE); /* files there get the group, too */
    if (error == 0)
        error = write_sharing(folder, words, &sharing);
    else
        error_of(error, "%s: setting its mode", words);
    if (error < 0)
        return error;
    error = os_set_mode_of(folder, SHARED_MODE);
    return error < 0 ? error_of(error, "%s: setting its mode", words) : 0;
}

/* Makes the folder `folder` what it is to be, if it is new or ours and unfinished. */
static int settle(int folder, mode_t mode, gid_t group, const char *words) {
    struct stat status;
    struct sharing there;
    int error = os_stat_of(folder, &status);
    if (error < 0)
        return error_of(error, "%s", words);
    unsigned now = status.st_mode & ALL_BITS;
    if (status.st_uid != os_uid())
        return error_set(-EPERM, "%s: it belongs to user %u, not to user %u", words,
                         (unsigned)status.st_uid, (unsigned)os_uid());
    if (mode == PRIVATE_MODE && now == PRIVATE_MODE)
        return 0;
    if (mode == SHARED_MODE && now == SHARED_MODE && status.st_gid == group &&
        read_sharing(folder, os_uid(), &there) == 0 && there.group == group)
        return 0;
    if (mode == SHARED_MODE && (now & ~(unsigned)S_ISGID) == PRIVATE_MODE) {
        error = os_list(folder, refuse_others, NULL);
        if (error < 0)
            return error_of(error, "%s", words);
        if (error == 0)
            return share(folder, group, words);
        return error_set(-EEXIST, "%s: the folder is there already, and is not empty", words);
    }
    return error_set(-EEXIST, "%s: it is there already, with group %u and mode %04o", words,
                     (unsigned)status.st_gid, now);
}

int domain_create(const char *path, mode_t mode, gid_t group) {
    char copy[DOMAIN_PATH_SIZE];
    struct speaker speaker;
    int error = copy_path(path, path, copy);
    if (error < 0)
        return error;
    introduce(NULL, copy, &speaker);
    mode = mode == 0 ? PRIVATE_MODE : mode == 0770 ? SHARED_MODE : mode;
    if (mode != PRIVATE_MODE && mode != SHARED_MODE)
        return error_set(-EINVAL,
                         "%s: mode %04o; a domain has 0700 (one user) or 2770 (a group): who may "
                         "not write there cannot take part",
                         speaker.words, (unsigned)mode);
    int folder = open_folder(copy, true);
    if (folder == -ELOOP || folder == -ENOTDIR)
        return error_set(-EEXIST, "%s: it is no folder, or a link to one", speaker.words);
    if (folder < 0)
        return error_of(folder, "%s", speaker.words);
    error = settle(folder, mode, group, speaker.words);
    if (error == 0) {
        struct domain made = {.folder = folder};
        error = check_folder(&made, speaker.words);
    }
    os_close(folder);
    return error;
}
