/* SPDX-License-Identifier: MIT
 *
 * Any text as an address: refused with a sentence about it, or taken apart in such a way
 * that it can be put together again. */
#include "message/address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "message/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s (%s)\n", what, error_text());
    abort();
}

static void check_refusal(const char *text, int error) {
    require(error == -EINVAL || error == -ENAMETOOLONG, "the error is one of two");
    const char *sentence = error_text();
    require(sentence[0] != '\0', "there is a sentence");
    size_t size = strlen(text) < 100 ? strlen(text) : 100;
    for (size_t i = 0; i < size && error == -EINVAL; i++)
        require(sentence[i] == text[i] || sentence[i] == '?', "the sentence names the address");
}

/* The decoded place, escaped and read again. */
static void check_round_trip(const struct address *address) {
    size_t room = 3 * address->where_size + 1;
    char *text = malloc(room + 4);
    struct address *again = NULL;
    require(text != NULL, "there is memory");
    memcpy(text, "x://", 4);
    require(address_escape(address->where, address->where_size, text + 4, room) < room,
            "three bytes for one are enough");
    int error = address_parse(text, &again);
    if (strlen(text) < ADDRESS_SIZE_MAX) {
        require(error == 0, "what was escaped can be read");
        require(again->where_size == address->where_size &&
                    memcmp(again->where, address->where, address->where_size) == 0,
                "it is the same place");
    }
    free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const own[] = {"type=a|b  text", "mode=OCTAL  text", NULL};
    char *text = malloc(size + 1);
    struct address *address;
    struct terms terms;
    require(text != NULL, "there is memory");
    memcpy(text, data, size);
    text[size] = '\0';
    int error = address_parse(text, &address);
    if (error < 0) {
        check_refusal(text, error);
        free(text);
        return 0;
    }
    require(strcmp(address->text, text) == 0, "the text stays");
    require(address->where[address->where_size] == '\0', "the place ends");
    require(address->option_count <= ADDRESS_OPTIONS_MAX, "so many options");
    check_round_trip(address);
    error = address_check_options(address, own);
    if (error == 0)
        error = frame_terms(address, &terms);
    if (error < 0)
        check_refusal(text, error);
    else
        require(terms.limit >= 1 && terms.limit <= INT64_MAX, "there is a limit");
    free(address);
    free(text);
    return 0;
}
