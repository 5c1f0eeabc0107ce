/* SPDX-License-Identifier: MIT
 *
 * Addresses: taking them apart, and telling people what is wrong with them. */
#include "message/address.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"
#include "base/text.h"

/* What every mechanism understands; the rest is the row's own. */
static const char *const common_options[] = {"frame", "limit", "checksum", NULL};

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX in place. Result: the new length, or -1 where % is not followed by two digits. */
static ssize_t decode(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = hex_digit(from[1]);
        int low = high < 0 ? -1 : hex_digit(from[2]);
        if (low < 0)
            return -1;
        *to++ = (char)(high << 4 | low);
        from += 2;
    }
    *to = '\0';
    return to - text;
}

static int bad_percent(const struct address *address) {
    return error_set(-EINVAL,
                     "%s: %% must be followed by two hexadecimal digits (%%25 is %% itself)",
                     address->text);
}

static int parse_options(struct address *address, char *query) {
    for (char *next; query != NULL; query = next) {
        next = strchr(query, '&');
        if (next != NULL)
            *next++ = '\0';
        if (address->option_count == ADDRESS_OPTIONS_MAX)
            return error_set(-EINVAL, "%s: more than %d options", address->text,
                             ADDRESS_OPTIONS_MAX);
        char *value = strchr(query, '=');
        if (value != NULL)
            *value++ = '\0';
        if (value != NULL && decode(value) != (ssize_t)strlen(value))
            return bad_percent(address);
        if (address_option(address, query) != NULL)
            return error_set(-EINVAL, "%s: option %s is given twice", address->text, query);
        address->options[address->option_count++] =
            (struct address_option){.name = query, .value = value != NULL ? value : ""};
    }
    return 0;
}

/* Takes `copy`, which belongs to `address`, apart. */
static int take_apart(struct address *address, char *copy) {
    if (*copy == '\0')
        return error_set(-EINVAL, "an empty address; an address is scheme://where");
    char *colon = strstr(copy, "://");
    if (colon == NULL || colon == copy)
        return error_set(-EINVAL, "%s: an address is scheme://where, such as unix:///run/my.socket",
                         address->text);
    for (const char *c = copy; c < colon; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c))
            return error_set(-EINVAL, "%s: a scheme is lower-case letters and digits",
                             address->text);
    *colon = '\0';
    address->scheme = copy;
    char *where = colon + 3;
    char *query = strchr(where, '?');
    if (query != NULL)
        *query++ = '\0';
    ssize_t size = decode(where);
    if (size < 0)
        return bad_percent(address);
    address->where = where;
    address->where_size = (size_t)size;
    return parse_options(address, query);
}

int address_parse(const char *text, struct address **ret_address) {
    if (text == NULL)
        return error_set(-EINVAL, "no address was given");
    size_t size = strlen(text) + 1;
    if (size > ADDRESS_SIZE_MAX)
        return error_set(-ENAMETOOLONG, "an address of %zu bytes; the limit is %d", size - 1,
                         ADDRESS_SIZE_MAX - 1);
    struct address *address = calloc(1, sizeof *address + 2 * size);
    if (address == NULL)
        return error_of(-ENOMEM, "%s", text);
    char *kept = (char *)(address + 1);
    char *copy = kept + size;
    memcpy(kept, text, size);
    memcpy(copy, text, size);
    address->text = kept;
    int error = take_apart(address, copy);
    if (error < 0) {
        free(address);
        return error;
    }
    *ret_address = address;
    return 0;
}

const char *address_option(const struct address *address, const char *name) {
    for (size_t i = 0; i < address->option_count; i++)
        if (strcmp(address->options[i].name, name) == 0)
            return address->options[i].value;
    return NULL;
}

/* Does a row's own option line "name=VALUES  text" describe `name`? */
static bool describes(const char *line, const char *name) {
    size_t size = strlen(name);
    return strncmp(line, name, size) == 0 && line[size] == '=';
}

static bool is_known(const char *name, const char *const *own) {
    for (const char *const *common = common_options; *common != NULL; common++)
        if (strcmp(*common, name) == 0)
            return true;
    for (; own != NULL && *own != NULL; own++)
        if (describes(*own, name))
            return true;
    return false;
}

static int unknown_option(const struct address *address, const char *name, const char *const *own) {
    char owned[ADDRESS_OPTIONS_MAX][32];
    const char *best = NULL;
    for (const char *const *common = common_options; *common != NULL; common++)
        text_nearest(name, *common, &best);
    for (size_t i = 0; own != NULL && own[i] != NULL && i < ADDRESS_OPTIONS_MAX; i++) {
        snprintf(owned[i], sizeof owned[i], "%.*s", (int)strcspn(own[i], "="), own[i]);
        text_nearest(name, owned[i], &best);
    }
    if (best != NULL)
        return error_set(-EINVAL, "%s: no option “%s”; did you mean “%s”?", address->text, name,
                         best);
    return error_set(-EINVAL, "%s: no option “%s”; see `chappe help %s`", address->text, name,
                     address->scheme);
}

int address_check_options(const struct address *address, const char *const *own) {
    for (size_t i = 0; i < address->option_count; i++)
        if (!is_known(address->options[i].name, own))
            return unknown_option(address, address->options[i].name, own);
    return 0;
}

int address_choice(const struct address *address, const char *name, const char *const *choices,
                   int standard, int *ret_choice) {
    const char *value = address_option(address, name);
    if (value == NULL) {
        *ret_choice = standard;
        return 0;
    }
    char all[128] = "";
    size_t used = 0;
    for (int i = 0; choices[i] != NULL; i++) {
        if (strcmp(choices[i], value) == 0) {
            *ret_choice = i;
            return 0;
        }
        if (used < sizeof all)
            used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "",
                                     choices[i]);
    }
    return error_set(-EINVAL, "%s: %s=%s is none of %s", address->text, name, value, all);
}

int address_size(const struct address *address, const char *name, uint64_t standard, uint64_t least,
                 uint64_t most, uint64_t *ret_size) {
    const char *value = address_option(address, name);
    uint64_t size = standard;
    if (value != NULL && !number_size(value, &size))
        return error_set(-EINVAL, "%s: %s=%s is not a size such as 64, 4K or 1M", address->text,
                         name, value);
    if (value != NULL && (size < least || size > most))
        return error_set(-EINVAL, "%s: %s=%s is not between %llu and %llu", address->text, name,
                         value, (unsigned long long)least, (unsigned long long)most);
    *ret_size = size;
    return 0;
}

int address_mode(const struct address *address, const char *name, mode_t standard,
                 mode_t *ret_mode) {
    const char *text = address_option(address, name);
    uint64_t mode = standard;
    if (text != NULL && !number_octal(text, 0777, &mode))
        return error_set(-EINVAL, "%s: %s=%s is not an octal mode up to 0777", address->text, name,
                         text);
    *ret_mode = (mode_t)mode;
    return 0;
}

size_t address_escape(const char *bytes, size_t size, char *ret_text, size_t text_size) {
    static const char digits[] = "0123456789ABCDEF";
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        bool plain = c > 0x20 && c < 0x7F && c != '%' && c != '?';
        char piece[3] = {plain ? (char)c : '%', digits[c >> 4], digits[c & 15]};
        for (size_t j = 0; j < (plain ? 1 : 3); j++, used++)
            if (used + 1 < text_size)
                ret_text[used] = piece[j];
    }
    if (text_size > 0)
        ret_text[used < text_size ? used : text_size - 1] = '\0';
    return used;
}
