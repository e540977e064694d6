/* SPDX-License-Identifier: EUPL-1.2 */
/* Availability zones: those that the fleet's hosts are in. */
#include "network/nw.h"

static bool zone_before(const struct fleet_host *hosts, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(hosts[k].zone, hosts[i].zone))
            return true;
    return false;
}

struct err *nw_zones_list(struct call *c)
{
    static const char *const kinds[] = {"network", "router"};
    struct fleet_host *hosts;
    size_t n;
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "availability_zones");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds) && !zone_before(hosts, i); k++) {
            jw_obj(&w);
            jw_kstr(&w, "name", hosts[i].zone);
            jw_kstr(&w, "resource", kinds[k]);
            jw_kstr(&w, "state", "available");
            jw_obj_end(&w);
        }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}
