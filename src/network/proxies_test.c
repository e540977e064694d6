/* SPDX-License-Identifier: EUPL-1.2 */
/* proxies.h, called as compute does: addresses and rules change as through the network API. */
#include "network/nw_test.h"
#include "network/proxies.h"

#define SERVER "dddddddd-0000-4000-8000-000000000001"
#define SERVER2 "dddddddd-0000-4000-8000-000000000002"

struct scene {
    struct test_api *t;
    struct tx *tx;
    struct call c;
    const char *external, *net, *host;
};

static const struct actor p1 = {.user_id = "user-p1", .project_id = "p1", .member = true};
static const struct actor p2 = {.user_id = "user-p2", .project_id = "p2", .member = true};

static void external_network(struct scene *s)
{
    struct test_reply r = test_expect(s->t, 201, "admin", "POST", NW "networks",
                                      "{'network':{'name':'public','router:external':true}}");
    s->external = test_str(s->t, &r, "network.id");
    test_expect(s->t, 201, "admin", "POST", NW "subnets",
                "{'subnet':{'network_id':'%s','ip_version':4,'cidr':'203.0.113.0/29'}}",
                s->external);
}

static void inner_network(struct scene *s)
{
    s->net = make_network(s->t, "p1", "n");
    const char *subnet = make_subnet(s->t, "p1", s->net, "10.0.0.0/24");
    struct test_reply r = test_expect(
        s->t, 201, "p1", "POST", NW "routers",
        "{'router':{'name':'r','external_gateway_info':{'network_id':'%s'}}}", s->external);
    test_expect(s->t, 200, "p1", "PUT",
                path(s->t, "routers/%s/add_router_interface", test_str(s->t, &r, "router.id")),
                "{'subnet_id':'%s'}", subnet);
}

static void attach(struct scene *s, const char *server)
{
    struct server_port port;
    struct port_request rq = {.network_id = s->net};
    assert_ok(s->c.cx,
              network_port_attach(&s->c, &rq, NULL, 0, server, "g", s->host, "nova", &port));
}

/* A network with a way out, two servers on it; a transaction of p1's. */
static struct scene enter(void **state)
{
    struct scene s = {.t = *state};
    struct ctx *cx = &s.t->cx;
    external_network(&s);
    inner_network(&s);
    assert_ok(cx, tx_write(cx, s.t->store, &s.tx));
    assert_ok(cx, fleet_host_add(cx, s.tx, "h1", "a-secret-long-enough", &s.host));
    s.c = (struct call){.cx = cx,
                        .api = s.t->api,
                        .store = s.t->store,
                        .tx = s.tx,
                        .actor = (struct actor *)(uintptr_t)&p1,
                        .service = &network_service,
                        .route = &network_service.routes[0]};
    attach(&s, SERVER);
    attach(&s, SERVER2);
    return s;
}

static struct nova_floating_ip floating(struct scene *s, const char *id)
{
    struct nova_floating_ip *ips;
    size_t n;
    assert_ok(s->c.cx, network_floating_ips(&s->c, id, &ips, &n));
    assert_int_equal(n, 1);
    return ips[0];
}

static void networks_seen_are_ones_own_and_shared(void **state)
{
    struct scene s = enter(state);
    struct nova_network *networks, one;
    size_t n;
    assert_ok(s.c.cx, network_networks_seen(&s.c, false, &networks, &n));
    assert_int_equal(n, 2);
    assert_ok(s.c.cx, network_networks_seen(&s.c, true, &networks, &n));
    assert_int_equal(n, 1);
    assert_string_equal(networks[0].name, "public");
    assert_ok(s.c.cx, network_network_seen(&s.c, s.net, &one));
    s.c.actor = (struct actor *)(uintptr_t)&p2;
    assert_ok(s.c.cx, network_networks_seen(&s.c, false, &networks, &n));
    assert_int_equal(n, 1);
    assert_err(s.c.cx, ERR_NOT_FOUND, network_network_seen(&s.c, s.net, &one));
    tx_rollback(&s.tx);
}

static void a_floating_ip_goes_from_server_to_server(void **state)
{
    struct scene s = enter(state);
    struct ctx *cx = s.c.cx;
    const char *id, *other;
    assert_err(cx, ERR_NOT_FOUND, network_floating_ip_create(&s.c, "nowhere", &id));
    assert_ok(cx, network_floating_ip_create(&s.c, "public", &id));
    struct nova_floating_ip f = floating(&s, id);
    assert_string_equal(f.pool, "public");
    assert_null(f.server_id);
    assert_err(cx, ERR_CONFLICT, network_floating_ip_off_server(&s.c, SERVER, f.ip));
    assert_ok(cx, network_floating_ip_on_server(&s.c, SERVER, f.ip, NULL));
    f = floating(&s, id);
    assert_string_equal(f.server_id, SERVER);
    assert_err(cx, ERR_INVALID, network_floating_ip_on_server(&s.c, SERVER2, f.ip, "10.0.0.99"));
    assert_ok(cx, network_floating_ip_on_server(&s.c, SERVER2, f.ip, NULL));
    assert_err(cx, ERR_CONFLICT, network_floating_ip_off_server(&s.c, SERVER, f.ip));
    /* A fixed IP has one floating IP of a network. */
    assert_ok(cx, network_floating_ip_create(&s.c, s.external, &other));
    assert_err(cx, ERR_INVALID,
               network_floating_ip_on_server(&s.c, SERVER2, floating(&s, other).ip, NULL));
    tx_rollback(&s.tx);
}

static void a_floating_ip_is_its_projects(void **state)
{
    struct scene s = enter(state);
    struct ctx *cx = s.c.cx;
    struct nova_floating_ip *ips;
    const char *id;
    size_t n;
    assert_ok(cx, network_floating_ip_create(&s.c, NULL, &id));
    struct nova_floating_ip f = floating(&s, id);
    s.c.actor = (struct actor *)(uintptr_t)&p2;
    assert_err(cx, ERR_NOT_FOUND, network_floating_ip_on_server(&s.c, SERVER, f.ip, NULL));
    assert_err(cx, ERR_NOT_FOUND, network_floating_ip_delete(&s.c, id));
    assert_ok(cx, network_floating_ips(&s.c, NULL, &ips, &n));
    assert_int_equal(n, 0);
    s.c.actor = (struct actor *)(uintptr_t)&p1;
    assert_ok(cx, network_floating_ip_on_server(&s.c, SERVER, f.ip, NULL));
    assert_ok(cx, network_floating_ip_off_server(&s.c, SERVER, f.ip));
    assert_null(floating(&s, id).server_id);
    assert_ok(cx, network_floating_ip_delete(&s.c, id));
    assert_err(cx, ERR_NOT_FOUND, network_floating_ips(&s.c, id, &ips, &n));
    tx_rollback(&s.tx);
}

static void pools_run_dry(void **state)
{
    struct scene s = enter(state);
    struct err *e = NULL;
    const char *id;
    for (int i = 0; i < 8 && !e; i++)
        e = network_floating_ip_create(&s.c, "public", &id);
    assert_non_null(e);
    assert_int_equal(e->kind, ERR_NOT_FOUND);
    assert_string_equal(e->message, "No more floating IPs in pool public.");
    tx_rollback(&s.tx);
}

static size_t addresses(struct scene *s, struct server_port **ret)
{
    size_t n;
    assert_ok(s->c.cx, network_ports_of(s->c.cx, s->tx, (const char *[]){SERVER}, 1, ret, &n));
    assert_int_equal(n, 1);
    return (*ret)->n_ips;
}

static void a_server_gets_more_addresses(void **state)
{
    struct scene s = enter(state);
    struct ctx *cx = s.c.cx;
    struct server_port *p;
    const char *id;
    assert_int_equal(addresses(&s, &p), 1);
    const char *first = p->ips[0].ip;
    assert_ok(cx, network_fixed_ip_add(&s.c, SERVER, s.net));
    assert_int_equal(addresses(&s, &p), 2);
    assert_err(cx, ERR_INVALID, network_fixed_ip_add(&s.c, SERVER, s.external));
    assert_ok(cx, network_floating_ip_create(&s.c, NULL, &id));
    assert_ok(cx, network_floating_ip_on_server(&s.c, SERVER, floating(&s, id).ip, first));
    assert_ok(cx, network_fixed_ip_remove(&s.c, SERVER, first));
    assert_int_equal(addresses(&s, &p), 1);
    assert_null(floating(&s, id).server_id);
    assert_err(cx, ERR_INVALID, network_fixed_ip_remove(&s.c, SERVER, first));
    tx_rollback(&s.tx);
}

static json_t *shown(struct scene *s, const char *id)
{
    struct buf b;
    struct jw w;
    json_t *j = NULL;
    buf_init(&b, s->c.cx->arena);
    jw_init(&w, &b);
    assert_ok(s->c.cx, network_rule_write(&s->c, id, &w));
    assert_ok(s->c.cx, json_read(s->c.cx, buf_cstr(&b), b.len, &j));
    return j;
}

static void rules_are_made_and_deleted(void **state)
{
    struct scene s = enter(state);
    struct ctx *cx = s.c.cx;
    const char *group, *peer, *id, *with_peer;
    assert_ok(cx, network_group_create(&s.c, "g", "", &group));
    assert_ok(cx, network_group_create(&s.c, "peer", "", &peer));
    struct nova_rule rule = {.group_id = group,
                             .protocol = "tcp",
                             .cidr = "10.2.3.124/24",
                             .from_port = 22,
                             .to_port = 22};
    assert_ok(cx, network_rule_create(&s.c, &rule, &id));
    json_t *j = shown(&s, id);
    assert_string_equal(json_get_str(json_get(j, "ip_range"), "cidr"), "10.2.3.124/24");
    assert_string_equal(json_get_str(j, "parent_group_id"), group);
    assert_err(cx, ERR_INVALID, network_rule_create(&s.c, &rule, &id)); /* the same again */
    rule.cidr = NULL;
    rule.remote_group_id = peer;
    assert_ok(cx, network_rule_create(&s.c, &rule, &with_peer));
    assert_string_equal(json_get_str(json_get(shown(&s, with_peer), "group"), "name"), "peer");
    rule.group_id = SERVER;
    assert_err(cx, ERR_NOT_FOUND, network_rule_create(&s.c, &rule, &id));
    s.c.actor = (struct actor *)(uintptr_t)&p2;
    assert_err(cx, ERR_NOT_FOUND, network_rule_delete(&s.c, with_peer));
    s.c.actor = (struct actor *)(uintptr_t)&p1;
    assert_ok(cx, network_rule_delete(&s.c, with_peer));
    assert_err(cx, ERR_NOT_FOUND, network_rule_delete(&s.c, with_peer));
    tx_rollback(&s.tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NW_TEST(networks_seen_are_ones_own_and_shared),
        NW_TEST(a_floating_ip_goes_from_server_to_server),
        NW_TEST(a_floating_ip_is_its_projects),
        NW_TEST(pools_run_dry),
        NW_TEST(a_server_gets_more_addresses),
        NW_TEST(rules_are_made_and_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
