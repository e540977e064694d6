/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Agents: /v2.0/agents. Each host's node does the work of four of neutron's agents, so each host
 * shows as four. What an administrator set of one is a row; the rest follows from the fleet's
 * hosts.
 */
#include "network/agents.h"
#include <sodium.h>

static const struct kind {
    const char *kind, *type, *topic;
    bool zoned;    /* serves what may be asked for in a zone */
    bool can_stop; /* without taking guests off their network */
} kinds[] = {
    {"dhcp", "DHCP agent", "dhcp_agent", true, true},
    {"l3", "L3 agent", "l3_agent", true, true},
    {"metadata", "Metadata agent", "N/A", false, false},
    {"bridge", "Linux bridge agent", "N/A", false, false},
};

static const struct kind *kind_of(const struct agent *a)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(kinds[i].kind, a->kind))
            return &kinds[i];
    bug_at(WHERE, a->kind);
}

/* The same for each question, and no other host's: a digest, in the form of a UUID of version 8. */
static const char *id_of(struct ctx *cx, const char *host_id, const char *kind)
{
    uint8_t d[16];
    char hex[33];
    const char *text = arena_printf(cx->arena, "%s/%s", host_id, kind);
    crypto_generichash(d, sizeof(d), (const uint8_t *)text, strlen(text), NULL, 0);
    d[6] = (uint8_t)((d[6] & 0x0f) | 0x80);
    d[8] = (uint8_t)((d[8] & 0x3f) | 0x80);
    hex_encode(d, sizeof(d), hex);
    return arena_printf(cx->arena, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                        hex + 20);
}

/* ---------------------------------------------------------------- encoding */

static const struct fleet_host *host_of(const void *row)
{
    return ((const struct row *)row)->extra;
}

static void agent_encode_type(struct ctx *cx UNUSED, struct jw *w, const void *row,
                              const struct view *v UNUSED)
{
    jw_str(w, kind_of(row)->type);
}

static void agent_encode_binary(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                                const struct view *v UNUSED)
{
    jw_str(w, AGENT_BINARY);
}

static void agent_encode_topic(struct ctx *cx UNUSED, struct jw *w, const void *row,
                               const struct view *v UNUSED)
{
    jw_str(w, kind_of(row)->topic);
}

static void agent_encode_host(struct ctx *cx UNUSED, struct jw *w, const void *row,
                              const struct view *v UNUSED)
{
    jw_str(w, host_of(row)->name);
}

static void agent_encode_zone(struct ctx *cx UNUSED, struct jw *w, const void *row,
                              const struct view *v UNUSED)
{
    jw_str(w, kind_of(row)->zoned ? host_of(row)->zone : NULL);
}

static void agent_encode_alive(struct ctx *cx UNUSED, struct jw *w, const void *row,
                               const struct view *v UNUSED)
{
    jw_bool(w, host_of(row)->alive);
}

static void agent_encode_configurations(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                                        const struct view *v UNUSED)
{
    jw_raw(w, "{}");
}

static void write_time(struct ctx *cx, struct jw *w, int64_t us)
{
    jw_str(w, us ? time_iso(cx, us, TIME_Z) : NULL);
}

static void agent_encode_created(struct ctx *cx, struct jw *w, const void *row,
                                 const struct view *v UNUSED)
{
    write_time(cx, w, host_of(row)->created_us);
}

static void agent_encode_heartbeat(struct ctx *cx, struct jw *w, const void *row,
                                   const struct view *v UNUSED)
{
    write_time(cx, w, host_of(row)->last_seen_us);
}

#define RESOURCE agent
#define RESOURCE_DEF "network/agent.def"
#include "resource/declare_fields.h"

static const struct res_index agent_indexes[] = {
    {"network_agents_host", "host_id, kind", true, NULL}};

const struct resource agent_resource = {.name = "agent",
                                        .plural = "agents",
                                        .table = "network_agents",
                                        RESOURCE_FIELDS(agent),
                                        .owner = -1,
                                        .not_found = "Agent %s could not be found.",
                                        .not_found_type = "AgentNotFound",
                                        .indexes = agent_indexes,
                                        .n_indexes = ARRAY_LEN(agent_indexes),
                                        .doc = "A part of a host's node."};

/* ---------------------------------------------------------------- finding */

static struct err *agent_of(struct ctx *cx, struct tx *tx, const struct fleet_host *h,
                            const char *kind, struct agent **ret)
{
    void *row = NULL;
    const char *id = id_of(cx, h->id, kind);
    TRY(res_get(cx, tx, &agent_resource, id, &row));
    struct agent *a = row ? row : res_new(cx, &agent_resource);
    if (!row) {
        a->id = id;
        a->host_id = h->id;
        a->kind = kind;
        a->admin_state_up = true;
    }
    a->row.extra = arena_memdup(cx->arena, h, sizeof(*h));
    *ret = a;
    return NULL;
}

struct err *agent_find(struct call *c, const char *id, const char *kind, struct agent **ret)
{
    struct fleet_host *hosts;
    size_t n;
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            if ((!kind || str_eq(kind, kinds[k].kind)) &&
                str_eq(id_of(c->cx, hosts[i].id, kinds[k].kind), id))
                return agent_of(c->cx, c->tx, &hosts[i], kinds[k].kind, ret);
    return res_not_found(c->cx, &agent_resource, id);
}

static bool asked_bool(const struct call *c, const char *name, bool value)
{
    const char *text = http_arg(c->rq, name);
    bool b = value;
    return !text || !str_to_bool(text, &b) || b == value;
}

static bool asked_text(const struct call *c, const char *name, const char *value)
{
    bool any = false;
    for (size_t i = 0; i < c->rq->n_args; i++) {
        if (!str_eq(c->rq->args[i].name, name))
            continue;
        if (str_eq(c->rq->args[i].value, value))
            return true;
        any = true;
    }
    return !any;
}

static bool asked(const struct call *c, const struct agent *a)
{
    const struct kind *k = kind_of(a);
    const struct fleet_host *h = host_of(a);
    return asked_text(c, "id", a->id) && asked_text(c, "host", h->name) &&
           asked_text(c, "agent_type", k->type) && asked_text(c, "binary", AGENT_BINARY) &&
           asked_text(c, "topic", k->topic) &&
           asked_text(c, "availability_zone", k->zoned ? h->zone : NULL) &&
           asked_bool(c, "alive", h->alive) && asked_bool(c, "admin_state_up", a->admin_state_up);
}

struct err *agents_reply(struct call *c, const struct fleet_host *hosts, size_t n, const char *kind)
{
    struct view v = call_view(c);
    const char **fields = arena_new_array(c->cx->arena, const char *, c->rq->n_args + 1);
    for (size_t i = 0; i < c->rq->n_args; i++)
        if (str_eq(c->rq->args[i].name, "fields"))
            fields[v.n_fields++] = c->rq->args[i].value;
    v.fields = v.n_fields ? fields : NULL;
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "agents");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            struct agent *a = NULL;
            if (kind && !str_eq(kind, kinds[k].kind))
                continue;
            TRY(agent_of(c->cx, c->tx, &hosts[i], kinds[k].kind, &a));
            if (asked(c, a))
                res_encode(c->cx, &w, &agent_resource, a, &v);
        }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- handlers */

struct err *nw_agents_list(struct call *c)
{
    struct fleet_host *hosts;
    size_t n;
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    return agents_reply(c, hosts, c->actor->admin ? n : 0, NULL); /* tenants see none */
}

struct err *nw_agent_show(struct call *c)
{
    struct agent *a = NULL;
    TRY(agent_find(c, call_param(c, "id"), NULL, &a));
    return call_reply_row(c, 200, &agent_resource, a);
}

struct err *nw_agent_update(struct call *c)
{
    struct agent *a = NULL;
    TRY(agent_find(c, call_param(c, "id"), NULL, &a));
    bool was = a->admin_state_up;
    TRY(res_decode_body(c->cx, c->service->family, &agent_resource, c->json, DECODE_UPDATE, 0,
                        c->actor->admin, a));
    if (!a->admin_state_up && !kind_of(a)->can_stop)
        return fail_type(c->cx, ERR_CONFLICT, "Conflict",
                         "The %s of a host cannot be stopped alone: its guests would lose their "
                         "network. Disable the host's compute service instead.",
                         kind_of(a)->type);
    if (a->row.generation)
        TRY(res_update(c->cx, c->tx, &agent_resource, a));
    else
        TRY(res_insert(c->cx, c->tx, &agent_resource, a));
    if (was != a->admin_state_up)
        TRY(agent_touch_all(c, a));
    return call_reply_row(c, 200, &agent_resource, a);
}

struct err *nw_agent_delete(struct call *c)
{
    struct agent *a = NULL;
    TRY(agent_find(c, call_param(c, "id"), NULL, &a));
    return fail_type(c->cx, ERR_CONFLICT, "Conflict",
                     "The %s %s is a part of the host %s: it goes with its host.", kind_of(a)->type,
                     a->id, host_of(a)->name);
}
