/* SPDX-License-Identifier: EUPL-1.2 */
/* See plane.h. */
#include "sim/plane.h"

#define COLUMNS                                                                                    \
    "id, host_id, n, network, port_id, power, boot_seq, reset_seq, build_seq, deleted, status"

static const struct stmt add_server = {
    "sim_add", "INSERT INTO sim_servers (id, host_id, n, network, port_id, power, boot_seq, "
               "reset_seq, build_seq,"
               " deleted, status) VALUES ($1, $2, $3, $4, $5, 1, 1, 0, 1, 0, 'BUILD')"};
static const struct stmt get_server = {"sim_get",
                                       "SELECT " COLUMNS " FROM sim_servers WHERE id = $1"};
static const struct stmt all_servers = {"sim_all",
                                        "SELECT " COLUMNS " FROM sim_servers ORDER BY n"};
static const struct stmt live_servers = {
    "sim_live", "SELECT " COLUMNS " FROM sim_servers WHERE deleted = 0 ORDER BY n"};
static const struct stmt next_n = {"sim_next", "SELECT COALESCE(MAX(n), 0) + 1 FROM sim_servers"};
static const struct stmt on_network = {
    "sim_on_network",
    "SELECT " COLUMNS " FROM sim_servers WHERE host_id = $1 AND network = $2 ORDER BY n"};
static const struct stmt server_ids = {
    "sim_ids", "SELECT id FROM sim_servers WHERE host_id = $1 AND deleted = 0"};
static const struct stmt networks_on = {
    "sim_networks", "SELECT DISTINCT network FROM sim_servers WHERE host_id = $1"};
static const struct stmt set_server = {"sim_set",
                                       "UPDATE sim_servers SET power = $2, boot_seq = $3, "
                                       "reset_seq = $4, build_seq = $5, deleted = $6,"
                                       " status = $7 WHERE id = $1"};
static const struct stmt drop_server = {"sim_drop", "DELETE FROM sim_servers WHERE id = $1"};

static const struct stmt *const stmts[] = {&add_server, &get_server, &all_servers, &live_servers,
                                           &next_n,     &on_network, &server_ids,  &networks_on,
                                           &set_server, &drop_server};

const struct service plane_service = {
    .name = "sim",
    .family = &family_node,
    SERVICE_LIST(stmts, stmts),
    .ddl =
        "CREATE TABLE sim_servers (id TEXT PRIMARY KEY, host_id TEXT NOT NULL, n BIGINT NOT NULL,\n"
        "  network BIGINT NOT NULL, port_id TEXT NOT NULL, power BIGINT NOT NULL, boot_seq BIGINT "
        "NOT NULL,\n"
        "  reset_seq BIGINT NOT NULL, build_seq BIGINT NOT NULL, deleted BIGINT NOT NULL, status "
        "TEXT NOT NULL);\n"};

static const char *network_id(struct ctx *cx, int64_t network)
{
    return arena_printf(cx->arena, "0000000%" PRId64 "-aaaa-4000-8000-000000000000", network);
}

static const char *router_id(struct ctx *cx, int64_t network)
{
    return arena_printf(cx->arena, "1000000%" PRId64 "-bbbb-4000-8000-000000000000", network);
}

static struct plane_server server_of(const struct db_rows *r, size_t i)
{
    return (struct plane_server){.id = db_text(r, i, 0),
                                 .host_id = db_text(r, i, 1),
                                 .network = db_int(r, i, 3),
                                 .port_id = db_text(r, i, 4),
                                 .power_on = db_int(r, i, 5) != 0,
                                 .boot_seq = db_int(r, i, 6),
                                 .reset_seq = db_int(r, i, 7),
                                 .build_seq = db_int(r, i, 8),
                                 .deleted = db_int(r, i, 9) != 0,
                                 .status = db_text(r, i, 10)};
}

static struct err *servers_by(struct ctx *cx, struct tx *tx, const struct stmt *st,
                              const struct db_value *params, size_t n_params,
                              struct plane_server **ret, size_t *ret_n)
{
    struct db_rows rows;
    TRY(db_query(cx, tx, st, params, n_params, &rows));
    *ret = arena_new_array(cx->arena, struct plane_server, rows.n_rows + 1);
    for (size_t i = 0; i < rows.n_rows; i++)
        (*ret)[i] = server_of(&rows, i);
    *ret_n = rows.n_rows;
    return NULL;
}

struct err *plane_servers(struct ctx *cx, struct tx *tx, struct plane_server **ret, size_t *ret_n)
{
    return servers_by(cx, tx, &all_servers, NULL, 0, ret, ret_n);
}

static struct err *load(struct ctx *cx, struct tx *tx, const char *id, struct plane_server *ret,
                        bool *ret_found)
{
    struct db_value param = V_TEXT(id);
    struct plane_server *list;
    size_t n;
    TRY(servers_by(cx, tx, &get_server, &param, 1, &list, &n));
    *ret = list[0];
    *ret_found = n > 0;
    return NULL;
}

/* ---- operations ---- */

static struct err *touch_all_of(struct ctx *cx, struct tx *tx, const struct plane_server *s)
{
    TRY(fleet_touch(cx, tx, s->host_id, "network", network_id(cx, s->network)));
    TRY(fleet_touch(cx, tx, s->host_id, "router", router_id(cx, s->network)));
    return fleet_touch(cx, tx, s->host_id, "server", s->id);
}

static struct err *save(struct ctx *cx, struct tx *tx, const struct plane_server *s)
{
    TRY(db_run(cx, tx, &set_server, V_TEXT(s->id), V_INT(s->power_on), V_INT(s->boot_seq),
               V_INT(s->reset_seq), V_INT(s->build_seq), V_INT(s->deleted), V_TEXT(s->status)));
    return fleet_touch(cx, tx, s->host_id, "server", s->id);
}

struct err *plane_create(struct ctx *cx, struct tx *tx, const char *host_id, const char **ret_id)
{
    struct db_rows rows;
    TRY(db_query(cx, tx, &next_n, NULL, 0, &rows));
    struct plane_server s = {.id = uuid_new(cx),
                             .host_id = host_id,
                             .port_id = uuid_new(cx),
                             .network = (int64_t)rng_below(cx->rng, PLANE_NETWORKS)};
    TRY(db_run(cx, tx, &add_server, V_TEXT(s.id), V_TEXT(host_id), V_INT(db_int(&rows, 0, 0)),
               V_INT(s.network), V_TEXT(s.port_id)));
    *ret_id = s.id;
    return touch_all_of(cx, tx, &s);
}

struct err *plane_delete(struct ctx *cx, struct tx *tx, const struct plane_server *s)
{
    struct plane_server now = *s;
    now.deleted = true;
    now.status = "DELETING";
    TRY(save(cx, tx, &now));
    return touch_all_of(cx, tx, &now);
}

static struct err *stop(struct ctx *cx, struct tx *tx, struct plane_server *s)
{
    s->power_on = false;
    s->status = "STOPPING";
    return save(cx, tx, s);
}

static struct err *boot(struct ctx *cx, struct tx *tx, struct plane_server *s)
{
    s->power_on = true;
    s->boot_seq++;
    s->status = "BOOTING";
    return save(cx, tx, s);
}

static struct err *reset(struct ctx *cx, struct tx *tx, struct plane_server *s)
{
    s->reset_seq++;
    s->status = "REBOOT";
    return save(cx, tx, s);
}

static struct err *rebuild(struct ctx *cx, struct tx *tx, struct plane_server *s)
{
    s->build_seq++;
    s->status = "REBUILD";
    return save(cx, tx, s);
}

static struct err *delete (struct ctx *cx, struct tx *tx, struct plane_server *s)
{
    return plane_delete(cx, tx, s);
}

static const struct op {
    const char *name, *allowed; /* statuses; NULL: any */
    struct err *(*run)(struct ctx *cx, struct tx *tx, struct plane_server *s);
} ops[] = {
    {"stop", "ACTIVE", stop},
    {"start", "SHUTOFF", boot},
    {"hard reboot", "ACTIVE ERROR", boot},
    {"soft reboot", "ACTIVE", reset},
    {"rebuild", "ACTIVE SHUTOFF", rebuild},
    {"delete", NULL, delete},
};

struct err *plane_random_op(struct ctx *cx, struct tx *tx, const char **ret_what)
{
    struct plane_server *list;
    size_t n;
    *ret_what = NULL;
    TRY(servers_by(cx, tx, &live_servers, NULL, 0, &list, &n));
    if (!n)
        return NULL;
    struct plane_server *s = &list[rng_below(cx->rng, n)];
    const struct op *op = &ops[rng_below(cx->rng, ARRAY_LEN(ops))];
    if (op->allowed && !strstr(op->allowed, s->status))
        return NULL;
    *ret_what = arena_printf(cx->arena, "%s %s", op->name, s->id);
    return op->run(cx, tx, s);
}

/* ---- kinds ---- */

static struct err *view_server(struct ctx *cx, struct tx *tx, const char *host_id, const char *id,
                               struct jw *w, bool *ret_present)
{
    struct plane_server s;
    TRY(load(cx, tx, id, &s, ret_present));
    *ret_present = *ret_present && !s.deleted && str_eq(s.host_id, host_id);
    if (!*ret_present)
        return NULL;
    const char *net = network_id(cx, s.network);
    jw_raw(w, arena_printf(cx->arena,
                           "{\"id\":\"%s\",\"name\":\"n\",\"hostname\":\"n\",\"project_id\":\"p\","
                           "\"user_id\":\"u\",\"power\":"
                           "\"%s\",\"boot_seq\":%" PRId64 ",\"reset_seq\":%" PRId64
                           ",\"build_seq\":%" PRId64
                           ",\"vcpus\":1,\"memory_mib\":64,\"root_gib\":1,\"image\":{\"id\":\"%s\","
                           "\"size\":1,\"sha512\":\"" PLANE_IMAGE_SHA512
                           "\",\"disk_format\":\"raw\"},\"config_drive\":false,\"nics\":[{\"port_"
                           "id\":\"%s\",\"network_id\":"
                           "\"%s\",\"mac\":\"fa:16:3e:00:00:01\",\"mtu\":1500,\"tap\":\"tap%.11s\"}"
                           "],\"meta_data\":{},"
                           "\"network_data\":{}}",
                           id, s.power_on ? "on" : "off", s.boot_seq, s.reset_seq, s.build_seq, net,
                           s.port_id, net, s.port_id));
    return NULL;
}

static struct err *list_servers(struct ctx *cx, struct tx *tx, const char *host_id,
                                struct db_rows *ret)
{
    struct db_value param = V_TEXT(host_id);
    return db_query(cx, tx, &server_ids, &param, 1, ret);
}

/* The row goes; its network and router are told, which may go too. */
static struct err *server_gone(struct ctx *cx, struct tx *tx, const struct plane_server *s)
{
    TRY(db_run(cx, tx, &drop_server, V_TEXT(s->id)));
    TRY(fleet_touch(cx, tx, s->host_id, "router", router_id(cx, s->network)));
    return fleet_touch(cx, tx, s->host_id, "network", network_id(cx, s->network));
}

static struct err *set_status(struct ctx *cx, struct tx *tx, struct plane_server *s,
                              const char *status)
{
    if (str_eq(s->status, status))
        return NULL;
    s->status = status;
    return db_run(cx, tx, &set_server, V_TEXT(s->id), V_INT(s->power_on), V_INT(s->boot_seq),
                  V_INT(s->reset_seq), V_INT(s->build_seq), V_INT(s->deleted), V_TEXT(s->status));
}

static struct err *report_server(struct ctx *cx, struct tx *tx, const char *host_id, const char *id,
                                 const json_t *seen)
{
    struct plane_server s;
    bool found;
    const char *power = json_get_str(seen, "power");
    TRY(load(cx, tx, id, &s, &found));
    if (!found || !str_eq(s.host_id, host_id))
        return NULL;
    if (s.deleted)
        return str_eq(power, "absent") ? server_gone(cx, tx, &s) : NULL;
    if (json_get_int(seen, "boot_seq", 0) < s.boot_seq ||
        json_get_int(seen, "build_seq", 0) < s.build_seq) {
        /* A stop that came before the first boot ends without one. */
        bool never = str_eq(power, "off") && !s.power_on &&
                     json_get_int(seen, "build_seq", 0) >= s.build_seq;
        return never ? set_status(cx, tx, &s, "SHUTOFF") : NULL;
    }
    if (str_eq(power, "crashed") && s.power_on)
        return set_status(cx, tx, &s, "ERROR");
    if (json_get_bool(seen, "guest_shutdown", false) && s.power_on) {
        s.power_on = false;
        s.status = "SHUTOFF";
        return save(cx, tx, &s);
    }
    if (str_eq(power, "on") && s.power_on && json_get_int(seen, "reset_seq", 0) >= s.reset_seq)
        return set_status(cx, tx, &s, "ACTIVE");
    if (str_eq(power, "off") && !s.power_on)
        return set_status(cx, tx, &s, "SHUTOFF");
    return NULL;
}

static struct err *used(struct ctx *cx, struct tx *tx, const char *host_id, int64_t network,
                        struct plane_server **ret, size_t *ret_n)
{
    const struct db_value params[] = {V_TEXT(host_id), V_INT(network)};
    return servers_by(cx, tx, &on_network, params, 2, ret, ret_n);
}

/* Ports of deleted servers leave at once; the network stays while a server on it is not gone. */
static struct err *view_network(struct ctx *cx, struct tx *tx, const char *host_id, const char *id,
                                struct jw *w, bool *ret_present)
{
    struct plane_server *list;
    size_t n;
    TRY(used(cx, tx, host_id, id[7] - '0', &list, &n));
    *ret_present = n > 0;
    if (!n)
        return NULL;
    jw_obj(w);
    jw_kstr(w, "id", id);
    jw_kint(w, "mtu", 1500);
    jw_kbool(w, "external", false);
    jw_karr(w, "subnets");
    jw_arr_end(w);
    jw_karr(w, "ports");
    for (size_t i = 0; i < n; i++) {
        if (list[i].deleted)
            continue;
        jw_obj(w);
        jw_kstr(w, "id", list[i].port_id);
        jw_kstr(w, "mac", "fa:16:3e:00:00:01");
        jw_kstr(w, "tap", arena_printf(cx->arena, "tap%.11s", list[i].port_id));
        jw_kstr(w, "device_id", list[i].id);
        jw_kbool(w, "admin_state_up", true);
        jw_kbool(w, "port_security", true);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    jw_obj_end(w);
    return NULL;
}

static struct err *view_router(struct ctx *cx, struct tx *tx, const char *host_id, const char *id,
                               struct jw *w, bool *ret_present)
{
    struct plane_server *list;
    size_t n;
    TRY(used(cx, tx, host_id, id[7] - '0', &list, &n));
    *ret_present = n > 0;
    if (!n)
        return NULL;
    const char *net = network_id(cx, id[7] - '0');
    jw_raw(w, arena_printf(
                  cx->arena,
                  "{\"id\":\"%s\",\"admin_state_up\":true,\"enable_snat\":true,\"external\":null,"
                  "\"interfaces\":[{\"port_id\":\"%s\",\"network_id\":\"%s\",\"mac\":\"fa:16:3e:00:"
                  "00:02\","
                  "\"ips\":[]}],\"floating\":[],\"routes\":[]}",
                  id, net, net));
    return NULL;
}

/* The feed's own rows are enough: nothing of them is ever wanted untouched. */
static struct err *list_none(struct ctx *cx UNUSED, struct tx *tx UNUSED,
                             const char *host_id UNUSED, struct db_rows *ret)
{
    *ret = (struct db_rows){0};
    return NULL;
}

static struct err *report_none(struct ctx *cx UNUSED, struct tx *tx UNUSED,
                               const char *host_id UNUSED, const char *id UNUSED,
                               const json_t *seen UNUSED)
{
    return NULL;
}

struct err *plane_networks_on(struct ctx *cx, struct tx *tx, const char *host_id, size_t *ret_n)
{
    struct db_value param = V_TEXT(host_id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &networks_on, &param, 1, &rows));
    *ret_n = rows.n_rows;
    return NULL;
}

void plane_register(void)
{
    static const struct fleet_kind server = {"server", view_server, list_servers, report_server};
    static const struct fleet_kind network = {"network", view_network, list_none, report_none};
    static const struct fleet_kind router = {"router", view_router, list_none, report_none};
    fleet_add_kind(&server);
    fleet_add_kind(&network);
    fleet_add_kind(&router);
}
