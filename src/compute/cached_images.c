/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Images that an aggregate's hosts fetch before a server needs them (os-aggregates, since 2.81). A
 * wish is a row for each host; it lasts a day, as long as nova keeps what nothing uses. The host
 * hears of it as an item of the kind "image".
 */
#include "compute/impl.h"

#define KEPT_US (24 * 3600 * 1000000LL)
#define IMAGES_MAX 100

const struct stmt stmt_cached_image_add = {
    "cached_image_add", "INSERT INTO cached_images (host_id, image_id, until) VALUES ($1, $2, $3) "
                        "ON CONFLICT (host_id, image_id) DO UPDATE SET until = $3"};
const struct stmt stmt_cached_image_has = {
    "cached_image_has", "SELECT 1 FROM cached_images WHERE host_id = $1 AND image_id = $2"};
const struct stmt stmt_cached_images_on = {"cached_images_on",
                                           "SELECT image_id FROM cached_images WHERE host_id = $1"};
const struct stmt stmt_cached_images_over = {
    "cached_images_over", "SELECT host_id, image_id FROM cached_images WHERE until <= $1"};
const struct stmt stmt_cached_image_drop = {
    "cached_image_drop", "DELETE FROM cached_images WHERE host_id = $1 AND image_id = $2"};
const struct stmt stmt_cached_images_forget = {"cached_images_forget",
                                               "DELETE FROM cached_images WHERE host_id = $1"};

/* ---------------------------------------------------------------- for the host */

static struct err *view(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                        struct jw *w, bool *ret_present)
{
    const struct db_value params[] = {V_TEXT(host_id), V_TEXT(item_id)};
    struct image_info image;
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_cached_image_has, params, 2, &rows));
    if (rows.n_rows)
        TRY(image_get_any(cx, tx, item_id, &image, ret_present));
    *ret_present = rows.n_rows && *ret_present && str_eq(image.status, "active");
    if (!*ret_present)
        return NULL;
    jw_obj(w);
    jw_kstr(w, "id", item_id);
    jw_kraw(w, "image", image_spec(cx, &image));
    jw_obj_end(w);
    return NULL;
}

static struct err *list(struct ctx *cx, struct tx *tx, const char *host_id, struct db_rows *ret_ids)
{
    const struct db_value host = V_TEXT(host_id);
    return db_query(cx, tx, &stmt_cached_images_on, &host, 1, ret_ids);
}

/* The wish is all that is kept: a host that can't fetch the image goes on trying while it lasts,
 * and says so in its log. */
static struct err *report(struct ctx *cx UNUSED, struct tx *tx UNUSED, const char *host_id UNUSED,
                          const char *item_id UNUSED, const json_t *observed UNUSED)
{
    return NULL;
}

const struct fleet_kind cached_image_kind = {
    .name = "image", .view = view, .list = list, .report = report};

/* ---------------------------------------------------------------- the API */

static struct err *check_image(struct call *c, const char *id)
{
    struct image_info image;
    struct err *e = image_get(c->cx, c->tx, id, c->actor, &image);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_INVALID, "Image %s could not be found.", id);
    TRY(e);
    if (!str_eq(image.status, "active"))
        return fail(c->cx, ERR_INVALID, "Image %s is not active.", id);
    if (!str_eq(image.disk_format, "raw") && !str_eq(image.disk_format, "qcow2"))
        return fail(c->cx, ERR_INVALID,
                    "Image %s is unacceptable: its disk format is %s; hosts keep raw and qcow2", id,
                    image.disk_format);
    return NULL;
}

static struct err *read_images(struct call *c, const json_t **ret)
{
    const json_t *list_ = json_get(c->json, "cache");
    size_t n = json_array_size(list_);
    *ret = list_;
    if (json_object_size(c->json) != 1 || !n || n > IMAGES_MAX)
        return bad_member(c, "cache", list_, "A list of 1 to 100 images is needed");
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list_, i);
        const char *id = json_get_str(item, "id");
        if (json_object_size(item) != 1 || !id || !uuid_valid(id))
            return bad_member(c, "cache", item, "it is not {'id': an image's id}");
        for (size_t k = 0; k < i; k++)
            if (str_eq(id, json_get_str(json_array_get(list_, k), "id")))
                return fail(c->cx, ERR_INVALID, "Duplicate images in request");
        TRY(check_image(c, id));
    }
    return NULL;
}

struct err *aggregate_cache_images(struct call *c)
{
    struct aggregate *a;
    const json_t *images;
    struct db_rows hosts;
    TRY(aggregate_find(c, &a));
    TRY(read_images(c, &images));
    const struct db_value id = V_TEXT(a->id), until = V_INT(now_us(c->cx) + KEPT_US);
    TRY(db_query(c->cx, c->tx, &stmt_aggregate_hosts, &id, 1, &hosts));
    for (size_t i = 0; i < hosts.n_rows; i++)
        for (size_t k = 0; k < json_array_size(images); k++) {
            const char *host = db_text(&hosts, i, 0),
                       *image = json_get_str(json_array_get(images, k), "id");
            TRY(db_run(c->cx, c->tx, &stmt_cached_image_add, V_TEXT(host), V_TEXT(image), until));
            TRY(fleet_touch(c->cx, c->tx, host, "image", image));
        }
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- the end of a wish */

struct err *cached_images_sweep(struct ctx *cx, struct store *store)
{
    AUTO_TXN struct tx *tx = NULL;
    const struct db_value now = V_INT(now_us(cx));
    struct db_rows rows;
    TRY(tx_read(cx, store, &tx));
    TRY(db_query(cx, tx, &stmt_cached_images_over, &now, 1, &rows));
    tx_rollback(&tx);
    if (!rows.n_rows)
        return NULL;
    TRY(tx_write(cx, store, &tx));
    TRY(db_query(cx, tx, &stmt_cached_images_over, &now, 1, &rows));
    for (size_t i = 0; i < rows.n_rows; i++) {
        const char *host = db_text(&rows, i, 0), *image = db_text(&rows, i, 1);
        TRY(db_run(cx, tx, &stmt_cached_image_drop, V_TEXT(host), V_TEXT(image)));
        TRY(fleet_touch(cx, tx, host, "image", image));
    }
    return tx_commit(cx, &tx);
}
