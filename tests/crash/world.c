/* SPDX-License-Identifier: MIT
 *
 * What scenarios use: failing, the ledger, bodies, processes. */
#include "crash/crash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/stage.h"

void crash_fail(const char *format, ...) {
    /* The first failure is the cause of those that come of it. */
    if (!stage_result->failed) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(stage_result->text, sizeof stage_result->text, format, arguments);
        va_end(arguments);
        stage_result->failed = true;
    }
    _exit(1);
}

void world_path(const struct world *world, const char *name, char *path, size_t size) {
    int length = snprintf(path, size, "%s/%s", world->directory, name);
    crash_need(length > 0 && (size_t)length < size);
}

void world_tell(struct world *world, int side) {
    char byte = 1;
    crash_need(send(world->control[side], &byte, 1, MSG_NOSIGNAL) == 1);
}

void world_await(struct world *world, int side) {
    char byte;
    crash_need(recv(world->control[side], &byte, 1, 0) == 1);
}

int world_fork(struct world *world, world_function *function) {
    int process = fork();
    crash_need(process >= 0);
    if (process == 0) {
        function(world);
        _exit(0);
    }
    stage_note_process(process);
    return process;
}

void world_join(int process) {
    int status;
    crash_need(waitpid(process, &status, 0) == process);
    if (status != 0)
        crash_fail("a survivor ended with status %#x", (unsigned)status);
}

/* ---- the ledger ---- */

void ledger_begin(struct world *world, unsigned number) {
    crash_need(number < LEDGER_MOST && world->ledger->state[number] == LEDGER_NOTHING);
    world->ledger->state[number] = LEDGER_BEGUN;
}

void ledger_sent(struct world *world, unsigned number) {
    crash_need(number < LEDGER_MOST && world->ledger->state[number] == LEDGER_BEGUN);
    world->ledger->state[number] = LEDGER_SENT;
}

void ledger_excuse(struct world *world, unsigned number) {
    crash_need(number < LEDGER_MOST);
    world->ledger->excused[number] = 1;
}

void ledger_received(struct world *world, unsigned number) {
    crash_need(number < LEDGER_MOST);
    if (world->ledger->state[number] == LEDGER_NOTHING)
        crash_fail("message %u was received, and never sent", number);
    if (world->ledger->received[number]++ > 0)
        crash_fail("message %u was received twice", number);
}

void ledger_settle(struct world *world, unsigned doubts_most) {
    const struct ledger *ledger = world->ledger;
    unsigned doubts = 0;
    bool gap = false;
    for (unsigned i = 0; i < LEDGER_MOST; i++) {
        bool doubt = ledger->state[i] == LEDGER_BEGUN;
        gap &= i % LEDGER_SENDER != 0;
        doubts += doubt;
        if (ledger->state[i] == LEDGER_SENT && !ledger->received[i] && !ledger->excused[i])
            crash_fail("message %u was sent, and is lost", i);
        if (doubt && ledger->received[i] && gap)
            crash_fail("message %u was received, and one before it was not", i);
        gap |= doubt && !ledger->received[i];
    }
    if (doubts > 0 && !world->killed)
        crash_fail("%u messages are in doubt, though nobody was killed", doubts);
    if (doubts > doubts_most)
        crash_fail("%u messages are in doubt after one kill", doubts);
}

/* ---- bodies ---- */

static unsigned char pattern(unsigned number, size_t place) {
    /* The top bit is set: to a lane, stale bytes of these look like committed headers. */
    return (unsigned char)(0x80 | (number * 31 + place * 7 + (place >> 8)));
}

void body_fill(void *bytes, size_t size, unsigned number) {
    unsigned char *byte = bytes;
    crash_need(size >= 8);
    memcpy(bytes, &number, sizeof number);
    for (size_t i = sizeof number; i < size; i++)
        byte[i] = pattern(number, i);
}

unsigned body_number(const void *bytes, size_t size) {
    const unsigned char *byte = bytes;
    unsigned number;
    if (size < 8)
        crash_fail("a body of %zu bytes", size);
    memcpy(&number, bytes, sizeof number);
    for (size_t i = sizeof number; i < size; i++)
        if (byte[i] != pattern(number, i))
            crash_fail("message %u of %zu bytes is damaged at %zu", number, size, i);
    return number;
}
