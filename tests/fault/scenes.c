/* SPDX-License-Identifier: MIT
 *
 * Two ends and what they can do with each other. */
#include "fault/scenes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "harness/harness.h"

#define ROUNDS_MOST 100000 /* of looking for a message that has to come */
#define STALLED_MOST 2000  /* of those in which nothing at all happened */

unsigned char scene_bytes[1 << 20];
int scene_descriptors[2];

void scene_prepare(void) {
    uint32_t number = 1;
    for (size_t i = 0; i < sizeof scene_bytes; i++) {
        number = number * 1664525 + 1013904223;
        scene_bytes[i] = (unsigned char)(number >> 24);
    }
    for (int i = 0; i < 2; i++)
        scene_descriptors[i] = memfd_create("sent", MFD_CLOEXEC);
    assert_true(scene_descriptors[1] > 0);
}

const char *scene_text(const struct scene *scene) {
    static char text[256];
    if (injection.at == 0)
        snprintf(text, sizeof text, "%s%s%s%s", scene->name,
                 injection.interrupts ? ", interrupted" : "",
                 injection.tires ? ", refused for now" : "",
                 injection.crawls ? ", a byte at a time" : "");
    else
        snprintf(text, sizeof text, "%s, %s number %zu failing with %s", scene->name,
                 calls[injection.call].name, injection.at, strerrorname_np(injection.error));
    return text;
}

int scene_check(struct scene *scene, int result) {
    const char *sentence = chappe_error();
    if (result < 0) {
        if (!injection.done)
            fail_msg("%s: answers %d (%s) and nothing had failed", scene_text(scene), result,
                     sentence);
        if (result < -4095 || sentence[0] == '\0' || strstr(sentence, scene->address) == NULL)
            fail_msg("%s: answers %d with the sentence \"%s\"", scene_text(scene), result,
                     sentence);
        scene->failed = true;
    }
    error_set(0, "%s", ""); /* so that the next one cannot be an old one */
    return result;
}

/* Gone, damaged, or told to be lost: a second try cannot help. */
static bool is_final(int result) {
    return result == -EPIPE || result == -ECONNRESET || result == -ECONNABORTED ||
           result == -EBADMSG || result == -EMFILE || result == -ESTALE;
}

bool scene_tries_again(struct scene *scene, int result) {
    if (result >= 0 || !scene->once_more || scene->retried || is_final(result))
        return false;
    return scene->retried = true;
}

static void note_line(void *context, chappe_log_level level, const char *line) {
    struct scene *scene = context;
    scene->told |= level == CHAPPE_LOG_WARNING && line[0] != '\0';
}

int scene_ends(struct scene *scene, chappe_endpoint **ret_opener, chappe_endpoint **ret_keeper) {
    const chappe_options options = {.size = sizeof options, .log = note_line, .log_context = scene};
    const chappe_options *log = scene->run == scene_log ? NULL : &options;
    chappe_endpoint *opener = NULL, *keeper = NULL;
    int result;
    if (scene->is_pair) {
        do
            result = scene_check(scene, chappe_pair(scene->address, log, &opener, &keeper));
        while (scene_tries_again(scene, result));
    } else {
        do
            result = scene_check(scene, chappe_listen(scene->address, log, CHAPPE_NOW, &keeper));
        while (scene_tries_again(scene, result));
        while (result == 0) {
            result =
                scene_check(scene, chappe_open(scene->address, log, chappe_in_ms(1000), &opener));
            if (!scene_tries_again(scene, result))
                break;
            result = 0;
        }
    }
    if (result < 0) {
        assert_null(opener); /* outputs stay untouched on failure */
        scene_close(scene, &keeper);
        return result;
    }
    *ret_opener = opener;
    *ret_keeper = keeper;
    return 0;
}

void scene_close(struct scene *scene, chappe_endpoint **endpoint) {
    chappe_undelivered left = {.size = sizeof left};
    int result = chappe_close(*endpoint, CHAPPE_NOW, &left);
    if (result != 0)
        fail_msg("%s: closing answers %d (%s)", scene_text(scene), result, chappe_error());
    *endpoint = NULL;
}

int scene_send(struct scene *scene, chappe_endpoint *from, size_t size,
               const chappe_settings *settings) {
    for (int i = 0; i < ROUNDS_MOST; i++) {
        int result = chappe_send(from, scene_bytes, size, settings, CHAPPE_NOW);
        if (result == -EAGAIN && !injection.done)
            continue; /* an injected one, or no room yet */
        result = scene_check(scene, result);
        if (!scene_tries_again(scene, result))
            return result;
    }
    fail_msg("%s: sending %zu bytes never ends", scene_text(scene), size);
    return -EDEADLK;
}

/* Lets the sender pass on what it holds. Result: BROKEN if its other side is gone. */
static int pass_on(struct scene *scene, chappe_endpoint *from) {
    chappe_wait_item item = {.endpoint = from, .events = CHAPPE_READABLE};
    int ready = chappe_wait(&item, 1, CHAPPE_NOW);
    if (ready < 0 && ready != -EAGAIN) {
        if (!injection.done || chappe_error()[0] == '\0')
            fail_msg("%s: waiting answers %d (%s)", scene_text(scene), ready, chappe_error());
        return scene->once_more ? 0 : ready;
    }
    if (ready > 0 && (item.ready & CHAPPE_BROKEN) != 0)
        return -ECONNRESET;
    chappe_message *message = NULL;
    int result = ready > 0 ? chappe_receive(from, NULL, CHAPPE_NOW, &message) : -EAGAIN;
    if (result == 0)
        fail_msg("%s: a message came back that nobody sent", scene_text(scene));
    if (result < 0 && result != -EAGAIN) {
        result = scene_check(scene, result);
        return scene->once_more ? 0 : result;
    }
    return result == CHAPPE_END ? -ECONNRESET : 0;
}

static int check_body(struct scene *scene, const chappe_message *message, size_t size) {
    if (message->size != size || memcmp(message->data, scene_bytes, size) != 0)
        fail_msg("%s: %zu bytes came where %zu were sent, or others", scene_text(scene),
                 message->size, size);
    return 0;
}

/* In a shortage a message may be lost, if that is told; what is sent after it still comes. */
static int check_goes_on(struct scene *scene, chappe_endpoint *from, chappe_endpoint *to) {
    scene->failed = true;
    if (is_final(-injection.error))
        return -ECONNRESET; /* whoever gets this has no other side: nobody waits there */
    int result = chappe_send(from, scene_bytes, 100, NULL, CHAPPE_NOW);
    if (is_final(result) || result == -EDESTADDRREQ)
        return -ENOMSG;
    chappe_message *message;
    for (int i = 0; i < 100; i++) {
        if (chappe_receive(to, NULL, CHAPPE_NOW, &message) == 0) {
            check_body(scene, message, 100);
            chappe_release(message);
            return -ENOMSG;
        }
        pass_on(scene, from);
    }
    fail_msg("%s: after a message that was lost, none comes any more", scene_text(scene));
    return -EDEADLK;
}

int scene_receive(struct scene *scene, chappe_endpoint *from, chappe_endpoint *to,
                  const chappe_filter *filter, size_t size, chappe_message **ret_message) {
    for (int i = 0; i < ROUNDS_MOST; i++) {
        int result = chappe_receive(to, filter, CHAPPE_NOW, ret_message);
        if (result == 0)
            return check_body(scene, *ret_message, size);
        if (result == -EAGAIN) {
            if ((result = from != to ? pass_on(scene, from) : 0) == 0) {
                if (injection.done && i > STALLED_MOST)
                    break;
                continue;
            }
            result = injection.done ? result : -EDEADLK;
            scene->failed = true;
            return result;
        }
        if (result == CHAPPE_END && injection.done) {
            scene->failed = true;
            return -ECONNRESET;
        }
        result = scene_check(scene, result);
        if (!scene_tries_again(scene, result))
            return result;
    }
    if (scene->failed || scene->told || is_final(-injection.error))
        return check_goes_on(scene, from, to);
    fail_msg("%s: a message of %zu bytes was sent, no failure was told, and it never comes",
             scene_text(scene), size);
    return -EDEADLK;
}
