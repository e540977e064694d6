/* SPDX-License-Identifier: EUPL-1.2 */
/* JSON body → row: one strict path for every resource. */
#include "resource/family.h"

const struct field *resource_field(const struct resource *res, const char *wire)
{
    for (size_t i = 0; i < res->n_fields; i++)
        if (str_eq(res->fields[i].wire, wire) || str_eq(res->fields[i].also, wire))
            return &res->fields[i];
    return NULL;
}

int resource_field_index(const struct resource *res, const struct field *f)
{
    return (int)(f - res->fields);
}

#define REPR_MAX 512  /* bytes of a refused value that are repeated to its sender */
#define EXTRA_MAX 128 /* members that no field names */
#define EXTRA_VALUE_MAX 65535

static const char *repr(struct ctx *cx, const json_t *v)
{
    return str_cut(cx, json_python(cx, v), REPR_MAX);
}

static const char *length_reason(struct ctx *cx, const struct field *f, const json_t *v,
                                 int64_t len)
{
    int64_t max = f->max ? f->max : f->kind == KIND_UUID || f->kind == KIND_STR ? 255 : 0;
    if (len < 0)
        return "the text is not valid UTF-8";
    if (len < f->min)
        return arena_printf(cx->arena, "%s is too short", repr(cx, v));
    if (max && len > max)
        return arena_printf(cx->arena, "%s is too long", repr(cx, v));
    return NULL;
}

static const char *enum_reason(struct ctx *cx, const struct field *f, const json_t *v)
{
    const char *text = json_string_value(v);
    struct buf b;
    buf_init(&b, cx->arena);
    buf_printf(&b, "%s is not one of [", repr(cx, v));
    for (const char *const *p = f->values; *p; p++) {
        if (str_eq(*p, text))
            return NULL;
        buf_printf(&b, "%s'%s'", p == f->values ? "" : ", ", *p);
    }
    buf_char(&b, ']');
    return buf_cstr(&b);
}

static const char *read_text(struct ctx *cx, const struct field *f, const json_t *v,
                             const char **ret)
{
    if (!json_is_string(v))
        return arena_printf(cx->arena, "%s is not of type 'string'", repr(cx, v));
    const char *s = json_string_value(v);
    const char *reason = length_reason(cx, f, v, str_utf8_len(s));
    if (!reason && f->values)
        reason = enum_reason(cx, f, v);
    *ret = arena_strdup(cx->arena, s);
    return reason;
}

static const char *read_int(struct ctx *cx, const struct field *f, const json_t *v, int64_t *ret)
{
    int64_t n;
    if (json_is_integer(v))
        n = json_integer_value(v);
    else if (!(f->flags & F_LAX) || !json_is_string(v))
        return arena_printf(cx->arena, "%s is not of type 'integer'", repr(cx, v));
    else if (!str_to_i64(json_string_value(v), INT64_MIN + 1, INT64_MAX, &n))
        return arena_printf(cx->arena, "%s does not match '^[0-9]+$'", repr(cx, v));
    if (n < f->min)
        return arena_printf(cx->arena, "%" PRId64 " is less than the minimum of %" PRId64, n,
                            f->min);
    if (f->max && n > f->max)
        return arena_printf(cx->arena, "%" PRId64 " is greater than the maximum of %" PRId64, n,
                            f->max);
    *ret = n;
    return NULL;
}

static const char *read_bool(struct ctx *cx, const struct field *f, const json_t *v, bool *ret)
{
    if (json_is_boolean(v)) {
        *ret = json_is_true(v);
        return NULL;
    }
    if (f->flags & F_LAX) {
        if (json_is_integer(v) && (json_integer_value(v) == 0 || json_integer_value(v) == 1)) {
            *ret = json_integer_value(v) == 1;
            return NULL;
        }
        if (str_to_bool(json_string_value(v), ret))
            return NULL;
    }
    return arena_printf(cx->arena, "%s is not of type 'boolean'", repr(cx, v));
}

static const char *map_reason(struct ctx *cx, const struct field *f, const json_t *v)
{
    if (!json_is_object(v))
        return arena_printf(cx->arena, "%s is not of type 'object'", repr(cx, v));
    size_t max = f->max ? (size_t)f->max : 255;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        int64_t n = str_utf8_len(key);
        if (n < 1 || (size_t)n > max)
            return arena_printf(cx->arena, "the key '%s' must have 1 to %zu characters", key, max);
        if (!json_is_string(value))
            return arena_printf(cx->arena, "%s is not of type 'string'", repr(cx, value));
        n = str_utf8_len(json_string_value(value));
        if (n < 0 || (size_t)n > max)
            return arena_printf(cx->arena, "%s is too long", repr(cx, value));
    }
    return NULL;
}

static const char *list_reason(struct ctx *cx, const struct field *f, const json_t *v)
{
    if (!json_is_array(v))
        return arena_printf(cx->arena, "%s is not of type 'array'", repr(cx, v));
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *item = json_array_get(v, i);
        if (!json_is_string(item))
            return arena_printf(cx->arena, "%s is not of type 'string'", repr(cx, item));
        const char *reason = length_reason(cx, f, item, str_utf8_len(json_string_value(item)));
        if (reason)
            return reason;
    }
    return NULL;
}

/* The value as the struct holds it. Returns the reason why not. */
static const char *store_value(struct ctx *cx, const struct field *f, const json_t *v, void *row)
{
    void *p = (char *)row + f->offset;
    const char *reason = NULL;
    switch (f->kind) {
    case KIND_UUID:
    case KIND_STR:
        return read_text(cx, f, v, p);
    case KIND_INT:
        return read_int(cx, f, v, p);
    case KIND_BOOL:
        return read_bool(cx, f, v, p);
    case KIND_TIME:
        if (!json_is_string(v) || !time_parse(json_string_value(v), p))
            return arena_printf(cx->arena, "%s is not a 'date-time'", repr(cx, v));
        return NULL;
    case KIND_MAP:
        reason = map_reason(cx, f, v);
        break;
    case KIND_LIST:
        reason = list_reason(cx, f, v);
        break;
    case KIND_JSON:
        break;
    }
    if (!reason)
        *(const char **)p = json_text(cx, v);
    return reason;
}

static void store_null(const struct field *f, void *row)
{
    void *p = (char *)row + f->offset;
    switch (f->kind) {
    case KIND_INT:
        *(int64_t *)p = INT_NULL;
        break;
    case KIND_TIME:
        *(int64_t *)p = 0;
        break;
    case KIND_BOOL:
        *(bool *)p = false;
        break;
    default:
        *(const char **)p = NULL;
    }
}

static void fill_default(struct ctx *cx, const struct field *f, void *row)
{
    void *p = (char *)row + f->offset;
    int64_t n = 0;
    if (!f->dflt) {
        if (f->flags & F_NULL)
            store_null(f, row);
        return;
    }
    switch (f->kind) {
    case KIND_INT:
        must(str_to_i64(f->dflt, INT64_MIN, INT64_MAX, &n));
        *(int64_t *)p = n;
        break;
    case KIND_BOOL:
        *(bool *)p = str_eq(f->dflt, "true");
        break;
    case KIND_TIME:
        *(int64_t *)p = 0;
        break;
    default:
        *(const char **)p = arena_strdup(cx->arena, f->dflt);
    }
}

static struct err *decode_member(struct ctx *cx, const struct family *fam,
                                 const struct resource *res, const struct field *f,
                                 const char *wire, const json_t *v, void *row)
{
    if (json_is_null(v) && f->flags & F_NULL_DFLT) {
        fill_default(cx, f, row);
        return NULL;
    }
    if (json_is_null(v)) {
        if (!(f->flags & F_NULL))
            return fam->invalid(cx, res, wire, v,
                                arena_printf(cx->arena, "None is not of type '%s'",
                                             f->kind == KIND_INT    ? "integer"
                                             : f->kind == KIND_BOOL ? "boolean"
                                             : f->kind == KIND_MAP  ? "object"
                                             : f->kind == KIND_LIST ? "array"
                                                                    : "string"));
        store_null(f, row);
        return NULL;
    }
    json_t *canonical = NULL;
    const char *reason = f->check ? f->check(cx, v, &canonical) : NULL;
    if (!reason)
        reason = store_value(cx, f, canonical ? canonical : v, row);
    return reason ? fam->invalid(cx, res, wire, v, reason) : NULL;
}

static struct err *keep_extra(struct ctx *cx, const struct family *fam, const struct resource *res,
                              const char *key, const json_t *v, json_t *kept)
{
    int64_t len = str_utf8_len(key);
    bool any = res->fields[res->extra_member].kind == KIND_JSON;
    if (!any && !json_is_string(v))
        return fam->invalid(cx, res, key, v,
                            arena_printf(cx->arena, "%s is not of type 'string'", repr(cx, v)));
    if (len < 1 || len > 255)
        return fam->invalid(cx, res, str_cut(cx, key, REPR_MAX), v,
                            "a property's name has 1 to 255 characters");
    if ((any ? strlen(json_text(cx, v)) : json_string_length(v)) > EXTRA_VALUE_MAX)
        return fam->invalid(cx, res, key, v,
                            arena_printf(cx->arena, "%s is too long", repr(cx, v)));
    json_object_set(kept, key, (json_t *)(uintptr_t)v);
    if (json_object_size(kept) > EXTRA_MAX)
        return fail(cx, ERR_TOO_LARGE, "A %s has at most %d properties", res->name, EXTRA_MAX);
    return NULL;
}

static const char **extra_text(const struct resource *res, void *row)
{
    return (const char **)(void *)((char *)row + res->fields[res->extra_member].offset);
}

/* Further members stay at an update, but for those it gives anew. */
static struct err *kept_before(struct ctx *cx, const struct resource *res, enum decode_mode mode,
                               void *row, json_t **ret)
{
    const char *text = mode == DECODE_UPDATE ? *extra_text(res, row) : NULL;
    if (text)
        return json_read(cx, text, strlen(text), ret);
    *ret = json_own(cx, json_object());
    return NULL;
}

/* project_id and tenant_id, both given, must say the same. */
static struct err *agree(struct ctx *cx, const struct family *fam, const struct resource *res,
                         const struct field *f, const json_t *obj)
{
    const json_t *a = json_get(obj, f->wire), *b = f->also ? json_get(obj, f->also) : NULL;
    if (!a || !b || json_equal(a, b))
        return NULL;
    return fam->invalid(cx, res, f->also, b,
                        arena_printf(cx->arena, "'%s' and '%s' do not match", f->wire, f->also));
}

static bool usable(const struct field *f, unsigned microversion)
{
    return (!f->since || microversion >= f->since) && (!f->until || microversion <= f->until);
}

/* A member that the client may not name: foreign, hidden, or of another microversion. */
static struct err *other_member(struct ctx *cx, const struct family *fam,
                                const struct resource *res, const struct field *f, const char *key,
                                const json_t *value, json_t *kept)
{
    if (res->extra == EXTRA_IGNORE)
        return NULL;
    if (kept && f && (f->flags & F_HIDDEN))
        return fam->read_only(cx, res, key);
    return kept ? keep_extra(cx, fam, res, key, value, kept) : fam->unknown(cx, res, key);
}

/* What the update says of a member that stays is what it is. */
static bool repeats(const struct field *f, const json_t *v, const void *row)
{
    if (f->flags & F_VIRTUAL)
        return true;
    const void *p = (const char *)row + f->offset;
    if (f->kind == KIND_BOOL)
        return json_is_boolean(v) && json_is_true(v) == *(const bool *)p;
    must(f->kind == KIND_STR || f->kind == KIND_UUID);
    const char *now = *(const char *const *)p;
    return now ? str_eq(json_string_value(v), now) : json_is_null(v);
}

static struct err *decode_members(struct ctx *cx, const struct family *fam,
                                  const struct resource *res, const json_t *obj,
                                  enum decode_mode mode, unsigned microversion, bool admin,
                                  json_t *kept, void *row)
{
    unsigned need = mode == DECODE_CREATE ? F_CREATE : F_UPDATE;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)obj, key, value)
    {
        const struct field *f = resource_field(res, key);
        if (!f || !usable(f, microversion) || ((f->flags & F_HIDDEN) && !(f->flags & need))) {
            TRY(other_member(cx, fam, res, f, key, value, kept));
            continue;
        }
        if (!(f->flags & need)) {
            if (res->extra == EXTRA_IGNORE)
                continue;
            if (mode == DECODE_UPDATE && (f->flags & F_REPEAT) && repeats(f, value, row))
                continue;
            return fam->read_only(cx, res, key);
        }
        if ((f->flags & F_ADMIN_SET) && !admin)
            return fail(cx, ERR_FORBIDDEN, "Only an administrator may set '%s'", key);
        TRY(agree(cx, fam, res, f, obj));
        TRY(decode_member(cx, fam, res, f, key, value, row));
        row_give(row_of(row), resource_field_index(res, f));
    }
    return NULL;
}

struct err *res_decode(struct ctx *cx, const struct family *fam, const struct resource *res,
                       const json_t *obj, enum decode_mode mode, unsigned microversion, bool admin,
                       void *row)
{
    json_t *kept = NULL;
    if (res->extra == EXTRA_KEEP)
        TRY(kept_before(cx, res, mode, row, &kept));
    TRY(decode_members(cx, fam, res, obj, mode, microversion, admin, kept, row));
    for (size_t i = 0; mode == DECODE_CREATE && i < res->n_fields; i++) {
        const struct field *f = &res->fields[i];
        if (row_given(row_of(row), (int)i))
            continue;
        if ((f->flags & F_REQ) && (f->flags & F_CREATE) && usable(f, microversion))
            return fam->missing(cx, res, f->wire);
        fill_default(cx, f, row);
    }
    if (kept)
        *extra_text(res, row) = json_text(cx, kept);
    return NULL;
}

struct err *res_decode_body(struct ctx *cx, const struct family *fam, const struct resource *res,
                            const json_t *body, enum decode_mode mode, unsigned microversion,
                            bool admin, void *row)
{
    if (!json_is_object(body))
        return fail(cx, ERR_INVALID, "The request body must be a JSON object");
    const json_t *obj = body;
    if (!res->bare) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)body, key, value)
        {
            if (!str_eq(key, res->name) && res->extra == EXTRA_REJECT)
                return fam->unknown(cx, res, key);
        }
        obj = json_get(body, res->name);
        if (!obj)
            return fam->missing(cx, res, res->name);
        if (!json_is_object(obj))
            return fam->invalid(
                cx, res, res->name, obj,
                arena_printf(cx->arena, "%s is not of type 'object'", repr(cx, obj)));
    }
    return res_decode(cx, fam, res, obj, mode, microversion, admin, row);
}

static void python(struct buf *b, const json_t *j, unsigned depth)
{
    const char *key;
    json_t *v;
    size_t n = 0;
    if (depth > 8 || b->len > 4096) {
        buf_str(b, "...");
        return;
    }
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        buf_char(b, '{');
        json_object_foreach((json_t *)(uintptr_t)j, key, v)
        {
            buf_printf(b, "%s'%s': ", n++ ? ", " : "", key);
            python(b, v, depth + 1);
        }
        buf_char(b, '}');
        break;
    case JSON_ARRAY:
        buf_char(b, '[');
        for (n = 0; n < json_array_size(j); n++) {
            buf_str(b, n ? ", " : "");
            python(b, json_array_get(j, n), depth + 1);
        }
        buf_char(b, ']');
        break;
    case JSON_STRING:
        buf_printf(b, "'%s'", json_string_value(j));
        break;
    case JSON_INTEGER:
        buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
        break;
    case JSON_REAL:
        buf_printf(b, "%g", json_real_value(j));
        break;
    case JSON_TRUE:
        buf_str(b, "True");
        break;
    case JSON_FALSE:
        buf_str(b, "False");
        break;
    case JSON_NULL:
        buf_str(b, "None");
        break;
    }
}

const char *json_python(struct ctx *cx, const json_t *j)
{
    struct buf b;
    buf_init(&b, cx->arena);
    python(&b, j, 0);
    return buf_cstr(&b);
}
