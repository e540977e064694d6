/* SPDX-License-Identifier: EUPL-1.2 */
/* Where volumes can lie: the fleet's hosts with what is promised on their disks, and what they can
 * do. The sums are SQL's, from the volumes themselves. */
#include "volume/impl.h"

const struct stmt stmt_volume_use_by_host = {
    "volume_use_by_host",
    "SELECT place, CAST(SUM(gib) AS BIGINT) FROM (SELECT host_id AS place, size_gib AS gib FROM "
    "volumes WHERE host_id IS NOT NULL AND pool_id IS NULL UNION ALL SELECT v.host_id, s.size_gib "
    "FROM snapshots s JOIN volumes v ON v.id = s.volume_id WHERE v.host_id IS NOT NULL AND "
    "v.pool_id IS NULL) AS promised GROUP BY place"};
const struct stmt stmt_volume_use_on_host = {
    "volume_use_on_host",
    "SELECT place, CAST(SUM(gib) AS BIGINT) FROM (SELECT host_id AS place, size_gib AS gib FROM "
    "volumes WHERE host_id = $1 AND pool_id IS NULL UNION ALL SELECT s.host_id, s.size_gib FROM "
    "snapshots s JOIN volumes v ON v.id = s.volume_id WHERE s.host_id = $1 AND v.pool_id IS NULL) "
    "AS promised GROUP BY place"};
/* On hosts' own disks and in pools: a place is either's id. */
const struct stmt stmt_volume_use_by_place = {
    "volume_use_by_place",
    "SELECT place, CAST(SUM(gib) AS BIGINT), CAST(SUM(is_volume) AS BIGINT) FROM (SELECT "
    "COALESCE(pool_id, host_id) AS place, size_gib AS gib, 1 AS is_volume FROM volumes WHERE "
    "host_id IS NOT NULL UNION ALL SELECT COALESCE(v.pool_id, v.host_id), s.size_gib, 0 FROM "
    "snapshots s JOIN volumes v ON v.id = s.volume_id WHERE v.host_id IS NOT NULL) AS promised "
    "GROUP BY place"};
const struct stmt stmt_host_settings = {
    "host_settings", "SELECT host_id, enabled, reason, frozen FROM volume_host_settings"};

struct err *volume_use_by_host(struct ctx *cx, struct tx *tx, const char *host_id,
                               struct db_rows *ret)
{
    const struct db_value param = V_TEXT(host_id);
    return host_id ? db_query(cx, tx, &stmt_volume_use_on_host, &param, 1, ret)
                   : db_query(cx, tx, &stmt_volume_use_by_host, NULL, 0, ret);
}

#define HOLDS_LIKE                                                                                 \
    "host_id IS NOT NULL AND (CAST($1 AS TEXT) IS NULL OR host_id = $1) AND (CAST($2 AS TEXT) IS " \
    "NULL OR id = $2) AND (CAST($3 AS TEXT) IS NULL OR project_id = $3) AND (CAST($4 AS TEXT) IS " \
    "NULL OR user_id = $4)"
const struct stmt stmt_volume_holds = {
    "volume_holds",
    "SELECT id, host_id, project_id, user_id, size_gib FROM volumes WHERE pool_id IS NULL "
    "AND " HOLDS_LIKE
    " UNION ALL SELECT id, host_id, project_id, user_id, size_gib FROM snapshots WHERE volume_id "
    "NOT IN (SELECT id FROM volumes WHERE pool_id IS NOT NULL) AND " HOLDS_LIKE " ORDER BY 1"};

struct err *volume_holds(struct ctx *cx, struct tx *tx, const char *host_id, const char *id,
                         const char *project_id, const char *user_id, struct db_rows *ret)
{
    const struct db_value like[] = {V_TEXT(host_id), V_TEXT(id), V_TEXT(project_id),
                                    V_TEXT(user_id)};
    return db_query(cx, tx, &stmt_volume_holds, like, ARRAY_LEN(like), ret);
}

/* The host's row among these, whose first column is its id; -1: none. */
static int64_t place_in(const struct db_rows *rows, const char *host_id)
{
    for (size_t i = 0; i < rows->n_rows; i++)
        if (str_eq(db_text(rows, i, 0), host_id))
            return (int64_t)i;
    return -1;
}

static int64_t number_of(const struct db_rows *rows, const char *host_id, size_t column)
{
    int64_t i = place_in(rows, host_id);
    return i < 0 ? 0 : db_int(rows, (size_t)i, column);
}

static void take_settings(struct volume_host *h, const struct db_rows *settings)
{
    int64_t i = place_in(settings, h->id);
    if (i < 0)
        return;
    h->enabled = db_int(settings, (size_t)i, 1) != 0;
    h->disabled_reason = db_text(settings, (size_t)i, 2);
    h->frozen = db_int(settings, (size_t)i, 3) != 0;
}

/* Why it takes no new volumes; a host that compute does not use may still. */
static const char *closed(struct ctx *cx, const struct volume_host *h)
{
    const char *why = !h->enabled ? "is disabled"
                      : h->frozen ? "is frozen"
                      : !h->alive ? "does not answer"
                                  : NULL;
    return why ? arena_printf(cx->arena, "host %s %s", h->name, why) : NULL;
}

static struct volume_host host_of(const struct fleet_host *h)
{
    return (struct volume_host){.id = h->id,
                                .name = h->name,
                                .zone = h->zone && *h->zone ? h->zone : volume_cfg.default_zone,
                                .alive = h->alive,
                                .enabled = true,
                                .pool_id = h->pool_id,
                                .total_gib = h->pool_id ? h->pool_gib : h->disk_gib,
                                .last_seen_us = h->last_seen_us ? h->last_seen_us : h->updated_us};
}

struct err *volume_hosts(struct ctx *cx, struct tx *tx, struct volume_host **ret, size_t *ret_n)
{
    struct fleet_host *hosts;
    struct db_rows own, others = {0}, zones = {0}, settings;
    size_t n;
    TRY(fleet_hosts(cx, tx, &hosts, &n));
    TRY(db_query(cx, tx, &stmt_volume_use_by_place, NULL, 0, &own));
    TRY(db_query(cx, tx, &stmt_host_settings, NULL, 0, &settings));
    if (volume_cfg.used_elsewhere)
        TRY(volume_cfg.used_elsewhere(cx, tx, &others));
    if (volume_cfg.zones)
        TRY(volume_cfg.zones(cx, tx, &zones));
    struct volume_host *out = arena_new_array(cx->arena, struct volume_host, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct volume_host *h = &out[i];
        *h = host_of(&hosts[i]);
        const char *place = h->pool_id ? h->pool_id : h->id;
        h->own_gib = number_of(&own, place, 1);
        h->used_gib = h->own_gib + (h->pool_id ? 0 : number_of(&others, h->id, 1));
        h->volumes = number_of(&own, place, 2);
        int64_t zone = place_in(&zones, h->id);
        h->zone = zone < 0 ? h->zone : db_text(&zones, (size_t)zone, 1);
        take_settings(h, &settings);
        h->reason = closed(cx, h);
    }
    *ret = out;
    *ret_n = n;
    return NULL;
}

const char *volume_host_text(struct ctx *cx, const char *host_name)
{
    return arena_printf(cx->arena, "%s@%s#%s", host_name, BACKEND, BACKEND);
}

/* ---------------------------------------------------------------- what hosts can do */

json_t *volume_host_capabilities(struct ctx *cx, const struct volume_host *h)
{
    int64_t free_gib = max_i64(0, h->total_gib - h->used_gib);
    json_t *j = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:b,s:I,s:I,s:I,s:I,s:i,s:s,s:s,s:I,s:s}",
        "volume_backend_name", BACKEND, "pool_name", BACKEND, "vendor_name", VENDOR,
        "driver_version", COLVERT_VERSION, "storage_protocol", "file", "QoS_support", 0,
        "multiattach", 0, "thin_provisioning_support", 1, "thick_provisioning_support", 0,
        "total_capacity_gb", (json_int_t)h->total_gib, "free_capacity_gb", (json_int_t)free_gib,
        "allocated_capacity_gb", (json_int_t)h->own_gib, "provisioned_capacity_gb",
        (json_int_t)h->used_gib, "reserved_percentage", 0, "max_over_subscription_ratio", "1.0",
        "backend_state", h->alive ? "up" : "down", "total_volumes", (json_int_t)h->volumes,
        "timestamp", time_iso(cx, h->last_seen_us, TIME_MICROS));
    must(j);
    return json_own(cx, j);
}

static const char *capability_text(struct ctx *cx, const json_t *v)
{
    return json_is_string(v) ? json_string_value(v) : json_python(cx, v); /* True, 100 */
}

/* "<is> True", "<in> text", ">= 10", or the text itself: as cinder's scheduler reads extra specs.
 */
static bool spec_fits(struct ctx *cx, const char *spec, const json_t *capability)
{
    const char *has = capability_text(cx, capability);
    char *end;
    if (str_starts(spec, "<is> ")) {
        bool a = false, b = false;
        return str_to_bool(spec + 5, &a) && str_to_bool(has, &b) && a == b;
    }
    if (str_starts(spec, "<in> "))
        return strstr(has, spec + 5) != NULL;
    if (str_starts(spec, ">= "))
        return strtod(has, NULL) >= strtod(spec + 3, &end);
    if (str_starts(spec, "<= "))
        return strtod(has, NULL) <= strtod(spec + 3, &end);
    if (str_starts(spec, "s== "))
        return str_eq(has, spec + 4);
    return str_eq(has, spec);
}

static bool in_zones(struct ctx *cx, const char *zones, const char *zone)
{
    char **parts;
    size_t n = str_split(cx, zones, ',', &parts);
    for (size_t i = 0; i < n; i++) {
        const char *p = parts[i] + strspn(parts[i], " ");
        if (str_eq(p, zone))
            return true;
    }
    return false;
}

/* The first of the type's extra specs that the host does not have; NULL: none. Keys of other scopes
 * are for drivers. */
static const char *lacks(struct ctx *cx, const struct volume_host *h, const struct volume_type *t)
{
    json_t *specs = NULL, *value, *capabilities = volume_host_capabilities(cx, h);
    const char *key;
    struct err *e = json_read(cx, t->extra_specs, strlen(t->extra_specs), &specs);
    must(!e);
    json_object_foreach(specs, key, value)
    {
        const char *name = str_starts(key, "capabilities:") ? key + strlen("capabilities:") : key;
        const char *wanted = json_string_value(value);
        if (str_eq(key, "RESKEY:availability_zones")) {
            if (!in_zones(cx, wanted, h->zone))
                return key;
            continue;
        }
        if (strchr(name, ':'))
            continue;
        const json_t *has = json_get(capabilities, name);
        if (!has || !spec_fits(cx, wanted, has))
            return key;
    }
    return NULL;
}

/* ---------------------------------------------------------------- placement */

/* Why this host does not take it; NULL: it does. */
static const char *refuses(struct ctx *cx, const struct volume_host *h,
                           const struct place_wish *wish)
{
    for (size_t i = 0; i < wish->n_not_on; i++)
        if (str_eq(wish->not_on[i], h->id))
            return arena_printf(cx->arena, "it shall not lie on host %s", h->name);
    if (wish->zone && !str_eq(wish->zone, h->zone))
        return arena_printf(cx->arena, "host %s is in another availability zone", h->name);
    const char *spec = wish->type ? lacks(cx, h, wish->type) : NULL;
    if (spec)
        return arena_printf(cx->arena, "host %s does not have what type %s asks for in %s", h->name,
                            wish->type->name, spec);
    if (!wish->size_gib) /* it lies there already */
        return NULL;
    if (h->reason)
        return h->reason;
    if (h->total_gib - h->used_gib < wish->size_gib)
        return arena_printf(
            cx->arena,
            "host %s has %" PRId64 " GiB left of %" PRId64 ", and %" PRId64 " are wanted", h->name,
            max_i64(0, h->total_gib - h->used_gib), h->total_gib, wish->size_gib);
    return NULL;
}

struct err *volume_place(struct ctx *cx, struct tx *tx, const struct place_wish *wish,
                         const struct volume_host **ret, const char **ret_reason)
{
    struct volume_host *hosts;
    size_t n;
    *ret = NULL;
    *ret_reason = "there is no host";
    TRY(volume_hosts(cx, tx, &hosts, &n));
    for (size_t i = 0; i < n; i++) {
        const struct volume_host *h = &hosts[i];
        if (wish->host_id && !str_eq(wish->host_id, h->id))
            continue;
        const char *why = refuses(cx, h, wish);
        if (why)
            *ret_reason = why;
        else if (!*ret || h->total_gib - h->used_gib > (*ret)->total_gib - (*ret)->used_gib)
            *ret = h;
    }
    return NULL;
}
