/* SPDX-License-Identifier: EUPL-1.2 */
/* The placement service: routes, the kinds of room, resource classes. */
#include "placement/impl.h"

#define HOST(member) offsetof(struct place_host, member)
const struct room_kind room_kinds[ROOMS] = {
    {"VCPU", "vcpus", HOST(vcpus), HOST(reserved_vcpus), HOST(ratios.vcpus), HOST(can_vcpus),
     HOST(used_vcpus)},
    {"MEMORY_MB", "memory", HOST(memory_mib), HOST(reserved_memory_mib), HOST(ratios.memory),
     HOST(can_memory_mib), HOST(used_memory_mib)},
    {"DISK_GB", "disk", HOST(disk_gib), HOST(reserved_disk_gib), HOST(ratios.disk),
     HOST(can_disk_gib), HOST(used_disk_gib)},
};

/* os-resource-classes' */
static const char *const classes[] = {"VCPU",
                                      "MEMORY_MB",
                                      "DISK_GB",
                                      "PCI_DEVICE",
                                      "SRIOV_NET_VF",
                                      "NUMA_SOCKET",
                                      "NUMA_CORE",
                                      "NUMA_THREAD",
                                      "NUMA_MEMORY_MB",
                                      "IPV4_ADDRESS",
                                      "VGPU",
                                      "VGPU_DISPLAY_HEAD",
                                      "NET_BW_EGR_KILOBIT_PER_SEC",
                                      "NET_BW_IGR_KILOBIT_PER_SEC",
                                      "PCPU",
                                      "MEM_ENCRYPTION_CONTEXT",
                                      "FPGA",
                                      "PGPU",
                                      "NET_PACKET_RATE_KILOPACKET_PER_SEC",
                                      "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
                                      "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC"};

int64_t room_of(const struct place_host *h, size_t member)
{
    int64_t v;
    memcpy(&v, (const char *)h + member, sizeof(v));
    return v;
}

int room_find(const char *name)
{
    for (int i = 0; i < ROOMS; i++)
        if (str_eq(room_kinds[i].name, name))
            return i;
    return -1;
}

bool class_known(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        if (str_eq(classes[i], name))
            return true;
    return false;
}

struct err *refuse(struct call *c, const char *reason)
{
    return fail(c->cx, ERR_CONFLICT, "%s", reason);
}

struct err *placement_versions(struct call *c)
{
    const struct family *f = &family_placement;
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "versions");
    jw_obj(&w);
    jw_kstr(&w, "id", "v1.0");
    jw_kstr(&w, "max_version", arena_printf(c->cx->arena, "%u.%u", f->major, f->max));
    jw_kstr(&w, "min_version", arena_printf(c->cx->arena, "%u.%u", f->major, f->min));
    jw_kstr(&w, "status", "CURRENT");
    jw_karr(&w, "links");
    jw_obj(&w);
    jw_kstr(&w, "rel", "self");
    jw_kstr(&w, "href", "");
    jw_obj_end(&w);
    jw_arr_end(&w);
    jw_obj_end(&w);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- resource classes */

static void write_class(struct call *c, struct jw *w, const char *name)
{
    jw_obj(w);
    jw_kstr(w, "name", name);
    jw_karr(w, "links");
    jw_obj(w);
    jw_kstr(w, "rel", "self");
    jw_kstr(w, "href", arena_printf(c->cx->arena, "/placement/resource_classes/%s", name));
    jw_obj_end(w);
    jw_arr_end(w);
    jw_obj_end(w);
}

struct err *class_list(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "resource_classes");
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        write_class(c, &w, classes[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *find_class(struct call *c)
{
    const char *name = call_param(c, "name");
    return class_known(name) ? NULL
                             : fail(c->cx, ERR_NOT_FOUND, "No such resource class: %s", name);
}

struct err *class_show(struct call *c)
{
    TRY(find_class(c));
    struct jw w = call_json(c, 200);
    write_class(c, &w, call_param(c, "name"));
    return NULL;
}

struct err *class_create(struct call *c)
{
    return refuse(c, "This cloud's hosts have VCPU, MEMORY_MB and DISK_GB: a resource class of "
                     "one's own would be nowhere. Use a trait (CUSTOM_…) to mark hosts.");
}

struct err *class_update(struct call *c)
{
    return class_create(c);
}

struct err *class_delete(struct call *c)
{
    TRY(find_class(c));
    return refuse(c, "Standard resource classes can't be deleted.");
}

/* ---------------------------------------------------------------- the service */

static const struct route routes[] = {
#define API(method, path, handler, policy, ...) ROUTE(method, path, handler, policy, __VA_ARGS__),
#include "placement/routes.def"
#undef API
};

const struct service placement_service = {
    .name = "placement", .family = &family_placement, SERVICE_LIST(routes, routes)};
