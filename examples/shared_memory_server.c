/* SPDX-License-Identifier: MIT
 * Adds up blocks of numbers where they lie: in memory that it shares with its client, without
 * a copy. Run shared_memory_server ADDRESS, then shared_memory_client ADDRESS. */
#include <chappe/chappe.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

static int complain(void) {
    fprintf(stderr, "%s\n", chappe_error());
    return 1;
}

static int serve(chappe_endpoint *client) {
    chappe_message *block = NULL;
    uint64_t sum = 0, blocks = 0;
    int outcome;
    while ((outcome = chappe_receive(client, NULL, CHAPPE_FOREVER, &block)) == 0) {
        /* What comes out of shared memory is aligned as it was reserved. */
        const uint64_t *numbers = block->data;
        for (size_t i = 0; i < block->size / sizeof *numbers; i++)
            sum += numbers[i];
        blocks++;
        chappe_release(block); /* from here on the client may write there again */
    }
    if (outcome != CHAPPE_END || chappe_send(client, &sum, sizeof sum, NULL, CHAPPE_FOREVER) < 0)
        return complain();
    printf("%" PRIu64 " blocks, sum %" PRIu64 "\n", blocks, sum);
    return chappe_close(client, chappe_in_ms(5000), NULL) < 0 ? complain() : 0;
}

int main(int argc, char **argv) {
    chappe_endpoint *server = NULL, *client = NULL;
    const char *address = argc > 1 ? argv[1] : "shm://blocks";
    if (chappe_listen(address, NULL, CHAPPE_NOW, &server) < 0)
        return complain();
    bool came = chappe_accept(server, chappe_in_ms(10000), &client) == 0;
    int failed = came ? serve(client) : complain();
    return chappe_close(server, CHAPPE_NOW, NULL) < 0 ? complain() : failed;
}
