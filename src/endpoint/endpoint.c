/* SPDX-License-Identifier: MIT
 *
 * Making, asking and closing handles. */
#include "endpoint/endpoint.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/versioned.h"
#include "endpoint/server.h"
#include "os/os.h"

/* ---- rules of every call ---- */

/* The first use of a handle that may cross a fork makes this process its owner. */
static int claim(chappe_endpoint *endpoint, uint64_t mark) {
    _Atomic(uint64_t) *owner = (_Atomic(uint64_t) *)endpoint->owner;
    uint64_t first = 0;
    /* Relaxed: only the one value in the word decides, no other memory hangs on it. */
    bool ours = atomic_compare_exchange_strong_explicit(owner, &first, mark, memory_order_relaxed,
                                                        memory_order_relaxed);
    if (!ours && first != mark)
        return error_set(-ECHILD, "%s: another process uses this end already",
                         endpoint->carrier->address);
    os_shared_word_free(endpoint->owner);
    endpoint->owner = NULL;
    endpoint->mark = mark;
    return 0;
}

int endpoint_enter_slowly(chappe_endpoint *endpoint) {
    if (endpoint == NULL)
        return error_set(-EINVAL, "the endpoint is NULL");
    uint64_t mark = os_process_mark();
    if (mark == endpoint->mark)
        return 0;
    if (endpoint->owner != NULL)
        return claim(endpoint, mark);
    return error_set(-ECHILD, "%s: opened before the fork, so it belongs to the parent process",
                     endpoint->carrier->address);
}

int endpoint_refuse_deadline(chappe_deadline deadline) {
    return error_set(-EINVAL,
                     "deadline %lld is a span, not a moment: use chappe_in_ms(), "
                     "CHAPPE_NOW or CHAPPE_FOREVER",
                     (long long)deadline);
}

bool endpoint_is_late(chappe_deadline deadline, int round) {
    return round % 16 == 0 && deadline != CHAPPE_FOREVER && os_now() >= deadline;
}

int endpoint_out_of_time(const chappe_endpoint *endpoint, int error, const char *what) {
    return error_set(error, "%s: %s%s", endpoint->carrier->address, what,
                     error == -ETIMEDOUT ? " by the deadline" : " now");
}

void endpoint_interest(chappe_endpoint *endpoint, struct interest *ret_interest) {
    struct interest interest = {.out = -1};
    if (endpoint->server != NULL) {
        server_ask_to_ring(endpoint->server);
        interest.in = server_watch(endpoint->server);
        interest.ready = server_is_ready(endpoint->server) || endpoint->carrier->postponed != 0;
    } else {
        endpoint->carrier->functions->interest(endpoint->carrier, &interest);
    }
    *ret_interest = interest;
}

/* ---- making ---- */

static void print_log(void *context, chappe_log_level level, const char *line) {
    (void)context;
    (void)level;
    os_print_error_line(line);
}

static int read_log(const chappe_options *given, struct log *ret_log) {
    chappe_options options;
    int error = versioned_read(&options, sizeof options, sizeof options, given, "chappe_options");
    if (error < 0)
        return error;
    *ret_log = (struct log){
        .function = options.log, .context = options.log_context, .level = CHAPPE_LOG_DEBUG};
    if (options.log != NULL)
        return 0;
    const char *wanted = os_environment("CHAPPE_LOG");
    if (wanted == NULL)
        return 0;
    ret_log->level = strcmp(wanted, "debug") == 0 ? CHAPPE_LOG_DEBUG : CHAPPE_LOG_WARNING;
    if (strcmp(wanted, "debug") == 0 || strcmp(wanted, "warning") == 0)
        ret_log->function = print_log;
    return 0;
}

static int own(chappe_endpoint *endpoint) {
    uint64_t mark = os_process_mark();
    if (mark == 0)
        return error_of(-ENOMEM, "%s: the page that tells processes apart",
                        endpoint->carrier->address);
    if (!endpoint->carrier->crosses_fork) {
        endpoint->mark = mark;
        return 0;
    }
    endpoint->owner = os_shared_word();
    return endpoint->owner != NULL
               ? 0
               : error_of(-ENOMEM, "%s: the word that tells the owner of an end",
                          endpoint->carrier->address);
}

int endpoint_create(struct carrier *carrier, struct store *store, chappe_endpoint **ret_endpoint) {
    chappe_endpoint *endpoint = calloc(1, sizeof *endpoint);
    int error = 0;
    if (endpoint == NULL)
        error = error_of(-ENOMEM, "%s", carrier->address);
    if (error == 0) {
        endpoint->carrier = carrier;
        endpoint->store = store;
        endpoint->log = carrier->log;
        endpoint->number = (uint64_t)os_now() ^ (uint64_t)(uintptr_t)endpoint << 16;
        endpoint->correlation = OWN_CORRELATIONS;
        endpoint->pollable.watch = endpoint->pollable.bell = -1;
        store->owner = endpoint;
        store->endpoint = endpoint->number;
        store->has_way_back = carrier->sends && !carrier->answers_by_address;
        error = own(endpoint);
    }
    if (error == 0 && carrier->functions->accept != NULL)
        error = server_create(endpoint, &endpoint->server);
    if (error < 0) {
        carrier->functions->close(carrier, true);
        if (endpoint != NULL)
            os_shared_word_free(endpoint->owner);
        free(endpoint);
        store_close(store);
        return error;
    }
    log_line(&endpoint->log, CHAPPE_LOG_DEBUG, "%s: opened", carrier->address);
    *ret_endpoint = endpoint;
    return 0;
}

/* What has to be known before anything is opened. `opening` points into *ret_address. */
static int prepare(const char *text, const chappe_options *options, struct address **ret_address,
                   struct opening *ret_opening) {
    struct opening opening = {0};
    struct address *address;
    int error = read_log(options, &opening.log);
    if (error < 0 || (error = address_parse(text, &address)) < 0)
        return error;
    opening.address = address;
    if ((error = mechanism_find(address, &opening.mechanism)) < 0 ||
        (error = address_check_options(address, opening.mechanism->row.options)) < 0 ||
        (error = frame_terms(address, &opening.terms)) < 0) {
        free(address);
        return error;
    }
    *ret_address = address;
    *ret_opening = opening;
    return 0;
}

typedef int open_function(const struct opening *opening, struct carrier **ret_carrier);

static bool nobody_yet(int error) {
    return error == -ENOENT || error == -ECONNREFUSED || error == -EAGAIN;
}

/* Calls `open` until somebody is there. There is no event for “a socket appeared” that works
 * on every file system, so this looks again, ever more rarely. */
static int keep_trying(open_function *open, const struct opening *opening, chappe_deadline deadline,
                       struct carrier **ret_carrier) {
    int64_t pause = 1000000;
    for (;;) {
        int error = open(opening, ret_carrier);
        int64_t left = deadline == CHAPPE_NOW ? 0 : deadline - os_now();
        if (!nobody_yet(error) || left <= 0)
            return error == -EAGAIN && deadline != CHAPPE_NOW ? -ETIMEDOUT : error;
        os_pause(-1, left < pause ? left : pause);
        pause = pause < 16000000 ? pause * 2 : pause;
    }
}

static int no_way(const struct opening *opening, const char *what) {
    return error_set(-ENOTSUP, "%s: %s:// cannot %s; see `chappe help %s`", opening->address->text,
                     opening->mechanism->row.scheme, what, opening->mechanism->row.scheme);
}

static int open_one(const char *text, const chappe_options *options, chappe_deadline deadline,
                    bool listens, chappe_endpoint **ret_endpoint) {
    struct address *address;
    struct opening opening;
    int error = endpoint_check_deadline(deadline);
    if (error < 0 || (error = prepare(text, options, &address, &opening)) < 0)
        return error;
    open_function *open = listens ? opening.mechanism->listen : opening.mechanism->open;
    struct carrier *carrier;
    opening.store = store_create();
    if (open == NULL)
        error = no_way(&opening, listens ? "be listened on" : "be opened");
    else if (opening.store == NULL)
        error = error_of(-ENOMEM, "%s", text);
    else
        error = keep_trying(open, &opening, listens ? CHAPPE_NOW : deadline, &carrier);
    if (error < 0)
        store_close(opening.store);
    else
        error = endpoint_create(carrier, opening.store, ret_endpoint);
    free(address);
    return error;
}

int chappe_open(const char *address, const chappe_options *options, chappe_deadline deadline,
                chappe_endpoint **ret_endpoint) {
    if (ret_endpoint == NULL)
        return error_set(-EINVAL, "ret_endpoint is NULL");
    return open_one(address, options, deadline, false, ret_endpoint);
}

int chappe_listen(const char *address, const chappe_options *options, chappe_deadline deadline,
                  chappe_endpoint **ret_endpoint) {
    if (ret_endpoint == NULL)
        return error_set(-EINVAL, "ret_endpoint is NULL");
    return open_one(address, options, deadline, true, ret_endpoint);
}

static int pair(struct opening *opening, chappe_endpoint **ret_a, chappe_endpoint **ret_b) {
    struct opening second = *opening;
    struct carrier *carriers[2];
    if (opening->mechanism->pair == NULL)
        return no_way(opening, "be made as a pair");
    opening->store = store_create();
    second.store = store_create();
    int error = opening->store == NULL || second.store == NULL
                    ? error_of(-ENOMEM, "%s", opening->address->text)
                    : opening->mechanism->pair(opening, &second, &carriers[0], &carriers[1]);
    if (error < 0) {
        store_close(opening->store);
        store_close(second.store);
        return error;
    }
    chappe_endpoint *a, *b;
    error = endpoint_create(carriers[0], opening->store, &a);
    if (error < 0) {
        carriers[1]->functions->close(carriers[1], true);
        store_close(second.store);
        return error;
    }
    error = endpoint_create(carriers[1], second.store, &b);
    if (error < 0) {
        chappe_close(a, CHAPPE_NOW, NULL);
        return error;
    }
    *ret_a = a;
    *ret_b = b;
    return 0;
}

int chappe_pair(const char *text, const chappe_options *options, chappe_endpoint **ret_a,
                chappe_endpoint **ret_b) {
    if (ret_a == NULL || ret_b == NULL)
        return error_set(-EINVAL, "ret_a or ret_b is NULL");
    struct address *address;
    struct opening opening;
    int error = prepare(text, options, &address, &opening);
    if (error < 0)
        return error;
    error = pair(&opening, ret_a, ret_b);
    free(address);
    return error;
}

/* ---- asking ---- */

const char *chappe_address(const chappe_endpoint *endpoint) {
    return endpoint != NULL ? endpoint->carrier->address : "";
}

int chappe_supports(const chappe_endpoint *endpoint, size_t capability) {
    if (endpoint == NULL || capability >= CHAPPE_CAPABILITY_COUNT)
        return error_set(-EINVAL, "capability %zu is not one", capability);
    const chappe_row *row = &endpoint->carrier->mechanism->row;
    bool metadata = capability == CHAPPE_CAN_TYPE || capability == CHAPPE_CAN_PRIORITY;
    if (metadata && !endpoint->carrier->terms.frame->has_envelope)
        return CHAPPE_REFUSES;
    return capability < row->support_count ? row->support[capability] : CHAPPE_REFUSES;
}

int chappe_peer_identity(const chappe_endpoint *endpoint, chappe_identity *ret_identity) {
    if (endpoint == NULL || ret_identity == NULL)
        return error_set(-EINVAL, "endpoint or ret_identity is NULL");
    if (endpoint->server != NULL || endpoint->carrier->answers_by_address)
        return error_set(-ENOTCONN, "%s: a server has many peers; ask chappe_sender()",
                         endpoint->carrier->address);
    if (endpoint->carrier->peer.verified == 0)
        return error_set(-ENOTSUP, "%s: the kernel does not tell who is on the other side",
                         endpoint->carrier->address);
    return versioned_write(ret_identity, sizeof *ret_identity, IDENTITY_LEAST,
                           &endpoint->carrier->peer, "chappe_identity");
}

int chappe_get_statistics(const chappe_endpoint *endpoint, chappe_statistics *ret_statistics) {
    if (endpoint == NULL || ret_statistics == NULL)
        return error_set(-EINVAL, "endpoint or ret_statistics is NULL");
    chappe_statistics numbers = endpoint->numbers;
    const struct carrier *carrier = endpoint->carrier;
    numbers.clients_refused += carrier->strangers_refused;
    numbers.clients_cut_off += carrier->strangers_cut_off;
    numbers.descriptors_closed += carrier->descriptors_closed;
    if (endpoint->server != NULL) {
        numbers.clients = server_client_count(endpoint->server);
        numbers.descriptors_closed += server_descriptors_closed(endpoint->server);
    }
    return versioned_write(ret_statistics, sizeof numbers, sizeof numbers, &numbers,
                           "chappe_statistics");
}

/* ---- closing ---- */

int chappe_finish(chappe_endpoint *endpoint, chappe_deadline deadline) {
    int error = endpoint_enter(endpoint);
    if (error < 0 || (error = endpoint_check_deadline(deadline)) < 0)
        return error;
    struct carrier *carrier = endpoint->carrier;
    if (carrier->functions->finish == NULL || !carrier->sends)
        return error_set(-ENOTSUP, "%s: there is no sending direction to end", carrier->address);
    struct room_wait wait = ROOM_WAIT;
    while ((error = carrier->functions->send(carrier, NULL, SEND_TRY)) == -EAGAIN) {
        int ready = deadline == CHAPPE_NOW ? -EAGAIN : send_wait_for_room(carrier, deadline, &wait);
        if (ready < 0)
            return endpoint_out_of_time(endpoint, ready, "held output could not be passed on");
    }
    if (error == 0) {
        pollable_forget_out(endpoint);
        error = carrier->functions->finish(carrier);
    }
    pollable_settle(endpoint);
    return error;
}

static void look(chappe_endpoint *endpoint, chappe_undelivered *ret_undelivered) {
    send_held(endpoint);
    if (endpoint->server != NULL)
        server_undelivered(endpoint->server, ret_undelivered);
    else
        endpoint->carrier->functions->undelivered(endpoint->carrier, ret_undelivered);
}

/* Waits until the other side has taken everything. The kernel has no event for that, so this
 * looks again, ever more rarely, and at once when the other side goes away. */
static void drain(chappe_endpoint *endpoint, chappe_deadline deadline,
                  chappe_undelivered *ret_undelivered) {
    uint64_t unread = 0;
    int64_t pause = 20000;
    for (;;) {
        look(endpoint, ret_undelivered);
        unread += ret_undelivered->unread; /* looking takes them */
        int64_t left = deadline == CHAPPE_NOW ? 0 : deadline - os_now();
        if (ret_undelivered->count <= ret_undelivered->lost || left <= 0)
            break;
        struct interest interest;
        endpoint_interest(endpoint, &interest);
        /* An ended direction looks broken all the time: it cannot wake us. */
        os_pause(endpoint->carrier->sends ? interest.out : -1, left < pause ? left : pause);
        pause = pause < 4000000 ? pause * 2 : pause;
    }
    ret_undelivered->unread = unread;
}

static void release_aside(chappe_endpoint *endpoint) {
    while (endpoint->aside.first != NULL) {
        struct message *message = endpoint->aside.first;
        message_remove(&endpoint->aside, NULL, message);
        message_release(message);
    }
}

static bool is_owner(const chappe_endpoint *endpoint) {
    uint64_t mark = os_process_mark();
    if (endpoint->owner == NULL)
        return endpoint->mark == mark;
    return false; /* never used here: nothing of ours is under way */
}

int chappe_close(chappe_endpoint *endpoint, chappe_deadline deadline,
                 chappe_undelivered *ret_undelivered) {
    if (endpoint == NULL)
        return 0;
    chappe_undelivered left = {.size = sizeof left};
    int result = endpoint_check_deadline(deadline);
    bool owner = is_owner(endpoint);
    if (owner) {
        uint64_t aside = endpoint->aside.count;
        drain(endpoint, result < 0 ? CHAPPE_NOW : deadline, &left);
        left.unread += aside;
        log_line(&endpoint->log, CHAPPE_LOG_DEBUG, "%s: closed, %llu undelivered, %llu unread",
                 endpoint->carrier->address, (unsigned long long)left.count,
                 (unsigned long long)left.unread);
    }
    release_aside(endpoint);
    pollable_close(endpoint);
    if (endpoint->server != NULL)
        server_close(endpoint->server, owner);
    endpoint->carrier->functions->close(endpoint->carrier, owner);
    os_shared_word_free(endpoint->owner);
    if (endpoint->reserved != NULL)
        endpoint->reserved->details->reservation->endpoint = NULL;
    store_close(endpoint->store);
    free(endpoint);
    if (ret_undelivered != NULL) {
        int error =
            versioned_write(ret_undelivered, sizeof left, sizeof left, &left, "chappe_undelivered");
        result = result < 0 ? result : error;
    }
    return result;
}
