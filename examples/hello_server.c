/* SPDX-License-Identifier: MIT
 * Answers one request. Run hello_server ADDRESS, then hello_client ADDRESS. */
#include <chappe/chappe.h>
#include <stdio.h>

int main(int argc, char **argv) {
    chappe_endpoint *server = NULL;
    chappe_message *question = NULL;
    chappe_token asker;
    int failed = chappe_listen(argc > 1 ? argv[1] : "unix://@hello", NULL, CHAPPE_NOW, &server) ||
                 chappe_receive(server, NULL, chappe_in_ms(10000), &question) ||
                 chappe_token_of(question, &asker) ||
                 chappe_reply(server, &asker, "hello, world", 12, NULL, CHAPPE_NOW);
    if (failed)
        fprintf(stderr, "%s\n", chappe_error());
    else
        printf("%.*s\n", (int)question->size, (const char *)question->data);
    chappe_release(question);
    return chappe_close(server, chappe_in_ms(1000), NULL) || failed;
}
