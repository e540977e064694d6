/* SPDX-License-Identifier: EUPL-1.2 */
/* Users' requests for servers. */
#include "sim/world_impl.h"

#define SERVERS "/compute/v2.1/servers"

struct known *server_by_id(struct world *w, const char *id)
{
    for (size_t i = 0; i < w->n_servers; i++)
        if (str_eq(w->servers[i].id, id))
            return &w->servers[i];
    return NULL;
}

static struct known *any_server(struct world *w)
{
    return w->n_servers ? &w->servers[rng_below(&w->rng.rng, w->n_servers)] : NULL;
}

struct known *some_server(struct world *w)
{
    struct known *k = any_server(w);
    for (int tries = 0; k && k->row != THERE && tries < 20; tries++)
        k = any_server(w);
    return k;
}

/* ---- what an acknowledgement promises ---- */

static void power(struct known *k, bool on)
{
    k->on = on;
    k->paused = k->suspended = false;
}

static void boots(struct known *k)
{
    power(k, true);
    k->boots++;
}

static void stops(struct known *k)
{
    power(k, false);
}

static void resets(struct known *k)
{
    power(k, true);
    k->resets++;
}

/* What was off stays off. */
static void rebuilds(struct known *k)
{
    power(k, k->wants && k->state != ST_SHUTOFF);
    k->rescued = false;
    k->builds++;
    k->boots++;
}

static void pauses(struct known *k)
{
    k->paused = true;
}

static void unpauses(struct known *k)
{
    k->paused = false;
}

static void suspends(struct known *k)
{
    power(k, false);
    k->suspended = true;
}

static void resumes(struct known *k)
{
    power(k, true);
}

static void rescues(struct known *k)
{
    boots(k);
    k->rescued = true;
    k->rescues++;
}

static void unrescues(struct known *k)
{
    boots(k);
    k->rescued = false;
}

static void resizes(struct known *k)
{
    k->old_flavor = k->flavor++;
    k->resizing = true;
    k->resizes++;
    k->boots += k->wants;
}

/* Cold, or with another flavor: to be confirmed. Its boot comes when it is there. */
static void moves(struct known *k)
{
    k->old_flavor = k->flavor;
    k->resizing = true;
}

static void migrates(struct known *k UNUSED)
{
}

static void confirms(struct known *k)
{
    k->resizing = false;
}

static void reverts(struct known *k)
{
    k->flavor = k->old_flavor;
    k->resizing = false;
    k->restores += !*k->other_id; /* else what is there is as it was */
    k->boots += k->wants;
}

static void exports(struct known *k)
{
    k->exporting = true;
}

static void goes(struct known *k)
{
    k->deleted = true;
}

/* ---- the right answers ---- */

struct server_op {
    const char *name, *body; /* body NULL: DELETE */
    void (*done)(struct known *k);
    int (*right)(const struct known *k, const struct server_op *op);
    enum server_action rule;
    int ok;
    unsigned weight;
    bool admin;
    bool own_disk; /* only for servers with a root disk of their own */
};

/* Allowed is what the lifecycle's tables allow. */
static bool allowed(const struct known *k, const struct server_op *op)
{
    return *k->host_id && (server_action_rules[op->rule].from & TO(k->state)) && !k->exporting;
}

static int by_rule(const struct known *k, const struct server_op *op)
{
    return allowed(k, op) ? op->ok : 409;
}

static int always(const struct known *k UNUSED, const struct server_op *op)
{
    return op->ok; /* once more is no mistake */
}

static int resize_right(const struct known *k, const struct server_op *op)
{
    return !allowed(k, op) ? 409 : k->flavor + 1 < CLOUD_FLAVORS ? op->ok : 400;
}

#define OPEN (TO(ST_VERIFY_RESIZE) | TO(ST_ERROR) | TO(ST_FAILED))

static int confirm_right(const struct known *k, const struct server_op *op)
{
    return k->resizing && (TO(k->state) & OPEN) ? op->ok : 409;
}

static int revert_right(const struct known *k, const struct server_op *op)
{
    return !allowed(k, op) ? 409 : k->resizing ? op->ok : 400;
}

static int export_right(const struct known *k, const struct server_op *op)
{
    unsigned when = TO(ST_ACTIVE) | TO(ST_SHUTOFF) | TO(ST_PAUSED) | TO(ST_SUSPENDED);
    return (TO(k->state) & when) && !k->exporting ? op->ok : 409;
}

#define RULE(sa, ok_) .right = by_rule, .rule = sa, .ok = ok_
static const struct server_op ops[] = {
    {"start", "{'os-start':null}", boots, RULE(SA_START, 202), .weight = 12},
    {"stop", "{'os-stop':null}", stops, RULE(SA_STOP, 202), .weight = 12},
    {"hard reboot", "{'reboot':{'type':'HARD'}}", boots, RULE(SA_HARD_REBOOT, 202), .weight = 11},
    {"soft reboot", "{'reboot':{'type':'SOFT'}}", resets, RULE(SA_REBOOT, 202), .weight = 8},
    {"rebuild", "{'rebuild':{'imageRef':'" CLOUD_IMAGE "'}}", rebuilds, RULE(SA_REBUILD, 202),
     .weight = 9, .own_disk = true},
    {"pause", "{'pause':null}", pauses, RULE(SA_PAUSE, 202), .weight = 6},
    {"unpause", "{'unpause':null}", unpauses, RULE(SA_UNPAUSE, 202), .weight = 6},
    {"suspend", "{'suspend':null}", suspends, RULE(SA_SUSPEND, 202), .weight = 8},
    {"resume", "{'resume':null}", resumes, RULE(SA_RESUME, 202), .weight = 8},
    {"rescue", "{'rescue':null}", rescues, RULE(SA_RESCUE, 200), .weight = 6, .own_disk = true},
    {"unrescue", "{'unrescue':null}", unrescues, RULE(SA_UNRESCUE, 202), .weight = 6},
    {"resize", NULL, resizes, resize_right, SA_RESIZE, 202, .weight = 8},
    {"confirm resize", "{'confirmResize':null}", confirms, confirm_right, .ok = 204, .weight = 5},
    {"revert resize", "{'revertResize':null}", reverts, revert_right, SA_REVERT_RESIZE, 202,
     .weight = 6},
    {"migrate", "{'migrate':null}", moves, RULE(SA_MIGRATE, 202), .weight = 12, .admin = true},
    {"live migrate",
     "{'os-migrateLive':{'host':null,'block_migration':true,"
     "'disk_over_commit':false}}",
     migrates, RULE(SA_LIVE_MIGRATE, 202), .weight = 16, .admin = true},
    {"create image", "{'createImage':{'name':'i'}}", exports, export_right, .ok = 202, .weight = 7,
     .own_disk = true},
    {"delete", NULL, goes, always, SA_DELETE, 204, .weight = 22},
};
#define DELETE (&ops[ARRAY_LEN(ops) - 1])

static int send_op(struct world *w, const struct known *k, const struct server_op *op)
{
    const char *token = op->admin ? "admin" : w->cloud.projects[k->project].token;
    const char *path = arena_printf(w->cx.arena, SERVERS "/%s", k->id), *body = op->body;
    if (op == DELETE)
        return cloud_call(&w->cx, &w->cloud, token, "DELETE", path, NULL, NULL);
    if (!body)
        body = arena_printf(w->cx.arena, "{'resize':{'flavorRef':'%s'}}",
                            cloud_flavors[min_i64((int64_t)k->flavor + 1, CLOUD_FLAVORS - 1)]);
    return cloud_call(&w->cx, &w->cloud, token, "POST",
                      arena_printf(w->cx.arena, "%s/action", path), NULL, "%s", body);
}

static void act(struct world *w, const struct request *rq)
{
    struct known *k = rq->server;
    const struct server_op *op = rq->server_op;
    int right = k->row == THERE ? op->right(k, op) : 404;
    int status = send_op(w, k, op);
    store_fail_nth(w->cloud.store, 0);
    trace(w, "user: %s %s: %d", op->name, k->id, status);
    bool elsewhere = status < 300 && op->rule == SA_RESIZE && state_in_db(w, k->id) == ST_MOVING;
    if (elsewhere) {
        moves(k);
        k->flavor++;
    } else if (status < 300) {
        op->done(k);
    }
    bool tied = op->rule == SA_REVERT_RESIZE && *k->other_id && status == 409; /* by a volume */
    bool no_room = (op->rule == SA_RESIZE || op->admin) && right == 202 && status == 400;
    if (!no_room && !tied)
        check_answer(w, op->name, k->id, status, right);
    check_safety(w, BY_USER, NULL);
}

void delete_server(struct world *w, struct known *k)
{
    const struct request rq = {.server = k, .server_op = DELETE};
    act(w, &rq);
}

/* ---- creation ---- */

/* NULL: from the image. */
static struct known_volume *draw_root(struct world *w)
{
    struct known_volume *v = NULL;
    if (rng_below(&w->rng.rng, 100) < 75)
        return NULL;
    for (int tries = 0; tries < 20 && (!v || v->row != THERE || *v->user || !v->image); tries++)
        v = some_volume(w);
    return v;
}

static const char *root_members(struct world *w, const struct known_volume *root)
{
    if (!root)
        return "'imageRef':'" CLOUD_IMAGE "'";
    return arena_printf(w->cx.arena,
                        "'block_device_mapping_v2':[{'boot_index':0,'uuid':'%s','source_type':"
                        "'volume','destination_type':'volume','delete_on_termination':%s}]",
                        root->id, rng_below(&w->rng.rng, 2) ? "true" : "false");
}

static void remember(struct world *w, const char *id, size_t project, size_t flavor, bool on_volume,
                     bool ha)
{
    must(w->n_servers < SERVERS_MAX);
    struct known *k = &w->servers[w->n_servers++];
    *k = (struct known){.project = project,
                        .flavor = flavor,
                        .on_volume = on_volume,
                        .ha = ha,
                        .on = true,
                        .boots = 1,
                        .builds = 1};
    snprintf(k->id, sizeof(k->id), "%s", id);
    server_state_began(w, k);
}

static void create(struct world *w, const struct request *rq UNUSED)
{
    struct known_volume *root = draw_root(w);
    size_t project = root ? root->project : rng_below(&w->rng.rng, CLOUD_PROJECTS);
    size_t flavor = rng_below(&w->rng.rng, CLOUD_FLAVORS);
    struct cloud_project *p = &w->cloud.projects[project];
    bool own_port = rng_below(&w->rng.rng, 100) < 20, ha = rng_below(&w->rng.rng, 100) < 50;
    const char *net = p->network[rng_below(&w->rng.rng, CLOUD_NETWORKS)];
    json_t *j = NULL;
    int status = cloud_call(&w->cx, &w->cloud, p->token, "POST", SERVERS, &j,
                            "{'server':{'name':'s','flavorRef':'%s',%s,"
                            "'metadata':{'HA_Enabled':'%s'},'networks':[{'%s':'%s'}]}}",
                            cloud_flavors[flavor], root_members(w, root), ha ? "True" : "False",
                            own_port ? "port" : "uuid", own_port ? p->port : net);
    store_fail_nth(w->cloud.store, 0);
    const char *id = json_get_str(json_get(j, "server"), "id");
    trace(w, "user: create %s%s%s: %d", id ? id : "", root ? " on volume " : "",
          root ? root->id : "", status);
    if (status == 202 && id)
        remember(w, id, project, flavor, root != NULL, ha);
    else if (status != 403 && status != 409 && status != 400 && status != 503)
        broken(w, "a create is answered with %d %s", status, j ? json_text(&w->cx, j) : "");
    check_safety(w, BY_USER, id);
}

/* ---- drawing ---- */

static const struct server_op *any_op(struct world *w)
{
    uint64_t all = 0;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        all += ops[i].weight;
    uint64_t n = rng_below(&w->rng.rng, all);
    const struct server_op *op = ops;
    for (; n >= op->weight; op++)
        n -= op->weight;
    return op;
}

/* Mostly one that may be done. */
static const struct server_op *some_op(struct world *w, const struct known *k)
{
    const struct server_op *op = any_op(w);
    for (int tries = 0; tries < 4 && op->right(k, op) >= 300; tries++)
        op = any_op(w);
    /* Where both happen to one server, the checks can't tell which was right. */
    while ((op->own_disk && k->on_volume) || (op->admin && k->ha))
        op = any_op(w);
    return op;
}

struct request draw_server_request(struct world *w)
{
    struct known *k = some_server(w);
    if (!k || rng_below(&w->rng.rng, 100) < 30)
        return (struct request){.send = create};
    return (struct request){.server = k, .server_op = some_op(w, k), .send = act};
}
