/* SPDX-License-Identifier: EUPL-1.2 */
/* Keypairs: import of public keys, or a new Ed25519 pair whose private half is answered once and
 * never stored. */
#include "compute/impl.h"
#include "compute/ssh_key.h"
#include "compute/x509_key.h"
#include <ctype.h>

static const char *const keypair_types[] = {"ssh", "x509", NULL};

static const char *check_keypair_name(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    const char *s = json_string_value(v);
    for (const char *p = s; p && *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-_ @.", *p))
            return arena_printf(
                cx->arena,
                "Keypair data is invalid: the name '%s' may only have letters, digits, blanks "
                "and @ . _ -",
                s);
    return NULL;
}

static const char *check_user_id(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    return json_is_string(v) && *json_string_value(v)
               ? NULL
               : arena_printf(cx->arena, "%s is not of type 'string'", json_python(cx, v));
}

/* The id and times appear in the answer to show alone. */
static bool shown_in_show(const void *row UNUSED, const struct view *v)
{
    return str_eq(((const struct call *)v->call)->rq->method, "GET");
}

static void encode_created_at(struct ctx *cx, struct jw *w, const void *row,
                              const struct view *v UNUSED)
{
    jw_str(w, time_iso(cx, ((const struct keypair *)row)->created_at, TIME_MICROS));
}

/* What show has beside the stored: clients expect the members, though keys are neither changed nor
 * kept when deleted. */
static void encode_constants(struct ctx *cx UNUSED, struct jw *w, const void *row,
                             const struct view *v)
{
    if (v->brief || !shown_in_show(row, v))
        return;
    jw_kbool(w, "deleted", false);
    jw_knull(w, "deleted_at");
    jw_knull(w, "updated_at");
}

#define RESOURCE keypair
#define RESOURCE_DEF "compute/keypair.def"
#include "resource/declare_fields.h"

static const struct res_index keypair_indexes[] = {
    {"keypairs_user_name", "user_id, name", true, NULL}};
const struct resource keypair_resource = {.name = "keypair",
                                          .plural = "keypairs",
                                          .table = "keypairs",
                                          RESOURCE_FIELDS(keypair),
                                          .owner = -1,
                                          .indexes = keypair_indexes,
                                          .n_indexes = ARRAY_LEN(keypair_indexes),
                                          .encode_more = encode_constants,
                                          .doc = "Public keys that servers let in."};

const struct res_where keypairs_by_user = {&keypair_resource, "user_id = $1 AND name > $2", "name"};
const struct res_where keypair_by_name = {&keypair_resource, "user_id = $1 AND name = $2", NULL};
const struct stmt stmt_keypair_count = {"keypair_count",
                                        "SELECT COUNT(*) FROM keypairs WHERE user_id = $1"};

struct err *keypair_find(struct call *c, const char *user_id, const char *name,
                         struct keypair **ret)
{
    void *row = NULL;
    TRY(res_first_by(c->cx, c->tx, &keypair_by_name, &row, V_TEXT(user_id), V_TEXT(name)));
    if (!row)
        return fail(c->cx, ERR_NOT_FOUND, "Keypair %s not found for user %s", name, user_id);
    *ret = row;
    return NULL;
}

/* Whose keypairs: since 2.10 an administrator may name another user. */
static struct err *user_of(struct call *c, const char **ret)
{
    const char *user = http_arg(c->rq, "user_id");
    *ret = c->actor->user_id;
    if (!user || c->microversion < 10 || str_eq(user, c->actor->user_id))
        return NULL;
    if (!c->actor->admin)
        return fail(c->cx, ERR_FORBIDDEN, "Policy doesn't allow %s to be performed.",
                    c->route->policy);
    *ret = user;
    return NULL;
}

struct err *keypair_list(struct call *c)
{
    const char *user, *marker = "", *text = http_arg(c->rq, "limit");
    int64_t limit = 1000;
    void **rows;
    size_t n;
    TRY(user_of(c, &user));
    const char *whose = str_eq(user, c->actor->user_id)
                            ? ""
                            : arena_printf(c->cx->arena, "user_id=%s&", str_url(c->cx, user));
    if (c->microversion >= 35) {
        if (text && !str_to_i64(text, 0, INT32_MAX, &limit))
            return fail(c->cx, ERR_INVALID,
                        "Invalid input for query parameters limit. Value: %s. '%s' does not match "
                        "'^[0-9]*$'",
                        text, text);
        if (http_arg(c->rq, "marker")) {
            struct keypair *last;
            struct err *e = keypair_find(c, user, http_arg(c->rq, "marker"), &last);
            if (e && e->kind == ERR_NOT_FOUND)
                return fail(c->cx, ERR_INVALID, "Marker %s could not be found.",
                            http_arg(c->rq, "marker"));
            TRY(e);
            marker = last->name;
        }
    }
    TRY(res_select_by(c->cx, c->tx, &keypairs_by_user, &rows, &n, V_TEXT(user), V_TEXT(marker)));
    limit = min_i64(limit, 1000);
    struct view v = call_view(c);
    v.brief = true;
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "keypairs");
    for (size_t i = 0; i < n && i < (size_t)limit; i++) {
        jw_obj(&w);
        jw_key(&w, "keypair");
        res_encode(c->cx, &w, &keypair_resource, rows[i], &v);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    if (n > (size_t)limit && limit && c->microversion >= 35) {
        jw_karr(&w, "keypairs_links");
        jw_obj(&w);
        jw_kstr(&w, "rel", "next");
        jw_kstr(&w, "href",
                arena_printf(c->cx->arena, "%s/os-keypairs?%slimit=%" PRId64 "&marker=%s",
                             v.base_url, whose, limit,
                             str_url(c->cx, ROW(keypair, rows, limit - 1)->name)));
        jw_obj_end(&w);
        jw_arr_end(&w);
    }
    jw_obj_end(&w);
    return NULL;
}

static struct err *check_quota(struct call *c, const char *user)
{
    int64_t limit;
    struct db_rows rows;
    struct db_value param = V_TEXT(user);
    TRY(user_quota_limit(c, "key_pairs", c->actor->project_id, user, &limit));
    TRY(db_query(c->cx, c->tx, &stmt_keypair_count, &param, 1, &rows));
    if (limit >= 0 && db_int(&rows, 0, 0) >= limit)
        return fail(c->cx, ERR_QUOTA, "Quota exceeded, too many key pairs.");
    return NULL;
}

/* What .before made. */
struct certificate {
    const char *text, *private_key;
};

/* A certificate takes long to make: not in the transaction. */
struct err *keypair_create_before(struct call *c)
{
    const json_t *given = json_get(c->json, "keypair"), *key = json_get(given, "public_key");
    bool wanted = str_eq(json_get_str(given, "type"), "x509") && (!key || json_is_null(key));
    const char *user = json_get_str(given, "user_id");
    if (!wanted || c->microversion < 2 || c->microversion >= 92)
        return NULL;
    struct certificate *x = arena_new_of(c->cx->arena, struct certificate);
    c->state = x;
    return x509_generate(c->cx, user ? user : c->actor->user_id, &x->text, &x->private_key);
}

static struct err *make_x509(struct call *c, struct keypair *k, const char **ret_private)
{
    const struct certificate *x = c->state;
    if (!k->public_key && !x)
        return c->service->family->missing(c->cx, &keypair_resource, "public_key");
    if (!k->public_key) {
        k->public_key = x->text;
        *ret_private = x->private_key;
    }
    return x509_fingerprint(c->cx, k->public_key, &k->fingerprint);
}

static struct err *make_key(struct call *c, struct keypair *k, const char **ret_private)
{
    if (str_eq(k->type, "x509"))
        return make_x509(c, k, ret_private);
    if (k->public_key)
        return ssh_fingerprint(c->cx, k->public_key, &k->fingerprint);
    if (c->microversion >= 92)
        return c->service->family->missing(c->cx, &keypair_resource, "public_key");
    TRY(ssh_generate(c->cx, "Generated-by-Colvert", &k->public_key, ret_private));
    return ssh_fingerprint(c->cx, k->public_key, &k->fingerprint);
}

struct err *keypair_create(struct call *c)
{
    struct keypair *k = c->body;
    const char *private_key = NULL;
    void *same = NULL;
    if (k->user_id && c->microversion < 10)
        return c->service->family->unknown(c->cx, &keypair_resource, "user_id");
    if (!k->user_id)
        k->user_id = c->actor->user_id;
    if (!str_eq(k->user_id, c->actor->user_id) && !c->actor->admin)
        return fail(c->cx, ERR_FORBIDDEN, "Policy doesn't allow %s to be performed.",
                    c->route->policy);
    if (c->microversion < 92 && strpbrk(k->name, "@."))
        return fail(c->cx, ERR_INVALID,
                    "Keypair data is invalid: Keypair name contains unsafe characters");
    TRY(res_first_by(c->cx, c->tx, &keypair_by_name, &same, V_TEXT(k->user_id), V_TEXT(k->name)));
    if (same)
        return fail(c->cx, ERR_EXISTS, "Key pair '%s' already exists.", k->name);
    TRY(check_quota(c, k->user_id));
    TRY(make_key(c, k, &private_key));
    k->id = uuid_new(c->cx);
    k->number = (int64_t)rng_below(c->cx->rng, INT32_MAX) + 1;
    TRY(res_insert(c->cx, c->tx, &keypair_resource, k));
    c->audit_target = k->name;
    struct view v = call_view(c);
    struct jw w = call_json(c, c->microversion >= 2 ? 201 : 200);
    jw_obj(&w);
    jw_kobj(&w, "keypair");
    jw_kstr(&w, "name", k->name);
    if (v.microversion >= 2)
        jw_kstr(&w, "type", k->type);
    jw_kstr(&w, "public_key", k->public_key);
    jw_kstr(&w, "fingerprint", k->fingerprint);
    jw_kstr(&w, "user_id", k->user_id);
    if (private_key)
        jw_kstr(&w, "private_key", private_key);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *keypair_show(struct call *c)
{
    const char *user;
    struct keypair *k;
    TRY(user_of(c, &user));
    TRY(keypair_find(c, user, call_param(c, "keypair_name"), &k));
    return call_reply_row(c, 200, &keypair_resource, k);
}

struct err *keypair_delete(struct call *c)
{
    const char *user;
    struct keypair *k;
    TRY(user_of(c, &user));
    TRY(keypair_find(c, user, call_param(c, "keypair_name"), &k));
    TRY(res_delete(c->cx, c->tx, &keypair_resource, k));
    call_reply_empty(c, c->microversion >= 2 ? 204 : 202);
    return NULL;
}
