/* SPDX-License-Identifier: EUPL-1.2 */
/* API families: how each service words and renders its errors, negotiates versions and pages its
 * lists. */
#pragma once

#include "http/http.h"
#include "resource/resource.h"

enum paging_style {
    PAGING_COMPUTE,  /* limit, marker, sort_key, sort_dir; "servers_links":[{rel,href}] */
    PAGING_NETWORK,  /* + fields=, page_reverse, repeated filters */
    PAGING_IDENTITY, /* "links":{self,previous,next} */
    PAGING_IMAGE     /* limit, marker, sort, sort_key; "first", "next", "schema" */
};

struct family {
    const char *name;   /* the service's type in the catalogue: "compute" */
    const char *prefix; /* "/compute" */
    enum paging_style paging;
    /* The error body. status is the HTTP status to be sent. */
    void (*render)(struct ctx *cx, struct buf *out, const struct err *e, int status);
    int quota_status; /* HTTP status of ERR_QUOTA */
    /* The words for a bad member. */
    struct err *(*invalid)(struct ctx *cx, const struct resource *res, const char *wire,
                           const json_t *value, const char *reason);
    struct err *(*unknown)(struct ctx *cx, const struct resource *res, const char *wire);
    struct err *(*missing)(struct ctx *cx, const struct resource *res, const char *wire);
    struct err *(*read_only)(struct ctx *cx, const struct resource *res, const char *wire);
    /* Microversions: minor numbers of major version `major`; max 0: none. */
    unsigned major, min, max;
    const char *microversion_header; /* its own, older header: "X-OpenStack-Nova-API-Version" */
    const char
        *request_id_header; /* its own, older name for the request id: "X-Compute-Request-Id" */
    int default_limit, max_limit; /* of lists; 0: none */
    bool strips_slash;            /* a path may end in one that no route has */
    /* A full page has a next one, which may be empty; an unknown marker is not found. */
    bool full_page_goes_on;
};

extern const struct family family_identity, family_compute, family_image, family_network,
    family_volume, family_placement, family_node;

int family_status(const struct family *fam, const struct err *e);
