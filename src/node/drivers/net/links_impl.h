/* SPDX-License-Identifier: EUPL-1.2 */
/* What links.c and routes.c share. */
#pragma once

#include "node/drivers/net/links.h"
#include "node/drivers/net/rtnl.h"

#define DUMP_TRIES 16 /* a table may change while it is read */

struct links {
    int fd;
    const char *netns; /* for messages */
};

static inline struct err *links_fail(struct ctx *cx, const struct links *l, int rc,
                                     const char *verb, const char *what)
{
    return fail(cx, ERR_UNAVAILABLE, "cannot %s %s in %s: %s", verb, what, l->netns, strerror(-rc));
}
