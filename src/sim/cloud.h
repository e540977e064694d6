/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The control plane of the simulator: the real services on a database in memory, called through
 * their dispatcher in the caller's thread. Made up are who asks (the token names the project), the
 * image that servers and volumes are made from, and how disks' bytes travel.
 */
#pragma once

#include "compute/compute.h"
#include "fleet/fleet.h"
#include "image/image.h"
#include "network/network.h"
#include "volume/volume.h"

enum { CLOUD_PROJECTS = 2, CLOUD_NETWORKS = 2 };
/* Every image is the one byte "x". */
#define CLOUD_IMAGE "bbbbbbbb-0000-4000-8000-000000000001"
#define CLOUD_IMAGE_SHA512                                                                         \
    "a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec" \
    "904fb42057443983e88585179d50551afe62"
#define CLOUD_IMAGE_BODY                                                                           \
    "{'id':'" CLOUD_IMAGE "','name':'x','disk_format':'raw','container_format':'bare',"            \
    "'visibility':'public'}"
#define CLOUD_INSTANCES_MAX 6 /* a project's quota */
/* Each larger than the one before. */
#define CLOUD_FLAVORS 3
extern const char *const cloud_flavors[CLOUD_FLAVORS];

struct cloud {
    struct store *store;
    struct api *api;
    struct http_app app;
    struct cloud_project {
        char token[8]; /* is its id too */
        char network[CLOUD_NETWORKS][40], subnet[CLOUD_NETWORKS][40], router[40];
        char port[40]; /* made by the user, of the first network */
    } projects[CLOUD_PROJECTS];
    char external[40];
    char dir[40]; /* of all files */
};

/* Empty but for the tenants' networks: the first has a router to the external one. */
MUST_USE struct err *cloud_open(struct ctx *cx, struct cloud *c);
void cloud_close(struct cloud *c);

/* That image's row, made from its body, is as if the byte had been uploaded. */
MUST_USE struct err *cloud_upload(struct ctx *cx, struct store *s);

/* A host sends an image's bytes: ERR_NOT_FOUND when nobody asked it to. */
MUST_USE struct err *cloud_take_export(struct ctx *cx, struct cloud *c, const char *host_id,
                                       const char *image_id);

/* A request; body_fmt (NULL: none) with single quotes for double ones. Returns the status; *ret
 * (may be NULL) is the answer's body, or NULL if it has none. */
int cloud_call(struct ctx *cx, struct cloud *c, const char *token, const char *method,
               const char *target, json_t **ret, const char *body_fmt, ...) PRINTF_LIKE(7, 8);
/* The user's networks and all else that isn't servers or volumes goes. */
MUST_USE struct err *cloud_clear(struct ctx *cx, struct cloud *c);
