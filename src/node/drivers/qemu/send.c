/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A guest to the same driver on another host (receive.c). Off: its root disk's file. Running: QEMU
 * mirrors the disk there while the guest runs, each of its writes to both; then the guest stops,
 * the mirror ends, and its memory follows, as when it is suspended. The record says what it was
 * sent for once the other host has all of it, on disk.
 */
#include "node/drivers/qemu/disk.h"
#include "node/drivers/qemu/monitor.h"
#include "node/drivers/qemu/ops.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/tools/pieces.h"
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MIRROR "move" /* the job, and its target's node */
#define MIRROR_SOCKET "move.sock"
#define POLL_US 50000

/* One try: what it leaves on the other host, others can tell from theirs. */
struct sending {
    struct guest *g;
    const struct move_link *link;
    const atomic_bool *given_up;
    const char *nonce;
};

static struct err *open_part(struct ctx *cx, const struct sending *s, const char *part, int *ret_fd)
{
    return s->link->open(cx, s->link->arg, arena_printf(cx->arena, "%s-%s", s->nonce, part),
                         ret_fd);
}

static struct err *check_wanted(struct ctx *cx, const struct sending *s)
{
    return atomic_load(s->given_up)
               ? fail(cx, ERR_TIMEOUT, "server %s is not wanted there any more", s->g->id)
               : NULL;
}

/* ---- the mirror ---- */

struct err *mirror_drop(struct ctx *cx, struct qmp *q)
{
    TRY(mon_drop_job(cx, q, MIRROR));
    return mon_drop_node(cx, q, MIRROR);
}

/* QEMU's end of the connection to the other host: it may connect by a name in its own folder. */
struct relay {
    pthread_t thread;
    bool runs;
    int listener, there, here;
    atomic_bool over;
};

static void *run_relay(void *arg)
{
    struct relay *r = arg;
    r->here = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (r->here >= 0)
        sockets_relay(r->here, r->there, &r->over);
    return NULL;
}

static void relay_end(struct relay *r)
{
    atomic_store(&r->over, true);
    if (r->listener >= 0)
        shutdown(r->listener, SHUT_RDWR); /* ends accept4 */
    if (r->runs)
        pthread_join(r->thread, NULL);
    r->runs = false;
    close_fd_p(&r->listener);
    close_fd_p(&r->there);
    close_fd_p(&r->here);
}

static struct err *relay_begin(struct ctx *cx, const struct sending *s, struct relay *r)
{
    AUTO_FD int dir = -1, run = -1;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    TRY(guest_dir(cx, s->g, &dir));
    TRY(dir_open(cx, dir, RUN_NAME, &run));
    snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/" MIRROR_SOCKET, run);
    unlinkat(run, MIRROR_SOCKET, 0);
    r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r->listener < 0 || bind(r->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        fchownat(run, MIRROR_SOCKET, s->g->uid, s->g->uid, AT_SYMLINK_NOFOLLOW) != 0 ||
        listen(r->listener, 1) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot listen for QEMU: %m");
    int code = pthread_create(&r->thread, NULL, run_relay, r);
    if (code) {
        errno = code;
        return fail(cx, ERR_UNAVAILABLE, "cannot start a thread: %m");
    }
    r->runs = true;
    return NULL;
}

static struct err *mirror_start(struct ctx *cx, struct qmp *q)
{
    json_t *target =
        json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "driver", "nbd", "node-name", MIRROR, "export",
                  "root", "server", "type", "unix", "path", RUN_NAME "/" MIRROR_SOCKET);
    TRY(mon(cx, q, "blockdev-add", target, NULL));
    return mon(cx, q, "blockdev-mirror",
               json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "job-id", MIRROR, "device", "root",
                         "target", MIRROR, "sync", "top", "copy-mode", "write-blocking",
                         "auto-dismiss", 0),
               NULL);
}

static struct err *mirror_await(struct ctx *cx, const struct sending *s, struct qmp *q,
                                const char *status)
{
    for (;;) {
        json_t *job;
        TRY(check_wanted(cx, s));
        TRY(mon_job(cx, q, MIRROR, &job));
        const char *why = json_get_str(job, "error"), *is = json_get_str(job, "status");
        if (!job || why || (str_eq(is, "concluded") && !str_eq(is, status)))
            return fail(cx, ERR_UNAVAILABLE, "the disk of server %s cannot be sent: %s", s->g->id,
                        why ? why : "the job is gone");
        if (str_eq(is, status))
            return NULL;
        if (deadline_passed(cx))
            return fail(cx, ERR_TIMEOUT, "sending the disk of server %s takes too long", s->g->id);
        usleep(POLL_US);
    }
}

/* ---- memory ---- */

static struct err *memory_send(struct ctx *cx, const struct sending *s, struct qmp *q)
{
    AUTO_FD int there = -1, ours = -1, theirs = -1;
    int ends[2];
    TRY(open_part(cx, s, PART_MEMORY, &there));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return fail(cx, ERR_UNAVAILABLE, "no sockets for a guest's memory: %m");
    ours = ends[0];
    theirs = ends[1];
    fcntl(ours, F_SETFL, O_NONBLOCK);
    TRY(stream_pass(cx, q, theirs));
    close_fd_p(&theirs); /* QEMU's alone: its end is the memory's */
    TRY(mon(cx, q, "migrate-set-parameters", json_pack("{s:I}", "max-bandwidth", STREAM_NO_LIMIT),
            NULL));
    TRY(mon(cx, q, "migrate", json_pack("{s:s}", "uri", "fd:memory"), NULL));
    TRY(pieces_send(cx, there, ours, s->given_up));
    return stream_await(cx, s->g, q);
}

/* ---- the end ---- */

static const char *last_words(struct ctx *cx, const struct sending *s, bool memory)
{
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    AUTO_LOCK(&s->g->lock);
    const struct record *r = &s->g->rec;
    jw_obj(&w);
    jw_kstr(&w, "nonce", s->nonce);
    jw_kbool(&w, "root", r->image_path != NULL);
    jw_kbool(&w, "memory", memory);
    jw_kint(&w, "boot_seq", r->boot_seq);
    jw_kint(&w, "reset_seq", r->reset_seq);
    jw_kint(&w, "build_seq", r->build_seq);
    jw_kint(&w, "checkpoint", r->checkpoint);
    jw_kint(&w, "restore_seq", r->restore_seq);
    jw_kint(&w, "started_at_us", r->started_at_us);
    jw_key(&w, "machine");
    layout_write(cx, &w, &r->layout);
    jw_obj_end(&w);
    return buf_cstr(&b);
}

static struct err *finish(struct ctx *cx, const struct sending *s, int64_t seq, bool memory)
{
    TRY(check_wanted(cx, s));
    TRY(s->link->end(cx, s->link->arg, last_words(cx, s, memory)));
    AUTO_LOCK(&s->g->lock);
    s->g->rec.sent_seq = seq;
    return guest_save(cx, s->g);
}

/* ---- off ---- */

static struct err *root_send(struct ctx *cx, const struct sending *s)
{
    AUTO_FD int dir = -1, there = -1;
    TRY(guest_dir(cx, s->g, &dir));
    pthread_mutex_lock(&s->g->lock);
    const char *name = s->g->rec.image_path ? root_disk_name(cx, s->g->rec.build_seq) : NULL;
    pthread_mutex_unlock(&s->g->lock);
    if (!name)
        return NULL; /* it stands on a volume */
    AUTO_FD int root = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open the root disk of server %s: %m", s->g->id);
    TRY(open_part(cx, s, PART_ROOT, &there));
    return pieces_send(cx, there, root, s->given_up);
}

/* ---- as it runs ---- */

static struct err *mirror_send(struct ctx *cx, const struct sending *s, struct qmp *q,
                               struct relay *r)
{
    json_t *image;
    TRY(mon_image(cx, q, "root", &image));
    const char *part =
        arena_printf(cx->arena, PART_MIRROR "-%" PRId64, json_get_int(image, "virtual-size", 0));
    TRY(open_part(cx, s, part, &r->there));
    TRY(relay_begin(cx, s, r));
    TRY(mirror_start(cx, q));
    return mirror_await(cx, s, q, "ready");
}

/* From here on both disks are the same, as the guest stands. */
static struct err *mirror_finish(struct ctx *cx, const struct sending *s, struct qmp *q)
{
    TRY(mon(cx, q, "block-job-cancel", json_pack("{s:s}", "device", MIRROR), NULL));
    TRY(mirror_await(cx, s, q, "concluded"));
    return mirror_drop(cx, q);
}

static struct err *send_running(struct ctx *cx, const struct sending *s, struct qmp *q,
                                struct relay *r, int64_t seq)
{
    pthread_mutex_lock(&s->g->lock);
    bool root = s->g->rec.image_path != NULL;
    pthread_mutex_unlock(&s->g->lock);
    if (root)
        TRY(mirror_send(cx, s, q, r));
    TRY(guest_stand_still(cx, s->g, q));
    if (root)
        TRY(mirror_finish(cx, s, q));
    TRY(memory_send(cx, s, q));
    return finish(cx, s, seq, true);
}

static struct err *send_live(struct ctx *cx, const struct sending *s, int64_t seq)
{
    AUTO_QMP struct qmp *q = NULL;
    struct relay r = {.listener = -1, .there = -1, .here = -1};
    bool running;
    TRY(devices_settle(cx, s->g));
    TRY(guest_monitor(cx, s->g, &q));
    TRY(stream_cancel(cx, q));
    TRY(mirror_drop(cx, q));
    TRY(mon_running(cx, q, &running));
    struct err *e = send_running(cx, s, q, &r, seq);
    relay_end(&r);
    if (!e)
        return NULL;
    struct err *left UNUSED = stream_cancel(cx, q);
    left = mirror_drop(cx, q);
    left = guest_go_on(cx, s->g, q, running);
    return wrap(cx, e, e->kind, "server %s cannot be sent: %s", s->g->id, e->message);
}

struct err *op_send(struct ctx *cx, void *drv, const char *id, int64_t seq, bool live,
                    const struct move_link *link, const atomic_bool *given_up)
{
    TRY(check_server_id(cx, id));
    AUTO_CALL struct guest *g = guest_call(drv, id, false);
    if (!g || !g->recorded)
        return fail(cx, ERR_CONFLICT, "server %s has no disk yet", id);
    TRY(guest_check(cx, g));
    pthread_mutex_lock(&g->lock);
    bool done = g->rec.sent_seq >= seq, alive = g->pidfd >= 0;
    pthread_mutex_unlock(&g->lock);
    if (done)
        return NULL;
    if (alive != live)
        return fail(cx, ERR_CONFLICT, "server %s is %s", id, alive ? "running" : "off");
    const struct sending s = {.g = g,
                              .link = link,
                              .given_up = given_up,
                              .nonce = arena_printf(cx->arena, "%016" PRIx64, rng_u64(cx->rng))};
    if (live)
        return send_live(cx, &s, seq);
    TRY(root_send(cx, &s));
    return finish(cx, &s, seq, false);
}
