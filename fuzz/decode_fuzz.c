/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * JSON bodies of every resource of every service, at creation and update, at each microversion:
 * refused in the family's words or taken; what was taken is encoded as valid JSON, and fits its
 * columns. The first two bytes choose the resource, the third how; the rest is the body.
 */
#include "cmd/wiring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct target {
    const struct resource *res;
    const struct family *fam;
};
static struct target targets[128];
static size_t n_targets;

static void collect(void)
{
    for (size_t i = 0; i < n_all_services; i++) {
        for (size_t k = 0; k < all_services[i]->n_resources; k++) {
            must(n_targets < ARRAY_LEN(targets));
            resource_init(all_services[i]->resources[k]);
            targets[n_targets++] =
                (struct target){all_services[i]->resources[k], all_services[i]->family};
        }
    }
}

/* The declared form of what clients may set, without the hooks that need a whole request. */
static void check_given(struct ctx *cx, const struct resource *res, const void *row)
{
    for (size_t i = 0; i < res->n_fields; i++) {
        const struct field *f = &res->fields[i];
        const void *p = (const char *)row + f->offset;
        json_t *j = NULL;
        if (!row_given(row, (int)i))
            continue;
        must(f->flags & F_RW);
        if (f->kind == KIND_INT) {
            int64_t v = *(const int64_t *)p;
            must(v == INT_NULL ? (f->flags & F_NULL) != 0
                               : v >= f->min && (!f->max || v <= f->max));
        } else if (f->kind == KIND_JSON || f->kind == KIND_MAP || f->kind == KIND_LIST) {
            const char *text = *(const char *const *)p;
            must(text ? !json_read(cx, text, strlen(text), &j) : (f->flags & F_NULL) != 0);
        } else if (f->kind == KIND_STR || f->kind == KIND_UUID) {
            const char *text = *(const char *const *)p;
            must(text ? str_utf8_len(text) >= 0 && str_utf8_len(text) <= (f->max ? f->max : 255)
                      : (f->flags & F_NULL) != 0);
        }
    }
}

/* Given members, taken from the row as JSON and read again, give the same row. */
static json_t *members(struct ctx *cx, const struct resource *res, const void *row)
{
    json_t *obj = json_own(cx, json_object()), *j = NULL;
    for (size_t i = 0; i < res->n_fields; i++) {
        const struct field *f = &res->fields[i];
        const void *p = (const char *)row + f->offset;
        if (!row_given(row, (int)i))
            continue;
        struct db_value v = res_value(res, f, row);
        if (v.type == DB_NULL)
            j = json_null();
        else if (f->kind == KIND_BOOL)
            j = json_boolean(v.i);
        else if (f->kind == KIND_INT)
            j = json_integer(v.i);
        else if (f->kind == KIND_TIME)
            j = json_string(time_iso(cx, *(const int64_t *)p, TIME_MICROS_Z));
        else if (f->kind == KIND_STR || f->kind == KIND_UUID)
            j = json_string(v.s);
        else if (json_read(cx, v.s, strlen(v.s), &j))
            abort();
        else
            json_incref(j);
        json_object_set_new(obj, f->wire, j);
    }
    return obj;
}

static bool same(const struct resource *res, const void *a, const void *b)
{
    for (size_t i = 0; i < res->n_fields; i++) {
        if (!row_given(a, (int)i))
            continue;
        struct db_value x = res_value(res, &res->fields[i], a),
                        y = res_value(res, &res->fields[i], b);
        if (x.type != y.type || x.i != y.i || !str_eq(x.s, y.s))
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!n_targets)
        collect();
    if (size < 4)
        return 0;
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const struct target *t = &targets[((size_t)data[0] << 8 | data[1]) % n_targets];
    enum decode_mode mode = data[2] & 1 ? DECODE_UPDATE : DECODE_CREATE;
    bool admin = data[2] & 2;
    unsigned version = data[3] % (t->fam->max + 1);
    json_t *body = NULL;
    struct err *e = json_read(&cx, (const char *)data + 4, size - 4, &body);
    if (e) {
        must(e->kind == ERR_INVALID);
        return 0;
    }
    void *row = res_new(&cx, t->res);
    e = res_decode_body(&cx, t->fam, t->res, body, DECODE_CREATE, version, admin,
                        res_new(&cx, t->res));
    e = data[2] & 4 ? res_decode_body(&cx, t->fam, t->res, body, mode, version, admin, row)
                    : res_decode(&cx, t->fam, t->res, json_is_object(body) ? body : NULL, mode,
                                 version, admin, row);
    if (e) {
        struct buf out;
        json_t *shown = NULL;
        must(err_http_status(e->kind) < 500);
        buf_init(&out, cx.arena);
        t->fam->render(&cx, &out, e, family_status(t->fam, e));
        must(!json_read(&cx, buf_cstr(&out), out.len,
                        &shown)); /* a refusal is valid JSON whatever it repeats */
        return 0;
    }
    check_given(&cx, t->res, row);
    void *again = res_new(&cx, t->res);
    e = res_decode(&cx, t->fam, t->res, members(&cx, t->res, row), mode, version, admin, again);
    if (mode == DECODE_UPDATE)
        must(!e && same(t->res, row, again));
    return 0;
}
