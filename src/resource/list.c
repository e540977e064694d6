/* SPDX-License-Identifier: EUPL-1.2 */
/* Lists: the query's filters, sort keys, limit and marker become one keyset-paged SELECT; the
 * family shapes the reply. */
#include "resource/engine.h"

#define MAX_SORT 6

struct sort_key {
    const struct field *field;
    bool desc;
};

struct list {
    struct call *c;
    const struct resource *res;
    const struct list_more *more;
    struct buf where;
    struct db_value params[MAX_PARAMS];
    size_t n_params;
    bool too_many; /* parameters: the statement is not run */
    struct sort_key sort[MAX_SORT];
    size_t n_sort;
    int64_t limit; /* -1: none */
    int64_t offset;
    const char *marker;
    bool reverse, all, limit_given;
    int64_t total; /* of all pages, if asked for */
    const char **fields;
    size_t n_fields;
    void **rows;
    size_t n_rows, cap;
};

static const char *param(struct list *l, struct db_value v)
{
    if (l->n_params == MAX_PARAMS) {
        l->too_many = true;
        return "NULL";
    }
    l->params[l->n_params++] = v;
    return arena_printf(l->c->cx->arena, "$%zu", l->n_params);
}

static const struct field *key_of(const struct resource *res)
{
    for (size_t i = 0; i < res->n_fields; i++)
        if (str_eq(res->fields[i].member, res->key ? res->key : "id"))
            return &res->fields[i];
    bug_at(WHERE, res->name);
}

static void and_where(struct list *l, const char *sql)
{
    buf_printf(&l->where, "%s(%s)", l->where.len ? " AND " : "", sql);
}

/* A service's own condition, with {value} and {project} bound. */
static const char *bound(struct list *l, const char *sql, const char *value)
{
    struct ctx *cx = l->c->cx;
    const char *project = l->c->actor->project_id ? l->c->actor->project_id : "";
    for (const char *hole; (hole = strstr(sql, "{value}"));)
        sql = arena_printf(cx->arena, "%.*s%s%s", (int)(hole - sql), sql, param(l, V_TEXT(value)),
                           hole + strlen("{value}"));
    for (const char *hole; (hole = strstr(sql, "{project}"));)
        sql = arena_printf(cx->arena, "%.*s%s%s", (int)(hole - sql), sql, param(l, V_TEXT(project)),
                           hole + strlen("{project}"));
    return sql;
}

static const struct field *query_field(const struct resource *res, const char *name)
{
    for (size_t i = 0; i < res->n_fields; i++)
        if (str_eq(res->fields[i].query, name))
            return &res->fields[i];
    return resource_field(res, name);
}

/* ---------------------------------------------------------------- filters */

static struct err *filter_value(struct list *l, const struct field *f, const char *text,
                                struct db_value *ret)
{
    bool b;
    int64_t n;
    switch (f->kind) {
    case KIND_BOOL:
        if (!str_to_bool(text, &b))
            return fail(l->c->cx, ERR_INVALID,
                        "Invalid value for the filter %s: '%s' is not a boolean", f->wire, text);
        *ret = V_INT(b);
        return NULL;
    case KIND_INT:
        if (!str_to_i64(text, INT64_MIN + 1, INT64_MAX, &n))
            return fail(l->c->cx, ERR_INVALID,
                        "Invalid value for the filter %s: '%s' is not a number", f->wire, text);
        *ret = V_INT(n);
        return NULL;
    case KIND_TIME:
        if (!time_parse(text, &n))
            return fail(l->c->cx, ERR_INVALID,
                        "Invalid value for the filter %s: '%s' is not a date-time", f->wire, text);
        *ret = V_INT(n);
        return NULL;
    default:
        *ret = V_TEXT(text);
        return NULL;
    }
}

/* Every value of a repeated argument: any of them matches. */
static struct err *add_filter(struct list *l, const struct field *f, const char *name)
{
    struct buf b;
    buf_init(&b, l->c->cx->arena);
    size_t n = 0;
    for (size_t i = 0; i < l->c->rq->n_args; i++) {
        if (!str_eq(l->c->rq->args[i].name, name))
            continue;
        struct db_value v;
        TRY(filter_value(l, f, l->c->rq->args[i].value, &v));
        if (++n > 50)
            return fail(l->c->cx, ERR_INVALID, "Too many values for the filter %s: at most 50",
                        name);
        buf_printf(&b, "%s%s", n > 1 ? ", " : "", param(l, v));
    }
    and_where(l, arena_printf(l->c->cx->arena, "%s IN (%s)", f->member, buf_cstr(&b)));
    return NULL;
}

/* Keystone's inexact filters: "name__icontains". {column} and {value} are lowered for the i… ones.
 */
static const struct {
    const char *suffix, *sql;
} inexact[] = {
    {"contains", "replace(%1$s, %2$s, '') <> %1$s"},
    {"startswith", "substr(%1$s, 1, length(%2$s)) = %2$s"},
    {"endswith", "length(%1$s) >= length(%2$s) AND substr(%1$s, length(%1$s) - length(%2$s) + 1) = "
                 "%2$s"},
};

static void add_inexact(struct list *l, const struct field *f, const char *op, const char *value)
{
    struct ctx *cx = l->c->cx;
    for (size_t i = 0; i < ARRAY_LEN(inexact); i++) {
        bool any_case = *op == 'i' && str_eq(op + 1, inexact[i].suffix);
        if (!any_case && !str_eq(op, inexact[i].suffix))
            continue;
        const char *text = arena_printf(cx->arena, "CAST(%s AS TEXT)", param(l, V_TEXT(value)));
        and_where(l, any_case ? arena_printf(cx->arena, inexact[i].sql,
                                             arena_printf(cx->arena, "lower(%s)", f->member),
                                             arena_printf(cx->arena, "lower(%s)", text))
                              : arena_printf(cx->arena, inexact[i].sql, f->member, text));
        return;
    }
}

/* What is not shown to the actor can't be found out by filters or order either. */
static bool may_see(const struct list *l, const struct field *f)
{
    const struct call *c = l->c;
    return !(f->flags & (F_VIRTUAL | F_HIDDEN)) && (!(f->flags & F_ADMIN) || c->actor->admin) &&
           (!f->since || c->microversion >= f->since) && (!f->until || c->microversion <= f->until);
}

static bool seen_before(const struct http_request *rq, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(rq->args[k].name, rq->args[i].name))
            return true;
    return false;
}

/* ---------------------------------------------------------------- paging arguments */

static struct err *read_limit(struct list *l, const char *text)
{
    int64_t n;
    if (!str_to_i64(text, 0, INT32_MAX, &n))
        return fail(
            l->c->cx, ERR_INVALID,
            "Invalid input for query parameters limit. Value: %s. '%s' does not match '^[0-9]*$'",
            text, text);
    l->limit = n;
    l->limit_given = true;
    return NULL;
}

/* Rows to leave out before the page, of those who count pages so. */
static struct err *read_offset(struct list *l, const char *text)
{
    if (l->c->service->family->paging != PAGING_COMPUTE)
        return NULL;
    if (!str_to_i64(text, 0, INT32_MAX, &l->offset))
        return fail(l->c->cx, ERR_INVALID,
                    "Invalid input for query parameters offset. Value: %s. '%s' does not match "
                    "'^[0-9]*$'",
                    text, text);
    return NULL;
}

/* own: the table's default order, which may go by what nobody is shown. */
static struct err *add_sort(struct list *l, const char *key, const char *dir, bool own)
{
    const struct field *f = query_field(l->res, key);
    if (!f) /* some APIs sort by the column's name: created_at, display_name */
        for (size_t i = 0; i < l->res->n_fields; i++)
            if (str_eq(l->res->fields[i].member, key))
                f = &l->res->fields[i];
    if (!f || (!own && (!(f->flags & F_SORT) || !may_see(l, f))))
        return fail(l->c->cx, ERR_INVALID,
                    "Invalid input for query parameters sort_key: '%s' is not a sort key", key);
    if (dir && !str_eq(dir, "asc") && !str_eq(dir, "desc"))
        return fail(l->c->cx, ERR_INVALID,
                    "Invalid input for query parameters sort_dir: '%s' is neither asc nor desc",
                    dir);
    if (l->n_sort + 1 >= MAX_SORT)
        return fail(l->c->cx, ERR_INVALID, "Too many sort keys: at most %d", MAX_SORT - 1);
    l->sort[l->n_sort++] = (struct sort_key){f, str_eq(dir, "desc")};
    return NULL;
}

/* Of a key without a direction: nova, cinder and glance begin with the largest. */
static const char *unsaid_dir(const struct list *l)
{
    enum paging_style paging = l->c->service->family->paging;
    return paging == PAGING_COMPUTE || paging == PAGING_IMAGE ? "desc" : "asc";
}

/* "name:asc,id" */
static struct err *sort_text(struct list *l, const char *text, const char *dir, bool own)
{
    char **parts, **pair;
    size_t n = str_split(l->c->cx, text, ',', &parts);
    for (size_t i = 0; i < n; i++) {
        size_t k = str_split(l->c->cx, parts[i], ':', &pair);
        TRY(add_sort(l, pair[0], k > 1 ? pair[1] : dir, own));
    }
    return NULL;
}

static const char *nth_arg(const struct http_request *rq, const char *name, size_t nth)
{
    for (size_t i = 0; i < rq->n_args; i++)
        if (str_eq(rq->args[i].name, name) && nth-- == 0)
            return rq->args[i].value;
    return NULL;
}

static struct err *read_sort(struct list *l)
{
    const struct http_request *rq = l->c->rq;
    const char *sort = http_arg(rq, "sort"), *dir = http_arg(rq, "sort_dir"), *key;
    if (sort)
        TRY(sort_text(l, sort, unsaid_dir(l), false));
    if (!dir) /* one direction is for all keys that have none of their own */
        dir = unsaid_dir(l);
    for (size_t i = 0; (key = nth_arg(rq, "sort_key", i)); i++) {
        const char *own = nth_arg(rq, "sort_dir", i);
        TRY(add_sort(l, key, own ? own : dir, false));
    }
    if (!l->n_sort && l->res->dflt_sort)
        TRY(sort_text(l, l->res->dflt_sort, "asc", true));
    const struct field *id = key_of(l->res);
    for (size_t i = 0; i < l->n_sort; i++)
        if (l->sort[i].field == id)
            return NULL;
    l->sort[l->n_sort] = (struct sort_key){id, l->n_sort ? l->sort[l->n_sort - 1].desc : false};
    l->n_sort++;
    return NULL;
}

/* True: it was one, and names a text to filter by. An empty value is in every text. */
static bool take_inexact(struct list *l, const char *name, const char *value)
{
    const char *op = strstr(name, "__");
    if (l->c->service->family->paging != PAGING_IDENTITY || !op)
        return false;
    const struct field *f =
        query_field(l->res, arena_strndup(l->c->cx->arena, name, (size_t)(op - name)));
    if (f && (f->flags & F_FILTER) && may_see(l, f) && f->kind == KIND_STR && *value)
        add_inexact(l, f, op + 2, value);
    return true;
}

static bool is_paging_arg(const char *name)
{
    static const char *const names[] = {"limit",        "marker", "sort",         "sort_key",
                                        "sort_dir",     "fields", "page_reverse", "all_tenants",
                                        "all_projects", "offset"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

static struct err *paging_arg(struct list *l, const char *name, const char *value)
{
    bool b = false;
    if (str_eq(name, "limit"))
        return read_limit(l, value);
    if (str_eq(name, "offset"))
        return read_offset(l, value);
    if (str_eq(name, "marker"))
        l->marker = value;
    else if (str_eq(name, "fields"))
        l->fields[l->n_fields++] = value;
    else if (str_eq(name, "page_reverse") && str_to_bool(value, &b))
        l->reverse = b;
    else if (str_eq(name, "all_tenants") || str_eq(name, "all_projects")) {
        if (*value && !str_to_bool(value, &b))
            return fail(l->c->cx, ERR_INVALID, "Invalid value for %s: '%s' is not a boolean", name,
                        value);
        l->all = !*value || b;
    }
    return NULL;
}

static struct err *read_args(struct list *l)
{
    const struct http_request *rq = l->c->rq;
    l->fields = arena_new_array(l->c->cx->arena, const char *, rq->n_args + 1);
    for (size_t i = 0; i < rq->n_args; i++) {
        const char *name = rq->args[i].name, *value = rq->args[i].value, *sql = NULL;
        bool taken = false;
        if (l->more->filter)
            TRY(l->more->filter(l->c, name, value, &taken, &sql));
        if (sql)
            and_where(l, bound(l, sql, value));
        if (taken)
            continue;
        if (is_paging_arg(name)) {
            TRY(paging_arg(l, name, value));
            continue;
        }
        if (take_inexact(l, name, value))
            continue;
        const struct field *f = query_field(l->res, name);
        if (f && (f->flags & F_FILTER) && may_see(l, f) && !seen_before(rq, i))
            TRY(add_filter(l, f, name));
    }
    return NULL;
}

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
    const char *project = param(l, V_TEXT(l->c->actor->project_id ? l->c->actor->project_id : ""));
    if (l->more->shared_where)
        and_where(l, arena_printf(l->c->cx->arena, "%s = %s OR %s", owner, project,
                                  bound(l, l->more->shared_where, NULL)));
    else
        and_where(l, arena_printf(l->c->cx->arena, "%s = %s", owner, project));
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
                       param(l, sort_value(l, s->field, row)));
        }
        buf_char(&b, ')');
    }
    and_where(l, buf_cstr(&b));
    return NULL;
}

static const char *select_sql(struct list *l)
{
    struct buf b;
    buf_init(&b, l->c->cx->arena);
    buf_printf(&b, "SELECT %s FROM %s", res_columns(l->res), l->res->table);
    if (l->where.len)
        buf_printf(&b, " WHERE %s", buf_cstr(&l->where));
    for (size_t i = 0; i < l->n_sort; i++)
        buf_printf(&b, "%s%s%s", i ? ", " : " ORDER BY ", sort_expr(l, l->sort[i].field),
                   l->sort[i].desc != l->reverse ? " DESC" : "");
    if (l->limit >= 0 && !l->more->keep)
        buf_printf(&b, " LIMIT %s", param(l, V_INT(l->limit + l->offset + 1)));
    return buf_cstr(&b);
}

static struct err *take_row(struct ctx *cx, const struct db_value *cells, size_t n, void *arg)
{
    struct list *l = arg;
    if (l->limit >= 0 && l->n_rows > (size_t)l->limit)
        return NULL;
    void *row = res_row_from(cx, l->res, cells, n);
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
    else if (l->more->keep(l->c, res_row_from(cx, l->res, cells, n)))
        l->total++;
    return NULL;
}

/* Before the marker narrows it. */
static struct err *count(struct list *l)
{
    struct ctx *cx = l->c->cx;
    struct stmt st = {.name = "count",
                      .sql = arena_printf(cx->arena, "SELECT %s FROM %s%s%s",
                                          l->more->keep ? res_columns(l->res) : "COUNT(*)",
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
    struct db_value v = res_value(l->res, key_of(l->res), l->rows[i]);
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
    struct view v = call_view(c);
    v.brief = l->more->brief;
    v.fields = l->n_fields ? l->fields : NULL;
    v.n_fields = l->n_fields;
    TRY(res_prepare(c->cx, c->tx, l->res, l->rows, l->n_rows, &v));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, l->res->plural);
    for (size_t i = 0; i < l->n_rows; i++)
        res_encode(c->cx, &w, l->res, l->rows[i], &v);
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
            param(l, l->more->params[i]);
        and_where(l, l->more->where);
    }
    TRY(read_args(l));
    TRY(read_sort(l));
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
