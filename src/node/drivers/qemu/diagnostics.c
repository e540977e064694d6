/* SPDX-License-Identifier: EUPL-1.2 */
/* How a guest does, in the form that nova has had since 2.48
 * (docs.openstack.org/api-ref/compute/#servers-diagnostics-servers-diagnostics). */
#include "node/drivers/qemu/monitor.h"
#include "node/drivers/qemu/ops.h"
#include "node/drivers/qemu/tap_stats.h"
#include "node/drivers/tools/files.h"

#define NS_A_S INT64_C(1000000000)

/* Of the record, copied. */
struct subject {
    struct guest *g;
    struct qmp *q; /* NULL: it is off */
    struct layout layout;
    const char *state;
    int pidfd; /* a copy */
    pid_t pid;
    int64_t uptime_us;
};

static const char *state_of(const struct guest *g)
{
    if (g->pidfd >= 0)
        return g->vcpus == VCPUS_STAND ? "paused" : "running";
    if (g->rec.suspended)
        return "suspended";
    return g->rec.power == RECORD_CRASHED ? "crashed" : "shutdown";
}

static void copy_record(struct ctx *cx, struct guest *g, struct subject *s)
{
    AUTO_LOCK(&g->lock);
    s->g = g;
    s->layout = g->rec.layout;
    s->state = state_of(g);
    s->pid = g->rec.pid;
    s->pidfd = g->pidfd >= 0 ? fcntl(g->pidfd, F_DUPFD_CLOEXEC, 3) : -1;
    s->uptime_us = g->pidfd >= 0 ? max_i64(now_us(cx) - g->rec.started_at_us, 0) : 0;
}

static const char *proc_text(struct ctx *cx, const char *folder, const char *name)
{
    struct buf text;
    buf_init(&text, cx->arena);
    AUTO_FD int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir >= 0 && !file_read(cx, dir, name, 65536, &text) ? buf_cstr(&text) : "";
}

/* What a thread of QEMU's has used; -1: there is no such thread. */
static int64_t thread_ns(struct ctx *cx, pid_t pid, int64_t thread)
{
    const char *folder = arena_printf(cx->arena, "/proc/%d/task/%" PRId64, (int)pid, thread);
    const char *text = proc_text(cx, folder, "stat"), *after_name = strrchr(text, ')');
    int64_t user, kernel;
    if (!after_name ||
        sscanf(after_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNd64 " %" SCNd64,
               &user, &kernel) != 2)
        return -1;
    return (user + kernel) * (NS_A_S / sysconf(_SC_CLK_TCK));
}

static struct err *cpu_details(struct ctx *cx, const struct subject *s, struct jw *w)
{
    json_t *cpus = NULL, *cpu;
    size_t i;
    if (s->q)
        TRY(mon(cx, s->q, "query-cpus-fast", NULL, &cpus));
    jw_karr(w, "cpu_details");
    json_array_foreach(cpus, i, cpu)
    {
        int64_t ns = thread_ns(cx, s->pid, json_get_int(cpu, "thread-id", -1));
        jw_obj(w);
        jw_kint(w, "id", json_get_int(cpu, "cpu-index", (int64_t)i));
        jw_kint(w, "time", max_i64(ns, 0));
        jw_kint(w, "utilisation", /* since it was started */
                s->uptime_us ? min_i64(max_i64(ns, 0) / 10 / s->uptime_us, 100) : 0);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return NULL;
}

static void tap_side(struct ctx *cx, struct jw *w, const char *name, const struct tap_side *side)
{
    const struct {
        const char *what;
        const int64_t *value;
    } members[] = {{"octets", side ? &side->octets : NULL},
                   {"packets", side ? &side->packets : NULL},
                   {"errors", side ? &side->errors : NULL},
                   {"drop", side ? &side->drops : NULL},
                   {"rate", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        jw_key(w, arena_printf(cx->arena, "%s_%s", name, members[i].what));
        if (members[i].value)
            jw_int(w, *members[i].value);
        else
            jw_null(w);
    }
}

static void nic_details(struct ctx *cx, const struct subject *s, struct jw *w)
{
    jw_karr(w, "nic_details");
    for (size_t i = 0; s->pidfd >= 0 && i < s->layout.n_ports; i++) {
        const struct slot *nic = &s->layout.slots[i];
        struct tap_stats stats;
        if (nic->kind != SLOT_NIC)
            continue;
        bool found = tap_stats_read(cx, s->pidfd, s->pid, nic->tap, &stats);
        jw_obj(w);
        jw_kstr(w, "mac_address", nic->mac);
        tap_side(cx, w, "rx", found ? &stats.in : NULL);
        tap_side(cx, w, "tx", found ? &stats.out : NULL);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

static struct err *disk_details(struct ctx *cx, const struct subject *s, struct jw *w)
{
    json_t *disks = NULL, *disk;
    size_t i;
    if (s->q)
        TRY(mon(cx, s->q, "query-blockstats", NULL, &disks));
    jw_karr(w, "disk_details");
    json_array_foreach(disks, i, disk)
    {
        const json_t *is = json_get(disk, "stats");
        jw_obj(w);
        jw_kint(w, "read_bytes", json_get_int(is, "rd_bytes", 0));
        jw_kint(w, "read_requests", json_get_int(is, "rd_operations", 0));
        jw_kint(w, "write_bytes", json_get_int(is, "wr_bytes", 0));
        jw_kint(w, "write_requests", json_get_int(is, "wr_operations", 0));
        jw_kint(w, "errors_count",
                json_get_int(is, "failed_rd_operations", 0) +
                    json_get_int(is, "failed_wr_operations", 0) +
                    json_get_int(is, "failed_flush_operations", 0));
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return NULL;
}

/* The guest's own memory is shared memory to QEMU: what it has touched. */
static void memory_details(struct ctx *cx, const struct subject *s, struct jw *w)
{
    static const char mark[] = "\nRssShmem:";
    const char *status = proc_text(cx, arena_printf(cx->arena, "/proc/%d", (int)s->pid), "status");
    const char *at = s->pidfd >= 0 ? strstr(status, mark) : NULL;
    jw_kobj(w, "memory_details");
    jw_kint(w, "maximum", s->layout.memory_mib);
    jw_kint(w, "used", at ? strtoll(at + sizeof(mark) - 1, NULL, 10) >> 10 : 0);
    jw_obj_end(w);
}

static int64_t count_disks(const struct layout *l)
{
    return (int64_t)layout_count(l, SLOT_VOLUME) + l->root + l->rescue + l->config_drive;
}

static struct err *describe(struct ctx *cx, const struct subject *s, struct jw *w)
{
    jw_kstr(w, "state", s->state);
    jw_kstr(w, "driver", "libvirt"); /* the nearest of the names that the form has */
    jw_kstr(w, "hypervisor", s->g->drv->host.kvm ? "kvm" : "qemu");
    jw_kstr(w, "hypervisor_os", "linux");
    jw_kint(w, "uptime", s->uptime_us / 1000000);
    jw_kbool(w, "config_drive", s->layout.config_drive);
    jw_kint(w, "num_cpus", s->layout.vcpus);
    jw_kint(w, "num_nics", (int64_t)layout_count(&s->layout, SLOT_NIC));
    jw_kint(w, "num_disks", count_disks(&s->layout));
    TRY(cpu_details(cx, s, w));
    nic_details(cx, s, w);
    TRY(disk_details(cx, s, w));
    memory_details(cx, s, w);
    return NULL;
}

struct err *op_diagnostics(struct ctx *cx, void *drv, const char *id, struct jw *w)
{
    TRY(check_server_id(cx, id));
    AUTO_GUEST struct guest *g = guest_find(drv, id);
    AUTO_QMP struct qmp *q = NULL;
    struct subject s;
    if (!g)
        return fail(cx, ERR_NOT_FOUND, "server %s is not on this host", id);
    copy_record(cx, g, &s);
    AUTO_FD int pidfd UNUSED = s.pidfd;
    if (pidfd >= 0)
        TRY(guest_monitor(cx, g, &q));
    s.q = q;
    return describe(cx, &s, w);
}
