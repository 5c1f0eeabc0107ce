/* SPDX-License-Identifier: MIT
 *
 * The manual pages, written from the same tables as the help.
 */
#ifndef CHAPPE_CLI_MANUAL_H
#define CHAPPE_CLI_MANUAL_H

#include "output.h"

void manual_program(struct output *output);    /* chappe(1) */
void manual_mechanisms(struct output *output); /* chappe-mechanisms(7) */

#endif
