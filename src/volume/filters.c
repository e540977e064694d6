/* SPDX-License-Identifier: EUPL-1.2 */
/* What lists of volumes, snapshots and the like can be narrowed by. */
#include "volume/impl.h"

/* {'key': 'value'}: Python's way to write it, as clients send it; or JSON. */
struct err *volume_read_dict(struct call *c, const char *name, const char *text, json_t **ret)
{
    struct buf b;
    buf_init(&b, c->cx->arena);
    char quote = 0;
    for (const char *p = text; *p; p++) {
        if (!quote && (*p == 'u' || *p == 'b') && (p[1] == '\'' || p[1] == '"'))
            continue; /* u'key' */
        if (*p == '\\' && quote && p[1]) {
            if (p[1] != '\'')
                buf_char(&b, '\\');
            buf_char(&b, *++p);
        } else if (quote ? *p == quote : *p == '\'' || *p == '"') {
            quote = quote ? 0 : *p;
            buf_char(&b, '"');
        } else if (*p == '"') {
            buf_str(&b, "\\\"");
        } else {
            buf_char(&b, *p);
        }
    }
    if (json_read(c->cx, buf_cstr(&b), b.len, ret) || !json_is_object(*ret))
        return fail(c->cx, ERR_INVALID,
                    "Invalid filter %s: '%s' is no dictionary such as {'key': 'value'}", name,
                    text);
    return NULL;
}

/* "gt:2016-01-01T00:00:00,lt:…", since 3.60; the time alone before. */
static struct err *filter_time(struct call *c, const char *column, const char *value,
                               const char **ret_sql)
{
    static const char *const ops[][2] = {{"gt:", ">"},   {"gte:", ">="}, {"eq:", "="},
                                         {"neq:", "<>"}, {"lt:", "<"},   {"lte:", "<="}};
    struct buf b;
    char **parts;
    size_t n = str_split(c->cx, value, ',', &parts);
    buf_init(&b, c->cx->arena);
    for (size_t i = 0; i < n; i++) {
        const char *op = "=", *text = parts[i];
        int64_t us;
        for (size_t k = 0; k < ARRAY_LEN(ops); k++) {
            if (!str_starts(parts[i], ops[k][0]))
                continue;
            op = ops[k][1];
            text = parts[i] + strlen(ops[k][0]);
        }
        if (!time_parse(text, &us))
            return fail(c->cx, ERR_INVALID, "Invalid filter %s: '%s' is not a date-time", column,
                        text);
        buf_printf(&b, "%s%s %s %" PRId64, i ? " AND " : "", column, op, us);
    }
    *ret_sql = buf_cstr(&b);
    return NULL;
}

/* "name~": part of it, since 3.34. */
static struct err *filter_like(struct call *c, const char *name, const char **ret_sql)
{
    const char *plain = arena_strndup(c->cx->arena, name, strlen(name) - 1);
    const struct field *f = resource_field(c->route->list, plain);
    if (!f || !(f->flags & F_FILTER) || (f->flags & F_ADMIN) ||
        (f->kind != KIND_STR && f->kind != KIND_UUID) || c->microversion < 34)
        return fail(c->cx, ERR_INVALID, "Invalid filters %s are found in query options.", name);
    *ret_sql =
        arena_printf(c->cx->arena, "%s LIKE '%%' || CAST({value} AS TEXT) || '%%'", f->member);
    return NULL;
}

struct err *volume_filter(struct call *c, const char *name, const char *value, bool *ret_taken,
                          const char **ret_sql)
{
    json_t *dict = NULL;
    TRY(volume_check_filter(c, c->route->list->name, name));
    *ret_taken = true;
    if (str_eq(name, "status")) {
        *ret_sql = "CASE state WHEN 'failed' THEN 'error' ELSE state END = {value}";
        return NULL;
    }
    if (str_eq(name, "metadata")) {
        TRY(volume_read_dict(c, name, value, &dict));
        c->state = dict;
        return NULL;
    }
    if (str_eq(name, "created_at") || str_eq(name, "updated_at"))
        return filter_time(c, name, value, ret_sql);
    if (str_ends(name, "~"))
        return filter_like(c, name, ret_sql);
    *ret_taken = str_eq(name, "glance_metadata") || str_eq(name, "changes-since");
    return NULL;
}

bool volume_has_metadata(struct call *c, const char *text)
{
    json_t *map = NULL, *value;
    const char *key;
    if (json_read(c->cx, text, strlen(text), &map))
        return false;
    json_object_foreach(c->state, key, value)
    {
        if (!json_equal(json_get(map, key), value))
            return false;
    }
    return true;
}

bool volume_wants_count(const struct call *c)
{
    bool b = false;
    const char *text = http_arg(c->rq, "with_count");
    return c->microversion >= 45 && text && str_to_bool(text, &b) && b;
}

/* ---------------------------------------------------------------- resource_filters */

/* Since 3.31 others are refused, except administrators'. */
static const struct {
    const char *resource;
    const char *filters[16];
} known[] = {
    {"volume",
     {"name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id",
      "size", "created_at", "updated_at", "description", "volume_type_id"}},
    {"snapshot",
     {"name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota",
      "created_at", "updated_at", "description"}},
    {"group", {"name", "status", "availability_zone", "group_type"}},
    {"group_snapshot", {"name", "status", "group_id"}},
    {"attachment", {"volume_id", "status", "instance_id", "attach_status"}},
    {"message", {"resource_uuid", "resource_type", "event_id", "request_id", "message_level"}},
    {"pool", {"name", "volume_type"}},
    {"volume_type", {"is_public", "extra_specs"}},
};

struct err *volume_resource_filters(struct call *c)
{
    const char *wanted = http_arg(c->rq, "resource");
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "resource_filters");
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (wanted && !str_eq(wanted, known[i].resource))
            continue;
        jw_obj(&w);
        jw_kstr(&w, "resource", known[i].resource);
        jw_karr(&w, "filters");
        for (const char *const *p = known[i].filters; *p; p++)
            jw_str(&w, *p);
        jw_arr_end(&w);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static bool is_general(const char *name)
{
    static const char *const names[] = {"limit",       "marker",     "offset",
                                        "sort",        "sort_key",   "sort_dir",
                                        "all_tenants", "with_count", "project_id"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

struct err *volume_check_filter(struct call *c, const char *resource, const char *name)
{
    size_t len = strlen(name) - (c->microversion >= 34 && str_ends(name, "~") ? 1 : 0);
    if (c->microversion < 31 || c->actor->admin || is_general(name))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        for (const char *const *p = known[i].filters; str_eq(known[i].resource, resource) && *p;
             p++)
            if (strlen(*p) == len && strncmp(*p, name, len) == 0)
                return NULL;
    return fail(c->cx, ERR_INVALID, "Invalid filters %s are found in query options.", name);
}
