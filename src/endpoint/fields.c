/* SPDX-License-Identifier: MIT
 *
 * What can be asked of a message in hand, and giving it back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/versioned.h"
#include "endpoint/server.h"
#include "endpoint/token.h"

static const struct message *inside(const chappe_message *message) {
    return (const struct message *)(const void *)message;
}

static int absent(const char *what) {
    return error_set(-ENODATA, "the message came without %s", what);
}

/* What only messages with details have. */
static int get_detail(const struct details *details, chappe_field field, int64_t *ret_value) {
    const struct envelope *envelope = &details->envelope;
    switch (field) {
    case CHAPPE_TYPE:
        *ret_value = envelope->type;
        return envelope->type != 0 ? 0 : absent("a type");
    case CHAPPE_PRIORITY:
        *ret_value = envelope->priority;
        return 0;
    case CHAPPE_CORRELATION:
        *ret_value = (int64_t)envelope->correlation;
        return envelope->correlation != 0 ? 0 : absent("a correlation");
    case CHAPPE_TIME:
        *ret_value = envelope->time;
        return envelope->has_time ? 0 : absent("the time of sending (CHAPPE_STAMP)");
    case CHAPPE_DESCRIPTORS:
        *ret_value = (int64_t)details->descriptor_count;
        return 0;
    case CHAPPE_IS_REQUEST:
        *ret_value = envelope->kind == ENVELOPE_REQUEST;
        return 0;
    default: /* CHAPPE_IS_REPLY */
        *ret_value = envelope->kind == ENVELOPE_REPLY;
        return 0;
    }
}

int chappe_get(const chappe_message *message, chappe_field field, int64_t *ret_value) {
    static const struct details none = {0};
    if (message == NULL || ret_value == NULL)
        return error_set(-EINVAL, "the message or ret_value is NULL");
    const struct message *inner = inside(message);
    if ((unsigned)field > CHAPPE_CLIENT)
        return error_set(-EINVAL, "field %d of a message is not one", (int)field);
    if (field == CHAPPE_SEQUENCE || field == CHAPPE_CLIENT) {
        *ret_value = (int64_t)(field == CHAPPE_SEQUENCE ? inner->sequence
                                                        : inner->chunk->client >> SLOT_BITS);
        return 0;
    }
    int64_t value = 0;
    int error = get_detail(inner->details != NULL ? inner->details : &none, field, &value);
    if (error == 0)
        *ret_value = value;
    return error;
}

int chappe_take_fd(chappe_message *message, size_t index) {
    if (message == NULL)
        return error_set(-EINVAL, "the message is NULL");
    struct details *details = ((struct message *)message)->details;
    if (details == NULL || index >= details->descriptor_count || details->descriptors[index] < 0)
        return error_set(-ENOENT, "the message has no descriptor number %zu (any more)", index);
    int fd = details->descriptors[index];
    details->descriptors[index] = -1;
    return fd;
}

int chappe_sender(const chappe_message *message, chappe_identity *ret_identity) {
    if (message == NULL || ret_identity == NULL)
        return error_set(-EINVAL, "the message or ret_identity is NULL");
    const struct message *inner = inside(message);
    const chappe_identity *sender = &inner->chunk->sender;
    if (inner->details != NULL && inner->details->sender.verified != 0)
        sender = &inner->details->sender;
    if (sender->verified == 0)
        return error_set(-ENOTSUP, "the carrier of the message does not tell its sender");
    return versioned_write(ret_identity, sizeof *ret_identity, IDENTITY_LEAST, sender,
                           "chappe_identity");
}

int chappe_token_of(const chappe_message *message, chappe_token *ret_token) {
    if (message == NULL || ret_token == NULL)
        return error_set(-EINVAL, "the message or ret_token is NULL");
    const struct message *inner = inside(message);
    const struct details *details = inner->details;
    const struct store *store = inner->chunk->store;
    struct token token = {.endpoint = store->endpoint, .client = inner->chunk->client};
    bool by_address = details != NULL && details->way_back_size > 0;
    if (!store->has_way_back && !by_address)
        return error_set(-ENOTSUP, "there is no way back to the sender of the message");
    if (details != NULL) {
        token.correlation = details->envelope.correlation;
        token.asked = details->envelope.kind == ENVELOPE_REQUEST;
        token.way_back_size = (uint8_t)details->way_back_size;
        memcpy(token.way_back, details->way_back, details->way_back_size);
    }
    if (store->owner != NULL && store->owner->server != NULL)
        server_owe(store->owner->server, token.client);
    memset(ret_token, 0, sizeof *ret_token);
    memcpy(ret_token, &token, sizeof token);
    return 0;
}

static struct reservation *reservation_of(const struct message *message) {
    return message->details != NULL && message->details->reserved ? message->details->reservation
                                                                  : NULL;
}

/* A reserved message that is given back lets its endpoint send again. */
static void leave_endpoint(const struct message *message) {
    struct reservation *reservation = reservation_of(message);
    if (reservation != NULL && reservation->endpoint != NULL)
        reservation->endpoint->reserved = NULL;
}

void chappe_release(chappe_message *message) {
    if (message == NULL || message_release_quickly((struct message *)message))
        return;
    leave_endpoint(inside(message));
    message_release((struct message *)message);
}

void chappe_release_batch(chappe_message **messages, size_t count) {
    for (size_t i = 0; messages != NULL && i < count;) {
        i += message_release_plain((struct message **)messages + i, count - i);
        if (i < count)
            chappe_release(messages[i++]);
    }
}
