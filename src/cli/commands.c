/* SPDX-License-Identifier: MIT
 *
 * The table of commands. Dispatch, help, usage and the manual page are made from it.
 */
#include "command.h"

#include <limits.h>
#include <string.h>

static const struct example send_examples[] = {
    {"chappe send unix:///tmp/letters 'how do you do'", "one message, to whoever receives there"},
    {"chappe send unix:///tmp/letters --file report.pdf", "a whole file as one message"},
    {"journalctl -f | chappe send unix:///tmp/lines --lines", "every line a message, as it comes"},
    {"chappe send unix:///tmp/letters --type 7 --fd 3 'my log' 3>>log",
     "with a type and an open file"},
    {NULL, NULL}};

static const struct example receive_examples[] = {
    {"chappe receive unix:///tmp/letters", "one message, exactly as it came"},
    {"chappe receive unix:///tmp/letters --follow --lines", "all that comes, a line each"},
    {"chappe receive unix:///tmp/letters --count 3 --json", "who sent what, for programs"},
    {"chappe receive 'unix:///tmp/letters?frame=line'",
     "from programs that know nothing of chappe, such as nc -U"},
    {NULL, NULL}};

static const struct example echo_examples[] = {
    {"chappe echo unix:///tmp/echo", "a server to try requests on"},
    {"chappe echo 'unix:///tmp/echo?frame=line'", "the same for nc -U and socat"},
    {NULL, NULL}};

static const struct example request_examples[] = {
    {"chappe request unix:///tmp/echo 'are you there?'", "asks, and writes the answer"},
    {"chappe request unix:///tmp/echo --file question --timeout 250ms", "with less patience"},
    {NULL, NULL}};

static const struct example mechanisms_examples[] = {
    {"chappe mechanisms", "the table"},
    {"chappe mechanisms unix", "all about one, with its options"},
    {"chappe mechanisms --json | jq -r '.scheme + \" \" + .support.descriptors'",
     "which of them pass open files on"},
    {NULL, NULL}};

static const struct example tour_examples[] = {
    {"chappe tour", "a large file of this machine over everything there is"},
    {"chappe tour photo.raw", "a file of yours"},
    {"chappe tour --only unix --json", "one mechanism, for programs"},
    {NULL, NULL}};

static const struct example help_examples[] = {
    {"chappe help send", "a command"},
    {"chappe help unix", "a mechanism"},
    {"chappe help --roff | man -l -", "the whole manual page"},
    {NULL, NULL}};

static const struct example version_examples[] = {{"chappe version", "which version runs"},
                                                  {NULL, NULL}};

static const struct example domain_examples[] = {
    {"chappe domain show", "what there is in this user's domain"},
    {"chappe domain create /srv/plant --group operators", "a domain that a group shares"},
    {"CHAPPE_DOMAIN=/srv/plant chappe domain show --json", "another domain, for programs"},
    {NULL, NULL}};

const struct command commands[] = {
    {.name = "tour",
     .summary = "send a file over every mechanism, check every byte, time it",
     .usage = "[FILE] [--only SCHEME] [--json]",
     .description =
         "Every address that the mechanisms give to try them with, and that loses nothing, "
         "joins two processes. FILE goes there in messages of 64 KiB and, where there is a way "
         "back, back again; both sides take a checksum of all of it. Then 2,000 single messages "
         "go there, one at a time: the time of each is from just before it is sent until the "
         "receiver has all of it. MB are millions of bytes; the receiver reads every byte "
         "within the time.\n\nFILE - is standard input. Without FILE the largest file of at most "
         "16 MiB among the "
         "programs and libraries of this machine is taken.\n\nThe status is 0 when all that "
         "this machine lets run was right, byte for byte. What the kernel or its limits refuse "
         "(not supported, not permitted, no resources) is listed with the reason and is no "
         "failure, unless nothing ran at all. Everything else that goes wrong is one: status "
         "1.",
     .examples = tour_examples,
     .options = tour_options,
     .words_least = 0,
     .words_most = 1,
     .run = tour_run},
    {.name = "send",
     .summary = "send a message, or one a line",
     .usage = "ADDRESS [TEXT…] [--file FILE] [--lines] [--type N] [--priority N] [--fd N]… "
              "[--stamp] [--timeout T] [--bind]",
     .description =
         "The words of TEXT, joined by blanks, are one message. Without TEXT and --file, "
         "standard input is the message; with --lines each line of it is one. Waits for the "
         "other side to appear, and at the end for it to read what was sent. What a living "
         "other side has not read by then is kept for it by the kernel and is no failure; what "
         "nobody can read any more is counted, with status 6.",
     .examples = send_examples,
     .options = send_options,
     .words_least = 1,
     .words_most = INT_MAX,
     .run = send_run},
    {.name = "receive",
     .summary = "receive one message, or more, and write it out",
     .usage = "ADDRESS [--count N | --follow] [--lines | --json] [--type N] [--timeout T] "
              "[--connect]",
     .description =
         "Makes the name of the address and serves it until enough messages came, from any "
         "number of clients. Bodies are written exactly as they came. Ends with status 6 when "
         "the other side closed before the count was reached, with 3 at a time-out.",
     .examples = receive_examples,
     .options = receive_options,
     .words_least = 1,
     .words_most = 1,
     .run = receive_run},
    {.name = "echo",
     .summary = "answer each message with itself",
     .usage = "ADDRESS [--connect] [--count N] [--quiet]",
     .description =
         "Serves any number of clients until a signal ends it. Type, priority and descriptors "
         "go back with the body. Clients that break the rules are cut off and named on standard "
         "error; so is an answer that its client does not take.",
     .examples = echo_examples,
     .options = echo_options,
     .words_least = 1,
     .words_most = 1,
     .run = echo_run},
    {.name = "request",
     .summary = "send a message and wait for the answer",
     .usage = "ADDRESS [TEXT…] [--file FILE] [--type N] [--timeout T] [--json]",
     .description = "The message is made as for send. The bytes of the answer are written exactly "
                    "as they came. Status 3: no answer in time; 4: nobody there; 6: the other "
                    "side closed.",
     .examples = request_examples,
     .options = request_options,
     .words_least = 1,
     .words_most = INT_MAX,
     .run = request_run},
    {.name = "domain",
     .summary = "make a domain, or show what is in one",
     .usage = "create PATH [--group G] [--mode M] | show [PATH] [--json]",
     .description =
         "A domain is a folder in which processes find each other's named objects. Without more "
         "it is /dev/shm/chappe-UID, of one user; CHAPPE_DOMAIN=/PATH names another one.\n\n"
         "create makes one: for this user, or with --group for all members of a group, who are "
         "then as strong there as its owner. A domain that is there already, as it would be "
         "made, is success.\n\nshow lists the objects, with the processes that made them and "
         "whether they live. It changes nothing: what the dead left goes when a name in the "
         "domain is next used.",
     .examples = domain_examples,
     .options = domain_options,
     .words_least = 0,
     .words_most = 2,
     .run = domain_run},
    {.name = "mechanisms",
     .summary = "show what every mechanism can do",
     .usage = "[SCHEME] [--json] [--roff]",
     .description = "A table of all mechanisms, or all about one of them.",
     .examples = mechanisms_examples,
     .options = mechanisms_options,
     .words_least = 0,
     .words_most = 1,
     .run = mechanisms_run},
    {.name = "help",
     .summary = "show help on a command or a mechanism",
     .usage = "[COMMAND | SCHEME] [--roff]",
     .description = "Without a word: all commands and addresses.",
     .examples = help_examples,
     .options = help_options,
     .words_least = 0,
     .words_most = 1,
     .run = help_run},
    {.name = "version",
     .summary = "show the version",
     .usage = "",
     .description = "Also chappe --version.",
     .examples = version_examples,
     .options = version_options,
     .words_least = 0,
     .words_most = 0,
     .run = version_run},
    {.name = NULL}};

const struct command *command_find(const char *name) {
    for (const struct command *command = commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0) {
            return command;
        }
    }
    return NULL;
}
