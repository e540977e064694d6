/* SPDX-License-Identifier: EUPL-1.2 */
/* See fleet.h: hosts, their secrets, and touching what they are told. The feed itself is feed.c. */
#include "fleet/fleet_impl.h"

#define X(name_, sql_)                                                                             \
    const struct stmt fleet_stmt_##name_ = {.name = "fleet_" #name_, .sql = sql_};
FLEET_STMTS(X)
#undef X

enum { KINDS_MAX = 8 };
/* After the store was away, agents take so much longer to be heard again. */
#define AFTER_AWAY_US (INT64_C(2000000) * FLEET_HEARTBEAT_S)

/* Set once, before the first request. */
static const struct fleet_kind *kinds[KINDS_MAX];
static size_t n_kinds;
static void (*on_change)(void *arg, const char *host_id);
static void *on_change_arg;
static pthread_mutex_t on_change_lock = PTHREAD_MUTEX_INITIALIZER;
static fleet_image_fn *open_image;
static const struct fleet_upload *upload_parts;

void fleet_add_kind(const struct fleet_kind *kind)
{
    for (size_t i = 0; i < n_kinds; i++) {
        if (str_eq(kinds[i]->name, kind->name)) {
            kinds[i] = kind;
            return;
        }
    }
    must(n_kinds < KINDS_MAX);
    kinds[n_kinds++] = kind;
}

const struct fleet_kind *fleet_kind_find(const char *name)
{
    for (size_t i = 0; i < n_kinds; i++)
        if (str_eq(kinds[i]->name, name))
            return kinds[i];
    return NULL;
}

const struct fleet_kind *fleet_kind_at(size_t i)
{
    return i < n_kinds ? kinds[i] : NULL;
}

void fleet_on_change(void (*fn)(void *arg, const char *host_id), void *arg)
{
    AUTO_LOCK(&on_change_lock);
    on_change = fn;
    on_change_arg = arg;
}

struct topic fleet_topic(const char *host_id)
{
    struct topic t;
    snprintf(t.text, sizeof(t.text), "host:%s", host_id);
    return t;
}

void fleet_wake_api(void *api, const char *host_id)
{
    api_wake(api, fleet_topic(host_id).text);
}

void fleet_set_images(fleet_image_fn *fn)
{
    open_image = fn;
}

void fleet_set_upload(const struct fleet_upload *upload)
{
    upload_parts = upload;
}

const struct fleet_upload *fleet_upload_parts(void)
{
    return upload_parts;
}

struct err *fleet_open_image(struct ctx *cx, struct tx *tx, const char *host_id,
                             const char *image_id, int *ret_fd, int64_t *ret_size)
{
    if (!open_image)
        return fail(cx, ERR_NOT_FOUND, "No image service here");
    return open_image(cx, tx, host_id, image_id, ret_fd, ret_size);
}

/* ---- touching ---- */

static void tell(void *host_id)
{
    AUTO_LOCK(&on_change_lock); /* whoever unset it knows that no call is under way */
    if (on_change)
        on_change(on_change_arg, host_id);
}

struct err *fleet_touch(struct ctx *cx, struct tx *tx, const char *host_id, const char *kind,
                        const char *item_id)
{
    must(fleet_kind_find(kind));
    struct db_value host = V_TEXT(host_id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_bump, &host, 1, &rows));
    if (!rows.n_rows)
        return fail(cx, ERR_NOT_FOUND, "Host %s could not be found.", host_id);
    TRY(db_run(cx, tx, &fleet_stmt_change_put, host, V_TEXT(kind), V_TEXT(item_id),
               V_INT(db_int(&rows, 0, 0))));
    tx_on_commit(tx, tell, arena_strdup(cx->arena, host_id));
    tx_notify(tx, fleet_topic(host_id).text);
    return NULL;
}

struct err *fleet_touch_all(struct ctx *cx, struct tx *tx, const char *kind, const char *item_id)
{
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_host_ids, NULL, 0, &rows));
    for (size_t i = 0; i < rows.n_rows; i++)
        TRY(fleet_touch(cx, tx, db_text(&rows, i, 0), kind, item_id));
    return NULL;
}

/* ---- hosts ---- */

bool fleet_heard(int64_t last_seen_us, int64_t now_us, struct store_absence away)
{
    int64_t silent_us = now_us - last_seen_us;
    int64_t until_us = away.until_us ? away.until_us : now_us;
    if (away.from_us && last_seen_us < until_us)
        silent_us -= until_us - max_i64(away.from_us, last_seen_us) + AFTER_AWAY_US;
    return silent_us < INT64_C(3000000) * FLEET_HEARTBEAT_S;
}

static struct fleet_host host_of(struct ctx *cx, struct tx *tx, const struct db_rows *r, size_t i)
{
    struct fleet_host h = {
        .id = db_text(r, i, 0),
        .name = db_text(r, i, 1),
        .zone = db_text(r, i, 2),
        .hypervisor_type = db_text(r, i, 3),
        .agent_url = db_text(r, i, 4),
        .cpu_info = db_text(r, i, 5),
        .disabled_reason = db_text(r, i, 6),
        .vcpus = db_int(r, i, 7),
        .memory_mib = db_int(r, i, 8),
        .disk_gib = db_int(r, i, 9),
        .hypervisor_version = db_int(r, i, 10),
        .last_seen_us = db_int(r, i, 11),
        .created_us = db_int(r, i, 12),
        .updated_us = db_int(r, i, 13),
        .enabled = db_int(r, i, 14) != 0,
        .forced_down = db_int(r, i, 16) != 0,
        .uptime = db_text(r, i, 17),
        .revision = db_int(r, i, 18),
    };
    h.secret_sha256 = db_text(r, i, 15);
    h.enrolled = !*h.secret_sha256;
    h.alive = !h.forced_down && h.last_seen_us &&
              fleet_heard(h.last_seen_us, now_us(cx), store_absence(tx_store(tx)));
    return h;
}

struct err *fleet_hosts(struct ctx *cx, struct tx *tx, struct fleet_host **ret, size_t *ret_n)
{
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_hosts, NULL, 0, &rows));
    struct fleet_host *out = arena_new_array(cx->arena, struct fleet_host, rows.n_rows + 1);
    for (size_t i = 0; i < rows.n_rows; i++)
        out[i] = host_of(cx, tx, &rows, i);
    *ret = out;
    *ret_n = rows.n_rows;
    return NULL;
}

struct err *fleet_host_get(struct ctx *cx, struct tx *tx, const char *host_id,
                           struct fleet_host *ret)
{
    struct db_value id = V_TEXT(host_id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_host, &id, 1, &rows));
    if (!rows.n_rows)
        return fail(cx, ERR_NOT_FOUND, "Host %s could not be found.", host_id);
    *ret = host_of(cx, tx, &rows, 0);
    return NULL;
}

struct err *fleet_host_set_enabled(struct ctx *cx, struct tx *tx, const char *host_id, bool enabled,
                                   const char *reason)
{
    const struct db_value params[] = {V_TEXT(host_id), V_INT(enabled),
                                      V_TEXT(enabled ? NULL : reason), V_INT(now_us(cx))};
    int64_t changes = 0;
    TRY(db_exec(cx, tx, &fleet_stmt_host_set_enabled, params, ARRAY_LEN(params), &changes));
    if (!changes)
        return fail(cx, ERR_NOT_FOUND, "Host %s could not be found.", host_id);
    return NULL;
}

struct err *fleet_host_changed(struct ctx *cx, struct tx *tx, const char *host_id)
{
    struct db_value id = V_TEXT(host_id);
    struct db_rows rows;
    return db_query(cx, tx, &fleet_stmt_bump, &id, 1, &rows);
}

struct err *fleet_host_force_down(struct ctx *cx, struct tx *tx, const char *host_id, bool down)
{
    return db_run(cx, tx, &fleet_stmt_host_force_down, V_TEXT(host_id), V_INT(down),
                  V_INT(now_us(cx)));
}

struct err *fleet_host_remove(struct ctx *cx, struct tx *tx, const char *host_id)
{
    return db_run(cx, tx, &fleet_stmt_host_remove, V_TEXT(host_id));
}

struct err *fleet_host_add(struct ctx *cx, struct tx *tx, const char *name, const char *secret,
                           const char **ret_id)
{
    if (strlen(secret) < 16)
        return fail(cx, ERR_INVALID, "A host's secret has at least 16 characters");
    const char *hash = sha256_hex(cx, secret, strlen(secret));
    struct db_value by_name = V_TEXT(name);
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_host_by_name, &by_name, 1, &rows));
    if (rows.n_rows) {
        *ret_id = db_text(&rows, 0, 0);
        return db_run(cx, tx, &fleet_stmt_host_set_secret, V_TEXT(*ret_id), V_TEXT(hash),
                      V_INT(now_us(cx)));
    }
    const char *id = uuid_new(cx);
    TRY(db_run(cx, tx, &fleet_stmt_host_add, V_TEXT(id), by_name, V_TEXT(hash), V_INT(now_us(cx))));
    *ret_id = id;
    return NULL;
}

struct err *fleet_authenticate(struct ctx *cx, struct tx *tx, const char *secret, const char *host,
                               struct actor *ret)
{
    const char *given = sha256_hex(cx, secret, strlen(secret));
    struct db_value param = V_TEXT(host);
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_host_secret, &param, 1, &rows));
    for (size_t i = 0; i < rows.n_rows; i++) {
        const char *kept = db_text(&rows, i, 1);
        if (secret_eq(given, strlen(given), kept, strlen(kept))) {
            ret->host_id = db_text(&rows, i, 0);
            return NULL;
        }
    }
    return fail(
        cx, ERR_UNAUTHENTICATED,
        "No host '%s' with this secret: see the agent's secret file; hosts on other machines join"
        " with certificates (`colvert admin host add`)",
        host);
}
