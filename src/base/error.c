/* SPDX-License-Identifier: MIT
 *
 * The sentence behind a failure: one per thread, for people. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char text[ERROR_TEXT_SIZE];

/* Control bytes come from names that others chose: they must not reach a terminal. */
static void make_printable(char *sentence) {
    for (char *c = sentence; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = '?';
}

static void keep(char *sentence) {
    make_printable(sentence);
    memcpy(text, sentence, strlen(sentence) + 1);
}

int error_set(int code, const char *format, ...) {
    char sentence[ERROR_TEXT_SIZE]; /* the arguments may quote `text` */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    keep(sentence);
    return code;
}

int error_of(int code, const char *format, ...) {
    char sentence[ERROR_TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    size_t used = strlen(sentence);
    snprintf(sentence + used, sizeof sentence - used, ": %s", strerrordesc_np(-code));
    keep(sentence);
    return code;
}

const char *error_text(void) {
    return text;
}
