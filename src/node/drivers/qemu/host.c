/* SPDX-License-Identifier: EUPL-1.2 */
/* See host.h. */
#include "node/drivers/qemu/host.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/tools/tool.h"
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#define VERSION_TIMEOUT_MS 20000
#define CPUINFO_MAX_BYTES ((size_t)8 << 20)

bool host_has_kvm(const char *sys_module)
{
    static const char *const modules[] = {"kvm_intel", "kvm_amd"};
    for (size_t i = 0; i < ARRAY_LEN(modules); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", sys_module, modules[i]);
        if (access(path, F_OK) == 0)
            return true;
    }
    return false;
}

/* Who may open /dev/kvm: a guest's own uid has no other way in than "others" or one group. */
static struct err *kvm_group(struct ctx *cx, gid_t *ret)
{
    struct stat st;
    if (stat("/dev/kvm", &st) != 0)
        return fail(cx, ERR_UNAVAILABLE, "KVM was asked for, but /dev/kvm cannot be used: %m");
    *ret = 0;
    if ((st.st_mode & 0006) == 0006)
        return NULL;
    if ((st.st_mode & 0060) != 0060 || st.st_gid == 0)
        return fail(cx, ERR_UNAVAILABLE,
                    "guests may not open /dev/kvm: run 'groupadd -f kvm; chgrp kvm /dev/kvm; chmod "
                    "0660 /dev/kvm', or "
                    "choose the accelerator 'tcg'");
    *ret = st.st_gid;
    return NULL;
}

int64_t host_parse_version(const char *text)
{
    const char *p = strstr(text, "version ");
    unsigned major, minor, micro = 0;
    if (!p || sscanf(p, "version %3u.%3u.%3u", &major, &minor, &micro) < 2)
        return -1;
    return major * 1000000LL + minor * 1000LL + micro;
}

struct err *host_probe(struct ctx *cx, const char *accel, const char *qemu_path, struct host *ret)
{
    struct host h = {0};
    if (!str_eq(accel, "auto") && !str_eq(accel, "kvm") && !str_eq(accel, "tcg"))
        return fail(cx, ERR_INVALID, "accelerator '%s' is unknown: use auto, kvm or tcg", accel);
    h.kvm = str_eq(accel, "kvm") || (str_eq(accel, "auto") && host_has_kvm("/sys/module"));
    if (h.kvm)
        TRY(kvm_group(cx, &h.kvm_gid));
    struct buf out;
    buf_init(&out, cx->arena);
    const char *argv[] = {qemu_path, "--version", NULL};
    TRY(tool_run(cx, argv, VERSION_TIMEOUT_MS, &out));
    h.qemu_version = host_parse_version(buf_cstr(&out));
    if (h.qemu_version < 7002000)
        return fail(cx, ERR_UNAVAILABLE, "%s is not QEMU 7.2 or later: %.60s", qemu_path,
                    buf_cstr(&out));
    *ret = h;
    return NULL;
}

/* The value of a "name\t: value" line of /proc/cpuinfo, or "". */
static const char *cpu_field(struct ctx *cx, const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; *line;) {
        const char *end = strchrnul(line, '\n');
        const char *colon = memchr(line, ':', (size_t)(end - line));
        if (colon && strncmp(line, name, len) == 0 && (line[len] == '\t' || line[len] == ':')) {
            colon += colon + 1 < end ? 2 : 1;
            return arena_strndup(cx->arena, colon, (size_t)(end - colon));
        }
        line = *end ? end + 1 : end;
    }
    return "";
}

static const char *cpu_info(struct ctx *cx, const char *text, int64_t vcpus)
{
    struct buf b;
    struct jw w;
    char **flags;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "arch", "x86_64");
    jw_kstr(&w, "vendor", cpu_field(cx, text, "vendor_id"));
    jw_kstr(&w, "model", cpu_field(cx, text, "model name"));
    jw_kobj(&w, "topology");
    jw_kint(&w, "sockets", 1);
    jw_kint(&w, "cores", vcpus);
    jw_kint(&w, "threads", 1);
    jw_obj_end(&w);
    jw_karr(&w, "features");
    size_t n = str_split(cx, cpu_field(cx, text, "flags"), ' ', &flags);
    for (size_t i = 0; i < n; i++)
        if (flags[i][0])
            jw_str(&w, flags[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return buf_cstr(&b);
}

struct err *host_inventory(struct ctx *cx, const struct host *h, const char *data_dir, struct jw *w)
{
    struct sysinfo si;
    struct statvfs fs;
    struct buf text;
    buf_init(&text, cx->arena);
    long vcpus = sysconf(_SC_NPROCESSORS_ONLN);
    AUTO_FD int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sysinfo(&si) != 0 || statvfs(data_dir, &fs) != 0 || vcpus < 1)
        return fail(cx, ERR_UNAVAILABLE, "cannot find out the size of this host: %m");
    TRY(file_read(cx, proc, "cpuinfo", CPUINFO_MAX_BYTES, &text));
    jw_kint(w, "vcpus", vcpus);
    jw_kint(w, "memory_mib", (int64_t)(si.totalram * si.mem_unit >> 20));
    jw_kint(w, "disk_gib", (int64_t)((uint64_t)fs.f_blocks * fs.f_frsize >> 30));
    jw_kstr(w, "hypervisor_type", "QEMU");
    jw_kint(w, "hypervisor_version", h->qemu_version);
    jw_kstr(w, "cpu_info", cpu_info(cx, buf_cstr(&text), vcpus));
    return NULL;
}
