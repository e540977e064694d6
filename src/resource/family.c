/* SPDX-License-Identifier: EUPL-1.2 */
/* Error bodies and wordings of the OpenStack services, as their clients match them. */
#include "resource/family.h"

static const struct {
    int status;
    const char *title, *fault; /* fault: the key that compute and volume wrap errors in */
} statuses[] = {
    {400, "Bad Request", "badRequest"},
    {401, "Unauthorized", "unauthorized"},
    {403, "Forbidden", "forbidden"},
    {404, "Not Found", "itemNotFound"},
    {405, "Method Not Allowed", "badMethod"},
    {406, "Not Acceptable", "computeFault"},
    {409, "Conflict", "conflictingRequest"},
    {410, "Gone", "computeFault"},
    {412, "Precondition Failed", "computeFault"},
    {413, "Request Entity Too Large", "overLimit"},
    {415, "Unsupported Media Type", "badMediaType"},
    {416, "Requested Range Not Satisfiable", "computeFault"},
    {429, "Too Many Requests", "overLimit"},
    {500, "Internal Server Error", "computeFault"},
    {501, "Not Implemented", "notImplemented"},
    {502, "Bad Gateway", "computeFault"},
    {503, "Service Unavailable", "serviceUnavailable"},
    {504, "Gateway Timeout", "computeFault"},
};

static const char *title_of(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].status == status)
            return statuses[i].title;
    return "Error";
}

static const char *fault_of(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].status == status)
            return statuses[i].fault;
    return "computeFault";
}

int family_status(const struct family *fam, const struct err *e)
{
    return e->kind == ERR_QUOTA ? fam->quota_status : err_http_status(e->kind);
}

static void render_identity(struct ctx *cx UNUSED, struct buf *out, const struct err *e, int status)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kobj(&w, "error");
    jw_kint(&w, "code", status);
    jw_kstr(&w, "message", e->message);
    jw_kstr(&w, "title", title_of(status));
    jw_obj_end(&w);
    jw_obj_end(&w);
}

static void render_fault(struct ctx *cx UNUSED, struct buf *out, const struct err *e, int status)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kobj(&w, fault_of(status));
    jw_kint(&w, "code", status);
    jw_kstr(&w, "message", e->message);
    jw_obj_end(&w);
    jw_obj_end(&w);
}

static void render_image(struct ctx *cx, struct buf *out, const struct err *e, int status)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kstr(&w, "message", e->message);
    jw_kstr(&w, "code", arena_printf(cx->arena, "%d %s", status, title_of(status)));
    jw_kstr(&w, "title", title_of(status));
    jw_obj_end(&w);
}

static void render_network(struct ctx *cx UNUSED, struct buf *out, const struct err *e, int status)
{
    static const struct {
        enum err_kind kind;
        const char *type;
    } types[] = {{ERR_INVALID, "HTTPBadRequest"}, {ERR_FORBIDDEN, "PolicyNotAuthorized"},
                 {ERR_QUOTA, "OverQuota"},        {ERR_NOT_FOUND, "HTTPNotFound"},
                 {ERR_CONFLICT, "Conflict"},      {ERR_IN_USE, "InUse"}};
    struct jw w;
    const char *type = e->type;
    for (size_t i = 0; !type && i < ARRAY_LEN(types); i++)
        type = types[i].kind == e->kind ? types[i].type : NULL;
    (void)status;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kobj(&w, "NeutronError");
    jw_kstr(&w, "type", type ? type : "HTTPError");
    jw_kstr(&w, "message", e->message);
    jw_kstr(&w, "detail", "");
    jw_obj_end(&w);
    jw_obj_end(&w);
}

static void render_placement(struct ctx *cx, struct buf *out, const struct err *e, int status)
{
    const struct family *f = &family_placement;
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_karr(&w, "errors");
    jw_obj(&w);
    jw_kint(&w, "status", status);
    jw_kstr(&w, "title", title_of(status));
    jw_kstr(&w, "detail", e->message);
    jw_kstr(&w, "code", e->type ? e->type : "placement.undefined_code");
    jw_kstr(&w, "request_id", cx->request_id);
    if (e->kind == ERR_NOT_ACCEPTABLE) { /* clients take the version from here */
        jw_kstr(&w, "min_version", arena_printf(cx->arena, "%u.%u", f->major, f->min));
        jw_kstr(&w, "max_version", arena_printf(cx->arena, "%u.%u", f->major, f->max));
    }
    jw_obj_end(&w);
    jw_arr_end(&w);
    jw_obj_end(&w);
}

/* ---------------------------------------------------------------- words */

static struct err *jsonschema_invalid(struct ctx *cx, const struct resource *res UNUSED,
                                      const char *wire, const json_t *value, const char *reason)
{
    const char *text = json_is_string(value) ? json_string_value(value) : json_python(cx, value);
    return fail(cx, ERR_INVALID, "Invalid input for field/attribute %s. Value: %s. %s", wire,
                str_cut(cx, text, 512), reason);
}

static struct err *jsonschema_unknown(struct ctx *cx, const struct resource *res, const char *wire)
{
    return fail(cx, ERR_INVALID,
                "Invalid input for field/attribute %s. Additional properties are not allowed ('%s' "
                "was unexpected)",
                res->name, wire);
}

static struct err *jsonschema_missing(struct ctx *cx, const struct resource *res, const char *wire)
{
    return fail(cx, ERR_INVALID,
                "Invalid input for field/attribute %s. '%s' is a required property", res->name,
                wire);
}

static struct err *identity_invalid(struct ctx *cx, const struct resource *res UNUSED,
                                    const char *wire, const json_t *value UNUSED,
                                    const char *reason)
{
    return fail(cx, ERR_INVALID, "Invalid input for field '%s': %s", wire, reason);
}

static struct err *identity_unknown(struct ctx *cx, const struct resource *res, const char *wire)
{
    return fail(cx, ERR_INVALID, "Invalid input for field '%s': '%s' is not a member of a %s", wire,
                wire, res->name);
}

static struct err *identity_missing(struct ctx *cx, const struct resource *res, const char *wire)
{
    return fail(cx, ERR_INVALID, "Invalid input for field '%s': '%s' is a required property",
                res->name, wire);
}

static struct err *identity_read_only(struct ctx *cx, const struct resource *res, const char *wire)
{
    return fail(cx, ERR_INVALID, "Invalid input for field '%s': it cannot be set on a %s", wire,
                res->name);
}

static struct err *image_invalid(struct ctx *cx, const struct resource *res, const char *wire,
                                 const json_t *value UNUSED, const char *reason)
{
    return fail(cx, ERR_INVALID, "Provided object does not match schema '%s': %s (property '%s')",
                res->name, reason, wire);
}

static struct err *image_unknown(struct ctx *cx, const struct resource *res, const char *wire)
{
    return fail(cx, ERR_INVALID,
                "Provided object does not match schema '%s': Additional properties are not allowed "
                "('%s' was unexpected)",
                res->name, wire);
}

static struct err *image_missing(struct ctx *cx, const struct resource *res, const char *wire)
{
    return fail(cx, ERR_INVALID,
                "Provided object does not match schema '%s': '%s' is a required property",
                res->name, wire);
}

static struct err *image_read_only(struct ctx *cx, const struct resource *res UNUSED,
                                   const char *wire)
{
    return fail(cx, ERR_FORBIDDEN, "Attribute '%s' is read-only.", wire);
}

static struct err *network_invalid(struct ctx *cx, const struct resource *res UNUSED,
                                   const char *wire, const json_t *value UNUSED, const char *reason)
{
    return fail(cx, ERR_INVALID, "Invalid input for %s. Reason: %s.", wire, reason);
}

static struct err *network_unknown(struct ctx *cx, const struct resource *res UNUSED,
                                   const char *wire)
{
    return fail(cx, ERR_INVALID, "Unrecognized attribute(s) '%s'", wire);
}

static struct err *network_missing(struct ctx *cx, const struct resource *res, const char *wire)
{
    if (str_eq(wire, res->name))
        return fail(cx, ERR_INVALID, "Unable to find '%s' in request body", wire);
    return fail(cx, ERR_INVALID, "Failed to parse request. Required attribute '%s' not specified",
                wire);
}

static struct err *network_read_only(struct ctx *cx, const struct resource *res UNUSED,
                                     const char *wire)
{
    return fail(cx, ERR_INVALID,
                "Attribute '%s' not allowed here: it cannot be set in this request", wire);
}

#define JSONSCHEMA_WORDS                                                                           \
    .invalid = jsonschema_invalid, .unknown = jsonschema_unknown, .missing = jsonschema_missing,   \
    .read_only = jsonschema_unknown

const struct family family_identity = {.name = "identity",
                                       .prefix = "/identity",
                                       .paging = PAGING_IDENTITY,
                                       .render = render_identity,
                                       .quota_status = 403,
                                       .invalid = identity_invalid,
                                       .unknown = identity_unknown,
                                       .missing = identity_missing,
                                       .read_only = identity_read_only,
                                       .major = 3,
                                       .strips_slash = true};
const struct family family_compute = {.name = "compute",
                                      .prefix = "/compute",
                                      .paging = PAGING_COMPUTE,
                                      .render = render_fault,
                                      .quota_status = 403,
                                      JSONSCHEMA_WORDS,
                                      .major = 2,
                                      .min = 1,
                                      .max = 96,
                                      .request_id_header = "X-Compute-Request-Id",
                                      .microversion_header = "X-OpenStack-Nova-API-Version",
                                      .default_limit = 1000,
                                      .max_limit = 1000};
const struct family family_volume = {.name = "volume",
                                     .prefix = "/volume",
                                     .paging = PAGING_COMPUTE,
                                     .render = render_fault,
                                     .quota_status = 413,
                                     JSONSCHEMA_WORDS,
                                     .major = 3,
                                     .min = 0,
                                     .max = 70,
                                     .full_page_goes_on = true,
                                     .default_limit = 1000,
                                     .max_limit = 1000};
const struct family family_image = {.name = "image",
                                    .prefix = "/image",
                                    .paging = PAGING_IMAGE,
                                    .render = render_image,
                                    .quota_status = 413,
                                    .invalid = image_invalid,
                                    .unknown = image_unknown,
                                    .missing = image_missing,
                                    .read_only = image_read_only,
                                    .major = 2,
                                    .default_limit = 25,
                                    .max_limit = 1000};
const struct family family_network = {.name = "network",
                                      .prefix = "/network",
                                      .paging = PAGING_NETWORK,
                                      .render = render_network,
                                      .quota_status = 409,
                                      .invalid = network_invalid,
                                      .unknown = network_unknown,
                                      .missing = network_missing,
                                      .read_only = network_read_only,
                                      .major = 2};
const struct family family_placement = {.name = "placement",
                                        .prefix = "/placement",
                                        .paging = PAGING_COMPUTE,
                                        .render = render_placement,
                                        .quota_status = 403,
                                        JSONSCHEMA_WORDS,
                                        .major = 1,
                                        .min = 0,
                                        .max = 39};
/* The agents' own protocol, and everything that is no service's. */
const struct family family_node = {.name = "node",
                                   .prefix = "/node",
                                   .paging = PAGING_COMPUTE,
                                   .render = render_identity,
                                   .quota_status = 403,
                                   JSONSCHEMA_WORDS,
                                   .major = 1};
