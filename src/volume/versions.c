/* SPDX-License-Identifier: EUPL-1.2 */
/* Version documents and the list of extensions. */
#include "volume/impl.h"

static void write_link(struct jw *w, const char *rel, const char *type, const char *href)
{
    jw_obj(w);
    jw_kstr(w, "rel", rel);
    if (type)
        jw_kstr(w, "type", type);
    jw_kstr(w, "href", href);
    jw_obj_end(w);
}

/* The list of one version, which both documents are. */
static struct err *reply_versions(struct call *c, int status)
{
    const struct family *f = &family_volume;
    struct jw w = call_json(c, status);
    jw_obj(&w);
    jw_karr(&w, "versions");
    jw_obj(&w);
    jw_kstr(&w, "id", "v3.0");
    jw_kstr(&w, "status", "CURRENT");
    jw_kstr(&w, "version", arena_printf(c->cx->arena, "%u.%u", f->major, f->max));
    jw_kstr(&w, "min_version", arena_printf(c->cx->arena, "%u.%u", f->major, f->min));
    jw_kstr(&w, "updated", "2022-08-31T00:00:00Z");
    jw_karr(&w, "links");
    write_link(&w, "describedby", "text/html", "https://docs.openstack.org/");
    write_link(&w, "self", NULL, arena_printf(c->cx->arena, "%s/volume/v3/", c->rq->base_url));
    jw_arr_end(&w);
    jw_karr(&w, "media-types");
    jw_obj(&w);
    jw_kstr(&w, "base", "application/json");
    jw_kstr(&w, "type", "application/vnd.openstack.volume+json;version=3");
    jw_obj_end(&w);
    jw_arr_end(&w);
    jw_obj_end(&w);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *volume_versions(struct call *c)
{
    return reply_versions(c, 300);
}

struct err *volume_version(struct call *c)
{
    return reply_versions(c, 200);
}

/* Part of the API by now; old clients still look for some. */
static const struct {
    const char *alias, *name, *description;
} extensions[] = {
    {"os-hosts", "Hosts", "Admin-only host administration."},
    {"os-services", "Services", "Services support."},
    {"os-availability-zone", "AvailabilityZones", "Describe Availability Zones."},
    {"os-quota-sets", "Quotas", "Quota management support."},
    {"os-quota-class-sets", "QuotaClasses", "Quota classes management support."},
    {"os-used-limits", "UsedLimits", "Provide data on limited resources that are being used."},
    {"os-types-manage", "TypesManage", "Types manage support."},
    {"os-types-extra-specs", "TypesExtraSpecs", "Type extra specs support."},
    {"os-volume-type-access", "VolumeTypeAccess", "Volume type access support."},
    {"encryption", "VolumeTypeEncryption", "Encryption support for volume types."},
    {"qos-specs", "Qos_specs_manage", "QoS specs support."},
    {"os-volume-actions", "VolumeActions", "Enable volume actions."},
    {"os-admin-actions", "AdminActions", "Enable admin actions."},
    {"os-snapshot-actions", "SnapshotActions", "Enable snapshot manager actions."},
    {"os-vol-image-meta", "VolumeImageMetadata", "Show image metadata associated with the volume."},
    {"os-vol-host-attr", "VolumeHostAttribute", "Expose host as an attribute of a volume."},
    {"os-vol-tenant-attr", "VolumeTenantAttribute",
     "Expose the internal project_id as an attribute of a volume."},
    {"os-extended-snapshot-attributes", "ExtendedSnapshotAttributes",
     "Extended SnapshotAttributes support."},
    {"os-volume-transfer", "VolumeTransfer", "Volume transfer management support."},
    {"scheduler-stats", "Scheduler_stats", "Scheduler stats support."},
    {"capabilities", "Capabilities", "Capabilities support."},
};

static void write_extension(struct jw *w, size_t i)
{
    jw_obj(w);
    jw_kstr(w, "name", extensions[i].name);
    jw_kstr(w, "alias", extensions[i].alias);
    jw_kstr(w, "description", extensions[i].description);
    jw_kstr(w, "updated", "2013-06-01T00:00:00+00:00");
    jw_kraw(w, "links", "[]");
    jw_obj_end(w);
}

struct err *volume_extensions(struct call *c)
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

struct err *volume_extension(struct call *c)
{
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
        if (!str_eq(extensions[i].alias, call_param(c, "alias")))
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
