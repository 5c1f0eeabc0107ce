/* SPDX-License-Identifier: MIT
 *
 * Making, passing and giving back shared memory of every backing. */
#include "mechanism/segment.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

#define PAGE ((size_t)4096)
#define SEGMENT_MOST ((uint64_t)1 << 32)

bool segment_travels(enum backing backing) {
    return backing != BACKING_ANONYMOUS && backing != BACKING_ZERO;
}

bool segment_waits(enum backing backing) {
    return segment_travels(backing) && backing != BACKING_SYSV;
}

/* ---- homes ---- */

struct backing_home *backing_home_create(struct domain *domain, int folder) {
    struct backing_home *home = malloc(sizeof *home);
    if (home == NULL) {
        domain_close(domain);
        os_close(folder);
        return NULL;
    }
    *home = (struct backing_home){.references = 1, .domain = domain, .folder = folder};
    return home;
}

struct backing_home *backing_home_hold(struct backing_home *home) {
    if (home != NULL)
        shared32_add(&home->references, 1);
    return home;
}

void backing_home_release(struct backing_home *home) {
    /* Acquire and release: whoever frees it does so after everybody else's last use. */
    if (home == NULL || shared32_add(&home->references, UINT32_MAX) != 1)
        return;
    domain_close(home->domain);
    os_close(home->folder);
    free(home);
}

/* ---- making ---- */

static int failed(const struct backing_terms *terms, const char *name, size_t size, int error) {
    if (terms->pages == OS_PAGES_HUGE && (error == -ENOMEM || error == -ENOSPC))
        return error_set(error,
                         "%s: %zu bytes of huge pages; the kernel has too few left "
                         "(/proc/sys/vm/nr_hugepages)",
                         name, size);
    if (error == -EFBIG)
        return error_set(error,
                         "%s: %zu bytes of shared memory; the limit of this process on file "
                         "sizes is lower (ulimit -f)",
                         name, size);
    return error_of(error, "%s: %zu bytes of shared memory", name, size);
}

/* A descriptor, with a sentence on failure. */
static int make_file(const struct backing_terms *terms, const char *name, size_t size) {
    const struct backing_home *home = terms->home;
    if (terms->backing != BACKING_MEMFD)
        return domain_unnamed_file(home->domain != NULL ? home->domain->folder : home->folder, size,
                                   terms->mode, name);
    int fd = domain_room(size, name);
    if (fd < 0)
        return fd;
    fd = os_memory_file(size, terms->pages);
    return fd < 0 ? failed(terms, name, size, fd) : fd;
}

static int make(const struct backing_terms *terms, const char *name, struct segment *segment) {
    size_t size = segment->size;
    bool zero = terms->backing == BACKING_ZERO, huge = terms->pages == OS_PAGES_HUGE;
    void *memory;
    int error;
    if (terms->backing == BACKING_SYSV) {
        error = domain_segment(terms->home->domain, size, terms->mode, huge, name, &segment->id,
                               &memory);
    } else if (!segment_travels(terms->backing)) {
        error = domain_room(size, name);
        if (error == 0 && (error = os_map_inherited(size, zero, terms->pages, &memory)) < 0)
            error = failed(terms, name, size, error);
    } else {
        segment->descriptor = error = make_file(terms, name, size);
        if (error >= 0 && (error = os_map_shared(segment->descriptor, size, &memory)) < 0)
            error = failed(terms, name, size, error);
    }
    if (error >= 0)
        segment->memory = memory;
    return error < 0 ? error : 0;
}

int segment_create(const struct backing_terms *terms, const char *name, size_t size,
                   struct segment **ret_segment) {
    size_t unit = terms->pages == OS_PAGES_HUGE ? OS_HUGE_PAGE : PAGE;
    struct segment *segment = malloc(sizeof *segment);
    if (segment == NULL)
        return error_of(-ENOMEM, "%s", name);
    *segment = (struct segment){.size = (size + unit - 1) / unit * unit,
                                .backing = terms->backing,
                                .descriptor = -1,
                                .id = -1,
                                .references = 1};
    int error = make(terms, name, segment);
    if (error < 0) {
        os_close(segment->descriptor);
        free(segment);
        return error;
    }
    *ret_segment = segment;
    return 0;
}

/* ---- attaching ---- */

static int attach_file(int fd, size_t size, bool sealed, void **ret_memory) {
    if (fd < 0)
        return -EBADMSG;
    int error = os_check_size(fd, size, sealed);
    return error < 0 ? error : os_map_shared(fd, size, ret_memory);
}

/* Could that user end this process in other ways? */
static bool is_trusted(const chappe_identity *maker) {
    return maker->verified != 0 && (maker->uid == os_uid() || maker->uid == 0);
}

/* The id is the maker's word, and the rights are ours: so it has to be its own segment. */
static int attach_system_v(int id, size_t size, const chappe_identity *maker, void **ret_memory) {
    struct shmid_ds status;
    int error = os_segment_status(id, &status);
    if (error < 0)
        return error;
    if (maker->verified == 0 || status.shm_perm.cuid != maker->uid)
        return -EPERM;
    return status.shm_segsz == size ? os_segment_attach(id, ret_memory) : -EBADMSG;
}

int segment_attach(const char *name, const struct segment_ticket *ticket, int descriptor,
                   const chappe_identity *maker, struct segment **ret_segment) {
    void *memory;
    int error = -EBADMSG;
    bool known = ticket->size > 0 && ticket->size % PAGE == 0 && ticket->size <= SEGMENT_MOST;
    struct segment *segment = malloc(sizeof *segment);
    if (segment == NULL)
        error = -ENOMEM;
    else if (known && ticket->backing == BACKING_SYSV)
        error = attach_system_v(ticket->id, (size_t)ticket->size, maker, &memory);
    else if (known && (ticket->backing == BACKING_POSIX || ticket->backing == BACKING_FILE))
        error = is_trusted(maker) ? attach_file(descriptor, (size_t)ticket->size, false, &memory)
                                  : -EPERM;
    else if (known && ticket->backing == BACKING_MEMFD)
        error = attach_file(descriptor, (size_t)ticket->size, true, &memory);
    os_close(descriptor);
    if (error < 0) {
        free(segment);
        if (error == -EPERM && ticket->backing != BACKING_MEMFD)
            return error_set(-EBADMSG,
                             "%s: shared memory that its maker (uid %d) could take away, or does "
                             "not own; backing=memfd is safe",
                             name, (int)maker->uid);
        if (error == -EBADMSG || error == -EPERM)
            return error_set(-EBADMSG, "%s: shared memory that is not as it was announced", name);
        return error_of(error, "%s: attaching to %llu bytes of shared memory", name,
                        (unsigned long long)ticket->size);
    }
    *segment = (struct segment){.memory = memory,
                                .size = (size_t)ticket->size,
                                .backing = (enum backing)ticket->backing,
                                .descriptor = -1,
                                .id = ticket->id,
                                .references = 1};
    *ret_segment = segment;
    return 0;
}

int segment_again(const char *name, const struct segment *segment, struct segment **ret_segment) {
    struct segment *other = malloc(sizeof *other);
    void *memory;
    int error = other == NULL ? -ENOMEM : 0;
    if (error == 0 && segment->backing == BACKING_SYSV)
        error = os_segment_attach(segment->id, &memory);
    else if (error == 0)
        error = os_map_again(segment->memory, segment->size, &memory);
    if (error < 0) {
        free(other);
        return error_of(error, "%s: attaching to shared memory again", name);
    }
    *other = *segment;
    other->memory = memory;
    other->descriptor = -1;
    other->references = 1;
    *ret_segment = other;
    return 0;
}

/* ---- passing and giving back ---- */

void segment_tell(const struct segment *segment, struct segment_ticket *ret_ticket) {
    *ret_ticket = (struct segment_ticket){
        .size = segment->size, .backing = (uint32_t)segment->backing, .id = segment->id};
}

void segment_passed(struct segment *segment) {
    os_close(segment->descriptor);
    segment->descriptor = -1;
}

struct segment *segment_hold(struct segment *segment) {
    segment->references++;
    return segment;
}

void segment_release(struct segment *segment) {
    if (segment == NULL || --segment->references > 0)
        return;
    os_close(segment->descriptor);
    if (segment->backing == BACKING_SYSV)
        os_segment_detach(segment->memory);
    else
        os_unmap(segment->memory, segment->size);
    free(segment);
}
