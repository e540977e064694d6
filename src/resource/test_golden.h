/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Replies against those of a real OpenStack (tests/golden/recorded/SERVICE.json): the same members
 * with the same types, at every depth. Values are ours.
 */
#pragma once

#include "resource/test_api.h"

/* The recorded call, "POST /v3/users 201": its request body, or NULL. */
const json_t *golden_request(struct test_api *t, const char *service, const char *call);
/*
 * `but`, NULL-terminated, names members that may be missing or more ("token.catalog": by their path
 * without indexes). Of arrays the first elements are compared.
 */
void golden_compare(struct test_api *t, const char *service, const char *call,
                    const struct test_reply *r, const char *const *but);
