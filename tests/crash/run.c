/* SPDX-License-Identifier: MIT
 *
 * The stepper's program: runs scenarios, one line of figures each; run.py makes a report.
 *
 *     crash [-a] [-m N] [-o FOLDER] [PATTERN...]
 *                                            runs; -a all points, -m at most N of each kind,
 *                                            -o writes the addresses reached there
 *     crash -l [PATTERN...]                  lists scenarios with what they cover
 *     crash -s kill|stop|none -i POINT NAME  one point again */
#include <errno.h>
#include <fnmatch.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crash/campaign.h"
#include "crash/list.h"

static const struct effort short_effort = {
    .kills = 12, .stops = 4, .calls = 6, .pairs = 6, .operations = 100};
static const struct effort full_effort = {
    .kills = 20000, .stops = 20000, .calls = 2000, .pairs = 4000, .operations = 1000};

struct settings {
    bool all, lists;
    const char *folder, *strike, *directory;
    size_t point, most;
    char **patterns;
};

static bool matches(const char *name, char **patterns) {
    if (*patterns == NULL)
        return true;
    for (; *patterns != NULL; patterns++)
        if (strcmp(*patterns, name) == 0 || fnmatch(*patterns, name, 0) == 0)
            return true;
    return false;
}

static bool is_wanted(const struct scenario *scenario, const struct settings *settings) {
    bool named = *settings->patterns != NULL;
    if (named)
        return matches(scenario->name, settings->patterns);
    return !scenario->faulty && (!scenario->rare || settings->all || settings->lists);
}

static void list(const struct scenario *scenario) {
    printf("%s", scenario->name);
    for (const char *const *name = scenario->covers; name != NULL && *name != NULL; name++)
        printf(" %s", *name);
    putchar('\n');
}

static FILE *open_addresses(const char *folder, const char *name) {
    char path[512], file[256];
    if (folder == NULL)
        return NULL;
    snprintf(file, sizeof file, "%s", name);
    for (char *at = file; *at != '\0'; at++)
        if (*at == '/')
            *at = '=';
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *addresses = fopen(path, "we");
    if (addresses == NULL)
        perror(path);
    return addresses;
}

static bool run(const struct scenario *scenario, const struct settings *settings) {
    struct tally tally;
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    FILE *addresses = open_addresses(settings->folder, scenario->name);
    struct effort effort = settings->all ? full_effort : short_effort;
    if (settings->most > 0)
        effort.kills = effort.stops = effort.calls = effort.pairs = settings->most;
    campaign_run(scenario, &effort, stdout, addresses, &tally);
    if (addresses != NULL)
        fclose(addresses);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%s length=%zu visible=%zu steps=%zu kills=%zu stops=%zu calls=%zu pairs=%zu "
           "missed=%zu failed=%zu ms=%ld\n",
           scenario->name, tally.length, tally.visible, tally.steps, tally.kills, tally.stops,
           tally.calls, tally.pairs, tally.missed, tally.failed,
           (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000);
    fflush(stdout);
    return tally.failed == 0;
}

static bool run_point(const struct scenario *scenario, const struct settings *settings) {
    enum strike strike = strcmp(settings->strike, "stop") == 0   ? STRIKE_STOP
                         : strcmp(settings->strike, "call") == 0 ? STRIKE_CALL_ENTRY
                         : strcmp(settings->strike, "exit") == 0 ? STRIKE_CALL_EXIT
                         : strcmp(settings->strike, "none") == 0 ? STRIKE_NONE
                                                                 : STRIKE_KILL;
    bool well = campaign_again(scenario, strike, settings->point, stdout);
    printf("%s %s at %zu: %s\n", scenario->name, settings->strike, settings->point,
           well ? "well" : "failed");
    return well;
}

static bool run_matching(const struct settings *settings) {
    bool well = true;
    for (size_t i = 0; i < crash_list_count; i++) {
        size_t count = crash_lists[i]->count;
        const struct scenario *scenarios = crash_lists[i]->scenarios;
        if (crash_lists[i]->make != NULL)
            scenarios = crash_lists[i]->make(settings->directory, &count);
        for (size_t j = 0; j < count; j++) {
            if (!is_wanted(&scenarios[j], settings))
                continue;
            if (settings->lists)
                list(&scenarios[j]);
            else if (settings->strike != NULL)
                well &= run_point(&scenarios[j], settings);
            else
                well &= run(&scenarios[j], settings);
        }
    }
    return well;
}

/* Victim and tracer on one processor: a step then costs a third. */
static void stay_here(void) {
    cpu_set_t processors;
    CPU_ZERO(&processors);
    CPU_SET((size_t)sched_getcpu(), &processors);
    sched_setaffinity(0, sizeof processors, &processors);
}

static int work(struct settings *settings, const char *base) {
    char files[80], domain[80];
    snprintf(files, sizeof files, "%s/files", base);
    snprintf(domain, sizeof domain, "%s/domain", base);
    mkdir(files, 0700);
    mkdir(domain, 0700);
    setenv("CHAPPE_DOMAIN", domain, 1);
    unsetenv("CHAPPE_LOG");
    stay_here();
    stage_prepare(files, domain);
    campaign_prepare();
    settings->directory = files;
    bool well = run_matching(settings);
    fflush(NULL);
    return !well;
}

/* Runs the work in a process, and clears up after it, also if it is asked to end. */
static int guard(struct settings *settings, const char *base) {
    sigset_t awaited, before;
    int status, signal;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGCHLD);
    sigprocmask(SIG_BLOCK, &awaited, &before);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t worker = fork();
    if (worker < 0)
        return 99;
    if (worker == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        exit(work(settings, base));
    }
    while (waitpid(worker, &status, WNOHANG) == 0)
        if (sigwait(&awaited, &signal) == 0 && signal != SIGCHLD)
            kill(worker, SIGKILL);
    stage_reap();
    stage_clear(base);
    rmdir(base);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

int main(int argc, char **argv) {
    struct settings settings = {0};
    int option;
    while ((option = getopt(argc, argv, "alo:s:i:m:")) != -1) {
        if (option == '?')
            return 2;
        settings.all |= option == 'a';
        settings.lists |= option == 'l';
        settings.folder = option == 'o' ? optarg : settings.folder;
        settings.strike = option == 's' ? optarg : settings.strike;
        settings.most = option == 'm' ? strtoul(optarg, NULL, 10) : settings.most;
        settings.point = option == 'i' ? strtoul(optarg, NULL, 10) : settings.point;
    }
    settings.patterns = argv + optind;
    char base[64];
    /* In memory, where domains are: thousands of worlds make their files there. */
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(base, sizeof base, "%s/chappe-crash-XXXXXX", parent);
    if (mkdtemp(base) == NULL) {
        perror(base);
        return 99;
    }
    return guard(&settings, base);
}
