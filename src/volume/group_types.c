/* SPDX-License-Identifier: EUPL-1.2 */
/* Types of groups, and their specs. */
#include "volume/impl.h"

#define RESOURCE group_type
#define RESOURCE_DEF "volume/group_type.def"
#include "resource/declare_fields.h"

static const struct res_index group_type_indexes[] = {
    {"volume_group_types_name", "name", true, NULL}};
const struct resource group_type_resource = {.name = "group_type",
                                             .plural = "group_types",
                                             .table = "volume_group_types",
                                             RESOURCE_FIELDS(group_type),
                                             .extra = EXTRA_IGNORE,
                                             .owner = -1,
                                             .not_found = "Group type %s could not be found.",
                                             .indexes = group_type_indexes,
                                             .n_indexes = ARRAY_LEN(group_type_indexes),
                                             .time_style = TIME_MICROS,
                                             .dflt_sort = "name:asc",
                                             .doc = "What groups of volumes are like."};
const struct res_where group_type_by_name = {&group_type_resource, "name = $1", NULL};
const struct stmt stmt_group_type_in_use = {
    "group_type_in_use", "SELECT 1 FROM volume_groups WHERE group_type_id = $1 LIMIT 1"};

struct err *group_type_find(struct call *c, const char *name, struct group_type **ret)
{
    void *row = NULL;
    TRY(res_get(c->cx, c->tx, &group_type_resource, name, &row));
    if (!row)
        TRY(res_first_by(c->cx, c->tx, &group_type_by_name, &row, V_TEXT(name)));
    if (!row || (!((const struct group_type *)row)->is_public && !c->actor->admin))
        return res_not_found(c->cx, &group_type_resource, name);
    *ret = row;
    return NULL;
}

/* Administrators choose with is_public (None: all); others see what is public. */
static struct err *list_where(struct call *c, const char **ret)
{
    const char *text = http_arg(c->rq, "is_public");
    bool b = true;
    *ret = "is_public = 1";
    if (!c->actor->admin || !text)
        return NULL;
    if (strcasecmp(text, "none") == 0)
        *ret = NULL;
    else if (!str_to_bool(text, &b))
        return fail(c->cx, ERR_INVALID, "Invalid is_public filter [%s]", text);
    else if (!b)
        *ret = "is_public = 0";
    return NULL;
}

static struct err *list_filter(struct call *c UNUSED, const char *name, const char *value UNUSED,
                               bool *ret_taken, const char **ret_sql UNUSED)
{
    *ret_taken = str_eq(name, "is_public");
    return NULL;
}

struct err *volume_group_type_list(struct call *c)
{
    struct list_more more = {.filter = list_filter};
    TRY(list_where(c, &more.where));
    return call_reply_list(c, &group_type_resource, &more);
}

struct err *volume_group_type_show(struct call *c)
{
    struct group_type *t;
    const char *id = call_param(c, "group_type_id");
    if (str_eq(id, "default"))
        return fail(c->cx, ERR_NOT_FOUND, "Default group type can not be found.");
    TRY(group_type_find(c, id, &t));
    return call_reply_row(c, 200, &group_type_resource, t);
}

static struct err *check_name_free(struct call *c, const struct group_type *t)
{
    void *row = NULL;
    TRY(res_first_by(c->cx, c->tx, &group_type_by_name, &row, V_TEXT(t->name)));
    if (!row || str_eq(((const struct group_type *)row)->id, t->id))
        return NULL;
    return fail(c->cx, ERR_EXISTS, "Group Type %s already exists.", t->name);
}

struct err *volume_group_type_create(struct call *c)
{
    struct group_type *t = c->body;
    t->id = uuid_new(c->cx);
    TRY(check_name_free(c, t));
    c->audit_target = t->id;
    TRY(res_insert(c->cx, c->tx, &group_type_resource, t));
    return call_reply_row(c, 202, &group_type_resource, t);
}

struct err *volume_group_type_update(struct call *c)
{
    struct group_type *t = c->body;
    TRY(check_name_free(c, t));
    TRY(res_update(c->cx, c->tx, &group_type_resource, t));
    return call_reply_row(c, 200, &group_type_resource, t);
}

struct err *volume_group_type_delete(struct call *c)
{
    struct db_value id = V_TEXT(((const struct group_type *)c->target)->id);
    struct db_rows rows;
    TRY(db_query(c->cx, c->tx, &stmt_group_type_in_use, &id, 1, &rows));
    if (rows.n_rows)
        return fail(c->cx, ERR_INVALID, "Target group type is still in use.");
    TRY(res_delete(c->cx, c->tx, &group_type_resource, c->target));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- specs */

struct err *volume_group_specs(struct call *c)
{
    json_t *map;
    TRY(volume_map_read(c, ((const struct group_type *)c->target)->group_specs, &map));
    return volume_map_reply(c, 200, "group_specs", map);
}

static struct err *save_specs(struct call *c, const json_t *map)
{
    struct group_type *t = c->target;
    t->group_specs = json_text(c->cx, map);
    return res_update(c->cx, c->tx, &group_type_resource, t);
}

static struct err *add_specs(struct call *c, const json_t *given)
{
    json_t *map;
    TRY(volume_map_read(c, ((const struct group_type *)c->target)->group_specs, &map));
    TRY(volume_map_add(c, "group_specs", map, given));
    return save_specs(c, map);
}

struct err *volume_group_specs_add(struct call *c)
{
    const json_t *given;
    TRY(volume_body_object(c, "group_specs", &given));
    TRY(add_specs(c, given));
    return volume_map_reply(c, 202, "group_specs", given);
}

static struct err *missing(struct call *c)
{
    return fail(c->cx, ERR_NOT_FOUND, "Group Type %s has no specs with key %s.",
                ((const struct group_type *)c->target)->id, call_param(c, "key"));
}

struct err *volume_group_spec_show(struct call *c)
{
    json_t *map;
    const char *key = call_param(c, "key");
    TRY(volume_map_read(c, ((const struct group_type *)c->target)->group_specs, &map));
    return json_get(map, key) ? volume_map_reply_one(c, map, key) : missing(c);
}

struct err *volume_group_spec_set(struct call *c)
{
    TRY(volume_map_one(c, call_param(c, "key")));
    TRY(add_specs(c, c->json));
    return volume_map_reply(c, 200, NULL, c->json);
}

struct err *volume_group_spec_delete(struct call *c)
{
    json_t *map;
    TRY(volume_map_read(c, ((const struct group_type *)c->target)->group_specs, &map));
    if (json_object_del(map, call_param(c, "key")) != 0)
        return missing(c);
    TRY(save_specs(c, map));
    call_reply_empty(c, 202);
    return NULL;
}
