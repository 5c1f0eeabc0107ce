/* SPDX-License-Identifier: MIT
 *
 * Where an endpoint's log lines go. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_line(const struct log *log, chappe_log_level level, const char *format, ...) {
    if (log->function == NULL || level > log->level)
        return;
    char line[640];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    log->function(log->context, level, line);
}
