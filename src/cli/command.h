/* SPDX-License-Identifier: MIT
 *
 * What a command of the program is: one row of the table in commands.c, from which
 * dispatch, help, usage and the manual page are made.
 */
#ifndef CHAPPE_CLI_COMMAND_H
#define CHAPPE_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "output.h"

/* What the program ends with. Death by signal N is 128 + N. */
enum status {
    STATUS_DONE = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    STATUS_TIMED_OUT = 3,
    STATUS_NOBODY = 4,
    STATUS_NOT_PERMITTED = 5,
    STATUS_CLOSED = 6,
    STATUS_DAMAGED = 7,
    STATUS_SIGNAL = 128
};

/* How the value of an option is read, and the type that `offset` leads to. */
enum option_kind {
    OPTION_FLAG,       /* bool */
    OPTION_TEXT,       /* const char * */
    OPTION_DURATION,   /* int64_t, milliseconds */
    OPTION_NUMBER,     /* int64_t, from `least` to `most` */
    OPTION_DESCRIPTORS /* struct descriptor_list, may be given again */
};

#define DESCRIPTORS_MAX 253

struct descriptor_list {
    int numbers[DESCRIPTORS_MAX];
    size_t count;
};

struct option_row {
    const char *name;     /* without the dashes; NULL ends the table */
    const char *argument; /* what help calls the value; NULL for a flag */
    const char *summary;
    enum option_kind kind;
    int64_t least, most; /* of a number */
    size_t offset;       /* of the value in the command's own struct */
};

struct example {
    const char *line; /* what to type; NULL ends the list */
    const char *meaning;
};

struct command {
    const char *name; /* NULL ends the table */
    const char *summary;
    const char *usage; /* what follows "chappe NAME " */
    const char *description;
    const struct example *examples;
    const struct option_row *options;
    int words_least, words_most; /* arguments that are no options */
    int (*run)(const struct command *command, int argc, char **argv, struct output *output);
};

/* Ends with a row without a name. */
extern const struct command commands[];

const struct command *command_find(const char *name);

/* The option tables, each beside the struct that it fills in. */
extern const struct option_row send_options[];
extern const struct option_row receive_options[];
extern const struct option_row echo_options[];
extern const struct option_row request_options[];
extern const struct option_row mechanisms_options[];
extern const struct option_row tour_options[];
extern const struct option_row domain_options[];
extern const struct option_row help_options[];
extern const struct option_row version_options[];

/* argv[0] is the command's name, what follows are its options and words. */
int send_run(const struct command *command, int argc, char **argv, struct output *output);
int receive_run(const struct command *command, int argc, char **argv, struct output *output);
int echo_run(const struct command *command, int argc, char **argv, struct output *output);
int request_run(const struct command *command, int argc, char **argv, struct output *output);
int mechanisms_run(const struct command *command, int argc, char **argv, struct output *output);
int tour_run(const struct command *command, int argc, char **argv, struct output *output);
int domain_run(const struct command *command, int argc, char **argv, struct output *output);
int help_run(const struct command *command, int argc, char **argv, struct output *output);
int version_run(const struct command *command, int argc, char **argv, struct output *output);

#endif
