/* SPDX-License-Identifier: MIT
 *
 * Domains and named objects: whoever makes, takes over, gives up, destroys or sweeps one is
 * struck. */
#include "domain/domain.h"

#include <chappe/chappe.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/crash.h"

#define KIND "trial"
#define NAME "name"
#define OTHER "other"
#define BODY 64
#define SWEEP_MOST 100
#define SEGMENT ((size_t)8192)
#define VICTIM_OWNS 1 /* number in the ledger: the victim's claim */
#define ATTEMPTS 2    /* on a name whose bearer is stopped */

struct state {
    char path[256];
    struct domain *domain;
    struct domain_object *its;  /* the victim's */
    struct domain_object *mine; /* the stage's */
    int result;
};

static struct state *state_of(struct world *world) {
    return world->state;
}

#define well(call)                                                                                 \
    do {                                                                                           \
        int result_ = (call);                                                                      \
        if (result_ < 0)                                                                           \
            crash_fail("%s: %d (%s)", #call, result_, chappe_error());                             \
    } while (0)

static void fill(void *context, void *body, size_t size) {
    (void)context;
    body_fill(body, size, 3);
}

static int claim(struct world *world, const char *name, bool stays,
                 struct domain_object **ret_object) {
    char leaf[DOMAIN_LEAF_SIZE];
    struct domain_wish wish = {
        .kind = KIND, .version = 1, .size = BODY, .stays = stays, .fill = fill};
    well(domain_leaf(KIND, name, strlen(name), "trial", leaf));
    struct domain_place place = {
        .folder = state_of(world)->domain->folder, .leaf = leaf, .text = "trial"};
    return domain_object_create(&place, &wish, ret_object);
}

static int open_object(struct world *world, const char *name, struct domain_object **ret_object) {
    char leaf[DOMAIN_LEAF_SIZE];
    well(domain_leaf(KIND, name, strlen(name), "trial", leaf));
    struct domain_place place = {
        .folder = state_of(world)->domain->folder, .leaf = leaf, .text = "trial"};
    return domain_object_open(&place, KIND, 1, 0, ret_object);
}

static int destroy(struct world *world, const char *name) {
    char leaf[DOMAIN_LEAF_SIZE];
    well(domain_leaf(KIND, name, strlen(name), "trial", leaf));
    struct domain_place place = {
        .folder = state_of(world)->domain->folder, .leaf = leaf, .text = "trial"};
    return domain_object_destroy(&place);
}

static void set_up(struct world *world) {
    struct state *state = state_of(world);
    world_path(world, "domain", state->path, sizeof state->path);
    well(domain_open(state->path, NULL, &state->domain));
}

static void claim_and_die(struct world *world) {
    struct domain_object *object;
    well(claim(world, NAME, false, &object));
    raise(SIGKILL);
}

static void set_up_dead(struct world *world) {
    int status;
    set_up(world);
    int dead = world_fork(world, claim_and_die);
    crash_need(waitpid(dead, &status, 0) == dead && WIFSIGNALED(status));
}

static void set_up_staying(struct world *world) {
    struct domain_object *object;
    set_up(world);
    well(claim(world, NAME, true, &object));
    domain_object_release(object, true);
}

static void set_up_owned(struct world *world) {
    set_up(world);
    well(claim(world, NAME, false, &state_of(world)->mine));
}

/* ---- what the victim does ---- */

static void claim_prepare(struct world *world) {
    ledger_begin(world, VICTIM_OWNS);
}

static void claim_name(struct world *world) {
    struct state *state = state_of(world);
    state->result = claim(world, NAME, false, &state->its);
}

/* Of all who claim a name, one gets it. */
static void claim_finish(struct world *world) {
    struct state *state = state_of(world);
    crash_need(state->result == 0 || state->result == -EADDRINUSE);
    if (state->result == 0) {
        crash_need(domain_object_is_alive(state->its));
        ledger_sent(world, VICTIM_OWNS);
        domain_object_release(state->its, true);
    }
}

static void owner_prepare(struct world *world) {
    claim_prepare(world);
    claim_name(world);
    crash_need(state_of(world)->result == 0);
}

static void release(struct world *world) {
    domain_object_release(state_of(world)->its, true);
}

static void open_name(struct world *world) {
    struct state *state = state_of(world);
    state->result = open_object(world, NAME, &state->its);
}

static void open_finish(struct world *world) {
    struct state *state = state_of(world);
    crash_need(state->result == 0);
    crash_need(body_number(state->its->body, state->its->size) == 3);
    domain_object_release(state->its, false);
}

static void destroy_name(struct world *world) {
    state_of(world)->result = destroy(world, NAME);
}

static void destroy_finish(struct world *world) {
    int result = state_of(world)->result;
    crash_need(result == 0 || result == -ENOENT);
}

static void sweep(struct world *world) {
    domain_sweep(state_of(world)->domain->folder, SWEEP_MOST);
}

static void make_segment(struct world *world) {
    int id;
    void *memory;
    well(domain_segment(state_of(world)->domain, SEGMENT, 0600, false, "trial", &id, &memory));
    crash_need(shmdt(memory) == 0);
}

static void open_domain(struct world *world) {
    struct state *state = state_of(world);
    struct domain *domain;
    well(domain_open(state->path, NULL, &domain));
    domain_close(domain);
}

static int visit(void *context, const chappe_domain_entry *entry) {
    (void)context;
    return entry->name_size > 1000;
}

static void list(struct world *world) {
    well(chappe_domain_list(state_of(world)->path, visit, NULL));
}

static void create_domain(struct world *world) {
    chappe_domain_settings settings = {.size = sizeof settings, .mode = 0770};
    settings.group = getgid();
    well(chappe_domain_create(state_of(world)->path, &settings));
}

/* ---- the survivors ---- */

static void exchange(struct world *world, const char *name, unsigned operations) {
    struct domain_object *object, *seen;
    for (unsigned i = 0; i < operations / 2; i++) {
        well(claim(world, name, false, &object));
        if (i % 16 == 0) {
            well(open_object(world, name, &seen));
            crash_need(body_number(seen->body, seen->size) == 3 && domain_object_is_alive(seen));
            domain_object_release(seen, false);
        }
        domain_object_release(object, true);
    }
}

/* A dead one's name passes at once; a living one's, stopped or not, is never taken: then it
 * stays with whoever has it, and the other is told. */
static void survive_claim(struct world *world, unsigned operations) {
    struct state *state = state_of(world);
    if (world->killed) {
        exchange(world, NAME, operations);
        return;
    }
    exchange(world, OTHER, operations);
    for (int i = 0; world->stopped && state->mine == NULL && i < ATTEMPTS; i++) {
        int result = claim(world, NAME, false, &state->mine);
        if (result != 0 && result != -EADDRINUSE)
            crash_fail("a name whose claimant is stopped: %d (%s)", result, chappe_error());
    }
}

static void account_claim(struct world *world) {
    struct state *state = state_of(world);
    bool its = world->ledger->state[VICTIM_OWNS] == LEDGER_SENT;
    if (its && state->mine != NULL)
        crash_fail("a name has two living owners");
    if (state->mine != NULL)
        crash_need(domain_object_is_alive(state->mine));
    domain_object_release(state->mine, true);
    state->mine = NULL;
    exchange(world, NAME, 4);
}

static void survive_release(struct world *world, unsigned operations) {
    if (world->killed)
        exchange(world, NAME, operations);
    else
        exchange(world, OTHER, operations);
}

static void account_release(struct world *world) {
    exchange(world, NAME, 4);
}

/* The object is there as a whole, or destroyed; the next call ends what was begun. */
static void survive_destroy(struct world *world, unsigned operations) {
    struct domain_object *object;
    int result = destroy(world, NAME);
    exchange(world, OTHER, operations);
    if (world->stopped)
        return;
    crash_need(result == 0 || result == -ENOENT);
    well(claim(world, NAME, true, &object));
    domain_object_release(object, true);
    crash_need(claim(world, NAME, true, &object) == -EEXIST);
    well(destroy(world, NAME));
}

static void survive_segment(struct world *world, unsigned operations) {
    exchange(world, OTHER, operations);
    for (int i = 0; i < 4; i++)
        make_segment(world);
}

static void clean_up(struct world *world) {
    struct state *state = state_of(world);
    domain_object_release(state->mine, true);
    domain_close(state->domain);
    /* One further open: what the dead left is gone after it. */
    well(domain_open(state->path, NULL, &state->domain));
    domain_close(state->domain);
    if (rmdir(state->path) < 0)
        crash_fail("something is left in the domain");
}

static void clean_up_owned(struct world *world) {
    domain_object_release(state_of(world)->mine, true);
    state_of(world)->mine = NULL;
    clean_up(world);
}

/* The folder itself. */
static void set_up_none(struct world *world) {
    world_path(world, "domain", state_of(world)->path, sizeof state_of(world)->path);
}

static void survive_folder(struct world *world, unsigned operations) {
    struct state *state = state_of(world);
    if (world->stopped)
        return;
    create_domain(world);
    well(domain_open(state->path, NULL, &state->domain));
    crash_need(state->domain->shared);
    exchange(world, NAME, operations);
    domain_close(state->domain);
    state->domain = NULL;
}

/* A shared domain stays; what it consists of is known. */
static void clean_up_folder(struct world *world) {
    struct state *state = state_of(world);
    DIR *folder = opendir(state->path);
    char path[512];
    unsigned files = 0;
    crash_need(folder != NULL);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.' && (entry->d_name[1] == '\0' || entry->d_name[1] == '.'))
            continue;
        snprintf(path, sizeof path, "%s/%.200s", state->path, entry->d_name);
        unlink(path);
        files++;
    }
    closedir(folder);
    crash_need(files <= 1);
    crash_need(rmdir(state->path) == 0);
}

/* ---- the table ---- */

#define COVERS(...)                                                                                \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

static const struct scenario scenarios[] = {
    {.name = "domain/claim",
     .covers = COVERS("domain_object_create"),
     .set_up = set_up,
     .prepare = claim_prepare,
     .operate = claim_name,
     .finish = claim_finish,
     .recover = claim_name,
     .survive = survive_claim,
     .account = account_claim,
     .clean_up = clean_up},
    {.name = "domain/take-over",
     .covers = COVERS("domain_object_create"),
     .set_up = set_up_dead,
     .prepare = claim_prepare,
     .operate = claim_name,
     .finish = claim_finish,
     .recover = claim_name,
     .survive = survive_claim,
     .account = account_claim,
     .clean_up = clean_up},
    {.name = "domain/release",
     .covers = COVERS("domain_object_release"),
     .set_up = set_up,
     .prepare = owner_prepare,
     .operate = release,
     .recover = claim_name,
     .survive = survive_release,
     .account = account_release,
     .clean_up = clean_up},
    {.name = "domain/open-object",
     .covers = COVERS("domain_object_open"),
     .set_up = set_up_owned,
     .operate = open_name,
     .finish = open_finish,
     .survive = survive_segment,
     .clean_up = clean_up_owned},
    {.name = "domain/destroy",
     .covers = COVERS("domain_object_destroy"),
     .set_up = set_up_staying,
     .operate = destroy_name,
     .finish = destroy_finish,
     .recover = destroy_name,
     .survive = survive_destroy,
     .clean_up = clean_up},
    {.name = "domain/sweep",
     .covers = COVERS("domain_sweep"),
     .set_up = set_up_dead,
     .operate = sweep,
     .recover = sweep,
     .survive = survive_release,
     .account = account_release,
     .clean_up = clean_up},
    {.name = "domain/segment",
     .covers = COVERS("domain_segment"),
     .set_up = set_up,
     .operate = make_segment,
     .recover = sweep,
     .survive = survive_segment,
     .clean_up = clean_up},
    {.name = "domain/open",
     .covers = COVERS("domain_open", "domain_close"),
     .set_up = set_up_dead,
     .operate = open_domain,
     .recover = open_domain,
     .survive = survive_release,
     .account = account_release,
     .clean_up = clean_up},
    {.name = "domain/list",
     .covers = COVERS("chappe_domain_list"),
     .set_up = set_up_owned,
     .operate = list,
     .survive = survive_segment,
     .clean_up = clean_up_owned},
    {.name = "domain/create",
     .covers = COVERS("chappe_domain_create"),
     .set_up = set_up_none,
     .operate = create_domain,
     .recover = create_domain,
     .survive = survive_folder,
     .clean_up = clean_up_folder},
};

const struct scenario_list domain_scenarios = {.scenarios = scenarios,
                                               .count = sizeof scenarios / sizeof scenarios[0]};
