/* SPDX-License-Identifier: EUPL-1.2 */
/* Version documents and the list of extensions. */
#include "compute/impl.h"

/*
 * v2.0 is what clients from before microversions look for in the list: the same API, found at v2.1.
 */
static void write_version(struct call *c, struct jw *w, bool old, bool one)
{
    const struct family *f = &family_compute;
    jw_obj(w);
    jw_kstr(w, "id", old ? "v2.0" : "v2.1");
    jw_kstr(w, "status", old ? "SUPPORTED" : "CURRENT");
    jw_kstr(w, "version", old ? "" : arena_printf(c->cx->arena, "%u.%u", f->major, f->max));
    jw_kstr(w, "min_version", old ? "" : arena_printf(c->cx->arena, "%u.%u", f->major, f->min));
    jw_kstr(w, "updated", old ? "2011-01-21T11:33:21Z" : "2013-07-23T11:33:21Z");
    jw_karr(w, "links");
    jw_obj(w);
    jw_kstr(w, "rel", "self");
    jw_kstr(w, "href",
            arena_printf(c->cx->arena, "%s/compute/%s/", c->rq->base_url, old ? "v2" : "v2.1"));
    jw_obj_end(w);
    if (one) {
        jw_obj(w);
        jw_kstr(w, "rel", "describedby");
        jw_kstr(w, "type", "text/html");
        jw_kstr(w, "href", "http://docs.openstack.org/");
        jw_obj_end(w);
    }
    jw_arr_end(w);
    if (one) {
        jw_karr(w, "media-types");
        jw_obj(w);
        jw_kstr(w, "base", "application/json");
        jw_kstr(w, "type",
                arena_printf(c->cx->arena, "application/vnd.openstack.compute+json;version=%s",
                             old ? "2" : "2.1"));
        jw_obj_end(w);
        jw_arr_end(w);
    }
    jw_obj_end(w);
}

struct err *versions_list(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "versions");
    write_version(c, &w, true, false);
    write_version(c, &w, false, false);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *show(struct call *c, bool old)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "version");
    write_version(c, &w, old, true);
    jw_obj_end(&w);
    return NULL;
}

struct err *version_show(struct call *c)
{
    return show(c, false);
}

struct err *version_show_old(struct call *c)
{
    return show(c, true);
}

struct err *api_gone(struct call *c)
{
    return fail(c->cx, ERR_GONE, "This was removed from the API: %s %s", c->route->method,
                c->rq->path);
}

/* Extensions are part of the API by now; old clients still ask for some by their alias. */
static const char *const extensions[][2] = {
    {"os-access-server-ips", "AccessIPs"},
    {"os-admin-actions", "AdminActions"},
    {"os-aggregates", "Aggregates"},
    {"os-attach-interfaces", "AttachInterfaces"},
    {"os-availability-zone", "AvailabilityZone"},
    {"os-config-drive", "ConfigDrive"},
    {"os-console-output", "ConsoleOutput"},
    {"os-consoles", "Consoles"},
    {"os-deferred-delete", "DeferredDelete"},
    {"os-extended-status", "ExtendedStatus"},
    {"os-flavor-access", "FlavorAccess"},
    {"os-flavor-extra-specs", "FlavorExtraSpecs"},
    {"os-flavor-manage", "FlavorManage"},
    {"os-floating-ip-pools", "FloatingIpPools"},
    {"os-floating-ips", "FloatingIps"},
    {"os-hosts", "Hosts"},
    {"os-hypervisors", "Hypervisors"},
    {"os-instance-actions", "InstanceActions"},
    {"os-instance-usage-audit-log", "OSInstanceUsageAuditLog"},
    {"os-keypairs", "Keypairs"},
    {"os-lock-server", "LockServer"},
    {"os-migrations", "Migrations"},
    {"os-multinic", "Multinic"},
    {"os-multiple-create", "MultipleCreate"},
    {"os-networks", "Networks"},
    {"os-pause-server", "PauseServer"},
    {"os-quota-class-sets", "QuotaClasses"},
    {"os-quota-sets", "Quotas"},
    {"os-remote-consoles", "Consoles"},
    {"os-rescue", "Rescue"},
    {"os-scheduler-hints", "SchedulerHints"},
    {"os-security-groups", "SecurityGroups"},
    {"os-server-external-events", "ServerExternalEvents"},
    {"os-server-groups", "ServerGroups"},
    {"os-server-password", "ServerPassword"},
    {"os-server-start-stop", "ServerStartStop"},
    {"os-services", "Services"},
    {"os-simple-tenant-usage", "SimpleTenantUsage"},
    {"os-suspend-server", "SuspendServer"},
    {"os-tenant-networks", "OSTenantNetworks"},
    {"os-user-data", "UserData"},
    {"os-volumes", "Volumes"},
};

static void write_extension(struct jw *w, size_t i)
{
    jw_obj(w);
    jw_kstr(w, "name", extensions[i][1]);
    jw_kstr(w, "alias", extensions[i][0]);
    jw_kstr(w, "description", "");
    jw_kstr(w, "namespace", "http://docs.openstack.org/compute/ext/fake_xml");
    jw_kstr(w, "updated", "2014-12-03T00:00:00Z");
    jw_kraw(w, "links", "[]");
    jw_obj_end(w);
}

struct err *extension_list(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "extensions");
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
        write_extension(&w, i);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *extension_show(struct call *c)
{
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
        if (!str_eq(extensions[i][0], call_param(c, "alias")))
            continue;
        struct jw w = call_json(c, 200);
        jw_obj(&w);
        jw_key(&w, "extension");
        write_extension(&w, i);
        jw_obj_end(&w);
        return NULL;
    }
    return fail(c->cx, ERR_NOT_FOUND, "Extension %s could not be found.", call_param(c, "alias"));
}
