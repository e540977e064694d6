/* SPDX-License-Identifier: EUPL-1.2 */
/* The engine: volumes, who has them open, and disks that become images. */
#include "node/test_agent.h"

#define OF_S1 "'server_id':'" S1 "'"
#define USES(id) "'volumes':[{'volume_id':'" id "'}]"
#define BOOTS "'image':null,'volumes':[{'volume_id':'" V1 "','boot_index':0}]"
#define FROM_IMAGE "'source':{'image':" IMAGE_SPEC "}"
#define FROM_V1 "'source':{'volume_id':'" V1 "'}"
#define SNAP "30000000-aaaa-4000-8000-00000000000a"

static struct fake_volume volume(const char *id)
{
    struct fake_volume v;
    fake_volume_get(&fx->volumes, id, &v);
    return v;
}

static bool there(const char *id)
{
    struct fake_volume v;
    return fake_volume_get(&fx->volumes, id, &v);
}

static bool names_volume(const json_t *report, const char *id, bool *ret_plugged)
{
    const json_t *list = json_get(report, "volumes");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        *ret_plugged = json_get_bool(v, "plugged", false);
        if (str_eq(json_get_str(v, "volume_id"), id))
            return true;
    }
    return false;
}

/* A server with one volume, both on. */
static void begin(const char *server_more)
{
    fx->revision = 1;
    take(true, volume_item(V1, 2, OF_S1), server_with(S1, true, 1, 1, server_more));
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ON);
    assert_string_equal(volume(V1).holder, S1);
    report_of(S1);
}

/* ---- a volume by itself ---- */

static void test_life(void **state UNUSED)
{
    fx->image_here = false;
    change(volume_item(V1, 2, FROM_IMAGE));
    run_for(30);
    assert_false(json_get_bool(report_of(V1), "ready", true));
    fx->image_here = true;
    agent_poke(fx->a);
    run_for(1);
    const json_t *r = report_of(V1);
    assert_true(json_get_bool(r, "ready", false));
    assert_int_equal(json_get_int(r, "size_gib", 0), 2);
    assert_int_equal(json_get_int(r, "revision", 0), fx->revision);
    assert_string_equal(volume(V1).origin, "image " IMAGE);
    assert_int_equal(fx->n_users, 0); /* it has its own bytes */
    change(volume_item(V1, 3, FROM_IMAGE ",'snapshots':['" SNAP "']"));
    run_for(1);
    r = report_of(V1);
    assert_int_equal(json_get_int(r, "size_gib", 0), 3);
    assert_string_equal(json_string_value(json_array_get(json_get(r, "snapshots"), 0)), SNAP);
    change(volume_item(V2, 3, "'source':{'volume_id':'" V1 "','snapshot_id':'" SNAP "'}"));
    run_for(1);
    assert_string_equal(volume(V2).origin, "image " IMAGE);
    change(volume_item(V1, 3, FROM_IMAGE));
    run_for(1);
    assert_int_equal(volume(V1).n_snapshots, 0);
    change(deleted_item("volume", V1));
    run_for(1);
    assert_true(json_get_bool(report_of(V1), "absent", false));
    assert_false(there(V1));
    struct agent_stats st;
    agent_get_stats(fx->a, fx->now, &st);
    assert_int_equal(st.items[ITEM_VOLUME], 1);
}

/* The image stays while the volume is made from it, also across a crash. */
static struct err *makes_fail(struct ctx *cx, void *arg UNUSED, const char *call,
                              const char *id UNUSED, bool after)
{
    return !after && str_eq(call, "volume_make") ? fail(cx, ERR_UNAVAILABLE, "no room") : NULL;
}

static void test_trouble_is_told(void **state UNUSED)
{
    fake_volumes_set_fault(&fx->volumes, makes_fail, NULL);
    fx->revision = 1;
    take(true, volume_item(V1, 2, FROM_IMAGE "," OF_S1), server_with(S1, true, 1, 1, USES(V1)));
    run_for(1);
    assert_null(report_of(V1)); /* it may go well the next time */
    assert_string_equal(fx->users[0], "volume-" V1);
    run_for(10);
    assert_string_equal(json_get_str(report_of(V1), "error"), "no room");
    agent_poke(fx->a);
    run_for(1);
    assert_string_equal(json_get_str(report_of(S1), "error"), "no room"); /* why it waits */
    assert_int_not_equal(power_of(S1), GUEST_ON);
    fake_volumes_set_fault(&fx->volumes, NULL, NULL);
    run_for(100);
    assert_int_equal(power_of(S1), GUEST_ON);
    const json_t *healed = json_get(report_of(V1), "error");
    assert_true(json_is_null(healed));
    restart_agent();
    take(true, deleted_item("volume", V1), deleted_item("server", S1));
    run_for(1);
    assert_int_equal(fx->n_users, 0);
}

/* Fetching again is no success: the third failure is told though each was waited for. */
static struct err *third_want(struct ctx *cx, void *arg, const struct spec_image *image UNUSED,
                              bool *ret_here)
{
    int *n = arg;
    *ret_here = false;
    return ++*n % 2 ? NULL : fail(cx, ERR_UNAVAILABLE, "cannot fetch");
}

static struct err *no_use(struct ctx *cx, void *arg UNUSED, const char *user UNUSED,
                          const struct spec_image *image UNUSED, const char **ret_path UNUSED)
{
    return fail(cx, ERR_UNAVAILABLE, "not here");
}

static void no_unuse(void *arg UNUSED, const char *user UNUSED)
{
}

static void test_waiting_is_no_success(void **state UNUSED)
{
    int n = 0;
    agent_free(fx->a);
    struct agent_setup s = {.guests = fx->guests,
                            .net = fx->net,
                            .volumes = fx->volumes,
                            .images = {third_want, no_use, no_unuse, &n}};
    fx->a = agent_new(&s);
    assert_ok(&fx->cx, agent_sweep(&fx->cx, fx->a));
    fx->revision = 1;
    take(true, volume_item(V1, 2, FROM_IMAGE), server_item(S1, true, 1, 1, false));
    for (int i = 0; i < 12; i++) {
        run_for(60);
        agent_poke(fx->a);
    }
    assert_string_equal(json_get_str(report_of(V1), "error"), "cannot fetch");
}

static void test_unknown_volume(void **state UNUSED)
{
    fx->revision = 1;
    take(true, volume_item(V1, 2, ""), volume_item(V2, 2, ""));
    run_for(1);
    restart_agent();
    for (int i = 0; i < 3; i++)
        take(true, NULL, NULL); /* a fresh database says this: nothing goes */
    run_for(100);
    assert_int_equal(fake_volumes_count(&fx->volumes), 2);
    take(true, volume_item(V1, 2, ""), NULL);
    run_for(100);
    assert_int_equal(fake_volumes_count(&fx->volumes), 2);
    take(true, volume_item(V1, 2, ""), NULL);
    run_for(1);
    assert_true(there(V1) && !there(V2));
}

static void test_no_volumes_here(void **state UNUSED)
{
    agent_free(fx->a);
    struct agent_setup s = {
        .guests = fx->guests, .net = fx->net, .images = {third_want, no_use, no_unuse, NULL}};
    fx->a = agent_new(&s);
    assert_ok(&fx->cx, agent_sweep(&fx->cx, fx->a));
    fx->revision = 1;
    take(true, volume_item(V1, 2, ""), export_item(X1, "'volume_id':'" V1 "'", "qcow2"));
    run_for(1);
    assert_string_equal(json_get_str(report_of(V1), "error"),
                        "this host does not reach the storage that the volume lies on");
    agent_poke_all(fx->a);
    run_for(1);
    change(deleted_item("volume", V1));
    run_for(1);
    assert_true(json_get_bool(report_of(V1), "absent", false));
}

/* ---- in guests ---- */

static void test_starts_with_it(void **state UNUSED)
{
    bool plugged;
    change(server_with(S1, true, 1, 1, BOOTS));
    run_for(5);
    assert_int_not_equal(power_of(S1), GUEST_ON);
    change(volume_item(V1, 2, FROM_IMAGE)); /* there, but not this server's */
    run_for(5);
    assert_int_not_equal(power_of(S1), GUEST_ON);
    change(volume_item(V1, 2, FROM_IMAGE "," OF_S1));
    run_for(0);
    assert_int_equal(power_of(S1), GUEST_ON);
    assert_true(names_volume(report_of(S1), V1, &plugged) && plugged);
    change(server_with(S1, false, 1, 1, BOOTS));
    run_for(1);
    assert_true(names_volume(report_of(S1), V1, &plugged) && !plugged);
    assert_string_equal(volume(V1).holder, "");
}

static void test_attach_and_detach(void **state UNUSED)
{
    bool plugged;
    begin(USES(V1));
    change(volume_item(V2, 1, OF_S1));
    run_for(1);
    change(
        server_with(S1, true, 1, 1, "'volumes':[{'volume_id':'" V1 "'},{'volume_id':'" V2 "'}]"));
    run_for(1);
    assert_string_equal(volume(V2).holder, S1);
    fake_guests_set_deaf(&fx->guests, true);
    change(server_with(S1, true, 1, 1, USES(V2)));
    run_for(1);
    const json_t *r = report_of(S1);
    assert_true(names_volume(r, V1, &plugged) && plugged); /* not free yet */
    change(volume_item(V1, 2, "'server_id':null"));
    change(deleted_item("volume", V1)); /* waits for the guest */
    run_for(20);
    assert_true(there(V1));
    assert_null(report_of(V1));
    fake_guests_set_deaf(&fx->guests, false);
    run_for(40);
    assert_false(there(V1));
    assert_true(json_get_bool(report_of(V1), "absent", false));
    assert_string_equal(volume(V2).holder, S1);
    assert_int_equal(fake_guest_starts(&fx->guests, S1), 1);
}

/* One guest's at a time, whatever the control plane says. */
static void test_one_guest_at_a_time(void **state UNUSED)
{
    bool plugged;
    begin(USES(V1));
    change(server_with(S2, true, 1, 1, USES(V1)));
    change(volume_item(V1, 2, "'server_id':'" S2 "'"));
    run_for(10);
    assert_int_not_equal(power_of(S2), GUEST_ON);
    restart_agent(); /* knows who has it before it hears anything */
    take(true, volume_item(V1, 2, "'server_id':'" S2 "'"), server_with(S2, true, 1, 1, USES(V1)));
    run_for(10);
    assert_int_not_equal(power_of(S2), GUEST_ON);
    change(server_with(S1, true, 1, 1, ""));
    run_for(1);
    assert_string_equal(volume(V1).holder, S2);
    assert_int_equal(power_of(S2), GUEST_ON);
    assert_false(names_volume(report_of(S1), V1, &plugged));
    /* A suspended guest has it, too. */
    change(server_with(S2, false, 1, 1, "'suspended':true," USES(V1)));
    run_for(1);
    change(volume_item(V1, 2, OF_S1));
    change(server_with(S1, true, 1, 1, USES(V1)));
    run_for(10);
    assert_string_equal(volume(V1).holder, S2);
    change(deleted_item("server", S2));
    run_for(1);
    assert_string_equal(volume(V1).holder, S1);
}

static struct item *claim(enum item_kind kind)
{
    int64_t next;
    struct item *it = agent_claim(fx->a, 1u << kind, fx->now, &next);
    assert_non_null(it);
    return it;
}

/* One step at a time for a volume and the guest that has it, whoever's step it is. */
static void test_one_step_at_a_time(void **state UNUSED)
{
    change(volume_item(V1, 1, OF_S1));
    run_for(1);
    change(volume_item(V1, 2, OF_S1));
    struct item *busy = claim(ITEM_VOLUME); /* its step is under way */
    change(server_with(S1, true, 1, 1, USES(V1)));
    run_for(1);
    assert_int_not_equal(power_of(S1), GUEST_ON);
    agent_step(&fx->cx, fx->a, busy);
    run_for(0); /* its end wakes who waited */
    assert_int_equal(power_of(S1), GUEST_ON);
    change(server_with(S1, true, 2, 1, USES(V1)));
    busy = claim(ITEM_SERVER);
    change(volume_item(V1, 3, OF_S1));
    change(export_item(X1, "'server_id':'" S1 "'", "qcow2"));
    run_for(1);
    assert_int_equal(volume(V1).size_gib, 2);
    assert_int_equal(fx->sends, 0);
    agent_step(&fx->cx, fx->a, busy);
    run_for(0);
    assert_int_equal(volume(V1).size_gib, 3);
    assert_int_equal(fx->sends, 1);
}

static void test_suspended_gains_volume(void **state UNUSED)
{
    begin(USES(V1));
    change(server_with(S1, false, 1, 1, "'suspended':true," USES(V1)));
    run_for(1);
    change(volume_item(V2, 1, OF_S1));
    change(
        server_with(S1, true, 1, 1, "'volumes':[{'volume_id':'" V2 "'},{'volume_id':'" V1 "'}]"));
    run_for(1);
    assert_int_equal(fake_guest_starts(&fx->guests, S1), 1); /* went on, then got the other */
    assert_string_equal(volume(V2).holder, S1);
}

/* Growth, snapshots and copies of what is open go through the guest: the fake driver asserts it. */
static void test_changed_while_open(void **state UNUSED)
{
    begin(USES(V1));
    change(volume_item(V1, 5, OF_S1 ",'snapshots':['" SNAP "']"));
    run_for(1);
    assert_int_equal(volume(V1).size_gib, 5);
    assert_true(fake_volume_has_snapshot(&fx->volumes, V1, SNAP));
    change(volume_item(V2, 6, FROM_V1));
    run_for(1);
    assert_string_equal(volume(V2).origin, "blank");
    assert_int_equal(volume(V2).size_gib, 6);
    change(server_with(S1, false, 1, 1, "'suspended':true," USES(V1)));
    run_for(1);
    change(volume_item(V1, 6, OF_S1));
    run_for(1);
    assert_int_equal(volume(V1).size_gib, 6);
    assert_int_equal(volume(V1).n_snapshots, 0);
    const char *copy = arena_printf(fx->cx.arena, "%s/exports/" V2 ".copy", fx->dir);
    assert_int_equal(access(copy, F_OK), -1);
}

/* It has closed its volumes, and is the other host's; or goes on here. */
static void test_changed_while_sent(void **state UNUSED)
{
    begin(USES(V1));
    change(server_with(S1, true, 1, 1,
                       "'move':{'role':'out','seq':1,'live':true,'peer':'" P1
                       "','url':'http://192.0.2.1:1'}," USES(V1)));
    run_for(1);
    assert_int_equal(json_get_bool(json_get(report_of(S1), "move"), "sent", false), true);
    change(volume_item(V1, 5, OF_S1));
    for (int i = 0; i < 12; i++) {
        run_for(60);
        agent_poke(fx->a);
    }
    assert_int_equal(volume(V1).size_gib, 2);
    assert_null(json_get_str(report_of(V1), "error"));
    change(server_with(S1, true, 1, 1, USES(V1)));
    run_for(3);
    assert_int_equal(volume(V1).size_gib, 5);
}

static void test_source_is_waited_for(void **state UNUSED)
{
    fx->image_here = false;
    fx->revision = 1;
    take(true, volume_item(V2, 2, FROM_V1), volume_item(V1, 2, FROM_IMAGE));
    run_for(5);
    assert_int_equal(fake_volumes_count(&fx->volumes), 0);
    fx->image_here = true;
    agent_poke(fx->a);
    run_for(1);
    assert_string_equal(volume(V2).origin, "image " IMAGE);
    change(volume_item(X1, 2, "'source':{'volume_id':'" SNAP "'}")); /* never heard of */
    run_for(10);
    assert_non_null(strstr(json_get_str(report_of(X1), "error"), "not on this host"));
}

/* Whatever driver call fails, with or without its work done, it ends well. */
struct nth {
    int at, calls;
};

static struct err *nth_fails(struct ctx *cx, void *arg, const char *call, const char *id UNUSED,
                             bool after UNUSED)
{
    struct nth *n = arg;
    return ++n->calls == n->at ? fail(cx, ERR_UNAVAILABLE, "%s fails", call) : NULL;
}

static void live_with_faults(struct nth *n)
{
    fake_volumes_set_fault(&fx->volumes, nth_fails, n);
    fake_guests_set_fault(&fx->guests, nth_fails, n);
    fx->revision = 1;
    take(true, volume_item(V1, 2, FROM_IMAGE "," OF_S1), server_with(S1, true, 1, 1, USES(V1)));
    run_for(90);
    change(volume_item(V1, 3, FROM_IMAGE ",'snapshots':['" SNAP "']," OF_S1));
    change(volume_item(V2, 3, FROM_V1));
    change(export_item(X1, "'volume_id':'" V1 "'", "qcow2"));
    run_for(90);
    assert_string_equal(volume(V1).holder, S1);
    assert_int_equal(volume(V1).size_gib, 3);
    assert_string_equal(volume(V2).origin, "image " IMAGE);
    assert_true(fake_volume_has_snapshot(&fx->volumes, V1, SNAP));
    assert_true(json_get_bool(report_of(X1), "sent", false));
    change(server_with(S1, true, 1, 1, ""));
    change(deleted_item("volume", V1));
    run_for(90);
    assert_false(there(V1));
    assert_int_equal(fake_guest_starts(&fx->guests, S1), 1);
}

static void test_every_fault(void **state)
{
    struct nth n = {.at = 1};
    do {
        n.calls = 0;
        live_with_faults(&n);
        fixture_teardown(state);
        fixture_setup(state);
    } while (++n.at <= n.calls);
    assert_true(n.at > 30);
}

/* ---- exports ---- */

static size_t files_of_exports(void)
{
    size_t n = 0;
    const char *names[] = {X1, X1 ".part", X1 ".raw", X1 ".sent"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        n += access(arena_printf(fx->cx.arena, "%s/exports/%s", fx->dir, names[i]), F_OK) == 0;
    return n;
}

static void test_export(void **state UNUSED)
{
    begin(USES(V1));
    change(export_item(X1, "'server_id':'" S1 "'", "qcow2"));
    run_for(1);
    const json_t *r = report_of(X1);
    assert_true(json_get_bool(r, "sent", false));
    assert_int_equal(json_get_int(r, "revision", 0), fx->revision);
    assert_string_equal(fx->sent, "root " S1 " 1");
    restart_agent();
    take(true, export_item(X1, "'server_id':'" S1 "'", "qcow2"),
         server_with(S1, true, 1, 1, USES(V1)));
    run_for(1);
    assert_true(json_get_bool(report_of(X1), "sent", false));
    assert_int_equal(fx->sends, 1); /* and not again */
    change(deleted_item("export", X1));
    run_for(1);
    assert_true(json_get_bool(report_of(X1), "absent", false));
    assert_int_equal(files_of_exports(), 0);
    change(export_item(X1, "'volume_id':'" V1 "'", "qcow2")); /* open in the guest */
    run_for(1);
    assert_int_equal(fx->sends, 2);
    assert_string_equal(fx->sent, "blank");
}

static struct err *deleted_meanwhile(struct ctx *cx UNUSED, void *arg, const char *call,
                                     const char *id UNUSED, bool after)
{
    int *copied = arg;
    if (str_eq(call, "copy_root") && after)
        (*copied)++;
    else if (str_eq(call, "copy_root"))
        change(deleted_item("export", X1));
    return NULL;
}

/* Its guest is free at once for what comes next. */
static void test_export_is_given_up(void **state UNUSED)
{
    int copied = 0;
    begin(USES(V1));
    fake_guests_set_fault(&fx->guests, deleted_meanwhile, &copied);
    change(export_item(X1, "'server_id':'" S1 "'", "qcow2"));
    run_for(0);
    fake_guests_set_fault(&fx->guests, NULL, NULL);
    assert_true(json_get_bool(report_of(X1), "absent", false));
    assert_int_equal(files_of_exports(), 0);
    assert_int_equal(copied, 0);
    assert_int_equal(fx->sends, 0);
    change(export_item(X1, "'server_id':'" S1 "'", "qcow2")); /* asked for anew */
    run_for(0);
    assert_int_equal(fx->sends, 1);
}

/* What was copied once is what is sent, however often that takes. */
static void test_export_is_sent_later(void **state UNUSED)
{
    fx->send_fails = true;
    fx->revision = 1;
    take(true, volume_item(V1, 2, ""), export_item(X1, "'volume_id':'" V1 "'", "qcow2"));
    run_for(600); /* a control plane that is away is no reason to give it up */
    const json_t *told = report_of(X1);
    assert_non_null(told);
    assert_null(json_get_str(told, "error"));
    assert_int_equal(files_of_exports(), 1);
    restart_agent();
    fx->send_fails = false;
    take(true, export_item(X1, "'volume_id':'" V1 "'", "qcow2"), NULL); /* its source is unknown */
    run_for(1);
    assert_true(json_get_bool(report_of(X1), "sent", false));
}

static void test_export_in_vain(void **state UNUSED)
{
    fx->revision = 1;
    take(true, volume_item(V1, 2, ""), export_item(X1, "'server_id':'" S1 "'", "qcow2"));
    run_for(10);
    assert_non_null(strstr(json_get_str(report_of(X1), "error"), "not on this host"));
    change(export_item(X1, "'volume_id':'" V1 "'", "raw"));
    run_for(10);
    assert_non_null(strstr(json_get_str(report_of(X1), "error"), "no raw images"));
    fx->send_fails = true;
    change(export_item(X1, "'volume_id':'" V1 "'", "qcow2"));
    run_for(10);
    restart_agent(); /* what nobody wants any more goes */
    for (int i = 0; i < 2; i++)
        take(true, volume_item(V1, 2, ""), NULL);
    run_for(10);
    assert_int_equal(files_of_exports(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGENT_TEST(test_life),
        AGENT_TEST(test_trouble_is_told),
        AGENT_TEST(test_waiting_is_no_success),
        AGENT_TEST(test_unknown_volume),
        AGENT_TEST(test_no_volumes_here),
        AGENT_TEST(test_starts_with_it),
        AGENT_TEST(test_attach_and_detach),
        AGENT_TEST(test_one_guest_at_a_time),
        AGENT_TEST(test_one_step_at_a_time),
        AGENT_TEST(test_suspended_gains_volume),
        AGENT_TEST(test_changed_while_open),
        AGENT_TEST(test_changed_while_sent),
        AGENT_TEST(test_source_is_waited_for),
        AGENT_TEST(test_every_fault),
        AGENT_TEST(test_export),
        AGENT_TEST(test_export_is_given_up),
        AGENT_TEST(test_export_is_sent_later),
        AGENT_TEST(test_export_in_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
