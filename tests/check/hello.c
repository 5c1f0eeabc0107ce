/* SPDX-License-Identifier: MIT
 *
 * A program as a user would write it: two processes say hello over a Unix socket.
 */
#include <chappe/chappe.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, chappe_error());
    return 1;
}

static int greet(const char *address) {
    chappe_deadline deadline = chappe_in_ms(10000);
    chappe_endpoint *server;
    chappe_message *reply;
    if (chappe_open(address, NULL, deadline, &server) < 0)
        return fail("open");
    if (chappe_request(server, "hello", 5, NULL, deadline, &reply) != 0)
        return fail("request");
    int same = reply->size == 11 && memcmp(reply->data, "hello world", 11) == 0;
    chappe_release(reply);
    chappe_close(server, deadline, NULL);
    return same ? 0 : 1;
}

static int serve(const char *address) {
    chappe_deadline deadline = chappe_in_ms(10000);
    chappe_endpoint *server;
    chappe_message *message;
    chappe_token token;
    char text[64];
    if (chappe_listen(address, NULL, deadline, &server) < 0)
        return fail("listen");
    if (chappe_receive(server, NULL, deadline, &message) != 0)
        return fail("receive");
    if (chappe_token_of(message, &token) < 0)
        return fail("token");
    int size =
        snprintf(text, sizeof text, "%.*s world", (int)message->size, (const char *)message->data);
    chappe_release(message);
    if (chappe_reply(server, &token, text, (size_t)size, NULL, deadline) < 0)
        return fail("reply");
    return chappe_close(server, deadline, NULL) < 0 ? fail("close") : 0;
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    pid_t child = fork();
    if (child < 0)
        return 1;
    if (child == 0)
        _exit(greet(argv[1]));
    int served = serve(argv[1]);
    int status = 1;
    if (waitpid(child, &status, 0) != child || status != 0 || served != 0)
        return 1;
    printf("hello world, chappe %s\n", chappe_version());
    return 0;
}
