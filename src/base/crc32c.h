/* SPDX-License-Identifier: MIT
 *
 * CRC-32C (Castagnoli), as in iSCSI (RFC 3720, appendix B.4): finds every burst of up
 * to 32 bits, and is what processors compute fastest. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of `bytes` after those that gave `crc` (0 at the start). */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

#endif
