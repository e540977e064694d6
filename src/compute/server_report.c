/* SPDX-License-Identifier: EUPL-1.2 */
/* What a host saw of a server. Repeated, late and foreign reports change nothing. */
#include "compute/impl.h"

#define ERROR_MAX 1000

/* What it has besides its own disk. */
static struct err *take_devices(struct ctx *cx, struct tx *tx, const struct server *s,
                                const json_t *observed, enum seen_power power)
{
    int64_t revision;
    TRY(fleet_revision(cx, tx, s->host_id, "server", s->id, &revision));
    bool latest = json_get_int(observed, "revision", 0) >= revision;
    TRY(server_take_nics(cx, tx, s, json_get(observed, "nics"), latest));
    return server_take_volumes(cx, tx, s, json_get(observed, "volumes"), power != SEEN_ON, latest);
}

/* Known to its host: once it answers the latest word, as an older one may have said otherwise. */
static struct err *take_ha(struct ctx *cx, struct tx *tx, struct server *s, const json_t *observed,
                           bool *changed)
{
    int64_t revision = 0;
    bool was = s->seen_ha, ha = json_get_bool(observed, "ha", false) && server_is_ha(cx, s);
    if (ha)
        TRY(fleet_revision(cx, tx, s->host_id, "server", s->id, &revision));
    s->seen_ha = ha && (was || json_get_int(observed, "revision", 0) >= revision);
    *changed = *changed || s->seen_ha != was;
    return NULL;
}

static int64_t seq(const json_t *observed, const char *name, int64_t asked)
{
    return max_i64(0, min_i64(json_get_int(observed, name, 0), asked));
}

/* True when it differs from what the row has. */
static bool take_seen(struct ctx *cx, struct server *s, const json_t *observed,
                      enum seen_power power)
{
    struct server old = *s;
    const char *error = json_get_str(observed, "error");
    s->seen_power = seen_power_name(power);
    s->seen_boot_seq = seq(observed, "boot_seq", s->boot_seq);
    s->seen_reset_seq = seq(observed, "reset_seq", s->reset_seq);
    s->seen_build_seq = seq(observed, "build_seq", s->build_seq);
    s->seen_paused = json_get_bool(observed, "paused", false);
    s->seen_suspended = json_get_bool(observed, "suspended", false);
    s->seen_rescue_seq = seq(observed, "rescue_seq", s->rescue_seq);
    s->seen_checkpoint = seq(observed, "checkpoint", s->resize_seq);
    s->seen_restore_seq = seq(observed, "restore_seq", s->restore_seq);
    s->seen_error =
        error && *error ? arena_strndup(cx->arena, error, strnlen(error, ERROR_MAX)) : NULL;
    if (str_utf8_len(s->seen_error ? s->seen_error : "") < 0)
        s->seen_error = "the host reported an error that is no valid text";
    return !str_eq(old.seen_power, s->seen_power) || old.seen_boot_seq != s->seen_boot_seq ||
           old.seen_reset_seq != s->seen_reset_seq || old.seen_build_seq != s->seen_build_seq ||
           old.seen_paused != s->seen_paused || old.seen_suspended != s->seen_suspended ||
           old.seen_rescue_seq != s->seen_rescue_seq || old.seen_checkpoint != s->seen_checkpoint ||
           old.seen_restore_seq != s->seen_restore_seq || !str_eq(old.seen_error, s->seen_error);
}

/* What was kept for the way here is given up. */
static struct err *tidy(struct ctx *cx, struct tx *tx, struct server *s, bool *ret_desired)
{
    const struct server_desired d = desired_of(s);
    if (state_of(s) != lifecycle_settled(&d))
        return NULL;
    if (s->shelved_image) { /* its disk was made from it */
        TRY(image_discard(cx, tx, s->shelved_image));
        s->shelved_image = NULL;
    }
    if (s->checkpoint && !s->old_flavor) {
        TRY(server_end_resize(cx, tx, s));
        *ret_desired = true;
        TRY(migration_status(cx, tx, s->id, "reverted"));
    }
    return NULL;
}

static struct err *take_step(struct ctx *cx, struct tx *tx, struct server *s,
                             const struct lifecycle_step *step)
{
    const struct lifecycle *was = lifecycle_of(state_of(s));
    if (step->state == ST_ERROR && state_of(s) != ST_ERROR)
        server_fault(
            cx, s, 500,
            arena_printf(cx->arena, "The server failed while %s: %s", was->doing, s->seen_error));
    bool desired = step->want_off;
    if (step->want_off)
        server_power(s, false);
    if (step->state == ST_SHELVING_IMAGE)
        TRY(server_shelve_off(cx, tx, s));
    else if (step->state == ST_SHELVED_OFFLOADED)
        TRY(server_offloaded(cx, tx, s));
    else
        TRY(server_move(cx, tx, s, step->state));
    desired = desired || state_of(s) == ST_OFFLOADING;
    TRY(tidy(cx, tx, s, &desired));
    return desired ? server_save(cx, tx, s) : res_update(cx, tx, &server_resource, s);
}

/* Nothing is left of it, says a word from before the latest one: of an earlier stay, when the
 * server left this host and came back before the host had cleared up. */
static struct err *of_earlier_stay(struct ctx *cx, struct tx *tx, const struct server *s,
                                   const json_t *observed, enum seen_power power, bool *ret)
{
    int64_t latest, answers = json_get_int(observed, "revision", -1);
    *ret = false;
    if (power != SEEN_ABSENT || answers < 0)
        return NULL;
    TRY(fleet_revision(cx, tx, s->host_id, "server", s->id, &latest));
    *ret = answers < latest;
    return NULL;
}

struct err *server_report(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                          const json_t *observed)
{
    enum seen_power power;
    void *row = NULL;
    TRY(res_get(cx, tx, &server_resource, item_id, &row));
    struct server *s = row;
    if (s && str_eq(s->other_host_id, host_id))
        return move_report_there(cx, tx, s, observed);
    if (!s || !str_eq(s->host_id, host_id))
        return NULL;
    if (!seen_power_named(json_get_str(observed, "power"), &power))
        return fail(cx, ERR_INVALID, "server %s: power must be on, off, crashed or absent",
                    item_id);
    bool over = false;
    TRY(of_earlier_stay(cx, tx, s, observed, power, &over));
    if (over)
        return NULL;
    TRY(move_report_here(cx, tx, s, observed, power, &over));
    if (over)
        return NULL;
    TRY(take_devices(cx, tx, s, observed, power));
    struct err *e = server_password_report(cx, tx, s, json_get_str(observed, "password_data"));
    if (e && e->kind != ERR_INVALID) /* what a guest writes does not stop its host's reports */
        return e;
    bool changed = take_seen(cx, s, observed, power);
    TRY(take_ha(cx, tx, s, observed, &changed));
    struct server_desired d = desired_of(s);
    struct server_observed o = observed_of(s);
    o.guest_shutdown = json_get_bool(observed, "guest_shutdown", false);
    struct lifecycle_step step = lifecycle_next(state_of(s), &d, &o);
    if (state_of(s) == ST_ARRIVING) /* what was seen before it arrived says nothing of that */
        TRY(move_await(cx, tx, s, observed, &step));
    if (step.state == ST_GONE)
        return server_remove(cx, tx, s);
    if (!changed && step.state == state_of(s) && !step.want_off)
        return NULL;
    s->seen_at = now_us(cx);
    return take_step(cx, tx, s, &step);
}
