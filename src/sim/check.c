/* SPDX-License-Identifier: EUPL-1.2 */
/* What must hold at every moment, and what must hold in the end: rules about the database, and
 * about hosts. check_servers.c and check_volumes.c have those about what users were promised. */
#include "fleet/fleet_impl.h"
#include "sim/world_impl.h"
#include <dirent.h>

/* A host that was heard of within this time is waited for with a deletion. */
#define HOST_LOST_US INT64_C(300000000)
/* A control plane that is back gives hosts at least this time to tell of themselves. */
#define UP_AGAIN_US INT64_C(30000000)

struct err *load_rows(struct world *w, const struct stmt *st, struct db_rows *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_read(&w->cx, w->cloud.store, &tx));
    return db_query(&w->cx, tx, st, NULL, 0, ret);
}

struct law {
    struct stmt none; /* gives no row */
    const char *complaint;
};

static const struct law always[] = {
    {{"sim_port_without_server",
      "SELECT p.id FROM ports p LEFT JOIN servers s ON s.id = p.server_id"
      " WHERE p.server_id IS NOT NULL AND (s.id IS NULL OR s.host_id <> p.host_id)"},
     "a port belongs to no server that is there"},
    {{"sim_port_half_bound", "SELECT id FROM ports WHERE server_id IS NULL AND"
                             " (host_id IS NOT NULL OR device_owner LIKE 'compute:%')"},
     "a port is bound though nothing has it"},
    {{"sim_server_without_port", "SELECT s.id FROM servers s WHERE s.host_id IS NOT NULL AND"
                                 " (SELECT COUNT(*) FROM ports p WHERE p.server_id = s.id) <> 1"},
     "a server has not the one port it was made with"},
    {{"sim_address_twice", "SELECT MIN(id) FROM ports WHERE fixed_ips <> '[]'"
                           " GROUP BY network_id, fixed_ips HAVING COUNT(*) > 1"},
     "an address is in two ports"},
    {{"sim_mac_twice", "SELECT MIN(id) FROM ports GROUP BY network_id, mac_address"
                       " HAVING COUNT(*) > 1"},
     "a MAC is in two ports"},
    {{"sim_address_leaked", "SELECT a.ip FROM ip_allocations a LEFT JOIN ports p"
                            " ON p.id = a.holder_id WHERE p.id IS NULL"},
     "an address is held by nothing"},
    {{"sim_address_unheld", "SELECT p.id FROM ports p WHERE json_array_length(p.fixed_ips) <>"
                            " (SELECT COUNT(*) FROM ip_allocations a WHERE a.holder_id = p.id AND"
                            " INSTR(p.fixed_ips, '\"' || a.ip || '\"'))"},
     "a port's addresses are not those it holds"},
    {{"sim_action_open", "SELECT a.id FROM instance_actions a LEFT JOIN servers s"
                         " ON s.id = a.server_id WHERE a.finish_time IS NULL AND a.apart = 0 AND"
                         " (s.id IS NULL OR s.state IN ('ACTIVE', 'SHUTOFF', 'ERROR', 'FAILED'))"},
     "an action is open, though nothing is being done"},
};

static const struct law in_the_end[] = {
    {{"sim_apart_open",
      "SELECT a.id FROM instance_actions a LEFT JOIN servers s ON s.id = a.server_id WHERE"
      " a.finish_time IS NULL AND a.apart = 1 AND (s.id IS NULL OR (s.export_image IS NULL AND"
      " NOT EXISTS (SELECT 1 FROM attachments t WHERE t.server_id = s.id AND t.state IN"
      " ('attaching', 'detaching'))))"},
     "an action is open, though neither disk nor volume is being moved"},
    {{"sim_open_exports", "SELECT id FROM image_exports"}, "an image is still to come"},
    {{"sim_queued_images", "SELECT id FROM images WHERE status <> 'active'"},
     "an image never came"},

    {{"sim_port_status",
      "SELECT p.id FROM ports p JOIN servers s ON s.id = p.server_id"
      " WHERE (p.status = 'ACTIVE') <> (s.want_power = 1 AND s.host_id IS NOT NULL)"},
     "a port's status is not its server's"},
};

static const struct law when_empty[] = {
    {{"sim_left_servers", "SELECT id FROM servers"}, "a server is left"},
    {{"sim_left_volumes", "SELECT id FROM volumes"}, "a volume is left"},
    {{"sim_left_snapshots", "SELECT id FROM snapshots"}, "a snapshot is left"},
    {{"sim_left_uses", "SELECT id FROM attachments"}, "an attachment is left"},
    {{"sim_left_ports", "SELECT id FROM ports"}, "a port is left"},
    {{"sim_left_addresses", "SELECT ip FROM ip_allocations"}, "an address is left"},
    {{"sim_left_groups", "SELECT port_id FROM port_groups"}, "a port's group is left"},
    {{"sim_left_items", "SELECT kind || ' ' || item_id FROM fleet_changes"},
     "an item is left in the feed of deleted things"},
};

/* The first rule that does not hold, as text; or NULL. */
static const char *judge(struct world *w, const struct law *rules, size_t n)
{
    AUTO_TXN struct tx *tx = NULL;
    struct err *e = tx_read(&w->cx, w->cloud.store, &tx);
    for (size_t i = 0; i < n && !e; i++) {
        struct db_rows r;
        e = db_query(&w->cx, tx, &rules[i].none, NULL, 0, &r);
        if (!e && r.n_rows)
            return arena_printf(w->cx.arena, "%s: %s", rules[i].complaint, db_text(&r, 0, 0));
    }
    return e ? err_chain(&w->cx, e) : NULL;
}

/* ---- hosts ---- */

struct host *host_of(struct world *w, const char *id)
{
    for (size_t i = 0; i < w->cfg.hosts; i++)
        if (str_eq(w->hosts[i].id, id))
            return &w->hosts[i];
    return NULL;
}

bool heard_of(struct world *w, const char *host_id)
{
    const struct host *h = host_of(w, host_id);
    return w->now_us - h->beat_at_us < HOST_LOST_US ||
           plane_uptime_us(w) - h->beat_up_us < UP_AGAIN_US;
}

/* ---- after each step ---- */

void check_hosts(struct world *w)
{
    check_guests(w);
    check_disks(w);
}

void check_safety(struct world *w, enum cause by, const char *created)
{
    if (w->failed)
        return;
    bool moved = check_servers(w, by, created);
    moved = (!w->failed && check_volumes(w, by, created)) || moved || by == BY_USER;
    const char *wrong = moved && !w->failed ? judge(w, always, ARRAY_LEN(always)) : NULL;
    if (wrong)
        broken(w, "%s", wrong);
}

static const struct stmt late_servers = {
    "sim_late_servers", "SELECT state_deadline, 'server ' || id FROM servers UNION ALL "
                        "SELECT state_deadline, 'volume ' || id FROM volumes UNION ALL "
                        "SELECT state_deadline, 'snapshot ' || id FROM snapshots UNION ALL "
                        "SELECT state_deadline, 'attachment ' || id FROM attachments UNION ALL "
                        "SELECT deadline_at, 'export ' || id FROM image_exports"};

void check_swept(struct world *w)
{
    struct db_rows r;
    struct err *e = load_rows(w, &late_servers, &r);
    for (size_t i = 0; !e && i < r.n_rows; i++)
        if (db_int(&r, i, 0) && db_int(&r, i, 0) <= now_us(&w->cx))
            broken(w, "%s is past its deadline, and was swept", db_text(&r, i, 1));
}

static const struct stmt export_source = {
    "sim_export_source", "SELECT source, source_id FROM image_exports WHERE id = $1"};

static bool is_root_of(struct world *w, const struct host *h, const char *server_id,
                       const char *origin)
{
    char id[40];
    int64_t build;
    const struct known *k = server_by_id(w, server_id);
    return sscanf(origin, "root %39s %" SCNd64, id, &build) == 2 && k && str_eq(k->id, id) &&
           build <= k->builds && str_eq(k->host_id, h->id);
}

/* The data of what it was asked for, unless that was taken back. */
void check_export(struct world *w, const struct host *h, const char *image_id, const char *path)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_value id = V_TEXT(image_id);
    struct db_rows r;
    const char *origin = "";
    int64_t size_gib;
    struct err *e = tx_read(&w->cx, w->cloud.store, &tx);
    if (!e)
        e = db_query(&w->cx, tx, &export_source, &id, 1, &r);
    if (!e)
        e = fake_disk_read(&w->cx, path, &origin, &size_gib);
    if (e || !r.n_rows) {
        if (e)
            broken(w, "%s sends image %s: %s", h->id, image_id, err_chain(&w->cx, e));
        return;
    }
    const char *source = db_text(&r, 0, 1);
    const struct known_volume *v = volume_by_id(w, source);
    if (!(v ? str_eq(v->origin, origin) : is_root_of(w, h, source, origin)))
        broken(w, "%s sends data of '%s' as image %s of %s", h->id, origin, image_id, source);
}

/* ---- in the end ---- */

/* How many items of this kind the host should have. */
static struct err *wanted_on(struct world *w, const char *kind, const char *host_id, size_t *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_rows ids;
    TRY(tx_read(&w->cx, w->cloud.store, &tx));
    TRY(fleet_kind_find(kind)->list(&w->cx, tx, host_id, &ids));
    *ret = ids.n_rows;
    return NULL;
}

/* Files on their way, and images that something stands on. */
static const char *left_on(struct world *w, const struct host *h, size_t servers)
{
    DIR *d = opendir(arena_printf(w->cx.arena, "%s/exports", h->dir));
    const char *left = NULL;
    for (const struct dirent *e; d && !left && (e = readdir(d));)
        if (e->d_name[0] != '.')
            left = arena_printf(w->cx.arena, "%s has still the file %s", h->id, e->d_name);
    if (d)
        closedir(d);
    if (!left && h->n_image_users > 2 * servers + orphans_on(w, h->id))
        left = arena_printf(w->cx.arena, "%s keeps the image for %s", h->id, h->image_users[0]);
    return left;
}

static const char *wrong_host(struct world *w, struct host *h)
{
    size_t servers = 0, networks = 0, routers = 0, volumes = 0, guests = 0;
    struct agent_stats st;
    struct err *e = wanted_on(w, "server", h->id, &servers);
    if (!e)
        e = wanted_on(w, "network", h->id, &networks);
    if (!e)
        e = wanted_on(w, "router", h->id, &routers);
    if (!e)
        e = wanted_on(w, "volume", h->id, &volumes);
    if (e)
        return err_chain(&w->cx, e);
    if (!h->agent)
        return arena_printf(w->cx.arena, "%s has no agent", h->id);
    for (enum guest_power p = GUEST_ABSENT; p <= GUEST_CRASHED; p++)
        guests += fake_guests_count(&h->guests, p);
    agent_get_stats(h->agent, w->now_us, &st);
    if (guests != servers || fake_net_taps(&h->net) > servers)
        return arena_printf(w->cx.arena, "%s has %zu guests and %zu taps for %zu servers", h->id,
                            guests, fake_net_taps(&h->net), servers);
    if (fake_net_networks(&h->net) != networks || fake_net_routers(&h->net) != routers)
        return arena_printf(
            w->cx.arena, "%s has %zu networks and %zu routers, should have %zu and %zu", h->id,
            fake_net_networks(&h->net), fake_net_routers(&h->net), networks, routers);
    size_t lost = orphans_on(w, h->id);
    if (!w->cfg.pool && fake_volumes_count(&h->volumes) + lost != volumes)
        return arena_printf(w->cx.arena, "%s has %zu volumes, should have %zu", h->id,
                            fake_volumes_count(&h->volumes), volumes - lost);
    if (st.failing > lost || st.undelivered || st.items[ITEM_SERVER] != servers ||
        st.items[ITEM_VOLUME] != volumes || st.items[ITEM_EXPORT])
        return arena_printf(w->cx.arena,
                            "%s: the agent has %zu servers, %zu volumes, %zu exports, trouble with "
                            "%zu",
                            h->id, st.items[ITEM_SERVER], st.items[ITEM_VOLUME],
                            st.items[ITEM_EXPORT], st.failing);
    return left_on(w, h, servers);
}

/* Usage of quotas is what is there, and within the limit. */
static const char *wrong_usage(struct world *w, size_t project)
{
    AUTO_TXN struct tx *tx = NULL;
    int64_t used = 0, there = 0;
    struct err *e = tx_read(&w->cx, w->cloud.store, &tx);
    if (!e)
        e = quota_usage(&w->cx, tx, &compute_service, "instances", w->cloud.projects[project].token,
                        &used);
    if (e)
        return err_chain(&w->cx, e);
    for (size_t i = 0; i < w->n_servers; i++)
        there += w->servers[i].project == project && w->servers[i].row == THERE;
    return used == there && used <= CLOUD_INSTANCES_MAX
               ? NULL
               : arena_printf(w->cx.arena, "project %zu has %" PRId64 " servers, counted %" PRId64,
                              project, there, used);
}

const char *check_settled(struct world *w)
{
    const char *wrong = w->failed ? "it is broken" : wrong_servers(w);
    if (!wrong)
        wrong = wrong_volumes(w);
    for (size_t i = 0; i < w->cfg.hosts && !wrong; i++)
        wrong = wrong_host(w, &w->hosts[i]);
    for (size_t i = 0; i < CLOUD_PROJECTS && !wrong; i++)
        wrong = wrong_usage(w, i);
    if (!wrong)
        wrong = judge(w, always, ARRAY_LEN(always));
    return wrong ? wrong : judge(w, in_the_end, ARRAY_LEN(in_the_end));
}

const char *check_empty(struct world *w)
{
    const char *wrong = check_settled(w);
    return wrong ? wrong : judge(w, when_empty, ARRAY_LEN(when_empty));
}
