/* SPDX-License-Identifier: EUPL-1.2 */
/* os-instance-actions: what was done to a server, keyed by request id. Since 2.21 also of servers
 * that are gone. */
#include "compute/impl.h"

/* Administrators see events in lists of one; others since 2.51, without the host before 2.62. */
static bool shown_events(const void *row UNUSED, const struct view *v)
{
    return v->admin || v->microversion >= 51;
}

static void encode_events(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    const struct instance_action *a = row;
    bool failed = str_eq(a->result, "Error");
    jw_arr(w);
    jw_obj(w);
    jw_kstr(w, "event", a->event);
    jw_kstr(w, "start_time", time_iso(cx, a->start_time, TIME_MICROS));
    jw_kstr(w, "finish_time", a->finish_time ? time_iso(cx, a->finish_time, TIME_MICROS) : NULL);
    jw_kstr(w, "result", a->result);
    if (v->admin)
        jw_knull(w, "traceback");
    if (v->microversion >= 62) {
        if (v->admin)
            jw_kstr(w, "host", a->host);
        jw_kstr(w, "hostId", host_hash(cx, a->owner_project, a->host));
    }
    if (v->microversion >= 84)
        jw_kstr(w, "details", failed ? "The server's fault has the reason" : NULL);
    jw_obj_end(w);
    jw_arr_end(w);
}

#define RESOURCE instance_action
#define RESOURCE_DEF "compute/instance_action.def"
#include "resource/declare_fields.h"

static const struct res_index action_indexes[] = {
    {"instance_actions_server", "server_id, start_time", false, NULL},
    {"instance_actions_gone", "gone_at", false, "gone_at IS NOT NULL"}};
const struct resource instance_action_resource = {.name = "instanceAction",
                                                  .plural = "instanceActions",
                                                  .table = "instance_actions",
                                                  RESOURCE_FIELDS(instance_action),
                                                  .owner = instance_action_f_owner_project,
                                                  .time_style = TIME_MICROS,
                                                  .indexes = action_indexes,
                                                  .n_indexes = ARRAY_LEN(action_indexes),
                                                  .doc = "What was done to a server."};
const struct res_where actions_of_server = {&instance_action_resource, "server_id = $1",
                                            "start_time DESC, id DESC"};
const struct res_where action_by_request = {&instance_action_resource,
                                            "server_id = $1 AND request_id = $2", NULL};

/* The server itself, or what is left of it; a stranger's is not found. */
static struct err *find(struct call *c, void ***ret_rows, size_t *ret_n)
{
    void *server = NULL;
    const char *id = call_param(c, "server_id");
    struct err *e = res_find_visible(c->cx, c->tx, &server_resource, id, c->actor, &server);
    if (e && (e->kind != ERR_NOT_FOUND || c->microversion < 21))
        return e;
    TRY(res_select_by(c->cx, c->tx, &actions_of_server, ret_rows, ret_n, V_TEXT(id)));
    if (server)
        return NULL;
    if (!*ret_n || (!c->actor->admin && !str_eq(ROW(instance_action, *ret_rows, 0)->owner_project,
                                                c->actor->project_id)))
        return res_not_found(c->cx, &server_resource, id);
    return NULL;
}

static struct err *read_time(struct call *c, const char *name, int64_t *ret)
{
    const char *text = http_arg(c->rq, name);
    if (text && !time_parse(text, ret))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for query parameters %s. Value: %s. '%s' is not a 'date-time'",
                    name, text, text);
    return NULL;
}

struct err *action_list(struct call *c)
{
    void **rows;
    size_t n, shown = 0;
    int64_t limit = INT64_MAX, since = 0, before = INT64_MAX;
    const char *text = http_arg(c->rq, "limit"), *marker = http_arg(c->rq, "marker");
    bool started = !marker || c->microversion < 58;
    TRY(find(c, &rows, &n));
    if (c->microversion >= 58 && text && !str_to_i64(text, 0, INT32_MAX, &limit))
        return fail(
            c->cx, ERR_INVALID,
            "Invalid input for query parameters limit. Value: %s. '%s' does not match '^[0-9]*$'",
            text, text);
    if (c->microversion >= 58)
        TRY(read_time(c, "changes-since", &since));
    if (c->microversion >= 66)
        TRY(read_time(c, "changes-before", &before));
    struct view v = call_view(c);
    v.brief = true;
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "instanceActions");
    for (size_t i = 0; i < n && (int64_t)shown < limit; i++) {
        const struct instance_action *a = rows[i];
        if (started && a->updated_at >= since && a->updated_at <= before) {
            res_encode(c->cx, &w, &instance_action_resource, a, &v);
            shown++;
        }
        started = started || str_eq(a->request_id, marker);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    if (!started)
        return fail(c->cx, ERR_INVALID, "marker [%s] not found", marker);
    return NULL;
}

struct err *action_show(struct call *c)
{
    void **rows, *row = NULL;
    size_t n;
    TRY(find(c, &rows, &n));
    TRY(res_first_by(c->cx, c->tx, &action_by_request, &row, V_TEXT(call_param(c, "server_id")),
                     V_TEXT(call_param(c, "request_id"))));
    if (!row)
        return fail(c->cx, ERR_NOT_FOUND, "Action for request_id %s on instance %s not found",
                    call_param(c, "request_id"), call_param(c, "server_id"));
    return call_reply_row(c, 200, &instance_action_resource, row);
}
