/* SPDX-License-Identifier: EUPL-1.2 */
/* The catalogue that tokens carry. */
#include "identity/resources.h"

/* For the project $1 ('': none): what was chosen for it, or everything. */
const struct stmt stmt_catalog = {
    "catalog",
    "WITH chosen(id) AS (SELECT endpoint_id FROM project_endpoints WHERE project_id = $1 UNION "
    "SELECT e.id FROM project_endpoint_groups p JOIN endpoint_groups g ON g.id = p.group_id JOIN "
    "endpoints e ON (g.service_id IS NULL OR g.service_id = e.service_id) AND (g.region_id IS NULL "
    "OR g.region_id = e.region_id) AND (g.interface IS NULL OR g.interface = e.interface) WHERE "
    "p.project_id = $1) "
    "SELECT s.id, s.type, s.name, e.id, e.interface, e.region_id, e.url FROM services s LEFT JOIN "
    "endpoints e ON e.service_id = s.id AND e.enabled = 1 AND (e.id IN (SELECT id FROM chosen) OR "
    "NOT EXISTS (SELECT 1 FROM chosen)) WHERE s.enabled = 1 AND (e.id IS NOT NULL OR NOT EXISTS "
    "(SELECT 1 FROM chosen)) ORDER BY s.type, s.id, e.interface, e.id"};

const char *catalog_url(struct ctx *cx, const char *url, const char *base_url,
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

struct err *catalog_write(struct ctx *cx, struct tx *tx, const char *project_id,
                          const char *base_url, struct jw *w)
{
    struct db_rows rows;
    const char *open = NULL;
    const struct db_value project = V_TEXT(project_id ? project_id : "");
    TRY(db_query(cx, tx, &stmt_catalog, &project, 1, &rows));
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
        jw_kstr(w, "url", catalog_url(cx, db_text(&rows, i, 6), base_url, project_id));
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
