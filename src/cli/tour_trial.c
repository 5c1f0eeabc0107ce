/* SPDX-License-Identifier: MIT
 *
 * One address of the tour: two processes are started, watched and in any case ended and
 * reaped, and the temporary directory is removed again.
 */
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tour.h"

#define TRIAL_TICK_MS 100

/* What belongs to a trial besides its result. */
struct trial {
    struct tour_trial what;
    const struct tour_file *file;
    struct tour_shared *shared;
    struct tour_result *result;
    char directory[256];
    char address[2048];
    chappe_endpoint *ends[2]; /* of a pair, by role */
    int controls[2];
    pid_t processes[2]; /* 0 when reaped */
    int pidfds[2];      /* -1 when reaped */
};

static const char *const trial_roles[] = {[TOUR_KEEPER] = "receiving", [TOUR_OPENER] = "sending"};

/* Refusals of the machine: the kernel lacks it, forbids it, or has no more of it. All
 * else that goes wrong is a fault. */
static bool trial_refusal(int error) {
    static const int errors[] = {ENOSYS, EOPNOTSUPP, EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT,
                                 EPERM,  EACCES,     EMFILE,       ENFILE,          ENOSPC,
                                 ENOMEM, ENOBUFS,    ENODEV,       EROFS,           EDQUOT};

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (error == -errors[i]) {
            return true;
        }
    }
    return false;
}

static int trial_fail(struct trial *trial, int error, const char *what, const char *reason) {
    struct tour_result *result = trial->result;

    result->outcome = trial_refusal(error) ? TOUR_REFUSED : TOUR_FAILED;
    snprintf(result->reason, sizeof result->reason, "%s%s%s", what, what[0] != '\0' ? ": " : "",
             reason);
    return -1;
}

static int trial_remove(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

/* The address, with {dir} replaced; bytes that mean something in an address as %XX. */
static int trial_address(struct trial *trial) {
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-";
    static const char mark[] = "{dir}";
    const char *form = trial->what.form;
    size_t used = 0;

    while (*form != '\0') {
        /* Room for the directory, of which every byte may need three. */
        if (used + 3 * sizeof trial->directory >= sizeof trial->address) {
            return trial_fail(trial, 0, form, "the address is too long");
        }
        if (strncmp(form, mark, sizeof mark - 1) != 0) {
            trial->address[used++] = *form++;
            continue;
        }
        for (const char *at = trial->directory; *at != '\0'; at++) {
            used +=
                (size_t)snprintf(trial->address + used, sizeof trial->address - used,
                                 strchr(safe, *at) != NULL ? "%c" : "%%%02X", (unsigned char)*at);
        }
        form += sizeof mark - 1;
    }
    trial->address[used] = '\0';
    return 0;
}

static int trial_prepare(struct trial *trial) {
    const char *temporary = getenv("TMPDIR");
    int length = snprintf(trial->directory, sizeof trial->directory, "%s/chappe-tour-XXXXXX",
                          temporary != NULL && temporary[0] == '/' ? temporary : "/tmp");

    if (length < 0 || (size_t)length >= sizeof trial->directory) {
        trial->directory[0] = '\0';
        return trial_fail(trial, 0, "TMPDIR", "the path is too long");
    }
    if (mkdtemp(trial->directory) == NULL) {
        int error = errno;

        trial->directory[0] = '\0';
        return trial_fail(trial, 0, "temporary directory", strerror(error));
    }
    if (trial_address(trial) < 0) {
        return -1;
    }
    trial->shared = mmap(NULL, sizeof *trial->shared, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (trial->shared == MAP_FAILED) {
        trial->shared = NULL;
        return trial_fail(trial, -errno, "shared memory", strerror(errno));
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, trial->controls) < 0) {
        return trial_fail(trial, -errno, "control sockets", strerror(errno));
    }
    if ((trial->what.row->ways & CHAPPE_WAY_LISTEN) == 0) {
        int error =
            chappe_pair(trial->address, NULL, &trial->ends[TOUR_OPENER], &trial->ends[TOUR_KEEPER]);

        if (error < 0) {
            return trial_fail(trial, error, "", chappe_error());
        }
    }
    return 0;
}

static void trial_close(int *descriptor) {
    if (*descriptor >= 0) {
        close(*descriptor);
        *descriptor = -1;
    }
}

/* In a new process: ends together with the one that started it, keeps its own ends. */
static int trial_child(struct trial *trial, enum tour_role role, pid_t parent) {
    enum tour_role other = role == TOUR_KEEPER ? TOUR_OPENER : TOUR_KEEPER;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        return 1;
    }
    trial_close(&trial->controls[other]);
    (void)chappe_close(trial->ends[other], CHAPPE_NOW, NULL);
    return tour_side_run(role, &trial->what, trial->file, trial->shared, trial->controls[role],
                         trial->ends[role]);
}

static int trial_start(struct trial *trial, enum tour_role role) {
    pid_t parent = getpid();
    pid_t process = fork();

    if (process < 0) {
        return trial_fail(trial, -errno, "fork", strerror(errno));
    }
    if (process == 0) {
        _exit(trial_child(trial, role, parent));
    }
    trial->processes[role] = process;
    trial->pidfds[role] = pidfd_open(process, 0);
    if (trial->pidfds[role] < 0) {
        return trial_fail(trial, -errno, "pidfd_open", strerror(errno));
    }
    return 0;
}

/* Reaps a process that has ended; by force if it has not. Its status as of waitpid(). */
static int trial_reap(struct trial *trial, enum tour_role role, bool force) {
    int status = 0;

    if (trial->processes[role] == 0) {
        return 0;
    }
    if (force) {
        kill(trial->processes[role], SIGKILL);
    }
    while (waitpid(trial->processes[role], &status, 0) < 0 && errno == EINTR) {
    }
    trial->processes[role] = 0;
    trial_close(&trial->pidfds[role]);
    return status;
}

/* A side has ended badly. The one that noted its failure first knows the cause. */
static int trial_blame(struct trial *trial, enum tour_role role, int status) {
    const struct tour_failure *cause = NULL;
    char reason[64];

    for (size_t i = 0; i < 2; i++) {
        const struct tour_failure *failure = &trial->shared->failures[i];

        if (atomic_load(&failure->complete) && (cause == NULL || failure->at_ns < cause->at_ns)) {
            cause = failure;
        }
    }
    if (cause != NULL && !WIFSIGNALED(status)) {
        return trial_fail(trial, cause->opening ? cause->error : 0, "", cause->reason);
    }
    if (WIFSIGNALED(status)) {
        snprintf(reason, sizeof reason, "died of signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    } else {
        snprintf(reason, sizeof reason, "ended with status %d", WEXITSTATUS(status));
    }
    trial_fail(trial, 0, trial_roles[role], reason);
    return -1;
}

static int trial_hung(struct trial *trial) {
    static const char *const phases[] = {[TOUR_OPENING] = "while opening",
                                         [TOUR_THERE] = "on the way there",
                                         [TOUR_BACK] = "on the way back",
                                         [TOUR_SINGLE] = "with single messages",
                                         [TOUR_CLOSING] = "while closing"};
    char reason[96];

    snprintf(reason, sizeof reason, "no progress for %d s", TOUR_PATIENCE_MS / 1000);
    return trial_fail(trial, 0, phases[atomic_load(&trial->shared->phase)], reason);
}

/* Waits for both to end well. */
static int trial_watch(struct trial *trial, struct signals *signals, struct tour_report *report) {
    uint64_t progress = 0;
    int64_t moved_ns = tour_now();

    while (trial->processes[TOUR_KEEPER] != 0 || trial->processes[TOUR_OPENER] != 0) {
        chappe_wait_item items[3];
        size_t count = 0;

        items[count++] =
            (chappe_wait_item){.descriptor = signals->descriptor, .events = CHAPPE_READABLE};
        for (size_t i = 0; i < 2; i++) {
            if (trial->processes[i] != 0) {
                items[count++] =
                    (chappe_wait_item){.descriptor = trial->pidfds[i], .events = CHAPPE_READABLE};
            }
        }
        (void)chappe_wait(items, count, chappe_in_ms(TRIAL_TICK_MS));
        if (signals_caught(signals)) {
            trial->result->outcome = TOUR_INTERRUPTED;
            return -1;
        }
        for (size_t i = 1; i < count; i++) {
            if (items[i].ready != 0) {
                enum tour_role role =
                    items[i].descriptor == trial->pidfds[TOUR_KEEPER] ? TOUR_KEEPER : TOUR_OPENER;
                int status = trial_reap(trial, role, false);

                if (status != 0) {
                    return trial_blame(trial, role, status);
                }
            }
        }
        tour_report_progress(report, trial->shared);
        if (atomic_load(&trial->shared->progress) != progress) {
            progress = atomic_load(&trial->shared->progress);
            moved_ns = tour_now();
        } else if (tour_now() - moved_ns > TOUR_PATIENCE_MS * INT64_C(1000000)) {
            return trial_hung(trial);
        }
    }
    return 0;
}

static int trial_compare(const void *a, const void *b) {
    const int64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static int trial_check(struct trial *trial, const struct tour_stream *stream, const char *way) {
    char reason[160];

    if (stream->sent_bytes == trial->file->size && stream->received_bytes == trial->file->size &&
        stream->sent_checksum == trial->file->checksum &&
        stream->received_checksum == trial->file->checksum) {
        return 0;
    }
    snprintf(
        reason, sizeof reason, "%llu bytes with checksum %016llx came, sent were %llu with %016llx",
        (unsigned long long)stream->received_bytes, (unsigned long long)stream->received_checksum,
        (unsigned long long)stream->sent_bytes, (unsigned long long)stream->sent_checksum);
    return trial_fail(trial, 0, way, reason);
}

/* Both said that all is well; what they noted has to agree. */
static void trial_judge(struct trial *trial) {
    struct tour_shared *shared = trial->shared;
    struct tour_result *result = trial->result;

    result->there = shared->there;
    result->back = shared->back;
    result->singles = shared->singles;
    if (trial_check(trial, &shared->there, "there") < 0 ||
        (trial->what.back && trial_check(trial, &shared->back, "back") < 0)) {
        return;
    }
    if (shared->singles == 0) {
        trial_fail(trial, 0, "", "no single message was timed");
        return;
    }
    for (size_t i = 0; i < shared->singles; i++) {
        shared->received_ns[i] -= shared->sent_ns[i];
    }
    qsort(shared->received_ns, shared->singles, sizeof shared->received_ns[0], trial_compare);
    result->median_ns = shared->received_ns[shared->singles / 2];
    result->late_ns = shared->received_ns[shared->singles * 99 / 100];
    result->outcome = TOUR_RIGHT;
}

void tour_trial_run(const chappe_row *row, const char *form, const struct tour_file *file,
                    struct signals *signals, struct tour_report *report,
                    struct tour_result *result) {
    struct trial trial = {
        .what = {.row = row, .form = form, .back = (row->ways & CHAPPE_WAY_BOTH) != 0},
        .file = file,
        .result = result,
        .controls = {-1, -1},
        .pidfds = {-1, -1}};

    *result = (struct tour_result){.row = row, .form = form, .has_back = trial.what.back};
    trial.what.address = trial.address;
    if (trial_prepare(&trial) == 0 && trial_start(&trial, TOUR_KEEPER) == 0 &&
        trial_start(&trial, TOUR_OPENER) == 0) {
        /* From here on the other process of each ends with it: this one holds nothing. */
        for (size_t i = 0; i < 2; i++) {
            trial_close(&trial.controls[i]);
            (void)chappe_close(trial.ends[i], CHAPPE_NOW, NULL);
            trial.ends[i] = NULL;
        }
        if (trial_watch(&trial, signals, report) == 0) {
            trial_judge(&trial);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        (void)trial_reap(&trial, (enum tour_role)i, true);
        trial_close(&trial.controls[i]);
        (void)chappe_close(trial.ends[i], CHAPPE_NOW, NULL);
    }
    if (trial.shared != NULL) {
        munmap(trial.shared, sizeof *trial.shared);
    }
    if (trial.directory[0] != '\0' &&
        nftw(trial.directory, trial_remove, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0) {
        complain("%s: cannot be removed: %s", trial.directory, strerror(errno));
    }
}
