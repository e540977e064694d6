/* SPDX-License-Identifier: EUPL-1.2 */
/* A project among those above and below it. */
#include "identity/resources.h"

/* From the project $1 upwards, as far as the domain $2, which is not counted. */
const struct stmt stmt_parents = {
    "parents",
    "WITH RECURSIVE up(id, parent_id, n) AS (SELECT id, parent_id, 1 FROM projects WHERE "
    "id = $1 UNION SELECT p.id, p.parent_id, up.n + 1 FROM projects p JOIN up ON p.id = "
    "up.parent_id) SELECT id FROM up WHERE id <> $2 ORDER BY n"};
const struct res_where project_children = {&project_resource, "parent_id = $1", "name"};
const struct res_where project_subtree = {
    &project_resource,
    "id IN (WITH RECURSIVE below(id) AS (SELECT id FROM projects WHERE parent_id = $1 UNION SELECT "
    "p.id FROM projects p JOIN below b ON p.parent_id = b.id) SELECT id FROM below)",
    "name"};

struct err *project_parents(struct ctx *cx, struct tx *tx, const char *from, const char *domain_id,
                            const char *const **ret)
{
    const struct db_value params[] = {V_TEXT(from), V_TEXT(domain_id)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_parents, params, 2, &rows));
    const char **list = arena_new_array(cx->arena, const char *, rows.n_rows + 1);
    for (size_t i = 0; i < rows.n_rows; i++)
        list[i] = db_text(&rows, i, 0);
    *ret = list;
    return NULL;
}

/* ---------------------------------------------------------------- shown with the project */

static bool asked(const struct call *c, const char *name)
{
    const char *text = http_arg(c->rq, name);
    bool b = true;
    return text && (!str_to_bool(text, &b) || b);
}

/* {"a": {"b": null}}: each with the one above it. */
static void parents_as_ids(struct jw *w, const char *const *above, const char *domain_id)
{
    int depth = 0;
    for (; *above; above++, depth++)
        jw_kobj(w, *above);
    jw_knull(w, domain_id);
    while (depth-- > 0)
        jw_obj_end(w);
}

/* {"a": {"b": null}, "c": null} */
static void subtree_as_ids(struct jw *w, void *const *rows, size_t n, const char *of)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const struct project *p = rows[i];
        if (!str_eq(p->parent_id, of))
            continue;
        if (!any)
            jw_obj(w);
        any = true;
        jw_key(w, p->id);
        subtree_as_ids(w, rows, n, p->id);
    }
    if (any)
        jw_obj_end(w);
    else
        jw_null(w);
}

static bool is_mine(const struct db_rows *mine, const char *id)
{
    for (size_t i = 0; i < mine->n_rows; i++)
        if (str_eq(db_text(mine, i, 0), id))
            return true;
    return false;
}

/* Of a list only what the actor has a role on, administrators too. */
static void write_list(struct call *c, struct jw *w, const char *key, void *const *rows, size_t n,
                       const struct db_rows *mine)
{
    struct view v = call_view(c);
    jw_karr(w, key);
    for (size_t i = 0; i < n; i++) {
        if (!is_mine(mine, ROW(project, rows, i)->id))
            continue;
        jw_obj(w);
        jw_key(w, "project");
        res_encode(c->cx, w, &project_resource, rows[i], &v);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

static struct err *parents_as_list(struct call *c, struct jw *w, const char *const *above,
                                   const struct db_rows *mine)
{
    void *rows[16];
    size_t n = 0;
    for (; *above && n < ARRAY_LEN(rows); above++)
        TRY(res_find(c->cx, c->tx, &project_resource, *above, &rows[n++]));
    write_list(c, w, "parents", rows, n, mine);
    return NULL;
}

static struct err *write_tree(struct call *c, struct project *p)
{
    const struct db_value user = V_TEXT(c->actor->user_id);
    const char *const *above;
    struct db_rows mine;
    struct jw w;
    struct buf b;
    void **below;
    size_t n;
    buf_init(&b, c->cx->arena);
    jw_init(&w, &b);
    TRY(db_query(c->cx, c->tx, &stmt_user_project_ids, &user, 1, &mine));
    TRY(project_parents(c->cx, c->tx, p->parent_id, p->domain_id, &above));
    TRY(res_select_by(c->cx, c->tx, &project_subtree, &below, &n, V_TEXT(p->id)));
    jw_obj(&w);
    if (asked(c, "parents_as_list"))
        TRY(parents_as_list(c, &w, above, &mine));
    if (asked(c, "parents_as_ids")) {
        jw_kobj(&w, "parents");
        parents_as_ids(&w, above, p->domain_id);
        jw_obj_end(&w);
    }
    if (asked(c, "subtree_as_list"))
        write_list(c, &w, "subtree", below, n, &mine);
    if (asked(c, "subtree_as_ids")) {
        jw_key(&w, "subtree");
        subtree_as_ids(&w, below, n, p->id);
    }
    jw_obj_end(&w);
    p->row.extra = (void *)(uintptr_t)buf_cstr(&b);
    return NULL;
}

/* Who has a role on it sees it, and administrators. */
static struct err *may_see(struct call *c, const char *id)
{
    struct role_set roles;
    if (c->actor->admin || str_eq(c->actor->project_id, id))
        return NULL;
    TRY(roles_of(c->cx, c->tx, c->actor->user_id, "project", id, &roles));
    return roles.n ? NULL : identity_forbidden(c);
}

struct err *project_visible(struct call *c, struct project **ret)
{
    TRY(may_see(c, call_param(c, "project_id")));
    return project_find(c, call_param(c, "project_id"), ret);
}

struct err *project_show(struct call *c)
{
    struct project *p;
    TRY(project_visible(c, &p));
    if ((asked(c, "parents_as_list") && asked(c, "parents_as_ids")) ||
        (asked(c, "subtree_as_list") && asked(c, "subtree_as_ids")))
        return fail(c->cx, ERR_INVALID,
                    "Cannot use both the list and the ids form of one hierarchy at the same time.");
    if (!p->is_domain)
        TRY(write_tree(c, p));
    return call_reply_row(c, 200, &project_resource, p);
}
