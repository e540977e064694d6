/* SPDX-License-Identifier: EUPL-1.2 */
/* Who provides services beside networks themselves: /v2.0/service-providers. Routers, by ourselves.
 */
#include "network/nw.h"

struct err *nw_service_providers(struct call *c)
{
    const char *type = http_arg(c->rq, "service_type"), *name = http_arg(c->rq, "name");
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "service_providers");
    if ((!type || str_eq(type, "L3_ROUTER_NAT")) && (!name || str_eq(name, "colvert"))) {
        jw_obj(&w);
        jw_kstr(&w, "service_type", "L3_ROUTER_NAT");
        jw_kstr(&w, "name", "colvert");
        jw_kbool(&w, "default", true);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}
