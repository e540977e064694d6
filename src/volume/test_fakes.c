/* SPDX-License-Identifier: EUPL-1.2 */
/* See test_fakes.h. */
#include "volume/test_fakes.h"

/* ---------------------------------------------------------------- image */

struct err *image_get(struct ctx *cx, struct tx *tx UNUSED, const char *id,
                      const struct actor *actor, struct image_info *ret)
{
    bool found = str_eq(id, IMAGE_OK) || str_eq(id, IMAGE_QUEUED) || str_eq(id, IMAGE_BIG) ||
                 (str_eq(id, IMAGE_P2) && str_eq(actor->project_id, "p2"));
    if (!found)
        return fail(cx, ERR_NOT_FOUND, "No image found with ID %s", id);
    *ret = (struct image_info){.id = id,
                               .name = "image",
                               .status = str_eq(id, IMAGE_QUEUED) ? "queued" : "active",
                               .disk_format = "qcow2",
                               .container_format = "bare",
                               .sha512 = "ab",
                               .md5 = "cd",
                               .visibility = "public",
                               .size_bytes = 1 << 20,
                               .virtual_size_bytes = str_eq(id, IMAGE_BIG) ? 3LL << 30 : 1 << 26,
                               .properties = "{\"os_distro\":\"test\"}"};
    return NULL;
}

static image_used_fn *image_used;

void image_on_delete(image_used_fn *fn)
{
    image_used = fn;
}

bool vworld_image_used(struct volume_world *w, const char *image_id)
{
    AUTO_TXN struct tx *tx = NULL;
    bool used;
    assert_ok(&w->t.cx, tx_read(&w->t.cx, w->t.store, &tx));
    assert_ok(&w->t.cx, image_used(&w->t.cx, tx, image_id, &used));
    return used;
}

static image_export_done_fn *export_done;
static size_t exports_cancelled;

void image_on_export(enum export_source source, image_export_done_fn *fn)
{
    must(source == EXPORT_VOLUME);
    export_done = fn;
}

struct err *image_export_begin(struct call *c, const struct image_export *x,
                               const char **ret_image_id)
{
    assert_int_equal(x->source, EXPORT_VOLUME);
    assert_non_null(x->host_id);
    *ret_image_id = uuid_new(c->cx);
    return str_eq(x->disk_format, "ami") ? fail(c->cx, ERR_INVALID, "no such format") : NULL;
}

struct err *image_export_cancel(struct ctx *cx UNUSED, struct tx *tx UNUSED,
                                enum export_source source UNUSED, const char *source_id UNUSED)
{
    exports_cancelled++;
    return NULL;
}

size_t vworld_cancelled(void)
{
    return exports_cancelled;
}

/* ---------------------------------------------------------------- servers */

/* Compute's kind, which attachments touch. */
static struct err *no_server(struct ctx *cx UNUSED, struct tx *tx UNUSED,
                             const char *host_id UNUSED, const char *item_id UNUSED,
                             struct jw *w UNUSED, bool *ret_present)
{
    *ret_present = false;
    return NULL;
}

static struct err *no_servers(struct ctx *cx UNUSED, struct tx *tx UNUSED,
                              const char *host_id UNUSED, struct db_rows *ret_ids)
{
    *ret_ids = (struct db_rows){0};
    return NULL;
}

static struct err *no_report(struct ctx *cx UNUSED, struct tx *tx UNUSED,
                             const char *host_id UNUSED, const char *item_id UNUSED,
                             const json_t *observed UNUSED)
{
    return NULL;
}

/* ---------------------------------------------------------------- world */

static void add_host(struct volume_world *w, size_t i, int64_t disk_gib)
{
    AUTO_TXN struct tx *tx = NULL;
    struct ctx *cx = &w->t.cx;
    const char *name = arena_printf(cx->arena, "h%zu", i);
    json_t *beat =
        json_own(cx, json_pack("{s:s,s:i,s:i,s:I,s:s,s:i,s:s,s:s,s:s}", "hostname", name, "vcpus",
                               4, "memory_mib", 4096, "disk_gib", (json_int_t)disk_gib,
                               "hypervisor_type", "QEMU", "hypervisor_version", 7002000, "cpu_info",
                               "{}", "agent_url", "http://127.0.0.1:1", "version", "0"));
    assert_non_null(beat);
    assert_ok(cx, tx_write(cx, w->t.store, &tx));
    assert_ok(cx, fleet_host_add(cx, tx, name, "a secret of some length", &w->host_id[i]));
    assert_ok(cx, fleet_beat(cx, tx, w->host_id[i], beat));
    assert_ok(cx, tx_commit(cx, &tx));
}

void vworld_start(struct volume_world *w, size_t n_hosts, int64_t disk_gib)
{
    static const struct service *const services[] = {&engine_service, &fleet_service,
                                                     &volume_service};
    static const struct volume_config cfg = {.default_zone = "nova"};
    static const struct fleet_kind servers = {
        .name = "server", .view = no_server, .list = no_servers, .report = no_report};
    volume_configure(&cfg);
    fleet_add_kind(&servers);
    *w = (struct volume_world){.n_hosts = n_hosts};
    test_api_start(&w->t, services, ARRAY_LEN(services));
    assert_ok(&w->t.cx, volume_bootstrap(&w->t.cx, w->t.store));
    for (size_t i = 0; i < n_hosts; i++)
        add_host(w, i, disk_gib);
}

void vworld_stop(struct volume_world *w)
{
    test_api_stop(&w->t);
}

int64_t vworld_revision(struct volume_world *w, const char *host_id, const char *volume_id)
{
    AUTO_TXN struct tx *tx = NULL;
    int64_t n;
    assert_ok(&w->t.cx, tx_read(&w->t.cx, w->t.store, &tx));
    assert_ok(&w->t.cx, fleet_revision(&w->t.cx, tx, host_id, "volume", volume_id, &n));
    return n;
}

const char *vworld_host_of(struct volume_world *w, const char *volume_id)
{
    AUTO_TXN struct tx *tx = NULL;
    const struct stmt st = {"host_of", "SELECT host_id FROM volumes WHERE id = $1"};
    struct db_value param = V_TEXT(volume_id);
    struct db_rows rows;
    assert_ok(&w->t.cx, tx_read(&w->t.cx, w->t.store, &tx));
    assert_ok(&w->t.cx, db_query(&w->t.cx, tx, &st, &param, 1, &rows));
    return rows.n_rows ? db_text(&rows, 0, 0) : NULL;
}

static void report(struct volume_world *w, const char *host_id, const char *volume_id, char *text)
{
    AUTO_TXN struct tx *tx = NULL;
    struct ctx *cx = &w->t.cx;
    json_t *j = NULL;
    struct buf b;
    struct jw jw;
    for (char *p; (p = strstr(text, "{R}"));)
        text = arena_printf(cx->arena, "%.*s%" PRId64 "%s", (int)(p - text), text,
                            vworld_revision(w, host_id, volume_id), p + 3);
    text = arena_printf(cx->arena, "{'reports':[{'kind':'volume','id':'%s','observed':%s}]}",
                        volume_id, text);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    buf_init(&b, cx->arena);
    jw_init(&jw, &b);
    assert_ok(cx, json_read(cx, text, strlen(text), &j));
    assert_ok(cx, tx_write(cx, w->t.store, &tx));
    assert_ok(cx, fleet_reports(cx, tx, host_id, j, &jw));
    assert_ok(cx, tx_commit(cx, &tx));
}

void vworld_report(struct volume_world *w, const char *volume_id, const char *body_fmt, ...)
{
    const char *host_id = vworld_host_of(w, volume_id);
    va_list ap;
    va_start(ap, body_fmt);
    char *text = arena_vprintf(w->t.cx.arena, body_fmt, ap);
    va_end(ap);
    report(w, host_id ? host_id : w->host_id[0], volume_id, text);
}

void vworld_report_by(struct volume_world *w, const char *host_id, const char *volume_id,
                      const char *body_fmt, ...)
{
    va_list ap;
    va_start(ap, body_fmt);
    char *text = arena_vprintf(w->t.cx.arena, body_fmt, ap);
    va_end(ap);
    report(w, host_id, volume_id, text);
}

void vworld_share(struct volume_world *w, size_t n_hosts, int64_t gib)
{
    for (size_t i = 0; i < n_hosts; i++)
        vworld_run(w, vpath(w,
                            "UPDATE fleet_hosts SET pool_id = '" VWORLD_POOL
                            "', pool_gib = %" PRId64 " WHERE id = '%s'",
                            gib, w->host_id[i]));
}

const json_t *vworld_spec(struct volume_world *w, const char *volume_id)
{
    const char *host_id = vworld_host_of(w, volume_id);
    return vworld_spec_of(w, host_id ? host_id : "", volume_id);
}

const json_t *vworld_spec_of(struct volume_world *w, const char *host_id, const char *volume_id)
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
    assert_ok(cx, volume_view(cx, tx, host_id, volume_id, &jw, &present));
    if (!present)
        return NULL;
    assert_ok(cx, json_read(cx, b.data, b.len, &j));
    return j;
}

void vworld_obey(struct volume_world *w, const char *volume_id)
{
    const json_t *spec = vworld_spec(w, volume_id);
    if (!spec)
        vworld_report(w, volume_id, "{'revision':{R},'absent':true}");
    else
        vworld_report(w, volume_id,
                      "{'revision':{R},'ready':true,'size_gib':%" PRId64
                      ",'snapshots':%s,'error':null,'absent':false}",
                      json_get_int(spec, "size_gib", 0),
                      json_text(&w->t.cx, json_get(spec, "snapshots")));
}

void vworld_exported(struct volume_world *w, const char *volume_id, const char *error)
{
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&w->t.cx, tx_write(&w->t.cx, w->t.store, &tx));
    assert_ok(&w->t.cx, export_done(&w->t.cx, tx, volume_id, IMAGE_OK, error));
    assert_ok(&w->t.cx, tx_commit(&w->t.cx, &tx));
}

size_t vworld_count(struct volume_world *w, const char *sql)
{
    AUTO_TXN struct tx *tx = NULL;
    const struct stmt st = {"count", sql};
    struct db_rows rows;
    assert_ok(&w->t.cx, tx_read(&w->t.cx, w->t.store, &tx));
    assert_ok(&w->t.cx, db_query(&w->t.cx, tx, &st, NULL, 0, &rows));
    return rows.n_rows;
}

void vworld_run(struct volume_world *w, const char *sql)
{
    AUTO_TXN struct tx *tx = NULL;
    const struct stmt st = {"run", sql};
    assert_ok(&w->t.cx, tx_write(&w->t.cx, w->t.store, &tx));
    assert_ok(&w->t.cx, db_exec(&w->t.cx, tx, &st, NULL, 0, NULL));
    assert_ok(&w->t.cx, tx_commit(&w->t.cx, &tx));
}

size_t vworld_expire(struct volume_world *w)
{
    static const char *const tables[] = {"volumes", "snapshots", "attachments"};
    size_t moved;
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        vworld_run(w, vpath(w,
                            "UPDATE %s SET state_deadline = %" PRId64
                            " WHERE state_deadline IS NOT NULL",
                            tables[i], now_us(&w->t.cx) - 1));
    assert_ok(&w->t.cx, volume_sweep(&w->t.cx, w->t.store, &moved));
    return moved;
}

const char *vpath(struct volume_world *w, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *p = arena_vprintf(w->t.cx.arena, fmt, ap);
    va_end(ap);
    return p;
}

const char *vworld_volume(struct volume_world *w, const char *project)
{
    struct test_reply r =
        test_expect(&w->t, 202, project, "POST", V3 "/volumes", "{'volume':{'size':1}}");
    return test_str(&w->t, &r, "volume.id");
}

const char *vworld_ready(struct volume_world *w, const char *project)
{
    const char *id = vworld_volume(w, project);
    vworld_obey(w, id);
    assert_string_equal(vworld_status(w, id), "available");
    return id;
}

const char *vworld_status(struct volume_world *w, const char *volume_id)
{
    struct test_reply r =
        test_call(&w->t, "admin", "GET", vpath(w, V3 "/volumes/%s", volume_id), NULL);
    return r.status == 404 ? "404" : test_str(&w->t, &r, "volume.status");
}

struct err *vworld_as(struct volume_world *w, const char *project, vworld_fn *fn, void *arg)
{
    AUTO_TXN struct tx *tx = NULL;
    static const char *const roles[] = {"member", "reader", NULL};
    struct actor actor = {.project_id = project, .user_id = "user", .roles = roles, .member = true};
    struct ctx *cx = &w->t.cx;
    assert_ok(cx, tx_write(cx, w->t.store, &tx));
    struct call c = {.cx = cx,
                     .api = w->t.api,
                     .store = w->t.store,
                     .service = &volume_service,
                     .actor = &actor,
                     .tx = tx};
    struct err *e = fn(&c, arg);
    if (!e)
        assert_ok(cx, tx_commit(cx, &tx));
    return e;
}
