/* SPDX-License-Identifier: MIT
 *
 * chappe receive: messages from an address to standard output.
 */
#include <errno.h>
#include <inttypes.h>

#include "command.h"
#include "json.h"
#include "options.h"
#include "port.h"

#define RECEIVE_BATCH 64

struct receive_values {
    int64_t count, type, timeout_ms;
    bool follow, lines, json, connect;
};

const struct option_row receive_options[] = {
    {.name = "count",
     .argument = "N",
     .summary = "end after N messages instead of one",
     .kind = OPTION_NUMBER,
     .least = 1,
     .most = INT64_MAX,
     .offset = offsetof(struct receive_values, count)},
    {.name = "follow",
     .summary = "go on until a signal, or until the other side ends",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct receive_values, follow)},
    {.name = "lines",
     .summary = "write a newline after each message",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct receive_values, lines)},
    {.name = "json",
     .summary = "write an object a line: size, type, priority, sender, sequence, time, client, "
                "descriptors, body (body_base64 where it is not UTF-8)",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct receive_values, json)},
    {.name = "type",
     .argument = "N",
     .summary = "only messages of this type; 0 = those without one",
     .kind = OPTION_NUMBER,
     .least = 0,
     .most = INT64_MAX,
     .offset = offsetof(struct receive_values, type)},
    {.name = "timeout",
     .argument = "T",
     .summary = "give up when no message came for that long (without: never); with --connect "
                "also how long to wait for the other side to appear (without: 2 s)",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct receive_values, timeout_ms)},
    {.name = "connect",
     .summary = "use the address that somebody else serves",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct receive_values, connect)},
    {.name = NULL}};

/* How the receiving ended, where that is no errno value. */
enum receive_end {
    RECEIVE_ENOUGH = 0,
    RECEIVE_SIGNAL = 1,
    RECEIVE_CLOSED = 2,
    RECEIVE_UNHEARD = 3
};

static void receive_write(const struct receive_values *values, struct output *output,
                          const chappe_message *message) {
    if (values->json) {
        json_message(output, message);
        return;
    }
    output_bytes(output, message->data, message->size);
    if (values->lines) {
        output_text(output, "\n");
    }
}

/* Takes what is there, waiting for the first. Result: how many messages, or 0 and how it
 * ended, or a negative errno value. */
static int receive_some(const struct receive_values *values, struct port *port,
                        struct output *output, chappe_message **messages, size_t count,
                        enum receive_end *ret_end) {
    const chappe_filter by_type = {
        .size = sizeof by_type, .type_match = CHAPPE_TYPE_IS, .type = values->type};
    const chappe_filter *filter = values->type >= 0 ? &by_type : NULL;
    const chappe_wait_item item = {
        .endpoint = port->endpoint, .events = CHAPPE_READABLE, .filter = filter};
    chappe_deadline deadline = port_deadline(values->timeout_ms);

    for (;;) {
        int received = chappe_receive_batch(port->endpoint, filter, CHAPPE_NOW, messages, count);
        int outcome;

        if (received > 0) {
            port_survives(port, 0);
            return received;
        }
        if (received == 0) {
            *ret_end = RECEIVE_CLOSED;
            return 0;
        }
        if (received != -EAGAIN && port_survives(port, received)) {
            continue;
        }
        if (received != -EAGAIN) {
            return received;
        }
        /* Nothing more at hand: whoever reads the output gets what there is so far. */
        if (output_flush(output) < 0) {
            *ret_end = RECEIVE_UNHEARD;
            return 0;
        }
        outcome = signals_wait(&port->signals, &item, deadline);
        if (outcome > 0) {
            *ret_end = outcome == SIGNALS_CAUGHT ? RECEIVE_SIGNAL : RECEIVE_UNHEARD;
            return 0;
        }
        if (outcome < 0) {
            return outcome;
        }
    }
}

static int receive_all(const struct receive_values *values, struct port *port,
                       struct output *output, int64_t *ret_count) {
    enum receive_end end = RECEIVE_ENOUGH;

    while (*ret_count < values->count && end == RECEIVE_ENOUGH) {
        chappe_message *messages[RECEIVE_BATCH];
        int64_t missing = values->count - *ret_count;
        size_t most = missing < RECEIVE_BATCH ? (size_t)missing : RECEIVE_BATCH;
        int received = receive_some(values, port, output, messages, most, &end);

        if (received < 0) {
            return received;
        }
        for (int i = 0; i < received; i++) {
            receive_write(values, output, messages[i]);
        }
        chappe_release_batch(messages, (size_t)received);
        *ret_count += received;
        if (output->error < 0) {
            end = RECEIVE_UNHEARD;
        } else if (signals_caught(&port->signals) && *ret_count < values->count) {
            end = RECEIVE_SIGNAL;
        }
    }
    return (int)end;
}

static int receive_status(const struct receive_values *values, const struct port *port,
                          const struct output *output, const char *address, int outcome,
                          int64_t count) {
    if (outcome == RECEIVE_SIGNAL) {
        return STATUS_SIGNAL + port->signals.caught;
    }
    if (outcome == -ETIMEDOUT || outcome == -EAGAIN) {
        complain("%s: no message came within %" PRId64 " ms", address, values->timeout_ms);
        return STATUS_TIMED_OUT;
    }
    if (outcome < 0) {
        return port_failed(outcome);
    }
    if (outcome == RECEIVE_UNHEARD) {
        /* A failed write decides itself, in output_finish(). */
        return output->error < 0 ? STATUS_DONE : STATUS_CLOSED;
    }
    if (outcome == RECEIVE_CLOSED && !values->follow) {
        complain("%s: the other side closed after %" PRId64 " of %" PRId64 " messages", address,
                 count, values->count);
        return STATUS_CLOSED;
    }
    return STATUS_DONE;
}

int receive_run(const struct command *command, int argc, char **argv, struct output *output) {
    struct receive_values values = {.count = 0, .type = -1, .timeout_ms = -1};
    struct port port;
    int64_t received = 0;
    char **words;
    int count, status;
    int outcome = options_parse(command, argc, argv, output, &values, &words, &count);

    if (outcome != 0) {
        return outcome == OPTIONS_HELPED ? STATUS_DONE : STATUS_USAGE;
    }
    if (values.follow && values.count > 0) {
        return options_wrong(command, "either --count or --follow, not both");
    }
    if (values.lines && values.json) {
        return options_wrong(command, "either --lines or --json, not both");
    }
    if (values.count == 0) {
        values.count = values.follow ? INT64_MAX : 1;
    }
    status = port_begin(&port, words[0], values.connect,
                        values.timeout_ms < 0 ? PORT_APPEAR_MS : values.timeout_ms);
    if (status != STATUS_DONE) {
        return status;
    }
    port.signals.reader = output_pipe(output);
    outcome = receive_all(&values, &port, output, &received);
    /* What was received is written whatever happened then. */
    (void)output_flush(output);
    status = receive_status(&values, &port, output, words[0], outcome, received);
    port_close(&port);
    return status;
}
