/* SPDX-License-Identifier: EUPL-1.2 */
/* Connections that the kernel's NAT remembers would outlive the floating IP they go through. */
#pragma once

#include "node/drivers/net/addr.h"

/* Forgets every connection in the namespace that came in to, or goes out as, one of these IPv4
 * addresses. */
MUST_USE struct err *conntrack_forget(struct ctx *cx, const char *netns, const struct ip *ips,
                                      size_t n);
