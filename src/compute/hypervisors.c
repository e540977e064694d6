/* SPDX-License-Identifier: EUPL-1.2 */
/* os-hypervisors: the hosts as administrators see them, by microversion. */
#include "compute/impl.h"

struct hypervisor {
    const struct fleet_host *host;
    const struct place_host *use;
    int64_t number;
};

int64_t host_number(const struct fleet_host *hosts, size_t n, size_t i)
{
    int64_t older = 0;
    for (size_t k = 0; k < n; k++)
        older +=
            hosts[k].created_us < hosts[i].created_us ||
            (hosts[k].created_us == hosts[i].created_us && strcmp(hosts[k].id, hosts[i].id) < 0);
    return older + 1;
}

static struct err *load(struct call *c, struct hypervisor **ret, size_t *ret_n)
{
    struct fleet_host *hosts;
    struct place_host *use;
    size_t n, n_use;
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    TRY(hosts_snapshot(c->cx, c->tx, &use, &n_use));
    must(n == n_use);
    struct hypervisor *out = arena_new_array(c->cx->arena, struct hypervisor, n + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = (struct hypervisor){&hosts[i], &use[i], host_number(hosts, n, i)};
    *ret = out;
    *ret_n = n;
    return NULL;
}

static void write_id(struct jw *w, const char *key, const struct hypervisor *h,
                     unsigned microversion)
{
    if (microversion >= 53)
        jw_kstr(w, key, h->host->id);
    else
        jw_kint(w, key, h->number);
}

static void write_brief(struct jw *w, const struct hypervisor *h, unsigned microversion)
{
    write_id(w, "id", h, microversion);
    jw_kstr(w, "hypervisor_hostname", h->host->name);
    jw_kstr(w, "state", h->host->alive ? "up" : "down");
    jw_kstr(w, "status", h->host->enabled ? "enabled" : "disabled");
}

/* "http://10.0.0.5:6000/…" → "10.0.0.5" */
const char *host_ip(struct ctx *cx, const struct fleet_host *h)
{
    const char *p = h->agent_url ? strstr(h->agent_url, "://") : NULL;
    json_t *canonical = NULL;
    if (!p)
        return "127.0.0.1";
    p += 3;
    const char *ip = *p == '[' ? arena_strndup(cx->arena, p + 1, strcspn(p + 1, "]"))
                               : arena_strndup(cx->arena, p, strcspn(p, ":/"));
    return check_ip(cx, json_own(cx, json_string(ip)), &canonical) ? "127.0.0.1"
                                                                   : json_string_value(canonical);
}

static void write_cpu_info(struct ctx *cx, struct jw *w, const struct fleet_host *h,
                           unsigned microversion)
{
    json_t *j = NULL;
    bool object =
        h->cpu_info && !json_read(cx, h->cpu_info, strlen(h->cpu_info), &j) && json_is_object(j);
    if (microversion < 28)
        jw_kstr(w, "cpu_info", h->cpu_info ? h->cpu_info : "");
    else
        jw_kraw(w, "cpu_info", object ? h->cpu_info : "{}");
}

static void write_figures(struct jw *w, const struct place_host *u)
{
    jw_kint(w, "vcpus", u->vcpus);
    jw_kint(w, "memory_mb", u->memory_mib);
    jw_kint(w, "local_gb", u->disk_gib);
    jw_kint(w, "vcpus_used", u->used_vcpus);
    jw_kint(w, "memory_mb_used", u->used_memory_mib);
    jw_kint(w, "local_gb_used", u->used_disk_gib);
    jw_kint(w, "free_ram_mb", u->memory_mib - u->used_memory_mib);
    jw_kint(w, "free_disk_gb", u->disk_gib - u->used_disk_gib);
    jw_kint(w, "disk_available_least", u->disk_gib - u->used_disk_gib);
    jw_kint(w, "current_workload", 0);
    jw_kint(w, "running_vms", u->servers);
}

static struct err *write_servers(struct call *c, struct jw *w, const struct hypervisor *h)
{
    void **rows;
    size_t n;
    TRY(res_select_by(c->cx, c->tx, &servers_on_host, &rows, &n, V_TEXT(h->host->id)));
    if (!n && c->microversion >= 53 && c->microversion < 75)
        return NULL;
    jw_karr(w, "servers");
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "uuid", ROW(server, rows, i)->id);
        jw_kstr(w, "name",
                c->microversion >= 53
                    ? ROW(server, rows, i)->display_name
                    : arena_printf(c->cx->arena, "instance-%.8s", ROW(server, rows, i)->id));
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return NULL;
}

static struct err *write_one(struct call *c, struct jw *w, const struct hypervisor *h, bool detail,
                             bool servers)
{
    jw_obj(w);
    write_brief(w, h, c->microversion);
    if (detail) {
        jw_kstr(w, "hypervisor_type", h->host->hypervisor_type);
        jw_kint(w, "hypervisor_version", h->host->hypervisor_version);
        jw_kstr(w, "host_ip", host_ip(c->cx, h->host));
        jw_kobj(w, "service");
        write_id(w, "id", h, c->microversion);
        jw_kstr(w, "host", h->host->name);
        jw_kstr(w, "disabled_reason", h->host->enabled ? NULL : h->host->disabled_reason);
        jw_obj_end(w);
        if (c->microversion < 88) {
            write_figures(w, h->use);
            write_cpu_info(c->cx, w, h->host, c->microversion);
        } else
            jw_kstr(w, "uptime", h->host->uptime);
    }
    if (servers)
        TRY(write_servers(c, w, h));
    jw_obj_end(w);
    return NULL;
}

static const char *id_text(struct call *c, const struct hypervisor *h)
{
    return c->microversion >= 53 ? h->host->id : arena_printf(c->cx->arena, "%" PRId64, h->number);
}

struct page {
    int64_t limit;
    const char *marker;
};

static struct err *read_page(struct call *c, const char *pattern, struct page *ret)
{
    const char *text = http_arg(c->rq, "limit");
    *ret = (struct page){.limit = INT64_MAX};
    if (c->microversion < 33)
        return NULL;
    ret->marker = http_arg(c->rq, "marker");
    if (text && !str_to_i64(text, 0, INT32_MAX, &ret->limit))
        return fail(
            c->cx, ERR_INVALID,
            "Invalid input for query parameters limit. Value: %s. '%s' does not match '^[0-9]*$'",
            text, text);
    if (pattern && (text || ret->marker))
        return fail(c->cx, ERR_INVALID,
                    "Paging over hypervisors with the hypervisor_hostname_pattern query parameter "
                    "is not supported.");
    return NULL;
}

static void write_next(struct call *c, struct jw *w, const struct page *page, const char *last)
{
    const char *detail = str_ends(c->route->pattern, "/detail") ? "/detail" : "";
    jw_karr(w, "hypervisors_links");
    jw_obj(w);
    jw_kstr(w, "rel", "next");
    jw_kstr(w, "href",
            arena_printf(c->cx->arena, "%s/os-hypervisors%s?limit=%" PRId64 "&marker=%s",
                         call_base_url(c), detail, page->limit, last));
    jw_obj_end(w);
    jw_arr_end(w);
}

static struct err *write_list(struct call *c, bool detail, const char *pattern, bool servers)
{
    struct hypervisor *all;
    struct page page;
    size_t n;
    int64_t shown = 0;
    const char *last = NULL;
    bool more = false;
    TRY(read_page(c, pattern, &page));
    TRY(load(c, &all, &n));
    bool started = !page.marker;
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "hypervisors");
    for (size_t i = 0; i < n; i++) {
        const char *id = id_text(c, &all[i]);
        bool wanted = started && (!pattern || strstr(all[i].host->name, pattern));
        more = more || (wanted && shown == page.limit);
        if (wanted && shown < page.limit) {
            TRY(write_one(c, &w, &all[i], detail, servers));
            last = id;
            shown++;
        }
        started = started || str_eq(id, page.marker);
    }
    jw_arr_end(&w);
    if (more && last)
        write_next(c, &w, &page, last);
    jw_obj_end(&w);
    if (!started)
        return fail(c->cx, ERR_INVALID, "marker [%s] not found", page.marker);
    if (pattern && !shown)
        return fail(c->cx, ERR_NOT_FOUND, "No hypervisor matching '%s' could be found.", pattern);
    return NULL;
}

static struct err *list(struct call *c, bool detail)
{
    const char *pattern =
        c->microversion >= 53 ? http_arg(c->rq, "hypervisor_hostname_pattern") : NULL;
    return write_list(c, detail, pattern, c->microversion >= 53 && arg_true(c, "with_servers"));
}

struct err *hypervisor_list(struct call *c)
{
    return list(c, false);
}

struct err *hypervisor_detail(struct call *c)
{
    return list(c, true);
}

struct err *hypervisor_search(struct call *c)
{
    return write_list(c, false, call_param(c, "hypervisor"), false);
}

struct err *hypervisor_servers(struct call *c)
{
    return write_list(c, false, call_param(c, "hypervisor"), true);
}

static struct err *find(struct call *c, struct hypervisor *ret)
{
    struct hypervisor *all;
    size_t n;
    const char *id = call_param(c, "hypervisor");
    if (c->microversion >= 53 && !uuid_valid(id))
        return fail(c->cx, ERR_INVALID, "Invalid uuid %s", id);
    TRY(load(c, &all, &n));
    for (size_t i = 0; i < n; i++)
        if (str_eq(id_text(c, &all[i]), id)) {
            *ret = all[i];
            return NULL;
        }
    return fail(c->cx, ERR_NOT_FOUND, "Hypervisor with ID '%s' could not be found.", id);
}

struct err *hypervisor_show(struct call *c)
{
    struct hypervisor h;
    TRY(find(c, &h));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "hypervisor");
    TRY(write_one(c, &w, &h, true, c->microversion >= 53 && arg_true(c, "with_servers")));
    jw_obj_end(&w);
    return NULL;
}

struct err *hypervisor_uptime(struct call *c)
{
    struct hypervisor h;
    TRY(find(c, &h));
    if (!h.host->alive || !h.host->uptime)
        return fail(c->cx, ERR_INVALID, "Host '%s' is down, or does not tell its uptime.",
                    h.host->name);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "hypervisor");
    write_brief(&w, &h, c->microversion);
    jw_kstr(&w, "uptime", h.host->uptime);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *hypervisor_statistics(struct call *c)
{
    struct hypervisor *all;
    struct place_host sum = {0};
    size_t n, count = 0;
    TRY(load(c, &all, &n));
    for (size_t i = 0; i < n; i++) {
        const struct place_host *u = all[i].use;
        if (!u->enabled)
            continue;
        count++;
        sum.vcpus += u->vcpus;
        sum.memory_mib += u->memory_mib;
        sum.disk_gib += u->disk_gib;
        sum.used_vcpus += u->used_vcpus;
        sum.used_memory_mib += u->used_memory_mib;
        sum.used_disk_gib += u->used_disk_gib;
        sum.servers += u->servers;
    }
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "hypervisor_statistics");
    jw_kint(&w, "count", (int64_t)count);
    write_figures(&w, &sum);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}
