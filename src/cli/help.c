/* SPDX-License-Identifier: MIT
 *
 * chappe help and chappe version, and the help of every command.
 */
#include "help.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <chappe/chappe.h>

#include "manual.h"
#include "mechanisms.h"
#include "options.h"
#include "text.h"

struct help_values {
    bool roff;
};

const struct option_row help_options[] = {
    {.name = "roff",
     .summary = "write the manual page chappe(1), for man or mandoc",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct help_values, roff)},
    {.name = NULL}};

const struct option_row version_options[] = {{.name = NULL}};

const struct exit_row help_exits[] = {
    {STATUS_DONE, "done"},
    {STATUS_FAILED, "failed"},
    {STATUS_USAGE, "wrong usage"},
    {STATUS_TIMED_OUT, "timed out"},
    {STATUS_NOBODY, "no such address, or nobody there"},
    {STATUS_NOT_PERMITTED, "not permitted"},
    {STATUS_CLOSED, "the other side closed or died, or end of file"},
    {STATUS_DAMAGED, "message too big, cut off or damaged"},
    {STATUS_SIGNAL, "and more: ended by a signal, whose number is added"},
    {0, NULL}};

static void help_heading(struct output *output, const char *text) {
    output_style(output, STYLE_BOLD);
    output_text(output, text);
    output_style(output, STYLE_PLAIN);
    output_text(output, "\n");
}

/* A name, in a column of its own, and what it means. */
static void help_pair(struct output *output, const char *name, const char *meaning, size_t column) {
    output_text(output, "  ");
    output_style(output, STYLE_BOLD);
    output_text(output, name);
    output_style(output, STYLE_PLAIN);
    if (output_columns(name) + 4 > column) {
        output_text(output, "\n");
        output_cell(output, "", column, false);
    } else {
        output_cell(output, "", column - 2 - output_columns(name), false);
    }
    output_wrapped(output, meaning, column, HELP_WIDTH);
}

void help_overview(struct output *output) {
    const chappe_row *row;

    help_heading(output, "chappe: one message interface over every way that Linux processes talk");
    output_text(output, "\n");
    help_heading(output, "Try");
    output_text(output, "  chappe receive unix:///tmp/hello &\n"
                        "  chappe send unix:///tmp/hello 'how do you do'\n"
                        "  chappe tour\n\n");
    help_heading(output, "Usage");
    output_text(output, "  chappe COMMAND [WORDS AND OPTIONS]\n\n");
    help_heading(output, "Commands");
    for (const struct command *command = commands; command->name != NULL; command++) {
        help_pair(output, command->name, command->summary, 15);
    }
    output_text(output, "\n");
    help_heading(output, "Addresses");
    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++) {
        help_pair(output, row->form, row->summary, 30);
    }
    output_text(output, "\n");
    help_heading(output, "More");
    output_text(output, "  chappe help COMMAND     examples, usage and options of a command\n"
                        "  chappe help SCHEME      a mechanism, such as unix, and its options\n"
                        "  chappe mechanisms       what every mechanism can do\n");
}

static void help_options_of(const struct command *command, struct output *output) {
    char name[64];

    help_heading(output, "Options");
    for (const struct option_row *row = command->options; row->name != NULL; row++) {
        snprintf(name, sizeof name, "--%s%s%s", row->name, row->argument != NULL ? " " : "",
                 row->argument != NULL ? row->argument : "");
        help_pair(output, name, row->summary, 18);
    }
    help_pair(output, "-h, --help", "write this", 18);
}

void help_command(const struct command *command, struct output *output) {
    output_style(output, STYLE_BOLD);
    output_format(output, "chappe %s", command->name);
    output_style(output, STYLE_PLAIN);
    output_text(output, ": ");
    output_wrapped(output, command->summary, strlen("chappe : ") + strlen(command->name),
                   HELP_WIDTH);
    output_text(output, "\n");
    help_heading(output, "Examples");
    for (const struct example *example = command->examples; example->line != NULL; example++) {
        output_format(output, "  %s\n      ", example->line);
        output_style(output, STYLE_DIM);
        output_wrapped(output, example->meaning, 6, HELP_WIDTH);
        output_style(output, STYLE_PLAIN);
    }
    output_text(output, "\n");
    help_heading(output, "Usage");
    output_format(output, "  chappe %s%s", command->name, command->usage[0] != '\0' ? " " : "");
    output_wrapped(output, command->usage, strlen("  chappe  ") + strlen(command->name),
                   HELP_WIDTH);
    output_text(output, "\n");
    output_wrapped(output, command->description, 0, HELP_WIDTH);
    output_text(output, "\n");
    help_options_of(command, output);
    output_text(output, "\n");
    help_heading(output, "Exit status");
    for (const struct exit_row *row = help_exits; row->meaning != NULL; row++) {
        output_format(output, "  %-4d ", row->status);
        output_wrapped(output, row->meaning, 7, HELP_WIDTH);
    }
}

/* Keeps the nearer name of two. */
static void help_nearer(const char *typed, const char *name, const char **nearest, size_t *least) {
    size_t distance = name != NULL ? text_distance(typed, name) : SIZE_MAX;

    if (name != NULL && strlen(typed) >= 2 && strncmp(typed, name, strlen(typed)) == 0) {
        distance = 0; /* the beginning of a name is as near as can be */
    }
    if (distance < *least) {
        *least = distance;
        *nearest = name;
    }
}

int help_unknown(const char *typed, bool schemes) {
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    const chappe_row *row;

    for (const struct command *command = commands; command->name != NULL; command++) {
        help_nearer(typed, command->name, &nearest, &least);
    }
    for (size_t i = 0; schemes && chappe_mechanism(i, &row) == 0; i++) {
        help_nearer(typed, row->scheme, &nearest, &least);
        help_nearer(typed, row->alias, &nearest, &least);
    }
    if (nearest != NULL && text_near(typed, nearest, least)) {
        complain("unknown command%s “%s”, did you mean %s? (chappe help lists them)",
                 schemes ? " or mechanism" : "", typed, nearest);
    } else {
        complain("unknown command%s “%s” (chappe help lists them)", schemes ? " or mechanism" : "",
                 typed);
    }
    return STATUS_USAGE;
}

int help_run(const struct command *command, int argc, char **argv, struct output *output) {
    struct help_values values = {.roff = false};
    char **words;
    int count;
    int outcome = options_parse(command, argc, argv, output, &values, &words, &count);

    if (outcome != 0) {
        return outcome == OPTIONS_HELPED ? STATUS_DONE : STATUS_USAGE;
    }
    if (values.roff) {
        if (count > 0) {
            return options_wrong(command, "--roff writes the whole manual page");
        }
        manual_program(output);
        return STATUS_DONE;
    }
    if (count == 0) {
        help_overview(output);
        return STATUS_DONE;
    }
    if (command_find(words[0]) != NULL) {
        help_command(command_find(words[0]), output);
        return STATUS_DONE;
    }
    if (mechanisms_find(words[0]) != NULL) {
        mechanisms_describe(mechanisms_find(words[0]), output);
        return STATUS_DONE;
    }
    return help_unknown(words[0], true);
}

int version_run(const struct command *command, int argc, char **argv, struct output *output) {
    char **words;
    int count;
    int outcome = options_parse(command, argc, argv, output, NULL, &words, &count);

    if (outcome != 0) {
        return outcome == OPTIONS_HELPED ? STATUS_DONE : STATUS_USAGE;
    }
    output_format(output, "chappe %s\n", chappe_version());
    return STATUS_DONE;
}
