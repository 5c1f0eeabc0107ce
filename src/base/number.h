/* SPDX-License-Identifier: MIT
 *
 * Numbers in text, and numbers in bytes (little-endian unless named otherwise). */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* "64", "4K", "1M", "2G" (powers of 1,024). False: not a size, or it does not fit. */
bool number_size(const char *text, uint64_t *ret_size);

/* Decimal digits only, at most `most`. */
bool number_decimal(const char *text, uint64_t most, uint64_t *ret_number);

/* Octal digits only, at most `most`. */
bool number_octal(const char *text, uint64_t most, uint64_t *ret_number);

static inline void number_put16(uint8_t *bytes, uint16_t value) {
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline void number_put32(uint8_t *bytes, uint32_t value) {
    number_put16(bytes, (uint16_t)value);
    number_put16(bytes + 2, (uint16_t)(value >> 16));
}

static inline void number_put64(uint8_t *bytes, uint64_t value) {
    number_put32(bytes, (uint32_t)value);
    number_put32(bytes + 4, (uint32_t)(value >> 32));
}

static inline uint16_t number_get16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t number_get32(const uint8_t *bytes) {
    return number_get16(bytes) | (uint32_t)number_get16(bytes + 2) << 16;
}

static inline uint64_t number_get64(const uint8_t *bytes) {
    return number_get32(bytes) | (uint64_t)number_get32(bytes + 4) << 32;
}

static inline void number_put32_big(uint8_t *bytes, uint32_t value) {
    number_put32(bytes, __builtin_bswap32(value));
}

static inline uint32_t number_get32_big(const uint8_t *bytes) {
    return __builtin_bswap32(number_get32(bytes));
}

#endif
