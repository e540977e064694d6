/* SPDX-License-Identifier: EUPL-1.2 */
/* Tables, inserts, updates and selections from the descriptors. Identifiers come from the tables
 * only, values are parameters. */
#include "resource/select.h"

#define FIELDS_MAX 128

static bool is_column(const struct field *f)
{
    return !(f->flags & F_VIRTUAL);
}

static const char *key_column(const struct resource *res)
{
    return res->key ? res->key : "id";
}

static const struct field *key_field(const struct resource *res)
{
    for (size_t i = 0; i < res->n_fields; i++)
        if (is_column(&res->fields[i]) && str_eq(res->fields[i].member, key_column(res)))
            return &res->fields[i];
    bug_at(WHERE, res->name);
}

/* ---------------------------------------------------------------- texts */

static const char *keep(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        bug_at(WHERE, "out of memory");
    return copy;
}

static void check_fields(const struct resource *res)
{
    must(res->n_fields <= FIELDS_MAX);
    for (size_t i = 0; i < res->n_fields; i++) {
        const struct field *f = &res->fields[i];
        must(f->wire && f->member && !strpbrk(f->wire, "\"\\"));
        for (size_t k = 0; k < i; k++)
            must(!str_eq(f->wire, res->fields[k].wire));
        if (f->flags & F_VIRTUAL)
            must(f->encode || (f->flags & (F_HIDDEN | F_NOT_SHOWN)));
    }
}

void *res_new(struct ctx *cx, const struct resource *res)
{
    must(res->row_size >= sizeof(struct row));
    char *row = arena_alloc(cx->arena, res->row_size);
    for (size_t i = 0; i < res->n_fields; i++)
        if (res->fields[i].kind == KIND_INT && (res->fields[i].flags & F_NULL))
            *(int64_t *)(void *)(row + res->fields[i].offset) = INT_NULL;
    return row;
}

/* Fields that have a column, of these (NULL: any). */
static struct projection project(struct ctx *cx, const struct resource *res, const bool *only)
{
    struct projection p = {arena_new_array(cx->arena, const struct field *, res->n_fields)};
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < res->n_fields; i++) {
        const struct field *f = &res->fields[i];
        if (!is_column(f))
            continue;
        if (only && !only[i]) {
            p.partial = true;
            continue;
        }
        p.fields[p.n_fields++] = f;
        buf_str(&b, f->member);
        buf_str(&b, ", ");
    }
    buf_str(&b, "generation");
    p.columns = buf_cstr(&b);
    p.empty = res_new(cx, res);
    return p;
}

static struct projection project_members(struct ctx *cx, const struct resource *res,
                                         const char *const *members)
{
    bool only[FIELDS_MAX] = {false};
    for (size_t i = 0; i < res->n_fields; i++)
        only[i] = str_in(res->fields[i].member, members);
    return project(cx, res, only);
}

static void need(bool *only, const int *fields)
{
    for (; fields && *fields >= 0; fields++)
        only[*fields] = true;
}

struct projection res_needed(struct ctx *cx, const struct encoder *e, const int *more)
{
    const struct resource *res = e->res;
    bool only[FIELDS_MAX] = {false};
    must(res->state && res->state->ready);
    if (!res->needs)
        return res->state->whole;
    need(only, res->needs);
    need(only, more);
    only[key_field(res) - res->fields] = true;
    for (size_t i = 0; i < e->n_steps; i++) {
        only[e->steps[i].field - res->fields] = true;
        const struct field *f = e->steps[i].field;
        need(only, f->needs);
        need(only, f->needs_in ? f->needs_in(e->view) : NULL);
    }
    if (res->extra == EXTRA_KEEP)
        only[res->extra_member] = true;
    return project(cx, res, only);
}

static struct projection keep_projection(const struct projection *p, size_t empty_size)
{
    struct projection kept = *p;
    kept.fields = calloc(p->n_fields, sizeof(*p->fields));
    if (!kept.fields)
        bug_at(WHERE, "out of memory");
    memcpy(kept.fields, p->fields, p->n_fields * sizeof(*p->fields));
    kept.columns = keep(p->columns);
    void *empty = malloc(empty_size);
    if (!empty)
        bug_at(WHERE, "out of memory");
    kept.empty = memcpy(empty, p->empty, empty_size);
    return kept;
}

static const char *build_insert(struct ctx *cx, const struct resource *res,
                                const struct projection *whole)
{
    struct buf b;
    buf_init(&b, cx->arena);
    buf_printf(&b, "INSERT INTO %s (%s) VALUES (", res->table, whole->columns);
    for (size_t i = 1; i <= whole->n_fields; i++)
        buf_printf(&b, "$%zu, ", i);
    buf_str(&b, "1)");
    return buf_cstr(&b);
}

/* Behind the columns' parameters: the key's and the generation's. */
static const char *build_update(struct ctx *cx, const struct resource *res,
                                const struct projection *whole)
{
    struct buf b;
    size_t n = whole->n_fields;
    buf_init(&b, cx->arena);
    buf_printf(&b, "UPDATE %s SET ", res->table);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s = $%zu, ", whole->fields[i]->member, i + 1);
    buf_printf(&b, "generation = generation + 1 WHERE %s = $%zu AND generation = $%zu",
               key_column(res), n + 1, n + 2);
    return buf_cstr(&b);
}

void resource_init(const struct resource *res)
{
    struct resource_state *st = res->state;
    if (!st || st->ready)
        return;
    check_fields(res);
    if (res->table) {
        AUTO_CTX struct ctx cx;
        ctx_init(&cx);
        const char *key = key_field(res)->member;
        const struct projection whole = project(&cx, res, NULL);
        st->whole = keep_projection(&whole, res->row_size);
        st->insert = keep(build_insert(&cx, res, &whole));
        st->get = keep(arena_printf(cx.arena, "SELECT %s FROM %s WHERE %s = $1", whole.columns,
                                    res->table, key));
        st->update = keep(build_update(&cx, res, &whole));
        st->del = keep(arena_printf(cx.arena, "DELETE FROM %s WHERE %s = $1 AND generation = $2",
                                    res->table, key));
    }
    st->ready = true;
}

static void ddl_column(struct buf *b, const struct resource *res, const struct field *f)
{
    bool number = f->kind == KIND_INT || f->kind == KIND_BOOL || f->kind == KIND_TIME;
    buf_printf(b, "    %s %s", f->member, number ? "BIGINT" : "TEXT");
    if (f == key_field(res))
        buf_str(b, " PRIMARY KEY");
    if (!(f->flags & F_NULL))
        buf_str(b, " NOT NULL");
    if (f->kind == KIND_BOOL)
        buf_printf(b, " CHECK (%s IN (0, 1))", f->member);
    if (f->values && f->kind == KIND_STR) {
        buf_printf(b, " CHECK (%s IN (", f->member);
        for (const char *const *p = f->values; *p; p++)
            buf_printf(b, "%s'%s'", p == f->values ? "" : ", ", *p);
        buf_str(b, "))");
    }
    if (f->fk)
        buf_printf(b, " REFERENCES %s", f->fk);
    buf_str(b, ",\n");
}

const char *resource_ddl(struct ctx *cx, const struct resource *res)
{
    struct buf b;
    buf_init(&b, cx->arena);
    if (!res->table)
        return "";
    buf_printf(&b, "CREATE TABLE %s (\n", res->table);
    for (size_t i = 0; i < res->n_fields; i++)
        if (is_column(&res->fields[i]))
            ddl_column(&b, res, &res->fields[i]);
    buf_str(&b, "    generation BIGINT NOT NULL\n);\n");
    for (size_t i = 0; i < res->n_indexes; i++) {
        const struct res_index *ix = &res->indexes[i];
        buf_printf(&b, "CREATE %sINDEX %s ON %s (%s)%s%s;\n", ix->unique ? "UNIQUE " : "", ix->name,
                   res->table, ix->columns, ix->where ? " WHERE " : "", ix->where ? ix->where : "");
    }
    return buf_cstr(&b);
}

/* ---------------------------------------------------------------- values */

struct db_value res_value(const struct resource *res, const struct field *f, const void *row)
{
    const void *p = (const char *)row + f->offset;
    bool nullable = (f->flags & F_NULL) != 0;
    switch (f->kind) {
    case KIND_INT:
        if (*(const int64_t *)p == INT_NULL) {
            must(nullable);
            return V_NULL();
        }
        return V_INT(*(const int64_t *)p);
    case KIND_TIME:
        return nullable && !*(const int64_t *)p ? V_NULL() : V_INT(*(const int64_t *)p);
    case KIND_BOOL:
        return V_INT(*(const bool *)p);
    default:
        if (!*(const char *const *)p && !nullable)
            bug_at(f->member, res->name); /* a handler left a NOT NULL column empty */
        return V_TEXT(*(const char *const *)p);
    }
}

static size_t row_values(const struct resource *res, const void *row, struct db_value *values)
{
    const struct projection *p = &res->state->whole;
    size_t n = p->n_fields;
    must(n + 2 <= MAX_PARAMS);
    for (size_t i = 0; i < n; i++)
        values[i] = res_value(res, p->fields[i], row);
    return n;
}

/* Returns where the next text goes. */
static char *take_cell(const struct field *f, const struct db_value *v, char *row, char *room)
{
    void *p = row + f->offset;
    switch (f->kind) {
    case KIND_INT:
        *(int64_t *)p = v->type == DB_NULL ? INT_NULL : v->i;
        return room;
    case KIND_TIME:
        *(int64_t *)p = v->type == DB_NULL ? 0 : v->i;
        return room;
    case KIND_BOOL:
        *(bool *)p = v->i != 0;
        return room;
    default:
        if (!v->s)
            return room;
        *(const char **)p = memcpy(room, v->s, v->size);
        room[v->size] = 0;
        return room + v->size + 1;
    }
}

/* The row and its texts in one piece: a list has thousands. */
void *res_row_from(struct ctx *cx, const struct resource *res, const struct projection *p,
                   const struct db_value *cells, size_t n)
{
    size_t size = res->row_size;
    must(p->n_fields + 1 == n);
    for (size_t i = 0; i < p->n_fields; i++)
        if (cells[i].s)
            size += cells[i].size + 1;
    char *row = arena_take(cx->arena, size), *room = row + res->row_size;
    memcpy(row, p->empty, res->row_size);
    for (size_t i = 0; i < p->n_fields; i++)
        room = take_cell(p->fields[i], &cells[i], row, room);
    row_of(row)->generation = cells[p->n_fields].i;
    row_of(row)->partial = p->partial;
    return row;
}

/* ---------------------------------------------------------------- rows */

struct err *res_collect(struct ctx *cx, const struct db_value *cells, size_t n_cells, void *arg)
{
    struct collected *c = arg;
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 16;
        void **rows = arena_new_array(cx->arena, void *, cap);
        if (c->n)
            memcpy(rows, c->rows, c->n * sizeof(*rows));
        c->rows = rows;
        c->cap = cap;
    }
    c->rows[c->n++] = res_row_from(cx, c->res, c->read, cells, n_cells);
    return NULL;
}

struct projection res_read_by(struct ctx *cx, const struct res_where *q)
{
    must(q->res->state && q->res->state->ready);
    return q->only ? project_members(cx, q->res, q->only) : q->res->state->whole;
}

const char *res_select_sql(struct ctx *cx, const struct res_where *q, const char *columns)
{
    return arena_printf(cx->arena, "SELECT %s FROM %s WHERE %s%s%s", columns, q->res->table,
                        q->where, q->order ? " ORDER BY " : "", q->order ? q->order : "");
}

const char *res_where_sql(struct ctx *cx, const struct res_where *q)
{
    return res_select_sql(cx, q, res_read_by(cx, q).columns);
}

struct err *res_select(struct ctx *cx, struct tx *tx, const struct res_where *q,
                       const struct db_value *params, size_t n_params, void ***ret_rows,
                       size_t *ret_n)
{
    const struct projection read = res_read_by(cx, q);
    struct stmt st = {.name = q->res->plural, .sql = res_select_sql(cx, q, read.columns)};
    struct collected c = {.res = q->res, .read = &read};
    TRY(db_each(cx, tx, &st, params, n_params, res_collect, &c));
    *ret_rows = c.rows;
    *ret_n = c.n;
    return NULL;
}

/* ---------------------------------------------------------------- one row */

struct err *res_first(struct ctx *cx, struct tx *tx, const struct res_where *q,
                      const struct db_value *params, size_t n_params, void **ret)
{
    void **rows;
    size_t n;
    TRY(res_select(cx, tx, q, params, n_params, &rows, &n));
    *ret = n ? rows[0] : NULL;
    return NULL;
}

struct err *res_get(struct ctx *cx, struct tx *tx, const struct resource *res, const char *id,
                    void **ret)
{
    must(res->state && res->state->ready);
    struct stmt st = {.name = res->name, .sql = res->state->get};
    struct collected c = {.res = res, .read = &res->state->whole};
    struct db_value param = V_TEXT(id);
    TRY(db_each(cx, tx, &st, &param, 1, res_collect, &c));
    *ret = c.n ? c.rows[0] : NULL;
    return NULL;
}

struct err *res_not_found(struct ctx *cx, const struct resource *res, const char *id)
{
    const char *message = res->not_found
                              ? arena_printf(cx->arena, res->not_found, id)
                              : arena_printf(cx->arena, "No %s with the id %s", res->name, id);
    return fail_type(cx, ERR_NOT_FOUND, res->not_found_type, "%s", message);
}

struct err *res_find(struct ctx *cx, struct tx *tx, const struct resource *res, const char *id,
                     void **ret)
{
    void *row = NULL;
    TRY(res_get(cx, tx, res, id, &row));
    if (!row)
        return res_not_found(cx, res, id);
    *ret = row;
    return NULL;
}

static const struct field *field_of(const struct resource *res, const char *member)
{
    for (size_t i = 0; i < res->n_fields; i++)
        if (str_eq(res->fields[i].member, member))
            return &res->fields[i];
    return NULL;
}

static void set_time(const struct resource *res, const char *member, void *row, int64_t now,
                     bool only_if_empty)
{
    const struct field *f = field_of(res, member);
    if (!f || f->kind != KIND_TIME)
        return;
    int64_t *p = (int64_t *)(void *)((char *)row + f->offset);
    if (!*p || !only_if_empty)
        *p = now;
}

struct err *res_insert(struct ctx *cx, struct tx *tx, const struct resource *res, void *row)
{
    struct db_value values[MAX_PARAMS];
    must(res->state && res->state->ready);
    int64_t now = now_us(cx);
    set_time(res, "created_at", row, now, true);
    set_time(res, "updated_at", row, now, true);
    size_t n = row_values(res, row, values);
    struct stmt st = {.name = res->name, .sql = res->state->insert};
    TRY(db_exec(cx, tx, &st, values, n, NULL));
    row_of(row)->generation = 1;
    return NULL;
}

struct err *res_update(struct ctx *cx, struct tx *tx, const struct resource *res, void *row)
{
    struct db_value values[MAX_PARAMS];
    int64_t changes = 0;
    must(!row_of(row)->partial);
    set_time(res, "updated_at", row, now_us(cx), false);
    size_t n = row_values(res, row, values);
    values[n] = res_value(res, key_field(res), row);
    values[n + 1] = V_INT(row_of(row)->generation);
    struct stmt st = {.name = res->name, .sql = res->state->update};
    TRY(db_exec(cx, tx, &st, values, n + 2, &changes));
    if (changes != 1)
        return fail(cx, ERR_STALE,
                    "The %s was changed by another request: read it again, then retry", res->name);
    row_of(row)->generation++;
    return NULL;
}

struct err *res_delete(struct ctx *cx, struct tx *tx, const struct resource *res, void *row)
{
    int64_t changes = 0;
    struct db_value values[2] = {res_value(res, key_field(res), row),
                                 V_INT(row_of(row)->generation)};
    struct stmt st = {.name = res->name, .sql = res->state->del};
    TRY(db_exec(cx, tx, &st, values, 2, &changes));
    if (changes != 1)
        return fail(cx, ERR_STALE,
                    "The %s was changed by another request: read it again, then retry", res->name);
    return NULL;
}
