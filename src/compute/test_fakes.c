/* SPDX-License-Identifier: EUPL-1.2 */
/* See test_fakes.h. */
#include "compute/test_fakes.h"

/* ---------------------------------------------------------------- network */

static const char fake_ddl[] = "CREATE TABLE fake_ports (\n"
                               "    id TEXT PRIMARY KEY NOT NULL,\n"
                               "    network_id TEXT NOT NULL,\n"
                               "    server_id TEXT NOT NULL,\n"
                               "    number BIGINT NOT NULL,\n"
                               "    plugged BIGINT NOT NULL,\n"
                               "    group_name TEXT NOT NULL,\n"
                               "    leaving BIGINT NOT NULL DEFAULT 0,\n"
                               "    host_id TEXT,\n"
                               "    tag TEXT\n"
                               ");\n" FAKE_IMAGES_DDL;
static const struct stmt port_add = {
    "fake_port_add", "INSERT INTO fake_ports (id, network_id, server_id, number, "
                     "plugged, group_name, host_id, tag) VALUES ($1, $2, $3, $4, 0, $5, $6, "
                     "$7)"};
static const struct stmt port_next = {"fake_port_next",
                                      "SELECT COALESCE(MAX(number), 0) + 1 FROM fake_ports"};
static const struct stmt port_drop = {"fake_port_drop", "DELETE FROM fake_ports WHERE id = $1"};
static const struct stmt ports_drop = {"fake_ports_drop",
                                       "DELETE FROM fake_ports WHERE server_id = $1"};
static const struct stmt ports_of = {
    "fake_ports_of", "SELECT id, network_id, number, plugged, group_name, leaving, tag FROM "
                     "fake_ports WHERE server_id = $1 ORDER BY number"};
static const struct stmt port_plug = {"fake_port_plug",
                                      "UPDATE fake_ports SET plugged = $1 WHERE id = $2"};
static const struct stmt ports_group = {
    "fake_ports_group", "UPDATE fake_ports SET group_name = $1 WHERE server_id = $2"};
const struct service fake_network_service = {
    .name = "fake_network", .family = &family_network, .ddl = fake_ddl};

static bool known_network(const char *id)
{
    return str_eq(id, NET_A) || str_eq(id, NET_B);
}

static void fill(struct ctx *cx, const struct db_rows *rows, size_t i, const char *server_id,
                 struct server_port *p);

struct err *network_port_attach(struct call *c, const struct port_request *rq,
                                const char *const *groups, size_t n_groups, const char *server_id,
                                const char *hostname UNUSED, const char *host_id,
                                const char *zone UNUSED, struct server_port *ret)
{
    struct db_value param = V_TEXT(server_id);
    struct db_rows rows;
    if (!known_network(rq->network_id))
        return fail_type(c->cx, ERR_INVALID, rq->network_id ? "NetworkNotFound" : "PortNotFound",
                         "Network %s could not be found.",
                         rq->network_id ? rq->network_id : rq->port_id);
    TRY(db_query(c->cx, c->tx, &port_next, NULL, 0, &rows));
    TRY(db_run(c->cx, c->tx, &port_add, V_TEXT(uuid_new(c->cx)), V_TEXT(rq->network_id),
               V_TEXT(server_id), V_INT(db_int(&rows, 0, 0)),
               V_TEXT(n_groups ? groups[0] : "default"), V_TEXT(host_id), V_TEXT(rq->tag)));
    TRY(db_query(c->cx, c->tx, &ports_of, &param, 1, &rows));
    fill(c->cx, &rows, rows.n_rows - 1, server_id, ret);
    return NULL;
}

static const struct stmt ports_bind = {
    "fake_ports_bind", "UPDATE fake_ports SET host_id = $1, plugged = 0 WHERE server_id = $2"};
static const struct stmt port_leave = {"fake_port_leave",
                                       "UPDATE fake_ports SET leaving = 1 WHERE id = $1"};

struct err *network_ports_bind(struct ctx *cx, struct tx *tx, const char *server_id,
                               const char *host_id, const char *zone UNUSED)
{
    return db_run(cx, tx, &ports_bind, V_TEXT(host_id), V_TEXT(server_id));
}

char fake_expected_on[64];

struct err *network_ports_expect(struct ctx *cx UNUSED, struct tx *tx UNUSED,
                                 const char *server_id UNUSED, const char *host_id)
{
    snprintf(fake_expected_on, sizeof(fake_expected_on), "%s", host_id ? host_id : "");
    return NULL;
}

struct err *network_port_leave(struct ctx *cx, struct tx *tx, const char *port_id)
{
    return db_run(cx, tx, &port_leave, V_TEXT(port_id));
}

struct err *network_port_detach(struct ctx *cx, struct tx *tx, const char *port_id)
{
    return db_run(cx, tx, &port_drop, V_TEXT(port_id));
}

struct err *network_ports_release(struct ctx *cx, struct tx *tx, const char *server_id)
{
    return db_run(cx, tx, &ports_drop, V_TEXT(server_id));
}

static void fill(struct ctx *cx, const struct db_rows *rows, size_t i, const char *server_id,
                 struct server_port *p)
{
    int64_t number = db_int(rows, i, 2);
    *p = (struct server_port){
        .id = db_text(rows, i, 0),
        .network_id = db_text(rows, i, 1),
        .server_id = server_id,
        .mtu = 1500,
        .network_name = str_eq(db_text(rows, i, 1), NET_A) ? "net-a" : "net-b",
        .mac = arena_printf(cx->arena, "fa:16:3e:00:00:%02x", (unsigned)number & 0xff),
        .tap = arena_printf(cx->arena, "tap%.11s", db_text(rows, i, 0)),
        .status = db_int(rows, i, 3) ? "ACTIVE" : "DOWN",
        .leaving = db_int(rows, i, 5),
        .tag = db_text(rows, i, 6),
        .n_ips = 1,
        .n_security_groups = 1};
    p->ips = arena_new_of(cx->arena, struct server_ip);
    *p->ips = (struct server_ip){.ip = arena_printf(cx->arena, "10.0.0.%d", (int)number),
                                 .version = 4,
                                 .subnet_id = "cccccccc-0000-4000-8000-000000000001",
                                 .floating_ip = number == 1 ? "203.0.113.7" : NULL};
    p->security_groups = arena_new_of(cx->arena, const char *);
    p->security_groups[0] = db_text(rows, i, 4);
}

struct err *network_ports_of(struct ctx *cx, struct tx *tx, const char *const *ids, size_t n,
                             struct server_port **ret, size_t *ret_n)
{
    struct server_port *out = arena_new_array(cx->arena, struct server_port, n * 8 + 1);
    *ret_n = 0;
    for (size_t i = 0; i < n; i++) {
        struct db_value param = V_TEXT(ids[i]);
        struct db_rows rows;
        TRY(db_query(cx, tx, &ports_of, &param, 1, &rows));
        must(rows.n_rows <= 8);
        for (size_t k = 0; k < rows.n_rows; k++)
            fill(cx, &rows, k, ids[i], &out[(*ret_n)++]);
    }
    *ret = out;
    return NULL;
}

struct err *network_ports_shown(struct ctx *cx, struct tx *tx, const char *const *ids, size_t n,
                                struct server_port **ret, size_t *ret_n)
{
    TRY(network_ports_of(cx, tx, ids, n, ret, ret_n));
    for (size_t i = 0; i < *ret_n; i++) {
        (*ret)[i].status = (*ret)[i].tag = NULL;
        (*ret)[i].preserve = (*ret)[i].leaving = false;
    }
    return NULL;
}

struct err *network_port_plugged(struct ctx *cx, struct tx *tx, const char *port_id, bool plugged)
{
    return db_run(cx, tx, &port_plug, V_INT(plugged), V_TEXT(port_id));
}

struct err *network_default_for(struct call *c UNUSED, const char **ret_network_id)
{
    *ret_network_id = NET_A;
    return NULL;
}

struct err *network_auto_for(struct call *c, const char **ret_network_id)
{
    return network_default_for(c, ret_network_id);
}

struct err *network_groups_resolve(struct call *c, const char *const *names, size_t n,
                                   const char ***ret_ids)
{
    *ret_ids = arena_new_array(c->cx->arena, const char *, n);
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(names[i], "web") && !str_eq(names[i], "default"))
            return fail(c->cx, ERR_INVALID, "Security group %s not found for project %s.", names[i],
                        c->actor->project_id);
        (*ret_ids)[i] = names[i];
    }
    return NULL;
}

struct err *network_group_on_server(struct call *c, const char *server_id, const char *group_name,
                                    bool add)
{
    return db_run(c->cx, c->tx, &ports_group, V_TEXT(add ? group_name : "default"),
                  V_TEXT(server_id));
}

struct err *network_groups_write(struct call *c, const char *project_id, const char *group_id,
                                 const char *server_id, struct jw *w, size_t *ret_n)
{
    struct db_rows rows;
    struct db_value param = V_TEXT(server_id ? server_id : "");
    TRY(db_query(c->cx, c->tx, &ports_of, &param, 1, &rows));
    if (group_id && !str_eq(group_id, "web"))
        return fail(c->cx, ERR_NOT_FOUND, "Security group %s does not exist", group_id);
    *ret_n = 1;
    jw_obj(w);
    jw_kstr(w, "name", rows.n_rows ? db_text(&rows, 0, 4) : "default");
    jw_kstr(w, "tenant_id", project_id);
    jw_obj_end(w);
    return NULL;
}

struct err *network_default_group_ensure(struct call *c)
{
    must(!c->tx);
    return NULL;
}

/* "web" can be changed and deleted; "default" is in use. */
struct err *network_group_create(struct call *c, const char *name, const char *description UNUSED,
                                 const char **ret_id)
{
    *ret_id = "web";
    return str_eq(name, "default") ? fail(c->cx, ERR_INVALID, "exists already") : NULL;
}

struct err *network_group_update(struct call *c, const char *id, const char *name UNUSED,
                                 const char *description UNUSED)
{
    return str_eq(id, "web") ? NULL
                             : fail(c->cx, ERR_NOT_FOUND, "Security group %s does not exist", id);
}

struct err *network_group_delete(struct call *c, const char *id)
{
    if (str_eq(id, "default"))
        return fail(c->cx, ERR_INVALID, "in use");
    return network_group_update(c, id, id, "");
}

struct err *network_data_write(struct ctx *cx UNUSED, struct tx *tx UNUSED,
                               const char *server_id UNUSED, struct jw *w)
{
    jw_raw(w, "{\"links\":[],\"networks\":[],\"services\":[]}");
    return NULL;
}

/* ---------------------------------------------------------------- world */

static void add_host(struct compute_world *w, size_t i, int64_t memory_mib)
{
    AUTO_TXN struct tx *tx = NULL;
    struct ctx *cx = &w->t.cx;
    json_t *beat =
        json_own(cx, json_pack("{s:s,s:i,s:I,s:i,s:s,s:i,s:s,s:s,s:s}", "hostname",
                               arena_printf(cx->arena, "h%zu", i), "vcpus", 4, "memory_mib",
                               (json_int_t)memory_mib, "disk_gib", 100, "hypervisor_type", "QEMU",
                               "hypervisor_version", 7002000, "cpu_info", "{}", "agent_url",
                               "http://127.0.0.1:1", "version", "0"));
    assert_non_null(beat);
    assert_ok(cx, tx_write(cx, w->t.store, &tx));
    assert_ok(cx, fleet_host_add(cx, tx, arena_printf(cx->arena, "h%zu", i),
                                 "a secret of some length", &w->host_id[i]));
    assert_ok(cx, fleet_beat(cx, tx, w->host_id[i], beat));
    assert_ok(cx, tx_commit(cx, &tx));
}

void world_start(struct compute_world *w, size_t n_hosts, int64_t memory_mib)
{
    world_start_with(w, n_hosts, memory_mib, NULL);
}

static void configure(void)
{
    static const struct compute_config cfg = {.default_zone = "nova"};
    static bool configured;
    if (!configured)
        compute_configure(&cfg);
    configured = true;
    volume_configure(&(struct volume_config){.used_elsewhere = compute_disk_by_host});
}

static void populate(struct compute_world *w, size_t n_hosts, int64_t memory_mib)
{
    assert_ok(&w->t.cx, compute_bootstrap(&w->t.cx, w->t.store));
    assert_ok(&w->t.cx, volume_bootstrap(&w->t.cx, w->t.store));
    w->n_hosts = n_hosts;
    for (size_t i = 0; i < n_hosts; i++)
        add_host(w, i, memory_mib);
}

/* The api keeps the array; the last place is for a service of the test's own. */
static const struct service *services[] = {&engine_service, &fleet_service,   &fake_network_service,
                                           &volume_service, &compute_service, NULL};
#define N_SERVICES (ARRAY_LEN(services) - 1)

void world_start_with(struct compute_world *w, size_t n_hosts, int64_t memory_mib,
                      const struct service *more)
{
    services[N_SERVICES] = more;
    configure();
    *w = (struct compute_world){0};
    test_api_start(&w->t, services, N_SERVICES + (more != NULL));
    populate(w, n_hosts, memory_mib);
}

void world_start_on(struct compute_world *w, size_t n_hosts, int64_t memory_mib, const char *url,
                    bool joins)
{
    configure();
    *w = (struct compute_world){0};
    test_api_start_on(&w->t, services, N_SERVICES, url, joins);
    if (!joins)
        populate(w, n_hosts, memory_mib);
}

void world_stop(struct compute_world *w)
{
    test_api_stop(&w->t);
}

void world_report(struct compute_world *w, const char *host_id, const char *server_id,
                  const char *body_fmt, ...)
{
    AUTO_TXN struct tx *tx = NULL;
    struct ctx *cx = &w->t.cx;
    json_t *j = NULL;
    va_list ap;
    va_start(ap, body_fmt);
    char *text = arena_vprintf(cx->arena, body_fmt, ap);
    va_end(ap);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    assert_ok(cx, json_read(cx, text, strlen(text), &j));
    assert_ok(cx, tx_write(cx, w->t.store, &tx));
    assert_ok(cx, server_report(cx, tx, host_id, server_id, j));
    assert_ok(cx, tx_commit(cx, &tx));
}

const json_t *world_spec(struct compute_world *w, const char *host_id, const char *server_id)
{
    AUTO_TXN struct tx *tx = NULL;
    struct ctx *cx = &w->t.cx;
    struct buf b;
    struct jw jw;
    json_t *j = NULL;
    bool present;
    buf_init(&b, cx->arena);
    jw_init(&jw, &b);
    assert_ok(cx, tx_read(cx, w->t.store, &tx));
    assert_ok(cx, server_view(cx, tx, host_id, server_id, &jw, &present));
    if (!present)
        return NULL;
    assert_ok(cx, json_read(cx, b.data, b.len, &j));
    return j;
}

static struct db_rows select_one(struct compute_world *w, const char *sql, const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_value param = V_TEXT(id);
    struct db_rows rows;
    struct stmt st = {"select_one", sql};
    assert_ok(&w->t.cx, tx_read(&w->t.cx, w->t.store, &tx));
    assert_ok(&w->t.cx, db_query(&w->t.cx, tx, &st, &param, 1, &rows));
    assert_int_equal(rows.n_rows, 1);
    return rows;
}

void world_report_volume(struct compute_world *w, const char *volume_id, const char *body)
{
    AUTO_TXN struct tx *tx = NULL;
    struct ctx *cx = &w->t.cx;
    struct db_rows r = select_one(w,
                                  "SELECT host_id, MAX(revision) FROM fleet_changes WHERE "
                                  "kind = 'volume' AND item_id = $1 GROUP BY host_id",
                                  volume_id);
    json_t *j = NULL;
    struct buf out;
    struct jw jw;
    char *text = arena_printf(
        cx->arena,
        "{'reports':[{'kind':'volume','id':'%s','observed':{'revision':%" PRId64 ",%s}}]}",
        volume_id, db_int(&r, 0, 1), body);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    buf_init(&out, cx->arena);
    jw_init(&jw, &out);
    assert_ok(cx, json_read(cx, text, strlen(text), &j));
    assert_ok(cx, tx_write(cx, w->t.store, &tx));
    assert_ok(cx, fleet_reports(cx, tx, db_text(&r, 0, 0), j, &jw));
    assert_ok(cx, tx_commit(cx, &tx));
}

const char *world_volume(struct compute_world *w)
{
    struct test_reply r =
        test_expect(&w->t, 202, "p1", "POST", "/volume/v3/volumes", "{'volume':{'size':1}}");
    const char *id = test_str(&w->t, &r, "volume.id");
    world_report_volume(w, id, "'ready':true,'size_gib':1,'snapshots':[]");
    assert_string_equal(world_volume_status(w, id), "available");
    return id;
}

const char *world_volume_status(struct compute_world *w, const char *volume_id)
{
    struct test_reply r = test_call(
        &w->t, "p1", "GET", arena_printf(w->t.cx.arena, "/volume/v3/volumes/%s", volume_id), NULL);
    return r.status == 404 ? "404" : test_str(&w->t, &r, "volume.status");
}

int64_t world_revision(struct compute_world *w, const char *server_id)
{
    struct db_rows r = select_one(
        w, "SELECT MAX(revision) FROM fleet_changes WHERE kind = 'server' AND item_id = $1",
        server_id);
    return db_int(&r, 0, 0);
}

size_t world_count(struct compute_world *w, const char *sql)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_rows rows;
    struct stmt st = {"count", sql};
    assert_ok(&w->t.cx, tx_read(&w->t.cx, w->t.store, &tx));
    assert_ok(&w->t.cx, db_query(&w->t.cx, tx, &st, NULL, 0, &rows));
    return rows.n_rows;
}

const char *world_server(struct compute_world *w, const char *project)
{
    struct test_reply r = test_expect(
        &w->t, 202, project, "POST", "/compute/v2.1/servers",
        "{'server':{'name':'vm','imageRef':'%s','flavorRef':'1','networks':[{'uuid':'%s'}]}}",
        IMAGE_OK, NET_A);
    return test_str(&w->t, &r, "server.id");
}

const char *world_host_of(struct compute_world *w, const char *server_id)
{
    struct test_reply r =
        test_call(&w->t, "admin", "GET",
                  arena_printf(w->t.cx.arena, "/compute/v2.1/servers/%s", server_id), NULL);
    const char *name = test_str(&w->t, &r, "server.OS-EXT-SRV-ATTR:host");
    return name && name[0] == 'h' ? w->host_id[name[1] - '0'] : NULL;
}

const char *world_running(struct compute_world *w, const char *project)
{
    const char *id = world_server(w, project);
    world_report(w, world_host_of(w, id), id,
                 "{'power':'on','boot_seq':1,'reset_seq':0,'build_seq':1,'error':null}");
    assert_string_equal(world_status(w, id), "ACTIVE");
    return id;
}

const char *world_path(struct compute_world *w, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *p = arena_vprintf(w->t.cx.arena, fmt, ap);
    va_end(ap);
    return p;
}

void world_version(struct compute_world *w, const char *minor)
{
    w->t.headers[0] =
        minor ? arena_printf(w->t.cx.arena, "X-OpenStack-Nova-API-Version: 2.%s", minor) : NULL;
}

const char *world_at(struct compute_world *w, const char *server_id, const char *rest)
{
    return arena_printf(w->t.cx.arena, "/compute/v2.1/servers/%s%s", server_id, rest);
}

struct test_reply world_act(struct compute_world *w, int status, const char *who,
                            const char *server_id, const char *body)
{
    return test_expect(&w->t, status, who, "POST", world_at(w, server_id, "/action"), "%s", body);
}

const char *world_show(struct compute_world *w, const char *server_id, const char *member)
{
    struct test_reply r = test_call(&w->t, "admin", "GET", world_at(w, server_id, ""), NULL);
    return r.status == 404 ? "404"
                           : test_str(&w->t, &r, arena_printf(w->t.cx.arena, "server.%s", member));
}

const char *world_status(struct compute_world *w, const char *server_id)
{
    return world_show(w, server_id, "status");
}
