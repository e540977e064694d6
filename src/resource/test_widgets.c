/* SPDX-License-Identifier: EUPL-1.2 */
/* See test_widgets.h. */
#include "resource/engine.h"
#include "resource/test_widgets.h"

_Atomic int widgets_stale;

static const char *const widget_colors[] = {"red", "green", "blue", NULL};

#define RESOURCE widget
#define RESOURCE_DEF "resource/test_widget.def"
#include "resource/declare_fields.h"

static bool visible(struct ctx *cx UNUSED, struct tx *tx UNUSED, const void *row,
                    const struct actor *actor UNUSED)
{
    return ((const struct widget *)row)->shared;
}

static const struct res_index indexes[] = {
    {"widgets_project", "project_id, created_at"},
    {"widgets_name", "project_id, name", .unique = true, .where = "name <> 'twin'"}};

#define WIDGET                                                                                     \
    .name = "widget", .plural = "widgets", .table = "widgets", RESOURCE_FIELDS(widget),            \
    .owner = widget_f_project_id, .not_found = "Widget %s could not be found.",                    \
    .not_found_type = "WidgetNotFound", .visible = visible
const struct resource widget_resource = {
    WIDGET, .indexes = indexes, .n_indexes = ARRAY_LEN(indexes), .dflt_sort = "created_at,id"};
const struct resource widget_keep_resource = {WIDGET, .bare = true, .extra = EXTRA_KEEP,
                                              .extra_member = widget_f_metadata};
const struct resource widget_ignore_resource = {WIDGET, .extra = EXTRA_IGNORE};

static struct err *list(struct call *c)
{
    struct list_more more = {.shared_where = "shared = 1"};
    return call_reply_list(c, &widget_resource, &more);
}

static struct err *create(struct call *c)
{
    struct widget *w = c->body;
    w->id = uuid_new(c->cx);
    w->project_id = w->project_id ? w->project_id : c->actor->project_id;
    w->host = "host-1";
    w->secret = "hidden";
    c->audit_target = w->id;
    TRY(quota_check(c->cx, c->tx, c->service, "widgets", w->project_id, 1));
    TRY(res_insert(c->cx, c->tx, &widget_resource, w));
    return call_reply_row(c, 0, &widget_resource, w);
}

static struct err *show(struct call *c)
{
    return call_reply_row(c, 0, &widget_resource, c->target);
}

static struct err *update(struct call *c)
{
    TRY(res_update(c->cx, c->tx, &widget_resource, c->body));
    return call_reply_row(c, 0, &widget_resource, c->body);
}

static struct err *del(struct call *c)
{
    TRY(res_delete(c->cx, c->tx, &widget_resource, c->target));
    call_reply_empty(c, 204);
    return NULL;
}

static struct err *stale(struct call *c)
{
    struct widget *w = c->target;
    http_reply_header(c->rp, c->cx, "X-Try", "once");
    w->size = w->size == INT_NULL ? 1 : w->size + 1;
    TRY(res_update(c->cx, c->tx, &widget_resource, w));
    if (widgets_stale > 0) {
        widgets_stale--;
        return fail(c->cx, ERR_STALE, "lost a race");
    }
    return call_reply_row(c, 200, &widget_resource, w);
}

/* Fails with the kind of error that the path names, after a write. */
static struct err *breaks(struct call *c)
{
    struct widget *w = c->target;
    w->name = "broken";
    if (c->tx)
        TRY(res_update(c->cx, c->tx, &widget_resource, w));
    for (int k = 0; k < ERR_KIND_COUNT; k++)
        if (str_eq(err_kind_name((enum err_kind)k), call_param(c, "kind")))
            return wrap(c->cx, fail(c->cx, ERR_INTERNAL, "disk /dev/secret is full"),
                        (enum err_kind)k, "it broke inside");
    return res_not_found(c->cx, &widget_resource, call_param(c, "kind"));
}

static struct err *no_tx(struct call *c)
{
    if (c->tx)
        return fail(c->cx, ERR_INTERNAL, "there is a transaction");
    call_reply_empty(c, 202);
    return NULL;
}

static struct err *nobodys_list(struct call *c)
{
    struct db_value ten = V_INT(10);
    struct list_more more = {
        .where = "size >= $1", .params = &ten, .n_params = 1, .all_projects = true, .brief = true};
    return call_reply_list(c, &widget_resource, &more);
}

#define WIDGET_ROUTES(base)                                                                        \
    ROUTE(GET, base "/widgets", list, "widgets:index", .rule = RULE_READER,                        \
          .list = &widget_resource),                                                               \
        ROUTE(POST, base "/widgets", create, "widgets:create", .rule = RULE_MEMBER,                \
              .body = &widget_resource, .status = 201),                                            \
        ROUTE(GET, base "/widgets/{widget_id}", show, "widgets:show", .rule = RULE_READER,         \
              .target = &widget_resource),                                                         \
        ROUTE(PUT, base "/widgets/{widget_id}", update, "widgets:update", .rule = RULE_MEMBER,     \
              .target = &widget_resource, .body = &widget_resource),                               \
        ROUTE(DELETE, base "/widgets/{widget_id}", del, "widgets:delete", .rule = RULE_MEMBER,     \
              .target = &widget_resource),                                                         \
        ROUTE(POST, base "/widgets/{widget_id}/stale", stale, "widgets:stale",                     \
              .rule = RULE_MEMBER, .target = &widget_resource),                                    \
        ROUTE(POST, base "/widgets/{widget_id}/breaks/{kind}", breaks, "widgets:breaks",           \
              .rule = RULE_MEMBER, .target = &widget_resource, .target_param = "widget_id"),       \
        ROUTE(POST, base "/no-tx", no_tx, "widgets:no_tx", .rule = RULE_MEMBER,                    \
              .flags = RT_NO_TX),                                                                  \
        ROUTE(POST, base "/reads", no_tx, "widgets:reads", .rule = RULE_MEMBER,                    \
              .flags = RT_NO_TX | RT_READ),                                                        \
        ROUTE(GET, base "/big", nobodys_list, "widgets:big", .rule = RULE_ADMIN),                  \
        ROUTE(GET, base "/open", no_tx, "widgets:open", .rule = RULE_PUBLIC, .flags = RT_NO_TX),   \
        ROUTE(GET, base "/since", no_tx, "widgets:since", .rule = RULE_ANY, .flags = RT_NO_TX,     \
              .since = 10, .until = 20)

static const struct route compute_routes[] = {WIDGET_ROUTES("/compute/v2.1")};
static const struct route network_routes[] = {WIDGET_ROUTES("/network/v2.0")};
static const struct route identity_routes[] = {WIDGET_ROUTES("/identity/v3")};
static const struct route image_routes[] = {WIDGET_ROUTES("/image/v2")};

static const struct resource *const resources[] = {&widget_resource};
static const struct stmt count_widgets = {"count_widgets",
                                          "SELECT count(*) FROM widgets WHERE project_id = $1"};
static const struct stmt *const stmts[] = {&count_widgets};
static const struct quota quotas[] = {
    {"widgets", 40, &count_widgets}, {"free", -1, &count_widgets}, {"unused", 5, NULL}};

#define SERVICE(kind)                                                                              \
    .name = #kind, .family = &family_##kind, SERVICE_LIST(routes, kind##_routes),                  \
    SERVICE_LIST(quotas, quotas)
const struct service widget_compute = {SERVICE(compute), SERVICE_LIST(resources, resources),
                                       SERVICE_LIST(stmts, stmts)};
static const struct service widget_network = {SERVICE(network)},
                            widget_identity = {SERVICE(identity)}, widget_image = {SERVICE(image)};

const struct service *const widget_services[] = {&engine_service, &widget_compute, &widget_network,
                                                 &widget_identity, &widget_image};
const size_t n_widget_services = ARRAY_LEN(widget_services);
