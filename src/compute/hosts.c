/* SPDX-License-Identifier: EUPL-1.2 */
/* Hosts with what is promised on them, and what their aggregates say of them: the sums are SQL's,
 * from the servers themselves. */
#include "compute/impl.h"

/* One that moves holds as much on both hosts. */
#define HELD "held_vcpus, held_memory_mib, held_disk_gib"
#define HOLDERS(columns, which)                                                                    \
    "(SELECT host_id, " columns HELD " FROM servers WHERE host_id " which                          \
    " UNION ALL SELECT other_host_id, " columns HELD " FROM servers WHERE other_host_id " which    \
    ") AS held "

#define USE(which)                                                                                 \
    "SELECT host_id, CAST(SUM(held_vcpus) AS BIGINT), CAST(SUM(held_memory_mib) AS BIGINT), "      \
    "CAST(SUM(held_disk_gib) AS BIGINT), COUNT(*) FROM " HOLDERS("", which) "GROUP BY host_id"
const struct stmt stmt_use_by_host = {"use_by_host", USE("IS NOT NULL")};
const struct stmt stmt_use_on_host = {"use_on_host", USE("= $1")};
const struct stmt stmt_zone_by_host = {
    "zone_by_host", "SELECT h.host_id, a.zone FROM aggregate_hosts h JOIN aggregates a ON a.id = "
                    "h.aggregate_id WHERE a.zone IS NOT NULL"};
#define METADATA                                                                                   \
    "SELECT h.host_id, a.zone, a.metadata FROM aggregate_hosts h JOIN aggregates a ON a.id = "     \
    "h.aggregate_id "
const struct stmt stmt_metadata_by_host = {"metadata_by_host", METADATA "ORDER BY a.id"};
const struct stmt stmt_metadata_of_host = {"metadata_of_host",
                                           METADATA "WHERE h.host_id = $1 ORDER BY a.id"};

/* Of the host's aggregates but one. */
const struct stmt stmt_zones_of_host = {
    "zones_of_host", "SELECT a.zone FROM aggregate_hosts h JOIN aggregates a ON a.id = "
                     "h.aggregate_id WHERE h.host_id = $1 AND h.aggregate_id <> $2 AND a.zone IS "
                     "NOT NULL"};

const struct stmt stmt_disk_by_host = {
    "disk_by_host", "SELECT host_id, CAST(SUM(held_disk_gib) AS BIGINT) FROM " HOLDERS(
                        "", "IS NOT NULL") "GROUP BY host_id"};

struct err *compute_disk_by_host(struct ctx *cx, struct tx *tx, struct db_rows *ret)
{
    return db_query(cx, tx, &stmt_disk_by_host, NULL, 0, ret);
}

/* Of one host, one server, one project, one user; NULL: of any. */
const struct stmt stmt_server_holds = {
    "server_holds",
    "SELECT id, host_id, project_id, user_id, " HELD
    " FROM " HOLDERS("id, project_id, user_id, ",
                     "IS NOT NULL") "WHERE (CAST($1 AS TEXT) IS NULL OR host_id = $1) AND (CAST($2 "
                                    "AS TEXT) IS NULL OR id = $2) "
                                    "AND (CAST($3 AS TEXT) IS NULL OR project_id = $3) AND "
                                    "(CAST($4 AS TEXT) IS NULL OR user_id = "
                                    "$4) ORDER BY id, host_id"};

struct err *compute_uses(struct ctx *cx, struct tx *tx, const struct compute_use *like,
                         struct compute_use **ret, size_t *ret_n)
{
    const struct db_value params[] = {V_TEXT(like->host_id), V_TEXT(like->id),
                                      V_TEXT(like->project_id), V_TEXT(like->user_id)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_server_holds, params, ARRAY_LEN(params), &rows));
    struct compute_use *out = arena_new_array(cx->arena, struct compute_use, rows.n_rows + 1);
    for (size_t i = 0; i < rows.n_rows; i++)
        out[i] = (struct compute_use){.id = db_text(&rows, i, 0),
                                      .host_id = db_text(&rows, i, 1),
                                      .project_id = db_text(&rows, i, 2),
                                      .user_id = db_text(&rows, i, 3),
                                      .vcpus = db_int(&rows, i, 4),
                                      .memory_mib = db_int(&rows, i, 5),
                                      .disk_gib = db_int(&rows, i, 6)};
    *ret = out;
    *ret_n = rows.n_rows;
    return NULL;
}

struct err *compute_hosts(struct ctx *cx, struct tx *tx, struct place_host **ret, size_t *ret_n)
{
    return hosts_snapshot(cx, tx, ret, ret_n);
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

struct place_host **hosts_by_id(struct ctx *cx, struct place_host *hosts, size_t n)
{
    struct place_host **out = arena_new_array(cx->arena, struct place_host *, n + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = &hosts[i];
    qsort(out, n, sizeof(*out), compare_id);
    return out;
}

struct place_host *host_with_id(struct place_host **sorted, size_t n, const char *id)
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

struct err *hosts_query(struct ctx *cx, struct tx *tx, const char *host_id, const struct stmt *all,
                        const struct stmt *one, struct db_rows *ret)
{
    const struct db_value param = V_TEXT(host_id);
    return host_id ? db_query(cx, tx, one, &param, 1, ret) : db_query(cx, tx, all, NULL, 0, ret);
}

static struct err *take_sums(struct ctx *cx, struct tx *tx, const char *host_id,
                             struct place_host **sorted, size_t n)
{
    struct place_host *h;
    struct db_rows use, volumes;
    TRY(hosts_query(cx, tx, host_id, &stmt_use_by_host, &stmt_use_on_host, &use));
    TRY(volume_use_by_host(cx, tx, host_id, &volumes)); /* on the same disks */
    for (size_t i = 0; i < use.n_rows; i++)
        if ((h = host_with_id(sorted, n, db_text(&use, i, 0))))
            take_use(h, &use, i);
    for (size_t i = 0; i < volumes.n_rows; i++)
        if ((h = host_with_id(sorted, n, db_text(&volumes, i, 0))))
            h->used_disk_gib += db_int(&volumes, i, 1);
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

static const char *cpu_arch(struct ctx *cx, const char *cpu_info)
{
    json_t *cpu = NULL;
    if (!cpu_info || json_read(cx, cpu_info, strlen(cpu_info), &cpu))
        return NULL;
    return json_get_str(cpu, "arch");
}

static void add_capabilities(struct ctx *cx, const struct fleet_host *f, const char *arch,
                             struct place_host *h)
{
    if (arch)
        add_pair(cx, h, "capabilities:cpu_arch", arch);
    add_pair(cx, h, "capabilities:hypervisor_type", f->hypervisor_type);
    add_pair(cx, h, "capabilities:hypervisor_version",
             arena_printf(cx->arena, "%" PRId64, f->hypervisor_version));
    add_pair(cx, h, "capabilities:vcpus_total", arena_printf(cx->arena, "%" PRId64, h->vcpus));
    add_pair(cx, h, "capabilities:total_usable_ram_mb",
             arena_printf(cx->arena, "%" PRId64, h->memory_mib));
    add_pair(cx, h, "capabilities:num_instances", arena_printf(cx->arena, "%" PRId64, h->servers));
}

static void add_details(struct ctx *cx, const struct fleet_host *fleet, size_t n_fleet,
                        struct place_host **sorted, size_t n)
{
    const char *arch = NULL, *last = NULL;
    struct place_host *h;
    for (size_t i = 0; i < n_fleet; i++) {
        if (!(h = host_with_id(sorted, n, fleet[i].id)))
            continue;
        if (!str_eq(last, fleet[i].cpu_info)) /* machines are bought by the dozen */
            arch = cpu_arch(cx, fleet[i].cpu_info);
        last = fleet[i].cpu_info;
        h->address = host_ip(cx, &fleet[i]);
        add_capabilities(cx, &fleet[i], arch, h);
    }
}

/* ---------------------------------------------------------------- aggregates */

static void lower_ratio(int64_t *ratio, const char *text)
{
    int64_t v;
    if (place_ratio_read(text, &v) && (!*ratio || v < *ratio))
        *ratio = v;
}

/* What an aggregate's metadata says of its hosts' size: of several the least. */
static void take_sizes(struct place_host *h, const char *key, const char *value)
{
    int64_t most;
    if (str_eq(key, HOST_CPU_RATIO))
        lower_ratio(&h->ratios.vcpus, value);
    else if (str_eq(key, HOST_RAM_RATIO))
        lower_ratio(&h->ratios.memory, value);
    else if (str_eq(key, HOST_DISK_RATIO))
        lower_ratio(&h->ratios.disk, value);
    else if (str_eq(key, HOST_MAX_SERVERS) && str_to_i64(value, 1, INT32_MAX, &most))
        h->servers_max = h->servers_max ? min_i64(h->servers_max, most) : most;
}

static void take_metadata(struct ctx *cx, struct place_host *h, const char *zone, json_t *metadata)
{
    const char *key;
    json_t *value;
    if (zone) {
        h->zone = zone; /* goes before what the host says of itself */
        add_pair(cx, h, "availability_zone", zone);
    }
    json_object_foreach(metadata, key, value)
    {
        take_sizes(h, key, json_string_value(value));
        add_values(cx, h, key, json_string_value(value));
    }
}

static struct err *take_aggregates(struct ctx *cx, struct tx *tx, const char *host_id,
                                   struct place_host **sorted, size_t n)
{
    const char *last = NULL;
    json_t *metadata = NULL;
    struct db_rows rows;
    TRY(hosts_query(cx, tx, host_id, &stmt_metadata_by_host, &stmt_metadata_of_host, &rows));
    for (size_t i = 0; i < rows.n_rows; i++) {
        const char *text = db_text(&rows, i, 2);
        struct place_host *h = host_with_id(sorted, n, db_text(&rows, i, 0));
        if (!str_eq(text, last)) /* an aggregate's hosts stand together */
            TRY(json_read(cx, text, strlen(text), &metadata));
        last = text;
        if (h)
            take_metadata(cx, h, db_text(&rows, i, 1), metadata);
    }
    return NULL;
}

/* ---------------------------------------------------------------- the snapshot */

static struct place_host first_of(const struct fleet_host *f)
{
    struct place_host h = {.id = f->id,
                           .name = f->name,
                           .zone = own_zone(f),
                           .disabled_reason = f->disabled_reason,
                           .generation = f->revision,
                           .enabled = f->enabled,
                           .alive = f->alive,
                           .vcpus = f->vcpus,
                           .memory_mib = f->memory_mib,
                           .disk_gib = f->disk_gib,
                           .pool_id = f->pool_id,
                           .reserved_vcpus = compute_cfg.reserved_vcpus,
                           .reserved_memory_mib = compute_cfg.reserved_memory_mib,
                           .reserved_disk_gib = compute_cfg.reserved_disk_gib};
    return h;
}

static void default_sizes(struct place_host *h)
{
    const struct place_ratios *dflt = &compute_cfg.ratios;
    h->ratios.vcpus = h->ratios.vcpus ? h->ratios.vcpus : dflt->vcpus;
    h->ratios.memory = h->ratios.memory ? h->ratios.memory : dflt->memory;
    h->ratios.disk = h->ratios.disk ? h->ratios.disk : dflt->disk;
    h->servers_max = h->servers_max ? h->servers_max : compute_cfg.servers_max;
    place_size(h);
}

/* host_id: the only one among them; NULL: they are all there are. */
static struct err *take_all(struct ctx *cx, struct tx *tx, const char *host_id,
                            const struct fleet_host *fleet, struct place_host *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = first_of(&fleet[i]);
    struct place_host **sorted = hosts_by_id(cx, out, n);
    TRY(take_sums(cx, tx, host_id, sorted, n));
    TRY(take_aggregates(cx, tx, host_id, sorted, n));
    TRY(hosts_take_rooms(cx, tx, host_id, sorted, n)); /* a host's own word goes first */
    TRY(hosts_take_traits(cx, tx, host_id, fleet, out, sorted, n));
    for (size_t i = 0; i < n; i++)
        default_sizes(&out[i]);
    return NULL;
}

struct err *hosts_snapshot(struct ctx *cx, struct tx *tx, struct place_host **ret, size_t *ret_n)
{
    struct fleet_host *fleet;
    TRY(fleet_hosts(cx, tx, &fleet, ret_n));
    *ret = arena_new_array(cx->arena, struct place_host, *ret_n + 1);
    return take_all(cx, tx, NULL, fleet, *ret, *ret_n);
}

struct err *hosts_with_details(struct ctx *cx, struct tx *tx, struct place_host **ret,
                               size_t *ret_n)
{
    struct fleet_host *fleet;
    TRY(fleet_hosts(cx, tx, &fleet, ret_n));
    *ret = arena_new_array(cx->arena, struct place_host, *ret_n + 1);
    TRY(take_all(cx, tx, NULL, fleet, *ret, *ret_n));
    add_details(cx, fleet, *ret_n, hosts_by_id(cx, *ret, *ret_n), *ret_n);
    return NULL;
}

struct err *host_read(struct ctx *cx, struct tx *tx, const char *host_id, struct place_host *ret)
{
    struct place_host *self = ret;
    struct fleet_host *fleet = arena_new_of(cx->arena, struct fleet_host);
    TRY(fleet_host_get(cx, tx, host_id, fleet));
    TRY(take_all(cx, tx, host_id, fleet, ret, 1));
    add_details(cx, fleet, 1, &self, 1);
    return NULL;
}
