/* SPDX-License-Identifier: MIT
 *
 * What the conformance programs share: every test of a table runs over every row of the
 * table of mechanisms, every trial address of the row and every way to join two ends by
 * it, so that a new row is tested without an edit.
 *
 * A test has two sides in two real processes. The near side is the test itself; it serves
 * where the mechanism has servers. The far side is a forked peer, which opens. */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <chappe/chappe.h>
#include <errno.h>
#include <string.h>

#include "harness/harness.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define LONG_MS 20000 /* a deadline that only a failure reaches */

enum way {
    WAY_PAIR = 1,   /* chappe_pair() */
    WAY_SERVER = 2, /* chappe_listen(), receive from all clients at once */
    WAY_ACCEPT = 4  /* chappe_listen(), chappe_accept() */
};

/* One trial address of a row, joined in one way. */
struct trial {
    const chappe_row *row;
    const char *pattern; /* {dir} stands for an empty directory */
    enum way way;
    bool connections; /* each side notices the end of the other */
    bool both;        /* messages go both ways */
};

struct conformance_test {
    const char *name;
    void (*function)(const struct trial *trial);
    unsigned ways;    /* set of enum way; 0 = all */
    bool connections; /* only for trials with connections */
    bool both;        /* only for trials with a way back */
    unsigned seconds;
};

/* Makes the table of the harness out of both tables and runs it. Around each test:
 * descriptors, shared mappings, files and shared memory are the same before and after. */
int conformance_main(int argc, char **argv, const struct conformance_test *tests, size_t count);

/* ---- two joined ends ---- */

struct side {
    const struct trial *trial;
    chappe_endpoint *endpoint;
    chappe_endpoint *server; /* where the endpoint was accepted; else NULL */
    bool near;
    bool by_token; /* it has no other side of its own: it sends to the asker of `token` */
    chappe_token token;
    int control; /* a socket to the other side, apart from the mechanism */
    pid_t peer;  /* near: the process of the far side */
};

typedef void side_function(struct side *side, void *context);

/* Writes the address of a trial, with more options such as "limit=1K" (NULL: none). */
void trial_address(const struct trial *trial, const char *options, char *address, size_t size);

/* What chappe_row says; beyond its table: refused. */
chappe_support trial_support(const struct trial *trial, chappe_capability capability);

/* Joins two ends, the far one in a forked process that runs far(side, context) and then
 * closes its end until everything is taken, if side->endpoint is not NULL. The far side has
 * greeted the near one, so each knows the other. */
struct side join(const struct trial *trial, const char *near_options, const char *far_options,
                 side_function *far, void *context);
/* Closes the near side, if it is open yet, and waits for the far one. */
void part(struct side *near);
/* Likewise, but the far side has been killed, or will be. */
void part_from_killed(struct side *near);
/* Closes one side until everything is taken. */
void side_close(struct side *side);
/* Gives the near side up without waiting, as if its process had died. */
void side_drop(struct side *side);

/* Runs a sender and a receiver, in both directions where there are two. */
void run_both(const struct trial *trial, const char *options, side_function *sender,
              side_function *receiver, void *context);

/* ---- apart from the mechanism ---- */
void side_tell(struct side *side, uint64_t value);
uint64_t side_await(struct side *side);

/* ---- sending and receiving ---- */
/* chappe_send(), to the other side in any way. settings may be NULL. */
int side_send(struct side *side, const void *bytes, size_t size, const chappe_settings *settings,
              chappe_deadline deadline);
/* Settings with the token of the other side if one is needed. */
chappe_settings side_settings(const struct side *side, const chappe_settings *settings);
/* Sends `size` bytes of test content and asserts success. */
void side_send_content(struct side *side, size_t size, uint64_t seed,
                       const chappe_settings *settings, chappe_deadline deadline);
/* Receives one message until far in the future and asserts that there is one. */
chappe_message *side_receive(struct side *side);
/* Receives, checks and releases a message of test content. */
void side_expect(struct side *side, size_t size, uint64_t seed);
/* Asserts that there is nothing to receive now, but perhaps the end. */
void side_expect_nothing(struct side *side);

/* ---- test content ---- */
void content_fill(void *bytes, size_t size, uint64_t seed);
void content_check(const void *bytes, size_t size, uint64_t seed);
void *content_create(size_t size, uint64_t seed);

/* ---- assertions ---- */
#define ok(call) check_ok((call), #call, __FILE__, __LINE__)
/* The call fails in that way, and the sentence holds `word` (NULL: any, but not empty). */
#define fails(call, error, word) check_fails((call), (error), (word), #call, __FILE__, __LINE__)
int check_ok(int outcome, const char *call, const char *file, int line);
void check_fails(int outcome, int error, const char *word, const char *call, const char *file,
                 int line);
/* A field of a message that has to be there. */
int64_t field_of(const chappe_message *message, chappe_field field);
int64_t now_ns(void);

#endif
