/* SPDX-License-Identifier: EUPL-1.2 */
/* Where volumes can lie: the fleet's hosts with what is promised on their disks. The sums are
 * SQL's, from the volumes themselves. */
#include "volume/impl.h"

static int64_t number_of(const struct db_rows *rows, const char *host_id, size_t column)
{
    for (size_t i = 0; i < rows->n_rows; i++)
        if (str_eq(db_text(rows, i, 0), host_id))
            return db_int(rows, i, column);
    return 0;
}

static struct volume_host host_of(struct ctx *cx, const struct fleet_host *h)
{
    return (struct volume_host){
        .id = h->id,
        .name = h->name,
        .zone = h->zone && *h->zone ? h->zone : volume_cfg.default_zone,
        .alive = h->alive,
        .enabled = h->enabled,
        .total_gib = h->disk_gib,
        .reason = !h->enabled ? arena_printf(cx->arena, "host %s is disabled", h->name)
                  : !h->alive ? arena_printf(cx->arena, "host %s does not answer", h->name)
                              : NULL};
}

static void take_zone(struct volume_host *h, const struct db_rows *zones)
{
    for (size_t i = 0; i < zones->n_rows; i++)
        if (str_eq(db_text(zones, i, 0), h->id))
            h->zone = db_text(zones, i, 1);
}

struct err *volume_hosts(struct ctx *cx, struct tx *tx, struct volume_host **ret, size_t *ret_n)
{
    struct fleet_host *hosts;
    struct db_rows own, others = {0}, zones = {0};
    size_t n;
    TRY(fleet_hosts(cx, tx, &hosts, &n));
    TRY(volume_use_by_host(cx, tx, &own));
    if (volume_cfg.used_elsewhere)
        TRY(volume_cfg.used_elsewhere(cx, tx, &others));
    if (volume_cfg.zones)
        TRY(volume_cfg.zones(cx, tx, &zones));
    struct volume_host *out = arena_new_array(cx->arena, struct volume_host, n + 1);
    for (size_t i = 0; i < n; i++) {
        out[i] = host_of(cx, &hosts[i]);
        out[i].used_gib = number_of(&own, out[i].id, 1) + number_of(&others, out[i].id, 1);
        out[i].volumes = number_of(&own, out[i].id, 2);
        take_zone(&out[i], &zones);
    }
    *ret = out;
    *ret_n = n;
    return NULL;
}

/* Why this host does not take it; NULL: it does. */
static const char *refuses(struct ctx *cx, const struct volume_host *h,
                           const struct place_wish *wish)
{
    if (wish->zone && !str_eq(wish->zone, h->zone))
        return arena_printf(cx->arena, "host %s is in another availability zone", h->name);
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

const char *volume_host_text(struct ctx *cx, const char *host_name)
{
    return arena_printf(cx->arena, "%s@%s#%s", host_name, BACKEND, BACKEND);
}
