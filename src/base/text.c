/* SPDX-License-Identifier: MIT
 *
 * Words that people mistyped. Distance after Damerau (1964), optimal string alignment. */
#include "base/text.h"

#include <string.h>

#define WORD_MAX 32

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t text_distance(const char *a, const char *b) {
    size_t rows = strlen(a), columns = strlen(b);
    if (rows > WORD_MAX || columns > WORD_MAX)
        return WORD_MAX;
    size_t cost[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= rows; i++)
        cost[i][0] = i;
    for (size_t j = 0; j <= columns; j++)
        cost[0][j] = j;
    for (size_t i = 1; i <= rows; i++)
        for (size_t j = 1; j <= columns; j++) {
            size_t change = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            cost[i][j] = least(change, least(cost[i - 1][j], cost[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost[i][j] = least(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    return cost[rows][columns];
}

void text_nearest(const char *word, const char *candidate, const char **best) {
    size_t distance = text_distance(word, candidate);
    size_t bound = *best != NULL ? text_distance(word, *best) : (strlen(word) + 2) / 3 + 1;
    if (distance < bound)
        *best = candidate;
}
