/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Exports: a host copies a disk and sends it as an image's data. The image's row is there at once;
 * an item of the kind "export" tells the host; what it sends goes the way of users' uploads; its
 * report ends the export. So does an error, a deadline, the deletion of the image, and the end of
 * the source.
 */
#include "fleet/fleet.h"
#include "image/resources.h"

#define DEADLINE_US (INT64_C(3600) * 1000000)
#define BATCH 100

#define RESOURCE export
#define RESOURCE_DEF "image/export.def"
#include "resource/declare_fields.h"

static const struct res_index export_indexes[] = {
    {"image_exports_host", "host_id", false, NULL},
    {"image_exports_source", "source_id", false, NULL},
    {"image_exports_deadline", "deadline_at", false, NULL}};
const struct resource export_resource = {.name = "export",
                                         .plural = "exports",
                                         .table = "image_exports",
                                         RESOURCE_FIELDS(export),
                                         .owner = -1,
                                         .indexes = export_indexes,
                                         .n_indexes = ARRAY_LEN(export_indexes),
                                         .not_found = "No export of image %s",
                                         .doc = "A disk on its way to an image."};

const struct res_where exports_of_source = {&export_resource, "source_id = $1 AND source = $2",
                                            "id"};
const struct res_where exports_late = {&export_resource, "deadline_at <= $1", "deadline_at"};
const struct stmt stmt_exports_on_host = {
    "exports_on_host", "SELECT id FROM image_exports WHERE host_id = $1 AND held = 0 ORDER BY id"};

static const char *const source_names[] = {[EXPORT_SERVER] = "server", [EXPORT_VOLUME] = "volume"};
static image_export_done_fn *done[ARRAY_LEN(source_names)];

void image_on_export(enum export_source source, image_export_done_fn *fn)
{
    done[source] = fn;
}

static enum export_source source_of(const struct export *x)
{
    return str_eq(x->source, source_names[EXPORT_SERVER]) ? EXPORT_SERVER : EXPORT_VOLUME;
}

/* ---------------------------------------------------------------- making */

static struct image *new_image(struct call *c, const struct image_export *x)
{
    struct image *i = res_new(c->cx, &image_resource);
    i->id = uuid_new(c->cx);
    i->name = x->name;
    i->owner = c->actor->project_id;
    i->disk_format = x->disk_format ? x->disk_format : "qcow2";
    i->container_format = x->container_format ? x->container_format : "bare";
    i->visibility = x->visibility ? x->visibility : "shared";
    i->status = "queued";
    i->is_protected = x->keep;
    i->min_disk = x->min_disk_gib;
    i->min_ram = x->min_ram_mib;
    i->properties = x->properties ? x->properties : "{}";
    i->tags = "[]";
    return i;
}

static struct err *add_image(struct call *c, struct image *i)
{
    TRY(image_check_new(c, i));
    return res_insert(c->cx, c->tx, &image_resource, i);
}

struct err *image_export_begin(struct call *c, const struct image_export *x,
                               const char **ret_image_id)
{
    struct image *i = new_image(c, x);
    struct export *e = res_new(c->cx, &export_resource);
    TRY(add_image(c, i));
    e->id = i->id;
    e->source = source_names[x->source];
    e->source_id = x->source_id;
    e->host_id = x->host_id;
    e->disk_format = i->disk_format;
    e->held = x->held;
    e->deadline_at = now_us(c->cx) + DEADLINE_US;
    TRY(res_insert(c->cx, c->tx, &export_resource, e));
    *ret_image_id = i->id;
    return e->held ? NULL : fleet_touch(c->cx, c->tx, e->host_id, "export", e->id);
}

struct err *image_describe(struct call *c, const struct image_export *x, const char **ret_image_id)
{
    struct image *i = new_image(c, x);
    i->status = "active";
    i->size = 0;
    TRY(add_image(c, i));
    *ret_image_id = i->id;
    return NULL;
}

struct err *image_export_release(struct ctx *cx, struct tx *tx, const char *image_id)
{
    void *row = NULL;
    TRY(res_get(cx, tx, &export_resource, image_id, &row));
    struct export *e = row;
    if (!e || !e->held)
        return NULL;
    e->held = false;
    e->deadline_at = now_us(cx) + DEADLINE_US;
    TRY(res_update(cx, tx, &export_resource, e));
    return fleet_touch(cx, tx, e->host_id, "export", e->id);
}

/* ---------------------------------------------------------------- ending */

static struct err *drop(struct ctx *cx, struct tx *tx, struct export *e)
{
    TRY(res_delete(cx, tx, &export_resource, e));
    return fleet_touch(cx, tx, e->host_id, "export", e->id);
}

static struct err *drop_image(struct ctx *cx, struct tx *tx, const char *id)
{
    struct image *i = NULL;
    TRY(res_get(cx, tx, &image_resource, id, (void **)&i));
    return i ? image_drop(cx, tx, i) : NULL;
}

static struct err *tell_source(struct ctx *cx, struct tx *tx, const struct export *e,
                               const char *error)
{
    image_export_done_fn *fn = done[source_of(e)];
    return fn ? fn(cx, tx, e->source_id, e->id, error) : NULL;
}

static struct err *end(struct ctx *cx, struct tx *tx, struct export *e, const char *error)
{
    TRY(drop(cx, tx, e));
    if (error)
        TRY(drop_image(cx, tx, e->id));
    return tell_source(cx, tx, e, error);
}

static struct err *is_active(struct ctx *cx, struct tx *tx, const char *id, bool *ret)
{
    struct image *i = NULL;
    TRY(res_get(cx, tx, &image_resource, id, (void **)&i));
    *ret = i && !str_eq(i->status, "queued");
    return NULL;
}

/* The data may have come before its sender's word. */
struct err *image_export_cancel(struct ctx *cx, struct tx *tx, enum export_source source,
                                const char *source_id)
{
    void **rows;
    size_t n;
    bool active;
    TRY(res_select_by(cx, tx, &exports_of_source, &rows, &n, V_TEXT(source_id),
                      V_TEXT(source_names[source])));
    for (size_t i = 0; i < n; i++) {
        struct export *e = rows[i];
        TRY(is_active(cx, tx, e->id, &active));
        TRY(drop(cx, tx, e));
        if (!active)
            TRY(drop_image(cx, tx, e->id));
    }
    return NULL;
}

struct err *image_export_deleted(struct ctx *cx, struct tx *tx, const char *image_id)
{
    void *row = NULL;
    TRY(res_get(cx, tx, &export_resource, image_id, &row));
    if (!row)
        return NULL;
    TRY(drop(cx, tx, row));
    return tell_source(cx, tx, row, "the image was deleted");
}

/* ---------------------------------------------------------------- the host */

struct err *export_view(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                        struct jw *w, bool *ret_present)
{
    void *row = NULL;
    TRY(res_get(cx, tx, &export_resource, item_id, &row));
    const struct export *e = row;
    *ret_present = e && str_eq(e->host_id, host_id) && !e->held;
    if (!*ret_present)
        return NULL;
    jw_obj(w);
    jw_kstr(w, "id", e->id);
    jw_kstr(w, source_of(e) == EXPORT_SERVER ? "server_id" : "volume_id", e->source_id);
    jw_kstr(w, "disk_format", e->disk_format);
    jw_obj_end(w);
    return NULL;
}

struct err *exports_on(struct ctx *cx, struct tx *tx, const char *host_id, struct db_rows *ret_ids)
{
    struct db_value param = V_TEXT(host_id);
    return db_query(cx, tx, &stmt_exports_on_host, &param, 1, ret_ids);
}

struct err *export_report(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                          const json_t *observed)
{
    const char *error = json_get_str(observed, "error");
    bool sent = json_get_bool(observed, "sent", false), active;
    void *row = NULL;
    TRY(res_get(cx, tx, &export_resource, item_id, &row));
    struct export *e = row;
    if (!e || e->held || !str_eq(e->host_id, host_id) || (!sent && (!error || !*error)))
        return NULL;
    TRY(is_active(cx, tx, item_id, &active));
    if (!sent)
        return end(cx, tx, e, str_cut(cx, error, 1000));
    return end(cx, tx, e, active ? NULL : "what the host sent has not arrived");
}

/* Of this host, and asked for. */
static struct err *export_of(struct call *c, struct export **ret)
{
    const char *id = call_param(c, "image_id");
    void *row = NULL;
    TRY(res_find(c->cx, c->tx, &export_resource, id, &row));
    *ret = row;
    if (!str_eq((*ret)->host_id, c->actor->host_id) || (*ret)->held)
        return res_not_found(c->cx, &export_resource, id);
    return NULL;
}

static struct err *export_image(struct call *c, struct image **ret)
{
    struct export *e;
    TRY(export_of(c, &e));
    return res_find(c->cx, c->tx, &image_resource, e->id, (void **)ret);
}

/* An answer that was lost, and is asked for again. */
static struct err *arrived_before(struct call *c, bool *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    struct export *e;
    TRY(tx_read(c->cx, c->store, &tx));
    c->tx = tx;
    struct err *err = export_of(c, &e);
    if (!err)
        err = is_active(c->cx, tx, e->id, ret);
    c->tx = NULL;
    return err;
}

struct err *export_upload_begin(struct call *c, struct http_sink **ret_sink)
{
    bool there = false;
    TRY(arrived_before(c, &there));
    if (!there)
        return image_upload_open(c, export_image, ret_sink);
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- deadlines */

static struct err *expire(struct ctx *cx, struct store *store, const char *id, bool *ret_ended)
{
    AUTO_TXN struct tx *tx = NULL;
    void *row = NULL;
    bool active;
    *ret_ended = false;
    TRY(tx_write(cx, store, &tx));
    TRY(res_get(cx, tx, &export_resource, id, &row));
    struct export *e = row;
    if (!e || e->deadline_at > now_us(cx))
        return NULL;
    TRY(is_active(cx, tx, id, &active));
    TRY(end(cx, tx, e, active ? NULL : "the host took too long to send the disk"));
    *ret_ended = true;
    return tx_commit(cx, &tx);
}

static struct err *late(struct ctx *cx, struct store *store, void ***ret, size_t *ret_n)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_read(cx, store, &tx));
    return res_select_by(cx, tx, &exports_late, ret, ret_n, V_INT(now_us(cx)));
}

struct err *image_sweep(struct ctx *cx, struct store *store, size_t *ret_changed)
{
    void **rows;
    size_t n;
    TRY(image_import_sweep(cx, store, ret_changed));
    TRY(late(cx, store, &rows, &n));
    for (size_t i = 0; i < n && i < BATCH; i++) {
        bool ended;
        struct err *e = expire(cx, store, ROW(export, rows, i)->id, &ended);
        if (e && e->kind != ERR_STALE)
            return e;
        *ret_changed += !e && ended;
    }
    return NULL;
}
