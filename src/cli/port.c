/* SPDX-License-Identifier: MIT
 *
 * Opening and closing for every command: see port.h.
 */
#include "port.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "mechanisms.h"

#define SHORTAGES_MOST 1000 /* messages lost for want of descriptors, in a row */

int port_status(int error) {
    switch (-error) {
    case 0:
        return STATUS_DONE;
    case ETIMEDOUT:
    case EAGAIN:
        return STATUS_TIMED_OUT;
    case ENOENT:
    case ECONNREFUSED:
        return STATUS_NOBODY;
    case EACCES:
    case EPERM:
        return STATUS_NOT_PERMITTED;
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
    case ESTALE:
        return STATUS_CLOSED;
    case EMSGSIZE:
    case EBADMSG:
        return STATUS_DAMAGED;
    default:
        return STATUS_FAILED;
    }
}

int port_opening_status(int error) {
    return error == -EINVAL || error == -EPROTONOSUPPORT ? STATUS_USAGE : port_status(error);
}

bool port_survives(struct port *port, int error) {
    chappe_statistics numbers = {.size = sizeof numbers};

    if (error == 0) {
        port->shortages = 0;
        return true;
    }
    if (!port->server ||
        (error != -EBADMSG && error != -EMSGSIZE && error != -ECONNRESET && error != -EMFILE)) {
        return false;
    }
    /* Without clients nothing gives descriptors back: then it is no use to go on for ever. */
    if (error == -EMFILE && chappe_get_statistics(port->endpoint, &numbers) == 0 &&
        numbers.clients == 0 && ++port->shortages > SHORTAGES_MOST) {
        return false;
    }
    complain("warning: %s", chappe_error());
    return true;
}

int port_failed(int error) {
    complain_error();
    return port_status(error);
}

void port_log(void *context, chappe_log_level level, const char *line) {
    const char *wanted = getenv("CHAPPE_LOG");

    (void)context;
    if (level == CHAPPE_LOG_WARNING) {
        complain("warning: %s", line);
    } else if (wanted != NULL && strcmp(wanted, "debug") == 0) {
        complain("debug: %s", line);
    }
}

chappe_deadline port_deadline(int64_t milliseconds) {
    return milliseconds < 0 ? CHAPPE_FOREVER : chappe_in_ms(milliseconds);
}

int port_open(struct port *port, const char *address, int64_t timeout_ms) {
    int error;

    *port = (struct port){.signals = {.descriptor = -1}};
    error = chappe_open(address, NULL, chappe_in_ms(timeout_ms), &port->endpoint);
    if (error < 0) {
        complain_error();
        return port_opening_status(error);
    }
    return STATUS_DONE;
}

/* Whether an address can be listened on; true for an unknown scheme, so that the library
 * names the schemes that there are. */
static bool port_listens(const char *address) {
    const chappe_row *row = mechanisms_find(address);

    return row == NULL || (row->ways & CHAPPE_WAY_LISTEN) != 0;
}

static int port_take_signals(struct port *port) {
    int error = signals_begin(&port->signals);

    if (error < 0) {
        complain("cannot wait for signals: %s", strerror(-error));
        return STATUS_FAILED;
    }
    return STATUS_DONE;
}

int port_serve(struct port *port, const char *address) {
    chappe_options options = {.size = sizeof options, .log = port_log};
    int error = -ENOTSUP;

    *port = (struct port){.signals = {.descriptor = -1}};
    /* Before the name is made: from then on no signal may end the program at once. */
    if (port_take_signals(port) != STATUS_DONE) {
        return STATUS_FAILED;
    }
    if (port_listens(address)) {
        error = chappe_listen(address, &options, chappe_in_ms(PORT_APPEAR_MS), &port->endpoint);
        port->server = error == 0;
    }
    if (error == -ENOTSUP) {
        error = chappe_open(address, &options, chappe_in_ms(PORT_APPEAR_MS), &port->endpoint);
    }
    if (error < 0) {
        complain_error();
        signals_end(&port->signals);
        return port_opening_status(error);
    }
    return STATUS_DONE;
}

int port_begin(struct port *port, const char *address, bool connect, int64_t timeout_ms) {
    int status;

    if (!connect) {
        return port_serve(port, address);
    }
    status = port_open(port, address, timeout_ms);
    if (status == STATUS_DONE && port_take_signals(port) != STATUS_DONE) {
        port_close(port);
        status = STATUS_FAILED;
    }
    return status;
}

void port_close(struct port *port) {
    chappe_undelivered left = {.size = sizeof left};

    (void)chappe_close(port->endpoint, CHAPPE_NOW, &left);
    port->endpoint = NULL;
    if (left.unread > 0) {
        complain("warning: %" PRIu64 " more messages came and were not received", left.unread);
    }
    signals_end(&port->signals);
}
