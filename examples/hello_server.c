/* SPDX-License-Identifier: MIT
 * Answers one request. Run hello_server ADDRESS, then hello_client ADDRESS. */
#include <chappe/chappe.h>
#include <stdio.h>

int main(int argc, char **argv) {
    const char *address = argc > 1 ? argv[1] : "unix://@hello";
    chappe_endpoint *server = NULL;
    chappe_message *question = NULL;
    chappe_token asker;
    if (chappe_listen(address, NULL, CHAPPE_NOW, &server) != 0 ||
        chappe_receive(server, NULL, chappe_in_ms(10000), &question) != 0 ||
        chappe_token_of(question, &asker) != 0 ||
        chappe_reply(server, &asker, "hello, world", 12, NULL, CHAPPE_NOW) != 0)
        fprintf(stderr, "%s\n", chappe_error());
    else
        printf("%.*s\n", (int)question->size, (const char *)question->data);
    chappe_release(question);
    return chappe_close(server, chappe_in_ms(1000), NULL);
}
