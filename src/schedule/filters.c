/* SPDX-License-Identifier: EUPL-1.2 */
/* What refuses a host: each row passes it or tells what is missing. */
#include "schedule/impl.h"

static bool host_asked(const struct place_request *rq)
{
    return rq->host != NULL;
}

static bool is_named(const struct place_host *h, const struct place_request *rq)
{
    return str_eq(rq->host, h->name) || str_eq(rq->host, h->id);
}

static bool is_enabled(const struct place_host *h, const struct place_request *rq UNUSED)
{
    return h->enabled;
}

static const char *disabled_reason(struct ctx *cx UNUSED, const struct place_host *h,
                                   const struct place_request *rq UNUSED)
{
    return h->disabled_reason && *h->disabled_reason ? h->disabled_reason : NULL;
}

static bool is_alive(const struct place_host *h, const struct place_request *rq UNUSED)
{
    return h->alive;
}

static bool pool_asked(const struct place_request *rq)
{
    return rq->pool_id != NULL;
}

static bool reaches_pool(const struct place_host *h, const struct place_request *rq)
{
    return str_eq(rq->pool_id, h->pool_id);
}

/* ---------------------------------------------------------------- zones, hints */

static bool zone_asked(const struct place_request *rq)
{
    return rq->zone != NULL;
}

static bool in_zone(const struct place_host *h, const struct place_request *rq)
{
    return str_eq(rq->zone, h->zone);
}

static const char *asked_zone(struct ctx *cx, const struct place_host *h UNUSED,
                              const struct place_request *rq)
{
    return arena_printf(cx->arena, "requested: %s", rq->zone);
}

static bool is_one_of(const char *id, const char *const *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(ids[i], id))
            return true;
    return false;
}

static bool same_asked(const struct place_request *rq)
{
    return rq->same_hosts != NULL;
}

static bool is_same_host(const struct place_host *h, const struct place_request *rq)
{
    return is_one_of(h->id, rq->same_hosts, rq->n_same_hosts);
}

static bool different_asked(const struct place_request *rq)
{
    return rq->n_different_hosts > 0;
}

static bool is_different_host(const struct place_host *h, const struct place_request *rq)
{
    return !is_one_of(h->id, rq->different_hosts, rq->n_different_hosts);
}

static bool near_asked(const struct place_request *rq)
{
    return rq->near != NULL;
}

static bool is_near(const struct place_host *h, const struct place_request *rq)
{
    return place_in_subnet(h->address, rq->near);
}

static const char *asked_subnet(struct ctx *cx UNUSED, const struct place_host *h UNUSED,
                                const struct place_request *rq)
{
    return rq->near;
}

/* ---------------------------------------------------------------- aggregates and images */

static bool specs_asked(const struct place_request *rq)
{
    return rq->n_specs > 0;
}

static const struct place_pair *unmet_spec(const struct place_host *h,
                                           const struct place_request *rq)
{
    for (size_t i = 0; i < rq->n_specs; i++) {
        bool met = false;
        for (size_t k = 0; k < h->n_metadata && !met; k++)
            met = str_eq(h->metadata[k].key, rq->specs[i].key) &&
                  place_spec_match(h->metadata[k].value, rq->specs[i].value);
        if (!met)
            return &rq->specs[i];
    }
    return NULL;
}

static bool has_specs(const struct place_host *h, const struct place_request *rq)
{
    return !unmet_spec(h, rq);
}

static const char *asked_spec(struct ctx *cx, const struct place_host *h,
                              const struct place_request *rq)
{
    const struct place_pair *spec = unmet_spec(h, rq);
    return arena_printf(cx->arena, "wants %s: %s", spec->key, spec->value);
}

/* What the host says under the key: nothing, this among others, or others alone. */
enum said { SAYS_NOTHING, SAYS_THIS, SAYS_OTHER };

static enum said host_says(const struct place_host *h, const char *key, const char *value)
{
    enum said said = SAYS_NOTHING;
    for (size_t i = 0; i < h->n_metadata && said != SAYS_THIS; i++)
        if (str_eq(h->metadata[i].key, key))
            said = strcasecmp(h->metadata[i].value, value) == 0 ? SAYS_THIS : SAYS_OTHER;
    return said;
}

static bool image_asked(const struct place_request *rq)
{
    return rq->n_image > 0;
}

/* What an image needs of the host itself, under the name that hosts tell it by. */
static const struct {
    const char *property, *capability;
} image_needs[] = {{"hw_architecture", "capabilities:cpu_arch"},
                   {"architecture", "capabilities:cpu_arch"},
                   {"img_hv_type", "capabilities:hypervisor_type"},
                   {"hypervisor_type", "capabilities:hypervisor_type"}};

static const char *capability_for(const struct place_pair *property)
{
    for (size_t i = 0; i < ARRAY_LEN(image_needs); i++)
        if (str_eq(property->key, image_needs[i].property))
            return image_needs[i].capability;
    return NULL;
}

bool place_asks_capabilities(const struct place_request *rq)
{
    bool image = false;
    for (size_t i = 0; i < rq->n_image; i++)
        image = image || capability_for(&rq->image[i]);
    return image || rq->n_specs || rq->near;
}

static const struct place_pair *unmet_property(const struct place_host *h,
                                               const struct place_request *rq)
{
    for (size_t i = 0; i < rq->n_image; i++) {
        const char *capability = capability_for(&rq->image[i]);
        if (capability && host_says(h, capability, rq->image[i].value) == SAYS_OTHER)
            return &rq->image[i];
    }
    return NULL;
}

static bool suits_image(const struct place_host *h, const struct place_request *rq)
{
    return !unmet_property(h, rq);
}

static const char *asked_property(struct ctx *cx, const struct place_host *h,
                                  const struct place_request *rq)
{
    const struct place_pair *p = unmet_property(h, rq);
    return arena_printf(cx->arena, "the image has %s: %s", p->key, p->value);
}

/* An aggregate that speaks of a property of the image takes images with its values alone. */
static bool aggregate_takes_image(const struct place_host *h, const struct place_request *rq)
{
    for (size_t i = 0; i < rq->n_image; i++)
        if (host_says(h, rq->image[i].key, rq->image[i].value) == SAYS_OTHER)
            return false;
    return true;
}

static bool traits_asked(const struct place_request *rq)
{
    return rq->n_traits > 0;
}

bool place_has_trait(const struct place_host *h, const char *name)
{
    return is_one_of(name, h->traits, h->n_traits);
}

static const struct place_pair *unmet_trait(const struct place_host *h,
                                            const struct place_request *rq)
{
    for (size_t i = 0; i < rq->n_traits; i++)
        if (place_has_trait(h, rq->traits[i].key) != str_eq(rq->traits[i].value, "required"))
            return &rq->traits[i];
    return NULL;
}

static bool has_traits(const struct place_host *h, const struct place_request *rq)
{
    return !unmet_trait(h, rq);
}

static const char *asked_trait(struct ctx *cx, const struct place_host *h,
                               const struct place_request *rq)
{
    const struct place_pair *t = unmet_trait(h, rq);
    return arena_printf(cx->arena, "%s is %s", t->key, t->value);
}

static bool project_asked(const struct place_request *rq)
{
    return rq->project_id != NULL;
}

/* "filter_tenant_id", and with any suffix where one text is too short for all. */
static bool is_for_project(const struct place_host *h, const struct place_request *rq)
{
    bool limited = false;
    for (size_t i = 0; i < h->n_metadata; i++) {
        if (!str_starts(h->metadata[i].key, "filter_tenant_id"))
            continue;
        if (str_eq(h->metadata[i].value, rq->project_id))
            return true;
        limited = true;
    }
    return !limited;
}

static bool flavor_asked(const struct place_request *rq)
{
    return rq->flavor_name != NULL;
}

static bool is_for_flavor(const struct place_host *h, const struct place_request *rq)
{
    return host_says(h, "instance_type", rq->flavor_name) != SAYS_OTHER;
}

/* ---------------------------------------------------------------- server groups */

static bool affinity_asked(const struct place_request *rq)
{
    return rq->group == PLACE_AFFINITY && !rq->soft && rq->group_size;
}

static bool keeps_affinity(const struct place_host *h, const struct place_request *rq UNUSED)
{
    return h->group_members > 0;
}

static bool anti_affinity_asked(const struct place_request *rq)
{
    return rq->group == PLACE_ANTI_AFFINITY && !rq->soft;
}

static bool keeps_anti_affinity(const struct place_host *h, const struct place_request *rq)
{
    return h->group_members < max_i64(1, rq->group_per_host);
}

/* ---------------------------------------------------------------- room */

static struct room vcpu_room(const struct place_host *h, const struct place_request *rq)
{
    return (struct room){rq->vcpus, place_left(h->can_vcpus, h->used_vcpus, h->vcpus)};
}

static struct room memory_room(const struct place_host *h, const struct place_request *rq)
{
    return (struct room){rq->memory_mib,
                         place_left(h->can_memory_mib, h->used_memory_mib, h->memory_mib)};
}

static struct room disk_room(const struct place_host *h, const struct place_request *rq)
{
    return (struct room){place_disk_need(h, rq),
                         place_left(h->can_disk_gib, h->used_disk_gib, h->disk_gib)};
}

static bool takes_one_more(const struct place_host *h, const struct place_request *rq UNUSED)
{
    return !h->servers_max || h->servers < h->servers_max;
}

static const char *most_servers(struct ctx *cx, const struct place_host *h,
                                const struct place_request *rq UNUSED)
{
    return arena_printf(cx->arena, "at most %" PRId64 " on %s", h->servers_max, h->name);
}

const struct filter place_filters[] = {
    {.asked = host_asked, .passes = is_named, .refused = "not the requested host"},
    {.asked = pool_asked,
     .passes = reaches_pool,
     .refused = "without a way to the volumes' storage"},
    {.passes = is_enabled, .refused = "disabled", .about = disabled_reason},
    {.name = "ComputeFilter", .passes = is_alive, .refused = "not reporting"},
    {.name = "AvailabilityZoneFilter",
     .asked = zone_asked,
     .passes = in_zone,
     .refused = "in another availability zone",
     .about = asked_zone},
    {.name = "SameHostFilter",
     .asked = same_asked,
     .passes = is_same_host,
     .refused = "without the servers that same_host names"},
    {.name = "DifferentHostFilter",
     .asked = different_asked,
     .passes = is_different_host,
     .refused = "with a server that different_host names"},
    {.name = "SimpleCIDRAffinityFilter",
     .asked = near_asked,
     .passes = is_near,
     .refused = "outside of the requested subnet",
     .about = asked_subnet},
    {.name = "AggregateInstanceExtraSpecsFilter",
     .asked = specs_asked,
     .passes = has_specs,
     .refused = "in no aggregate that suits the flavor",
     .about = asked_spec},
    {.asked = traits_asked,
     .passes = has_traits,
     .refused = "without the traits that the flavor wants",
     .about = asked_trait},
    {.name = "AggregateTypeAffinityFilter",
     .asked = flavor_asked,
     .passes = is_for_flavor,
     .refused = "in an aggregate for other flavors"},
    {.name = "AggregateMultiTenancyIsolation",
     .asked = project_asked,
     .passes = is_for_project,
     .refused = "in an aggregate for other projects"},
    {.name = "ImagePropertiesFilter",
     .asked = image_asked,
     .passes = suits_image,
     .refused = "unable to run the image",
     .about = asked_property},
    {.name = "AggregateImagePropertiesIsolation",
     .asked = image_asked,
     .passes = aggregate_takes_image,
     .refused = "in an aggregate for other images"},
    {.name = "ServerGroupAffinityFilter",
     .asked = affinity_asked,
     .passes = keeps_affinity,
     .refused = "away from the server group"},
    {.name = "ServerGroupAntiAffinityFilter",
     .asked = anti_affinity_asked,
     .passes = keeps_anti_affinity,
     .refused = "full for the server group"},
    {.name = "NumInstancesFilter",
     .passes = takes_one_more,
     .refused = "have all the servers they may",
     .about = most_servers},
    {.room = vcpu_room, .refused = "lack vCPUs", .unit = ""},
    {.room = memory_room, .refused = "lack memory", .unit = " MiB"},
    {.room = disk_room, .refused = "lack disk", .unit = " GiB"},
};
const size_t place_n_filters = ARRAY_LEN(place_filters);
static_assert(ARRAY_LEN(place_filters) <= 32, "a policy's filters are bits of 32");
