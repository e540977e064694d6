/* SPDX-License-Identifier: EUPL-1.2 */
/* What must hold for volumes, their snapshots, and for who has them. See check.c. */
#include "sim/world_impl.h"

struct saved {
    const char *id, *host_id;
    enum volume_state state;
    int64_t size_gib;
};

static const struct stmt all_volumes = {
    "sim_volumes", "SELECT id, host_id, state, size_gib FROM volumes ORDER BY id"};
static const struct stmt all_snapshots = {"sim_snapshots",
                                          "SELECT id, state FROM snapshots ORDER BY id"};
static const struct stmt all_uses = {
    "sim_uses", "SELECT volume_id, server_id, state, boot_index, delete_on_termination FROM"
                " attachments ORDER BY volume_id"};

/* ---- at every moment: disks ---- */

/* Of a server that was given up with its host nothing is known. */
static bool may_hold(struct world *w, const struct known_volume *v, const char *holder)
{
    const struct known *k = server_by_id(w, holder);
    return str_eq(v->user, holder) || (k && k->row == GONE_WITH_HOST);
}

/* On its own host, with its own data, no more of it than was asked for; who has it is who it is
 * attached to. */
static void check_disk(struct world *w, const struct known_volume *v)
{
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        struct fake_volume is;
        if (!fake_volume_get(volumes_of(w, h), v->id, &is))
            continue;
        if (!w->cfg.pool && !str_eq(v->host_id, h->id))
            broken(w, "volume %s belongs to host '%s', but %s has it", v->id, v->host_id, h->id);
        else if (v->row == GONE)
            broken(w, "volume %s is gone, but %s has it", v->id, h->id);
        else if (is.size_gib > v->size_gib)
            broken(w, "volume %s has %" PRId64 " GiB, asked for were %" PRId64, v->id, is.size_gib,
                   v->size_gib);
        else if (!str_eq(is.origin, v->origin))
            broken(w, "volume %s has data of '%s', not of '%s'", v->id, is.origin, v->origin);
        else if (is.holder[0] && !may_hold(w, v, is.holder))
            broken(w, "volume %s is attached to '%s', but the guest of %s has it", v->id, v->user,
                   is.holder);
    }
}

void check_disks(struct world *w)
{
    for (size_t i = 0; i < w->n_volumes && !w->failed; i++)
        check_disk(w, &w->volumes[i]);
}

/* ---- at every moment: rows ---- */

/* With the server that had it until now. */
static bool went_too(struct world *w, const struct known_volume *v)
{
    const struct known *k = server_by_id(w, v->user);
    return v->goes_too && k && k->row != THERE;
}

static void check_gone(struct world *w, struct known_volume *v, enum cause by)
{
    if (v->row != THERE)
        return;
    v->deleted = v->deleted || went_too(w, v);
    v->row = by == BY_SWEEP && *v->host_id ? GONE_WITH_HOST : GONE;
    trace(w, "volume %s is gone%s", v->id, v->row == GONE ? "" : " with its host");
    if (!v->deleted)
        broken(w, "volume %s is gone, but nobody deleted it", v->id);
    else if (v->row == GONE_WITH_HOST && heard_of(w, v->host_id))
        broken(w, "volume %s was given up, though its host was heard of lately", v->id);
}

/* What is said to be there is there, as large as it is said to be. */
static void check_done(struct world *w, const struct known_volume *v, const struct saved *r)
{
    struct fake_volume is;
    struct host *h = host_of(w, v->host_id);
    bool done = VS(r->state) & (VS(VS_AVAILABLE) | VS(VS_IN_USE));
    if (!done || !h)
        return;
    if (!fake_volume_get(volumes_of(w, h), v->id, &is))
        broken(w, "volume %s is %s, but its host does not have it", v->id,
               volume_life_of(r->state)->name);
    else if (is.size_gib < r->size_gib)
        broken(w, "volume %s has only %" PRId64 " GiB", v->id, is.size_gib);
}

static void take_row(struct world *w, struct known_volume *v, const struct saved *r, bool just_made)
{
    if (w->cfg.pool && !str_eq(v->host_id, r->host_id ? r->host_id : ""))
        trace(w, "volume %s is managed by %s", v->id, r->host_id ? r->host_id : "nobody");
    if (just_made || w->cfg.pool) /* … and who manages it changes */
        snprintf(v->host_id, sizeof(v->host_id), "%s", r->host_id ? r->host_id : "");
    if (just_made)
        v->state = r->state;
    bool deleting = r->state == VS_DELETING || r->state == VS_ERROR_DELETING;
    if (deleting && went_too(w, v))
        v->deleted = true;
    if (v->state != r->state && !volume_life_allows(v->state, r->state))
        broken(w, "volume %s went from %s to %s", v->id, volume_life_of(v->state)->name,
               volume_life_of(r->state)->name);
    else if (v->deleted != deleting)
        broken(w, "volume %s is %s, and was%s deleted", v->id, volume_life_of(r->state)->name,
               v->deleted ? "" : " not");
    else if (r->size_gib != v->size_gib)
        broken(w, "volume %s: asked for %" PRId64 " GiB, desired are %" PRId64, v->id, v->size_gib,
               r->size_gib);
    check_done(w, v, r);
    if (v->state != r->state)
        trace(w, "volume %s: %s, was %s", v->id, volume_life_of(r->state)->name,
              volume_life_of(v->state)->name);
    v->state = r->state;
}

static bool take_volumes(struct world *w, const struct db_rows *r, enum cause by,
                         const char *created)
{
    size_t there = 0;
    bool moved = false;
    for (size_t i = 0; i < w->n_volumes && !w->failed; i++) {
        struct known_volume *v = &w->volumes[i];
        size_t at = 0;
        while (at < r->n_rows && !str_eq(db_text(r, at, 0), v->id))
            at++;
        bool is = at < r->n_rows;
        there += is;
        enum volume_state was = v->state;
        if (is && v->row != THERE)
            broken(w, "volume %s is back", v->id);
        moved = moved || (!is && v->row == THERE);
        if (!is) {
            check_gone(w, v, by);
            continue;
        }
        const struct saved row = {.id = v->id,
                                  .host_id = db_text(r, at, 1),
                                  .state = volume_state_named(db_text(r, at, 2)),
                                  .size_gib = db_int(r, at, 3)};
        take_row(w, v, &row, str_eq(created, v->id));
        moved = moved || was != v->state;
    }
    if (there != r->n_rows)
        broken(w, "%zu volumes are there that nobody was promised", r->n_rows - there);
    return moved;
}

/* ---- snapshots ---- */

/* Goes with its volume, or by itself. */
static void snapshot_gone(struct world *w, struct known_snapshot *s)
{
    const struct known_volume *v = volume_by_id(w, s->volume_id);
    if (s->row != THERE)
        return;
    s->row = GONE;
    trace(w, "snapshot %s is gone", s->id);
    if (!s->deleted && v->row == THERE)
        broken(w, "snapshot %s is gone, but nobody deleted it", s->id);
}

static void take_snapshot(struct world *w, struct known_snapshot *s, enum snapshot_state now,
                          bool just_made)
{
    const struct known_volume *v = volume_by_id(w, s->volume_id);
    struct host *h = host_of(w, v->host_id);
    bool deleting = now == SN_DELETING || now == SN_ERROR_DELETING;
    s->state = just_made ? now : s->state;
    if (s->state != now && !snapshot_life_allows(s->state, now))
        broken(w, "snapshot %s went from %s to %s", s->id, snapshot_life_of(s->state)->name,
               snapshot_life_of(now)->name);
    else if ((s->deleted || v->deleted) != deleting)
        broken(w, "snapshot %s is %s, and was%s deleted", s->id, snapshot_life_of(now)->name,
               s->deleted ? "" : " not");
    else if (now == SN_AVAILABLE && h && !fake_volume_has_snapshot(volumes_of(w, h), v->id, s->id))
        broken(w, "snapshot %s is available, but its host does not have it", s->id);
    if (s->state != now)
        trace(w, "snapshot %s: %s, was %s", s->id, snapshot_life_of(now)->name,
              snapshot_life_of(s->state)->name);
    s->state = now;
}

static void take_snapshots(struct world *w, const struct db_rows *r, const char *created)
{
    for (size_t i = 0; i < w->n_snapshots && !w->failed; i++) {
        struct known_snapshot *s = &w->snapshots[i];
        size_t at = 0;
        while (at < r->n_rows && !str_eq(db_text(r, at, 0), s->id))
            at++;
        if (at < r->n_rows)
            take_snapshot(w, s, snapshot_state_named(db_text(r, at, 1)), str_eq(created, s->id));
        else
            snapshot_gone(w, s);
    }
}

/* ---- who has what ---- */

static void take_uses(struct world *w, const struct db_rows *r)
{
    for (size_t i = 0; i < w->n_volumes; i++)
        w->volumes[i].user[0] = 0;
    for (size_t i = 0; i < r->n_rows && !w->failed; i++) {
        struct known_volume *v = volume_by_id(w, db_text(r, i, 0));
        const struct known *k = server_by_id(w, db_text(r, i, 1));
        if (!v || v->row != THERE || !k || k->row != THERE)
            broken(w, "volume %s is attached to server %s, and one of them is not there",
                   db_text(r, i, 0), db_text(r, i, 1));
        else if (*v->user)
            broken(w, "volume %s is attached twice", v->id);
        else if (!w->cfg.pool && !str_eq(v->host_id, k->host_id))
            broken(w, "volume %s is attached to server %s on another host", v->id, k->id);
        else {
            snprintf(v->user, sizeof(v->user), "%s", k->id);
            v->use = attach_state_named(db_text(r, i, 2));
            v->root = db_int(r, i, 3) == 0;
            v->goes_too = db_int(r, i, 4) != 0;
        }
    }
}

bool check_volumes(struct world *w, enum cause by, const char *created)
{
    struct db_rows volumes, snapshots, uses;
    struct err *e = load_rows(w, &all_volumes, &volumes);
    if (!e)
        e = load_rows(w, &all_snapshots, &snapshots);
    if (!e)
        e = load_rows(w, &all_uses, &uses);
    if (e) {
        broken(w, "the database can't be read: %s", err_chain(&w->cx, e));
        return false;
    }
    bool moved = take_volumes(w, &volumes, by, created);
    take_snapshots(w, &snapshots, created);
    take_uses(w, &uses);
    check_disks(w);
    return moved;
}

/* ---- in the end ---- */

size_t orphans_on(struct world *w, const char *host_id)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_volumes; i++) {
        const struct known_volume *v = &w->volumes[i];
        n += v->orphan && v->row == THERE && v->state == VS_ERROR && str_eq(v->host_id, host_id);
    }
    return n;
}

static bool is_right(const struct known_volume *v)
{
    if (!*v->host_id)
        return v->state == VS_FAILED;
    if (v->orphan && v->state == VS_ERROR)
        return true;
    return *v->user ? v->state == VS_IN_USE && v->use == AT_ATTACHED : v->state == VS_AVAILABLE;
}

static const char *wrong_volume(struct world *w, const struct known_volume *v)
{
    struct fake_volume is = {0};
    struct guest_state guest = {0};
    struct host *h = host_of(w, v->host_id);
    if (v->deleted)
        return v->row != THERE ? NULL
                               : arena_printf(w->cx.arena, "volume %s is still there", v->id);
    if (!is_right(v))
        return arena_printf(w->cx.arena, "volume %s is %s%s%s", v->id,
                            volume_life_of(v->state)->name, *v->user ? ", in server " : "",
                            v->user);
    if (!h || v->state == VS_ERROR)
        return NULL;
    fake_volume_get(volumes_of(w, h), v->id, &is);
    fake_guest_state(&h->guests, v->user, &guest);
    /* Attached on the way to be suspended: its memory may not know it, and it is plugged later. */
    bool open =
        guest.power == GUEST_ON || (guest.suspended && fake_guest_has(&h->guests, v->user, v->id));
    if (is.size_gib != v->size_gib)
        return arena_printf(w->cx.arena, "volume %s has %" PRId64 " GiB", v->id, is.size_gib);
    if (!str_eq(is.holder, open ? v->user : ""))
        return arena_printf(w->cx.arena, "volume %s is held by '%s', attached to '%s'", v->id,
                            is.holder, v->user);
    return NULL;
}

static const char *wrong_snapshot(struct world *w, const struct known_snapshot *s)
{
    const struct known_volume *v = volume_by_id(w, s->volume_id);
    if (s->deleted || v->deleted)
        return s->row != THERE ? NULL
                               : arena_printf(w->cx.arena, "snapshot %s is still there", s->id);
    return s->state == SN_AVAILABLE ? NULL
                                    : arena_printf(w->cx.arena, "snapshot %s is %s", s->id,
                                                   snapshot_life_of(s->state)->name);
}

const char *wrong_volumes(struct world *w)
{
    const char *wrong = NULL;
    for (size_t i = 0; i < w->n_volumes && !wrong; i++)
        wrong = wrong_volume(w, &w->volumes[i]);
    for (size_t i = 0; i < w->n_snapshots && !wrong; i++)
        wrong = wrong_snapshot(w, &w->snapshots[i]);
    return wrong;
}
