/* SPDX-License-Identifier: EUPL-1.2 */
/* Access rules: the calls that an application credential is good for. A rule is its user's, and
 * may serve several credentials; the dispatcher holds requests against them (resource/access.c). */
#include "identity/resources.h"

const struct stmt stmt_credential_rule_add = {
    "credential_rule_add", "INSERT INTO application_credential_rules (application_credential_id, "
                           "access_rule_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"};
const struct stmt stmt_credential_rules = {
    "credential_rules",
    "SELECT r.id, r.path, r.method, r.service FROM application_credential_rules c JOIN "
    "access_rules "
    "r ON r.id = c.access_rule_id WHERE c.application_credential_id = $1 ORDER BY r.service, "
    "r.path, r.method"};
const struct stmt stmt_access_rule_used = {
    "access_rule_used", "SELECT 1 FROM application_credential_rules WHERE access_rule_id = $1"};

static const char *const rule_methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", NULL};

static const char *check_rule_path(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    const char *s = json_string_value(v);
    if (!s || *s == '/')
        return NULL; /* type and length are the field's own */
    return arena_printf(cx->arena, "%s does not match '^/.*'", json_python(cx, v));
}

#define RESOURCE access_rule
#define RESOURCE_DEF "identity/access_rule.def"
#include "resource/declare_fields.h"

static void access_rule_more(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    const struct access_rule *r = row;
    identity_links(w, cx, v, arena_printf(cx->arena, "users/%s/access_rules", r->user_id), r->id);
}

static const struct res_index indexes[] = {
    {"access_rules_user", "user_id, service, method, path", .unique = true}};
const struct resource access_rule_resource = {.name = "access_rule",
                                              .plural = "access_rules",
                                              .table = "access_rules",
                                              RESOURCE_FIELDS(access_rule),
                                              .owner = -1,
                                              .dflt_sort = "id",
                                              .not_found = "Could not find Access Rule: %s.",
                                              .indexes = indexes,
                                              .n_indexes = ARRAY_LEN(indexes),
                                              .encode_more = access_rule_more,
                                              .doc = "A call that a credential is good for."};
const struct res_where access_rule_like = {
    &access_rule_resource, "user_id = $1 AND service = $2 AND method = $3 AND path = $4", NULL};

/* ---------------------------------------------------------------- of a credential */

/* One of the user's by its id, or the user's like this, which is made when there is none yet. */
static struct err *take_rule(struct call *c, const char *user_id, const json_t *given,
                             const char **ret_id)
{
    const char *id = json_get_str(given, "id");
    struct access_rule *r, *like = NULL;
    if (id && json_object_size(given) == 1) {
        TRY(res_find(c->cx, c->tx, &access_rule_resource, id, (void **)&r));
        *ret_id = id;
        return str_eq(r->user_id, user_id) ? NULL : res_not_found(c->cx, &access_rule_resource, id);
    }
    r = res_new(c->cx, &access_rule_resource);
    TRY(res_decode(c->cx, c->service->family, &access_rule_resource, given, DECODE_CREATE, 0, false,
                   r));
    TRY(res_first_by(c->cx, c->tx, &access_rule_like, (void **)&like, V_TEXT(user_id),
                     V_TEXT(r->service), V_TEXT(r->method), V_TEXT(r->path)));
    *ret_id = like ? like->id : uuid_new_hex(c->cx);
    if (like)
        return NULL;
    r->id = *ret_id;
    r->user_id = user_id;
    return res_insert(c->cx, c->tx, &access_rule_resource, r);
}

struct err *access_rules_take(struct call *c, const char *credential_id, const char *user_id,
                              const json_t *rules)
{
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const char *id;
        TRY(take_rule(c, user_id, json_array_get(rules, i), &id));
        TRY(db_run(c->cx, c->tx, &stmt_credential_rule_add, V_TEXT(credential_id), V_TEXT(id)));
    }
    return NULL;
}

static struct err *rules_of(struct ctx *cx, struct tx *tx, const char *credential_id,
                            struct db_rows *rows)
{
    const struct db_value id = V_TEXT(credential_id);
    return db_query(cx, tx, &stmt_credential_rules, &id, 1, rows);
}

struct err *access_rules_write(struct ctx *cx, struct tx *tx, const char *credential_id,
                               struct jw *w)
{
    struct db_rows rows;
    TRY(rules_of(cx, tx, credential_id, &rows));
    jw_arr(w);
    for (size_t i = 0; i < rows.n_rows; i++) {
        jw_obj(w);
        jw_kstr(w, "id", db_text(&rows, i, 0));
        jw_kstr(w, "path", db_text(&rows, i, 1));
        jw_kstr(w, "method", db_text(&rows, i, 2));
        jw_kstr(w, "service", db_text(&rows, i, 3));
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return NULL;
}

struct err *access_rules_allow(struct ctx *cx, struct tx *tx, const char *credential_id,
                               struct actor *actor)
{
    struct db_rows rows;
    TRY(rules_of(cx, tx, credential_id, &rows));
    struct allowed_call *calls = arena_new_array(cx->arena, struct allowed_call, rows.n_rows + 1);
    for (size_t i = 0; i < rows.n_rows; i++)
        calls[i] =
            (struct allowed_call){db_text(&rows, i, 3), db_text(&rows, i, 2), db_text(&rows, i, 1)};
    actor->limited = true;
    actor->allowed = calls;
    actor->n_allowed = rows.n_rows;
    return NULL;
}

/* ---------------------------------------------------------------- calls */

static struct err *find(struct call *c, struct access_rule **ret)
{
    const char *id = call_param(c, "access_rule_id");
    TRY(identity_self_or_admin(c));
    TRY(res_find(c->cx, c->tx, &access_rule_resource, id, (void **)ret));
    return str_eq((*ret)->user_id, call_param(c, "user_id"))
               ? NULL
               : res_not_found(c->cx, &access_rule_resource, id);
}

struct err *access_rule_list(struct call *c)
{
    const struct db_value user = V_TEXT(call_param(c, "user_id"));
    const struct list_more more = {.where = "user_id = $1", .params = &user, .n_params = 1};
    TRY(identity_self_or_admin(c));
    return call_reply_list(c, &access_rule_resource, &more);
}

struct err *access_rule_show(struct call *c)
{
    struct access_rule *r;
    TRY(find(c, &r));
    return call_reply_row(c, 200, &access_rule_resource, r);
}

struct err *access_rule_delete(struct call *c)
{
    struct access_rule *r;
    struct db_rows rows;
    TRY(find(c, &r));
    TRY(identity_not_delegated(c));
    const struct db_value id = V_TEXT(r->id);
    TRY(db_query(c->cx, c->tx, &stmt_access_rule_used, &id, 1, &rows));
    if (rows.n_rows)
        return fail(c->cx, ERR_FORBIDDEN,
                    "You are not authorized to perform the requested action: an application "
                    "credential uses the access rule %s.",
                    r->id);
    TRY(res_delete(c->cx, c->tx, &access_rule_resource, r));
    call_reply_empty(c, 204);
    return NULL;
}
