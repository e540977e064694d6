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

static bool offered(const struct field *f, const struct view *v)
{
    if (f->flags & (F_HIDDEN | F_NOT_SHOWN))
        return false;
    if ((v->brief && !(f->flags & F_BRIEF)) || ((f->flags & F_ADMIN) && !v->admin))
        return false;
    if ((f->since && v->microversion < f->since) || (f->until && v->microversion > f->until))
        return false;
    return !f->offered || f->offered(v);
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

static void add_step(struct ctx *cx, struct encoder *e, const struct field *f, const char *wire)
{
    if (!wire || !wanted(e->view, wire))
        return;
    size_t size = strlen(wire);
    char *key = arena_alloc(cx->arena, size + 4);
    key[0] = key[size + 1] = '"';
    memcpy(key + 1, wire, size);
    key[size + 2] = ':';
    e->steps[e->n_steps++] = (struct encode_step){f, key, size + 3};
}

struct encoder res_encoder(struct ctx *cx, const struct resource *res, const struct view *v)
{
    struct encoder e = {.res = res, .view = v};
    e.steps = arena_new_array(cx->arena, struct encode_step, 2 * res->n_fields);
    for (size_t i = 0; i < res->n_fields; i++) {
        const struct field *f = &res->fields[i];
        if (!offered(f, v))
            continue;
        add_step(cx, &e, f, f->wire);
        add_step(cx, &e, f, f->also);
    }
    return e;
}

void res_encode_by(struct ctx *cx, struct jw *w, const struct encoder *e, const void *row)
{
    jw_obj(w);
    for (size_t i = 0; i < e->n_steps; i++) {
        const struct encode_step *s = &e->steps[i];
        if (s->field->shown && !s->field->shown(row, e->view))
            continue;
        jw_key_ready(w, s->key, s->key_size);
        value(cx, w, e->res, s->field, row, e->view);
    }
    kept_members(cx, w, e->res, row);
    if (e->res->encode_more)
        e->res->encode_more(cx, w, row, e->view);
    jw_obj_end(w);
}

void res_encode(struct ctx *cx, struct jw *w, const struct resource *res, const void *row,
                const struct view *v)
{
    const struct encoder e = res_encoder(cx, res, v);
    res_encode_by(cx, w, &e, row);
}

struct err *res_prepare(struct ctx *cx, struct tx *tx, const struct resource *res,
                        void *const *rows, size_t n, const struct view *v)
{
    return res->prepare && n ? res->prepare(cx, tx, rows, n, v) : NULL;
}
