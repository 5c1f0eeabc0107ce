/* SPDX-License-Identifier: MIT
 *
 * Names of servers of connections in shared memory. */
#include "mechanism/lanes_name.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "mechanism/listener.h"
#include "mechanism/unix_name.h"

#define VERSION 1
#define SPIN_USUAL 2000 /* looks, 10 to 40 ns each: what a wake costs, and some more */
#define SPIN_ALWAYS (1u << 30)
#define RING_LEAST 1024
#define BODY_SIZE ((size_t)64)

/* The body of the object: numbers for whoever looks. */
struct lanes_numbers {
    shared64 clients; /* accepted so far */
};

const unsigned char lanes_support[CHAPPE_CAPABILITY_COUNT] = {
    [CHAPPE_CAN_TYPE] = CHAPPE_CARRIES,     [CHAPPE_CAN_PRIORITY] = CHAPPE_CARRIES,
    [CHAPPE_CAN_DESCRIPTORS] = CHAPPE_ACTS, [CHAPPE_CAN_IDENTITY] = CHAPPE_ACTS,
    [CHAPPE_CAN_ORDER] = CHAPPE_ACTS,       [CHAPPE_CAN_MANY_SENDERS] = CHAPPE_ACTS,
    [CHAPPE_CAN_REPLY] = CHAPPE_ACTS,       [CHAPPE_CAN_POLL] = CHAPPE_ACTS,
    [CHAPPE_CAN_RELIABILITY] = CHAPPE_ACTS,
};

int lanes_read_terms(const struct address *address, mode_t standard_mode,
                     struct lanes_terms *ret_terms, struct lanes_name *ret_name) {
    static const char *const waits[] = {"adaptive", "spin", "sleep", NULL};
    static const uint32_t spins[] = {SPIN_USUAL, SPIN_ALWAYS, 0};
    static const char *const kinds[] = {"usual", "huge", NULL};
    struct lanes_terms terms = {0};
    struct lanes_name name = {0};
    uint64_t ring = 0;
    int wait, pages, error;
    if ((error = address_choice(address, "wait", waits, 0, &wait)) < 0 ||
        (error = address_choice(address, "pages", kinds, 0, &pages)) < 0 ||
        (error = address_size(address, "ring", 0, RING_LEAST, (uint64_t)1 << 30, &ring)) < 0 ||
        (error = address_size(address, "clients", 0, 1, 1 << 20, &name.clients)) < 0 ||
        (error = address_mode(address, "mode", standard_mode, &name.mode)) < 0)
        return error;
    terms.ring = (size_t)ring;
    terms.spin = spins[wait];
    terms.backing.pages = pages == 1 ? OS_PAGES_HUGE : OS_PAGES_USUAL;
    terms.backing.mode = name.mode;
    *ret_terms = terms;
    *ret_name = name;
    return 0;
}

/* ---- connecting ---- */

static int nobody(const struct lanes_name *name, int error) {
    return error_set(error, "%s: nobody is there (%s)", name->place.text,
                     error == -ENOENT ? "no such name" : "nobody serves it");
}

static int connect_socket(const struct lanes_name *name, int *ret_fd) {
    char leaf[DOMAIN_LEAF_SIZE];
    struct unix_name socket;
    domain_socket_leaf(name->place.leaf, leaf);
    int error = unix_name_in(name->place.text, name->place.folder, leaf, &socket);
    if (error < 0)
        return error;
    int fd = os_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK);
    error = fd < 0 ? fd : unix_name_connect(&socket, fd);
    unix_name_free(&socket);
    if (error == 0) {
        *ret_fd = fd;
        return 0;
    }
    os_close(fd);
    return error == -ENOENT || error == -ECONNREFUSED
               ? nobody(name, error)
               : error_of(error, "%s: connecting", name->place.text);
}

int lanes_open_name(const struct opening *opening, const struct lanes_name *name,
                    const struct lanes_terms *terms, struct carrier **ret_carrier) {
    struct domain_object *object;
    int error = domain_object_open(&name->place, name->kind, VERSION, 0, &object), fd;
    if (error < 0)
        return error == -ENOENT || error == -ECONNREFUSED ? nobody(name, error) : error;
    domain_object_release(object, false);
    error = connect_socket(name, &fd);
    return error < 0 ? error : lanes_connect(opening, terms, fd, ret_carrier);
}

/* ---- listening ---- */

/* What a listener needs for its clients. */
struct served {
    struct lanes_terms terms;
    struct lanes_numbers *numbers; /* in the object, which goes after the listener's name */
};

static int welcome(const struct opening *opening, const void *context, int fd,
                   struct carrier **ret_client) {
    const struct served *served = context;
    shared64_add(&served->numbers->clients, 1);
    return lanes_accept(opening, &served->terms, fd, ret_client);
}

static void forget(void *context) {
    struct served *served = context;
    backing_home_release(served->terms.backing.home);
    free(served);
}

static void release_name(void *name, bool owner) {
    domain_object_release(name, owner);
}

static int bind_socket(const struct lanes_name *name, int *ret_fd) {
    char leaf[DOMAIN_LEAF_SIZE];
    struct unix_name socket;
    struct stat status;
    domain_socket_leaf(name->place.leaf, leaf);
    int error = unix_name_in(name->place.text, name->place.folder, leaf, &socket);
    if (error < 0)
        return error;
    int fd = os_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK);
    /* The name is ours: only by force of others can there be a socket without an object. */
    error = fd < 0 ? error_of(fd, "%s", name->place.text)
                   : unix_name_make_free(&socket, SOCK_SEQPACKET);
    if (error == 0)
        error = unix_name_bind(&socket, fd, name->mode, &status);
    unix_name_free(&socket);
    if (error < 0)
        os_close(fd);
    else
        *ret_fd = fd;
    return error;
}

static int serve(const struct opening *opening, const struct lanes_terms *terms,
                 struct domain_object *object, int fd, struct carrier **ret_carrier) {
    struct served *served = malloc(sizeof *served);
    if (served == NULL) {
        os_close(fd);
        return error_of(-ENOMEM, "%s", opening->address->text);
    }
    *served = (struct served){.terms = *terms, .numbers = object->body};
    backing_home_hold(terms->backing.home);
    const struct listener_use use = {.welcome = welcome, .forget = forget, .terms = served};
    return listener_create(opening, &use, fd, ret_carrier);
}

int lanes_listen_name(const struct opening *opening, const struct lanes_name *name,
                      const struct lanes_terms *terms, struct carrier **ret_carrier) {
    const struct domain_wish wish = {
        .kind = name->kind, .version = VERSION, .size = BODY_SIZE, .mode = name->mode};
    struct domain_object *object;
    int error = domain_object_create(&name->place, &wish, &object), fd;
    if (error < 0)
        return error;
    error = bind_socket(name, &fd);
    object->no_socket = error < 0; /* somebody else's may be there */
    if (error == 0)
        error = serve(opening, terms, object, fd, ret_carrier);
    if (error < 0) {
        domain_object_release(object, true);
        return error;
    }
    (*ret_carrier)->clients_most = name->clients;
    (*ret_carrier)->name = object;
    (*ret_carrier)->release_name = release_name;
    return 0;
}

/* ---- pairs ---- */

int lanes_open_pair(const struct opening *a, const struct opening *b,
                    const struct lanes_terms *terms, struct carrier **ret_a,
                    struct carrier **ret_b) {
    int ends[2];
    int error = os_socket_pair(SOCK_SEQPACKET, ends);
    if (error < 0)
        return error_of(error, "%s: making a pair", a->address->text);
    return lanes_pair(a, b, terms, ends, ret_a, ret_b);
}
