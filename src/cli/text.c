/* SPDX-License-Identifier: MIT
 *
 * Text: see text.h. No locale is asked, no global state kept.
 */
#include "text.h"

#include <errno.h>
#include <string.h>

size_t text_character(const unsigned char *bytes, size_t size) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t code;
    size_t length;

    if (size == 0) {
        return 0;
    }
    if (bytes[0] < 0x80) {
        return 1;
    }
    if ((bytes[0] & 0xE0) == 0xC0) {
        length = 2;
        code = bytes[0] & 0x1FU;
    } else if ((bytes[0] & 0xF0) == 0xE0) {
        length = 3;
        code = bytes[0] & 0x0FU;
    } else if ((bytes[0] & 0xF8) == 0xF0) {
        length = 4;
        code = bytes[0] & 0x07U;
    } else {
        return 0;
    }
    if (length > size) {
        return 0;
    }
    for (size_t at = 1; at < length; at++) {
        if ((bytes[at] & 0xC0) != 0x80) {
            return 0;
        }
        code = code << 6 | (bytes[at] & 0x3FU);
    }
    if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
        return 0;
    }
    return length;
}

bool text_harmless(const unsigned char *bytes, size_t length) {
    if (length == 1) {
        return bytes[0] >= 0x20 && bytes[0] != 0x7F;
    }
    /* U+0080 to U+009F are control characters too. */
    return !(length == 2 && bytes[0] == 0xC2 && bytes[1] < 0xA0);
}

bool text_is_utf8(const void *bytes, size_t size) {
    const unsigned char *at = bytes;

    while (size > 0) {
        size_t length = text_character(at, size);

        if (length == 0) {
            return false;
        }
        at += length;
        size -= length;
    }
    return true;
}

/* Digits from *text on; moves it behind them. */
static int text_digits(const char **text, uint64_t *ret_value) {
    uint64_t value = 0;

    if (**text < '0' || **text > '9') {
        return -EINVAL;
    }
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        uint64_t digit = (uint64_t)(**text - '0');

        if (value > (UINT64_MAX - digit) / 10) {
            return -EINVAL;
        }
        value = value * 10 + digit;
    }
    *ret_value = value;
    return 0;
}

int text_duration(const char *text, int64_t *ret_ms) {
    static const struct {
        const char *name;
        uint64_t us;
    } units[] = {{"", 1000000},   {"us", 1},         {"ms", 1000},     {"s", 1000000},
                 {"m", 60000000}, {"h", 3600000000}, {"min", 60000000}};
    uint64_t whole, part = 0, scale = 1;

    if (text_digits(&text, &whole) < 0) {
        return -EINVAL;
    }
    if (*text == '.') {
        for (text++; *text >= '0' && *text <= '9'; text++) {
            /* Six places are as fine as the finest unit. */
            if (scale < 1000000) {
                part = part * 10 + (uint64_t)(*text - '0');
                scale *= 10;
            }
        }
        if (scale == 1) {
            return -EINVAL;
        }
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text, units[i].name) == 0) {
            if (whole > (uint64_t)INT64_MAX / units[i].us / 2) {
                return -EINVAL;
            }
            /* Rounded up: a wait that was asked for is not turned into none. */
            *ret_ms =
                (int64_t)((whole * units[i].us + (part * (units[i].us) + scale - 1) / scale + 999) /
                          1000);
            return 0;
        }
    }
    return -EINVAL;
}

int text_size(const char *text, uint64_t *ret_size) {
    static const char units[] = "KMGT";
    unsigned int shift = 0;
    uint64_t value;

    if (text_digits(&text, &value) < 0) {
        return -EINVAL;
    }
    if (*text != '\0') {
        const char *unit = strchr(units, *text);

        if (unit == NULL || text[1] != '\0') {
            return -EINVAL;
        }
        shift = 10 * ((unsigned int)(unit - units) + 1);
    }
    if (value > UINT64_MAX >> shift) {
        return -EINVAL;
    }
    *ret_size = value << shift;
    return 0;
}

int text_number(const char *text, int64_t least, int64_t most, int64_t *ret_number) {
    bool negative = *text == '-';
    uint64_t value;
    int64_t number;

    text += negative;
    if (text_digits(&text, &value) < 0 || *text != '\0' || value > INT64_MAX) {
        return -EINVAL;
    }
    number = negative ? -(int64_t)value : (int64_t)value;
    if (number < least || number > most) {
        return -EINVAL;
    }
    *ret_number = number;
    return 0;
}

static size_t text_least(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t text_distance(const char *a, const char *b) {
    size_t rows[3][64];
    size_t size_a = strlen(a), size_b = strlen(b);

    if (size_a > 63 || size_b > 63) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= size_b; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= size_a; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= size_b; j++) {
            size_t least = before[j - 1] + (a[i - 1] != b[j - 1]);

            least = text_least(least, before[j] + 1);
            least = text_least(least, now[j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                least = text_least(least, earlier[j - 2] + 1);
            }
            now[j] = least;
        }
    }
    return rows[size_a % 3][size_b];
}

bool text_near(const char *typed, const char *name, size_t distance) {
    size_t size = strlen(typed);

    /* The beginning of a name counts as near, a word that shares nothing never does. */
    if (size >= 2 && strncmp(typed, name, size) == 0) {
        return true;
    }
    return distance <= 1 + size / 4 && distance < strlen(name);
}
