/* SPDX-License-Identifier: EUPL-1.2 */
/* Messages for users: why something asked for was not done, when its answer had gone already. */
#include "volume/impl.h"

#define MESSAGES_KEPT_US (30LL * 24 * 3600 * 1000000)

/* As cinder: the code of what happened begins with the kind of the resource. */
static void encode_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    volume_links(cx, w, v, "messages", ((const struct message *)row)->id);
}

#define RESOURCE message
#define RESOURCE_DEF "volume/message.def"
#include "resource/declare_fields.h"

static const struct res_index message_indexes[] = {
    {"messages_project", "project_id, created_at, id", false, NULL},
    {"messages_expire", "expires_at", false, NULL}};
const struct resource message_resource = {.name = "message",
                                          .plural = "messages",
                                          .table = "volume_messages",
                                          RESOURCE_FIELDS(message),
                                          .owner = message_f_project_id,
                                          .not_found = "Message %s could not be found.",
                                          .indexes = message_indexes,
                                          .n_indexes = ARRAY_LEN(message_indexes),
                                          .time_style = TIME_MICROS,
                                          .encode_more = encode_links,
                                          .dflt_sort = "created_at:desc,id:desc",
                                          .doc = "What went wrong with a volume."};

const struct stmt stmt_messages_stale = {
    "messages_stale", "SELECT 1 FROM volume_messages WHERE expires_at < $1 LIMIT 1"};
const struct stmt stmt_messages_purge = {"messages_purge",
                                         "DELETE FROM volume_messages WHERE expires_at < $1"};

/* cinder's numbers of actions and details: clients match the code, people read the text. */
static const struct {
    const char *action, *code;
} actions[] = {{"schedule allocate volume", "001"},
               {"create volume", "005"},
               {"delete volume", "014"},
               {"extend volume", "012"},
               {"snapshot create", "009"},
               {"snapshot delete", "007"},
               {"copy volume to image", "003"},
               {"attach volume", "002"},
               {"detach volume", "018"}};

static const char *event_of(struct ctx *cx, const char *resource_type, const char *action,
                            const char *detail)
{
    const char *code = "000";
    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        if (str_eq(actions[i].action, action))
            code = actions[i].code;
    return arena_printf(cx->arena, "VOLUME_%s_%s_%s", resource_type, code, detail);
}

struct err *volume_message(struct ctx *cx, struct tx *tx, const char *project_id,
                           const char *resource_type, const char *resource_id, const char *action,
                           const char *detail, const char *text)
{
    struct message *m = res_new(cx, &message_resource);
    m->id = uuid_new(cx);
    m->event_id = event_of(cx, resource_type, action, detail);
    m->text = arena_printf(cx->arena, "%s:%s", action, text ? text : "it failed");
    m->level = "ERROR";
    m->resource_type = resource_type;
    m->resource_id = resource_id;
    m->request_id = cx->request_id;
    m->project_id = project_id;
    m->expires_at = now_us(cx) + MESSAGES_KEPT_US;
    return res_insert(cx, tx, &message_resource, m);
}

struct err *volume_message_list(struct call *c)
{
    return call_reply_list(c, &message_resource, NULL);
}

struct err *volume_message_show(struct call *c)
{
    return call_reply_row(c, 200, &message_resource, c->target);
}

struct err *volume_message_delete(struct call *c)
{
    TRY(res_delete(c->cx, c->tx, &message_resource, c->target));
    call_reply_empty(c, 204);
    return NULL;
}
