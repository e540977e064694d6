/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The executable colvert-held, for tests alone: colvert as it ships, but the linker puts the calls
 * below in place of those that mark a step of a server's move. Where a test has made the file
 * DIR/WHO.STEP (DIR: the environment's COLVERT_HOLDS; WHO: "api", or the host's name), the first
 * thread that comes to the step renames it to DIR/WHO.STEP.held and stands until that is gone. A
 * step that calls no longer come to is one that the test waits for in vain.
 */
#include "compute/impl.h"
#include "http/client.h"
#include "node/agent_impl.h"
#include "node/drivers/qemu/disk.h"
#include "node/drivers/qemu/monitor.h"
#include "node/drivers/qemu/ops.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/tools/pieces.h"
#include "node/uplink.h"
#include <sys/syscall.h>

#define LOOK_US 5000

static void who_are_we(char *ret, size_t size)
{
    AUTO_FD int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    char words[4096] = "";
    must(fd >= 0 && read(fd, words, sizeof(words) - 1) > 0);
    const char *role = words + strlen(words) + 1;
    if (str_eq(role, "node"))
        must(gethostname(ret, size) == 0);
    else
        snprintf(ret, size, "%s", role);
}

PRINTF_LIKE(1, 2) static void step(const char *fmt, ...)
{
    const char *dir = getenv("COLVERT_HOLDS");
    char who[256] = "", name[256], from[1024], to[1100];
    if (!dir)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof(name), fmt, ap);
    va_end(ap);
    for (char *blank; (blank = strchr(name, ' '));)
        *blank = '-';
    who_are_we(who, sizeof(who) - 1);
    snprintf(from, sizeof(from), "%s/%s.%s", dir, who, name);
    snprintf(to, sizeof(to), "%s.held", from);
    if (syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to) != 0)
        return;
    while (access(to, F_OK) == 0)
        usleep(LOOK_US);
}

/* CALLS(type, name, parameters): what the linker calls instead of name, and the call itself. */
#define CALLS(type, name, ...)                                                                     \
    __typeof__(name) __real_##name, __wrap_##name;                                                 \
    type __wrap_##name(__VA_ARGS__)

/* ---------------------------------------------------------------- the control plane */

/* What the transaction under way in this thread does to a move. */
static _Thread_local const struct tx *changes_tx;
static _Thread_local const char *changes;

static void note(const struct tx *tx, const char *what)
{
    changes_tx = tx;
    changes = what;
}

CALLS(struct err *, move_begin, struct call *c, struct server *s, const struct server *old,
      const struct move_wish *wish, const char *host_id)
{
    note(c->tx, "begin");
    return __real_move_begin(c, s, old, wish, host_id);
}

CALLS(struct err *, move_undo, struct ctx *cx, struct tx *tx, struct server *s, const char *status,
      const char *why)
{
    note(tx, "undo");
    return __real_move_undo(cx, tx, s, status, why);
}

CALLS(struct err *, move_return, struct ctx *cx, struct tx *tx, struct server *s)
{
    note(tx, "revert");
    return __real_move_return(cx, tx, s);
}

CALLS(struct err *, act_confirm_resize, struct call *c, struct server *s, const json_t *args)
{
    note(c->tx, "confirm");
    return __real_act_confirm_resize(c, s, args);
}

CALLS(struct err *, move_report_there, struct ctx *cx, struct tx *tx, struct server *s,
      const json_t *observed)
{
    const char *stage = s->move_stage;
    struct err *e = __real_move_report_there(cx, tx, s, observed);
    if (str_eq(stage, "prepare") && str_eq(s->move_stage, "send"))
        note(tx, "ready");
    return e;
}

CALLS(struct err *, move_report_here, struct ctx *cx, struct tx *tx, struct server *s,
      const json_t *observed, enum seen_power power, bool *ret_over)
{
    const char *stage = s->move_stage, *host = s->host_id;
    struct err *e = __real_move_report_here(cx, tx, s, observed, power, ret_over);
    if (!str_eq(host, s->host_id))
        note(tx, str_eq(stage, "return") ? "returned" : "switch");
    return e;
}

CALLS(struct err *, server_move, struct ctx *cx, struct tx *tx, struct server *s,
      enum server_state to)
{
    if (state_of(s) == ST_ARRIVING || (state_of(s) == ST_RESIZE && to == ST_VERIFY_RESIZE))
        note(tx, "arrived");
    return __real_server_move(cx, tx, s, to);
}

CALLS(struct err *, tx_commit, struct ctx *cx, struct tx **tx)
{
    const char *what = *tx == changes_tx ? changes : NULL;
    note(NULL, NULL);
    if (what)
        step("%s", what);
    struct err *e = __real_tx_commit(cx, tx);
    if (what && !e)
        step("%s-committed", what);
    return e;
}

/* ---------------------------------------------------------------- agents */

CALLS(const char *, action_name, enum action action)
{
    const char *name = __real_action_name(action);
    step("act-%s", name);
    return name;
}

static const char *told(const char *report)
{
    static const char *const words[][2] = {{"\"ready\":true", "ready"},
                                           {"\"sent\":true", "sent"},
                                           {"\"power\":\"absent\"", "absent"},
                                           {"\"power\":\"on\"", "on"},
                                           {"\"power\":\"off\"", "off"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strstr(report, words[i][0]))
            return words[i][1];
    return "others";
}

CALLS(struct err *, uplink_report, struct ctx *cx, struct uplink *u, const struct buf *body,
      bool *ret_stale)
{
    const char *what = told(buf_cstr(body));
    step("tell-%s", what);
    struct err *e = __real_uplink_report(cx, u, body, ret_stale);
    if (!e)
        step("told-%s", what);
    return e;
}

/* ---------------------------------------------------------------- from host to host */

static _Thread_local enum { OTHERWISE, SENDS, SAID_THE_END, RECEIVES, HEARS_THE_END } does;

/* Of "NONCE-PART": "root", "memory", "mirror-SIZE". */
static const char *part_name(struct ctx *cx, const char *part)
{
    const char *name = strchr(part, '-'), *end = name ? strchr(name + 1, '-') : NULL;
    if (!name)
        return "none";
    return end ? arena_strndup(cx->arena, name + 1, (size_t)(end - name - 1)) : name + 1;
}

CALLS(struct err *, op_send, struct ctx *cx, void *drv, const char *id, int64_t seq, bool live,
      const struct move_link *link, const atomic_bool *given_up)
{
    does = SENDS;
    struct err *e = __real_op_send(cx, drv, id, seq, live, link, given_up);
    does = OTHERWISE;
    return e;
}

CALLS(struct err *, op_receive, struct ctx *cx, void *drv, const char *id, const char *part, int fd)
{
    does = RECEIVES;
    step("receive-%s", part_name(cx, part));
    struct err *e = __real_op_receive(cx, drv, id, part, fd);
    does = OTHERWISE;
    if (!e)
        step("received-%s", part_name(cx, part));
    return e;
}

CALLS(struct err *, op_receive_end, struct ctx *cx, void *drv, const char *id, const char *text)
{
    does = HEARS_THE_END;
    step("hear-end");
    struct err *e = __real_op_receive_end(cx, drv, id, text);
    does = OTHERWISE;
    if (!e)
        step("heard-end");
    return e;
}

CALLS(struct err *, http_client_upgrade, struct ctx *cx, const struct http_call *what,
      const char *protocol, int *ret_fd, struct buf *ret_early)
{
    const char *part = part_name(cx, strrchr(what->url, '/'));
    step("open-%s", part);
    struct err *e = __real_http_client_upgrade(cx, what, protocol, ret_fd, ret_early);
    if (!e)
        step("opened-%s", part);
    return e;
}

CALLS(struct err *, http_client_call, struct ctx *cx, struct http_client *client,
      const struct http_call *call, struct http_answer *ret)
{
    if (does != SENDS)
        return __real_http_client_call(cx, client, call, ret);
    step("say-end");
    struct err *e = __real_http_client_call(cx, client, call, ret);
    does = SAID_THE_END;
    step("said-end");
    return e;
}

CALLS(struct err *, mon, struct ctx *cx, struct qmp *q, const char *command, json_t *args,
      json_t **ret)
{
    struct err *e = __real_mon(cx, q, command, args, ret);
    if (does == SENDS && !e)
        step("did-%s", command);
    return e;
}

CALLS(struct err *, guest_stand_still, struct ctx *cx, struct guest *g, struct qmp *q)
{
    bool sends = does == SENDS;
    if (sends)
        step("stop-guest");
    struct err *e = __real_guest_stand_still(cx, g, q);
    if (sends && !e)
        step("stopped-guest");
    return e;
}

CALLS(struct err *, stream_pass, struct ctx *cx, struct qmp *q, int fd)
{
    if (does == SENDS)
        step("send-memory");
    return __real_stream_pass(cx, q, fd);
}

CALLS(struct err *, pieces_send, struct ctx *cx, int to, int from, const atomic_bool *given_up)
{
    struct err *e = __real_pieces_send(cx, to, from, given_up);
    if (!e)
        step("sent-file");
    return e;
}

CALLS(struct err *, overlay_make, struct ctx *cx, int guest_fd, const struct overlay_wish *w)
{
    struct err *e = __real_overlay_make(cx, guest_fd, w);
    if (does == RECEIVES && !e)
        step("made-mirror");
    return e;
}

CALLS(struct err *, pieces_receive, struct ctx *cx, int from, int to)
{
    struct err *e = __real_pieces_receive(cx, from, to);
    if (!e)
        step("received-file");
    return e;
}

CALLS(struct err *, file_settle, struct ctx *cx, int dir_fd, const char *temp, const char *name)
{
    struct err *e = __real_file_settle(cx, dir_fd, temp, name);
    if (does == RECEIVES && !e)
        step("settled-part");
    if (does == HEARS_THE_END && !e)
        step("placed-%s", str_eq(name, MEMORY_NAME) ? "memory" : "root");
    return e;
}

/* The guest's lock is held: whoever looks waits too. */
CALLS(struct err *, guest_save, struct ctx *cx, struct guest *g)
{
    bool arrives = does == HEARS_THE_END, sent = does == SAID_THE_END;
    if (arrives || sent)
        step("record-%s", sent ? "sent" : "arrived");
    struct err *e = __real_guest_save(cx, g);
    if (arrives || sent)
        step("recorded-%s", sent ? "sent" : "arrived");
    return e;
}

CALLS(struct err *, op_start, struct ctx *cx, void *drv, const struct spec_server *spec,
      const int *taps, const struct volume_access *volumes)
{
    struct err *e = __real_op_start(cx, drv, spec, taps, volumes);
    if (!e)
        step("started");
    return e;
}

CALLS(struct err *, memory_load, struct ctx *cx, struct guest *g)
{
    step("load-memory");
    struct err *e = __real_memory_load(cx, g);
    if (!e)
        step("loaded-memory");
    return e;
}
