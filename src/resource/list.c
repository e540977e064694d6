/* SPDX-License-Identifier: EUPL-1.2 */
/* Lists: the query's filters, sort keys, limit and marker become one keyset-paged SELECT; the
 * family shapes the reply. */
#include "resource/list.h"

/* ---------------------------------------------------------------- where and order */

static void scope(struct list *l)
{
    const struct family *fam = l->c->service->family;
    if (l->more->all_projects || l->res->owner < 0)
        return;
    bool sees_all = fam->paging == PAGING_COMPUTE ? l->all : true;
    if (l->c->actor->admin && sees_all)
        return;
    const char *owner = l->res->fields[l->res->owner].member;
    const char *project =
        list_param(l, V_TEXT(l->c->actor->project_id ? l->c->actor->project_id : ""));
    if (l->more->shared_where)
        list_and(l, arena_printf(l->c->cx->arena, "%s = %s OR %s", owner, project,
                                 list_bound(l, l->more->shared_where, NULL)));
    else
        list_and(l, arena_printf(l->c->cx->arena, "%s = %s", owner, project));
}

/* A sortable expression without NULLs: markers compare with it. */
static const char *sort_expr(struct list *l, const struct field *f)
{
    if (!(f->flags & F_NULL))
        return f->member;
    bool text = f->kind == KIND_STR || f->kind == KIND_UUID;
    return arena_printf(l->c->cx->arena, "COALESCE(%s, %s)", f->member, text ? "''" : "-1");
}

static struct db_value sort_value(struct list *l, const struct field *f, const void *row)
{
    struct db_value v = res_value(l->res, f, row);
    if (v.type == DB_NULL)
        return f->kind == KIND_STR || f->kind == KIND_UUID ? V_TEXT("") : V_INT(-1);
    return v;
}

static struct err *after_marker(struct list *l)
{
    void *row = NULL;
    struct err *e = res_find_visible(l->c->cx, l->c->tx, l->res, l->marker, l->c->actor, &row);
    if (e && e->kind == ERR_NOT_FOUND && !l->c->service->family->full_page_goes_on)
        return fail(l->c->cx, ERR_INVALID, "marker [%s] not found", l->marker);
    TRY(e);
    struct buf b;
    buf_init(&b, l->c->cx->arena);
    for (size_t i = 0; i < l->n_sort; i++) {
        buf_str(&b, i ? " OR (" : "(");
        for (size_t k = 0; k <= i; k++) {
            const struct sort_key *s = &l->sort[k];
            bool desc = s->desc != l->reverse;
            buf_printf(&b, "%s%s %s %s", k ? " AND " : "", sort_expr(l, s->field),
                       k < i  ? "="
                       : desc ? "<"
                              : ">",
                       list_param(l, sort_value(l, s->field, row)));
        }
        buf_char(&b, ')');
    }
    list_and(l, buf_cstr(&b));
    return NULL;
}

static const char *select_sql(struct list *l)
{
    struct buf b;
    buf_init(&b, l->c->cx->arena);
    buf_printf(&b, "SELECT %s FROM %s", l->read.columns, l->res->table);
    if (l->where.len)
        buf_printf(&b, " WHERE %s", buf_cstr(&l->where));
    for (size_t i = 0; i < l->n_sort; i++)
        buf_printf(&b, "%s%s%s", i ? ", " : " ORDER BY ", sort_expr(l, l->sort[i].field),
                   l->sort[i].desc != l->reverse ? " DESC" : "");
    if (l->limit >= 0 && !l->more->keep)
        buf_printf(&b, " LIMIT %s", list_param(l, V_INT(l->limit + l->offset + 1)));
    return buf_cstr(&b);
}

static struct err *take_row(struct ctx *cx, const struct db_value *cells, size_t n, void *arg)
{
    struct list *l = arg;
    if (l->limit >= 0 && l->n_rows > (size_t)l->limit)
        return NULL;
    void *row = res_row_from(cx, l->res, &l->read, cells, n);
    if (l->more->keep && !l->more->keep(l->c, row))
        return NULL;
    if (l->offset > 0) {
        l->offset--;
        return NULL;
    }
    if (l->n_rows == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 32;
        void **rows = arena_new_array(cx->arena, void *, cap);
        if (l->n_rows)
            memcpy(rows, l->rows, l->n_rows * sizeof(*rows));
        l->rows = rows;
        l->cap = cap;
    }
    l->rows[l->n_rows++] = row;
    return NULL;
}

/* ---------------------------------------------------------------- count */

static struct err *count_row(struct ctx *cx, const struct db_value *cells, size_t n, void *arg)
{
    struct list *l = arg;
    if (!l->more->keep)
        l->total = cells[0].i;
    else if (l->more->keep(l->c, res_row_from(cx, l->res, &l->read, cells, n)))
        l->total++;
    return NULL;
}

/* Before the marker narrows it. */
static struct err *count(struct list *l)
{
    struct ctx *cx = l->c->cx;
    struct stmt st = {.name = "count",
                      .sql = arena_printf(cx->arena, "SELECT %s FROM %s%s%s",
                                          l->more->keep ? l->read.columns : "COUNT(*)",
                                          l->res->table, l->where.len ? " WHERE " : "",
                                          l->where.len ? buf_cstr(&l->where) : "")};
    return l->too_many ? NULL : db_each(cx, l->c->tx, &st, l->params, l->n_params, count_row, l);
}

/* ---------------------------------------------------------------- reply */

static const char *query_without_marker(struct list *l)
{
    struct buf b;
    buf_init(&b, l->c->cx->arena);
    char **parts;
    size_t n = str_split(l->c->cx, l->c->rq->query, '&', &parts);
    for (size_t i = 0; i < n; i++)
        if (*parts[i] && !str_starts(parts[i], "marker=") &&
            !str_starts(parts[i], "page_reverse=") && !str_starts(parts[i], "offset="))
            buf_printf(&b, "%s&", parts[i]);
    return buf_cstr(&b);
}

/* The row's key as it stands in a query: names may hold anything. */
static const char *row_id(struct list *l, size_t i)
{
    struct db_value v = res_value(l->res, list_key(l->res), l->rows[i]);
    return v.type == DB_INT ? arena_printf(l->c->cx->arena, "%" PRId64, v.i)
                            : str_url(l->c->cx, v.s);
}

static const char *page_link(struct list *l, const char *prefix, const char *marker, bool reverse)
{
    return arena_printf(l->c->cx->arena, "%s%s?%smarker=%s%s", prefix, l->c->rq->raw_path,
                        query_without_marker(l), marker, reverse ? "&page_reverse=True" : "");
}

static void link_item(struct jw *w, const char *rel, const char *href)
{
    jw_obj(w);
    jw_kstr(w, "rel", rel);
    jw_kstr(w, "href", href);
    jw_obj_end(w);
}

static void links(struct list *l, struct jw *w, bool more_rows)
{
    struct ctx *cx = l->c->cx;
    const struct http_request *rq = l->c->rq;
    const char *last = l->n_rows ? row_id(l, l->n_rows - 1) : NULL, *key;
    switch (l->c->service->family->paging) {
    case PAGING_COMPUTE:
    case PAGING_NETWORK:
        key = arena_printf(cx->arena, "%s_links", l->res->plural);
        bool net = l->c->service->family->paging == PAGING_NETWORK;
        if (!last || (net ? !l->limit_given || (!more_rows && !l->marker) : !more_rows))
            return;
        jw_karr(w, key);
        if (l->reverse ? l->marker != NULL : more_rows)
            link_item(w, "next", page_link(l, rq->base_url, last, false));
        if (net && (l->reverse ? more_rows : l->marker != NULL))
            link_item(w, "previous", page_link(l, rq->base_url, row_id(l, 0), true));
        jw_arr_end(w);
        return;
    case PAGING_IDENTITY:
        jw_kobj(w, "links");
        jw_kstr(w, "next", more_rows && last ? page_link(l, rq->base_url, last, false) : NULL);
        jw_kstr(w, "self",
                arena_printf(cx->arena, "%s%s%s%s", rq->base_url, rq->raw_path,
                             *rq->query ? "?" : "", rq->query));
        jw_knull(w, "previous");
        jw_obj_end(w);
        return;
    case PAGING_IMAGE: {
        /* Paths as the service itself sees them: below its mount. */
        const char *path = rq->raw_path + strlen(l->c->service->family->prefix),
                   *q = query_without_marker(l);
        size_t n = strlen(q);
        jw_kstr(w, "first",
                arena_printf(cx->arena, "%s%s%.*s", path, n ? "?" : "", n ? (int)n - 1 : 0, q));
        if (more_rows && last)
            jw_kstr(w, "next",
                    page_link(l, "", last, false) + strlen(l->c->service->family->prefix));
        jw_kstr(w, "schema",
                arena_printf(cx->arena, "/v2/schemas/%s",
                             l->res->schema ? l->res->schema : l->res->plural));
        return;
    }
    }
}

static void turn_around(struct list *l)
{
    for (size_t i = 0; i < l->n_rows / 2; i++) {
        void *row = l->rows[i];
        l->rows[i] = l->rows[l->n_rows - 1 - i];
        l->rows[l->n_rows - 1 - i] = row;
    }
}

static struct err *reply(struct list *l)
{
    struct call *c = l->c;
    bool full = l->limit > 0 && l->n_rows >= (size_t)l->limit;
    bool more_rows = l->limit >= 0 && l->n_rows > (size_t)l->limit;
    if (more_rows)
        l->n_rows = (size_t)l->limit;
    more_rows = more_rows || (full && c->service->family->full_page_goes_on);
    if (l->reverse)
        turn_around(l);
    TRY(res_prepare(c->cx, c->tx, l->res, l->rows, l->n_rows, &l->view));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, l->res->plural);
    for (size_t i = 0; i < l->n_rows; i++) {
        res_encode_by(c->cx, &w, &l->encoder, l->rows[i]);
        if (i == 0) /* rows are about as long as the first: one growth instead of many */
            buf_reserve(w.out, w.out->len * l->n_rows);
    }
    jw_arr_end(&w);
    links(l, &w, more_rows);
    if (l->more->count)
        jw_kint(&w, "count", l->total);
    jw_obj_end(&w);
    return NULL;
}

struct err *call_reply_list(struct call *c, const struct resource *res,
                            const struct list_more *more)
{
    static const struct list_more none = {0};
    const struct family *fam = c->service->family;
    struct list *l = arena_new_of(c->cx->arena, struct list);
    l->c = c;
    l->res = res;
    l->more = more ? more : &none;
    l->limit = -1;
    buf_init(&l->where, c->cx->arena);
    if (l->more->where) {
        for (size_t i = 0; i < l->more->n_params; i++)
            list_param(l, l->more->params[i]);
        list_and(l, l->more->where);
    }
    TRY(list_read_args(l));
    TRY(list_read_sort(l));
    l->view = call_view(c);
    l->view.brief = l->more->brief;
    l->view.fields = l->n_fields ? l->fields : NULL;
    l->view.n_fields = l->n_fields;
    l->encoder = res_encoder(c->cx, res, &l->view);
    l->read = res_needed(c->cx, &l->encoder, l->more->keep ? l->more->keep_needs : NULL);
    must(!l->more->keep || l->more->keep_needs || !res->needs);
    scope(l);
    if (l->limit == 0 && fam->paging == PAGING_NETWORK) /* as neutron: no limit */
        l->limit = -1;
    if (l->limit < 0 && fam->default_limit)
        l->limit = fam->default_limit;
    if (fam->max_limit)
        l->limit = min_i64(l->limit, fam->max_limit);
    if (l->more->count)
        TRY(count(l));
    if (l->marker && *l->marker)
        TRY(after_marker(l));
    struct stmt st = {.name = res->plural, .sql = select_sql(l)};
    if (l->too_many)
        return fail(c->cx, ERR_INVALID, "Too many filters: ask for less at once");
    TRY(db_each(c->cx, c->tx, &st, l->params, l->n_params, take_row, l));
    return reply(l);
}
