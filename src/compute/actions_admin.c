/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What administrators (and guests' agents) do elsewhere, and this cloud doesn't: each is refused
 * with its reason, after the checks that come first.
 */
#include "compute/impl.h"

static struct err *check(struct call *c, const struct server *s, unsigned when, const char *action)
{
    TRY(server_check_lock(c, s));
    if (!(TO(state_of(s)) & when) || s->export_image)
        return server_refuse(c, s, action);
    return NULL;
}

/* Nothing in the guest would hear of it. */
struct err *act_change_password(struct call *c, struct server *s, const json_t *args)
{
    const json_t *v = json_get(args, "adminPass");
    if (!json_is_string(v))
        return bad_member(c, "adminPass", v, "it is not of type 'string'");
    TRY(check(c, s, TO(ST_ACTIVE), "changePassword"));
    return fail(c->cx, ERR_CONFLICT, "Set admin password is not supported");
}

struct err *act_crash_dump(struct call *c, struct server *s, const json_t *args)
{
    if (!json_is_null(args))
        return bad_member(c, "trigger_crash_dump", args, "it is not of type 'null'");
    TRY(check(c, s,
              TO(ST_ACTIVE) | TO(ST_PAUSED) | TO(ST_RESCUED) | TO(ST_VERIFY_RESIZE) | TO(ST_ERROR) |
                  TO(ST_FAILED),
              "trigger_crash_dump"));
    return fail(c->cx, ERR_INVALID, "Triggering crash dump is not supported");
}

/* Deletions are not deferred: there is nothing to restore. */
struct err *act_restore(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_check_lock(c, s));
    return server_refuse(c, s, "restore");
}

struct err *act_gone(struct call *c, struct server *s UNUSED, const json_t *args UNUSED)
{
    return fail(c->cx, ERR_GONE,
                "This resource is no longer available. No forwarding address is "
                "given.");
}
