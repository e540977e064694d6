/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Resize, on the server's own host where that has room: its root disk gets a way back (a
 * checkpoint), then it boots with the new flavor. Else on another one (moves.c): the way back is
 * the copy where it came from, as with a cold migration, which has the same end. Confirming gives
 * the way back up; reverting takes it. Until then the larger of both flavors is promised, and
 * counted against the quota.
 */
#include "compute/impl.h"

static struct err *read_resize(struct call *c, const json_t *args, const char **ret_flavor,
                               const char **ret_disk_config)
{
    *ret_flavor = *ret_disk_config = NULL;
    TRY(ONLY_MEMBERS(c, "resize", args, "flavorRef", "OS-DCF:diskConfig"));
    const json_t *ref = json_get(args, "flavorRef"), *config = json_get(args, "OS-DCF:diskConfig");
    *ret_flavor = json_is_integer(ref) ? json_text(c->cx, ref) : json_string_value(ref);
    *ret_disk_config = json_string_value(config);
    if (!*ret_flavor || !**ret_flavor)
        return bad_member(c, "flavorRef", ref, "a flavor's id is needed");
    if (config && !str_eq(*ret_disk_config, "AUTO") && !str_eq(*ret_disk_config, "MANUAL"))
        return bad_member(c, "OS-DCF:diskConfig", config, "it is not one of ['AUTO', 'MANUAL']");
    const char *slash = strrchr(*ret_flavor, '/');
    *ret_flavor = slash ? slash + 1 : *ret_flavor;
    return NULL;
}

/* A disk only grows; a size of 0 is that of the image. A server on a volume has no disk of its own.
 */
static struct err *check_disk(struct call *c, const struct server *s, const struct flavor *f)
{
    json_t *image = NULL;
    if (!s->image_spec || f->disk == s->root_gib)
        return NULL;
    if (!f->disk)
        return fail(c->cx, ERR_INVALID,
                    "Server disk was unable to be resized because: Resize to zero disk flavor is "
                    "not allowed.");
    if (f->disk < s->root_gib)
        return fail(c->cx, ERR_INVALID,
                    "Server disk was unable to be resized because: Unable to resize disk down.");
    TRY(json_read(c->cx, s->image_spec, strlen(s->image_spec), &image));
    if (json_get_int(image, "virtual_size", 0) > f->disk << 30)
        return fail(c->cx, ERR_INVALID,
                    "Server disk was unable to be resized because: Flavor's disk is too small for "
                    "the image.");
    return NULL;
}

static struct err *check_flavor(struct call *c, const struct server *s, const struct flavor *f)
{
    struct image_info image;
    bool found = false;
    if (str_eq(f->id, s->flavor_id))
        return fail(c->cx, ERR_INVALID, "When resizing, instances must change flavor!");
    if (s->image_id)
        TRY(image_get_any(c->cx, c->tx, s->image_id, &image, &found));
    if (found && image.min_ram_mib > f->ram)
        return fail(c->cx, ERR_INVALID, "Flavor's memory is too small for requested image.");
    return check_disk(c, s, f);
}

static struct err *check_quota(struct call *c, const struct server *s, const struct server *new)
{
    return server_quota_check(c, s->project_id, s->user_id, 0, new->held_vcpus - s->held_vcpus,
                              new->held_memory_mib - s->held_memory_mib);
}

/* Its own host has room for what it holds from now on, in place of what it held; else why not. */
static struct err *check_room(struct call *c, const struct server *s, const struct server *new,
                              const char **ret_reason)
{
    struct place_host *hosts;
    struct place_request rq;
    size_t n;
    *ret_reason = NULL;
    TRY(placement_for(c->cx, c->tx, new, &hosts, &n, &rq));
    rq.host = s->host_name;
    rq.vcpus = new->held_vcpus;
    rq.memory_mib = new->held_memory_mib;
    rq.disk_gib = new->held_disk_gib;
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(hosts[i].id, s->host_id))
            continue;
        hosts[i].used_vcpus -= s->held_vcpus;
        hosts[i].used_memory_mib -= s->held_memory_mib;
        hosts[i].used_disk_gib -= s->held_disk_gib;
    }
    if (place(c->cx, &compute_cfg.placement, hosts, n, &rq, ret_reason) >= 0)
        *ret_reason = NULL;
    return NULL;
}

static void hold_both(struct server *s, const struct server *old)
{
    server_hold(s);
    s->held_vcpus = max_i64(s->held_vcpus, old->held_vcpus);
    s->held_memory_mib = max_i64(s->held_memory_mib, old->held_memory_mib);
    s->held_disk_gib = max_i64(s->held_disk_gib, old->held_disk_gib);
}

static struct err *resize_here(struct call *c, struct server *s, const struct server *old)
{
    const struct migration_plan plan = {.type = "resize",
                                        .status = "migrating",
                                        .dest_host_id = s->host_id,
                                        .new_flavor_id = s->flavor_id};
    TRY(migration_record(c, old, &plan));
    s->checkpoint = ++s->resize_seq;
    s->boot_seq += s->want_power;
    return NULL;
}

static struct err *resize_elsewhere(struct call *c, struct server *s, const struct server *old,
                                    const char *why_not_here)
{
    const struct move_wish wish = {.type = "resize", .new_flavor = s->flavor_id};
    const char *host_id = NULL;
    struct err *e = move_choose(c, s, NULL, &host_id);
    if (e && e->kind == ERR_INVALID)
        return wrap(c->cx, e, e->kind, "%s On its own host: %s.", e->message, why_not_here);
    TRY(e);
    TRY(server_move(c->cx, c->tx, s, ST_MOVING));
    return move_begin(c, s, old, &wish, host_id);
}

struct err *act_resize(struct call *c, struct server *s, const json_t *args)
{
    struct flavor *f;
    const char *flavor_id, *disk_config, *why_not;
    const struct server old = *s;
    TRY(read_resize(c, args, &flavor_id, &disk_config));
    TRY(server_begin(c, s, SA_RESIZE));
    TRY(server_find_flavor(c, flavor_id, &f));
    TRY(check_flavor(c, s, f));
    server_keep_flavor(c->cx, s);
    server_take_flavor(s, f);
    hold_both(s, &old);
    TRY(check_quota(c, &old, s));
    TRY(check_room(c, &old, s, &why_not));
    TRY(why_not ? resize_elsewhere(c, s, &old, why_not) : resize_here(c, s, &old));
    TRY(usage_change(c->cx, c->tx, s));
    if (disk_config)
        s->disk_config = disk_config;
    return server_accepted(c, s);
}

/* ---------------------------------------------------------------- and what follows */

#define OPEN (TO(ST_VERIFY_RESIZE) | TO(ST_ERROR) | TO(ST_FAILED))

struct err *server_end_resize(struct ctx *cx, struct tx *tx, struct server *s)
{
    s->old_flavor = NULL;
    s->checkpoint = 0;
    server_hold(s);
    return move_forget(cx, tx, s);
}

/* The same state as if there had been no resize. In an error only the way back is given up. */
struct err *act_confirm_resize(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_check_lock(c, s));
    if (!s->old_flavor || !(TO(state_of(s)) & OPEN))
        return server_refuse(c, s, "confirmResize");
    TRY(server_end_resize(c->cx, c->tx, s));
    const struct server_desired d = desired_of(s);
    if (state_of(s) == ST_VERIFY_RESIZE)
        TRY(server_move(c->cx, c->tx, s, lifecycle_settled(&d)));
    TRY(action_record(c, s, "confirmResize", "compute_confirm_resize", RECORD_DONE));
    TRY(migration_status(c->cx, c->tx, s->id, "confirmed"));
    TRY(server_save(c->cx, c->tx, s));
    call_reply_empty(c, 204);
    return NULL;
}

/* The way back is kept until it was gone: server_report.c gives it up. */
struct err *act_revert_resize(struct call *c, struct server *s, const json_t *args UNUSED)
{
    const char *obstacle;
    TRY(server_begin(c, s, SA_REVERT_RESIZE));
    if (!s->old_flavor)
        return fail(c->cx, ERR_INVALID, "Instance has not been resized.");
    server_restore_flavor(c->cx, s);
    TRY(move_obstacle(c->cx, c->tx, s, &obstacle));
    if (s->other_host_id && obstacle)
        return fail(c->cx, ERR_CONFLICT, "Instance %s was moved. %s.", s->id, obstacle);
    if (s->other_host_id)
        TRY(move_return(c->cx, c->tx, s));
    else
        s->restore_seq++;
    s->boot_seq += s->want_power;
    TRY(usage_change(c->cx, c->tx, s));
    TRY(migration_status(c->cx, c->tx, s->id, "reverting"));
    return server_accepted(c, s);
}
