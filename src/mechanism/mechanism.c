/* SPDX-License-Identifier: MIT
 *
 * Finding a row, and the part that all carriers share. */
#include "mechanism/mechanism.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

int mechanism_find(const struct address *address, const struct mechanism **ret_mechanism) {
    const char *nearest = NULL;
    for (const struct mechanism *const *row = mechanism_rows; *row != NULL; row++) {
        const char *alias = (*row)->row.alias;
        if (strcmp((*row)->row.scheme, address->scheme) == 0 ||
            (alias != NULL && strcmp(alias, address->scheme) == 0)) {
            *ret_mechanism = *row;
            return 0;
        }
        text_nearest(address->scheme, (*row)->row.scheme, &nearest);
        if (alias != NULL)
            text_nearest(address->scheme, alias, &nearest);
    }
    if (nearest != NULL)
        return error_set(-EPROTONOSUPPORT, "%s: no mechanism “%s”; did you mean %s://?",
                         address->text, address->scheme, nearest);
    return error_set(-EPROTONOSUPPORT, "%s: no mechanism “%s”; `chappe mechanisms` lists them",
                     address->text, address->scheme);
}

int carrier_start(struct carrier *carrier, const struct carrier_functions *functions,
                  const struct opening *opening, const char *address) {
    carrier->address = strdup(address != NULL ? address : opening->address->text);
    if (carrier->address == NULL)
        return error_of(-ENOMEM, "%s", opening->address->text);
    carrier->functions = functions;
    carrier->mechanism = opening->mechanism;
    carrier->store = opening->store;
    carrier->terms = opening->terms;
    carrier->terms.name = carrier->address;
    carrier->log = opening->log;
    carrier->sends = carrier->receives = true;
    return 0;
}

struct chunk *carrier_chunk(struct carrier *carrier, size_t capacity) {
    struct chunk *chunk = chunk_create(carrier->store, capacity);
    if (chunk == NULL) {
        error_of(-ENOMEM, "%s: %zu bytes", carrier->address, capacity);
        return NULL;
    }
    chunk->sender = carrier->peer;
    chunk->client = carrier->client;
    return chunk;
}

void carrier_postpone(struct carrier *carrier, int error) {
    carrier->postponed = error;
    free(carrier->postponed_text);
    carrier->postponed_text = strdup(error_text());
}

int carrier_postponed(struct carrier *carrier) {
    int error = carrier->postponed;
    if (error == 0)
        return 0;
    error_set(error, "%s",
              carrier->postponed_text != NULL ? carrier->postponed_text : carrier->address);
    free(carrier->postponed_text);
    carrier->postponed_text = NULL;
    carrier->postponed = 0;
    return error;
}

void carrier_release_name(struct carrier *carrier, bool owner) {
    if (carrier->release_name != NULL)
        carrier->release_name(carrier->name, owner);
    carrier->release_name = NULL;
}

void carrier_end(struct carrier *carrier) {
    free(carrier->postponed_text);
    free(carrier->address);
    free(carrier);
}
