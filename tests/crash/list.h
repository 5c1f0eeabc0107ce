/* SPDX-License-Identifier: MIT
 *
 * The list of scenario files, made from the one in meson.build. */
#ifndef CRASH_LIST_H
#define CRASH_LIST_H

#include "crash/crash.h"

extern const struct scenario_list *const crash_lists[];
extern const size_t crash_list_count;

#endif
