/* SPDX-License-Identifier: MIT
 *
 * interleave [-a] [-l] [PATTERN...]: the scenarios that do not take long, or with -a all; -l
 * lists them.
 * interleave [-a] -w NEEDLESS [PATTERN]: weakens each access in turn (weaken.c); without -a
 * only by the scenarios that do not take long, and not what the table says is needless. */
#include "inside.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned point_count, failed_count;

void tap_point(bool passed, const char *format, ...) {
    va_list arguments;
    printf("%sok %u - ", passed ? "" : "not ", ++point_count);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
    failed_count += !passed;
}

static unsigned long all_runs, all_states;

static void explore(const struct scenario *scenario, bool every_step) {
    struct search search;
    search_run(scenario, every_step, &search);
    bool expected = scenario->expects != NULL && search.failure != NULL &&
                    strstr(search.failure, scenario->expects) != NULL;
    bool passed = scenario->expects != NULL ? expected : search.failure == NULL;
    tap_point(passed, "%s%s", scenario->name, every_step ? ", a choice before every step" : "");
    printf("#   %lu executions, %lu states, %lu steps at most, %.2f s\n", search.runs,
           search.states, search.deepest, search.seconds);
    all_runs += search.runs;
    all_states += search.states;
    if (search.failure != NULL && !passed) {
        printf("# %s\n", search.failure);
        search_show();
    } else if (!passed) {
        printf("# expected: %s\n", scenario->expects);
    }
    fflush(stdout);
}

static bool is_selected(const struct scenario *scenario, char **patterns, bool all) {
    if (patterns[0] == NULL)
        return all || !scenario->slow;
    for (; *patterns != NULL; patterns++)
        if (fnmatch(*patterns, scenario->name, 0) == 0)
            return true;
    return false;
}

int main(int argc, char **argv) {
    bool all = false, list = false;
    const char *needless = NULL;
    int option;
    while ((option = getopt(argc, argv, "alw:")) != -1) {
        if (option == 'a')
            all = true;
        else if (option == 'l')
            list = true;
        else if (option == 'w')
            needless = optarg;
        else
            return 2;
    }
    if (needless != NULL) {
        int status = weaken_all(needless, argv[optind], all);
        printf("1..%u\n", point_count);
        return status != 0 ? status : failed_count > 0;
    }
    for (unsigned i = 0; explore_scenarios[i] != NULL; i++) {
        const struct scenario *scenario = explore_scenarios[i];
        if (!is_selected(scenario, argv + optind, all))
            continue;
        if (list) {
            puts(scenario->name);
            continue;
        }
        explore(scenario, false);
        /* The reduction must lose nothing that the model can show. */
        if (scenario->outcomes != NULL || scenario->expects != NULL)
            explore(scenario, true);
    }
    if (!list)
        printf("# %lu executions, %lu states\n1..%u\n", all_runs, all_states, point_count);
    return failed_count > 0;
}
