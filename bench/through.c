/* SPDX-License-Identifier: MIT
 *
 * Messages through chappe, as a program would send and receive them. */
#include <chappe/chappe.h>
#include <stdlib.h>

#include "bench.h"

struct channel {
    chappe_endpoint *endpoint;
    chappe_message *message; /* the one in hand */
    chappe_message *messages[BATCH_RECEIVED];
    chappe_item items[BATCH_SENT];
    uint8_t payloads[BATCH_BYTES];
};

static struct channel *around(chappe_endpoint *endpoint) {
    struct channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL)
        fail("no memory");
    channel->endpoint = endpoint;
    return channel;
}

static void through_pair(enum kind kind, size_t most, struct channel *ret_ends[2]) {
    static const char *const addresses[KIND_COUNT] = {
        [KIND_PIPE] = "pipe://",
        [KIND_STREAM] = "unix://",
        [KIND_SEQPACKET] = "unix://?type=seqpacket",
        [KIND_DATAGRAM] = "unix://?type=datagram",
    };
    (void)most;
    chappe_endpoint *a, *b;
    if (chappe_pair(addresses[kind], NULL, &a, &b) < 0)
        fail("%s", chappe_error());
    ret_ends[0] = around(a);
    ret_ends[1] = around(b);
}

static void through_send(struct channel *channel, const uint8_t *bytes, size_t size) {
    if (chappe_send(channel->endpoint, bytes, size, NULL, CHAPPE_FOREVER) < 0)
        fail("%s", chappe_error());
}

static const uint8_t *through_receive(struct channel *channel, size_t *ret_size) {
    int result = chappe_receive(channel->endpoint, NULL, CHAPPE_FOREVER, &channel->message);
    if (result != 0)
        fail("%s", result < 0 ? chappe_error() : "the other side ended");
    *ret_size = channel->message->size;
    return channel->message->data;
}

static void through_done(struct channel *channel) {
    chappe_release(channel->message);
}

static void through_send_many(struct channel *channel, size_t size, uint64_t first,
                              uint64_t count) {
    const size_t most = BATCH_BYTES / (4 + size); /* about a write */
    for (size_t i = 0; i < most; i++)
        channel->items[i] = (chappe_item){.data = channel->payloads + i * size, .size = size};
    for (uint64_t number = first; number < first + count;) {
        size_t some = most;
        if (some > first + count - number)
            some = (size_t)(first + count - number);
        for (size_t i = 0; i < some; i++)
            payload_write(channel->payloads + i * size, size, number + i);
        for (size_t sent = 0; sent < some;) {
            int result = chappe_send_batch(channel->endpoint, channel->items + sent, some - sent,
                                           CHAPPE_FOREVER);
            if (result < 0)
                fail("%s", chappe_error());
            sent += (size_t)result;
        }
        number += some;
    }
}

static void through_receive_many(struct channel *channel, size_t size, uint64_t first,
                                 uint64_t count) {
    bool right = true;
    for (uint64_t number = first; number < first + count;) {
        int some = chappe_receive_batch(channel->endpoint, NULL, CHAPPE_FOREVER, channel->messages,
                                        BATCH_RECEIVED);
        if (some <= 0)
            fail("%s", some < 0 ? chappe_error() : "the other side ended");
        for (int i = 0; i < some; i++, number++) {
            const chappe_message *message = channel->messages[i];
            right &= message->size == size && payload_is(message->data, message->size, number);
        }
        chappe_release_batch(channel->messages, (size_t)some);
    }
    if (!right)
        fail("through chappe: a wrong payload");
}

static void through_close(struct channel *channel) {
    chappe_close(channel->endpoint, CHAPPE_NOW, NULL);
    free(channel);
}

const struct way way_through_chappe = {
    .name = "chappe",
    .pair = through_pair,
    .send = through_send,
    .receive = through_receive,
    .done = through_done,
    .send_many = through_send_many,
    .receive_many = through_receive_many,
    .close = through_close,
};
