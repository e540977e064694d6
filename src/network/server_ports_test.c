/* SPDX-License-Identifier: EUPL-1.2 */
/* Ports as compute asks for them: made or taken, moved from host to host, on their way out, given
 * back. */
#include "network/nw_test.h"
#include "network/ports.h"

#define SERVER "dddddddd-0000-4000-8000-000000000001"
#define OTHER "dddddddd-0000-4000-8000-000000000002"

typedef struct err *step_fn(struct call *c, void *arg);

/* In a transaction of its own, as project p1. */
static struct err *as_p1(struct test_api *t, step_fn *fn, void *arg)
{
    AUTO_TXN struct tx *tx = NULL;
    struct actor actor = {.user_id = "u", .project_id = "p1", .member = true};
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    struct call c = {.cx = &t->cx, .tx = tx, .actor = &actor, .service = &network_service};
    TRY(fn(&c, arg));
    return tx_commit(&t->cx, &tx);
}

static const char *add_host(struct test_api *t, const char *name)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *id = NULL;
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_ok(&t->cx, fleet_host_add(&t->cx, tx, name, "0123456789abcdef", &id));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
    return id;
}

static struct server_port *ports(struct test_api *t, size_t expected)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *id = SERVER;
    struct server_port *all;
    size_t n;
    assert_ok(&t->cx, tx_read(&t->cx, t->store, &tx));
    assert_ok(&t->cx, network_ports_of(&t->cx, tx, &id, 1, &all, &n));
    assert_int_equal(n, expected);
    return all;
}

static const char *shown(struct test_api *t, const char *port_id, const char *member)
{
    struct test_reply r = test_call(t, "admin", "GET", path(t, "ports/%s", port_id), NULL);
    return r.status == 404 ? "404" : test_str(t, &r, arena_printf(t->cx.arena, "port.%s", member));
}

struct attach {
    struct port_request rq;
    const char *server_id, *host_id;
    struct server_port port;
};

static struct err *attach_step(struct call *c, void *arg)
{
    struct attach *a = arg;
    return network_port_attach(c, &a->rq, NULL, 0, a->server_id, "vm", a->host_id, "nova",
                               &a->port);
}

struct move {
    const char *host_id, *port_id;
};

static struct err *bind_step(struct call *c, void *arg)
{
    return network_ports_bind(c->cx, c->tx, SERVER, ((struct move *)arg)->host_id, "nova");
}

static struct err *leave_step(struct call *c, void *arg)
{
    return network_port_leave(c->cx, c->tx, ((struct move *)arg)->port_id);
}

static struct err *detach_step(struct call *c, void *arg)
{
    return network_port_detach(c->cx, c->tx, ((struct move *)arg)->port_id);
}

static struct err *plugged_step(struct call *c, void *arg)
{
    return network_port_plugged(c->cx, c->tx, ((struct move *)arg)->port_id, true);
}

/* ---------------------------------------------------------------- */

/* The revision in which the host was last told of the network; 0: never. */
static int64_t told(struct test_api *t, const char *host_id, const char *network_id)
{
    AUTO_TXN struct tx *tx = NULL;
    int64_t revision;
    assert_ok(&t->cx, tx_read(&t->cx, t->store, &tx));
    assert_ok(&t->cx, fleet_revision(&t->cx, tx, host_id, "network", network_id, &revision));
    return revision;
}

/* Hosts are told of networks that have something there, or had. */
static void whom_networks_concern(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n"), *one = add_host(t, "one"),
               *two = add_host(t, "two"), *three = add_host(t, "three");
    make_subnet(t, "p1", net, "10.0.0.0/24");
    struct attach a = {.rq = {.network_id = net}, .server_id = SERVER, .host_id = one};
    assert_ok(&t->cx, as_p1(t, attach_step, &a));
    int64_t first = told(t, one, net);
    assert_true(first > 0);
    assert_int_equal(told(t, two, net), 0);
    assert_ok(&t->cx, as_p1(t, bind_step, &(struct move){.host_id = two}));
    assert_true(told(t, one, net) > first); /* its guest went away */
    assert_true(told(t, two, net) > 0);
    assert_int_equal(told(t, three, net), 0);
}

static void from_host_to_host(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n"), *one = add_host(t, "one"),
               *two = add_host(t, "two");
    make_subnet(t, "p1", net, "10.0.0.0/24");
    struct attach a = {
        .rq = {.network_id = net, .tag = "fast"}, .server_id = SERVER, .host_id = one};
    assert_ok(&t->cx, as_p1(t, attach_step, &a));
    const char *id = ports(t, 1)->id;
    assert_string_equal(ports(t, 1)->tag, "fast");
    assert_string_equal(shown(t, id, "tags"), "[]"); /* the network service's own are others */
    assert_string_equal(shown(t, id, "binding:host_id"), "one");
    assert_ok(&t->cx, as_p1(t, plugged_step, &(struct move){.port_id = id}));
    assert_string_equal(shown(t, id, "status"), "ACTIVE");
    assert_ok(&t->cx, as_p1(t, bind_step, &(struct move){0}));
    assert_string_equal(shown(t, id, "binding:host_id"), "");
    assert_string_equal(shown(t, id, "status"), "DOWN");
    assert_string_equal(shown(t, id, "device_id"), SERVER);
    assert_ok(&t->cx, as_p1(t, bind_step, &(struct move){.host_id = two}));
    assert_string_equal(shown(t, id, "binding:host_id"), "two");
    assert_int_equal(ports(t, 1)->n_ips, 1); /* its address stays */
}

static void on_its_way_out(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n"), *host = add_host(t, "one");
    make_subnet(t, "p1", net, "10.0.0.0/24");
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "ports", "{'port':{'network_id':'%s'}}", net);
    const char *own = test_str(t, &r, "port.id");
    struct attach a = {.rq = {.port_id = own}, .server_id = SERVER, .host_id = host},
                  b = {.rq = {.port_id = own}, .server_id = OTHER, .host_id = host};
    assert_ok(&t->cx, as_p1(t, attach_step, &a));
    struct err *e = as_p1(t, attach_step, &b);
    assert_int_equal(e->kind, ERR_CONFLICT);
    assert_ok(&t->cx, as_p1(t, leave_step, &(struct move){.port_id = own}));
    assert_true(ports(t, 1)->leaving);
    assert_string_equal(shown(t, own, "device_id"), SERVER);
    e = as_p1(t, attach_step, &b);
    assert_int_equal(e->kind, ERR_CONFLICT);
    for (int i = 0; i < 2; i++)
        assert_ok(&t->cx, as_p1(t, detach_step, &(struct move){.port_id = own}));
    ports(t, 0);
    assert_string_equal(shown(t, own, "device_id"), "");
    assert_ok(&t->cx, as_p1(t, attach_step, &a)); /* once more: nothing of before is left */
    assert_false(ports(t, 1)->leaving);
}

/* As they were asked for, not as they were made. */
static void in_their_order(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n"), *host = add_host(t, "one"), *made[2];
    make_subnet(t, "p1", net, "10.0.0.0/24");
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        struct test_reply r =
            test_expect(t, 201, "p1", "POST", NW "ports", "{'port':{'network_id':'%s'}}", net);
        made[i] = test_str(t, &r, "port.id");
    }
    struct attach nics[] = {
        {.rq = {.network_id = net}, .server_id = SERVER, .host_id = host},
        {.rq = {.port_id = made[1]}, .server_id = SERVER, .host_id = host},
        {.rq = {.port_id = made[0]}, .server_id = SERVER, .host_id = host},
    };
    for (size_t i = 0; i < ARRAY_LEN(nics); i++)
        assert_ok(&t->cx, as_p1(t, attach_step, &nics[i]));
    const struct server_port *all = ports(t, ARRAY_LEN(nics));
    for (size_t i = 0; i < ARRAY_LEN(nics); i++)
        assert_string_equal(all[i].id, nics[i].port.id);
    assert_ok(&t->cx, as_p1(t, detach_step, &(struct move){.port_id = made[1]}));
    assert_ok(&t->cx, as_p1(t, attach_step, &nics[1]));
    assert_string_equal(ports(t, ARRAY_LEN(nics))[2].id, made[1]);
}

static void what_is_not_there_is_named(void **state)
{
    struct test_api *t = *state;
    struct attach net = {.rq = {.network_id = OTHER}, .server_id = SERVER},
                  port = {.rq = {.port_id = OTHER}, .server_id = SERVER};
    assert_string_equal(as_p1(t, attach_step, &net)->type, "NetworkNotFound");
    assert_string_equal(as_p1(t, attach_step, &port)->type, "PortNotFound");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NW_TEST(from_host_to_host),
        NW_TEST(whom_networks_concern),
        NW_TEST(on_its_way_out),
        NW_TEST(in_their_order),
        NW_TEST(what_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
