/* SPDX-License-Identifier: EUPL-1.2 */
/* See cloud.h. */
#include "sim/cloud.h"
#include <ftw.h>

/* Volumes in use grow since 3.42, and detach by force is no volume's version. */
#define VERSIONS "volume 3.59"

const char *const cloud_flavors[CLOUD_FLAVORS] = {"small", "medium", "large"};

/* ---- calls ---- */

static struct err *authenticate(struct ctx *cx UNUSED, struct tx *tx UNUSED, const char *token,
                                struct actor *ret)
{
    static const char *const roles[] = {"admin", "member", "reader", NULL};
    bool admin = str_eq(token, "admin");
    *ret = (struct actor){.user_id = token,
                          .user_name = token,
                          .project_id = token,
                          .project_name = token,
                          .roles = admin ? roles : roles + 1,
                          .token = token,
                          .admin = admin,
                          .member = true};
    return NULL;
}

int cloud_call(struct ctx *cx, struct cloud *c, const char *token, const char *method,
               const char *target, json_t **ret, const char *body_fmt, ...)
{
    struct http_pair headers[] = {{"X-Auth-Token", token}, {"OpenStack-API-Version", VERSIONS}};
    struct http_reply reply;
    char *body = NULL;
    if (body_fmt) {
        va_list ap;
        va_start(ap, body_fmt);
        body = arena_vprintf(cx->arena, body_fmt, ap);
        va_end(ap);
        for (char *p = body; *p; p++)
            if (*p == '\'')
                *p = '"';
    }
    struct err *e =
        http_call_here(cx, &c->app, method, target, headers, ARRAY_LEN(headers), body, &reply);
    must(!e);
    cx->request_id = NULL; /* it went with the request */
    if (ret)
        *ret = NULL;
    if (ret && reply.body.len)
        e = json_read(cx, buf_cstr(&reply.body), reply.body.len, ret);
    must(!e);
    return reply.status;
}

/* ---- what there is before the first step ---- */

#define NW "/network/v2.0/"

/* Makes one thing; its id. */
static struct err *make(struct ctx *cx, struct cloud *c, const char *token, const char *kind,
                        const char *members, char ret_id[static 40])
{
    json_t *j = NULL;
    int status = cloud_call(cx, c, token, "POST", arena_printf(cx->arena, NW "%ss", kind), &j,
                            "{'%s':{%s}}", kind, members);
    const char *id = json_get_str(json_get(j, kind), "id");
    if (status != 201 || !id)
        return fail(cx, ERR_INVALID, "%s: %d %s", kind, status, j ? json_text(cx, j) : "");
    snprintf(ret_id, 40, "%s", id);
    return NULL;
}

static struct err *expect(struct ctx *cx, int status, int wanted, const char *what)
{
    return status == wanted ? NULL : fail(cx, ERR_INVALID, "%s: %d", what, status);
}

static struct err *make_project(struct ctx *cx, struct cloud *c, struct cloud_project *p)
{
    for (size_t i = 0; i < CLOUD_NETWORKS; i++) {
        TRY(make(cx, c, p->token, "network", "'name':'n'", p->network[i]));
        TRY(make(cx, c, p->token, "subnet",
                 arena_printf(cx->arena, "'network_id':'%s','ip_version':4,'cidr':'10.0.0.0/28'",
                              p->network[i]),
                 p->subnet[i]));
    }
    TRY(make(cx, c, p->token, "router",
             arena_printf(cx->arena, "'name':'r','external_gateway_info':{'network_id':'%s'}",
                          c->external),
             p->router));
    TRY(expect(cx,
               cloud_call(cx, c, p->token, "PUT",
                          arena_printf(cx->arena, NW "routers/%s/add_router_interface", p->router),
                          NULL, "{'subnet_id':'%s'}", p->subnet[0]),
               200, "add_router_interface"));
    TRY(make(cx, c, p->token, "port", arena_printf(cx->arena, "'network_id':'%s'", p->network[0]),
             p->port));
    return expect(cx,
                  cloud_call(cx, c, "admin", "PUT",
                             arena_printf(cx->arena, "/compute/v2.1/os-quota-sets/%s", p->token),
                             NULL, "{'quota_set':{'instances':%d}}", CLOUD_INSTANCES_MAX),
                  200, "quota");
}

static const struct stmt image_active = {
    "sim_image", "UPDATE images SET status = 'active', size = 1, virtual_size = 1, os_hash_value = "
                 "'" CLOUD_IMAGE_SHA512 "' WHERE id = '" CLOUD_IMAGE "'"};

struct err *cloud_upload(struct ctx *cx, struct store *s)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(cx, s, &tx));
    TRY(db_exec(cx, tx, &image_active, NULL, 0, NULL));
    return tx_commit(cx, &tx);
}

static struct err *make_image(struct ctx *cx, struct cloud *c)
{
    int status = cloud_call(cx, c, "admin", "POST", "/image/v2/images", NULL, CLOUD_IMAGE_BODY);
    TRY(expect(cx, status, 201, "image"));
    return cloud_upload(cx, c->store);
}

static const struct stmt export_done = {
    "sim_export", "UPDATE images SET status = 'active', size = 1, virtual_size = 1 WHERE id = $1 "
                  "AND EXISTS (SELECT 1 FROM image_exports x WHERE x.id = $1 AND x.host_id = $2 "
                  "AND x.held = 0)"};
static const struct stmt export_there = {
    "sim_export_there", "SELECT 1 FROM image_exports WHERE id = $1 AND host_id = $2 AND held = 0"};

struct err *cloud_take_export(struct ctx *cx, struct cloud *c, const char *host_id,
                              const char *image_id)
{
    AUTO_TXN struct tx *tx = NULL;
    const struct db_value params[] = {V_TEXT(image_id), V_TEXT(host_id)};
    struct db_rows rows;
    TRY(tx_write(cx, c->store, &tx));
    TRY(db_query(cx, tx, &export_there, params, 2, &rows));
    if (!rows.n_rows)
        return fail(cx, ERR_NOT_FOUND, "No export of image %s", image_id);
    TRY(db_exec(cx, tx, &export_done, params, 2, NULL));
    return tx_commit(cx, &tx);
}

static struct err *make_flavors(struct ctx *cx, struct cloud *c)
{
    for (int i = 0; i < CLOUD_FLAVORS; i++) {
        const char *name = cloud_flavors[i];
        int status = cloud_call(cx, c, "admin", "POST", "/compute/v2.1/flavors", NULL,
                                "{'flavor':{'id':'%s','name':'%s','vcpus':1,'ram':%d,'disk':%d}}",
                                name, name, 64 << i, 1 << i);
        TRY(expect(cx, status, 200, "flavor"));
    }
    return NULL;
}

static struct err *bootstrap(struct ctx *cx, struct cloud *c)
{
    const struct network_bootstrap external = {"public", "203.0.113.0/24", "203.0.113.1", "admin"};
    const char *id;
    TRY(compute_bootstrap(cx, c->store));
    TRY(volume_bootstrap(cx, c->store));
    TRY(make_flavors(cx, c));
    TRY(make_image(cx, c));
    TRY(network_bootstrap(cx, c->store, &external, &id));
    snprintf(c->external, sizeof(c->external), "%s", id);
    for (size_t i = 0; i < CLOUD_PROJECTS; i++) {
        snprintf(c->projects[i].token, sizeof(c->projects[i].token), "p%zu", i);
        TRY(make_project(cx, c, &c->projects[i]));
    }
    return NULL;
}

struct err *cloud_open(struct ctx *cx, struct cloud *c)
{
    static const struct service *const services[] = {&engine_service, &fleet_service,
                                                     &image_service,  &network_service,
                                                     &volume_service, &compute_service};
    static const struct api_hooks hooks = {.authenticate = authenticate};
    static const struct api_config cfg = {.region = "RegionOne"};
    static const struct compute_config compute = {.default_zone = "nova"};
    snprintf(c->dir, sizeof(c->dir), "/tmp/colvert-sim-XXXXXX");
    if (!mkdtemp(c->dir))
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder '%s': %m", c->dir);
    const struct image_config images = {.dir = c->dir, .size_max_bytes = 1 << 20};
    TRY(store_open(cx, "sqlite::memory:", 1, &c->store));
    TRY(image_configure(cx, &images));
    network_configure(&(struct network_config){.default_mtu = 1450});
    volume_configure(&(struct volume_config){.used_elsewhere = compute_disk_by_host});
    compute_configure(&compute);
    c->api = api_new(c->store, services, ARRAY_LEN(services), &hooks, &cfg);
    c->app = api_app(c->api);
    struct migration first = {1, "first", api_ddl(cx, services, ARRAY_LEN(services))};
    TRY(store_migrate(cx, c->store, &first, 1));
    return bootstrap(cx, c);
}

static int remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED,
                      struct FTW *ftw UNUSED)
{
    return remove(path);
}

void cloud_close(struct cloud *c)
{
    if (c->dir[0])
        nftw(c->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    api_free(c->api);
    store_close(c->store);
}

static struct err *drop(struct ctx *cx, struct cloud *c, const char *token, const char *kind,
                        const char *id)
{
    int status = cloud_call(cx, c, token, "DELETE", arena_printf(cx->arena, NW "%ss/%s", kind, id),
                            NULL, NULL);
    return expect(cx, status, 204, arena_printf(cx->arena, "delete of %s %s", kind, id));
}

struct err *cloud_clear(struct ctx *cx, struct cloud *c)
{
    for (size_t i = 0; i < CLOUD_PROJECTS; i++) {
        struct cloud_project *p = &c->projects[i];
        TRY(drop(cx, c, p->token, "port", p->port));
        TRY(expect(
            cx,
            cloud_call(cx, c, p->token, "PUT",
                       arena_printf(cx->arena, NW "routers/%s/remove_router_interface", p->router),
                       NULL, "{'subnet_id':'%s'}", p->subnet[0]),
            200, "remove_router_interface"));
        TRY(drop(cx, c, p->token, "router", p->router));
        for (size_t k = 0; k < CLOUD_NETWORKS; k++)
            TRY(drop(cx, c, p->token, "network", p->network[k]));
    }
    return drop(cx, c, "admin", "network", c->external);
}
