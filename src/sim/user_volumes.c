/* SPDX-License-Identifier: EUPL-1.2 */
/* Users' requests for volumes and their snapshots, and for volumes in servers. */
#include "sim/world_impl.h"

#define VOLUMES "/volume/v3/volumes"
#define SNAPSHOTS "/volume/v3/snapshots"
#define SERVERS "/compute/v2.1/servers"

struct known_volume *volume_by_id(struct world *w, const char *id)
{
    for (size_t i = 0; i < w->n_volumes; i++)
        if (str_eq(w->volumes[i].id, id))
            return &w->volumes[i];
    return NULL;
}

struct known_snapshot *snapshot_by_id(struct world *w, const char *id)
{
    for (size_t i = 0; i < w->n_snapshots; i++)
        if (str_eq(w->snapshots[i].id, id))
            return &w->snapshots[i];
    return NULL;
}

static struct known_volume *any_volume(struct world *w)
{
    return w->n_volumes ? &w->volumes[rng_below(&w->rng.rng, w->n_volumes)] : NULL;
}

struct known_volume *some_volume(struct world *w)
{
    struct known_volume *v = any_volume(w);
    for (int tries = 0; v && v->row != THERE && tries < 20; tries++)
        v = any_volume(w);
    return v;
}

static struct known_snapshot *some_snapshot(struct world *w)
{
    struct known_snapshot *s = NULL;
    for (int tries = 0; w->n_snapshots && tries < 20 && (!s || s->row != THERE); tries++)
        s = &w->snapshots[rng_below(&w->rng.rng, w->n_snapshots)];
    return s;
}

static const char *token_of(const struct world *w, size_t project)
{
    return w->cloud.projects[project].token;
}

/* ---- what the answers depend on ---- */

static bool has_snapshots(const struct world *w, const struct known_volume *v)
{
    for (size_t i = 0; i < w->n_snapshots; i++)
        if (w->snapshots[i].row == THERE && str_eq(w->snapshots[i].volume_id, v->id))
            return true;
    return false;
}

/* A volume or a snapshot that another volume is being made from. */
static bool is_source(const struct world *w, const char *id)
{
    for (size_t i = 0; i < w->n_volumes; i++)
        if (w->volumes[i].row == THERE && w->volumes[i].state == VS_CREATING &&
            str_eq(w->volumes[i].source, id))
            return true;
    return false;
}

/* What could not be made from it, will not be made any more. */
static void orphan(struct world *w, const char *id)
{
    for (size_t i = 0; i < w->n_volumes; i++)
        if (str_eq(w->volumes[i].source, id) && w->volumes[i].state == VS_ERROR)
            w->volumes[i].orphan = true;
}

/* ---- volumes ---- */

struct volume_op {
    const char *name;
    int (*right)(const struct world *w, const struct known_volume *v);
    int (*send)(struct world *w, struct known_volume *v);
    void (*done)(struct world *w, struct known_volume *v);
    int ok;
    unsigned weight;
};

static int delete_right(const struct world *w, const struct known_volume *v)
{
    if (v->state == VS_DELETING)
        return 202;
    if (*v->user || has_snapshots(w, v) || is_source(w, v->id))
        return 400;
    return volume_act_rules[VA_DELETE].from & VS(v->state) ? 202 : 400;
}

static int delete_send(struct world *w, struct known_volume *v)
{
    return cloud_call(&w->cx, &w->cloud, token_of(w, v->project), "DELETE",
                      arena_printf(w->cx.arena, VOLUMES "/%s", v->id), NULL, NULL);
}

static void delete_done(struct world *w, struct known_volume *v)
{
    v->deleted = true;
    orphan(w, v->id);
}

static int extend_right(const struct world *w, const struct known_volume *v)
{
    bool may = volume_act_rules[VA_EXTEND_IN_USE].from & VS(v->state);
    return may && !is_source(w, v->id) ? 202 : 400;
}

static int extend_send(struct world *w, struct known_volume *v)
{
    return cloud_call(&w->cx, &w->cloud, token_of(w, v->project), "POST",
                      arena_printf(w->cx.arena, VOLUMES "/%s/action", v->id), NULL,
                      "{'os-extend':{'new_size':%" PRId64 "}}", v->size_gib + 1);
}

/* A copy is no smaller than its source. */
static void extend_done(struct world *w, struct known_volume *v)
{
    v->size_gib++;
    orphan(w, v->id);
}

static int upload_right(const struct world *w UNUSED, const struct known_volume *v)
{
    return volume_act_rules[VA_UPLOAD_IN_USE].from & VS(v->state) ? 202 : 400;
}

static int upload_send(struct world *w, struct known_volume *v)
{
    const char *format = rng_below(&w->rng.rng, 2) ? "raw" : "qcow2";
    return cloud_call(&w->cx, &w->cloud, token_of(w, v->project), "POST",
                      arena_printf(w->cx.arena, VOLUMES "/%s/action", v->id), NULL,
                      "{'os-volume_upload_image':{'image_name':'v','force':true,"
                      "'disk_format':'%s'}}",
                      format);
}

static void upload_done(struct world *w UNUSED, struct known_volume *v UNUSED)
{
}

static const struct volume_op ops[] = {
    {"delete", delete_right, delete_send, delete_done, 202, 50},
    {"extend", extend_right, extend_send, extend_done, 202, 30},
    {"upload", upload_right, upload_send, upload_done, 202, 20},
};

static void act(struct world *w, const struct request *rq)
{
    struct known_volume *v = rq->volume;
    const struct volume_op *op = rq->volume_op;
    int right = v->row == THERE ? op->right(w, v) : 404;
    int status = op->send(w, v);
    store_fail_nth(w->cloud.store, 0);
    trace(w, "user: %s volume %s: %d", op->name, v->id, status);
    if (status < 300)
        op->done(w, v);
    bool quota = status == 413 && right == op->ok;
    if (!quota)
        check_answer(w, op->name, v->id, status, right);
    check_safety(w, BY_USER, NULL);
}

void delete_volume(struct world *w, struct known_volume *v)
{
    const struct request rq = {.volume = v, .volume_op = ops};
    act(w, &rq);
}

/* ---- making volumes ---- */

/* From what: at most one is set. */
struct source {
    struct known_volume *volume;
    struct known_snapshot *snapshot;
    bool image;
};

static struct source draw_source(struct world *w)
{
    uint64_t n = rng_below(&w->rng.rng, 100);
    if (n < 30)
        return (struct source){0};
    if (n < 60)
        return (struct source){.image = true};
    if (n < 80)
        return (struct source){.volume = some_volume(w)};
    return (struct source){.snapshot = some_snapshot(w)};
}

static int source_right(const struct source *s)
{
    if (s->volume && s->volume->row != THERE)
        return 404;
    if (s->snapshot && s->snapshot->row != THERE)
        return 404;
    if (s->volume)
        return s->volume->state == VS_AVAILABLE || s->volume->state == VS_IN_USE ? 202 : 400;
    return !s->snapshot || s->snapshot->state == SN_AVAILABLE ? 202 : 400;
}

static const char *source_member(struct world *w, const struct source *s)
{
    if (s->image)
        return ",'imageRef':'" CLOUD_IMAGE "'";
    if (s->volume)
        return arena_printf(w->cx.arena, ",'source_volid':'%s'", s->volume->id);
    return s->snapshot ? arena_printf(w->cx.arena, ",'snapshot_id':'%s'", s->snapshot->id) : "";
}

static void remember(struct world *w, const char *id, size_t project, int64_t size_gib,
                     const struct source *s)
{
    must(w->n_volumes < VOLUMES_MAX);
    struct known_volume *v = &w->volumes[w->n_volumes++];
    const struct known_volume *from =
        s->snapshot ? volume_by_id(w, s->snapshot->volume_id) : s->volume;
    *v = (struct known_volume){
        .project = project, .size_gib = size_gib, .image = s->image || (from && from->image)};
    snprintf(v->id, sizeof(v->id), "%s", id);
    snprintf(v->origin, sizeof(v->origin), "%s",
             from       ? from->origin
             : s->image ? "image " CLOUD_IMAGE
                        : "blank");
    snprintf(v->source, sizeof(v->source), "%s",
             s->volume     ? s->volume->id
             : s->snapshot ? s->snapshot->id
                           : "");
}

static void create(struct world *w, const struct request *rq UNUSED)
{
    struct source s = draw_source(w);
    size_t project = s.volume     ? s.volume->project
                     : s.snapshot ? s.snapshot->project
                                  : rng_below(&w->rng.rng, CLOUD_PROJECTS);
    int64_t size_gib = 1 + (int64_t)rng_below(&w->rng.rng, 3);
    const struct known_volume *from =
        s.snapshot ? volume_by_id(w, s.snapshot->volume_id) : s.volume;
    size_gib = from ? from->size_gib : size_gib; /* no smaller */
    json_t *j = NULL;
    int right = source_right(&s);
    int status = cloud_call(&w->cx, &w->cloud, token_of(w, project), "POST", VOLUMES, &j,
                            "{'volume':{'size':%" PRId64 "%s}}", size_gib, source_member(w, &s));
    store_fail_nth(w->cloud.store, 0);
    const char *id = json_get_str(json_get(j, "volume"), "id");
    trace(w, "user: create volume %s of %" PRId64 " GiB %s: %d", id ? id : "", size_gib,
          source_member(w, &s), status);
    if (status == 202 && id)
        remember(w, id, project, size_gib, &s);
    if (status != 413)
        check_answer(w, "creation", id ? id : "a volume", status, right);
    check_safety(w, BY_USER, id);
}

/* ---- snapshots ---- */

static void create_snapshot(struct world *w, const struct request *rq)
{
    struct known_volume *v = rq->volume;
    json_t *j = NULL;
    bool may = v->state == VS_AVAILABLE || v->state == VS_IN_USE;
    int right = v->row != THERE ? 404 : may ? 202 : 400;
    int status = cloud_call(&w->cx, &w->cloud, token_of(w, v->project), "POST", SNAPSHOTS, &j,
                            "{'snapshot':{'volume_id':'%s','force':true}}", v->id);
    store_fail_nth(w->cloud.store, 0);
    const char *id = json_get_str(json_get(j, "snapshot"), "id");
    trace(w, "user: snapshot %s of volume %s: %d", id ? id : "", v->id, status);
    if (status == 202 && id) {
        must(w->n_snapshots < SNAPSHOTS_MAX);
        struct known_snapshot *s = &w->snapshots[w->n_snapshots++];
        *s = (struct known_snapshot){.project = v->project};
        snprintf(s->id, sizeof(s->id), "%s", id);
        snprintf(s->volume_id, sizeof(s->volume_id), "%s", v->id);
    }
    if (status != 413)
        check_answer(w, "snapshot", v->id, status, right);
    check_safety(w, BY_USER, id);
}

#define DELETABLE (VS(SN_AVAILABLE) | VS(SN_ERROR) | VS(SN_FAILED) | VS(SN_ERROR_DELETING))

static int snapshot_delete_right(const struct world *w, const struct known_snapshot *s)
{
    if (s->row != THERE)
        return 404;
    if (s->state == SN_DELETING)
        return 202;
    return (DELETABLE & VS(s->state)) && !is_source(w, s->id) ? 202 : 400;
}

static void drop_snapshot(struct world *w, const struct request *rq)
{
    struct known_snapshot *s = rq->snapshot;
    int right = snapshot_delete_right(w, s);
    int status = cloud_call(&w->cx, &w->cloud, token_of(w, s->project), "DELETE",
                            arena_printf(w->cx.arena, SNAPSHOTS "/%s", s->id), NULL, NULL);
    store_fail_nth(w->cloud.store, 0);
    trace(w, "user: delete snapshot %s: %d", s->id, status);
    if (status < 300) {
        s->deleted = true;
        orphan(w, s->id);
    }
    check_answer(w, "delete", s->id, status, right);
    check_safety(w, BY_USER, NULL);
}

void delete_snapshot(struct world *w, struct known_snapshot *s)
{
    const struct request rq = {.snapshot = s};
    drop_snapshot(w, &rq);
}

/* ---- volumes in servers ---- */

#define PLUG_WHEN                                                                                  \
    (TO(ST_ACTIVE) | TO(ST_SHUTOFF) | TO(ST_PAUSED) | TO(ST_VERIFY_RESIZE) |                       \
     TO(ST_SHELVED_OFFLOADED))

static bool may_plug(const struct known *k)
{
    return (TO(k->state) & PLUG_WHEN) && !k->exporting;
}

static int attach_right(const struct world *w, const struct known *k, const struct known_volume *v)
{
    if (k->row != THERE)
        return 404;
    if (!may_plug(k))
        return 409;
    if (v->row != THERE || v->project != k->project)
        return 404;
    bool is_free = !*v->user && (v->state == VS_AVAILABLE || v->state == VS_CREATING);
    return is_free && (w->cfg.pool || str_eq(v->host_id, k->host_id)) ? 200 : 400;
}

static void attach(struct world *w, const struct request *rq)
{
    struct known *k = rq->server;
    struct known_volume *v = rq->volume;
    int right = attach_right(w, k, v);
    int status = cloud_call(&w->cx, &w->cloud, token_of(w, k->project), "POST",
                            arena_printf(w->cx.arena, SERVERS "/%s/os-volume_attachments", k->id),
                            NULL, "{'volumeAttachment':{'volumeId':'%s'}}", v->id);
    store_fail_nth(w->cloud.store, 0);
    trace(w, "user: attach volume %s to %s: %d", v->id, k->id, status);
    check_answer(w, "attach", v->id, status, right);
    check_safety(w, BY_USER, NULL);
}

static int detach_right(const struct known *k, const struct known_volume *v)
{
    if (k->row != THERE || !str_eq(v->user, k->id))
        return 404;
    if (v->root)
        return 403;
    return !may_plug(k) ? 409 : v->use == AT_DETACHING ? 400 : 202;
}

static void detach(struct world *w, const struct request *rq)
{
    struct known *k = rq->server;
    struct known_volume *v = rq->volume;
    int right = detach_right(k, v);
    int status =
        cloud_call(&w->cx, &w->cloud, token_of(w, k->project), "DELETE",
                   arena_printf(w->cx.arena, SERVERS "/%s/os-volume_attachments/%s", k->id, v->id),
                   NULL, NULL);
    store_fail_nth(w->cloud.store, 0);
    trace(w, "user: detach volume %s from %s: %d", v->id, k->id, status);
    check_answer(w, "detach", v->id, status, right);
    check_safety(w, BY_USER, NULL);
}

/* ---- drawing ---- */

/* Mostly one that lies where the server runs, and nobody has. */
static struct known_volume *volume_for(struct world *w, const struct known *k)
{
    struct known_volume *v = some_volume(w);
    for (int tries = 0; v && tries < 20 && attach_right(w, k, v) != 200; tries++)
        v = some_volume(w);
    return v;
}

static struct known_volume *attached_volume(struct world *w)
{
    struct known_volume *v = some_volume(w);
    for (int tries = 0; v && tries < 20 && !*v->user; tries++)
        v = some_volume(w);
    return v;
}

static const struct volume_op *some_op(struct world *w)
{
    uint64_t n = rng_below(&w->rng.rng, 100);
    const struct volume_op *op = ops;
    for (; n >= op->weight; op++)
        n -= op->weight;
    return op;
}

struct request draw_volume_request(struct world *w)
{
    uint64_t n = rng_below(&w->rng.rng, 100);
    struct known *k = some_server(w);
    struct known_volume *v = some_volume(w);
    struct known_snapshot *s = some_snapshot(w);
    if (n < 28 || !v)
        return (struct request){.send = create};
    if (n < 44)
        return (struct request){.volume = v, .volume_op = some_op(w), .send = act};
    if (n < 56)
        return (struct request){.volume = v, .send = create_snapshot};
    if (n < 66 && s)
        return (struct request){.snapshot = s, .send = drop_snapshot};
    v = attached_volume(w);
    struct known *user = server_by_id(w, v->user);
    if (n < 80 && user)
        return (struct request){.server = user, .volume = v, .send = detach};
    if (k)
        return (struct request){.server = k, .volume = volume_for(w, k), .send = attach};
    return (struct request){.send = create};
}
