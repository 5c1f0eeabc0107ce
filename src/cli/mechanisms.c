/* SPDX-License-Identifier: MIT
 *
 * chappe mechanisms: what every mechanism can do, from the library's own rows.
 */
#include "mechanisms.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "help.h"
#include "json.h"
#include "manual.h"
#include "options.h"
#include "text.h"

#define MECHANISMS_SCHEME 9 /* columns for the scheme */

struct mechanisms_values {
    bool json, roff;
};

const struct option_row mechanisms_options[] = {
    {.name = "json",
     .summary = "write one JSON object a line and mechanism",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct mechanisms_values, json)},
    {.name = "roff",
     .summary = "write the manual page chappe-mechanisms(7), for man or mandoc",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct mechanisms_values, roff)},
    {.name = NULL}};

/* Heads narrow enough for a table of all capabilities; the legend gives the names. */
static const char *const mechanisms_heads[CHAPPE_CAPABILITY_COUNT] = {
    [CHAPPE_CAN_TYPE] = "type",          [CHAPPE_CAN_PRIORITY] = "prio",
    [CHAPPE_CAN_DESCRIPTORS] = "fds",    [CHAPPE_CAN_IDENTITY] = "who",
    [CHAPPE_CAN_ORDER] = "order",        [CHAPPE_CAN_MANY_SENDERS] = "n:1",
    [CHAPPE_CAN_MANY_RECEIVERS] = "1:n", [CHAPPE_CAN_REPLY] = "reply",
    [CHAPPE_CAN_DURABILITY] = "keeps",   [CHAPPE_CAN_POLL] = "poll",
    [CHAPPE_CAN_RELIABILITY] = "sure",   [CHAPPE_CAN_CROSS_MACHINES] = "net"};

static const char *mechanisms_head(size_t capability) {
    const char *head = mechanisms_heads[capability];

    return head != NULL ? head : chappe_capability_name(capability);
}

static bool mechanisms_named(const char *name, const char *scheme, size_t length) {
    return name != NULL && strlen(name) == length && strncmp(name, scheme, length) == 0;
}

const chappe_row *mechanisms_find(const char *scheme) {
    size_t length = strcspn(scheme, ":");
    const chappe_row *row;

    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++) {
        if (mechanisms_named(row->scheme, scheme, length) ||
            mechanisms_named(row->alias, scheme, length)) {
            return row;
        }
    }
    return NULL;
}

int mechanisms_unknown(const char *typed) {
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    const chappe_row *row;

    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++) {
        size_t distance = text_distance(typed, row->scheme);

        if (distance < least) {
            least = distance;
            nearest = row->scheme;
        }
    }
    if (nearest != NULL && text_near(typed, nearest, least)) {
        complain("unknown mechanism “%s”, did you mean %s? (chappe mechanisms lists them)", typed,
                 nearest);
    } else {
        complain("unknown mechanism “%s” (chappe mechanisms lists them)", typed);
    }
    return STATUS_USAGE;
}

size_t mechanisms_support(const chappe_row *row, size_t capability) {
    return capability < row->support_count ? row->support[capability] : CHAPPE_REFUSES;
}

static const char *mechanisms_mark(size_t support, bool unicode) {
    static const char *const marks[] = {
        [CHAPPE_REFUSES] = "–", [CHAPPE_CARRIES] = "○", [CHAPPE_ACTS] = "●"};
    static const char *const plain[] = {
        [CHAPPE_REFUSES] = "-", [CHAPPE_CARRIES] = "tag", [CHAPPE_ACTS] = "yes"};

    if (support >= sizeof marks / sizeof marks[0]) {
        return "?";
    }
    return unicode ? marks[support] : plain[support];
}

static void mechanisms_bold(struct output *output, const char *text, size_t width, bool right) {
    output_style(output, STYLE_BOLD);
    output_cell(output, text, width, right);
    output_style(output, STYLE_PLAIN);
}

static void mechanisms_legend(struct output *output) {
    output_format(output,
                  "%s acts on it, or it holds    %s the receiver sees it only    %s refuses\n\n",
                  mechanisms_mark(CHAPPE_ACTS, output->unicode),
                  mechanisms_mark(CHAPPE_CARRIES, output->unicode),
                  mechanisms_mark(CHAPPE_REFUSES, output->unicode));
    for (size_t i = 0; i < CHAPPE_CAPABILITY_COUNT; i++) {
        bool last = i % 3 == 2 || i + 1 == CHAPPE_CAPABILITY_COUNT;
        size_t name = output_columns(chappe_capability_name(i));

        mechanisms_bold(output, mechanisms_head(i), 6, false);
        output_text(output, chappe_capability_name(i));
        output_cell(output, "", last || name > 20 ? 0 : 20 - name, false);
        if (last) {
            output_text(output, "\n");
        }
    }
}

static void mechanisms_table(struct output *output) {
    const chappe_row *row;

    mechanisms_bold(output, "scheme", MECHANISMS_SCHEME, false);
    for (size_t i = 0; i < CHAPPE_CAPABILITY_COUNT; i++) {
        mechanisms_bold(output, mechanisms_head(i), i == 0 ? 5 : 6, true);
    }
    output_text(output, "\n");
    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++) {
        mechanisms_bold(output, row->scheme, MECHANISMS_SCHEME, false);
        for (size_t j = 0; j < CHAPPE_CAPABILITY_COUNT; j++) {
            output_cell(output, mechanisms_mark(mechanisms_support(row, j), output->unicode),
                        j == 0 ? 5 : 6, true);
        }
        output_text(output, "\n");
    }
    output_text(output, "\n");
    mechanisms_legend(output);
    output_text(output, "\n");
    mechanisms_bold(output, "What kill -9 loses", 0, false);
    output_text(output, "\n");
    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++) {
        mechanisms_bold(output, row->scheme, MECHANISMS_SCHEME, false);
        output_text(output, "of the sender:   ");
        output_wrapped(output, row->lost_with_sender, MECHANISMS_SCHEME + 17, HELP_WIDTH);
        output_cell(output, "", MECHANISMS_SCHEME, false);
        output_text(output, "of the receiver: ");
        output_wrapped(output, row->lost_with_receiver, MECHANISMS_SCHEME + 17, HELP_WIDTH);
    }
    output_text(output, "\nchappe mechanisms SCHEME tells all about one of them.\n");
}

/* "name=VALUES  what it does" as two columns. */
static void mechanisms_option(struct output *output, const char *option) {
    const char *meaning = strstr(option, "  ");
    char name[64];
    size_t length = meaning != NULL ? (size_t)(meaning - option) : strlen(option);

    snprintf(name, sizeof name, "%.*s", (int)length, option);
    output_text(output, "  ");
    mechanisms_bold(output, name, 0, false);
    output_text(output, "\n      ");
    output_wrapped(output, meaning != NULL ? meaning + strspn(meaning, " ") : "", 6, HELP_WIDTH);
}

void mechanisms_describe(const chappe_row *row, struct output *output) {
    mechanisms_bold(output, row->scheme, 0, false);
    output_text(output, ": ");
    output_wrapped(output, row->summary, strlen(row->scheme) + 2, HELP_WIDTH);
    output_format(output, "  %s\n\n", row->form);
    output_wrapped(output, row->manual, 0, HELP_WIDTH);
    if (row->options[0] != NULL) {
        output_text(output, "\n");
        mechanisms_bold(output, "Options of its own", 0, false);
        output_text(output, "\n");
    }
    for (size_t i = 0; row->options[i] != NULL; i++) {
        mechanisms_option(output, row->options[i]);
    }
    output_text(output, "\n");
    mechanisms_bold(output, "What it does", 0, false);
    output_text(output, "\n");
    for (size_t i = 0; i < CHAPPE_CAPABILITY_COUNT; i++) {
        output_text(output, "  ");
        output_cell(output, chappe_capability_name(i), 18, false);
        output_format(output, "%s\n", chappe_support_name(mechanisms_support(row, i)));
    }
    output_text(output, "\n");
    mechanisms_bold(output, "What kill -9 loses", 0, false);
    output_text(output, "\n  of the sender:   ");
    output_wrapped(output, row->lost_with_sender, 19, HELP_WIDTH);
    output_text(output, "  of the receiver: ");
    output_wrapped(output, row->lost_with_receiver, 19, HELP_WIDTH);
    if (row->trials[0] != NULL) {
        output_text(output, "\n");
        mechanisms_bold(output, "Addresses to try it with", 0, false);
        output_text(output, "\n");
    }
    for (size_t i = 0; row->trials[i] != NULL; i++) {
        output_format(output, "  %s\n", row->trials[i]);
    }
}

static void mechanisms_list(struct output *output, const char *name, const char *const *list) {
    output_format(output, ",\"%s\":[", name);
    for (size_t i = 0; list[i] != NULL; i++) {
        output_text(output, i > 0 ? "," : "");
        json_string(output, list[i]);
    }
    output_text(output, "]");
}

static void mechanisms_ways(const chappe_row *row, struct output *output) {
    static const struct {
        uint32_t way;
        const char *name;
    } ways[] = {{CHAPPE_WAY_PAIR, "pair"},
                {CHAPPE_WAY_OPEN, "open"},
                {CHAPPE_WAY_LISTEN, "listen"},
                {CHAPPE_WAY_BOTH, "both"}};
    const char *separator = "";

    output_text(output, ",\"ways\":[");
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if ((row->ways & ways[i].way) != 0) {
            output_format(output, "%s\"%s\"", separator, ways[i].name);
            separator = ",";
        }
    }
    output_text(output, "]");
}

static void mechanisms_json(const chappe_row *row, struct output *output) {
    const struct {
        const char *name, *value;
    } texts[] = {{"scheme", row->scheme},
                 {"summary", row->summary},
                 {"form", row->form},
                 {"manual", row->manual},
                 {"lost_with_sender", row->lost_with_sender},
                 {"lost_with_receiver", row->lost_with_receiver}};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        output_format(output, "%s\"%s\":", i == 0 ? "{" : ",", texts[i].name);
        json_string(output, texts[i].value);
    }
    if (row->alias != NULL) {
        output_text(output, ",\"alias\":");
        json_string(output, row->alias);
    }
    mechanisms_ways(row, output);
    mechanisms_list(output, "options", row->options);
    mechanisms_list(output, "trials", row->trials);
    output_text(output, ",\"support\":");
    for (size_t i = 0; i < CHAPPE_CAPABILITY_COUNT; i++) {
        output_text(output, i == 0 ? "{" : ",");
        json_string(output, chappe_capability_name(i));
        output_format(output, ":\"%s\"", chappe_support_name(mechanisms_support(row, i)));
    }
    output_text(output, "}}\n");
}

int mechanisms_run(const struct command *command, int argc, char **argv, struct output *output) {
    struct mechanisms_values values = {.json = false};
    const chappe_row *wanted = NULL;
    const chappe_row *row;
    char **words;
    int count;
    int outcome = options_parse(command, argc, argv, output, &values, &words, &count);

    if (outcome != 0) {
        return outcome == OPTIONS_HELPED ? STATUS_DONE : STATUS_USAGE;
    }
    if (values.roff && (values.json || count > 0)) {
        return options_wrong(command, "--roff writes the whole manual page");
    }
    if (count > 0) {
        wanted = mechanisms_find(words[0]);
        if (wanted == NULL) {
            return mechanisms_unknown(words[0]);
        }
    }
    if (values.roff) {
        manual_mechanisms(output);
    } else if (values.json) {
        for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++) {
            if (wanted == NULL || wanted == row) {
                mechanisms_json(row, output);
            }
        }
    } else if (wanted != NULL) {
        mechanisms_describe(wanted, output);
    } else {
        mechanisms_table(output);
    }
    return STATUS_DONE;
}
