/* SPDX-License-Identifier: MIT
 *
 * Names of objects as names of files. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "domain/internal.h"

static const char digits[] = "0123456789ABCDEF";

static bool is_plain(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-_.+=@:,", c) != NULL);
}

/* Where the last ".socket" begins, if that is how the name ends; else `size`. Its dot is
 * escaped, so that no object has the name of another one's socket. */
static size_t suffix_at(const char *name, size_t size) {
    size_t length = sizeof SOCKET_SUFFIX - 1;
    bool ends = size >= length && memcmp(name + size - length, SOCKET_SUFFIX, length) == 0;
    return ends ? size - length : size;
}

int domain_leaf(const char *kind, const char *name, size_t size, const char *text,
                char ret_leaf[DOMAIN_LEAF_SIZE]) {
    char leaf[DOMAIN_LEAF_SIZE];
    size_t used = strlen(kind), suffix = suffix_at(name, size);
    if (size == 0)
        return error_set(-EINVAL, "%s: the name is empty", text);
    memcpy(leaf, kind, used);
    leaf[used++] = '.';
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        bool plain = is_plain(c) && i != suffix;
        if (used + (plain ? 1 : 3) > DOMAIN_LEAF_MOST)
            return error_set(-ENAMETOOLONG,
                             "%s: the name of %zu bytes is too long for a file name; the limit "
                             "is %zu bytes, and 3 for each that is no letter or digit",
                             text, size, DOMAIN_LEAF_MOST - strlen(kind) - 1);
        if (plain) {
            leaf[used++] = (char)c;
        } else {
            leaf[used++] = '%';
            leaf[used++] = digits[c >> 4];
            leaf[used++] = digits[c & 15];
        }
    }
    leaf[used] = '\0';
    memcpy(ret_leaf, leaf, used + 1);
    return 0;
}

void domain_socket_leaf(const char *leaf, char ret_leaf[DOMAIN_LEAF_SIZE]) {
    size_t length = strnlen(leaf, DOMAIN_LEAF_MOST);
    memcpy(ret_leaf, leaf, length);
    memcpy(ret_leaf + length, SOCKET_SUFFIX, sizeof SOCKET_SUFFIX);
}

bool leaf_is_temporary(const char *leaf) {
    return strncmp(leaf, TEMPORARY_PREFIX, sizeof TEMPORARY_PREFIX - 1) == 0;
}

bool leaf_is_socket(const char *leaf, char ret_object[DOMAIN_LEAF_SIZE]) {
    size_t size = strlen(leaf), object = suffix_at(leaf, size);
    if (object == size || object == 0)
        return false;
    memcpy(ret_object, leaf, object);
    ret_object[object] = '\0';
    return true;
}

static int digit_of(char c) {
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

size_t leaf_name(const char *leaf, const char *kind, char ret_name[DOMAIN_LEAF_SIZE]) {
    size_t used = 0, length = strlen(kind);
    if (length > 0 && strncmp(leaf, kind, length) == 0 && leaf[length] == '.')
        leaf += length + 1;
    while (*leaf != '\0') {
        int high = leaf[0] == '%' ? digit_of(leaf[1]) : -1;
        int low = high >= 0 ? digit_of(leaf[2]) : -1;
        if (low >= 0) {
            ret_name[used++] = (char)(high << 4 | low);
            leaf += 3;
        } else {
            ret_name[used++] = *leaf++;
        }
    }
    ret_name[used] = '\0';
    return used;
}
