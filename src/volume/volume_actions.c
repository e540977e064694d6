/* SPDX-License-Identifier: EUPL-1.2 */
/* POST /volumes/{id}/action: one table says who may do what. */
#include "volume/impl.h"

/* ---------------------------------------------------------------- arguments */

struct err *arg_text(struct call *c, const json_t *args, const char *name, const char **ret)
{
    const json_t *v = json_get(args, name);
    if (!v || json_is_null(v))
        return NULL;
    if (!json_is_string(v) || str_utf8_len(json_string_value(v)) > 255)
        return volume_bad_member(c, name, v, "it is no string of up to 255 characters");
    *ret = json_string_value(v);
    return NULL;
}

struct err *arg_bool(struct call *c, const json_t *args, const char *name, bool *ret)
{
    const json_t *v = json_get(args, name);
    if (!v || json_is_null(v))
        return NULL;
    if (json_is_boolean(v))
        *ret = json_is_true(v);
    else if (!str_to_bool(json_string_value(v), ret))
        return volume_bad_member(c, name, v, "it is not a boolean");
    return NULL;
}

struct err *arg_int(struct call *c, const json_t *args, const char *name, int64_t *ret)
{
    const json_t *v = json_get(args, name);
    if (!v || json_is_null(v))
        return NULL;
    if (json_is_integer(v))
        *ret = json_integer_value(v);
    else if (!str_to_i64(json_string_value(v), INT32_MIN, INT32_MAX, ret))
        return volume_bad_member(
            c, name, v,
            arena_printf(c->cx->arena, "%s does not match '^[0-9]+$'", json_python(c->cx, v)));
    return NULL;
}

/* ---------------------------------------------------------------- size */

static struct err *check_room(struct call *c, const struct volume *v, int64_t more)
{
    struct volume_host *hosts;
    size_t n;
    TRY(volume_hosts(c->cx, c->tx, &hosts, &n));
    for (size_t i = 0; i < n; i++)
        if (str_eq(hosts[i].id, v->host_id) && hosts[i].total_gib - hosts[i].used_gib < more)
            return fail(c->cx, ERR_INVALID,
                        "Invalid input received: Host %s, where volume %s lies, has %" PRId64
                        " GiB left, and %" PRId64 " more are wanted.",
                        hosts[i].name, v->id, max_i64(0, hosts[i].total_gib - hosts[i].used_gib),
                        more);
    return NULL;
}

/* Its host may not have begun the copy, which is to be no smaller than what it is made from. */
static struct err *check_not_copied(struct call *c, const struct volume *v)
{
    bool source;
    TRY(volume_is_source(c->cx, c->tx, v->id, &source));
    if (!source)
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "Invalid volume: Volume %s is being copied to a new volume: extend it when that is "
                "available.",
                v->id);
}

static struct err *act_extend(struct call *c, struct volume *v, const json_t *args)
{
    int64_t size = 0;
    struct volume_type *type;
    const char *server_id;
    TRY(arg_int(c, args, "new_size", &size));
    if (size < 1)
        return volume_bad_member(c, "new_size", json_get(args, "new_size"),
                                 "it is less than the minimum of 1");
    TRY(volume_begin(c, v, c->microversion >= 42 ? VA_EXTEND_IN_USE : VA_EXTEND));
    TRY(check_not_copied(c, v));
    if (size <= v->size_gib)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: New size for extend must be greater than current "
                    "size. (current: %" PRId64 ", extended: %" PRId64 ").",
                    v->size_gib, size);
    TRY(volume_type_by_id(c->cx, c->tx, v->type_id, &type));
    TRY(volume_quota_check(c, v->project_id, type, "volumes", 0, size - v->size_gib));
    TRY(volume_quota_size(c, v->project_id, size));
    TRY(check_room(c, v, size - v->size_gib));
    TRY(volume_server(c->cx, c->tx, v->id, &server_id));
    if (server_id && volume_cfg.extending)
        TRY(volume_cfg.extending(c, server_id));
    v->size_gib = size;
    return volume_save(c->cx, c->tx, v);
}

/* ---------------------------------------------------------------- flags */

static struct err *act_set_bootable(struct call *c, struct volume *v, const json_t *args)
{
    if (!json_get(args, "bootable"))
        return fail(c->cx, ERR_INVALID, "Must specify bootable in request.");
    TRY(arg_bool(c, args, "bootable", &v->bootable));
    return res_update(c->cx, c->tx, &volume_resource, v);
}

static struct err *act_readonly(struct call *c, struct volume *v, const json_t *args)
{
    bool read_only = false;
    if (!json_get(args, "readonly"))
        return fail(c->cx, ERR_INVALID, "Must specify readonly in request.");
    TRY(arg_bool(c, args, "readonly", &read_only));
    if (volume_state_of(v) != VS_AVAILABLE)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s status must be available to update readonly flag, "
                    "but current status is: %s.",
                    v->id, volume_life_of(volume_state_of(v))->status);
    v->read_only = read_only;
    return res_update(c->cx, c->tx, &volume_resource, v);
}

/* ---------------------------------------------------------------- type */

static struct err *act_retype(struct call *c, struct volume *v, const json_t *args)
{
    const char *name = NULL, *policy = "never", *reason;
    struct volume_type *type;
    const struct volume_host *host;
    TRY(arg_text(c, args, "new_type", &name));
    TRY(arg_text(c, args, "migration_policy", &policy));
    if (!name)
        return fail(c->cx, ERR_INVALID, "New volume type must be specified.");
    if (!str_eq(policy, "never") && !str_eq(policy, "on-demand"))
        return fail(c->cx, ERR_INVALID,
                    "migration_policy must be 'on-demand' or 'never', passed: %s", policy);
    TRY(volume_type_find(c, name, &type));
    enum volume_state state = volume_state_of(v);
    if (state != VS_AVAILABLE && state != VS_IN_USE)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Unable to update type due to incorrect status: %s on volume: "
                    "%s. Volume status must be available or in-use.",
                    volume_life_of(state)->status, v->id);
    if (str_eq(type->id, v->type_id))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: New volume_type same as original: %s.", type->name);
    TRY(volume_check_type(c, type));
    const struct place_wish wish = {.host_id = v->host_id, .type = type};
    TRY(volume_place(c->cx, c->tx, &wish, &host, &reason));
    if (!host)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: The volume can't become one of type %s, as there is "
                    "no other backend: %s.",
                    type->name, reason);
    TRY(volume_quota_retype(c, v->project_id, type, v->size_gib));
    v->type_id = type->id;
    return res_update(c->cx, c->tx, &volume_resource, v);
}

/* ---------------------------------------------------------------- the administrator's */

/* Records alone: what a server has, its host takes away. */
static struct err *end_records(struct call *c, struct volume *v)
{
    struct attachment **all;
    size_t n;
    TRY(attachments_of(c->cx, c->tx, v->id, &all, &n));
    for (size_t i = 0; i < n; i++)
        if (!all[i]->plugged)
            TRY(res_delete(c->cx, c->tx, &attachment_resource, all[i]));
    return NULL;
}

static struct err *act_reset_status(struct call *c, struct volume *v, const json_t *args)
{
    const char *status = NULL, *attach = NULL, *migration = NULL;
    enum volume_state state;
    TRY(arg_text(c, args, "status", &status));
    TRY(arg_text(c, args, "attach_status", &attach));
    TRY(arg_text(c, args, "migration_status", &migration));
    if (!status && !attach && !migration)
        return fail(c->cx, ERR_INVALID,
                    "Must specify 'status', 'attach_status' or 'migration_status' for update.");
    if (attach && !str_eq(attach, "attached") && !str_eq(attach, "detached"))
        return volume_bad_member(c, "attach_status", json_get(args, "attach_status"),
                                 "it is neither attached nor detached");
    if (str_eq(attach, "detached"))
        TRY(end_records(c, v));
    if (!status)
        return NULL;
    if (!volume_state_of_status(status, &state))
        return volume_bad_member(c, "status", json_get(args, "status"),
                                 "it is no status of a volume");
    if (!v->wanted && state != VS_DELETING && state != VS_ERROR_DELETING)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s is being deleted by its host: there is no way back.",
                    v->id);
    if (state != VS_TRANSFER)
        TRY(volume_transfer_cancel(c->cx, c->tx, v->id));
    TRY(volume_note_extended(c->cx, c->tx, v, state));
    volume_set_state(c->cx, v, state);
    v->going = false;
    return res_update(c->cx, c->tx, &volume_resource, v);
}

static struct err *act_force_delete(struct call *c, struct volume *v, const json_t *args UNUSED)
{
    return volume_delete_it(c, v, false, true);
}

static struct err *act_migrate(struct call *c, struct volume *v, const json_t *args)
{
    const char *wanted = NULL;
    struct volume_host *hosts;
    size_t n;
    bool known = false;
    TRY(arg_text(c, args, "host", &wanted));
    if (!wanted)
        return fail(c->cx, ERR_INVALID, "Missing required element 'host' in request body.");
    TRY(volume_hosts(c->cx, c->tx, &hosts, &n));
    for (size_t i = 0; i < n; i++)
        known = known || str_eq(volume_host_text(c->cx, hosts[i].name), wanted);
    if (!known)
        return fail(c->cx, ERR_INVALID, "No available service named %s", wanted);
    if (str_eq(wanted, v->host))
        return fail(c->cx, ERR_INVALID,
                    "Invalid host: Destination host must be different than the current host.");
    return fail(c->cx, ERR_INVALID,
                "Invalid volume: Volumes are files on their host's disk and stay there: make an "
                "image of volume %s, and a volume of that.",
                v->id);
}

static struct err *act_unmanage(struct call *c, struct volume *v, const json_t *args UNUSED)
{
    return fail(c->cx, ERR_INVALID,
                "Invalid volume: A file that this cloud does not know has no place on its hosts: "
                "volume %s can't be left unmanaged.",
                v->id);
}

static struct err *act_revert(struct call *c, struct volume *v, const json_t *args)
{
    const char *id = NULL;
    void *row = NULL;
    TRY(arg_text(c, args, "snapshot_id", &id));
    TRY(res_find_visible(c->cx, c->tx, &snapshot_resource, id ? id : "None", c->actor, &row));
    return fail(c->cx, ERR_INVALID,
                "Invalid volume: Volume %s can't be reverted here: make a volume from snapshot %s.",
                v->id, id);
}

/* ---------------------------------------------------------------- dispatch */

static const struct action {
    const char *name;
    volume_act_fn *act;
    const char *policy;
    bool admin;
    int status; /* 0: 202 */
    unsigned since;
} actions[] = {
    {"os-reserve", act_reserve, "volume_extension:volume_actions:reserve", false, 0, 0},
    {"os-unreserve", act_unreserve, "volume_extension:volume_actions:unreserve", false, 0, 0},
    {"os-begin_detaching", act_begin_detaching, "volume_extension:volume_actions:begin_detaching",
     false, 0, 0},
    {"os-roll_detaching", act_roll_detaching, "volume_extension:volume_actions:roll_detaching",
     false, 0, 0},
    {"os-attach", act_attach, "volume_extension:volume_actions:attach", false, 0, 0},
    {"os-detach", act_detach, "volume_extension:volume_actions:detach", false, 0, 0},
    {"os-initialize_connection", act_initialize_connection,
     "volume_extension:volume_actions:initialize_connection", false, 200, 0},
    {"os-terminate_connection", act_terminate_connection,
     "volume_extension:volume_actions:terminate_connection", false, 0, 0},
    {"os-extend", act_extend, "volume:extend", false, 0, 0},
    {"os-set_bootable", act_set_bootable, "volume_extension:volume_actions:set_bootable", false,
     200, 0},
    {"os-update_readonly_flag", act_readonly, "volume:update_readonly_flag", false, 0, 0},
    {"os-set_image_metadata", act_set_image_metadata, "volume_extension:volume_image_metadata:set",
     false, 200, 0},
    {"os-unset_image_metadata", act_unset_image_metadata,
     "volume_extension:volume_image_metadata:remove", false, 200, 0},
    {"os-show_image_metadata", act_show_image_metadata,
     "volume_extension:volume_image_metadata:show", false, 200, 0},
    {"os-volume_upload_image", act_upload_image, "volume_extension:volume_actions:upload_image",
     false, 0, 0},
    {"os-retype", act_retype, "volume:retype", false, 0, 0},
    {"revert", act_revert, "volume:revert_to_snapshot", false, 0, 40},
    {"os-reset_status", act_reset_status, "volume_extension:volume_admin_actions:reset_status",
     true, 0, 0},
    {"os-force_delete", act_force_delete, "volume_extension:volume_admin_actions:force_delete",
     true, 0, 0},
    {"os-force_detach", act_force_detach, "volume_extension:volume_admin_actions:force_detach",
     true, 0, 0},
    {"os-migrate_volume", act_migrate, "volume_extension:volume_admin_actions:migrate_volume", true,
     0, 0},
    {"os-unmanage", act_unmanage, "volume_extension:volume_unmanage", true, 0, 0},
};

struct err *volume_action(struct call *c)
{
    const char *name;
    const json_t *args;
    TRY(volume_body_action(c, &name, &args));
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        const struct action *a = &actions[i];
        if (!str_eq(a->name, name) || c->microversion < a->since)
            continue;
        if (a->admin && !c->actor->admin)
            return volume_forbidden(c, a->policy);
        call_reply_empty(c, a->status ? a->status : 202);
        return a->act(c, c->target, args);
    }
    return fail(c->cx, ERR_INVALID, "There is no such action: %s", name);
}
