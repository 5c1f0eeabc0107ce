/* SPDX-License-Identifier: MIT
 *
 * Input: see input.h.
 */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "port.h"
#include "text.h"

#define INPUT_LIMIT ((size_t)1 << 30) /* the library's, for an address that names none */
#define INPUT_STEP ((size_t)1 << 16)

/* The limit that the address sets. A wrong one is left for the library to refuse. */
static size_t input_limit(const char *address) {
    const char *option = strchr(address, '?');
    char text[32];
    uint64_t limit;

    while (option != NULL) {
        option++;
        if (strncmp(option, "limit=", 6) == 0) {
            size_t length = strcspn(option + 6, "&");

            if (length < sizeof text) {
                memcpy(text, option + 6, length);
                text[length] = '\0';
                if (text_size(text, &limit) == 0 && limit < SIZE_MAX / 4) {
                    return (size_t)limit;
                }
            }
        }
        option = strchr(option, '&');
    }
    return INPUT_LIMIT;
}

static int input_failed(const struct input *input, int error) {
    complain("%s: %s", input->name, strerror(-error));
    return port_status(error);
}

int input_open(struct input *input, const struct command *command, const char *file,
               const char *address) {
    *input = (struct input){.name = "standard input", .limit = input_limit(address)};
    if (file == NULL && isatty(STDIN_FILENO) == 1) {
        input->descriptor = -1;
        return options_wrong(command,
                             "no message: name its TEXT, --file FILE, or --file - to type it");
    }
    if (file == NULL || strcmp(file, "-") == 0) {
        input->descriptor = STDIN_FILENO;
        return STATUS_DONE;
    }
    input->name = file;
    input->descriptor = open(file, O_RDONLY | O_CLOEXEC);
    return input->descriptor < 0 ? input_failed(input, -errno) : STATUS_DONE;
}

/* Makes room for `room` more bytes behind `end`. */
static int input_grow(struct input *input, size_t room) {
    size_t held = input->end - input->start;
    size_t capacity = input->capacity;
    char *bytes;

    if (input->start > 0) {
        memmove(input->bytes, input->bytes + input->start, held);
        input->start = 0;
        input->end = held;
    }
    if (capacity - held >= room) {
        return 0;
    }
    while (capacity - held < room) {
        capacity = capacity == 0 ? INPUT_STEP : capacity * 2;
    }
    bytes = realloc(input->bytes, capacity);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    input->bytes = bytes;
    input->capacity = capacity;
    return 0;
}

/* Reads once, waiting if need be. */
static int input_read(struct input *input) {
    for (;;) {
        ssize_t size =
            read(input->descriptor, input->bytes + input->end, input->capacity - input->end);

        if (size > 0) {
            input->end += (size_t)size;
            return 0;
        }
        if (size == 0) {
            input->finished = true;
            return 0;
        }
        if (errno == EAGAIN) {
            struct pollfd item = {.fd = input->descriptor, .events = POLLIN};

            poll(&item, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

int input_read_all(struct input *input) {
    struct stat status;
    size_t room = INPUT_STEP;
    int error = 0;

    /* One byte more than the file has: the end is seen without growing again. */
    if (fstat(input->descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
        (uint64_t)status.st_size <= input->limit) {
        room = (size_t)status.st_size + 1;
    }
    while (error == 0 && !input->finished && input->end <= input->limit) {
        error = input_grow(input, room);
        if (error == 0) {
            error = input_read(input);
        }
        room = 1;
    }
    return error < 0 ? input_failed(input, error) : STATUS_DONE;
}

int input_message(struct input *input, const struct command *command, char **words, int count,
                  const char *file, const char *address) {
    int status;

    if (count > 0 && file != NULL) {
        *input = (struct input){.descriptor = -1};
        return options_wrong(command, "either TEXT or --file, not both");
    }
    if (count == 0) {
        status = input_open(input, command, file, address);
        return status == STATUS_DONE ? input_read_all(input) : status;
    }
    *input = (struct input){.name = "the message", .descriptor = -1};
    for (int i = 0; i < count; i++) {
        size_t size = strlen(words[i]);

        if (input_grow(input, size + 1) < 0) {
            return input_failed(input, -ENOMEM);
        }
        if (i > 0) {
            input->bytes[input->end++] = ' ';
        }
        memcpy(input->bytes + input->end, words[i], size);
        input->end += size;
    }
    return STATUS_DONE;
}

/* Takes the lines that are complete, at the end of the input also one that is not. */
static size_t input_split(struct input *input, chappe_item *items, size_t count) {
    size_t taken = 0;

    while (taken < count && input->start < input->end) {
        char *line = input->bytes + input->start;
        size_t held = input->end - input->start;
        char *newline = memchr(line, '\n', held);
        size_t size = newline != NULL ? (size_t)(newline - line) : held;

        if (newline == NULL && !input->finished && held <= input->limit) {
            break;
        }
        items[taken].data = line;
        items[taken].size = size;
        taken++;
        input->start += size + (newline != NULL);
    }
    return taken;
}

int input_lines(struct input *input, chappe_item *items, size_t count, size_t *ret_count) {
    for (;;) {
        size_t taken = input_split(input, items, count);
        int error;

        if (taken > 0 || (input->finished && input->start == input->end)) {
            *ret_count = taken;
            return STATUS_DONE;
        }
        error = input_grow(input, INPUT_STEP);
        if (error == 0) {
            error = input_read(input);
        }
        if (error < 0) {
            return input_failed(input, error);
        }
    }
}

void input_close(struct input *input) {
    if (input->descriptor > STDERR_FILENO) {
        close(input->descriptor);
    }
    free(input->bytes);
    input->bytes = NULL;
    input->descriptor = -1;
}
