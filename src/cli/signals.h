/* SPDX-License-Identifier: MIT
 *
 * SIGINT, SIGTERM and SIGHUP as something to wait for, so that a command that made a
 * name always comes to the place where it is removed.
 */
#ifndef CHAPPE_CLI_SIGNALS_H
#define CHAPPE_CLI_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

#include <chappe/chappe.h>

struct signals {
    int descriptor; /* a signalfd, or -1 while signals do what they usually do */
    int caught;     /* the signal that ends the command, or 0 */
    int reader;     /* the write end of a pipe: no use to go on when its reader is gone; or -1 */
    sigset_t before;
};

/* Outcomes of waiting: a signal came; whoever reads from the pipe is gone. */
#define SIGNALS_CAUGHT 1
#define SIGNALS_UNHEARD 2

/* Takes the signals over, but for those that the parent had ignored (nohup). 0 or a
 * negative errno. */
int signals_begin(struct signals *signals);

/* Waits for what the item names. 0: it is ready. SIGNALS_…. Or as chappe_wait(). */
int signals_wait(struct signals *signals, const chappe_wait_item *item, chappe_deadline deadline);

/* Whether one has come, without waiting. */
bool signals_caught(struct signals *signals);

/* Gives them back. Allowed when they were not taken. */
void signals_end(struct signals *signals);

#endif
