/* SPDX-License-Identifier: MIT
 *
 * The table of kernel calls, time, descriptors and the process. */
#include "os/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Variadic functions cannot stand in a table with their real type. */
static int call_openat(int folder, const char *name, int flags, mode_t mode) {
    return openat(folder, name, flags, mode);
}

static int call_fcntl(int fd, int command, long argument) {
    return fcntl(fd, command, argument);
}

static int call_ioctl(int fd, unsigned long request, void *argument) {
    return ioctl(fd, request, argument);
}

static int call_getrlimit(int resource, struct rlimit *limit) {
    return getrlimit((__rlimit_resource_t)resource, limit);
}

static ssize_t call_getdents64(int folder, void *entries, size_t size) {
    return getdents64(folder, entries, size);
}

static void *call_mremap(void *memory, size_t size, size_t new_size, int flags) {
    return mremap(memory, size, new_size, flags);
}

static int call_membarrier(int command, unsigned flags, int cpu) {
    return (int)syscall(SYS_membarrier, command, flags, cpu);
}

struct os_calls os_calls = {
    .read = read,
    .preadv2 = preadv2,
    .pwritev2 = pwritev2,
    .send = send,
    .sendmsg = sendmsg,
    .recvmsg = recvmsg,
    .socket = socket,
    .socketpair = socketpair,
    .bind = bind,
    .listen = listen,
    .accept4 = accept4,
    .connect = connect,
    .getsockopt = getsockopt,
    .setsockopt = setsockopt,
    .shutdown = shutdown,
    .ppoll = ppoll,
    .pipe2 = pipe2,
    .openat = call_openat,
    .close = close,
    .fstat = fstat,
    .fstatat = fstatat,
    .fcntl = call_fcntl,
    .flock = flock,
    .unlinkat = unlinkat,
    .renameat = renameat,
    .mkdirat = mkdirat,
    .linkat = linkat,
    .getdents64 = call_getdents64,
    .fchown = fchown,
    .fstatfs = fstatfs,
    .pidfd_open = pidfd_open,
    .fchmod = fchmod,
    .fchmodat = fchmodat,
    .memfd_create = memfd_create,
    .mmap = mmap,
    .munmap = munmap,
    .madvise = madvise,
    .mremap = call_mremap,
    .fallocate = fallocate,
    .membarrier = call_membarrier,
    .shmget = shmget,
    .shmat = shmat,
    .shmdt = shmdt,
    .shmctl = shmctl,
    .epoll_create1 = epoll_create1,
    .epoll_ctl = epoll_ctl,
    .epoll_pwait2 = epoll_pwait2,
    .eventfd = eventfd,
    .ioctl = call_ioctl,
    .getrlimit = call_getrlimit,
    .getrandom = getrandom,
    .pthread_sigmask = pthread_sigmask,
    .sigpending = sigpending,
    .sigtimedwait = sigtimedwait,
};

static int result(int value) {
    return value < 0 ? -errno : value;
}

/* ---- time ---- */

static int64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now); /* cannot fail for these two clocks */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t os_now(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t os_calendar(void) {
    return clock_ns(CLOCK_REALTIME);
}

/* ---- descriptors ---- */

void os_close(int fd) {
    if (fd >= 0)
        os_calls.close(fd); /* Linux frees the number even when it reports an error */
}

/* A signal can end it on network and user-space file systems. */
static int open_again(int folder, const char *name, int flags, mode_t mode) {
    int fd;
    do
        fd = result(os_calls.openat(folder, name, flags | O_CLOEXEC, mode));
    while (fd == -EINTR);
    return fd;
}

int os_open_path(const char *path) {
    return open_again(AT_FDCWD, path, O_PATH, 0);
}

int os_duplicate(int fd) {
    return result(os_calls.fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

int os_pipe(int ret_ends[2]) {
    return result(os_calls.pipe2(ret_ends, O_CLOEXEC));
}

int os_access_mode(int fd) {
    int flags = result(os_calls.fcntl(fd, F_GETFL, 0));
    return flags < 0 ? flags : flags & O_ACCMODE;
}

int os_pipe_capacity(int fd, int bytes) {
    int set = result(os_calls.fcntl(fd, F_SETPIPE_SZ, bytes));
    return set < 0 ? set : 0;
}

int os_make_blocking(int fd) {
    return result(os_calls.fcntl(fd, F_SETFL, 0));
}

int os_is_pipe(int fd) {
    struct stat status;
    int error = result(os_calls.fstat(fd, &status));
    if (error < 0)
        return error;
    return S_ISFIFO(status.st_mode) ? 1 : S_ISREG(status.st_mode) ? 0 : -ENOTSUP;
}

static int ask_int(int fd, unsigned long request) {
    int value = 0;
    int error = result(os_calls.ioctl(fd, request, &value));
    return error < 0 ? error : value;
}

int os_bytes_unread(int fd) {
    return ask_int(fd, FIONREAD);
}

int os_socket_unread(int fd) {
    return ask_int(fd, SIOCOUTQ);
}

int os_write_all(int fd, const void *bytes, size_t size) {
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    while (part.iov_len > 0) {
        ssize_t written = os_calls.pwritev2(fd, &part, 1, -1, 0);
        if (written < 0 && errno != EINTR)
            return -errno;
        if (written == 0)
            return -EIO;
        if (written > 0) {
            part.iov_base = (char *)part.iov_base + written;
            part.iov_len -= (size_t)written;
        }
    }
    return 0;
}

int os_sealed_body(const void *bytes, size_t size) {
    struct rlimit limit;
    /* Beyond it the kernel would not only fail but raise SIGXFSZ, which ends programs. */
    if (os_calls.getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size)
        return -EFBIG;
    int fd = result(os_calls.memfd_create("chappe-body", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0)
        return fd;
    int error = os_write_all(fd, bytes, size);
    if (error == 0)
        error = result(os_calls.fcntl(fd, F_ADD_SEALS,
                                      F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL));
    if (error < 0) {
        os_close(fd);
        return error;
    }
    return fd;
}

/* 0: nobody can change or shrink the file any more, and it is as large as announced. */
static int check_sealed(int fd, uint64_t size) {
    int seals = result(os_calls.fcntl(fd, F_GET_SEALS, 0));
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || (seals & F_SEAL_WRITE) == 0)
        return -EPERM;
    struct stat status;
    int error = os_stat_of(fd, &status);
    if (error < 0)
        return error;
    if (size == 0 || status.st_size < 0 || (uint64_t)status.st_size != size)
        return -EBADMSG;
    /* Holes cost the sender nothing and the reader all of it. */
    return (uint64_t)status.st_blocks * 512 >= size ? 0 : -EBADMSG;
}

int os_read_sealed(int fd, void *bytes, size_t size) {
    int error = check_sealed(fd, size);
    for (size_t done = 0; error == 0 && done < size;) {
        struct iovec part = {.iov_base = (char *)bytes + done, .iov_len = size - done};
        ssize_t got = os_calls.preadv2(fd, &part, 1, (off_t)done, 0);
        if (got == 0)
            error = -EBADMSG;
        else if (got > 0)
            done += (size_t)got;
        else if (errno != EINTR)
            error = -errno;
    }
    return error;
}

int os_map_sealed(int fd, uint64_t size, void **ret_memory) {
    int error = check_sealed(fd, size);
    if (error < 0)
        return error;
    /* Not writable: populating a private writable mapping would copy every page. */
    void *memory = os_calls.mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED)
        return errno == EAGAIN ? -ENOMEM : -errno; /* not “try again later”: memory is locked */
    *ret_memory = memory;
    return 0;
}

void os_unmap(void *memory, size_t size) {
    os_calls.munmap(memory, size);
}

/* ---- names in the file system ---- */

int os_stat(int folder, const char *name, struct stat *ret_status) {
    return result(os_calls.fstatat(folder, name, ret_status, AT_SYMLINK_NOFOLLOW));
}

int os_stat_of(int fd, struct stat *ret_status) {
    return result(os_calls.fstat(fd, ret_status));
}

int os_open_at(int folder, const char *name) {
    return open_again(folder, name, O_PATH, 0);
}

int os_open_lock(int folder, const char *name, mode_t mode) {
    return open_again(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW, mode);
}

int os_try_lock(int fd) {
    int error;
    do
        error = result(os_calls.flock(fd, LOCK_EX | LOCK_NB));
    while (error == -EINTR);
    return error;
}

int os_remove(int folder, const char *name) {
    return result(os_calls.unlinkat(folder, name, 0));
}

int os_rename(int folder, const char *from, const char *to) {
    return result(os_calls.renameat(folder, from, folder, to));
}

int os_set_mode_of(int fd, mode_t mode) {
    return result(os_calls.fchmod(fd, mode));
}

int os_set_mode(int folder, const char *name, mode_t mode) {
    return result(os_calls.fchmodat(folder, name, mode, 0));
}

/* ---- the process ---- */

int os_random(void *bytes, size_t size) {
    ssize_t got;
    do
        got = os_calls.getrandom(bytes, size, 0); /* up to 256 bytes come whole */
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got == (ssize_t)size ? 0 : -EIO;
}

uid_t os_uid(void) {
    return geteuid();
}

static void *map_page(int flags) {
    void *page =
        os_calls.mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? NULL : page;
}

/* The page of the mark: the one piece of process-wide state of the library. Made once,
 * by whoever's compare-and-swap is first; the kernel wipes it in a forked child. */
_Atomic(_Atomic(uint64_t) *) os_mark_page;

static _Atomic(uint64_t) *mark_page_make(void) {
    _Atomic(uint64_t) *page = map_page(MAP_PRIVATE);
    if (page == NULL)
        return NULL;
    if (os_calls.madvise(page, sizeof(uint64_t), MADV_WIPEONFORK) < 0) {
        os_unmap(page, sizeof(uint64_t));
        return NULL;
    }
    _Atomic(uint64_t) *first = NULL;
    /* Release: who sees the pointer finds a page that is wiped on fork behind it. */
    if (atomic_compare_exchange_strong_explicit(&os_mark_page, &first, page, memory_order_release,
                                                memory_order_acquire))
        return page;
    os_unmap(page, sizeof(uint64_t));
    return first;
}

/* A new mark. Random, because a pid comes back; 0 means “none yet”. */
static uint64_t mark_draw(void) {
    uint64_t mark = 0;
    while (mark == 0)
        if (os_random(&mark, sizeof mark) < 0)
            return (uint64_t)os_now() | 1;
    return mark;
}

uint64_t os_process_mark(void) {
    /* Acquire: pairs with the release in mark_page_make(). */
    _Atomic(uint64_t) *page = atomic_load_explicit(&os_mark_page, memory_order_acquire);
    if (page == NULL && (page = mark_page_make()) == NULL)
        return 0;
    /* Relaxed: the mark orders nothing, it is only compared. */
    uint64_t mark = atomic_load_explicit(page, memory_order_relaxed);
    if (mark != 0)
        return mark;
    uint64_t drawn = mark_draw();
    /* Relaxed: all threads agree on the one value that was swapped in. */
    if (atomic_compare_exchange_strong_explicit(page, &mark, drawn, memory_order_relaxed,
                                                memory_order_relaxed))
        return drawn;
    return mark;
}

uint64_t *os_shared_word(void) {
    return map_page(MAP_SHARED);
}

void os_shared_word_free(uint64_t *word) {
    if (word != NULL)
        os_unmap(word, sizeof *word);
}

const char *os_environment(const char *name) {
    return secure_getenv(name);
}

void os_print_error_line(const char *line) {
    struct iovec parts[2] = {
        {.iov_base = (void *)(uintptr_t)line, .iov_len = strlen(line)},
        {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1},
    };
    struct os_abilities abilities = {0};
    (void)os_write(STDERR_FILENO, &abilities, parts, 2, true); /* nobody left to tell */
}
