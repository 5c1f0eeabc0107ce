/* SPDX-License-Identifier: MIT
 *
 * What programs do with the library, in one process, so that thousands of runs with a
 * failure in each take seconds. */
#ifndef FAULT_SCENES_H
#define FAULT_SCENES_H

#include <chappe/chappe.h>

#include "fault/injection.h"

struct scene;
typedef void scene_function(struct scene *scene);

struct scene {
    char name[96];
    scene_function *run;
    char address[1024]; /* what every sentence has to name */
    size_t size;        /* of the bodies */
    bool is_pair;
    bool once_more; /* what fails is called a second time, and has to work then */
    bool is_old;    /* the kernel: see injection.h */
    bool forks;     /* each run needs a process in which the library was not used yet */

    bool failed;  /* a call of the library failed in this run, as it should */
    bool retried; /* one was called again */
    bool told;    /* a warning was logged */
};

/* The scene and what fails in it, for people. */
const char *scene_text(const struct scene *scene);

/* Ways to look at a result. A failure without an injected one, or without a sentence that
 * names the address, fails the test. */
int scene_check(struct scene *scene, int result);
/* True if what failed is to be tried again. */
bool scene_tries_again(struct scene *scene, int result);

/* Sends, receives until the message is there, closes. `from`: who sent it. */
int scene_send(struct scene *scene, chappe_endpoint *from, size_t size,
               const chappe_settings *settings);
int scene_receive(struct scene *scene, chappe_endpoint *from, chappe_endpoint *to,
                  const chappe_filter *filter, size_t size, chappe_message **ret_message);
void scene_close(struct scene *scene, chappe_endpoint **endpoint);
int scene_ends(struct scene *scene, chappe_endpoint **ret_opener, chappe_endpoint **ret_keeper);

/* The scenes. */
scene_function scene_exchange; /* everything that two ends can do */
scene_function scene_accept;   /* one endpoint a client */
scene_function scene_clients;  /* a server and many */
scene_function scene_slow;     /* nobody reads until the deadline has passed */
scene_function scene_takeover;
scene_function scene_descriptor_ends; /* pipe://IN,OUT */
scene_function scene_reader_gone;
scene_function scene_process_mark;
scene_function scene_log;

/* The bytes that bodies are made of, and two open descriptors to send. */
extern unsigned char scene_bytes[1 << 20];
extern int scene_descriptors[2];
void scene_prepare(void);

#endif
