/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * See nb.h: desired rows. Values are kept in one form for each kind: SET a sorted array, OPT and
 * REF null for nothing, references by keys.
 */
#include "node/drivers/ovn/nb_impl.h"

const struct nb_table nb_tables[] = {
#define NB_TABLE(name, parent, column) {#name, parent, column},
#define NB_COLUMN(table, name, kind)
#include "node/drivers/ovn/nb.def"
#undef NB_TABLE
#undef NB_COLUMN
};
const size_t nb_n_tables = ARRAY_LEN(nb_tables);

const struct nb_column nb_columns[] = {
#define NB_TABLE(name, parent, column)
#define NB_COLUMN(table, name, kind) {#table, #name, NB_##kind},
#include "node/drivers/ovn/nb.def"
#undef NB_TABLE
#undef NB_COLUMN
};
const size_t nb_n_columns = ARRAY_LEN(nb_columns);

static enum nb_kind kind_of(const struct nb_row *r, const char *column)
{
    for (size_t i = 0; i < nb_n_columns; i++)
        if (str_eq(nb_columns[i].table, r->table->name) && str_eq(nb_columns[i].name, column))
            return nb_columns[i].kind;
    bug_at(WHERE, column);
}

void nb_want_init(struct nb_want *w, struct ctx *cx, const char *owner)
{
    *w = (struct nb_want){.cx = cx, .owner = owner};
}

static json_t *nothing(enum nb_kind kind)
{
    switch (kind) {
    case NB_STR:
        return json_string("");
    case NB_INT:
        return json_integer(0);
    case NB_MAP:
        return json_object();
    case NB_SET:
    case NB_REFS:
        return json_array();
    default:
        return json_null();
    }
}

struct nb_row *nb_add(struct nb_want *w, const char *table, const char *key, const char *parent)
{
    struct nb_row *r = arena_new_of(w->cx->arena, struct nb_row);
    if (w->n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 32;
        struct nb_row **rows = arena_new_array(w->cx->arena, struct nb_row *, w->cap);
        if (w->n)
            memcpy(rows, w->rows, w->n * sizeof(*rows));
        w->rows = rows;
    }
    *r = (struct nb_row){.key = key, .parent = parent, .columns = json_own(w->cx, json_object())};
    for (size_t i = 0; i < nb_n_tables; i++)
        if (str_eq(nb_tables[i].name, table))
            r->table = &nb_tables[i];
    must(r->table && !*r->table->parent == !parent);
    for (size_t i = 0; i < nb_n_columns; i++)
        if (str_eq(nb_columns[i].table, table))
            json_object_set_new(r->columns, nb_columns[i].name, nothing(nb_columns[i].kind));
    nb_map(r, "external_ids", NB_OWNER, w->owner);
    nb_map(r, "external_ids", NB_KEY, key);
    w->rows[w->n++] = r;
    return r;
}

void nb_str(struct nb_row *r, const char *column, const char *text)
{
    enum nb_kind kind = kind_of(r, column);
    must(kind == NB_STR || kind == NB_OPT);
    json_object_set_new(r->columns, column, json_string(text));
}

void nb_int(struct nb_row *r, const char *column, int64_t v)
{
    must(kind_of(r, column) == NB_INT);
    json_object_set_new(r->columns, column, json_integer(v));
}

void nb_bool(struct nb_row *r, const char *column, bool v)
{
    must(kind_of(r, column) == NB_OPT);
    json_object_set_new(r->columns, column, json_boolean(v));
}

/* Into a sorted array, once. */
void nb_put_sorted(json_t *set, const char *text)
{
    size_t at = 0;
    int order = 1;
    while (at < json_array_size(set) &&
           (order = strcmp(json_string_value(json_array_get(set, at)), text)) < 0)
        at++;
    if (at == json_array_size(set) || order != 0)
        json_array_insert_new(set, at, json_string(text));
}

void nb_put(struct nb_row *r, const char *column, const char *text)
{
    enum nb_kind kind = kind_of(r, column);
    must(kind == NB_SET || kind == NB_REFS);
    nb_put_sorted(json_object_get(r->columns, column), text);
}

void nb_map(struct nb_row *r, const char *column, const char *key, const char *value)
{
    must(kind_of(r, column) == NB_MAP);
    json_object_set_new(json_object_get(r->columns, column), key, json_string(value));
}

void nb_ref(struct nb_row *r, const char *column, const char *key)
{
    must(kind_of(r, column) == NB_REF);
    json_object_set_new(r->columns, column, key ? json_string(key) : json_null());
}

void nb_print(const struct nb_want *w, struct buf *out)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct nb_row *r = w->rows[i];
        json_t *shown = json_own(w->cx, json_object());
        const char *column;
        json_t *v;
        json_object_foreach(r->columns, column, v)
        {
            bool empty = json_is_null(v) || str_eq(json_string_value(v), "") ||
                         ((json_is_object(v) || json_is_array(v)) && !json_object_size(v) &&
                          !json_array_size(v));
            if (!empty && !str_eq(column, "external_ids"))
                json_object_set(shown, column, v);
        }
        json_t *extra = json_own(w->cx, json_copy(json_object_get(r->columns, "external_ids")));
        json_object_del(extra, NB_OWNER);
        json_object_del(extra, NB_KEY);
        if (json_object_size(extra))
            json_object_set(shown, "external_ids", extra);
        buf_printf(out, "%s %s%s%s\n  %s\n", r->table->name, r->key, r->parent ? " in " : "",
                   r->parent ? r->parent : "", json_text(w->cx, shown));
    }
}
