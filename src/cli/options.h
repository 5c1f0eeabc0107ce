/* SPDX-License-Identifier: MIT
 *
 * Reading a command's options from its table into its own struct.
 */
#ifndef CHAPPE_CLI_OPTIONS_H
#define CHAPPE_CLI_OPTIONS_H

#include "command.h"

#define OPTIONS_MAX 16

/* Outcome of options_parse(): --help was given, and help was written. */
#define OPTIONS_HELPED 1

/* Reads argv[1] onwards by the command's table into `values` (the struct of its rows'
 * offsets). 0: *ret_words and *ret_count are the arguments that are no options, in argv
 * itself. OPTIONS_HELPED: end with success. Negative: wrong usage, and it was said. */
int options_parse(const struct command *command, int argc, char **argv, struct output *output,
                  void *values, char ***ret_words, int *ret_count);

/* Says what is wrong with the use of a command, with its usage line. STATUS_USAGE. */
int options_wrong(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
