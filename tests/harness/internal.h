/* SPDX-License-Identifier: MIT
 *
 * What the two files of the harness want from each other.
 */
#ifndef HARNESS_INTERNAL_H
#define HARNESS_INTERNAL_H

/* Joins every peer that the test did not wait for. */
void harness_join_all(void);

/* In a peer: makes the test fail, whatever becomes of this process. */
void harness_fail_from_peer(void);

#endif
