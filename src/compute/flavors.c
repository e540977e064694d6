/* SPDX-License-Identifier: EUPL-1.2 */
/* Flavors: who may see which, and the administrator's create, update and delete. Extra specs and
 * access: flavor_more.c. */
#include "compute/impl.h"
#include <ctype.h>

static const char *check_flavor_id(struct ctx *cx, const json_t *v, json_t **ret)
{
    const char *s = json_is_integer(v) ? json_text(cx, v) : json_string_value(v);
    if (!s)
        return arena_printf(cx->arena, "%s is not of type 'string', 'number', 'null'",
                            json_python(cx, v));
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(". _-", *p))
            return arena_printf(cx->arena, "'%s' does not match '^[a-zA-Z0-9. _-]*$'", s);
    if (!*s || *s == ' ' || s[strlen(s) - 1] == ' ')
        return arena_printf(cx->arena, "'%s' has leading or trailing blanks, or is empty", s);
    *ret = json_own(cx, json_string(s));
    return NULL;
}

static const char *check_rxtx_factor(struct ctx *cx, const json_t *v, json_t **ret)
{
    char *end = NULL;
    double d = json_is_string(v) ? strtod(json_string_value(v), &end) : json_number_value(v);
    if ((!json_is_number(v) && (!end || *end || end == json_string_value(v))) ||
        !(d >= 0 && d <= 3.40282e38))
        return arena_printf(cx->arena, "%s is not a number from 0 to 3.4e38", json_python(cx, v));
    *ret = json_own(cx, json_real(d));
    return NULL;
}

/* Older clients know "no swap" as an empty text. */
static void encode_swap(struct ctx *cx UNUSED, struct jw *w, const void *row, const struct view *v)
{
    const struct flavor *f = row;
    if (!f->swap && v->microversion < 75)
        jw_str(w, "");
    else
        jw_int(w, f->swap);
}

static void flavor_links(struct ctx *cx UNUSED, struct jw *w, const void *row, const struct view *v)
{
    const struct flavor *f = row;
    write_links(w, v->base_url, "flavors", f->id);
}

#define RESOURCE flavor
#define RESOURCE_DEF "compute/flavor.def"
#include "resource/declare_fields.h"

static const struct res_index flavor_indexes[] = {{"flavors_name", "name", true, NULL}};
const struct resource flavor_resource = {.name = "flavor",
                                         .plural = "flavors",
                                         .table = "flavors",
                                         RESOURCE_FIELDS(flavor),
                                         .owner = -1,
                                         .not_found = "Flavor %s could not be found.",
                                         .indexes = flavor_indexes,
                                         .n_indexes = ARRAY_LEN(flavor_indexes),
                                         .encode_more = flavor_links,
                                         .dflt_sort = "id",
                                         .doc = "The sizes that servers come in."};

const struct stmt stmt_flavor_names = {"flavor_names", "SELECT id FROM flavors WHERE name = $1"};
const struct stmt stmt_flavor_access_has = {
    "flavor_access_has", "SELECT 1 FROM flavor_access WHERE flavor_id = $1 AND project_id = $2"};
const struct stmt stmt_flavor_access_drop = {"flavor_access_drop",
                                             "DELETE FROM flavor_access WHERE flavor_id = $1"};
const struct stmt stmt_flavor_bootstrap = {
    "flavor_bootstrap", "INSERT INTO flavors (id, name, description, ram, disk, vcpus, swap, "
                        "ephemeral, rxtx_factor, is_public, disabled, "
                        "extra_specs, generation) VALUES ($1, $2, NULL, $3, $4, $5, 0, 0, '1.0', "
                        "1, 0, '{}', 1) ON CONFLICT DO NOTHING"};

/* ---------------------------------------------------------------- reading */

struct err *flavor_find(struct call *c, const char *id, struct flavor **ret)
{
    void *row = NULL;
    TRY(res_find(c->cx, c->tx, &flavor_resource, id, &row));
    const struct flavor *f = row;
    if (!f->is_public && !c->actor->admin) {
        struct db_value params[] = {V_TEXT(id), V_TEXT(c->actor->project_id)};
        struct db_rows rows;
        TRY(db_query(c->cx, c->tx, &stmt_flavor_access_has, params, 2, &rows));
        if (!rows.n_rows)
            return res_not_found(c->cx, &flavor_resource, id);
    }
    *ret = row;
    return NULL;
}

static struct err *list_filter(struct call *c, const char *name, const char *value, bool *ret_taken,
                               const char **ret_sql)
{
    int64_t n;
    bool ram = str_eq(name, "minRam");
    if (str_eq(name, "is_public")) {
        *ret_taken = true; /* taken by list_where */
        return NULL;
    }
    if (!ram && !str_eq(name, "minDisk"))
        return NULL;
    *ret_taken = true;
    if (!str_to_i64(value, INT32_MIN, INT32_MAX, &n))
        return fail(c->cx, ERR_INVALID, "Invalid %s filter [%s]", name, value);
    *ret_sql = arena_printf(c->cx->arena, "%s >= %" PRId64, ram ? "ram" : "disk", n);
    return NULL;
}

/* Administrators choose with is_public (None: all); others see what is public or opened to their
 * project. */
static struct err *list_where(struct call *c, const char **ret)
{
    static const char own[] =
        "is_public = 1 OR id IN (SELECT flavor_id FROM flavor_access WHERE project_id = $1)";
    const char *text = http_arg(c->rq, "is_public");
    bool b = true;
    *ret = own;
    if (!c->actor->admin || !text)
        return NULL;
    if (strcasecmp(text, "none") == 0)
        *ret = "$1 = $1";
    else if (!str_to_bool(text, &b))
        return fail(c->cx, ERR_INVALID, "Invalid is_public filter [%s]", text);
    else if (!b)
        *ret = "is_public = 0 AND $1 = $1";
    return NULL;
}

static struct err *reply_list(struct call *c, bool brief)
{
    struct db_value project = V_TEXT(c->actor->project_id ? c->actor->project_id : "");
    struct list_more more = {
        .params = &project, .n_params = 1, .brief = brief, .filter = list_filter};
    TRY(list_where(c, &more.where));
    return call_reply_list(c, &flavor_resource, &more);
}

struct err *flavor_list(struct call *c)
{
    return reply_list(c, true);
}

struct err *flavor_list_detail(struct call *c)
{
    return reply_list(c, false);
}

struct err *flavor_show(struct call *c)
{
    struct flavor *f;
    TRY(flavor_find(c, call_param(c, "flavor_id"), &f));
    return call_reply_row(c, 200, &flavor_resource, f);
}

/* ---------------------------------------------------------------- changing */

struct err *flavor_create(struct call *c)
{
    struct flavor *f = c->body;
    void *same = NULL;
    struct db_rows rows;
    struct db_value name = V_TEXT(f->name);
    if (!f->id || str_eq(f->id, "auto"))
        f->id = uuid_new(c->cx);
    TRY(res_get(c->cx, c->tx, &flavor_resource, f->id, &same));
    if (same)
        return fail(c->cx, ERR_EXISTS, "Flavor with ID %s already exists.", f->id);
    TRY(db_query(c->cx, c->tx, &stmt_flavor_names, &name, 1, &rows));
    if (rows.n_rows)
        return fail(c->cx, ERR_EXISTS, "Flavor with name %s already exists.", f->name);
    c->audit_target = f->id;
    TRY(res_insert(c->cx, c->tx, &flavor_resource, f));
    return call_reply_row(c, 200, &flavor_resource, f);
}

struct err *flavor_update(struct call *c)
{
    struct flavor *f = c->body;
    if (!row_given(&f->row, flavor_f_description))
        return c->service->family->missing(c->cx, &flavor_resource, "description");
    TRY(res_update(c->cx, c->tx, &flavor_resource, f));
    return call_reply_row(c, 200, &flavor_resource, f);
}

/* Servers carry a copy of their flavor: nothing refers to the row. */
struct err *flavor_delete(struct call *c)
{
    struct flavor *f;
    TRY(flavor_find(c, call_param(c, "flavor_id"), &f));
    TRY(db_run(c->cx, c->tx, &stmt_flavor_access_drop, V_TEXT(f->id)));
    TRY(res_delete(c->cx, c->tx, &flavor_resource, f));
    call_reply_empty(c, 202);
    return NULL;
}

struct err *compute_bootstrap(struct ctx *cx, struct store *s)
{
    static const struct {
        const char *id, *name;
        int64_t ram, disk, vcpus;
    } flavors[] = {{"1", "m1.tiny", 128, 1, 1},
                   {"2", "m1.small", 512, 5, 1},
                   {"3", "m1.medium", 2048, 20, 2},
                   {"4", "m1.large", 4096, 40, 4},
                   {"5", "m1.xlarge", 8192, 80, 8}};
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(cx, s, &tx));
    for (size_t i = 0; i < ARRAY_LEN(flavors); i++)
        TRY(db_run(cx, tx, &stmt_flavor_bootstrap, V_TEXT(flavors[i].id), V_TEXT(flavors[i].name),
                   V_INT(flavors[i].ram), V_INT(flavors[i].disk), V_INT(flavors[i].vcpus)));
    return tx_commit(cx, &tx);
}
