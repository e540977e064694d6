/* SPDX-License-Identifier: EUPL-1.2 */
/* Flavors' extra specs, and which projects may use the ones that are not public. */
#include "compute/impl.h"
#include <ctype.h>

const struct stmt stmt_flavor_access_add = {
    "flavor_access_add",
    "INSERT INTO flavor_access (flavor_id, project_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"};
const struct stmt stmt_flavor_access_remove = {
    "flavor_access_remove", "DELETE FROM flavor_access WHERE flavor_id = $1 AND project_id = $2"};
const struct stmt stmt_flavor_access_list = {
    "flavor_access_list",
    "SELECT project_id FROM flavor_access WHERE flavor_id = $1 ORDER BY project_id"};

static struct err *find(struct call *c, struct flavor **ret)
{
    return flavor_find(c, call_param(c, "flavor_id"), ret);
}

/* ---------------------------------------------------------------- access */

static struct err *reply_access(struct call *c, const struct flavor *f)
{
    struct db_value id = V_TEXT(f->id);
    struct db_rows rows;
    TRY(db_query(c->cx, c->tx, &stmt_flavor_access_list, &id, 1, &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "flavor_access");
    for (size_t i = 0; i < rows.n_rows; i++) {
        jw_obj(&w);
        jw_kstr(&w, "flavor_id", f->id);
        jw_kstr(&w, "tenant_id", db_text(&rows, i, 0));
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *flavor_access(struct call *c)
{
    struct flavor *f;
    TRY(find(c, &f));
    if (f->is_public)
        return fail(c->cx, ERR_NOT_FOUND, "Access list not available for public flavors.");
    return reply_access(c, f);
}

struct err *flavor_action(struct call *c)
{
    struct flavor *f;
    const char *action, *tenant;
    const json_t *args;
    int64_t changed;
    TRY(body_only_member(c, &action, &args));
    bool add = str_eq(action, "addTenantAccess");
    if (!add && !str_eq(action, "removeTenantAccess"))
        return fail(c->cx, ERR_INVALID, "There is no such action: %s", action);
    TRY(find(c, &f));
    tenant = json_get_str(args, "tenant");
    if (!tenant || !*tenant || strlen(tenant) > 255)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute tenant. The project's id is needed");
    if (f->is_public)
        return fail(c->cx, ERR_CONFLICT, "Can not add access to a public flavor.");
    struct db_value params[] = {V_TEXT(f->id), V_TEXT(tenant)};
    TRY(db_exec(c->cx, c->tx, add ? &stmt_flavor_access_add : &stmt_flavor_access_remove, params, 2,
                &changed));
    if (!changed && add)
        return fail(c->cx, ERR_CONFLICT,
                    "Flavor access already exists for flavor %s and project %s combination.", f->id,
                    tenant);
    if (!changed)
        return fail(c->cx, ERR_NOT_FOUND, "Flavor access not found for %s / %s combination.", f->id,
                    tenant);
    return reply_access(c, f);
}

/* ---------------------------------------------------------------- extra specs */

static const json_t *specs_of(struct ctx *cx, const struct flavor *f)
{
    json_t *j = NULL;
    struct err *e = json_read(cx, f->extra_specs, strlen(f->extra_specs), &j);
    must(!e && json_is_object(j));
    return j;
}

static bool key_ok(const char *key)
{
    size_t n = strlen(key);
    for (const char *p = key; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-_:. ", *p))
            return false;
    return n > 0 && n <= 255;
}

static struct err *take_spec(struct call *c, json_t *specs, const char *key, const json_t *value)
{
    const char *text = json_is_number(value) ? json_text(c->cx, value) : json_string_value(value);
    if (!key_ok(key))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute extra_specs. '%s' does not match "
                    "'^[a-zA-Z0-9-_:. ]{1,255}$'",
                    key);
    if (!text || str_utf8_len(text) < 0 || str_utf8_len(text) > MAX_METADATA_TEXT)
        return bad_member(c, key, value, "A text of at most 255 characters is needed");
    if (c->microversion >= 86)
        TRY(flavor_spec_check(c, key, text));
    json_object_set_new(specs, key, json_string(text));
    return NULL;
}

static struct err *save(struct call *c, struct flavor *f, const json_t *specs)
{
    f->extra_specs = json_text(c->cx, specs);
    return res_update(c->cx, c->tx, &flavor_resource, f);
}

static struct err *reply_specs(struct call *c, const json_t *specs, bool wrapped)
{
    struct jw w = call_json(c, 200);
    if (wrapped) {
        jw_obj(&w);
        jw_key(&w, "extra_specs");
    }
    jw_json(&w, specs);
    if (wrapped)
        jw_obj_end(&w);
    return NULL;
}

struct err *flavor_specs(struct call *c)
{
    struct flavor *f;
    TRY(find(c, &f));
    return reply_specs(c, specs_of(c->cx, f), true);
}

struct err *flavor_specs_add(struct call *c)
{
    struct flavor *f;
    const json_t *given;
    const char *key;
    json_t *value;
    TRY(body_object(c, "extra_specs", &given));
    TRY(find(c, &f));
    json_t *specs = json_own(c->cx, json_copy((json_t *)(uintptr_t)specs_of(c->cx, f)));
    json_object_foreach((json_t *)(uintptr_t)given, key, value)
        TRY(take_spec(c, specs, key, value));
    TRY(save(c, f, specs));
    return reply_specs(c, given, true);
}

static struct err *no_spec(struct call *c, const struct flavor *f)
{
    return fail(c->cx, ERR_NOT_FOUND, "Flavor %s has no extra specs with key %s.", f->id,
                call_param(c, "key"));
}

static struct err *reply_spec(struct call *c, const json_t *specs)
{
    json_t *one = json_own(c->cx, json_object());
    json_object_set(one, call_param(c, "key"), json_object_get(specs, call_param(c, "key")));
    return reply_specs(c, one, false);
}

struct err *flavor_spec_show(struct call *c)
{
    struct flavor *f;
    TRY(find(c, &f));
    const json_t *specs = specs_of(c->cx, f);
    return json_get(specs, call_param(c, "key")) ? reply_spec(c, specs) : no_spec(c, f);
}

struct err *flavor_spec_set(struct call *c)
{
    struct flavor *f;
    const char *key;
    const json_t *value;
    TRY(body_only_member(c, &key, &value));
    if (!str_eq(key, call_param(c, "key")))
        return fail(c->cx, ERR_INVALID, "Request body and URI mismatch");
    TRY(find(c, &f));
    json_t *specs = json_own(c->cx, json_copy((json_t *)(uintptr_t)specs_of(c->cx, f)));
    TRY(take_spec(c, specs, key, value));
    TRY(save(c, f, specs));
    return reply_spec(c, specs);
}

struct err *flavor_spec_delete(struct call *c)
{
    struct flavor *f;
    TRY(find(c, &f));
    json_t *specs = json_own(c->cx, json_copy((json_t *)(uintptr_t)specs_of(c->cx, f)));
    if (json_object_del(specs, call_param(c, "key")) != 0)
        return no_spec(c, f);
    TRY(save(c, f, specs));
    call_reply_empty(c, 200);
    return NULL;
}
