/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The agents' protocol (src/node/README.md): heartbeats, the feed of items, reports, images. The
 * functions without a struct call are what the simulator drives; the routes below are the same
 * behind HTTP.
 */
#include "fleet/fleet_impl.h"

enum { WAIT_MAX_S = 60, REPORTS_MAX = 1000, UPTIME_MAX = 255, CHASSIS_MAX = 255 };
#define CHASSIS_OF "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:"
#define LATE_MAX_US (INT64_C(3600) * 1000000) /* older than that: the host's clock was set back */

static const char ddl[] =
    "CREATE TABLE fleet_hosts (\n"
    "  id TEXT PRIMARY KEY,\n"
    "  name TEXT NOT NULL UNIQUE,\n"
    "  zone TEXT NOT NULL,\n"
    "  role TEXT NOT NULL DEFAULT 'compute',\n"
    "  secret_sha256 TEXT NOT NULL,\n"
    "  vcpus BIGINT NOT NULL DEFAULT 0,\n"
    "  memory_mib BIGINT NOT NULL DEFAULT 0,\n"
    "  disk_gib BIGINT NOT NULL DEFAULT 0,\n"
    "  hypervisor_type TEXT,\n"
    "  hypervisor_version BIGINT NOT NULL DEFAULT 0,\n"
    "  cpu_info TEXT,\n"
    "  agent_url TEXT,\n"
    "  version TEXT,\n"
    "  enabled BIGINT NOT NULL DEFAULT 1,\n"
    "  disabled_reason TEXT,\n"
    "  forced_down BIGINT NOT NULL DEFAULT 0,\n"
    "  uptime TEXT,\n"
    "  pool_id TEXT,\n"
    "  pool_gib BIGINT NOT NULL DEFAULT 0,\n"
    "  chassis TEXT,\n"
    "  revision BIGINT NOT NULL DEFAULT 0,\n"
    "  last_seen_at BIGINT,\n"
    "  lease_until BIGINT NOT NULL DEFAULT 0,\n"
    "  leased_since BIGINT NOT NULL DEFAULT 0,\n"
    "  created_at BIGINT NOT NULL,\n"
    "  updated_at BIGINT NOT NULL\n"
    ");\n"
    "CREATE TABLE fleet_changes (\n"
    "  host_id TEXT NOT NULL REFERENCES fleet_hosts(id) ON DELETE CASCADE,\n"
    "  kind TEXT NOT NULL,\n"
    "  item_id TEXT NOT NULL,\n"
    "  revision BIGINT NOT NULL,\n"
    "  reported_at BIGINT NOT NULL DEFAULT 0,\n"
    "  PRIMARY KEY (host_id, kind, item_id)\n"
    ");\n"
    "CREATE INDEX fleet_changes_revision ON fleet_changes (host_id, revision);\n"
    "CREATE INDEX fleet_changes_item ON fleet_changes (kind, item_id);\n"
    "CREATE TABLE fleet_joins (\n"
    "  host_id TEXT PRIMARY KEY REFERENCES fleet_hosts(id) ON DELETE CASCADE,\n"
    "  token_sha256 TEXT NOT NULL UNIQUE,\n"
    "  expires_at BIGINT NOT NULL,\n"
    "  used_at BIGINT\n"
    ");\n"
    "CREATE TABLE fleet_certs (\n"
    "  sha256 TEXT PRIMARY KEY,\n"
    "  host_id TEXT NOT NULL REFERENCES fleet_hosts(id) ON DELETE CASCADE,\n"
    "  not_after BIGINT NOT NULL,\n"
    "  created_at BIGINT NOT NULL\n"
    ");\n"
    "CREATE INDEX fleet_certs_host ON fleet_certs (host_id);\n";

/* ---- heartbeat ---- */

static int64_t lease_s = FLEET_LEASE_S;

void fleet_set_lease(int64_t seconds)
{
    lease_s = seconds;
}

int64_t fleet_lease_span_us(void)
{
    return (lease_s + FLEET_LEASE_MARGIN_S) * 1000000;
}

struct err *fleet_lease_s(struct ctx *cx, struct tx *tx, const char *host_id, int64_t *ret)
{
    struct db_value id = V_TEXT(host_id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_host_is_down, &id, 1, &rows));
    *ret = rows.n_rows && db_int(&rows, 0, 0) ? 0 : lease_s;
    return NULL;
}

static fleet_chassis_fn *on_chassis;

void fleet_on_chassis(fleet_chassis_fn *fn)
{
    on_chassis = fn;
}

/* NULL: it tells none this time. */
static struct err *take_chassis(struct ctx *cx, struct tx *tx, const char *host_id,
                                const char *chassis)
{
    struct db_value id = V_TEXT(host_id);
    struct db_rows rows;
    if (!chassis)
        return NULL;
    if (!*chassis || strlen(chassis) > CHASSIS_MAX ||
        strspn(chassis, CHASSIS_OF) != strlen(chassis))
        return fail(cx, ERR_INVALID, "a chassis's name has letters, digits and -_.: only");
    TRY(db_query(cx, tx, &fleet_stmt_host_chassis, &id, 1, &rows));
    if (!rows.n_rows || str_eq(db_text(&rows, 0, 0), chassis))
        return NULL;
    TRY(db_run(cx, tx, &fleet_stmt_host_set_chassis, id, V_TEXT(chassis)));
    return on_chassis ? on_chassis(cx, tx, host_id) : NULL;
}

static struct err *take_row(struct ctx *cx, const struct db_value *cells, size_t n UNUSED,
                            void *names)
{
    (void)cx;
    if (cells[1].s)
        json_object_set_new(names, cells[0].s, json_string(cells[1].s));
    return NULL;
}

struct err *fleet_chassis(struct ctx *cx, struct tx *tx, const char *const *host_ids, size_t n,
                          json_t **ret)
{
    *ret = json_own(cx, json_object());
    return db_each_in(cx, tx, &fleet_stmt_chassis_of, host_ids, n, take_row, *ret);
}

struct err *fleet_beat(struct ctx *cx, struct tx *tx, const char *host_id, const json_t *body)
{
    int64_t vcpus = json_get_int(body, "vcpus", -1), memory = json_get_int(body, "memory_mib", -1);
    int64_t disk = json_get_int(body, "disk_gib", -1);
    const char *url = json_get_str(body, "agent_url"), *uptime = json_get_str(body, "uptime");
    const char *pool = json_get_str(body, "pool_id");
    if (vcpus < 0 || memory < 0 || disk < 0)
        return fail(cx, ERR_INVALID, "A host tells its vcpus, memory_mib and disk_gib");
    if (url && !str_starts(url, "http://") && !str_starts(url, "https://"))
        return fail(cx, ERR_INVALID, "agent_url is not an URL");
    if (pool && !uuid_valid(pool))
        return fail(cx, ERR_INVALID, "pool_id is not an id");
    if (uptime && strlen(uptime) > UPTIME_MAX)
        return fail(cx, ERR_INVALID, "uptime has more than %d bytes", UPTIME_MAX);
    TRY(take_chassis(cx, tx, host_id, json_get_str(body, "chassis")));
    return db_run(cx, tx, &fleet_stmt_host_beat, V_TEXT(host_id), V_INT(vcpus), V_INT(memory),
                  V_INT(disk), V_TEXT(json_get_str(body, "hypervisor_type")),
                  V_INT(json_get_int(body, "hypervisor_version", 0)),
                  V_TEXT(json_get_str(body, "cpu_info")), V_TEXT(url),
                  V_TEXT(json_get_str(body, "version")), V_INT(now_us(cx)), V_TEXT(uptime),
                  V_INT(now_us(cx) + fleet_lease_span_us()), V_TEXT(pool),
                  V_INT(json_get_int(body, "pool_gib", 0)));
}

/* ---- the feed ---- */

/* One item: its spec, or that it is deleted. */
static struct err *write_item(struct ctx *cx, struct tx *tx, const char *host_id,
                              const struct fleet_kind *kind, const char *item_id, int64_t revision,
                              struct jw *w)
{
    struct buf spec;
    struct jw sw;
    bool present = false;
    buf_init(&spec, cx->arena);
    jw_init(&sw, &spec);
    TRY(kind->view(cx, tx, host_id, item_id, &sw, &present));
    jw_obj(w);
    jw_kstr(w, "kind", kind->name);
    jw_kstr(w, "id", item_id);
    jw_kint(w, "revision", revision);
    if (present)
        jw_kraw(w, "spec", buf_cstr(&spec));
    else
        jw_kbool(w, "deleted", true);
    jw_obj_end(w);
    return NULL;
}

static struct err *write_changes(struct ctx *cx, struct tx *tx, const char *host_id, int64_t since,
                                 struct jw *w, size_t *ret_n)
{
    const struct db_value params[] = {V_TEXT(host_id), V_INT(since)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_changes_since, params, 2, &rows));
    for (size_t i = 0; i < rows.n_rows; i++) {
        const struct fleet_kind *kind = fleet_kind_find(db_text(&rows, i, 0));
        if (kind)
            TRY(write_item(cx, tx, host_id, kind, db_text(&rows, i, 1), db_int(&rows, i, 2), w));
    }
    *ret_n = rows.n_rows;
    return NULL;
}

static struct err *change_get(struct ctx *cx, struct tx *tx, const char *host_id, const char *kind,
                              const char *item_id, int64_t *ret_revision, int64_t *ret_reported_at)
{
    const struct db_value params[] = {V_TEXT(host_id), V_TEXT(kind), V_TEXT(item_id)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_change_get, params, 3, &rows));
    *ret_revision = rows.n_rows ? db_int(&rows, 0, 0) : 0;
    *ret_reported_at = rows.n_rows ? db_int(&rows, 0, 1) : 0;
    return NULL;
}

struct err *fleet_revision(struct ctx *cx, struct tx *tx, const char *host_id, const char *kind,
                           const char *item_id, int64_t *ret)
{
    int64_t reported_at;
    return change_get(cx, tx, host_id, kind, item_id, ret, &reported_at);
}

/*
 * What is wanted on this host though nobody has touched it: an older database, or a service that
 * forgot. It joins the feed with revision 0; every touched item, wanted or not, has been written
 * already.
 */
static struct err *write_untouched(struct ctx *cx, struct tx *tx, const char *host_id, struct jw *w)
{
    const struct fleet_kind *kind;
    for (size_t k = 0; (kind = fleet_kind_at(k)); k++) {
        struct db_rows ids;
        TRY(kind->list(cx, tx, host_id, &ids));
        for (size_t i = 0; i < ids.n_rows; i++) {
            int64_t revision, at;
            TRY(change_get(cx, tx, host_id, kind->name, db_text(&ids, i, 0), &revision, &at));
            if (!revision)
                TRY(write_item(cx, tx, host_id, kind, db_text(&ids, i, 0), 0, w));
        }
    }
    return NULL;
}

struct err *fleet_items(struct ctx *cx, struct tx *tx, const char *host_id, int64_t since,
                        struct jw *w, bool *ret_any)
{
    struct db_value host = V_TEXT(host_id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_revision, &host, 1, &rows));
    if (!rows.n_rows)
        return fail(cx, ERR_NOT_FOUND, "Host %s could not be found.", host_id);
    int64_t revision = db_int(&rows, 0, 0);
    bool full = since <= 0 || since > revision;
    size_t n = 0;
    jw_obj(w);
    jw_kint(w, "revision", revision);
    jw_kbool(w, "full", full);
    jw_karr(w, "items");
    TRY(write_changes(cx, tx, host_id, full ? 0 : since, w, &n));
    if (full)
        TRY(write_untouched(cx, tx, host_id, w));
    jw_arr_end(w);
    jw_obj_end(w);
    *ret_any = full || n > 0;
    return NULL;
}

/* ---- reports ---- */

static struct err *is_wanted(struct ctx *cx, struct tx *tx, const char *host_id,
                             const struct fleet_kind *kind, const char *item_id, bool *ret)
{
    struct buf spec;
    struct jw w;
    buf_init(&spec, cx->arena);
    jw_init(&w, &spec);
    *ret = false;
    return kind->view(cx, tx, host_id, item_id, &w, ret);
}

/* In the host's feed, or wanted there. */
static struct err *is_ours(struct ctx *cx, struct tx *tx, const char *host_id,
                           const struct fleet_kind *kind, const char *item_id, bool *ret,
                           int64_t *ret_last_at)
{
    int64_t revision;
    TRY(change_get(cx, tx, host_id, kind->name, item_id, &revision, ret_last_at));
    *ret = revision > 0;
    return *ret ? NULL : is_wanted(cx, tx, host_id, kind, item_id, ret);
}

/* The last word on an item that is no longer wanted here: it leaves the feed. Not by a word of an
 * earlier time: what the host was told since would be lost. */
static struct err *end_if_absent(struct ctx *cx, struct tx *tx, const char *host_id,
                                 const struct fleet_kind *kind, const char *item_id,
                                 const json_t *observed)
{
    bool wanted;
    int64_t revision, at;
    TRY(change_get(cx, tx, host_id, kind->name, item_id, &revision, &at));
    if (json_get_int(observed, "revision", INT64_MAX) < revision)
        return NULL;
    if (!str_eq(json_get_str(observed, "power"), "absent") &&
        !json_get_bool(observed, "absent", false))
        return NULL;
    TRY(is_wanted(cx, tx, host_id, kind, item_id, &wanted));
    if (wanted)
        return NULL;
    return db_run(cx, tx, &fleet_stmt_change_drop, V_TEXT(host_id), V_TEXT(kind->name),
                  V_TEXT(item_id));
}

static struct err *take_report(struct ctx *cx, struct tx *tx, const char *host_id, const json_t *j,
                               struct jw *w)
{
    const char *name = json_get_str(j, "kind"), *id = json_get_str(j, "id");
    const json_t *observed = json_get(j, "observed");
    const struct fleet_kind *kind = name ? fleet_kind_find(name) : NULL;
    if (!kind)
        return fail(cx, ERR_INVALID, "A report of an unknown kind");
    if (!id || strlen(id) > 64 || !json_is_object(observed))
        return fail(cx, ERR_INVALID, "A report has an id and what was observed");
    bool ours;
    int64_t at = json_get_int(j, "at", 0), last_at;
    TRY(is_ours(cx, tx, host_id, kind, id, &ours, &last_at));
    if (!ours) { /* not this host's to tell of */
        jw_obj(w);
        jw_kstr(w, "kind", name);
        jw_kstr(w, "id", id);
        jw_obj_end(w);
        return NULL;
    }
    if (at && at <= last_at && last_at - at < LATE_MAX_US)
        return NULL; /* taken already, or a later one was */
    TRY(kind->report(cx, tx, host_id, id, observed));
    TRY(db_run(cx, tx, &fleet_stmt_change_reported, V_TEXT(host_id), V_TEXT(name), V_TEXT(id),
               V_INT(at)));
    return end_if_absent(cx, tx, host_id, kind, id, observed);
}

struct err *fleet_reports(struct ctx *cx, struct tx *tx, const char *host_id, const json_t *body,
                          struct jw *w)
{
    const json_t *list = json_get(body, "reports");
    if (!json_is_array(list) || json_array_size(list) > REPORTS_MAX)
        return fail(cx, ERR_INVALID, "'reports' is a list of at most %d", REPORTS_MAX);
    jw_obj(w);
    jw_karr(w, "stale");
    for (size_t i = 0; i < json_array_size(list); i++)
        TRY(take_report(cx, tx, host_id, json_array_get(list, i), w));
    jw_arr_end(w);
    jw_obj_end(w);
    return NULL;
}

/* ---- routes ---- */

static struct err *put_host(struct call *c)
{
    const struct fleet_authority *a = fleet_authority_get();
    const char *url = json_get_str(c->json, "agent_url");
    bool enrolled = c->rq->peer_sha256 != NULL;
    if (enrolled && url && !str_starts(url, "https://"))
        return fail(c->cx, ERR_INVALID, "The agent_url of a host with a certificate is https://");
    int64_t lease;
    TRY(fleet_beat(c->cx, c->tx, c->actor->host_id, c->json));
    TRY(fleet_lease_s(c->cx, c->tx, c->actor->host_id, &lease));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "id", c->actor->host_id);
    jw_kint(&w, "heartbeat_s", min_i64(FLEET_HEARTBEAT_S, lease_s * 2 / 5));
    jw_kint(&w, "lease_s", lease);
    if (enrolled && a) /* others than it knows: it renews its certificate, and gets them */
        jw_kstr(&w, "authorities_sha256",
                sha256_hex(c->cx, a->authorities, strlen(a->authorities)));
    jw_obj_end(&w);
    return NULL;
}

static struct err *number_arg(struct call *c, const char *name, int64_t max, int64_t *ret)
{
    const char *text = http_arg(c->rq, name);
    *ret = 0;
    if (text && !str_to_i64(text, 0, max, ret))
        return fail(c->cx, ERR_INVALID, "'%s' is not a number from 0 to %" PRId64, name, max);
    return NULL;
}

static struct err *get_items(struct call *c)
{
    int64_t since, wait_s;
    bool any;
    TRY(number_arg(c, "since", INT64_MAX, &since));
    TRY(number_arg(c, "wait", WAIT_MAX_S, &wait_s));
    struct buf body;
    struct jw w;
    buf_init(&body, c->cx->arena);
    jw_init(&w, &body);
    TRY(fleet_items(c->cx, c->tx, c->actor->host_id, since, &w, &any));
    /* A few runs for nothing may happen, as wakes are coarse; then the agent asks again. */
    if (!any && wait_s && !c->rq->timed_out && c->rq->wakeups < 8) {
        call_park(c, fleet_topic(c->actor->host_id).text, mono_us(c->cx) + wait_s * 1000000);
        return NULL;
    }
    store_settled(c->store); /* the host acts on it */
    w = call_json(c, 200);
    jw_raw(&w, buf_cstr(&body));
    return NULL;
}

static struct err *post_reports(struct call *c)
{
    struct jw w = call_json(c, 200);
    return fleet_reports(c->cx, c->tx, c->actor->host_id, c->json, &w);
}

static struct err *get_image_file(struct call *c)
{
    const char *id = call_param(c, "image_id");
    if (!uuid_valid(id))
        return fail(c->cx, ERR_NOT_FOUND, "No image found with ID %s", id);
    TRY(fleet_open_image(c->cx, c->tx, c->actor->host_id, id, &c->rp->file_fd, &c->rp->file_size));
    c->rp->status = 200;
    c->rp->content_type = "application/octet-stream";
    return NULL;
}

static struct err *put_image_begin(struct call *c, struct http_sink **ret_sink)
{
    const struct fleet_upload *parts = fleet_upload_parts();
    if (!parts || !uuid_valid(call_param(c, "image_id")))
        return fail(c->cx, ERR_NOT_FOUND, "No image found with ID %s", call_param(c, "image_id"));
    return parts->begin(c, ret_sink);
}

static struct err *put_image_settle(struct call *c)
{
    return fleet_upload_parts()->settle(c);
}

static struct err *put_image(struct call *c)
{
    return fleet_upload_parts()->end(c);
}

#define NODE .rule = RULE_NODE, .flags = RT_NO_AUDIT
static const struct route routes[] = {
    ROUTE(PUT, "/node/v1/hosts/{host}", put_host, "node:hosts:beat", NODE,
          .doc = "Registers a host's agent, and is its heartbeat."),
    ROUTE(GET, "/node/v1/hosts/{host}/items", get_items, "node:items:watch", .rule = RULE_NODE,
          .flags = RT_NO_AUDIT | RT_WORKER,
          .doc = "What is desired on the host; waits for changes."),
    ROUTE(POST, "/node/v1/hosts/{host}/reports", post_reports, "node:reports:create", NODE,
          .doc = "What the agent saw."),
    ROUTE(GET, "/node/v1/hosts/{host}/images/{image_id}/file", get_image_file,
          "node:images:download", .rule = RULE_NODE, .flags = RT_NO_AUDIT | RT_WORKER,
          .doc = "An image's bytes."),
    ROUTE(PUT, "/node/v1/hosts/{host}/images/{image_id}/file", put_image, "node:images:upload",
          .rule = RULE_NODE, .flags = RT_NO_AUDIT | RT_STREAM, .stream = put_image_begin,
          .before = put_image_settle, .status = 204,
          .doc = "The bytes of an image that the host exports."),
    ROUTE(GET, "/node/v1/authorities", fleet_get_authority, "node:authorities:show",
          .rule = RULE_PUBLIC,
          .doc = "Whom a host that is to join may trust, if its token says so."),
    ROUTE(POST, "/node/v1/join", fleet_post_join, "node:hosts:join", .rule = RULE_PUBLIC,
          .doc = "A host's certificate, for a token."),
    ROUTE(POST, "/node/v1/hosts/{host}/certificate", fleet_post_certificate,
          "node:certificates:renew", NODE, .doc = "Its next certificate.")};

static const struct stmt *const stmts[] = {
#define X(name, sql) &fleet_stmt_##name,
    FLEET_STMTS(X)
#undef X
};

const struct service fleet_service = {.name = "fleet",
                                      .family = &family_node,
                                      SERVICE_LIST(routes, routes),
                                      SERVICE_LIST(stmts, stmts),
                                      .ddl = ddl};
