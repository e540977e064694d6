/* SPDX-License-Identifier: EUPL-1.2 */
/* The list of images: /v2/images with its filters. */
#include "image/resources.h"

#define PARAMS_MAX 64

/* Conditions that the fields' own filters don't know. */
struct narrow {
    struct call *c;
    struct buf where;
    struct db_value params[PARAMS_MAX];
    size_t n;
};

static bool one_of(const char *const *values, const char *text)
{
    for (; *values; values++)
        if (str_eq(*values, text))
            return true;
    return false;
}

static struct err *add(struct narrow *nw, struct db_value v, const char **ret)
{
    if (nw->n == PARAMS_MAX)
        return fail(nw->c->cx, ERR_INVALID, "Too many filters: ask for less at once");
    nw->params[nw->n++] = v;
    *ret = arena_printf(nw->c->cx->arena, "$%zu", nw->n);
    return NULL;
}

static struct err *compare(struct narrow *nw, const char *column, const char *op, struct db_value v)
{
    const char *param = NULL;
    TRY(add(nw, v, &param));
    buf_printf(&nw->where, " AND %s %s %s", column, op, param);
    return NULL;
}

/* ---------------------------------------------------------------- in: */

/* The next of a,"b,c",d; NULL at the end or where a quote is left open. */
static const char *next_value(struct ctx *cx, const char **at)
{
    const char *s = *at, *end;
    if (!s)
        return NULL;
    if (*s == '"') {
        end = strchr(s + 1, '"');
        if (!end || (end[1] && end[1] != ','))
            return NULL;
        *at = end[1] ? end + 2 : NULL;
        return arena_strndup(cx->arena, s + 1, (size_t)(end - s - 1));
    }
    end = strchr(s, ',');
    *at = end ? end + 1 : NULL;
    return end ? arena_strndup(cx->arena, s, (size_t)(end - s)) : s;
}

static struct err *any_of(struct narrow *nw, const char *name, const char *list)
{
    const char *at = list, *param = NULL, *sep = "";
    buf_str(&nw->where, " AND ");
    buf_str(&nw->where, name);
    buf_str(&nw->where, " IN (");
    while (at) {
        const char *value = next_value(nw->c->cx, &at);
        if (!value)
            return fail(nw->c->cx, ERR_INVALID,
                        "Invalid filter value in:%s. The quote is not closed.", list);
        TRY(add(nw, V_TEXT(value), &param));
        buf_printf(&nw->where, "%s%s", sep, param);
        sep = ", ";
    }
    buf_char(&nw->where, ')');
    return NULL;
}

static bool takes_in(const char *name)
{
    static const char *const names[] = {"id",          "name", "status", "container_format",
                                        "disk_format", NULL};
    return one_of(names, name);
}

/* ---------------------------------------------------------------- the others */

/* created_at=gte:2026-01-01T00:00:00Z */
static struct err *by_time(struct narrow *nw, const char *name, const char *value)
{
    static const char *const ops[][2] = {{"gt:", ">"},   {"gte:", ">="}, {"eq:", "="},
                                         {"neq:", "<>"}, {"lt:", "<"},   {"lte:", "<="}};
    const char *op = "=";
    int64_t us;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (str_starts(value, ops[i][0])) {
            op = ops[i][1];
            value += strlen(ops[i][0]);
            break;
        }
    if (!time_parse(value, &us))
        return fail(
            nw->c->cx, ERR_INVALID,
            "Invalid filter value %s for %s: it is an operator (gt, gte, eq, neq, lt, lte), "
            "a colon and a time",
            value, name);
    /* What is shown has no fractions of a second. */
    return compare(nw, arena_printf(nw->c->cx->arena, "%s / 1000000", name), op,
                   V_INT(us / 1000000));
}

static struct err *by_size(struct narrow *nw, const char *name, const char *value)
{
    int64_t n;
    if (!str_to_i64(value, 0, INT64_MAX, &n))
        return fail(nw->c->cx, ERR_INVALID, "Cannot convert %s value '%s' to an integer.", name,
                    value);
    return compare(nw, "size", str_eq(name, "size_min") ? ">=" : "<=", V_INT(n));
}

static struct err *by_visibility(struct narrow *nw, const char *value)
{
    if (str_eq(value, "all"))
        return NULL;
    if (!one_of(visibilities, value))
        return fail(nw->c->cx, ERR_INVALID, "Invalid visibility value: '%s'", value);
    return compare(nw, "visibility", "=", V_TEXT(value));
}

static struct err *check_member_status(struct call *c, const char *value)
{
    if (str_eq(value, "all") || one_of(member_statuses, value))
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "Invalid status: '%s' is not one of pending, accepted, rejected, all", value);
}

static bool is_ours(const char *name, const char *value)
{
    static const char *const names[] = {"visibility", "size_min",   "size_max", "member_status",
                                        "created_at", "updated_at", "tag",      NULL};
    return one_of(names, name) || (takes_in(name) && str_starts(value, "in:"));
}

static struct err *narrow_by(struct narrow *nw, const char *name, const char *value)
{
    if (str_eq(name, "visibility"))
        return by_visibility(nw, value);
    if (str_eq(name, "member_status"))
        return check_member_status(nw->c, value);
    if (str_starts(name, "size_"))
        return by_size(nw, name, value);
    if (str_ends(name, "_at"))
        return by_time(nw, name, value);
    return str_eq(name, "tag") ? NULL : any_of(nw, name, value + strlen("in:"));
}

static struct err *filter(struct call *c UNUSED, const char *name, const char *value, bool *taken,
                          const char **sql UNUSED)
{
    *taken = is_ours(name, value);
    return NULL;
}

/* ---------------------------------------------------------------- tags and properties */

static bool is_property_filter(const char *name)
{
    static const char *const known[] = {"limit",    "marker",        "sort",          "sort_key",
                                        "sort_dir", "visibility",    "size_min",      "size_max",
                                        "tag",      "member_status", "changes-since", NULL};
    const struct field *f = resource_field(&image_resource, name);
    return !one_of(known, name) && (!f || (f->flags & F_HIDDEN));
}

/* They are texts inside the row. */
static bool matches(struct call *c, const void *row)
{
    const struct image *i = row;
    json_t *properties = NULL;
    if (json_read(c->cx, i->properties, strlen(i->properties), &properties))
        return false;
    for (size_t k = 0; k < c->rq->n_args; k++) {
        const struct http_pair *a = &c->rq->args[k];
        if (str_eq(a->name, "tag") && !image_has_tag(c, i, a->value))
            return false;
        if (is_property_filter(a->name) && !str_eq(json_get_str(properties, a->name), a->value))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------- the list */

/* Of others: public ones, community ones that are asked for, and those shared with the project. */
static const char *shared(struct call *c)
{
    const char *visibility = http_arg(c->rq, "visibility");
    const char *status = http_arg(c->rq, "member_status");
    bool community = str_eq(visibility, "community") || str_eq(visibility, "all");
    const char *accepted = "AND status = 'accepted'";
    if (str_eq(status, "all"))
        accepted = "";
    else if (status && one_of(member_statuses, status))
        accepted = arena_printf(c->cx->arena, "AND status = '%s'", status);
    return arena_printf(c->cx->arena,
                        "visibility IN ('public'%s) OR (visibility = 'shared' AND id IN (SELECT "
                        "image_id FROM image_members WHERE member_id = {project} %s))",
                        community ? ", 'community'" : "", accepted);
}

struct err *image_list(struct call *c)
{
    struct narrow *nw = arena_new_of(c->cx->arena, struct narrow);
    struct list_more more = {.filter = filter, .shared_where = shared(c)};
    nw->c = c;
    buf_init(&nw->where, c->cx->arena);
    buf_str(&nw->where, http_arg(c->rq, "os_hidden") ? "1 = 1" : "os_hidden = 0");
    for (size_t i = 0; i < c->rq->n_args; i++) {
        const char *name = c->rq->args[i].name, *value = c->rq->args[i].value;
        if (is_ours(name, value))
            TRY(narrow_by(nw, name, value));
        if (str_eq(name, "tag") || is_property_filter(name))
            more.keep = matches;
    }
    more.where = buf_cstr(&nw->where);
    more.params = nw->params;
    more.n_params = nw->n;
    return call_reply_list(c, &image_resource, &more);
}
