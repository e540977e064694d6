/* SPDX-License-Identifier: EUPL-1.2 */
/* Credentials: blobs of a user's, kept as they are given. Those of type ec2 (an access key and a
 * secret) have calls of their own, and sign requests that are no OpenStack ones. */
#include "identity/resources.h"

static void credential_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    identity_self_link(w, cx, v, "credentials", ((const struct credential *)row)->id);
}

#define RESOURCE credential
#define RESOURCE_DEF "identity/credential.def"
#include "resource/declare_fields.h"

static const struct res_index indexes[] = {{"credentials_user", "user_id, type"},
                                           {"credentials_project", "project_id"}};
const struct resource credential_resource = {.name = "credential",
                                             .plural = "credentials",
                                             .table = "credentials",
                                             RESOURCE_FIELDS(credential),
                                             .owner = -1,
                                             .extra = EXTRA_IGNORE,
                                             .dflt_sort = "id",
                                             .not_found = "Could not find credential: %s.",
                                             .indexes = indexes,
                                             .n_indexes = ARRAY_LEN(indexes),
                                             .doc = "A user's secret for something else."};
const struct res_where ec2_of_user = {&credential_resource, "user_id = $1 AND type = 'ec2'", "id"};

/* Found by the access key without showing it. */
static const char *ec2_id(struct ctx *cx, const char *access)
{
    return sha256_hex(cx, access, strlen(access));
}

static struct err *own_or_admin(struct call *c, const char *user_id)
{
    return c->actor->admin || str_eq(c->actor->user_id, user_id) ? NULL : identity_forbidden(c);
}

/* A stranger's looks like one that is not there. */
static struct err *find(struct call *c, struct credential **ret)
{
    struct credential *k = NULL;
    TRY(identity_not_delegated(c));
    TRY(res_get(c->cx, c->tx, &credential_resource, call_param(c, "credential_id"), (void **)&k));
    if (!k && c->actor->admin)
        return res_not_found(c->cx, &credential_resource, call_param(c, "credential_id"));
    TRY(own_or_admin(c, k ? k->user_id : NULL));
    *ret = k;
    return NULL;
}

/* ---------------------------------------------------------------- /v3/credentials */

static struct err *invalid_blob(struct call *c, const char *what, const char *where)
{
    return fail(c->cx, ERR_INVALID,
                "Expecting to find %s in %s. The server could not comply with the request since it "
                "is either malformed or otherwise incorrect. The client is assumed to be in error.",
                what, where);
}

/* Of an EC2 one: {"access": …}, for a project. */
static struct err *check_ec2(struct call *c, const struct credential *k, const char **ret_access)
{
    json_t *blob = NULL;
    if (!k->project_id)
        return invalid_blob(c, "project_id", "credential");
    if (json_read(c->cx, k->blob, strlen(k->blob), &blob) || !json_is_object(blob))
        return fail(c->cx, ERR_INVALID, "Invalid blob in credential");
    *ret_access = json_get_str(blob, "access");
    return *ret_access ? NULL : invalid_blob(c, "access", "credential");
}

static struct err *owners_exist(struct call *c, const struct credential *k)
{
    void *row;
    TRY(res_find(c->cx, c->tx, &user_resource, k->user_id, &row));
    return k->project_id ? res_find(c->cx, c->tx, &project_resource, k->project_id, &row) : NULL;
}

static struct err *insert(struct call *c, struct credential *k)
{
    void *other = NULL;
    TRY(res_get(c->cx, c->tx, &credential_resource, k->id, &other));
    if (other)
        return fail(c->cx, ERR_EXISTS,
                    "Conflict occurred attempting to store credential - Duplicate entry.");
    c->audit_target = k->id;
    return res_insert(c->cx, c->tx, &credential_resource, k);
}

struct err *credential_create(struct call *c)
{
    struct credential *k = c->body;
    const char *access;
    TRY(own_or_admin(c, k->user_id));
    TRY(identity_not_delegated(c));
    TRY(owners_exist(c, k));
    k->id = uuid_new_hex(c->cx);
    if (str_eq(k->type, "ec2")) {
        TRY(check_ec2(c, k, &access));
        k->id = ec2_id(c->cx, access);
    }
    TRY(insert(c, k));
    return call_reply_row(c, 201, &credential_resource, k);
}

/* Others' are shown to administrators only. */
struct err *credential_list(struct call *c)
{
    const struct db_value user = V_TEXT(c->actor->user_id);
    const struct list_more own = {.where = "user_id = $1", .params = &user, .n_params = 1};
    TRY(identity_not_delegated(c));
    return call_reply_list(c, &credential_resource, c->actor->admin ? NULL : &own);
}

struct err *credential_show(struct call *c)
{
    struct credential *k;
    TRY(find(c, &k));
    return call_reply_row(c, 200, &credential_resource, k);
}

struct err *credential_update(struct call *c)
{
    struct credential *before, *k;
    const char *access;
    TRY(find(c, &before));
    k = arena_memdup(c->cx->arena, before, sizeof(*k));
    TRY(res_decode_body(c->cx, c->service->family, &credential_resource, c->json, DECODE_UPDATE, 0,
                        c->actor->admin, k));
    TRY(own_or_admin(c, k->user_id));
    TRY(owners_exist(c, k));
    if (str_eq(k->type, "ec2"))
        TRY(check_ec2(c, k, &access));
    TRY(res_update(c->cx, c->tx, &credential_resource, k));
    return call_reply_row(c, 200, &credential_resource, k);
}

struct err *credential_delete(struct call *c)
{
    struct credential *k;
    TRY(find(c, &k));
    TRY(res_delete(c->cx, c->tx, &credential_resource, k));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- /v3/users/…/OS-EC2 */

static void write_ec2(struct call *c, struct jw *w, const struct credential *k)
{
    json_t *blob = NULL;
    const char *access = NULL, *secret = NULL;
    if (!json_read(c->cx, k->blob, strlen(k->blob), &blob)) {
        access = json_get_str(blob, "access");
        secret = json_get_str(blob, "secret");
    }
    jw_obj(w);
    jw_kstr(w, "user_id", k->user_id);
    jw_kstr(w, "tenant_id", k->project_id);
    jw_kstr(w, "access", access);
    jw_kstr(w, "secret", secret);
    jw_knull(w, "trust_id");
    jw_kobj(w, "links");
    jw_kstr(w, "self",
            arena_printf(c->cx->arena, "%s/users/%s/credentials/OS-EC2/%s", call_base_url(c),
                         k->user_id, access));
    jw_obj_end(w);
    jw_obj_end(w);
}

static void reply_ec2(struct call *c, int status, const struct credential *k)
{
    struct jw w = call_json(c, status);
    jw_obj(&w);
    jw_key(&w, "credential");
    write_ec2(c, &w, k);
    jw_obj_end(&w);
}

struct err *ec2_create(struct call *c)
{
    struct credential *k = res_new(c->cx, &credential_resource);
    const char *access = uuid_new_hex(c->cx);
    uint8_t raw[32];
    char secret[2 * sizeof(raw) + 1];
    TRY(identity_self_or_admin(c));
    TRY(identity_not_delegated(c));
    rng_bytes(c->cx->rng, raw, sizeof(raw));
    hex_encode(raw, sizeof(raw), secret);
    k->project_id = json_get_str(c->json, "tenant_id");
    if (!k->project_id)
        return invalid_blob(c, "tenant_id", "request body");
    k->id = ec2_id(c->cx, access);
    k->user_id = call_param(c, "user_id");
    k->type = "ec2";
    k->blob = json_text(
        c->cx, json_own(c->cx, json_pack("{s:s, s:s}", "access", access, "secret", secret)));
    TRY(owners_exist(c, k));
    TRY(insert(c, k));
    reply_ec2(c, 201, k);
    secret_wipe(raw, sizeof(raw));
    secret_wipe(secret, sizeof(secret));
    return NULL;
}

struct err *ec2_list(struct call *c)
{
    void **rows;
    size_t n;
    TRY(identity_self_or_admin(c));
    TRY(identity_not_delegated(c));
    TRY(res_select_by(c->cx, c->tx, &ec2_of_user, &rows, &n, V_TEXT(call_param(c, "user_id"))));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "credentials");
    for (size_t i = 0; i < n; i++)
        write_ec2(c, &w, rows[i]);
    jw_arr_end(&w);
    identity_page_links(c, &w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *find_ec2(struct call *c, struct credential **ret)
{
    const char *access = call_param(c, "access");
    TRY(identity_self_or_admin(c));
    TRY(identity_not_delegated(c));
    TRY(res_get(c->cx, c->tx, &credential_resource, ec2_id(c->cx, access), (void **)ret));
    if (!*ret || !str_eq((*ret)->type, "ec2") || !str_eq((*ret)->user_id, call_param(c, "user_id")))
        return res_not_found(c->cx, &credential_resource, access);
    return NULL;
}

struct err *ec2_show(struct call *c)
{
    struct credential *k;
    TRY(find_ec2(c, &k));
    reply_ec2(c, 200, k);
    return NULL;
}

struct err *ec2_delete(struct call *c)
{
    struct credential *k;
    TRY(find_ec2(c, &k));
    TRY(res_delete(c->cx, c->tx, &credential_resource, k));
    call_reply_empty(c, 204);
    return NULL;
}
