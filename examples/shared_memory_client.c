/* SPDX-License-Identifier: MIT
 * Writes blocks of numbers straight into the memory that shared_memory_server reads. */
#include <chappe/chappe.h>
#include <inttypes.h>
#include <stdio.h>

enum { BLOCKS = 1000, NUMBERS = 1000 };

static int complain(void) {
    fprintf(stderr, "%s\n", chappe_error());
    return 1;
}

int main(int argc, char **argv) {
    const char *address = argc > 1 ? argv[1] : "shm://blocks";
    chappe_endpoint *server = NULL;
    chappe_message *block = NULL, *answer = NULL;
    if (chappe_open(address, NULL, chappe_in_ms(10000), &server) < 0)
        return complain();
    for (uint64_t i = 0; i < BLOCKS; i++) {
        size_t size = NUMBERS * sizeof(uint64_t);
        if (chappe_reserve(server, size, NULL, CHAPPE_FOREVER, &block) < 0)
            return complain();
        uint64_t *numbers = block->data; /* in the shared memory: nobody sees it yet */
        for (uint64_t j = 0; j < NUMBERS; j++)
            numbers[j] = i * NUMBERS + j;
        if (chappe_commit(block, size, CHAPPE_FOREVER) < 0) /* now it is a message */
            return complain();
    }
    if (chappe_finish(server, CHAPPE_FOREVER) < 0 || /* the server sees the end */
        chappe_receive(server, NULL, chappe_in_ms(10000), &answer) != 0)
        return complain();
    printf("the server says %" PRIu64 "\n", *(const uint64_t *)answer->data);
    chappe_release(answer);
    return chappe_close(server, CHAPPE_NOW, NULL) < 0 ? complain() : 0;
}
