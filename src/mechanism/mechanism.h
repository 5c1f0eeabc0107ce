/* SPDX-License-Identifier: MIT
 *
 * What a mechanism is to the rest of the library: a row of the table, and behind it the
 * carriers that its rows make. Nothing above this floor knows one mechanism from another.
 *
 * A new mechanism is one file with one `struct mechanism`, in one list of names (meson.build
 * of this folder). Carriers of bytes and of packets have ready shapes: bytes.h, packets.h. */
#ifndef MECHANISM_MECHANISM_H
#define MECHANISM_MECHANISM_H

#include <chappe/chappe.h>

#include "base/log.h"
#include "mechanism/quick.h"
#include "memory/waiting.h"
#include "message/address.h"
#include "message/frame.h"
#include "message/message.h"

/* A message on its way out. Everything is the caller's and stays as it is until the carrier
 * has taken it. */
struct letter {
    const void *body;
    size_t size;
    struct envelope envelope;
    const int *descriptors;
    size_t descriptor_count;
    const uint8_t *to; /* where there is no connection: a way_back of a message; or NULL */
    size_t to_size;
};

enum send_mode {
    SEND_TRY,   /* do not wait */
    SEND_BLOCK, /* wait for ever */
    SEND_HOLD,  /* do not wait; if the letter is partly out, hold the rest and take it */
    SEND_KEEP   /* do not wait; take the letter, unless one is held already */
};

/* What to wait for. */
struct interest {
    int in;           /* readable when receive() is worth a call; -1: never */
    int out;          /* writable when send() is; -1: never */
    bool ready;       /* take() or receive() has something to say at once */
    bool holding;     /* output is held: call send() without a letter when `out` is writable */
    bool room;        /* with a bell: a send is worth trying */
    bool deaf;        /* with a bell: it cannot be heard until something is received */
    short out_events; /* with a bell: what else to poll for besides input; else 0 */
};

struct carrier;
struct held;

/* What a carrier does. None waits, but for SEND_BLOCK and receive() with `block`. A member
 * that is NULL is not supported. Errors are negative errno values with a sentence. */
struct carrier_functions {
    /* The next connection of a listening carrier; -EAGAIN: none; -EPERM: one was refused.
     * It belongs to the caller. */
    int (*accept)(struct carrier *carrier, struct store *store, struct carrier **ret_client);

    /* 1: the letter was taken. -EAGAIN: call again with the same letter, the last time with
     * SEND_HOLD, which answers -EAGAIN when nothing is out. Without a letter: passes on what
     * is held; 0, or -EAGAIN if some is left. */
    int (*send)(struct carrier *carrier, const struct letter *letter, enum send_mode mode);

    /* Sends the first few of some messages without settings with one system call, or what
     * of it the kernel takes, and holds the rest. Result: how many, and their bodies' bytes;
     * 0: the first is one for send(); -EAGAIN: none is out. */
    int (*send_plain)(struct carrier *carrier, const chappe_item *items, size_t count,
                      enum send_mode mode, uint64_t *ret_bytes);

    /* Brings in what the kernel has, one call of it. 1: something came; 0: the other side
     * has closed; -EAGAIN. Of a carrier with a bell: looks, and with `block`, without waiting,
     * also whether the other side still lives. */
    int (*receive)(struct carrier *carrier, bool block);

    /* Takes up to `count` whole messages out of what came. 0: none is whole. */
    int (*take)(struct carrier *carrier, struct message **ret_messages, size_t count);

    /* Asked anew before each wait. A carrier with a bell (below) asks the other side to ring:
     * when `ready` is false, `in` becomes readable with the next message, and when `room` is
     * false with room for one. */
    void (*interest)(struct carrier *carrier, struct interest *ret_interest);

    /* What the other side has not taken; `unread` counts whole messages left here. */
    void (*undelivered)(struct carrier *carrier, chappe_undelivered *ret_undelivered);

    /* A chunk of `size` bytes, aligned for any type, out of which the next send() takes its
     * body in place. NULL: not now, use other memory. */
    struct chunk *(*reserve)(struct carrier *carrier, size_t size);

    /* With a bell, for what went the quick way: wakes the other side. */
    void (*wake)(struct carrier *carrier);

    /* Half-close of the sending direction. */
    int (*finish)(struct carrier *carrier);

    /* Frees everything. `owner` false: in a process that may not touch names. */
    void (*close)(struct carrier *carrier, bool owner);
};

/* The part of every carrier that the floors above see. */
struct carrier {
    const struct carrier_functions *functions;
    const struct mechanism *mechanism;
    struct store *store; /* where messages come from; the endpoint's */
    struct terms terms;  /* terms.name is `address` */
    char *address;
    struct log log;
    chappe_identity peer; /* verified 0: unknown */
    uint64_t client;      /* its number on a server; 0 = the only one */
    bool sends;           /* this direction is open */
    bool receives;
    bool crosses_fork;       /* see the fork rule in <chappe/chappe.h> */
    bool answers_by_address; /* a reply goes to the way_back of a message */
    void *name;              /* what it serves under, if it has to be given up: by release_name() */
    void (*release_name)(void *name, bool owner);
    uint64_t clients_most; /* of a listening carrier; 0 = as many as descriptors allow */
    struct held *held;     /* output that was taken over (held.h); NULL until needed */
    /* Not NULL: a carrier with a bell. Messages come without the kernel's knowledge, so
     * receive() is only a look, which is worth repeating this often before a wait. */
    struct waiting_spin *spin;
    struct quick quick; /* all NULL: there is only the long way */
    int postponed;      /* an error that is to be told by the next take(), and its sentence */
    char *postponed_text;
    uint64_t descriptors_closed;
    uint64_t strangers_refused; /* messages without a connection: wrong uid */
    uint64_t strangers_cut_off; /* likewise: rubbish */
};

/* How something is to be opened. */
struct opening {
    const struct mechanism *mechanism;
    const struct address *address;
    struct terms terms;
    struct log log;
    struct store *store;
};

/* A row of the table. */
struct mechanism {
    chappe_row row;
    /* NULL where the row does not have that way in. -ENOENT and -ECONNREFUSED of open()
     * mean: nobody there yet. None waits. */
    int (*open)(const struct opening *opening, struct carrier **ret_carrier);
    int (*listen)(const struct opening *opening, struct carrier **ret_carrier);
    int (*pair)(const struct opening *a, const struct opening *b, struct carrier **ret_a,
                struct carrier **ret_b);
};

/* All rows, NULL ends. Made from the list in meson.build. */
extern const struct mechanism *const mechanism_rows[];

/* The row of a scheme. -EPROTONOSUPPORT with the nearest one in the sentence. */
int mechanism_find(const struct address *address, const struct mechanism **ret_mechanism);

/* Fills in the common part. `address` may be NULL: as it was given. */
int carrier_start(struct carrier *carrier, const struct carrier_functions *functions,
                  const struct opening *opening, const char *address);
/* chunk_create() with what the messages of this carrier share; has a sentence. */
struct chunk *carrier_chunk(struct carrier *carrier, size_t capacity);

/* An error behind messages that were taken: keeps it, so that the next take() begins with
 * carrier_postponed(), which answers it, or 0. */
void carrier_postpone(struct carrier *carrier, int error);
int carrier_postponed(struct carrier *carrier);

/* Gives the name up, if there is one: to be done first, so that nobody new comes. */
void carrier_release_name(struct carrier *carrier, bool owner);
/* The reverse of carrier_start(); frees the carrier itself. */
void carrier_end(struct carrier *carrier);

#endif
