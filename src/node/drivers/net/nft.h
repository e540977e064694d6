/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The packet filter: rules as text, a pure function of the spec, and their application in one
 * transaction.
 *
 * In a network's namespace, table bridge colvert holds each tap to its addresses and writes numbers
 * into the packet's mark: the port it came from (low half), the port it goes to (high half). table
 * inet colvert, which bridged IP traffic passes too (nf_call_iptables of the bridge), is stateful
 * and picks the ports' rules by these numbers. A tap that is in no table gets and sends nothing.
 */
#pragma once

#include "node/spec.h"

/* ERR_INVALID where an address, a protocol or a port is none. */
MUST_USE struct err *nft_network_text(struct ctx *cx, const struct spec_network *spec,
                                      struct buf *out);
/* external: name of the link to the external bridge. */
MUST_USE struct err *nft_router_text(struct ctx *cx, const struct spec_router *spec,
                                     const char *external, struct buf *out);
/* Our tables in the namespace are exactly these; nothing is touched if they are already. */
MUST_USE struct err *nft_apply(struct ctx *cx, const char *netns, const char *text);
