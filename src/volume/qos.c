/* SPDX-License-Identifier: EUPL-1.2 */
/* qos-specs: keys and values for a type's volumes, for those who keep to them. */
#include "volume/impl.h"

static const char *const qos_consumers[] = {"front-end", "back-end", "both", NULL};

#define RESOURCE qos_specs
#define RESOURCE_DEF "volume/qos_specs.def"
#include "resource/declare_fields.h"

static const struct res_index qos_indexes[] = {{"volume_qos_name", "name", true, NULL}};
const struct resource qos_specs_resource = {.name = "qos_specs",
                                            .plural = "qos_specs",
                                            .table = "volume_qos_specs",
                                            RESOURCE_FIELDS(qos_specs),
                                            .extra = EXTRA_KEEP,
                                            .extra_member = qos_specs_f_specs,
                                            .owner = -1,
                                            .not_found = "No such qos_specs with id %s.",
                                            .indexes = qos_indexes,
                                            .n_indexes = ARRAY_LEN(qos_indexes),
                                            .time_style = TIME_MICROS,
                                            .dflt_sort = "created_at:desc,id:desc",
                                            .doc = "Quality of service."};
const struct res_where types_of_qos = {&volume_type_resource, "qos_specs_id = $1", "name"};
const struct res_where qos_by_name = {&qos_specs_resource, "name = $1", NULL};

struct err *volume_qos_list(struct call *c)
{
    return call_reply_list(c, &qos_specs_resource, NULL);
}

static struct err *reply(struct call *c, const struct qos_specs *q)
{
    struct view v = call_view(c);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "qos_specs");
    res_encode(c->cx, &w, &qos_specs_resource, q, &v);
    volume_links(c->cx, &w, &v, "qos-specs", q->id);
    jw_obj_end(&w);
    return NULL;
}

struct err *volume_qos_show(struct call *c)
{
    return reply(c, c->target);
}

struct err *volume_qos_create(struct call *c)
{
    struct qos_specs *q = c->body;
    void *same = NULL;
    TRY(res_first_by(c->cx, c->tx, &qos_by_name, &same, V_TEXT(q->name)));
    if (same)
        return fail(c->cx, ERR_EXISTS, "QoS Specs %s already exists.", q->name);
    q->id = uuid_new(c->cx);
    c->audit_target = q->id;
    TRY(res_insert(c->cx, c->tx, &qos_specs_resource, q));
    return reply(c, q);
}

static json_t *specs_of(struct call *c, const struct qos_specs *q)
{
    json_t *map = NULL;
    struct err *e = json_read(c->cx, q->specs, strlen(q->specs), &map);
    must(!e);
    return map;
}

struct err *volume_qos_set(struct call *c)
{
    struct qos_specs *q = c->target;
    const json_t *given;
    const char *key;
    json_t *value, *map = specs_of(c, q);
    TRY(volume_body_object(c, "qos_specs", &given));
    json_object_foreach((json_t *)(uintptr_t)given, key, value)
    {
        if (!json_is_string(value) || str_utf8_len(key) > 255 ||
            str_utf8_len(json_string_value(value)) > 255 || !*key)
            return volume_bad_member(c, key, value, "keys and values are texts of up to 255");
        if (str_eq(key, "consumer") && !str_in(json_string_value(value), qos_consumers))
            return volume_bad_member(c, key, value,
                                     "it is not one of ['front-end', 'back-end', 'both']");
        if (str_eq(key, "consumer"))
            q->consumer = json_string_value(value);
        else
            json_object_set(map, key, value);
    }
    if (json_object_size(map) > 128)
        return volume_bad_member(c, "qos_specs", given, "there would be more than 128 keys");
    q->specs = json_text(c->cx, map);
    TRY(res_update(c->cx, c->tx, &qos_specs_resource, q));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kjson(&w, "qos_specs", given);
    jw_obj_end(&w);
    return NULL;
}

struct err *volume_qos_unset(struct call *c)
{
    struct qos_specs *q = c->target;
    const json_t *keys = json_get(c->json, "keys");
    json_t *map = specs_of(c, q);
    if (!json_is_array(keys))
        return fail(c->cx, ERR_INVALID, "Missing required element 'keys' in request body.");
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *key = json_string_value(json_array_get(keys, i));
        if (!key || json_object_del(map, key) != 0)
            return fail(c->cx, ERR_NOT_FOUND, "QoS spec %s has no spec with key %s.", q->id,
                        key ? key : "that is no text");
    }
    q->specs = json_text(c->cx, map);
    TRY(res_update(c->cx, c->tx, &qos_specs_resource, q));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- associations */

static struct err *types_of(struct call *c, const char *qos_id, void ***ret, size_t *ret_n)
{
    return res_select_by(c->cx, c->tx, &types_of_qos, ret, ret_n, V_TEXT(qos_id));
}

static struct err *end_all(struct call *c, const char *qos_id)
{
    void **types;
    size_t n;
    TRY(types_of(c, qos_id, &types, &n));
    for (size_t i = 0; i < n; i++) {
        ROW(volume_type, types, i)->qos_specs_id = NULL;
        TRY(res_update(c->cx, c->tx, &volume_type_resource, types[i]));
    }
    return NULL;
}

struct err *volume_qos_delete(struct call *c)
{
    const struct qos_specs *q = c->target;
    const char *text = http_arg(c->rq, "force");
    bool force = false;
    void **types;
    size_t n;
    if (text && !str_to_bool(text, &force))
        return fail(c->cx, ERR_INVALID, "Invalid value for force: '%s' is not a boolean", text);
    TRY(types_of(c, q->id, &types, &n));
    if (n && !force)
        return fail(c->cx, ERR_INVALID, "QoS Specs %s is still associated with entities.", q->id);
    TRY(end_all(c, q->id));
    TRY(res_delete(c->cx, c->tx, &qos_specs_resource, c->target));
    call_reply_empty(c, 202);
    return NULL;
}

struct err *volume_qos_associations(struct call *c)
{
    void **types;
    size_t n;
    TRY(types_of(c, ((const struct qos_specs *)c->target)->id, &types, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "qos_associations");
    for (size_t i = 0; i < n; i++) {
        jw_obj(&w);
        jw_kstr(&w, "association_type", "volume_type");
        jw_kstr(&w, "name", ROW(volume_type, types, i)->name);
        jw_kstr(&w, "id", ROW(volume_type, types, i)->id);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* The type of ?vol_type_id=. */
static struct err *named_type(struct call *c, struct volume_type **ret)
{
    const char *id = http_arg(c->rq, "vol_type_id");
    void *row = NULL;
    if (!id)
        return fail(c->cx, ERR_INVALID, "Volume Type id must not be None.");
    TRY(res_find(c->cx, c->tx, &volume_type_resource, id, &row));
    *ret = row;
    return NULL;
}

static struct err *set_qos(struct call *c, struct volume_type *t, const char *qos_id)
{
    t->qos_specs_id = qos_id;
    TRY(res_update(c->cx, c->tx, &volume_type_resource, t));
    call_reply_empty(c, 202);
    return NULL;
}

struct err *volume_qos_associate(struct call *c)
{
    const struct qos_specs *q = c->target;
    struct volume_type *t;
    TRY(named_type(c, &t));
    if (t->qos_specs_id && !str_eq(t->qos_specs_id, q->id))
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume type: Type %s is already associated with another qos specs: "
                    "%s",
                    t->id, t->qos_specs_id);
    return set_qos(c, t, q->id);
}

struct err *volume_qos_disassociate(struct call *c)
{
    struct volume_type *t;
    TRY(named_type(c, &t));
    return set_qos(c, t,
                   str_eq(t->qos_specs_id, ((const struct qos_specs *)c->target)->id)
                       ? NULL
                       : t->qos_specs_id);
}

struct err *volume_qos_disassociate_all(struct call *c)
{
    TRY(end_all(c, ((const struct qos_specs *)c->target)->id));
    call_reply_empty(c, 202);
    return NULL;
}
