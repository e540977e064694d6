/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Attachments as compute knows them (volumes.h): a server's disks, which its host plugs. A volume
 * has one user at a time; its own status follows its attachment's.
 */
#include "volume/impl.h"

const struct res_where attachments_of_volume = {&attachment_resource, "volume_id = $1",
                                                "created_at, id"};
const struct res_where uses_of_servers = {
    &attachment_resource, "plugged = 1 AND server_id IS NOT NULL",
    "server_id, CASE WHEN boot_index = 0 THEN 0 ELSE 1 END, created_at, id"};
const struct res_where volumes_by_ids = {&volume_resource, "id IN " IN_BATCH, NULL};

static int compare_ids(const void *a, const void *b)
{
    return strcmp((*(const struct volume *const *)a)->id, (*(const struct volume *const *)b)->id);
}

void **volumes_sorted(struct ctx *cx, void *const *volumes, size_t n)
{
    void **sorted = arena_memdup(cx->arena, volumes, n * sizeof(*volumes));
    if (n)
        qsort(sorted, n, sizeof(*sorted), compare_ids);
    return sorted;
}

struct volume *volumes_find(void *const *sorted, size_t n, const char *id)
{
    const struct volume wanted = {.id = id}, *key = &wanted;
    void **found = n ? bsearch(&key, sorted, n, sizeof(*sorted), compare_ids) : NULL;
    must(found); /* a foreign key of the mind: it is there */
    return *found;
}

enum attach_state attach_state_of(const struct attachment *a)
{
    return attach_state_named(a->state);
}

static void set_state(struct ctx *cx, struct attachment *a, enum attach_state to)
{
    const struct attach_life *l = attach_life_of(to);
    a->state = l->name;
    a->state_deadline = a->plugged && l->deadline_s ? now_us(cx) + l->deadline_s * 1000000 : 0;
    if (to == AT_ATTACHED && !a->attached_at)
        a->attached_at = now_us(cx);
}

void attach_move(struct ctx *cx, struct attachment *a, enum attach_state to)
{
    enum attach_state from = attach_state_of(a);
    if (from == to)
        return;
    must(attach_life_allows(from, to));
    set_state(cx, a, to);
}

struct err *attachments_of(struct ctx *cx, struct tx *tx, const char *volume_id,
                           struct attachment ***ret, size_t *ret_n)
{
    void **rows;
    TRY(res_select_by(cx, tx, &attachments_of_volume, &rows, ret_n, V_TEXT(volume_id)));
    *ret = (struct attachment **)(void *)rows;
    return NULL;
}

struct err *volume_server(struct ctx *cx, struct tx *tx, const char *volume_id, const char **ret)
{
    struct attachment **all;
    size_t n;
    *ret = NULL;
    TRY(attachments_of(cx, tx, volume_id, &all, &n));
    for (size_t i = 0; i < n && !*ret; i++)
        *ret = all[i]->plugged ? all[i]->server_id : NULL;
    return NULL;
}

/* The volume of an attachment; a foreign key of the mind: it is there. */
static struct err *volume_of(struct ctx *cx, struct tx *tx, const char *volume_id,
                             struct volume **ret)
{
    void *row = NULL;
    TRY(res_find(cx, tx, &volume_resource, volume_id, &row));
    *ret = row;
    return NULL;
}

struct err *attachment_end(struct ctx *cx, struct tx *tx, struct attachment *a)
{
    struct volume *v;
    TRY(res_delete(cx, tx, &attachment_resource, a));
    TRY(volume_of(cx, tx, a->volume_id, &v));
    v->next_host_id = NULL; /* nobody waits for it there */
    return volume_settle(cx, tx, v, 0);
}

/* ---------------------------------------------------------------- reading */

static enum use_state use_state_of(const struct attachment *a)
{
    enum attach_state state = attach_state_of(a);
    return state == AT_ATTACHED    ? USE_ATTACHED
           : state == AT_DETACHING ? USE_DETACHING
                                   : USE_ATTACHING;
}

static struct volume_use use_of(const struct attachment *a, const struct volume *v)
{
    return (struct volume_use){.id = a->id,
                               .volume_id = a->volume_id,
                               .server_id = a->server_id,
                               .host_id = v->pool_id ? NULL : v->host_id,
                               .pool_id = v->pool_id,
                               .device = a->device,
                               .tag = a->tag,
                               .state = use_state_of(a),
                               .boot_index = a->boot_index,
                               .read_only = v->read_only == 1,
                               .delete_on_termination = a->delete_on_termination,
                               .ready = v->seen_ready,
                               .size_gib = v->size_gib,
                               .bootable = v->bootable,
                               .volume_status = volume_life_of(volume_state_of(v))->status,
                               .volume_name = v->name ? v->name : "",
                               .image_metadata = v->image_metadata,
                               .volume_error = v->seen_error};
}

struct err *volume_uses_of(struct ctx *cx, struct tx *tx, const char *const *server_ids, size_t n,
                           struct volume_use **ret, size_t *ret_n)
{
    void **rows, **volumes;
    size_t n_volumes;
    TRY(res_select_of(cx, tx, &uses_of_servers, attachment_f_server_id, server_ids, n, &rows,
                      ret_n));
    *ret = arena_new_array(cx->arena, struct volume_use, *ret_n + 1);
    const char **ids = arena_new_array(cx->arena, const char *, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++)
        ids[i] = ROW(attachment, rows, i)->volume_id;
    TRY(res_select_in(cx, tx, &volumes_by_ids, ids, *ret_n, &volumes, &n_volumes));
    volumes = volumes_sorted(cx, volumes, n_volumes);
    for (size_t i = 0; i < *ret_n; i++)
        (*ret)[i] = use_of(rows[i], volumes_find(volumes, n_volumes, ids[i]));
    return NULL;
}

/* ---------------------------------------------------------------- what users ask for */

static bool device_taken(const struct volume_use *uses, size_t n, const char *device)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(uses[i].device, device))
            return true;
    return false;
}

/* The root disk is /dev/vda whether it is a volume or not. */
static struct err *choose_device(struct call *c, const struct use_request *rq, const char **ret)
{
    struct volume_use *uses;
    size_t n;
    TRY(volume_uses_of(c->cx, c->tx, &rq->server_id, 1, &uses, &n));
    if (rq->device && *rq->device) {
        *ret = str_starts(rq->device, "/dev/") ? rq->device
                                               : arena_printf(c->cx->arena, "/dev/%s", rq->device);
        if (device_taken(uses, n, *ret))
            return fail(c->cx, ERR_CONFLICT, "The supplied device path (%s) is in use.", *ret);
        return NULL;
    }
    for (char letter = rq->boot_index == 0 ? 'a' : 'b'; letter <= 'z'; letter++) {
        *ret = arena_printf(c->cx->arena, "/dev/vd%c", letter);
        if (!device_taken(uses, n, *ret))
            return NULL;
    }
    return fail(c->cx, ERR_FORBIDDEN, "No free disk device names for prefix 'vd'");
}

static struct err *check_free(struct call *c, const struct volume *v, const struct use_request *rq)
{
    struct attachment **all;
    size_t n;
    enum volume_state state = volume_state_of(v);
    TRY(attachments_of(c->cx, c->tx, v->id, &all, &n));
    for (size_t i = 0; i < n; i++)
        if (str_eq(all[i]->server_id, rq->server_id))
            return fail(c->cx, ERR_INVALID,
                        "Invalid volume: volume %s is already attached to instance %s", v->id,
                        rq->server_id);
    if (n == 0 && (state == VS_AVAILABLE || state == VS_CREATING))
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "Invalid input received: Invalid volume: Volume %s status must be available or "
                "downloading to reserve, but the current status is %s.",
                v->id, volume_life_of(state)->status);
}

struct err *volume_attach(struct call *c, const struct use_request *rq, struct volume_use *ret)
{
    struct volume *v;
    TRY(volume_get(c, rq->volume_id, &v));
    TRY(check_free(c, v, rq));
    struct attachment *a = res_new(c->cx, &attachment_resource);
    TRY(choose_device(c, rq, &a->device));
    a->id = uuid_new(c->cx);
    a->volume_id = v->id;
    a->server_id = rq->server_id;
    a->project_id = v->project_id;
    a->plugged = true;
    a->tag = rq->tag;
    a->mode = v->read_only == 1 ? "ro" : "rw";
    a->host_name = v->host ? arena_strndup(c->cx->arena, v->host, strcspn(v->host, "@")) : NULL;
    a->boot_index = rq->boot_index;
    a->delete_on_termination = rq->delete_on_termination;
    set_state(c->cx, a, AT_ATTACHING);
    if (rq->born)
        a->state_deadline = 0;
    TRY(res_insert(c->cx, c->tx, &attachment_resource, a));
    if (volume_state_of(v) == VS_AVAILABLE)
        volume_move(c->cx, v, VS_ATTACHING);
    TRY(volume_save(c->cx, c->tx, v));
    if (rq->host_id)
        TRY(volume_hand_over(c->cx, c->tx, v, rq->host_id, REHOST_WAIT));
    *ret = use_of(a, v);
    return NULL;
}

/* The attachment as it is now; *ret NULL: it is over. */
static struct err *use_row(struct ctx *cx, struct tx *tx, const struct volume_use *use,
                           struct attachment **ret)
{
    void *row = NULL;
    TRY(res_get(cx, tx, &attachment_resource, use->id, &row));
    *ret = row;
    return NULL;
}

/* Saved, and its volume as it says. */
static struct err *use_move(struct ctx *cx, struct tx *tx, struct attachment *a,
                            enum attach_state to)
{
    struct volume *v;
    attach_move(cx, a, to);
    TRY(res_update(cx, tx, &attachment_resource, a));
    TRY(volume_of(cx, tx, a->volume_id, &v));
    return volume_settle(cx, tx, v, 0);
}

struct err *volume_detach(struct call *c, const struct volume_use *use)
{
    struct attachment *a;
    TRY(use_row(c->cx, c->tx, use, &a));
    if (!a || attach_state_of(a) == AT_DETACHING)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Invalid input received: Invalid volume: Unable to detach "
                    "volume. Volume status must be 'in-use' and attach_status must be 'attached' "
                    "to detach.");
    return use_move(c->cx, c->tx, a, AT_DETACHING);
}

struct err *volume_use_keep(struct call *c, const struct volume_use *use,
                            bool delete_on_termination)
{
    struct attachment *a;
    TRY(use_row(c->cx, c->tx, use, &a));
    if (!a || a->delete_on_termination == delete_on_termination)
        return NULL;
    a->delete_on_termination = delete_on_termination;
    return res_update(c->cx, c->tx, &attachment_resource, a);
}

/* ---------------------------------------------------------------- what the host says */

struct err *volume_attached(struct ctx *cx, struct tx *tx, const struct volume_use *use)
{
    struct attachment *a;
    TRY(use_row(cx, tx, use, &a));
    if (!a || attach_state_of(a) != AT_ATTACHING)
        return NULL; /* told before, or to be detached by now */
    return use_move(cx, tx, a, AT_ATTACHED);
}

struct err *volume_detached(struct ctx *cx, struct tx *tx, const struct volume_use *use)
{
    struct attachment *a;
    TRY(use_row(cx, tx, use, &a));
    return a ? attachment_end(cx, tx, a) : NULL;
}

/*
 * A volume made to go with its server goes: but for snapshots, which somebody made on purpose and
 * which would go too, and not before the last copy of it is made.
 */
static struct err *go_with_server(struct ctx *cx, struct tx *tx, struct volume *v)
{
    void **snapshots;
    size_t n;
    bool source;
    TRY(res_select_by(cx, tx, &snapshots_of_volume, &snapshots, &n, V_TEXT(v->id)));
    if (n)
        return volume_message(cx, tx, v->project_id, "VOLUME", v->id, "delete volume", "kept",
                              "Its server is gone; the volume stays, as it has snapshots.");
    TRY(volume_is_source(cx, tx, v->id, &source));
    if (!source)
        return volume_doom(cx, tx, v);
    v->going = true;
    volume_set_state(cx, v, VS_DELETING); /* the sweep goes on with it */
    return res_update(cx, tx, &volume_resource, v);
}

static struct err *release(struct ctx *cx, struct tx *tx, struct attachment *a)
{
    struct volume *v;
    TRY(attachment_end(cx, tx, a));
    if (!a->delete_on_termination)
        return NULL;
    TRY(volume_of(cx, tx, a->volume_id, &v));
    return go_with_server(cx, tx, v);
}

struct err *volume_uses_release(struct ctx *cx, struct tx *tx, const char *server_id)
{
    void **rows;
    size_t n;
    TRY(res_select_of(cx, tx, &uses_of_servers, attachment_f_server_id, &server_id, 1, &rows, &n));
    for (size_t i = 0; i < n; i++)
        TRY(release(cx, tx, rows[i]));
    return NULL;
}
