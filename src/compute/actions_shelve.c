/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Shelving: a server goes off, its root disk becomes an image, then it leaves its host. Unshelving
 * places it anew and builds it from that image, which goes after. A server on volumes has no disk
 * of its own: its volumes keep everything.
 */
#include "compute/impl.h"

/* Nothing moves before the guest is off: the host hears of the copy only then. */
struct err *act_shelve(struct call *c, struct server *s, const json_t *args UNUSED)
{
    const char *name = arena_printf(c->cx->arena, "%s-shelved", s->display_name);
    TRY(server_begin(c, s, SA_SHELVE));
    if (s->image_spec)
        TRY(server_export(c, s, name, NULL, true));
    server_power(s, false);
    const struct server_desired d = desired_of(s);
    const struct server_observed o = observed_of(s);
    if (lifecycle_next(state_of(s), &d, &o).state == ST_SHELVING_IMAGE) /* it is off already */
        TRY(server_shelve_off(c->cx, c->tx, s));
    return server_accepted(c, s);
}

/* Shelved servers leave their host by themselves: who asks for it meanwhile has it. */
struct err *act_shelve_offload(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_check_lock(c, s));
    if (state_of(s) != ST_OFFLOADING)
        return server_refuse(c, s, "shelveOffload");
    TRY(action_record(c, s, "shelveOffload", "compute_shelve_offload_instance", RECORD_OPEN));
    call_reply_empty(c, 202);
    return NULL;
}

static struct err *not_shelved(struct ctx *cx, struct tx *tx, struct server *s)
{
    TRY(action_finish(cx, tx, s, "shelve", false));
    return server_move(cx, tx, s, ST_SHUTOFF);
}

struct err *server_shelve_off(struct ctx *cx, struct tx *tx, struct server *s)
{
    TRY(server_move(cx, tx, s, ST_SHELVING_IMAGE));
    if (!s->image_spec)
        return server_move(cx, tx, s, ST_OFFLOADING);
    if (!s->export_image) /* it ended early: its image was deleted */
        return not_shelved(cx, tx, s);
    return image_export_release(cx, tx, s->export_image);
}

struct err *server_shelve_exported(struct ctx *cx, struct tx *tx, struct server *s,
                                   const char *image_id, const char *error)
{
    if (error)
        return not_shelved(cx, tx, s);
    s->shelved_image = image_id;
    return server_move(cx, tx, s, ST_OFFLOADING);
}

void server_forget_seen(struct server *s)
{
    s->seen_power = s->seen_error = NULL;
    s->seen_boot_seq = s->seen_reset_seq = s->seen_build_seq = 0;
    s->seen_rescue_seq = s->seen_checkpoint = s->seen_restore_seq = 0;
    s->seen_paused = s->seen_suspended = false;
}

struct err *server_offloaded(struct ctx *cx, struct tx *tx, struct server *s)
{
    TRY(server_move(cx, tx, s, ST_SHELVED_OFFLOADED));
    TRY(server_take_nics(cx, tx, s, NULL, true)); /* what was on its way out is out */
    TRY(server_take_volumes(cx, tx, s, NULL, true, true));
    TRY(network_ports_bind(cx, tx, s->id, NULL, s->zone));
    if (s->host_id)
        fleet_host_differs(cx, tx, s->host_id);
    s->host_id = s->host_name = NULL;
    server_forget_seen(s);
    return NULL;
}

/* ---------------------------------------------------------------- and back */

struct unshelve_wish {
    const char *zone, *host;
};

static struct err *read_text(struct call *c, const json_t *args, const char *name, const char **ret)
{
    const json_t *v = json_get(args, name);
    *ret = json_string_value(v);
    return !v || *ret || json_is_null(v) ? NULL
                                         : bad_member(c, name, v, "it is not of type 'string'");
}

static struct err *read_unshelve(struct call *c, const json_t *args, struct unshelve_wish *ret)
{
    *ret = (struct unshelve_wish){0};
    if (!json_is_object(args)) /* very old clients send anything */
        return NULL;
    TRY(ONLY_MEMBERS(c, "unshelve", args, c->microversion >= 77 ? "availability_zone" : NULL,
                     c->microversion >= 91 ? "host" : NULL));
    TRY(read_text(c, args, "availability_zone", &ret->zone));
    TRY(read_text(c, args, "host", &ret->host));
    if (ret->host && !c->actor->admin)
        return fail(c->cx, ERR_FORBIDDEN,
                    "Policy doesn't allow os_compute_api:os-shelve:unshelve_to_host to be "
                    "performed.");
    return NULL;
}

/* The host that its volumes lie on; NULL: it has none, or of a pool. */
static struct err *host_of_volumes(struct call *c, const struct server *s, const char **ret)
{
    struct volume_use *uses;
    size_t n;
    TRY(server_uses(c->cx, c->tx, s->id, &uses, &n));
    *ret = NULL;
    for (size_t i = 0; i < n && !*ret; i++)
        *ret = uses[i].host_id;
    return NULL;
}

static struct err *place_again(struct call *c, struct server *s, const struct unshelve_wish *wish)
{
    struct place_host *hosts;
    struct place_request rq;
    const char *reason = NULL, *host_id;
    size_t n;
    if (wish->zone)
        s->pinned_zone = wish->zone;
    TRY(placement_for(c->cx, c->tx, s, &hosts, &n, &rq));
    TRY(host_of_volumes(c, s, &host_id));
    rq.host = host_id ? host_id : wish->host;
    int i = place(c->cx, &compute_cfg.placement, hosts, n, &rq, &reason);
    if (i < 0)
        return fail(c->cx, ERR_CONFLICT, "No valid host was found. %s.", reason);
    s->host_id = hosts[i].id;
    s->host_name = hosts[i].name;
    s->zone = hosts[i].zone;
    TRY(volume_uses_rehost(c->cx, c->tx, s->id, s->host_id, REHOST_WAIT));
    return network_ports_bind(c->cx, c->tx, s->id, s->host_id, s->zone);
}

static struct err *take_shelved_image(struct call *c, struct server *s)
{
    struct image_info image;
    bool found = false;
    if (!s->image_spec)
        return NULL;
    if (s->shelved_image)
        TRY(image_get_any(c->cx, c->tx, s->shelved_image, &image, &found));
    if (!found || !str_eq(image.status, "active"))
        return fail(c->cx, ERR_CONFLICT, "Unshelve attempted but the image %s cannot be found.",
                    s->shelved_image ? s->shelved_image : "");
    s->image_spec = image_spec(c->cx, &image);
    return NULL;
}

struct err *act_unshelve(struct call *c, struct server *s, const json_t *args)
{
    struct unshelve_wish wish;
    TRY(read_unshelve(c, args, &wish));
    TRY(server_begin(c, s, SA_UNSHELVE));
    TRY(take_shelved_image(c, s));
    TRY(place_again(c, s, &wish));
    TRY(usage_change(c->cx, c->tx, s));
    server_power(s, true);
    s->boot_seq++;
    s->build_seq++;
    return server_accepted(c, s);
}
