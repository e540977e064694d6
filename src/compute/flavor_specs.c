/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The extra specs that are known, and their values: checked since 2.86, as nova does. A name in a
 * known namespace must be here; others, and names without one, are the operator's own.
 */
#include "compute/impl.h"
#include <ctype.h>
#include <regex.h>

enum spec_kind { SPEC_TEXT, SPEC_INT, SPEC_BOOL };

struct spec {
    const char *name; /* '#' stands for a number, '*' at the end for anything */
    enum spec_kind kind;
    int64_t min;        /* of an INT */
    const char *values; /* of a TEXT: "a|b|c", the only ones */
    const char *regex;  /* of a TEXT */
};

#define CPU_LIST "^\\^?[0-9]+(-[0-9]+)?(,\\^?[0-9]+(-[0-9]+)?)*$"

static const struct spec specs[] = {
    {"hw:cpu_realtime", SPEC_BOOL},
    {"hw:cpu_realtime_mask", .regex = CPU_LIST},
    {"hw:hide_hypervisor_id", SPEC_BOOL},
    {"hw:cpu_policy", .values = "dedicated|shared|mixed"},
    {"hw:cpu_thread_policy", .values = "prefer|isolate|require"},
    {"hw:emulator_threads_policy", .values = "isolate|share"},
    {"hw:cpu_dedicated_mask", .regex = CPU_LIST},
    {"hw:mem_page_size", .regex = "^(large|small|any|[0-9]+([kKMGT]i?)?(b|bit|B)?)$"},
    {"hw:numa_nodes", SPEC_INT, 1},
    {"hw:numa_cpus.#", .regex = CPU_LIST},
    {"hw:numa_mem.#", SPEC_INT, 1},
    {"hw:pci_numa_affinity_policy", .values = "required|preferred|legacy|socket"},
    {"hw:cpu_sockets", SPEC_INT, 1},
    {"hw:cpu_cores", SPEC_INT, 1},
    {"hw:cpu_threads", SPEC_INT, 1},
    {"hw:max_cpu_sockets", SPEC_INT, 1},
    {"hw:max_cpu_cores", SPEC_INT, 1},
    {"hw:max_cpu_threads", SPEC_INT, 1},
    {"hw:boot_menu", SPEC_BOOL},
    {"hw:locked_memory", SPEC_BOOL},
    {"hw:mem_encryption", SPEC_BOOL},
    {"hw:pmem", .regex = "^([a-zA-Z0-9_]+,?)+$"},
    {"hw:pmu", SPEC_BOOL},
    {"hw:serial_port_count", SPEC_INT},
    {"hw:tpm_model", .values = "tpm-tis|tpm-crb"},
    {"hw:tpm_version", .values = "1.2|2.0"},
    {"hw:vif_multiqueue_enabled", SPEC_BOOL},
    {"hw:viommu_model", .values = "auto|intel|smmuv3|virtio"},
    {"hw:virtio_packed_ring", SPEC_BOOL},
    {"hw:watchdog_action", .values = "none|pause|poweroff|reset|disabled"},
    {"hw_rng:allowed", SPEC_BOOL},
    {"hw_rng:rate_bytes", SPEC_INT},
    {"hw_rng:rate_period", SPEC_INT},
    {"hw_video:ram_max_mb", SPEC_INT},
    {"os:secure_boot", .values = "disabled|required"},
    {"hide_hypervisor_id", SPEC_BOOL},
    {"group_policy", .values = "isolate|none"},
    {"quota:cpu_shares", SPEC_INT},
    {"quota:cpu_period", SPEC_INT},
    {"quota:cpu_quota", SPEC_INT},
    {"quota:disk_read_bytes_sec", SPEC_INT},
    {"quota:disk_read_iops_sec", SPEC_INT},
    {"quota:disk_write_bytes_sec", SPEC_INT},
    {"quota:disk_write_iops_sec", SPEC_INT},
    {"quota:disk_total_bytes_sec", SPEC_INT},
    {"quota:disk_total_iops_sec", SPEC_INT},
    {"quota:vif_inbound_average", SPEC_INT},
    {"quota:vif_inbound_peak", SPEC_INT},
    {"quota:vif_inbound_burst", SPEC_INT},
    {"quota:vif_outbound_average", SPEC_INT},
    {"quota:vif_outbound_peak", SPEC_INT},
    {"quota:vif_outbound_burst", SPEC_INT},
    {"pci_passthrough:alias", .regex = "^[^:]+:[0-9]+(,[^:,]+:[0-9]+)*$"},
    {"accel:device_profile", SPEC_TEXT},
    {"resources:VCPU", SPEC_INT},
    {"resources:PCPU", SPEC_INT},
    {"resources:MEMORY_MB", SPEC_INT},
    {"resources:DISK_GB", SPEC_INT},
    {"resources:VGPU", SPEC_INT},
    {"resources:CUSTOM_*", SPEC_INT},
    {"trait:*", .values = "required|forbidden"},
    {"aggregate_instance_extra_specs:*", SPEC_TEXT},
    {"capabilities:*", SPEC_TEXT},
};

static bool name_matches(const char *pattern, const char *name)
{
    for (; *pattern; pattern++) {
        if (*pattern == '*')
            return *name != 0;
        if (*pattern == '#') {
            if (!isdigit((unsigned char)*name))
                return false;
            while (isdigit((unsigned char)*name))
                name++;
        } else if (*name++ != *pattern)
            return false;
    }
    return !*name;
}

static const struct spec *known(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(specs); i++)
        if (name_matches(specs[i].name, name))
            return &specs[i];
    return NULL;
}

static bool namespace_known(const char *name)
{
    const char *colon = strchr(name, ':');
    size_t n = colon ? (size_t)(colon - name) + 1 : 0;
    for (size_t i = 0; n && i < ARRAY_LEN(specs); i++)
        if (strncmp(specs[i].name, name, n) == 0)
            return true;
    return false;
}

static struct err *check_int(struct call *c, const struct spec *s, const char *value)
{
    int64_t n;
    if (!str_to_i64(value, INT64_MIN, INT64_MAX, &n))
        return fail(c->cx, ERR_INVALID, "Validation failed; '%s' is not a valid integer value.",
                    value);
    if (n < s->min)
        return fail(c->cx, ERR_INVALID,
                    "Validation failed; '%s' is less than the min value of '%" PRId64 "'.", value,
                    s->min);
    return NULL;
}

static struct err *check_value(struct call *c, const struct spec *s, const char *value)
{
    char **parts;
    size_t n = str_split(c->cx, s->values, '|', &parts);
    for (size_t i = 0; i < n; i++)
        if (str_eq(parts[i], value))
            return NULL;
    return fail(c->cx, ERR_INVALID, "Validation failed; '%s' is not one of: %s.", value, s->values);
}

static struct err *check_regex(struct call *c, const struct spec *s, const char *value)
{
    regex_t re;
    must(regcomp(&re, s->regex, REG_EXTENDED | REG_NOSUB) == 0);
    bool ok = regexec(&re, value, 0, NULL, 0) == 0;
    regfree(&re);
    return ok ? NULL
              : fail(c->cx, ERR_INVALID, "Validation failed; '%s' is not of the format '%s'.",
                     value, s->regex);
}

struct err *flavor_spec_check(struct call *c, const char *name, const char *value)
{
    bool b;
    const struct spec *s = known(name);
    if (!s && namespace_known(name))
        return fail(c->cx, ERR_INVALID,
                    "Validation failed; extra spec '%s' does not appear to be a valid extra spec.",
                    name);
    if (!s)
        return NULL;
    if (s->kind == SPEC_INT)
        return check_int(c, s, value);
    if (s->kind == SPEC_BOOL && !str_to_bool(value, &b))
        return fail(c->cx, ERR_INVALID,
                    "Validation failed; '%s' is not a valid boolean-like value.", value);
    if (s->values)
        return check_value(c, s, value);
    return s->regex ? check_regex(c, s, value) : NULL;
}
