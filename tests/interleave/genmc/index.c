/* SPDX-License-Identifier: MIT
 *
 * The index for genmc: two senders, a receiver that claims, capacity one. */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "memory/index.c"

static struct index_words words;
static shared64 slots[2], origins[2];
static uint64_t bodies[2];
static atomic_int sent, received;

static void *send_one(void *context) {
    struct index index;
    uint64_t position;
    uint32_t who = (uint32_t)(uintptr_t)context;
    index_attach(&index, &words, slots, origins, 2, who);
    bodies[who] = 7 + who;
    if (index_publish(&index, 0, &position) == 0)
        atomic_fetch_add(&sent, 1);
    return NULL;
}

static void *receive_one(void *context) {
    struct index index;
    struct index_item item;
    index_attach(&index, &words, slots, origins, 2, 2);
    if (index_find(&index, NULL, NULL, true, &item) == 1 && index_claim(&index, &item) == 0) {
        assert(bodies[item.lane] == 7 + item.lane);
        assert(index_finish(&index, &item, INDEX_DONE) == 0);
        atomic_fetch_add(&received, 1);
    }
    return context;
}

int main(void) {
    pthread_t senders[2], receiver;
    index_create(&words, 1);
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&senders[i], NULL, send_one, (void *)i);
    pthread_create(&receiver, NULL, receive_one, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(senders[i], NULL);
    pthread_join(receiver, NULL);
    assert(atomic_load(&sent) - atomic_load(&received) <= 1);
    return 0;
}
