/* SPDX-License-Identifier: MIT
 *
 * Smaller scenes, for what the large one does not come by. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#include "fault/scenes.h"
#include "harness/harness.h"

#define CLIENTS 3
#define SMALL ((size_t)100)
#define TINY ((size_t)20) /* fits into a socket a byte at a time, unread */

/* ---- connections one by one ---- */

/* A reply that is there before the request is sent: so one thread can play both sides. */
static int request(struct scene *scene, chappe_endpoint *client, chappe_endpoint *accepted) {
    const chappe_settings settings = {.size = sizeof settings, .correlation = 77};
    chappe_message *answer, *question;
    int result =
        scene_check(scene, chappe_send(accepted, scene_bytes, TINY, &settings, CHAPPE_FOREVER));
    if (result < 0)
        return result;
    result = scene_check(
        scene, chappe_request(client, scene_bytes, TINY, &settings, chappe_in_ms(1000), &answer));
    if (result == CHAPPE_END || result < 0)
        return result == CHAPPE_END ? -ECONNRESET : result;
    assert_int_equal(answer->size, TINY);
    assert_memory_equal(answer->data, scene_bytes, TINY);
    chappe_release(answer);
    result = scene_receive(scene, client, accepted, NULL, TINY, &question);
    if (result == 0)
        chappe_release(question);
    return result;
}

void scene_accept(struct scene *scene) {
    chappe_endpoint *client, *server, *accepted = NULL;
    int result = scene_ends(scene, &client, &server);
    if (result < 0)
        return;
    do
        result = scene_check(scene, chappe_accept(server, chappe_in_ms(1000), &accepted));
    while (scene_tries_again(scene, result));
    if (result == 0)
        result = request(scene, client, accepted);
    if (result == 0)
        request(scene, accepted, client);
    scene_close(scene, &server);
    scene_close(scene, &client);
    scene_close(scene, &accepted);
}

/* ---- a server and many clients ---- */

static bool comes_soon(chappe_endpoint *server, chappe_message **ret_message) {
    for (int i = 0; i < 2000; i++)
        if (chappe_receive(server, NULL, CHAPPE_NOW, ret_message) == 0)
            return true;
    return false;
}

/* What a server could not take in, for lack of something, it takes when a client leaves. */
static void meet(struct scene *scene, chappe_endpoint *server, chappe_endpoint **clients) {
    chappe_message *message;
    size_t came = 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        int result =
            scene_check(scene, chappe_open(scene->address, NULL, chappe_in_ms(1000), &clients[i]));
        if (result == 0)
            result = scene_check(scene,
                                 chappe_send(clients[i], scene_bytes, SMALL, NULL, CHAPPE_FOREVER));
        if (result < 0)
            return;
        if (comes_soon(server, &message)) {
            assert_int_equal(message->size, SMALL);
            chappe_release(message);
            came++;
        }
    }
    if (came == CLIENTS)
        return;
    assert_true(injection.done);
    scene->failed = true;
    chappe_undelivered left = {.size = sizeof left};
    for (size_t i = 0; i < CLIENTS; i++)
        chappe_close(clients[i], CHAPPE_NOW, &left);
    memset(clients, 0, CLIENTS * sizeof *clients);
    while (comes_soon(server, &message))
        chappe_release(message);
    /* Whatever it was: a new client is served. */
    int result = chappe_open(scene->address, NULL, chappe_in_ms(1000), &clients[0]);
    assert_int_equal(result, 0);
    assert_int_equal(chappe_send(clients[0], scene_bytes, SMALL, NULL, CHAPPE_NOW), 0);
    if (!comes_soon(server, &message))
        fail_msg("%s: a server serves nobody any more", scene_text(scene));
    chappe_release(message);
}

void scene_clients(struct scene *scene) {
    chappe_endpoint *server, *clients[CLIENTS] = {NULL};
    int result = scene_check(scene, chappe_listen(scene->address, NULL, CHAPPE_NOW, &server));
    if (result < 0)
        return;
    meet(scene, server, clients);
    for (size_t i = 0; i < CLIENTS; i++)
        scene_close(scene, &clients[i]);
    scene_close(scene, &server);
}

/* ---- nobody reads ---- */

void scene_slow(struct scene *scene) {
    chappe_endpoint *opener, *keeper;
    chappe_message *message;
    int result = scene_ends(scene, &opener, &keeper);
    if (result < 0)
        return;
    int sent =
        scene_check(scene, chappe_send(opener, scene_bytes, scene->size, NULL, chappe_in_ms(1)));
    if (sent == 0)
        result = scene_receive(scene, opener, keeper, NULL, scene->size, &message);
    if (sent == 0 && result == 0)
        chappe_release(message);
    /* “Every failure: nothing was sent”, but for a torn connection, which then stays torn. */
    bool torn = sent == -ECONNABORTED || sent == -EPIPE || sent == -ECONNRESET;
    if (result == 0 && !torn) {
        result = scene_send(scene, opener, SMALL, NULL);
        if (result == 0)
            result = scene_receive(scene, opener, keeper, NULL, SMALL, &message);
        if (result == 0)
            chappe_release(message);
        if (result < 0 && sent < 0)
            fail_msg("%s: sending failed with %d, and what was sent after it fails with %d",
                     scene_text(scene), sent, result);
    }
    scene_close(scene, &opener);
    scene_close(scene, &keeper);
}

/* ---- the socket of a dead server ---- */

void scene_takeover(struct scene *scene) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    chappe_endpoint *opener, *keeper;
    chappe_message *message;
    const char *path = strstr(scene->address, "://") + 3;
    snprintf(name.sun_path, sizeof name.sun_path, "%.*s", (int)strcspn(path, "?"), path);
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(dead >= 0);
    if (bind(dead, (const struct sockaddr *)&name, sizeof name) < 0)
        assert_int_equal(errno, EADDRINUSE); /* one that an earlier run could not remove */
    close(dead);
    int result = scene_ends(scene, &opener, &keeper);
    if (result < 0) {
        unlink(name.sun_path); /* still there: it was not taken over */
        return;
    }
    result = scene_send(scene, opener, SMALL, NULL);
    if (result == 0)
        result = scene_receive(scene, opener, keeper, NULL, SMALL, &message);
    if (result == 0)
        chappe_release(message);
    scene_close(scene, &opener);
    scene_close(scene, &keeper);
}

/* ---- descriptors that are there already ---- */

static void use_descriptors(struct scene *scene, int in, int out, bool is_file) {
    chappe_endpoint *both = NULL;
    chappe_message *message;
    snprintf(scene->address, sizeof scene->address, "pipe://%d,%d", in, out);
    int result = scene_check(scene, chappe_open(scene->address, NULL, CHAPPE_NOW, &both));
    if (result < 0)
        return;
    result = scene_send(scene, both, SMALL, NULL);
    if (result == 0 && is_file)
        lseek(in, 0, SEEK_SET); /* the one place where both have their position */
    if (result == 0)
        result = scene_receive(scene, both, both, NULL, SMALL, &message);
    if (result == 0)
        chappe_release(message);
    scene_close(scene, &both);
}

void scene_descriptor_ends(struct scene *scene) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    use_descriptors(scene, ends[0], ends[1], false);
    close(ends[0]);
    close(ends[1]);
    int file = memfd_create("file", MFD_CLOEXEC);
    assert_true(file >= 0);
    if (!scene->failed)
        use_descriptors(scene, file, file, true);
    close(file);
}

/* ---- a reader that is gone ---- */

static bool pipe_signal_is_blocked(void) {
    sigset_t mask;
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    return sigismember(&mask, SIGPIPE) == 1;
}

void scene_reader_gone(struct scene *scene) {
    chappe_endpoint *opener, *keeper;
    if (scene_ends(scene, &opener, &keeper) < 0)
        return;
    scene_close(scene, &keeper);
    int result;
    do
        result = chappe_send(opener, scene_bytes, SMALL, NULL, CHAPPE_NOW);
    while (result == -EAGAIN && !injection.done);
    assert_true(result < 0); /* and SIGPIPE has not ended this process */
    if (result == -EPIPE)
        assert_non_null(strstr(chappe_error(), "the other side is gone"));
    else
        scene_check(scene, result);
    assert_false(pipe_signal_is_blocked());
    scene_close(scene, &opener);
}

/* ---- in a process that has not used the library yet ---- */

void scene_process_mark(struct scene *scene) {
    chappe_endpoint *opener, *keeper;
    chappe_message *message;
    int result = scene_ends(scene, &opener, &keeper);
    if (result < 0)
        return;
    result = scene_send(scene, opener, SMALL, NULL);
    if (result == 0)
        result = scene_receive(scene, opener, keeper, NULL, SMALL, &message);
    if (result == 0)
        chappe_release(message);
    scene_close(scene, &opener);
    scene_close(scene, &keeper);
}

/* ---- with a log on standard error ---- */

void scene_log(struct scene *scene) {
    setenv("CHAPPE_LOG", "debug", 1);
    scene_process_mark(scene);
    unsetenv("CHAPPE_LOG");
}
