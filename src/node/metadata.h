/* SPDX-License-Identifier: EUPL-1.2 */
/* The metadata service's answers: OpenStack's and EC2's paths, for the server that owns the asking
 * address. */
#pragma once

#include "node/agent.h"

/* Fits kernel_net_config.metadata, with the agent as arg. */
MUST_USE struct err *metadata_answer(struct ctx *cx, void *agent, const struct metadata_ask *ask,
                                     struct buf *ret_body, const char **ret_content_type,
                                     int *ret_status);
/* A GET of a known server's. False: there is no such thing, and nothing is written. */
bool metadata_render(struct ctx *cx, const struct spec_server *s, const char *ip, const char *path,
                     struct buf *ret_body, const char **ret_content_type);
