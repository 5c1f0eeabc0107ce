/* SPDX-License-Identifier: MIT
 * How long a call waits, and what an error says. */
#include <chappe/chappe.h>
#include <errno.h>
#include <stdio.h>

int main(void) {
    chappe_endpoint *ours = NULL, *theirs = NULL;
    chappe_message *message = NULL;
    int file = 0;
    chappe_settings settings = {
        .size = sizeof settings, .descriptors = &file, .descriptor_count = 1};
    if (chappe_pair("pipe://", NULL, &ours, &theirs) != 0)
        return 1;
    if (chappe_receive(ours, NULL, CHAPPE_NOW, &message) == -EAGAIN)
        printf("nothing here\n");
    if (chappe_receive(ours, NULL, chappe_in_ms(250), &message) == -ETIMEDOUT)
        printf("%s\n", chappe_error());
    if (chappe_send(ours, "a file", 6, &settings, CHAPPE_FOREVER) == -ENOTSUP)
        printf("%s\n", chappe_error());
    chappe_close(theirs, CHAPPE_NOW, NULL);
    if (chappe_receive(ours, NULL, CHAPPE_FOREVER, &message) == CHAPPE_END)
        printf("the other side closed\n");
    return chappe_close(ours, CHAPPE_NOW, NULL) != 0;
}
