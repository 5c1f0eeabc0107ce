/* SPDX-License-Identifier: MIT
 *
 * The header that every shared object begins with. */
#include "memory/header.h"

#include <errno.h>

#include "base/crc32c.h"

/* "chappe", 0x1A, 0x01 where the lowest byte comes first. */
#define MAGIC 0x011A657070616863u

/* The header as it lies in memory. */
struct image {
    shared64 magic;
    uint16_t layout;
    uint16_t header;
    uint32_t flags;
    uint64_t size;
    uint64_t required, optional;
    uint8_t incarnation[16];
    char kind[HEADER_KIND_SIZE];
    int64_t created;
    uint32_t pid;
    uint32_t body;
    uint64_t space, number;
    char boot[HEADER_BOOT_SIZE];
    uint32_t check;
    uint64_t reserved[6];
    shared32 state;
    uint32_t rest[15];
};

#define CHECKED_FROM offsetof(struct image, layout)
#define CHECKED_SIZE (offsetof(struct image, check) - CHECKED_FROM)

_Static_assert(sizeof(struct image) == HEADER_SIZE, "the drawing in header.h");
_Static_assert(offsetof(struct image, incarnation) == 40, "the drawing in header.h");
_Static_assert(offsetof(struct image, created) == 72, "the drawing in header.h");
_Static_assert(offsetof(struct image, boot) == 104, "the drawing in header.h");
_Static_assert(offsetof(struct image, check) == 140, "the drawing in header.h");
_Static_assert(offsetof(struct image, state) == 192, "the drawing in header.h");

static uint32_t check_of(const struct image *image) {
    return crc32c(0, (const uint8_t *)image + CHECKED_FROM, CHECKED_SIZE);
}

void header_write(void *memory, const struct header_facts *facts) {
    struct image image = {
        .layout = HEADER_LAYOUT,
        .header = HEADER_SIZE,
        .flags = facts->flags,
        .size = facts->size,
        .required = facts->required,
        .optional = facts->optional,
        .created = facts->created,
        .pid = facts->pid,
        .body = facts->body,
        .space = facts->space,
        .number = facts->number,
    };
    memcpy(image.incarnation, facts->incarnation, sizeof image.incarnation);
    memcpy(image.kind, facts->kind, sizeof image.kind);
    memcpy(image.boot, facts->boot, sizeof image.boot);
    image.check = check_of(&image);
    shared_write((uint8_t *)memory + CHECKED_FROM, (const uint8_t *)&image + CHECKED_FROM,
                 sizeof image - CHECKED_FROM);
}

void header_publish(void *memory) {
    struct image *image = memory;
    /* Release: who sees the magic finds the rest of the header, and the body as it was
     * filled in. */
    shared64_set_release(&image->magic, MAGIC);
}

/* A kind as headers hold it: small letters, digits, -, then zeros only. */
static bool kind_is_valid(const char kind[HEADER_KIND_SIZE]) {
    size_t length = 0;
    while (length < HEADER_KIND_SIZE && kind[length] != '\0') {
        char c = kind[length++];
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-')
            return false;
    }
    for (size_t i = length; i < HEADER_KIND_SIZE; i++)
        if (kind[i] != '\0')
            return false;
    return length > 0 && length < HEADER_KIND_SIZE;
}

static void take_facts(const struct image *image, struct header_facts *ret_facts) {
    *ret_facts = (struct header_facts){
        .layout = image->layout,
        .header = image->header,
        .flags = image->flags,
        .size = image->size,
        .required = image->required,
        .optional = image->optional,
        .created = image->created,
        .pid = image->pid,
        .body = image->body,
        .space = image->space,
        .number = image->number,
    };
    memcpy(ret_facts->incarnation, image->incarnation, sizeof image->incarnation);
    memcpy(ret_facts->kind, image->kind, sizeof image->kind);
    memcpy(ret_facts->boot, image->boot, sizeof image->boot);
}

int header_read(const void *memory, size_t size, struct header_facts *ret_facts) {
    const struct image *shared = memory;
    struct image image;
    if (size < CHECKED_FROM + sizeof(uint64_t))
        return -EBADMSG;
    /* Acquire: pairs with header_publish(). */
    uint64_t magic = shared64_get_acquire(&shared->magic);
    if (magic != MAGIC)
        return magic == 0 ? -EAGAIN : -EBADMSG;
    memset(&image, 0, sizeof image);
    shared_read((uint8_t *)&image + CHECKED_FROM, (const uint8_t *)memory + CHECKED_FROM,
                (size < sizeof image ? size : sizeof image) - CHECKED_FROM);
    if (image.layout != HEADER_LAYOUT) {
        *ret_facts = (struct header_facts){
            .layout = image.layout, .header = image.header, .flags = image.flags};
        return -EPROTO;
    }
    if (size < sizeof image || image.header != HEADER_SIZE || image.size < HEADER_SIZE ||
        image.check != check_of(&image) || !kind_is_valid(image.kind))
        return -EBADMSG;
    take_facts(&image, ret_facts);
    return 0;
}

uint32_t header_state(const void *memory) {
    const struct image *image = memory;
    /* Acquire: who sees the end sees what its destroyer did before. */
    return shared32_get_acquire(&image->state);
}

void header_end(void *memory) {
    struct image *image = memory;
    shared32_set_release(&image->state, HEADER_ENDING);
}
