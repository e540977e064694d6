/* SPDX-License-Identifier: EUPL-1.2 */
/* The engine: servers and networks. */
#include "node/test_agent.h"

static void test_life(void **state UNUSED)
{
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, true), network_item(true));
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ON);
    const json_t *r = report_of(S1);
    assert_string_equal(json_get_str(r, "power"), "on");
    assert_int_equal(json_get_int(r, "revision", 0), 1);
    assert_null(report_of(S1)); /* delivered */
    fx->revision = 2;
    take(false, server_item(S1, true, 2, 1, true), NULL); /* hard reboot */
    run_for(1);
    assert_int_equal(fake_guest_starts(&fx->guests, S1), 2);
    fx->revision = 3;
    take(false, server_item(S1, false, 2, 1, true), NULL);
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_OFF);
    r = report_of(S1);
    assert_string_equal(json_get_str(r, "power"), "off");
    assert_false(json_get_bool(r, "guest_shutdown", true));
    fx->revision = 4;
    take(false, deleted_item("network", NET), deleted_item("server", S1));
    run_for(1);
    assert_int_equal(fake_net_taps(&fx->net) + fake_net_networks(&fx->net), 0);
    assert_string_equal(json_get_str(report_of(S1), "power"), "absent");
    assert_int_equal(power_of(S1), GUEST_ABSENT);
    assert_int_equal(fx->n_users, 0);
    struct agent_stats st;
    agent_get_stats(fx->a, fx->now, &st);
    assert_int_equal(st.items[ITEM_SERVER] + st.items[ITEM_NETWORK], 0);
}

static void test_waits_for_network(void **state UNUSED)
{
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, true), NULL);
    run_for(5);
    assert_int_equal(power_of(S1), GUEST_OFF);
    fx->revision = 2;
    take(false, network_item(false), NULL); /* there, but not with the server's port */
    run_for(5);
    assert_int_equal(power_of(S1), GUEST_OFF);
    fx->revision = 3;
    take(false, network_item(true), NULL);
    run_for(0);
    assert_int_equal(power_of(S1), GUEST_ON);
}

struct served {
    int calls;
    bool fails;
};

/* While the network is being served, its guests are started. */
static struct err *start_meanwhile(struct ctx *cx, void *arg, const char *call,
                                   const char *id UNUSED, bool after)
{
    struct served *s = arg;
    int64_t next = 0;
    if (!str_eq(call, "network_serve") || after)
        return NULL;
    s->calls++;
    if (s->fails)
        return fail(cx, ERR_UNAVAILABLE, "no dnsmasq");
    for (struct item *it; (it = agent_claim(fx->a, 1 << ITEM_SERVER, fx->now, &next));) {
        AUTO_CTX struct ctx own;
        ctx_init_with(&own, &fx->clock, fx->cx.rng);
        agent_step(&own, fx->a, it);
    }
    assert_int_equal(power_of(S1), GUEST_ON);
    return NULL;
}

static void test_starts_while_network_is_served(void **state UNUSED)
{
    struct served s = {0};
    fake_net_set_fault(&fx->net, start_meanwhile, &s);
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, true), network_item(true));
    run_for(1);
    assert_int_equal(s.calls, 1);
    assert_int_equal(power_of(S1), GUEST_ON);
}

static void test_waits_for_network_that_is_not_served(void **state UNUSED)
{
    struct served s = {.fails = true};
    fake_net_set_fault(&fx->net, start_meanwhile, &s);
    fx->revision = 1;
    take(true, network_item(true), NULL);
    run_for(0);
    fx->revision = 2;
    take(false, server_item(S1, true, 1, 1, true), NULL);
    run_for(10);
    assert_in_range(s.calls, 3, 6);
    assert_int_equal(power_of(S1), GUEST_OFF);
    assert_string_equal(json_get_str(report_of(NET), "error"), "no dnsmasq");
    s.fails = false;
    run_for(60);
    assert_int_equal(power_of(S1), GUEST_ON);
    const json_t *healed = json_get(report_of(NET), "error");
    assert_true(json_is_null(healed));
}

static void test_waits_for_image(void **state UNUSED)
{
    fx->image_here = false;
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, false), NULL);
    run_for(30);
    assert_int_equal(power_of(S1), GUEST_ABSENT);
    fx->image_here = true;
    agent_poke(fx->a);
    run_for(0);
    assert_int_equal(power_of(S1), GUEST_ON);
    fx->image_fails = true;
    fx->revision = 2;
    take(false, server_item(S1, true, 1, 2, false), NULL); /* rebuild, and the image can't be had */
    run_for(5);
    assert_int_equal(power_of(S1), GUEST_ON);
    assert_string_equal(json_get_str(report_of(S1), "error"), "no image today");
    fx->image_fails = false;
    run_for(120);
    struct guest_state is;
    fake_guest_state(&fx->guests, S1, &is);
    assert_int_equal(is.build_seq, 2);
    const json_t *healed = json_get(report_of(S1), "error");
    assert_true(json_is_null(healed));
}

static void test_own_doing(void **state UNUSED)
{
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, false), NULL);
    run_for(1);
    assert_true(fake_guest_power_off(&fx->guests, S1));
    run_for(300);
    assert_int_equal(power_of(S1), GUEST_OFF);
    const json_t *r = report_of(S1);
    assert_true(json_get_bool(r, "guest_shutdown", false));
    fx->revision = 2;
    take(false, server_item(S1, true, 2, 1, false), NULL); /* start */
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ON);
    assert_true(fake_guest_crash(&fx->guests, S1));
    run_for(300);
    assert_string_equal(json_get_str(report_of(S1), "power"), "crashed");
}

static void test_deaf_guest_is_forced(void **state UNUSED)
{
    fake_guests_set_deaf(&fx->guests, true);
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, false), NULL);
    run_for(1);
    fx->revision = 2;
    take(false, server_item(S1, false, 1, 1, false), NULL);
    run_for(59);
    assert_int_equal(power_of(S1), GUEST_ON);
    run_for(2);
    assert_int_equal(power_of(S1), GUEST_OFF);
}

static struct err *prepares_fail(struct ctx *cx, void *arg UNUSED, const char *call,
                                 const char *id UNUSED, bool after)
{
    return !after && str_eq(call, "prepare") ? fail(cx, ERR_UNAVAILABLE, "no room") : NULL;
}

/* A guest that is not there yet, as far as is known, is not "absent": that word would end a
 * deletion. */
static void test_not_yet_is_not_gone(void **state UNUSED)
{
    fake_guests_set_fault(&fx->guests, prepares_fail, NULL);
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, false), NULL);
    run_for(1);
    assert_null(report_of(S1)); /* it may go well the next time: nothing to tell yet */
    run_for(10);
    assert_string_equal(json_get_str(report_of(S1), "power"), "off");
}

static struct err *starts_fail(struct ctx *cx, void *arg, const char *call, const char *id UNUSED,
                               bool after)
{
    if (after || !str_eq(call, "start"))
        return NULL;
    ++*(int *)arg;
    return fail(cx, ERR_UNAVAILABLE, "no room");
}

static void test_backoff(void **state UNUSED)
{
    int tries = 0;
    fake_guests_set_fault(&fx->guests, starts_fail, &tries);
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, false), NULL);
    run_for(600);
    assert_in_range(tries, 12, 20); /* 1, 2, 4 … 60 s, give or take a quarter */
    assert_string_equal(json_get_str(report_of(S1), "error"), "no room");
    fake_guests_set_fault(&fx->guests, NULL, NULL);
    run_for(80);
    assert_int_equal(power_of(S1), GUEST_ON);
    const json_t *healed = json_get(report_of(S1), "error");
    assert_true(json_is_null(healed));
}

/* A host that finds guests its control plane doesn't name lets them go at the second full answer,
 * never at an empty one. */
static struct err *wanted_again(struct ctx *cx UNUSED, void *arg UNUSED, const char *call,
                                const char *id UNUSED, bool after)
{
    if (after && str_eq(call, "destroy") && fx->revision == 2)
        change(server_item(S1, true, 2, 2, false));
    return NULL;
}

/* It comes back while what it left here is being removed: the next end is not that one. */
static void test_wanted_again(void **state UNUSED)
{
    change(server_item(S1, true, 1, 1, false));
    run_for(1);
    fake_guests_set_fault(&fx->guests, wanted_again, NULL);
    change(deleted_item("server", S1));
    run_for(1);
    assert_int_equal(fx->revision, 3);
    assert_int_equal(power_of(S1), GUEST_ON);
    change(deleted_item("server", S1));
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ABSENT);
    assert_string_equal(json_get_str(report_of(S1), "power"), "absent");
}

#define SNAP "90000000-aaaa-4000-8000-000000000009"
#define OF_S1 "'server_id':'" S1 "'"

static struct err *lists_fail(struct ctx *cx, void *arg UNUSED, const char *call,
                              const char *id UNUSED, bool after UNUSED)
{
    return str_eq(call, "list") ? fail(cx, ERR_UNAVAILABLE, "lists fail") : NULL;
}

/* A heartbeat's answer may come before the sweep succeeds. What a guest has open is changed through
 * the guest, which isn't known yet; the fake driver asserts it. */
static void test_answer_before_sweep(void **state UNUSED)
{
    const char *server = server_with(S1, true, 1, 1, "'volumes':[{'volume_id':'" V1 "'}]");
    change(volume_item(V1, 1, OF_S1));
    change(server);
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ON);
    restart_blind_agent();
    fake_guests_set_fault(&fx->guests, lists_fail, NULL);
    assert_err(&fx->cx, ERR_UNAVAILABLE, agent_sweep(&fx->cx, fx->a));
    fx->revision++;
    take(true, volume_item(V1, 1, OF_S1 ",'snapshots':['" SNAP "']"), server);
    assert_int_equal(agent_revision(fx->a), 0);
    run_for(1);
    assert_false(fake_volume_has_snapshot(&fx->volumes, V1, SNAP));
    fake_guests_set_fault(&fx->guests, NULL, NULL);
    assert_ok(&fx->cx, agent_sweep(&fx->cx, fx->a));
    take(true, volume_item(V1, 1, OF_S1 ",'snapshots':['" SNAP "']"), server);
    run_for(1);
    assert_true(fake_volume_has_snapshot(&fx->volumes, V1, SNAP));
}

static void test_unknown_guest(void **state UNUSED)
{
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, false), server_item(S2, true, 1, 1, false));
    run_for(1);
    restart_agent(); /* the guests run on */
    for (int i = 0; i < 3; i++)
        take(true, NULL, NULL);
    run_for(100);
    assert_int_equal(fake_guests_count(&fx->guests, GUEST_ON), 2);
    take(true, server_item(S1, true, 1, 1, false), NULL);
    run_for(100);
    assert_int_equal(fake_guests_count(&fx->guests, GUEST_ON), 2);
    take(true, server_item(S1, true, 1, 1, false), NULL);
    run_for(100);
    assert_int_equal(power_of(S1), GUEST_ON);
    assert_int_equal(power_of(S2), GUEST_ABSENT);
    assert_int_equal(fake_guest_starts(&fx->guests, S1), 1);
}

static void test_answers(void **state UNUSED)
{
    struct ctx *cx = &fx->cx;
    const char *bad[] = {
        "{}",
        "[]",
        "{'revision':1,'full':true,'items':{}}",
        "{'revision':-1,'full':true,'items':[]}",
        "{'revision':1,'full':true,'items':[{'kind':'server','id':'../x','revision':1}]}",
        "{'revision':1,'full':true,'items':[{'kind':'server','id':'" S1 "'}]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_err(cx, ERR_INVALID, agent_take(cx, fx->a, 0, parse(bad[i])));
    fx->revision = 5;
    take(true, server_item(S1, true, 1, 1, false), NULL);
    fx->revision = 4; /* a late one, asked with another revision */
    assert_ok(cx,
              agent_take(cx, fx->a, 3,
                         parse(arena_printf(cx->arena, "{'revision':4,'full':false,'items':[%s]}",
                                            deleted_item("server", S1)))));
    assert_int_equal(agent_revision(fx->a), 5);
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ON);
    /* An unreadable spec changes nothing but is told. */
    fx->revision = 6;
    take(false, "{'kind':'server','id':'" S1 "','revision':6,'spec':{'id':'" S1 "'}}", NULL);
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ON);
    assert_non_null(strstr(json_get_str(report_of(S1), "error"), "server spec"));
}

static void test_metadata_lookup(void **state UNUSED)
{
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, true), network_item(true));
    struct spec_server s;
    assert_true(agent_server_by_ip(&fx->cx, fx->a, NET, "10.0.0.5", &s));
    assert_string_equal(s.id, S1);
    assert_false(agent_server_by_ip(&fx->cx, fx->a, NET, "10.0.0.6", &s));
    assert_false(agent_server_by_ip(&fx->cx, fx->a, S1, "10.0.0.5", &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGENT_TEST(test_life),
        AGENT_TEST(test_waits_for_network),
        AGENT_TEST(test_starts_while_network_is_served),
        AGENT_TEST(test_waits_for_network_that_is_not_served),
        AGENT_TEST(test_waits_for_image),
        AGENT_TEST(test_own_doing),
        AGENT_TEST(test_deaf_guest_is_forced),
        AGENT_TEST(test_backoff),
        AGENT_TEST(test_not_yet_is_not_gone),
        AGENT_TEST(test_wanted_again),
        AGENT_TEST(test_answer_before_sweep),
        AGENT_TEST(test_unknown_guest),
        AGENT_TEST(test_answers),
        AGENT_TEST(test_metadata_lookup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
