/* SPDX-License-Identifier: EUPL-1.2 */
/* See layout.h. */
#include "node/drivers/qemu/layout.h"

#define PORTS_PER_DEVICE 8
#define FIRST_PORT_DEVICE 0x10

static const char *const kind_names[] = {
    [SLOT_EMPTY] = "empty", [SLOT_NIC] = "nic", [SLOT_VOLUME] = "volume", [SLOT_CONFIG] = "config"};
static const char *const step_names[] = {
    [SLOT_IN] = "in", [SLOT_PLUGGING] = "plugging", [SLOT_UNPLUGGING] = "unplugging"};

/* False where it doesn't fit: it's none of ours then. */
static bool copy_text(char *to, size_t size, const char *from)
{
    size_t len = from ? strlen(from) : 0;
    if (len >= size)
        return false;
    memset(to, 0, size);
    if (len)
        memcpy(to, from, len);
    return true;
}

/* ---- a new machine ---- */

void slot_set_nic(struct slot *s, const struct spec_nic *nic)
{
    *s = (struct slot){.kind = SLOT_NIC, .mtu = nic->mtu, .boot_order = -1};
    must(copy_text(s->id, sizeof(s->id), nic->port_id) &&
         copy_text(s->mac, sizeof(s->mac), nic->mac) &&
         copy_text(s->tap, sizeof(s->tap), nic->tap));
}

void slot_set_volume(struct slot *s, const char *volume_id, const char *format, bool read_only)
{
    *s = (struct slot){.kind = SLOT_VOLUME, .boot_order = -1, .read_only = read_only};
    must(copy_text(s->id, sizeof(s->id), volume_id) &&
         copy_text(s->format, sizeof(s->format), format));
}

/* Place of a volume among those that are booted from; -1: it isn't. */
static int64_t boot_order(const struct spec_server *spec, size_t i)
{
    int64_t own = spec->volumes[i].boot_index, before = 0;
    for (size_t k = 0; k < spec->n_volumes; k++) {
        int64_t other = spec->volumes[k].boot_index;
        before += other >= 0 && (other < own || (other == own && k < i));
    }
    return own < 0 ? -1 : before;
}

/* Those that are booted from come first, in their order: the guest counts its disks so. */
static void add_volumes(const struct spec_server *spec, const char *const *formats,
                        struct layout *l)
{
    size_t first = l->n_ports, n_booted = 0, other;
    int64_t ahead = (l->root ? 1 : 0) + (l->rescue ? 1 : 0);
    for (size_t i = 0; i < spec->n_volumes; i++)
        n_booted += spec->volumes[i].boot_index >= 0;
    other = first + n_booted;
    for (size_t i = 0; i < spec->n_volumes; i++) {
        const struct spec_use *use = &spec->volumes[i];
        int64_t order = boot_order(spec, i);
        struct slot *s = &l->slots[order >= 0 ? first + (size_t)order : other++];
        slot_set_volume(s, use->volume_id, formats[i], use->read_only);
        s->boot_order = order < 0 ? -1 : order + ahead;
    }
    l->n_ports += spec->n_volumes;
}

static struct err *check(struct ctx *cx, const struct spec_server *spec, bool root)
{
    if (spec->n_nics > MACHINE_MAX_NICS)
        return fail(cx, ERR_INVALID, "a server can have at most %d ports", MACHINE_MAX_NICS);
    if (spec->n_volumes > MACHINE_MAX_VOLUMES)
        return fail(cx, ERR_INVALID, "a server can have at most %d volumes", MACHINE_MAX_VOLUMES);
    bool boots = root || spec->rescue.seq;
    for (size_t i = 0; i < spec->n_volumes; i++)
        boots = boots || spec->volumes[i].boot_index >= 0;
    if (!boots)
        return fail(cx, ERR_INVALID, "the server has nothing to boot from");
    return NULL;
}

struct err *layout_make(struct ctx *cx, const struct spec_server *spec, bool root,
                        bool config_drive, const char *const *formats, struct layout *ret)
{
    TRY(check(cx, spec, root));
    *ret = (struct layout){.vcpus = spec->vcpus,
                           .memory_mib = spec->memory_mib,
                           .root = root,
                           .rescue = spec->rescue.seq != 0,
                           .config_drive = config_drive,
                           .n_ports = spec->n_nics};
    for (size_t i = 0; i < spec->n_nics; i++)
        slot_set_nic(&ret->slots[i], &spec->nics[i]);
    add_volumes(spec, formats, ret);
    if (config_drive && !root && !ret->rescue)
        ret->slots[ret->n_ports++] = (struct slot){.kind = SLOT_CONFIG, .boot_order = -1};
    ret->n_ports += MACHINE_SPARE_PORTS;
    must(ret->n_ports <= MACHINE_MAX_PORTS);
    return NULL;
}

/* ---- looking ---- */

struct slot *layout_find(struct layout *l, enum slot_kind kind, const char *id)
{
    for (size_t i = 0; i < l->n_ports; i++)
        if (l->slots[i].kind == kind && str_eq(l->slots[i].id, id))
            return &l->slots[i];
    return NULL;
}

struct slot *layout_free_slot(struct layout *l)
{
    for (size_t i = 0; i < l->n_ports; i++)
        if (l->slots[i].kind == SLOT_EMPTY)
            return &l->slots[i];
    return NULL;
}

size_t layout_index(const struct layout *l, const struct slot *s)
{
    must(s >= l->slots && s < l->slots + l->n_ports);
    return (size_t)(s - l->slots);
}

size_t layout_count(const struct layout *l, enum slot_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n_ports; i++)
        n += l->slots[i].kind == kind;
    return n;
}

bool layout_is_settled(const struct layout *l)
{
    for (size_t i = 0; i < l->n_ports; i++)
        if (l->slots[i].step != SLOT_IN)
            return false;
    return true;
}

const char *port_addr(struct ctx *cx, size_t i)
{
    return arena_printf(cx->arena, "0x%zx.%zu", FIRST_PORT_DEVICE + i / PORTS_PER_DEVICE,
                        i % PORTS_PER_DEVICE);
}

const char *slot_device(struct ctx *cx, size_t i, enum slot_kind kind)
{
    if (kind == SLOT_CONFIG)
        return "config0";
    return arena_printf(cx->arena, "%s%zu", kind == SLOT_NIC ? "nic" : "disk", i);
}

const char *slot_backend(struct ctx *cx, size_t i, enum slot_kind kind)
{
    return arena_printf(cx->arena, "%s%zu", kind == SLOT_NIC ? "net" : "vol", i);
}

/* ---- on record ---- */

static void slot_write(struct ctx *cx, struct jw *w, size_t i, const struct slot *s)
{
    jw_obj(w);
    jw_kint(w, "port", (int64_t)i);
    jw_kstr(w, "addr", port_addr(cx, i));
    jw_kstr(w, "kind", kind_names[s->kind]);
    jw_kstr(w, "step", step_names[s->step]);
    jw_kstr(w, "id", s->id);
    if (s->kind == SLOT_NIC) {
        jw_kstr(w, "mac", s->mac);
        jw_kstr(w, "tap", s->tap);
        jw_kint(w, "mtu", s->mtu);
    } else if (s->kind == SLOT_VOLUME) {
        jw_kstr(w, "format", s->format);
        jw_kint(w, "boot_order", s->boot_order);
        jw_kbool(w, "read_only", s->read_only);
    }
    jw_obj_end(w);
}

void layout_write(struct ctx *cx, struct jw *w, const struct layout *l)
{
    jw_obj(w);
    jw_kint(w, "vcpus", l->vcpus);
    jw_kint(w, "memory_mib", l->memory_mib);
    jw_kbool(w, "root", l->root);
    jw_kbool(w, "rescue", l->rescue);
    jw_kbool(w, "config_drive", l->config_drive);
    jw_kint(w, "ports", (int64_t)l->n_ports);
    jw_karr(w, "slots");
    for (size_t i = 0; i < l->n_ports; i++)
        if (l->slots[i].kind != SLOT_EMPTY)
            slot_write(cx, w, i, &l->slots[i]);
    jw_arr_end(w);
    jw_obj_end(w);
}

static bool name_index(const char *const *names, size_t n, const char *name, unsigned *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(names[i], name)) {
            *ret = (unsigned)i;
            return true;
        }
    }
    return false;
}

static bool slot_read(const json_t *j, struct slot *ret)
{
    unsigned kind, step;
    if (!name_index(kind_names, ARRAY_LEN(kind_names), json_get_str(j, "kind"), &kind) ||
        !name_index(step_names, ARRAY_LEN(step_names), json_get_str(j, "step"), &step))
        return false;
    *ret = (struct slot){.kind = (enum slot_kind)kind,
                         .step = (enum slot_step)step,
                         .mtu = json_get_int(j, "mtu", 0),
                         .boot_order = json_get_int(j, "boot_order", -1),
                         .read_only = json_get_bool(j, "read_only", false)};
    return copy_text(ret->id, sizeof(ret->id), json_get_str(j, "id")) &&
           copy_text(ret->mac, sizeof(ret->mac), json_get_str(j, "mac")) &&
           copy_text(ret->tap, sizeof(ret->tap), json_get_str(j, "tap")) &&
           copy_text(ret->format, sizeof(ret->format), json_get_str(j, "format"));
}

bool layout_read(const json_t *j, struct layout *ret)
{
    int64_t ports = json_get_int(j, "ports", -1);
    struct layout l = {.vcpus = json_get_int(j, "vcpus", 0),
                       .memory_mib = json_get_int(j, "memory_mib", 0),
                       .root = json_get_bool(j, "root", false),
                       .rescue = json_get_bool(j, "rescue", false),
                       .config_drive = json_get_bool(j, "config_drive", false),
                       .n_ports = (size_t)ports};
    const json_t *slots = json_get(j, "slots"), *one;
    size_t i;
    if (ports < 0 || ports > MACHINE_MAX_PORTS || !json_is_array(slots))
        return false;
    json_array_foreach((json_t *)(uintptr_t)slots, i, one)
    {
        int64_t port = json_get_int(one, "port", -1);
        if (port < 0 || port >= ports || !slot_read(one, &l.slots[port]))
            return false;
    }
    *ret = l;
    return true;
}
