/* SPDX-License-Identifier: EUPL-1.2 */
/* Selections by lists of ids, which may be long: few statements, of two lengths. */
#include "resource/select.h"

#define BATCH 16
#define MANY 112
#define TEN(t)                                                                                     \
    "$" t "0, $" t "1, $" t "2, $" t "3, $" t "4, $" t "5, $" t "6, $" t "7, $" t "8, $" t "9, "
#define IN_MANY                                                                                    \
    "($1, $2, $3, $4, $5, $6, $7, $8, $9, " TEN("1") TEN("2") TEN("3") TEN("4") TEN("5") TEN("6")  \
        TEN("7") TEN("8") TEN("9") TEN("10") "$110, $111, $112)"

/* Each IN_BATCH with MANY parameters instead. */
static const char *for_many(struct ctx *cx, const char *sql)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (const char *at; (at = strstr(sql, IN_BATCH)); sql = at + strlen(IN_BATCH)) {
        buf_add(&b, sql, (size_t)(at - sql));
        buf_str(&b, IN_MANY);
    }
    buf_str(&b, sql);
    return buf_cstr(&b);
}

/* The last turn repeats its last id: IN doesn't mind. */
struct err *db_each_in(struct ctx *cx, struct tx *tx, const struct stmt *st, const char *const *ids,
                       size_t n, db_row_fn *fn, void *arg)
{
    struct db_value params[MANY];
    struct stmt wide = {.name = st->name};
    for (size_t i = 0; i < n;) {
        bool many = n - i > 2 * (size_t)BATCH;
        size_t n_params = many ? MANY : BATCH;
        if (many && !wide.sql)
            wide.sql = for_many(cx, st->sql);
        for (size_t k = 0; k < n_params; k++)
            params[k] = i + k < n ? V_TEXT(ids[i + k]) : params[k - 1];
        TRY(db_each(cx, tx, many ? &wide : st, params, n_params, fn, arg));
        i += n_params;
    }
    return NULL;
}

struct err *res_select_in(struct ctx *cx, struct tx *tx, const struct res_where *q,
                          const char *const *ids, size_t n, void ***ret_rows, size_t *ret_n)
{
    const struct projection read = res_read_by(cx, q);
    struct stmt st = {.name = q->res->plural, .sql = res_select_sql(cx, q, read.columns)};
    struct collected c = {.res = q->res, .read = &read};
    TRY(db_each_in(cx, tx, &st, ids, n, res_collect, &c));
    *ret_rows = c.rows;
    *ret_n = c.n;
    return NULL;
}

/* ---------------------------------------------------------------- few of a table */

/* A set of texts: a hash table with twice the room, where the next free place is taken. */
struct texts {
    const char **places;
    size_t mask;
};

static const char **place_of(const struct texts *t, const char *s)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *p = s; *p; p++)
        h = (h ^ (uint8_t)*p) * 0x100000001b3u;
    size_t i = h & t->mask;
    while (t->places[i] && !str_eq(t->places[i], s))
        i = (i + 1) & t->mask;
    return &t->places[i];
}

static struct texts texts_of(struct ctx *cx, const char *const *ids, size_t n)
{
    struct texts t = {.mask = 1};
    while (t.mask < 2 * n)
        t.mask = 2 * t.mask + 1;
    t.places = arena_new_array(cx->arena, const char *, t.mask + 1);
    for (size_t i = 0; i < n; i++)
        *place_of(&t, ids[i]) = ids[i];
    return t;
}

/* False: there are too many rows to look at all of them. */
static struct err *select_few(struct ctx *cx, struct tx *tx, const struct res_where *q,
                              const struct field *f, const char *const *ids, size_t n,
                              struct collected *c, bool *ret_all)
{
    struct stmt st = {
        .name = q->res->plural,
        .sql = arena_printf(cx->arena, "%s LIMIT $1", res_select_sql(cx, q, c->read->columns))};
    const struct db_value limit = V_INT((int64_t)n);
    TRY(db_each(cx, tx, &st, &limit, 1, res_collect, c));
    *ret_all = c->n < n;
    const struct texts wanted = texts_of(cx, ids, c->n && *ret_all ? n : 0);
    size_t n_rows = *ret_all ? c->n : 0;
    c->n = 0;
    for (size_t i = 0; i < n_rows; i++) {
        const char *id = *(const char **)(void *)((char *)c->rows[i] + f->offset);
        if (id && *place_of(&wanted, id))
            c->rows[c->n++] = c->rows[i];
    }
    return NULL;
}

struct err *res_select_of(struct ctx *cx, struct tx *tx, const struct res_where *q, int field,
                          const char *const *ids, size_t n, void ***ret_rows, size_t *ret_n)
{
    const struct projection read = res_read_by(cx, q);
    const struct field *f = &q->res->fields[field];
    struct collected c = {.res = q->res, .read = &read};
    bool all = false;
    if (n > 2 * (size_t)BATCH)
        TRY(select_few(cx, tx, q, f, ids, n, &c, &all));
    if (!all) {
        struct res_where by_ids = *q;
        by_ids.where = arena_printf(cx->arena, "(%s) AND %s IN " IN_BATCH, q->where, f->member);
        return res_select_in(cx, tx, &by_ids, ids, n, ret_rows, ret_n);
    }
    *ret_rows = c.rows;
    *ret_n = c.n;
    return NULL;
}
