/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * os-simple-tenant-usage and os-instance_usage_audit_log: sums over the record of usage.c. A server
 * that was resized has one entry for each of its sizes.
 */
#include "compute/impl.h"

#define PAGE_MAX 1000
#define US_PER_HOUR 3600e6

struct window {
    int64_t start_us, end_us;
    bool detailed;
};

/* Everything the reply needs while rows go by: a page is a number of servers. */
struct usage_list {
    struct call *c;
    struct window window;
    struct jw *w;
    int64_t limit, n_servers; /* limit -1: none */
    bool detailed, more, single;
    const char *project, *server; /* of the row before */
    double hours, vcpu_hours, mib_hours, gib_hours;
};

/* ---------------------------------------------------------------- the question */

static struct err *read_time(struct call *c, const char *name, int64_t *ret)
{
    const char *text = http_arg(c->rq, name);
    *ret = now_us(c->cx);
    if (text && *text && !time_parse(text, ret))
        return fail(c->cx, ERR_INVALID, "Invalid datetime string: Datetime is in invalid format");
    return NULL;
}

static struct err *read_window(struct call *c, struct window *ret)
{
    TRY(read_time(c, "start", &ret->start_us));
    TRY(read_time(c, "end", &ret->end_us));
    if (ret->start_us >= ret->end_us)
        return fail(c->cx, ERR_INVALID,
                    "Invalid start time. The start time cannot occur after the end time.");
    ret->end_us = min_i64(ret->end_us, now_us(c->cx));
    ret->detailed = str_eq(http_arg(c->rq, "detailed"), "1");
    return NULL;
}

static struct err *read_page(struct call *c, struct usage_list *l, const char *project,
                             const char **ret_after_project, const char **ret_after_server)
{
    const char *text = http_arg(c->rq, "limit"), *marker = http_arg(c->rq, "marker");
    struct db_rows rows;
    *ret_after_project = *ret_after_server = "";
    l->limit = -1;
    if (c->microversion < 40)
        return NULL;
    l->limit = PAGE_MAX;
    if (text && !str_to_i64(text, 0, INT32_MAX, &l->limit))
        return fail(
            c->cx, ERR_INVALID,
            "Invalid input for query parameters limit. Value: %s. '%s' does not match '^[0-9]*$'",
            text, text);
    l->limit = min_i64(l->limit, PAGE_MAX);
    if (!marker)
        return NULL;
    struct db_value params[] = {V_TEXT(marker), V_TEXT(project)};
    TRY(db_query(c->cx, c->tx, &stmt_usage_marker, params, 2, &rows));
    if (!rows.n_rows)
        return fail(c->cx, ERR_INVALID, "marker [%s] not found", marker);
    *ret_after_project = db_text(&rows, 0, 0);
    *ret_after_server = marker;
    return NULL;
}

/* ---------------------------------------------------------------- the answer */

/* $1, $2: the window. $3: one project, or empty for all. $4, $5: after this project and server. */
const struct stmt stmt_usage_window = {
    "usage_window",
    "SELECT u.project_id, u.server_id, COALESCE(s.display_name, u.name), u.flavor_name, u.vcpus, "
    "u.memory_mib, u.disk_gib, u.started_at, u.ended_at, s.state FROM server_usages u LEFT JOIN "
    "servers s ON s.id = u.server_id WHERE u.started_at < $2 AND (u.ended_at IS NULL OR u.ended_at "
    "> $1) AND ($3 = '' OR u.project_id = $3) AND (u.project_id > $4 OR (u.project_id = $4 AND "
    "u.server_id > $5)) ORDER BY u.project_id, u.server_id, u.started_at"};
const struct stmt stmt_usage_marker = {
    "usage_marker", "SELECT project_id FROM server_usages WHERE server_id = $1 AND ($2 = '' OR "
                    "project_id = $2) LIMIT 1"};

enum column { PROJECT, SERVER, NAME, FLAVOR, VCPUS, MEMORY, DISK, STARTED, ENDED, STATE };

static void end_project(struct usage_list *l)
{
    struct jw *w = l->w;
    if (!l->project)
        return;
    if (l->detailed)
        jw_arr_end(w);
    jw_kstr(w, "tenant_id", l->project);
    jw_key(w, "total_local_gb_usage");
    jw_num(w, l->gib_hours);
    jw_key(w, "total_vcpus_usage");
    jw_num(w, l->vcpu_hours);
    jw_key(w, "total_memory_mb_usage");
    jw_num(w, l->mib_hours);
    jw_key(w, "total_hours");
    jw_num(w, l->hours);
    jw_kstr(w, "start", time_iso(l->c->cx, l->window.start_us, TIME_MICROS));
    jw_kstr(w, "stop", time_iso(l->c->cx, l->window.end_us, TIME_MICROS));
    jw_obj_end(w);
    l->hours = l->vcpu_hours = l->mib_hours = l->gib_hours = 0;
}

static void begin_project(struct usage_list *l, const char *project)
{
    end_project(l);
    l->project = arena_strdup(l->c->cx->arena, project);
    jw_obj(l->w);
    if (l->detailed)
        jw_karr(l->w, "server_usages");
}

/* "resized": this size is in use no more, the server still is. */
static const char *state_name(const struct db_value *cells)
{
    if (!cells[STATE].s)
        return "terminated";
    return cells[ENDED].i ? "resized" : lifecycle_of(lifecycle_named(cells[STATE].s))->vm_state;
}

static void write_usage(struct usage_list *l, const struct db_value *cells, double hours)
{
    struct jw *w = l->w;
    int64_t started_us = cells[STARTED].i, ended_us = cells[ENDED].i;
    int64_t last_us = ended_us ? ended_us : now_us(l->c->cx);
    jw_obj(w);
    jw_kstr(w, "instance_id", cells[SERVER].s);
    jw_kstr(w, "name", cells[NAME].s);
    jw_kstr(w, "tenant_id", cells[PROJECT].s);
    jw_kstr(w, "flavor", cells[FLAVOR].s);
    jw_kint(w, "vcpus", cells[VCPUS].i);
    jw_kint(w, "memory_mb", cells[MEMORY].i);
    jw_kint(w, "local_gb", cells[DISK].i);
    jw_key(w, "hours");
    jw_num(w, hours);
    jw_kstr(w, "started_at", time_iso(l->c->cx, started_us, TIME_MICROS));
    jw_kstr(w, "ended_at", ended_us ? time_iso(l->c->cx, ended_us, TIME_MICROS) : NULL);
    jw_kstr(w, "state", state_name(cells));
    jw_kint(w, "uptime", (last_us - started_us) / 1000000);
    jw_obj_end(w);
}

static struct err *take_row(struct ctx *cx, const struct db_value *cells, size_t n UNUSED,
                            void *arg)
{
    struct usage_list *l = arg;
    bool same_server = str_eq(cells[SERVER].s, l->server);
    if (l->more || (!same_server && l->n_servers == l->limit)) {
        l->more = true;
        return NULL;
    }
    if (!str_eq(cells[PROJECT].s, l->project))
        begin_project(l, cells[PROJECT].s);
    if (!same_server) {
        l->n_servers++;
        l->server = arena_strdup(cx->arena, cells[SERVER].s);
    }
    int64_t from = max_i64(cells[STARTED].i, l->window.start_us);
    int64_t to = cells[ENDED].i ? min_i64(cells[ENDED].i, l->window.end_us) : l->window.end_us;
    double hours = (double)max_i64(0, to - from) / US_PER_HOUR;
    l->hours += hours;
    l->vcpu_hours += hours * (double)cells[VCPUS].i;
    l->mib_hours += hours * (double)cells[MEMORY].i;
    l->gib_hours += hours * (double)cells[DISK].i;
    if (l->detailed)
        write_usage(l, cells, hours);
    return NULL;
}

static void write_next(struct usage_list *l, const char *name)
{
    const struct http_request *rq = l->c->rq;
    char **parts;
    struct buf b;
    if (!l->more || !l->server)
        return;
    buf_init(&b, l->c->cx->arena);
    size_t n = str_split(l->c->cx, rq->query, '&', &parts);
    for (size_t i = 0; i < n; i++)
        if (*parts[i] && !str_starts(parts[i], "marker="))
            buf_printf(&b, "%s&", parts[i]);
    jw_karr(l->w, name);
    jw_obj(l->w);
    jw_kstr(l->w, "rel", "next");
    jw_kstr(l->w, "href",
            arena_printf(l->c->cx->arena, "%s%s?%smarker=%s", rq->base_url, rq->raw_path,
                         buf_cstr(&b), l->server));
    jw_obj_end(l->w);
    jw_arr_end(l->w);
}

/* project: one's own shape, an object; "": a list of all. */
static struct err *reply(struct call *c, const char *project)
{
    bool single = *project;
    const char *after_project, *after_server;
    struct usage_list l = {.c = c};
    TRY(read_window(c, &l.window));
    TRY(read_page(c, &l, project, &after_project, &after_server));
    l.detailed = single || l.window.detailed;
    struct jw w = call_json(c, 200);
    l.w = &w;
    jw_obj(&w);
    if (single)
        jw_key(&w, "tenant_usage");
    else
        jw_karr(&w, "tenant_usages");
    struct db_value params[] = {V_INT(l.window.start_us), V_INT(l.window.end_us), V_TEXT(project),
                                V_TEXT(after_project), V_TEXT(after_server)};
    TRY(db_each(c->cx, c->tx, &stmt_usage_window, params, ARRAY_LEN(params), take_row, &l));
    end_project(&l);
    if (single && !l.project)
        jw_raw(&w, "{}");
    if (!single)
        jw_arr_end(&w);
    write_next(&l, single ? "tenant_usage_links" : "tenant_usages_links");
    jw_obj_end(&w);
    return NULL;
}

struct err *tenant_usage_list(struct call *c)
{
    return reply(c, "");
}

struct err *tenant_usage_show(struct call *c)
{
    const char *project = call_param(c, "project");
    if (!c->actor->admin && !str_eq(project, c->actor->project_id))
        return fail(c->cx, ERR_FORBIDDEN, "Policy doesn't allow %s to be performed.",
                    c->route->policy);
    return reply(c, project);
}

/* ---------------------------------------------------------------- the audit log */

const struct stmt stmt_usage_by_host = {
    "usage_by_host", "SELECT host_name, COUNT(DISTINCT server_id) FROM server_usages WHERE "
                     "started_at < $2 AND (ended_at IS NULL OR ended_at > $1) GROUP BY host_name"};

/* The calendar month that was over last: as nova does without configuration. */
static void audit_period(int64_t before_us, int64_t *ret_start_us, int64_t *ret_end_us)
{
    time_t secs = (time_t)(before_us / 1000000);
    struct tm tm;
    gmtime_r(&secs, &tm);
    tm.tm_mday = 1;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    *ret_end_us = (int64_t)timegm(&tm) * 1000000;
    tm.tm_mon -= 1; /* timegm takes December of the year before for -1 */
    *ret_start_us = (int64_t)timegm(&tm) * 1000000;
}

static const char *python_time(struct ctx *cx, int64_t us)
{
    const char *iso = time_iso(cx, us, TIME_Z);
    return arena_printf(cx->arena, "%.10s %.8s", iso, iso + 11);
}

/* Use is recorded as it happens, so each host's log is complete once the period is over. */
static struct err *reply_audit(struct call *c, int64_t before_us, const char *wrapper)
{
    struct fleet_host *hosts;
    struct db_rows rows;
    size_t n;
    int64_t start_us, end_us, total = 0;
    audit_period(before_us, &start_us, &end_us);
    struct db_value params[] = {V_INT(start_us), V_INT(end_us)};
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    TRY(db_query(c->cx, c->tx, &stmt_usage_by_host, params, 2, &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, wrapper);
    jw_kobj(&w, "log");
    for (size_t i = 0; i < n; i++) {
        int64_t servers = 0;
        for (size_t k = 0; k < rows.n_rows; k++)
            servers = str_eq(db_text(&rows, k, 0), hosts[i].name) ? db_int(&rows, k, 1) : servers;
        total += servers;
        jw_kobj(&w, hosts[i].name);
        jw_kstr(&w, "state", "DONE");
        jw_kint(&w, "instances", servers);
        jw_kint(&w, "errors", 0);
        jw_kstr(&w, "message",
                arena_printf(c->cx->arena, "%" PRId64 " instances were in use on host %s", servers,
                             hosts[i].name));
        jw_obj_end(&w);
    }
    jw_obj_end(&w);
    jw_kstr(&w, "period_beginning", python_time(c->cx, start_us));
    jw_kstr(&w, "period_ending", python_time(c->cx, end_us));
    jw_kint(&w, "num_hosts", (int64_t)n);
    jw_kint(&w, "num_hosts_done", (int64_t)n);
    jw_kint(&w, "num_hosts_running", 0);
    jw_kint(&w, "num_hosts_not_run", 0);
    jw_kraw(&w, "hosts_not_run", "[]");
    jw_kint(&w, "total_instances", total);
    jw_kint(&w, "total_errors", 0);
    jw_kstr(&w, "overall_status", "ALL hosts done. 0 errors.");
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *usage_audit_list(struct call *c)
{
    return reply_audit(c, now_us(c->cx), "instance_usage_audit_logs");
}

struct err *usage_audit_show(struct call *c)
{
    int64_t before_us;
    const char *text = call_param(c, "before");
    if (strlen(text) < strlen("2026-01-01 00:00:00") || text[10] != ' ' ||
        !time_parse(text, &before_us))
        return fail(c->cx, ERR_INVALID, "Invalid timestamp for date %s", text);
    return reply_audit(c, before_us, "instance_usage_audit_log");
}
