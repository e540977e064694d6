/* SPDX-License-Identifier: EUPL-1.2 */
/* Images as simple as can be, and their exports, which tests end. See test_fakes.h. */
#include "compute/test_fakes.h"

static const struct stmt image_add = {
    "fake_image_add", "INSERT INTO fake_images (id, server_id, held, name, "
                      "project_id, properties, number) VALUES ($1, $2, $3, $4, $5, $6, "
                      "(SELECT COALESCE(MAX(number), 0) + 1 FROM fake_images) + $7)"};
static const struct stmt image_by_id = {
    "fake_image_by_id", "SELECT server_id, name, project_id, properties FROM fake_images WHERE "
                        "id = $1"};
static const struct stmt image_of = {"fake_image_of",
                                     "SELECT id FROM fake_images WHERE server_id = $1"};
static const struct stmt image_release = {"fake_image_release",
                                          "UPDATE fake_images SET held = 0 WHERE id = $1"};
static const struct stmt image_whole = {"fake_image_whole",
                                        "UPDATE fake_images SET server_id = NULL WHERE id = $1"};
static const struct stmt image_del = {"fake_image_del", "DELETE FROM fake_images WHERE id = $1"};
static const struct stmt images_cancel = {"fake_images_cancel",
                                          "DELETE FROM fake_images WHERE server_id = $1"};

static image_export_done_fn *export_done;

void image_on_delete(image_used_fn *fn UNUSED)
{
}

void image_on_export(enum export_source source, image_export_done_fn *fn)
{
    if (source == EXPORT_SERVER) /* volumes' exports are not played here */
        export_done = fn;
}

struct err *image_export_begin(struct call *c, const struct image_export *x,
                               const char **ret_image_id)
{
    assert_int_equal(x->source, EXPORT_SERVER);
    *ret_image_id = uuid_new(c->cx);
    return db_run(c->cx, c->tx, &image_add, V_TEXT(*ret_image_id), V_TEXT(x->source_id),
                  V_INT(x->held), V_TEXT(x->name), V_TEXT(c->actor->project_id),
                  V_TEXT(x->properties), V_INT(0));
}

struct err *image_describe(struct call *c, const struct image_export *x, const char **ret_image_id)
{
    *ret_image_id = uuid_new(c->cx);
    return db_run(c->cx, c->tx, &image_add, V_TEXT(*ret_image_id), V_NULL(), V_INT(0),
                  V_TEXT(x->name), V_TEXT(c->actor->project_id), V_TEXT(x->properties), V_INT(0));
}

struct err *image_export_release(struct ctx *cx, struct tx *tx, const char *image_id)
{
    return db_run(cx, tx, &image_release, V_TEXT(image_id));
}

struct err *image_export_cancel(struct ctx *cx, struct tx *tx, enum export_source source UNUSED,
                                const char *source_id)
{
    return db_run(cx, tx, &images_cancel, V_TEXT(source_id));
}

static const struct stmt images_of_project = {
    "fake_images_of_project", "SELECT id, properties FROM fake_images WHERE project_id = $1 AND "
                              "server_id IS NULL ORDER BY number DESC"};

struct err *image_keep_newest(struct ctx *cx, struct tx *tx, const char *project_id,
                              const char *properties, int64_t keep)
{
    struct db_value param = V_TEXT(project_id);
    struct db_rows rows;
    json_t *wanted = NULL, *has = NULL;
    TRY(json_read(cx, properties, strlen(properties), &wanted));
    TRY(db_query(cx, tx, &images_of_project, &param, 1, &rows));
    for (size_t i = 0; i < rows.n_rows; i++) {
        const char *text = db_text(&rows, i, 1), *key;
        json_t *v;
        bool all = true;
        TRY(json_read(cx, text, strlen(text), &has));
        json_object_foreach(wanted, key, v) all = all && json_equal(json_get(has, key), v);
        if (all && keep-- <= 0)
            TRY(db_run(cx, tx, &image_del, V_TEXT(db_text(&rows, i, 0))));
    }
    return NULL;
}

struct err *image_discard(struct ctx *cx, struct tx *tx, const char *id)
{
    return db_run(cx, tx, &image_del, V_TEXT(id));
}

static struct err *made_image(struct ctx *cx, struct tx *tx, const char *id, struct image_info *ret,
                              bool *found)
{
    struct db_value param = V_TEXT(id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &image_by_id, &param, 1, &rows));
    *found = rows.n_rows > 0;
    if (*found)
        *ret = (struct image_info){.id = id,
                                   .name = db_text(&rows, 0, 1),
                                   .status = db_text(&rows, 0, 0) ? "queued" : "active",
                                   .disk_format = "qcow2",
                                   .container_format = "bare",
                                   .sha512 = "ef",
                                   .visibility = "private",
                                   .owner = db_text(&rows, 0, 2),
                                   .size_bytes = 1 << 20,
                                   .virtual_size_bytes = 1 << 26,
                                   .properties = db_text(&rows, 0, 3)};
    return NULL;
}

static char properties_kept[4096] = "{}"; /* of every image that has no row */

struct err *image_get_any(struct ctx *cx, struct tx *tx, const char *id, struct image_info *ret,
                          bool *found)
{
    TRY(made_image(cx, tx, id, ret, found));
    if (*found)
        return NULL;
    *found = str_eq(id, IMAGE_OK) || str_eq(id, IMAGE_QUEUED) || str_eq(id, IMAGE_BIG) ||
             str_eq(id, IMAGE_P2);
    *ret = (struct image_info){.id = id,
                               .name = "image",
                               .status = str_eq(id, IMAGE_QUEUED) ? "queued" : "active",
                               .disk_format = "qcow2",
                               .container_format = "bare",
                               .sha512 = "ab",
                               .md5 = "cd",
                               .visibility = str_eq(id, IMAGE_P2) ? "private" : "public",
                               .size_bytes = 1 << 20,
                               .virtual_size_bytes = str_eq(id, IMAGE_BIG) ? 100LL << 30 : 1 << 26,
                               .properties = properties_kept};
    return NULL;
}

struct err *image_get(struct ctx *cx, struct tx *tx, const char *id, const struct actor *actor,
                      struct image_info *ret)
{
    bool found;
    TRY(image_get_any(cx, tx, id, ret, &found));
    if (!found || (str_eq(id, IMAGE_P2) && !str_eq(actor->project_id, "p2")))
        return fail(cx, ERR_NOT_FOUND, "No image found with ID %s", id);
    return NULL;
}

struct err *image_list_for(struct ctx *cx, struct tx *tx, const struct actor *actor,
                           struct image_info **ret, size_t *ret_n)
{
    *ret = arena_new_of(cx->arena, struct image_info);
    *ret_n = 1;
    return image_get(cx, tx, IMAGE_OK, actor, *ret);
}

struct err *image_properties_set(struct call *c, const char *id, const char *properties)
{
    struct image_info image;
    TRY(image_get(c->cx, c->tx, id, c->actor, &image));
    must(strlen(properties) < sizeof(properties_kept));
    memcpy(properties_kept, properties, strlen(properties) + 1);
    return NULL;
}

struct err *image_remove(struct call *c, const char *id)
{
    struct image_info image;
    TRY(image_get(c->cx, c->tx, id, c->actor, &image));
    return str_eq(image.visibility, "private")
               ? NULL
               : fail(c->cx, ERR_FORBIDDEN, "You are not permitted to modify this image");
}

void world_export_end(struct compute_world *w, const char *server_id, const char *error)
{
    AUTO_TXN struct tx *tx = NULL;
    struct ctx *cx = &w->t.cx;
    struct db_value param = V_TEXT(server_id);
    struct db_rows rows;
    assert_ok(cx, tx_write(cx, w->t.store, &tx));
    assert_ok(cx, db_query(cx, tx, &image_of, &param, 1, &rows));
    assert_int_equal(rows.n_rows, 1);
    const char *id = db_text(&rows, 0, 0);
    assert_ok(cx, db_run(cx, tx, error ? &image_del : &image_whole, V_TEXT(id)));
    assert_ok(cx, export_done(cx, tx, server_id, id, error));
    assert_ok(cx, tx_commit(cx, &tx));
}
