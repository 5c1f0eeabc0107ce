/* SPDX-License-Identifier: MIT
 *
 * One function for each member of struct os_calls: asks whether it is to fail, else calls
 * the real one. */
#include "fault/injection.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif

#define PARTS_MAX 16

enum {
    CALL_READ,
    CALL_PREADV2,
    CALL_PWRITEV2,
    CALL_SEND,
    CALL_SENDMSG,
    CALL_RECVMSG,
    CALL_SOCKET,
    CALL_SOCKETPAIR,
    CALL_BIND,
    CALL_LISTEN,
    CALL_ACCEPT4,
    CALL_CONNECT,
    CALL_GETSOCKOPT,
    CALL_SETSOCKOPT,
    CALL_SHUTDOWN,
    CALL_PPOLL,
    CALL_PIPE2,
    CALL_OPENAT,
    CALL_CLOSE,
    CALL_FSTAT,
    CALL_FSTATAT,
    CALL_FCNTL,
    CALL_FLOCK,
    CALL_UNLINKAT,
    CALL_RENAMEAT,
    CALL_MKDIRAT,
    CALL_LINKAT,
    CALL_GETDENTS64,
    CALL_FCHOWN,
    CALL_FSTATFS,
    CALL_PIDFD_OPEN,
    CALL_FCHMOD,
    CALL_FCHMODAT,
    CALL_MEMFD_CREATE,
    CALL_MMAP,
    CALL_MUNMAP,
    CALL_MADVISE,
    CALL_MREMAP,
    CALL_FALLOCATE,
    CALL_MEMBARRIER,
    CALL_SHMGET,
    CALL_SHMAT,
    CALL_SHMDT,
    CALL_SHMCTL,
    CALL_EPOLL_CREATE1,
    CALL_EPOLL_CTL,
    CALL_EPOLL_PWAIT2,
    CALL_EVENTFD,
    CALL_IOCTL,
    CALL_GETRLIMIT,
    CALL_GETRANDOM,
    CALL_PTHREAD_SIGMASK,
    CALL_SIGPENDING,
    CALL_SIGTIMEDWAIT,
    MEMBERS
};

_Static_assert(MEMBERS == CALL_COUNT, "every member of struct os_calls has a stand-in");

const struct call calls[WAYS_TO_FAIL] = {
    [CALL_READ] = {"read", {EIO, ENOMEM}, true},
    [CALL_PREADV2] = {"preadv2", {EIO, ENOMEM}, true},
    [CALL_PWRITEV2] = {"pwritev2", {EIO, ENOSPC, EPIPE}, true},
    [CALL_SEND] = {"send", {ENOBUFS, ENOMEM, EPIPE}, true},
    [CALL_SENDMSG] = {"sendmsg", {ENOBUFS, ENOMEM, EPIPE}, true},
    [CALL_RECVMSG] = {"recvmsg", {ENOMEM, ECONNRESET}, true},
    [CALL_SOCKET] = {"socket", {EMFILE, ENOBUFS}, false},
    [CALL_SOCKETPAIR] = {"socketpair", {EMFILE, ENFILE}, false},
    [CALL_BIND] = {"bind", {EACCES, ENOSPC, EADDRINUSE}, false},
    [CALL_LISTEN] = {"listen", {EADDRINUSE}, false},
    [CALL_ACCEPT4] = {"accept4", {EMFILE, ENOMEM}, true},
    [CALL_CONNECT] = {"connect", {EACCES, ENOMEM, ECONNREFUSED}, false},
    [CALL_GETSOCKOPT] = {"getsockopt", {ENOMEM}, false},
    [CALL_SETSOCKOPT] = {"setsockopt", {ENOMEM}, false},
    [CALL_SHUTDOWN] = {"shutdown", {ENOTCONN}, false},
    [CALL_PPOLL] = {"ppoll", {ENOMEM, EINVAL}, true},
    [CALL_PIPE2] = {"pipe2", {EMFILE, ENFILE}, false},
    [CALL_OPENAT] = {"openat", {EACCES, EMFILE, ENOSPC, EROFS}, true},
    [CALL_CLOSE] = {"close", {EIO, EINTR}, false},
    [CALL_FSTAT] = {"fstat", {EIO, ENOMEM}, false},
    [CALL_FSTATAT] = {"fstatat", {EACCES, EIO}, false},
    [CALL_FCNTL] = {"fcntl", {EMFILE, EPERM}, false},
    [CALL_FLOCK] = {"flock", {ENOLCK, EAGAIN}, true},
    [CALL_UNLINKAT] = {"unlinkat", {EACCES, EIO, EROFS}, false},
    [CALL_RENAMEAT] = {"renameat", {EACCES, ENOSPC}, false},
    [CALL_MKDIRAT] = {"mkdirat", {EACCES, ENOSPC}, false},
    [CALL_LINKAT] = {"linkat", {EACCES, ENOSPC}, false},
    [CALL_GETDENTS64] = {"getdents64", {EIO}, false},
    [CALL_FCHOWN] = {"fchown", {EPERM, EIO}, false},
    [CALL_FSTATFS] = {"fstatfs", {EIO}, false},
    [CALL_PIDFD_OPEN] = {"pidfd_open", {EMFILE, ENOSYS}, false},
    [CALL_FCHMOD] = {"fchmod", {EPERM, EIO}, false},
    [CALL_FCHMODAT] = {"fchmodat", {EPERM, EROFS}, false},
    [CALL_MEMFD_CREATE] = {"memfd_create", {EMFILE, ENOMEM}, false},
    [CALL_MMAP] = {"mmap", {ENOMEM, EAGAIN}, false},
    [CALL_MUNMAP] = {"munmap", {ENOMEM}, false},
    [CALL_MADVISE] = {"madvise", {ENOMEM, EINVAL}, false},
    [CALL_MREMAP] = {"mremap", {ENOMEM}, false},
    [CALL_FALLOCATE] = {"fallocate", {ENOSPC, EOPNOTSUPP}, true},
    [CALL_MEMBARRIER] = {"membarrier", {ENOSYS, EINVAL}, false},
    [CALL_SHMGET] = {"shmget", {ENOSPC, ENOMEM, EEXIST}, false},
    [CALL_SHMAT] = {"shmat", {ENOMEM, EACCES}, false},
    [CALL_SHMDT] = {"shmdt", {EINVAL}, false},
    [CALL_SHMCTL] = {"shmctl", {EPERM, EINVAL}, false},
    [CALL_EPOLL_CREATE1] = {"epoll_create1", {EMFILE, ENOMEM}, false},
    [CALL_EPOLL_CTL] = {"epoll_ctl", {ENOMEM, ENOSPC}, false},
    [CALL_EPOLL_PWAIT2] = {"epoll_pwait2", {EINVAL, ENOMEM}, true},
    [CALL_EVENTFD] = {"eventfd", {EMFILE, ENODEV}, false},
    [CALL_IOCTL] = {"ioctl", {EINVAL, ENOTTY}, false},
    [CALL_GETRLIMIT] = {"getrlimit", {EFAULT}, false},
    [CALL_GETRANDOM] = {"getrandom", {ENOSYS, EFAULT}, true},
    [CALL_PTHREAD_SIGMASK] = {"pthread_sigmask", {EINVAL}, false},
    [CALL_SIGPENDING] = {"sigpending", {EFAULT}, false},
    [CALL_SIGTIMEDWAIT] = {"sigtimedwait", {EAGAIN, EINVAL}, true},
    [MEMBERS + ALLOCATION_MALLOC] = {"malloc", {ENOMEM}, false},
    [MEMBERS + ALLOCATION_CALLOC] = {"calloc", {ENOMEM}, false},
    [MEMBERS + ALLOCATION_REALLOC] = {"realloc", {ENOMEM}, false},
    [MEMBERS + ALLOCATION_STRDUP] = {"strdup", {ENOMEM}, false},
};

struct injection injection;
size_t *times_failed;
long mappings_alive;
bool closed_twice;

static struct os_calls real;

/* Is this call of it the one that fails? */
static bool fails(size_t call) {
    if (injection.at == 0 || injection.call != call || ++injection.seen != injection.at)
        return false;
    injection.done = true;
    times_failed[call]++;
    return true;
}

/* Every other time on average; in no rhythm, which a loop could fall in step with. */
static bool every_other(void) {
    injection.turns = injection.turns * 1103515245 + 12345;
    return (injection.turns >> 16 & 1) != 0;
}

/* Sets errno and says so if the call is to end here without being made. */
static bool ends(size_t call) {
    if (injection.interrupts && calls[call].interruptible && every_other()) {
        errno = EINTR;
        return true;
    }
    if (!fails(call))
        return false;
    errno = injection.error;
    return true;
}

/* ends(), for a call that is allowed not to wait. */
static bool ends_at_once(size_t call, bool may_tire) {
    if (injection.tires && may_tire && every_other()) {
        errno = EAGAIN;
        return true;
    }
    return ends(call);
}

/* The call was made and undid something; is its failure to be reported? */
static int report(size_t call, int result) {
    if (!fails(call))
        return result;
    errno = injection.error;
    return -1;
}

static bool refuses(enum allocation allocation) {
    return fails(MEMBERS + allocation);
}

/* ---- streams ---- */

/* At most the first byte of some parts. Result: how many parts. */
static int first_byte(const struct iovec *parts, int count, struct iovec *ret_part) {
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len > 0) {
            *ret_part = (struct iovec){.iov_base = parts[i].iov_base, .iov_len = 1};
            return 1;
        }
    return 0;
}

static bool is_stream(int fd) {
    int type = 0;
    socklen_t size = sizeof type;
    return real.getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

static bool is_unknown(int flags) {
    if (!injection.is_old || (flags & (RWF_NOWAIT | RWF_NOSIGNAL)) == 0)
        return false;
    errno = EOPNOTSUPP;
    return true;
}

static ssize_t fake_read(int fd, void *bytes, size_t size) {
    if (ends(CALL_READ))
        return -1;
    return real.read(fd, bytes, injection.crawls && size > 0 ? 1 : size);
}

static ssize_t fake_preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    struct iovec one;
    if (is_unknown(flags) || ends_at_once(CALL_PREADV2, (flags & RWF_NOWAIT) != 0))
        return -1;
    if (injection.crawls && first_byte(parts, count, &one) == 1)
        return real.preadv2(fd, &one, 1, offset, flags);
    return real.preadv2(fd, parts, count, offset, flags);
}

static ssize_t fake_pwritev2(int fd, const struct iovec *parts, int count, off_t offset,
                             int flags) {
    struct iovec one;
    if (is_unknown(flags) || ends_at_once(CALL_PWRITEV2, (flags & RWF_NOWAIT) != 0))
        return -1;
    /* Eight bytes may be for an eventfd, which takes no fewer. */
    bool crawls = injection.crawls && !(count == 1 && parts[0].iov_len == sizeof(uint64_t));
    if (crawls && first_byte(parts, count, &one) == 1)
        return real.pwritev2(fd, &one, 1, offset, flags);
    return real.pwritev2(fd, parts, count, offset, flags);
}

static ssize_t fake_send(int fd, const void *bytes, size_t size, int flags) {
    if (ends_at_once(CALL_SEND, (flags & MSG_DONTWAIT) != 0))
        return -1;
    return real.send(fd, bytes, injection.crawls && size > 0 && is_stream(fd) ? 1 : size, flags);
}

static ssize_t fake_sendmsg(int fd, const struct msghdr *message, int flags) {
    struct msghdr shorter = *message;
    struct iovec one;
    if (ends_at_once(CALL_SENDMSG, (flags & MSG_DONTWAIT) != 0))
        return -1;
    if (injection.crawls && is_stream(fd) &&
        first_byte(message->msg_iov, (int)message->msg_iovlen, &one) == 1) {
        shorter.msg_iov = &one;
        shorter.msg_iovlen = 1;
    }
    return real.sendmsg(fd, &shorter, flags);
}

static ssize_t fake_recvmsg(int fd, struct msghdr *message, int flags) {
    struct iovec one, *parts = message->msg_iov;
    size_t count = message->msg_iovlen;
    if (ends_at_once(CALL_RECVMSG, (flags & MSG_DONTWAIT) != 0))
        return -1;
    if (injection.crawls && is_stream(fd) && first_byte(parts, (int)count, &one) == 1) {
        message->msg_iov = &one;
        message->msg_iovlen = 1;
    }
    ssize_t got = real.recvmsg(fd, message, flags);
    message->msg_iov = parts;
    message->msg_iovlen = count;
    return got;
}

/* ---- those that are more than a question ---- */

static int fake_accept4(int fd, struct sockaddr *name, socklen_t *size, int flags) {
    return ends_at_once(CALL_ACCEPT4, true) ? -1 : real.accept4(fd, name, size, flags);
}

/* EAGAIN would mean a full backlog, so a living server: no call that may be refused for now. */
static int fake_connect(int fd, const struct sockaddr *name, socklen_t size) {
    return ends(CALL_CONNECT) ? -1 : real.connect(fd, name, size);
}

static int fake_ppoll(struct pollfd *items, nfds_t count, const struct timespec *span,
                      const sigset_t *mask) {
    return ends_at_once(CALL_PPOLL, true) ? -1 : real.ppoll(items, count, span, mask);
}

static int fake_close(int fd) {
    int result = real.close(fd);
    closed_twice |= result < 0 && errno == EBADF;
    return report(CALL_CLOSE, result);
}

static void *fake_mmap(void *address, size_t size, int protection, int flags, int fd,
                       off_t offset) {
    if (ends(CALL_MMAP))
        return MAP_FAILED;
    void *memory = real.mmap(address, size, protection, flags, fd, offset);
    mappings_alive += memory != MAP_FAILED;
    return memory;
}

static int fake_munmap(void *address, size_t size) {
    mappings_alive--;
    return report(CALL_MUNMAP, real.munmap(address, size));
}

/* Only the page of the process mark is asked for this, once a process, and it stays. */
static int fake_madvise(void *address, size_t size, int advice) {
    if (ends(CALL_MADVISE))
        return -1;
    mappings_alive--;
    return real.madvise(address, size, advice);
}

static int fake_pthread_sigmask(int how, const sigset_t *set, sigset_t *before) {
    if (how != SIG_SETMASK && fails(CALL_PTHREAD_SIGMASK))
        return injection.error;
    int result = real.pthread_sigmask(how, set, before);
    return how == SIG_SETMASK && fails(CALL_PTHREAD_SIGMASK) ? injection.error : result;
}

/* The signal is taken, or it would end the process. */
static int fake_sigtimedwait(const sigset_t *set, siginfo_t *what, const struct timespec *span) {
    if (injection.interrupts && every_other()) {
        errno = EINTR;
        return -1;
    }
    return report(CALL_SIGTIMEDWAIT, real.sigtimedwait(set, what, span));
}

/* A change or an end of watching does not fail but for mistakes of the caller's. */
static int fake_epoll_ctl(int watch, int operation, int fd, struct epoll_event *event) {
    if (operation == EPOLL_CTL_ADD && ends(CALL_EPOLL_CTL))
        return -1;
    return real.epoll_ctl(watch, operation, fd, event);
}

/* ---- the rest ---- */

static int fake_socket(int family, int type, int protocol) {
    return ends(CALL_SOCKET) ? -1 : real.socket(family, type, protocol);
}

static int fake_socketpair(int family, int type, int protocol, int *ret_ends) {
    return ends(CALL_SOCKETPAIR) ? -1 : real.socketpair(family, type, protocol, ret_ends);
}

static int fake_bind(int fd, const struct sockaddr *name, socklen_t size) {
    return ends(CALL_BIND) ? -1 : real.bind(fd, name, size);
}

static int fake_listen(int fd, int backlog) {
    return ends(CALL_LISTEN) ? -1 : real.listen(fd, backlog);
}

static int fake_getsockopt(int fd, int level, int option, void *value, socklen_t *size) {
    return ends(CALL_GETSOCKOPT) ? -1 : real.getsockopt(fd, level, option, value, size);
}

static int fake_setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
    return ends(CALL_SETSOCKOPT) ? -1 : real.setsockopt(fd, level, option, value, size);
}

static int fake_shutdown(int fd, int how) {
    return ends(CALL_SHUTDOWN) ? -1 : real.shutdown(fd, how);
}

static int fake_pipe2(int *ret_ends, int flags) {
    return ends(CALL_PIPE2) ? -1 : real.pipe2(ret_ends, flags);
}

static int fake_openat(int folder, const char *name, int flags, mode_t mode) {
    return ends(CALL_OPENAT) ? -1 : real.openat(folder, name, flags, mode);
}

static int fake_fstat(int fd, struct stat *status) {
    return ends(CALL_FSTAT) ? -1 : real.fstat(fd, status);
}

static int fake_fstatat(int folder, const char *name, struct stat *status, int flags) {
    return ends(CALL_FSTATAT) ? -1 : real.fstatat(folder, name, status, flags);
}

/* Asking for seals fails only for what has none: that is the sender's fault, no shortage. */
static int fake_fcntl(int fd, int command, long argument) {
    if (command != F_GET_SEALS && ends(CALL_FCNTL))
        return -1;
    return real.fcntl(fd, command, argument);
}

static int fake_flock(int fd, int operation) {
    return ends(CALL_FLOCK) ? -1 : real.flock(fd, operation);
}

static int fake_unlinkat(int folder, const char *name, int flags) {
    return ends(CALL_UNLINKAT) ? -1 : real.unlinkat(folder, name, flags);
}

static int fake_renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return ends(CALL_RENAMEAT) ? -1 : real.renameat(from_folder, from, to_folder, to);
}

static int fake_fchmod(int fd, mode_t mode) {
    return ends(CALL_FCHMOD) ? -1 : real.fchmod(fd, mode);
}

static int fake_fchmodat(int folder, const char *name, mode_t mode, int flags) {
    return ends(CALL_FCHMODAT) ? -1 : real.fchmodat(folder, name, mode, flags);
}

static int fake_mkdirat(int folder, const char *name, mode_t mode) {
    return ends(CALL_MKDIRAT) ? -1 : real.mkdirat(folder, name, mode);
}

static int fake_linkat(int from_folder, const char *from, int to_folder, const char *to,
                       int flags) {
    return ends(CALL_LINKAT) ? -1 : real.linkat(from_folder, from, to_folder, to, flags);
}

static ssize_t fake_getdents64(int folder, void *entries, size_t size) {
    return ends(CALL_GETDENTS64) ? -1 : real.getdents64(folder, entries, size);
}

static int fake_fchown(int fd, uid_t owner, gid_t group) {
    return ends(CALL_FCHOWN) ? -1 : real.fchown(fd, owner, group);
}

static int fake_fstatfs(int fd, struct statfs *status) {
    return ends(CALL_FSTATFS) ? -1 : real.fstatfs(fd, status);
}

static int fake_pidfd_open(pid_t pid, unsigned flags) {
    return ends(CALL_PIDFD_OPEN) ? -1 : real.pidfd_open(pid, flags);
}

/* A size of 0 makes another mapping of the same memory. */
static void *fake_mremap(void *memory, size_t size, size_t new_size, int flags) {
    if (ends(CALL_MREMAP))
        return MAP_FAILED;
    void *moved = real.mremap(memory, size, new_size, flags);
    mappings_alive += size == 0 && moved != MAP_FAILED;
    return moved;
}

static int fake_fallocate(int fd, int mode, off_t offset, off_t size) {
    return ends(CALL_FALLOCATE) ? -1 : real.fallocate(fd, mode, offset, size);
}

static int fake_membarrier(int command, unsigned flags, int cpu) {
    return ends(CALL_MEMBARRIER) ? -1 : real.membarrier(command, flags, cpu);
}

static int fake_shmget(key_t key, size_t size, int flags) {
    return ends(CALL_SHMGET) ? -1 : real.shmget(key, size, flags);
}

static void *fake_shmat(int id, const void *address, int flags) {
    if (ends(CALL_SHMAT))
        return MAP_FAILED;
    void *memory = real.shmat(id, address, flags);
    mappings_alive += memory != MAP_FAILED;
    return memory;
}

static int fake_shmdt(const void *memory) {
    mappings_alive--;
    return report(CALL_SHMDT, real.shmdt(memory));
}

/* Removing one undoes something. */
static int fake_shmctl(int id, int command, struct shmid_ds *status) {
    if (command == IPC_RMID)
        return report(CALL_SHMCTL, real.shmctl(id, command, status));
    return ends(CALL_SHMCTL) ? -1 : real.shmctl(id, command, status);
}

static int fake_memfd_create(const char *name, unsigned flags) {
    return ends(CALL_MEMFD_CREATE) ? -1 : real.memfd_create(name, flags);
}

static int fake_epoll_create1(int flags) {
    return ends(CALL_EPOLL_CREATE1) ? -1 : real.epoll_create1(flags);
}

static int fake_epoll_pwait2(int watch, struct epoll_event *events, int count,
                             const struct timespec *span, const sigset_t *mask) {
    return ends(CALL_EPOLL_PWAIT2) ? -1 : real.epoll_pwait2(watch, events, count, span, mask);
}

static int fake_eventfd(unsigned count, int flags) {
    return ends(CALL_EVENTFD) ? -1 : real.eventfd(count, flags);
}

static int fake_ioctl(int fd, unsigned long request, void *argument) {
    return ends(CALL_IOCTL) ? -1 : real.ioctl(fd, request, argument);
}

static int fake_getrlimit(int resource, struct rlimit *limit) {
    return ends(CALL_GETRLIMIT) ? -1 : real.getrlimit(resource, limit);
}

static ssize_t fake_getrandom(void *bytes, size_t size, unsigned flags) {
    return ends(CALL_GETRANDOM) ? -1 : real.getrandom(bytes, size, flags);
}

static int fake_sigpending(sigset_t *set) {
    return ends(CALL_SIGPENDING) ? -1 : real.sigpending(set);
}

void injection_start(void) {
    size_t size = WAYS_TO_FAIL * sizeof(size_t);
    times_failed = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    allocations.refuses = refuses;
    real = os_calls;
    os_calls = (struct os_calls){
        .read = fake_read,
        .preadv2 = fake_preadv2,
        .pwritev2 = fake_pwritev2,
        .send = fake_send,
        .sendmsg = fake_sendmsg,
        .recvmsg = fake_recvmsg,
        .socket = fake_socket,
        .socketpair = fake_socketpair,
        .bind = fake_bind,
        .listen = fake_listen,
        .accept4 = fake_accept4,
        .connect = fake_connect,
        .getsockopt = fake_getsockopt,
        .setsockopt = fake_setsockopt,
        .shutdown = fake_shutdown,
        .ppoll = fake_ppoll,
        .pipe2 = fake_pipe2,
        .openat = fake_openat,
        .close = fake_close,
        .fstat = fake_fstat,
        .fstatat = fake_fstatat,
        .fcntl = fake_fcntl,
        .flock = fake_flock,
        .unlinkat = fake_unlinkat,
        .renameat = fake_renameat,
        .mkdirat = fake_mkdirat,
        .linkat = fake_linkat,
        .getdents64 = fake_getdents64,
        .fchown = fake_fchown,
        .fstatfs = fake_fstatfs,
        .pidfd_open = fake_pidfd_open,
        .fchmod = fake_fchmod,
        .fchmodat = fake_fchmodat,
        .memfd_create = fake_memfd_create,
        .mmap = fake_mmap,
        .munmap = fake_munmap,
        .madvise = fake_madvise,
        .mremap = fake_mremap,
        .fallocate = fake_fallocate,
        .membarrier = fake_membarrier,
        .shmget = fake_shmget,
        .shmat = fake_shmat,
        .shmdt = fake_shmdt,
        .shmctl = fake_shmctl,
        .epoll_create1 = fake_epoll_create1,
        .epoll_ctl = fake_epoll_ctl,
        .epoll_pwait2 = fake_epoll_pwait2,
        .eventfd = fake_eventfd,
        .ioctl = fake_ioctl,
        .getrlimit = fake_getrlimit,
        .getrandom = fake_getrandom,
        .pthread_sigmask = fake_pthread_sigmask,
        .sigpending = fake_sigpending,
        .sigtimedwait = fake_sigtimedwait,
    };
}
