/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzz target once over every file of a folder, so that each seed, and each
 * input that a campaign once found, is tested in every build.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NULL if it cannot be read. */
static uint8_t *read_file(const char *path, size_t *ret_size) {
    FILE *file = fopen(path, "rbe");
    uint8_t *data = NULL;
    size_t size = 0, capacity = 0;
    if (!file)
        return NULL;
    for (;;) {
        if (size == capacity) {
            capacity = capacity ? capacity * 2 : 4096;
            uint8_t *larger = realloc(data, capacity);
            if (!larger)
                break;
            data = larger;
        }
        size_t count = fread(data + size, 1, capacity - size, file);
        size += count;
        if (count == 0)
            break;
    }
    fclose(file);
    *ret_size = size;
    return data;
}

/* In a block of exactly its size, so that a sanitizer sees a read beyond the end. */
static int replay(const char *path) {
    size_t size = 0;
    uint8_t *data = read_file(path, &size);
    if (!data)
        return -1;
    uint8_t *exact = realloc(data, size ? size : 1);
    int outcome = exact ? LLVMFuzzerTestOneInput(exact, size) : -1;
    free(exact);
    return outcome;
}

int main(int argc, char **argv) {
    struct dirent **entries;
    int count = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    int number = 0, failed = 0;
    for (int i = 0; i < count; i++) {
        char path[4096];
        if (entries[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
            int outcome = replay(path);
            failed += outcome != 0;
            printf("%s %d - %s\n", outcome == 0 ? "ok" : "not ok", ++number, entries[i]->d_name);
            fflush(stdout);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    if (number == 0)
        printf("not ok %d - there are seeds\n", ++number);
    printf("1..%d\n", number);
    return failed > 0 || count < 0;
}
