/* SPDX-License-Identifier: EUPL-1.2 */
/* See argv.h. */
#include "node/drivers/qemu/argv.h"

#define MAX_ARGS 512
#define PORTS_PER_SLOT 8
#define FIRST_PORT_SLOT 0x10

struct line {
    struct ctx *cx;
    const struct machine *m;
    const char **argv;
    size_t n;
    json_t *devices;
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

/* An option whose value is a JSON object, built by the caller. */
struct object {
    struct buf text;
    struct jw w;
};

static void object_begin(struct line *l, struct object *o)
{
    buf_init(&o->text, l->cx->arena);
    jw_init(&o->w, &o->text);
    jw_obj(&o->w);
}

static void object_end(struct line *l, struct object *o, const char *name)
{
    jw_obj_end(&o->w);
    word(l, name);
    word(l, buf_cstr(&o->text));
}

/* Opens a -device with its place, and notes it for the record. */
static void device_begin(struct line *l, struct object *o, const char *driver, const char *id,
                         const char *bus, const char *addr, const char *port_id)
{
    object_begin(l, o);
    jw_kstr(&o->w, "driver", driver);
    jw_kstr(&o->w, "id", id);
    jw_kstr(&o->w, "bus", bus);
    jw_kstr(&o->w, "addr", addr);
    json_t *noted = json_pack("{s:s, s:s, s:s, s:s, s:s*}", "id", id, "kind", driver, "bus", bus,
                              "addr", addr, "port_id", port_id);
    must(noted && json_array_append_new(l->devices, noted) == 0);
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
    option(l, "-smp", "%" PRId64 ",sockets=%" PRId64 ",cores=1,threads=1", m->vcpus, m->vcpus);
    option(l, "-object", "memory-backend-memfd,id=mem,size=%" PRId64 "M,share=on", m->memory_mib);
    option(l, "-m", "size=%" PRId64 "M", m->memory_mib);
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
    device_begin(l, &o, "VGA", "video0", "pcie.0", "0x1", NULL);
    object_end(l, &o, "-device");
    option(l, "-object", "rng-random,id=rng,filename=/dev/urandom");
    device_begin(l, &o, "virtio-rng-pci", "rng0", "pcie.0", "0x2", NULL);
    jw_kstr(&o.w, "rng", "rng");
    object_end(l, &o, "-device");
}

static void file_node(struct line *l, struct jw *w, int fd, bool read_only, bool direct)
{
    jw_kobj(w, "file");
    jw_kstr(w, "driver", "file");
    jw_kstr(w, "filename", arena_printf(l->cx->arena, "/dev/fdset/%d", fd));
    jw_kstr(w, "aio", l->m->io_uring ? "io_uring" : "threads");
    jw_kbool(w, "read-only", read_only);
    jw_kobj(w, "cache");
    jw_kbool(w, "direct", direct);
    jw_obj_end(w);
    jw_obj_end(w);
}

/* "backing": null: what an image's header says of other files is never followed. */
static void base_node(struct line *l, struct jw *w)
{
    jw_kobj(w, "backing");
    jw_kstr(w, "driver", l->m->image_format);
    jw_kstr(w, "node-name", "base");
    jw_kbool(w, "read-only", true);
    if (str_eq(l->m->image_format, "qcow2"))
        jw_knull(w, "backing");
    file_node(l, w, FD_BASE, true, l->m->base_direct);
    jw_obj_end(w);
}

static void add_disks(struct line *l)
{
    struct object o;
    option(l, "-add-fd", "fd=%d,set=%d,opaque=root", FD_ROOT, FD_ROOT);
    option(l, "-add-fd", "fd=%d,set=%d,opaque=base", FD_BASE, FD_BASE);
    object_begin(l, &o);
    jw_kstr(&o.w, "driver", "qcow2");
    jw_kstr(&o.w, "node-name", "root");
    jw_kstr(&o.w, "discard", "unmap");
    file_node(l, &o.w, FD_ROOT, false, l->m->root_direct);
    base_node(l, &o.w);
    object_end(l, &o, "-blockdev");
    device_begin(l, &o, "virtio-blk-pci", "root0", "pcie.0", "0x3", NULL);
    jw_kstr(&o.w, "drive", "root");
    jw_kint(&o.w, "bootindex", 0);
    object_end(l, &o, "-device");
    if (!l->m->config_drive)
        return;
    option(l, "-add-fd", "fd=%d,set=%d,opaque=config", FD_CONFIG_DRIVE, FD_CONFIG_DRIVE);
    object_begin(l, &o);
    jw_kstr(&o.w, "driver", "raw");
    jw_kstr(&o.w, "node-name", "config");
    jw_kbool(&o.w, "read-only", true);
    file_node(l, &o.w, FD_CONFIG_DRIVE, true, false);
    object_end(l, &o, "-blockdev");
    device_begin(l, &o, "virtio-blk-pci", "config0", "pcie.0", "0x4", NULL);
    jw_kstr(&o.w, "drive", "config");
    jw_kstr(&o.w, "serial", "config-2");
    object_end(l, &o, "-device");
}

/* One hot-pluggable port for each NIC, and spare ones. */
static void add_ports(struct line *l)
{
    for (size_t i = 0; i < l->m->n_nics + MACHINE_SPARE_PORTS; i++) {
        struct object o;
        unsigned slot = FIRST_PORT_SLOT + (unsigned)(i / PORTS_PER_SLOT),
                 function = (unsigned)(i % PORTS_PER_SLOT);
        device_begin(l, &o, "pcie-root-port", arena_printf(l->cx->arena, "port%zu", i), "pcie.0",
                     arena_printf(l->cx->arena, "0x%x.%u", slot, function), NULL);
        jw_kint(&o.w, "chassis", (int64_t)i + 1);
        if (function == 0)
            jw_kbool(&o.w, "multifunction", true);
        object_end(l, &o, "-device");
    }
}

static void add_nics(struct line *l)
{
    for (size_t i = 0; i < l->m->n_nics; i++) {
        const struct spec_nic *nic = &l->m->nics[i];
        struct object o;
        const char *netdev = arena_printf(l->cx->arena, "net%zu", i);
        option(l, "-netdev", "tap,id=%s,fd=%d", netdev, FD_TAP_FIRST + (int)i);
        device_begin(l, &o, "virtio-net-pci", arena_printf(l->cx->arena, "nic%zu", i),
                     arena_printf(l->cx->arena, "port%zu", i), "0x0", nic->port_id);
        jw_kstr(&o.w, "netdev", netdev);
        jw_kstr(&o.w, "mac", nic->mac);
        jw_kstr(&o.w, "romfile", "");
        if (nic->mtu > 0)
            jw_kint(&o.w, "host_mtu", nic->mtu);
        object_end(l, &o, "-device");
    }
}

void machine_argv(struct ctx *cx, const struct machine *m, const char ***ret_argv,
                  json_t **ret_devices)
{
    must(m->n_nics <= MACHINE_MAX_NICS);
    struct line l = {.cx = cx,
                     .m = m,
                     .argv = arena_new_array(cx->arena, const char *, MAX_ARGS),
                     .devices = json_own(cx, json_array())};
    word(&l, m->qemu_path);
    add_machine(&l);
    add_consoles(&l);
    add_disks(&l);
    add_ports(&l);
    add_nics(&l);
    *ret_argv = l.argv;
    *ret_devices = l.devices;
}
