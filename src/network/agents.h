/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to network/: what agents.c and agent_scheduling.c do for each other. */
#pragma once

#include "network/nw.h"

#define AGENT_BINARY "colvert-node"

/* ERR_NOT_FOUND also for one of another kind (NULL: any). */
MUST_USE struct err *agent_find(struct call *c, const char *id, const char *kind,
                                struct agent **ret);
/* The agents of these hosts as a list, by the query's filters; kind NULL: all kinds. */
MUST_USE struct err *agents_reply(struct call *c, const struct fleet_host *hosts, size_t n,
                                  const char *kind);
/* The host hears of all that the agent serves. */
MUST_USE struct err *agent_touch_all(struct call *c, const struct agent *a);
