/* SPDX-License-Identifier: MIT
 *
 * The linker sends the library's calls of malloc() to __wrap_malloc(), and so on. */
#include "fault/allocations.h"

#include <errno.h>
#include <string.h>

struct allocations allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *memory);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);

static bool refused(enum allocation allocation) {
    if (allocations.refuses == NULL || !allocations.refuses(allocation))
        return false;
    errno = ENOMEM;
    return true;
}

static void *note(void *memory, size_t size, bool is_new) {
    if (memory == NULL)
        return NULL;
    allocations.made++;
    allocations.bytes += size;
    allocations.alive += is_new;
    return memory;
}

void *__wrap_malloc(size_t size) {
    return refused(ALLOCATION_MALLOC) ? NULL : note(__real_malloc(size), size, true);
}

void *__wrap_calloc(size_t count, size_t size) {
    return refused(ALLOCATION_CALLOC) ? NULL : note(__real_calloc(count, size), count * size, true);
}

void *__wrap_realloc(void *memory, size_t size) {
    bool is_new = memory == NULL;
    return refused(ALLOCATION_REALLOC) ? NULL : note(__real_realloc(memory, size), size, is_new);
}

char *__wrap_strdup(const char *text) {
    return refused(ALLOCATION_STRDUP) ? NULL : note(__real_strdup(text), strlen(text) + 1, true);
}

void __wrap_free(void *memory) {
    allocations.alive -= memory != NULL;
    __real_free(memory);
}
