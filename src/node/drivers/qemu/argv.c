/* SPDX-License-Identifier: EUPL-1.2 */
/* See argv.h. */
#include "node/drivers/qemu/argv.h"

#define MAX_ARGS 1024
/* For the tables of a volume's file: enough to find any byte of the first 64 GiB at once. What a
 * guest takes in all is bounded by its number of ports. */
#define VOLUME_CACHE_BYTES (8 << 20)
#define SERIAL_CHARS 20 /* as many as virtio-blk has */

struct line {
    struct ctx *cx;
    const struct machine *m;
    const char **argv;
    size_t n;
};

static void word(struct line *l, const char *text)
{
    must(l->n + 1 < MAX_ARGS);
    l->argv[l->n++] = text;
}

static void option(struct line *l, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void option(struct line *l, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    word(l, name);
    word(l, arena_vprintf(l->cx->arena, fmt, ap));
    va_end(ap);
}

/* A JSON object as an option's value. */
struct object {
    struct buf text;
    struct jw w;
};

static void object_begin(struct ctx *cx, struct object *o)
{
    buf_init(&o->text, cx->arena);
    jw_init(&o->w, &o->text);
    jw_obj(&o->w);
}

static const char *object_end(struct object *o)
{
    jw_obj_end(&o->w);
    return buf_cstr(&o->text);
}

static void object_option(struct line *l, const char *name, struct object *o)
{
    word(l, name);
    word(l, object_end(o));
}

static void device_begin(struct ctx *cx, struct object *o, const char *driver, const char *id,
                         const char *bus, const char *addr)
{
    object_begin(cx, o);
    jw_kstr(&o->w, "driver", driver);
    jw_kstr(&o->w, "id", id);
    jw_kstr(&o->w, "bus", bus);
    jw_kstr(&o->w, "addr", addr);
}

static void add_machine(struct line *l)
{
    const struct machine *m = l->m;
    option(l, "-name", "guest=%s,debug-threads=on", m->id);
    word(l, "-S");
    word(l, "-no-user-config");
    word(l, "-nodefaults");
    option(l, "-sandbox",
           "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    option(l, "-machine",
           "pc-q35-7.2,smm=off,usb=off,vmport=off,dump-guest-core=off,memory-backend=mem");
    option(l, "-accel", m->kvm ? "kvm" : "tcg,tb-size=64");
    option(l, "-cpu", m->kvm ? "host" : "qemu64");
    option(l, "-smp", "%" PRId64 ",sockets=%" PRId64 ",cores=1,threads=1", m->layout->vcpus,
           m->layout->vcpus);
    option(l, "-object", "memory-backend-memfd,id=mem,size=%" PRId64 "M,share=on",
           m->layout->memory_mib);
    option(l, "-m", "size=%" PRId64 "M", m->layout->memory_mib);
    option(l, "-uuid", "%s", m->id);
    /* cloud-init knows an OpenStack guest by its product name. */
    option(l, "-smbios", "type=1,manufacturer=Colvert,product=OpenStack Compute,serial=%s,uuid=%s",
           m->id, m->id);
    option(l, "-rtc", "base=utc");
    option(l, "-boot", "strict=on");
    option(l, "-global", "ICH9-LPC.disable_s3=1");
    option(l, "-global", "ICH9-LPC.disable_s4=1");
    /* Leaves the reason of its end in qemu.log, for when nobody was connected to hear the event. */
    option(l, "-trace", "qemu_system_shutdown_request");
    option(l, "-msg", "timestamp=on");
    if (m->incoming)
        option(l, "-incoming", "defer");
}

static void add_consoles(struct line *l)
{
    struct object o;
    option(l, "-chardev", "socket,id=mon,fd=%d,server=on,wait=off", FD_MONITOR);
    option(l, "-mon", "chardev=mon,mode=control");
    option(l, "-add-fd", "fd=%d,set=%d,opaque=console.log", FD_CONSOLE_LOG, FD_CONSOLE_LOG);
    option(l, "-chardev",
           "socket,id=serial0,fd=%d,server=on,wait=off,logfile=/dev/fdset/%d,logappend=on",
           FD_SERIAL, FD_CONSOLE_LOG);
    option(l, "-device", "isa-serial,id=ser0,chardev=serial0,index=0");
    option(l, "-display", "none");
    option(l, "-vnc", "unix:run/vnc.sock");
    device_begin(l->cx, &o, "VGA", "video0", "pcie.0", "0x1");
    object_option(l, "-device", &o);
    option(l, "-object", "rng-random,id=rng,filename=/dev/urandom");
    device_begin(l->cx, &o, "virtio-rng-pci", "rng0", "pcie.0", "0x2");
    jw_kstr(&o.w, "rng", "rng");
    object_option(l, "-device", &o);
}

/* Threads, not io_uring: QEMU 7.2 loses requests there (ADR 9). */
static void file_node(struct ctx *cx, struct jw *w, int fd, bool read_only, bool direct)
{
    jw_kobj(w, "file");
    jw_kstr(w, "driver", "file");
    jw_kstr(w, "filename", arena_printf(cx->arena, "/dev/fdset/%d", fd));
    jw_kstr(w, "aio", "threads");
    jw_kbool(w, "read-only", read_only);
    jw_kobj(w, "cache");
    jw_kbool(w, "direct", direct);
    jw_obj_end(w);
    jw_obj_end(w);
}

static void pass_file(struct line *l, int fd, const char *what)
{
    option(l, "-add-fd", "fd=%d,set=%d,opaque=%s", fd, fd, what);
}

/* An overlay on an image. "backing": null: what an image's header says of other files is never
 * followed. */
static void add_overlay(struct line *l, const char *name, const struct overlay *o, int fd,
                        int base_fd)
{
    struct object node;
    const char *base = str_eq(name, "root") ? "base" : arena_printf(l->cx->arena, "%s-base", name);
    pass_file(l, fd, name);
    pass_file(l, base_fd, base);
    object_begin(l->cx, &node);
    jw_kstr(&node.w, "driver", "qcow2");
    jw_kstr(&node.w, "node-name", name);
    jw_kstr(&node.w, "discard", "unmap");
    file_node(l->cx, &node.w, fd, false, o->direct);
    jw_kobj(&node.w, "backing");
    jw_kstr(&node.w, "driver", o->base_format);
    jw_kstr(&node.w, "node-name", base);
    jw_kbool(&node.w, "read-only", true);
    if (str_eq(o->base_format, "qcow2"))
        jw_knull(&node.w, "backing");
    file_node(l->cx, &node.w, base_fd, true, o->base_direct);
    jw_obj_end(&node.w);
    object_option(l, "-blockdev", &node);
}

static void add_disk(struct line *l, const char *id, const char *node, const char *addr,
                     int boot_order)
{
    struct object o;
    device_begin(l->cx, &o, "virtio-blk-pci", id, "pcie.0", addr);
    jw_kstr(&o.w, "drive", node);
    jw_kint(&o.w, "bootindex", boot_order);
    object_option(l, "-device", &o);
}

static void add_config_drive(struct line *l, const char *bus, const char *addr)
{
    struct object o;
    pass_file(l, FD_CONFIG_DRIVE, "config");
    object_begin(l->cx, &o);
    jw_kstr(&o.w, "driver", "raw");
    jw_kstr(&o.w, "node-name", "config");
    jw_kbool(&o.w, "read-only", true);
    file_node(l->cx, &o.w, FD_CONFIG_DRIVE, true, false);
    object_option(l, "-blockdev", &o);
    device_begin(l->cx, &o, "virtio-blk-pci", "config0", bus, addr);
    jw_kstr(&o.w, "drive", "config");
    jw_kstr(&o.w, "serial", "config-2");
    object_option(l, "-device", &o);
}

static void add_disks(struct line *l)
{
    const struct machine *m = l->m;
    const struct layout *is = m->layout;
    if (is->rescue) {
        add_overlay(l, "rescue", &m->rescue, FD_RESCUE, FD_RESCUE_BASE);
        add_disk(l, "rescue0", "rescue", "0x3", 0);
    }
    if (is->root) {
        add_overlay(l, "root", &m->root, FD_ROOT, FD_BASE);
        add_disk(l, "root0", "root", is->rescue ? "0x4" : "0x3", is->rescue ? 1 : 0);
    }
    if (is->config_drive && (is->rescue || is->root))
        add_config_drive(l, "pcie.0", is->rescue ? "0x5" : "0x4");
}

static void add_ports(struct line *l)
{
    for (size_t i = 0; i < l->m->layout->n_ports; i++) {
        struct object o;
        const char *addr = port_addr(l->cx, i);
        device_begin(l->cx, &o, "pcie-root-port", arena_printf(l->cx->arena, "port%zu", i),
                     "pcie.0", addr);
        jw_kint(&o.w, "chassis", (int64_t)i + 1);
        if (str_ends(addr, ".0"))
            jw_kbool(&o.w, "multifunction", true);
        object_option(l, "-device", &o);
    }
}

/* A volume's disk stands on nothing, whatever its header says. */
const char *volume_node(struct ctx *cx, size_t i, const struct slot *s, bool direct)
{
    struct object o;
    object_begin(cx, &o);
    jw_kstr(&o.w, "driver", s->format);
    jw_kstr(&o.w, "node-name", slot_backend(cx, i, s->kind));
    jw_kstr(&o.w, "discard", "unmap");
    jw_kbool(&o.w, "read-only", s->read_only);
    if (str_eq(s->format, "qcow2")) {
        jw_kint(&o.w, "cache-size", VOLUME_CACHE_BYTES);
        jw_knull(&o.w, "backing");
    }
    file_node(cx, &o.w, FD_SLOT_FIRST + (int)i, s->read_only, direct);
    return object_end(&o);
}

const char *device_of(struct ctx *cx, size_t i, const struct slot *s)
{
    struct object o;
    const char *id = slot_device(cx, i, s->kind), *backend = slot_backend(cx, i, s->kind);
    device_begin(cx, &o, s->kind == SLOT_NIC ? "virtio-net-pci" : "virtio-blk-pci", id,
                 arena_printf(cx->arena, "port%zu", i), "0x0");
    if (s->kind == SLOT_NIC) {
        jw_kstr(&o.w, "netdev", backend);
        jw_kstr(&o.w, "mac", s->mac);
        jw_kstr(&o.w, "romfile", "");
        if (s->mtu > 0)
            jw_kint(&o.w, "host_mtu", s->mtu);
    } else {
        jw_kstr(&o.w, "drive", backend);
        jw_kstr(&o.w, "serial", arena_strndup(cx->arena, s->id, SERIAL_CHARS));
        if (s->boot_order >= 0)
            jw_kint(&o.w, "bootindex", s->boot_order);
    }
    return object_end(&o);
}

static void add_slots(struct line *l)
{
    const struct machine *m = l->m;
    for (size_t i = 0; i < m->layout->n_ports; i++) {
        const struct slot *s = &m->layout->slots[i];
        int fd = FD_SLOT_FIRST + (int)i;
        const char *backend = slot_backend(l->cx, i, s->kind);
        if (s->kind == SLOT_EMPTY)
            continue;
        if (s->kind == SLOT_CONFIG) {
            add_config_drive(l, arena_printf(l->cx->arena, "port%zu", i), "0x0");
            continue;
        }
        if (s->kind == SLOT_NIC) {
            option(l, "-netdev", "tap,id=%s,fd=%d", backend, fd);
        } else {
            pass_file(l, fd, backend);
            word(l, "-blockdev");
            word(l, volume_node(l->cx, i, s, m->slot_direct[i]));
        }
        word(l, "-device");
        word(l, device_of(l->cx, i, s));
    }
}

void machine_argv(struct ctx *cx, const struct machine *m, const char ***ret_argv)
{
    struct line l = {.cx = cx, .m = m, .argv = arena_new_array(cx->arena, const char *, MAX_ARGS)};
    word(&l, m->qemu_path);
    add_machine(&l);
    add_consoles(&l);
    add_disks(&l);
    add_ports(&l);
    add_slots(&l);
    *ret_argv = l.argv;
}
