/* SPDX-License-Identifier: EUPL-1.2 */
/* The identity service, put together from topics.def; its settings and version documents. */
#include "identity/resources.h"

static struct identity_config settings = {
    .region = "RegionOne", .token_ttl_s = 3600, .argon2_mem_kib = 19456, .argon2_ops = 2};

void identity_configure(const struct identity_config *cfg)
{
    settings = *cfg;
}

const struct identity_config *identity_settings(void)
{
    return &settings;
}

/* ---------------------------------------------------------------- versions */

static void version_body(struct call *c, struct jw *w)
{
    jw_obj(w);
    jw_kstr(w, "id", "v3.14");
    jw_kstr(w, "status", "stable");
    jw_kstr(w, "updated", "2020-04-07T00:00:00Z");
    jw_karr(w, "links");
    jw_obj(w);
    jw_kstr(w, "rel", "self");
    jw_kstr(w, "href", arena_printf(c->cx->arena, "%s/identity/v3/", c->rq->base_url));
    jw_obj_end(w);
    jw_arr_end(w);
    jw_kraw(w, "media-types",
            "[{\"base\":\"application/json\",\"type\":\"application/"
            "vnd.openstack.identity-v3+json\"}]");
    jw_obj_end(w);
}

struct err *identity_versions(struct call *c)
{
    struct jw w = call_json(c, 300);
    jw_obj(&w);
    jw_kobj(&w, "versions");
    jw_karr(&w, "values");
    version_body(c, &w);
    jw_arr_end(&w);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *identity_version(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "version");
    version_body(c, &w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- tables */

#define V3 "/identity/v3"

static const struct route routes[] = {
#define API(method, path, handler, ...) ROUTE(method, path, handler, __VA_ARGS__),
#include "identity/topics.def"
};
static const struct resource *const resources[] = {
#define TABLE(name) &name##_resource,
#include "identity/topics.def"
};
static const struct res_where *const wheres[] = {
#define ROWS(name) &name,
#include "identity/topics.def"
};
static const struct stmt *const stmts[] = {
#define STMT(name) &name,
#include "identity/topics.def"
};
static const char ddl[] = ""
#define DDL(text) text
#include "identity/topics.def"
    ;

const struct service identity_service = {
    .name = "identity",
    .family = &family_identity,
    SERVICE_LIST(resources, resources),
    SERVICE_LIST(routes, routes),
    SERVICE_LIST(wheres, wheres),
    SERVICE_LIST(stmts, stmts),
    .ddl = ddl,
};
