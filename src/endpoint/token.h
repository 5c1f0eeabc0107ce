/* SPDX-License-Identifier: MIT
 *
 * What a chappe_token holds. */
#ifndef ENDPOINT_TOKEN_H
#define ENDPOINT_TOKEN_H

#include "endpoint/endpoint.h"

struct token {
    uint64_t endpoint; /* the number of the one it came from */
    uint64_t client;   /* of a server; 0 = the only connection */
    uint64_t correlation;
    uint8_t asked; /* the message was a request */
    uint8_t way_back_size;
    uint8_t way_back[DETAILS_WAY_BACK_MAX];
};

/* -EINVAL: not a token of this endpoint. */
int token_read(const chappe_endpoint *endpoint, const chappe_token *token, struct token *ret_token);

#endif
