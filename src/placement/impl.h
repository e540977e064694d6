/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to placement/. */
#pragma once

#include "compute/compute.h"
#include "placement/placement.h"
#include "volume/volumes.h"

#define API(method, path, handler, ...) struct err *handler(struct call *c);
#include "placement/routes.def"
#undef API

/* ---- service.c: the kinds of room that hosts have */
#define ROOMS 3
struct room_kind {
    const char *name;                         /* "MEMORY_MB" */
    const char *kind;                         /* compute's word for it */
    size_t total, reserved, ratio, can, used; /* members of struct place_host */
};
extern const struct room_kind room_kinds[ROOMS];
int64_t room_of(const struct place_host *h, size_t member);
/* Its index, or -1. */
int room_find(const char *name);
/* A standard resource class, whether hosts have it or not. */
bool class_known(const char *name);
/* Where and how the consumer could have it of its own. */
struct err *refuse(struct call *c, const char *reason);

/* ---- providers.c */
struct provider {
    struct place_host h;
    const char *const *aggregates; /* ids */
    size_t n_aggregates;
};
MUST_USE struct err *providers_load(struct call *c, struct provider **ret, size_t *ret_n);
/* By the parameter {uuid}: 404 in placement's words. */
MUST_USE struct err *provider_find(struct call *c, struct provider *ret);
/* The body's resource_provider_generation is the provider's: 409 otherwise. */
MUST_USE struct err *check_generation(struct call *c, const struct provider *p);

/* ---- query.c: what a list of providers asks for */
struct any_of {
    bool none; /* … of them */
    char **names;
    size_t n;
};
#define CONDITIONS_MAX 32
struct wish {
    const char *name, *uuid, *in_tree;
    int64_t amounts[ROOMS];
    bool has_amounts, elsewhere; /* elsewhere: a class that no host has */
    struct any_of traits[CONDITIONS_MAX], aggregates[CONDITIONS_MAX];
    size_t n_traits, n_aggregates;
    int64_t limit;
};
MUST_USE struct err *wish_read(struct call *c, struct wish *ret);
bool wish_fits(const struct wish *w, const struct provider *p);

/* ---- traits.c */
/* It could exist: of os-traits' namespaces, or CUSTOM_. */
bool trait_valid(const char *name);
