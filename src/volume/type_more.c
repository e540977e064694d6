/* SPDX-License-Identifier: EUPL-1.2 */
/* What hangs on types: how their volumes shall be encrypted, and which type is whose default. */
#include "volume/impl.h"

/* ---------------------------------------------------------------- encryption */

const struct stmt stmt_encryption_get = {
    "encryption_get", "SELECT id, provider, control_location, cipher, key_size, created_at FROM "
                      "volume_type_encryption WHERE type_id = $1"};
const struct stmt stmt_encryption_put = {
    "encryption_put",
    "INSERT INTO volume_type_encryption (type_id, id, provider, control_location, cipher, "
    "key_size, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (type_id) DO UPDATE SET "
    "provider = excluded.provider, control_location = excluded.control_location, cipher = "
    "excluded.cipher, key_size = excluded.key_size"};
const struct stmt stmt_encryption_drop = {"encryption_drop",
                                          "DELETE FROM volume_type_encryption WHERE type_id = $1"};

struct encryption {
    const char *id, *provider, *control_location, *cipher;
    int64_t key_size, created_at;
};

static struct err *encryption_of(struct ctx *cx, struct tx *tx, const char *type_id,
                                 struct encryption *ret, bool *ret_found)
{
    struct db_value id = V_TEXT(type_id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_encryption_get, &id, 1, &rows));
    *ret_found = rows.n_rows > 0;
    if (!rows.n_rows)
        return NULL;
    bool sized = db_cell(&rows, 0, 4)->type == DB_INT;
    *ret = (struct encryption){.id = db_text(&rows, 0, 0),
                               .provider = db_text(&rows, 0, 1),
                               .control_location = db_text(&rows, 0, 2),
                               .cipher = db_text(&rows, 0, 3),
                               .key_size = sized ? db_int(&rows, 0, 4) : INT_NULL,
                               .created_at = db_int(&rows, 0, 5)};
    return NULL;
}

struct err *volume_type_encrypted(struct ctx *cx, struct tx *tx, const char *type_id, bool *ret)
{
    struct encryption e;
    return encryption_of(cx, tx, type_id, &e, ret);
}

static void write_encryption(struct jw *w, const struct encryption *e)
{
    jw_kstr(w, "provider", e->provider);
    jw_kstr(w, "control_location", e->control_location);
    jw_kstr(w, "cipher", e->cipher);
    if (e->key_size == INT_NULL)
        jw_knull(w, "key_size");
    else
        jw_kint(w, "key_size", e->key_size);
}

static const char *type_id_of(const struct call *c)
{
    return ((const struct volume_type *)c->target)->id;
}

/* None is an empty object. */
struct err *volume_encryption_show(struct call *c)
{
    struct encryption e;
    bool found;
    TRY(encryption_of(c->cx, c->tx, type_id_of(c), &e, &found));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    if (found) {
        jw_kstr(&w, "volume_type_id", type_id_of(c));
        jw_kstr(&w, "encryption_id", e.id);
        write_encryption(&w, &e);
        jw_kbool(&w, "deleted", false);
        jw_kstr(&w, "created_at", time_iso(c->cx, e.created_at, TIME_MICROS));
        jw_knull(&w, "updated_at");
        jw_knull(&w, "deleted_at");
    }
    jw_obj_end(&w);
    return NULL;
}

static struct err *not_found(struct call *c)
{
    return fail(c->cx, ERR_NOT_FOUND, "Volume type encryption for type %s does not exist.",
                type_id_of(c));
}

struct err *volume_encryption_item(struct call *c)
{
    struct encryption e;
    bool found;
    struct buf b;
    struct jw all;
    json_t *j = NULL;
    const char *key = call_param(c, "key");
    TRY(encryption_of(c->cx, c->tx, type_id_of(c), &e, &found));
    if (!found)
        return not_found(c);
    buf_init(&b, c->cx->arena);
    jw_init(&all, &b);
    jw_obj(&all);
    jw_kstr(&all, "encryption_id", e.id);
    write_encryption(&all, &e);
    jw_obj_end(&all);
    TRY(json_read(c->cx, buf_cstr(&b), b.len, &j));
    if (!json_get(j, key))
        return not_found(c);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kjson(&w, key, json_get(j, key));
    jw_obj_end(&w);
    return NULL;
}

static struct err *read_encryption(struct call *c, struct encryption *e)
{
    const json_t *given;
    TRY(volume_body_object(c, "encryption", &given));
    TRY(arg_text(c, given, "provider", &e->provider));
    TRY(arg_text(c, given, "control_location", &e->control_location));
    TRY(arg_text(c, given, "cipher", &e->cipher));
    TRY(arg_int(c, given, "key_size", &e->key_size));
    if (!e->provider || !*e->provider)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute encryption. 'provider' is a required "
                    "property");
    if (!e->control_location ||
        (!str_eq(e->control_location, "front-end") && !str_eq(e->control_location, "back-end")))
        return volume_bad_member(c, "control_location", json_get(given, "control_location"),
                                 "it is not one of ['front-end', 'back-end']");
    if (e->key_size != INT_NULL && (e->key_size < 0 || e->key_size > INT32_MAX))
        return volume_bad_member(c, "key_size", json_get(given, "key_size"),
                                 "it is no number from 0 to 2147483647");
    return NULL;
}

static struct err *save_encryption(struct call *c, const struct encryption *e)
{
    const struct db_value params[] = {
        V_TEXT(type_id_of(c)), V_TEXT(e->id),
        V_TEXT(e->provider),   V_TEXT(e->control_location),
        V_TEXT(e->cipher),     e->key_size == INT_NULL ? V_NULL() : V_INT(e->key_size),
        V_INT(e->created_at)};
    bool used;
    TRY(volume_type_in_use(c, type_id_of(c), &used));
    if (used)
        return fail(c->cx, ERR_INVALID,
                    "Cannot create or change encryption specs. Volume type in use.");
    return db_exec(c->cx, c->tx, &stmt_encryption_put, params, ARRAY_LEN(params), NULL);
}

static struct err *reply_encryption(struct call *c, const struct encryption *e, bool ids)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "encryption");
    if (ids) {
        jw_kstr(&w, "volume_type_id", type_id_of(c));
        jw_kstr(&w, "encryption_id", e->id);
    }
    write_encryption(&w, e);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *volume_encryption_create(struct call *c)
{
    struct encryption e;
    bool found;
    TRY(encryption_of(c->cx, c->tx, type_id_of(c), &e, &found));
    if (found)
        return fail(c->cx, ERR_EXISTS, "Volume type encryption for type %s already exists.",
                    type_id_of(c));
    e = (struct encryption){.id = uuid_new(c->cx),
                            .control_location = "front-end",
                            .key_size = INT_NULL,
                            .created_at = now_us(c->cx)};
    TRY(read_encryption(c, &e));
    TRY(save_encryption(c, &e));
    return reply_encryption(c, &e, true);
}

struct err *volume_encryption_update(struct call *c)
{
    struct encryption e;
    bool found;
    TRY(encryption_of(c->cx, c->tx, type_id_of(c), &e, &found));
    if (!found) /* a type has one, whatever clients call it in the path */
        return not_found(c);
    TRY(read_encryption(c, &e));
    TRY(save_encryption(c, &e));
    return reply_encryption(c, &e, false);
}

struct err *volume_encryption_delete(struct call *c)
{
    struct encryption e;
    bool found;
    TRY(encryption_of(c->cx, c->tx, type_id_of(c), &e, &found));
    if (!found)
        return not_found(c);
    TRY(db_run(c->cx, c->tx, &stmt_encryption_drop, V_TEXT(type_id_of(c))));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- defaults of projects */

const struct stmt stmt_default_type_get = {
    "default_type_get", "SELECT type_id FROM volume_default_types WHERE project_id = $1"};
const struct stmt stmt_default_type_list = {
    "default_type_list",
    "SELECT project_id, type_id FROM volume_default_types ORDER BY project_id"};
const struct stmt stmt_default_type_put = {
    "default_type_put", "INSERT INTO volume_default_types (project_id, type_id) VALUES ($1, $2) ON "
                        "CONFLICT (project_id) DO UPDATE SET type_id = excluded.type_id"};
const struct stmt stmt_default_type_drop = {
    "default_type_drop", "DELETE FROM volume_default_types WHERE project_id = $1"};

struct err *volume_type_default(struct call *c, struct volume_type **ret)
{
    struct db_value project = V_TEXT(c->actor->project_id ? c->actor->project_id : "");
    struct db_rows rows;
    void *row = NULL;
    TRY(db_query(c->cx, c->tx, &stmt_default_type_get, &project, 1, &rows));
    if (rows.n_rows)
        return volume_type_by_id(c->cx, c->tx, db_text(&rows, 0, 0), ret);
    TRY(res_first_by(c->cx, c->tx, &type_by_name, &row, V_TEXT(DEFAULT_TYPE)));
    if (!row)
        return fail(c->cx, ERR_INVALID, "There is no default volume type: name one");
    *ret = row;
    return NULL;
}

static void write_default(struct jw *w, const char *project_id, const char *type_id)
{
    jw_obj(w);
    jw_kstr(w, "project_id", project_id);
    jw_kstr(w, "volume_type_id", type_id);
    jw_obj_end(w);
}

static struct err *reply_default(struct call *c, const char *type_id)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "default_type");
    write_default(&w, call_param(c, "project"), type_id);
    jw_obj_end(&w);
    return NULL;
}

struct err *volume_default_list(struct call *c)
{
    struct db_rows rows;
    TRY(db_query(c->cx, c->tx, &stmt_default_type_list, NULL, 0, &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "default_types");
    for (size_t i = 0; i < rows.n_rows; i++)
        write_default(&w, db_text(&rows, i, 0), db_text(&rows, i, 1));
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *no_default(struct call *c)
{
    return fail(c->cx, ERR_NOT_FOUND, "Default type for project %s not found.",
                call_param(c, "project"));
}

struct err *volume_default_show(struct call *c)
{
    struct db_value project = V_TEXT(call_param(c, "project"));
    struct db_rows rows;
    TRY(db_query(c->cx, c->tx, &stmt_default_type_get, &project, 1, &rows));
    if (!rows.n_rows)
        return no_default(c);
    return reply_default(c, db_text(&rows, 0, 0));
}

struct err *volume_default_set(struct call *c)
{
    const json_t *given;
    const char *name = NULL;
    struct volume_type *type;
    TRY(volume_body_object(c, "default_type", &given));
    TRY(arg_text(c, given, "volume_type", &name));
    if (!name)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute default_type. 'volume_type' is a required "
                    "property");
    TRY(volume_type_find(c, name, &type));
    TRY(db_run(c->cx, c->tx, &stmt_default_type_put, V_TEXT(call_param(c, "project")),
               V_TEXT(type->id)));
    return reply_default(c, type->id);
}

struct err *volume_default_unset(struct call *c)
{
    struct db_value project = V_TEXT(call_param(c, "project"));
    int64_t changes = 0;
    TRY(db_exec(c->cx, c->tx, &stmt_default_type_drop, &project, 1, &changes));
    if (!changes)
        return no_default(c);
    call_reply_empty(c, 204);
    return NULL;
}
