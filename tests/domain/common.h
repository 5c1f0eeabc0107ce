/* SPDX-License-Identifier: MIT
 *
 * What the tests of domains share. */
#ifndef DOMAIN_COMMON_H
#define DOMAIN_COMMON_H

#include "domain/domain.h"
#include "harness/harness.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The outcome is that error, and its sentence holds the word. */
void expect_error(int outcome, int error, const char *word);
/* The outcome is success. */
void check(int outcome);

/* The test's directory, or a path, as a descriptor. */
int open_folder(const char *path);

/* A place for sentences that begin with "test://LEAF". */
struct domain_place place_at(int folder, const char *leaf);

/* A small object of kind "thing" that goes with its owner, or stays. */
extern const struct domain_wish thing, lasting;

/* Creates a thing. */
struct domain_object *create(int folder, const char *leaf);

/* Opens a thing. */
int try_open(int folder, const char *leaf, struct domain_object **ret_object);

/* How many entries a folder has. */
size_t count_files(int folder);
bool exists(int folder, const char *leaf);

/* Puts a file with these bytes there, as a foreign program would. */
void put_file(int folder, const char *leaf, const void *bytes, size_t size);

/* A bound socket LEAF.socket. Result: its descriptor. */
int bind_socket(int folder, const char *leaf);

/* A peer that has made a thing and waits to be killed. */
pid_t fork_owner(int folder, const char *leaf);

/* The peer ends by SIGKILL. */
void kill_peer(pid_t peer);

/* In a peer: from here on step() decides how far it goes. */
void be_stepped(void);

/* Lets a peer go on for that many stops, at a system call's entry or exit. True: it is stopped
 * there. False: it has ended before, with status 0. The test is skipped without ptrace. */
bool step(pid_t peer, size_t stops);

/* A stopped peer goes on to its end. */
void go_on(pid_t peer);

/* Calls the function in a peer that is another user, with `group` as its only group; the test
 * is skipped where that takes rights which it does not have. The peer ends with 0. */
void run_as(uid_t user, gid_t group, void (*function)(void *context), void *context);
/* The same without waiting. */
pid_t fork_as(uid_t user, gid_t group, void (*function)(void *context), void *context);

#endif
