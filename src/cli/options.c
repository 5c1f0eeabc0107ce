/* SPDX-License-Identifier: MIT
 *
 * Options: getopt_long() finds them, the command's table says what they are.
 */
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "help.h"
#include "text.h"

/* What getopt_long() gives for the first row; no character. */
#define OPTIONS_FIRST 256

int options_wrong(const struct command *command, const char *format, ...) {
    struct output output;
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    complain("%s: %s", command->name, text);
    output_begin(&output, STDERR_FILENO);
    output_format(&output, "usage: chappe %s%s", command->name,
                  command->usage[0] != '\0' ? " " : "");
    output_wrapped(&output, command->usage, strlen("usage: chappe  ") + strlen(command->name),
                   HELP_WIDTH);
    output_format(&output, "       chappe help %s tells more\n", command->name);
    (void)output_flush(&output);
    return STATUS_USAGE;
}

static int options_descriptor(const struct command *command, const char *text,
                              struct descriptor_list *list) {
    int64_t number;

    if (text_number(text, 0, INT32_MAX, &number) < 0) {
        options_wrong(command, "--fd wants the number of an open descriptor, not “%s”", text);
        return -EINVAL;
    }
    if (fcntl((int)number, F_GETFD) < 0) {
        options_wrong(command, "descriptor %d is not open here", (int)number);
        return -EINVAL;
    }
    if (list->count == DESCRIPTORS_MAX) {
        options_wrong(command, "at most %d descriptors travel with one message", DESCRIPTORS_MAX);
        return -EINVAL;
    }
    list->numbers[list->count] = (int)number;
    list->count++;
    return 0;
}

static int options_take(const struct command *command, const struct option_row *row,
                        const char *text, void *values) {
    void *value = (char *)values + row->offset;

    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)value = true;
        return 0;
    case OPTION_TEXT:
        *(const char **)value = text;
        return 0;
    case OPTION_DURATION:
        if (text_duration(text, value) < 0) {
            options_wrong(command, "--%s wants a duration such as 250ms, 2s or 1m, not “%s”",
                          row->name, text);
            return -EINVAL;
        }
        return 0;
    case OPTION_NUMBER:
        if (text_number(text, row->least, row->most, value) < 0) {
            options_wrong(command, "--%s wants a number from %" PRId64 " to %" PRId64 ", not “%s”",
                          row->name, row->least, row->most, text);
            return -EINVAL;
        }
        return 0;
    case OPTION_DESCRIPTORS:
        return options_descriptor(command, text, value);
    }
    return -EINVAL;
}

/* Says which option was meant by one that does not exist. */
static void options_unknown(const struct command *command, const char *typed) {
    const struct option_row *nearest = NULL;
    size_t least = SIZE_MAX;
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)strcspn(typed, "="), typed);
    for (const struct option_row *row = command->options; row->name != NULL; row++) {
        size_t distance = text_distance(name + strspn(name, "-"), row->name);

        if (distance < least) {
            least = distance;
            nearest = row;
        }
    }
    if (nearest != NULL && text_near(name + strspn(name, "-"), nearest->name, least)) {
        options_wrong(command, "unknown option %s, did you mean --%s?", name, nearest->name);
    } else {
        options_wrong(command, "unknown option %s", name);
    }
}

static void options_table(const struct command *command, struct option *table) {
    size_t count = 0;

    for (const struct option_row *row = command->options; row->name != NULL; row++, count++) {
        table[count] =
            (struct option){.name = row->name,
                            .has_arg = row->argument != NULL ? required_argument : no_argument,
                            .val = OPTIONS_FIRST + (int)count};
    }
    table[count] = (struct option){.name = "help", .val = 'h'};
    table[count + 1] = (struct option){.name = NULL};
}

/* An option that getopt_long() gave back as wrong. */
static int options_refuse(const struct command *command, int outcome, char **argv) {
    if (outcome == ':') {
        options_wrong(command, "%s needs a value", argv[optind - 1]);
    } else if (optopt != 0 && strncmp(argv[optind - 1], "--", 2) != 0) {
        options_wrong(command, "unknown option -%c", optopt);
    } else if (optopt != 0) {
        options_wrong(command, "%.*s takes no value", (int)strcspn(argv[optind - 1], "="),
                      argv[optind - 1]);
    } else {
        options_unknown(command, argv[optind - 1]);
    }
    return -EINVAL;
}

int options_parse(const struct command *command, int argc, char **argv, struct output *output,
                  void *values, char ***ret_words, int *ret_count) {
    struct option table[OPTIONS_MAX + 2];
    int count;

    options_table(command, table);
    opterr = 0;
    for (;;) {
        int outcome;

        optopt = 0;
        outcome = getopt_long(argc, argv, ":h", table, NULL);
        if (outcome == -1) {
            break;
        }
        if (outcome == 'h') {
            help_command(command, output);
            return OPTIONS_HELPED;
        }
        if (outcome < OPTIONS_FIRST) {
            return options_refuse(command, outcome, argv);
        }
        if (options_take(command, &command->options[outcome - OPTIONS_FIRST], optarg, values) < 0) {
            return -EINVAL;
        }
    }
    count = argc - optind;
    if (count < command->words_least) {
        options_wrong(command, "the %.*s is missing", (int)strcspn(command->usage, " "),
                      command->usage);
        return -EINVAL;
    }
    if (count > command->words_most) {
        options_wrong(command, "“%s” is one argument too many", argv[optind + command->words_most]);
        return -EINVAL;
    }
    *ret_words = argv + optind;
    *ret_count = count;
    return 0;
}
