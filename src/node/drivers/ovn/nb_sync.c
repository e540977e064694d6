/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * See nb.h: what is there is asked in one transaction, and changed in another. Nobody else changes
 * an owner's rows between: one writer has the lock, and works on an owner once at a time.
 * Rows of others (a router's port hangs in the network's switch) come and go in a shared column by
 * mutations, which leave the rest of it alone.
 */
#include "node/drivers/ovn/nb_impl.h"

/* A row that is there. */
struct is_row {
    const struct nb_table *table;
    const char *uuid, *key;
    const json_t *columns;
    bool wanted;
};

struct comparing {
    struct ctx *cx;
    const struct nb_want *w;
    struct is_row *is; /* the owner's, then named ones that are not */
    size_t n_is;
    struct is_row **of; /* of each wanted row; NULL: none yet */
    json_t *ops;
};

/* ---------------------------------------------------------------- asking */

static json_t *select_op(const struct nb_table *t, json_t *where)
{
    json_t *columns = json_pack("[s]", "_uuid");
    for (size_t i = 0; i < nb_n_columns; i++)
        if (str_eq(nb_columns[i].table, t->name))
            json_array_append_new(columns, json_string(nb_columns[i].name));
    for (size_t i = 0; i < nb_n_tables; i++)
        if (str_eq(nb_tables[i].parent, t->name))
            json_array_append_new(columns, json_string(nb_tables[i].column));
    return json_pack("{s:s,s:s,s:o,s:o}", "op", "select", "table", t->name, "where", where,
                     "columns", columns);
}

static const struct nb_table *table_named(const char *name)
{
    for (size_t i = 0; i < nb_n_tables; i++)
        if (str_eq(nb_tables[i].name, name))
            return &nb_tables[i];
    bug_at(WHERE, name);
}

/* The n-th row of others that wanted rows hang in, each once. */
static const char *anchor(const struct nb_want *w, size_t n, const struct nb_table **ret)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct nb_row *r = w->rows[i];
        bool again = !r->parent || r->parent[0] != '@';
        for (size_t k = 0; k < i && !again; k++)
            again = str_eq(w->rows[k]->parent, r->parent);
        if (again || n--)
            continue;
        *ret = table_named(r->table->parent);
        return r->parent + 1;
    }
    return NULL;
}

json_t *nb_questions(const struct nb_want *w)
{
    json_t *ops = json_array();
    const struct nb_table *t;
    const char *name;
    for (size_t i = 0; i < nb_n_tables; i++)
        json_array_append_new(
            ops, select_op(&nb_tables[i], json_pack("[[s,s,[s,[[s,s]]]]]", "external_ids",
                                                    "includes", "map", NB_OWNER, w->owner)));
    for (size_t i = 0; (name = anchor(w, i, &t)); i++)
        json_array_append_new(ops, select_op(t, json_pack("[[s,s,s]]", "name", "==", name)));
    return ops;
}

/* ---------------------------------------------------------------- reading */

const char *nb_uuid_of(const json_t *v)
{
    return str_eq(json_string_value(json_array_get(v, 0)), "uuid")
               ? json_string_value(json_array_get(v, 1))
               : NULL;
}

/* The atoms of a value: a set has any number, else it is one itself. */
static size_t atoms(const json_t *v, const json_t **ret_set)
{
    bool set = str_eq(json_string_value(json_array_get(v, 0)), "set");
    *ret_set = set ? json_array_get(v, 1) : NULL;
    return set ? json_array_size(*ret_set) : v ? 1 : 0;
}

static const json_t *atom(const json_t *v, const json_t *set, size_t i)
{
    return set ? json_array_get(set, i) : v;
}

static bool has_uuid(const json_t *column, const char *uuid)
{
    const json_t *set;
    size_t n = atoms(column, &set);
    for (size_t i = 0; i < n; i++)
        if (str_eq(nb_uuid_of(atom(column, set, i)), uuid))
            return true;
    return false;
}

static struct err *take_rows(struct comparing *c, const struct nb_table *t, const json_t *result,
                             const char *key)
{
    const json_t *rows = json_get(result, "rows");
    if (!json_is_array(rows))
        return fail(c->cx, ERR_BAD_GATEWAY, "OVN's database answers without rows of %s", t->name);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *r = json_array_get(rows, i);
        const char *uuid = nb_uuid_of(json_get(r, "_uuid"));
        if (!uuid)
            return fail(c->cx, ERR_BAD_GATEWAY, "OVN's database has a row of %s without _uuid",
                        t->name);
        const char *own = ovsdb_map_get(json_get(r, "external_ids"), NB_KEY);
        c->is[c->n_is++] = (struct is_row){.table = t,
                                           .uuid = uuid,
                                           .key = key   ? key
                                                  : own ? own
                                                        : "",
                                           .columns = r};
    }
    return NULL;
}

static struct err *take_results(struct comparing *c, const json_t *results)
{
    const struct nb_table *t;
    const char *name;
    size_t n = 0, before;
    for (size_t i = 0; i < json_array_size(results); i++)
        n += json_array_size(json_get(json_array_get(results, i), "rows"));
    c->is = arena_new_array(c->cx->arena, struct is_row, n + 1);
    for (size_t i = 0; i < nb_n_tables; i++)
        TRY(take_rows(c, &nb_tables[i], json_array_get(results, i), NULL));
    for (size_t i = 0; (name = anchor(c->w, i, &t)); i++) {
        before = c->n_is;
        TRY(take_rows(c, t, json_array_get(results, nb_n_tables + i),
                      arena_printf(c->cx->arena, "@%s", name)));
        if (c->n_is == before)
            return fail(c->cx, ERR_NOT_FOUND, "OVN has no %s '%s' yet", t->name, name);
        for (size_t k = before; k < c->n_is; k++)
            c->is[k].wanted = true;
    }
    return NULL;
}

/* ---------------------------------------------------------------- values */

static size_t index_of(const struct nb_want *w, const char *key)
{
    for (size_t i = 0; i < w->n; i++)
        if (str_eq(w->rows[i]->key, key))
            return i;
    bug_at(WHERE, key);
}

/* A reference to a wanted row: by what it is, or as it is called in this transaction. */
static json_t *reference(const struct comparing *c, size_t i)
{
    if (c->of[i])
        return json_pack("[s,s]", "uuid", c->of[i]->uuid);
    return json_pack("[s,o]", "named-uuid", json_string(arena_printf(c->cx->arena, "r%zu", i)));
}

static json_t *wire_value(const struct comparing *c, enum nb_kind kind, const json_t *v)
{
    json_t *set = json_array(), *item;
    const char *key;
    size_t i;
    if (kind == NB_STR || kind == NB_INT || (kind == NB_OPT && !json_is_null(v))) {
        json_decref(set);
        return json_incref((json_t *)(uintptr_t)v);
    }
    if (kind == NB_MAP) {
        json_object_foreach((json_t *)(uintptr_t)v, key, item)
        {
            json_array_append_new(set, json_pack("[s,O]", key, item));
        }
        return json_pack("[s,o]", "map", set);
    }
    if (kind == NB_REF && json_is_string(v))
        json_array_append_new(set, reference(c, index_of(c->w, json_string_value(v))));
    json_array_foreach((json_t *)(uintptr_t)v, i, item)
    {
        json_array_append_new(set, kind == NB_REFS
                                       ? reference(c, index_of(c->w, json_string_value(item)))
                                       : json_incref(item));
    }
    return json_pack("[s,o]", "set", set);
}

/* What a reference points to, by its key; else by what nothing is called. */
static const char *key_of(const struct comparing *c, const json_t *ref)
{
    const char *uuid = nb_uuid_of(ref);
    for (size_t i = 0; i < c->n_is; i++)
        if (c->is[i].wanted && str_eq(c->is[i].uuid, uuid))
            return c->is[i].key;
    return "?";
}

static const char *atom_text(const struct comparing *c, enum nb_kind kind, const json_t *v)
{
    if (kind == NB_REF || kind == NB_REFS)
        return key_of(c, v);
    return json_is_string(v) ? json_string_value(v) : "?";
}

static bool same_value(const struct comparing *c, enum nb_kind kind, const json_t *is,
                       const json_t *want)
{
    const json_t *set;
    size_t n = atoms(is, &set);
    if (kind == NB_STR || kind == NB_INT)
        return json_equal(is, want);
    if (kind == NB_OPT)
        return json_is_null(want) ? n == 0 : n == 1 && json_equal(atom(is, set, 0), want);
    if (kind == NB_REF)
        return json_is_null(want) ? n == 0
                                  : n == 1 && str_eq(atom_text(c, kind, atom(is, set, 0)),
                                                     json_string_value(want));
    if (kind == NB_MAP) {
        const char *key;
        json_t *v;
        json_object_foreach((json_t *)(uintptr_t)want, key, v)
        {
            if (!str_eq(ovsdb_map_get(is, key), json_string_value(v)))
                return false;
        }
        return json_array_size(json_array_get(is, 1)) == json_object_size(want);
    }
    json_t *sorted = json_own(c->cx, json_array());
    for (size_t i = 0; i < n; i++)
        nb_put_sorted(sorted, atom_text(c, kind, atom(is, set, i)));
    return json_equal(sorted, want);
}

/* ---------------------------------------------------------------- changing */

static json_t *by_uuid(const char *uuid)
{
    return json_pack("[[s,s,[s,s]]]", "_uuid", "==", "uuid", uuid);
}

/* Those that are to hang in this column of it, and don't yet (is NULL: all of them). */
static json_t *missing_children(const struct comparing *c, const struct nb_table *child,
                                const char *parent, const json_t *is)
{
    json_t *set = json_own(c->cx, json_array());
    for (size_t i = 0; i < c->w->n; i++) {
        const struct nb_row *r = c->w->rows[i];
        if (r->table == child && str_eq(r->parent, parent) &&
            !(is && c->of[i] && has_uuid(is, c->of[i]->uuid)))
            json_array_append_new(set, reference(c, i));
    }
    return json_array_size(set) ? set : NULL;
}

static void insert(struct comparing *c, size_t at)
{
    const struct nb_row *r = c->w->rows[at];
    json_t *row = json_object();
    for (size_t i = 0; i < nb_n_columns; i++)
        if (str_eq(nb_columns[i].table, r->table->name))
            json_object_set_new(
                row, nb_columns[i].name,
                wire_value(c, nb_columns[i].kind, json_object_get(r->columns, nb_columns[i].name)));
    for (size_t i = 0; i < nb_n_tables; i++) {
        json_t *set = str_eq(nb_tables[i].parent, r->table->name)
                          ? missing_children(c, &nb_tables[i], r->key, NULL)
                          : NULL;
        if (set)
            json_object_set_new(row, nb_tables[i].column, json_pack("[s,O]", "set", set));
    }
    json_array_append_new(c->ops, json_pack("{s:s,s:s,s:s,s:o}", "op", "insert", "table",
                                            r->table->name, "uuid-name",
                                            arena_printf(c->cx->arena, "r%zu", at), "row", row));
}

static void update(struct comparing *c, size_t at)
{
    const struct nb_row *r = c->w->rows[at];
    json_t *row = json_own(c->cx, json_object());
    for (size_t i = 0; i < nb_n_columns; i++) {
        const struct nb_column *col = &nb_columns[i];
        if (!str_eq(col->table, r->table->name))
            continue;
        const json_t *want = json_object_get(r->columns, col->name);
        if (!same_value(c, col->kind, json_get(c->of[at]->columns, col->name), want))
            json_object_set_new(row, col->name, wire_value(c, col->kind, want));
    }
    if (json_object_size(row))
        json_array_append_new(c->ops, json_pack("{s:s,s:s,s:o,s:O}", "op", "update", "table",
                                                r->table->name, "where", by_uuid(c->of[at]->uuid),
                                                "row", row));
}

static void hang_children(struct comparing *c, const struct is_row *is)
{
    for (size_t i = 0; i < nb_n_tables; i++) {
        const struct nb_table *child = &nb_tables[i];
        json_t *set =
            str_eq(child->parent, is->table->name)
                ? missing_children(c, child, is->key, json_get(is->columns, child->column))
                : NULL;
        if (set)
            json_array_append_new(c->ops,
                                  json_pack("{s:s,s:s,s:o,s:[[s,s,[s,O]]]}", "op", "mutate",
                                            "table", is->table->name, "where", by_uuid(is->uuid),
                                            "mutations", child->column, "insert", "set", set));
    }
}

static void drop(struct comparing *c, const struct is_row *is)
{
    const struct nb_table *t = is->table;
    if (*t->parent)
        json_array_append_new(c->ops, json_pack("{s:s,s:s,s:[[s,s,[s,s]]],s:[[s,s,[s,s]]]}", "op",
                                                "mutate", "table", t->parent, "where", t->column,
                                                "includes", "uuid", is->uuid, "mutations",
                                                t->column, "delete", "uuid", is->uuid));
    json_array_append_new(c->ops, json_pack("{s:s,s:s,s:o}", "op", "delete", "table", t->name,
                                            "where", by_uuid(is->uuid)));
}

struct err *nb_changes(const struct nb_want *w, const json_t *results, json_t **ret_ops)
{
    struct comparing c = {.cx = w->cx, .w = w, .ops = json_own(w->cx, json_array())};
    TRY(take_results(&c, results));
    c.of = arena_new_array(w->cx->arena, struct is_row *, w->n + 1);
    for (size_t i = 0; i < w->n; i++) {
        c.of[i] = NULL;
        for (size_t k = 0; k < c.n_is && !c.of[i]; k++)
            if (c.is[k].table == w->rows[i]->table && !c.is[k].wanted &&
                str_eq(c.is[k].key, w->rows[i]->key))
                c.of[i] = &c.is[k];
        if (c.of[i])
            c.of[i]->wanted = true;
    }
    for (size_t i = 0; i < c.n_is; i++)
        if (!c.is[i].wanted)
            drop(&c, &c.is[i]);
    for (size_t i = 0; i < w->n; i++) {
        if (c.of[i])
            update(&c, i);
        else
            insert(&c, i);
    }
    for (size_t i = 0; i < c.n_is; i++)
        if (c.is[i].wanted)
            hang_children(&c, &c.is[i]);
    *ret_ops = json_array_size(c.ops) ? c.ops : NULL;
    return NULL;
}

struct err *nb_sync(struct ctx *cx, struct ovsdb *o, const struct nb_want *w, struct nb_patience *p)
{
    json_t *results, *ops;
    TRY(ovsdb_transact(cx, o, nb_questions(w), &results));
    TRY(nb_changes(w, results, &ops));
    if (!ops)
        return NULL;
    TRY(nb_let_go(cx, o, ops, results, p));
    return ovsdb_transact(cx, o, json_incref(ops), &results);
}

struct err *nb_owners(struct ctx *cx, struct ovsdb *o, const char *prefix, const char ***ret,
                      size_t *ret_n)
{
    json_t *ops = json_array(), *results, *v;
    json_t *seen = json_own(cx, json_object());
    const char *name;
    for (size_t i = 0; i < nb_n_tables; i++)
        json_array_append_new(ops,
                              json_pack("{s:s,s:s,s:[],s:[s]}", "op", "select", "table",
                                        nb_tables[i].name, "where", "columns", "external_ids"));
    TRY(ovsdb_transact(cx, o, ops, &results));
    for (size_t i = 0; i < nb_n_tables; i++) {
        const json_t *rows = json_get(json_array_get(results, i), "rows");
        for (size_t k = 0; k < json_array_size(rows); k++) {
            const char *owner =
                ovsdb_map_get(json_get(json_array_get(rows, k), "external_ids"), NB_OWNER);
            if (owner && str_starts(owner, prefix))
                json_object_set_new(seen, owner + strlen(prefix), json_true());
        }
    }
    *ret = arena_new_array(cx->arena, const char *, json_object_size(seen) + 1);
    *ret_n = 0;
    json_object_foreach(seen, name, v)
    {
        (*ret)[(*ret_n)++] = arena_strdup(cx->arena, name);
    }
    (void)v;
    return NULL;
}
