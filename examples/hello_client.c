/* SPDX-License-Identifier: MIT
 * Asks hello_server. The address decides how: "unix:///tmp/hello", "unix://@hello", … */
#include <chappe/chappe.h>
#include <stdio.h>

int main(int argc, char **argv) {
    const char *address = argc > 1 ? argv[1] : "unix://@hello";
    chappe_deadline deadline = chappe_in_ms(10000);
    chappe_endpoint *client = NULL;
    chappe_message *answer = NULL;
    int failed = chappe_open(address, NULL, deadline, &client) ||
                 chappe_request(client, "who is there?", 13, NULL, deadline, &answer);
    if (failed)
        fprintf(stderr, "%s\n", chappe_error());
    else
        printf("%.*s\n", (int)answer->size, (const char *)answer->data);
    chappe_release(answer);
    return chappe_close(client, CHAPPE_NOW, NULL) || failed;
}
