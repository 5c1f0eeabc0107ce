/* SPDX-License-Identifier: MIT
 *
 * What the library says of itself: its version, its mechanisms, its words. */
#include <chappe/chappe.h>
#include <errno.h>

#include "base/error.h"
#include "mechanism/mechanism.h"
#include "os/os.h"

const char *chappe_version(void) {
    return CHAPPE_VERSION;
}

const char *chappe_error(void) {
    return error_text();
}

chappe_deadline chappe_in_ms(int64_t milliseconds) {
    int64_t span, moment;
    if (milliseconds < 0)
        milliseconds = 0;
    if (__builtin_mul_overflow(milliseconds, INT64_C(1000000), &span) ||
        __builtin_add_overflow(os_now(), span, &moment))
        return CHAPPE_FOREVER;
    /* In the first second after boot a moment looks like a span by mistake. */
    return moment < 1000000000 ? 1000000000 : moment;
}

int chappe_mechanism(size_t index, const chappe_row **ret_row) {
    if (ret_row == NULL)
        return error_set(-EINVAL, "ret_row is NULL");
    for (size_t i = 0; mechanism_rows[i] != NULL; i++)
        if (i == index) {
            *ret_row = &mechanism_rows[i]->row;
            return 0;
        }
    return error_set(-ENOENT, "there is no mechanism number %zu", index);
}

const char *chappe_capability_name(size_t capability) {
    static const char *const names[CHAPPE_CAPABILITY_COUNT] = {
        [CHAPPE_CAN_TYPE] = "type",
        [CHAPPE_CAN_PRIORITY] = "priority",
        [CHAPPE_CAN_DESCRIPTORS] = "descriptors",
        [CHAPPE_CAN_IDENTITY] = "identity",
        [CHAPPE_CAN_ORDER] = "order",
        [CHAPPE_CAN_MANY_SENDERS] = "many senders",
        [CHAPPE_CAN_MANY_RECEIVERS] = "many receivers",
        [CHAPPE_CAN_REPLY] = "reply",
        [CHAPPE_CAN_DURABILITY] = "durability",
        [CHAPPE_CAN_POLL] = "pollable",
        [CHAPPE_CAN_RELIABILITY] = "reliable",
        [CHAPPE_CAN_CROSS_MACHINES] = "crosses machines",
    };
    return capability < CHAPPE_CAPABILITY_COUNT ? names[capability] : NULL;
}

const char *chappe_support_name(size_t support) {
    static const char *const names[] = {
        [CHAPPE_REFUSES] = "refuses", [CHAPPE_CARRIES] = "carries", [CHAPPE_ACTS] = "acts"};
    return support <= CHAPPE_ACTS ? names[support] : NULL;
}
