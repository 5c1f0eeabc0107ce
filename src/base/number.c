/* SPDX-License-Identifier: MIT
 *
 * Numbers in text. */
#include "base/number.h"

/* Reads digits of `base`; false on none, on overflow, and beyond `most`. */
static bool digits(const char **text, unsigned base, uint64_t most, uint64_t *ret_number) {
    uint64_t number = 0;
    const char *c = *text;
    while (*c >= '0' && *c < (char)('0' + base)) {
        unsigned digit = (unsigned)(*c - '0');
        if (number > (most - digit) / base)
            return false;
        number = number * base + digit;
        c++;
    }
    if (c == *text)
        return false;
    *text = c;
    *ret_number = number;
    return true;
}

bool number_decimal(const char *text, uint64_t most, uint64_t *ret_number) {
    uint64_t number;
    if (!digits(&text, 10, most, &number) || *text != '\0')
        return false;
    *ret_number = number;
    return true;
}

bool number_octal(const char *text, uint64_t most, uint64_t *ret_number) {
    uint64_t number;
    if (!digits(&text, 8, most, &number) || *text != '\0')
        return false;
    *ret_number = number;
    return true;
}

bool number_size(const char *text, uint64_t *ret_size) {
    static const char units[] = "KMGT";
    uint64_t size;
    if (!digits(&text, 10, UINT64_MAX, &size))
        return false;
    if (*text != '\0') {
        const char *unit = strchr(units, *text);
        if (unit == NULL || text[1] != '\0')
            return false;
        unsigned shift = 10 * (unsigned)(unit - units + 1);
        if (size > UINT64_MAX >> shift)
            return false;
        size <<= shift;
    }
    *ret_size = size;
    return true;
}
