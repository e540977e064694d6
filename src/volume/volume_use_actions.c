/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Actions of those who bring a volume's data to a machine of their own: records of who uses it. No
 * server's host plugs anything because of them, and what a server has by compute they leave alone.
 */
#include "volume/impl.h"

static struct err *check_no_servers(struct call *c, const struct volume *v)
{
    struct attachment **all;
    size_t n;
    TRY(attachments_of(c->cx, c->tx, v->id, &all, &n));
    for (size_t i = 0; i < n; i++)
        TRY(volume_check_record(c, all[i]));
    return NULL;
}

static struct err *begin(struct call *c, struct volume *v, enum volume_act act)
{
    TRY(check_no_servers(c, v));
    TRY(volume_begin(c, v, act));
    return res_update(c->cx, c->tx, &volume_resource, v);
}

struct err *act_reserve(struct call *c, struct volume *v, const json_t *args UNUSED)
{
    return begin(c, v, VA_RESERVE);
}

struct err *act_unreserve(struct call *c, struct volume *v, const json_t *args UNUSED)
{
    return begin(c, v, VA_UNRESERVE);
}

struct err *act_begin_detaching(struct call *c, struct volume *v, const json_t *args UNUSED)
{
    return begin(c, v, VA_BEGIN_DETACH);
}

struct err *act_roll_detaching(struct call *c, struct volume *v, const json_t *args UNUSED)
{
    return begin(c, v, VA_ROLL_DETACH);
}

/* ---------------------------------------------------------------- attach */

static struct err *read_attach(struct call *c, const struct volume *v, const json_t *args,
                               struct attachment *a)
{
    const char *mode = NULL;
    TRY(arg_text(c, args, "instance_uuid", &a->server_id));
    TRY(arg_text(c, args, "host_name", &a->host_name));
    TRY(arg_text(c, args, "mountpoint", &a->device));
    TRY(arg_text(c, args, "mode", &mode));
    if (a->server_id && a->host_name)
        return fail(c->cx, ERR_INVALID,
                    "Invalid request to attach volume to an instance and a host simultaneously");
    if (!a->server_id && !a->host_name)
        return fail(c->cx, ERR_INVALID,
                    "Invalid request to attach volume: name an instance_uuid or a host_name");
    if (a->server_id && !uuid_valid(a->server_id))
        return volume_bad_member(c, "instance_uuid", json_get(args, "instance_uuid"),
                                 "it is no UUID");
    a->mode = mode ? mode : v->read_only == 1 ? "ro" : "rw";
    if (!str_eq(a->mode, "rw") && !str_eq(a->mode, "ro"))
        return fail(c->cx, ERR_INVALID,
                    "Invalid request to attach volume with an invalid mode. Attaching mode should "
                    "be 'rw' or 'ro'.");
    if (v->read_only == 1 && str_eq(a->mode, "rw"))
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s is read-only: it can't be attached in mode rw.",
                    v->id);
    return NULL;
}

struct err *act_attach(struct call *c, struct volume *v, const json_t *args)
{
    struct attachment *a = res_new(c->cx, &attachment_resource);
    TRY(check_no_servers(c, v));
    TRY(read_attach(c, v, args, a));
    TRY(volume_begin(c, v, VA_ATTACH));
    a->id = uuid_new(c->cx);
    a->volume_id = v->id;
    a->project_id = v->project_id;
    a->boot_index = -1;
    a->attached_at = now_us(c->cx);
    a->state = attach_life_of(AT_ATTACHED)->name;
    TRY(res_insert(c->cx, c->tx, &attachment_resource, a));
    return res_update(c->cx, c->tx, &volume_resource, v);
}

/* ---------------------------------------------------------------- detach */

/* The one that is named, or the only one. */
static struct err *choose(struct call *c, const struct volume *v, const json_t *args,
                          struct attachment **ret)
{
    const char *id = NULL;
    struct attachment **all;
    size_t n;
    TRY(arg_text(c, args, "attachment_id", &id));
    TRY(attachments_of(c->cx, c->tx, v->id, &all, &n));
    *ret = NULL;
    if (!id && n > 1)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Detach volume failed: More than one attachment, but no "
                    "attachment_id provided.");
    for (size_t i = 0; i < n; i++)
        if (!id || str_eq(all[i]->id, id))
            *ret = all[i];
    if (id && !*ret)
        return fail(c->cx, ERR_INVALID, "Invalid volume: Volume %s has no attachment %s to detach.",
                    v->id, id);
    return NULL;
}

struct err *act_detach(struct call *c, struct volume *v, const json_t *args)
{
    struct attachment *a;
    enum volume_state state = volume_state_of(v);
    TRY(check_no_servers(c, v));
    if (state == VS_AVAILABLE) /* as cinder: nothing is left to be done */
        return NULL;
    if (state != VS_IN_USE && state != VS_DETACHING)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Unable to detach volume. Volume status must be 'in-use' and "
                    "attach_status must be 'attached' to detach.");
    TRY(choose(c, v, args, &a));
    if (a)
        TRY(res_delete(c->cx, c->tx, &attachment_resource, a));
    return volume_settle(c->cx, c->tx, v, 0);
}

/* Out of any state. A server's disk is taken from its guest: the host says when that is done. */
struct err *act_force_detach(struct call *c, struct volume *v, const json_t *args)
{
    struct attachment *a;
    TRY(choose(c, v, args, &a));
    if (a && a->plugged) {
        if (attach_state_of(a) != AT_DETACHING)
            attach_move(c->cx, a, AT_DETACHING);
        TRY(res_update(c->cx, c->tx, &attachment_resource, a));
        TRY(fleet_touch(c->cx, c->tx, volume_user_host(v), "server", a->server_id));
    } else if (a) {
        TRY(res_delete(c->cx, c->tx, &attachment_resource, a));
    }
    return volume_settle(c->cx, c->tx, v, VS(VS_ERROR) | VS(VS_FAILED));
}

/* ---------------------------------------------------------------- connections */

static struct err *require_connector(struct call *c, const json_t *args)
{
    if (json_is_object(json_get(args, "connector")))
        return NULL;
    return fail(c->cx, ERR_INVALID, "Must specify 'connector' in request body.");
}

void volume_connection(struct ctx *cx, struct jw *w, const struct volume *v, const char *mode)
{
    jw_kstr(w, "driver_volume_type", "file");
    jw_kobj(w, "data");
    jw_kstr(w, "volume_id", v->id);
    jw_kstr(w, "host", v->host);
    jw_kstr(w, "export", "volumes");
    jw_kstr(w, "name", arena_printf(cx->arena, "%s/disk.qcow2", v->id));
    jw_kstr(w, "format", "qcow2");
    jw_kstr(w, "access_mode", mode ? mode : v->read_only == 1 ? "ro" : "rw");
    jw_kbool(w, "encrypted", false);
    jw_knull(w, "qos_specs");
    jw_obj_end(w);
}

/* What there is: a file below the data folder of the host. */
struct err *act_initialize_connection(struct call *c, struct volume *v, const json_t *args)
{
    TRY(require_connector(c, args));
    if (!v->seen_ready)
        return fail(c->cx, ERR_INVALID, "Invalid volume: Volume %s has no data.", v->id);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "connection_info");
    volume_connection(c->cx, &w, v, NULL);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *act_terminate_connection(struct call *c, struct volume *v UNUSED, const json_t *args)
{
    return require_connector(c, args);
}
