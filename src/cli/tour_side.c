/* SPDX-License-Identifier: MIT
 *
 * One of the two processes of a trial. They keep step over a socket of their own
 * (`control`), so that nothing but the mechanism is in the times.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "checksum.h"
#include "tour.h"

#define SIDE_WAIT_MS 50000           /* shorter than the patience of the one who watches */
#define SIDE_SINGLES_NS 3000000000LL /* for all timed messages together */

/* What one side tells the other. */
#define SIDE_GO 'g'
#define SIDE_STOP 's'

struct side {
    enum tour_role role;
    const struct tour_trial *trial;
    const struct tour_file *file;
    struct tour_shared *shared;
    int control;
    chappe_endpoint *endpoint;
    chappe_endpoint *server; /* the same as endpoint where there are no connections */
    bool has_token;          /* of the latest message, for a server's way back */
    chappe_token token;
};

int64_t tour_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Notes why this side gives up. Always -1. */
__attribute__((format(printf, 3, 4))) static int side_fail(struct side *side, int error,
                                                           const char *format, ...) {
    struct tour_failure *failure = &side->shared->failures[side->role];
    va_list arguments;

    failure->at_ns = tour_now();
    failure->error = error;
    failure->opening = atomic_load(&side->shared->phase) == TOUR_OPENING;
    va_start(arguments, format);
    vsnprintf(failure->reason, sizeof failure->reason, format, arguments);
    va_end(arguments);
    atomic_store(&failure->complete, true);
    return -1;
}

static int side_tell(struct side *side, char word) {
    while (write(side->control, &word, 1) != 1) {
        if (errno != EINTR) {
            return side_fail(side, 0, "the other process is gone");
        }
    }
    return 0;
}

static int side_hear(struct side *side, char *ret_word) {
    for (;;) {
        ssize_t size = read(side->control, ret_word, 1);

        if (size == 1) {
            return 0;
        }
        if (size == 0 || errno != EINTR) {
            return side_fail(side, 0, "the other process is gone");
        }
    }
}

static void side_phase(struct side *side, enum tour_phase phase) {
    atomic_store(&side->shared->phase, (int)phase);
    atomic_fetch_add(&side->shared->progress, 1);
}

static int side_listen(struct side *side) {
    chappe_deadline deadline = chappe_in_ms(SIDE_WAIT_MS);
    int error = chappe_listen(side->trial->address, NULL, deadline, &side->server);

    if (error < 0) {
        return side_fail(side, error, "%s", chappe_error());
    }
    if (side_tell(side, SIDE_GO) < 0) {
        return -1;
    }
    error = chappe_accept(side->server, deadline, &side->endpoint);
    if (error == -ENOTSUP) {
        /* No connections here: the server itself receives. */
        side->endpoint = side->server;
        return 0;
    }
    return error < 0 ? side_fail(side, error, "%s", chappe_error()) : 0;
}

static int side_open(struct side *side) {
    char word;
    int error;

    if (side->endpoint != NULL) {
        return 0;
    }
    if (side->role == TOUR_KEEPER) {
        return side_listen(side);
    }
    if (side_hear(side, &word) < 0) {
        return -1;
    }
    error = chappe_open(side->trial->address, NULL, chappe_in_ms(SIDE_WAIT_MS), &side->endpoint);
    return error < 0 ? side_fail(side, error, "%s", chappe_error()) : 0;
}

static int side_send(struct side *side, const void *bytes, size_t size) {
    chappe_deadline deadline = chappe_in_ms(SIDE_WAIT_MS);
    int error = side->has_token && side->endpoint == side->server
                    ? chappe_reply(side->endpoint, &side->token, bytes, size, NULL, deadline)
                    : chappe_send(side->endpoint, bytes, size, NULL, deadline);

    return error < 0 ? side_fail(side, error, "%s", chappe_error()) : 0;
}

/* One message, which has to have that size. */
static int side_receive(struct side *side, size_t size, chappe_message **ret_message) {
    int outcome = chappe_receive(side->endpoint, NULL, chappe_in_ms(SIDE_WAIT_MS), ret_message);

    if (outcome == CHAPPE_END) {
        return side_fail(side, 0, "the end came in the midst of the work");
    }
    if (outcome < 0) {
        return side_fail(side, outcome, "%s", chappe_error());
    }
    if ((*ret_message)->size != size) {
        size_t came = (*ret_message)->size;

        chappe_release(*ret_message);
        return side_fail(side, 0, "a message of %zu bytes came where %zu were sent", came, size);
    }
    if (side->endpoint == side->server && !side->has_token && side->trial->back) {
        int error = chappe_token_of(*ret_message, &side->token);

        if (error < 0) {
            chappe_release(*ret_message);
            return side_fail(side, error, "%s", chappe_error());
        }
        side->has_token = true;
    }
    atomic_fetch_add_explicit(&side->shared->progress, 1, memory_order_relaxed);
    return 0;
}

/* An empty file is one empty message. */
static size_t side_pieces(const struct tour_file *file) {
    return file->size == 0 ? 1 : (file->size - 1) / TOUR_PIECE + 1;
}

static size_t side_piece_size(const struct tour_file *file, size_t piece) {
    size_t rest = file->size - piece * TOUR_PIECE;

    return rest < TOUR_PIECE ? rest : TOUR_PIECE;
}

static int side_stream_send(struct side *side, struct tour_stream *stream) {
    const struct tour_file *file = side->file;
    size_t pieces = side_pieces(file);
    struct checksum checksum;
    char word;

    checksum_begin(&checksum);
    checksum_add(&checksum, file->bytes, file->size);
    stream->sent_checksum = checksum_sum(&checksum);
    if (side_hear(side, &word) < 0) {
        return -1;
    }
    stream->begin_ns = tour_now();
    for (size_t i = 0; i < pieces; i++) {
        size_t size = side_piece_size(file, i);

        if (side_send(side, file->bytes + i * TOUR_PIECE, size) < 0) {
            return -1;
        }
        stream->sent_bytes += size;
    }
    return side_hear(side, &word);
}

static int side_stream_receive(struct side *side, struct tour_stream *stream) {
    size_t pieces = side_pieces(side->file);
    struct checksum checksum;

    checksum_begin(&checksum);
    if (side_tell(side, SIDE_GO) < 0) {
        return -1;
    }
    for (size_t i = 0; i < pieces; i++) {
        chappe_message *message;

        if (side_receive(side, side_piece_size(side->file, i), &message) < 0) {
            return -1;
        }
        checksum_add(&checksum, message->data, message->size);
        stream->received_bytes += message->size;
        stream->messages++;
        chappe_release(message);
    }
    stream->received_checksum = checksum_sum(&checksum);
    stream->end_ns = tour_now();
    return side_tell(side, SIDE_GO);
}

/* Timed messages are pieces of equal size: whole ones, or else the file. */
static size_t side_single_size(const struct tour_file *file) {
    return file->size < TOUR_PIECE ? file->size : TOUR_PIECE;
}

static const unsigned char *side_single(const struct tour_file *file, size_t number) {
    size_t whole = file->size / TOUR_PIECE;

    return file->bytes + (whole > 0 ? number % whole * TOUR_PIECE : 0);
}

static int side_singles_send(struct side *side) {
    size_t size = side_single_size(side->file);

    for (size_t i = 0;; i++) {
        char word;

        if (side_hear(side, &word) < 0) {
            return -1;
        }
        if (word == SIDE_STOP || i == TOUR_SINGLES) {
            return 0;
        }
        side->shared->sent_ns[i] = tour_now();
        if (side_send(side, side_single(side->file, i), size) < 0) {
            return -1;
        }
    }
}

static int side_singles_receive(struct side *side) {
    size_t size = side_single_size(side->file);
    int64_t begin_ns = tour_now();

    for (size_t i = 0; i < TOUR_SINGLES && tour_now() - begin_ns < SIDE_SINGLES_NS; i++) {
        chappe_message *message;
        int different;

        if (side_tell(side, SIDE_GO) < 0 || side_receive(side, size, &message) < 0) {
            return -1;
        }
        side->shared->received_ns[i] = tour_now();
        different = memcmp(message->data, side_single(side->file, i), size);
        chappe_release(message);
        if (different != 0) {
            return side_fail(side, 0, "single message %zu differs from what was sent", i + 1);
        }
        side->shared->singles = i + 1;
    }
    return side_tell(side, SIDE_STOP);
}

/* All was received, so a carrier that counts exactly has nothing left to count. */
static int side_close(struct side *side) {
    chappe_undelivered left = {.size = sizeof left};
    chappe_endpoint *server = side->server != side->endpoint ? side->server : NULL;

    (void)chappe_close(side->endpoint, chappe_in_ms(SIDE_WAIT_MS), &left);
    (void)chappe_close(server, CHAPPE_NOW, NULL);
    side->endpoint = NULL;
    side->server = NULL;
    if (left.unread > 0 || (left.count > 0 && left.certainty == CHAPPE_EXACTLY)) {
        return side_fail(side, 0,
                         "all was received, yet the close counts %llu messages as undelivered "
                         "and %llu as unread",
                         (unsigned long long)left.count, (unsigned long long)left.unread);
    }
    return 0;
}

static int side_work(struct side *side) {
    bool keeper = side->role == TOUR_KEEPER;
    struct tour_shared *shared = side->shared;
    char word;

    if (side_open(side) < 0) {
        return -1;
    }
    /* The opener speaks for both: it has heard that the keeper is there. */
    if (keeper ? side_tell(side, SIDE_GO) < 0 : side_hear(side, &word) < 0) {
        return -1;
    }
    if (!keeper) {
        side_phase(side, TOUR_THERE);
    }
    if ((keeper ? side_stream_receive(side, &shared->there)
                : side_stream_send(side, &shared->there)) < 0) {
        return -1;
    }
    if (side->trial->back) {
        if (!keeper) {
            side_phase(side, TOUR_BACK);
        }
        if ((keeper ? side_stream_send(side, &shared->back)
                    : side_stream_receive(side, &shared->back)) < 0) {
            return -1;
        }
    }
    if (!keeper) {
        side_phase(side, TOUR_SINGLE);
    }
    if ((keeper ? side_singles_receive(side) : side_singles_send(side)) < 0) {
        return -1;
    }
    if (keeper) {
        return side_hear(side, &word) < 0 ? -1 : side_close(side);
    }
    side_phase(side, TOUR_CLOSING);
    return side_close(side) < 0 ? -1 : side_tell(side, SIDE_GO);
}

int tour_side_run(enum tour_role role, const struct tour_trial *trial, const struct tour_file *file,
                  struct tour_shared *shared, int control, chappe_endpoint *end) {
    struct side side = {.role = role,
                        .trial = trial,
                        .file = file,
                        .shared = shared,
                        .control = control,
                        .endpoint = end};
    int outcome = side_work(&side);

    if (side.server != side.endpoint) {
        (void)chappe_close(side.server, CHAPPE_NOW, NULL);
    }
    (void)chappe_close(side.endpoint, CHAPPE_NOW, NULL);
    return outcome < 0 ? 1 : 0;
}
