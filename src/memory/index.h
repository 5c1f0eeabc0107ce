/* SPDX-License-Identifier: MIT
 *
 * An index: the order of the messages that many senders give to many receivers. The bodies
 * lie elsewhere, in lanes that only their senders write; here each message is one word of 8
 * bytes, and everything that happens to it is one compare-and-swap of that word. So there
 * is no moment in which a participant that is killed or stopped leaves something half done:
 * whoever comes next finds the message as it was before, or as it is after.
 *
 * Control words, 192 bytes, all 0 in a new index but for the capacity:
 *
 *       0                8                                            64
 *       +----------------+------------------ … ------------------------+
 *       | first          | 0                                           |  hint: anyone raises it
 *       +----------------+------------------ … ------------------------+
 *      64               72                                            128
 *       +----------------+------------------ … ------------------------+
 *       | next           | 0                                           |  hint: senders raise it
 *       +----------------+------------------ … ------------------------+
 *     128              136              144                           192
 *       +----------------+----------------+-------- … -----------------+
 *       | returned       | capacity       | 0                          |  seldom written
 *       +----------------+----------------+-------- … -----------------+
 *
 *     first     no message that is not finished has a position below it
 *     next      every position below it is used; the next free one is here or a little on
 *     returned  counts messages that were given back: receivers look from `first` again
 *     capacity  how many messages may be there that are not finished
 *
 * `slots` words (a power of two, at least the capacity; twice as many is better), and beside
 * them as many words of origins; both all 0 in a new index. The slot of a position is the
 * position modulo `slots`; its lap is the position divided by `slots`. A slot's word:
 *
 *      63                  33    32      31     30      28 27              16 15             0
 *       +--------------------+-------+-------+----------+------------------+----------------+
 *       | lap (31 bits)      | elder | again | state    | lane             | place          |
 *       +--------------------+-------+-------+----------+------------------+----------------+
 *                                        claimed:       | claimed by       | place          |
 *                                                       +------------------+------------+---+
 *                                        finished:      | finished by      | lane       | 0 |
 *                                                       +------------------+------------+---+
 *                                                      27              16  15        4   3  0
 *     state  0 empty (first lap only) · 1 published · 2 claimed; finished: 3 done ·
 *            4 dropped · 5 expired · 6 withdrawn · 7 purged
 *     again  it was in a hand before, and came back
 *     elder  it was published in an earlier lap: the lap in the word is not its own
 *
 * An origin, written before its message is first claimed or carried, says what the word of a
 * claimed or elder message has no room for:
 *
 *      63                                        28 27              16 15                  0
 *       +-------------------------------------------+------------------+--------------------+
 *       | lap of publication + 1 (36 bits)          | lane             | place              |
 *       +-------------------------------------------+------------------+--------------------+
 *
 * Who may swap what:
 *     finished or empty, of an earlier lap → published     a sender, at the tail
 *     not finished, of an earlier lap → the same, elder    a sender that finds it in its way
 *     published → claimed                                  a receiver
 *     published → finished                                 a receiver that has copied it (done);
 *                                                          its sender (withdrawn); anyone
 *                                                          (dropped, expired, purged)
 *     claimed → finished, or published again               who claimed it
 *     claimed → published again                            who knows that the claimer is dead,
 *                                                          or takes it from one that is slow
 *
 * - The tail is the first position whose slot is of an earlier lap. A position is used by one
 *   swap of its slot, and stays used; so what a sender found out about the positions below
 *   the tail can only become better until its own swap, which fails if the tail has moved.
 *   In this way the capacity is exact, whoever is killed: it counts words, no counter.
 * - Messages may be finished in any order. One that stays (in the hand of a stopped receiver,
 *   of a type that nobody takes) does not stop the ring: a sender whose next slot it occupies
 *   carries it, in its slot, to the new lap, and goes on behind it. That is why the index
 *   need not be cut into segments, and why its size is chosen once: 8 bytes for each message
 *   that may wait (16 with explicit claims), sparse until it was used.
 * - One ring holds all priorities and types, because two could not be counted in one swap.
 *   A receiver ranks messages by a function; whoever puts the priority into the place (its
 *   upper bits) ranks without a look at the body.
 * - A swap that comes late, because its participant was stopped, fails: the lap has changed.
 *   It would take a stop of exactly 2^31 laps, at least 2^37 messages, and the same sender
 *   and place, to make it succeed. Publication and claim notice even that by `first` and
 *   `next`, which never wrap, and undo it. Who finishes, gives back or withdraws swaps a word
 *   with its own number in it: none can appear while it is in this one step. A late drop,
 *   expiry or taking back would hit another message: that is dropped, counted, or
 *   redelivered, marked; nothing is torn or doubled in silence.
 *
 * Rules for the callers:
 * - A participant makes one step at a time (its threads take turns), with one number `who`,
 *   the same that its lane has. The number of a dead participant is given to another only
 *   after index_take_back() for it (participants.h sees to that).
 * - A place is the sender's own name for a body. It may be used again when index_outcome()
 *   says that its message is finished or gone, not before.
 * - What rank functions read in bodies may be gone already: they bear any bytes; a claim
 *   that succeeds proves that what they read was right.
 *
 * Every reader gets every message (index_read): each has a position of its own, which it
 * stores where senders see it; the index is attached `in_order`; senders finish with
 * index_settle_below() what is below all those positions, or, for a slow reader, what they
 * drop. Such a reader sees from the lap that it was overtaken. A sender that wants receipts
 * looks at index_outcome(), or is told (`tell`) before a slot is used again. */
#ifndef MEMORY_INDEX_H
#define MEMORY_INDEX_H

#include "base/shared.h"

#define INDEX_PARTICIPANTS 4096
#define INDEX_PLACES 65536
#define INDEX_SLOTS_LEAST 64
#define INDEX_SLOTS_MOST (1u << 24)

/* How far `next` may be behind, less than there are slots. Tests with few slots make it 1. */
#ifndef INDEX_STRIDE
#define INDEX_STRIDE 16
#endif

enum index_state {
    INDEX_EMPTY = 0,
    INDEX_PUBLISHED = 1,
    INDEX_CLAIMED = 2,
    INDEX_DONE = 3, /* this and the following are final */
    INDEX_DROPPED = 4,
    INDEX_EXPIRED = 5,
    INDEX_WITHDRAWN = 6,
    INDEX_PURGED = 7,
};

struct index_words {
    _Alignas(64) shared64 first;
    _Alignas(64) shared64 next;
    _Alignas(64) shared64 returned;
    shared64 capacity;
};

/* A message as one look at its word found it. */
struct index_item {
    uint64_t position; /* of the word now */
    uint64_t origin;   /* where it was published: its number in the total order, and its age */
    uint64_t word;
    enum index_state state;
    uint32_t lane;  /* its sender */
    uint32_t place; /* of its body; 0 if it is finished */
    uint32_t who;   /* who holds it, or finished it */
    bool again;     /* it was in a hand before */
};

/* How much a message is wanted: 0 at once, 1 and more the later, negative not at all. */
typedef int index_rank(void *context, const struct index_item *item);

/* The outcome of a message whose slot is about to be used again. It may be told more than
 * once, by several senders, and late: a receipt is written by a swap that expects its own
 * message, whose number is item->origin. */
typedef void index_tell(void *context, const struct index_item *item);

/* A participant's side, in its own memory. */
struct index {
    struct index_words *words;
    shared64 *slots;
    shared64 *origins;
    uint64_t mask;  /* slots - 1 */
    unsigned shift; /* log2 of slots */
    uint32_t who;
    bool in_order;    /* nothing is carried: a position that stays stops the senders */
    index_tell *tell; /* NULL: nobody wants to know */
    void *tell_context;
    /* as a sender */
    uint64_t tail;     /* the tail is not below it */
    uint64_t limit;    /* below it there is room, */
    uint64_t capacity; /* if the capacity is still this */
    /* as a receiver */
    uint64_t cursor;   /* nothing that it wants is below it, */
    uint64_t returned; /* if nothing was given back since */
    uint64_t finds;    /* until it looks at everything once more */
};

/* How an index begins: control words, slots and origins are all 0. `slots` is a power of two
 * from INDEX_SLOTS_LEAST to INDEX_SLOTS_MOST, capacity from 1 to `slots`. */
void index_create(struct index_words *words, uint64_t capacity);

/* A participant's side of an index. An observer that only walks may map it read-only. */
void index_attach(struct index *index, struct index_words *words, shared64 *slots,
                  shared64 *origins, uint64_t count, uint32_t who);

/* Holds for what is published from now on; more messages than that are not dropped. */
void index_set_capacity(struct index *index, uint64_t capacity);

/* ---- the sender ---- */

/* Publishes what lies in `place` of the lane `who`: when this swaps its word in, everybody
 * sees it. *ret_position: its number. -EAGAIN: full (no sentence). */
int index_publish(struct index *index, uint32_t place, uint64_t *ret_position);

/* What became of a message: 0 and how it stands; -ESTALE: its slot is used again, so it is
 * finished (the outcome was told). */
int index_outcome(const struct index *index, uint64_t position, struct index_item *ret_item);

/* Takes back a message of one's own that nobody has: 0. Or -EBUSY: it is claimed;
 * -EALREADY: it is finished; -ESTALE: and its slot is used again. */
int index_withdraw(struct index *index, uint64_t position, uint32_t place);

/* ---- the receiver ---- */

/* Finds a published message, the most wanted, of these the oldest; nothing is changed. rank
 * NULL: all are wanted alike. 1: *ret_item; 0: none. A quick look goes on where the last one
 * ended; a thorough one looks at everything: before sleeping, and before saying “empty”. */
int index_find(struct index *index, index_rank *rank, void *context, bool thorough,
               struct index_item *ret_item);

/* The next index_find() looks at everything: what is wanted has changed. */
void index_look_again(struct index *index);

/* Claims what was found: 0, and *item is the claim. -EAGAIN: somebody was faster. */
int index_claim(struct index *index, struct index_item *item);

/* Finishes what was found without claiming it: done, by a receiver that has copied the body
 * before; dropped, expired, purged. -EAGAIN: somebody was faster; the copy is worthless. */
int index_settle(struct index *index, const struct index_item *item, enum index_state state);

/* Finishes a claim: done, dropped, expired, purged. -ESTALE: it was taken away. */
int index_finish(struct index *index, const struct index_item *claim, enum index_state state);

/* Gives a claim back: it is published again, marked so, older than what came after it.
 * -ESTALE: it was taken away. */
int index_give_back(struct index *index, const struct index_item *claim);

/* Takes back everything that the dead participant `who` had claimed. Result: how many. May be
 * done again by another, from the start, if one that did it was killed. */
uint64_t index_take_back(struct index *index, uint32_t who);

/* Takes one claim from a participant that lives: its late steps will fail. -EAGAIN: it is not
 * in that hand any more. */
int index_take_away(struct index *index, const struct index_item *claim);

/* ---- every reader ---- */

/* What is at a position: 1 and how it stands (a message for this reader only if it is
 * published and item->origin is the position); 0: nothing yet; -ESTALE: overtaken. */
int index_read(const struct index *index, uint64_t position, struct index_item *ret_item);

/* After copying: was it still that message? Whoever writes into a place again that a reader may
 * be copying from, overtaken, has a shared_fence() between seeing it finished and the first
 * store. */
bool index_is_still(const struct index *index, const struct index_item *item);

/* Finishes everything published below a position. Result: how many. */
uint64_t index_settle_below(struct index *index, uint64_t position, enum index_state state);

/* ---- observers ---- */

/* Goes through the used positions: start with 0. 1: the item at *position, which is then the
 * one behind it; 0: the end, *position is the tail. Writes nothing. */
int index_walk(const struct index *index, uint64_t *position, struct index_item *ret_item);

struct index_figures {
    uint64_t waiting; /* published */
    uint64_t held;    /* claimed */
    uint64_t oldest;  /* origin of the oldest of both; the tail if there is none */
    uint64_t tail;    /* how many positions were used in all */
};

void index_measure(const struct index *index, struct index_figures *ret_figures);

#endif
