/* SPDX-License-Identifier: EUPL-1.2 */
/* For the volume service's tests: the service with fleet, fake images, and hosts that are played.
 */
#pragma once

#include "resource/test_api.h"
#include "volume/impl.h"

#define V3 "/volume/v3"
#define IMAGE_OK "bbbbbbbb-0000-4000-8000-000000000001"
#define IMAGE_QUEUED "bbbbbbbb-0000-4000-8000-000000000002"
#define IMAGE_BIG "bbbbbbbb-0000-4000-8000-000000000003" /* 3 GiB */
#define IMAGE_P2 "bbbbbbbb-0000-4000-8000-000000000004"  /* private to project p2 */
#define SERVER_A "cccccccc-0000-4000-8000-000000000001"
#define SERVER_B "cccccccc-0000-4000-8000-000000000002"

struct volume_world {
    struct test_api t;
    const char *host_id[4];
    size_t n_hosts;
};
/* n_hosts with this much disk each, named h0, h1 … */
void vworld_start(struct volume_world *w, size_t n_hosts, int64_t disk_gib);
void vworld_stop(struct volume_world *w);
/* What the host's agent would say, through the protocol's door; body_fmt with single quotes.
 * {R} is the item's latest revision there. */
void vworld_report(struct volume_world *w, const char *volume_id, const char *body_fmt, ...)
    PRINTF_LIKE(3, 4);
/* The same of another host than the volume's. */
void vworld_report_by(struct volume_world *w, const char *host_id, const char *volume_id,
                      const char *body_fmt, ...) PRINTF_LIKE(4, 5);
/* The host does all that is asked of this volume, and says so. */
void vworld_obey(struct volume_world *w, const char *volume_id);
/* The image service has the volume's data (error NULL), or not; how many exports were given up. */
void vworld_exported(struct volume_world *w, const char *volume_id, const char *error);
size_t vworld_cancelled(void);
/* What the image service is told when it shall delete one. */
bool vworld_image_used(struct volume_world *w, const char *image_id);
/* The spec that its host gets for the volume; NULL: it is no longer wanted there. */
const json_t *vworld_spec(struct volume_world *w, const char *volume_id);
/* … that this host gets. */
const json_t *vworld_spec_of(struct volume_world *w, const char *host_id, const char *volume_id);
/* The first hosts share storage from here on. */
void vworld_share(struct volume_world *w, size_t n_hosts, int64_t gib);
#define VWORLD_POOL "dddddddd-0000-4000-8000-000000000001"
const char *vworld_host_of(struct volume_world *w, const char *volume_id);
/* Of the host's latest word about it; 0: none. */
int64_t vworld_revision(struct volume_world *w, const char *host_id, const char *volume_id);
/* Rows that the statement gives; the statement run. */
size_t vworld_count(struct volume_world *w, const char *sql);
void vworld_run(struct volume_world *w, const char *sql);
/* All deadlines that are set have passed by now; how many rows moved. */
size_t vworld_expire(struct volume_world *w);
const char *vpath(struct volume_world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Makes a volume of 1 GiB and returns its id; the same, made. */
const char *vworld_volume(struct volume_world *w, const char *project);
const char *vworld_ready(struct volume_world *w, const char *project);
/* "404" when there is none. */
const char *vworld_status(struct volume_world *w, const char *volume_id);
/* As compute would: runs fn in a transaction with an actor of the project. */
typedef struct err *vworld_fn(struct call *c, void *arg);
struct err *vworld_as(struct volume_world *w, const char *project, vworld_fn *fn, void *arg);
