/* SPDX-License-Identifier: MIT
 *
 * An index by many participants at once: threads on one mapping, which ThreadSanitizer
 * understands, and processes that are killed and stopped at random instants. Each message is
 * accounted for in a ledger that no kill takes away. */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "memory/ground.h"
#include "memory/index.h"

#define SLOTS 64
#define PLACES 16
#define SENDERS 8
#define RECEIVERS 8
#define MOST 400000 /* messages of one sender */

/* What is known of a message, apart from the index. */
struct entry {
    shared32 begun;    /* its sender was about to publish it */
    shared32 sent;     /* publish returned success; 2: withdrawn again */
    shared32 fresh;    /* how often it was claimed unmarked */
    shared32 again;    /* and marked */
    shared32 finished; /* how often finish returned success */
};

struct body {
    uint64_t number;
    uint64_t check;
};

struct scene {
    struct index_words words;
    shared64 slots[SLOTS];
    shared64 origins[SLOTS];
    struct body bodies[SENDERS][PLACES];
    struct entry ledger[SENDERS][MOST];
    shared64 numbers[SENDERS]; /* of the next message */
    shared64 lanes[SENDERS];   /* of each place: number + 1 of the message in it */
    shared64 cursors[RECEIVERS];
    shared64 progress[SENDERS + RECEIVERS];
    shared64 stop;
    shared64 received;
};

/* A sender's own memory. */
struct sender {
    struct scene *scene;
    struct index index;
    uint32_t lane;
    bool busy[PLACES];
    uint64_t positions[PLACES];
    uint64_t random;
};

static struct index attach(struct scene *scene, uint32_t who) {
    struct index index;
    index_attach(&index, &scene->words, scene->slots, scene->origins, SLOTS, who);
    return index;
}

static struct scene *make_scene(uint64_t capacity) {
    struct scene *scene = ground_map(sizeof *scene);
    index_create(&scene->words, capacity);
    return scene;
}

/* ---- senders ---- */

/* Begins as a sender, perhaps where a dead one ended: the places that it used are busy until
 * their messages are finished. */
static struct sender begin_sender(struct scene *scene, uint32_t lane) {
    struct sender sender = {
        .scene = scene, .index = attach(scene, lane), .lane = lane, .random = lane * 77 + 5};
    struct index_item item;
    uint64_t position = 0;
    while (index_walk(&sender.index, &position, &item) == 1) {
        if (item.state <= INDEX_CLAIMED && item.lane == lane) {
            assert_in_range(item.place, 0, PLACES - 1);
            assert_false(sender.busy[item.place]);
            sender.busy[item.place] = true;
            sender.positions[item.place] = item.origin;
        }
    }
    return sender;
}

static int find_place(struct sender *sender) {
    struct index_item item;
    for (int place = 0; place < PLACES; place++) {
        if (sender->busy[place]) {
            int error = index_outcome(&sender->index, sender->positions[place], &item);
            sender->busy[place] = error == 0 && item.state <= INDEX_CLAIMED;
        }
        if (!sender->busy[place])
            return place;
    }
    return -1;
}

/* Sends its next message: 0 or -EAGAIN. */
static int send_one(struct sender *sender) {
    struct scene *scene = sender->scene;
    uint64_t number = shared64_get(&scene->numbers[sender->lane]);
    struct entry *entry = &scene->ledger[sender->lane][number];
    int place = find_place(sender);
    if (place < 0)
        return -EAGAIN;
    struct body body = {number, ~number ^ sender->lane};
    shared_write(&scene->bodies[sender->lane][place], &body, sizeof body);
    if (shared32_get(&entry->begun) != 0) {
        /* A dead one was at it: perhaps it was sent. */
        shared64_set(&scene->numbers[sender->lane], number + 1);
        return 0;
    }
    uint64_t position;
    /* Only a full index keeps it from being sent, and then it is tried again. */
    shared32_set(&entry->begun, 1);
    int error;
    while ((error = index_publish(&sender->index, (uint32_t)place, &position)) == -EAGAIN &&
           shared64_get(&scene->stop) == 0)
        sched_yield();
    if (error == 0) {
        shared32_set(&entry->sent, 1);
        sender->busy[place] = true;
        sender->positions[place] = position;
        shared64_set(&scene->numbers[sender->lane], number + 1);
    } else {
        shared32_set(&entry->begun, 0);
    }
    shared64_set(&scene->progress[sender->lane], shared64_get(&scene->progress[sender->lane]) + 1);
    return error;
}

/* ---- receivers ---- */

static struct entry *check_body(struct scene *scene, const struct index_item *claim) {
    struct body body;
    assert_in_range(claim->lane, 0, SENDERS - 1);
    assert_in_range(claim->place, 0, PLACES - 1);
    shared_read(&body, &scene->bodies[claim->lane][claim->place], sizeof body);
    assert_true(body.number < MOST);
    assert_true(body.check == (~body.number ^ claim->lane));
    return &scene->ledger[claim->lane][body.number];
}

/* Claims up to three, gives some back, finishes the others in any order. Result: how many
 * were finished. */
static int receive_some(struct scene *scene, struct index *index, uint64_t *random) {
    struct index_item claims[3];
    int count = 0, finished = 0, wanted = 1 + (int)(ground_random(random) % 3);
    while (count < wanted && index_find(index, NULL, NULL, false, &claims[count]) == 1)
        if (index_claim(index, &claims[count]) == 0)
            count++;
    for (int i = 0; i < count; i++) {
        struct entry *entry = check_body(scene, &claims[i]);
        shared32_add(claims[i].again ? &entry->again : &entry->fresh, 1);
        if (i > 0 && claims[i].lane == claims[i - 1].lane && !claims[i].again)
            assert_true(claims[i].origin > claims[i - 1].origin);
    }
    for (int i = count - 1; i >= 0; i--) {
        struct entry *entry = check_body(scene, &claims[i]);
        if (ground_random(random) % 16 == 0) {
            assert_int_equal(index_give_back(index, &claims[i]), 0);
            continue;
        }
        if (index_finish(index, &claims[i], INDEX_DONE) == 0) {
            shared32_add(&entry->finished, 1);
            finished++;
        }
    }
    shared64_add(&scene->received, (uint64_t)finished);
    shared64_add(&scene->progress[index->who], 1);
    return finished;
}

/* ---- threads ---- */

#define EACH 10000

struct role {
    struct scene *scene;
    uint32_t who;
    int result;
    pthread_t thread;
};

static void run_threads(struct role *roles, int count, void *(*function)(void *)) {
    for (int i = 0; i < count; i++)
        assert_int_equal(pthread_create(&roles[i].thread, NULL, function, &roles[i]), 0);
    for (int i = 0; i < count; i++)
        assert_int_equal(pthread_join(roles[i].thread, NULL), 0);
}

static void *pass_on(void *context) {
    const struct role *role = context;
    struct scene *scene = role->scene;
    if (role->who < SENDERS) {
        struct sender sender = begin_sender(scene, role->who);
        for (int sent = 0; sent < EACH;)
            sent += send_one(&sender) == 0;
    } else {
        struct index index = attach(scene, role->who);
        uint64_t random = role->who;
        while (shared64_get(&scene->received) < 2 * EACH)
            if (receive_some(scene, &index, &random) == 0)
                sched_yield();
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    struct scene *scene = make_scene(12);
    struct role roles[] = {{scene, 0, 0, 0}, {scene, 1, 0, 0}, {scene, 8, 0, 0}, {scene, 9, 0, 0}};
    run_threads(roles, 4, pass_on);
    for (int lane = 0; lane < 2; lane++)
        for (int i = 0; i < EACH; i++) {
            struct entry *entry = &scene->ledger[lane][i];
            assert_int_equal(entry->finished, 1);
            assert_int_equal(entry->fresh, 1);
        }
    assert_int_equal(scene->received, 2 * EACH);
}

static void *try_once(void *context) {
    struct role *role = context;
    struct index index = attach(role->scene, role->who);
    uint64_t position;
    /* All at once. */
    shared64_add(&role->scene->progress[0], 1);
    while (shared64_get(&role->scene->progress[0]) % 8 != 0)
        sched_yield();
    role->result = index_publish(&index, role->who, &position);
    return NULL;
}

static void test_exact(void **state) {
    (void)state;
    struct scene *scene = make_scene(4);
    struct index observer = attach(scene, 99);
    struct index_figures figures;
    for (int round = 0; round < 300; round++) {
        struct role roles[8];
        int sent = 0;
        for (uint32_t i = 0; i < 8; i++)
            roles[i] = (struct role){.scene = scene, .who = i};
        run_threads(roles, 8, try_once);
        for (int i = 0; i < 8; i++)
            sent += roles[i].result == 0;
        index_measure(&observer, &figures);
        assert_int_equal(sent, 4);
        assert_int_equal(figures.waiting, 4);
        assert_int_equal(index_settle_below(&observer, figures.tail, INDEX_PURGED), 4);
    }
}

static void *withdraw_or_claim(void *context) {
    struct role *role = context;
    struct scene *scene = role->scene;
    struct index index = attach(scene, role->who);
    struct index_item item;
    uint64_t position;
    for (uint32_t i = 0; i < EACH; i++) {
        if (role->who == 0) {
            assert_int_equal(index_publish(&index, i % PLACES, &position), 0);
            for (uint64_t wait = position % 50; wait > 0; wait--)
                shared_pause();
            int error = index_withdraw(&index, position, i % PLACES);
            assert_true(error == 0 || error == -EBUSY || error == -EALREADY);
            while (error == -EBUSY && index_outcome(&index, position, &item) == 0 &&
                   item.state == INDEX_CLAIMED)
                sched_yield();
            role->result += error == 0;
            shared64_set(&scene->stop, i == EACH - 1);
        }
        while (role->who == 1 && shared64_get(&scene->stop) == 0) {
            if (index_find(&index, NULL, NULL, false, &item) != 1 || index_claim(&index, &item) < 0)
                continue;
            assert_int_equal(index_finish(&index, &item, INDEX_DONE), 0);
            role->result++;
        }
    }
    return NULL;
}

static void test_withdrawal(void **state) {
    (void)state;
    struct scene *scene = make_scene(4);
    struct role roles[2] = {{scene, 0, 0, 0}, {scene, 1, 0, 0}};
    run_threads(roles, 2, withdraw_or_claim);
    assert_int_equal(roles[0].result + roles[1].result, EACH);
    assert_true(roles[0].result > 0);
}

static uint64_t slowest(struct scene *scene) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        uint64_t cursor = shared64_get_acquire(&scene->cursors[i]);
        least = cursor < least ? cursor : least;
    }
    return least;
}

static void *every_reader(void *context) {
    const struct role *role = context;
    struct scene *scene = role->scene;
    struct index index = attach(scene, role->who);
    index.in_order = true;
    struct index_item item;
    uint64_t position;
    if (role->who < SENDERS) {
        for (uint32_t i = 0; i < EACH; i++)
            while (index_publish(&index, i % INDEX_PLACES, &position) == -EAGAIN)
                if (index_settle_below(&index, slowest(scene), INDEX_DONE) == 0)
                    sched_yield();
        return NULL;
    }
    /* The reader's log is its column of the ledger: lane and place of each position. */
    struct entry *log = scene->ledger[role->who - SENDERS];
    for (position = 0; position < 3 * EACH; position++) {
        while (index_read(&index, position, &item) == 0)
            sched_yield();
        assert_int_equal(item.state, INDEX_PUBLISHED);
        assert_int_equal(item.origin, position);
        shared32_set(&log[position].begun, item.lane);
        shared32_set(&log[position].sent, item.place);
        shared64_set_release(&scene->cursors[role->who - SENDERS], position + 1);
    }
    return NULL;
}

static void test_every_reader(void **state) {
    (void)state;
    struct scene *scene = make_scene(16);
    struct role roles[] = {
        {scene, 0, 0, 0}, {scene, 1, 0, 0}, {scene, 2, 0, 0}, {scene, 8, 0, 0}, {scene, 9, 0, 0}};
    run_threads(roles, 5, every_reader);
    uint32_t next[3] = {0};
    assert_memory_equal(scene->ledger[0], scene->ledger[1], 3 * EACH * sizeof(struct entry));
    for (int i = 0; i < 3 * EACH; i++) {
        const struct entry *entry = &scene->ledger[0][i];
        assert_int_equal(entry->sent, next[entry->begun]++);
    }
}

/* ---- processes that are killed ---- */

struct job {
    struct scene *scene;
    uint32_t who;
};

static void be_sender(void *context) {
    const struct job *job = context;
    struct sender sender = begin_sender(job->scene, job->who);
    while (shared64_get(&job->scene->stop) == 0 &&
           shared64_get(&job->scene->numbers[job->who]) < MOST)
        if (send_one(&sender) < 0)
            sched_yield();
}

static void be_receiver(void *context) {
    const struct job *job = context;
    struct index index = attach(job->scene, job->who);
    uint64_t random = job->who + shared64_get(&job->scene->progress[job->who]) * 2 + 1;
    while (shared64_get(&job->scene->stop) == 0)
        if (receive_some(job->scene, &index, &random) == 0)
            sched_yield();
}

static pid_t start(struct scene *scene, uint32_t who) {
    struct job *job = malloc(sizeof *job);
    assert_non_null(job);
    *job = (struct job){scene, who};
    pid_t peer = harness_fork(who < SENDERS ? be_sender : be_receiver, job);
    free(job);
    return peer;
}

/* Everything that is still there, by somebody who is never killed. */
static void drain(struct scene *scene) {
    struct index index = attach(scene, 50);
    struct index_item item;
    while (index_find(&index, NULL, NULL, true, &item) == 1) {
        assert_int_equal(index_claim(&index, &item), 0);
        struct entry *entry = check_body(scene, &item);
        shared32_add(item.again ? &entry->again : &entry->fresh, 1);
        assert_int_equal(index_finish(&index, &item, INDEX_DONE), 0);
        shared32_add(&entry->finished, 1);
    }
    struct index_figures figures;
    index_measure(&index, &figures);
    assert_int_equal(figures.waiting + figures.held, 0);
}

/* What was sent was finished once; in doubt is at most one message for each kill. */
static void check_ledger(struct scene *scene, unsigned sender_kills, unsigned receiver_kills) {
    unsigned in_doubt = 0, uncounted = 0, unlogged = 0;
    uint64_t sent = 0;
    for (int lane = 0; lane < SENDERS; lane++) {
        for (uint64_t i = 0; i < shared64_get(&scene->numbers[lane]); i++) {
            const struct entry *entry = &scene->ledger[lane][i];
            in_doubt += entry->sent == 0;
            sent += entry->sent;
            assert_true(entry->finished <= 1);
            assert_true(entry->fresh <= 1);
            /* The finisher was killed before it could write it down. */
            uncounted += entry->sent == 1 && entry->finished == 0;
            unlogged += entry->sent == 1 && entry->fresh == 0;
        }
    }
    print_message("%llu sent, in doubt %u of %u, finished unseen %u, claimed unseen %u of %u\n",
                  (unsigned long long)sent, in_doubt, sender_kills, uncounted, unlogged,
                  receiver_kills);
    assert_true(in_doubt <= sender_kills);
    /* A receiver holds up to three. */
    assert_true(uncounted <= receiver_kills);
    assert_true(unlogged <= 3 * receiver_kills);
    assert_true(sent > 100);
}

static void test_kills(void **state) {
    (void)state;
    struct scene *scene = make_scene(12);
    const uint32_t who[] = {0, 1, 8, 9};
    struct index nurse = attach(scene, 60);
    pid_t peers[4];
    uint64_t random = 1234567;
    unsigned kills[2] = {0};
    struct timespec begin = {0};
    for (int i = 0; i < 4; i++)
        peers[i] = start(scene, who[i]);
    do {
        uint64_t i = ground_random(&random) % 4;
        ground_let_work(&scene->progress[who[i]], 1 + ground_random(&random) % 8, &random);
        ground_kill(peers[i]);
        kills[i / 2]++;
        index_take_back(&nurse, who[i]);
        peers[i] = start(scene, who[i]);
    } while (ground_goes_on(&begin));
    shared64_set(&scene->stop, 1);
    for (int i = 0; i < 4; i++)
        harness_join(peers[i]);
    drain(scene);
    check_ledger(scene, kills[0], kills[1]);
}

/* Senders killed at a full index: what rests is never more, and in the end never less. */
static void test_exact_after_kills(void **state) {
    (void)state;
    struct scene *scene = make_scene(4);
    struct index observer = attach(scene, 60);
    struct index_item item;
    struct index_figures figures;
    uint64_t random = 987654321, position;
    struct timespec begin = {0};
    pid_t peers[3];
    for (uint32_t i = 0; i < 3; i++)
        peers[i] = start(scene, i);
    while (ground_goes_on(&begin)) {
        for (uint64_t i = ground_random(&random) % 4; i > 0; i--) {
            index_measure(&observer, &figures);
            assert_true(figures.waiting <= 4);
            if (index_find(&observer, NULL, NULL, true, &item) == 1)
                assert_int_equal(index_settle(&observer, &item, INDEX_DROPPED), 0);
        }
        uint64_t victim = ground_random(&random) % 3;
        ground_kill(peers[victim]);
        index_measure(&observer, &figures);
        assert_true(figures.waiting <= 4);
        peers[victim] = start(scene, (uint32_t)victim);
    }
    for (int i = 0; i < 3; i++)
        ground_kill(peers[i]);
    while (index_publish(&observer, 0, &position) == 0)
        continue;
    index_measure(&observer, &figures);
    assert_int_equal(figures.waiting, 4);
}

/* One is stopped anywhere: the others go on, through many laps. */
static void test_stops(void **state) {
    (void)state;
    struct scene *scene = make_scene(12);
    const uint32_t who[] = {0, 1, 8, 9};
    pid_t peers[4];
    uint64_t random = 5555;
    struct timespec begin = {0};
    for (int i = 0; i < 4; i++)
        peers[i] = start(scene, who[i]);
    while (ground_goes_on(&begin)) {
        uint64_t i = ground_random(&random) % 4;
        ground_let_work(&scene->progress[who[i]], 1 + ground_random(&random) % 8, &random);
        harness_signal(peers[i], SIGSTOP);
        uint64_t goal = shared64_get(&scene->received) + 300;
        while (shared64_get(&scene->received) < goal && shared64_get(&scene->numbers[0]) < MOST &&
               shared64_get(&scene->numbers[1]) < MOST)
            sched_yield();
        harness_signal(peers[i], SIGCONT);
    }
    shared64_set(&scene->stop, 1);
    for (int i = 0; i < 4; i++)
        harness_join(peers[i]);
    drain(scene);
    check_ledger(scene, 0, 0);
}

static const struct harness_test tests[] = {
    {.name = "threads pass messages on", .function = test_threads},
    {.name = "of eight at once exactly four", .function = test_exact},
    {.name = "withdrawal or claim, never both", .function = test_withdrawal},
    {.name = "all readers, one order", .function = test_every_reader},
    {.name = "killed at random", .function = test_kills},
    {.name = "the capacity after kills", .function = test_exact_after_kills},
    {.name = "stopped at random", .function = test_stops},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
