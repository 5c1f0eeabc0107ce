/* SPDX-License-Identifier: MIT
 *
 * Folders and the files in them that processes share: made without a name, locked, named in
 * one step; and who a process is, for others to ask whether it is still there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/os.h"

#define PIDFS_MAGIC 0x50494446
#define TMPFS_MAGIC 0x01021994
#define RAMFS_MAGIC 0x858458f6
#define HUGETLBFS_MAGIC 0x958458f6

static int result(int value) {
    return value < 0 ? -errno : value;
}

static int open_again(int folder, const char *name, int flags, mode_t mode) {
    int fd;
    do
        fd = result(os_calls.openat(folder, name, flags | O_CLOEXEC, mode));
    while (fd == -EINTR);
    return fd;
}

/* ---- folders ---- */

int os_open_folder(int folder, const char *path) {
    return open_again(folder < 0 ? AT_FDCWD : folder, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

int os_make_folder(int folder, const char *path, mode_t mode) {
    return result(os_calls.mkdirat(folder < 0 ? AT_FDCWD : folder, path, mode));
}

int os_list(int folder, os_listed *each, void *context) {
    _Alignas(struct dirent64) char entries[8192];
    int again = os_open_folder(folder, "."); /* with a position of its own */
    if (again < 0)
        return again;
    ssize_t size;
    int outcome = 0;
    while (outcome == 0 && (size = os_calls.getdents64(again, entries, sizeof entries)) != 0) {
        if (size < 0)
            outcome = -errno;
        for (ssize_t at = 0; outcome == 0 && at < size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);
            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                outcome = each(context, entry->d_name);
        }
    }
    os_close(again);
    return outcome;
}

/* ---- files in them ---- */

/* Without waiting: somebody may have put a FIFO or a terminal there. */
int os_open_file(int folder, const char *name, bool write) {
    return open_again(folder, name,
                      (write ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
}

int os_create_file(int folder, const char *name, mode_t mode) {
    return open_again(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
}

int os_give_name(int fd, int folder, const char *name) {
    char path[32];
    /* By the descriptor itself: newer kernels let its opener do that, others want /proc. */
    int error = result(os_calls.linkat(fd, "", folder, name, AT_EMPTY_PATH));
    if (error != -ENOENT && error != -EPERM && error != -EINVAL)
        return error;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return result(os_calls.linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW));
}

int os_link(int folder, const char *from, const char *to) {
    return result(os_calls.linkat(folder, from, folder, to, 0));
}

int os_set_group_of(int fd, gid_t group) {
    return result(os_calls.fchown(fd, (uid_t)-1, group));
}

ssize_t os_read_at(int fd, void *bytes, size_t size, off_t offset) {
    size_t done = 0;
    while (done < size) {
        struct iovec part = {.iov_base = (char *)bytes + done, .iov_len = size - done};
        ssize_t got = os_calls.preadv2(fd, &part, 1, offset + (off_t)done, 0);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        if (got > 0)
            done += (size_t)got;
    }
    return (ssize_t)done;
}

int os_read_text(const char *path, char *ret_text, size_t size) {
    int fd = open_again(AT_FDCWD, path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    ssize_t got = os_read_at(fd, ret_text, size - 1, 0);
    os_close(fd);
    if (got < 0)
        return (int)got;
    ret_text[got] = '\0';
    return (int)got;
}

int os_is_memory(int fd) {
    struct statfs status;
    int error = result(os_calls.fstatfs(fd, &status));
    if (error < 0)
        return error;
    return status.f_type == TMPFS_MAGIC || (unsigned long)status.f_type == RAMFS_MAGIC;
}

/* ---- locks on single bytes, of the open description ---- */

static int lock_call(int fd, int command, struct flock *lock) {
    int error;
    do
        error = result(os_calls.fcntl(fd, command, (long)(intptr_t)lock));
    while (error == -EINTR);
    return error;
}

static struct flock byte_lock(short type, off_t at) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
}

int os_lock_byte(int fd, off_t at) {
    struct flock lock = byte_lock(F_WRLCK, at);
    int error = lock_call(fd, F_OFD_SETLK, &lock);
    return error == -EACCES ? -EAGAIN : error;
}

int os_unlock_byte(int fd, off_t at) {
    struct flock lock = byte_lock(F_UNLCK, at);
    return lock_call(fd, F_OFD_SETLK, &lock);
}

int os_byte_is_locked(int fd, off_t at) {
    struct flock lock = byte_lock(F_WRLCK, at);
    int error = lock_call(fd, F_OFD_GETLK, &lock);
    return error < 0 ? error : lock.l_type != F_UNLCK;
}

/* ---- who a process is ---- */

/* From 6.9 on every process has a number of its own in the file system of pidfds. */
static uint64_t process_number(int pidfd) {
    struct statfs system;
    struct stat status;
    if (os_calls.fstatfs(pidfd, &system) < 0 || system.f_type != PIDFS_MAGIC ||
        os_calls.fstat(pidfd, &status) < 0)
        return 0;
    return status.st_ino;
}

static uint64_t own_namespace(void) {
    struct stat status;
    return os_calls.fstatat(AT_FDCWD, "/proc/self/ns/pid", &status, 0) < 0 ? 0 : status.st_ino;
}

static void read_boot(char ret_boot[OS_BOOT_SIZE]) {
    char text[64];
    memset(ret_boot, 0, OS_BOOT_SIZE);
    if (os_read_text("/proc/sys/kernel/random/boot_id", text, sizeof text) >= OS_BOOT_SIZE)
        memcpy(ret_boot, text, OS_BOOT_SIZE);
}

void os_process_self(struct os_process *ret_self) {
    *ret_self = (struct os_process){.pid = getpid(), .space = own_namespace()};
    read_boot(ret_self->boot);
    int pidfd = result(os_calls.pidfd_open(ret_self->pid, 0));
    if (pidfd >= 0)
        ret_self->number = process_number(pidfd);
    os_close(pidfd);
}

/* Whether a process of this PID namespace with that pid has ended, or is another one. */
static bool has_ended(const struct os_process *process) {
    int pidfd = result(os_calls.pidfd_open(process->pid, 0));
    if (pidfd < 0)
        return pidfd == -ESRCH;
    /* Readable: it has ended, though nobody may have waited for it yet. */
    struct pollfd item = {.fd = pidfd, .events = POLLIN};
    uint64_t number = process->number != 0 ? process_number(pidfd) : 0;
    bool ended = os_wait(&item, 1, 0) == 1 && (item.revents & POLLIN) != 0;
    os_close(pidfd);
    return ended || (number != 0 && number != process->number);
}

bool os_process_is_gone(const struct os_process *process) {
    char boot[OS_BOOT_SIZE];
    /* The cheap question first: mostly they live. */
    if (process->pid <= 0 || process->space == 0 || !has_ended(process))
        return false;
    if (process->space != own_namespace())
        return false; /* it is another process that has this pid here */
    read_boot(boot);
    return boot[0] != '\0' && memcmp(boot, process->boot, sizeof boot) == 0;
}
