/* SPDX-License-Identifier: EUPL-1.2 */
/* What a volume has, and how it looks. */
#include "volume/impl.h"

static const struct volume_more *more_of(const void *row)
{
    static const struct volume_more nothing = {0};
    const struct volume *v = row;
    return v->row.extra ? v->row.extra : &nothing;
}

/* ---------------------------------------------------------------- what is shown when */

/* Not in the answers to a create or an update. */
static bool shown_whole(const void *row UNUSED, const struct view *v)
{
    const struct call *c = v->call;
    return !c || str_eq(c->rq->method, "GET");
}

static bool shown_image_metadata(const void *row, const struct view *v)
{
    return shown_whole(row, v) && !str_eq(((const struct volume *)row)->image_metadata, "{}");
}

/* ---------------------------------------------------------------- what is refused */

static const char *check_no_multiattach(struct ctx *cx UNUSED, const json_t *v, json_t **ret UNUSED)
{
    bool b = false;
    if (!json_is_true(v) && !(str_to_bool(json_string_value(v), &b) && b))
        return NULL;
    return "a volume is one server's at a time here: multiattach is not supported";
}

static const char *check_no_consistency_group(struct ctx *cx UNUSED, const json_t *v UNUSED,
                                              json_t **ret UNUSED)
{
    return "there are no consistency groups: use groups";
}

static const char *check_no_backup(struct ctx *cx UNUSED, const json_t *v UNUSED,
                                   json_t **ret UNUSED)
{
    return "there are no backups";
}

/* ---------------------------------------------------------------- values */

static void encode_status(struct ctx *cx UNUSED, struct jw *w, const void *row,
                          const struct view *v UNUSED)
{
    jw_str(w, volume_life_of(volume_state_of(row))->status);
}

/* What it is, not what it shall become. */
static void encode_size(struct ctx *cx UNUSED, struct jw *w, const void *row,
                        const struct view *v UNUSED)
{
    const struct volume *s = row;
    enum volume_state state = volume_state_of(s);
    bool growing = state == VS_EXTENDING || state == VS_ERROR_EXTENDING;
    jw_int(w, growing && s->seen_size_gib ? s->seen_size_gib : s->size_gib);
}

static void encode_updated_at(struct ctx *cx, struct jw *w, const void *row,
                              const struct view *v UNUSED)
{
    const struct volume *s = row;
    jw_str(w, s->row.generation > 1 ? time_iso(cx, s->updated_at, TIME_MICROS) : NULL);
}

static void encode_type(struct ctx *cx UNUSED, struct jw *w, const void *row,
                        const struct view *v UNUSED)
{
    jw_str(w, more_of(row)->type_name);
}

/* With what the service itself knows, as cinder shows it: the texts True and False. */
static void encode_metadata(struct ctx *cx, struct jw *w, const void *row,
                            const struct view *v UNUSED)
{
    const struct volume *s = row;
    json_t *map = NULL;
    if (s->read_only == INT_NULL || json_read(cx, s->metadata, strlen(s->metadata), &map)) {
        jw_raw(w, s->metadata);
        return;
    }
    json_object_set_new(map, "readonly", json_string(s->read_only ? "True" : "False"));
    jw_json(w, map);
}

static void encode_bootable(struct ctx *cx UNUSED, struct jw *w, const void *row,
                            const struct view *v UNUSED)
{
    jw_str(w, ((const struct volume *)row)->bootable ? "true" : "false");
}

static void encode_false(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                         const struct view *v UNUSED)
{
    jw_bool(w, false);
}

static void encode_true(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                        const struct view *v UNUSED)
{
    jw_bool(w, true);
}

static void encode_null(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                        const struct view *v UNUSED)
{
    jw_null(w);
}

static void encode_service_uuid(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                const struct view *v UNUSED)
{
    jw_str(w, ((const struct volume *)row)->host_id);
}

/* As cinder: those that are attached; a server's host is for administrators. */
static void encode_attachments(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    const struct volume_more *m = more_of(row);
    jw_arr(w);
    for (size_t i = 0; i < m->n_attachments; i++) {
        const struct attachment *a = m->attachments[i];
        if (attach_state_of(a) != AT_ATTACHED && attach_state_of(a) != AT_DETACHING)
            continue;
        jw_obj(w);
        jw_kstr(w, "id", a->volume_id);
        jw_kstr(w, "attachment_id", a->id);
        jw_kstr(w, "volume_id", a->volume_id);
        jw_kstr(w, "server_id", a->server_id);
        jw_kstr(w, "host_name", v->admin ? a->host_name : NULL);
        jw_kstr(w, "device", a->device);
        jw_kstr(w, "attached_at",
                a->attached_at ? time_iso(cx, a->attached_at, TIME_MICROS) : NULL);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

static void encode_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    volume_links(cx, w, v, "volumes", ((const struct volume *)row)->id);
}

#define RESOURCE volume
#define RESOURCE_DEF "volume/volume.def"
#include "resource/declare_fields.h"

/* ---------------------------------------------------------------- loading */

const struct res_where attachments_of_many = {&attachment_resource, "volume_id IN " IN_BATCH,
                                              "volume_id, created_at, id"};

/* Those of one volume stand together: each volume takes its run. */
static struct err *load_attachments(struct ctx *cx, struct tx *tx, void *const *volumes, size_t n)
{
    void **rows;
    size_t n_rows;
    const char **ids = arena_new_array(cx->arena, const char *, n);
    for (size_t i = 0; i < n; i++)
        ids[i] = ROW(volume, volumes, i)->id;
    TRY(res_select_in(cx, tx, &attachments_of_many, ids, n, &rows, &n_rows));
    void **sorted = volumes_sorted(cx, volumes, n);
    for (size_t i = 0; i < n_rows;) {
        const char *id = ROW(attachment, rows, i)->volume_id;
        struct volume_more *m = volumes_find(sorted, n, id)->row.extra;
        m->attachments = (struct attachment **)(void *)&rows[i];
        for (; i < n_rows && str_eq(ROW(attachment, rows, i)->volume_id, id); i++)
            m->n_attachments++;
    }
    return NULL;
}

static struct err *volume_prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                                  const struct view *v)
{
    struct db_rows types;
    if (v->brief)
        return NULL;
    TRY(volume_type_names(cx, tx, &types));
    struct volume_more *more = arena_new_array(cx->arena, struct volume_more, n);
    for (size_t i = 0; i < n; i++) {
        struct volume *s = rows[i];
        more[i].type_name = volume_type_name(&types, s->type_id);
        s->row.extra = &more[i];
    }
    return load_attachments(cx, tx, rows, n);
}

static const struct res_index volume_indexes[] = {
    {"volumes_project", "project_id, created_at, id, size_gib", false, NULL}, /* for quotas */
    {"volumes_host", "host_id", false, "host_id IS NOT NULL"},
    {"volumes_deadline", "state_deadline", false, "state_deadline IS NOT NULL"},
    {"volumes_being_made", "state, source_id, snapshot_id, image_id", false, "state = 'creating'"},
};
const struct resource volume_resource = {.name = "volume",
                                         .plural = "volumes",
                                         .table = "volumes",
                                         RESOURCE_FIELDS(volume),
                                         .extra = EXTRA_IGNORE,
                                         .owner = volume_f_project_id,
                                         .not_found = "Volume %s could not be found.",
                                         .indexes = volume_indexes,
                                         .n_indexes = ARRAY_LEN(volume_indexes),
                                         .time_style = TIME_MICROS,
                                         .prepare = volume_prepare,
                                         .encode_more = encode_links,
                                         .dflt_sort = "created_at:desc,id:desc",
                                         .doc = "Disks."};
