/* SPDX-License-Identifier: EUPL-1.2 */
/* Who is told of what in a region with a network writer: it of all, hosts of their guests'
 * networks; and it is no host. */
#include "network/nw_test.h"
#include "network/ports.h"

#define SERVER "dddddddd-0000-4000-8000-000000000001"
#define OTHER "dddddddd-0000-4000-8000-000000000002"

static int start_with_writer(void **state)
{
    start(state);
    network_configure(&(struct network_config){.default_mtu = 1442, .has_writer = true});
    return 0;
}

static int stop_with_writer(void **state)
{
    network_configure(&(struct network_config){.default_mtu = 1450});
    return stop(state);
}

static const char *add(struct test_api *t, const char *name)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *id = NULL;
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_ok(&t->cx, name ? fleet_host_add(&t->cx, tx, name, "0123456789abcdef", &id)
                           : fleet_writer_add(&t->cx, tx, "0123456789abcdef", &id));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
    return id;
}

static void attach(struct test_api *t, const char *net, const char *server, const char *host)
{
    AUTO_TXN struct tx *tx = NULL;
    struct actor actor = {.user_id = "u", .project_id = "p1", .member = true};
    const struct port_request rq = {.network_id = net};
    struct server_port port;
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    struct call c = {.cx = &t->cx, .tx = tx, .actor = &actor, .service = &network_service};
    assert_ok(&t->cx, network_port_attach(&c, &rq, NULL, 0, server, "vm", host, "nova", &port));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
}

/* What the host is told of an item; NULL: nothing, or that it is gone. */
static const json_t *told(struct test_api *t, const char *host, const char *kind, const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    struct buf b;
    struct jw w;
    bool any;
    json_t *answer;
    buf_init(&b, t->cx.arena);
    jw_init(&w, &b);
    assert_ok(&t->cx, tx_read(&t->cx, t->store, &tx));
    assert_ok(&t->cx, fleet_items(&t->cx, tx, host, 0, &w, &any));
    assert_ok(&t->cx, json_read(&t->cx, buf_cstr(&b), b.len, &answer));
    const json_t *items = json_get(answer, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *it = json_array_get(items, i);
        if (str_eq(json_get_str(it, "kind"), kind) && str_eq(json_get_str(it, "id"), id))
            return json_get(it, "spec");
    }
    return NULL;
}

static void report(struct test_api *t, const char *host, const char *net, const char *error)
{
    static int64_t at;
    AUTO_TXN struct tx *tx = NULL;
    struct buf b;
    struct jw w;
    buf_init(&b, t->cx.arena);
    jw_init(&w, &b);
    json_t *body =
        json_own(&t->cx, json_pack("{s:[{s:s,s:s,s:I,s:{s:i,s:s?}}]}", "reports", "kind", "network",
                                   "id", net, "at", (json_int_t)(now_us(&t->cx) + ++at), "observed",
                                   "revision", 1, "error", error));
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_ok(&t->cx, fleet_reports(&t->cx, tx, host, body, &w));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
}

static int64_t revision(struct test_api *t, const char *host, const char *kind, const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    int64_t revision;
    assert_ok(&t->cx, tx_read(&t->cx, t->store, &tx));
    assert_ok(&t->cx, fleet_revision(&t->cx, tx, host, kind, id, &revision));
    return revision;
}

static size_t ports_told(struct test_api *t, const char *host, const char *net)
{
    const json_t *spec = told(t, host, "network", net);
    return spec ? json_array_size(json_get(spec, "ports")) : 99;
}

static void who_is_told(void **state)
{
    struct test_api *t = *state;
    const char *one = add(t, "one"), *two = add(t, "two"), *writer = add(t, NULL);
    assert_string_equal(add(t, NULL), writer); /* it is found again */
    const char *net = make_network(t, "p1", "n"), *other = make_network(t, "p1", "m");
    const char *subnet = make_subnet(t, "p1", net, "10.0.0.0/24");
    make_subnet(t, "p1", other, "10.1.0.0/24");
    attach(t, net, SERVER, one);
    attach(t, net, OTHER, two);
    attach(t, other, OTHER, two);
    assert_int_equal(ports_told(t, writer, net), 2);
    assert_int_equal(ports_told(t, writer, other), 1);
    assert_int_equal(ports_told(t, one, net), 1);
    assert_null(told(t, one, "network", other));
    assert_int_equal(ports_told(t, two, other), 1);
    /* Each has what metadata and DHCP go by. */
    const json_t *s = json_array_get(json_get(told(t, one, "network", net), "subnets"), 0);
    assert_true(json_get_bool(s, "enable_dhcp", false));
    assert_non_null(json_get_str(s, "dhcp_ip"));
    assert_int_equal(json_get_int(told(t, writer, "network", net), "mtu", 0), 1442);
    /* Routers are the writer's alone. */
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "routers", "{'router':{'name':'r'}}");
    const char *router = test_str(t, &r, "router.id");
    test_expect(t, 200, "p1", "PUT", path(t, "routers/%s/add_router_interface", router),
                "{'subnet_id':'%s'}", subnet);
    /* Nobody is woken for what is none of its business, though the network has a router now. */
    int64_t of_writer = revision(t, writer, "network", other);
    attach(t, other, SERVER, two);
    assert_true(revision(t, writer, "network", other) > of_writer);
    assert_int_equal(revision(t, one, "network", other), 0);
    assert_int_equal(revision(t, one, "router", router), 0);
    assert_true(revision(t, writer, "router", router) > 0);
    assert_non_null(told(t, writer, "router", router));
    assert_null(told(t, one, "router", router));
}

static void no_host(void **state)
{
    struct test_api *t = *state;
    AUTO_TXN struct tx *tx = NULL;
    struct fleet_host *hosts;
    size_t n;
    bool is;
    const char *one = add(t, "one"), *writer = add(t, NULL);
    assert_ok(&t->cx, tx_read(&t->cx, t->store, &tx));
    assert_ok(&t->cx, fleet_hosts(&t->cx, tx, &hosts, &n));
    assert_int_equal(n, 1);
    assert_string_equal(hosts[0].id, one);
    assert_ok(&t->cx, fleet_is_writer(&t->cx, tx, writer, &is));
    assert_true(is);
    assert_ok(&t->cx, fleet_is_writer(&t->cx, tx, one, &is));
    assert_false(is);
}

/* The writer's word on a network counts, not that of a host with guests of it. */
static void whose_word(void **state)
{
    struct test_api *t = *state;
    const char *one = add(t, "one"), *writer = add(t, NULL);
    const char *net = make_network(t, "p1", "n");
    make_subnet(t, "p1", net, "10.0.0.0/24");
    attach(t, net, SERVER, one);
    report(t, one, net, "no such bridge");
    struct test_reply r = test_expect(t, 200, "p1", "GET", path(t, "networks/%s", net), NULL);
    assert_string_equal(test_str(t, &r, "network.status"), "ACTIVE");
    report(t, writer, net, "no such row");
    r = test_expect(t, 200, "p1", "GET", path(t, "networks/%s", net), NULL);
    assert_string_equal(test_str(t, &r, "network.status"), "ERROR");
}

static void beat(struct test_api *t, const char *host, const char *chassis)
{
    AUTO_TXN struct tx *tx = NULL;
    json_t *body = json_own(&t->cx, json_pack("{s:i,s:i,s:i,s:s*}", "vcpus", 1, "memory_mib", 1,
                                              "disk_gib", 1, "chassis", chassis));
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_ok(&t->cx, fleet_beat(&t->cx, tx, host, body));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
}

static void bind_to(struct test_api *t, const char *host, const char *next)
{
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_ok(&t->cx, host ? network_ports_bind(&t->cx, tx, SERVER, host, "nova")
                           : network_ports_expect(&t->cx, tx, SERVER, next));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
}

/* Where the writer is told that the network's port may be; "": anywhere. */
static const char *chassis(struct test_api *t, const char *writer, const char *net)
{
    const json_t *port = json_array_get(json_get(told(t, writer, "network", net), "ports"), 0);
    const json_t *names = json_get(port, "chassis");
    return names ? json_text(&t->cx, names) : "";
}

static void where_ports_may_be(void **state)
{
    struct test_api *t = *state;
    const char *one = add(t, "one"), *two = add(t, "two"), *writer = add(t, NULL);
    const char *net = make_network(t, "p1", "n");
    make_subnet(t, "p1", net, "10.0.0.0/24");
    attach(t, net, SERVER, one);
    assert_string_equal(chassis(t, writer, net), "");
    int64_t before = revision(t, writer, "network", net);
    beat(t, one, "c1");
    assert_true(revision(t, writer, "network", net) > before);
    assert_string_equal(chassis(t, writer, net), "[\"c1\"]");
    before = revision(t, writer, "network", net);
    beat(t, one, "c1"); /* nothing new */
    beat(t, one, NULL);
    assert_int_equal(revision(t, writer, "network", net), before);
    assert_string_equal(chassis(t, writer, net), "[\"c1\"]");
    assert_null(json_get(json_array_get(json_get(told(t, one, "network", net), "ports"), 0),
                         "chassis")); /* the writer's business */
    /* On its way to a host that has told no name: any; then both. */
    bind_to(t, NULL, two);
    assert_string_equal(chassis(t, writer, net), "");
    beat(t, two, "c2");
    bind_to(t, NULL, NULL);
    assert_string_equal(chassis(t, writer, net), "[\"c1\"]");
    before = revision(t, writer, "network", net);
    bind_to(t, NULL, two);
    assert_true(revision(t, writer, "network", net) > before);
    assert_string_equal(chassis(t, writer, net), "[\"c1\",\"c2\"]");
    bind_to(t, two, NULL);
    assert_string_equal(chassis(t, writer, net), "[\"c2\"]");
    /* A name is part of a list with commas. */
    AUTO_TXN struct tx *tx = NULL;
    json_t *bad = json_own(&t->cx, json_pack("{s:i,s:i,s:i,s:s}", "vcpus", 1, "memory_mib", 1,
                                             "disk_gib", 1, "chassis", "c1,c2"));
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_err(&t->cx, ERR_INVALID, fleet_beat(&t->cx, tx, one, bad));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start_with_writer, stop_with_writer)
    const struct CMUnitTest tests[] = {TEST(who_is_told), TEST(no_host), TEST(whose_word),
                                       TEST(where_ports_may_be)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
