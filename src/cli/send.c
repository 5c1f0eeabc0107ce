/* SPDX-License-Identifier: MIT
 *
 * chappe send: one message, or one a line, to an address.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "input.h"
#include "options.h"
#include "port.h"

#define SEND_LINES 1024 /* gathered for one call of the library */

struct send_values {
    const char *file;
    bool lines, stamp, bind;
    int64_t type, priority, timeout_ms;
    struct descriptor_list descriptors;
};

const struct option_row send_options[] = {
    {.name = "file",
     .argument = "FILE",
     .summary = "send what is in FILE; - is standard input",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct send_values, file)},
    {.name = "lines",
     .summary = "every line is a message of its own, without its newline",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct send_values, lines)},
    {.name = "type",
     .argument = "N",
     .summary = "a number that the receiver can select by",
     .kind = OPTION_NUMBER,
     .least = 1,
     .most = INT64_MAX,
     .offset = offsetof(struct send_values, type)},
    {.name = "priority",
     .argument = "N",
     .summary = "greater is more urgent",
     .kind = OPTION_NUMBER,
     .least = 0,
     .most = UINT32_MAX,
     .offset = offsetof(struct send_values, priority)},
    {.name = "fd",
     .argument = "N",
     .summary = "let the open descriptor N travel with the message; may be given again",
     .kind = OPTION_DESCRIPTORS,
     .offset = offsetof(struct send_values, descriptors)},
    {.name = "stamp",
     .summary = "carry the time of sending",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct send_values, stamp)},
    {.name = "timeout",
     .argument = "T",
     .summary = "wait that long for the other side to appear, to take a message and, at the "
                "end, to read all; 0 = at once (without: 2 s, for ever, 2 s)",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct send_values, timeout_ms)},
    {.name = "bind",
     .summary = "make the name, wait for one client and send to it",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct send_values, bind)},
    {.name = NULL}};

/* What is still to be told about a sender's work when it ends. */
struct send_work {
    const struct send_values *values;
    struct input input;
    chappe_settings settings;
    uint64_t sent;
};

/* Listens, takes one client, and gives the name up again. */
static int send_bind(struct port *port, const char *address, int64_t timeout_ms) {
    chappe_deadline deadline = port_deadline(timeout_ms);
    chappe_endpoint *client = NULL;
    int status = port_serve(port, address);
    chappe_wait_item item = {.endpoint = port->endpoint, .events = CHAPPE_READABLE};
    int error;

    if (status != STATUS_DONE) {
        return status;
    }
    if (!port->server) {
        /* No name was made: signals may end the program at once. */
        signals_end(&port->signals);
        return STATUS_DONE;
    }
    do {
        error = chappe_accept(port->endpoint, CHAPPE_NOW, &client);
        if (error == -EAGAIN) {
            error = signals_wait(&port->signals, &item, deadline);
            if (error == 0) {
                error = -EAGAIN;
            } else if (error == -EAGAIN) {
                error = -ETIMEDOUT;
            }
        }
    } while (error == -EAGAIN);
    if (error == SIGNALS_CAUGHT) {
        status = STATUS_SIGNAL + port->signals.caught;
    } else if (error == -ETIMEDOUT) {
        complain("%s: nobody came in time", address);
        status = STATUS_TIMED_OUT;
    } else if (error < 0) {
        status = port_failed(error);
    }
    port_close(port);
    port->endpoint = client;
    port->server = false;
    return status;
}

static int send_all(struct send_work *work, chappe_endpoint *endpoint, const chappe_item *items,
                    size_t count) {
    size_t done = 0;

    while (done < count) {
        int sent = chappe_send_batch(endpoint, items + done, count - done,
                                     port_deadline(work->values->timeout_ms));

        if (sent < 0) {
            return port_failed(sent);
        }
        done += (size_t)sent;
        work->sent += (uint64_t)sent;
    }
    return STATUS_DONE;
}

static int send_lines(struct send_work *work, chappe_endpoint *endpoint) {
    chappe_item items[SEND_LINES];
    size_t count;
    int status;

    for (size_t i = 0; i < SEND_LINES; i++) {
        items[i].settings = &work->settings;
    }
    do {
        status = input_lines(&work->input, items, SEND_LINES, &count);
        if (status == STATUS_DONE) {
            status = send_all(work, endpoint, items, count);
        }
    } while (status == STATUS_DONE && count > 0);
    return status;
}

/* Ends the work: what nobody can read any more is a failure, what the kernel holds for a
 * living other side is none. */
static int send_close(struct send_work *work, struct port *port, const char *address, int status) {
    int64_t timeout_ms = work->values->timeout_ms;
    chappe_undelivered left = {.size = sizeof left};
    static const char *const certain[] = {
        [CHAPPE_EXACTLY] = "", [CHAPPE_AT_MOST] = "up to ", [CHAPPE_UNKNOWN] = "perhaps "};

    /* Nobody has to wait for the rest after a failure that was told already. */
    (void)chappe_close(port->endpoint,
                       status == STATUS_DONE
                           ? chappe_in_ms(timeout_ms < 0 ? PORT_APPEAR_MS : timeout_ms)
                           : CHAPPE_NOW,
                       &left);
    port->endpoint = NULL;
    signals_end(&port->signals);
    if (left.lost > 0 && status < STATUS_SIGNAL) {
        complain("%s: the other side is gone; %s%" PRIu64 " of %" PRIu64
                 " messages were not read by it",
                 address, left.certainty <= CHAPPE_UNKNOWN ? certain[left.certainty] : "",
                 left.lost, work->sent);
        return status == STATUS_DONE ? STATUS_CLOSED : status;
    }
    return status;
}

static int send_begin(struct send_work *work, const struct command *command, char **words,
                      int count) {
    const struct send_values *values = work->values;

    work->settings = (chappe_settings){.size = sizeof work->settings,
                                       .type = values->type,
                                       .priority = (uint32_t)values->priority,
                                       .flags = values->stamp ? CHAPPE_STAMP : 0,
                                       .descriptors = values->descriptors.numbers,
                                       .descriptor_count = values->descriptors.count};
    if (!values->lines) {
        return input_message(&work->input, command, words + 1, count - 1, values->file, words[0]);
    }
    if (count > 1) {
        return options_wrong(command, "--lines takes its lines from --file or standard input");
    }
    if (values->descriptors.count > 0) {
        return options_wrong(command, "--fd goes with one message, not with --lines");
    }
    return input_open(&work->input, command, values->file, words[0]);
}

int send_run(const struct command *command, int argc, char **argv, struct output *output) {
    struct send_values values = {.timeout_ms = -1};
    struct send_work work = {.values = &values, .input = {.descriptor = -1}};
    struct port port;
    char **words;
    int count, status;
    int outcome = options_parse(command, argc, argv, output, &values, &words, &count);

    if (outcome != 0) {
        return outcome == OPTIONS_HELPED ? STATUS_DONE : STATUS_USAGE;
    }
    status = send_begin(&work, command, words, count);
    if (status == STATUS_DONE) {
        status = values.bind
                     ? send_bind(&port, words[0], values.timeout_ms)
                     : port_open(&port, words[0],
                                 values.timeout_ms < 0 ? PORT_APPEAR_MS : values.timeout_ms);
        if (status == STATUS_DONE) {
            chappe_item item = {
                .data = work.input.bytes, .size = work.input.end, .settings = &work.settings};

            status = values.lines ? send_lines(&work, port.endpoint)
                                  : send_all(&work, port.endpoint, &item, 1);
            status = send_close(&work, &port, words[0], status);
        }
    }
    input_close(&work.input);
    return status;
}
