/* SPDX-License-Identifier: MIT
 *
 * What the program says about itself, all of it made from the table of commands and
 * the library's table of mechanisms.
 */
#ifndef CHAPPE_CLI_HELP_H
#define CHAPPE_CLI_HELP_H

#include "command.h"

/* The width that listings keep to. */
#define HELP_WIDTH 80

/* One line a command. */
void help_overview(struct output *output);

/* Examples first, then usage, description and options. */
void help_command(const struct command *command, struct output *output);

/* Says that there is no such command (or, with `schemes`, mechanism), and which was probably
 * meant. STATUS_USAGE. */
int help_unknown(const char *typed, bool schemes);

struct exit_row {
    int status;
    const char *meaning; /* NULL ends */
};

extern const struct exit_row help_exits[];

#endif
