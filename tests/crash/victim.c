/* SPDX-License-Identifier: MIT
 *
 * ptrace(2): starting, stepping, breakpoints. For x86-64. */
#include "crash/victim.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/stage.h"

#define BREAKPOINT 0xcc
#define SYSCALL_STOP (SIGTRAP | 0x80)

/* The marks of the region. */
void crash_begin(void);
void crash_end(void);
__asm__(".text\n"
        ".globl crash_begin\n.type crash_begin,@function\n"
        "crash_begin:\n\tint3\n\tret\n.size crash_begin, .-crash_begin\n"
        ".globl crash_end\n.type crash_end,@function\n"
        "crash_end:\n\tint3\n\tret\n.size crash_end, .-crash_end\n");

static void trace_request(enum __ptrace_request request, const struct victim *victim,
                          uintptr_t address, uintptr_t data) {
    if (ptrace(request, victim->process, address, data) < 0)
        crash_fail("ptrace request %d: %s", (int)request, strerror(errno));
}

static bool sleeps(pid_t process) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file >= 0 ? read(file, text, sizeof text - 1) : 0;
    close(file);
    text[size > 0 ? size : 0] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && name_end[2] == 'S';
}

/* Until it stops or ends; while it sleeps, the stage attends to it. Result: the status. */
static int wait_for(struct victim *victim, bool attends) {
    int status;
    pid_t answer;
    victim->slept = false;
    if (!attends) {
        do
            answer = waitpid(victim->process, &status, 0);
        while (answer < 0 && errno == EINTR);
        crash_need(answer == victim->process);
        return status;
    }
    for (;;) {
        answer = waitpid(victim->process, &status, WNOHANG);
        crash_need(answer >= 0);
        if (answer == victim->process)
            return status;
        if (sleeps(victim->process)) {
            victim->slept = true;
            if (victim->world->scenario->attend != NULL)
                victim->world->scenario->attend(victim->world);
        }
        sched_yield();
    }
}

static uint64_t get_address(const struct victim *victim) {
    errno = 0;
    long value =
        ptrace(PTRACE_PEEKUSER, victim->process, offsetof(struct user_regs_struct, rip), 0);
    crash_need(errno == 0);
    return (uint64_t)value;
}

static void look(struct victim *victim) {
    victim->address = get_address(victim);
    victim->at_end = victim->address == (uint64_t)(uintptr_t)crash_end;
}

/* It must have stopped by that signal; a death, or another signal, is a failure. */
static void need_stop(const struct victim *victim, int status, int signal) {
    if (!WIFSTOPPED(status))
        crash_fail("the victim %s %d", WIFSIGNALED(status) ? "was killed by signal" : "exited with",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (WSTOPSIG(status) != signal)
        crash_fail("the victim got signal %d (%s) at %#lx", WSTOPSIG(status),
                   strsignal(WSTOPSIG(status)), get_address(victim) - stage_base());
}

void victim_start(struct victim *victim, struct world *world, world_function *prepare,
                  world_function *operate, world_function *finish, world_function *part) {
    *victim = (struct victim){.world = world, .process = fork()};
    crash_need(victim->process >= 0);
    if (victim->process == 0) {
        crash_need(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
        if (prepare != NULL)
            prepare(world);
        crash_begin();
        operate(world);
        crash_end();
        if (finish != NULL)
            finish(world);
        _exit(0);
    }
    stage_note_process(victim->process);
    if (part != NULL)
        part(world);
    need_stop(victim, wait_for(victim, world->scenario->attend != NULL), SIGTRAP);
    trace_request(PTRACE_SETOPTIONS, victim, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
    look(victim);
}

static bool at_call(const struct victim *victim) {
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, victim->process, victim->address, 0);
    return errno == 0 && (word & 0xffff) == 0x050f; /* syscall */
}

static void step(struct victim *victim, bool attends) {
    if (victim->at_end)
        return;
    trace_request(PTRACE_SINGLESTEP, victim, 0, 0);
    need_stop(victim, wait_for(victim, attends), SIGTRAP);
    victim->steps++;
    look(victim);
}

void victim_step(struct victim *victim) {
    step(victim, victim->world->scenario->attend != NULL && at_call(victim));
}

/* One more step. A repeated instruction (a bulk copy) is compared once, at its end. */
static void record_step(struct victim *victim, struct trace *trace, struct stores *stores) {
    bool call = at_call(victim);
    size_t at = trace->count++;
    uint64_t address = victim->address;
    trace->addresses[at] = address;
    step(victim, call);
    unsigned flags = call ? STEP_CALLS : 0;
    flags |= call && victim->slept ? STEP_SLEEPS : 0;
    trace->flags[at] = (unsigned char)flags;
    if (victim->address == address || !stores_changed(stores, call))
        return;
    for (size_t i = at + 1; i-- > 0 && trace->addresses[i] == address;)
        trace->flags[i] |= STEP_STORES;
}

void victim_record(struct victim *victim, struct trace *trace) {
    struct stores *stores = stores_begin(victim->process);
    trace->count = 0;
    trace->done = false;
    while (!victim->at_end) {
        if (trace->count + 1 >= trace->most)
            crash_fail("more than %zu instructions", trace->most);
        record_step(victim, trace, stores);
    }
    trace->addresses[trace->count] = victim->address;
    trace->flags[trace->count] = 0;
    trace->done = true;
    stores_end(stores);
}

/* Runs until the address is next for the `rank`th time, where it counts if it is next now.
 * Result: false if the region ended before. */
static bool run_to(struct victim *victim, uint64_t address, uint32_t rank) {
    bool attends = victim->world->scenario->attend != NULL;
    uint64_t end = (uint64_t)(uintptr_t)crash_end;
    uint32_t seen = victim->address == address;
    if (seen == rank)
        return true;
    errno = 0;
    long text = ptrace(PTRACE_PEEKTEXT, victim->process, address, 0);
    crash_need(errno == 0);
    long broken = (long)(((unsigned long)text & ~0xfful) | BREAKPOINT);
    while (seen < rank) {
        if (seen > 0 && !victim->at_end) /* off the breakpoint's own place */
            step(victim, attends);
        if (victim->address != address) {
            trace_request(PTRACE_POKETEXT, victim, address, (uintptr_t)broken);
            trace_request(PTRACE_CONT, victim, 0, 0);
            need_stop(victim, wait_for(victim, attends), SIGTRAP);
            trace_request(PTRACE_POKETEXT, victim, address, (uintptr_t)text);
            uint64_t next = get_address(victim) - 1;
            trace_request(PTRACE_POKEUSER, victim, offsetof(struct user_regs_struct, rip), next);
            look(victim);
            if (next == end && address != end)
                return false;
            crash_need(next == address);
        }
        seen++;
    }
    return true;
}

bool victim_reach(struct victim *victim, const struct trace *trace, size_t point) {
    size_t anchor = trace->anchors[point];
    if (anchor > 0 && !run_to(victim, trace->addresses[anchor], trace->ranks[anchor]))
        return false;
    for (size_t i = anchor; i < point && !victim->at_end; i++)
        victim_step(victim);
    return victim->address == trace->addresses[point];
}

bool victim_walk(struct victim *victim, size_t point) {
    for (size_t i = 0; i < point && !victim->at_end; i++)
        victim_step(victim);
    return victim->steps == point;
}

bool victim_to_call(struct victim *victim, bool exit) {
    bool attends = victim->world->scenario->attend != NULL;
    if (!at_call(victim))
        return false;
    for (int i = 0; i < (exit ? 2 : 1); i++) {
        trace_request(PTRACE_SYSCALL, victim, 0, 0);
        need_stop(victim, wait_for(victim, attends), SYSCALL_STOP);
    }
    return true;
}

bool victim_to_sleep(struct victim *victim) {
    int status;
    trace_request(PTRACE_SINGLESTEP, victim, 0, 0);
    while (!sleeps(victim->process)) {
        if (waitpid(victim->process, &status, WNOHANG) != 0)
            return false;
        sched_yield();
    }
    return true;
}

void victim_kill(struct victim *victim) {
    int status;
    crash_need(kill(victim->process, SIGKILL) == 0);
    do
        crash_need(waitpid(victim->process, &status, 0) == victim->process);
    while (!WIFSIGNALED(status) && !WIFEXITED(status));
}

void victim_finish(struct victim *victim) {
    bool attends = victim->world->scenario->attend != NULL;
    int status, signal = 0;
    for (;;) {
        trace_request(PTRACE_CONT, victim, 0, (uintptr_t)signal);
        status = wait_for(victim, attends);
        if (!WIFSTOPPED(status))
            break;
        signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
    }
    if (status != 0)
        crash_fail("the victim ended with status %#x", (unsigned)status);
}
