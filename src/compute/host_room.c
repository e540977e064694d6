/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What administrators say of a single host beyond its aggregates: ratios and reserves of its room,
 * and traits; and what a host's CPU and this cloud give it of traits by themselves.
 */
#include "compute/impl.h"

const struct stmt stmt_host_rooms = {"host_rooms",
                                     "SELECT host_id, kind, ratio, reserved FROM host_rooms"};
const struct stmt stmt_host_rooms_of = {
    "host_rooms_of", "SELECT host_id, kind, ratio, reserved FROM host_rooms WHERE host_id = $1"};
const struct stmt stmt_host_room_put = {
    "host_room_put",
    "INSERT INTO host_rooms (host_id, kind, ratio, reserved) VALUES ($1, $2, $3, $4) ON CONFLICT "
    "(host_id, kind) DO UPDATE SET ratio = excluded.ratio, reserved = excluded.reserved"};
const struct stmt stmt_host_rooms_forget = {"host_rooms_forget",
                                            "DELETE FROM host_rooms WHERE host_id = $1"};
const struct stmt stmt_traits = {"traits", "SELECT name FROM traits ORDER BY name"};
const struct stmt stmt_trait_make = {
    "trait_make", "INSERT INTO traits (name) VALUES ($1) ON CONFLICT DO NOTHING"};
const struct stmt stmt_trait_drop = {"trait_drop", "DELETE FROM traits WHERE name = $1"};
const struct stmt stmt_trait_used = {"trait_used",
                                     "SELECT 1 FROM host_traits WHERE trait = $1 LIMIT 1"};
const struct stmt stmt_host_traits = {
    "host_traits", "SELECT host_id, trait FROM host_traits ORDER BY host_id, trait"};
const struct stmt stmt_host_traits_of = {
    "host_traits_of", "SELECT host_id, trait FROM host_traits WHERE host_id = $1 ORDER BY trait"};
const struct stmt stmt_host_trait_add = {
    "host_trait_add",
    "INSERT INTO host_traits (host_id, trait) VALUES ($1, $2) ON CONFLICT DO NOTHING"};
const struct stmt stmt_host_traits_forget = {"host_traits_forget",
                                             "DELETE FROM host_traits WHERE host_id = $1"};

/* ---------------------------------------------------------------- ratios and reserves */

static void take_room(struct place_host *h, const char *kind, int64_t ratio, int64_t reserved)
{
    const struct {
        const char *kind;
        int64_t *ratio, *reserved;
    } rooms[] = {{"vcpus", &h->ratios.vcpus, &h->reserved_vcpus},
                 {"memory", &h->ratios.memory, &h->reserved_memory_mib},
                 {"disk", &h->ratios.disk, &h->reserved_disk_gib}};
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
        if (!str_eq(rooms[i].kind, kind))
            continue;
        if (ratio)
            *rooms[i].ratio = ratio;
        if (reserved >= 0)
            *rooms[i].reserved = reserved;
    }
}

struct err *hosts_take_rooms(struct ctx *cx, struct tx *tx, const char *host_id,
                             struct place_host **sorted, size_t n)
{
    struct db_rows rows;
    TRY(hosts_query(cx, tx, host_id, &stmt_host_rooms, &stmt_host_rooms_of, &rows));
    for (size_t i = 0; i < rows.n_rows; i++) {
        struct place_host *h = host_with_id(sorted, n, db_text(&rows, i, 0));
        if (h)
            take_room(h, db_text(&rows, i, 1), db_int(&rows, i, 2), db_int(&rows, i, 3));
    }
    return NULL;
}

struct err *compute_host_set_room(struct ctx *cx, struct tx *tx, const char *host_id,
                                  const char *kind, int64_t ratio, int64_t reserved)
{
    TRY(db_run(cx, tx, &stmt_host_room_put, V_TEXT(host_id), V_TEXT(kind), V_INT(ratio),
               V_INT(reserved)));
    return fleet_host_changed(cx, tx, host_id);
}

/* ---------------------------------------------------------------- traits it has by itself */

/* What each host of this cloud does. */
static const char *const common_traits[] = {
    "COMPUTE_DEVICE_TAGGING", "COMPUTE_IMAGE_TYPE_QCOW2",
    "COMPUTE_IMAGE_TYPE_RAW", "COMPUTE_NET_ATTACH_INTERFACE",
    "COMPUTE_NODE",           "COMPUTE_VOLUME_ATTACH_WITH_TAG",
    "COMPUTE_VOLUME_EXTEND",
};

/* os-traits' names of what /proc/cpuinfo calls otherwise; others are the same in capitals. */
static const struct {
    const char *flag, *trait;
} cpu_traits[] = {
    {"aes", "AESNI"},         {"avx", "AVX"},           {"avx2", "AVX2"},
    {"avx512bw", "AVX512BW"}, {"avx512cd", "AVX512CD"}, {"avx512dq", "AVX512DQ"},
    {"avx512f", "AVX512F"},   {"avx512vl", "AVX512VL"}, {"bmi1", "BMI"},
    {"bmi2", "BMI2"},         {"f16c", "F16C"},         {"fma", "FMA3"},
    {"mmx", "MMX"},           {"pclmulqdq", "CLMUL"},   {"pni", "SSE3"},
    {"rtm", "TSX"},           {"sha_ni", "SHA"},        {"sse", "SSE"},
    {"sse2", "SSE2"},         {"sse4_1", "SSE41"},      {"sse4_2", "SSE42"},
    {"sse4a", "SSE4A"},       {"ssse3", "SSSE3"},       {"svm", "SVM"},
    {"vmx", "VMX"},
};

struct trait_list {
    const char **names;
    size_t n;
};

static void add_trait(struct ctx *cx, struct trait_list *l, const char *name)
{
    if (!(l->n & (l->n - 1))) { /* room doubles at powers of two */
        const char **names = arena_new_array(cx->arena, const char *, l->n * 2 + 1);
        if (l->n)
            memcpy(names, l->names, l->n * sizeof(*names));
        l->names = names;
    }
    l->names[l->n++] = name;
}

static void add_cpu_traits(struct ctx *cx, struct trait_list *l, const char *cpu_info)
{
    json_t *cpu = NULL;
    if (!cpu_info || json_read(cx, cpu_info, strlen(cpu_info), &cpu))
        return;
    const char *arch = json_get_str(cpu, "arch");
    if (str_eq(arch, "x86_64"))
        add_trait(cx, l, "HW_ARCH_X86_64");
    const json_t *flags = json_get(cpu, "features");
    for (size_t i = 0; i < json_array_size(flags); i++)
        for (size_t k = 0; k < ARRAY_LEN(cpu_traits); k++)
            if (str_eq(json_string_value(json_array_get(flags, i)), cpu_traits[k].flag))
                add_trait(cx, l, arena_printf(cx->arena, "HW_CPU_X86_%s", cpu_traits[k].trait));
}

static struct trait_list own_traits(struct ctx *cx, const char *cpu_info)
{
    struct trait_list l = {0};
    for (size_t i = 0; i < ARRAY_LEN(common_traits); i++)
        add_trait(cx, &l, common_traits[i]);
    add_cpu_traits(cx, &l, cpu_info);
    return l;
}

/* ---------------------------------------------------------------- traits */

/* A list that hosts share is copied before anything is added. */
static void add_to(struct ctx *cx, struct place_host *h, const char *name)
{
    const char **names = arena_new_array(cx->arena, const char *, h->n_traits + 1);
    memcpy(names, h->traits, h->n_traits * sizeof(*names));
    names[h->n_traits++] = name;
    h->traits = names;
}

struct err *hosts_take_traits(struct ctx *cx, struct tx *tx, const char *host_id,
                              const struct fleet_host *fleet, struct place_host *hosts,
                              struct place_host **sorted, size_t n)
{
    struct trait_list own = {0};
    const char *last = NULL;
    struct db_rows rows;
    for (size_t i = 0; i < n; i++) {
        if (!own.n || !str_eq(last, fleet[i].cpu_info)) /* machines are bought by the dozen */
            own = own_traits(cx, fleet[i].cpu_info);
        last = fleet[i].cpu_info;
        hosts[i].traits = own.names;
        hosts[i].n_traits = own.n;
        if (!fleet[i].enabled)
            add_to(cx, &hosts[i], "COMPUTE_STATUS_DISABLED");
    }
    TRY(hosts_query(cx, tx, host_id, &stmt_host_traits, &stmt_host_traits_of, &rows));
    for (size_t i = 0; i < rows.n_rows; i++) {
        struct place_host *h = host_with_id(sorted, n, db_text(&rows, i, 0));
        if (h && !place_has_trait(h, db_text(&rows, i, 1)))
            add_to(cx, h, db_text(&rows, i, 1));
    }
    return NULL;
}

struct err *compute_traits(struct ctx *cx, struct tx *tx, struct db_rows *ret)
{
    return db_query(cx, tx, &stmt_traits, NULL, 0, ret);
}

struct err *compute_trait_make(struct ctx *cx, struct tx *tx, const char *name, bool *ret_made)
{
    const struct db_value param = V_TEXT(name);
    int64_t changed;
    TRY(db_exec(cx, tx, &stmt_trait_make, &param, 1, &changed));
    *ret_made = changed > 0;
    return NULL;
}

struct err *compute_trait_drop(struct ctx *cx, struct tx *tx, const char *name)
{
    const struct db_value param = V_TEXT(name);
    struct db_rows used;
    int64_t changed;
    TRY(db_query(cx, tx, &stmt_trait_used, &param, 1, &used));
    if (used.n_rows)
        return fail(cx, ERR_IN_USE, "The trait %s is in use by a resource provider.", name);
    TRY(db_exec(cx, tx, &stmt_trait_drop, &param, 1, &changed));
    return changed ? NULL : fail(cx, ERR_NOT_FOUND, "No such trait: %s", name);
}

struct err *compute_host_set_traits(struct ctx *cx, struct tx *tx, const char *host_id,
                                    const char *const *names, size_t n)
{
    TRY(db_run(cx, tx, &stmt_host_traits_forget, V_TEXT(host_id)));
    for (size_t i = 0; i < n; i++)
        TRY(db_run(cx, tx, &stmt_host_trait_add, V_TEXT(host_id), V_TEXT(names[i])));
    return fleet_host_changed(cx, tx, host_id);
}

struct err *host_room_forget(struct ctx *cx, struct tx *tx, const char *host_id)
{
    TRY(db_run(cx, tx, &stmt_host_rooms_forget, V_TEXT(host_id)));
    return db_run(cx, tx, &stmt_host_traits_forget, V_TEXT(host_id));
}
