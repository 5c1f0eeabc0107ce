/* SPDX-License-Identifier: MIT
 *
 * The scene in which two ends do everything that they can do with each other. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault/scenes.h"
#include "harness/harness.h"

#define FEW 8
#define MANY_ITEMS 40 /* more than chappe_wait() has room for without memory */
#define SMALL ((size_t)100)
#define LOOKS_MOST 2000

/* ---- getting to know each other ---- */

/* Memory that goes with its maker carries nothing until the other side has attached to it. */
static int introduce(struct scene *scene, chappe_endpoint *opener, chappe_endpoint *keeper) {
    chappe_wait_item item = {.endpoint = opener, .events = CHAPPE_WRITABLE};
    chappe_message *message = NULL;
    if (scene->is_pair || strstr(scene->address, "backing=sysv") == NULL)
        return 0;
    for (int i = 0; i < LOOKS_MOST; i++) {
        int result = chappe_receive(keeper, NULL, CHAPPE_NOW, &message);
        if (result != -EAGAIN && scene_check(scene, result) < 0 && !scene->once_more)
            return result;
        result = chappe_wait(&item, 1, CHAPPE_NOW);
        if (result > 0)
            return 0;
        if (result != -EAGAIN && scene_check(scene, result) < 0 && !scene->once_more)
            return result;
    }
    fail_msg("%s: the server never attaches to the memory", scene_text(scene));
    return -EDEADLK;
}

/* ---- a message with all that can go with it ---- */

static void check_field(const chappe_message *message, chappe_field field, int64_t value) {
    int64_t found = -1;
    assert_int_equal(chappe_get(message, field, &found), 0);
    assert_int_equal(found, value);
}

static void check_descriptors(chappe_message *message) {
    struct stat sent, came;
    int fd = chappe_take_fd(message, 0); /* the other one is the message's to close */
    assert_true(fd >= 0);
    assert_int_equal(fstat(scene_descriptors[0], &sent), 0);
    assert_int_equal(fstat(fd, &came), 0);
    assert_int_equal(sent.st_ino, came.st_ino);
    close(fd);
}

static int send_everything(struct scene *scene, chappe_endpoint *opener, chappe_endpoint *keeper) {
    bool sends_descriptors = chappe_supports(opener, CHAPPE_CAN_DESCRIPTORS) == CHAPPE_ACTS;
    chappe_settings settings = {.size = sizeof settings,
                                .type = 7,
                                .priority = 3,
                                .flags = CHAPPE_STAMP,
                                .correlation = 5,
                                .descriptors = scene_descriptors,
                                .descriptor_count = sends_descriptors ? 2 : 0};
    chappe_message *message;
    int result = scene_send(scene, opener, scene->size, &settings);
    if (result == 0)
        result = scene_receive(scene, opener, keeper, NULL, scene->size, &message);
    if (result < 0)
        return result;
    check_field(message, CHAPPE_TYPE, 7);
    check_field(message, CHAPPE_PRIORITY, 3);
    check_field(message, CHAPPE_CORRELATION, 5);
    check_field(message, CHAPPE_DESCRIPTORS, sends_descriptors ? 2 : 0);
    if (sends_descriptors)
        check_descriptors(message);
    chappe_release(message);
    return 0;
}

/* ---- a request and its reply ---- */

static int reply(struct scene *scene, chappe_endpoint *keeper, const chappe_message *message,
                 size_t size) {
    chappe_token token;
    int result;
    do
        result = scene_check(scene, chappe_token_of(message, &token));
    while (scene_tries_again(scene, result));
    while (result == 0) {
        result = chappe_reply(keeper, &token, scene_bytes, size, NULL, CHAPPE_NOW);
        if (result == -EAGAIN && !injection.done) {
            result = 0;
            continue;
        }
        result = scene_check(scene, result);
        if (!scene_tries_again(scene, result))
            break;
        result = 0;
    }
    return result;
}

static int ask(struct scene *scene, chappe_endpoint *opener, chappe_endpoint *keeper) {
    const chappe_settings settings = {
        .size = sizeof settings, .flags = CHAPPE_ASKS, .correlation = 11};
    const chappe_filter filter = {.size = sizeof filter, .correlation = 11};
    chappe_message *question, *answer;
    int result = scene_send(scene, opener, SMALL, &settings);
    if (result == 0)
        result = scene_receive(scene, opener, keeper, NULL, SMALL, &question);
    if (result < 0)
        return result;
    check_field(question, CHAPPE_IS_REQUEST, 1);
    result = reply(scene, keeper, question, scene->size);
    chappe_release(question);
    if (result == 0)
        result = scene_receive(scene, keeper, opener, &filter, scene->size, &answer);
    if (result == 0) {
        check_field(answer, CHAPPE_IS_REPLY, 1);
        chappe_release(answer);
    }
    return result;
}

/* chappe_request() with nobody there to answer in the same moment: it has to say so, and
 * the reply that comes late is thrown away. */
static int ask_in_vain(struct scene *scene, chappe_endpoint *opener, chappe_endpoint *keeper) {
    chappe_message *answer = NULL, *question;
    int result = chappe_request(opener, scene_bytes, SMALL, NULL, CHAPPE_NOW, &answer);
    assert_null(answer);
    if (result != -EAGAIN || strstr(chappe_error(), "no reply") == NULL) {
        if (result == -EAGAIN && !injection.done)
            return 0; /* the request itself had to wait: it was not sent */
        return scene_check(scene, result);
    }
    result = scene_receive(scene, opener, keeper, NULL, SMALL, &question);
    if (result < 0)
        return result;
    result = reply(scene, keeper, question, SMALL);
    chappe_release(question);
    return result;
}

/* ---- batches ---- */

static int send_batch(struct scene *scene, chappe_endpoint *opener) {
    chappe_item items[FEW];
    for (size_t i = 0; i < FEW; i++)
        items[i] = (chappe_item){.data = scene_bytes, .size = SMALL};
    for (size_t sent = 0; sent < FEW;) {
        int result = chappe_send_batch(opener, items + sent, FEW - sent, CHAPPE_NOW);
        if (result == -EAGAIN && !injection.done)
            continue;
        if (scene_check(scene, result) < 0 && !scene_tries_again(scene, result))
            return result;
        sent += result > 0 ? (size_t)result : 0;
    }
    return 0;
}

static int batch(struct scene *scene, chappe_endpoint *opener, chappe_endpoint *keeper) {
    chappe_message *messages[FEW];
    int result = send_batch(scene, opener);
    for (size_t got = 0; got < FEW && result >= 0;) {
        result = scene_receive(scene, opener, keeper, NULL, SMALL, &messages[0]);
        if (result < 0)
            break;
        chappe_release(messages[0]);
        if (++got == FEW)
            break;
        result = chappe_receive_batch(keeper, NULL, CHAPPE_NOW, messages, FEW - got);
        if (result == -EAGAIN || result == 0) {
            result = 0;
            continue;
        }
        if (scene_check(scene, result) < 0) {
            result = scene_tries_again(scene, result) ? 0 : result;
            continue;
        }
        for (int i = 0; i < result; i++)
            assert_memory_equal(messages[i]->data, scene_bytes, SMALL);
        chappe_release_batch(messages, (size_t)result);
        got += (size_t)result;
    }
    return result < 0 ? result : 0;
}

/* ---- a message written in place ---- */

static int reserve(struct scene *scene, chappe_endpoint *opener, chappe_endpoint *keeper) {
    chappe_settings settings = {.size = sizeof settings, .type = 9};
    chappe_message *message;
    int result;
    do
        result = scene_check(scene,
                             chappe_reserve(opener, scene->size, &settings, CHAPPE_NOW, &message));
    while (scene_tries_again(scene, result));
    if (result < 0)
        return result;
    memcpy(message->data, scene_bytes, scene->size);
    for (;;) {
        result = chappe_commit(message, scene->size, CHAPPE_NOW);
        if (result == -EAGAIN && !injection.done)
            continue;
        result = scene_check(scene, result);
        if (!scene_tries_again(scene, result))
            break;
    }
    if (result < 0)
        chappe_abandon(message); /* it stayed the caller's */
    else
        result = scene_receive(scene, opener, keeper, NULL, scene->size, &message);
    if (result == 0)
        chappe_release(message);
    return result;
}

/* ---- waiting ---- */

static bool is_readable(int fd) {
    struct pollfd item = {.fd = fd, .events = POLLIN};
    return poll(&item, 1, 0) == 1;
}

/* Once chappe_fd() has given a descriptor, it has to tell of a message. */
static int watch(struct scene *scene, chappe_endpoint *opener, chappe_endpoint *keeper) {
    int result, fd;
    do
        result = fd = scene_check(scene, chappe_fd(keeper, CHAPPE_READABLE));
    while (scene_tries_again(scene, result));
    if (fd < 0)
        return fd;
    do
        result = scene_check(scene, chappe_fd(opener, CHAPPE_READABLE | CHAPPE_WRITABLE));
    while (scene_tries_again(scene, result));
    if (result < 0)
        return result;
    chappe_message *message;
    result = scene_send(scene, opener, SMALL, NULL);
    if (result < 0)
        return result;
    if (injection.done && !is_readable(fd)) { /* a bell may have failed: the sender knows */
        chappe_wait_item item = {.endpoint = opener, .events = CHAPPE_READABLE};
        (void)chappe_wait(&item, 1, CHAPPE_NOW);
    }
    /* A bell that was refused for now stands for a full socket, which rings; and who is told
     * that the other side has gone rings no more. */
    bool may_be_silent = injection.tires || (injection.done && injection.error == EPIPE);
    if (!may_be_silent && !is_readable(fd))
        fail_msg("%s: a message is there, the descriptor of chappe_fd() does not tell",
                 scene_text(scene));
    result = scene_receive(scene, opener, keeper, NULL, SMALL, &message);
    if (result == 0)
        chappe_release(message);
    return result;
}

static int wait_for_many(struct scene *scene, chappe_endpoint *opener, chappe_endpoint *keeper) {
    chappe_wait_item items[MANY_ITEMS];
    chappe_message *message;
    int result = scene_send(scene, opener, SMALL, NULL);
    /* A bell that was refused for now is rung again by the sender's next calls. */
    chappe_wait_item own = {.endpoint = opener, .events = CHAPPE_READABLE};
    for (int i = 0; i < 32 && injection.tires; i++)
        (void)chappe_wait(&own, 1, CHAPPE_NOW);
    for (size_t i = 0; i < MANY_ITEMS; i++)
        items[i] = (chappe_wait_item){.endpoint = keeper, .events = CHAPPE_READABLE};
    for (size_t count = 1; result >= 0 && count <= MANY_ITEMS; count += MANY_ITEMS - 1) {
        do
            result = chappe_wait(items, count, chappe_in_ms(1000));
        while (result < 0 && injection.done && scene_tries_again(scene, result));
        if (result < 0 && (!injection.done || chappe_error()[0] == '\0'))
            fail_msg("%s: waiting answers %d (%s)", scene_text(scene), result, chappe_error());
        scene->failed |= result < 0;
        if (result >= 0)
            assert_int_equal(result, count);
    }
    if (result < 0)
        return result;
    result = scene_receive(scene, opener, keeper, NULL, SMALL, &message);
    if (result == 0)
        chappe_release(message);
    return result;
}

/* ---- the end ---- */

static int finish(struct scene *scene, chappe_endpoint *opener, chappe_endpoint *keeper) {
    chappe_message *message = NULL;
    int result = chappe_finish(opener, chappe_in_ms(1000));
    if (result == -ENOTSUP && !injection.done)
        return 0; /* datagrams have no end */
    if (scene_check(scene, result) < 0 && scene_tries_again(scene, result))
        result = scene_check(scene, chappe_finish(opener, chappe_in_ms(1000)));
    if (result < 0 || !scene->is_pair)
        return result;
    for (int i = 0; i < 100; i++) {
        result = chappe_receive(keeper, NULL, CHAPPE_NOW, &message);
        if (result == CHAPPE_END)
            return 0;
        if (result != -EAGAIN || injection.done)
            result = scene_check(scene, result);
        if (result < 0 && injection.done && !scene_tries_again(scene, result))
            return result;
    }
    fail_msg("%s: the end never comes", scene_text(scene));
    return result;
}

void scene_exchange(struct scene *scene) {
    static int (*const steps[])(struct scene *, chappe_endpoint *, chappe_endpoint *) = {
        introduce, send_everything, ask, ask_in_vain,     batch, reserve,
        watch,     wait_for_many,   ask, send_everything, finish};
    chappe_endpoint *opener, *keeper;
    int result = scene_ends(scene, &opener, &keeper);
    if (result < 0)
        return;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && result >= 0; i++)
        result = steps[i](scene, opener, keeper);
    scene_close(scene, &opener);
    scene_close(scene, &keeper);
}
