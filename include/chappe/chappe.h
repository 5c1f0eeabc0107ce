/* SPDX-License-Identifier: MIT
 *
 * chappe: one message interface over every way that Linux processes can talk.
 *
 * Rules that hold for every function here, unless it says otherwise:
 *
 * - Result: 0, or a negative errno value. A positive value is an outcome that
 *   the function names. After a failure chappe_error() gives one sentence.
 *   Outputs are called ret_… and stay untouched on failure.
 * - Bad arguments answer -EINVAL. The library never aborts, never prints (unless
 *   CHAPPE_LOG asks), starts no thread (unless an address says so), installs no
 *   signal handler and leaves the signal dispositions of the process alone. No
 *   SIGPIPE comes out of it.
 * - Waiting: every call that can wait takes an absolute deadline. When it passes
 *   the answer is -ETIMEDOUT, for CHAPPE_NOW it is -EAGAIN. A signal handler that
 *   runs in between does not end the wait: to be stoppable, chappe_wait() on the
 *   endpoint and a signalfd or eventfd, then call with CHAPPE_NOW.
 * - Threads: a handle, with the messages that came from it, belongs to one
 *   thread at a time; different handles need no locking. chappe_error() is per
 *   thread.
 * - Fork: both ends of chappe_pair() and endpoints over inherited descriptors
 *   may cross one fork; the first process that uses such an end owns it, every
 *   other process gets -ECHILD from it. Any other handle answers -ECHILD in the
 *   child. chappe_close(), chappe_address() and chappe_get_statistics() are no use
 *   in that sense; closing an end that this process does not own frees this
 *   process's part, never waits, and leaves names and the connection alone.
 * - Descriptors are close-on-exec from birth. Sizes are bytes, times are
 *   nanoseconds, text is UTF-8 and ends with a NUL byte.
 * - Structs that the caller fills begin with their own size and mean the
 *   default where they are zero, so they can grow:
 *       chappe_settings settings = {.size = sizeof settings, .type = 7};
 *       chappe_settings settings{}; settings.size = sizeof settings;   // C++17
 *   A NULL pointer means all defaults. A size below that of version 0.1 answers
 *   -EINVAL; one above what this library knows is accepted if the rest is zero,
 *   else -E2BIG. In structs that the library fills, the caller sets the size too.
 */
#ifndef CHAPPE_CHAPPE_H
#define CHAPPE_CHAPPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHAPPE_API __attribute__((visibility("default")))

/* ---- versions, errors, deadlines --------------------------------------- */

#define CHAPPE_VERSION "0.1.0"
#define CHAPPE_RELEASE_DATE "2026-11-20"
#define CHAPPE_VERSION_NUMBER 0x000100 /* 0xMMmmpp */

/* The version of the library that is running, such as "0.1.0". Static. */
CHAPPE_API const char *chappe_version(void);

/* One sentence for people about this thread's last failure: what was tried, on
 * which address, what the limit is. Never NULL; "" if nothing has failed. Valid
 * until the next failure in this thread; a success leaves it as it was. */
CHAPPE_API const char *chappe_error(void);

/* Absolute time on CLOCK_MONOTONIC in nanoseconds; a clock that is set does not move
 * it. A moment in the past means: do not wait. Negative values and 1 to 999,999,999
 * are spans by mistake (a poll() habit) and answer -EINVAL. */
typedef int64_t chappe_deadline;
#define CHAPPE_NOW ((chappe_deadline)0)
#define CHAPPE_FOREVER ((chappe_deadline)INT64_MAX)

/* The deadline that many milliseconds from now. Negative counts as 0; what does
 * not fit is CHAPPE_FOREVER. Cannot fail. */
CHAPPE_API chappe_deadline chappe_in_ms(int64_t milliseconds);

/* ---- mechanisms and what they can do ------------------------------------ */

/* What a mechanism does with a property of a message or a channel. */
typedef enum chappe_support {
    CHAPPE_REFUSES = 0, /* -ENOTSUP, naming mechanisms that do not refuse */
    CHAPPE_CARRIES = 1, /* the receiver sees it; the carrier does not act on it */
    CHAPPE_ACTS = 2     /* the carrier acts on it, or the property holds */
} chappe_support;

typedef enum chappe_capability {
    CHAPPE_CAN_TYPE = 0,       /* a number that receivers can select by */
    CHAPPE_CAN_PRIORITY,       /* urgent messages overtake */
    CHAPPE_CAN_DESCRIPTORS,    /* open descriptors travel with a message */
    CHAPPE_CAN_IDENTITY,       /* who sent it, told by the kernel */
    CHAPPE_CAN_ORDER,          /* messages of one sender stay in order */
    CHAPPE_CAN_MANY_SENDERS,   /* to one receiver */
    CHAPPE_CAN_MANY_RECEIVERS, /* of the same messages */
    CHAPPE_CAN_REPLY,          /* a way back */
    CHAPPE_CAN_DURABILITY,     /* messages outlive every process */
    CHAPPE_CAN_POLL,           /* chappe_fd() works */
    CHAPPE_CAN_RELIABILITY,    /* nothing is lost while both sides live */
    CHAPPE_CAN_CROSS_MACHINES,
    CHAPPE_CAPABILITY_COUNT
} chappe_capability;

/* The ways into a mechanism; a set. */
enum {
    CHAPPE_WAY_PAIR = 1,   /* chappe_pair() */
    CHAPPE_WAY_OPEN = 2,   /* chappe_open() */
    CHAPPE_WAY_LISTEN = 4, /* chappe_listen() */
    CHAPPE_WAY_BOTH = 8    /* messages go both ways */
};

/* One row of the table of mechanisms, for its scheme without options. Constant, never
 * freed. Later versions may add fields at the end: see size. */
typedef struct chappe_row {
    size_t size;                    /* of this struct in the library */
    const char *scheme;             /* "unix" */
    const char *alias;              /* another scheme for the same row, or NULL */
    const char *summary;            /* one line for people */
    const char *form;               /* the address in general: "unix:///PATH" */
    const char *manual;             /* for the manual; paragraphs end with an empty line */
    const char *const *options;     /* own options: "name=VALUES  what it does"; NULL ends */
    const char *const *trials;      /* addresses to try it with, {dir} stands for an empty
                                     directory; NULL ends */
    const char *lost_with_sender;   /* what kill -9 of the sender loses */
    const char *lost_with_receiver; /* what kill -9 of the receiver loses */
    uint32_t ways;                  /* set of CHAPPE_WAY_… that the trials allow */
    uint32_t support_count;         /* of support[]; what is beyond is CHAPPE_REFUSES */
    const unsigned char *support;   /* a chappe_support for each chappe_capability */
} chappe_row;

/* Row number `index`, from 0. -ENOENT after the last one. */
CHAPPE_API int chappe_mechanism(size_t index, const chappe_row **ret_row);

/* The name of a capability: "type", "many senders". NULL when out of range. */
CHAPPE_API const char *chappe_capability_name(size_t capability);

/* The name of a chappe_support: "refuses", "carries", "acts". NULL when out of range. */
CHAPPE_API const char *chappe_support_name(size_t support);

/* ---- endpoints ------------------------------------------------------------ */

/* An open end of an address. */
typedef struct chappe_endpoint chappe_endpoint;

typedef enum chappe_log_level { CHAPPE_LOG_WARNING = 1, CHAPPE_LOG_DEBUG = 2 } chappe_log_level;

/* Called in the thread of the call that it reports, with one line without a
 * newline, valid during the call. It must not use the endpoint. */
typedef void chappe_log_function(void *context, chappe_log_level level, const char *line);

/* How to open. What belongs to the address is written in the address. */
typedef struct chappe_options {
    size_t size;              /* sizeof(chappe_options) */
    chappe_log_function *log; /* NULL: as CHAPPE_LOG=warning|debug says, to standard error */
    void *log_context;
} chappe_options;

/* Opens the using side of an address: connects to a server, takes up inherited
 * descriptors; without connections, opens the sending side, and the other direction too
 * where the mechanism can. Where the other side has to be there first, waits for it to
 * appear until the deadline.
 * Address: scheme://where?option=value&option=value, %XX for any byte. Options of
 * every mechanism: frame=chappe|line|nul|length32|raw, limit=SIZE (largest
 * message, 1G), checksum=yes|no.
 * Errors: -EINVAL (malformed, unknown option), -EPROTONOSUPPORT (unknown scheme),
 * -ENOENT or -ECONNREFUSED (nobody there by the deadline: these stand instead of
 * -ETIMEDOUT and -EAGAIN, which mean: there, but no answer), -EACCES or -EPERM (not
 * permitted), -EMFILE, -ENOMEM, -ENAMETOOLONG. */
CHAPPE_API int chappe_open(const char *address, const chappe_options *options,
                           chappe_deadline deadline, chappe_endpoint **ret_endpoint);

/* Makes the name of an address and serves it. chappe_receive() on a server takes
 * the next message of any client, of which there may be any number, accepting
 * them as they come; chappe_reply() answers. A client that breaks the rules is
 * cut off, logged and counted, and costs the others nothing. Whoever wants one
 * endpoint a client calls chappe_accept() instead: the first of the two calls decides,
 * the other then answers -EBUSY. Without connections, listen makes or joins the
 * receiving side.
 * A name left by a dead process is taken over; a living one's never is.
 * Errors: as chappe_open(), -EADDRINUSE (a living process has it), -EEXIST (the
 * path is something else), -ENOTSUP (this mechanism has no server side). */
CHAPPE_API int chappe_listen(const char *address, const chappe_options *options,
                             chappe_deadline deadline, chappe_endpoint **ret_endpoint);

/* The next client of a server as an endpoint of its own, with the server's log and
 * the options of its address. It may outlive the server. Errors: -ENOTSUP where there
 * are no connections, -EBUSY (see chappe_listen()), -EMFILE. */
CHAPPE_API int chappe_accept(chappe_endpoint *server, chappe_deadline deadline,
                             chappe_endpoint **ret_client);

/* Two endpoints joined to each other, for related processes: make the pair, fork,
 * and let each process close the end that it does not use. Does not wait. */
CHAPPE_API int chappe_pair(const char *address, const chappe_options *options,
                           chappe_endpoint **ret_a, chappe_endpoint **ret_b);

/* The real address (what the kernel chose, filled in). Valid until close. */
CHAPPE_API const char *chappe_address(const chappe_endpoint *endpoint);

/* What this endpoint does with a capability, its options counted in: a chappe_support,
 * or -EINVAL. */
CHAPPE_API int chappe_supports(const chappe_endpoint *endpoint, size_t capability);

/* Ends sending; receiving goes on. The other side receives what is under way, then its
 * end. Passes on what this endpoint still holds, until the deadline. Errors: -ENOTSUP
 * where there is no such half-close, -ETIMEDOUT, -EAGAIN (nothing has changed). */
CHAPPE_API int chappe_finish(chappe_endpoint *endpoint, chappe_deadline deadline);

/* What chappe_close() left behind. */
typedef enum chappe_certainty {
    CHAPPE_EXACTLY = 0, /* that many */
    CHAPPE_AT_MOST = 1, /* that many or fewer */
    CHAPPE_UNKNOWN = 2  /* this carrier cannot tell */
} chappe_certainty;

typedef struct chappe_undelivered {
    size_t size;        /* sizeof(chappe_undelivered), set by the caller */
    uint64_t count;     /* sent with success, but not taken over by the other side */
    uint64_t lost;      /* of these: nobody can read them any more, the other side is gone */
    uint64_t unread;    /* arrived here, but nobody received them */
    uint32_t certainty; /* of count and lost: a chappe_certainty */
} chappe_undelivered;

/* Closes. Waits until the other side has taken what was sent, at the longest until the
 * deadline; then says what is left (ret_undelivered may be NULL). Where messages outlive
 * the sender (files, queues, mailboxes), what the carrier has counts as taken.
 * The name of a server of connections that this handle made is removed; a name that can
 * hold messages stays. The handle is gone in any case. Messages received from it stay
 * valid until they are released; reserved ones have to be abandoned.
 * NULL is allowed and does nothing. Result: 0 also if something is left; -EINVAL only. */
CHAPPE_API int chappe_close(chappe_endpoint *endpoint, chappe_deadline deadline,
                            chappe_undelivered *ret_undelivered);

/* ---- messages ---------------------------------------------------------- */

/* A message in hand. Made by chappe only; private fields follow. */
typedef struct chappe_message {
    void *data;  /* never NULL. After a reserve: to be written, aligned for any type. After
                    a receive: to be read, on byte carriers not aligned (memcpy into your
                    type); on memory mechanisms an unfair sender can still change it, so
                    copy what you do not trust before you check it */
    size_t size; /* bytes; may be 0 */
} chappe_message;

/* Where a reply goes. A plain value: copy it, keep it, use it late, in any order, more than
 * once (to a client that has ended its sending: once a token taken), with the endpoint that
 * it came from (with another: -EINVAL). */
typedef struct chappe_token {
    uint64_t opaque[32];
} chappe_token;

enum {
    CHAPPE_STAMP = 1, /* carry the time of sending (CHAPPE_TIME) */
    CHAPPE_ASKS = 2   /* marks a request: the receiver may reply */
};

#define CHAPPE_DESCRIPTORS_MAX 253 /* the kernel's SCM_MAX_FD */

/* What goes with a message. Fields that the mechanism or the frame cannot carry
 * answer -ENOTSUP when they are set. */
typedef struct chappe_settings {
    size_t size;            /* sizeof(chappe_settings) */
    int64_t type;           /* > 0; 0 = none */
    uint32_t priority;      /* greater is more urgent; 0 = usual */
    uint32_t flags;         /* CHAPPE_STAMP, CHAPPE_ASKS */
    uint64_t correlation;   /* ties replies to requests, below 2^62; 0 = none */
    const int *descriptors; /* duplicates travel; these stay the caller's */
    size_t descriptor_count;
    const chappe_token *answers; /* not NULL: a reply to that; as chappe_reply() */
} chappe_settings;

/* Which message to receive. What does not match is set aside, in order, for later
 * receives, where set-aside messages come first: at most 4,096 messages and `limit`
 * bytes, then -ENOBUFS until some are received. Where other receivers share the queue
 * and the carrier cannot select, -ENOTSUP: nothing is set aside there. */
typedef enum chappe_type_match {
    CHAPPE_TYPE_ANY = 0, /* with a type that is not 0: -EINVAL */
    CHAPPE_TYPE_IS = 1,
    CHAPPE_TYPE_IS_NOT = 2
} chappe_type_match;

typedef struct chappe_filter {
    size_t size;             /* sizeof(chappe_filter) */
    uint32_t type_match;     /* a chappe_type_match */
    uint32_t priority_least; /* this priority or higher */
    int64_t type;            /* messages without one have type 0 */
    uint64_t correlation;    /* this one; 0 = any */
    pid_t sender;            /* this process; 0 = any; -ENOTSUP without identity */
    uint32_t flags;          /* 0 */
} chappe_filter;

/* Sends one message. 0: the carrier has the message (or, for what a stream had
 * begun to take when the deadline came, this endpoint holds the rest and passes
 * it on in its later calls, close included). Every failure: nothing was sent, except
 * -ECONNABORTED (the other side went away in mid-message; nobody has seen it whole).
 * `bytes` may be NULL if size is 0.
 * Errors: -EMSGSIZE (beyond the limit), -EPIPE or -ECONNRESET (the other side is
 * gone), -ENOTSUP (a setting that this mechanism or frame cannot carry), -EINVAL
 * (the frame cannot hold these bytes, such as a newline in a line), -EBADF (this
 * direction is not open), -EDESTADDRREQ (a server needs a token), -EBUSY (a message is
 * reserved), -ECHILD. */
CHAPPE_API int chappe_send(chappe_endpoint *endpoint, const void *bytes, size_t size,
                           const chappe_settings *settings, chappe_deadline deadline);

/* chappe_receive(), chappe_request(): the other side closed, or died between two messages
 * where the carrier cannot tell, and there are no more messages. */
#define CHAPPE_END 1

/* Receives one message, the caller's until chappe_release(). filter may be NULL.
 * Outcome: 0, or CHAPPE_END with *ret_message NULL (a server of connections never ends;
 * sending may still work).
 * Errors: -EBADMSG (cut off in mid-message, or damaged) and -EMSGSIZE (beyond the limit):
 * where the next boundary is known the next receive goes on, else every later one says
 * so again; -EMFILE (descriptors came that did not fit: closed, that message is lost, the
 * connection goes on), -ECONNRESET, -ENOBUFS (see chappe_filter), -EBADF (not open for
 * receiving), -EBUSY (a server that accepts), -ECHILD, -ENOMEM. */
CHAPPE_API int chappe_receive(chappe_endpoint *endpoint, const chappe_filter *filter,
                              chappe_deadline deadline, chappe_message **ret_message);

/* Memory for a message of up to `size` bytes, to be written in place. One at a time an
 * endpoint: until commit or abandon, sends and reserves on it answer -EBUSY. Settings are
 * copied, token and descriptor numbers included; the descriptors must stay open until the
 * commit. */
CHAPPE_API int chappe_reserve(chappe_endpoint *endpoint, size_t size,
                              const chappe_settings *settings, chappe_deadline deadline,
                              chappe_message **ret_message);

/* Sends the first `size` bytes of a reserved message; size may be less than was
 * reserved. 0: the message is gone from the caller. On failure, as chappe_send(),
 * it stays the caller's, to commit again or abandon. -EBADF after chappe_close(). */
CHAPPE_API int chappe_commit(chappe_message *message, size_t size, chappe_deadline deadline);

/* Gives a reserved message back unsent (a received one: releases it). NULL does nothing. */
CHAPPE_API void chappe_abandon(chappe_message *message);

/* Ends the use of a received message: frees its bytes, closes the descriptors that
 * nobody took (a reserved one: abandons it). Where acknowledgement is explicit, no
 * acknowledgement. NULL does nothing. */
CHAPPE_API void chappe_release(chappe_message *message);

/* ---- batches: many small messages in few system calls ----------------------- */

typedef struct chappe_item {
    const void *data;
    size_t size;
    const chappe_settings *settings; /* NULL: defaults */
} chappe_item;

/* Sends items in order, gathered. Result: how many were sent, at least 1, or a
 * negative errno value if none was; the reason for stopping early is found by
 * sending the rest. An item that this endpoint holds in part counts as sent.
 * count: 1 to INT_MAX, else -EINVAL. */
CHAPPE_API int chappe_send_batch(chappe_endpoint *endpoint, const chappe_item *items, size_t count,
                                 chappe_deadline deadline);

/* Waits for one message, then takes what else is already here, up to `count` (1 to
 * INT_MAX, else -EINVAL). Result: how many; 0 when the other side closed and nothing is
 * left: CHAPPE_END is not used here, 1 means one message. An error after the first
 * message is told by the next call. */
CHAPPE_API int chappe_receive_batch(chappe_endpoint *endpoint, const chappe_filter *filter,
                                    chappe_deadline deadline, chappe_message **ret_messages,
                                    size_t count);

/* chappe_release() for many. NULL elements are skipped. */
CHAPPE_API void chappe_release_batch(chappe_message **messages, size_t count);

/* ---- what came with a message -------------------------------------------- */

typedef enum chappe_field {
    CHAPPE_TYPE = 0,    /* as sent */
    CHAPPE_PRIORITY,    /* as sent */
    CHAPPE_CORRELATION, /* as sent */
    CHAPPE_TIME,        /* of sending, nanoseconds since 1970 (CHAPPE_STAMP) */
    CHAPPE_DESCRIPTORS, /* how many came; taking does not change it */
    CHAPPE_IS_REQUEST,  /* 1: the sender waits for a reply */
    CHAPPE_IS_REPLY,    /* 1: answers a request */
    CHAPPE_SEQUENCE,    /* number of this message on its endpoint, from 1, as received */
    CHAPPE_CLIENT       /* number of the connection on this server, never used again */
} chappe_field;

/* -ENODATA: the message came without it. */
CHAPPE_API int chappe_get(const chappe_message *message, chappe_field field, int64_t *ret_value);

/* Takes descriptor number `index`, from 0. Result: the descriptor, now the caller's
 * to close, or -ENOENT (no such one, or already taken). */
CHAPPE_API int chappe_take_fd(chappe_message *message, size_t index);

/* ---- who is there ---------------------------------------------------------- */

/* How a part of an identity was verified; a set. Within one uid a name is a claim. */
enum {
    CHAPPE_BY_SOCKET = 1, /* pid, uid, gid told by the kernel when the connection was made */
    CHAPPE_BY_MESSAGE = 2 /* pid, uid, gid told by the kernel with this very message */
};

typedef struct chappe_identity {
    size_t size;       /* sizeof(chappe_identity), set by the caller */
    pid_t pid;         /* 0 = unknown (the end of a pair), or outside this pid namespace */
    uid_t uid;         /* (uid_t)-1 = unknown */
    gid_t gid;         /* (gid_t)-1 = unknown */
    uint32_t verified; /* set of CHAPPE_BY_…; 0: nothing is known */
} chappe_identity;

/* The process on the other side of a connection. -ENOTSUP where the carrier cannot tell,
 * -ENOTCONN on a server (see chappe_sender()). */
CHAPPE_API int chappe_peer_identity(const chappe_endpoint *endpoint, chappe_identity *ret_identity);

/* The sender of a message. -ENOTSUP where the carrier cannot tell. */
CHAPPE_API int chappe_sender(const chappe_message *message, chappe_identity *ret_identity);

/* ---- request and reply ------------------------------------------------------- */

/* Sends, as with CHAPPE_ASKS, and waits for the reply. Uses settings.correlation if set,
 * else a number of its own above 2^62. Other messages that come meanwhile are set aside
 * for chappe_receive(); replies to its own requests that come after the deadline, or after
 * the first reply, are thrown away and counted. -ETIMEDOUT: no reply came; the request
 * may have been carried out. Frames without correlation (all but `chappe`) take the next message as
 * the reply; after a request there timed out, -EPROTO until that reply was
 * received. Outcome: as chappe_receive(). -ENOTSUP without a way back. */
CHAPPE_API int chappe_request(chappe_endpoint *endpoint, const void *bytes, size_t size,
                              const chappe_settings *settings, chappe_deadline deadline,
                              chappe_message **ret_reply);

/* Where to reply to a message, request or not. -ENOTSUP if there is no way back,
 * -ENAMETOOLONG if it does not fit in a token. */
CHAPPE_API int chappe_token_of(const chappe_message *message, chappe_token *ret_token);

/* Replies. On a server of connections a reply does not wait for a slow client: what
 * it does not take at once is kept, one message a client, and that client is not
 * read from until it took it; the deadline is for an earlier reply still kept. In
 * servers use CHAPPE_NOW: -EAGAIN is about that client only (see chappe_wait_item.token).
 * Without connections the askers share the server's buffer: -EAGAIN may be another's fault.
 * Errors: as chappe_send(); -ESTALE (the asker is gone). */
CHAPPE_API int chappe_reply(chappe_endpoint *endpoint, const chappe_token *token, const void *bytes,
                            size_t size, const chappe_settings *settings, chappe_deadline deadline);

/* ---- waiting -------------------------------------------------------------------- */

enum {
    CHAPPE_READABLE = 1, /* a receive without a filter, or an accept, is worth trying */
    CHAPPE_WRITABLE = 2, /* a send is worth trying */
    CHAPPE_BROKEN = 4    /* only reported: error, or the other side is gone */
};

/* A level-triggered descriptor for poll, epoll and event loops. It is readable when what
 * `events` names is worth trying with CHAPPE_NOW, and while output that this endpoint
 * holds can go on (any call on it passes that on, chappe_wait() included). Readable in
 * vain is possible. The same descriptor each time; the last call sets the events. Owned
 * by the endpoint: poll it, do nothing else with it. Costs nothing until asked for.
 * Result: the descriptor, or a negative errno value. */
CHAPPE_API int chappe_fd(chappe_endpoint *endpoint, uint32_t events);

typedef struct chappe_wait_item {
    chappe_endpoint *endpoint;   /* or NULL: descriptor */
    int descriptor;              /* any pollable one: socket, pidfd, signalfd, timerfd */
    uint32_t events;             /* CHAPPE_READABLE | CHAPPE_WRITABLE */
    uint32_t ready;              /* set by chappe_wait() */
    uint32_t flags;              /* 0 */
    const chappe_filter *filter; /* readable with this filter; NULL: any message */
    const chappe_token *token;   /* on a server: writable for this asker; or NULL */
} chappe_wait_item;

/* Waits until one of the items is ready. With a filter it may end for a message that
 * does not match: readable in vain. Also passes on what sends left unfinished.
 * Result: how many are ready, at least 1; -ETIMEDOUT or -EAGAIN if none; -EINVAL for no
 * items. */
CHAPPE_API int chappe_wait(chappe_wait_item *items, size_t count, chappe_deadline deadline);

/* ---- domains ---------------------------------------------------------------------- */

/* A domain is a folder in which processes find each other's named objects: those of
 * shm://, and nothing of other mechanisms. Without more it is /dev/shm/chappe-UID, for one
 * user alone, made when it is first needed; the variable CHAPPE_DOMAIN names another one.
 * What a dead process left there is removed by whatever call opens the domain next. */

typedef struct chappe_domain_settings {
    size_t size;    /* sizeof(chappe_domain_settings) */
    uint32_t mode;  /* 0 or 0700: this user's alone; 0770 or 02770: all members of a group */
    uint32_t group; /* which group; with mode 0770 or 02770 */
} chappe_domain_settings;

/* Makes a domain at a path. If it is there already, as it would be made, that is success;
 * what a killed call left unfinished is finished.
 * Errors: -EEXIST (something else is there), -EPERM (it belongs to another user, or this
 * user may not give it to that group), -EINVAL (another mode), -ENOENT, -EACCES. */
CHAPPE_API int chappe_domain_create(const char *path, const chappe_domain_settings *settings);

typedef enum chappe_object_state {
    CHAPPE_OBJECT_ALIVE = 0,     /* the process that made it lives */
    CHAPPE_OBJECT_STAYS = 1,     /* until it is destroyed */
    CHAPPE_OBJECT_DEAD = 2,      /* that process has died; the next use of the name removes it */
    CHAPPE_OBJECT_OTHER = 3,     /* made by another version, and not known to be dead */
    CHAPPE_OBJECT_FOREIGN = 4,   /* nothing of this library; it is left alone */
    CHAPPE_OBJECT_FORBIDDEN = 5, /* this user may not look at it */
} chappe_object_state;

/* A domain, and one object in it. Later versions may add members at the end: see size. */
typedef struct chappe_domain_entry {
    size_t size;       /* of this struct in the library */
    const char *path;  /* of the domain */
    uint32_t mode;     /* of its folder: 0700, or 02770 if it is shared */
    uint32_t uid, gid; /* of its folder */
    const char *name;  /* of the object; NULL in the entry that only tells of the domain */
    size_t name_size;  /* it may hold NUL bytes; one more is behind it */
    const char *kind;  /* "shm"; "" if not known */
    uint32_t state;    /* a chappe_object_state */
    pid_t pid;         /* of the process that made it, in its own PID namespace; 0: not known */
    uint32_t owner;    /* uid that the object belongs to */
    int64_t created;   /* ns since 1970; 0: not known */
    uint64_t bytes;    /* that it occupies at most */
} chappe_domain_entry;

/* Called for one entry, which is valid during the call. Other than 0 ends the listing. */
typedef int chappe_domain_visit(void *context, const chappe_domain_entry *entry);

/* Calls `visit` once for the domain itself, then for each object in it, in no order. NULL:
 * the domain of this process. Makes and removes nothing. Result: 0, or what `visit` said.
 * Errors: -ENOENT (there is no domain yet), -EPERM (it is not safe to use; the sentence says
 * why), -ENOTDIR, -EACCES. */
CHAPPE_API int chappe_domain_list(const char *path, chappe_domain_visit *visit, void *context);

/* ---- numbers --------------------------------------------------------------------- */

typedef struct chappe_statistics {
    size_t size;                 /* sizeof(chappe_statistics), set by the caller */
    uint64_t sent;               /* messages */
    uint64_t sent_bytes;         /* of bodies */
    uint64_t received;           /* messages handed to the caller */
    uint64_t received_bytes;     /* of bodies */
    uint64_t clients;            /* connected now, of a server */
    uint64_t clients_refused;    /* wrong uid, or beyond the limit of clients */
    uint64_t clients_cut_off;    /* they broke the rules, or died in mid-message */
    uint64_t replies_late;       /* thrown away: their requests had timed out */
    uint64_t descriptors_closed; /* arrived unannounced, and were closed */
} chappe_statistics;

/* What this endpoint has done so far, in this process. Allowed after a fork, too. */
CHAPPE_API int chappe_get_statistics(const chappe_endpoint *endpoint,
                                     chappe_statistics *ret_statistics);

#ifdef __cplusplus
}
#endif

#endif
