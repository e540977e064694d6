/* SPDX-License-Identifier: EUPL-1.2 */
/* The image service, put together from topics.def; its settings. */
#include "fleet/fleet.h"
#include "image/metadefs.h"
#include <sys/stat.h>

static struct image_config settings;

struct err *image_configure(struct ctx *cx, const struct image_config *cfg)
{
    static const struct fleet_kind exports = {
        .name = "export", .view = export_view, .list = exports_on, .report = export_report};
    static const struct fleet_upload upload = {
        .begin = export_upload_begin, .settle = image_upload_settle, .end = image_upload};
    settings = *cfg;
    fleet_add_kind(&exports);
    fleet_set_upload(&upload);
    if (mkdir(cfg->dir, 0700) < 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the image store %s: %m", cfg->dir);
    return NULL;
}

const struct image_config *image_settings(void)
{
    return &settings;
}

/* ---------------------------------------------------------------- tables */

#define V2 "/image/v2"
#define IMAGE V2 "/images/{image_id}"
#define METADEF V2 "/metadefs/namespaces/{namespace}"
#define OF_IMAGE .target = &image_resource, .target_param = "image_id"

static const struct route routes[] = {
#define API(method, path, handler, ...) ROUTE(method, path, handler, __VA_ARGS__),
#include "image/topics.def"
};
static const struct resource *const resources[] = {
#define TABLE(name) &name##_resource,
#include "image/topics.def"
};
static const struct quota quotas[] = {
#define QUOTA(name, dflt, usage) {name, dflt, usage},
#include "image/topics.def"
};
static const struct stmt *const stmts[] = {
#define STMT(name) &name,
#include "image/topics.def"
};
static const struct res_where *const wheres[] = {
#define ROWS(name) &name,
#include "image/topics.def"
};

const struct service image_service = {
    .name = "image",
    .family = &family_image,
    SERVICE_LIST(resources, resources),
    SERVICE_LIST(routes, routes),
    SERVICE_LIST(stmts, stmts),
    SERVICE_LIST(wheres, wheres),
    SERVICE_LIST(quotas, quotas),
};
