/* SPDX-License-Identifier: MIT
 *
 * What the kernel can do at best: a bare futex wake, an eventfd, one copy between two address
 * spaces, a Unix stream with many messages in a write; and memcpy(), which needs no kernel. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "loops.h"

#define GATHERED ((size_t)64 << 10)

struct kernel {
    _Alignas(128) shared32 there;
    _Alignas(128) shared32 back;
    _Alignas(128) uint8_t there_bytes[64], back_bytes[64];
    _Alignas(128) uint8_t copied[SIZE_MOST];
    pid_t pids[2]; /* the parent's, the child's */
    int descriptors[2];
};

static void kernel_make(struct run *run) {
    run->common = common_memory(sizeof(struct kernel));
    ((struct kernel *)run->common)->pids[0] = getpid();
}

static void kernel_join(struct run *run) {
    if (run->is_child)
        ((struct kernel *)run->common)->pids[1] = getpid();
}

/* ---- a futex ---- */

static void futex_send(struct run *run, const void *bytes, size_t size) {
    struct kernel *kernel = run->common;
    shared32 *word = run->is_child ? &kernel->back : &kernel->there;
    copy(run->is_child ? kernel->back_bytes : kernel->there_bytes, bytes, size);
    shared32_set_release(word, 1);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void futex_receive(struct run *run, void *bytes, size_t size) {
    struct kernel *kernel = run->common;
    shared32 *word = run->is_child ? &kernel->there : &kernel->back;
    while (shared32_get_acquire(word) == 0)
        syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
    shared32_set(word, 0);
    copy(bytes, run->is_child ? kernel->there_bytes : kernel->back_bytes, size);
}

static void futex_ping(struct run *run) {
    loop_ping(run, futex_send, futex_receive);
}

static void futex_pong(struct run *run) {
    loop_pong(run, futex_send, futex_receive);
}

static void futex_call(struct run *run) {
    loop_call(run, futex_send);
}

static void futex_sleep(struct run *run) {
    loop_sleep(run, futex_receive);
}

/* ---- an eventfd each way ---- */

static void eventfd_make(struct run *run) {
    kernel_make(run);
    struct kernel *kernel = run->common;
    for (int i = 0; i < 2; i++)
        if ((kernel->descriptors[i] = eventfd(0, EFD_CLOEXEC)) < 0)
            fail("eventfd: %s", strerror(errno));
}

static void eventfd_leave(struct run *run) {
    struct kernel *kernel = run->common;
    close(kernel->descriptors[0]);
    close(kernel->descriptors[1]);
}

static void eventfd_send(struct run *run, const void *bytes, size_t size) {
    struct kernel *kernel = run->common;
    uint64_t one = 1;
    copy(run->is_child ? kernel->back_bytes : kernel->there_bytes, bytes, size);
    if (write(kernel->descriptors[run->is_child], &one, sizeof one) != (ssize_t)sizeof one)
        fail("eventfd: %s", strerror(errno));
}

static void eventfd_receive(struct run *run, void *bytes, size_t size) {
    struct kernel *kernel = run->common;
    uint64_t count;
    if (read(kernel->descriptors[!run->is_child], &count, sizeof count) != (ssize_t)sizeof count)
        fail("eventfd: %s", strerror(errno));
    copy(bytes, run->is_child ? kernel->there_bytes : kernel->back_bytes, size);
}

static void eventfd_ping(struct run *run) {
    loop_ping(run, eventfd_send, eventfd_receive);
}

static void eventfd_pong(struct run *run) {
    loop_pong(run, eventfd_send, eventfd_receive);
}

static void eventfd_call(struct run *run) {
    loop_call(run, eventfd_send);
}

static void eventfd_sleep(struct run *run) {
    loop_sleep(run, eventfd_receive);
}

/* ---- one copy, out of the other process's memory ---- */

/* run->out is at the same address in both. The answer says that it was copied. */
static void vm_send(struct run *run, const void *bytes, size_t size) {
    struct kernel *kernel = run->common;
    (void)bytes;
    (void)size;
    shared32_set_release(run->is_child ? &kernel->back : &kernel->there, 1);
}

static void vm_receive(struct run *run, void *bytes, size_t size) {
    struct kernel *kernel = run->common;
    shared32 *word = run->is_child ? &kernel->there : &kernel->back;
    while (shared32_get_acquire(word) == 0)
        shared_pause();
    shared32_set(word, 0);
    struct iovec to = {bytes, size}, from = {run->out, size};
    if (process_vm_readv(kernel->pids[!run->is_child], &to, 1, &from, 1, 0) != (ssize_t)size)
        fail("process_vm_readv: %s", strerror(errno));
}

/* run->out must not change before the other side has read it: it reads from a copy. */
static void vm_ping(struct run *run) {
    loop_ping(run, vm_send, vm_receive);
}

static void vm_pong(struct run *run) {
    loop_pong(run, vm_send, vm_receive);
}

/* ---- memcpy() ---- */

static void memcpy_ping(struct run *run) {
    struct kernel *kernel = run->common;
    uint64_t last = ticks_now(), end = last + run->ticks, warm = last + run->warm_ticks;
    while (last < end && run->sample_count < run->sample_most) {
        memcpy(kernel->copied, run->out, run->size);
        uint64_t now = ticks_now();
        if (last > warm)
            keep_sample(run, 2 * (now - last));
        last = now;
    }
}

static void memcpy_pong(struct run *run) {
    (void)run;
}

/* ---- a Unix stream, 64 KiB a call ---- */

struct gathered {
    uint8_t bytes[GATHERED + 4096];
};

static void gathered_make(struct run *run) {
    int *ends = run->common = common_memory(2 * sizeof(int));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        fail("socketpair: %s", strerror(errno));
    for (int i = 0, room = 1 << 20; i < 2; i++)
        setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

static void gathered_join(struct run *run) {
    int *ends = run->common;
    close(ends[run->is_child ? 0 : 1]);
    run->own = own_memory(sizeof(struct gathered));
}

static void gathered_leave(struct run *run) {
    close(((int *)run->common)[run->is_child ? 1 : 0]);
}

static void write_all(int descriptor, const uint8_t *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(descriptor, bytes, size);
        if (written < 0)
            fail("write: %s", strerror(errno));
        bytes += written;
        size -= (size_t)written;
    }
}

INLINE void put(uint8_t **at, const void *bytes, size_t size) {
    uint32_t head = (uint32_t)size;
    memcpy(*at, &head, sizeof head);
    copy(*at + sizeof head, bytes, size);
    *at += sizeof head + size;
}

static void gathered_produce(struct run *run) {
    struct gathered *gathered = run->own;
    const size_t size = run->size;
    int descriptor = ((int *)run->common)[1];
    uint8_t *at = gathered->bytes;
    for (uint64_t number = 1; !is_stopped(run);) {
        while (at + 4 + size <= gathered->bytes + GATHERED) {
            stamp(run->out, size, number++);
            put(&at, run->out, size);
        }
        write_all(descriptor, gathered->bytes, (size_t)(at - gathered->bytes));
        at = gathered->bytes;
    }
    stamp(run->out, size, STOP);
    put(&at, run->out, size);
    write_all(descriptor, gathered->bytes, (size_t)(at - gathered->bytes));
}

static void gathered_consume(struct run *run) {
    struct gathered *gathered = run->own;
    int descriptor = ((int *)run->common)[0];
    struct meter meter = meter_start(run);
    uint64_t number = 0;
    for (size_t have = 0;;) {
        ssize_t got = read(descriptor, gathered->bytes + have, GATHERED);
        if (got <= 0)
            fail("read: %s", got < 0 ? strerror(errno) : "it ended");
        have += (size_t)got;
        uint8_t *at = gathered->bytes, *end = at + have;
        for (uint32_t head; end - at >= 4; at += 4 + head) {
            memcpy(&head, at, sizeof head);
            if ((size_t)(end - at) < 4 + head)
                break;
            if (check_in_place(at + 4, head, ++number) == STOP)
                return;
        }
        have = (size_t)(end - at);
        memmove(gathered->bytes, at, have);
        meter_look(&meter, run, number);
    }
}

const struct way way_futex = {
    .name = "futex",
    .note = "a word, a short message beside it, and a futex",
    .reference = true,
    .sleeps = true,
    .least = {[LATENCY] = 8, [WAKE] = 8},
    .most = {[LATENCY] = 64, [WAKE] = 64},
    .make = kernel_make,
    .ping = futex_ping,
    .pong = futex_pong,
    .call = futex_call,
    .sleep = futex_sleep,
};

const struct way way_eventfd = {
    .name = "eventfd",
    .note = "the same with an eventfd",
    .reference = true,
    .sleeps = true,
    .least = {[LATENCY] = 8, [WAKE] = 8},
    .most = {[LATENCY] = 64, [WAKE] = 64},
    .make = eventfd_make,
    .ping = eventfd_ping,
    .pong = eventfd_pong,
    .call = eventfd_call,
    .sleep = eventfd_sleep,
    .leave = eventfd_leave,
};

const struct way way_vm_read = {
    .name = "vm-read",
    .note = "process_vm_readv(): one copy, by the receiver; a word each way",
    .reference = true,
    .least = {[LATENCY] = 1024},
    .most = {[LATENCY] = SIZE_MOST},
    .make = kernel_make,
    .join = kernel_join,
    .ping = vm_ping,
    .pong = vm_pong,
};

const struct way way_memcpy = {
    .name = "memcpy",
    .note = "memcpy() in one process, into shared memory",
    .reference = true,
    .least = {[LATENCY] = 1024},
    .most = {[LATENCY] = SIZE_MOST},
    .make = kernel_make,
    .ping = memcpy_ping,
    .pong = memcpy_pong,
};

const struct way way_gathered = {
    .name = "gathered",
    .note = "a Unix stream: messages with their size in 4 bytes, 64 KiB a write and a read",
    .reference = true,
    .sleeps = true,
    .least = {[BATCHES] = 8},
    .most = {[BATCHES] = 1024},
    .make = gathered_make,
    .join = gathered_join,
    .produce_batches = gathered_produce,
    .consume_batches = gathered_consume,
    .leave = gathered_leave,
};
