/* SPDX-License-Identifier: MIT
 *
 * Receiving: what is set aside first, then what is here, then what the kernel brings, until
 * the deadline. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/versioned.h"
#include "endpoint/endpoint.h"
#include "endpoint/server.h"
#include "mechanism/held.h"
#include "os/os.h"

#define PATIENT_ROUNDS 16

/* ---- filters ---- */

int receive_read_filter(const chappe_endpoint *endpoint, const chappe_filter *filter,
                        chappe_filter *ret_filter) {
    int error =
        versioned_read(ret_filter, sizeof *ret_filter, sizeof *ret_filter, filter, "chappe_filter");
    if (error < 0)
        return error;
    if (ret_filter->flags != 0 || ret_filter->type_match > CHAPPE_TYPE_IS_NOT)
        return error_set(-EINVAL, "chappe_filter: unknown flags or type_match");
    if (ret_filter->type_match == CHAPPE_TYPE_ANY && ret_filter->type != 0)
        return error_set(-EINVAL, "chappe_filter: a type, but type_match is CHAPPE_TYPE_ANY");
    const chappe_row *row = &endpoint->carrier->mechanism->row;
    if (ret_filter->sender != 0 && row->support[CHAPPE_CAN_IDENTITY] == CHAPPE_REFUSES)
        return error_set(-ENOTSUP, "%s: %s:// does not tell the sender", endpoint->carrier->address,
                         row->scheme);
    return 0;
}

static pid_t sender_of(const struct message *message) {
    if (message->details != NULL && message->details->sender.verified != 0)
        return message->details->sender.pid;
    return message->chunk->sender.pid;
}

static bool matches(const chappe_filter *filter, const struct message *message) {
    static const struct envelope plain = {0};
    const struct envelope *envelope =
        message->details != NULL ? &message->details->envelope : &plain;
    if (filter->type_match != CHAPPE_TYPE_ANY &&
        (envelope->type == filter->type) != (filter->type_match == CHAPPE_TYPE_IS))
        return false;
    if (envelope->priority < filter->priority_least)
        return false;
    if ((filter->flags & FILTER_NO_REQUESTS) != 0 && envelope->kind == ENVELOPE_REQUEST)
        return false;
    if (filter->correlation != 0 && envelope->correlation != filter->correlation)
        return false;
    return filter->sender == 0 || sender_of(message) == filter->sender;
}

/* ---- messages set aside ---- */

/* The first that matches, and in *ret_before the one before it. */
static struct message *find_aside(const chappe_endpoint *endpoint, const chappe_filter *filter,
                                  struct message **ret_before) {
    struct message *before = NULL;
    for (struct message *message = endpoint->aside.first; message != NULL;
         before = message, message = message->next)
        if (filter == NULL || matches(filter, message)) {
            *ret_before = before;
            return message;
        }
    return NULL;
}

bool receive_has_aside(const chappe_endpoint *endpoint, const chappe_filter *filter) {
    struct message *before;
    return find_aside(endpoint, filter, &before) != NULL;
}

static struct message *take_aside(chappe_endpoint *endpoint, const chappe_filter *filter) {
    struct message *before;
    struct message *message = find_aside(endpoint, filter, &before);
    if (message != NULL)
        message_remove(&endpoint->aside, before, message);
    return message;
}

/* Is there room for one more? Asked before another message is taken from the carrier. */
static int check_aside(const chappe_endpoint *endpoint, const chappe_filter *filter) {
    if (filter == NULL || (endpoint->aside.count < ASIDE_MOST &&
                           endpoint->aside.bytes < endpoint->carrier->terms.limit))
        return 0;
    return error_set(-ENOBUFS,
                     "%s: %zu messages (%llu bytes) that do not match the filter are set aside; "
                     "the limits are %d and %llu: receive some without a filter",
                     endpoint->carrier->address, endpoint->aside.count,
                     (unsigned long long)endpoint->aside.bytes, ASIDE_MOST,
                     (unsigned long long)endpoint->carrier->terms.limit);
}

/* A reply to a request of our own that nobody waits for any more. */
static bool is_late(const chappe_filter *filter, const struct message *message) {
    return message->details != NULL && message->details->envelope.correlation > OWN_CORRELATIONS &&
           message->details->envelope.kind == ENVELOPE_REPLY &&
           (filter == NULL || filter->correlation != message->details->envelope.correlation);
}

/* ---- bringing in ---- */

static int take(chappe_endpoint *endpoint, struct message **ret_messages, size_t count) {
    struct carrier *carrier = endpoint->carrier;
    return endpoint->server != NULL ? server_take(endpoint->server, ret_messages, count)
                                    : carrier->functions->take(carrier, ret_messages, count);
}

/* Waits for the carrier; meanwhile passes on held output. */
static int wait_for_carrier(chappe_endpoint *endpoint, const struct interest *interest,
                            chappe_deadline deadline) {
    struct pollfd items[2] = {{.fd = interest->in, .events = POLLIN},
                              {.fd = interest->out, .events = POLLOUT}};
    int ready = os_wait(items, interest->holding ? 2 : 1, deadline);
    if (ready == -EAGAIN || ready == -ETIMEDOUT)
        return endpoint_out_of_time(endpoint, ready, "nothing to receive");
    if (ready < 0)
        return error_of(ready, "%s: waiting", endpoint->carrier->address);
    if (interest->holding && items[1].revents != 0)
        send_held(endpoint);
    return items[0].revents != 0 ? 1 : 0;
}

#define LOOKS_PER_ROUND 1024
#define LOOKS_PER_QUESTION 16
#define QUICK_LOOKS 64
#define STREAM_LEAST 4          /* messages between two looks in vain */
#define PAUSES_BEHIND_STREAM 16 /* 0.2 to 0.5 us */

/* Looks for messages for as long as it pays. As receive(). Most looks are at the next header
 * alone; one in some asks the carrier, which has more to look at. */
static int keep_looking(struct carrier *carrier, chappe_deadline deadline) {
    uint32_t budget = waiting_spin_budget(carrier->spin), looks = 0;
    const struct lane_reader *reader = carrier->quick.reader;
    int got = -EAGAIN;
    while (looks < budget && got == -EAGAIN) {
        shared_pause();
        if (++looks % LOOKS_PER_QUESTION != 0 && reader != NULL) {
            got = lane_is_ready(reader) ? 1 : -EAGAIN;
            continue;
        }
        bool round = looks % LOOKS_PER_ROUND == 0;
        if (round && os_now() >= deadline)
            break;
        got = carrier->functions->receive(carrier, round);
        reader = carrier->quick.reader;
    }
    waiting_spin_learn(carrier->spin, got != -EAGAIN, looks);
    return got;
}

/* At the heels of a sender in full flow each look would take the line from it that it is
 * writing to. A lone message is not made to wait by this. */
static bool follows_stream(chappe_endpoint *endpoint) {
    uint64_t before = endpoint->received_when_empty;
    endpoint->received_when_empty = endpoint->numbers.received;
    return endpoint->numbers.received - before >= STREAM_LEAST;
}

/* As bring_in(), from a carrier with a bell. */
static int look_for(chappe_endpoint *endpoint, chappe_deadline deadline) {
    struct carrier *carrier = endpoint->carrier;
    struct interest interest;
    if (deadline != CHAPPE_NOW && follows_stream(endpoint))
        for (int i = 0; i < PAUSES_BEHIND_STREAM; i++)
            shared_pause();
    for (;;) {
        int got = carrier->functions->receive(carrier, deadline == CHAPPE_NOW);
        if (got == -EAGAIN && deadline != CHAPPE_NOW)
            got = keep_looking(carrier, deadline);
        if (got != -EAGAIN)
            return got;
        send_held(endpoint);
        if (deadline == CHAPPE_NOW)
            return endpoint_out_of_time(endpoint, -EAGAIN, "nothing to receive");
        carrier->functions->interest(carrier, &interest);
        if (interest.ready)
            continue;
        struct pollfd item = {.fd = interest.in, .events = (short)(POLLIN | interest.out_events)};
        int ready = os_wait(&item, 1, deadline);
        if (ready == -EAGAIN || ready == -ETIMEDOUT)
            return endpoint_out_of_time(endpoint, ready, "nothing to receive");
        if (ready < 0)
            return error_of(ready, "%s: waiting", carrier->address);
    }
}

/* Gets at least something from the carrier. 1: something came; 0: the end. */
static int bring_in(chappe_endpoint *endpoint, chappe_deadline deadline) {
    struct carrier *carrier = endpoint->carrier;
    if (endpoint->server != NULL)
        return server_receive(endpoint->server, deadline);
    if (carrier->spin != NULL)
        return look_for(endpoint, deadline);
    struct interest interest;
    for (;;) {
        bool block = deadline == CHAPPE_FOREVER && !held_is_full(carrier->held);
        /* Who had to wait lately looks first: a read in vain costs more than a look. */
        if (block || endpoint->patience == 0 || deadline == CHAPPE_NOW) {
            int got = carrier->functions->receive(carrier, block);
            if (got != -EAGAIN)
                return got;
            endpoint->patience = PATIENT_ROUNDS;
        } else {
            endpoint->patience--;
        }
        carrier->functions->interest(carrier, &interest);
        if (deadline == CHAPPE_NOW && !interest.holding)
            return endpoint_out_of_time(endpoint, -EAGAIN, "nothing to receive");
        int ready = wait_for_carrier(endpoint, &interest, deadline);
        if (ready < 0)
            return ready;
        if (ready > 0) {
            int got = carrier->functions->receive(carrier, false);
            if (got != -EAGAIN)
                return got;
        }
    }
}

/* A message that lies in place would keep everything behind it from its sender: so it moves
 * into memory of its own, if there is any. */
static void move_out(struct message *message) {
    struct chunk *place = message->chunk;
    bool alone = message->body.data == place->bytes && message->body.size == place->capacity;
    if (place->gone == NULL || alone)
        return;
    struct chunk *chunk =
        chunk_create(place->store, message->body.size > 0 ? message->body.size : 1);
    if (chunk == NULL)
        return;
    chunk->sender = place->sender;
    chunk->client = place->client;
    if (message->body.size > 0)
        memcpy(chunk->bytes, message->body.data, message->body.size);
    message->body.data = chunk->bytes;
    message->chunk = chunk; /* with the chunk's own reference */
    chunk_release(place);
}

/* What take() brought is not for this caller: late, or to be set aside. */
static bool divert(chappe_endpoint *endpoint, const chappe_filter *filter,
                   struct message *message) {
    if (is_late(filter, message)) {
        endpoint->numbers.replies_late++;
        message_release(message);
        return true;
    }
    if (filter == NULL || matches(filter, message))
        return false;
    move_out(message);
    message_append(&endpoint->aside, message);
    return true;
}

/* From here on it is the caller's. */
static void hand_over(chappe_endpoint *endpoint, struct message *message) {
    message->sequence = ++endpoint->numbers.received;
    endpoint->numbers.received_bytes += message->body.size;
}

/* Hands over those of `count` messages that are for this caller. Result: how many. */
static size_t sort_out(chappe_endpoint *endpoint, const chappe_filter *filter,
                       struct message **messages, size_t count) {
    uint64_t received = endpoint->numbers.received, size = 0;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct message *message = messages[i];
        bool plain = filter == NULL && message->details == NULL;
        if (!plain && divert(endpoint, filter, message))
            continue;
        message->sequence = ++received;
        size += message->body.size;
        messages[kept++] = message;
    }
    endpoint->numbers.received = received;
    endpoint->numbers.received_bytes += size;
    return kept;
}

/* The quick way of a plain message that is here; NULL: the long way has to be gone. */
static inline struct message *take_untold(chappe_endpoint *endpoint) {
    struct carrier *carrier = endpoint->carrier;
    struct lane_reader *reader = carrier->quick.reader;
    struct lane_frame frame;
    if (reader == NULL || reader->position >= carrier->quick.end || endpoint->aside.first != NULL ||
        endpoint->pollable.armed || endpoint->store->free_count == 0 ||
        !endpoint_is_entered(endpoint) || lane_take_here(reader, &frame) == 0)
        return NULL;
    struct message *message = store_take(endpoint->store);
    message->body = (chappe_message){.data = frame.body, .size = frame.size};
    message->chunk = carrier->quick.chunk;
    message->chunk->references++;
    message->details = NULL;
    hand_over(endpoint, message);
    return message;
}

/* The same, and tells the sender: it may be closing, and nobody knows when the next receive
 * will be. */
static inline struct message *take_quickly(chappe_endpoint *endpoint) {
    struct message *message = take_untold(endpoint);
    if (message != NULL)
        lane_tell_taken(endpoint->carrier->quick.reader);
    return message;
}

static size_t take_many_quickly(chappe_endpoint *endpoint, struct message **ret_messages,
                                size_t count) {
    size_t taken = 0;
    for (struct message *message; taken < count && (message = take_untold(endpoint)) != NULL;)
        ret_messages[taken++] = message;
    if (taken > 0)
        lane_tell_taken(endpoint->carrier->quick.reader);
    return taken;
}

/* Takes up to `count` messages that are here and match. With a filter one by one, so that
 * there is always room for one that does not match. */
static int take_matching(chappe_endpoint *endpoint, const chappe_filter *filter,
                         struct message **ret_messages, size_t count) {
    size_t kept = 0;
    int error = carrier_postponed(endpoint->carrier);
    if (error < 0)
        return error;
    if (filter == NULL)
        kept = take_many_quickly(endpoint, ret_messages, count);
    while (kept < count) {
        error = check_aside(endpoint, filter);
        if (error < 0)
            return kept > 0 ? (int)kept : error;
        int taken = take(endpoint, ret_messages + kept, filter != NULL ? 1 : count - kept);
        if (taken < 0 && kept == 0)
            return taken;
        if (taken < 0)
            carrier_postpone(endpoint->carrier, taken); /* the next call tells it */
        if (taken <= 0)
            break;
        kept += sort_out(endpoint, filter, ret_messages + kept, (size_t)taken);
    }
    return (int)kept;
}

/* Result: how many messages; 0: the end. */
static int receive_some(chappe_endpoint *endpoint, const chappe_filter *filter,
                        chappe_deadline deadline, struct message **ret_messages, size_t count) {
    size_t got = 0;
    while (got < count && endpoint->aside.first != NULL &&
           (ret_messages[got] = take_aside(endpoint, filter)) != NULL)
        hand_over(endpoint, ret_messages[got++]);
    if (got > 0)
        return (int)got;
    for (int round = 1;; round++) {
        int taken = take_matching(endpoint, filter, ret_messages, count);
        if (taken != 0)
            return taken;
        if (endpoint_is_late(deadline, round))
            return endpoint_out_of_time(endpoint, deadline == CHAPPE_NOW ? -EAGAIN : -ETIMEDOUT,
                                        "no whole message that matches");
        int came = bring_in(endpoint, deadline);
        if (came < 0)
            return came;
        if (came == 0)
            return take_matching(endpoint, filter, ret_messages, count); /* a last line */
    }
}

/* ---- the public calls ---- */

static int check_receiving(chappe_endpoint *endpoint, chappe_deadline deadline) {
    int error = endpoint_enter(endpoint);
    if (error < 0 || (error = endpoint_check_deadline(deadline)) < 0)
        return error;
    if (!endpoint->carrier->receives)
        return error_set(-EBADF, "%s: not open for receiving", endpoint->carrier->address);
    return endpoint->server != NULL ? server_choose(endpoint->server, SERVER_RECEIVES) : 0;
}

int receive_message(chappe_endpoint *endpoint, const chappe_filter *filter,
                    chappe_deadline deadline, struct message **ret_message) {
    int error = check_receiving(endpoint, deadline);
    if (error < 0)
        return error;
    int got = receive_some(endpoint, filter, deadline, ret_message, 1);
    if (endpoint->pollable.armed)
        pollable_settle(endpoint);
    return got;
}

/* What comes at once: looks at the next header for a moment, before the long way is gone.
 * Behind a stream, or where looking does not pay, that looks itself. */
__attribute__((noinline)) static struct message *look_quickly(chappe_endpoint *endpoint) {
    const struct carrier *carrier = endpoint->carrier;
    const struct lane_reader *reader = carrier->quick.reader;
    if (reader == NULL || carrier->spin->budget < QUICK_LOOKS ||
        endpoint->numbers.received - endpoint->received_when_empty >= STREAM_LEAST)
        return NULL;
    endpoint->received_when_empty = endpoint->numbers.received;
    for (int i = 0; i < QUICK_LOOKS; i++) {
        shared_pause();
        if (lane_is_ready(reader))
            return take_quickly(endpoint);
    }
    return NULL;
}

/* Not inlined: it would cost the quick way its registers. */
__attribute__((noinline)) static int receive_slowly(chappe_endpoint *endpoint,
                                                    const chappe_filter *filter,
                                                    chappe_deadline deadline,
                                                    chappe_message **ret_message) {
    chappe_filter read;
    if (endpoint == NULL || ret_message == NULL)
        return error_set(-EINVAL, "the endpoint or ret_message is NULL");
    int error = filter != NULL ? receive_read_filter(endpoint, filter, &read) : 0;
    if (error < 0)
        return error;
    struct message *message;
    int got = receive_message(endpoint, filter != NULL ? &read : NULL, deadline, &message);
    if (got < 0)
        return got;
    endpoint->owes_reply = false; /* whatever it was, it has been received */
    *ret_message = got > 0 ? &message->body : NULL;
    return got > 0 ? 0 : CHAPPE_END;
}

int chappe_receive(chappe_endpoint *endpoint, const chappe_filter *filter, chappe_deadline deadline,
                   chappe_message **ret_message) {
    if (endpoint != NULL && ret_message != NULL && filter == NULL && is_deadline(deadline)) {
        struct message *message = take_quickly(endpoint);
        if (message == NULL && deadline != CHAPPE_NOW)
            message = look_quickly(endpoint);
        if (message != NULL) {
            endpoint->owes_reply = false;
            *ret_message = &message->body;
            return 0;
        }
    }
    return receive_slowly(endpoint, filter, deadline, ret_message);
}

int chappe_receive_batch(chappe_endpoint *endpoint, const chappe_filter *filter,
                         chappe_deadline deadline, chappe_message **ret_messages, size_t count) {
    chappe_filter read;
    if (endpoint == NULL || ret_messages == NULL || count == 0 || count > INT_MAX)
        return error_set(-EINVAL, "no endpoint, no messages, or a batch of %zu", count);
    int error = filter != NULL ? receive_read_filter(endpoint, filter, &read) : 0;
    if (error < 0 || (error = check_receiving(endpoint, deadline)) < 0)
        return error;
    /* A message begins with its public part, so a row of the one is a row of the other. */
    int got = receive_some(endpoint, filter != NULL ? &read : NULL, deadline,
                           (struct message **)ret_messages, count);
    if (got >= 0)
        endpoint->owes_reply = false;
    if (endpoint->pollable.armed)
        pollable_settle(endpoint);
    return got;
}

int chappe_accept(chappe_endpoint *endpoint, chappe_deadline deadline,
                  chappe_endpoint **ret_client) {
    int error = endpoint_enter(endpoint);
    if (error < 0 || (error = endpoint_check_deadline(deadline)) < 0)
        return error;
    if (ret_client == NULL)
        return error_set(-EINVAL, "ret_client is NULL");
    struct carrier *listener = endpoint->carrier, *client;
    if (endpoint->server == NULL)
        return error_set(-ENOTSUP, "%s: there are no connections to accept", listener->address);
    if ((error = server_choose(endpoint->server, SERVER_ACCEPTS)) < 0)
        return error;
    struct store *store = store_create();
    if (store == NULL)
        return error_of(-ENOMEM, "%s", listener->address);
    for (;;) {
        error = listener->functions->accept(listener, store, &client);
        if (error == 0)
            return endpoint_create(client, store, ret_client);
        if (error == -EPERM) {
            endpoint->numbers.clients_refused++;
            log_line(&endpoint->log, CHAPPE_LOG_WARNING, "refused: %s", error_text());
            continue;
        }
        struct interest interest;
        listener->functions->interest(listener, &interest);
        struct pollfd item = {.fd = interest.in, .events = POLLIN};
        int ready = error == -EAGAIN ? os_wait(&item, 1, deadline) : error;
        if (error == -EAGAIN && ready < 0)
            ready = endpoint_out_of_time(endpoint, ready, "no client");
        if (ready < 0) {
            store_close(store);
            return ready;
        }
    }
}
