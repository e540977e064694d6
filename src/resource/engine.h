/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to resource/: the engine's own statements and the api's inside. */
#pragma once

#include "http/router.h"
#include "resource/api.h"

extern const struct stmt stmt_quota_get, stmt_quota_own, stmt_quota_set, stmt_quota_reset,
    stmt_audit_add;

struct api {
    struct store *store;
    const struct service *const *services;
    size_t n_services;
    struct api_hooks hooks;
    struct api_config cfg;
    struct router *router;
    _Atomic(struct http_server *) server;
    _Atomic(struct http_server *) hosts_server;
    struct bound_route *bound; /* what the router points at */
};

struct bound_route {
    const struct route *route;
    const struct service *service;
    char *base;                  /* "/compute/v2.1" */
    _Atomic uint64_t answers[6]; /* by the status' first digit */
    _Atomic uint64_t busy_us;
};

/* audit.c: the event of a mutating call, in tx. */
MUST_USE struct err *audit_add(struct call *c, struct tx *tx, int status);
bool audit_wanted(const struct call *c);

/* access.c: ERR_UNAUTHENTICATED when the actor's limits leave this call out. */
MUST_USE struct err *access_check(struct call *c);
bool access_path_matches(struct ctx *cx, const char *pattern, const char *path);

/* microversion.c: reads the request's version headers, sets the reply's. */
MUST_USE struct err *negotiate_version(struct call *c);
