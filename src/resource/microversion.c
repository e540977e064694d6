/* SPDX-License-Identifier: EUPL-1.2 */
/* Microversions: OpenStack-API-Version: <service> <major.minor>, or the service's older header;
 * echoed in the reply. */
#include "resource/engine.h"

static struct err *parse(struct call *c, const struct family *fam, const char *text)
{
    int64_t major, minor;
    if (str_eq(text, "latest")) {
        c->microversion = fam->max;
        return NULL;
    }
    const char *dot = strchr(text, '.');
    if (!dot ||
        !str_to_i64(arena_strndup(c->cx->arena, text, (size_t)(dot - text)), 0, 99, &major) ||
        !str_to_i64(dot + 1, 0, 9999, &minor))
        return fail(
            c->cx, ERR_INVALID,
            "API Version String '%s' is of invalid format. Must be of format MajorNum.MinorNum.",
            text);
    if (major != fam->major || minor < fam->min || minor > fam->max)
        return fail(
            c->cx, ERR_NOT_ACCEPTABLE,
            "Version %s is not supported by the API. Minimum is %u.%u and maximum is %u.%u.", text,
            fam->major, fam->min, fam->major, fam->max);
    c->microversion = (unsigned)minor;
    return NULL;
}

/* "compute 2.26, volume 3.40": the one for this service, or NULL. */
static const char *own_part(struct call *c, const struct family *fam, const char *header)
{
    char **parts;
    size_t n = str_split(c->cx, header, ',', &parts);
    for (size_t i = 0; i < n; i++) {
        const char *p = parts[i] + strspn(parts[i], " ");
        size_t len = strlen(fam->name);
        if (strncmp(p, fam->name, len) == 0 && p[len] == ' ')
            return p + len + strspn(p + len, " ");
    }
    return NULL;
}

struct err *negotiate_version(struct call *c)
{
    const struct family *fam = c->service->family;
    struct err *e = NULL;
    c->microversion = fam->min;
    if (fam->request_id_header)
        http_reply_header(c->rp, c->cx, fam->request_id_header, c->cx->request_id);
    if (!fam->max)
        return NULL;
    const char *header = http_header(c->rq, "OpenStack-API-Version");
    const char *text = header ? own_part(c, fam, header) : NULL;
    if (!text && fam->microversion_header)
        text = http_header(c->rq, fam->microversion_header);
    if (text)
        e = parse(c, fam, text);
    const char *version = arena_printf(c->cx->arena, "%u.%u", fam->major, c->microversion);
    http_reply_header(c->rp, c->cx, "OpenStack-API-Version",
                      arena_printf(c->cx->arena, "%s %s", fam->name, version));
    if (fam->microversion_header)
        http_reply_header(c->rp, c->cx, fam->microversion_header, version);
    http_reply_header(c->rp, c->cx, "Vary", "OpenStack-API-Version");
    return e;
}
