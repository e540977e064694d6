/* SPDX-License-Identifier: EUPL-1.2 */
/* Regions, services and endpoints, and the catalogue that tokens carry. */
#include "identity/resources.h"

const struct stmt stmt_catalog = {
    "catalog", "SELECT s.id, s.type, s.name, e.id, e.interface, e.region_id, e.url FROM services s "
               "LEFT JOIN endpoints e ON e.service_id = s.id AND e.enabled = 1 WHERE s.enabled = 1 "
               "ORDER BY s.type, s.id, e.interface, e.id"};
const struct stmt stmt_region_used = {
    "region_used", "SELECT (SELECT count(*) FROM endpoints WHERE region_id = $1) + (SELECT "
                   "count(*) FROM regions WHERE parent_region_id = $1)"};
const struct stmt stmt_endpoints_forget = {"endpoints_forget",
                                           "DELETE FROM endpoints WHERE service_id = $1"};

/* "/volume/v3/%(project_id)s" → "http://host:port/volume/v3/<id>" */
static const char *expand(struct ctx *cx, const char *url, const char *base_url,
                          const char *project_id)
{
    static const char *const holes[] = {"%(project_id)s", "$(project_id)s", "%(tenant_id)s",
                                        "$(tenant_id)s"};
    const char *text = *url == '/' ? arena_printf(cx->arena, "%s%s", base_url, url) : url;
    for (size_t i = 0; i < ARRAY_LEN(holes); i++) {
        const char *hole = strstr(text, holes[i]);
        if (hole && project_id)
            text = arena_printf(cx->arena, "%.*s%s%s", (int)(hole - text), text, project_id,
                                hole + strlen(holes[i]));
    }
    return text;
}

void endpoint_url_encode(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    const struct endpoint *e = row;
    const struct call *c = v->call;
    jw_str(w, expand(cx, e->url, c->rq->base_url, NULL));
}

struct err *catalog_write(struct ctx *cx, struct tx *tx, const char *project_id,
                          const char *base_url, struct jw *w)
{
    struct db_rows rows;
    const char *open = NULL;
    TRY(db_query(cx, tx, &stmt_catalog, NULL, 0, &rows));
    jw_arr(w);
    for (size_t i = 0; i < rows.n_rows; i++) {
        if (!str_eq(open, db_text(&rows, i, 0))) {
            if (open) {
                jw_arr_end(w);
                jw_obj_end(w);
            }
            open = db_text(&rows, i, 0);
            jw_obj(w);
            jw_kstr(w, "id", open);
            jw_kstr(w, "type", db_text(&rows, i, 1));
            jw_kstr(w, "name", db_text(&rows, i, 2));
            jw_karr(w, "endpoints");
        }
        if (!db_text(&rows, i, 3))
            continue;
        jw_obj(w);
        jw_kstr(w, "id", db_text(&rows, i, 3));
        jw_kstr(w, "interface", db_text(&rows, i, 4));
        jw_kstr(w, "region_id", db_text(&rows, i, 5));
        jw_kstr(w, "url", expand(cx, db_text(&rows, i, 6), base_url, project_id));
        jw_kstr(w, "region", db_text(&rows, i, 5));
        jw_obj_end(w);
    }
    if (open) {
        jw_arr_end(w);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return NULL;
}

struct err *auth_catalog(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "catalog");
    TRY(catalog_write(c->cx, c->tx, c->actor->project_id, c->rq->base_url, &w));
    jw_kobj(&w, "links");
    jw_kstr(&w, "self", arena_printf(c->cx->arena, "%s/auth/catalog", call_base_url(c)));
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* Regions, services and endpoints differ by their tables only. */
struct err *catalog_list(struct call *c)
{
    return call_reply_list(c, c->route->list, NULL);
}

static struct err *references_exist(struct call *c, const void *row)
{
    void *found;
    if (c->route->body == &region_resource) {
        const struct region *r = row;
        if (r->parent_region_id && str_eq(r->parent_region_id, r->id))
            return fail(c->cx, ERR_INVALID, "The region %s can't be its own parent", r->id);
        return r->parent_region_id
                   ? res_find(c->cx, c->tx, &region_resource, r->parent_region_id, &found)
                   : NULL;
    }
    if (c->route->body != &endpoint_resource)
        return NULL;
    const struct endpoint *e = row;
    TRY(res_find(c->cx, c->tx, &catalog_service_resource, e->service_id, &found));
    return e->region_id ? res_find(c->cx, c->tx, &region_resource, e->region_id, &found) : NULL;
}

struct err *catalog_create(struct call *c)
{
    const struct resource *res = c->route->body;
    const char **id = (const char **)(void *)((char *)c->body + res->fields[0].offset);
    void *other = NULL;
    if (!*id)
        *id = uuid_new_hex(c->cx);
    TRY(references_exist(c, c->body));
    TRY(res_get(c->cx, c->tx, res, *id, &other));
    if (other)
        return fail(c->cx, ERR_EXISTS,
                    "Conflict occurred attempting to store %s - Duplicate ID, %s.", res->name, *id);
    c->audit_target = *id;
    TRY(res_insert(c->cx, c->tx, res, c->body));
    return call_reply_row(c, 201, res, c->body);
}

struct err *catalog_show(struct call *c)
{
    return call_reply_row(c, 200, c->route->target, c->target);
}

struct err *catalog_update(struct call *c)
{
    TRY(references_exist(c, c->body));
    TRY(res_update(c->cx, c->tx, c->route->body, c->body));
    return call_reply_row(c, 200, c->route->body, c->body);
}

struct err *catalog_delete(struct call *c)
{
    TRY(res_delete(c->cx, c->tx, c->route->target, c->target));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *region_delete(struct call *c)
{
    struct db_rows rows;
    struct db_value param = V_TEXT(((struct region *)c->target)->id);
    TRY(db_query(c->cx, c->tx, &stmt_region_used, &param, 1, &rows));
    if (db_int(&rows, 0, 0))
        return fail(c->cx, ERR_IN_USE,
                    "The region still has endpoints or regions below it: delete them first");
    return catalog_delete(c);
}

struct err *service_delete(struct call *c)
{
    TRY(db_run(c->cx, c->tx, &stmt_endpoints_forget,
               V_TEXT(((struct catalog_service *)c->target)->id)));
    return catalog_delete(c);
}
