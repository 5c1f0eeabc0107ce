/* SPDX-License-Identifier: MIT
 *
 * The program chappe: finds the command and runs it.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "help.h"

/* A standard descriptor that is closed would become the next socket that is opened, and
 * data would go there. Each is filled with something on which its use fails. */
static void main_fill_standard(void) {
    static const int modes[] = {
        [STDIN_FILENO] = O_WRONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_RDONLY};

    for (int i = 0; i <= STDERR_FILENO; i++) {
        if (fcntl(i, F_GETFD) < 0 && errno == EBADF) {
            /* The lowest free number is this one. */
            (void)open("/dev/null", modes[i]);
        }
    }
}

static int main_run(int argc, char **argv, struct output *output) {
    static char version[] = "version";
    const struct command *command;

    if (argc < 2) {
        complain("no command: try chappe tour, chappe help or chappe send --help");
        return STATUS_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help_overview(output);
        return STATUS_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        argv[1] = version;
    }
    command = command_find(argv[1]);
    if (command == NULL) {
        return help_unknown(argv[1], false);
    }
    return command->run(command, argc - 1, argv + 1, output);
}

int main(int argc, char **argv) {
    struct output output;

    main_fill_standard();
    setlocale(LC_CTYPE, "");
    /* A closed pipe is an error of write() here; the exit status tells of it. */
    signal(SIGPIPE, SIG_IGN);
    output_begin(&output, STDOUT_FILENO);
    return output_finish(&output, main_run(argc, argv, &output));
}
