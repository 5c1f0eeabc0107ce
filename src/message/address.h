/* SPDX-License-Identifier: MIT
 *
 * Addresses: scheme://where?option=value&option=value, with %XX for any byte. */
#ifndef MESSAGE_ADDRESS_H
#define MESSAGE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ADDRESS_SIZE_MAX 4096 /* of the text, as PATH_MAX */
#define ADDRESS_OPTIONS_MAX 16

struct address_option {
    const char *name;
    const char *value; /* "" when there was no = */
};

/* An address taken apart. One block of memory; free() it. */
struct address {
    const char *text;   /* as given */
    const char *scheme; /* "unix" */
    const char *where;  /* decoded, ends with a NUL, which may also be inside */
    size_t where_size;
    size_t option_count;
    struct address_option options[ADDRESS_OPTIONS_MAX];
};

int address_parse(const char *text, struct address **ret_address);

/* The value of an option, NULL if it is not there. */
const char *address_option(const struct address *address, const char *name);

/* Every option must be one of `own` ("name=VALUES  text", NULL ends; may be NULL) or of
 * the options that all mechanisms have. */
int address_check_options(const struct address *address, const char *const *own);

/* The option as a position in `choices` (NULL ends); `standard` if it is not there. */
int address_choice(const struct address *address, const char *name, const char *const *choices,
                   int standard, int *ret_choice);

/* The option as a size between `least` and `most`; `standard` if it is not there. */
int address_size(const struct address *address, const char *name, uint64_t standard, uint64_t least,
                 uint64_t most, uint64_t *ret_size);

/* The option as an octal mode up to 0777; `standard` if it is not there. */
int address_mode(const struct address *address, const char *name, mode_t standard,
                 mode_t *ret_mode);

/* Text for an address from raw bytes: what is not plain becomes %XX. Returns the length
 * that the whole needs, as snprintf(). */
size_t address_escape(const char *bytes, size_t size, char *ret_text, size_t text_size);

#endif
