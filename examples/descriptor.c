/* SPDX-License-Identifier: MIT
 * Passes an open file to another process, with a message. */
#include <chappe/chappe.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int child(chappe_endpoint *end) {
    chappe_message *message = NULL;
    char line[64];
    if (chappe_receive(end, NULL, chappe_in_ms(5000), &message) != 0)
        return 1;
    FILE *file = fdopen(chappe_take_fd(message, 0), "r"); /* ours to close from here */
    if (file != NULL && fgets(line, sizeof line, file) != NULL)
        printf("%.*s: %s", (int)message->size, (const char *)message->data, line);
    if (file != NULL)
        fclose(file);
    chappe_release(message);
    return chappe_close(end, CHAPPE_NOW, NULL);
}

int main(void) {
    chappe_endpoint *ours = NULL, *theirs = NULL;
    if (chappe_pair("unix://", NULL, &ours, &theirs) != 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        chappe_close(ours, CHAPPE_NOW, NULL);
        return child(theirs);
    }
    chappe_close(theirs, CHAPPE_NOW, NULL);
    FILE *file = tmpfile();
    fputs("text in a file without a name\n", file);
    rewind(file);
    int descriptor = fileno(file);
    chappe_settings settings = {
        .size = sizeof settings, .descriptors = &descriptor, .descriptor_count = 1};
    int status = 1, result = chappe_send(ours, "the file", 8, &settings, chappe_in_ms(5000));
    if (result < 0)
        fprintf(stderr, "%s\n", chappe_error());
    chappe_close(ours, chappe_in_ms(5000), NULL);
    fclose(file);
    waitpid(pid, &status, 0);
    return result < 0 || status != 0;
}
