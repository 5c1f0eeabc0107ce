/* SPDX-License-Identifier: MIT
 *
 * Small questions about text: UTF-8, what a terminal may be shown, durations, sizes,
 * numbers, and which of some names was probably meant.
 */
#ifndef CHAPPE_CLI_TEXT_H
#define CHAPPE_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length in bytes of the UTF-8 character that begins here; 0 if none does. */
size_t text_character(const unsigned char *bytes, size_t size);

/* Whether a character, valid UTF-8 of that length, is none that a terminal acts on. */
bool text_harmless(const unsigned char *bytes, size_t length);

/* The whole of the bytes is UTF-8. */
bool text_is_utf8(const void *bytes, size_t size);

/* "250ms", "2s", "1.5m", "1h"; a bare number is seconds. 0 or -EINVAL. */
int text_duration(const char *text, int64_t *ret_ms);

/* "64", "4K", "1M", "1G". 0 or -EINVAL. */
int text_size(const char *text, uint64_t *ret_size);

/* A whole decimal number from least to most. 0 or -EINVAL. */
int text_number(const char *text, int64_t least, int64_t most, int64_t *ret_number);

/* How many single changes (a letter put in, left out, exchanged, or two swapped) lead
 * from one word to the other. Words of more than 63 bytes are far from everything. */
size_t text_distance(const char *a, const char *b);

/* Whether that distance is small enough for "did you mean". */
bool text_near(const char *typed, const char *name, size_t distance);

#endif
