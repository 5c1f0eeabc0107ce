/* SPDX-License-Identifier: MIT
 * A million small messages in a few hundred system calls. */
#include <chappe/chappe.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 1000000, BATCH = 1000 };

static int produce(chappe_endpoint *end) {
    static uint64_t numbers[BATCH];
    static chappe_item items[BATCH];
    for (uint64_t sent = 0; sent < COUNT; sent += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++) {
            numbers[i] = sent + i;
            items[i] = (chappe_item){.data = &numbers[i], .size = sizeof numbers[i]};
        }
        if (chappe_send_batch(end, items, BATCH, CHAPPE_FOREVER) != BATCH)
            return 1;
    }
    return chappe_close(end, CHAPPE_FOREVER, NULL);
}

static int consume(chappe_endpoint *end) {
    static chappe_message *messages[BATCH];
    uint64_t sum = 0, count = 0;
    int got;
    while ((got = chappe_receive_batch(end, NULL, CHAPPE_FOREVER, messages, BATCH)) > 0) {
        for (int i = 0; i < got; i++) {
            uint64_t number;
            memcpy(&number, messages[i]->data, sizeof number);
            sum += number;
        }
        count += (uint64_t)got;
        chappe_release_batch(messages, (size_t)got);
    }
    printf("%llu messages, sum %llu\n", (unsigned long long)count, (unsigned long long)sum);
    chappe_close(end, CHAPPE_NOW, NULL);
    return got < 0 || count != COUNT;
}

int main(void) {
    chappe_endpoint *a = NULL, *b = NULL;
    if (chappe_pair("unix://", NULL, &a, &b) != 0) {
        fprintf(stderr, "%s\n", chappe_error());
        return 1;
    }
    if (fork() == 0) {
        chappe_close(b, CHAPPE_NOW, NULL);
        return produce(a);
    }
    chappe_close(a, CHAPPE_NOW, NULL);
    int status = 0, failed = consume(b);
    wait(&status);
    return failed || status != 0;
}
