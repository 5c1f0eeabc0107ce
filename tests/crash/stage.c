/* SPDX-License-Identifier: MIT
 *
 * One world: from its set-up to the last look at what is left. */
#include "crash/stage.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OWN_SIZE ((size_t)1 << 30) /* of addresses; pages come as they are written */
#define VDSO_SIZE 0x4000
#define LATE_TRIES 3

struct result *stage_result;
static struct ledger *ledger;
static unsigned char *own; /* what the stepper shares with its processes, for itself */
static size_t own_used;
static const char *directory_name, *domain_name;
extern const char __ehdr_start[];

static void *take_own(size_t size) {
    size_t start = own_used;
    own_used += (size + 4095) & ~(size_t)4095;
    if (own_used > OWN_SIZE) {
        fprintf(stderr, "the stepper's own memory is too small\n");
        exit(99);
    }
    return own + start;
}

void stage_prepare(const char *directory, const char *domain) {
    own = mmap(NULL, OWN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
               -1, 0);
    if (own == MAP_FAILED) {
        perror("mmap");
        exit(99);
    }
    stage_result = take_own(sizeof *stage_result);
    ledger = take_own(sizeof *ledger);
    directory_name = directory;
    domain_name = domain;
}

struct trace *stage_trace(size_t most) {
    struct trace *trace = take_own(sizeof *trace);
    *trace = (struct trace){.addresses = take_own(most * sizeof *trace->addresses),
                            .flags = take_own(most),
                            .ranks = take_own(most * sizeof *trace->ranks),
                            .anchors = take_own(most * sizeof *trace->anchors),
                            .most = most};
    return trace;
}

bool stage_is_own_memory(uint64_t address) {
    return address >= (uintptr_t)own && address < (uintptr_t)own + OWN_SIZE;
}

uint64_t stage_base(void) {
    return (uintptr_t)__ehdr_start;
}

bool stage_may_break(uint64_t address) {
    uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
    return address < vdso || address >= vdso + VDSO_SIZE;
}

/* ---- striking ---- */

static int64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void kill_victim(struct victim *victim) {
    stage_result->address = victim->address;
    stage_result->steps += victim->steps;
    stage_result->kills++;
    victim_kill(victim);
}

/* Result: whether it is dead now. */
static bool strike_call(struct victim *victim, enum strike strike) {
    if (strike == STRIKE_CALL_SLEEP) {
        if (!victim_to_sleep(victim)) {
            stage_result->missed = true;
            victim_kill(victim);
            return true;
        }
    } else if (!victim_to_call(victim, strike == STRIKE_CALL_EXIT)) {
        stage_result->missed = true;
    }
    kill_victim(victim);
    return true;
}

/* Brings a victim to its fate. Result: whether it is dead. */
static bool strike(struct victim *victim, enum strike strike, struct trace *trace, size_t point,
                   bool only_steps) {
    if (strike == STRIKE_RECORD)
        victim_record(victim, trace);
    if (strike == STRIKE_RECORD || strike == STRIKE_NONE) {
        stage_result->steps += victim->steps;
        victim_finish(victim);
        return false;
    }
    if (!(only_steps ? victim_walk(victim, point) : victim_reach(victim, trace, point))) {
        stage_result->missed = true;
        kill_victim(victim);
        return true;
    }
    if (strike == STRIKE_STOP) {
        stage_result->address = victim->address;
        stage_result->steps += victim->steps;
        stage_result->stops++;
        return false;
    }
    if (strike != STRIKE_KILL)
        return strike_call(victim, strike);
    kill_victim(victim);
    return true;
}

static void survive(struct world *world, unsigned operations) {
    int64_t begin = now_ms();
    if (world->scenario->survive != NULL)
        world->scenario->survive(world, operations);
    if (now_ms() - begin > SURVIVORS_MS)
        stage_result->late = true;
}

static void recover(struct world *world, const struct plan *plan) {
    struct victim second;
    const struct scenario *scenario = plan->scenario;
    victim_start(&second, world, scenario->recover_prepare, scenario->recover, NULL, NULL);
    world->recoverer_killed = strike(&second, plan->recoverer_strike, plan->recoverer_trace,
                                     plan->recoverer_point, plan->only_steps);
}

static void play(const struct plan *plan) {
    const struct scenario *scenario = plan->scenario;
    struct world *world = calloc(1, sizeof *world);
    static struct remains before, after; /* large */
    struct victim victim;
    crash_need(world != NULL && (world->state = calloc(1, STATE_MOST)) != NULL);
    world->scenario = scenario;
    world->directory = directory_name;
    world->ledger = ledger;
    remains_look(directory_name, domain_name, &before);
    crash_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, world->control) == 0);
    if (scenario->set_up != NULL)
        scenario->set_up(world);
    victim_start(&victim, world, scenario->prepare, scenario->operate, scenario->finish,
                 scenario->part);
    world->killed = strike(&victim, plan->strike, plan->trace, plan->point, plan->only_steps);
    world->stopped = plan->strike == STRIKE_STOP && !stage_result->missed;
    if (plan->recovers)
        recover(world, plan);
    survive(world, plan->operations);
    if (world->stopped) {
        world->stopped = false;
        victim_finish(&victim);
    }
    if (scenario->account != NULL)
        scenario->account(world);
    if (scenario->clean_up != NULL)
        scenario->clean_up(world);
    close(world->control[0]);
    close(world->control[1]);
    remains_look(directory_name, domain_name, &after);
    remains_compare(&before, &after);
}

void stage_note_process(int process) {
    size_t count = stage_result->process_count;
    if (count < STAGE_PROCESSES) {
        stage_result->processes[count] = process;
        stage_result->process_count = count + 1;
    }
}

/* ---- the runner's side ---- */

static int remove_entry(const char *path, const struct stat *about, int type, struct FTW *where) {
    (void)about;
    (void)type;
    if (where->level > 0)
        remove(path);
    return 0;
}

void stage_clear(const char *directory) {
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void stage_reap(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    for (;;) {
        FILE *children = fopen(path, "re");
        int child;
        while (children != NULL && fscanf(children, "%d", &child) == 1)
            kill(child, SIGKILL);
        if (children != NULL)
            fclose(children);
        if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
            return;
    }
}

static void fail_stage(const char *what, int number) {
    if (stage_result->failed)
        return;
    stage_result->failed = true;
    snprintf(stage_result->text, sizeof stage_result->text, "%s %d", what, number);
}

static void play_once(const struct plan *plan) {
    memset(stage_result, 0, sizeof *stage_result);
    memset(ledger, 0, sizeof *ledger);
    fflush(NULL);
    pid_t stage = fork();
    if (stage == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        stage_note_process(getpid());
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        play(plan);
        _exit(0);
    }
    int process = pidfd_open(stage, 0), status = 0;
    struct pollfd item = {.fd = process, .events = POLLIN};
    int ready = poll(&item, 1, STAGE_SECONDS * 1000);
    close(process);
    if (ready == 0) {
        fail_stage("the survivors were not done after seconds:", STAGE_SECONDS);
        kill(stage, SIGKILL);
    }
    waitpid(stage, &status, 0);
    if (WIFSIGNALED(status))
        fail_stage("a survivor died of signal", WTERMSIG(status));
    else if (status != 0)
        fail_stage("a survivor ended with status", WEXITSTATUS(status));
    if (stage_result->failed) {
        stage_reap();
        stage_clear(directory_name);
        stage_clear(domain_name);
    }
}

void stage_play(const struct plan *plan, struct result *ret_result) {
    /* On a loaded machine a second can pass with nothing wrong: such a world is played
     * again, and fails if it is late each time. */
    for (int i = 0; i < LATE_TRIES; i++) {
        play_once(plan);
        if (!stage_result->late || stage_result->failed)
            break;
    }
    if (stage_result->late)
        fail_stage("the survivors took longer than milliseconds:", SURVIVORS_MS);
    *ret_result = *stage_result;
}
