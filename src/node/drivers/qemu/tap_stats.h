/* SPDX-License-Identifier: EUPL-1.2 */
/* What went through a guest's tap. QEMU doesn't count, and the tap is in its network's own
 * namespace: it is found by the descriptor that QEMU has of it. */
#pragma once

#include "base/base.h"

struct tap_side {
    int64_t octets, packets, errors, drops;
};
struct tap_stats {
    struct tap_side in, out; /* as the guest sees it */
};

/* False: that can't be found out. */
bool tap_stats_read(struct ctx *cx, int pidfd, pid_t pid, const char *tap, struct tap_stats *ret);
/* From the text of /proc/net/dev, where in and out are the host's. */
bool tap_stats_parse(const char *text, const char *tap, struct tap_stats *ret);
