/* SPDX-License-Identifier: MIT
 *
 * The two sides of operations.c, and what survivors do. */
#include "crash/scenarios/endpoints.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GREETING 150 /* numbers of messages; those of the operation begin at 0 */
#define INCOMING 160
#define EARLIER 50
#define EARLIER_COUNT 3
#define OTHERS 250 /* among survivors; in no ledger */
#define TRIALS_MOST 1024
#define PATTERN_MOST 160
#define LARGEST ((size_t)4 << 20)

static const char *describe(int result) {
    return result < 0 ? chappe_error() : "";
}

#define well(call)                                                                                 \
    do {                                                                                           \
        int result_ = (call);                                                                      \
        if (result_ < 0)                                                                           \
            crash_fail("%s: %d (%s)", #call, result_, describe(result_));                          \
    } while (0)

size_t operation_size(const struct operation *operation) {
    return operation->size != 0 ? operation->size : SMALL;
}

static bool is_server(const struct trial *trial) {
    return trial->role == ROLE_SERVER || trial->role == ROLE_ACCEPTED;
}

static bool can(const struct trial *trial, int capability) {
    return (size_t)capability < trial->row->support_count &&
           trial->row->support[capability] == CHAPPE_ACTS;
}

/* ---- the victim ---- */

/* Sent with success before the operation: they must not be lost with it. */
static void send_earlier(struct world *world) {
    struct ends *ends = ends_of(world);
    for (unsigned i = EARLIER; i < EARLIER + EARLIER_COUNT; i++) {
        ledger_begin(world, i);
        body_fill(ends->body, SMALL, i);
        well(chappe_send(ends->far, ends->body, SMALL, NULL, chappe_in_ms(SOON_MS)));
        ledger_sent(world, i);
    }
}

void ends_prepare(struct world *world) {
    struct ends *ends = ends_of(world);
    const struct trial *trial = trial_of(world);
    const struct operation *operation = trial->operation;
    size_t size = operation_size(operation);
    well(chappe_close(ends->server, CHAPPE_NOW, NULL));
    well(chappe_close(ends->near, CHAPPE_NOW, NULL));
    ends->server = ends->near = NULL;
    close(world->control[0]);
    if (!operation->bare && trial->role == ROLE_CLIENT) {
        body_fill(ends->body, SMALL, GREETING);
        well(chappe_open(ends->address, NULL, chappe_in_ms(SOON_MS), &ends->far));
        well(chappe_send(ends->far, ends->body, SMALL, NULL, chappe_in_ms(SOON_MS)));
    } else if (trial->role == ROLE_ACCEPTED || (!operation->bare && trial->role == ROLE_SERVER)) {
        chappe_endpoint **server = trial->role == ROLE_ACCEPTED ? &ends->server : &ends->far;
        well(chappe_listen(ends->address, NULL, chappe_in_ms(SOON_MS), server));
        world_tell(world, 1);
    }
    if (!operation->bare && trial->role == ROLE_ACCEPTED)
        well(chappe_accept(ends->server, chappe_in_ms(SOON_MS), &ends->far));
    if (!operation->bare && trial->role == ROLE_SERVER) {
        well(chappe_receive(ends->far, NULL, chappe_in_ms(SOON_MS), &ends->message));
        well(ends->has_token ? 0 : chappe_token_of(ends->message, &ends->token));
        chappe_release(ends->message);
        ends->message = NULL;
    }
    if (!operation->bare || trial->role == ROLE_ACCEPTED)
        world_await(world, 1);
    if (operation->outgoing > 0 && trial->role != ROLE_SERVER)
        send_earlier(world);
    for (unsigned i = 0; i < operation->outgoing; i++) {
        ledger_begin(world, i);
        body_fill(ends->body + i * size, size, i);
    }
}

/* The second victim comes from the stage, and has nothing but the address. */
void ends_recover_prepare(struct world *world) {
    struct ends *ends = ends_of(world);
    well(chappe_close(ends->server, CHAPPE_NOW, NULL));
    well(chappe_close(ends->near, CHAPPE_NOW, NULL));
    ends->server = ends->near = ends->far = NULL;
}

void ends_finish(struct world *world) {
    struct ends *ends = ends_of(world);
    chappe_release(ends->message);
    chappe_release_batch(ends->messages, BATCH);
    well(chappe_close(ends->far, chappe_in_ms(SOON_MS), NULL));
    well(chappe_close(ends->near, chappe_in_ms(SOON_MS), NULL));
    well(chappe_close(ends->server, chappe_in_ms(SOON_MS), NULL));
    for (unsigned i = 0; i < trial_of(world)->operation->outgoing; i++)
        ledger_sent(world, i);
}

/* ---- the stage ---- */

static void expand(const char *pattern, const char *directory, char *address, size_t size) {
    const char *place = strstr(pattern, "{dir}");
    int length = place != NULL ? snprintf(address, size, "%.*s%s%s", (int)(place - pattern),
                                          pattern, directory, place + strlen("{dir}"))
                               : snprintf(address, size, "%s", pattern);
    crash_need(length >= 0 && (size_t)length < size);
}

void ends_set_up(struct world *world) {
    struct ends *ends = ends_of(world);
    const struct trial *trial = trial_of(world);
    expand(trial->address, world->directory, ends->address, sizeof ends->address);
    ends->body = malloc(LARGEST);
    ends->descriptor = -1;
    crash_need(ends->body != NULL);
    if (trial->role == ROLE_PAIR && !trial->operation->bare)
        well(chappe_pair(ends->address, NULL, &ends->near, &ends->far));
    if (trial->role == ROLE_CLIENT)
        well(chappe_listen(ends->address, NULL, chappe_in_ms(SOON_MS), &ends->server));
}

/* Sends to the victim. */
static int near_send(struct world *world, unsigned number, size_t size,
                     const chappe_settings *settings, chappe_deadline deadline) {
    struct ends *ends = ends_of(world);
    body_fill(ends->body, size, number);
    if (ends->near != NULL)
        return chappe_send(ends->near, ends->body, size, settings, deadline);
    return chappe_reply(ends->server, &ends->token, ends->body, size, settings, deadline);
}

static void near_join(struct world *world) {
    struct ends *ends = ends_of(world);
    const struct trial *trial = trial_of(world);
    chappe_message *greeting;
    switch (trial->role) {
    case ROLE_PAIR:
        well(chappe_close(ends->far, CHAPPE_NOW, NULL));
        ends->far = NULL;
        break;
    case ROLE_CLIENT:
        well(chappe_receive(ends->server, NULL, chappe_in_ms(SOON_MS), &greeting));
        if (trial->row->support[CHAPPE_CAN_REPLY] != CHAPPE_REFUSES)
            well(chappe_token_of(greeting, &ends->token));
        chappe_release(greeting);
        break;
    case ROLE_SERVER:
    case ROLE_ACCEPTED:
        world_await(world, 0);
        well(chappe_open(ends->address, NULL, chappe_in_ms(SOON_MS), &ends->near));
        if (trial->role == ROLE_SERVER)
            well(near_send(world, GREETING, SMALL, NULL, chappe_in_ms(SOON_MS)));
        break;
    }
}

void ends_part(struct world *world) {
    const struct trial *trial = trial_of(world);
    const struct operation *operation = trial->operation;
    close(world->control[1]);
    if (operation->bare && trial->role != ROLE_ACCEPTED)
        return;
    near_join(world);
    chappe_settings settings = operation->ask;
    settings.size = sizeof settings;
    int descriptors[2] = {world->control[0], world->control[0]};
    if (settings.descriptor_count > 0)
        settings.descriptors = descriptors;
    for (unsigned i = 0; i < operation->incoming; i++)
        well(near_send(world, INCOMING + i, operation_size(operation), &settings,
                       chappe_in_ms(SOON_MS)));
    world_tell(world, 0);
}

/* The survivor answers what asks for it. */
static void answer(struct world *world, chappe_endpoint *endpoint, const chappe_message *message) {
    struct ends *ends = ends_of(world);
    chappe_token token;
    int64_t asks = 0;
    if (chappe_get(message, CHAPPE_IS_REQUEST, &asks) < 0 || asks == 0)
        return;
    well(chappe_token_of(message, &token));
    body_fill(ends->body, SMALL, INCOMING + ends->replied++);
    int result = chappe_reply(endpoint, &token, ends->body, SMALL, NULL, CHAPPE_NOW);
    if (result < 0 && !world->killed)
        crash_fail("reply: %d (%s)", result, chappe_error());
}

/* After the death of the victim a connection ends in one of these ways. */
static bool is_end(int result) {
    return result == CHAPPE_END || result == -ECONNRESET || result == -EPIPE ||
           result == -EBADMSG || result == -ECONNABORTED || result == -ECONNREFUSED ||
           result == -ESTALE;
}

/* A message of the victim came: once, and in the order in which it was sent. */
static void note(struct world *world, unsigned number) {
    const struct ledger *ledger = world->ledger;
    bool first = number == EARLIER || (number == 0 && ledger->state[EARLIER] == LEDGER_NOTHING);
    unsigned before = number == 0 ? EARLIER + EARLIER_COUNT - 1 : number - 1;
    if (!first && number < EARLIER + EARLIER_COUNT && ledger->received[before] == 0)
        crash_fail("message %u came before %u", number, before);
    ledger_received(world, number);
}

static bool take_one(struct world *world, chappe_deadline deadline) {
    struct ends *ends = ends_of(world);
    chappe_endpoint *endpoint = ends->near != NULL ? ends->near : ends->server;
    chappe_message *message;
    if (endpoint == NULL || ends->ended)
        return false;
    int result = chappe_receive(endpoint, NULL, deadline, &message);
    if (result == 0) {
        unsigned number = body_number(message->data, message->size);
        if (number != GREETING && number != OTHERS)
            note(world, number);
        answer(world, endpoint, message);
        chappe_release(message);
        return true;
    }
    if (is_end(result))
        ends->ended = true;
    else if (result != -EAGAIN && result != -ETIMEDOUT && result != -EBADF)
        crash_fail("receive: %d (%s)", result, chappe_error());
    return false;
}

bool ends_take(struct world *world) {
    bool any = false;
    while (take_one(world, CHAPPE_NOW))
        any = true;
    return any;
}

static void attend(struct world *world) {
    const struct operation *operation = trial_of(world)->operation;
    if (operation->attend != NULL)
        operation->attend(world);
    else
        ends_take(world);
}

/* ---- after the stroke ---- */

/* Many messages from one end of a new pair to the other. */
static void exchange_pair(struct world *world, unsigned operations) {
    struct ends *ends = ends_of(world);
    chappe_endpoint *a, *b;
    chappe_message *message;
    well(chappe_pair(ends->address, NULL, &a, &b));
    body_fill(ends->body, SMALL, OTHERS);
    for (unsigned i = 0; i < operations; i++) {
        well(chappe_send(a, ends->body, SMALL, NULL, CHAPPE_NOW));
        well(chappe_receive(b, NULL, chappe_in_ms(SOON_MS), &message));
        crash_need(body_number(message->data, message->size) == OTHERS);
        chappe_release(message);
    }
    well(chappe_close(a, CHAPPE_NOW, NULL));
    well(chappe_close(b, CHAPPE_NOW, NULL));
}

static unsigned client_operations; /* of the client that exchange_server() forks */

static void be_client(struct world *world) {
    struct ends *ends = ends_of(world);
    chappe_endpoint *client;
    well(chappe_open(ends->address, NULL, chappe_in_ms(SOON_MS), &client));
    body_fill(ends->body, SMALL, OTHERS);
    for (unsigned i = 0; i < client_operations; i++)
        well(chappe_send(client, ends->body, SMALL, NULL, chappe_in_ms(SOON_MS)));
    well(chappe_close(client, chappe_in_ms(SOON_MS), NULL));
}

/* A new client, and many messages from it to a server. */
static void exchange_server(struct world *world, chappe_endpoint *server, unsigned operations) {
    chappe_message *message;
    client_operations = operations;
    int client = world_fork(world, be_client);
    for (unsigned i = 0; i < operations;) {
        well(chappe_receive(server, NULL, chappe_in_ms(SOON_MS), &message));
        unsigned number = body_number(message->data, message->size);
        i += number == OTHERS;
        if (number != OTHERS && number != GREETING)
            note(world, number);
        if (number != OTHERS)
            answer(world, server, message);
        chappe_release(message);
    }
    world_join(client);
}

/* The victim's name: dead, another server gets it at once; alive, nobody does. */
static void take_over(struct world *world, unsigned operations) {
    struct ends *ends = ends_of(world);
    const struct trial *trial = trial_of(world);
    chappe_endpoint *server;
    if (world->stopped) {
        int result = chappe_listen(ends->address, NULL, CHAPPE_NOW, &server);
        if (result == 0)
            well(chappe_close(server, CHAPPE_NOW, NULL));
        if (result == 0 && !trial->operation->bare && !trial->operation->ends)
            crash_fail("the name of a stopped server was taken");
        return;
    }
    well(chappe_listen(ends->address, NULL, chappe_in_ms(SOON_MS), &server));
    exchange_server(world, server, operations);
    well(chappe_close(server, CHAPPE_NOW, NULL));
}

/* Sends to somebody who stands still: they succeed or are told at once to wait. */
static void send_in_vain(struct world *world, unsigned operations) {
    const struct operation *operation = trial_of(world)->operation;
    if (ends_of(world)->near == NULL || operation->incoming > 0 || operation->attend != NULL)
        return;
    for (unsigned i = 0; i < operations; i++) {
        int result = near_send(world, OTHERS, SMALL, NULL, CHAPPE_NOW);
        if (result < 0 && result != -EAGAIN && !is_end(result))
            crash_fail("send to a stopped one: %d (%s)", result, chappe_error());
        if (result == -EAGAIN)
            break;
    }
}

void ends_survive(struct world *world, unsigned operations) {
    struct ends *ends = ends_of(world);
    const struct trial *trial = trial_of(world);
    ends_take(world);
    if (world->stopped)
        send_in_vain(world, operations);
    if (trial->role == ROLE_PAIR)
        exchange_pair(world, operations);
    if (trial->role == ROLE_CLIENT)
        exchange_server(world, ends->server, operations);
    if (is_server(trial) && (world->killed || world->stopped))
        take_over(world, operations);
}

void ends_account(struct world *world) {
    struct ends *ends = ends_of(world);
    const struct trial *trial = trial_of(world);
    ends_take(world);
    /* Whoever waits on a dead one's connection is told. */
    while (ends->near != NULL && !ends->ended && can(trial, CHAPPE_CAN_RELIABILITY) &&
           trial->operation->connections) {
        bool any = take_one(world, chappe_in_ms(SOON_MS));
        if (!any && !ends->ended)
            crash_fail("the end of a dead one never came");
    }
    ledger_settle(world, trial->operation->outgoing);
}

void ends_clean_up(struct world *world) {
    struct ends *ends = ends_of(world);
    const struct trial *trial = trial_of(world);
    chappe_endpoint *server;
    well(chappe_close(ends->near, CHAPPE_NOW, NULL));
    well(chappe_close(ends->server, CHAPPE_NOW, NULL));
    /* One further open: what the dead left is gone after it. */
    if (trial->role != ROLE_PAIR) {
        well(chappe_listen(ends->address, NULL, chappe_in_ms(SOON_MS), &server));
        well(chappe_close(server, CHAPPE_NOW, NULL));
    }
    free(ends->body);
}

/* ---- the table ---- */

static const char *role_name(enum role role) {
    return role == ROLE_PAIR     ? "pair"
           : role == ROLE_CLIENT ? "client"
           : role == ROLE_SERVER ? "server"
                                 : "accepted";
}

static char *format_name(const struct trial *trial) {
    char place[96], name[160];
    /* "unix:///…/stream" is "unix.stream", "shm://trial?…&backing=posix" "shm.posix" */
    const char *leaf = strrchr(trial->pattern, '/') + 1, *last = strrchr(trial->pattern, '&');
    if (last != NULL && strchr(last, '=') != NULL)
        leaf = strchr(last, '=') + 1;
    snprintf(place, sizeof place, "%s%s%.*s", trial->row->scheme, *leaf != '\0' ? "." : "",
             (int)strcspn(leaf, "?&"), leaf);
    snprintf(name, sizeof name, "%s/%s/%s", place, role_name(trial->role), trial->operation->name);
    return strdup(name);
}

/* Spinning changes nothing that others see, and takes a tracer ages. */
static const char *without_spinning(const chappe_row *row, const char *pattern) {
    static char patterns[TRIALS_MOST][PATTERN_MOST];
    static size_t count;
    for (const char *const *option = row->options; option != NULL && *option != NULL; option++)
        if (strncmp(*option, "wait=", strlen("wait=")) == 0) {
            crash_need(count < TRIALS_MOST);
            snprintf(patterns[count], PATTERN_MOST, "%s%swait=sleep", pattern,
                     strchr(pattern, '?') != NULL ? "&" : "?");
            return patterns[count++];
        }
    return pattern;
}

static bool has_connections(const char *pattern, const char *directory) {
    char address[256];
    chappe_endpoint *server, *client;
    expand(pattern, directory, address, sizeof address);
    if (chappe_listen(address, NULL, chappe_in_ms(SOON_MS), &server) < 0)
        return false;
    int result = chappe_accept(server, CHAPPE_NOW, &client);
    chappe_close(server, CHAPPE_NOW, NULL);
    return result == -EAGAIN;
}

static unsigned roles_of(const chappe_row *row, const char *pattern, const char *directory) {
    if (strstr(pattern, "{dir}") == NULL)
        return (row->ways & CHAPPE_WAY_PAIR) != 0 ? ROLE_PAIR : 0;
    if ((row->ways & CHAPPE_WAY_LISTEN) == 0 || (row->ways & CHAPPE_WAY_OPEN) == 0)
        return 0;
    unsigned roles = ROLE_CLIENT | ROLE_SERVER;
    return has_connections(pattern, directory) ? roles | ROLE_ACCEPTED : roles;
}

static bool fits(const struct trial *trial, unsigned roles) {
    const struct operation *operation = trial->operation;
    if ((operation->roles & roles & trial->role) == 0)
        return false;
    if (operation->both && (trial->row->ways & CHAPPE_WAY_BOTH) == 0)
        return false;
    if (operation->connections && trial->role != ROLE_PAIR && (roles & ROLE_ACCEPTED) == 0)
        return false;
    return operation->needs == 0 || can(trial, operation->needs - 1);
}

static struct trial trials[TRIALS_MOST];
static struct scenario scenarios[TRIALS_MOST];

static void add(const struct trial *trial, size_t *count) {
    crash_need(*count < TRIALS_MOST);
    trials[*count] = *trial;
    scenarios[*count] = (struct scenario){.name = format_name(trial),
                                          .covers = trial->operation->covers,
                                          .context = &trials[*count],
                                          .set_up = ends_set_up,
                                          .prepare = ends_prepare,
                                          .part = ends_part,
                                          .operate = trial->operation->operate,
                                          .attend = attend,
                                          .finish = ends_finish,
                                          .recover_prepare = ends_recover_prepare,
                                          .recover = trial->operation->recover,
                                          .survive = ends_survive,
                                          .account = ends_account,
                                          .clean_up = ends_clean_up,
                                          .cost = trial->operation->cost,
                                          .rare = trial->rare};
    ++*count;
}

static void add_all(struct trial *trial, unsigned ways, size_t *count) {
    static const enum role roles[] = {ROLE_PAIR, ROLE_CLIENT, ROLE_SERVER, ROLE_ACCEPTED};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        for (size_t j = 0; j < endpoint_operation_count; j++) {
            trial->role = roles[i];
            trial->operation = &endpoint_operations[j];
            if (fits(trial, ways))
                add(trial, count);
        }
}

/* Rows that make pairs do so by their scheme alone, whatever the trials have. */
static void add_pairs(struct trial *trial, size_t *count) {
    char pattern[64];
    chappe_endpoint *a, *b;
    snprintf(pattern, sizeof pattern, "%s://", trial->row->scheme);
    if ((trial->row->ways & CHAPPE_WAY_PAIR) == 0 || strcmp(pattern, trial->row->trials[0]) == 0 ||
        chappe_pair(pattern, NULL, &a, &b) < 0)
        return;
    chappe_close(a, CHAPPE_NOW, NULL);
    chappe_close(b, CHAPPE_NOW, NULL);
    trial->pattern = strdup(pattern);
    trial->address = without_spinning(trial->row, trial->pattern);
    trial->rare = false;
    add_all(trial, ROLE_PAIR, count);
}

static const struct scenario *make(const char *directory, size_t *ret_count) {
    struct trial trial = {0};
    size_t count = 0;
    for (size_t i = 0; chappe_mechanism(i, &trial.row) == 0; i++) {
        for (const char *const *pattern = trial.row->trials; *pattern != NULL; pattern++) {
            trial.pattern = *pattern;
            trial.address = without_spinning(trial.row, *pattern);
            trial.rare = pattern != trial.row->trials;
            add_all(&trial, roles_of(trial.row, *pattern, directory), &count);
        }
        add_pairs(&trial, &count);
    }
    *ret_count = count;
    return scenarios;
}

const struct scenario_list endpoints_scenarios = {.make = make};
