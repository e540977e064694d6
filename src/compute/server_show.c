/* SPDX-License-Identifier: EUPL-1.2 */
/* How a server looks to its clients, by microversion: the hooks of server.def, and what is loaded
 * for them. */
#include "compute/impl.h"
#include <openssl/evp.h>

const char server_reduced[] = "reduced";

static const struct lifecycle *life(const void *row)
{
    return lifecycle_of(state_of(row));
}

static const struct server_more *more_of(const void *row)
{
    static const struct server_more nothing = {0};
    const struct server *s = row;
    return s->row.extra ? s->row.extra : &nothing;
}

/* ---------------------------------------------------------------- what is shown when */

static bool offered_whole(const struct view *v)
{
    return !v->call || ((const struct call *)v->call)->state != server_reduced;
}

/* In the reply to rebuild also, since 2.54. */
static bool offered_key_name(const struct view *v)
{
    const struct call *c = v->call;
    return offered_whole(v) || (v->microversion >= 54 && str_eq(c->rq->method, "POST"));
}

static bool offered_user_data(const struct view *v)
{
    return offered_whole(v) && !str_eq(((const struct call *)v->call)->rq->method, "POST");
}

static bool offered_hostname(const struct view *v)
{
    return (v->admin || v->microversion >= 90) && offered_whole(v);
}

/* Never in lists. */
static bool offered_one(const struct view *v)
{
    const struct call *c = v->call;
    return !c || !str_ends(c->route->pattern, "/detail");
}

static bool shown_security_groups(const void *row, const struct view *v)
{
    const struct server_more *m = more_of(row);
    for (size_t i = 0; i < m->n_ports; i++)
        if (m->ports[i].n_security_groups)
            return offered_whole(v);
    return false;
}

static bool shown_fault(const void *row, const struct view *v UNUSED)
{
    return str_eq(life(row)->status, "ERROR") && ((const struct server *)row)->fault_message;
}

static bool shown_progress(const void *row, const struct view *v UNUSED)
{
    static const char *const with[] = {"ACTIVE",  "BUILD",  "DELETED",
                                       "REBUILD", "RESIZE", "VERIFY_RESIZE"};
    for (size_t i = 0; i < ARRAY_LEN(with); i++)
        if (str_eq(with[i], life(row)->status))
            return true;
    return false;
}

/* ---------------------------------------------------------------- values */

static void encode_status(struct ctx *cx UNUSED, struct jw *w, const void *row,
                          const struct view *v UNUSED)
{
    jw_str(w, life(row)->status);
}

static void encode_task_state(struct ctx *cx UNUSED, struct jw *w, const void *row,
                              const struct view *v UNUSED)
{
    jw_str(w, task_state_of(row));
}

static void encode_vm_state(struct ctx *cx UNUSED, struct jw *w, const void *row,
                            const struct view *v UNUSED)
{
    jw_str(w, life(row)->vm_state);
}

static void encode_power_state(struct ctx *cx UNUSED, struct jw *w, const void *row,
                               const struct view *v UNUSED)
{
    const struct server_observed o = observed_of(row);
    jw_int(w, power_state_number(&o));
}

static void encode_null(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                        const struct view *v UNUSED)
{
    jw_null(w);
}

static void encode_server_groups(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                 const struct view *v UNUSED)
{
    const char *id = more_of(row)->group_id;
    jw_arr(w);
    if (id)
        jw_str(w, id);
    jw_arr_end(w);
}

static void encode_volumes(struct ctx *cx UNUSED, struct jw *w, const void *row,
                           const struct view *v)
{
    const struct server_more *m = more_of(row);
    jw_arr(w);
    for (size_t i = 0; i < m->n_uses; i++) {
        jw_obj(w);
        jw_kstr(w, "id", m->uses[i].volume_id);
        if (v->microversion >= 3)
            jw_kbool(w, "delete_on_termination", m->uses[i].delete_on_termination);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

static void encode_empty(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                         const struct view *v UNUSED)
{
    jw_str(w, "");
}

static void encode_root_device(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                               const struct view *v UNUSED)
{
    jw_str(w, "/dev/vda");
}

static void encode_progress(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                            const struct view *v UNUSED)
{
    jw_int(w, 0);
}

static void encode_access_ipv4(struct ctx *cx UNUSED, struct jw *w, const void *row,
                               const struct view *v UNUSED)
{
    const struct server *s = row;
    jw_str(w, s->access_ip_v4 ? s->access_ip_v4 : "");
}

static void encode_access_ipv6(struct ctx *cx UNUSED, struct jw *w, const void *row,
                               const struct view *v UNUSED)
{
    const struct server *s = row;
    jw_str(w, s->access_ip_v6 ? s->access_ip_v6 : "");
}

static void encode_config_drive(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                const struct view *v UNUSED)
{
    jw_str(w, ((const struct server *)row)->config_drive ? "True" : "");
}

static void encode_launched_at(struct ctx *cx, struct jw *w, const void *row,
                               const struct view *v UNUSED)
{
    const struct server *s = row;
    jw_str(w, s->launched_at ? time_iso(cx, s->launched_at, TIME_MICROS) : NULL);
}

static void encode_host_status(struct ctx *cx UNUSED, struct jw *w, const void *row,
                               const struct view *v UNUSED)
{
    const char *status = more_of(row)->host_status;
    jw_str(w, status ? status : "");
}

static void encode_hypervisor(struct ctx *cx UNUSED, struct jw *w, const void *row,
                              const struct view *v UNUSED)
{
    jw_str(w, ((const struct server *)row)->host_name);
}

static void encode_user_data(struct ctx *cx UNUSED, struct jw *w, const void *row,
                             const struct view *v UNUSED)
{
    jw_str(w, ((const struct server *)row)->user_data);
}

static void encode_instance_name(struct ctx *cx, struct jw *w, const void *row,
                                 const struct view *v UNUSED)
{
    jw_str(w, arena_printf(cx->arena, "instance-%.8s", ((const struct server *)row)->id));
}

const char *host_hash(struct ctx *cx, const char *project_id, const char *host_name)
{
    uint8_t md[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!host_name)
        return "";
    const char *text = arena_printf(cx->arena, "%s%s", project_id, host_name);
    must(EVP_Digest(text, strlen(text), md, &size, EVP_sha224(), NULL) == 1);
    char *hex = arena_alloc(cx->arena, 2 * size + 1);
    hex_encode(md, size, hex);
    return hex;
}

static void encode_host_id(struct ctx *cx, struct jw *w, const void *row,
                           const struct view *v UNUSED)
{
    const struct server *s = row;
    const char *known = more_of(row)->host_hash;
    jw_str(w, known ? known : host_hash(cx, s->project_id, s->host_name));
}

static void encode_fault(struct ctx *cx, struct jw *w, const void *row, const struct view *v UNUSED)
{
    const struct server *s = row;
    jw_obj(w);
    jw_kint(w, "code", s->fault_code);
    jw_kstr(w, "created", time_iso(cx, s->fault_at, TIME_Z));
    jw_kstr(w, "message", s->fault_message);
    jw_obj_end(w);
}

static void encode_image(struct ctx *cx UNUSED, struct jw *w, const void *row, const struct view *v)
{
    const struct server *s = row;
    if (!s->image_id) {
        jw_str(w, "");
        return;
    }
    jw_obj(w);
    jw_kstr(w, "id", s->image_id);
    write_bookmark(w, v->base_url, "images", s->image_id);
    jw_obj_end(w);
}

static const int *flavor_needs(const struct view *v)
{
    static const int id[] = {server_f_flavor_id, -1},
                     whole[] = {server_f_flavor_name,   server_f_vcpus,
                                server_f_memory_mib,    server_f_root_gib,
                                server_f_ephemeral_gib, server_f_swap_mib,
                                server_f_extra_specs,   -1};
    return v->microversion < 47 ? id : whole;
}

static void encode_flavor(struct ctx *cx UNUSED, struct jw *w, const void *row,
                          const struct view *v)
{
    const struct server *s = row;
    jw_obj(w);
    if (v->microversion < 47) {
        jw_kstr(w, "id", s->flavor_id);
        write_bookmark(w, v->base_url, "flavors", s->flavor_id);
    } else {
        jw_kstr(w, "original_name", s->flavor_name);
        jw_kint(w, "vcpus", s->vcpus);
        jw_kint(w, "ram", s->memory_mib);
        jw_kint(w, "disk", s->root_gib);
        jw_kint(w, "ephemeral", s->ephemeral_gib);
        jw_kint(w, "swap", s->swap_mib);
        jw_kraw(w, "extra_specs", s->extra_specs);
    }
    jw_obj_end(w);
}

static void write_address(struct jw *w, const struct server_port *p, const char *ip, int version,
                          const char *type, bool extended)
{
    jw_obj(w);
    jw_kint(w, "version", version);
    jw_kstr(w, "addr", ip);
    if (extended) {
        jw_kstr(w, "OS-EXT-IPS:type", type);
        jw_kstr(w, "OS-EXT-IPS-MAC:mac_addr", p->mac);
    }
    jw_obj_end(w);
}

static void write_port_addresses(struct jw *w, const struct server_port *p, bool extended)
{
    for (size_t i = 0; i < p->n_ips; i++) {
        write_address(w, p, p->ips[i].ip, p->ips[i].version, "fixed", extended);
        if (p->ips[i].floating_ip)
            write_address(w, p, p->ips[i].floating_ip, 4, "floating", extended);
    }
}

void write_addresses(struct jw *w, const struct server_port *ports, size_t n, bool extended,
                     const char *only)
{
    jw_obj(w);
    for (size_t i = 0; i < n; i++) {
        bool first = !only || str_eq(only, ports[i].network_name);
        for (size_t k = 0; k < i; k++)
            first = first && !str_eq(ports[k].network_name, ports[i].network_name);
        if (!first)
            continue;
        jw_karr(w, ports[i].network_name);
        for (size_t k = i; k < n; k++)
            if (str_eq(ports[k].network_name, ports[i].network_name))
                write_port_addresses(w, &ports[k], extended);
        jw_arr_end(w);
    }
    jw_obj_end(w);
}

static void encode_addresses(struct ctx *cx UNUSED, struct jw *w, const void *row,
                             const struct view *v)
{
    const struct server_more *m = more_of(row);
    write_addresses(w, m->ports, m->n_ports, offered_whole(v), NULL);
}

/* Names of all ports' groups, each once. */
static void encode_security_groups(struct ctx *cx, struct jw *w, const void *row,
                                   const struct view *v UNUSED)
{
    const struct server_more *m = more_of(row);
    size_t n = 0, max = 0;
    for (size_t i = 0; i < m->n_ports; i++)
        max += m->ports[i].n_security_groups;
    const char **seen = arena_new_array(cx->arena, const char *, max + 1);
    jw_arr(w);
    for (size_t i = 0; i < m->n_ports; i++)
        for (size_t k = 0; k < m->ports[i].n_security_groups; k++) {
            const char *name = m->ports[i].security_groups[k];
            bool again = false;
            for (size_t j = 0; j < n; j++)
                again = again || str_eq(seen[j], name);
            if (again)
                continue;
            seen[n++] = name;
            jw_obj(w);
            jw_kstr(w, "name", name);
            jw_obj_end(w);
        }
    jw_arr_end(w);
}

static void server_links(struct ctx *cx UNUSED, struct jw *w, const void *row, const struct view *v)
{
    const struct server *s = row;
    const struct call *c = v->call;
    write_links(w, v->base_url, "servers", s->id);
    if (v->brief || !c || c->route->handler != server_act)
        return;
    /* The reply to rebuild. */
    jw_kstr(w, "adminPass", s->admin_pass);
    if (v->microversion >= 57)
        jw_kstr(w, "user_data", s->user_data);
}

#include "compute/server_checks.h"
#define RESOURCE server
#define RESOURCE_DEF "compute/server.def"
#include "resource/declare_fields.h"

/* ---------------------------------------------------------------- loading */

struct err *server_ports(struct ctx *cx, struct tx *tx, const char *server_id,
                         struct server_port **ret, size_t *ret_n)
{
    return network_ports_of(cx, tx, &server_id, 1, ret, ret_n);
}

static const char *status_of_host(const struct fleet_host *hosts, size_t n, const char *host_id)
{
    for (size_t i = 0; host_id && i < n; i++)
        if (str_eq(hosts[i].id, host_id))
            return !hosts[i].enabled ? "MAINTENANCE" : hosts[i].alive ? "UP" : "DOWN";
    return host_id ? "UNKNOWN" : "";
}

/* Rows by their id: a hash table with twice the room, where the next free place is taken. */
struct prepared {
    const struct server **rows;
    size_t mask;
};

static size_t place_of(const struct prepared *p, const char *id)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *s = id; *s; s++)
        h = (h ^ (uint8_t)*s) * 0x100000001b3u;
    size_t i = h & p->mask;
    while (p->rows[i] && !str_eq(p->rows[i]->id, id))
        i = (i + 1) & p->mask;
    return i;
}

static struct server_more *more_with(const struct prepared *p, const char *server_id)
{
    return p->rows[place_of(p, server_id)]->row.extra;
}

static struct prepared rows_by_id(struct ctx *cx, void *const *rows, size_t n)
{
    struct prepared p = {.mask = 1};
    while (p.mask < 2 * n)
        p.mask = 2 * p.mask + 1;
    p.rows = arena_new_array(cx->arena, const struct server *, p.mask + 1);
    for (size_t i = 0; i < n; i++)
        p.rows[place_of(&p, ROW(server, rows, i)->id)] = rows[i];
    return p;
}

/* Ports of one server stand together: each row takes its run. */
static void hand_out_ports(const struct prepared *p, const struct server_port *ports, size_t n)
{
    for (size_t i = 0; i < n;) {
        const char *id = ports[i].server_id;
        struct server_more *m = more_with(p, id);
        for (m->ports = &ports[i]; i < n && str_eq(ports[i].server_id, id); i++)
            m->n_ports++;
    }
}

static void hand_out_uses(const struct prepared *p, const struct volume_use *uses, size_t n)
{
    for (size_t i = 0; i < n;) {
        const char *id = uses[i].server_id;
        struct server_more *m = more_with(p, id);
        for (m->uses = &uses[i]; i < n && str_eq(uses[i].server_id, id); i++)
            m->n_uses++;
    }
}

static struct err *server_prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                                  const struct view *v)
{
    struct server_port *ports = NULL;
    struct volume_use *uses = NULL;
    struct fleet_host *hosts = NULL;
    size_t n_ports = 0, n_uses = 0, n_hosts = 0;
    if (v->brief)
        return NULL;
    const char **ids = arena_new_array(cx->arena, const char *, n);
    for (size_t i = 0; i < n; i++)
        ids[i] = ROW(server, rows, i)->id;
    TRY(network_ports_shown(cx, tx, ids, n, &ports, &n_ports));
    TRY(volume_uses_of(cx, tx, ids, n, &uses, &n_uses));
    if (v->admin && v->microversion >= 16)
        TRY(fleet_hosts(cx, tx, &hosts, &n_hosts));
    struct server_more *more = arena_new_array(cx->arena, struct server_more, n);
    for (size_t i = 0; i < n; i++)
        row_of(rows[i])->extra = &more[i];
    const struct prepared p = rows_by_id(cx, rows, n);
    hand_out_ports(&p, ports, n_ports);
    hand_out_uses(&p, uses, n_uses);
    if (n == 1 && v->microversion >= 71)
        TRY(server_group_of(cx, tx, ids[0], &more[0].group_id));
    const struct server *before = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct server *s = rows[i];
        bool same_host = before && str_eq(before->host_name, s->host_name) &&
                         str_eq(before->project_id, s->project_id);
        more[i].host_hash =
            same_host ? more[i - 1].host_hash : host_hash(cx, s->project_id, s->host_name);
        before = s;
        more[i].host_status = status_of_host(hosts, n_hosts, s->host_id);
    }
    return NULL;
}

static const struct res_index server_indexes[] = {
    /* With what is summed: here for quotas, below for placement. */
    {"servers_project", "project_id, created_at, id, held_vcpus, held_memory_mib", false, NULL},
    {"servers_host", "host_id, held_vcpus, held_memory_mib, held_disk_gib", false,
     "host_id IS NOT NULL"},
    {"servers_other_host", "other_host_id, held_vcpus, held_memory_mib, held_disk_gib", false,
     "other_host_id IS NOT NULL"},
    {"servers_deadline", "state_deadline", false, "state_deadline IS NOT NULL"},
};
const struct resource server_resource = {.name = "server",
                                         .plural = "servers",
                                         .table = "servers",
                                         RESOURCE_FIELDS(server),
                                         .owner = server_f_project_id,
                                         .not_found = "Instance %s could not be found.",
                                         .indexes = server_indexes,
                                         .n_indexes = ARRAY_LEN(server_indexes),
                                         .needs = NEEDS(server_f_id),
                                         .prepare = server_prepare,
                                         .encode_more = server_links,
                                         .dflt_sort = "created_at:desc,id:desc",
                                         .doc = "Virtual machines."};
const struct res_where servers_on_host = {&server_resource, "host_id = $1", "created_at, id"};
