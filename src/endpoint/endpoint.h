/* SPDX-License-Identifier: MIT
 *
 * The handle behind chappe_endpoint: a carrier or a server of many, messages set aside,
 * numbers, and the rules that hold for every mechanism (deadlines, fork, one reservation). */
#ifndef ENDPOINT_ENDPOINT_H
#define ENDPOINT_ENDPOINT_H

#include <chappe/chappe.h>
#include <stdatomic.h>

#include "base/log.h"
#include "mechanism/mechanism.h"
#include "message/message.h"
#include "os/os.h"

struct server;

#define OWN_CORRELATIONS ((uint64_t)1 << 62) /* above: of chappe_request() itself */
#define ASIDE_MOST 4096
#define FILTER_NO_REQUESTS ((uint32_t)1 << 31) /* in a filter of our own */
#define SLOT_BITS 20 /* a client's number is a count, and its slot in the low bits */

/* The public structs as they were in version 0.1: no caller's is smaller. */
#define SETTINGS_LEAST (offsetof(chappe_settings, answers) + sizeof(void *))
#define IDENTITY_LEAST (offsetof(chappe_identity, verified) + sizeof(uint32_t))

/* The descriptor of chappe_fd(). */
struct pollable {
    bool armed;
    int watch; /* epoll */
    int bell;  /* rings while a message is here already */
    bool rings;
    bool always;                    /* a file, which epoll refuses: always worth trying */
    uint32_t wanted;                /* CHAPPE_READABLE | CHAPPE_WRITABLE */
    uint32_t in_events, out_events; /* what is being watched */
};

struct chappe_endpoint {
    struct carrier *carrier;
    struct server *server; /* NULL: not one of connections */
    struct store *store;
    struct log log;

    uint64_t number; /* tells its tokens from others' */
    uint64_t mark;   /* of the process that owns it; 0: nobody has used it yet */
    uint64_t *owner; /* until then: a word shared over the fork */

    struct message_list aside;
    struct message *reserved;
    uint64_t correlation; /* the last own one */
    bool owes_reply;      /* a frame without correlation may still bring an old reply */
    unsigned patience;    /* how many receives from now on look before they read */
    struct pollable pollable;
    uint64_t received_when_empty; /* how many had been received when nothing was there */
    chappe_statistics numbers;
};

/* ---- endpoint.c ---- */
/* -ECHILD and so on, with a sentence; or makes this process the owner. */
int endpoint_enter_slowly(chappe_endpoint *endpoint);
int endpoint_refuse_deadline(chappe_deadline deadline);

/* Is the handle known to be this process's? */
static inline bool endpoint_is_entered(const chappe_endpoint *endpoint) {
    /* Acquire: pairs with the release of the page in os_process_mark(). Relaxed: the mark
     * orders nothing, it is only compared. */
    _Atomic(uint64_t) *page = atomic_load_explicit(&os_mark_page, memory_order_acquire);
    return page != NULL && endpoint->mark != 0 &&
           endpoint->mark == atomic_load_explicit(page, memory_order_relaxed);
}

/* Every public call begins with this: is the handle there, and this process's to use? */
static inline int endpoint_enter(chappe_endpoint *endpoint) {
    return endpoint != NULL && endpoint_is_entered(endpoint) ? 0 : endpoint_enter_slowly(endpoint);
}

static inline bool is_deadline(chappe_deadline deadline) {
    return deadline == CHAPPE_NOW || deadline >= 1000000000;
}

static inline int endpoint_check_deadline(chappe_deadline deadline) {
    return is_deadline(deadline) ? 0 : endpoint_refuse_deadline(deadline);
}
/* Has the deadline passed, in a loop that got something each round but nothing of use? Looks
 * at the clock in some rounds only. */
bool endpoint_is_late(chappe_deadline deadline, int round);
/* -EAGAIN or -ETIMEDOUT with a sentence; `what` such as "nothing to receive". */
int endpoint_out_of_time(const chappe_endpoint *endpoint, int error, const char *what);
/* An endpoint around a carrier, which it then owns, also on failure. */
int endpoint_create(struct carrier *carrier, struct store *store, chappe_endpoint **ret_endpoint);
void endpoint_interest(chappe_endpoint *endpoint, struct interest *ret_interest);

/* ---- send.c ---- */
/* Makes a letter out of settings, which outlive it. */
int send_address(chappe_endpoint *endpoint, const void *bytes, size_t size,
                 const chappe_settings *settings, struct letter *ret_letter,
                 struct carrier **ret_carrier);
/* chappe_send() but for the reservation; own_correlation (0: none) goes before settings. */
int send_letter(chappe_endpoint *endpoint, const void *bytes, size_t size,
                const chappe_settings *settings, uint64_t own_correlation,
                chappe_deadline deadline);
/* How a wait for room goes on: see send_wait_for_room(). */
struct room_wait {
    int64_t pause;
    uint32_t looks;
};
#define ROOM_WAIT ((struct room_wait){.pause = 50000})
/* The carrier takes nothing more: waits until it may. 0: try again; or as os_wait(). */
int send_wait_for_room(struct carrier *carrier, chappe_deadline deadline, struct room_wait *wait);
/* -EBUSY with a sentence: a message is reserved. */
int send_busy(const chappe_endpoint *endpoint);
/* Passes held output on if it can go on now. */
void send_held(chappe_endpoint *endpoint);

/* ---- receive.c ---- */
int receive_read_filter(const chappe_endpoint *endpoint, const chappe_filter *filter,
                        chappe_filter *ret_filter);
bool receive_has_aside(const chappe_endpoint *endpoint, const chappe_filter *filter);
/* chappe_receive() after its checks; `filter` was read. */
int receive_message(chappe_endpoint *endpoint, const chappe_filter *filter,
                    chappe_deadline deadline, struct message **ret_message);

/* ---- pollable.c ---- */
/* Brings the pollable descriptor up to date after a call. An error is the kernel's and leaves
 * it as it was. */
int pollable_settle(chappe_endpoint *endpoint);
void pollable_close(chappe_endpoint *endpoint);
/* The sending direction is about to be closed: epoll would watch it on if others have it. */
void pollable_forget_out(chappe_endpoint *endpoint);

#endif
