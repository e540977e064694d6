/* SPDX-License-Identifier: EUPL-1.2 */
/* What the network service's tests share: the service with a fleet behind it, and the first few
 * things of a tenant. */
#pragma once

#include "network/nw.h"
#include "resource/test_api.h"

#define NW "/network/v2.0/"
#define NW_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

static inline int start(void **state)
{
    static struct test_api t;
    static const struct service *const services[] = {&engine_service, &fleet_service,
                                                     &network_service};
    network_configure(&(struct network_config){.default_mtu = 1450});
    test_api_start(&t, services, ARRAY_LEN(services));
    *state = &t;
    return 0;
}

static inline int stop(void **state)
{
    test_api_stop(*state);
    return 0;
}

PRINTF_LIKE(2, 3) static inline const char *path(struct test_api *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *p = arena_vprintf(t->cx.arena, fmt, ap);
    va_end(ap);
    return arena_printf(t->cx.arena, NW "%s", p);
}

static inline const char *make_network(struct test_api *t, const char *who, const char *name)
{
    struct test_reply r =
        test_expect(t, 201, who, "POST", NW "networks", "{'network':{'name':'%s'}}", name);
    return test_str(t, &r, "network.id");
}

static inline const char *make_subnet(struct test_api *t, const char *who, const char *network,
                                      const char *cidr)
{
    struct test_reply r = test_expect(t, 201, who, "POST", NW "subnets",
                                      "{'subnet':{'network_id':'%s','ip_version':%d,'cidr':'%s'}}",
                                      network, strchr(cidr, ':') ? 6 : 4, cidr);
    return test_str(t, &r, "subnet.id");
}
