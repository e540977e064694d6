/* SPDX-License-Identifier: EUPL-1.2 */
/* What the service says of itself: versions, and how images may be imported. */
#include "image/resources.h"

struct err *image_versions(struct call *c)
{
    struct jw w = call_json(c, str_ends(c->rq->path, "/versions") ? 200 : 300);
    jw_obj(&w);
    jw_karr(&w, "versions");
    for (int minor = 9; minor >= 0; minor -= minor == 9 ? 2 : 1) {
        if (minor == 8)
            continue;
        jw_obj(&w);
        jw_kstr(&w, "id", arena_printf(c->cx->arena, "v2.%d", minor));
        jw_kstr(&w, "status", minor == 9 ? "CURRENT" : "SUPPORTED");
        jw_karr(&w, "links");
        jw_obj(&w);
        jw_kstr(&w, "rel", "self");
        jw_kstr(&w, "href", arena_printf(c->cx->arena, "%s/image/v2/", c->rq->base_url));
        jw_obj_end(&w);
        jw_arr_end(&w);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* Importing and several stores are not offered: said as the API says it. */
struct err *image_import_info(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kraw(&w, "import-methods",
            "{\"description\":\"Import methods available.\",\"type\":\"array\",\"value\":[]}");
    jw_obj_end(&w);
    return NULL;
}
