/* SPDX-License-Identifier: MIT
 *
 * JSON: see json.h. Whole numbers are written as they are; a time is text, because its
 * nanoseconds do not fit the numbers of most JSON readers.
 */
#include "json.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "text.h"

static void json_character(struct output *output, const unsigned char *bytes, size_t length) {
    static const char named[] = {['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
                                 ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't'};

    if (length == 1 && bytes[0] < sizeof named && named[bytes[0]] != '\0') {
        output_format(output, "\\%c", named[bytes[0]]);
    } else if (text_harmless(bytes, length)) {
        output_bytes(output, bytes, length);
    } else {
        output_format(output, "\\u%04x", length == 1 ? bytes[0] : bytes[1]);
    }
}

static void json_text(struct output *output, const void *text, size_t size) {
    const unsigned char *bytes = text;

    output_text(output, "\"");
    while (size > 0) {
        size_t length = text_character(bytes, size);

        if (length > 0) {
            json_character(output, bytes, length);
        } else {
            output_text(output, "\\ufffd");
            length = 1;
        }
        bytes += length;
        size -= length;
    }
    output_text(output, "\"");
}

void json_string(struct output *output, const char *text) {
    json_text(output, text, strlen(text));
}

static void json_base64(struct output *output, const unsigned char *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    output_text(output, "\"");
    for (size_t at = 0; at < size; at += 3) {
        size_t count = size - at < 3 ? size - at : 3;
        uint32_t group = (uint32_t)bytes[at] << 16;
        char text[4];

        group |= count > 1 ? (uint32_t)bytes[at + 1] << 8 : 0;
        group |= count > 2 ? bytes[at + 2] : 0U;
        text[0] = digits[group >> 18 & 63];
        text[1] = digits[group >> 12 & 63];
        text[2] = '=';
        text[3] = '=';
        if (count > 1) {
            text[2] = digits[group >> 6 & 63];
        }
        if (count > 2) {
            text[3] = digits[group & 63];
        }
        output_bytes(output, text, sizeof text);
    }
    output_text(output, "\"");
}

static void json_sender(struct output *output, const chappe_message *message) {
    chappe_identity identity = {.size = sizeof identity};
    const char *separator = "";

    if (chappe_sender(message, &identity) < 0 || identity.verified == 0) {
        return;
    }
    output_text(output, ",\"sender\":{");
    if (identity.pid != 0) {
        output_format(output, "\"pid\":%d,", identity.pid);
    }
    if (identity.uid != (uid_t)-1) {
        output_format(output, "\"uid\":%u,", identity.uid);
    }
    if (identity.gid != (gid_t)-1) {
        output_format(output, "\"gid\":%u,", identity.gid);
    }
    output_text(output, "\"verified\":[");
    if ((identity.verified & CHAPPE_BY_SOCKET) != 0) {
        output_text(output, "\"socket\"");
        separator = ",";
    }
    if ((identity.verified & CHAPPE_BY_MESSAGE) != 0) {
        output_format(output, "%s\"message\"", separator);
    }
    output_text(output, "]}");
}

static void json_time(struct output *output, int64_t nanoseconds) {
    time_t seconds = (time_t)(nanoseconds / 1000000000);
    char text[64];
    struct tm date;

    if (gmtime_r(&seconds, &date) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &date) == 0) {
        return;
    }
    output_format(output, ",\"time\":\"%s.%09dZ\"", text, (int)(nanoseconds % 1000000000));
}

void json_message(struct output *output, const chappe_message *message) {
    static const struct {
        chappe_field field;
        const char *name;
    } numbers[] = {{CHAPPE_TYPE, "type"},
                   {CHAPPE_PRIORITY, "priority"},
                   {CHAPPE_CORRELATION, "correlation"},
                   {CHAPPE_SEQUENCE, "sequence"},
                   {CHAPPE_CLIENT, "client"}};
    int64_t value;

    output_format(output, "{\"size\":%zu", message->size);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        /* Client 0: this is no server of connections. */
        if (chappe_get(message, numbers[i].field, &value) == 0 &&
            (numbers[i].field != CHAPPE_CLIENT || value != 0)) {
            output_format(output, ",\"%s\":%" PRId64, numbers[i].name, value);
        }
    }
    json_sender(output, message);
    if (chappe_get(message, CHAPPE_TIME, &value) == 0 && value >= 0) {
        json_time(output, value);
    }
    if (chappe_get(message, CHAPPE_DESCRIPTORS, &value) == 0) {
        output_format(output, ",\"descriptors\":%" PRId64, value);
    }
    if (chappe_get(message, CHAPPE_IS_REQUEST, &value) == 0 && value != 0) {
        output_text(output, ",\"request\":true");
    }
    if (chappe_get(message, CHAPPE_IS_REPLY, &value) == 0 && value != 0) {
        output_text(output, ",\"reply\":true");
    }
    if (text_is_utf8(message->data, message->size)) {
        output_text(output, ",\"body\":");
        json_text(output, message->data, message->size);
    } else {
        output_text(output, ",\"body_base64\":");
        json_base64(output, message->data, message->size);
    }
    output_text(output, "}\n");
}
