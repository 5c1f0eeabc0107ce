/* SPDX-License-Identifier: MIT
 *
 * Messages in hand, the memory that their bytes lie in, and the store that both come from
 * and go back to, so that nothing is allocated per message once things are warm.
 *
 *     store ── chunk ── chunk          a chunk is counted: one reference a message in it
 *       │        ▲ ▲      ▲            and one of the reader that still fills it
 *       └─ message message message     a message is the caller's until released; every
 *                                      message lies in a chunk, so what they all share
 *                                      (sender, client, store) is said there once
 *
 * A store belongs to an endpoint and lives until the endpoint is closed and its last
 * message released. It has no lock: a handle belongs to one thread at a time. */
#ifndef MESSAGE_MESSAGE_H
#define MESSAGE_MESSAGE_H

#include <chappe/chappe.h>

#include "message/envelope.h"

struct store;

/* Memory that messages lie in. */
struct chunk {
    struct store *store;
    struct chunk *next; /* among the spare ones, or with `before` among those in use */
    struct chunk *before;
    uint8_t *bytes;
    size_t capacity;
    uint32_t references;
    void (*gone)(struct chunk *chunk); /* gives back bytes that are not the chunk's own; or NULL */
    void *owner;                       /* for that function */
    chappe_identity sender;            /* of all messages in it; verified 0: unknown */
    uint64_t client;                   /* which connection of a server; 0 = the only one */
};

/* Of a message that is being written: where it will be sent, and with what. */
struct reservation {
    chappe_endpoint *endpoint; /* NULL: closed meanwhile */
    size_t capacity;
    chappe_settings settings; /* its pointers lead to what follows */
    chappe_token token;
    int descriptors[CHAPPE_DESCRIPTORS_MAX];
};

#define DETAILS_WAY_BACK_MAX 128

/* What only some messages have. */
struct details {
    struct details *next; /* among the free ones */
    struct envelope envelope;
    chappe_identity sender; /* verified 0: see the chunk */
    int *descriptors;       /* -1: taken; the room for them stays with the details */
    size_t descriptor_count, descriptor_room;
    bool reserved;                   /* the message is being written */
    struct reservation *reservation; /* stays with the details, made when first needed */
    size_t way_back_size;            /* the sender's own address, where there is no connection */
    uint8_t way_back[DETAILS_WAY_BACK_MAX];
};

struct message {
    chappe_message body;     /* first: this is what the caller sees */
    struct chunk *chunk;     /* that the body lies in */
    struct details *details; /* NULL for a plain message */
    union {
        struct message *next; /* set aside */
        uint64_t sequence;    /* in the caller's hands */
    };
};

/* Messages in order. */
struct message_list {
    struct message *first, *last;
    size_t count;
    uint64_t bytes;
};

struct store *store_create(void);
/* The endpoint is gone; the store goes with its last message. NULL does nothing. */
void store_close(struct store *store);

/* A message for `size` bytes at `data` in `chunk`, which it then refers to. */
struct message *message_create(struct chunk *chunk, void *data, size_t size);
/* Its details, made if needed; NULL without memory. */
struct details *message_details(struct message *message);
void message_release(struct message *message);
/* Releases the first of some messages, as far as they are there and plain. Result: how many. */
size_t message_release_plain(struct message **messages, size_t count);

void message_append(struct message_list *list, struct message *message);
/* Takes out `message`, which follows `before` (NULL: it is the first). */
void message_remove(struct message_list *list, struct message *before, struct message *message);

/* A chunk of at least `capacity` bytes with one reference, warm if possible. */
struct chunk *chunk_create(struct store *store, size_t capacity);
/* A chunk around memory that is given back by gone() when its last reference goes. */
struct chunk *chunk_around(struct store *store, void *memory, size_t size,
                           void (*gone)(struct chunk *chunk), void *owner);
/* The same around a mapping, which is unmapped. */
struct chunk *chunk_of_mapping(struct store *store, void *memory, size_t size);
/* More room in a chunk that only the caller refers to; its bytes may move. */
bool chunk_grow(struct chunk **chunk, size_t capacity);
void chunk_release(struct chunk *chunk); /* NULL does nothing */
/* Is there a chunk in use for that client? A walk: not for hot paths. */
bool store_serves(const struct store *store, uint64_t client);

/* Room of STORE_SCRATCH_SIZE bytes for what has to be copied at once; NULL without memory.
 * Untouched pages of it cost nothing. */
#define STORE_SCRATCH_SIZE ((size_t)1 << 20)
uint8_t *store_scratch(struct store *store);

/* Makes more free messages. */
bool store_refill(struct store *store);

struct store {
    struct message **free_messages; /* a stack: taking one touches no message */
    size_t free_count, message_count;
    struct details *free_details;
    struct chunk *spare;
    size_t spare_count;
    struct message_block *blocks;
    uint8_t *scratch;       /* see store_scratch() */
    chappe_endpoint *owner; /* NULL: closed */
    uint64_t endpoint;      /* its number, for tokens */
    bool has_way_back;      /* its messages can be replied to */
    struct chunk *shells;   /* of mappings that are gone */
    struct chunk *live;     /* chunks that something refers to */
    bool closed;
};

/* A message from the free list, to be filled in, without a call per message. */
static inline struct message *store_take(struct store *store) {
    if (store->free_count == 0 && !store_refill(store))
        return NULL;
    return store->free_messages[--store->free_count];
}

/* Releases a plain message that is not the last of its chunk; else false, and nothing was
 * done. */
static inline bool message_release_quickly(struct message *message) {
    struct chunk *chunk = message->chunk;
    if (message->details != NULL || chunk->references == 1)
        return false;
    chunk->references--;
    chunk->store->free_messages[chunk->store->free_count++] = message;
    return true;
}

#endif
