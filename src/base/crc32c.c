/* SPDX-License-Identifier: MIT
 *
 * CRC-32C. With the instruction of x86-64 processors that have SSE 4.2,
 * else four bits at a time from a table of sixteen words. */
#include "base/crc32c.h"

#include <string.h>

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t fast(uint32_t crc, const uint8_t *bytes,
                                                       size_t size) {
    uint64_t state = crc;
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        state = __builtin_ia32_crc32di(state, word);
    }
    uint32_t rest = (uint32_t)state;
    for (; size > 0; bytes++, size--)
        rest = __builtin_ia32_crc32qi(rest, *bytes);
    return rest;
}

static int is_fast(void) {
    return __builtin_cpu_supports("sse4.2");
}

#else

static uint32_t fast(uint32_t crc, const uint8_t *bytes, size_t size) {
    (void)bytes;
    (void)size;
    return crc;
}

static int is_fast(void) {
    return 0;
}

#endif

static uint32_t plain(uint32_t crc, const uint8_t *bytes, size_t size) {
    static const uint32_t step[16] = {
        0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
        0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
        0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
    };
    for (; size > 0; bytes++, size--) {
        crc ^= *bytes;
        crc = crc >> 4 ^ step[crc & 15];
        crc = crc >> 4 ^ step[crc & 15];
    }
    return crc;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t size) {
    return ~(is_fast() ? fast : plain)(~crc, bytes, size);
}
