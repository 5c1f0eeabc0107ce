/* SPDX-License-Identifier: MIT
 *
 * Where the bytes of messages come from: words of the command line, a file, standard
 * input; whole, or line by line.
 */
#ifndef CHAPPE_CLI_INPUT_H
#define CHAPPE_CLI_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <chappe/chappe.h>

#include "command.h"

struct input {
    const char *name; /* for sentences */
    int descriptor;
    size_t limit; /* read no more than one byte beyond it */
    char *bytes;  /* what was read and is not yet taken: from start to end */
    size_t start, end, capacity;
    bool finished; /* there is nothing more to read */
};

/* All of them return an exit status and have said what went wrong unless it is
 * STATUS_DONE. */

/* Opens a file; NULL is standard input, which must not be a terminal, "-" is standard
 * input whatever it is. `address` is asked for the limit of its messages. */
int input_open(struct input *input, const struct command *command, const char *file,
               const char *address);

/* Reads to the end, or to one byte more than the limit: the library refuses that. */
int input_read_all(struct input *input);

/* The words, joined by blanks, or else the whole file. For input_close() in any case. */
int input_message(struct input *input, const struct command *command, char **words, int count,
                  const char *file, const char *address);

/* Fills in up to `count` items with the lines that are at hand; waits for one only if
 * there is none. 0 items: the end. They are valid until the next call. */
int input_lines(struct input *input, chappe_item *items, size_t count, size_t *ret_count);

void input_close(struct input *input);

#endif
