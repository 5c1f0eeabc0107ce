/* SPDX-License-Identifier: MIT
 *
 * Memory that processes share: files of memory, mappings, System V segments, and the barrier
 * that a process about to sleep asks of all others. */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/mman.h>

#include "os/os.h"

#define PIECE ((size_t)16 << 20)

static int result(int value) {
    return value < 0 ? -errno : value;
}

/* ---- files of memory ---- */

int os_allocate(int fd, size_t size) {
    struct rlimit limit;
    /* Beyond it the kernel would not only fail but raise SIGXFSZ, which ends programs. */
    if (os_calls.getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size)
        return -EFBIG;
    /* In pieces: at a signal the kernel undoes the whole call, and with a timer's signals a
     * long one would begin anew for ever. */
    for (size_t done = 0; done < size;) {
        size_t piece = size - done < PIECE ? size - done : PIECE;
        int error = result(os_calls.fallocate(fd, 0, (off_t)done, (off_t)piece));
        if (error < 0 && error != -EINTR)
            return error;
        if (error == 0)
            done += piece;
    }
    return 0;
}

int os_memory_file(size_t size, enum os_pages pages) {
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    if (pages == OS_PAGES_HUGE)
        flags |= MFD_HUGETLB;
    int fd = result(os_calls.memfd_create("chappe", flags));
    if (fd < 0)
        return fd;
    int error = os_allocate(fd, size);
    if (error == 0)
        error = result(os_calls.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
    if (error < 0) {
        os_close(fd);
        return error;
    }
    return fd;
}

int os_unnamed_file(int folder, mode_t mode) {
    int fd;
    do
        fd = result(os_calls.openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
    while (fd == -EINTR);
    return fd == -EISDIR ? -EOPNOTSUPP : fd; /* what kernels say that do not know the flag */
}

int os_check_size(int fd, size_t size, bool sealed) {
    struct stat status;
    int error = os_stat_of(fd, &status);
    if (error < 0)
        return error;
    if (status.st_size < 0 || (uint64_t)status.st_size != size ||
        (uint64_t)status.st_blocks * 512 < size)
        return -EBADMSG;
    if (!sealed)
        return 0;
    int seals = result(os_calls.fcntl(fd, F_GET_SEALS, 0));
    return seals < 0 || (seals & F_SEAL_SHRINK) == 0 ? -EPERM : 0;
}

static int mapped(void *memory, void **ret_memory) {
    if (memory == MAP_FAILED)
        return errno == EAGAIN ? -ENOMEM : -errno; /* not “try again later”: memory is locked */
    *ret_memory = memory;
    return 0;
}

int os_map_shared(int fd, size_t size, void **ret_memory) {
    return mapped(os_calls.mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), ret_memory);
}

int os_map_inherited(size_t size, bool zero, enum os_pages pages, void **ret_memory) {
    int huge = pages == OS_PAGES_HUGE ? MAP_HUGETLB : 0;
    if (!zero)
        return mapped(os_calls.mmap(NULL, size, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS | huge, -1, 0),
                      ret_memory);
    int fd;
    do
        fd = result(os_calls.openat(AT_FDCWD, "/dev/zero", O_RDWR | O_CLOEXEC, 0));
    while (fd == -EINTR);
    if (fd < 0)
        return fd;
    int error = os_map_shared(fd, size, ret_memory);
    os_close(fd);
    return error;
}

int os_map_again(void *memory, size_t size, void **ret_memory) {
    return mapped(os_calls.mremap(memory, 0, size, MREMAP_MAYMOVE), ret_memory);
}

/* ---- System V segments ---- */

int os_segment_create(key_t key, size_t size, mode_t mode, enum os_pages pages) {
    int huge = pages == OS_PAGES_HUGE ? SHM_HUGETLB : 0;
    return result(os_calls.shmget(key, size, IPC_CREAT | IPC_EXCL | huge | (int)mode));
}

int os_segment_find(key_t key) {
    return result(os_calls.shmget(key, 0, 0));
}

int os_segment_attach(int id, void **ret_memory) {
    return mapped(os_calls.shmat(id, NULL, 0), ret_memory); /* both fail with (void *)-1 */
}

void os_segment_detach(void *memory) {
    os_calls.shmdt(memory);
}

int os_segment_remove(int id) {
    return result(os_calls.shmctl(id, IPC_RMID, NULL));
}

int os_segment_status(int id, struct shmid_ds *ret_status) {
    return result(os_calls.shmctl(id, IPC_STAT, ret_status));
}

/* ---- the barrier ---- */

int os_barrier_register(void) {
    return result(os_calls.membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0));
}

int os_barrier(void) {
    return result(os_calls.membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0));
}
