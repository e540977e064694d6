/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Importing staged data, and the tasks that tell of it. The data is on the store's disk already,
 * its digests taken when it came: an import is one change of the row, done when the request is
 * answered. Fetching from elsewhere (web-download) is not offered: the control plane would call any
 * address a tenant names, from inside the operator's network.
 */
#include "image/resources.h"

#define STAGED_US (INT64_C(24) * 3600 * 1000000)
#define TASK_US (INT64_C(48) * 3600 * 1000000)
#define BATCH 100

static void task_self_encode(struct ctx *cx, struct jw *w, const void *row,
                             const struct view *v UNUSED)
{
    jw_str(w, arena_printf(cx->arena, "/v2/tasks/%s", ((const struct task *)row)->id));
}

static void task_schema_encode(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                               const struct view *v UNUSED)
{
    jw_str(w, "/v2/schemas/task");
}

#define RESOURCE task
#define RESOURCE_DEF "image/task.def"
#include "resource/declare_fields.h"

static const struct res_index task_indexes[] = {
    {"image_tasks_image", "image_id", false, NULL},
    {"image_tasks_owner", "owner, created_at, id", false, NULL},
    {"image_tasks_expires", "expires_at", false, NULL}};

const struct resource task_resource = {.name = "task",
                                       .plural = "tasks",
                                       .table = "image_tasks",
                                       RESOURCE_FIELDS(task),
                                       .bare = true,
                                       .owner = task_f_owner,
                                       .time_style = TIME_Z,
                                       .not_found = "No task found with ID %s",
                                       .indexes = task_indexes,
                                       .n_indexes = ARRAY_LEN(task_indexes),
                                       .dflt_sort = "created_at:desc,id:desc",
                                       .doc = "Something that was asked for and takes its time."};

const struct res_where tasks_of_image = {&task_resource, "image_id = $1", "created_at DESC, id"};
const struct res_where images_staged_before = {
    &image_resource, "staged_at < $1 AND staged_location IS NOT NULL", "staged_at"};
const struct res_where tasks_expired = {&task_resource, "expires_at < $1", "expires_at"};
const struct stmt stmt_tasks_purge = {"image_tasks_purge",
                                      "DELETE FROM image_tasks WHERE expires_at < $1"};

/* ---------------------------------------------------------------- import */

static struct err *check_method(struct call *c, const struct image *i)
{
    const char *name = json_get_str(json_get(c->json, "method"), "name");
    if (!name)
        return fail(
            c->cx, ERR_INVALID,
            "The body names the way to import: {\"method\": {\"name\": \"glance-direct\"}}");
    if (str_eq(name, "web-download") || str_eq(name, "glance-download"))
        return fail(
            c->cx, ERR_INVALID,
            "The import method '%s' is not offered: this cloud fetches nothing from elsewhere. "
            "Send the data with 'glance-direct', or upload it.",
            name);
    if (!str_eq(name, "glance-direct"))
        return fail(c->cx, ERR_INVALID, "Unknown import method name '%s'.", name);
    if (!str_eq(i->status, "uploading") || !i->staged_location)
        return fail(c->cx, ERR_CONFLICT, "Image needs to be staged before '%s' method can be used",
                    name);
    return NULL;
}

static struct err *check_stores(struct call *c)
{
    const json_t *stores = json_get(c->json, "stores");
    const char *header = http_header(c->rq, "X-Image-Meta-Store");
    if (stores && json_get_bool(c->json, "all_stores", false))
        return fail(c->cx, ERR_INVALID,
                    "stores parameter and x-image-meta-store header can't be both specified: "
                    "all_stores names every one");
    for (size_t i = 0; i < json_array_size(stores); i++)
        if (!str_eq(json_string_value(json_array_get(stores, i)), IMAGE_STORE))
            return fail(c->cx, ERR_CONFLICT, "Can not find backend with id: %s",
                        json_python(c->cx, json_array_get(stores, i)));
    if ((stores && !json_array_size(stores)) || (header && !str_eq(header, IMAGE_STORE)))
        return fail(c->cx, ERR_CONFLICT, "Can not find backend with id: %s",
                    header ? header : "[]");
    return NULL;
}

static struct err *add_task(struct call *c, const struct image *i)
{
    struct task *t = res_new(c->cx, &task_resource);
    json_t *input = json_own(c->cx, json_pack("{s:s, s:O, s:[s]}", "image_id", i->id, "import_req",
                                              c->json, "backend", IMAGE_STORE));
    t->id = uuid_new(c->cx);
    t->type = "api_image_import";
    t->status = "success";
    t->owner = c->actor->project_id;
    t->input = json_text(c->cx, input);
    t->result = json_text(c->cx, json_own(c->cx, json_pack("{s:s}", "image_id", i->id)));
    t->message = "Copied 1 of 1 stores";
    t->image_id = i->id;
    t->request_id = c->cx->request_id;
    t->user_id = c->actor->user_id;
    t->expires_at = now_us(c->cx) + TASK_US;
    return res_insert(c->cx, c->tx, &task_resource, t);
}

static void unstage(struct image *i)
{
    i->staged_location = i->staged_md5 = i->staged_sha512 = i->staged_unbootable = NULL;
    i->staged_size = i->staged_virtual_size = INT_NULL;
    i->staged_at = 0;
}

struct err *image_import(struct call *c)
{
    struct image *i = NULL;
    TRY(image_own(c, &i));
    if (!json_is_object(c->json))
        return fail(c->cx, ERR_INVALID, "The request needs a JSON body");
    TRY(check_method(c, i));
    TRY(check_stores(c));
    TRY(quota_check(c->cx, c->tx, &image_service, "image_size_total", i->owner,
                    (i->staged_size + (1 << 20) - 1) >> 20));
    i->status = "active";
    i->size = i->staged_size;
    i->virtual_size = i->staged_virtual_size;
    i->checksum = i->staged_md5;
    i->os_hash_algo = "sha512";
    i->os_hash_value = i->staged_sha512;
    i->location = i->staged_location;
    i->unbootable = i->staged_unbootable;
    unstage(i);
    TRY(res_update(c->cx, c->tx, &image_resource, i));
    TRY(add_task(c, i));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- tasks */

struct err *image_tasks(struct call *c)
{
    struct image *i = NULL;
    struct view v = call_view(c);
    void **rows;
    size_t n;
    TRY(image_own(c, &i));
    TRY(res_select_by(c->cx, c->tx, &tasks_of_image, &rows, &n, V_TEXT(i->id)));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "tasks");
    for (size_t k = 0; k < n; k++)
        res_encode(c->cx, &w, &task_resource, rows[k], &v);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *image_task_list(struct call *c)
{
    return call_reply_list(c, &task_resource, NULL);
}

struct err *image_task_show(struct call *c)
{
    return call_reply_row(c, 200, &task_resource, c->target);
}

/* ---------------------------------------------------------------- ways and stores */

struct err *image_import_info(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "import-methods");
    jw_kstr(&w, "description", "Import methods available.");
    jw_kstr(&w, "type", "array");
    jw_kraw(&w, "value", "[\"glance-direct\"]");
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *stores(struct call *c, bool detail)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "stores");
    jw_obj(&w);
    jw_kstr(&w, "id", IMAGE_STORE);
    jw_kstr(&w, "description", "Files of the control plane.");
    jw_kstr(&w, "default", "true");
    if (detail) {
        jw_kstr(&w, "type", "file");
        jw_kobj(&w, "properties");
        jw_kstr(&w, "data_dir", image_settings()->dir);
        jw_obj_end(&w);
    }
    jw_obj_end(&w);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *image_stores_info(struct call *c)
{
    return stores(c, false);
}

struct err *image_stores_detail(struct call *c)
{
    return stores(c, true);
}

/* ---------------------------------------------------------------- what is left lying */

/* Staged for a day and not imported: the image waits for its data again. */
static struct err *expire(struct ctx *cx, struct store *s, const char *id, bool *ret_changed)
{
    AUTO_TXN struct tx *tx = NULL;
    struct image *i = NULL;
    *ret_changed = false;
    TRY(tx_write(cx, s, &tx));
    TRY(res_get(cx, tx, &image_resource, id, (void **)&i));
    if (!i || !i->staged_location || i->staged_at > now_us(cx) - STAGED_US)
        return NULL;
    image_data_forget(cx, tx, i->staged_location);
    unstage(i);
    i->status = "queued";
    TRY(res_update(cx, tx, &image_resource, i));
    *ret_changed = true;
    return tx_commit(cx, &tx);
}

static struct err *overdue(struct ctx *cx, struct store *s, void ***ret, size_t *ret_n,
                           bool *ret_tasks)
{
    AUTO_TXN struct tx *tx = NULL;
    void *task = NULL;
    TRY(tx_read(cx, s, &tx));
    TRY(res_first_by(cx, tx, &tasks_expired, &task, V_INT(now_us(cx))));
    *ret_tasks = task != NULL;
    return res_select_by(cx, tx, &images_staged_before, ret, ret_n, V_INT(now_us(cx) - STAGED_US));
}

static struct err *purge_tasks(struct ctx *cx, struct store *s)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(cx, s, &tx));
    TRY(db_run(cx, tx, &stmt_tasks_purge, V_INT(now_us(cx))));
    return tx_commit(cx, &tx);
}

struct err *image_import_sweep(struct ctx *cx, struct store *s, size_t *ret_changed)
{
    void **rows;
    size_t n;
    bool tasks;
    *ret_changed = 0;
    TRY(overdue(cx, s, &rows, &n, &tasks));
    if (tasks)
        TRY(purge_tasks(cx, s));
    for (size_t i = 0; i < n && i < BATCH; i++) {
        bool changed;
        struct err *e = expire(cx, s, ROW(image, rows, i)->id, &changed);
        if (e && e->kind != ERR_STALE)
            return e;
        *ret_changed += !e && changed;
    }
    return NULL;
}
