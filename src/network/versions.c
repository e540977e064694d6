/* SPDX-License-Identifier: EUPL-1.2 */
/* Versions of the API. */
#include "network/nw.h"

static void write_link(struct jw *w, const char *href)
{
    jw_karr(w, "links");
    jw_obj(w);
    jw_kstr(w, "rel", "self");
    jw_kstr(w, "href", href);
    jw_obj_end(w);
    jw_arr_end(w);
}

struct err *nw_versions_list(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "versions");
    jw_obj(&w);
    jw_kstr(&w, "id", "v2.0");
    jw_kstr(&w, "status", "CURRENT");
    write_link(&w, arena_printf(c->cx->arena, "%s/network/v2.0/", c->rq->base_url));
    jw_obj_end(&w);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *nw_version_show(struct call *c)
{
    static const char *const names[][2] = {{"network", "networks"},
                                           {"subnet", "subnets"},
                                           {"subnetpool", "subnetpools"},
                                           {"port", "ports"}};
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "resources");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        jw_obj(&w);
        write_link(&w,
                   arena_printf(c->cx->arena, "%s/network/v2.0/%s", c->rq->base_url, names[i][1]));
        jw_kstr(&w, "name", names[i][0]);
        jw_kstr(&w, "collection", names[i][1]);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}
