/* SPDX-License-Identifier: EUPL-1.2 */
/* The administrator's part of types: create, change, delete; who may use them; extra specs. */
#include "volume/impl.h"

const struct stmt stmt_type_in_use = {
    "type_in_use", "SELECT 1 FROM volumes WHERE type_id = $1 UNION ALL SELECT 1 FROM snapshots "
                   "WHERE type_id = $1 UNION ALL SELECT 1 FROM volume_default_types WHERE type_id "
                   "= $1 LIMIT 1"};
const struct stmt stmt_type_access_add = {
    "type_access_add", "INSERT INTO volume_type_access (type_id, project_id) VALUES ($1, $2)"};
const struct stmt stmt_type_access_remove = {
    "type_access_remove", "DELETE FROM volume_type_access WHERE type_id = $1 AND project_id = $2"};
const struct stmt stmt_type_access_list = {
    "type_access_list",
    "SELECT project_id FROM volume_type_access WHERE type_id = $1 ORDER BY project_id"};
const struct stmt stmt_type_access_drop = {"type_access_drop",
                                           "DELETE FROM volume_type_access WHERE type_id = $1"};

static struct err *check_name_free(struct call *c, const struct volume_type *t)
{
    void *row = NULL;
    TRY(res_first_by(c->cx, c->tx, &type_by_name, &row, V_TEXT(t->name)));
    if (!row || str_eq(((const struct volume_type *)row)->id, t->id))
        return NULL;
    return fail(c->cx, ERR_EXISTS, "Volume Type %s already exists.", t->name);
}

struct err *volume_type_create(struct call *c)
{
    struct volume_type *t = c->body;
    t->id = uuid_new(c->cx);
    t->is_public = t->show_is_public;
    TRY(check_name_free(c, t));
    c->audit_target = t->id;
    TRY(res_insert(c->cx, c->tx, &volume_type_resource, t));
    return call_reply_row(c, 200, &volume_type_resource, t);
}

struct err *volume_type_update(struct call *c)
{
    struct volume_type *t = c->body;
    const struct volume_type *was = c->target;
    if (!row_given(&t->row, volume_type_f_name) && !row_given(&t->row, volume_type_f_description) &&
        !row_given(&t->row, volume_type_f_is_public))
        return fail(c->cx, ERR_INVALID,
                    "Specify volume type name, description, is_public or a combination thereof.");
    if (str_eq(was->name, DEFAULT_TYPE) && (!str_eq(t->name, was->name) || !t->is_public))
        return fail(c->cx, ERR_INVALID,
                    "The type %s keeps its name and is everybody's: it is for volumes that name "
                    "none.",
                    DEFAULT_TYPE);
    TRY(check_name_free(c, t));
    TRY(res_update(c->cx, c->tx, &volume_type_resource, t));
    return call_reply_row(c, 200, &volume_type_resource, t);
}

struct err *volume_type_in_use(struct call *c, const char *type_id, bool *ret)
{
    struct db_value id = V_TEXT(type_id);
    struct db_rows rows;
    TRY(db_query(c->cx, c->tx, &stmt_type_in_use, &id, 1, &rows));
    *ret = rows.n_rows > 0;
    return NULL;
}

struct err *volume_type_delete(struct call *c)
{
    const struct volume_type *t = c->target;
    bool used;
    if (str_eq(t->name, DEFAULT_TYPE))
        return fail(c->cx, ERR_INVALID,
                    "The volume type %s is the default volume type and cannot be deleted.", t->id);
    TRY(volume_type_in_use(c, t->id, &used));
    if (used)
        return fail(c->cx, ERR_INVALID, "Target volume type is still in use.");
    TRY(db_run(c->cx, c->tx, &stmt_type_access_drop, V_TEXT(t->id)));
    TRY(db_run(c->cx, c->tx, &stmt_encryption_drop, V_TEXT(t->id)));
    TRY(res_delete(c->cx, c->tx, &volume_type_resource, c->target));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- access */

struct err *volume_type_access(struct call *c)
{
    const struct volume_type *t = c->target;
    struct db_value id = V_TEXT(t->id);
    struct db_rows rows;
    if (t->is_public)
        return fail(c->cx, ERR_NOT_FOUND, "Access list not available for public volume types.");
    TRY(db_query(c->cx, c->tx, &stmt_type_access_list, &id, 1, &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "volume_type_access");
    for (size_t i = 0; i < rows.n_rows; i++) {
        jw_obj(&w);
        jw_kstr(&w, "volume_type_id", t->id);
        jw_kstr(&w, "project_id", db_text(&rows, i, 0));
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *add_access(struct call *c, const struct volume_type *t, const char *project)
{
    const struct db_value params[] = {V_TEXT(t->id), V_TEXT(project)};
    struct db_rows rows;
    TRY(db_query(c->cx, c->tx, &stmt_type_access_has, params, 2, &rows));
    if (rows.n_rows)
        return fail(c->cx, ERR_EXISTS, "Volume type access for %s / %s combination already exists.",
                    t->id, project);
    return db_exec(c->cx, c->tx, &stmt_type_access_add, params, 2, NULL);
}

static struct err *remove_access(struct call *c, const struct volume_type *t, const char *project)
{
    const struct db_value params[] = {V_TEXT(t->id), V_TEXT(project)};
    int64_t changes = 0;
    TRY(db_exec(c->cx, c->tx, &stmt_type_access_remove, params, 2, &changes));
    if (changes)
        return NULL;
    return fail(c->cx, ERR_NOT_FOUND, "Volume type access not found for %s / %s combination.",
                t->id, project);
}

struct err *volume_type_action(struct call *c)
{
    const struct volume_type *t = c->target;
    const char *name, *project = NULL;
    const json_t *args;
    TRY(volume_body_action(c, &name, &args));
    bool add = str_eq(name, "addProjectAccess");
    if (!add && !str_eq(name, "removeProjectAccess"))
        return fail(c->cx, ERR_INVALID, "There is no such action: %s", name);
    TRY(arg_text(c, args, "project", &project));
    if (!project || !*project)
        return fail(c->cx, ERR_INVALID, "Bad project format: project is not in proper format ()");
    if (t->is_public)
        return fail(c->cx, ERR_CONFLICT,
                    "Type access modification is not applicable to public volume type.");
    TRY(add ? add_access(c, t, project) : remove_access(c, t, project));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- extra specs */

/* A type the actor may use, with what it may see of its specs. */
static struct err *visible_specs(struct call *c, json_t **ret)
{
    struct volume_type *t;
    const char *key;
    json_t *value;
    void *next;
    TRY(volume_type_find(c, call_param(c, "type_id"), &t));
    TRY(volume_map_read(c, t->extra_specs, ret));
    json_object_foreach_safe(*ret, next, key, value)
    {
        if (!c->actor->admin && !volume_spec_visible(key))
            json_object_del(*ret, key);
    }
    return NULL;
}

struct err *volume_type_specs(struct call *c)
{
    json_t *specs;
    TRY(visible_specs(c, &specs));
    return volume_map_reply(c, 200, "extra_specs", specs);
}

static struct err *missing(struct call *c)
{
    return fail(c->cx, ERR_NOT_FOUND, "Volume Type %s has no extra specs with key %s.",
                call_param(c, "type_id"), call_param(c, "key"));
}

struct err *volume_type_spec_show(struct call *c)
{
    json_t *specs;
    const char *key = call_param(c, "key");
    TRY(visible_specs(c, &specs));
    return json_get(specs, key) ? volume_map_reply_one(c, specs, key) : missing(c);
}

static struct err *add_specs(struct call *c, const json_t *given)
{
    struct volume_type *t = c->target;
    json_t *map;
    TRY(volume_map_read(c, t->extra_specs, &map));
    TRY(volume_map_add(c, "extra_specs", map, given));
    t->extra_specs = json_text(c->cx, map);
    return res_update(c->cx, c->tx, &volume_type_resource, t);
}

struct err *volume_type_specs_add(struct call *c)
{
    const json_t *given;
    TRY(volume_body_object(c, "extra_specs", &given));
    TRY(add_specs(c, given));
    return volume_map_reply(c, 200, "extra_specs", given);
}

struct err *volume_type_spec_set(struct call *c)
{
    TRY(volume_map_one(c, call_param(c, "key")));
    TRY(add_specs(c, c->json));
    return volume_map_reply(c, 200, NULL, c->json);
}

struct err *volume_type_spec_delete(struct call *c)
{
    struct volume_type *t = c->target;
    json_t *map;
    TRY(volume_map_read(c, t->extra_specs, &map));
    if (json_object_del(map, call_param(c, "key")) != 0)
        return missing(c);
    t->extra_specs = json_text(c->cx, map);
    TRY(res_update(c->cx, c->tx, &volume_type_resource, t));
    call_reply_empty(c, 202);
    return NULL;
}
