/* SPDX-License-Identifier: MIT
 *
 * Named objects: making them, taking their names over from the dead, opening and giving up. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "domain/internal.h"
#include "os/os.h"

#define NAME_TRIES 1000 /* each ends with another process having made a step */

/* ---- making the file ---- */

static struct domain_object *object_new(const struct domain_place *place) {
    size_t size = strlen(place->text) + 1;
    struct domain_object *object = calloc(1, sizeof *object + size);
    if (object == NULL)
        return NULL;
    object->fd = object->folder = -1;
    memcpy(object->text, place->text, size);
    snprintf(object->leaf, sizeof object->leaf, "%s", place->leaf);
    return object;
}

static void object_free(struct domain_object *object) {
    if (object->memory != NULL)
        os_unmap(object->memory, (size_t)object->facts.size);
    os_close(object->fd);
    os_close(object->folder);
    free(object);
}

/* Where the file system knows no files without a name: one with a name of its own, drawn at
 * random, which a sweep removes as soon as nobody locks it any more. */
static int make_temporary(int folder, mode_t mode, char ret_leaf[DOMAIN_LEAF_SIZE]) {
    uint64_t number;
    int error = os_random(&number, sizeof number);
    if (error < 0)
        return error;
    snprintf(ret_leaf, DOMAIN_LEAF_SIZE, TEMPORARY_PREFIX "%016llx", (unsigned long long)number);
    return os_create_file(folder, ret_leaf, mode);
}

/* The file of an object that has no name yet. *ret_leaf: its temporary name, or "". */
static int make_file(int folder, mode_t mode, bool named, char ret_leaf[DOMAIN_LEAF_SIZE]) {
    ret_leaf[0] = '\0';
    int fd = named ? -EOPNOTSUPP : os_unnamed_file(folder, mode);
    return fd == -EOPNOTSUPP ? make_temporary(folder, mode, ret_leaf) : fd;
}

static int make_facts(const struct domain_wish *wish, struct header_facts *ret_facts) {
    struct os_process self;
    struct header_facts facts = {.flags = wish->stays ? HEADER_STAYS : 0,
                                 .size = HEADER_SIZE + wish->size,
                                 .required = wish->required,
                                 .optional = wish->optional,
                                 .created = os_calendar(),
                                 .body = wish->version};
    os_process_self(&self);
    facts.pid = (uint32_t)self.pid;
    facts.space = self.space;
    facts.number = self.number;
    memcpy(facts.boot, self.boot, sizeof facts.boot);
    snprintf(facts.kind, sizeof facts.kind, "%s", wish->kind);
    int error = os_random(facts.incarnation, sizeof facts.incarnation);
    if (error == 0)
        *ret_facts = facts;
    return error;
}

/* Locks, sizes and maps the new file and fills it in. */
static int furnish(struct domain_object *object, const struct domain_wish *wish) {
    struct stat status;
    int error = os_lock_byte(object->fd, LIFE_AT);
    if (error < 0)
        return error_of(error, "%s: locking a new file", object->text);
    error = domain_space(object->fd, HEADER_SIZE + wish->size, object->text);
    if (error < 0)
        return error;
    struct header_facts facts;
    if ((error = make_facts(wish, &facts)) < 0 ||
        (error = os_map_shared(object->fd, (size_t)facts.size, &object->memory)) < 0)
        return error_of(error, "%s: a new file of %zu bytes", object->text, wish->size);
    object->facts = facts;
    object->body = (uint8_t *)object->memory + HEADER_SIZE;
    object->size = wish->size;
    header_write(object->memory, &facts);
    if (wish->fill != NULL)
        wish->fill(wish->context, object->body, object->size);
    header_publish(object->memory);
    /* The umask may have cut the mode; nobody can have opened the file yet. */
    if ((error = os_set_mode_of(object->fd, wish->mode != 0 ? wish->mode : 0600)) < 0 ||
        (error = os_stat_of(object->fd, &status)) < 0)
        return error_of(error, "%s: a new file", object->text);
    object->facts.layout = HEADER_LAYOUT;
    object->facts.header = HEADER_SIZE;
    object->device = status.st_dev;
    object->inode = status.st_ino;
    return 0;
}

/* ---- names ---- */

static int another_version(const char *text, const struct header_facts *facts) {
    return error_set(-EPROTO, "%s: the object has layout version %u, this library knows version %u",
                     text, facts->layout, HEADER_LAYOUT);
}

static int in_use(const char *text, const struct found *found) {
    return error_set(-EADDRINUSE, "%s: the living process %u has this name (user %u)", text,
                     found->facts.pid, (unsigned)found->status.st_uid);
}

static int not_ours(const char *text, const char *leaf) {
    return error_set(-EEXIST, "%s: the file %s is not an object of this library; it is left alone",
                     text, leaf);
}

static int closed(const char *text, const struct found *found) {
    return error_set(-EACCES, "%s: it belongs to user %u, with mode %04o", text,
                     (unsigned)found->status.st_uid, found->status.st_mode & 07777u);
}

static int at_burial(const char *text) {
    return error_set(-EADDRINUSE,
                     "%s: another process, perhaps stopped, is removing what a dead one left",
                     text);
}

/* Sees to it that the name is free: 0 as soon as it was. */
static int make_way(const struct domain_object *object) {
    struct found found;
    int error = found_open(object->folder, object->leaf, true, &found);
    if (error == -ENOENT)
        return 0;
    if (error < 0)
        return error_of(error, "%s", object->text);
    switch (found.state) {
    case DOMAIN_ALIVE:
        error = in_use(object->text, &found);
        break;
    case DOMAIN_OTHER:
        another_version(object->text, &found.facts);
        error = error_set(-EADDRINUSE, "%s, and lives", error_text());
        break;
    case DOMAIN_STAYS:
        error = error_set(-EEXIST, "%s: it is there already and stays until it is destroyed",
                          object->text);
        break;
    case DOMAIN_CLOSED:
        error = closed(object->text, &found);
        break;
    case DOMAIN_FOREIGN:
        error = not_ours(object->text, object->leaf);
        break;
    case DOMAIN_DEAD:
        error = found_bury_patiently(object->folder, object->leaf, &found, false);
        if (error == -EAGAIN)
            error = at_burial(object->text);
        else if (error == -ENOENT)
            error = 0; /* another process did it */
        else if (error < 0)
            error_of(error, "%s: removing what a dead process left", object->text);
        break;
    }
    found_close(&found);
    return error;
}

/* Gives the finished file its name. -EEXIST: somebody was faster. -ENOENT: a sweep took the
 * temporary name away, or there is no way to name a file without one. */
static int give_name(const struct domain_object *object, const char *temporary) {
    if (temporary[0] == '\0')
        return os_give_name(object->fd, object->folder, object->leaf);
    int error = os_link(object->folder, temporary, object->leaf);
    if (error != -EEXIST)
        os_remove(object->folder, temporary);
    return error;
}

static void forget_file(struct domain_object *object, const char *temporary) {
    if (temporary[0] != '\0')
        os_remove(object->folder, temporary);
    if (object->memory != NULL)
        os_unmap(object->memory, (size_t)object->facts.size);
    os_close(object->fd);
    object->memory = NULL;
    object->fd = -1;
}

static int make_named(struct domain_object *object, const struct domain_wish *wish) {
    char temporary[DOMAIN_LEAF_SIZE] = "";
    bool named = false;
    int error = -EEXIST;
    for (int i = 0; i < NAME_TRIES && error == -EEXIST; i++) {
        if ((error = make_way(object)) < 0)
            break; /* with a sentence, and -EEXIST means it */
        if (object->fd < 0) {
            object->fd = make_file(object->folder, 0600, named, temporary);
            if (object->fd < 0)
                return error_of(object->fd, "%s: a new file in the folder", object->text);
            if ((error = furnish(object, wish)) < 0)
                break;
        }
        error = give_name(object, temporary);
        if (error == 0)
            return 0;
        if (error == -ENOENT) {
            forget_file(object, temporary);
            named = true;
            error = -EEXIST;
        } else if (error != -EEXIST) {
            error_of(error, "%s: naming a new file", object->text);
        } else {
            error_set(error, "%s: others take this name and give it up all the time", object->text);
        }
    }
    forget_file(object, temporary);
    return error;
}

int domain_object_create(const struct domain_place *place, const struct domain_wish *wish,
                         struct domain_object **ret_object) {
    if (strlen(place->leaf) > DOMAIN_LEAF_MOST)
        return error_set(-ENAMETOOLONG, "%s: the file name has %zu bytes; the limit is %d",
                         place->text, strlen(place->leaf), DOMAIN_LEAF_MOST);
    struct domain_object *object = object_new(place);
    if (object == NULL)
        return error_of(-ENOMEM, "%s", place->text);
    int error = object->folder = os_duplicate(place->folder);
    if (error < 0)
        error_of(error, "%s", place->text);
    else
        error = make_named(object, wish);
    if (error < 0) {
        object_free(object);
        return error;
    }
    object->owner = !wish->stays;
    *ret_object = object;
    return 0;
}

/* ---- using what others made ---- */

static int check_found(const struct domain_place *place, const char *kind, uint32_t version,
                       uint64_t known, const struct found *found) {
    const struct header_facts *facts = &found->facts;
    if (found->problem == -EPROTO)
        return another_version(place->text, facts);
    if (strcmp(facts->kind, kind) != 0)
        return error_set(-EEXIST, "%s: the object is of kind %s, not %s", place->text, facts->kind,
                         kind);
    if (facts->body != version)
        return error_set(-EPROTO, "%s: version %u of %s objects; this library knows version %u",
                         place->text, facts->body, kind, version);
    if ((facts->required & ~known) != 0)
        return error_set(-EPROTO, "%s: the object needs features %#llx that this library lacks",
                         place->text, (unsigned long long)(facts->required & ~known));
    if (found->status.st_size < 0 || (uint64_t)found->status.st_size < facts->size)
        return error_set(-EBADMSG, "%s: the file has %lld of the %llu bytes that its header says",
                         place->text, (long long)found->status.st_size,
                         (unsigned long long)facts->size);
    return 0;
}

static int check_state(const struct domain_place *place, const struct found *found) {
    if (found->state == DOMAIN_CLOSED)
        return closed(place->text, found);
    if (found->state == DOMAIN_FOREIGN)
        return not_ours(place->text, place->leaf);
    if (found->state == DOMAIN_DEAD && found->ending) {
        found_bury(place->folder, place->leaf, found, false); /* finish it, if nobody does */
        return error_set(-ENOENT, "%s: it was destroyed", place->text);
    }
    if (found->state == DOMAIN_DEAD && found->problem == -EPROTO)
        return error_set(-ECONNREFUSED, "%s: its owner, of layout version %u, has died",
                         place->text, found->facts.layout);
    if (found->state == DOMAIN_DEAD)
        return error_set(-ECONNREFUSED, "%s: its owner, process %u, has died", place->text,
                         found->facts.pid);
    return 0;
}

/* Takes the descriptor out of `found`. */
static int take_up(const struct domain_place *place, struct found *found,
                   struct domain_object **ret_object) {
    struct domain_object *object = object_new(place);
    if (object == NULL)
        return error_of(-ENOMEM, "%s", place->text);
    int error = object->folder = os_duplicate(place->folder);
    if (error >= 0)
        error = os_map_shared(found->fd, (size_t)found->facts.size, &object->memory);
    if (error < 0) {
        object_free(object);
        return error_of(error, "%s: mapping %llu bytes", place->text,
                        (unsigned long long)found->facts.size);
    }
    object->facts = found->facts;
    object->body = (uint8_t *)object->memory + found->facts.header;
    object->size = (size_t)found->facts.size - found->facts.header;
    object->device = found->status.st_dev;
    object->inode = found->status.st_ino;
    object->fd = found->fd;
    found->fd = -1;
    *ret_object = object;
    return 0;
}

int domain_object_open(const struct domain_place *place, const char *kind, uint32_t version,
                       uint64_t known, struct domain_object **ret_object) {
    struct found found;
    int error = found_open(place->folder, place->leaf, true, &found);
    if (error < 0)
        return error_of(error, "%s", place->text);
    error = check_state(place, &found);
    if (error == 0)
        error = check_found(place, kind, version, known, &found);
    if (error == 0)
        error = take_up(place, &found, ret_object);
    found_close(&found);
    return error;
}

bool domain_object_is_alive(const struct domain_object *object) {
    struct found found = {.fd = object->fd, .facts = object->facts};
    if (object->owner)
        return true;
    found.ending = header_state(object->memory) == HEADER_ENDING;
    enum domain_state state = found_judge(&found);
    return state == DOMAIN_ALIVE || state == DOMAIN_STAYS;
}

/* Nobody removes the name of a living owner, so what has it is either this object, or was put
 * there by force. */
static void remove_name(const struct domain_object *object) {
    struct stat status;
    if (os_stat(object->folder, object->leaf, &status) < 0 || status.st_ino != object->inode ||
        status.st_dev != object->device)
        return;
    if (!object->no_socket)
        found_remove_socket(object->folder, object->leaf);
    os_remove(object->folder, object->leaf);
}

void domain_object_release(struct domain_object *object, bool own) {
    if (object == NULL)
        return;
    if (object->owner && own)
        remove_name(object);
    object_free(object);
}

int domain_object_destroy(const struct domain_place *place) {
    struct found found;
    int error = found_open(place->folder, place->leaf, true, &found);
    if (error < 0)
        return error_of(error, "%s", place->text);
    if (found.state == DOMAIN_STAYS) {
        error = found_bury_patiently(place->folder, place->leaf, &found, true);
        if (error == -EAGAIN)
            error = error_set(-EBUSY, "%s: another process, perhaps stopped, is destroying it",
                              place->text);
        else if (error < 0)
            error_of(error, "%s: destroying it", place->text);
    } else if (found.state == DOMAIN_ALIVE) {
        error = error_set(-EBUSY, "%s: it goes with its owner, process %u, who lives", place->text,
                          found.facts.pid);
    } else if (found.state == DOMAIN_OTHER) {
        error = another_version(place->text, &found.facts);
    } else {
        error = check_state(place, &found);
    }
    found_close(&found);
    return error;
}
