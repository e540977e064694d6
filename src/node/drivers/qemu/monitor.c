/* SPDX-License-Identifier: EUPL-1.2 */
/* See monitor.h. */
#include "node/drivers/qemu/monitor.h"

#define COMMAND_TIMEOUT_MS 15000
/* Those that wait for the disk: a snapshot of a large one is dropped in minutes. */
#define DISK_TIMEOUT_MS (5 * 60 * 1000)

#define IN_USE_TRIES 100
#define IN_USE_STEP_US 50000
#define JOB_TRIES 1200 /* a minute */
#define JOB_STEP_US 50000

static int64_t timeout_of(const char *command)
{
    bool disk = str_starts(command, "block") || str_eq(command, "stop") || str_eq(command, "cont");
    return disk ? DISK_TIMEOUT_MS : COMMAND_TIMEOUT_MS;
}

struct err *mon(struct ctx *cx, struct qmp *q, const char *command, json_t *args, json_t **ret)
{
    if (args)
        json_own(cx, args);
    return qmp_call(cx, q, command, args, -1, timeout_of(command), ret);
}

struct err *mon_text(struct ctx *cx, struct qmp *q, const char *command, const char *args)
{
    json_t *j;
    TRY(json_read(cx, args, strlen(args), &j));
    return qmp_call(cx, q, command, j, -1, timeout_of(command), NULL);
}

struct err *mon_status(struct ctx *cx, struct qmp *q, const char **ret)
{
    json_t *is;
    TRY(mon(cx, q, "query-status", NULL, &is));
    *ret = json_get_str(is, "status");
    return NULL;
}

struct err *mon_running(struct ctx *cx, struct qmp *q, bool *ret)
{
    const char *status;
    TRY(mon_status(cx, q, &status));
    *ret = str_eq(status, "running");
    return NULL;
}

struct err *mon_has_device(struct ctx *cx, struct qmp *q, const char *id, bool *ret)
{
    json_t *all, *one;
    size_t i;
    TRY(mon(cx, q, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"), &all));
    *ret = false;
    json_array_foreach(all, i, one) *ret = *ret || str_eq(json_get_str(one, "name"), id);
    return NULL;
}

struct err *mon_image(struct ctx *cx, struct qmp *q, const char *node, json_t **ret)
{
    json_t *all, *one;
    size_t i;
    TRY(mon(cx, q, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), &all));
    *ret = NULL;
    json_array_foreach(all, i, one)
    {
        if (str_eq(json_get_str(one, "node-name"), node))
            *ret = json_get(one, "image");
    }
    return NULL;
}

struct err *mon_pass_file(struct ctx *cx, struct qmp *q, int fd, int set)
{
    json_t *args = json_own(cx, json_pack("{s:i}", "fdset-id", set));
    TRY(mon_drop_file(cx, q, set));
    return qmp_call(cx, q, "add-fd", args, fd, COMMAND_TIMEOUT_MS, NULL);
}

struct err *mon_drop_file(struct ctx *cx, struct qmp *q, int set)
{
    json_t *all, *one;
    size_t i;
    bool there = false;
    TRY(mon(cx, q, "query-fdsets", NULL, &all));
    json_array_foreach(all, i, one) there = there || json_get_int(one, "fdset-id", -1) == set;
    return there ? mon(cx, q, "remove-fd", json_pack("{s:i}", "fdset-id", set), NULL) : NULL;
}

/* A device holds its node for some moments after QEMU calls it deleted. */
struct err *mon_drop_node(struct ctx *cx, struct qmp *q, const char *node)
{
    for (int i = 0;; i++) {
        json_t *image;
        TRY(mon_image(cx, q, node, &image));
        if (!image)
            return NULL;
        struct err *e = mon(cx, q, "blockdev-del", json_pack("{s:s}", "node-name", node), NULL);
        if (!e || i == IN_USE_TRIES || !strstr(e->message, "in use"))
            return e;
        usleep(IN_USE_STEP_US);
    }
}

struct err *mon_job(struct ctx *cx, struct qmp *q, const char *id, json_t **ret)
{
    json_t *all, *one;
    size_t i;
    TRY(mon(cx, q, "query-jobs", NULL, &all));
    *ret = NULL;
    json_array_foreach(all, i, one)
    {
        if (str_eq(json_get_str(one, "id"), id))
            *ret = one;
    }
    return NULL;
}

struct err *mon_drop_job(struct ctx *cx, struct qmp *q, const char *id)
{
    for (int i = 0; i < JOB_TRIES; i++) {
        json_t *job;
        TRY(mon_job(cx, q, id, &job));
        if (!job)
            return NULL;
        bool ended = str_eq(json_get_str(job, "status"), "concluded");
        struct err *e =
            mon(cx, q, ended ? "job-dismiss" : "job-cancel", json_pack("{s:s}", "id", id), NULL);
        if (e && e->kind != ERR_CONFLICT) /* refused: it is no longer as it was */
            return e;
        if (e || !ended)
            usleep(JOB_STEP_US);
    }
    return fail(cx, ERR_TIMEOUT, "QEMU does not end its job '%s'", id);
}
