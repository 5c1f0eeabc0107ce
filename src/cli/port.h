/* SPDX-License-Identifier: MIT
 *
 * The open end that a command works with: which side of an address it takes, what the
 * library has to report meanwhile, and how it ends.
 */
#ifndef CHAPPE_CLI_PORT_H
#define CHAPPE_CLI_PORT_H

#include <stdbool.h>

#include <chappe/chappe.h>

#include "signals.h"

/* How long the using side waits for the other one to appear, unless told. */
#define PORT_APPEAR_MS 2000

struct port {
    chappe_endpoint *endpoint;
    bool server; /* it serves a name, for any number of clients */
    struct signals signals;
    int shortages; /* in a row: see port_survives() */
};

/* All three say what went wrong and return an exit status. After STATUS_DONE, and only
 * then, port_close() has to follow. */

/* The using side. Signals end the program as usual. */
int port_open(struct port *port, const char *address, int64_t timeout_ms);

/* The serving side, with signals taken over; of mechanisms that have no names the one
 * side that there is. Clients that were cut off are told of. */
int port_serve(struct port *port, const char *address);

/* The one or the other, with signals taken over. */
int port_begin(struct port *port, const char *address, bool connect, int64_t timeout_ms);

/* Closes at once and gives signals back. Messages that came and that nobody received are
 * told of. */
void port_close(struct port *port);

/* That many milliseconds from now; negative: for ever. */
chappe_deadline port_deadline(int64_t milliseconds);

/* What the program ends with for a negative errno value. */
int port_status(int error);

/* The same for a failed opening: there a wrong address is wrong usage. */
int port_opening_status(int error);

/* Is that failure of a receive one client's trouble, or a shortage that passes? Then it is
 * told as a warning, and a server goes on. */
bool port_survives(struct port *port, int error);

/* Says the sentence of the library's last failure and gives its exit status. */
int port_failed(int error);

/* A log function for chappe_options; its context is NULL. */
void port_log(void *context, chappe_log_level level, const char *line);

#endif
