/* SPDX-License-Identifier: MIT
 *
 * Bodies that are too large for their carrier: they travel as a sealed memory file, whose
 * descriptor goes beside the message. */
#ifndef MECHANISM_BODY_FILE_H
#define MECHANISM_BODY_FILE_H

#include "mechanism/mechanism.h"

/* A sealed file with the body of a letter. Result: its descriptor. Has a sentence. */
int body_file_create(const struct carrier *carrier, const struct letter *letter);

/* A chunk with the bytes of such a file, which has to be `size` bytes long and sealed: read,
 * which up to a size costs less than the page faults of a mapping, or mapped. Has a
 * sentence. */
int body_file_read(struct carrier *carrier, int fd, uint64_t size, struct chunk **ret_chunk);

#endif
