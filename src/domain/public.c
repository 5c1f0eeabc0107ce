/* SPDX-License-Identifier: MIT
 *
 * What the public header says of domains. */
#include <chappe/chappe.h>
#include <errno.h>

#include "base/error.h"
#include "base/versioned.h"
#include "domain/internal.h"
#include "os/os.h"

_Static_assert((int)DOMAIN_ALIVE == CHAPPE_OBJECT_ALIVE &&
                   (int)DOMAIN_STAYS == CHAPPE_OBJECT_STAYS &&
                   (int)DOMAIN_DEAD == CHAPPE_OBJECT_DEAD &&
                   (int)DOMAIN_OTHER == CHAPPE_OBJECT_OTHER &&
                   (int)DOMAIN_FOREIGN == CHAPPE_OBJECT_FOREIGN &&
                   (int)DOMAIN_CLOSED == CHAPPE_OBJECT_FORBIDDEN,
               "states are handed out as they are");

int chappe_domain_create(const char *path, const chappe_domain_settings *settings) {
    chappe_domain_settings read;
    if (path == NULL)
        return error_set(-EINVAL, "chappe_domain_create: no path");
    int error = versioned_read(&read, sizeof read, sizeof read, settings, "chappe_domain_settings");
    if (error < 0)
        return error;
    return domain_create(path, (mode_t)read.mode, (gid_t)read.group);
}

struct visit {
    chappe_domain_visit *function;
    void *context;
    chappe_domain_entry entry; /* what all entries say of the domain */
};

static int visit_one(void *context, const struct domain_entry *found) {
    const struct visit *visit = context;
    chappe_domain_entry entry = visit->entry;
    entry.name = found->name;
    entry.name_size = found->name_size;
    entry.kind = found->kind;
    entry.state = (uint32_t)found->state;
    entry.pid = found->pid;
    entry.owner = found->uid;
    entry.created = found->created;
    entry.bytes = found->bytes;
    return visit->function(visit->context, &entry);
}

int chappe_domain_list(const char *path, chappe_domain_visit *function, void *context) {
    struct domain *domain;
    struct stat status;
    if (function == NULL)
        return error_set(-EINVAL, "chappe_domain_list: no function");
    int error = domain_look(path, NULL, &domain);
    if (error < 0)
        return error;
    error = os_stat_of(domain->folder, &status);
    if (error < 0) {
        error_of(error, "domain %s", domain->path);
    } else {
        struct visit visit = {.function = function,
                              .context = context,
                              .entry = {.size = sizeof visit.entry,
                                        .path = domain->path,
                                        .mode = status.st_mode & 07777u,
                                        .uid = domain->owner,
                                        .gid = domain->group,
                                        .kind = ""}};
        error = function(context, &visit.entry);
        if (error == 0)
            error = domain_list(domain->folder, visit_one, &visit);
    }
    domain_close(domain);
    return error;
}
