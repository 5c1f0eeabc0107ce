/* SPDX-License-Identifier: MIT
 *
 * chappe request: sends a message, waits for the answer, writes it.
 *
 * It makes no name and serves nobody, so signals keep their usual effect.
 */
#include <errno.h>

#include "command.h"
#include "input.h"
#include "json.h"
#include "options.h"
#include "port.h"

#define REQUEST_REPLY_MS 10000

struct request_values {
    const char *file;
    int64_t type, timeout_ms;
    bool json;
};

const struct option_row request_options[] = {
    {.name = "file",
     .argument = "FILE",
     .summary = "ask with what is in FILE; - is standard input",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct request_values, file)},
    {.name = "type",
     .argument = "N",
     .summary = "a number that the receiver can select by",
     .kind = OPTION_NUMBER,
     .least = 1,
     .most = INT64_MAX,
     .offset = offsetof(struct request_values, type)},
    {.name = "timeout",
     .argument = "T",
     .summary = "wait that long for the other side to appear, and again for its answer "
                "(without: 2 s and 10 s)",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct request_values, timeout_ms)},
    {.name = "json",
     .summary = "write the answer as one JSON object, as receive --json does",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct request_values, json)},
    {.name = NULL}};

static int request_ask(const struct request_values *values, const struct input *input,
                       const char *address, struct output *output) {
    chappe_settings settings = {.size = sizeof settings, .type = values->type};
    int64_t reply_ms = values->timeout_ms < 0 ? REQUEST_REPLY_MS : values->timeout_ms;
    struct port port;
    chappe_message *reply = NULL;
    int status =
        port_open(&port, address, values->timeout_ms < 0 ? PORT_APPEAR_MS : values->timeout_ms);
    int outcome;

    if (status != STATUS_DONE) {
        return status;
    }
    outcome = chappe_request(port.endpoint, input->bytes, input->end, &settings,
                             chappe_in_ms(reply_ms), &reply);
    if (outcome == CHAPPE_END) {
        complain("%s: the other side closed without an answer", address);
        status = STATUS_CLOSED;
    } else if (outcome < 0) {
        status = port_failed(outcome);
    } else if (values->json) {
        json_message(output, reply);
    } else {
        output_bytes(output, reply->data, reply->size);
    }
    chappe_release(reply);
    port_close(&port);
    return status;
}

int request_run(const struct command *command, int argc, char **argv, struct output *output) {
    struct request_values values = {.timeout_ms = -1};
    struct input input;
    char **words;
    int count, status;
    int outcome = options_parse(command, argc, argv, output, &values, &words, &count);

    if (outcome != 0) {
        return outcome == OPTIONS_HELPED ? STATUS_DONE : STATUS_USAGE;
    }
    status = input_message(&input, command, words + 1, count - 1, values.file, words[0]);
    if (status == STATUS_DONE) {
        status = request_ask(&values, &input, words[0], output);
    }
    input_close(&input);
    return status;
}
