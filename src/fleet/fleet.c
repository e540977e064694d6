/* SPDX-License-Identifier: EUPL-1.2 */
/* See fleet.h: hosts, their secrets, and touching what they are told. The feed itself is feed.c. */
#include "fleet/fleet_impl.h"

#define X(name_, sql_)                                                                             \
    const struct stmt fleet_stmt_##name_ = {.name = "fleet_" #name_, .sql = sql_};
FLEET_STMTS(X)
#undef X

enum { KINDS_MAX = 8 };
#define HOST_TOPIC "host:"
/* After the store was away, agents take so much longer to be heard again. */
#define AFTER_AWAY_US (INT64_C(2000000) * FLEET_HEARTBEAT_S)

/* Set once, before the first request. */
static const struct fleet_kind *kinds[KINDS_MAX];
static size_t n_kinds;
static void (*on_change)(void *arg, const char *host_id);
static void *on_change_arg;
static void (*on_difference)(struct store *store, const char *host_id);
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
    snprintf(t.text, sizeof(t.text), HOST_TOPIC "%s", host_id);
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

/* ---- what differs ---- */

#define DIFFERS_TOPIC "room:" /* and the host's id, or nothing */

void fleet_on_difference(void (*fn)(struct store *store, const char *host_id))
{
    on_difference = fn;
}

struct difference {
    struct store *store;
    const char *host_id;
};

static void tell_difference(void *arg)
{
    const struct difference *d = arg;
    if (on_difference)
        on_difference(d->store, d->host_id);
}

static void difference_on_commit(struct ctx *cx, struct tx *tx, const char *host_id)
{
    struct difference *d = arena_new_of(cx->arena, struct difference);
    *d = (struct difference){tx_store(tx), host_id ? arena_strdup(cx->arena, host_id) : NULL};
    tx_on_commit(tx, tell_difference, d);
}

void fleet_host_differs(struct ctx *cx, struct tx *tx, const char *host_id)
{
    difference_on_commit(cx, tx, host_id);
    tx_notify(tx, arena_printf(cx->arena, DIFFERS_TOPIC "%s", host_id ? host_id : ""));
}

void fleet_hears(struct store *store, const char *topic)
{
    static const char *const prefixes[] = {DIFFERS_TOPIC, HOST_TOPIC};
    if (!on_difference)
        return;
    if (!topic)
        on_difference(store, NULL);
    for (size_t i = 0; topic && i < ARRAY_LEN(prefixes); i++) {
        const char *id = topic + strlen(prefixes[i]);
        if (str_starts(topic, prefixes[i]))
            on_difference(store, *id ? id : NULL);
    }
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
    difference_on_commit(cx, tx, host_id);
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

/* rows are in the order of their first column. */
static bool is_among(const struct db_rows *rows, const char *id)
{
    size_t from = 0, to = rows->n_rows;
    while (from < to) {
        size_t mid = (from + to) / 2;
        int order = strcmp(db_text(rows, mid, 0), id);
        if (order == 0)
            return true;
        from = order < 0 ? mid + 1 : from;
        to = order < 0 ? to : mid;
    }
    return false;
}

struct err *fleet_touch_these(struct ctx *cx, struct tx *tx, const char *kind, const char *item_id,
                              const struct db_rows *hosts)
{
    const struct db_value item[] = {V_TEXT(kind), V_TEXT(item_id)};
    struct db_rows told;
    TRY(db_query(cx, tx, &fleet_stmt_told_of, item, 2, &told));
    for (size_t i = 0; i < told.n_rows; i++)
        TRY(fleet_touch(cx, tx, db_text(&told, i, 0), kind, item_id));
    for (size_t i = 0; i < hosts->n_rows; i++)
        if (!is_among(&told, db_text(hosts, i, 0)))
            TRY(fleet_touch(cx, tx, db_text(hosts, i, 0), kind, item_id));
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

static bool is_alive(struct ctx *cx, struct tx *tx, bool forced_down, int64_t last_seen_us)
{
    return !forced_down && last_seen_us &&
           fleet_heard(last_seen_us, now_us(cx), store_absence(tx_store(tx)));
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
        .lease_until_us = db_int(r, i, 19),
        .leased_since_us = db_int(r, i, 20),
        .pool_id = db_text(r, i, 21),
        .pool_gib = db_int(r, i, 22),
    };
    h.secret_sha256 = db_text(r, i, 15);
    h.enrolled = !*h.secret_sha256;
    h.alive = is_alive(cx, tx, h.forced_down, h.last_seen_us);
    return h;
}

struct err *fleet_pulses(struct ctx *cx, struct tx *tx, struct fleet_pulse **ret, size_t *ret_n)
{
    struct db_rows r;
    TRY(db_query(cx, tx, &fleet_stmt_pulses, NULL, 0, &r));
    struct fleet_pulse *out = arena_new_array(cx->arena, struct fleet_pulse, r.n_rows + 1);
    for (size_t i = 0; i < r.n_rows; i++)
        out[i] =
            (struct fleet_pulse){.id = db_text(&r, i, 0),
                                 .revision = db_int(&r, i, 1),
                                 .alive = is_alive(cx, tx, db_int(&r, i, 4) != 0, db_int(&r, i, 2)),
                                 .enabled = db_int(&r, i, 3) != 0,
                                 .vcpus = db_int(&r, i, 5),
                                 .memory_mib = db_int(&r, i, 6),
                                 .disk_gib = db_int(&r, i, 7)};
    *ret = out;
    *ret_n = r.n_rows;
    return NULL;
}

bool fleet_host_silent(struct ctx *cx, const struct fleet_host *h)
{
    return now_us(cx) > h->lease_until_us;
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

struct err *fleet_host_named(struct ctx *cx, struct tx *tx, const char *name, const char **ret_id)
{
    const struct db_value by_name = V_TEXT(name);
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_host_by_name, &by_name, 1, &rows));
    *ret_id = rows.n_rows ? db_text(&rows, 0, 0) : NULL;
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
    fleet_host_differs(cx, tx, host_id);
    return NULL;
}

struct err *fleet_host_changed(struct ctx *cx, struct tx *tx, const char *host_id)
{
    struct db_value id = V_TEXT(host_id);
    struct db_rows rows;
    fleet_host_differs(cx, tx, host_id);
    return db_query(cx, tx, &fleet_stmt_bump, &id, 1, &rows);
}

struct err *fleet_host_force_down(struct ctx *cx, struct tx *tx, const char *host_id, bool down)
{
    fleet_host_differs(cx, tx, host_id);
    return db_run(cx, tx, &fleet_stmt_host_force_down, V_TEXT(host_id), V_INT(down),
                  V_INT(now_us(cx)));
}

struct err *fleet_host_remove(struct ctx *cx, struct tx *tx, const char *host_id)
{
    fleet_host_differs(cx, tx, host_id);
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

struct err *fleet_writer_add(struct ctx *cx, struct tx *tx, const char *secret, const char **ret_id)
{
    TRY(fleet_host_add(cx, tx, FLEET_WRITER, secret, ret_id));
    return db_run(cx, tx, &fleet_stmt_host_set_role, V_TEXT(*ret_id), V_TEXT("network"));
}

struct err *fleet_writer(struct ctx *cx, struct tx *tx, const char **ret_id)
{
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_writer, NULL, 0, &rows));
    *ret_id = rows.n_rows ? db_text(&rows, 0, 0) : NULL;
    return NULL;
}

struct err *fleet_is_writer(struct ctx *cx, struct tx *tx, const char *host_id, bool *ret)
{
    struct db_value id = V_TEXT(host_id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_host_role, &id, 1, &rows));
    *ret = rows.n_rows && str_eq(db_text(&rows, 0, 0), "network");
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
