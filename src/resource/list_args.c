/* SPDX-License-Identifier: EUPL-1.2 */
/* A list's query: filters, sort keys, limit and marker. */
#include "resource/list.h"

const char *list_param(struct list *l, struct db_value v)
{
    if (l->n_params == MAX_PARAMS) {
        l->too_many = true;
        return "NULL";
    }
    l->params[l->n_params++] = v;
    return arena_printf(l->c->cx->arena, "$%zu", l->n_params);
}

const struct field *list_key(const struct resource *res)
{
    for (size_t i = 0; i < res->n_fields; i++)
        if (str_eq(res->fields[i].member, res->key ? res->key : "id"))
            return &res->fields[i];
    bug_at(WHERE, res->name);
}

void list_and(struct list *l, const char *sql)
{
    buf_printf(&l->where, "%s(%s)", l->where.len ? " AND " : "", sql);
}

const char *list_bound(struct list *l, const char *sql, const char *value)
{
    struct ctx *cx = l->c->cx;
    const char *project = l->c->actor->project_id ? l->c->actor->project_id : "";
    for (const char *hole; (hole = strstr(sql, "{value}"));)
        sql = arena_printf(cx->arena, "%.*s%s%s", (int)(hole - sql), sql,
                           list_param(l, V_TEXT(value)), hole + strlen("{value}"));
    for (const char *hole; (hole = strstr(sql, "{project}"));)
        sql = arena_printf(cx->arena, "%.*s%s%s", (int)(hole - sql), sql,
                           list_param(l, V_TEXT(project)), hole + strlen("{project}"));
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
        buf_printf(&b, "%s%s", n > 1 ? ", " : "", list_param(l, v));
    }
    list_and(l, arena_printf(l->c->cx->arena, "%s IN (%s)", f->member, buf_cstr(&b)));
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
        const char *text =
            arena_printf(cx->arena, "CAST(%s AS TEXT)", list_param(l, V_TEXT(value)));
        list_and(l, any_case ? arena_printf(cx->arena, inexact[i].sql,
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

struct err *list_read_sort(struct list *l)
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
    const struct field *id = list_key(l->res);
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

struct err *list_read_args(struct list *l)
{
    const struct http_request *rq = l->c->rq;
    l->fields = arena_new_array(l->c->cx->arena, const char *, rq->n_args + 1);
    for (size_t i = 0; i < rq->n_args; i++) {
        const char *name = rq->args[i].name, *value = rq->args[i].value, *sql = NULL;
        bool taken = false;
        if (l->more->filter)
            TRY(l->more->filter(l->c, name, value, &taken, &sql));
        if (sql)
            list_and(l, list_bound(l, sql, value));
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
