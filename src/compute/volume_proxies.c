/* SPDX-License-Identifier: EUPL-1.2 */
/* os-volumes and os-snapshots up to 2.35: the volume service's, as this API had them before there
 * was one. */
#include "compute/impl.h"
#include "volume/proxies.h"

typedef struct err *write_fn(struct call *c, const char *id, const struct proxy_range *range,
                             struct jw *w);

static struct err *number_arg(struct call *c, const char *name, int64_t otherwise, int64_t *ret)
{
    const char *text = http_arg(c->rq, name);
    *ret = otherwise;
    if (text && !str_to_i64(text, 0, INT64_MAX, ret))
        return fail(c->cx, ERR_INVALID, "%s must be an integer that is not negative, not '%s'",
                    name, text);
    return NULL;
}

static struct err *reply_all(struct call *c, const char *plural, write_fn *write)
{
    struct proxy_range range;
    TRY(number_arg(c, "limit", INT64_MAX, &range.limit));
    TRY(number_arg(c, "offset", 0, &range.offset));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, plural);
    TRY(write(c, NULL, &range, &w));
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *reply_one(struct call *c, const char *singular, write_fn *write, const char *id)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, singular);
    TRY(write(c, id, NULL, &w));
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- volumes */

struct err *volume_proxy_list(struct call *c)
{
    return reply_all(c, "volumes", volume_proxy_write);
}

struct err *volume_proxy_show(struct call *c)
{
    return reply_one(c, "volume", volume_proxy_write, call_param(c, "volume_id"));
}

struct err *volume_proxy_add(struct call *c)
{
    const json_t *members;
    const char *id;
    TRY(body_object(c, "volume", &members));
    if (!json_get(members, "size"))
        return bad_member(c, "volume", members, "'size' is a required property");
    TRY(volume_proxy_create(c, members, &id));
    c->audit_target = id;
    return reply_one(c, "volume", volume_proxy_write, id);
}

struct err *volume_proxy_remove(struct call *c)
{
    TRY(volume_proxy_delete(c, call_param(c, "volume_id")));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- snapshots */

struct err *snapshot_proxy_list(struct call *c)
{
    return reply_all(c, "snapshots", volume_proxy_write_snapshots);
}

struct err *snapshot_proxy_show(struct call *c)
{
    return reply_one(c, "snapshot", volume_proxy_write_snapshots, call_param(c, "snapshot_id"));
}

struct err *snapshot_proxy_add(struct call *c)
{
    const json_t *members;
    const char *id;
    TRY(body_object(c, "snapshot", &members));
    TRY(volume_proxy_snapshot(c, members, &id));
    c->audit_target = id;
    return reply_one(c, "snapshot", volume_proxy_write_snapshots, id);
}

struct err *snapshot_proxy_remove(struct call *c)
{
    TRY(volume_proxy_delete_snapshot(c, call_param(c, "snapshot_id")));
    call_reply_empty(c, 202);
    return NULL;
}
