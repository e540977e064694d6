/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The metadata service's front: port 80 of 169.254.169.254 in each network's namespace, all served
 * by one thread. It frames bounded GET and POST requests and hands them, with network and source
 * address, to the agent, which knows whose they are.
 */
#pragma once

#include "node/drivers/driver.h"

struct metadata; /* owned by the driver */

MUST_USE struct err *metadata_new(struct ctx *cx, const struct kernel_net_config *cfg,
                                  struct metadata **ret);
void metadata_free(struct metadata *md);
/* The answer to a question about a name (DNS, udp port 53); its size, 0: none. ret has room for as
 * much as was asked. domain: of the network's guests, "": none. */
typedef size_t metadata_names_fn(const uint8_t *query, size_t size, const char *domain,
                                 uint8_t *ret);
/*
 * Listens in the namespace for the network, if it doesn't already. A guest that asks from the
 * link-local address of its MAC is handed on under its port's first fixed address.
 * names: answers there for names, too; NULL: nothing does.
 */
MUST_USE struct err *metadata_listen(struct ctx *cx, struct metadata *md,
                                     const struct spec_network *spec, const char *netns,
                                     metadata_names_fn *names);
/* No longer, by the first characters of the network's id; unknown is fine. */
void metadata_close(struct metadata *md, const char *short_id);
