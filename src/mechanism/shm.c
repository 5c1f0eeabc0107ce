/* SPDX-License-Identifier: MIT
 *
 * shm://: connections in shared memory, by name in a domain or as a pair. */
#include <errno.h>

#include "base/error.h"
#include "mechanism/lanes_name.h"

#define KIND "shm"
#define FIXED_RING ((size_t)1 << 20)      /* of memory that cannot grow later */
#define BEGINNING_RING ((size_t)64 << 10) /* until the other side has attached to more */

/* What an address asks for, with the domain that it lies in. */
struct shm {
    struct lanes_terms terms;
    struct lanes_name name;
    char leaf[DOMAIN_LEAF_SIZE];
    struct backing_home *home;
};

static int read_backing(const struct address *address, bool pair, struct lanes_terms *terms) {
    static const char *const names[] = {"memfd", "posix", "sysv", "anonymous", "zero", NULL};
    static const enum backing backings[] = {BACKING_MEMFD, BACKING_POSIX, BACKING_SYSV,
                                            BACKING_ANONYMOUS, BACKING_ZERO};
    int choice;
    int error = address_choice(address, "backing", names, 0, &choice);
    if (error < 0)
        return error;
    terms->backing.backing = backings[choice];
    bool travels = segment_travels(backings[choice]);
    if (!travels && !pair)
        return error_set(-EINVAL,
                         "%s: backing=%s is inherited by children, so only a pair has it; memfd, "
                         "posix and sysv can be attached",
                         address->text, names[choice]);
    if (terms->ring == 0 && !travels)
        terms->ring = FIXED_RING;
    if (terms->ring == 0 && !segment_waits(backings[choice]))
        terms->ring = BEGINNING_RING;
    bool pages = backings[choice] != BACKING_POSIX && backings[choice] != BACKING_ZERO;
    if (terms->backing.pages == OS_PAGES_HUGE && !pages)
        return error_set(-EINVAL, "%s: backing=%s has no huge pages; memfd, sysv and anonymous do",
                         address->text, names[choice]);
    return 0;
}

/* Reads the address and opens its domain, where one is needed. */
static int prepare(const struct opening *opening, bool pair, struct shm *shm) {
    const struct address *address = opening->address;
    int error = lanes_read_terms(address, 0, &shm->terms, &shm->name);
    if (error == 0)
        error = read_backing(address, pair, &shm->terms);
    if (error < 0)
        return error;
    enum backing backing = shm->terms.backing.backing;
    if (pair && shm->terms.backing.mode == 0)
        shm->terms.backing.mode = 0600;
    if (pair && backing != BACKING_POSIX && backing != BACKING_SYSV)
        return 0;
    struct domain *domain;
    if (!pair && (error = domain_leaf(KIND, address->where, address->where_size, address->text,
                                      shm->leaf)) < 0)
        return error;
    if ((error = domain_open(address_option(address, "domain"), address->text, &domain)) < 0)
        return error;
    shm->home = backing_home_create(domain, -1);
    if (shm->home == NULL)
        return error_of(-ENOMEM, "%s", address->text);
    if (backing == BACKING_POSIX || backing == BACKING_SYSV)
        shm->terms.backing.home = shm->home;
    if (shm->name.mode == 0)
        shm->name.mode = shm->terms.backing.mode = domain->mode;
    shm->name.kind = KIND;
    shm->name.place =
        (struct domain_place){.folder = domain->folder, .leaf = shm->leaf, .text = address->text};
    return 0;
}

typedef int name_function(const struct opening *opening, const struct lanes_name *name,
                          const struct lanes_terms *terms, struct carrier **ret_carrier);

static int with_name(const struct opening *opening, name_function *function,
                     struct carrier **ret_carrier) {
    struct shm shm = {0};
    int error = prepare(opening, false, &shm);
    if (error == 0)
        error = function(opening, &shm.name, &shm.terms, ret_carrier);
    backing_home_release(shm.home);
    return error;
}

static int shm_open_name(const struct opening *opening, struct carrier **ret_carrier) {
    return with_name(opening, lanes_open_name, ret_carrier);
}

static int shm_listen(const struct opening *opening, struct carrier **ret_carrier) {
    return with_name(opening, lanes_listen_name, ret_carrier);
}

static int shm_pair(const struct opening *a, const struct opening *b, struct carrier **ret_a,
                    struct carrier **ret_b) {
    struct shm shm = {0};
    if (a->address->where_size > 0)
        return error_set(-EINVAL, "%s: a pair has no name: shm://", a->address->text);
    int error = prepare(a, true, &shm);
    if (error == 0)
        error = lanes_open_pair(a, b, &shm.terms, ret_a, ret_b);
    backing_home_release(shm.home);
    return error;
}

const struct mechanism mechanism_shm = {
    .row =
        {
            .size = sizeof(chappe_row),
            .scheme = "shm",
            .summary = "Shared memory: connections at memory speed",
            .form = "shm://NAME",
            .manual =
                "A server listens under a name in a domain; any number of clients connect. Each "
                "connection has memory of its own with a lane each way: messages are written "
                "where they are read, and while both sides are awake no system call is made. "
                "Lanes grow under load.\n\n"
                "A domain is a folder: $CHAPPE_DOMAIN, or /dev/shm/chappe-UID, which belongs to "
                "one user. A Unix socket beside the memory tells who is there and that it died, "
                "wakes sleepers and passes descriptors. The name of a dead server is taken over, "
                "a living one's never.\n\n"
                "The memory is a file without a name (memfd), a file in the domain's folder "
                "(posix) or a System V segment (sysv); for a pair also a mapping that children "
                "inherit (anonymous, zero: of /dev/zero), which cannot grow: ring= says how much "
                "there is (1M), and larger bodies travel as memory files. System V memory goes "
                "with the last process that uses it, so a client begins in a memory file, and "
                "lanes grow into System V segments. No process that is killed leaves memory "
                "behind.\n",
            .options =
                (const char *const[]){
                    "domain=PATH  the folder of names (without: $CHAPPE_DOMAIN, or "
                    "/dev/shm/chappe-UID)",
                    "backing=memfd|posix|sysv|anonymous|zero  what the memory is made of (without: "
                    "memfd)",
                    LANES_OPTIONS, NULL},
            .trials = (const char *const[]){"shm://trial?domain={dir}",
                                            "shm://trial?domain={dir}&backing=posix",
                                            "shm://trial?domain={dir}&backing=sysv", NULL},
            .lost_with_sender = "nothing that was sent",
            .lost_with_receiver = "what it had not received; close counts it",
            .ways = CHAPPE_WAY_PAIR | CHAPPE_WAY_OPEN | CHAPPE_WAY_LISTEN | CHAPPE_WAY_BOTH,
            .support_count = CHAPPE_CAPABILITY_COUNT,
            .support = lanes_support,
        },
    .open = shm_open_name,
    .listen = shm_listen,
    .pair = shm_pair,
};
