/* SPDX-License-Identifier: EUPL-1.2 */
/* What users do, through the API, and what they were promised: only an acknowledged request counts,
 * and each of those does. */
#include "sim/world_impl.h"

#define SERVERS "/compute/v2.1/servers"

struct known *some_server(struct world *w)
{
    return w->n_servers ? &w->servers[rng_below(&w->rng.rng, w->n_servers)] : NULL;
}

/* Mostly one that is there. */
static struct known *pick(struct world *w)
{
    struct known *k = some_server(w);
    for (int tries = 0; k && k->row != THERE && tries < 20; tries++)
        k = some_server(w);
    return k;
}

/* ---- what an acknowledgement promises ---- */

static void boots(struct known *k)
{
    k->on = true;
    k->boots++;
}

static void stops(struct known *k)
{
    k->on = false;
}

static void resets(struct known *k)
{
    k->on = true;
    k->resets++;
}

/* What was off stays off. */
static void rebuilds(struct known *k)
{
    k->on = k->on && k->state != ST_SHUTOFF;
    k->builds++;
    k->boots++;
}

static void goes(struct known *k)
{
    k->deleted = true;
}

static const struct op {
    const char *name, *body; /* body NULL: DELETE */
    void (*done)(struct known *k);
    enum server_action rule;
    unsigned weight;
} ops[] = {
    {"start", "{'os-start':null}", boots, SA_START, 16},
    {"stop", "{'os-stop':null}", stops, SA_STOP, 16},
    {"hard reboot", "{'reboot':{'type':'HARD'}}", boots, SA_HARD_REBOOT, 14},
    {"soft reboot", "{'reboot':{'type':'SOFT'}}", resets, SA_REBOOT, 12},
    {"rebuild", "{'rebuild':{'imageRef':'" CLOUD_IMAGE "'}}", rebuilds, SA_REBUILD, 12},
    {"delete", NULL, goes, SA_DELETE, 30},
};

/* Allowed is what the lifecycle's tables allow; only a failing store may say 503. */
static int right_answer(const struct known *k, const struct op *op)
{
    if (k->row != THERE)
        return 404;
    if (op->rule == SA_DELETE)
        return 204; /* once more is no mistake */
    bool allowed = *k->host_id && (server_action_rules[op->rule].from & TO(k->state));
    return allowed ? 202 : 409;
}

static void act_on(struct world *w, struct known *k, const struct op *op)
{
    const char *token = w->cloud.projects[k->project].token;
    const char *path = arena_printf(w->cx.arena, SERVERS "/%s%s", k->id, op->body ? "/action" : "");
    int right = right_answer(k, op);
    int status = op->body ? cloud_call(&w->cx, &w->cloud, token, "POST", path, NULL, "%s", op->body)
                          : cloud_call(&w->cx, &w->cloud, token, "DELETE", path, NULL, NULL);
    store_fail_nth(w->cloud.store, 0);
    trace(w, "user: %s %s: %d", op->name, k->id, status);
    if (status < 300)
        op->done(k);
    if (status != right && (status != 503 || w->healed))
        broken(w, "%s of server %s, which is %s, is answered with %d, not %d", op->name, k->id,
               lifecycle_of(k->state)->name, status, right);
    check_safety(w, BY_USER, NULL);
}

/* ---- creation ---- */

static void create(struct world *w)
{
    size_t project = rng_below(&w->rng.rng, CLOUD_PROJECTS);
    struct cloud_project *p = &w->cloud.projects[project];
    bool own_port = rng_below(&w->rng.rng, 100) < 20;
    const char *net = p->network[rng_below(&w->rng.rng, CLOUD_NETWORKS)];
    json_t *j = NULL;
    int status =
        cloud_call(&w->cx, &w->cloud, p->token, "POST", SERVERS, &j,
                   "{'server':{'name':'s','flavorRef':'1','imageRef':'" CLOUD_IMAGE
                   "','networks':[{'%s':'%s'}]}}",
                   own_port ? "port" : "uuid", own_port ? p->port : net);
    store_fail_nth(w->cloud.store, 0);
    const char *id = json_get_str(json_get(j, "server"), "id");
    trace(w, "user: create %s: %d", id ? id : "", status);
    if (status == 202 && id) {
        must(w->n_servers < SERVERS_MAX);
        struct known *k = &w->servers[w->n_servers++];
        *k = (struct known){.project = project, .on = true, .boots = 1, .builds = 1};
        snprintf(k->id, sizeof(k->id), "%s", id);
        k->state_at_us = w->now_us;
    } else if (status != 403 && status != 409 && status != 400 && status != 503) {
        broken(w, "a create is answered with %d %s", status, j ? json_text(&w->cx, j) : "");
    }
    check_safety(w, BY_USER, id);
}

/* ---- */

static const struct op *some_op(struct world *w)
{
    uint64_t n = rng_below(&w->rng.rng, 100);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (n < ops[i].weight)
            return &ops[i];
        n -= ops[i].weight;
    }
    bug_at(WHERE, "weights are not 100 in all");
}

/* Now and then the control plane ends between its commit and the answer: nobody is woken. */
void user_acts(struct world *w)
{
    struct known *k = pick(w);
    bool crash = chance(w, 3), twice = chance(w, 5);
    w->deaf_to_wakes = crash;
    const struct op *op = k && rng_below(&w->rng.rng, 100) >= 35 ? some_op(w) : NULL;
    for (int i = 0; i <= twice && !w->failed; i++) { /* a client that heard nothing asks again */
        begin_db_trouble(w);
        if (op)
            act_on(w, k, op);
        else
            create(w);
        end_db_trouble(w);
    }
    w->deaf_to_wakes = false;
    if (crash)
        plane_goes_down(w);
}

void delete_all(struct world *w)
{
    for (size_t i = 0; i < w->n_servers && !w->failed; i++)
        if (w->servers[i].row == THERE)
            act_on(w, &w->servers[i], &ops[ARRAY_LEN(ops) - 1]);
}
