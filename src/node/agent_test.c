/* SPDX-License-Identifier: EUPL-1.2 */
/* The engine on fake drivers in virtual time: answers of the watch in, reports out. */
#include "base/test.h"
#include "node/agent.h"
#include "node/drivers/fake/fake.h"

#define NET "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
#define S1 "10000000-0000-4000-8000-000000000001"
#define S2 "20000000-0000-4000-8000-000000000002"
#define P1 "11111111-0000-4000-8000-000000000001"
#define SHA16 "0123456789abcdef"
#define SHA64 SHA16 SHA16 SHA16 SHA16

struct fixture {
    struct ctx cx;
    struct clock clock;
    struct rng_seeded rng;
    int64_t now;
    struct guest_backend guests;
    struct net_backend net;
    struct agent *a;
    bool image_here, image_fails;
    int uses;
    int64_t revision;
};
static struct fixture *fx;

static int64_t virtual_us(struct clock *c UNUSED)
{
    return fx->now;
}

static struct err *image_want(struct ctx *cx, void *arg UNUSED,
                              const struct spec_image *image UNUSED, bool *ret_here)
{
    if (fx->image_fails)
        return fail(cx, ERR_UNAVAILABLE, "no image today");
    *ret_here = fx->image_here;
    return NULL;
}

static struct err *image_use(struct ctx *cx UNUSED, void *arg UNUSED, const char *server_id UNUSED,
                             const struct spec_image *image UNUSED, const char **ret_path)
{
    fx->uses++;
    *ret_path = "/image";
    return NULL;
}

static void image_unuse(void *arg UNUSED, const char *server_id UNUSED)
{
    fx->uses--;
}

static int setup(void **state)
{
    fx = calloc(1, sizeof(*fx));
    fx->clock = (struct clock){virtual_us, virtual_us};
    fx->now = 1000000;
    fx->image_here = true;
    ctx_init_with(&fx->cx, &fx->clock, rng_seed(&fx->rng, 1));
    fake_guests_new(&fx->guests);
    fake_net_new(&fx->net);
    struct agent_setup s = {
        .guests = fx->guests, .net = fx->net, .images = {image_want, image_use, image_unuse, NULL}};
    fx->a = agent_new(&s);
    fx->guests.ops->on_change(fx->guests.drv, agent_guest_changed, fx->a);
    log_set_level(LOG_ERROR);
    *state = fx;
    return 0;
}

static int teardown(void **state UNUSED)
{
    agent_free(fx->a);
    fx->guests.ops->free(fx->guests.drv);
    fx->net.ops->free(fx->net.drv);
    ctx_release(&fx->cx);
    free(fx);
    return 0;
}

static json_t *parse(const char *text)
{
    char *s = arena_strdup(fx->cx.arena, text);
    for (char *p = s; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_t *j = NULL;
    assert_ok(&fx->cx, json_read(&fx->cx, s, strlen(s), &j));
    return j;
}

static const char *server_item(const char *id, bool on, int boot, int build, bool nic)
{
    return arena_printf(
        fx->cx.arena,
        "{'kind':'server','id':'%s','revision':%d,'spec':{'id':'%s','name':'n','hostname':'n','"
        "project_id':'p',"
        "'user_id':'u','power':'%s','boot_seq':%d,'reset_seq':0,'build_seq':%d,'vcpus':1,'memory_"
        "mib':64,'root_gib':1,"
        "'image':{'id':'" NET "','size':1,'sha512':'" SHA64 SHA64
        "','disk_format':'raw'},'config_drive':false,"
        "'nics':[%s],'meta_data':{},'network_data':{},'vendor_data':null,'user_data':null}}",
        id, (int)fx->revision, id, on ? "on" : "off", boot, build,
        nic ? "{'port_id':'" P1 "','network_id':'" NET
              "','mac':'fa:16:3e:00:00:01','mtu':1500,'tap':'tap11111111-00'}"
            : "");
}

static const char *network_item(bool port)
{
    return arena_printf(fx->cx.arena,
                        "{'kind':'network','id':'" NET "','revision':%d,'spec':{'id':'" NET
                        "','mtu':1500,'external':false,'subnets':[],"
                        "'ports':[%s]}}",
                        (int)fx->revision,
                        port ? "{'id':'" P1
                               "','mac':'fa:16:3e:00:00:01','tap':'tap11111111-00','device_id':'" S1
                               "','admin_state_up':true,'port_security':true,'fixed_ips':[{'ip_"
                               "address':'10.0.0.5','subnet_id':'" NET "'}]}"
                             : "");
}

static const char *deleted_item(const char *kind, const char *id)
{
    return arena_printf(fx->cx.arena, "{'kind':'%s','id':'%s','revision':%d,'deleted':true}", kind,
                        id, (int)fx->revision);
}

/* One answer with up to two items, asked for since what the agent has. */
static void take(bool full, const char *one, const char *two)
{
    json_t *j = parse(arena_printf(fx->cx.arena, "{'revision':%d,'full':%s,'items':[%s%s%s]}",
                                   (int)fx->revision, full ? "true" : "false", one ? one : "",
                                   two ? "," : "", two ? two : ""));
    assert_ok(&fx->cx, agent_take(&fx->cx, fx->a, full ? 0 : agent_revision(fx->a), j));
}

/* Steps until nothing is due within this time. */
static int run_for(int64_t seconds)
{
    int64_t end = fx->now + seconds * 1000000, next;
    int steps = 0;
    for (;;) {
        struct item *it = agent_claim(fx->a, fx->now, &next);
        if (it) {
            agent_step(&fx->cx, fx->a, it);
            assert_true(++steps < 1000);
        } else if (next > end) {
            fx->now = end;
            return steps;
        } else {
            fx->now = max_i64(next, fx->now);
        }
    }
}

/* The undelivered report of an item, delivered now; NULL if there is none. */
static const json_t *report_of(const char *id)
{
    struct buf b;
    buf_init(&b, fx->cx.arena);
    struct report_batch *batch = agent_reports(&fx->cx, fx->a, 100, &b);
    if (!batch)
        return NULL;
    json_t *j = NULL;
    assert_ok(&fx->cx, json_read(&fx->cx, b.data, b.len, &j));
    agent_reports_done(fx->a, batch);
    const json_t *list = json_get(j, "reports");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(json_get_str(json_array_get(list, i), "id"), id))
            return json_get(json_array_get(list, i), "observed");
    return NULL;
}

static enum guest_power power_of(const char *id)
{
    struct guest_state is;
    fake_guest_state(&fx->guests, id, &is);
    return is.power;
}

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
    assert_int_equal(fx->uses, 0);
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
static void test_unknown_guest(void **state UNUSED)
{
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, false), server_item(S2, true, 1, 1, false));
    run_for(1);
    agent_free(fx->a); /* killed; the guests run on */
    struct agent_setup s = {
        .guests = fx->guests, .net = fx->net, .images = {image_want, image_use, image_unuse, NULL}};
    fx->a = agent_new(&s);
    assert_ok(&fx->cx, agent_sweep(&fx->cx, fx->a));
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

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_waits_for_network),
        TEST(test_waits_for_image),
        TEST(test_own_doing),
        TEST(test_deaf_guest_is_forced),
        TEST(test_backoff),
        TEST(test_not_yet_is_not_gone),
        TEST(test_unknown_guest),
        TEST(test_answers),
        TEST(test_metadata_lookup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
