/* SPDX-License-Identifier: EUPL-1.2 */
/* Row → JSON, straight into the reply's buffer. */
#include "resource/resource.h"

static bool wanted(const struct view *v, const char *wire)
{
    for (size_t i = 0; i < v->n_fields; i++)
        if (str_eq(v->fields[i], wire))
            return true;
    return !v->fields;
}

static bool shown(const struct field *f, const void *row, const struct view *v)
{
    if (f->flags & (F_HIDDEN | F_NOT_SHOWN))
        return false;
    if ((v->brief && !(f->flags & F_BRIEF)) || ((f->flags & F_ADMIN) && !v->admin))
        return false;
    if ((f->since && v->microversion < f->since) || (f->until && v->microversion > f->until))
        return false;
    return !f->shown || f->shown(row, v);
}

static void value(struct ctx *cx, struct jw *w, const struct resource *res, const struct field *f,
                  const void *row, const struct view *v)
{
    const void *p = (const char *)row + f->offset;
    if (f->encode) {
        f->encode(cx, w, row, v);
        return;
    }
    switch (f->kind) {
    case KIND_UUID:
    case KIND_STR:
        jw_str(w, *(const char *const *)p);
        break;
    case KIND_INT:
        if (*(const int64_t *)p == INT_NULL)
            jw_null(w);
        else
            jw_int(w, *(const int64_t *)p);
        break;
    case KIND_BOOL:
        jw_bool(w, *(const bool *)p);
        break;
    case KIND_TIME:
        jw_str(w, *(const int64_t *)p ? time_iso(cx, *(const int64_t *)p, res->time_style) : NULL);
        break;
    case KIND_JSON:
    case KIND_MAP:
    case KIND_LIST:
        jw_raw(w, *(const char *const *)p);
        break;
    }
}

static void kept_members(struct ctx *cx, struct jw *w, const struct resource *res, const void *row)
{
    const struct field *f = &res->fields[res->extra_member];
    json_t *kept = NULL, *v;
    const char *key;
    if (res->extra != EXTRA_KEEP || !(f->flags & F_HIDDEN))
        return;
    const char *text = *(const char *const *)(const void *)((const char *)row + f->offset);
    if (text && !json_read(cx, text, strlen(text), &kept))
        json_object_foreach(kept, key, v) jw_kjson(w, key, v);
}

void res_encode(struct ctx *cx, struct jw *w, const struct resource *res, const void *row,
                const struct view *v)
{
    jw_obj(w);
    for (size_t i = 0; i < res->n_fields; i++) {
        const struct field *f = &res->fields[i];
        if (!shown(f, row, v))
            continue;
        for (int again = 0; again < 2; again++) {
            const char *wire = again ? f->also : f->wire;
            if (!wire || !wanted(v, wire))
                continue;
            jw_key(w, wire);
            value(cx, w, res, f, row, v);
        }
    }
    kept_members(cx, w, res, row);
    if (res->encode_more)
        res->encode_more(cx, w, row, v);
    jw_obj_end(w);
}

struct err *res_prepare(struct ctx *cx, struct tx *tx, const struct resource *res,
                        void *const *rows, size_t n, const struct view *v)
{
    return res->prepare && n ? res->prepare(cx, tx, rows, n, v) : NULL;
}
