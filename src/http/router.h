/* SPDX-License-Identifier: EUPL-1.2 */
/* Paths to routes: a tree of segments; "{name}" matches one non-empty segment. */
#pragma once

#include "http/http.h"

struct router;

struct route_match {
    void *route;                              /* what router_add was given */
    struct http_pair params[HTTP_MAX_PARAMS]; /* name and decoded value, in path order */
    size_t n_params;
    const char *allow; /* for a known path with another method: "GET, PUT" */
};

struct router *router_new(void);
void router_free(struct router *r);
/*
 * A literal segment wins over a parameter where both lead to a route of this method. Asserts on a
 * duplicate or a conflicting parameter name in one place.
 */
void router_add(struct router *r, const char *method, const char *pattern, void *route);
/*
 * False when nothing matches; then ret->allow tells 405 from 404. raw_path is percent-encoded as
 * sent: segments are split before decoding, so that "%2F" stays inside a segment. An empty last
 * segment ("/servers/") matches nothing but a pattern that ends with "/". HEAD falls back to GET.
 */
bool router_match(const struct router *r, struct ctx *cx, const char *method, const char *raw_path,
                  struct route_match *ret);
