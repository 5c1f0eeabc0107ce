/* SPDX-License-Identifier: MIT
 * A server in an epoll loop of its own: any number of clients, ended by a line on standard
 * input or its end. The same descriptor fits any event loop. */
#include <chappe/chappe.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Answers whatever is at hand. */
static int serve(chappe_endpoint *server) {
    chappe_message *message = NULL;
    chappe_token asker;
    int result;
    while ((result = chappe_receive(server, NULL, CHAPPE_NOW, &message)) == 0) {
        chappe_token_of(message, &asker);
        if (chappe_reply(server, &asker, message->data, message->size, NULL, CHAPPE_NOW) != 0)
            fprintf(stderr, "%s\n", chappe_error()); /* that asker's loss alone */
        chappe_release(message);
    }
    return result == -EAGAIN ? 0 : result;
}

int main(int argc, char **argv) {
    chappe_endpoint *server = NULL;
    int result = chappe_listen(argc > 1 ? argv[1] : "unix://@hello", NULL, CHAPPE_NOW, &server);
    int descriptor = result == 0 ? chappe_fd(server, CHAPPE_READABLE) : -1;
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    epoll_ctl(loop, EPOLL_CTL_ADD, descriptor, &event);
    event.data.fd = STDIN_FILENO;
    epoll_ctl(loop, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    while (result == 0 && epoll_wait(loop, &event, 1, -1) == 1) {
        if (event.data.fd == STDIN_FILENO)
            break;
        result = serve(server);
    }
    if (result < 0)
        fprintf(stderr, "%s\n", chappe_error());
    close(loop);
    chappe_close(server, CHAPPE_NOW, NULL);
    return result < 0;
}
