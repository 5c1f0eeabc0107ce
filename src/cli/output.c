/* SPDX-License-Identifier: MIT
 *
 * The writer behind every command. It calls write() itself: stdio would lose data when
 * standard output is a non-blocking descriptor that somebody else made so.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chappe/chappe.h>

#include "command.h"
#include "text.h"

void output_begin(struct output *output, int descriptor) {
    const char *no_colour = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    output->descriptor = descriptor;
    output->error = 0;
    output->used = 0;
    output->terminal = isatty(descriptor) == 1;
    output->colour = output->terminal && (no_colour == NULL || no_colour[0] == '\0') &&
                     terminal != NULL && strcmp(terminal, "dumb") != 0;
    output->unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static int output_write(int descriptor, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(descriptor, bytes, size);

        if (written >= 0) {
            bytes += written;
            size -= (size_t)written;
        } else if (errno == EAGAIN) {
            struct pollfd item = {.fd = descriptor, .events = POLLOUT};

            poll(&item, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int output_pipe(const struct output *output) {
    struct stat status;
    int flags = fcntl(output->descriptor, F_GETFL);
    bool pipe = fstat(output->descriptor, &status) == 0 && S_ISFIFO(status.st_mode);

    return pipe && flags >= 0 && (flags & O_ACCMODE) == O_WRONLY ? output->descriptor : -1;
}

int output_flush(struct output *output) {
    if (output->error == 0 && output->used > 0) {
        output->error = output_write(output->descriptor, output->buffer, output->used);
    }
    output->used = 0;
    return output->error;
}

void output_bytes(struct output *output, const void *bytes, size_t size) {
    if (size > sizeof output->buffer - output->used) {
        output_flush(output);
    }
    if (output->error != 0 || size == 0) {
        return;
    }
    if (size > sizeof output->buffer) {
        output->error = output_write(output->descriptor, bytes, size);
        return;
    }
    memcpy(output->buffer + output->used, bytes, size);
    output->used += size;
}

void output_text(struct output *output, const char *text) {
    output_bytes(output, text, strlen(text));
}

void output_format(struct output *output, const char *format, ...) {
    char text[1024];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0) {
        output_bytes(output, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
    }
}

void output_visible(struct output *output, const char *text) {
    const unsigned char *bytes = (const unsigned char *)text;
    size_t size = strlen(text);

    for (size_t at = 0; at < size;) {
        size_t length = text_character(bytes + at, size - at);

        if (length > 0 && text_harmless(bytes + at, length)) {
            output_bytes(output, bytes + at, length);
            at += length;
        } else {
            output_format(output, "\\x%02x", bytes[at]);
            at++;
        }
    }
}

void output_style(struct output *output, enum output_style style) {
    static const char *const codes[] = {[STYLE_PLAIN] = "\033[0m",
                                        [STYLE_BOLD] = "\033[1m",
                                        [STYLE_GOOD] = "\033[32m",
                                        [STYLE_BAD] = "\033[31m",
                                        [STYLE_DIM] = "\033[2m"};

    if (output->colour) {
        output_text(output, codes[style]);
    }
}

size_t output_columns(const char *text) {
    size_t columns = 0;

    for (; *text != '\0'; text++) {
        /* Bytes 10xxxxxx continue a character. */
        columns += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return columns;
}

static void output_blanks(struct output *output, size_t count) {
    for (; count > 0; count--) {
        output_bytes(output, " ", 1);
    }
}

void output_cell(struct output *output, const char *text, size_t width, bool right) {
    size_t columns = output_columns(text);
    size_t fill = columns < width ? width - columns : 0;

    if (right) {
        output_blanks(output, fill);
    }
    output_visible(output, text);
    if (!right) {
        output_blanks(output, fill);
    }
}

/* Where a wrapped text stands. */
struct wrap {
    struct output *output;
    size_t indent, width;
    size_t column;
    bool fresh; /* the indent of this line is not written yet */
};

static void wrap_newline(struct wrap *wrap) {
    output_text(wrap->output, "\n");
    wrap->fresh = true;
}

static void wrap_word(struct wrap *wrap, const char *word, size_t size) {
    char held[1024];
    size_t columns;

    snprintf(held, sizeof held, "%.*s", (int)size, word);
    columns = output_columns(held);
    if (!wrap->fresh && wrap->column > wrap->indent) {
        if (wrap->column + 1 + columns > wrap->width) {
            wrap_newline(wrap);
        } else {
            output_text(wrap->output, " ");
            wrap->column++;
        }
    }
    if (wrap->fresh) {
        output_blanks(wrap->output, wrap->indent);
        wrap->column = wrap->indent;
        wrap->fresh = false;
    }
    output_visible(wrap->output, held);
    wrap->column += columns;
}

/* Up to the next blank; what is in [brackets] is not parted. */
static size_t wrap_length(const char *word, size_t size) {
    size_t length = 0;
    bool inside = size > 0 && word[0] == '[' && memchr(word, ']', size) != NULL;

    while (length < size && (inside || word[length] != ' ')) {
        inside = inside && word[length] != ']';
        length++;
    }
    return length;
}

static void wrap_line(struct wrap *wrap, const char *line, size_t size) {
    if (size > 0 && line[0] == ' ') {
        char held[1024];

        if (!wrap->fresh && wrap->column > wrap->indent) {
            wrap_newline(wrap);
        }
        if (wrap->fresh) {
            output_blanks(wrap->output, wrap->indent);
        }
        snprintf(held, sizeof held, "%.*s", (int)size, line);
        output_visible(wrap->output, held);
        wrap_newline(wrap);
        return;
    }
    for (size_t at = 0; at < size;) {
        size_t word = at;

        at += wrap_length(line + at, size - at);
        wrap_word(wrap, line + word, at - word);
        while (at < size && line[at] == ' ') {
            at++;
        }
    }
}

void output_wrapped(struct output *output, const char *text, size_t indent, size_t width) {
    struct wrap wrap = {.output = output, .indent = indent, .width = width, .column = indent};

    while (*text != '\0') {
        size_t size = strcspn(text, "\n");

        if (size == 0) {
            if (!wrap.fresh) {
                wrap_newline(&wrap);
            }
            wrap_newline(&wrap);
        }
        wrap_line(&wrap, text, size);
        text += size + (text[size] == '\n');
    }
    if (!wrap.fresh) {
        wrap_newline(&wrap);
    }
}

int output_finish(struct output *output, int status) {
    int error = output_flush(output);

    if (error == -EPIPE) {
        return status == STATUS_DONE ? STATUS_CLOSED : status;
    }
    if (error < 0) {
        complain("standard output: %s", strerror(-error));
        return status == STATUS_DONE ? STATUS_FAILED : status;
    }
    return status;
}

void complain(const char *format, ...) {
    struct output output;
    char text[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    output_begin(&output, STDERR_FILENO);
    output_text(&output, "chappe: ");
    output_visible(&output, text);
    output_text(&output, "\n");
    /* There is nobody left to tell when standard error fails. */
    (void)output_flush(&output);
}

void complain_error(void) {
    complain("%s", chappe_error());
}
