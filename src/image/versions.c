/* SPDX-License-Identifier: EUPL-1.2 */
/* The versions of the API that are spoken. */
#include "image/resources.h"

struct err *image_versions(struct call *c)
{
    /* 2.8, 2.10 … are for several stores, 2.14 and 2.16 for caches: this one has one store, and
       reads from it. */
    static const int minors[] = {15, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
    struct jw w = call_json(c, str_ends(c->rq->path, "/versions") ? 200 : 300);
    jw_obj(&w);
    jw_karr(&w, "versions");
    for (size_t i = 0; i < ARRAY_LEN(minors); i++) {
        jw_obj(&w);
        jw_kstr(&w, "id", arena_printf(c->cx->arena, "v2.%d", minors[i]));
        jw_kstr(&w, "status", i ? "SUPPORTED" : "CURRENT");
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
