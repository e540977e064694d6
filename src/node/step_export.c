/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Steps for exports: the disk is copied into DIR/exports, whole before it has its name; sent; and
 * then an empty file says so. What is there tells how far it got, so a killed agent goes on. See
 * agent_step.c.
 */
#include "node/agent_impl.h"
#include <dirent.h>
#include <sys/stat.h>

#define COPYING ".part"     /* what the guest or the volume driver writes */
#define CONVERTING ".raw"   /* what becomes of that when raw is wanted */
#define COPIED ""           /* complete */
#define SENT ".sent"        /* empty */
#define VOLUME_COPY ".copy" /* a volume's on its way to another: step_volume.c */

#define SEND_AGAIN_US 3000000

static const char *const suffixes[] = {COPYING, CONVERTING, COPIED, SENT};

const char *export_path(struct ctx *cx, const struct agent *a, const char *id, const char *suffix)
{
    return arena_printf(cx->arena, "%s/exports/%s%s", a->setup.dir, id, suffix);
}

static bool exists(struct ctx *cx, const struct agent *a, const char *id, const char *suffix)
{
    return access(export_path(cx, a, id, suffix), F_OK) == 0;
}

/* ---- what is there ---- */

/* A copy on its way to a volume that nobody makes now is not gone on with. */
static void drop_volume_copy(struct ctx *cx, struct agent *a, const char *id)
{
    AUTO_LOCK(&a->lock);
    const struct item *it = item_find(a, ITEM_VOLUME, id);
    if (!it || !it->busy)
        unlink(export_path(cx, a, id, VOLUME_COPY));
}

struct err *exports_open(struct ctx *cx, const struct agent *a, const char **ret_path)
{
    *ret_path = arena_printf(cx->arena, "%s/exports", a->setup.dir);
    if (mkdir(*ret_path, 0711) != 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder '%s': %m", *ret_path);
    return NULL;
}

struct err *exports_list(struct ctx *cx, struct agent *a, const char ***ret_ids, size_t *ret_n)
{
    enum { ID_LEN = 36, FOUND_MAX = 1000 }; /* the rest the next time */
    const char *path;
    *ret_ids = arena_new_array(cx->arena, const char *, FOUND_MAX);
    *ret_n = 0;
    if (!a->setup.dir)
        return NULL;
    TRY(exports_open(cx, a, &path));
    DIR *d = opendir(path);
    if (!d)
        return fail(cx, ERR_UNAVAILABLE, "cannot read the folder '%s': %m", path);
    for (const struct dirent *e; *ret_n < FOUND_MAX && (e = readdir(d));) {
        const char *id = arena_strndup(cx->arena, e->d_name, ID_LEN);
        if (strlen(id) != ID_LEN || !uuid_valid(id))
            continue;
        if (str_eq(e->d_name + ID_LEN, VOLUME_COPY))
            drop_volume_copy(cx, a, id);
        else
            (*ret_ids)[(*ret_n)++] = id;
    }
    closedir(d);
    return NULL;
}

/* ---- copying ---- */

static struct err *copy_closed(struct ctx *cx, struct agent *a, const char *id, const char *to)
{
    struct volume_backend v = volume_backend_with(a, id);
    return v.ops ? v.ops->copy(cx, v.drv, id, to)
                 : fail(cx, ERR_UNAVAILABLE, "volume %s: " NO_STORAGE, id);
}

static struct err *copy_volume(struct ctx *cx, struct agent *a, struct job *job, const char *to)
{
    const char *id = job->desired->export.volume_id;
    struct reach r;
    bool reached;
    TRY(volume_reach(cx, a, job, id, &r, &reached));
    if (!reached)
        return NULL;
    struct err *e = NULL;
    if (!r.volume)
        e = fail(cx, ERR_NOT_FOUND, "volume %s is not on this host", id);
    else if (r.open)
        e = a->setup.guests.ops->volume_copy(cx, a->setup.guests.drv, r.guest->id, id, to,
                                             &job->it->given_up);
    else
        e = copy_closed(cx, a, id, to);
    volume_leave(a, &r);
    return e;
}

static struct err *copy_root(struct ctx *cx, struct agent *a, struct job *job, const char *to)
{
    const char *id = job->desired->export.server_id;
    struct item *server = NULL;
    job->waits = !item_borrow(a, ITEM_SERVER, id, &server);
    if (job->waits)
        return NULL;
    if (!server)
        return fail(cx, ERR_NOT_FOUND, "server %s is not on this host", id);
    struct err *e =
        a->setup.guests.ops->copy_root(cx, a->setup.guests.drv, id, to, &job->it->given_up);
    item_return(a, server);
    return e;
}

static struct err *convert(struct ctx *cx, struct agent *a, const char *from, const char *to)
{
    const struct raw_maker *raw = &a->setup.exports.raw;
    if (!raw->fn)
        return fail(cx, ERR_NOT_IMPLEMENTED, "this host makes no raw images");
    unlink(to);
    TRY(raw->fn(cx, raw->arg, from, to));
    unlink(from);
    return NULL;
}

/* Whole, also after a power cut, before it has its name. */
static struct err *finish_file(struct ctx *cx, const char *from, const char *to)
{
    AUTO_FD int fd = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fsync(fd) != 0 || rename(from, to) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", to);
    return NULL;
}

static struct err *copy(struct ctx *cx, struct agent *a, struct job *job)
{
    const struct spec_export *want = &job->desired->export;
    const char *part = export_path(cx, a, want->id, COPYING);
    const char *raw = export_path(cx, a, want->id, CONVERTING);
    bool convert_it = str_eq(want->disk_format, "raw");
    const char *dir;
    TRY(exports_open(cx, a, &dir));
    unlink(part);
    TRY(want->volume_id ? copy_volume(cx, a, job, part) : copy_root(cx, a, job, part));
    if (job->waits)
        return NULL;
    if (convert_it)
        TRY(convert(cx, a, part, raw));
    return finish_file(cx, convert_it ? raw : part, export_path(cx, a, want->id, COPIED));
}

/* ---- sending ---- */

static struct err *mark_sent(struct ctx *cx, struct agent *a, const char *id)
{
    const char *path = export_path(cx, a, id, SENT);
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", path);
    unlink(export_path(cx, a, id, COPIED));
    return NULL;
}

/* A control plane that is away, or in trouble, is no failure of the export: its deadline alone
 * gives it up. */
static struct err *send_it(struct ctx *cx, struct agent *a, struct job *job)
{
    const struct export_sender *to = &a->setup.exports;
    const char *id = job->it->id;
    if (!to->send)
        return fail(cx, ERR_NOT_IMPLEMENTED, "this host sends no images");
    struct err *e = to->send(cx, to->arg, id, export_path(cx, a, id, COPIED));
    job->waits = e && (e->kind == ERR_UNAVAILABLE || e->kind == ERR_TIMEOUT);
    if (job->waits) {
        log_err(cx, LOG_WARN, e, "will be sent later", "image", id, NULL);
        job->due_us = mono_us(cx) + SEND_AGAIN_US;
        return NULL;
    }
    return e ? e : mark_sent(cx, a, id);
}

/* ---- the step ---- */

static void report(struct ctx *cx, struct job *job, bool sent, const char *error)
{
    struct job_report r;
    job_report_begin(cx, job, &r);
    jw_kbool(&r.w, "sent", sent);
    job_report_end(&r, job, error);
}

static void take_away(struct ctx *cx, struct agent *a, struct job *job)
{
    for (size_t i = 0; i < ARRAY_LEN(suffixes) && a->setup.dir; i++)
        unlink(export_path(cx, a, job->it->id, suffixes[i]));
    job->gone = true;
    report(cx, job, false, NULL);
}

static struct err *one_thing(struct ctx *cx, struct agent *a, struct job *job)
{
    bool copied = exists(cx, a, job->it->id, COPIED);
    TRY(copied ? send_it(cx, a, job) : copy(cx, a, job));
    job->again = !job->waits;
    if (job->again)
        log_event(cx, LOG_INFO, copied ? "sent" : "copied", "image", job->it->id, NULL);
    return NULL;
}

struct err *step_export(struct ctx *cx, struct agent *a, struct job *job)
{
    if (job->deleted) {
        take_away(cx, a, job);
        return NULL;
    }
    if (!job->desired && !job->spec_error)
        return NULL; /* found on the host: the next full answers decide */
    if (!a->setup.dir) {
        report(cx, job, false, "this host exports nothing");
        return NULL;
    }
    bool sent = exists(cx, a, job->it->id, SENT);
    struct err *e = sent || job->spec_error ? NULL : one_thing(cx, a, job);
    const char *told = e ? e->message : job_error(job);
    if (e ? job->failures + 1 >= TELL_AFTER : !job->again)
        report(cx, job, sent, told);
    return e;
}
