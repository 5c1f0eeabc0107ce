/* SPDX-License-Identifier: MIT
 *
 * Runs a scene once for every call in it, with that call failing. */
#ifndef FAULT_WALK_H
#define FAULT_WALK_H

#include "fault/scenes.h"

/* Every call of everything that can fail, the 1st, the 2nd, … until the scene runs through
 * without that many. After each run nothing is left, after each row of runs a clean one. */
void walk_failures(struct scene *scene);

/* The scene with calls interrupted, refused for now, falling short: it has to succeed. */
void walk_disturbances(struct scene *scene);

#endif
