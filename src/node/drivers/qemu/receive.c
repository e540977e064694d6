/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A guest from the same driver on another host (send.c). Parts arrive in files beside its own,
 * named after the try that sent them; the end puts them in place, and then the record says what the
 * guest is. It was prepared here: its folder, its image, an empty root disk.
 */
#include "node/drivers/qemu/disk.h"
#include "node/drivers/qemu/ops.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/tools/pieces.h"
#include "node/drivers/tools/qcow2.h"
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define NONCE_CHARS 16
#define TEMP_PREFIX ".move-"
#define SERVE_DIR ".move-nbd"
#define SERVE_MS (INT64_C(6) * 3600 * 1000)
#define TRY_US 20000
#define CONNECT_TRIES 500
#define ARRIVE_TRIES 3000 /* a minute: a part's last bytes are on their way to the disk */

/* ".move-NONCE-root.tmp": whole; with "-open" behind the part, not yet. */
static const char *temp_name(struct ctx *cx, const char *nonce, const char *part, bool whole)
{
    return arena_printf(cx->arena, TEMP_PREFIX "%.*s-%s%s.tmp", NONCE_CHARS, nonce, part,
                        whole ? "" : "-open");
}

static bool is_nonce(const char *text)
{
    return strlen(text) >= NONCE_CHARS && strspn(text, "0123456789abcdef") >= NONCE_CHARS;
}

/* Of this guest, prepared and off; ret_dir: its folder. */
static struct err *open_home(struct ctx *cx, struct guest *g, const char *id, int *ret_dir)
{
    if (!g || !g->recorded)
        return fail(cx, ERR_CONFLICT, "server %s is not prepared here", id);
    TRY(guest_check(cx, g));
    if (guest_alive(g))
        return fail(cx, ERR_CONFLICT, "server %s is running here", id);
    return guest_dir(cx, g, ret_dir);
}

static struct err *drop_other_tries(struct ctx *cx, int dir, const char *nonce)
{
    const char **names;
    size_t n;
    TRY(dir_names(cx, dir, &names, &n));
    for (size_t i = 0; i < n; i++)
        if (str_starts(names[i], TEMP_PREFIX) && str_ends(names[i], ".tmp") &&
            strncmp(names[i] + strlen(TEMP_PREFIX), nonce, NONCE_CHARS) != 0)
            TRY(dir_remove(cx, dir, names[i]));
    return NULL;
}

/* ---- parts ---- */

static struct err *receive_file(struct ctx *cx, int dir, const char *nonce, const char *part,
                                int from)
{
    AUTO_FD int fd = -1;
    const char *temp = temp_name(cx, nonce, part, false);
    TRY(file_create(cx, dir, temp, &fd));
    TRY(pieces_receive(cx, from, fd));
    TRY(file_settle(cx, dir, temp, temp_name(cx, nonce, part, true)));
    return pieces_answer(cx, from);
}

struct serving {
    const struct qemu_img *img;
    int fd, base, dir;
    const char *base_format;
    atomic_bool over;
    struct ctx cx;
    struct err *error;
};

static void *serve(void *arg)
{
    struct serving *s = arg;
    s->error = disk_serve(&s->cx, s->img, s->fd, s->base, s->base_format, s->dir, SERVE_MS);
    atomic_store(&s->over, true);
    return NULL;
}

/* It listens once it has the disk open. */
static int connect_server(const struct serving *s)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/" DISK_SERVE_SOCKET, s->dir);
    for (int i = 0; i < CONNECT_TRIES && !atomic_load(&s->over); i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
            return fd;
        close_fd_p(&fd);
        usleep(TRY_US);
    }
    return -1;
}

/* The peer's QEMU writes; it ends when that lets go. */
static struct err *serve_peer(struct ctx *cx, struct serving *s, int peer)
{
    pthread_t thread;
    ctx_init(&s->cx);
    unlinkat(s->dir, DISK_SERVE_SOCKET, 0);
    int code = pthread_create(&thread, NULL, serve, s);
    if (code)
        return fail(cx, ERR_UNAVAILABLE, "cannot start a thread: %s", strerror(code));
    int fd = connect_server(s);
    if (fd >= 0)
        sockets_relay(peer, fd, &s->over);
    close_fd_p(&fd); /* its only client: it ends */
    pthread_join(thread, NULL);
    struct err *e = s->error ? fail(cx, s->error->kind, "%s", s->error->message) : NULL;
    ctx_release(&s->cx);
    return e;
}

static struct err *serve_disk(struct ctx *cx, struct guest *g, int dir, const char *temp, int peer)
{
    struct serving s = {.img = &g->drv->img};
    pthread_mutex_lock(&g->lock);
    const char *image = arena_strdup(cx->arena, g->rec.image_path);
    s.base_format = arena_strdup(cx->arena, g->rec.image_format);
    pthread_mutex_unlock(&g->lock);
    AUTO_FD int fd = openat(dir, temp, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    AUTO_FD int base = open(image, O_RDONLY | O_CLOEXEC), run = -1;
    if (fd < 0 || base < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open the disk of server %s: %m", g->id);
    TRY(dir_make(cx, dir, SERVE_DIR, 0700, s.img->uid, s.img->uid, &run));
    s.fd = fd;
    s.base = base;
    s.dir = run;
    struct err *e = serve_peer(cx, &s, peer);
    struct err *left = dir_remove(cx, dir, SERVE_DIR);
    return e ? e : left;
}

/* size: of the disk, in bytes. */
static struct err *receive_mirror(struct ctx *cx, struct guest *g, int dir, const char *nonce,
                                  const char *size, int peer)
{
    const char *temp = temp_name(cx, nonce, PART_ROOT, false);
    struct spec_image image = {.id = "below"};
    pthread_mutex_lock(&g->lock);
    struct overlay_wish w = {
        .name = temp, .image = &image, .image_path = arena_strdup(cx->arena, g->rec.image_path)};
    image.disk_format = arena_strdup(cx->arena, g->rec.image_format);
    pthread_mutex_unlock(&g->lock);
    if (!w.image_path || !str_to_i64(size, 1, INT64_MAX, &image.virtual_size_bytes))
        return fail(cx, ERR_INVALID, "server %s has no disk of that size", g->id);
    TRY(overlay_make(cx, dir, &w));
    TRY(serve_disk(cx, g, dir, temp, peer));
    return file_settle(cx, dir, temp, temp_name(cx, nonce, PART_ROOT, true));
}

static struct err *receive_part(struct ctx *cx, struct guest *g, int dir, const char *part, int fd)
{
    if (!is_nonce(part) || part[NONCE_CHARS] != '-')
        return fail(cx, ERR_INVALID, "'%s' is no part of a server", part);
    const char *what = part + NONCE_CHARS + 1;
    TRY(drop_other_tries(cx, dir, part));
    if (str_eq(what, PART_ROOT) || str_eq(what, PART_MEMORY))
        return receive_file(cx, dir, part, what, fd);
    if (str_starts(what, PART_MIRROR "-"))
        return receive_mirror(cx, g, dir, part, what + strlen(PART_MIRROR "-"), fd);
    return fail(cx, ERR_INVALID, "'%s' is no part of a server", part);
}

struct err *op_receive(struct ctx *cx, void *drv, const char *id, const char *part, int fd)
{
    AUTO_GUEST struct guest *g = guest_find(drv, id);
    AUTO_FD int dir = -1;
    TRY(open_home(cx, g, id, &dir));
    atomic_fetch_add(&g->n_arriving, 1);
    struct err *e = receive_part(cx, g, dir, part, fd);
    atomic_fetch_sub(&g->n_arriving, 1);
    return e;
}

/* ---- the end ---- */

static bool is_there(int dir, const char *name)
{
    return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The sender let it go; our thread may still be at its end: not one of before this process. */
static struct err *settle_part(struct ctx *cx, struct guest *g, int dir, const char *nonce,
                               const char *part, const char *name)
{
    const char *whole = temp_name(cx, nonce, part, true);
    const char *open = temp_name(cx, nonce, part, false);
    for (int i = 0;; i++) {
        bool arriving = atomic_load(&g->n_arriving) > 0; /* asked before: it ends with the whole */
        if (is_there(dir, whole))
            break;
        if (i == ARRIVE_TRIES || !arriving || !is_there(dir, open))
            return fail(cx, ERR_CONFLICT, "its %s is not here", part);
        usleep(TRY_US);
    }
    return file_settle(cx, dir, whole, name);
}

static struct err *check_root(struct ctx *cx, int dir, const char *name)
{
    struct qcow2 is;
    AUTO_FD int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open a root disk: %m");
    return qcow2_read(cx, fd, &is);
}

static struct err *settle_parts(struct ctx *cx, struct guest *g, int dir, const json_t *j)
{
    const char *nonce = json_get_str(j, "nonce");
    const char *root = root_disk_name(cx, json_get_int(j, "build_seq", 0));
    if (json_get_bool(j, "root", false)) {
        TRY(settle_part(cx, g, dir, nonce, PART_ROOT, root));
        TRY(check_root(cx, dir, root));
    }
    if (json_get_bool(j, "memory", false))
        return settle_part(cx, g, dir, nonce, PART_MEMORY, MEMORY_NAME);
    TRY(memory_forget(cx, g));
    return memory_remove(cx, dir);
}

static struct err *record_arrival(struct ctx *cx, struct guest *g, const json_t *j,
                                  const struct layout *layout)
{
    AUTO_LOCK(&g->lock);
    struct record *r = &g->rec;
    r->power = RECORD_OFF;
    r->guest_shutdown = false;
    r->boot_seq = json_get_int(j, "boot_seq", 0);
    r->reset_seq = json_get_int(j, "reset_seq", 0);
    r->checkpoint = json_get_int(j, "checkpoint", 0);
    r->restore_seq = json_get_int(j, "restore_seq", 0);
    r->started_at_us = json_get_int(j, "started_at_us", 0);
    r->sent_seq = 0;
    r->layout = *layout;
    r->suspended = json_get_bool(j, "memory", false);
    return guest_save(cx, g);
}

struct err *op_receive_end(struct ctx *cx, void *drv, const char *id, const char *text)
{
    AUTO_CALL struct guest *g = guest_call(drv, id, false);
    AUTO_FD int dir = -1;
    struct layout layout;
    json_t *j;
    TRY(open_home(cx, g, id, &dir));
    TRY(json_read(cx, text, strlen(text), &j));
    const char *nonce = json_get_str(j, "nonce");
    if (!nonce || !is_nonce(nonce) || !layout_read(json_get(j, "machine"), &layout))
        return fail(cx, ERR_INVALID, "that is no server");
    pthread_mutex_lock(&g->lock);
    bool fits = g->rec.build_seq == json_get_int(j, "build_seq", 0) &&
                (g->rec.image_path != NULL) == json_get_bool(j, "root", false);
    pthread_mutex_unlock(&g->lock);
    if (!fits)
        return fail(cx, ERR_CONFLICT, "server %s is prepared here for another build", id);
    TRY(settle_parts(cx, g, dir, j));
    return record_arrival(cx, g, j, &layout);
}
