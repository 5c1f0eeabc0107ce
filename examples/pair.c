/* SPDX-License-Identifier: MIT
 * A parent and its child over pipes: numbers there, their sum back. */
#include <chappe/chappe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", chappe_error());
        exit(1);
    }
}

static void child(chappe_endpoint *end) {
    chappe_message *message = NULL;
    long sum = 0;
    int outcome;
    while ((outcome = chappe_receive(end, NULL, CHAPPE_FOREVER, &message)) == 0) {
        long number;
        memcpy(&number, message->data, sizeof number); /* data need not be aligned */
        sum += number;
        chappe_release(message);
    }
    check(outcome); /* CHAPPE_END is no failure */
    check(chappe_send(end, &sum, sizeof sum, NULL, CHAPPE_FOREVER));
    check(chappe_close(end, chappe_in_ms(1000), NULL));
}

int main(void) {
    chappe_endpoint *ours = NULL, *theirs = NULL;
    chappe_message *message = NULL;
    check(chappe_pair("pipe://", NULL, &ours, &theirs));
    pid_t pid = fork();
    if (pid == 0) {
        chappe_close(ours, CHAPPE_NOW, NULL);
        child(theirs);
        return 0;
    }
    chappe_close(theirs, CHAPPE_NOW, NULL);
    for (long number = 1; number <= 100; number++)
        check(chappe_send(ours, &number, sizeof number, NULL, CHAPPE_FOREVER));
    check(chappe_finish(ours, CHAPPE_FOREVER)); /* the child sees the end */
    check(chappe_receive(ours, NULL, chappe_in_ms(5000), &message));
    long sum;
    memcpy(&sum, message->data, sizeof sum);
    printf("1 + 2 + … + 100 = %ld\n", sum);
    chappe_release(message);
    chappe_close(ours, CHAPPE_NOW, NULL);
    return waitpid(pid, NULL, 0) == pid ? 0 : 1;
}
