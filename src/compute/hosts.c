/* SPDX-License-Identifier: EUPL-1.2 */
/* Hosts with what is promised on them, and what their aggregates say of them: the sums are SQL's,
 * from the servers themselves. */
#include "compute/impl.h"

const struct stmt stmt_use_by_host = {
    "use_by_host", "SELECT host_id, CAST(SUM(held_vcpus) AS BIGINT), CAST(SUM(held_memory_mib) AS "
                   "BIGINT), CAST(SUM(held_disk_gib) AS BIGINT), COUNT(*) FROM servers WHERE "
                   "host_id IS NOT NULL GROUP BY host_id"};
const struct stmt stmt_zone_by_host = {
    "zone_by_host", "SELECT h.host_id, a.zone FROM aggregate_hosts h JOIN aggregates a ON a.id = "
                    "h.aggregate_id WHERE a.zone IS NOT NULL"};
const struct stmt stmt_metadata_by_host = {
    "metadata_by_host", "SELECT h.host_id, a.zone, a.metadata FROM aggregate_hosts h JOIN "
                        "aggregates a ON a.id = h.aggregate_id"};

/* Of the host's aggregates but one. */
const struct stmt stmt_zones_of_host = {
    "zones_of_host", "SELECT a.zone FROM aggregate_hosts h JOIN aggregates a ON a.id = "
                     "h.aggregate_id WHERE h.host_id = $1 AND h.aggregate_id <> $2 AND a.zone IS "
                     "NOT NULL"};

const struct stmt stmt_disk_by_host = {
    "disk_by_host", "SELECT host_id, CAST(SUM(held_disk_gib) AS BIGINT) FROM servers WHERE "
                    "host_id IS NOT NULL GROUP BY host_id"};

struct err *compute_disk_by_host(struct ctx *cx, struct tx *tx, struct db_rows *ret)
{
    return db_query(cx, tx, &stmt_disk_by_host, NULL, 0, ret);
}

struct err *compute_zone_by_host(struct ctx *cx, struct tx *tx, struct db_rows *ret)
{
    return db_query(cx, tx, &stmt_zone_by_host, NULL, 0, ret);
}

static int compare_id(const void *a, const void *b)
{
    const struct place_host *const *x = a, *const *y = b;
    return strcmp((*x)->id, (*y)->id);
}

/* Hosts ordered by id, for host_with_id. */
static struct place_host **by_id(struct ctx *cx, struct place_host *hosts, size_t n)
{
    struct place_host **out = arena_new_array(cx->arena, struct place_host *, n + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = &hosts[i];
    qsort(out, n, sizeof(*out), compare_id);
    return out;
}

static struct place_host *host_with_id(struct place_host **sorted, size_t n, const char *id)
{
    const struct place_host key = {.id = id}, *wanted = &key;
    struct place_host **found = bsearch(&wanted, sorted, n, sizeof(*sorted), compare_id);
    return found ? *found : NULL;
}

static void take_use(struct place_host *h, const struct db_rows *use, size_t i)
{
    h->used_vcpus = db_int(use, i, 1);
    h->used_memory_mib = db_int(use, i, 2);
    h->used_disk_gib = db_int(use, i, 3);
    h->servers = db_int(use, i, 4);
}

/* An aggregate's zone goes before what the host says of itself. */
static struct err *take_sums(struct ctx *cx, struct tx *tx, struct place_host *hosts, size_t n)
{
    struct place_host **sorted = by_id(cx, hosts, n), *h;
    struct db_rows use, zones;
    TRY(db_query(cx, tx, &stmt_use_by_host, NULL, 0, &use));
    TRY(db_query(cx, tx, &stmt_zone_by_host, NULL, 0, &zones));
    for (size_t i = 0; i < use.n_rows; i++)
        if ((h = host_with_id(sorted, n, db_text(&use, i, 0))))
            take_use(h, &use, i);
    for (size_t i = 0; i < zones.n_rows; i++)
        if ((h = host_with_id(sorted, n, db_text(&zones, i, 0))))
            h->zone = db_text(&zones, i, 1);
    return NULL;
}

static const char *own_zone(const struct fleet_host *h)
{
    return h->zone && *h->zone ? h->zone : compute_cfg.default_zone;
}

struct err *host_zone(struct ctx *cx, struct tx *tx, const struct fleet_host *host,
                      const char *except_aggregate, const char **ret)
{
    const struct db_value params[] = {V_TEXT(host->id), V_TEXT(except_aggregate)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_zones_of_host, params, 2, &rows));
    *ret = rows.n_rows ? db_text(&rows, 0, 0) : own_zone(host);
    return NULL;
}

struct err *hosts_snapshot(struct ctx *cx, struct tx *tx, struct place_host **ret, size_t *ret_n)
{
    struct fleet_host *hosts;
    size_t n;
    TRY(fleet_hosts(cx, tx, &hosts, &n));
    struct place_host *out = arena_new_array(cx->arena, struct place_host, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct fleet_host *h = &hosts[i];
        out[i] = (struct place_host){.id = h->id,
                                     .name = h->name,
                                     .zone = own_zone(h),
                                     .disabled_reason = h->disabled_reason,
                                     .enabled = h->enabled,
                                     .alive = h->alive,
                                     .vcpus = h->vcpus,
                                     .memory_mib = h->memory_mib,
                                     .disk_gib = h->disk_gib};
    }
    *ret = out;
    *ret_n = n;
    return take_sums(cx, tx, out, n);
}

/* ---------------------------------------------------------------- what is said of hosts */

/* Room for one more pair doubles at powers of two. */
static void add_pair(struct ctx *cx, struct place_host *h, const char *key, const char *value)
{
    struct place_pair *pairs = (struct place_pair *)(uintptr_t)h->metadata;
    if (!(h->n_metadata & (h->n_metadata - 1))) {
        pairs = arena_new_array(cx->arena, struct place_pair, h->n_metadata * 2 + 1);
        if (h->n_metadata)
            memcpy(pairs, h->metadata, h->n_metadata * sizeof(*pairs));
        h->metadata = pairs;
    }
    pairs[h->n_metadata++] = (struct place_pair){key, value};
}

/* "a, b": each of them is a value. */
static void add_values(struct ctx *cx, struct place_host *h, const char *key, const char *text)
{
    char **parts;
    size_t n = str_split(cx, text, ',', &parts);
    for (size_t i = 0; i < n; i++) {
        char *value = parts[i] + strspn(parts[i], " ");
        for (size_t end = strlen(value); end && value[end - 1] == ' ';)
            value[--end] = 0;
        add_pair(cx, h, key, value);
    }
}

static void add_capabilities(struct ctx *cx, const struct fleet_host *f, struct place_host *h)
{
    add_pair(cx, h, "capabilities:hypervisor_type", f->hypervisor_type);
    add_pair(cx, h, "capabilities:hypervisor_version",
             arena_printf(cx->arena, "%" PRId64, f->hypervisor_version));
    add_pair(cx, h, "capabilities:vcpus_total", arena_printf(cx->arena, "%" PRId64, h->vcpus));
    add_pair(cx, h, "capabilities:total_usable_ram_mb",
             arena_printf(cx->arena, "%" PRId64, h->memory_mib));
    add_pair(cx, h, "capabilities:num_instances", arena_printf(cx->arena, "%" PRId64, h->servers));
}

struct err *hosts_details(struct ctx *cx, struct tx *tx, struct place_host *hosts, size_t n)
{
    struct place_host **sorted = by_id(cx, hosts, n), *h;
    struct fleet_host *fleet;
    struct db_rows rows;
    size_t n_fleet;
    TRY(fleet_hosts(cx, tx, &fleet, &n_fleet));
    TRY(db_query(cx, tx, &stmt_metadata_by_host, NULL, 0, &rows));
    for (size_t i = 0; i < n_fleet; i++)
        if ((h = host_with_id(sorted, n, fleet[i].id))) {
            h->address = host_ip(cx, &fleet[i]);
            add_capabilities(cx, &fleet[i], h);
        }
    for (size_t i = 0; i < rows.n_rows; i++) {
        const char *key, *text = db_text(&rows, i, 2);
        json_t *metadata = NULL, *value;
        if (!(h = host_with_id(sorted, n, db_text(&rows, i, 0))))
            continue;
        if (db_text(&rows, i, 1))
            add_pair(cx, h, "availability_zone", db_text(&rows, i, 1));
        TRY(json_read(cx, text, strlen(text), &metadata));
        json_object_foreach(metadata, key, value) add_values(cx, h, key, json_string_value(value));
    }
    return NULL;
}
