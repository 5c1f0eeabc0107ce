/* SPDX-License-Identifier: MIT
 *
 * Messages in hand, chunks, and the store they come from. */
#include "message/message.h"

#include <stdalign.h>
#include <stdlib.h>

#include "os/os.h"

#define BLOCK_MESSAGES 102             /* with the link: 4 KiB */
#define SPARE_MAX 4                    /* chunks kept warm */
#define SPARE_CAPACITY_MAX (16u << 20) /* larger ones go back to the system at once */

struct message_block {
    struct message_block *next;
    struct message messages[BLOCK_MESSAGES];
};

/* ---- the store ---- */

struct store *store_create(void) {
    return calloc(1, sizeof(struct store));
}

static void free_chunks(struct chunk *chunk) {
    for (struct chunk *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
}

static void destroy(struct store *store) {
    for (struct message_block *block = store->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    for (struct details *details = store->free_details, *next; details != NULL; details = next) {
        next = details->next;
        free(details->descriptors);
        free(details->reservation);
        free(details);
    }
    free_chunks(store->spare);
    free_chunks(store->shells);
    free(store->free_messages);
    free(store->scratch);
    free(store);
}

uint8_t *store_scratch(struct store *store) {
    if (store->scratch == NULL)
        store->scratch = malloc(STORE_SCRATCH_SIZE);
    return store->scratch;
}

void store_close(struct store *store) {
    if (store == NULL)
        return;
    store->closed = true;
    store->owner = NULL;
    if (store->live == NULL)
        destroy(store);
}

bool store_serves(const struct store *store, uint64_t client) {
    for (const struct chunk *chunk = store->live; chunk != NULL; chunk = chunk->next)
        if (chunk->client == client)
            return true;
    return false;
}

bool store_refill(struct store *store) {
    size_t count = store->message_count + BLOCK_MESSAGES;
    struct message **room = realloc(store->free_messages, count * sizeof(struct message *));
    if (room == NULL)
        return false;
    store->free_messages = room;
    struct message_block *block = malloc(sizeof *block);
    if (block == NULL)
        return false;
    block->next = store->blocks;
    store->blocks = block;
    store->message_count = count;
    for (size_t i = BLOCK_MESSAGES; i-- > 0;)
        room[store->free_count++] = &block->messages[i];
    return true;
}

/* ---- chunks ---- */

static struct chunk *enlist(struct store *store, struct chunk *chunk) {
    chunk->before = NULL;
    chunk->next = store->live;
    if (store->live != NULL)
        store->live->before = chunk;
    store->live = chunk;
    return chunk;
}

static void strike(struct store *store, const struct chunk *chunk) {
    if (chunk->next != NULL)
        chunk->next->before = chunk->before;
    if (chunk->before != NULL)
        chunk->before->next = chunk->next;
    else
        store->live = chunk->next;
}

/* Bytes begin at a multiple of what any type needs. */
#define HEADER_SIZE                                                                                \
    ((sizeof(struct chunk) + alignof(max_align_t) - 1) / alignof(max_align_t) *                    \
     alignof(max_align_t))

static struct chunk *take_spare(struct store *store, size_t capacity) {
    for (struct chunk **link = &store->spare; *link != NULL; link = &(*link)->next) {
        struct chunk *chunk = *link;
        if (chunk->capacity >= capacity && chunk->capacity / 8 <= capacity) {
            *link = chunk->next;
            store->spare_count--;
            return chunk;
        }
    }
    return NULL;
}

struct chunk *chunk_create(struct store *store, size_t capacity) {
    if (capacity > SIZE_MAX - HEADER_SIZE)
        return NULL;
    struct chunk *chunk = take_spare(store, capacity);
    if (chunk == NULL) {
        chunk = malloc(HEADER_SIZE + capacity);
        if (chunk == NULL)
            return NULL;
        chunk->capacity = capacity;
    }
    chunk->store = store;
    chunk->bytes = (uint8_t *)chunk + HEADER_SIZE;
    chunk->references = 1;
    chunk->gone = NULL;
    chunk->sender = (chappe_identity){.size = sizeof chunk->sender};
    chunk->client = 0;
    return enlist(store, chunk);
}

struct chunk *chunk_around(struct store *store, void *memory, size_t size,
                           void (*gone)(struct chunk *chunk), void *owner) {
    struct chunk *chunk = store->shells;
    if (chunk != NULL)
        store->shells = chunk->next;
    else if ((chunk = malloc(sizeof *chunk)) == NULL)
        return NULL;
    *chunk = (struct chunk){.store = store,
                            .bytes = memory,
                            .capacity = size,
                            .references = 1,
                            .gone = gone,
                            .owner = owner};
    return enlist(store, chunk);
}

static void unmap(struct chunk *chunk) {
    os_unmap(chunk->bytes, chunk->capacity);
}

struct chunk *chunk_of_mapping(struct store *store, void *memory, size_t size) {
    return chunk_around(store, memory, size, unmap, NULL);
}

bool chunk_grow(struct chunk **chunk, size_t capacity) {
    if (capacity > SIZE_MAX - HEADER_SIZE)
        return false;
    struct store *store = (*chunk)->store;
    strike(store, *chunk);
    struct chunk *larger = realloc(*chunk, HEADER_SIZE + capacity);
    enlist(store, larger != NULL ? larger : *chunk);
    if (larger == NULL)
        return false;
    larger->bytes = (uint8_t *)larger + HEADER_SIZE;
    larger->capacity = capacity;
    *chunk = larger;
    return true;
}

void chunk_release(struct chunk *chunk) {
    if (chunk == NULL || --chunk->references > 0)
        return;
    struct store *store = chunk->store;
    strike(store, chunk);
    if (chunk->gone != NULL) {
        chunk->gone(chunk);
        chunk->next = store->shells;
        store->shells = chunk;
    } else if (store->spare_count < SPARE_MAX && chunk->capacity <= SPARE_CAPACITY_MAX) {
        chunk->next = store->spare;
        store->spare = chunk;
        store->spare_count++;
    } else {
        free(chunk);
    }
    if (store->closed && store->live == NULL)
        destroy(store);
}

/* ---- messages ---- */

struct message *message_create(struct chunk *chunk, void *data, size_t size) {
    struct message *message = store_take(chunk->store);
    if (message == NULL)
        return NULL;
    message->body.data = data;
    message->body.size = size;
    message->chunk = chunk;
    message->details = NULL;
    message->sequence = 0;
    chunk->references++;
    return message;
}

struct details *message_details(struct message *message) {
    if (message->details != NULL)
        return message->details;
    struct store *store = message->chunk->store;
    struct details *details = store->free_details;
    if (details != NULL)
        store->free_details = details->next;
    else if ((details = calloc(1, sizeof *details)) == NULL)
        return NULL;
    details->envelope = (struct envelope){0};
    details->sender = (chappe_identity){.size = sizeof details->sender};
    details->descriptor_count = 0;
    details->reserved = false;
    details->way_back_size = 0;
    return message->details = details;
}

static void release_details(struct store *store, struct details *details) {
    for (size_t i = 0; i < details->descriptor_count; i++)
        os_close(details->descriptors[i]);
    details->next = store->free_details;
    store->free_details = details;
}

void message_release(struct message *message) {
    struct chunk *chunk = message->chunk;
    struct store *store = chunk->store;
    if (message->details != NULL)
        release_details(store, message->details);
    store->free_messages[store->free_count++] = message;
    chunk_release(chunk); /* last: the store may go with it */
}

size_t message_release_plain(struct message **messages, size_t count) {
    size_t released = 0;
    while (released < count && messages[released] != NULL && messages[released]->details == NULL) {
        struct chunk *chunk = messages[released]->chunk;
        struct store *store = chunk->store;
        struct message **free_messages = store->free_messages + store->free_count;
        size_t run = 0;
        for (struct message **from = messages + released; run < count - released; run++) {
            struct message *message = from[run];
            if (message == NULL || message->chunk != chunk || message->details != NULL)
                break;
            free_messages[run] = message;
        }
        released += run;
        store->free_count += run;
        chunk->references -= (uint32_t)(run - 1);
        chunk_release(chunk); /* last: the store may go with it */
    }
    return released;
}

void message_append(struct message_list *list, struct message *message) {
    message->next = NULL;
    if (list->last != NULL)
        list->last->next = message;
    else
        list->first = message;
    list->last = message;
    list->count++;
    list->bytes += message->body.size;
}

void message_remove(struct message_list *list, struct message *before, struct message *message) {
    if (before != NULL)
        before->next = message->next;
    else
        list->first = message->next;
    if (list->last == message)
        list->last = before;
    list->count--;
    list->bytes -= message->body.size;
}
