/* SPDX-License-Identifier: EUPL-1.2 */
/* What a host is told of a volume: its spec, read from the tables when the agent asks.
 * node/README.md has the form. */
#include "volume/impl.h"

const struct stmt stmt_volumes_on_host = {
    "volumes_on_host", "SELECT id FROM volumes WHERE host_id = $1 AND from_host_id IS NULL "
                       "AND (wanted = 1 OR pool_id IS NOT NULL) ORDER BY id"};
const struct stmt stmt_volume_uses_image = {
    "volume_uses_image", "SELECT 1 FROM volumes WHERE host_id = $1 AND image_id = $2 AND "
                         "seen_ready = 0 LIMIT 1"};

static void write_source(struct jw *w, const struct volume *v)
{
    jw_kobj(w, "source");
    jw_kraw(w, "image", v->image_spec);
    jw_kstr(w, "volume_id", v->snapshot_id ? v->snapshot_volume_id : v->source_id);
    jw_kstr(w, "snapshot_id", v->snapshot_id);
    jw_obj_end(w);
}

static struct err *write_snapshots(struct ctx *cx, struct tx *tx, const char *volume_id,
                                   struct jw *w)
{
    void **rows;
    size_t n;
    TRY(res_select_by(cx, tx, &snapshots_of_volume, &rows, &n, V_TEXT(volume_id)));
    jw_karr(w, "snapshots");
    for (size_t i = 0; i < n; i++)
        if (ROW(snapshot, rows, i)->wanted)
            jw_str(w, ROW(snapshot, rows, i)->id);
    jw_arr_end(w);
    return NULL;
}

/* Of a host's own disk, what is no longer wanted is not told of, and so goes; on shared storage
 * that means to let go, so deletion is told. */
static struct err *is_told(struct ctx *cx, struct tx *tx, const struct volume *v,
                           const char *host_id, bool *ret)
{
    *ret = str_eq(v->host_id, host_id) && (v->wanted || v->pool_id) && !v->from_host_id;
    return *ret ? volume_source_arrived(cx, tx, v, ret) : NULL;
}

struct err *volume_view(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                        struct jw *w, bool *ret_present)
{
    void *row = NULL;
    const char *server_id;
    *ret_present = false;
    TRY(res_get(cx, tx, &volume_resource, item_id, &row));
    const struct volume *v = row;
    if (!v)
        return NULL;
    TRY(is_told(cx, tx, v, host_id, ret_present));
    if (!*ret_present)
        return NULL;
    TRY(volume_server(cx, tx, v->id, &server_id));
    jw_obj(w);
    jw_kstr(w, "id", v->id);
    jw_kint(w, "size_gib", v->size_gib);
    write_source(w, v);
    TRY(write_snapshots(cx, tx, v->id, w));
    jw_kstr(w, "server_id", server_id);
    if (v->pool_id)
        jw_kstr(w, "pool_id", v->pool_id);
    if (!v->wanted)
        jw_kbool(w, "remove", true);
    jw_obj_end(w);
    return NULL;
}

struct err *volume_ids_on(struct ctx *cx, struct tx *tx, const char *host_id,
                          struct db_rows *ret_ids)
{
    struct db_value param = V_TEXT(host_id);
    return db_query(cx, tx, &stmt_volumes_on_host, &param, 1, ret_ids);
}

struct err *volume_uses_image(struct ctx *cx, struct tx *tx, const char *host_id,
                              const char *image_id, bool *ret)
{
    const struct db_value params[] = {V_TEXT(host_id), V_TEXT(image_id)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_volume_uses_image, params, 2, &rows));
    *ret = rows.n_rows > 0;
    return NULL;
}
