/* SPDX-License-Identifier: MIT
 *
 * Signals: see signals.h.
 */
#include "signals.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

int signals_begin(struct signals *signals) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction action;

        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(&set, numbers[i]);
        }
    }
    signals->caught = 0;
    signals->reader = -1;
    if (sigprocmask(SIG_BLOCK, &set, &signals->before) < 0) {
        signals->descriptor = -1;
        return -errno;
    }
    signals->descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->descriptor < 0) {
        int error = -errno;

        sigprocmask(SIG_SETMASK, &signals->before, NULL);
        return error;
    }
    return 0;
}

bool signals_caught(struct signals *signals) {
    struct signalfd_siginfo info;

    if (signals->caught == 0 && signals->descriptor >= 0 &&
        read(signals->descriptor, &info, sizeof info) == (ssize_t)sizeof info) {
        signals->caught = (int)info.ssi_signo;
    }
    return signals->caught != 0;
}

int signals_wait(struct signals *signals, const chappe_wait_item *item, chappe_deadline deadline) {
    chappe_wait_item items[] = {
        *item,
        {.descriptor = signals->descriptor, .events = CHAPPE_READABLE},
        /* A write end has nothing to read: it is ready when it breaks. */
        {.descriptor = signals->reader, .events = CHAPPE_READABLE},
    };
    size_t count = signals->reader >= 0 ? 3 : 2;
    int ready;

    if (signals_caught(signals)) {
        return SIGNALS_CAUGHT;
    }
    ready = chappe_wait(items, count, deadline);
    if (ready < 0) {
        return ready;
    }
    if (signals_caught(signals)) {
        return SIGNALS_CAUGHT;
    }
    return items[2].ready != 0 ? SIGNALS_UNHEARD : 0;
}

void signals_end(struct signals *signals) {
    if (signals->descriptor >= 0) {
        close(signals->descriptor);
        signals->descriptor = -1;
        sigprocmask(SIG_SETMASK, &signals->before, NULL);
    }
}
