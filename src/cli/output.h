/* SPDX-License-Identifier: MIT
 *
 * Writing: data to standard output with every write checked, words for people to
 * standard error. Nothing here can be forgotten: the first failure sticks and decides
 * the exit status in output_finish().
 */
#ifndef CHAPPE_CLI_OUTPUT_H
#define CHAPPE_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#define OUTPUT_BUFFER 65536

struct output {
    int descriptor;
    int error;     /* first failure, a negative errno; what follows it is not written */
    bool terminal; /* a person looks at it */
    bool colour;   /* a terminal, and NO_COLOR is not set */
    bool unicode;  /* the locale writes UTF-8 */
    size_t used;
    char buffer[OUTPUT_BUFFER];
};

enum output_style { STYLE_PLAIN, STYLE_BOLD, STYLE_GOOD, STYLE_BAD, STYLE_DIM };

void output_begin(struct output *output, int descriptor);

void output_bytes(struct output *output, const void *bytes, size_t size);
void output_text(struct output *output, const char *text);
void output_format(struct output *output, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Text with everything that a terminal could act on written as \xNN. */
void output_visible(struct output *output, const char *text);

/* Switches to a style; does nothing without colour. */
void output_style(struct output *output, enum output_style style);

/* Text filled up with blanks to `width` characters, on the left for `right`. */
void output_cell(struct output *output, const char *text, size_t width, bool right);

/* Words of text, broken before column `width`; every line after the first begins with
 * `indent` blanks. Lines that begin with a blank are kept as they are. Ends with a
 * newline. */
void output_wrapped(struct output *output, const char *text, size_t indent, size_t width);

/* The descriptor if it is the write end of a pipe, else -1. */
int output_pipe(const struct output *output);

/* How many characters a text takes on a terminal (UTF-8, none of them wide). */
size_t output_columns(const char *text);

/* Writes what was gathered. 0, or the negative errno of the first failure. */
int output_flush(struct output *output);

/* Flushes and gives the exit status: `status`, unless that is success and the output
 * failed. A reader who has gone away is no news; everything else is told. */
int output_finish(struct output *output, int status);

/* "chappe: " and one sentence to standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The sentence of the library's last failure. */
void complain_error(void);

#endif
