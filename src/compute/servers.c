/* SPDX-License-Identifier: EUPL-1.2 */
/* Servers: lists with their filters, show, update, delete. */
#include "compute/impl.h"
#include <regex.h>

const struct stmt stmt_server_ids_all = {"server_ids_all", "SELECT id FROM servers"};
const struct stmt stmt_server_ids_of = {"server_ids_of",
                                        "SELECT id FROM servers WHERE project_id = $1"};

/* ---------------------------------------------------------------- filters */

/* What a list has to know to drop rows; in c->state. */
struct server_filter {
    bool by_name, by_ip, by_tags;
    regex_t name;
    const char **ids; /* servers with a matching address */
    size_t n_ids;
};

static void free_regex(void *arg)
{
    regfree(arg);
}

#define PLUS_MAX 6 /* each '+' around others doubles what regcomp makes of them */

/* Clients give a search pattern. Counted repetitions and back references are refused: they can take
 * for ever. */
static struct err *compile(struct call *c, const char *name, const char *pattern, regex_t *ret)
{
    size_t n_plus = 0;
    for (const char *p = pattern; *p; p++)
        n_plus += *p == '+';
    bool costly = strlen(pattern) > 255 || strchr(pattern, '{') || n_plus > PLUS_MAX;
    for (const char *p = pattern; (p = strchr(p, '\\')) && p[1]; p += 2)
        costly = costly || (p[1] >= '1' && p[1] <= '9');
    if (costly || regcomp(ret, pattern, REG_EXTENDED | REG_NOSUB | REG_ICASE) != 0)
        return fail(c->cx, ERR_INVALID,
                    "Invalid filter %s: '%s' is not a regular expression that this cloud takes",
                    name, pattern);
    arena_defer(c->cx->arena, free_regex, ret);
    return NULL;
}

/* "state IN (…)": those whose status is this one; none: nothing matches. */
static const char *states_with(struct ctx *cx, const char *status, const char *what)
{
    struct buf b;
    size_t n = 0;
    if (str_eq(what, "task_state") && strcasecmp(status, TASK_COPIED) == 0) /* as it stands */
        return "export_image IS NOT NULL AND state IN ('ACTIVE', 'SHUTOFF', 'PAUSED', "
               "'SUSPENDED')";
    buf_init(&b, cx->arena);
    for (int i = 0; i < ST_COUNT; i++) {
        const struct lifecycle *l = lifecycle_of((enum server_state)i);
        const char *value = str_eq(what, "status")     ? l->status
                            : str_eq(what, "vm_state") ? l->vm_state
                                                       : l->task_state;
        if (value && strcasecmp(value, status) == 0)
            buf_printf(&b, "%s'%s'", n++ ? ", " : "state IN (", l->name);
    }
    if (!n)
        return "0 = 1";
    buf_char(&b, ')');
    return buf_cstr(&b);
}

static bool status_known(const char *status)
{
    static const char *const names[] = {
        "ACTIVE",    "BUILD",        "DELETED",       "ERROR",   "HARD_REBOOT",
        "MIGRATING", "PASSWORD",     "PAUSED",        "REBOOT",  "REBUILD",
        "RESCUE",    "RESIZE",       "REVERT_RESIZE", "SHELVED", "SHELVED_OFFLOADED",
        "SHUTOFF",   "SOFT_DELETED", "SUSPENDED",     "UNKNOWN", "VERIFY_RESIZE"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcasecmp(names[i], status) == 0)
            return true;
    return false;
}

static struct err *filter_status(struct call *c, const char *status, const char **ret_sql)
{
    struct buf b;
    const char *value;
    if (c->microversion >= 38 && !status_known(status))
        return fail(c->cx, ERR_INVALID, "Invalid status value");
    buf_init(&b, c->cx->arena);
    for (size_t i = 0, n = 0; i < c->rq->n_args; i++)
        if (str_eq(c->rq->args[i].name, "status") && (value = c->rq->args[i].value))
            buf_printf(&b, "%s%s", n++ ? " OR " : "", states_with(c->cx, value, "status"));
    *ret_sql = buf_cstr(&b);
    return NULL;
}

static struct err *filter_time(struct call *c, const char *name, const char *value,
                               const char **ret_sql)
{
    int64_t us;
    if (!time_parse(value, &us))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for query parameters %s. Value: %s. '%s' is not a 'date-time'",
                    name, value, value);
    *ret_sql = arena_printf(c->cx->arena, "updated_at %s %" PRId64,
                            str_eq(name, "changes-since") ? ">=" : "<=", us);
    return NULL;
}

/* Others' filters are silently without effect for who is no administrator. */
static bool for_everyone(const char *name)
{
    static const char *const names[] = {
        "name",         "status",        "flavor",         "image",          "ip",
        "ip6",          "changes-since", "changes-before", "reservation_id", "all_tenants",
        "all_projects", "locked",        "key_name",       "config_drive",   "availability_zone",
        "description",  "vm_state",      "task_state",     "limit",          "marker",
        "sort_key",     "sort_dir",      "uuid",           "access_ip_v4",   "access_ip_v6",
        "deleted",      "tags",          "tags-any",       "not-tags",       "not-tags-any"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

static struct err *filter_all_tenants(struct call *c, const char *value, bool *ret_taken)
{
    bool b = true;
    *ret_taken = !c->actor->admin;
    if (*value && !str_to_bool(value, &b))
        return fail(c->cx, ERR_INVALID, "Invalid value for all_tenants: '%s' is not a boolean",
                    value);
    if (b && !c->actor->admin)
        return fail(
            c->cx, ERR_FORBIDDEN,
            "Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed.");
    return NULL;
}

static bool is_tags(const char *name)
{
    return str_eq(name, "tags") || str_eq(name, "tags-any") || str_eq(name, "not-tags") ||
           str_eq(name, "not-tags-any");
}

/* "a,b": "tags" wants all of them, "tags-any" one; "not-" the contrary. */
static bool tags_match(struct call *c, const struct server *s, const char *name, const char *value)
{
    char **wanted;
    size_t n = str_split(c->cx, value, ',', &wanted), has = 0;
    for (size_t i = 0; i < n; i++)
        has += server_has_tag(c->cx, s, wanted[i]);
    bool match = str_ends(name, "-any") ? has > 0 : has == n;
    return str_starts(name, "not-") ? !match : match;
}

static struct err *list_filter(struct call *c, const char *name, const char *value, bool *ret_taken,
                               const char **ret_sql)
{
    struct server_filter *f = c->state;
    bool b = false;
    if (str_eq(name, "all_tenants") || str_eq(name, "all_projects"))
        return filter_all_tenants(c, value, ret_taken);
    *ret_taken = true;
    if (!c->actor->admin && !for_everyone(name))
        return NULL;
    if (str_eq(name, "name")) {
        if (f->by_name)
            return NULL;
        f->by_name = true;
        return compile(c, name, value, &f->name);
    }
    if (str_eq(name, "status"))
        return filter_status(c, value, ret_sql);
    if (str_eq(name, "vm_state") || str_eq(name, "task_state")) {
        *ret_sql = states_with(c->cx, value, name);
        return NULL;
    }
    if (str_eq(name, "changes-since") || (str_eq(name, "changes-before") && c->microversion >= 66))
        return filter_time(c, name, value, ret_sql);
    if (str_eq(name, "deleted")) { /* rows of deleted servers are not kept */
        *ret_sql = str_to_bool(value, &b) && b ? "0 = 1" : NULL;
        return NULL;
    }
    if (str_eq(name, "locked") && c->microversion >= 73) {
        if (!str_to_bool(value, &b))
            return fail(c->cx, ERR_INVALID, "Invalid value for locked: '%s' is not a boolean",
                        value);
        *ret_sql = b ? "locked = 1" : "locked = 0";
        return NULL;
    }
    if (str_eq(name,
               "reservation_id")) { /* who got it with a 202 may ask, though it is not shown */
        *ret_sql = "reservation_id = {value}";
        return NULL;
    }
    if (is_tags(name)) /* by keep_row */
        return NULL;
    *ret_taken = str_eq(name, "ip") || str_eq(name, "ip6"); /* by find_by_ip */
    return NULL;
}

static bool keep_row(struct call *c, const void *row)
{
    const struct server *s = row;
    const struct server_filter *f = c->state;
    if (f->by_name && regexec(&f->name, s->display_name, 0, NULL, 0) != 0)
        return false;
    for (size_t i = 0; f->by_tags && i < c->rq->n_args; i++)
        if (is_tags(c->rq->args[i].name) &&
            !tags_match(c, s, c->rq->args[i].name, c->rq->args[i].value))
            return false;
    for (size_t i = 0; f->by_ip && i < f->n_ids; i++)
        if (str_eq(f->ids[i], s->id))
            return true;
    return !f->by_ip;
}

/* Addresses are the network service's: first the servers that have a matching one. */
static struct err *find_by_ip(struct call *c, struct server_filter *f)
{
    const char *v4 = http_arg(c->rq, "ip"), *v6 = http_arg(c->rq, "ip6"), *pattern = v4 ? v4 : v6;
    struct db_value project = V_TEXT(c->actor->project_id);
    struct db_rows rows;
    struct server_port *ports;
    size_t n;
    if (!pattern)
        return NULL;
    regex_t *re = arena_new_of(c->cx->arena, regex_t);
    TRY(compile(c, v4 ? "ip" : "ip6", pattern, re));
    TRY(db_query(c->cx, c->tx, c->actor->admin ? &stmt_server_ids_all : &stmt_server_ids_of,
                 &project, c->actor->admin ? 0 : 1, &rows));
    const char **ids = arena_new_array(c->cx->arena, const char *, rows.n_rows + 1);
    for (size_t i = 0; i < rows.n_rows; i++)
        ids[i] = db_text(&rows, i, 0);
    TRY(network_ports_shown(c->cx, c->tx, ids, rows.n_rows, &ports, &n));
    f->by_ip = true;
    f->ids = arena_new_array(c->cx->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        bool match = false;
        for (size_t k = 0; k < ports[i].n_ips; k++)
            match = match || (ports[i].ips[k].version == (v4 ? 4 : 6) &&
                              regexec(re, ports[i].ips[k].ip, 0, NULL, 0) == 0);
        if (match)
            f->ids[f->n_ids++] = ports[i].server_id;
    }
    return NULL;
}

static struct err *reply_list(struct call *c, bool brief)
{
    struct server_filter *f = arena_new_of(c->cx->arena, struct server_filter);
    c->state = f;
    TRY(find_by_ip(c, f));
    for (size_t i = 0; c->microversion >= 26 && i < c->rq->n_args; i++)
        f->by_tags = f->by_tags || is_tags(c->rq->args[i].name);
    struct list_more more = {.brief = brief,
                             .filter = list_filter,
                             .keep_needs = NEEDS(server_f_display_name, server_f_tags),
                             .keep = f->by_ip || f->by_tags || http_arg(c->rq, "name") ? keep_row
                                                                                       : NULL};
    return call_reply_list(c, &server_resource, &more);
}

struct err *server_list(struct call *c)
{
    return reply_list(c, true);
}

struct err *server_list_detail(struct call *c)
{
    return reply_list(c, false);
}

struct err *server_show(struct call *c)
{
    return call_reply_row(c, 200, &server_resource, c->target);
}

/* ---------------------------------------------------------------- changing */

struct err *reply_changed(struct call *c, int status, struct server *s)
{
    struct view v = call_view(c);
    void *row = s;
    if (c->microversion < 75)
        c->state = (void *)(uintptr_t)server_reduced;
    TRY(res_prepare(c->cx, c->tx, &server_resource, &row, 1, &v));
    struct jw w = call_json(c, status);
    jw_obj(&w);
    jw_key(&w, "server");
    res_encode(c->cx, &w, &server_resource, s, &v);
    jw_obj_end(&w);
    return NULL;
}

struct err *server_update(struct call *c)
{
    struct server *s = c->body;
    TRY(server_check_lock(c, s));
    TRY(take_hostname(c, s));
    if (s->access_ip_v4 && !*s->access_ip_v4)
        s->access_ip_v4 = NULL;
    if (s->access_ip_v6 && !*s->access_ip_v6)
        s->access_ip_v6 = NULL;
    TRY(server_save(c->cx, c->tx, s));
    return reply_changed(c, 200, s);
}

struct err *server_delete(struct call *c)
{
    struct server *s = c->target;
    call_reply_empty(c, 204);
    if (state_of(s) == ST_DELETING)
        return NULL;
    TRY(server_begin(c, s, SA_DELETE));
    if (!s->host_id)
        return server_remove(c->cx, c->tx, s);
    return server_save(c->cx, c->tx, s);
}
