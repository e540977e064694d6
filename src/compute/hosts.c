/* SPDX-License-Identifier: EUPL-1.2 */
/* Hosts with what is promised on them: the sums are SQL's, from the servers themselves. */
#include "compute/impl.h"

const struct stmt stmt_use_by_host = {
    "use_by_host", "SELECT host_id, CAST(SUM(held_vcpus) AS BIGINT), CAST(SUM(held_memory_mib) AS "
                   "BIGINT), CAST(SUM(held_disk_gib) AS BIGINT), COUNT(*) FROM servers WHERE "
                   "host_id IS NOT NULL GROUP BY host_id"};

static void take_use(struct place_host *h, const struct db_rows *use)
{
    for (size_t i = 0; i < use->n_rows; i++) {
        if (!str_eq(db_text(use, i, 0), h->id))
            continue;
        h->used_vcpus = db_int(use, i, 1);
        h->used_memory_mib = db_int(use, i, 2);
        h->used_disk_gib = db_int(use, i, 3);
        h->servers = db_int(use, i, 4);
        return;
    }
}

struct err *hosts_snapshot(struct ctx *cx, struct tx *tx, struct place_host **ret, size_t *ret_n)
{
    struct fleet_host *hosts;
    struct db_rows use;
    size_t n;
    TRY(fleet_hosts(cx, tx, &hosts, &n));
    TRY(db_query(cx, tx, &stmt_use_by_host, NULL, 0, &use));
    struct place_host *out = arena_new_array(cx->arena, struct place_host, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct fleet_host *h = &hosts[i];
        out[i] =
            (struct place_host){.id = h->id,
                                .name = h->name,
                                .zone = h->zone && *h->zone ? h->zone : compute_cfg.default_zone,
                                .disabled_reason = h->disabled_reason,
                                .enabled = h->enabled,
                                .alive = h->alive,
                                .vcpus = h->vcpus,
                                .memory_mib = h->memory_mib,
                                .disk_gib = h->disk_gib};
        take_use(&out[i], &use);
    }
    *ret = out;
    *ret_n = n;
    return NULL;
}
