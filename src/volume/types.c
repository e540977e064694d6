/* SPDX-License-Identifier: EUPL-1.2 */
/* Types of volumes: who may see and use which. */
#include "volume/impl.h"

static void encode_is_public(struct ctx *cx UNUSED, struct jw *w, const void *row,
                             const struct view *v UNUSED)
{
    jw_bool(w, ((const struct volume_type *)row)->is_public);
}

/* Administrators see all; others what says something about the volumes. */
bool volume_spec_visible(const char *key)
{
    return str_eq(key, "multiattach") || str_eq(key, "RESKEY:availability_zones") ||
           str_eq(key, "replication_enabled");
}

static void encode_extra_specs(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    const struct volume_type *t = row;
    json_t *specs = NULL, *value;
    const char *key;
    if (v->admin || json_read(cx, t->extra_specs, strlen(t->extra_specs), &specs)) {
        jw_raw(w, t->extra_specs);
        return;
    }
    jw_obj(w);
    json_object_foreach(specs, key, value)
    {
        if (volume_spec_visible(key))
            jw_kstr(w, key, json_string_value(value));
    }
    jw_obj_end(w);
}

/* Not in the answers to a create and an update. */
static bool shown_read(const void *row UNUSED, const struct view *v)
{
    const struct call *c = v->call;
    return !c || str_eq(c->rq->method, "GET");
}

static bool shown_access(const void *row UNUSED, const struct view *v)
{
    const struct call *c = v->call;
    return !c || !str_eq(c->rq->method, "PUT");
}

#define RESOURCE volume_type
#define RESOURCE_DEF "volume/volume_type.def"
#include "resource/declare_fields.h"

static const struct res_index type_indexes[] = {{"volume_types_name", "name", true, NULL}};
const struct resource volume_type_resource = {.name = "volume_type",
                                              .plural = "volume_types",
                                              .table = "volume_types",
                                              RESOURCE_FIELDS(volume_type),
                                              .extra = EXTRA_IGNORE,
                                              .owner = -1,
                                              .not_found = "Volume type %s could not be found.",
                                              .indexes = type_indexes,
                                              .n_indexes = ARRAY_LEN(type_indexes),
                                              .time_style = TIME_MICROS,
                                              .dflt_sort = "created_at:desc,id:desc",
                                              .doc = "What volumes are like."};

const struct stmt stmt_type_names = {"type_names", "SELECT id, name FROM volume_types"};
const struct stmt stmt_type_bootstrap = {
    "type_bootstrap",
    "INSERT INTO volume_types (id, name, is_public, description, extra_specs, qos_specs_id, "
    "created_at, updated_at, generation) VALUES ($1, $2, 1, $3, '{}', NULL, $4, $4, 1) ON CONFLICT "
    "DO NOTHING"};
const struct stmt stmt_type_access_has = {
    "type_access_has", "SELECT 1 FROM volume_type_access WHERE type_id = $1 AND project_id = $2"};
const struct res_where type_by_name = {&volume_type_resource, "name = $1", NULL};

struct err *volume_bootstrap(struct ctx *cx, struct store *s)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(cx, s, &tx));
    TRY(db_run(cx, tx, &stmt_type_bootstrap, V_TEXT(uuid_new(cx)), V_TEXT(DEFAULT_TYPE),
               V_TEXT("Default Volume Type"), V_INT(now_us(cx))));
    return tx_commit(cx, &tx);
}

/* ---------------------------------------------------------------- finding */

static struct err *may_use(struct call *c, const struct volume_type *t, bool *ret)
{
    const struct db_value params[] = {V_TEXT(t->id), V_TEXT(c->actor->project_id)};
    struct db_rows rows;
    *ret = t->is_public || c->actor->admin;
    if (*ret)
        return NULL;
    TRY(db_query(c->cx, c->tx, &stmt_type_access_has, params, 2, &rows));
    *ret = rows.n_rows > 0;
    return NULL;
}

struct err *volume_type_find(struct call *c, const char *name, struct volume_type **ret)
{
    void *row = NULL;
    bool usable = false;
    TRY(res_get(c->cx, c->tx, &volume_type_resource, name, &row));
    if (!row)
        TRY(res_first_by(c->cx, c->tx, &type_by_name, &row, V_TEXT(name)));
    if (row)
        TRY(may_use(c, row, &usable));
    if (!usable)
        return uuid_valid(name) ? res_not_found(c->cx, &volume_type_resource, name)
                                : fail(c->cx, ERR_NOT_FOUND,
                                       "Volume type with name %s could not be found.", name);
    *ret = row;
    return NULL;
}

struct err *volume_type_by_id(struct ctx *cx, struct tx *tx, const char *id,
                              struct volume_type **ret)
{
    void *row = NULL;
    TRY(res_find(cx, tx, &volume_type_resource, id, &row));
    *ret = row;
    return NULL;
}

void volume_type_write(struct ctx *cx, struct jw *w, const struct volume_type *t)
{
    jw_obj(w);
    jw_kstr(w, "id", t->id);
    jw_kstr(w, "name", t->name);
    jw_kstr(w, "description", t->description);
    jw_kbool(w, "is_public", t->is_public);
    jw_kraw(w, "extra_specs", "{}"); /* the administrator's */
    jw_kstr(w, "qos_specs_id", NULL);
    jw_kstr(w, "created_at", time_iso(cx, t->created_at, TIME_MICROS));
    jw_kstr(w, "updated_at",
            t->row.generation > 1 ? time_iso(cx, t->updated_at, TIME_MICROS) : NULL);
    jw_knull(w, "deleted_at");
    jw_kbool(w, "deleted", false);
    jw_obj_end(w);
}

struct err *volume_type_names(struct ctx *cx, struct tx *tx, struct db_rows *ret)
{
    return db_query(cx, tx, &stmt_type_names, NULL, 0, ret);
}

const char *volume_type_name(const struct db_rows *names, const char *type_id)
{
    for (size_t i = 0; i < names->n_rows; i++)
        if (str_eq(db_text(names, i, 0), type_id))
            return db_text(names, i, 1);
    return NULL;
}

/* ---------------------------------------------------------------- reading */

/* Administrators choose with is_public (None: all); others see what is public or opened to them. */
static struct err *list_where(struct call *c, const char **ret)
{
    const char *text = http_arg(c->rq, "is_public");
    bool b = true;
    *ret = "is_public = 1 OR id IN (SELECT type_id FROM volume_type_access WHERE project_id = $1)";
    if (!c->actor->admin)
        return NULL;
    *ret = "is_public = 1 AND $1 = $1";
    if (!text || strcasecmp(text, "none") == 0)
        *ret = text ? "$1 = $1" : *ret;
    else if (!str_to_bool(text, &b))
        return fail(c->cx, ERR_INVALID, "Invalid is_public filter [%s]", text);
    else if (!b)
        *ret = "is_public = 0 AND $1 = $1";
    return NULL;
}

/* By extra specs, since 3.52: those that the actor may see. */
static struct err *list_filter(struct call *c, const char *name, const char *value, bool *ret_taken,
                               const char **ret_sql)
{
    json_t *dict = NULL, *item;
    const char *key;
    *ret_taken = str_eq(name, "is_public") || str_eq(name, "extra_specs");
    if (!str_eq(name, "extra_specs") || c->microversion < 52)
        return NULL;
    TRY(volume_read_dict(c, name, value, &dict));
    json_object_foreach(dict, key, item)
    {
        if (!c->actor->admin && !volume_spec_visible(key))
            *ret_sql = "1 = 0";
    }
    c->state = dict;
    return NULL;
}

static bool keep_row(struct call *c, const void *row)
{
    return volume_has_metadata(c, ((const struct volume_type *)row)->extra_specs);
}

struct err *volume_type_list(struct call *c)
{
    struct db_value project = V_TEXT(c->actor->project_id ? c->actor->project_id : "");
    bool by_specs = c->microversion >= 52 && http_arg(c->rq, "extra_specs");
    struct list_more more = {.params = &project,
                             .n_params = 1,
                             .filter = list_filter,
                             .keep = by_specs ? keep_row : NULL};
    TRY(list_where(c, &more.where));
    return call_reply_list(c, &volume_type_resource, &more);
}

struct err *volume_type_show(struct call *c)
{
    struct volume_type *t;
    if (str_eq(call_param(c, "type_id"), "default"))
        TRY(volume_type_default(c, &t));
    else
        TRY(volume_type_find(c, call_param(c, "type_id"), &t));
    return call_reply_row(c, 200, &volume_type_resource, t);
}
