/* SPDX-License-Identifier: MIT
 *
 * Counts allocations. The linker sends every call of the benchmark and of the library
 * in it here (--wrap). */
#include "bench.h"

static uint64_t count;

void *__real_malloc(size_t size);
void *__real_calloc(size_t number, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t number, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size) {
    count++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t number, size_t size) {
    count++;
    return __real_calloc(number, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    count++;
    return __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    count++;
    return __real_aligned_alloc(alignment, size);
}

uint64_t allocations(void) {
    return count;
}
