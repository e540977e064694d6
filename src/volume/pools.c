/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Volumes on storage that several hosts reach (a pool): docs/adr/0017-shared-volumes.md. One host
 * at a time manages a volume, host_id. Another one becomes it in one transaction, and hears of the
 * volume once the one before, from_host_id, has said that it let go, or can't have it any more.
 */
#include "volume/impl.h"

const struct res_where volumes_handed = {&volume_resource, "from_host_id IS NOT NULL", "id"};
const struct res_where volumes_managed = {&volume_resource, "pool_id IS NOT NULL AND host_id = $1",
                                          "id"};
#define STILL_TO_BE_MADE "seen_ready = 0 AND wanted = 1 AND host_id IS NOT NULL"
const struct res_where volumes_copying = {&volume_resource, STILL_TO_BE_MADE " AND source_id = $1",
                                          "id"};
/* Of the snapshot's volume: the column's name is the wire's. */
const struct res_where volumes_copying_snapshot = {
    &volume_resource, STILL_TO_BE_MADE " AND snapshot_volume_id = $1", "id"};

/* Its agent does nothing any more, and its guests are not there: it was removed, or its lease is
 * over. */
static struct err *is_gone(struct ctx *cx, struct tx *tx, const char *host_id, bool *ret)
{
    struct fleet_host host;
    struct err *e = fleet_host_get(cx, tx, host_id, &host);
    *ret = e ? e->kind == ERR_NOT_FOUND : fleet_host_silent(cx, &host);
    return e && e->kind != ERR_NOT_FOUND ? e : NULL;
}

/* ---------------------------------------------------------------- from one host to another */

static struct err *move_snapshots(struct ctx *cx, struct tx *tx, const struct volume *v)
{
    void **rows;
    size_t n;
    TRY(res_select_by(cx, tx, &snapshots_of_volume, &rows, &n, V_TEXT(v->id)));
    for (size_t i = 0; i < n; i++) {
        ROW(snapshot, rows, i)->host_id = v->host_id;
        TRY(res_update(cx, tx, &snapshot_resource, rows[i]));
    }
    return NULL;
}

/* One that is away, too: when it is back it asks what is new, and still has the older word. */
static struct err *tell_old(struct ctx *cx, struct tx *tx, const char *host_id, const char *id)
{
    struct err *e = fleet_touch(cx, tx, host_id, "volume", id);
    return e && e->kind == ERR_NOT_FOUND ? NULL : e; /* it was removed */
}

static struct err *hand_to(struct ctx *cx, struct tx *tx, struct volume *v,
                           const struct fleet_host *to, enum rehost how)
{
    const char *old = v->host_id;
    bool gone;
    TRY(is_gone(cx, tx, old, &gone));
    /* One that was never told of it has nothing to let go. */
    if (how == REHOST_WAIT && !gone && !v->from_host_id)
        v->from_host_id = old;
    if (str_eq(v->from_host_id, to->id))
        v->from_host_id = NULL;
    v->host_id = to->id;
    v->host = volume_host_text(cx, to->name);
    if (str_eq(v->next_host_id, to->id))
        v->next_host_id = NULL;
    TRY(res_update(cx, tx, &volume_resource, v));
    TRY(move_snapshots(cx, tx, v));
    TRY(tell_old(cx, tx, old, v->id));
    return fleet_touch(cx, tx, to->id, "volume", v->id);
}

/* *ret NULL: it is made from no volume, or from none that is there. */
static struct err *source_of(struct ctx *cx, struct tx *tx, const struct volume *v,
                             const struct volume **ret)
{
    const char *id = v->snapshot_id ? v->snapshot_volume_id : v->source_id;
    void *row = NULL;
    if (id)
        TRY(res_get(cx, tx, &volume_resource, id, &row));
    *ret = row;
    return NULL;
}

static struct err *each_copy(struct ctx *cx, struct tx *tx, const struct volume *v, void ***ret,
                             size_t *ret_n)
{
    void **direct, **of_snapshot;
    size_t n_direct, n_of_snapshot;
    TRY(res_select_by(cx, tx, &volumes_copying, &direct, &n_direct, V_TEXT(v->id)));
    TRY(res_select_by(cx, tx, &volumes_copying_snapshot, &of_snapshot, &n_of_snapshot,
                      V_TEXT(v->id)));
    void **all = arena_new_array(cx->arena, void *, n_direct + n_of_snapshot + 1);
    for (size_t i = 0; i < n_direct + n_of_snapshot; i++)
        all[i] = i < n_direct ? direct[i] : of_snapshot[i - n_direct];
    *ret = all;
    *ret_n = n_direct + n_of_snapshot;
    return NULL;
}

/* It is made where its source is; its server's host has it after that. */
static struct err *take_copy_along(struct ctx *cx, struct tx *tx, struct volume *copy,
                                   const struct fleet_host *to, enum rehost how)
{
    const char *server_id;
    if (str_eq(copy->host_id, to->id))
        return NULL;
    TRY(volume_server(cx, tx, copy->id, &server_id));
    if (server_id && !copy->next_host_id)
        copy->next_host_id = copy->host_id;
    return hand_to(cx, tx, copy, to, how);
}

/* What is being made is made where it is; unless that host is gone, and its source is not there. */
static struct err *is_bound(struct ctx *cx, struct tx *tx, const struct volume *v, bool *ret)
{
    const struct volume *source;
    bool gone;
    *ret = false;
    if (v->seen_ready)
        return NULL;
    TRY(is_gone(cx, tx, v->host_id, &gone));
    TRY(source_of(cx, tx, v, &source));
    *ret = !gone || (source && v->wanted);
    return NULL;
}

static struct err *go_next(struct ctx *cx, struct tx *tx, struct volume *v, const char *host_id)
{
    if (str_eq(v->next_host_id, host_id))
        return NULL;
    v->next_host_id = host_id;
    return res_update(cx, tx, &volume_resource, v);
}

struct err *volume_hand_over(struct ctx *cx, struct tx *tx, struct volume *v, const char *host_id,
                             enum rehost how)
{
    struct fleet_host to;
    void **copies;
    size_t n;
    bool bound;
    if (!v->pool_id || !v->host_id)
        return NULL;
    if (str_eq(v->host_id, host_id))
        return go_next(cx, tx, v, NULL);
    TRY(fleet_host_get(cx, tx, host_id, &to));
    if (!str_eq(to.pool_id, v->pool_id))
        return fail(cx, ERR_INVALID,
                    "Invalid volume: Volume %s lies on storage that host %s does not reach.", v->id,
                    to.name);
    TRY(is_bound(cx, tx, v, &bound));
    if (bound)
        return go_next(cx, tx, v, host_id);
    v->next_host_id = NULL;
    TRY(each_copy(cx, tx, v, &copies, &n));
    for (size_t i = 0; i < n; i++)
        TRY(take_copy_along(cx, tx, copies[i], &to, how));
    return hand_to(cx, tx, v, &to, how);
}

struct err *volume_arrives(struct ctx *cx, struct tx *tx, struct volume *v)
{
    void **copies;
    size_t n;
    v->from_host_id = NULL;
    TRY(volume_save(cx, tx, v));
    TRY(each_copy(cx, tx, v, &copies, &n));
    for (size_t i = 0; i < n; i++)
        TRY(fleet_touch(cx, tx, ROW(volume, copies, i)->host_id, "volume",
                        ROW(volume, copies, i)->id));
    return NULL;
}

struct err *volume_source_arrived(struct ctx *cx, struct tx *tx, const struct volume *v, bool *ret)
{
    const struct volume *source = NULL;
    if (!v->seen_ready && v->wanted)
        TRY(source_of(cx, tx, v, &source));
    *ret = !source || !source->from_host_id;
    return NULL;
}

const char *volume_user_host(const struct volume *v)
{
    return v->next_host_id ? v->next_host_id : v->host_id;
}

/* ---------------------------------------------------------------- a server's volumes */

static struct err *uses_of_one(struct ctx *cx, struct tx *tx, const char *server_id,
                               struct volume ***ret, size_t *ret_n)
{
    struct volume_use *uses;
    TRY(volume_uses_of(cx, tx, &server_id, 1, &uses, ret_n));
    *ret = arena_new_array(cx->arena, struct volume *, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++) {
        void *row = NULL;
        TRY(res_find(cx, tx, &volume_resource, uses[i].volume_id, &row));
        (*ret)[i] = row;
    }
    return NULL;
}

struct err *volume_uses_rehost(struct ctx *cx, struct tx *tx, const char *server_id,
                               const char *host_id, enum rehost how)
{
    struct volume **volumes;
    size_t n;
    TRY(uses_of_one(cx, tx, server_id, &volumes, &n));
    for (size_t i = 0; i < n; i++)
        TRY(volume_hand_over(cx, tx, volumes[i], host_id, how));
    return NULL;
}

/* ---------------------------------------------------------------- hosts that are gone */

/* Another host of the pool that was heard in the time in which this one was not (the control plane
 * itself may have been away); NULL: there is none. */
static const char *heir_of(const struct fleet_host *hosts, size_t n, const struct volume *v)
{
    int64_t until_us = INT64_MAX;
    for (size_t i = 0; i < n; i++)
        if (str_eq(hosts[i].id, v->host_id))
            until_us = hosts[i].lease_until_us;
    for (size_t i = 0; i < n; i++)
        if (hosts[i].alive && str_eq(hosts[i].pool_id, v->pool_id) &&
            !str_eq(hosts[i].id, v->host_id) && hosts[i].leased_since_us <= until_us)
            return hosts[i].id;
    return NULL;
}

/* A server's volumes go where the server goes, copies where their sources do. */
static struct err *inherit(struct ctx *cx, struct tx *tx, struct volume *v, size_t *changed)
{
    struct fleet_host *hosts;
    const char *server_id;
    size_t n;
    bool gone = false, bound;
    if (v->from_host_id)
        TRY(is_gone(cx, tx, v->from_host_id, &gone));
    if (gone) {
        TRY(volume_arrives(cx, tx, v));
        ++*changed;
    }
    TRY(is_gone(cx, tx, v->host_id, &gone));
    TRY(is_bound(cx, tx, v, &bound));
    TRY(volume_server(cx, tx, v->id, &server_id));
    if (!gone || bound || (server_id && !v->next_host_id))
        return NULL;
    TRY(fleet_hosts(cx, tx, &hosts, &n));
    const char *heir = v->next_host_id ? v->next_host_id : heir_of(hosts, n, v);
    if (!heir)
        return NULL;
    ++*changed;
    return volume_hand_over(cx, tx, v, heir, REHOST_NOW);
}

static struct err *inherit_one(struct ctx *cx, struct store *store, const char *id, size_t *changed)
{
    AUTO_TXN struct tx *tx = NULL;
    void *row = NULL;
    TRY(tx_write(cx, store, &tx));
    TRY(res_get(cx, tx, &volume_resource, id, &row));
    struct volume *v = row;
    if (v && v->pool_id && v->host_id)
        TRY(inherit(cx, tx, v, changed));
    return tx_commit(cx, &tx);
}

static struct err *concerned(struct ctx *cx, struct store *store, void ***ret, size_t *ret_n)
{
    AUTO_TXN struct tx *tx = NULL;
    struct fleet_host *hosts;
    size_t n_hosts;
    TRY(tx_read(cx, store, &tx));
    TRY(res_select(cx, tx, &volumes_handed, NULL, 0, ret, ret_n));
    TRY(fleet_hosts(cx, tx, &hosts, &n_hosts));
    for (size_t i = 0; i < n_hosts; i++) {
        void **rows;
        size_t n;
        bool gone;
        TRY(is_gone(cx, tx, hosts[i].id, &gone));
        if (!gone)
            continue;
        TRY(res_select_by(cx, tx, &volumes_managed, &rows, &n, V_TEXT(hosts[i].id)));
        void **all = arena_new_array(cx->arena, void *, *ret_n + n + 1);
        for (size_t k = 0; k < *ret_n + n; k++)
            all[k] = k < *ret_n ? (*ret)[k] : rows[k - *ret_n];
        *ret = all;
        *ret_n += n;
    }
    return NULL;
}

struct err *volume_pools_sweep(struct ctx *cx, struct store *store, size_t *changed)
{
    void **rows;
    size_t n;
    TRY(concerned(cx, store, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        struct err *e = inherit_one(cx, store, ROW(volume, rows, i)->id, changed);
        if (e && e->kind != ERR_STALE)
            return e;
    }
    return NULL;
}
