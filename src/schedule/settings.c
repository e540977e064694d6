/* SPDX-License-Identifier: EUPL-1.2 */
/* What operators write of placement, read and checked. */
#include "schedule/impl.h"
#include <math.h>

#define RATIO_MAX 1000000.0

static const char *filter_names(struct ctx *cx)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < place_n_filters; i++)
        if (place_filters[i].name)
            buf_printf(&b, "%s%s", b.len ? ", " : "", place_filters[i].name);
    return buf_cstr(&b);
}

static struct err *add_filter(struct ctx *cx, const char *name, uint32_t *mask)
{
    for (size_t i = 0; i < place_n_filters; i++)
        if (place_filters[i].name && str_eq(place_filters[i].name, name)) {
            *mask |= UINT32_C(1) << i;
            return NULL;
        }
    return fail(cx, ERR_INVALID, "enabled_filters: there is no filter '%s'; there are %s", name,
                filter_names(cx));
}

struct err *place_filters_read(struct ctx *cx, const char *text, uint32_t *ret)
{
    uint32_t mask = 0;
    char **names;
    if (!*text) {
        *ret = UINT32_MAX;
        return NULL;
    }
    for (size_t i = 0; i < place_n_filters; i++)
        if (!place_filters[i].name)
            mask |= UINT32_C(1) << i;
    size_t n = str_split(cx, text, ',', &names);
    for (size_t i = 0; i < n; i++)
        TRY(add_filter(cx, names[i] + strspn(names[i], " "), &mask));
    *ret = mask;
    return NULL;
}

bool place_weight_read(const char *text, double *ret)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v) || fabs(v) > RATIO_MAX)
        return false;
    *ret = v;
    return true;
}

bool place_ratio_read(const char *text, int64_t *ret)
{
    double v;
    if (!place_weight_read(text, &v) || v < 0.001)
        return false;
    *ret = llround(v * 1000);
    return true;
}
