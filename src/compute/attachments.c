/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * os-volume_attachments: volumes in a server. The volume service keeps them; here is what a server
 * may do with them, and what its host is told and says. A server without a host, or whose host has
 * no guest to ask, attaches and detaches at once.
 */
#include "compute/impl.h"

#define WHEN                                                                                       \
    (TO(ST_ACTIVE) | TO(ST_SHUTOFF) | TO(ST_PAUSED) | TO(ST_VERIFY_RESIZE) |                       \
     TO(ST_SHELVED_OFFLOADED))

struct err *server_uses(struct ctx *cx, struct tx *tx, const char *server_id,
                        struct volume_use **ret, size_t *ret_n)
{
    return volume_uses_of(cx, tx, &server_id, 1, ret, ret_n);
}

static struct err *find_use(struct call *c, const struct server *s, struct volume_use **ret)
{
    const char *volume_id = call_param(c, "volume_id");
    size_t n;
    TRY(server_uses(c->cx, c->tx, s->id, ret, &n));
    for (size_t i = 0; i < n; i++, (*ret)++)
        if (str_eq((*ret)->volume_id, volume_id))
            return NULL;
    return fail(c->cx, ERR_NOT_FOUND, "Instance %s is not attached to volume %s", s->id, volume_id);
}

/* ---------------------------------------------------------------- showing */

static void write_use(struct jw *w, const struct volume_use *u, unsigned microversion)
{
    jw_obj(w);
    jw_kstr(w, "volumeId", u->volume_id);
    jw_kstr(w, "serverId", u->server_id);
    jw_kstr(w, "device", u->device);
    if (microversion < 89)
        jw_kstr(w, "id", u->volume_id);
    if (microversion >= 70)
        jw_kstr(w, "tag", u->tag);
    if (microversion >= 79)
        jw_kbool(w, "delete_on_termination", u->delete_on_termination);
    if (microversion >= 89) {
        jw_kstr(w, "attachment_id", u->id);
        jw_kstr(w, "bdm_uuid", u->id);
    }
    jw_obj_end(w);
}

static struct err *reply_use(struct call *c, const struct volume_use *u)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "volumeAttachment");
    write_use(&w, u, c->microversion);
    jw_obj_end(&w);
    return NULL;
}

static struct err *number_arg(struct call *c, const char *name, int64_t otherwise, int64_t *ret)
{
    const char *text = http_arg(c->rq, name);
    *ret = otherwise;
    if (text && !str_to_i64(text, 0, INT64_MAX, ret))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for query parameters %s. Value: %s. '%s' does not match "
                    "'^[0-9]*$'",
                    name, text, text);
    return NULL;
}

struct err *attachment_list(struct call *c)
{
    const struct server *s = c->target;
    struct volume_use *uses;
    int64_t limit, offset;
    size_t n;
    TRY(number_arg(c, "limit", INT64_MAX, &limit));
    TRY(number_arg(c, "offset", 0, &offset));
    TRY(server_uses(c->cx, c->tx, s->id, &uses, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "volumeAttachments");
    for (size_t i = 0; i < n; i++)
        if ((int64_t)i >= offset && (int64_t)i - offset < limit)
            write_use(&w, &uses[i], c->microversion);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *attachment_show(struct call *c)
{
    struct volume_use *u;
    TRY(find_use(c, c->target, &u));
    return reply_use(c, u);
}

/* ---------------------------------------------------------------- attaching */

static struct err *check_device(struct call *c, const json_t *v, const char **ret)
{
    const char *s = json_string_value(v);
    *ret = s;
    if (!v || json_is_null(v))
        return NULL;
    bool good = s && *s && strlen(s) <= 255;
    for (const char *p = s; good && *p; p++)
        good = strchr("abcdefghijklmnopqrstuvwxyz0123456789/", *p) != NULL;
    if (!good)
        return bad_member(c, "device", v,
                          "it does not match '(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*$'");
    if (str_eq(s, "/dev/vda") || str_eq(s, "vda"))
        return fail(c->cx, ERR_CONFLICT, "The supplied device path (%s) is in use.", s);
    return NULL;
}

static struct err *check_members(struct call *c, const json_t *j, bool update)
{
    bool repeats = update && c->microversion >= 85; /* what names the attachment */
    TRY(ONLY_MEMBERS(c, "volumeAttachment", j, "volumeId", "device",
                     c->microversion >= 49 ? "tag" : NULL,
                     c->microversion >= (update ? 85 : 79) ? "delete_on_termination" : NULL,
                     repeats ? "serverId" : NULL, repeats ? "id" : NULL));
    const json_t *id = json_get(j, "volumeId");
    if (!id)
        return bad_member(c, "volumeAttachment", j, "'volumeId' is a required property");
    if (!json_is_string(id) || !uuid_valid(json_string_value(id)))
        return bad_member(c, "volumeId", id, "it is not a 'uuid'");
    return NULL;
}

static struct err *read_flag(struct call *c, const json_t *j, bool *ret)
{
    const json_t *v = json_get(j, "delete_on_termination");
    *ret = json_is_true(v);
    if (!v || json_is_boolean(v) || (json_is_string(v) && str_to_bool(json_string_value(v), ret)))
        return NULL;
    return bad_member(c, "delete_on_termination", v, "it is not of type 'boolean'");
}

static struct err *read_attach(struct call *c, struct use_request *ret)
{
    const json_t *j, *tag;
    TRY(body_object(c, "volumeAttachment", &j));
    TRY(check_members(c, j, false));
    TRY(check_device(c, json_get(j, "device"), &ret->device));
    TRY(read_flag(c, j, &ret->delete_on_termination));
    tag = json_get(j, "tag");
    ret->tag = json_string_value(tag);
    if (tag && (!ret->tag || !*ret->tag || str_utf8_len(ret->tag) > 60 || strpbrk(ret->tag, "/,")))
        return bad_member(c, "tag", tag, "a text of 1 to 60 characters without '/' and ','");
    ret->volume_id = json_get_str(j, "volumeId");
    ret->boot_index = -1;
    return NULL;
}

/* A volume of one host: its server must run there. */
static struct err *check_place(struct call *c, const struct server *s, const char *volume_id)
{
    struct volume_info v;
    TRY(volume_find(c->cx, c->tx, volume_id, c->actor, &v));
    if (s->host_id && v.host_id && !str_eq(s->host_id, v.host_id))
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s lies on another host than instance %s.", volume_id,
                    s->id);
    return NULL;
}

static struct err *check_state(struct call *c, const struct server *s, const char *action)
{
    TRY(server_check_lock(c, s));
    if (!(TO(state_of(s)) & WHEN) || s->export_image)
        return server_refuse(c, s, action);
    return NULL;
}

struct err *attachment_create(struct call *c)
{
    struct server *s = c->target;
    struct use_request rq = {.server_id = s->id, .host_id = s->host_id};
    struct volume_use use;
    TRY(read_attach(c, &rq));
    TRY(check_state(c, s, "attach_volume"));
    TRY(check_place(c, s, rq.volume_id));
    TRY(action_record(c, s, "attach_volume", "compute_attach_volume", RECORD_APART));
    TRY(volume_attach(c, &rq, &use));
    if (!s->host_id) {
        TRY(volume_attached(c->cx, c->tx, &use));
        TRY(action_finish(c->cx, c->tx, s, "attach_volume", true));
    }
    TRY(server_save(c->cx, c->tx, s));
    return reply_use(c, &use);
}

/* ---------------------------------------------------------------- changing */

/* What names the attachment may be repeated, and must be right. */
static struct err *check_same(struct call *c, const json_t *j, const struct volume_use *u)
{
    const char *const pairs[][2] = {
        {"device", u->device}, {"tag", u->tag}, {"serverId", u->server_id}, {"id", u->volume_id}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        const json_t *v = json_get(j, pairs[i][0]);
        if (v && !json_is_null(v) && !str_eq(json_string_value(v), pairs[i][1]))
            return fail(c->cx, ERR_INVALID,
                        "The value of '%s' can't be changed: only delete_on_termination can.",
                        pairs[i][0]);
    }
    return NULL;
}

struct err *attachment_update(struct call *c)
{
    struct server *s = c->target;
    const json_t *j;
    struct volume_use *u;
    bool keep;
    TRY(body_object(c, "volumeAttachment", &j));
    TRY(check_members(c, j, true));
    bool swap = !str_eq(json_get_str(j, "volumeId"), call_param(c, "volume_id"));
    if ((swap || c->microversion < 85) && !c->actor->admin)
        return fail(c->cx, ERR_FORBIDDEN,
                    "Policy doesn't allow os_compute_api:os-volumes-attachments:swap to be "
                    "performed.");
    TRY(find_use(c, s, &u));
    if (swap || c->microversion < 85)
        return fail(c->cx, ERR_INVALID,
                    "Volumes are not swapped by this cloud, where they are files on the server's "
                    "host: attach the other volume, and detach this one.");
    TRY(check_state(c, s, "update_volume"));
    TRY(check_same(c, j, u));
    TRY(read_flag(c, j, &keep));
    if (json_get(j, "delete_on_termination"))
        TRY(volume_use_keep(c, u, keep));
    call_reply_empty(c, 202);
    return NULL;
}

struct err *attachment_delete(struct call *c)
{
    struct server *s = c->target;
    struct volume_use *u;
    TRY(find_use(c, s, &u));
    if (u->boot_index == 0)
        return fail(c->cx, ERR_FORBIDDEN, "Cannot detach a root device volume");
    TRY(check_state(c, s, "detach_volume"));
    TRY(action_record(c, s, "detach_volume", "compute_detach_volume", RECORD_APART));
    TRY(volume_detach(c, u));
    if (!s->host_id) {
        TRY(volume_detached(c->cx, c->tx, u));
        TRY(action_finish(c->cx, c->tx, s, "detach_volume", true));
    }
    TRY(server_save(c->cx, c->tx, s));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- the host */

void write_volumes(struct jw *w, const struct volume_use *uses, size_t n)
{
    jw_karr(w, "volumes");
    for (size_t i = 0; i < n; i++) {
        if (uses[i].state == USE_DETACHING)
            continue;
        jw_obj(w);
        jw_kstr(w, "volume_id", uses[i].volume_id);
        jw_kint(w, "boot_index", uses[i].boot_index);
        jw_kbool(w, "read_only", uses[i].read_only);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

static bool plugged(const json_t *volumes, const char *volume_id)
{
    for (size_t i = 0; i < json_array_size(volumes); i++) {
        const json_t *v = json_array_get(volumes, i);
        if (str_eq(json_get_str(v, "volume_id"), volume_id))
            return json_get_bool(v, "plugged", false);
    }
    return false;
}

/* What ended otherwise than was asked for: the volume service gave it up. */
static struct err *end_actions(struct ctx *cx, struct tx *tx, const struct server *s,
                               const struct volume_use *uses, size_t n)
{
    bool attaching = false, detaching = false;
    for (size_t i = 0; i < n; i++) {
        attaching = attaching || uses[i].state == USE_ATTACHING;
        detaching = detaching || uses[i].state == USE_DETACHING;
    }
    if (!attaching)
        TRY(action_finish(cx, tx, s, "attach_volume", false));
    return detaching ? NULL : action_finish(cx, tx, s, "detach_volume", false);
}

/* Only the answer to the latest word says that a volume is free, or that a guest which is off will
 * have it. */
struct err *server_take_volumes(struct ctx *cx, struct tx *tx, const struct server *s,
                                const json_t *volumes, bool is_off, bool latest)
{
    struct volume_use *uses;
    size_t n, left = 0;
    TRY(server_uses(cx, tx, s->id, &uses, &n));
    for (size_t i = 0; i < n; i++) {
        const struct volume_use *u = &uses[i];
        bool in = plugged(volumes, u->volume_id);
        if (u->state == USE_ATTACHING && u->ready && (in || (latest && is_off))) {
            TRY(volume_attached(cx, tx, u));
            TRY(action_finish(cx, tx, s, "attach_volume", true));
        } else if (u->state == USE_DETACHING && latest && !in) {
            TRY(volume_detached(cx, tx, u));
            TRY(action_finish(cx, tx, s, "detach_volume", true));
        } else {
            uses[left++] = *u;
        }
    }
    return n && latest ? end_actions(cx, tx, s, uses, left) : NULL;
}
