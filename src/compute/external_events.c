/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * os-server-external-events: another service says that something of a server has changed. The
 * server's host is told to look at it again: what it then sees is what counts, whatever was said.
 */
#include "compute/impl.h"

#define EVENTS_MAX 1000

static const struct event_name {
    const char *name;
    unsigned since;
    bool needs_tag; /* of which port, volume or request */
} event_names[] = {
    {"network-changed"},
    {"network-vif-plugged"},
    {"network-vif-unplugged"},
    {"network-vif-deleted"},
    {"volume-extended", 51, true},
    {"power-update", 76, true},
    {"accelerator-request-bound", 82, true},
    {"volume-reimaged", 93, true},
};
static const char *const event_statuses[] = {"completed", "failed", "in-progress"};

struct event {
    const char *name, *server_id, *tag, *status;
    int code;
    bool needs_tag;
};

static struct err *check_members(struct call *c, const json_t *item)
{
    static const char *const members[] = {"name", "server_uuid", "status", "tag"};
    const char *key;
    json_t *v;
    if (!json_is_object(item))
        return bad_member(c, "events", item, "it is not of type 'object'");
    json_object_foreach((json_t *)(uintptr_t)item, key, v)
    {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(members); i++)
            known = known || str_eq(members[i], key);
        if (!known)
            return bad_member(c, "events", item,
                              arena_printf(c->cx->arena,
                                           "Additional properties are not allowed ('%s' was "
                                           "unexpected)",
                                           key));
        if (!json_is_string(v))
            return bad_member(c, key, v, "it is not of type 'string'");
    }
    return NULL;
}

static struct err *read_event(struct call *c, const json_t *item, struct event *ret)
{
    bool named = false, known = false;
    TRY(check_members(c, item));
    *ret = (struct event){.name = json_get_str(item, "name"),
                          .server_id = json_get_str(item, "server_uuid"),
                          .tag = json_get_str(item, "tag"),
                          .status = json_get_str(item, "status")};
    for (size_t i = 0; i < ARRAY_LEN(event_names); i++)
        if (str_eq(event_names[i].name, ret->name) && c->microversion >= event_names[i].since) {
            named = true;
            ret->needs_tag = event_names[i].needs_tag;
        }
    if (!named)
        return bad_member(c, "name", json_get(item, "name"), "it is not the name of an event");
    if (!ret->server_id || !uuid_valid(ret->server_id))
        return bad_member(c, "server_uuid", json_get(item, "server_uuid"), "it is not a 'uuid'");
    if (!ret->status)
        ret->status = event_statuses[0];
    for (size_t i = 0; i < ARRAY_LEN(event_statuses); i++)
        known = known || str_eq(event_statuses[i], ret->status);
    if (!known)
        return bad_member(c, "status", json_get(item, "status"),
                          "it is not one of ['failed', 'completed', 'in-progress']");
    if (ret->tag && str_utf8_len(ret->tag) > 255)
        return bad_member(c, "tag", json_get(item, "tag"), "it is too long");
    return NULL;
}

/* 200, or why it could not be delivered: 404 no such server, 422 it has no host, 400 no tag. */
static struct err *deliver(struct call *c, struct event *e)
{
    void *row = NULL;
    TRY(res_get(c->cx, c->tx, &server_resource, e->server_id, &row));
    const struct server *s = row;
    e->code = !s ? 404 : !s->host_id ? 422 : e->needs_tag && !e->tag ? 400 : 200;
    if (e->code == 200)
        return fleet_touch(c->cx, c->tx, s->host_id, "server", s->id);
    e->status = "failed";
    return NULL;
}

static void write_events(struct call *c, int status, const struct event *events, size_t n)
{
    struct jw w = call_json(c, status);
    jw_obj(&w);
    jw_karr(&w, "events");
    for (size_t i = 0; i < n; i++) {
        jw_obj(&w);
        jw_kstr(&w, "name", events[i].name);
        jw_kstr(&w, "server_uuid", events[i].server_id);
        jw_kstr(&w, "status", events[i].status);
        if (events[i].tag)
            jw_kstr(&w, "tag", events[i].tag);
        jw_kint(&w, "code", events[i].code);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
}

struct err *external_events_create(struct call *c)
{
    const json_t *list = json_get(c->json, "events");
    size_t n = json_array_size(list), delivered = 0;
    if (!json_is_object(c->json) || json_object_size(c->json) != 1 || !n || n > EVENTS_MAX)
        return bad_member(c, "events", list, "A list of 1 to 1000 events is needed");
    struct event *events = arena_new_array(c->cx->arena, struct event, n);
    for (size_t i = 0; i < n; i++)
        TRY(read_event(c, json_array_get(list, i), &events[i]));
    for (size_t i = 0; i < n; i++) {
        TRY(deliver(c, &events[i]));
        delivered += events[i].code == 200;
    }
    if (!delivered)
        return fail(c->cx, ERR_NOT_FOUND, "No instances found for any event");
    write_events(c, delivered == n ? 200 : 207, events, n);
    return NULL;
}

/* ---------------------------------------------------------------- of our own volumes */

#define EXTEND "extend_volume"

static struct err *server_or_null(struct ctx *cx, struct tx *tx, const char *id,
                                  struct server **ret)
{
    void *row = NULL;
    TRY(res_get(cx, tx, &server_resource, id, &row));
    *ret = row;
    return NULL;
}

struct err *compute_volume_extending(struct call *c, const char *server_id)
{
    struct server *s;
    TRY(server_or_null(c->cx, c->tx, server_id, &s));
    return s ? action_record(c, s, EXTEND, "compute_extend_volume", RECORD_APART) : NULL;
}

struct err *compute_volume_extended(struct ctx *cx, struct tx *tx, const char *server_id, bool good)
{
    struct server *s;
    TRY(server_or_null(cx, tx, server_id, &s));
    return s ? action_finish(cx, tx, s, EXTEND, good) : NULL;
}
