/* SPDX-License-Identifier: MIT
 *
 * JSON for listings: strings that are always valid, bodies as text or base64.
 */
#ifndef CHAPPE_CLI_JSON_H
#define CHAPPE_CLI_JSON_H

#include <chappe/chappe.h>

#include "output.h"

/* A quoted string. Bytes that are not UTF-8 become U+FFFD; no control character of any
 * kind is left raw. */
void json_string(struct output *output, const char *text);

/* One object for a message, and a newline: size, type, priority, sender, sequence, time,
 * descriptors, body or body_base64, what there is of them. */
void json_message(struct output *output, const chappe_message *message);

#endif
