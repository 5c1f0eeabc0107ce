/* SPDX-License-Identifier: MIT
 *
 * Listings of the library's table of mechanisms.
 */
#ifndef CHAPPE_CLI_MECHANISMS_H
#define CHAPPE_CLI_MECHANISMS_H

#include <chappe/chappe.h>

#include "output.h"

/* The row of a scheme or its other name; what follows a colon is not looked at, so a whole
 * address will do. NULL if there is none. */
const chappe_row *mechanisms_find(const char *scheme);

/* Says that there is no such mechanism, and which was probably meant. STATUS_USAGE. */
int mechanisms_unknown(const char *typed);

/* All that a row says, for people. */
void mechanisms_describe(const chappe_row *row, struct output *output);

/* What the mechanism does with a capability: a chappe_support. */
size_t mechanisms_support(const chappe_row *row, size_t capability);

#endif
