/* SPDX-License-Identifier: MIT
 *
 * The shape of connections in shared memory: a lane each way, and beside them a Unix socket
 * of sequenced packets, which tells who is there and that it died, wakes sleepers, and passes
 * descriptors. While both sides are awake no system call is made.
 *
 * The client makes the first segment and sends it with its hello. It begins with the control
 * part (all numbers in the machine's own byte order):
 *
 *      0            4                                 64
 *      +------------+------------------ … ----------------+
 *      | arrivals   | 0                                   |  wait words of side 0, the
 *   64 +------------+------------------ … ----------------+  client: memory/waiting.h
 *      | room       | 0                                   |
 *  128 +------------+------------------ … ----------------+
 *      | the same of side 1, the server                   |
 *  256 +--------------------------------------------------+
 *      | words of the lane from side 0 to side 1          |  memory/lane.h
 *  384 +--------------------------------------------------+
 *      | words of the lane from side 1 to side 0          |
 *  512 +--------------------------------------------------+
 *      | ring of the first lane: half of what is left     |
 *      +--------------------------------------------------+
 *      | ring of the second lane                          |
 *      +--------------------------------------------------+
 *
 * A lane that is too small goes on in a segment of its own, which its writer makes and sends
 * over the socket before it commits the frame “next”: words at 0, the ring from 128 on. A
 * segment is given back when its last message is released.
 *
 * A message's metadata stands behind its body as an envelope of the long form
 * (message/envelope.h); descriptors, and bodies too large for a ring as sealed files, go over
 * the socket before their frame is committed.
 *
 * Packets on the socket begin with one byte:
 *
 *     'H' hello: struct lanes_hello, and the first segment's descriptor, if it has one
 *     'S' the next segment of a lane: struct lanes_next, and its descriptor
 *     'D' the descriptors of a message
 *     'A' attached to the segment that came last, if it would go with its maker
 *     'B' a bell: look at the lanes
 *     'R' refused: a sentence */
#ifndef MECHANISM_LANES_H
#define MECHANISM_LANES_H

#include "mechanism/arrivals.h"
#include "mechanism/held.h"
#include "mechanism/mechanism.h"
#include "mechanism/segment.h"
#include "memory/lane.h"
#include "memory/waiting.h"

#define LANES_RING_MOST ((size_t)8 << 20)
#define LANES_RING_USUAL ((size_t)1 << 20) /* what small messages make it grow to */
#define LANES_PENDING_MOST 8
#define LANES_AHEAD_LEAST ((size_t)256 << 10) /* bodies worth copying on both sides at once */

enum lanes_packet {
    LANES_HELLO = 'H',
    LANES_ATTACHED = 'A',
    LANES_NEXT = 'S',
    LANES_DESCRIPTORS = 'D',
    LANES_BELL = 'B',
    LANES_REFUSED = 'R'
};

struct lanes_hello {
    uint8_t packet; /* LANES_HELLO */
    char magic[7];
    uint32_t version;
    uint32_t control_size;
    struct segment_ticket ticket;
};

struct lanes_next {
    uint8_t packet; /* LANES_NEXT */
    uint8_t zero[7];
    struct segment_ticket ticket;
};

struct lanes_side {
    _Alignas(64) shared32 arrivals; /* sleeps until a message comes */
    _Alignas(64) shared32 room;     /* sleeps until there is room for one */
};

struct lanes_control {
    struct lanes_side sides[2];
    struct lane_words lanes[2]; /* [i] is written by side i */
};

/* What an address asks for. */
struct lanes_terms {
    struct backing_terms backing;
    size_t ring;   /* of the first rings, in bytes; 0: as small as useful */
    uint32_t spin; /* looks before a sleep, at most */
};

/* A ring that is written to. */
struct outlet {
    struct lane_writer writer;
    struct segment *segment;
    struct outlet *older; /* may still have unread messages */
};

struct inlet;

/* A large body that is copied out while it is being copied in. */
struct ahead {
    struct chunk *chunk; /* NULL: none */
    uint64_t start;      /* position of its header */
    uint64_t size, copied;
};

struct lanes {
    struct carrier carrier;
    struct lanes_terms terms;
    int fd;
    unsigned side;
    bool registered;         /* for barriers: this process may leave fences out */
    struct segment *segment; /* the first one; NULL: the hello has not come */
    struct lanes_control *control;

    struct outlet *out;
    struct segment *offered; /* for the next ring; NULL: none */
    bool attached;           /* the other side has it */
    uint64_t starved;        /* bytes that found no room; 0: the last send did */
    bool socket_full;        /* or what went before them over the socket */
    bool stuck;              /* a larger ring could not be made */
    size_t held_meta;        /* of a held frame */
    int file;                /* the body of a letter that will be tried again; -1 */
    uint64_t dropped;

    struct inlet *in;
    struct ahead ahead;
    struct waiting_spin spin;
    bool unrung;   /* a bell could not be rung */
    bool armed;    /* the other side was asked to ring */
    bool ended;    /* the other side said so */
    bool broken;   /* nobody knows where the next frame begins */
    bool reset;    /* the socket said that it broke */
    bool deserted; /* nobody receives any more, though there may be something to receive */
    bool hung_up;  /* the socket did */
    struct arrivals arrivals;
    struct segment *pending[LANES_PENDING_MOST]; /* came before their “next” */
    size_t pending_count;
    bool answer_owed; /* to the last of them */
};

extern const struct carrier_functions lanes_functions;

/* ---- lanes.c ---- */
/* The client's end over a connected socket, which it takes: makes the memory, says hello. */
int lanes_connect(const struct opening *opening, const struct lanes_terms *terms, int fd,
                  struct carrier **ret_carrier);
/* The server's end: the hello may still be under way. */
int lanes_accept(const struct opening *opening, const struct lanes_terms *terms, int fd,
                 struct carrier **ret_carrier);
int lanes_pair(const struct opening *a, const struct opening *b, const struct lanes_terms *terms,
               const int ends[2], struct carrier **ret_a, struct carrier **ret_b);

/* Nobody knows where the next frame begins. */
void lanes_break(struct lanes *lanes);
/* The first segment is there: opens its lanes. */
int lanes_join(struct lanes *lanes, struct segment *segment);

/* No sleep: the other side need not ring. */
void lanes_disarm(struct lanes *lanes);
/* Opens or closes the quick way, as what is on now allows. */
void lanes_settle_quick(struct lanes *lanes);

static inline struct lanes_side *lanes_own(const struct lanes *lanes) {
    return &lanes->control->sides[lanes->side];
}

static inline struct lanes_side *lanes_other(const struct lanes *lanes) {
    return &lanes->control->sides[1 - lanes->side];
}

/* ---- lanes_socket.c ---- */
/* Reads what is on the socket: hello, segments, descriptors, bells, the end. 0, or an error
 * that ends the connection. */
int lanes_listen(struct lanes *lanes);
/* The same, where everything that was announced in the lane has been taken. */
int lanes_hear(struct lanes *lanes);
/* Has so much come that waits for its messages that no more is read? */
bool lanes_is_deaf(const struct lanes *lanes);
int lanes_say_hello(struct lanes *lanes);
/* Passes a segment, or the descriptors of a letter. -EAGAIN: the socket is full. */
int lanes_pass_segment(struct lanes *lanes, struct segment *segment);
int lanes_pass_descriptors(struct lanes *lanes, const int *descriptors, size_t count);
/* Reads the socket for something that the lane announced. */
int lanes_fetch(struct lanes *lanes, bool (*has)(const struct lanes *lanes));
void lanes_ring(struct lanes *lanes, shared32 *word);
/* What a shortage of the kernel's kept from ringing. */
void lanes_ring_again(struct lanes *lanes);
/* Wakes the other side, if it sleeps on that word. */
static inline void lanes_wake(struct lanes *lanes, shared32 *word) {
    if (waiting_must_wake(word, lanes->registered))
        lanes_ring(lanes, word);
}

/* ---- lanes_send.c ---- */
int lanes_send(struct carrier *carrier, const struct letter *letter, enum send_mode mode);
int lanes_send_plain(struct carrier *carrier, const chappe_item *items, size_t count,
                     enum send_mode mode, uint64_t *ret_bytes);
struct chunk *lanes_reserve(struct carrier *carrier, size_t size);
bool lanes_has_room(struct lanes *lanes);
void lanes_undelivered(struct carrier *carrier, chappe_undelivered *ret_undelivered);
int lanes_finish(struct carrier *carrier);
int lanes_open_outlet(struct lanes *lanes, struct segment *segment, struct lane_words *words,
                      void *ring, size_t size);
void lanes_free_outlets(struct lanes *lanes);

/* ---- lanes_ahead.c ---- */
/* Has a large body been announced? Then copies what is there of it. */
void lanes_read_ahead(struct lanes *lanes, const struct lane_reader *reader);
/* A frame is committed: a message of what was read ahead and the rest of it; NULL: it is
 * another frame, or there is no memory. */
struct message *lanes_finish_ahead(struct lanes *lanes, const struct lane_frame *frame);
void lanes_forget_ahead(struct lanes *lanes);

/* ---- lanes_receive.c ---- */
int lanes_receive(struct carrier *carrier, bool block);
int lanes_take(struct carrier *carrier, struct message **ret_messages, size_t count);
bool lanes_has_frame(const struct lanes *lanes);
/* Is there something to take, or to say? */
bool lanes_is_ready(const struct lanes *lanes);
int lanes_open_inlet(struct lanes *lanes, struct segment *segment, struct lane_words *words,
                     void *ring, size_t size);
void lanes_open_quick_reading(struct lanes *lanes);
/* The carrier goes; messages may stay. `told`: what was read is to be told to the writer. */
void lanes_leave_inlet(struct lanes *lanes, bool told);

#endif
