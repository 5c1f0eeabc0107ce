/* SPDX-License-Identifier: MIT
 *
 * The only floor that calls the kernel. Every call goes through one table, so that a
 * test can make any of them fail, fall short or be interrupted (the idea is SQLite's).
 *
 * All functions return 0 or a count, or a negative errno value. None is ended by a
 * signal handler, except where it says so. Descriptors are close-on-exec. */
#ifndef OS_OS_H
#define OS_OS_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>

/* The kernel as this library sees it: the C library's functions, -1 and errno. */
struct os_calls {
    ssize_t (*read)(int, void *, size_t);
    ssize_t (*preadv2)(int, const struct iovec *, int, off_t, int);
    ssize_t (*pwritev2)(int, const struct iovec *, int, off_t, int);
    ssize_t (*send)(int, const void *, size_t, int);
    ssize_t (*sendmsg)(int, const struct msghdr *, int);
    ssize_t (*recvmsg)(int, struct msghdr *, int);
    int (*socket)(int, int, int);
    int (*socketpair)(int, int, int, int *);
    int (*bind)(int, const struct sockaddr *, socklen_t);
    int (*listen)(int, int);
    int (*accept4)(int, struct sockaddr *, socklen_t *, int);
    int (*connect)(int, const struct sockaddr *, socklen_t);
    int (*getsockopt)(int, int, int, void *, socklen_t *);
    int (*setsockopt)(int, int, int, const void *, socklen_t);
    int (*shutdown)(int, int);
    int (*ppoll)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
    int (*pipe2)(int *, int);
    int (*openat)(int, const char *, int, mode_t);
    int (*close)(int);
    int (*fstat)(int, struct stat *);
    int (*fstatat)(int, const char *, struct stat *, int);
    int (*fcntl)(int, int, long);
    int (*flock)(int, int);
    int (*unlinkat)(int, const char *, int);
    int (*renameat)(int, const char *, int, const char *);
    int (*mkdirat)(int, const char *, mode_t);
    int (*linkat)(int, const char *, int, const char *, int);
    ssize_t (*getdents64)(int, void *, size_t);
    int (*fchown)(int, uid_t, gid_t);
    int (*fstatfs)(int, struct statfs *);
    int (*pidfd_open)(pid_t, unsigned);
    int (*fchmod)(int, mode_t);
    int (*fchmodat)(int, const char *, mode_t, int);
    int (*memfd_create)(const char *, unsigned);
    void *(*mmap)(void *, size_t, int, int, int, off_t);
    int (*munmap)(void *, size_t);
    int (*madvise)(void *, size_t, int);
    void *(*mremap)(void *, size_t, size_t, int);
    int (*fallocate)(int, int, off_t, off_t);
    int (*membarrier)(int, unsigned, int);
    int (*shmget)(key_t, size_t, int);
    void *(*shmat)(int, const void *, int);
    int (*shmdt)(const void *);
    int (*shmctl)(int, int, struct shmid_ds *);
    int (*epoll_create1)(int);
    int (*epoll_ctl)(int, int, int, struct epoll_event *);
    int (*epoll_pwait2)(int, struct epoll_event *, int, const struct timespec *, const sigset_t *);
    int (*eventfd)(unsigned, int);
    int (*ioctl)(int, unsigned long, void *);
    int (*getrlimit)(int, struct rlimit *);
    ssize_t (*getrandom)(void *, size_t, unsigned);
    int (*pthread_sigmask)(int, const sigset_t *, sigset_t *); /* a positive errno */
    int (*sigpending)(sigset_t *);
    int (*sigtimedwait)(const sigset_t *, siginfo_t *, const struct timespec *);
};

/* Changed by tests only, before anything is opened. */
extern struct os_calls os_calls;

/* ---- time (deadlines as in <chappe/chappe.h>) ---- */
int64_t os_now(void);      /* CLOCK_MONOTONIC, ns */
int64_t os_calendar(void); /* CLOCK_REALTIME, ns since 1970 */

/* ---- reading and writing ---- */
/* What the kernel can do on a descriptor, learnt on the way; starts with zeros. */
struct os_abilities {
    bool no_nowait;   /* RWF_NOWAIT is refused: look with poll first */
    bool no_nosignal; /* RWF_NOSIGNAL is refused: keep SIGPIPE from this thread */
};
/* Reads or writes what there is; `block` false: -EAGAIN instead of waiting. Where the
 * kernel has no RWF_NOWAIT, at most PIPE_BUF bytes are written after a look with poll,
 * which a pipe takes without waiting. -EINTR does not come out. */
ssize_t os_read(int fd, struct os_abilities *abilities, void *bytes, size_t size, bool block);
ssize_t os_write(int fd, struct os_abilities *abilities, const struct iovec *parts, int count,
                 bool block);
int os_write_all(int fd, const void *bytes, size_t size); /* to a file; waits */

/* ---- descriptors ---- */
void os_close(int fd);              /* -1 does nothing */
int os_open_path(const char *path); /* O_PATH: names a place, opens nothing */
int os_duplicate(int fd);
int os_pipe(int ret_ends[2]); /* [0] is read from */
/* O_RDONLY, O_WRONLY or O_RDWR; -EBADF if `fd` is not open. */
int os_access_mode(int fd);
int os_pipe_capacity(int fd, int bytes);
int os_make_blocking(int fd); /* our own descriptions only */
/* 1: a pipe, 0: a file, whose bytes are where they belong; -ENOTSUP: anything else. */
int os_is_pipe(int fd);
int os_bytes_unread(int fd);  /* FIONREAD */
int os_socket_unread(int fd); /* SIOCOUTQ: memory that the other side has not freed */
/* A sealed anonymous file with these bytes, and the reverse: maps `size` bytes of one
 * after making sure that nobody can change or shrink it any more. */
int os_sealed_body(const void *bytes, size_t size); /* -EFBIG: RLIMIT_FSIZE */
int os_map_sealed(int fd, uint64_t size, void **ret_memory);
int os_read_sealed(int fd, void *bytes, size_t size); /* all of it; same checks */
void os_unmap(void *memory, size_t size);

/* ---- memory that processes share ---- */
enum os_pages { OS_PAGES_USUAL, OS_PAGES_HUGE };
#define OS_HUGE_PAGE ((size_t)2 << 20)
/* A file of memory without a name, all of whose bytes are there: `size` cannot change any
 * more where the kernel can seal that. */
int os_memory_file(size_t size, enum os_pages pages);
int os_unnamed_file(int folder, mode_t mode); /* in that folder; -EOPNOTSUPP */
/* Makes a file `size` bytes long, with room for all of them: shortage is -ENOSPC now, and not
 * a signal later. */
int os_allocate(int fd, size_t size);
int os_check_size(int fd, size_t size, bool sealed); /* exactly that, and (if so) for ever */
int os_map_shared(int fd, size_t size, void **ret_memory);
/* Shared with children only. `zero`: by way of /dev/zero, as of old. */
int os_map_inherited(size_t size, bool zero, enum os_pages pages, void **ret_memory);
int os_map_again(void *memory, size_t size, void **ret_memory); /* a shared mapping, elsewhere */
/* System V segments. Removing one that is attached ends its name now, and it later. */
int os_segment_create(key_t key, size_t size, mode_t mode, enum os_pages pages);
int os_segment_find(key_t key);
int os_segment_attach(int id, void **ret_memory);
void os_segment_detach(void *memory);
int os_segment_remove(int id);
int os_segment_status(int id, struct shmid_ds *ret_status);
/* membarrier(2), GLOBAL_EXPEDITED: a fence on every processor that runs a registered
 * process. A registration is inherited by fork. */
int os_barrier_register(void);
int os_barrier(void);

/* ---- waiting ---- */
/* Result: how many are ready; -ETIMEDOUT, or -EAGAIN for a deadline in the past. */
int os_wait(struct pollfd *items, size_t count, int64_t deadline);
/* Sleeps; ends early if `fd` (may be -1) breaks, or with a signal. */
void os_pause(int fd, int64_t ns);
int os_watch_create(void);                                        /* epoll */
int os_watch(int watch, int fd, uint32_t events, uint64_t tag);   /* adds */
int os_rewatch(int watch, int fd, uint32_t events, uint64_t tag); /* changes */
void os_unwatch(int watch, int fd);
int os_watch_wait(int watch, struct epoll_event *ret_events, int count, int64_t deadline);
int os_bell_create(void); /* eventfd */
void os_bell_ring(int bell);
void os_bell_hush(int bell);

/* ---- sockets ---- */
int os_socket(int family, int type);
int os_socket_pair(int type, int ret_ends[2]);
int os_bind(int fd, const struct sockaddr *name, socklen_t size);
int os_listen(int fd);
int os_accept(int fd); /* does not wait: -EAGAIN */
int os_connect(int fd, const struct sockaddr *name, socklen_t size);
int os_finish_sending(int fd); /* SHUT_WR */
int os_peer_credentials(int fd, struct ucred *ret_peer);
int os_socket_option(int fd, int level, int option, int value);
int os_send_buffer(int fd);  /* SO_SNDBUF: how much memory may be unread */
int os_socket_error(int fd); /* takes the pending error: 0 or a negative errno value */
/* MSG_NOSIGNAL and MSG_CMSG_CLOEXEC are added. -EINTR does not come out. */
ssize_t os_send(int fd, const struct msghdr *message, bool block);
ssize_t os_send_bytes(int fd, const void *bytes, size_t size, bool block); /* costs less */
ssize_t os_receive(int fd, struct msghdr *message, bool block);

/* ---- names in the file system, relative to a folder from os_open_path() ---- */
int os_stat(int folder, const char *name, struct stat *ret_status); /* of a link itself */
int os_stat_of(int fd, struct stat *ret_status);
int os_open_at(int folder, const char *name); /* O_PATH, follows links */
int os_open_lock(int folder, const char *name, mode_t mode);
int os_try_lock(int fd); /* for the life of the description; -EAGAIN: held */
int os_remove(int folder, const char *name);
int os_rename(int folder, const char *from, const char *to);
int os_set_mode_of(int fd, mode_t mode); /* of a socket: before it is bound; umask cuts it */
int os_set_mode(int folder, const char *name, mode_t mode);

/* ---- folders, and files in them that processes share ---- */
int os_open_folder(int folder, const char *path); /* -1: from here; -ELOOP, -ENOTDIR: a link */
int os_make_folder(int folder, const char *path, mode_t mode);
/* Calls `each` for every name but . and .., until it answers other than 0: then that. */
typedef int os_listed(void *context, const char *name);
int os_list(int folder, os_listed *each, void *context);
int os_open_file(int folder, const char *name, bool write);    /* follows no link, never waits */
int os_create_file(int folder, const char *name, mode_t mode); /* -EEXIST */
int os_give_name(int fd, int folder, const char *name);        /* of os_unnamed_file(); -EEXIST */
int os_link(int folder, const char *from, const char *to);
int os_set_group_of(int fd, gid_t group);
ssize_t os_read_at(int fd, void *bytes, size_t size, off_t offset); /* less only at the end */
int os_read_text(const char *path, char *ret_text, size_t size);    /* a small file; its length */
int os_is_memory(int fd); /* 1: a file whose pages are memory that nothing else holds */
/* Locks on one byte of a file, of the open description: a forked child shares them, and
 * they end when the last of its holders has closed it. No process waits for one. */
int os_lock_byte(int fd, off_t at); /* for writing; -EAGAIN: another description has it */
int os_unlock_byte(int fd, off_t at);
int os_byte_is_locked(int fd, off_t at); /* 1: by another description; disturbs nobody */
/* Who a process is, for others of this machine to ask whether it has gone. */
#define OS_BOOT_SIZE 36
struct os_process {
    pid_t pid;
    uint64_t space;  /* its PID namespace; 0: not known */
    uint64_t number; /* never used again while the machine runs; 0: not known (before 6.9) */
    char boot[OS_BOOT_SIZE];
};
void os_process_self(struct os_process *ret_self);
bool os_process_is_gone(const struct os_process *process); /* proven; else false */

/* ---- the process ---- */
int os_random(void *bytes, size_t size); /* up to 256 */
uid_t os_uid(void);
/* The page behind os_process_mark(), NULL until it is asked for the first time. */
extern _Atomic(_Atomic(uint64_t) *) os_mark_page;
/* A number of this process that differs in a forked child (MADV_WIPEONFORK: no system
 * call to find out). 0 only if the kernel refuses the page. Thread-safe. */
uint64_t os_process_mark(void);
/* One word that both sides of a fork share, zero at first; NULL without memory. */
uint64_t *os_shared_word(void);
void os_shared_word_free(uint64_t *word); /* NULL does nothing */
/* NULL if unset, and in set-uid programs. */
const char *os_environment(const char *name);
void os_print_error_line(const char *line);

#endif
