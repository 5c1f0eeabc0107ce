/* SPDX-License-Identifier: MIT
 *
 * Accepting connections of a Unix socket. */
#include "mechanism/listener.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "os/os.h"

struct listener {
    struct carrier carrier;
    struct listener_use use;
    int fd;
    struct address *address; /* for the clients' carriers */
};

static int listener_accept(struct carrier *carrier, struct store *store,
                           struct carrier **ret_client) {
    struct listener *listener = (struct listener *)carrier;
    int fd = os_accept(listener->fd);
    if (fd == -EAGAIN)
        return -EAGAIN;
    if (fd < 0)
        return error_of(fd, "%s: accepting a client", carrier->address);
    const struct opening opening = {.mechanism = carrier->mechanism,
                                    .address = listener->address,
                                    .terms = carrier->terms,
                                    .log = carrier->log,
                                    .store = store};
    return listener->use.welcome(&opening, listener->use.terms, fd, ret_client);
}

static void listener_interest(struct carrier *carrier, struct interest *ret_interest) {
    *ret_interest = (struct interest){.in = ((const struct listener *)carrier)->fd, .out = -1};
}

static void listener_undelivered(struct carrier *carrier, chappe_undelivered *ret_undelivered) {
    (void)carrier;
    *ret_undelivered = (chappe_undelivered){.size = sizeof *ret_undelivered};
}

static void listener_close(struct carrier *carrier, bool owner) {
    struct listener *listener = (struct listener *)carrier;
    carrier_release_name(carrier, owner);
    os_close(listener->fd);
    listener->use.forget(listener->use.terms);
    free(listener->address);
    carrier_end(carrier);
}

static const struct carrier_functions listener_functions = {
    .accept = listener_accept,
    .interest = listener_interest,
    .undelivered = listener_undelivered,
    .close = listener_close,
};

int listener_create(const struct opening *opening, const struct listener_use *use, int fd,
                    struct carrier **ret_carrier) {
    struct listener *listener = calloc(1, sizeof *listener);
    int error = listener == NULL ? error_of(-ENOMEM, "%s", opening->address->text)
                                 : address_parse(opening->address->text, &listener->address);
    if (error == 0)
        error = carrier_start(&listener->carrier, &listener_functions, opening, NULL);
    if (error == 0 && (error = os_listen(fd)) < 0) {
        error = error_of(error, "%s: listening", opening->address->text);
        free(listener->carrier.address);
    }
    if (error < 0) {
        os_close(fd);
        use->forget(use->terms);
        if (listener != NULL)
            free(listener->address);
        free(listener);
        return error;
    }
    listener->use = *use;
    listener->fd = fd;
    *ret_carrier = &listener->carrier;
    return 0;
}
