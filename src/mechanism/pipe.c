/* SPDX-License-Identifier: MIT
 *
 * pipe://: anonymous pipes between related processes, and inherited descriptors of any
 * kind that bytes go through. The descriptors' flags are left alone: they belong to every
 * process that shares them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"
#include "mechanism/bytes.h"

#define CAPACITY_USUAL (256 << 10)
#define CAPACITY_MOST ((uint64_t)1 << 30)

/* ---- bytes over descriptors ---- */

static ssize_t pipe_read(struct bytes *bytes, void *to, size_t size, bool block) {
    return os_read(bytes->in, &bytes->in_abilities, to, size, block);
}

static ssize_t pipe_write(struct bytes *bytes, const struct iovec *parts, int count,
                          const int *descriptors, size_t descriptor_count, bool block) {
    (void)descriptors;
    (void)descriptor_count; /* the row refuses them */
    return os_write(bytes->out, &bytes->out_abilities, parts, count, block);
}

static int pipe_unread(struct bytes *bytes) {
    int type = os_is_pipe(bytes->out);
    return type > 0 ? os_bytes_unread(bytes->out) : type < 0 ? type : 0;
}

static const struct bytes_io pipe_io = {
    .read = pipe_read, .write = pipe_write, .unread = pipe_unread, .measures = true};

/* ---- pairs ---- */

static int set_capacity(const struct opening *opening, int fd) {
    uint64_t capacity;
    int error = address_size(opening->address, "capacity", 0, 1, CAPACITY_MOST, &capacity);
    if (error < 0)
        return error;
    if (capacity == 0) {
        /* More than the kernel's 64 KiB, so that the two sides need not take turns; what the
         * user's share of pipe memory does not give is done without. */
        os_pipe_capacity(fd, CAPACITY_USUAL);
        return 0;
    }
    error = os_pipe_capacity(fd, (int)capacity);
    if (error < 0)
        return error_of(error, "%s: capacity beyond /proc/sys/fs/pipe-max-size",
                        opening->address->text);
    return 0;
}

static int make_pipe(const struct opening *opening, int ret_ends[2]) {
    int ends[2];
    int error = os_pipe(ends);
    if (error < 0)
        return error_of(error, "%s: making a pipe", opening->address->text);
    error = set_capacity(opening, ends[1]);
    if (error < 0) {
        os_close(ends[0]);
        os_close(ends[1]);
        return error;
    }
    ret_ends[0] = ends[0];
    ret_ends[1] = ends[1];
    return 0;
}

static int pipe_pair(const struct opening *a, const struct opening *b, struct carrier **ret_a,
                     struct carrier **ret_b) {
    if (a->address->where_size > 0)
        return error_set(-EINVAL, "%s: a pair is made by pipe:// alone; descriptors are opened",
                         a->address->text);
    int there[2] = {-1, -1}, back[2] = {-1, -1};
    int error = make_pipe(a, there);
    if (error == 0 && (error = make_pipe(a, back)) < 0) {
        os_close(there[0]);
        os_close(there[1]);
    }
    if (error < 0)
        return error;
    struct carrier *first, *second;
    error = bytes_create(a, NULL, &pipe_io, back[0], there[1], &first);
    if (error < 0) {
        os_close(there[0]);
        os_close(back[1]);
        return error;
    }
    error = bytes_create(b, NULL, &pipe_io, there[0], back[1], &second);
    if (error < 0) {
        first->functions->close(first, true);
        return error;
    }
    first->crosses_fork = second->crosses_fork = true;
    *ret_a = first;
    *ret_b = second;
    return 0;
}

/* ---- inherited descriptors ---- */

/* One number, or - for none (-1). */
static bool parse_descriptor(const char *text, size_t size, int *ret_fd) {
    char digits[12];
    uint64_t number;
    if (size == 0 || size >= sizeof digits)
        return false;
    memcpy(digits, text, size);
    digits[size] = '\0';
    if (strcmp(digits, "-") == 0) {
        *ret_fd = -1;
        return true;
    }
    if (!number_decimal(digits, INT32_MAX, &number))
        return false;
    *ret_fd = (int)number;
    return true;
}

/* A duplicate, so that closing the endpoint does not close the program's own. */
static int take_descriptor(const struct opening *opening, int fd, bool writes, int *ret_fd) {
    if (fd < 0)
        return 0;
    int mode = os_access_mode(fd);
    if (mode < 0)
        return error_of(mode, "%s: descriptor %d", opening->address->text, fd);
    if (mode == (writes ? O_RDONLY : O_WRONLY))
        return error_set(-EBADF, "%s: descriptor %d is not open for %s", opening->address->text, fd,
                         writes ? "writing" : "reading");
    int copy = os_duplicate(fd);
    if (copy < 0)
        return error_of(copy, "%s: descriptor %d", opening->address->text, fd);
    *ret_fd = copy;
    return 0;
}

static int open_descriptors(const struct opening *opening, int in, int out,
                            struct carrier **ret_carrier) {
    int own_in = -1, own_out = -1;
    int error = take_descriptor(opening, in, false, &own_in);
    if (error == 0)
        error = take_descriptor(opening, out, true, &own_out);
    if (error < 0) {
        os_close(own_in);
        return error;
    }
    error = bytes_create(opening, NULL, &pipe_io, own_in, own_out, ret_carrier);
    if (error == 0)
        (*ret_carrier)->crosses_fork = true;
    return error;
}

/* "3,4": read from 3, write to 4; "3": as it was opened; "-" for neither. */
static int pipe_open(const struct opening *opening, struct carrier **ret_carrier) {
    const char *where = opening->address->where;
    if (opening->address->where_size == 0)
        return error_set(-EINVAL,
                         "%s: without descriptors this makes a pair for related processes "
                         "(chappe_pair); to open, name them: pipe://3,4, or stdio://",
                         opening->address->text);
    size_t first = strcspn(where, ",");
    const char *second = where[first] == ',' ? where + first + 1 : NULL;
    int in, out;
    if (!parse_descriptor(where, first, &in) ||
        (second != NULL && !parse_descriptor(second, strlen(second), &out)))
        return error_set(-EINVAL,
                         "%s: not descriptor numbers: pipe://IN,OUT with - for none, or pipe://FD",
                         opening->address->text);
    if (second == NULL) {
        int mode = os_access_mode(in);
        out = mode == O_RDONLY ? -1 : in;
        in = mode == O_WRONLY ? -1 : in;
    }
    if (in < 0 && out < 0)
        return error_set(-EINVAL, "%s: neither direction is open", opening->address->text);
    return open_descriptors(opening, in, out, ret_carrier);
}

static int stdio_open(const struct opening *opening, struct carrier **ret_carrier) {
    if (opening->address->where_size > 0)
        return error_set(-EINVAL, "%s: stdio:// stands alone", opening->address->text);
    /* Either may be closed or open in one direction only: then the other one is all there is. */
    int in = os_access_mode(0), out = os_access_mode(1);
    if (in < 0 && out < 0)
        return error_set(-EBADF, "%s: standard input and output are closed",
                         opening->address->text);
    return open_descriptors(opening, in >= 0 && in != O_WRONLY ? 0 : -1,
                            out >= 0 && out != O_RDONLY ? 1 : -1, ret_carrier);
}

static int open_either(const struct opening *opening, struct carrier **ret_carrier) {
    bool is_stdio = strcmp(opening->address->scheme, "stdio") == 0;
    return (is_stdio ? stdio_open : pipe_open)(opening, ret_carrier);
}

static const unsigned char support[CHAPPE_CAPABILITY_COUNT] = {
    [CHAPPE_CAN_TYPE] = CHAPPE_CARRIES, [CHAPPE_CAN_PRIORITY] = CHAPPE_CARRIES,
    [CHAPPE_CAN_ORDER] = CHAPPE_ACTS,   [CHAPPE_CAN_REPLY] = CHAPPE_ACTS,
    [CHAPPE_CAN_POLL] = CHAPPE_ACTS,    [CHAPPE_CAN_RELIABILITY] = CHAPPE_ACTS,
};

const struct mechanism mechanism_pipe = {
    .row =
        {
            .size = sizeof(chappe_row),
            .scheme = "pipe",
            .alias = "stdio",
            .summary = "anonymous pipes between related processes, inherited descriptors",
            .form = "pipe://  pipe://IN,OUT  pipe://FD  stdio://",
            .manual =
                "pipe:// alone makes a pair of ends, joined by two pipes, for a process and the "
                "one that it forks (chappe_pair in C).\n\n"
                "pipe://3,4 takes up descriptors that were inherited: it reads from 3 and writes "
                "to 4; - stands for none. pipe://3 uses one descriptor the way it was opened. "
                "stdio:// is standard input and output. Any descriptor that bytes go through "
                "will do; its flags are not touched.\n\n"
                "One process reads and one writes: two writers on one pipe would mix their "
                "messages. A reader that is gone answers EPIPE, never SIGPIPE.\n",
            .options =
                (const char *const[]){
                    "capacity=SIZE  how much each pipe of a pair holds (without: 256K)", NULL},
            .trials = (const char *const[]){"pipe://", NULL},
            .lost_with_sender = "the message it was writing; the receiver is told",
            .lost_with_receiver = "what it had not received; close counts it",
            .ways = CHAPPE_WAY_PAIR | CHAPPE_WAY_OPEN | CHAPPE_WAY_BOTH,
            .support_count = CHAPPE_CAPABILITY_COUNT,
            .support = support,
        },
    .open = open_either,
    .pair = pipe_pair,
};
