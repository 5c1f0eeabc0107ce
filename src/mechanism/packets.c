/* SPDX-License-Identifier: MIT
 *
 * The shape of carriers of packets: receiving, making and ending. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/error.h"
#include "mechanism/body_file.h"
#include "mechanism/packets_halves.h"

#define CHUNK_LEAST ((size_t)4096)
#define CHUNK_MOST ((size_t)512 << 10)

/* ---- bringing in ---- */

static int make_room(struct packets *packets) {
    if (packets->chunk != NULL && packets->chunk->references == 1)
        packets->end = 0;
    bool small =
        packets->chunk == NULL || packets->chunk->capacity - packets->end < packets->appetite / 2;
    packets->start = packets->end;
    if (!small)
        return 0;
    struct chunk *chunk = carrier_chunk(&packets->carrier, packets->appetite);
    if (chunk == NULL)
        return -ENOMEM;
    chunk_release(packets->chunk);
    packets->chunk = chunk;
    packets->start = packets->end = 0;
    return 0;
}

/* Puts a packet of `size` bytes, of which the first `room` are in the chunk and the others in
 * the scratch, in one place. */
static int join(struct packets *packets, size_t room, size_t size) {
    uint8_t *scratch = store_scratch(packets->carrier.store);
    if (room == 0 && packets->chunk->capacity - packets->start >= size) {
        memcpy(packets->chunk->bytes + packets->start, scratch, size);
        packets->end = packets->start + size;
        return 0;
    }
    struct chunk *chunk = carrier_chunk(&packets->carrier, size);
    if (chunk == NULL)
        return -ENOMEM;
    memcpy(chunk->bytes, packets->chunk->bytes + packets->start, room);
    memcpy(chunk->bytes + room, scratch, size - room);
    chunk_release(packets->chunk);
    packets->chunk = chunk;
    packets->start = 0;
    packets->end = size;
    while (packets->appetite < 2 * size && packets->appetite < CHUNK_MOST)
        packets->appetite *= 2;
    return 0;
}

/* Nothing came in a connection: is it the end, or did a foreign program send nothing? */
static bool is_end(const struct packets *packets) {
    struct pollfd item = {.fd = packets->fd, .events = POLLRDHUP};
    return os_wait(&item, 1, 0) > 0 && (item.revents & (POLLHUP | POLLRDHUP)) != 0 &&
           os_bytes_unread(packets->fd) == 0;
}

static bool is_stranger(const struct packets *packets) {
    const struct packets_use *use = &packets->use;
    if (!use->check_uid || packets->sender.uid == use->uid)
        return false;
    return !(use->trust_root && packets->sender.verified != 0 && packets->sender.uid == 0);
}

static void forget_packet(struct packets *packets) {
    packets->start = packets->end;
    packets->fresh = false;
    if (packets->arrivals.set_count > 0)
        packets->carrier.descriptors_closed += arrivals_drop(&packets->arrivals);
}

/* What is known of a packet besides its bytes. Result: 1, or 0 if it is refused. */
static int look_at(struct packets *packets, const struct msghdr *message) {
    packets->fresh = true;
    /* A sender without a name of its own has no way back. */
    packets->way_back_size = message->msg_namelen > sizeof(sa_family_t) ? message->msg_namelen : 0;
    if (packets->use.connection || !is_stranger(packets))
        return 1;
    log_line(&packets->carrier.log, CHAPPE_LOG_WARNING,
             "%s: refused a message of uid %d (process %d)", packets->carrier.address,
             (int)packets->sender.uid, (int)packets->sender.pid);
    packets->carrier.strangers_refused++;
    forget_packet(packets);
    return 0;
}

static int store_packet(struct packets *packets, size_t room, size_t size, int flags) {
    int error = 0;
    if (size <= room)
        packets->end = packets->start + size;
    else
        error = join(packets, room, size);
    if (error == 0 && (flags & MSG_TRUNC) != 0)
        error = error_set(-EBADMSG, "%s: a packet was cut off at %zu bytes",
                          packets->carrier.address, size);
    return error;
}

/* One packet from the kernel. *ret_room: how much of it went into the chunk itself. Small
 * ones are received into the scratch: one part costs the kernel less than two, by more than
 * the copy. */
static ssize_t receive_packet(struct packets *packets, struct msghdr *message, bool block,
                              size_t *ret_room) {
    uint8_t *scratch = store_scratch(packets->carrier.store);
    if (scratch == NULL)
        return -ENOMEM;
    bool small = packets->appetite == CHUNK_LEAST;
    size_t room = small ? 0 : packets->chunk->capacity - packets->start;
    struct iovec parts[2] = {
        {.iov_base = packets->chunk->bytes + packets->start, .iov_len = room},
        {.iov_base = scratch, .iov_len = STORE_SCRATCH_SIZE},
    };
    message->msg_iov = small ? &parts[1] : parts;
    message->msg_iovlen = small ? 1 : 2;
    if (packets->use.by_address) {
        message->msg_name = packets->way_back;
        message->msg_namelen = sizeof packets->way_back;
    }
    *ret_room = room;
    return os_receive(packets->fd, message, block);
}

static int packets_receive(struct carrier *carrier, bool block) {
    struct packets *packets = (struct packets *)carrier;
    if (packets->fresh)
        return 1;
    if (packets->ended)
        return 0;
    int error = make_room(packets);
    if (error < 0)
        return error;
    _Alignas(struct cmsghdr) uint8_t control[ARRIVALS_CONTROL_SIZE];
    struct msghdr message = {.msg_control = control, .msg_controllen = sizeof control};
    size_t room;
    ssize_t got = receive_packet(packets, &message, block, &room);
    if (got == -ECONNRESET && !packets->reset) {
        /* Told before the packets that are still here: it is our turn after them. */
        packets->reset = packets->resets = true;
        got = receive_packet(packets, &message, block, &room);
    }
    if (got == -EAGAIN)
        return -EAGAIN;
    if (got < 0)
        return error_of((int)got, "%s: receiving", carrier->address);
    packets->sender = (chappe_identity){.size = sizeof packets->sender};
    arrivals_collect(&packets->arrivals, &message, &packets->sender);
    error = store_packet(packets, room, (size_t)got, message.msg_flags);
    if (error < 0) {
        forget_packet(packets);
        return error;
    }
    if (got == 0 && packets->use.connection && is_end(packets)) {
        packets->ended = true;
        chunk_release(packets->chunk); /* only the messages in it keep it */
        packets->chunk = NULL;
        packets->start = packets->end = 0;
        if (packets->resets)
            return error_of(-ECONNRESET, "%s: receiving", carrier->address);
        return 0;
    }
    return look_at(packets, &message) > 0 ? 1 : -EAGAIN;
}

/* ---- taking out ---- */

/* The body came as a file, the last of `announced` descriptors: puts a chunk of it in the
 * place of the packet's bytes. The descriptor stays where it is. */
static int fetch_body(struct packets *packets, size_t announced, uint64_t size,
                      struct message *message) {
    const struct arrivals *arrivals = &packets->arrivals;
    struct chunk *chunk = NULL;
    if (arrivals_next(arrivals) != announced)
        return 0; /* arrivals_give() says why */
    int error =
        body_file_read(&packets->carrier, arrivals->descriptors[announced - 1], size, &chunk);
    if (error < 0)
        return error;
    chunk_release(message->chunk);
    message->chunk = chunk;
    message->body.data = chunk->bytes;
    message->body.size = (size_t)size;
    return 0;
}

/* Gives a message its descriptors; the one of a body file is not for the caller. */
static int give_descriptors(struct packets *packets, size_t announced, bool has_file,
                            struct details *details) {
    if (announced == 0)
        return 0;
    int error = arrivals_give(&packets->arrivals, packets->carrier.address, announced, details);
    if (error == 0 && has_file)
        os_close(details->descriptors[--details->descriptor_count]);
    return error;
}

/* The details of a message: its envelope, its descriptors, who sent it. */
static int complete(struct packets *packets, const uint8_t *at, const struct framed *framed,
                    struct message *message) {
    const struct envelope *envelope = &framed->envelope;
    const char *name = packets->carrier.address;
    bool has_envelope = packets->carrier.terms.frame->has_envelope;
    size_t announced = has_envelope ? envelope->descriptors + (size_t)(envelope->body_file != 0)
                                    : arrivals_next(&packets->arrivals);
    bool plain = envelope_is_plain(envelope) && !envelope->has_checksum && announced == 0;
    if (plain && !packets->use.by_address && packets->sender.verified == 0)
        return 0;
    struct details *details = message_details(message);
    if (details == NULL)
        return error_of(-ENOMEM, "%s", name);
    details->envelope = *envelope;
    details->sender = packets->sender;
    if (packets->use.by_address) {
        details->way_back_size = packets->way_back_size;
        memcpy(details->way_back, packets->way_back, packets->way_back_size);
    }
    if (!envelope_is_intact(envelope, at, framed->head, message->body.data, message->body.size))
        return error_set(-EBADMSG, "%s: damaged message: the checksum does not fit", name);
    bool has_file = envelope->body_file != 0;
    int error = has_file ? fetch_body(packets, announced, envelope->body_file, message) : 0;
    return error < 0 ? error : give_descriptors(packets, announced, has_file, details);
}

/* The common case: a packet that is one plain message of a connection. */
static struct message *take_plain(struct packets *packets) {
    const struct terms *terms = &packets->carrier.terms;
    size_t have = packets->end - packets->start;
    uint8_t *at = packets->chunk->bytes + packets->start;
    if (!terms->frame->has_envelope || packets->sender.verified != 0 || packets->arrivals.count > 0)
        return NULL;
    uint32_t head = envelope_short_head(at, have, terms->limit);
    if (head == 0 || (head >> 16) + ENVELOPE_SHORT_SIZE != have)
        return NULL;
    struct message *message =
        message_create(packets->chunk, at + ENVELOPE_SHORT_SIZE, have - ENVELOPE_SHORT_SIZE);
    if (message == NULL)
        return NULL; /* take_one() says so */
    packets->start = packets->end;
    packets->fresh = false;
    return message;
}

/* One message of the packet. 0: the packet is used up. */
static int take_one(struct packets *packets, struct message **ret_message) {
    const struct terms *terms = &packets->carrier.terms;
    size_t have = packets->end - packets->start, scanned = 0;
    uint8_t *at = packets->chunk->bytes + packets->start;
    struct framed framed = {0};
    int found;
    if (have == 0 && !terms->frame->has_envelope && packets->fresh)
        found = 1; /* an empty packet of a foreign program is an empty message */
    else
        found = frame_read(terms, at, have, true, &scanned, &framed);
    if (found < 0)
        return found;
    uint64_t total = framed.head + framed.size + framed.tail;
    if (found == 0 || total > have)
        return have == 0 && !packets->fresh
                   ? 0
                   : error_set(-EBADMSG, "%s: damaged packet: its %zu bytes end within a message",
                               terms->name, have);
    struct message *message = message_create(packets->chunk, at + framed.head, (size_t)framed.size);
    if (message == NULL)
        return error_of(-ENOMEM, "%s", terms->name);
    int error = complete(packets, at, &framed, message);
    if (error < 0) {
        message_release(message);
        return error;
    }
    packets->start += (size_t)total;
    packets->fresh = packets->start < packets->end;
    *ret_message = message;
    return 1;
}

/* A packet that cannot be taken. Without memory it stays, to be tried again. Rubbish in a
 * connection is told to the receiver; anyone may send to a bound name, so there it is counted
 * and costs nobody anything. */
static int refuse(struct packets *packets, int error) {
    if (error == -ENOMEM)
        return error;
    forget_packet(packets);
    if (!packets->use.by_address || (error != -EBADMSG && error != -EMSGSIZE))
        return error;
    log_line(&packets->carrier.log, CHAPPE_LOG_WARNING, "refused: %s", error_text());
    packets->carrier.strangers_cut_off++;
    return 0;
}

static int packets_take(struct carrier *carrier, struct message **ret_messages, size_t count) {
    struct packets *packets = (struct packets *)carrier;
    size_t taken = 0;
    if (!packets->fresh && carrier->postponed == 0)
        return 0;
    int found = carrier_postponed(carrier);
    while (found >= 0 && packets->fresh && taken < count) {
        struct message *plain = take_plain(packets);
        if (plain != NULL) {
            ret_messages[taken++] = plain;
            break;
        }
        found = take_one(packets, ret_messages + taken);
        if (found < 0)
            found = refuse(packets, found);
        if (found <= 0)
            break;
        taken++;
    }
    if (!packets->fresh)
        forget_packet(packets);
    if (found < 0 && taken == 0)
        return found;
    if (found < 0)
        carrier_postpone(carrier, found);
    return (int)taken;
}

static void packets_interest(struct carrier *carrier, struct interest *ret_interest) {
    const struct packets *packets = (const struct packets *)carrier;
    *ret_interest = (struct interest){
        .in = packets->fd,
        .out = packets->use.by_address ? -1 : packets->fd, /* every asker has its own queue */
        .ready = packets->fresh || carrier->postponed != 0,
        .holding = held_is_full(packets->carrier.held),
    };
}

/* ---- ending ---- */

static void packets_undelivered(struct carrier *carrier, chappe_undelivered *ret_undelivered) {
    struct packets *packets = (struct packets *)carrier;
    chappe_undelivered left = {
        .size = sizeof left, .count = packets->dropped, .lost = packets->dropped};
    /* Memory, not messages: all that it can say for sure is “nothing”. */
    int unread = packets->sent > 0 ? os_socket_unread(packets->fd) : 0;
    if (packets->use.connection && packets->sent > 0)
        packets->reset |= os_socket_error(packets->fd) == -ECONNRESET;
    if (held_is_full(packets->carrier.held))
        left.count++;
    if (unread > 0 || packets->reset)
        left.count = packets->sent;
    if (packets->reset)
        left.lost = left.count;
    bool vague = unread < 0 || (unread == 0 && packets->sent > 0 && !packets->use.connection);
    left.certainty = vague                         ? CHAPPE_UNKNOWN /* the reader may have died */
                     : unread > 0 || left.lost > 0 ? CHAPPE_AT_MOST
                                                   : CHAPPE_EXACTLY;
    struct message *message;
    while (packets_take(carrier, &message, 1) == 1) {
        message_release(message);
        left.unread++;
    }
    *ret_undelivered = left;
}

static void packets_close(struct carrier *carrier, bool owner) {
    struct packets *packets = (struct packets *)carrier;
    carrier_release_name(carrier, owner);
    os_close(packets->fd);
    os_close(packets->file);
    chunk_release(packets->chunk);
    arrivals_free(&packets->arrivals);
    held_free(packets->carrier.held);
    carrier_end(carrier);
}

static const struct carrier_functions packets_functions = {
    .send = packets_send,
    .receive = packets_receive,
    .take = packets_take,
    .interest = packets_interest,
    .undelivered = packets_undelivered,
    .finish = packets_finish,
    .close = packets_close,
};

int packets_create(const struct opening *opening, const char *address,
                   const struct packets_use *use, int fd, struct carrier **ret_carrier) {
    struct packets *packets = calloc(1, sizeof *packets);
    int error = packets == NULL
                    ? error_of(-ENOMEM, "%s", opening->address->text)
                    : carrier_start(&packets->carrier, &packets_functions, opening, address);
    if (error < 0) {
        os_close(fd);
        free(packets);
        return error;
    }
    packets->use = *use;
    packets->fd = fd;
    packets->file = -1;
    packets->appetite = CHUNK_LEAST;
    packets->carrier.answers_by_address = use->by_address;
    *ret_carrier = &packets->carrier;
    return 0;
}
