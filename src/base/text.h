/* SPDX-License-Identifier: MIT
 *
 * Words that people mistyped. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>

/* How many characters have to be changed, added, left out or swapped with their
 * neighbour to make `a` from `b` (words beyond 32 characters: 32). */
size_t text_distance(const char *a, const char *b);

/* Keeps `candidate` in *best if it is nearer to `word` than what is there; only what
 * is at most a third of the word away counts. *best starts as NULL. */
void text_nearest(const char *word, const char *candidate, const char **best);

#endif
