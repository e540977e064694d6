/* SPDX-License-Identifier: EUPL-1.2 */
/* Transfers: a project gives a volume away, and whoever knows the key takes it. */
#include "volume/impl.h"

#define KEY_BYTES 16
#define SALT_BYTES 8

static bool shown_at_create(const void *row UNUSED, const struct view *v)
{
    const struct call *c = v->call;
    return c && c->route->handler == volume_transfer_create;
}

static bool shown_but_accept(const void *row UNUSED, const struct view *v)
{
    const struct call *c = v->call;
    return !c || c->route->handler != volume_transfer_accept;
}

/* The key itself is nowhere but in this answer. */
static void encode_key(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                       const struct view *v)
{
    jw_str(w, ((const struct call *)v->call)->state);
}

static void encode_null(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                        const struct view *v UNUSED)
{
    jw_null(w);
}

static void encode_false(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                         const struct view *v UNUSED)
{
    jw_bool(w, false);
}

static void encode_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    const struct call *c = v->call;
    const char *collection = c && strstr(c->route->pattern, "/volume-transfers")
                                 ? "volume-transfers"
                                 : "os-volume-transfer";
    volume_links(cx, w, v, collection, ((const struct transfer *)row)->id);
}

#define RESOURCE transfer
#define RESOURCE_DEF "volume/transfer.def"
#include "resource/declare_fields.h"

static const struct res_index transfer_indexes[] = {
    {"volume_transfers_volume", "volume_id", true, NULL},
    {"volume_transfers_project", "project_id, created_at, id", false, NULL}};
const struct resource transfer_resource = {.name = "transfer",
                                           .plural = "transfers",
                                           .table = "volume_transfers",
                                           RESOURCE_FIELDS(transfer),
                                           .extra = EXTRA_IGNORE,
                                           .owner = transfer_f_project_id,
                                           .not_found = "Transfer %s could not be found.",
                                           .indexes = transfer_indexes,
                                           .n_indexes = ARRAY_LEN(transfer_indexes),
                                           .time_style = TIME_MICROS,
                                           .encode_more = encode_links,
                                           .dflt_sort = "created_at:desc,id:desc",
                                           .doc = "A volume on its way to another project."};
const struct res_where transfer_of_volume = {&transfer_resource, "volume_id = $1", NULL};

static struct err *reply_list(struct call *c, bool brief)
{
    return call_reply_list(c, &transfer_resource, &(struct list_more){.brief = brief});
}

struct err *volume_transfer_list(struct call *c)
{
    return reply_list(c, true);
}

struct err *volume_transfer_list_detail(struct call *c)
{
    return reply_list(c, false);
}

struct err *volume_transfer_show(struct call *c)
{
    return call_reply_row(c, 200, &transfer_resource, c->target);
}

/* ---------------------------------------------------------------- give */

static const char *random_text(struct ctx *cx, size_t bytes)
{
    uint8_t raw[32];
    must(bytes <= sizeof(raw));
    rng_bytes(cx->rng, raw, bytes);
    char *hex = arena_alloc(cx->arena, 2 * bytes + 1);
    hex_encode(raw, bytes, hex);
    return hex;
}

/* The key is random and long: a salted digest is enough to keep. */
static const char *hash_of(struct ctx *cx, const char *salt, const char *key)
{
    const char *text = arena_printf(cx->arena, "volume-transfer:%s:%s", salt, key);
    return sha256_hex(cx, text, strlen(text));
}

static struct err *check_volume(struct call *c, const struct volume *v)
{
    void **rows;
    size_t n;
    bool source;
    if (v->group_id)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s belongs to a group: take it out first.", v->id);
    TRY(volume_is_source(c->cx, c->tx, v->id, &source));
    TRY(res_select_by(c->cx, c->tx, &snapshots_of_volume, &rows, &n, V_TEXT(v->id)));
    for (size_t i = 0; i < n && !source; i++) {
        const struct snapshot *s = rows[i];
        TRY(snapshot_is_source(c->cx, c->tx, s->id, &source));
        if (snapshot_state_of(s) != SN_AVAILABLE)
            return fail(c->cx, ERR_INVALID,
                        "Invalid snapshot: Snapshot %s of volume %s is %s, and must be available.",
                        s->id, v->id, snapshot_life_of(snapshot_state_of(s))->status);
    }
    if (source)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s is being copied to a new volume.", v->id);
    return NULL;
}

struct err *volume_transfer_create(struct call *c)
{
    struct transfer *t = c->body;
    struct volume *v;
    TRY(volume_get(c, t->volume_id, &v));
    TRY(check_volume(c, v));
    TRY(volume_begin(c, v, VA_TRANSFER));
    const char *key = random_text(c->cx, KEY_BYTES);
    t->id = uuid_new(c->cx);
    t->project_id = v->project_id;
    t->salt = random_text(c->cx, SALT_BYTES);
    t->key_hash = hash_of(c->cx, t->salt, key);
    c->audit_target = t->id;
    c->state = (void *)(uintptr_t)key;
    TRY(res_update(c->cx, c->tx, &volume_resource, v));
    TRY(res_insert(c->cx, c->tx, &transfer_resource, t));
    return call_reply_row(c, 202, &transfer_resource, t);
}

static struct err *volume_of(struct call *c, const struct transfer *t, struct volume **ret)
{
    void *row = NULL;
    TRY(res_find(c->cx, c->tx, &volume_resource, t->volume_id, &row));
    *ret = row;
    return NULL;
}

struct err *volume_transfer_delete(struct call *c)
{
    struct transfer *t = c->target;
    struct volume *v;
    TRY(volume_of(c, t, &v));
    TRY(volume_settle(c->cx, c->tx, v, VS(VS_TRANSFER)));
    TRY(res_delete(c->cx, c->tx, &transfer_resource, t));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- take */

static struct err *check_key(struct call *c, const struct transfer *t)
{
    const json_t *args;
    const char *key = NULL;
    TRY(volume_body_object(c, "accept", &args));
    TRY(arg_text(c, args, "auth_key", &key));
    const char *given = hash_of(c->cx, t->salt, key ? key : "");
    if (key && secret_eq(given, strlen(given), t->key_hash, strlen(t->key_hash)))
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "Invalid auth key: Attempt to transfer %s with invalid auth "
                "key.",
                t->id);
}

static struct err *check_room(struct call *c, const struct volume *v, void **snapshots, size_t n)
{
    struct volume_type *type;
    int64_t gib = v->size_gib;
    for (size_t i = 0; i < n; i++)
        gib += ROW(snapshot, snapshots, i)->size_gib;
    TRY(volume_type_find(c, v->type_id, &type)); /* one that the taker may use */
    TRY(volume_quota_check(c, c->actor->project_id, type, "volumes", 1, gib));
    if (n)
        TRY(volume_quota_check(c, c->actor->project_id, type, "snapshots", (int64_t)n, 0));
    return volume_quota_size(c, c->actor->project_id, v->size_gib);
}

struct err *volume_transfer_accept(struct call *c)
{
    void *row = NULL, **snapshots;
    struct volume *v;
    size_t n;
    const char *id = call_param(c, "transfer_id"); /* the taker knows it: it is another project's */
    c->audit_target = id;
    TRY(res_find(c->cx, c->tx, &transfer_resource, id, &row));
    struct transfer *t = row;
    TRY(check_key(c, t));
    TRY(volume_of(c, t, &v));
    if (volume_state_of(v) != VS_TRANSFER)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s status must be awaiting-transfer, but current "
                    "status is: %s.",
                    v->id, volume_life_of(volume_state_of(v))->status);
    TRY(res_select_by(c->cx, c->tx, &snapshots_of_volume, &snapshots, &n, V_TEXT(v->id)));
    n = t->no_snapshots ? 0 : n;
    TRY(check_room(c, v, snapshots, n));
    for (size_t i = 0; i < n; i++) {
        ROW(snapshot, snapshots, i)->project_id = c->actor->project_id;
        ROW(snapshot, snapshots, i)->user_id = c->actor->user_id;
        TRY(res_update(c->cx, c->tx, &snapshot_resource, snapshots[i]));
    }
    v->project_id = c->actor->project_id;
    v->user_id = c->actor->user_id;
    TRY(volume_settle(c->cx, c->tx, v, VS(VS_TRANSFER)));
    TRY(res_delete(c->cx, c->tx, &transfer_resource, t));
    return call_reply_row(c, 202, &transfer_resource, t);
}

/* The volume goes, or an administrator says that it is no longer on its way. */
struct err *volume_transfer_cancel(struct ctx *cx, struct tx *tx, const char *volume_id)
{
    void *row = NULL;
    TRY(res_first_by(cx, tx, &transfer_of_volume, &row, V_TEXT(volume_id)));
    return row ? res_delete(cx, tx, &transfer_resource, row) : NULL;
}
