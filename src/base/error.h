/* SPDX-License-Identifier: MIT
 *
 * The sentence behind a failure: one per thread, for people. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#define ERROR_TEXT_SIZE 4608 /* the longest address, and what is wrong with it */

/* Keeps the sentence and returns `code`, so that a failure reads
 *     return error_set(-EMSGSIZE, "%s: …", address);
 * The sentence may quote the one before it (error_text() as an argument). */
int error_set(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* error_set() with the kernel's words for `code` at the end, after a colon. */
int error_of(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *error_text(void);

#endif
