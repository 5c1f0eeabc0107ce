/* SPDX-License-Identifier: MIT
 *
 * Where an endpoint's log lines go. Passed along with what it belongs to: there is no
 * log of the process. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <chappe/chappe.h>

struct log {
    chappe_log_function *function; /* NULL: nowhere */
    void *context;
    chappe_log_level level; /* the least urgent that is wanted */
};

/* Does not disturb the sentence of chappe_error(). */
void log_line(const struct log *log, chappe_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
