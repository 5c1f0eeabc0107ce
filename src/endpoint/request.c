/* SPDX-License-Identifier: MIT
 *
 * Requests: a message that asks, and the wait for its reply. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/versioned.h"
#include "endpoint/endpoint.h"
#include "endpoint/token.h"

_Static_assert(sizeof(struct token) <= sizeof(chappe_token), "a token has to fit");

/* Without correlation the next message is the reply, so at most one may be owed. */
static int check_debt(const chappe_endpoint *endpoint) {
    if (!endpoint->owes_reply || endpoint->carrier->terms.frame->has_envelope)
        return 0;
    return error_set(-EPROTO,
                     "%s: the reply to an earlier request may still come, and frame=%s cannot "
                     "tell them apart; receive it first, or open anew",
                     endpoint->carrier->address, endpoint->carrier->terms.frame->name);
}

static int wait_for_reply(chappe_endpoint *endpoint, uint64_t correlation, chappe_deadline deadline,
                          chappe_message **ret_reply) {
    /* The other side numbers its own requests: one of them may have the same number. */
    chappe_filter filter = {
        .size = sizeof filter, .correlation = correlation, .flags = FILTER_NO_REQUESTS};
    bool by_number = endpoint->carrier->terms.frame->has_envelope;
    struct message *message;
    endpoint->owes_reply = true;
    int got = receive_message(endpoint, by_number ? &filter : NULL, deadline, &message);
    if (got == -EAGAIN || got == -ETIMEDOUT)
        return error_set(got, "%s: no reply %s; the request may have been carried out",
                         endpoint->carrier->address,
                         got == -EAGAIN ? "at once" : "by the deadline");
    if (got < 0)
        return got;
    endpoint->owes_reply = false;
    *ret_reply = got > 0 ? &message->body : NULL;
    return got > 0 ? 0 : CHAPPE_END;
}

int chappe_request(chappe_endpoint *endpoint, const void *bytes, size_t size,
                   const chappe_settings *settings, chappe_deadline deadline,
                   chappe_message **ret_reply) {
    chappe_settings read;
    if (endpoint == NULL || ret_reply == NULL)
        return error_set(-EINVAL, "the endpoint or ret_reply is NULL");
    int error = versioned_read(&read, sizeof read, SETTINGS_LEAST, settings, "chappe_settings");
    if (error < 0 || (error = check_debt(endpoint)) < 0)
        return error;
    if (!endpoint->carrier->receives)
        return error_set(-ENOTSUP, "%s: no way back for a reply", endpoint->carrier->address);
    if (endpoint->reserved != NULL)
        return send_busy(endpoint);
    uint64_t own = 0;
    if (read.correlation == 0 && endpoint->carrier->terms.frame->has_envelope)
        own = ++endpoint->correlation;
    read.size = sizeof read;
    read.flags |= CHAPPE_ASKS;
    error = send_letter(endpoint, bytes, size, &read, own, deadline);
    uint64_t correlation = own != 0 ? own : read.correlation;
    return error < 0 ? error : wait_for_reply(endpoint, correlation, deadline, ret_reply);
}
