/* SPDX-License-Identifier: MIT
 *
 * Operations of the public interface, each run over every trial address of every row of the
 * table of mechanisms and every role that the victim can have in it. */
#ifndef CRASH_ENDPOINTS_H
#define CRASH_ENDPOINTS_H

#include <chappe/chappe.h>

#include "crash/crash.h"

#define SOON_MS 5000 /* a deadline that only a failure reaches */
#define SMALL ((size_t)40)
#define BATCH 4

/* What the victim is; the stage is the other side. */
enum role {
    ROLE_PAIR = 1,     /* one end of a pair */
    ROLE_CLIENT = 2,   /* it opens; the stage serves */
    ROLE_SERVER = 4,   /* it listens, and takes messages of any client; the stage opens */
    ROLE_ACCEPTED = 8, /* it listens and has accepted the stage's connection */
};

struct operation {
    const char *name;
    const char *const *covers;
    world_function *operate;
    unsigned roles;
    unsigned incoming;   /* messages that the survivors send to the victim before */
    unsigned outgoing;   /* messages that the operation sends: 0 to 99 */
    size_t size;         /* of a message; 0: SMALL */
    chappe_settings ask; /* what goes with the incoming ones */
    bool bare;           /* the victim has no endpoint before the operation */
    bool both;           /* only where messages go both ways */
    bool connections;    /* only where each side notices the end of the other */
    bool ends;           /* it gives the victim's name up */
    int needs;           /* this capability acts: + 1; 0 = none */
    world_function *attend;
    world_function *recover; /* the second victim's, with no end of its own */
    unsigned cost;           /* as in struct scenario */
};

/* One operation over one address in one role. */
struct trial {
    const struct operation *operation;
    const chappe_row *row;
    const char *pattern; /* {dir} stands for an empty directory */
    const char *address; /* likewise, with options for the stepper */
    enum role role;
    bool rare; /* not the row's first trial address */
};

/* Of each process; the victim's and the stage's part differ after the fork. */
struct ends {
    char address[256];
    chappe_endpoint *server;
    chappe_endpoint *near; /* the stage's */
    chappe_endpoint *far;  /* the victim's */
    chappe_message *message;
    chappe_message *messages[BATCH];
    chappe_token token;
    bool has_token;
    bool ended; /* the stage has seen the end of the victim */
    bool sent_well;
    unsigned replied;
    int descriptor;
    unsigned char *body;
};

static inline struct ends *ends_of(struct world *world) {
    return world->state;
}

static inline const struct trial *trial_of(const struct world *world) {
    return world->scenario->context;
}

size_t operation_size(const struct operation *operation);

/* The table of operations. */
extern const struct operation endpoint_operations[];
extern const size_t endpoint_operation_count;

/* ---- the sides ---- */

world_function ends_recover_prepare, ends_set_up, ends_prepare, ends_part, ends_finish,
    ends_account, ends_clean_up;
void ends_survive(struct world *world, unsigned operations);

/* Takes what has come from the victim, without waiting. Result: whether anything did. */
bool ends_take(struct world *world);

#endif
