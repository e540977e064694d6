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
/*
 * Listens in the namespace for the network, if it doesn't already. A guest that asks from the
 * link-local address of its MAC is handed on under its port's first fixed address.
 */
MUST_USE struct err *metadata_listen(struct ctx *cx, struct metadata *md,
                                     const struct spec_network *spec, const char *netns);
/* No longer, by the first characters of the network's id; unknown is fine. */
void metadata_close(struct metadata *md, const char *short_id);
