/* SPDX-License-Identifier: MIT
 *
 * chappe echo: answers each message with itself, any number of clients, until a signal.
 */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "port.h"

#define ECHO_REPLY_MS 250 /* what a client that does not take its answers costs the others */
#define ECHO_LOOK 64      /* messages between two looks at the signals */

/* Outcome of one message: it could not be answered. */
#define ECHO_UNANSWERED 2

struct echo_values {
    bool connect, quiet;
    int64_t count;
};

const struct option_row echo_options[] = {
    {.name = "connect",
     .summary = "use the address that somebody else serves",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct echo_values, connect)},
    {.name = "count",
     .argument = "N",
     .summary = "end after N messages",
     .kind = OPTION_NUMBER,
     .least = 1,
     .most = INT64_MAX,
     .offset = offsetof(struct echo_values, count)},
    {.name = "quiet",
     .summary = "do not say on standard error what is listened on",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct echo_values, quiet)},
    {.name = NULL}};

/* Copies what came with a message into the settings of its answer. */
static void echo_settings(chappe_message *message, chappe_settings *settings, int *descriptors) {
    int64_t value;
    int descriptor;

    if (chappe_get(message, CHAPPE_TYPE, &value) == 0) {
        settings->type = value;
    }
    if (chappe_get(message, CHAPPE_PRIORITY, &value) == 0) {
        settings->priority = (uint32_t)value;
    }
    settings->descriptors = descriptors;
    for (size_t i = 0; i < CHAPPE_DESCRIPTORS_MAX; i++) {
        descriptor = chappe_take_fd(message, i);
        if (descriptor < 0) {
            break;
        }
        descriptors[settings->descriptor_count] = descriptor;
        settings->descriptor_count++;
    }
}

/* Sends an answer, waiting a little for its asker. As chappe_reply(), or SIGNALS_CAUGHT. */
static int echo_reply(struct port *port, const chappe_token *token, const chappe_message *message,
                      const chappe_settings *settings) {
    const chappe_wait_item item = {
        .endpoint = port->endpoint, .events = CHAPPE_WRITABLE, .token = token};
    chappe_deadline deadline = port->server ? chappe_in_ms(ECHO_REPLY_MS) : CHAPPE_FOREVER;

    for (;;) {
        int error =
            chappe_reply(port->endpoint, token, message->data, message->size, settings, CHAPPE_NOW);

        if (error != -EAGAIN) {
            return error;
        }
        error = signals_wait(&port->signals, &item, deadline);
        if (error != 0) {
            return error;
        }
    }
}

static int echo_answer(struct port *port, chappe_message *message) {
    chappe_settings settings = {.size = sizeof settings};
    int descriptors[CHAPPE_DESCRIPTORS_MAX];
    chappe_token token;
    int error;

    echo_settings(message, &settings, descriptors);
    error = chappe_token_of(message, &token);
    if (error == 0) {
        error = echo_reply(port, &token, message, &settings);
    }
    for (size_t i = 0; i < settings.descriptor_count; i++) {
        close(descriptors[i]);
    }
    return error;
}

/* One message. 0, ECHO_UNANSWERED, CHAPPE_END, or a negative errno value that ends the
 * command; a signal is in port->signals. */
static int echo_one(struct port *port) {
    chappe_message *message;
    int error = chappe_receive(port->endpoint, NULL, CHAPPE_NOW, &message);

    if (error < 0 && error != -EAGAIN && port_survives(port, error)) {
        return ECHO_UNANSWERED;
    }
    if (error != 0) {
        return error;
    }
    port_survives(port, 0);
    error = echo_answer(port, message);
    chappe_release(message);
    if (error == SIGNALS_CAUGHT) {
        return ECHO_UNANSWERED;
    }
    if (error < 0 && port->server) {
        /* One client's trouble; the others are served. */
        complain("warning: not answered: %s", chappe_error());
        return ECHO_UNANSWERED;
    }
    return error;
}

static int echo_all(const struct echo_values *values, struct port *port, int64_t *ret_count) {
    const chappe_wait_item item = {.endpoint = port->endpoint, .events = CHAPPE_READABLE};

    while (*ret_count < values->count && port->signals.caught == 0) {
        int outcome = echo_one(port);

        if (outcome == -EAGAIN) {
            outcome = signals_wait(&port->signals, &item, CHAPPE_FOREVER);
            if (outcome < 0) {
                return outcome;
            }
            continue;
        }
        if (outcome < 0 || outcome == CHAPPE_END) {
            return outcome;
        }
        *ret_count += outcome == 0;
        if (outcome != 0 || *ret_count % ECHO_LOOK == 0) {
            (void)signals_caught(&port->signals);
        }
    }
    return 0;
}

int echo_run(const struct command *command, int argc, char **argv, struct output *output) {
    struct echo_values values = {.count = 0};
    struct port port;
    int64_t answered = 0;
    char **words;
    int count, status;
    int outcome = options_parse(command, argc, argv, output, &values, &words, &count);

    if (outcome != 0) {
        return outcome == OPTIONS_HELPED ? STATUS_DONE : STATUS_USAGE;
    }
    if (values.count == 0) {
        values.count = INT64_MAX;
    }
    status = port_begin(&port, words[0], values.connect, PORT_APPEAR_MS);
    if (status != STATUS_DONE) {
        return status;
    }
    if (!values.quiet) {
        complain("echo: %s %s", port.server ? "listening on" : "answering on",
                 chappe_address(port.endpoint));
    }
    outcome = echo_all(&values, &port, &answered);
    if (port.signals.caught != 0) {
        status = STATUS_SIGNAL + port.signals.caught;
    } else if (outcome < 0) {
        status = port_failed(outcome);
    } else if (outcome == CHAPPE_END && values.count != INT64_MAX) {
        complain("%s: the other side closed after %" PRId64 " of %" PRId64 " messages", words[0],
                 answered, values.count);
        status = STATUS_CLOSED;
    }
    port_close(&port);
    return status;
}
