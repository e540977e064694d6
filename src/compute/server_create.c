/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * POST /servers: decides everything in one transaction. Quota, placement, addresses and the word to
 * the host are committed together with the row, so nothing is promised twice and nothing is left
 * half done.
 */
#include "compute/placing.h"

struct creation {
    struct server *first; /* as decoded */
    struct network_wish networks;
    const char **groups;
    size_t n_groups;
    struct placing place;
    struct placing_time took; /* by that so far */
    int64_t count;
    const char *user_pass;
    struct device_list devices;
    const char *group_id; /* of the server group they join */
};

/* ---------------------------------------------------------------- reading the request */

/* Hints stand beside the server in the body. */
static struct err *take_body(struct call *c, struct server **ret)
{
    static const char *const hint_names[] = {"os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"};
    if (!json_is_object(c->json))
        return fail(c->cx, ERR_INVALID, "The request body must be a JSON object");
    json_t *body = json_own(c->cx, json_copy(c->json));
    *ret = res_new(c->cx, &server_resource);
    for (size_t i = 0; i < ARRAY_LEN(hint_names); i++)
        json_object_del(body, hint_names[i]);
    TRY(res_decode_body(c->cx, c->service->family, &server_resource, body, DECODE_CREATE,
                        c->microversion, c->actor->admin, *ret));
    for (size_t i = 0; i < ARRAY_LEN(hint_names); i++)
        if (json_get(c->json, hint_names[i]))
            TRY(hints_read(c, json_get(c->json, hint_names[i]), *ret));
    return NULL;
}

static struct err *check_versions(struct call *c, const struct server *s)
{
    if (row_given(&s->row, server_f_tags) && c->microversion < 52)
        return c->service->family->unknown(c->cx, &server_resource, "tags");
    if (s->old_block_devices && s->block_devices)
        return fail(
            c->cx, ERR_INVALID,
            "Using different block_device_mapping syntaxes is not allowed in the same request.");
    if (s->personality && !str_eq(s->personality, "[]"))
        return fail(
            c->cx, ERR_INVALID,
            "File injection (personality) is not supported: give user data or a config drive");
    return NULL;
}

static struct err *take_flavor(struct call *c, struct server *s)
{
    struct flavor *f;
    TRY(server_find_flavor(c, s->flavor_id, &f));
    server_take_flavor(s, f);
    return NULL;
}

static struct err *take_key(struct call *c, struct server *s)
{
    struct keypair *k;
    if (!s->key_name)
        return NULL;
    struct err *e = keypair_find(c, c->actor->user_id, s->key_name, &k);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_INVALID, "Invalid key_name provided.");
    TRY(e);
    s->key_data = k->public_key;
    s->key_type = k->type;
    return NULL;
}

/* "zone", or an administrator's "zone:host" or "zone:host:node"; since 2.74 also "host". */
static struct err *take_target(struct call *c, struct creation *cr)
{
    const struct server *s = cr->first;
    const char *host_id = NULL;
    bool zone_known = true;
    char **parts = NULL;
    size_t n = s->want_zone ? str_split(c->cx, s->want_zone, ':', &parts) : 0;
    const char *zone = n && *parts[0] ? parts[0] : NULL;
    const char *host = n > 1          ? (*parts[1] ? parts[1]
                                         : n > 2   ? parts[2]
                                                   : NULL)
                       : s->want_host ? s->want_host
                                      : s->want_hypervisor;
    if (n > 3)
        return fail(c->cx, ERR_INVALID, "Unable to parse availability_zone: %s", s->want_zone);
    if (n > 1 && !c->actor->admin)
        return fail(
            c->cx, ERR_FORBIDDEN,
            "Policy doesn't allow os_compute_api:servers:create:forced_host to be performed.");
    if (zone)
        TRY(placing_zone_known(c->cx, c->tx, zone, &zone_known));
    if (!zone_known)
        return fail(c->cx, ERR_INVALID, "The requested availability zone is not available");
    if (host && n <= 1)
        TRY(fleet_host_named(c->cx, c->tx, host, &host_id));
    if (host && n <= 1 && !host_id)
        return fail(c->cx, ERR_INVALID, "Compute host %s could not be found.", host);
    cr->first->pinned_zone = cr->place.rq.zone = zone;
    cr->place.rq.host = host;
    return NULL;
}

/* A server runs where its volumes lie; new ones must find room beside it. */
static struct err *follow_volumes(struct call *c, struct creation *cr)
{
    const char *host_id = cr->devices.host_id;
    struct place_request *want = &cr->place.rq;
    struct fleet_host host;
    want->volumes_gib = cr->devices.new_gib;
    want->pool_id = cr->devices.pool_id;
    if (!host_id)
        return NULL;
    if (want->host && !str_eq(want->host, host_id)) {
        TRY(fleet_host_get(c->cx, c->tx, host_id, &host));
        if (!str_eq(want->host, host.name))
            return fail(c->cx, ERR_INVALID,
                        "The volumes lie on host %s: the server can't be on host %s.", host.name,
                        want->host);
    }
    want->host = host_id;
    return NULL;
}

static struct err *check_counts(struct call *c, struct creation *cr)
{
    struct server *s = cr->first;
    if (row_given(&s->row, server_f_min_count) && !row_given(&s->row, server_f_max_count))
        s->max_count = s->min_count;
    if (s->min_count > s->max_count)
        return fail(c->cx, ERR_INVALID, "min_count must be <= max_count");
    if (s->max_count > 1 && s->want_hostname)
        return fail(c->cx, ERR_INVALID,
                    "The hostname parameter can only be specified when creating a single instance");
    for (size_t i = 0; s->max_count > 1 && i < cr->networks.n; i++)
        if (cr->networks.ports[i].port_id || cr->networks.ports[i].fixed_ip)
            return fail(c->cx, ERR_INVALID,
                        "Unable to launch multiple instances with a single configured port ID or "
                        "fixed IP. Please launch your instance one by one with different ports.");
    return NULL;
}

static struct err *check_quota(struct call *c, const struct server *s, int64_t count)
{
    return server_quota_check(c, c->actor->project_id, c->actor->user_id, count, count * s->vcpus,
                              count * s->memory_mib);
}

/* As many as the quota allows, but at least min_count. */
static struct err *settle_count(struct call *c, struct creation *cr)
{
    const struct server *s = cr->first;
    struct err *e = NULL;
    for (cr->count = s->max_count; cr->count >= s->min_count; cr->count--) {
        e = check_quota(c, s, cr->count);
        if (!e || e->kind != ERR_QUOTA)
            return e;
    }
    return e;
}

static struct err *read_creation(struct call *c, struct creation *cr)
{
    TRY(take_body(c, &cr->first));
    struct server *s = cr->first;
    TRY(check_versions(c, s));
    TRY(read_block_devices(c, s, &cr->devices));
    TRY(take_flavor(c, s));
    if (cr->devices.image_root)
        TRY(take_image(c, s, s->image_id));
    TRY(check_block_devices(c, s, &cr->devices));
    TRY(take_key(c, s));
    TRY(take_hostname(c, s));
    TRY(check_metadata_count(c, s->metadata));
    s->project_id = c->actor->project_id;
    TRY(placing_begin(c->cx, c->tx, s, &cr->place));
    TRY(take_target(c, cr));
    TRY(follow_volumes(c, cr));
    TRY(read_networks(c, s, &cr->networks));
    TRY(check_counts(c, cr));
    TRY(read_groups(c, s, &cr->groups, &cr->n_groups));
    cr->user_pass = s->admin_pass ? s->admin_pass : new_password(c->cx);
    TRY(settle_count(c, cr));
    cr->group_id = hints_group(c->cx, s);
    return cr->group_id ? server_group_check(c, cr->group_id, cr->count) : NULL;
}

/* ---------------------------------------------------------------- making them */

static const char *random_seed(struct ctx *cx)
{
    uint8_t raw[64];
    rng_bytes(cx->rng, raw, sizeof(raw));
    return base64_encode(cx, raw, sizeof(raw));
}

static struct server *copy_of(struct call *c, const struct creation *cr, int64_t idx)
{
    struct server *s = arena_memdup(c->cx->arena, cr->first, sizeof(*s));
    const char *wish = s->want_hostname;
    s->id = uuid_new(c->cx);
    if (cr->first->max_count > 1)
        s->display_name =
            arena_printf(c->cx->arena, "%s-%" PRId64, cr->first->display_name, idx + 1);
    s->hostname = wish ? wish : hostname_of(c->cx, s->display_name, s->id);
    s->project_name = c->actor->project_name;
    s->user_id = c->actor->user_id;
    s->admin_pass = cr->user_pass;
    s->launch_index = idx;
    s->random_seed = random_seed(c->cx);
    s->zone = cr->place.rq.zone ? cr->place.rq.zone : "";
    s->access_ip_v4 = s->access_ip_v4 && *s->access_ip_v4 ? s->access_ip_v4 : NULL;
    s->access_ip_v6 = s->access_ip_v6 && *s->access_ip_v6 ? s->access_ip_v6 : NULL;
    server_power(s, true);
    server_hold(s);
    s->boot_seq = s->build_seq = 1;
    s->state = lifecycle_of(ST_BUILD)->name;
    s->state_since = now_us(c->cx);
    s->state_deadline = s->state_since + lifecycle_of(ST_BUILD)->deadline_s * 1000000;
    return s;
}

static struct err *attach_ports(struct call *c, const struct creation *cr, const struct server *s)
{
    struct server_port port;
    for (size_t i = 0; i < cr->networks.n; i++)
        TRY(network_port_attach(c, &cr->networks.ports[i], (const char *const *)cr->groups,
                                cr->n_groups, s->id, s->hostname, s->host_id, s->zone, &port));
    return NULL;
}

static struct err *insert(struct call *c, const struct creation *cr, struct server *s)
{
    TRY(res_insert(c->cx, c->tx, &server_resource, s));
    if (cr->group_id)
        TRY(server_group_join(c->cx, c->tx, cr->group_id, s->id));
    return action_record(c, s, "create", "compute__do_build_and_run_instance", RECORD_OPEN);
}

/* Accepted, but there is no room: the tenant reads why in the server's fault. */
static struct err *make_failed(struct call *c, const struct creation *cr, struct server *s,
                               const char *reason)
{
    TRY(insert(c, cr, s));
    s->admin_pass = NULL;
    server_fault(c->cx, s, 500, arena_printf(c->cx->arena, "No valid host was found. %s.", reason));
    TRY(server_move(c->cx, c->tx, s, ST_FAILED));
    return res_update(c->cx, c->tx, &server_resource, s);
}

static struct err *make_one(struct call *c, struct creation *cr, int64_t idx, struct server **ret)
{
    const char *reason = NULL;
    struct server *s = *ret = copy_of(c, cr, idx);
    struct place_host *host;
    struct placing_time began = placing_now();
    TRY(placing_next(c->cx, c->tx, &cr->place, &host, &reason));
    placing_since(&cr->took, began);
    if (!host)
        return make_failed(c, cr, s, reason);
    s->host_id = host->id;
    s->host_name = host->name;
    s->zone = host->zone;
    s->seen_ha = server_is_ha(c->cx, s); /* its host never hears anything else */
    TRY(insert(c, cr, s));
    TRY(attach_block_devices(c, s, &cr->devices));
    TRY(attach_ports(c, cr, s));
    return fleet_touch(c->cx, c->tx, s->host_id, "server", s->id);
}

static void reply_created(struct call *c, const struct creation *cr, const struct server *s)
{
    const char *base = call_base_url(c);
    struct jw w = call_json(c, 202);
    jw_obj(&w);
    if (cr->first->return_reservation_id) {
        jw_kstr(&w, "reservation_id", s->reservation_id);
        jw_obj_end(&w);
        return;
    }
    jw_kobj(&w, "server");
    jw_kstr(&w, "id", s->id);
    write_links(&w, base, "servers", s->id);
    jw_kstr(&w, "OS-DCF:diskConfig", s->disk_config);
    jw_kraw(&w, "security_groups",
            cr->n_groups ? cr->first->show_groups : "[{\"name\":\"default\"}]");
    jw_kstr(&w, "adminPass", cr->user_pass);
    jw_obj_end(&w);
    jw_obj_end(&w);
    http_reply_header(c->rp, c->cx, "Location",
                      arena_printf(c->cx->arena, "%s/servers/%s", base, s->id));
}

struct err *server_create_before(struct call *c)
{
    struct placing_time began = placing_now();
    c->state = arena_new_of(c->cx->arena, struct placing_time);
    TRY(host_cache_refresh(c->cx, c->store));
    placing_since(c->state, began);
    return NULL;
}

struct err *server_create(struct call *c)
{
    struct creation cr = {.took = *(const struct placing_time *)c->state};
    struct server *first = NULL, *s;
    TRY(read_creation(c, &cr));
    cr.first->reservation_id = arena_printf(c->cx->arena, "r-%.8s", uuid_new_hex(c->cx));
    for (int64_t i = 0; i < cr.count; i++) {
        TRY(make_one(c, &cr, i, &s));
        first = first ? first : s;
    }
    placing_took(cr.took);
    c->audit_target = first->id;
    reply_created(c, &cr, first);
    return NULL;
}
