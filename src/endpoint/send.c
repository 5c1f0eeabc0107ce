/* SPDX-License-Identifier: MIT
 *
 * Sending: from settings to a letter, to the right carrier, until the deadline. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/versioned.h"
#include "endpoint/endpoint.h"
#include "endpoint/server.h"
#include "endpoint/token.h"
#include "os/os.h"

/* ---- settings ---- */

static int refused(const chappe_endpoint *endpoint, chappe_capability capability) {
    char others[128] = "none yet";
    size_t used = 0;
    for (const struct mechanism *const *row = mechanism_rows; *row != NULL; row++)
        if (capability < (*row)->row.support_count &&
            (*row)->row.support[capability] != CHAPPE_REFUSES && used < sizeof others)
            used += (size_t)snprintf(others + used, sizeof others - used, "%s%s://",
                                     used > 0 ? ", " : "", (*row)->row.scheme);
    return error_set(-ENOTSUP, "%s: this mechanism refuses %s; mechanisms that do not: %s",
                     endpoint->carrier->address, chappe_capability_name(capability), others);
}

static bool row_supports(const chappe_endpoint *endpoint, chappe_capability capability) {
    const chappe_row *row = &endpoint->carrier->mechanism->row;
    return capability < row->support_count && row->support[capability] != CHAPPE_REFUSES;
}

static int check_settings(const chappe_endpoint *endpoint, const chappe_settings *settings) {
    const char *name = endpoint->carrier->address;
    if (settings->type < 0)
        return error_set(-EINVAL, "%s: type %lld; types are above 0", name,
                         (long long)settings->type);
    if ((settings->flags & ~(uint32_t)(CHAPPE_STAMP | CHAPPE_ASKS)) != 0)
        return error_set(-EINVAL, "%s: unknown flags 0x%x in chappe_settings", name,
                         settings->flags);
    if (settings->correlation >= OWN_CORRELATIONS)
        return error_set(-EINVAL, "%s: correlation %llu; the limit is 2^62", name,
                         (unsigned long long)settings->correlation);
    if (settings->descriptor_count > CHAPPE_DESCRIPTORS_MAX)
        return error_set(-EINVAL, "%s: %zu descriptors; the limit of the kernel is %d", name,
                         settings->descriptor_count, CHAPPE_DESCRIPTORS_MAX);
    if (settings->descriptor_count > 0 && settings->descriptors == NULL)
        return error_set(-EINVAL, "%s: descriptors is NULL", name);
    if (settings->type != 0 && !row_supports(endpoint, CHAPPE_CAN_TYPE))
        return refused(endpoint, CHAPPE_CAN_TYPE);
    if (settings->priority != 0 && !row_supports(endpoint, CHAPPE_CAN_PRIORITY))
        return refused(endpoint, CHAPPE_CAN_PRIORITY);
    if (settings->descriptor_count > 0 && !row_supports(endpoint, CHAPPE_CAN_DESCRIPTORS))
        return refused(endpoint, CHAPPE_CAN_DESCRIPTORS);
    return 0;
}

static void fill_envelope(const chappe_endpoint *endpoint, const chappe_settings *settings,
                          struct envelope *envelope) {
    bool has_envelope = endpoint->carrier->terms.frame->has_envelope;
    envelope->type = settings->type;
    envelope->priority = settings->priority;
    if ((settings->flags & CHAPPE_STAMP) != 0) {
        envelope->has_time = true;
        envelope->time = os_calendar();
    }
    envelope->correlation = settings->correlation;
    if (!has_envelope)
        return; /* the order of requests and replies is all that ties them */
    envelope->descriptors = (uint8_t)settings->descriptor_count;
    if ((settings->flags & CHAPPE_ASKS) != 0)
        envelope->kind = ENVELOPE_REQUEST;
}

/* ---- replies ---- */

int token_read(const chappe_endpoint *endpoint, const chappe_token *token,
               struct token *ret_token) {
    memcpy(ret_token, token, sizeof *ret_token);
    if (ret_token->endpoint != endpoint->number ||
        ret_token->way_back_size > sizeof ret_token->way_back)
        return error_set(-EINVAL, "%s: the token is of another endpoint",
                         endpoint->carrier->address);
    return 0;
}

static int address_reply(chappe_endpoint *endpoint, const chappe_token *given,
                         struct letter *letter, struct carrier **carrier) {
    struct token token;
    int error = token_read(endpoint, given, &token);
    if (error < 0)
        return error;
    if (endpoint->server != NULL) {
        *carrier = server_client(endpoint->server, token.client);
        if (*carrier == NULL)
            return error_set(-ESTALE, "%s: the asker is gone", endpoint->carrier->address);
    }
    if (token.way_back_size > 0) {
        /* The token outlives the letter: its bytes are where the caller's are. */
        letter->to = (const uint8_t *)given + offsetof(struct token, way_back);
        letter->to_size = token.way_back_size;
    }
    if (token.asked != 0 && endpoint->carrier->terms.frame->has_envelope) {
        letter->envelope.kind = ENVELOPE_REPLY;
        letter->envelope.correlation = token.correlation;
    }
    return 0;
}

int send_address(chappe_endpoint *endpoint, const void *bytes, size_t size,
                 const chappe_settings *settings, struct letter *ret_letter,
                 struct carrier **ret_carrier) {
    *ret_letter = (struct letter){.body = bytes, .size = size};
    *ret_carrier = endpoint->carrier;
    chappe_settings read;
    read.answers = NULL;
    if (settings != NULL) {
        int error = versioned_read(&read, sizeof read, SETTINGS_LEAST, settings, "chappe_settings");
        if (error < 0 || (error = check_settings(endpoint, &read)) < 0)
            return error;
        fill_envelope(endpoint, &read, &ret_letter->envelope);
        ret_letter->descriptors = read.descriptors;
        ret_letter->descriptor_count = read.descriptor_count;
    }
    if (read.answers != NULL)
        return address_reply(endpoint, read.answers, ret_letter, ret_carrier);
    if (endpoint->server != NULL || endpoint->carrier->answers_by_address)
        return error_set(-EDESTADDRREQ,
                         "%s: a server sends replies (chappe_reply) or accepts a client first",
                         endpoint->carrier->address);
    return 0;
}

/* ---- sending ---- */

#define LOOKS_MOST 2000
#define LOOKS_PER_CLOCK 64

/* A carrier with a bell: looks for room for as long as a wake takes, then asks to be rung. */
static int look_for_room(struct carrier *carrier, chappe_deadline deadline,
                         struct room_wait *wait) {
    if (wait->looks < carrier->spin->most && wait->looks < LOOKS_MOST) {
        shared_pause();
        bool late = ++wait->looks % LOOKS_PER_CLOCK == 0 && os_now() >= deadline;
        return late ? -ETIMEDOUT : 0;
    }
    struct interest interest;
    carrier->functions->interest(carrier, &interest);
    if (interest.room)
        return os_now() >= deadline ? -ETIMEDOUT : 0;
    int64_t left = deadline - os_now();
    if (left <= 0)
        return -ETIMEDOUT;
    if (interest.deaf) {
        os_pause(-1, left < wait->pause ? left : wait->pause);
        wait->pause = wait->pause < 4000000 ? wait->pause * 2 : wait->pause;
        return 0;
    }
    struct pollfd item = {.fd = interest.in, .events = (short)(POLLIN | interest.out_events)};
    int ready = os_wait(&item, 1, deadline);
    return ready < 0 ? ready : 0;
}

int send_wait_for_room(struct carrier *carrier, chappe_deadline deadline, struct room_wait *wait) {
    struct interest interest;
    if (carrier->spin != NULL)
        return look_for_room(carrier, deadline, wait);
    carrier->functions->interest(carrier, &interest);
    struct pollfd item = {.fd = interest.out, .events = POLLOUT};
    if (interest.out >= 0) {
        int ready = os_wait(&item, 1, deadline);
        return ready < 0 ? ready : 0;
    }
    /* A queue per asker, and no event for any of them. */
    int64_t left = deadline - os_now();
    if (left <= 0)
        return -ETIMEDOUT;
    os_pause(-1, left < wait->pause ? left : wait->pause);
    wait->pause = wait->pause < 4000000 ? wait->pause * 2 : wait->pause;
    return 0;
}

static int send_until(chappe_endpoint *endpoint, struct carrier *carrier,
                      const struct letter *letter, chappe_deadline deadline) {
    /* One client must not stop a server: it keeps a reply that a client does not take. */
    enum send_mode at_end = carrier != endpoint->carrier ? SEND_KEEP : SEND_HOLD;
    enum send_mode mode = deadline == CHAPPE_FOREVER ? SEND_BLOCK : SEND_TRY;
    if (deadline == CHAPPE_NOW || at_end == SEND_KEEP)
        mode = at_end;
    struct room_wait wait = ROOM_WAIT;
    for (;;) {
        int sent = carrier->functions->send(carrier, letter, mode);
        if (sent != -EAGAIN)
            return sent < 0 ? sent : 0;
        if (deadline == CHAPPE_NOW)
            return endpoint_out_of_time(endpoint, -EAGAIN, "the other side has no room");
        int error = send_wait_for_room(carrier, deadline, &wait);
        if (error < 0) {
            /* The last call, so that what has begun is taken over. */
            sent = carrier->functions->send(carrier, letter, at_end);
            if (sent != -EAGAIN)
                return sent < 0 ? sent : 0;
            return error == -ETIMEDOUT
                       ? endpoint_out_of_time(endpoint, error, "the other side had no room")
                       : error_of(error, "%s: waiting for room", endpoint->carrier->address);
        }
    }
}

static int check_sending(chappe_endpoint *endpoint, chappe_deadline deadline) {
    int error = endpoint_enter(endpoint);
    if (error < 0 || (error = endpoint_check_deadline(deadline)) < 0)
        return error;
    if (!endpoint->carrier->sends)
        return error_set(-EBADF, "%s: not open for sending", endpoint->carrier->address);
    return 0;
}

int send_busy(const chappe_endpoint *endpoint) {
    return error_set(-EBUSY, "%s: a message is reserved; commit or abandon it first",
                     endpoint->carrier->address);
}

int send_letter(chappe_endpoint *endpoint, const void *bytes, size_t size,
                const chappe_settings *settings, uint64_t own_correlation,
                chappe_deadline deadline) {
    int error = check_sending(endpoint, deadline);
    if (error < 0)
        return error;
    if (bytes == NULL && size > 0)
        return error_set(-EINVAL, "%s: bytes is NULL and size is %zu", endpoint->carrier->address,
                         size);
    struct letter letter;
    struct carrier *carrier;
    error = send_address(endpoint, bytes, size, settings, &letter, &carrier);
    if (own_correlation != 0)
        letter.envelope.correlation = own_correlation;
    if (error == 0)
        error = send_until(endpoint, carrier, &letter, deadline);
    if (error == 0) {
        endpoint->numbers.sent++;
        endpoint->numbers.sent_bytes += size;
    }
    if (carrier != endpoint->carrier && carrier != NULL)
        server_sent(endpoint->server, carrier->client, error == 0);
    if (endpoint->pollable.armed)
        pollable_settle(endpoint);
    return error;
}

/* The quick way of a plain message: 1; 0: it has to go the long way. */
static inline int send_quickly(chappe_endpoint *endpoint, const void *bytes, size_t size,
                               chappe_deadline deadline) {
    struct carrier *carrier = endpoint->carrier;
    bool wake;
    if (carrier->quick.writer == NULL || bytes == NULL || endpoint->reserved != NULL ||
        endpoint->pollable.armed || !endpoint_is_entered(endpoint) || !is_deadline(deadline) ||
        !quick_send(&carrier->quick, bytes, size, &wake))
        return 0;
    if (wake)
        carrier->functions->wake(carrier);
    endpoint->numbers.sent++;
    endpoint->numbers.sent_bytes += size;
    return 1;
}

/* Not inlined: it would cost the quick way its registers. */
__attribute__((noinline)) static int send_slowly(chappe_endpoint *endpoint, const void *bytes,
                                                 size_t size, const chappe_settings *settings,
                                                 chappe_deadline deadline) {
    if (endpoint != NULL && endpoint->reserved != NULL)
        return send_busy(endpoint);
    return send_letter(endpoint, bytes, size, settings, 0, deadline);
}

int chappe_send(chappe_endpoint *endpoint, const void *bytes, size_t size,
                const chappe_settings *settings, chappe_deadline deadline) {
    if (endpoint != NULL && settings == NULL && send_quickly(endpoint, bytes, size, deadline))
        return 0;
    return send_slowly(endpoint, bytes, size, settings, deadline);
}

int chappe_reply(chappe_endpoint *endpoint, const chappe_token *token, const void *bytes,
                 size_t size, const chappe_settings *settings, chappe_deadline deadline) {
    if (token == NULL)
        return error_set(-EINVAL, "the token is NULL");
    chappe_settings read;
    int error = versioned_read(&read, sizeof read, SETTINGS_LEAST, settings, "chappe_settings");
    if (error < 0)
        return error;
    read.size = sizeof read;
    read.answers = token;
    return chappe_send(endpoint, bytes, size, &read, deadline);
}

void send_held(chappe_endpoint *endpoint) {
    struct carrier *carrier = endpoint->carrier;
    struct interest interest = {0};
    if (endpoint->server != NULL)
        return; /* its clients are looked after with their events */
    carrier->functions->interest(carrier, &interest);
    if (interest.holding)
        carrier->functions->send(carrier, NULL, SEND_TRY);
}

/* ---- batches ---- */

/* Sends some of the items from the first on. Result: how many; -EAGAIN only at the deadline. */
static int send_some(chappe_endpoint *endpoint, const chappe_item *items, size_t count,
                     chappe_deadline deadline) {
    struct carrier *carrier = endpoint->carrier;
    struct room_wait wait = ROOM_WAIT;
    uint64_t bytes;
    while (carrier->functions->send_plain != NULL && endpoint->server == NULL &&
           items[0].settings == NULL) {
        int sent = carrier->functions->send_plain(
            carrier, items, count, deadline == CHAPPE_FOREVER ? SEND_BLOCK : SEND_TRY, &bytes);
        if (sent > 0) {
            endpoint->numbers.sent += (uint64_t)sent;
            endpoint->numbers.sent_bytes += bytes;
            return sent;
        }
        if (sent == 0)
            break;
        if (sent != -EAGAIN)
            return sent;
        int error = deadline == CHAPPE_NOW ? -EAGAIN : send_wait_for_room(carrier, deadline, &wait);
        if (error < 0)
            return endpoint_out_of_time(endpoint, error, "the other side has no room");
    }
    int error = send_letter(endpoint, items[0].data, items[0].size, items[0].settings, 0, deadline);
    return error < 0 ? error : 1;
}

int chappe_send_batch(chappe_endpoint *endpoint, const chappe_item *items, size_t count,
                      chappe_deadline deadline) {
    int error = check_sending(endpoint, deadline);
    if (error < 0)
        return error;
    if (items == NULL || count == 0 || count > INT_MAX)
        return error_set(-EINVAL, "%s: a batch of %zu messages", endpoint->carrier->address,
                         items == NULL ? 0 : count);
    if (endpoint->reserved != NULL)
        return send_busy(endpoint);
    size_t sent = 0;
    while (sent < count) {
        int some = send_some(endpoint, items + sent, count - sent, deadline);
        if (some < 0 && sent == 0)
            return some;
        if (some < 0)
            break;
        sent += (size_t)some;
    }
    if (endpoint->pollable.armed)
        pollable_settle(endpoint);
    return (int)sent;
}

/* ---- writing in place ---- */

/* Copies settings with everything that they point to. */
static int keep_settings(const chappe_settings *settings, struct reservation *reservation) {
    chappe_settings *kept = &reservation->settings;
    int error = versioned_read(kept, sizeof *kept, SETTINGS_LEAST, settings, "chappe_settings");
    if (error < 0)
        return error;
    kept->size = sizeof *kept;
    if (kept->descriptor_count > CHAPPE_DESCRIPTORS_MAX ||
        (kept->descriptor_count > 0 && kept->descriptors == NULL))
        return error_set(-EINVAL, "%zu descriptors; the limit of the kernel is %d",
                         kept->descriptor_count, CHAPPE_DESCRIPTORS_MAX);
    if (kept->descriptor_count > 0) {
        memcpy(reservation->descriptors, kept->descriptors, kept->descriptor_count * sizeof(int));
        kept->descriptors = reservation->descriptors;
    }
    if (kept->answers != NULL) {
        reservation->token = *kept->answers;
        kept->answers = &reservation->token;
    }
    return 0;
}

/* Where the carrier will want the body, or memory of its own. */
static struct chunk *reserve_chunk(chappe_endpoint *endpoint, struct carrier *carrier,
                                   size_t size) {
    struct chunk *chunk = NULL;
    if (carrier->functions->reserve != NULL)
        chunk = carrier->functions->reserve(carrier, size);
    return chunk != NULL ? chunk : chunk_create(endpoint->store, size > 0 ? size : 1);
}

/* A message to be written, with room for its settings. */
static struct message *reserve_memory(chappe_endpoint *endpoint, struct carrier *carrier,
                                      size_t size) {
    struct chunk *chunk = reserve_chunk(endpoint, carrier, size);
    if (chunk == NULL)
        return NULL;
    struct message *message = message_create(chunk, chunk->bytes, size);
    chunk_release(chunk); /* the message holds it */
    if (message == NULL)
        return NULL;
    struct details *details = message_details(message);
    if (details != NULL && details->reservation == NULL)
        details->reservation = malloc(sizeof *details->reservation);
    if (details == NULL || details->reservation == NULL) {
        message_release(message);
        return NULL;
    }
    return message;
}

int chappe_reserve(chappe_endpoint *endpoint, size_t size, const chappe_settings *settings,
                   chappe_deadline deadline, chappe_message **ret_message) {
    int error = check_sending(endpoint, deadline);
    if (error < 0)
        return error;
    if (ret_message == NULL)
        return error_set(-EINVAL, "ret_message is NULL");
    if (endpoint->reserved != NULL)
        return send_busy(endpoint);
    const char *name = endpoint->carrier->address;
    uint64_t limit = endpoint->carrier->terms.limit;
    struct letter letter;
    struct carrier *carrier;
    if (size > limit)
        return error_set(-EMSGSIZE, "%s: a message of %zu bytes; the limit is %llu (limit=SIZE)",
                         name, size, (unsigned long long)limit);
    if ((error = send_address(endpoint, NULL, 0, settings, &letter, &carrier)) < 0)
        return error;
    struct message *message = reserve_memory(endpoint, carrier, size);
    if (message == NULL)
        return error_of(-ENOMEM, "%s: %zu bytes", name, size);
    struct reservation *reservation = message->details->reservation;
    if ((error = keep_settings(settings, reservation)) < 0) {
        message_release(message);
        return error;
    }
    reservation->endpoint = endpoint;
    reservation->capacity = size;
    message->details->reserved = true;
    endpoint->reserved = message;
    *ret_message = &message->body;
    return 0;
}

int chappe_commit(chappe_message *body, size_t size, chappe_deadline deadline) {
    struct message *message = (struct message *)body;
    if (message == NULL || message->details == NULL || !message->details->reserved)
        return error_set(-EINVAL, "the message was not reserved");
    struct reservation *reservation = message->details->reservation;
    if (reservation->endpoint == NULL)
        return error_set(-EBADF, "the endpoint of the reserved message is closed");
    if (size > reservation->capacity)
        return error_set(-EINVAL, "%s: %zu bytes committed, %zu reserved",
                         reservation->endpoint->carrier->address, size, reservation->capacity);
    int error =
        send_letter(reservation->endpoint, body->data, size, &reservation->settings, 0, deadline);
    if (error == 0)
        chappe_release(body);
    return error;
}

void chappe_abandon(chappe_message *message) {
    chappe_release(message);
}
