/* SPDX-License-Identifier: MIT
 *
 * System V segments that nobody's death leaves behind: a record in the domain names the key
 * before there is a segment, and goes when the key has gone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "domain/internal.h"
#include "os/os.h"

#define KEY_TRIES 16
#define CLOCK_SLACK 2 /* seconds: the kernel's time of a segment is coarse */

/* The body of a record. */
struct record {
    uint64_t size;
};

/* sysv.KEY, eight hexadecimal digits. */
static bool read_key(const char *leaf, key_t *ret_key) {
    const char *digits = leaf + sizeof RECORD_KIND;
    if (strlen(leaf) != sizeof RECORD_KIND + 8 || strspn(digits, "0123456789abcdef") != 8)
        return false;
    *ret_key = (key_t)strtoul(digits, NULL, 16);
    return true;
}

/* Was the segment made by the process that made the record, and for it? Another program may
 * have drawn the same key. It may be attached: by a child that the owner forked in between;
 * others learn its id only when it has no key any more. */
static bool is_recorded(const struct shmid_ds *segment, const struct found *found,
                        const struct record *record) {
    struct os_process self;
    os_process_self(&self);
    bool same_space = self.space != 0 && self.space == found->facts.space;
    return segment->shm_segsz == record->size && segment->shm_perm.cuid == found->status.st_uid &&
           (!same_space || segment->shm_cpid == (pid_t)found->facts.pid) &&
           segment->shm_ctime + CLOCK_SLACK >= found->facts.created / 1000000000;
}

void segment_remove(const char *leaf, const struct found *found) {
    key_t key;
    struct record record;
    struct shmid_ds segment;
    if (!read_key(leaf, &key) ||
        os_read_at(found->fd, &record, sizeof record, found->facts.header) != sizeof record)
        return;
    int id = os_segment_find(key);
    if (id >= 0 && os_segment_status(id, &segment) == 0 && is_recorded(&segment, found, &record))
        os_segment_remove(id);
}

static void fill_record(void *context, void *body, size_t size) {
    memcpy(body, context, size);
}

/* Makes the record of a key that nobody uses; -EEXIST or -EADDRINUSE: somebody does. */
static int make_record(const struct domain *domain, size_t size, const char *text, key_t *ret_key,
                       struct domain_object **ret_record) {
    uint32_t key;
    char leaf[sizeof RECORD_KIND + 10];
    struct record record = {.size = size};
    struct domain_place place = {.folder = domain->folder, .leaf = leaf, .text = text};
    struct domain_wish wish = {.kind = RECORD_KIND,
                               .version = 1,
                               .size = sizeof record,
                               .mode = domain->mode,
                               .fill = fill_record,
                               .context = &record};
    do {
        int error = os_random(&key, sizeof key);
        if (error < 0)
            return error_of(error, "%s", text);
    } while ((key_t)key == IPC_PRIVATE);
    snprintf(leaf, sizeof leaf, RECORD_KIND ".%08x", key);
    *ret_key = (key_t)key;
    return domain_object_create(&place, &wish, ret_record);
}

static int say_segment(int error, size_t size, const char *text) {
    if (error == -ENOSPC)
        return error_set(error,
                         "%s: no System V segment: there are as many as kernel.shmmni, or as much "
                         "memory as kernel.shmall allows",
                         text);
    if (error == -EINVAL)
        return error_set(error, "%s: a System V segment of %zu bytes; kernel.shmmax limits it",
                         text, size);
    return error_of(error, "%s: a System V segment of %zu bytes", text, size);
}

/* With the record written: the segment, attached, without its key. */
static int make_segment(key_t key, size_t size, mode_t mode, bool huge, const char *text,
                        int *ret_id, void **ret_memory) {
    void *memory;
    int id = os_segment_create(key, size, mode, huge ? OS_PAGES_HUGE : OS_PAGES_USUAL);
    if (id == -EEXIST)
        return id;
    if (id < 0)
        return say_segment(id, size, text);
    int attached = os_segment_attach(id, &memory);
    int removed = os_segment_remove(id);
    if (removed < 0)
        removed = os_segment_remove(id); /* without it the segment would stay for ever */
    if (attached < 0)
        return error_of(attached, "%s: attaching a System V segment", text);
    if (removed < 0) {
        os_segment_detach(memory);
        return error_of(removed, "%s: taking its key from a System V segment", text);
    }
    *ret_id = id;
    *ret_memory = memory;
    return 0;
}

int domain_segment(const struct domain *domain, size_t size, mode_t mode, bool huge,
                   const char *text, int *ret_id, void **ret_memory) {
    int error = domain_room(size, text);
    if (error < 0)
        return error;
    error = -EEXIST;
    for (int i = 0; i < KEY_TRIES && (error == -EEXIST || error == -EADDRINUSE); i++) {
        key_t key = IPC_PRIVATE;
        struct domain_object *record;
        error = make_record(domain, size, text, &key, &record);
        if (error < 0)
            continue;
        error = make_segment(key, size, mode, huge, text, ret_id, ret_memory);
        domain_object_release(record, true);
    }
    if (error == -EEXIST)
        return error_set(error, "%s: every System V key that was tried is in use", text);
    return error;
}
