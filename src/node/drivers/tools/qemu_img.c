/* SPDX-License-Identifier: EUPL-1.2 */
/* See qcow2.h: qemu-img on open files. It finds each as /proc/self/fd/N, and opens it again: so the
 * locks are its own, and its user must own what it writes. */
#include "node/drivers/tools/qcow2.h"
#include "node/drivers/tools/tool.h"
#include <sys/stat.h>

#define QUICK_TIMEOUT_MS (10 * 60 * 1000) /* metadata only, but of a disk of any size */
#define COPY_TIMEOUT_MS (2 * 60 * 1000)
#define COPY_BYTES_A_MS ((int64_t)8 << 10) /* at least: 8 MiB a second */

enum { FD_DISK = TOOL_FD_FIRST, FD_SOURCE, FD_BASE };

static const char *path_of(struct ctx *cx, int fd)
{
    return arena_printf(cx->arena, "/proc/self/fd/%d", fd);
}

/* Its user may open it again. Nothing but our folders keeps others out, so the owner is free. */
static struct err *give_to(struct ctx *cx, const struct qemu_img *q, int fd, bool to_write)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot look at a disk: %m");
    if (!q->uid || geteuid() != 0 || st.st_uid == q->uid || (!to_write && st.st_mode & S_IROTH))
        return NULL;
    if (fchown(fd, q->uid, (gid_t)-1) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot give a disk to %s: %m", q->program);
    return NULL;
}

static struct err *run(struct ctx *cx, const struct qemu_img *q, const char *const *argv,
                       const int *fds, size_t n_fds, int64_t timeout_ms)
{
    const struct tool t = {
        .argv = argv, .timeout_ms = timeout_ms, .uid = q->uid, .fds = fds, .n_fds = n_fds};
    return tool_run_with(cx, &t, NULL);
}

struct err *disk_create(struct ctx *cx, const struct qemu_img *q, int fd, int64_t size_bytes)
{
    TRY(give_to(cx, q, fd, true));
    return qcow2_create(cx, fd, size_bytes, NULL, NULL);
}

/* Members of a node on an open file; a backing file is the one given, or none. */
static void node(struct ctx *cx, struct jw *w, const char *format, int fd)
{
    jw_kstr(w, "driver", format);
    jw_kobj(w, "file");
    jw_kstr(w, "driver", "file");
    jw_kstr(w, "filename", path_of(cx, fd));
    jw_obj_end(w);
}

static const char *disk_name(struct ctx *cx, const char *format, int fd, const char *base_format,
                             int base_fd)
{
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    buf_str(&b, "json:");
    jw_init(&w, &b);
    jw_obj(&w);
    node(cx, &w, format, fd);
    if (base_format) {
        jw_kobj(&w, "backing");
        node(cx, &w, base_format, base_fd);
        if (str_eq(base_format, "qcow2"))
            jw_knull(&w, "backing");
        jw_obj_end(&w);
    } else if (str_eq(format, "qcow2")) {
        jw_knull(&w, "backing");
    }
    jw_obj_end(&w);
    return buf_cstr(&b);
}

static struct err *prepare_source(struct ctx *cx, const struct qemu_img *q, const char *format,
                                  int fd)
{
    struct qcow2 header;
    if (str_eq(format, "qcow2"))
        TRY(qcow2_read(cx, fd, &header));
    else if (!str_eq(format, "raw"))
        return fail(cx, ERR_INVALID, "disk format '%s': it is raw or qcow2", format);
    return give_to(cx, q, fd, false);
}

struct err *disk_fill(struct ctx *cx, const struct qemu_img *q, int fd,
                      const struct disk_source *from, int64_t size_bytes)
{
    TRY(prepare_source(cx, q, from->format, from->fd));
    if (from->base_format)
        TRY(prepare_source(cx, q, from->base_format, from->base_fd));
    const char *argv[16] = {q->program, "convert", "-q", "-n", "--target-is-zero", "-O", "qcow2"};
    size_t n = 7;
    if (from->snapshot) {
        argv[n++] = "-U"; /* nobody changes what a snapshot holds */
        argv[n++] = "-l";
        argv[n++] = arena_printf(cx->arena, "snapshot.name=%s", from->snapshot);
    }
    argv[n++] = disk_name(cx, from->format, FD_SOURCE, from->base_format, FD_BASE);
    argv[n++] = path_of(cx, FD_DISK);
    const int fds[] = {fd, from->fd, from->base_fd};
    return run(cx, q, argv, fds, from->base_format ? 3 : 2,
               COPY_TIMEOUT_MS + size_bytes / COPY_BYTES_A_MS);
}

struct err *disk_to_raw(struct ctx *cx, const struct qemu_img *q, int fd, int from_fd)
{
    struct qcow2 from;
    TRY(qcow2_read(cx, from_fd, &from));
    TRY(give_to(cx, q, from_fd, false));
    TRY(give_to(cx, q, fd, true));
    const char *argv[] = {q->program,
                          "convert",
                          "-q",
                          "-O",
                          "raw",
                          disk_name(cx, "qcow2", FD_SOURCE, NULL, -1),
                          path_of(cx, FD_DISK),
                          NULL};
    const int fds[] = {fd, from_fd};
    return run(cx, q, argv, fds, ARRAY_LEN(fds),
               COPY_TIMEOUT_MS + from.size_bytes / COPY_BYTES_A_MS);
}

struct err *disk_resize(struct ctx *cx, const struct qemu_img *q, int fd, int64_t size_bytes,
                        bool shrink)
{
    const char *argv[] = {q->program,
                          "resize",
                          shrink ? "--shrink" : "-q",
                          "-q",
                          disk_name(cx, "qcow2", FD_DISK, NULL, -1),
                          arena_printf(cx->arena, "%" PRId64, size_bytes),
                          NULL};
    TRY(give_to(cx, q, fd, true));
    return run(cx, q, argv, &fd, 1, QUICK_TIMEOUT_MS);
}

/* Its neighbour in the same folder. */
static const char *qemu_nbd(struct ctx *cx, const struct qemu_img *q)
{
    static const char img[] = "qemu-img";
    size_t len = strlen(q->program), own = sizeof(img) - 1;
    must(len >= own);
    return arena_printf(cx->arena, "%.*sqemu-nbd", (int)(len - own), q->program);
}

struct err *disk_serve(struct ctx *cx, const struct qemu_img *q, int fd, int base_fd,
                       const char *base_format, int dir_fd, int64_t timeout_ms)
{
    enum { FD_DIR = FD_DISK + 2 };
    TRY(prepare_source(cx, q, base_format, base_fd));
    TRY(give_to(cx, q, fd, true));
    const char *argv[] = {
        qemu_nbd(cx, q),
        "--export-name=" DISK_SERVE_EXPORT,
        "--discard=unmap",
        arena_printf(cx->arena, "--socket=%s/" DISK_SERVE_SOCKET, path_of(cx, FD_DIR)),
        disk_name(cx, "qcow2", FD_DISK, base_format, FD_DISK + 1),
        NULL};
    const int fds[] = {fd, base_fd, dir_fd};
    return run(cx, q, argv, fds, ARRAY_LEN(fds), timeout_ms);
}

struct err *disk_snapshot(struct ctx *cx, const struct qemu_img *q, int fd,
                          enum disk_snapshot_act act, const char *name)
{
    static const char *const options[] = {
        [DISK_SNAPSHOT_MAKE] = "-c", [DISK_SNAPSHOT_DROP] = "-d", [DISK_SNAPSHOT_GO_BACK] = "-a"};
    struct qcow2 is;
    TRY(qcow2_read(cx, fd, &is));
    if (act != DISK_SNAPSHOT_GO_BACK &&
        (qcow2_snapshot(&is, name) != NULL) == (act == DISK_SNAPSHOT_MAKE))
        return NULL;
    const char *argv[] = {q->program,   "snapshot", "-q",
                          options[act], name,       disk_name(cx, "qcow2", FD_DISK, NULL, -1),
                          NULL};
    TRY(give_to(cx, q, fd, true));
    return run(cx, q, argv, &fd, 1, QUICK_TIMEOUT_MS);
}
