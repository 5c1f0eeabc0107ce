/* SPDX-License-Identifier: MIT
 *
 * Any bytes through the real receiving path: written into a pipe or a socket in pieces,
 * received as messages without waiting. The first byte of the input chooses carrier, frame
 * and limit, the second how the rest is split.
 *
 * What has to hold: it ends; messages and errors are the same whatever the pieces are; no
 * more comes out than went in. */
#include <chappe/chappe.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crc32c.h"

#define OUTCOMES_MOST 2000
#define PIECE_MOST ((size_t)4096) /* fits whatever is unread before it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What one call after the other answered: an error, or the checksum of a message. */
struct outcomes {
    size_t count;
    size_t bytes; /* of bodies */
    struct {
        int result;
        uint32_t sum;
        size_t size;
    } list[OUTCOMES_MOST];
};

static void require(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s (%s)\n", what, chappe_error());
    abort();
}

static void open_carrier(uint8_t choice, int ret_ends[2], chappe_endpoint **ret_endpoint) {
    static const char *const options[] = {"limit=100000",
                                          "limit=16",
                                          "frame=line&limit=1000",
                                          "frame=nul",
                                          "frame=length32&limit=5000",
                                          "frame=raw&limit=10"};
    char address[128];
    bool is_socket = (choice & 0x80) != 0;
    if (is_socket)
        require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_ends) == 0, "socketpair");
    else
        require(pipe(ret_ends) == 0, "pipe");
    snprintf(address, sizeof address, "pipe://%d,-?%s", ret_ends[0], options[(choice & 0x7F) % 6]);
    require(chappe_open(address, NULL, CHAPPE_NOW, ret_endpoint) == 0, "opening");
}

/* Takes what can be taken now. False: the end, or an error that stays. */
static bool take(chappe_endpoint *endpoint, size_t batch, struct outcomes *outcomes) {
    chappe_message *messages[16];
    while (outcomes->count + 16 < OUTCOMES_MOST) {
        int got = batch > 1 ? chappe_receive_batch(endpoint, NULL, CHAPPE_NOW, messages, batch)
                            : chappe_receive(endpoint, NULL, CHAPPE_NOW, messages);
        if (got == -EAGAIN)
            return true;
        bool ended = batch > 1 ? got == 0 : got == CHAPPE_END;
        size_t count = got < 0 || ended ? 0 : batch > 1 ? (size_t)got : 1;
        for (size_t i = 0; i < count; i++) {
            size_t at = outcomes->count++;
            outcomes->list[at].result = 0;
            outcomes->list[at].sum = crc32c(0, messages[i]->data, messages[i]->size);
            outcomes->list[at].size = messages[i]->size;
            outcomes->bytes += messages[i]->size;
        }
        chappe_release_batch(messages, count);
        if (ended)
            return false;
        if (got < 0) {
            require(got == -EBADMSG || got == -EMSGSIZE, "the error is one of two");
            require(strstr(chappe_error(), "pipe://") != NULL, "the sentence names the address");
            size_t at = outcomes->count++;
            outcomes->list[at].result = got;
            outcomes->list[at].sum = 0;
            outcomes->list[at].size = 0;
            if (at > 2 && outcomes->list[at - 1].result == got &&
                outcomes->list[at - 2].result == got)
                return false; /* the boundary is lost, every later call says so again */
        }
    }
    return false;
}

static void run(uint8_t choice, uint8_t split, const uint8_t *bytes, size_t size,
                struct outcomes *ret_outcomes) {
    static const size_t steps[] = {1, 3, 100, PIECE_MOST};
    chappe_endpoint *endpoint;
    int ends[2];
    size_t step = steps[split % 4], batch = (split & 0x10) != 0 ? 16 : 1;
    bool goes_on = true;
    open_carrier(choice, ends, &endpoint);
    ret_outcomes->count = ret_outcomes->bytes = 0;
    for (size_t at = 0; at < size && goes_on; at += step) {
        size_t some = size - at < step ? size - at : step;
        require(write(ends[1], bytes + at, some) == (ssize_t)some, "writing");
        goes_on = take(endpoint, batch, ret_outcomes);
    }
    close(ends[1]);
    if (goes_on)
        take(endpoint, batch, ret_outcomes);
    chappe_close(endpoint, CHAPPE_NOW, NULL);
    close(ends[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct outcomes whole, pieces;
    if (size < 2)
        return 0;
    uint8_t split = size > 300 ? data[1] | 2 : data[1];
    run(data[0], 3, data + 2, size - 2, &whole);
    run(data[0], split, data + 2, size - 2, &pieces);
    require(whole.bytes <= size && pieces.bytes <= size, "no more comes out than went in");
    if ((data[0] & 0x7F) % 6 == 5)
        return 0; /* raw has no boundaries */
    size_t count = whole.count < pieces.count ? whole.count : pieces.count;
    for (size_t i = 0; i < count; i++)
        require(whole.list[i].result == pieces.list[i].result &&
                    whole.list[i].sum == pieces.list[i].sum &&
                    whole.list[i].size == pieces.list[i].size,
                "the same messages whatever the pieces");
    if (whole.count + 32 < OUTCOMES_MOST && pieces.count + 32 < OUTCOMES_MOST)
        require(whole.count == pieces.count, "as many whatever the pieces");
    return 0;
}
