/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Images on this host: DIR/<sha512>, fetched once however many guests wait for it, checked against
 * its digest before it has its name. DIR/used/<user> says who stands on which (a server, its rescue
 * disk, a volume in the making, the control plane's wish), so that none is evicted under it.
 */
#pragma once

#include "node/agent.h"

struct image_cache;

typedef struct err *image_sink_fn(struct ctx *cx, void *to, const char *data, size_t size);

struct image_cache_config {
    const char *dir;
    int64_t max_bytes; /* what no guest uses is evicted above this, oldest first; 0: no limit */
    /* Gives the image's bytes to sink(cx, to, …), from the cache's own thread. */
    struct err *(*fetch)(struct ctx *cx, void *arg, const char *image_id, image_sink_fn *sink,
                         void *to);
    void *fetch_arg;
    /* A fetch is over, well or not: from the cache's thread. */
    void (*arrived)(void *arg);
    void *arrived_arg;
};

MUST_USE struct err *image_cache_new(struct ctx *cx, const struct image_cache_config *cfg,
                                     struct image_cache **ret);
/* The caller has made fetch return (cancelled its client) or lets it finish. */
void image_cache_free(struct image_cache *c);
struct image_source image_cache_source(struct image_cache *c);
