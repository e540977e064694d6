/* SPDX-License-Identifier: EUPL-1.2 */
/* The engine: the rest of a server's life. */
#include "node/metadata.h"
#include "node/test_agent.h"

static void test_pause(void **state UNUSED)
{
    change(server_item(S1, true, 1, 1, false));
    run_for(1);
    change(server_with(S1, true, 1, 1, "'paused':true"));
    run_for(1);
    assert_true(state_of(S1).paused);
    assert_true(json_get_bool(report_of(S1), "paused", false));
    change(server_item(S1, true, 1, 1, false));
    run_for(1);
    const json_t *r = report_of(S1);
    assert_false(json_get_bool(r, "paused", true));
    assert_int_equal(fake_guest_starts(&fx->guests, S1), 1);
    change(server_with(S1, true, 1, 1, "'paused':true"));
    run_for(1);
    change(server_item(S1, false, 1, 1, false));
    run_for(1); /* it hears no button, so nobody waits for it */
    assert_int_equal(power_of(S1), GUEST_OFF);
}

static void test_suspend(void **state UNUSED)
{
    change(server_item(S1, true, 1, 1, false));
    run_for(1);
    change(server_with(S1, false, 1, 1, "'suspended':true"));
    run_for(1);
    const json_t *r = report_of(S1);
    assert_string_equal(json_get_str(r, "power"), "off");
    assert_true(json_get_bool(r, "suspended", false));
    restart_agent();
    take(true, server_item(S1, true, 1, 1, false), NULL); /* goes on */
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ON);
    assert_int_equal(fake_guest_starts(&fx->guests, S1), 1);
    change(server_with(S1, false, 1, 1, "'suspended':true"));
    run_for(1);
    change(server_item(S1, true, 2, 1, false)); /* a hard reboot: not from memory */
    run_for(1);
    assert_int_equal(fake_guest_starts(&fx->guests, S1), 2);
    assert_int_equal(state_of(S1).boot_seq, 2);
    change(server_with(S1, false, 2, 1, "'suspended':true"));
    run_for(1);
    change(deleted_item("server", S1));
    run_for(1);
    assert_string_equal(json_get_str(report_of(S1), "power"), "absent");
}

static bool uses_image(const char *user)
{
    for (size_t i = 0; i < fx->n_users; i++)
        if (str_eq(fx->users[i], user))
            return true;
    return false;
}

#define RESCUED(seq) "'rescue':{'seq':" #seq ",'image':" IMAGE_SPEC "}"

static void test_rescue(void **state UNUSED)
{
    change(server_item(S1, true, 1, 1, false));
    run_for(1);
    fx->image_here = false;
    change(server_with(S1, true, 2, 1, RESCUED(1)));
    run_for(5);
    assert_int_equal(state_of(S1).boot_seq, 1); /* runs on until the image is here */
    fx->image_here = true;
    agent_poke(fx->a);
    run_for(1);
    assert_int_equal(state_of(S1).rescue_seq, 1);
    assert_int_equal(json_get_int(report_of(S1), "rescue_seq", 0), 1);
    assert_true(uses_image("rescue-" S1) && uses_image(S1));
    change(server_item(S1, true, 3, 1, false));
    run_for(1);
    assert_int_equal(state_of(S1).rescue_seq, 0);
    assert_false(uses_image("rescue-" S1));
    assert_true(uses_image(S1));
    change(server_with(S1, true, 4, 1, RESCUED(2)));
    run_for(1);
    change(deleted_item("server", S1));
    run_for(1);
    assert_int_equal(fx->n_users, 0);
}

static void test_resize(void **state UNUSED)
{
    change(server_item(S1, true, 1, 1, false));
    run_for(1);
    change(server_with(S1, true, 2, 1, "'checkpoint':1"));
    run_for(1);
    const json_t *r = report_of(S1);
    assert_string_equal(json_get_str(r, "power"), "on");
    assert_int_equal(json_get_int(r, "checkpoint", 0), 1);
    change(server_with(S1, true, 3, 1, "'checkpoint':0,'restore_seq':1")); /* reverted */
    run_for(1);
    r = report_of(S1);
    assert_int_equal(json_get_int(r, "checkpoint", -1), 0);
    assert_int_equal(json_get_int(r, "restore_seq", 0), 1);
    assert_int_equal(json_get_int(r, "boot_seq", 0), 3);
    change(server_with(S1, true, 4, 1, "'checkpoint':2,'restore_seq':1"));
    run_for(1);
    change(server_with(S1, true, 4, 1, "'restore_seq':1")); /* confirmed */
    run_for(1);
    assert_int_equal(state_of(S1).checkpoint, 0);
    assert_int_equal(state_of(S1).restore_seq, 1);
    assert_int_equal(fake_guest_starts(&fx->guests, S1), 4);
}

#define NIC                                                                                        \
    "'nics':[{'port_id':'" P1 "','network_id':'" NET                                               \
    "','mac':'fa:16:3e:00:00:01','mtu':1500,'tap':'tap11111111-00'}]"

static bool nic_plugged(const json_t *report)
{
    return json_get_bool(json_array_get(json_get(report, "nics"), 0), "plugged", false);
}

static void test_interfaces(void **state UNUSED)
{
    change(server_item(S1, true, 1, 1, false));
    run_for(1);
    change(server_item(S1, true, 1, 1, true));
    run_for(1);
    const json_t *r = report_of(S1);
    assert_int_equal(json_array_size(json_get(r, "nics")), 1);
    assert_false(nic_plugged(r)); /* its network is not there */
    change(network_item(true));
    run_for(1);
    assert_true(fake_guest_has(&fx->guests, S1, P1) && nic_plugged(report_of(S1)));
    fake_guests_set_deaf(&fx->guests, true);
    change(server_item(S1, true, 1, 1, false));
    run_for(100);
    r = report_of(S1);
    assert_true(nic_plugged(r)); /* named while the guest has it, and no trouble of the server's */
    const json_t *error = json_get(r, "error");
    assert_true(json_is_null(error));
    fake_guests_set_deaf(&fx->guests, false);
    run_for(40);
    assert_int_equal(json_array_size(json_get(report_of(S1), "nics")), 0);
    assert_int_equal(fake_guest_starts(&fx->guests, S1), 1);
}

/* A port that goes while its guest is suspended takes the memory with it. */
static void test_suspended_loses_port(void **state UNUSED)
{
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, true), network_item(true));
    run_for(1);
    change(server_with(S1, false, 1, 1, "'suspended':true," NIC));
    run_for(1);
    assert_true(state_of(S1).suspended);
    change(server_item(S1, true, 1, 1, false));
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ON);
    assert_int_equal(fake_guest_starts(&fx->guests, S1), 2);
    assert_false(fake_guest_has(&fx->guests, S1, P1));
}

/* ---- passwords ---- */

static struct err *leave(const char *text)
{
    return agent_leave_password(&fx->cx, fx->a, S1, text, strlen(text));
}

static void test_password(void **state UNUSED)
{
    struct spec_server s;
    assert_err(&fx->cx, ERR_NOT_FOUND, leave("x"));
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, true), network_item(true));
    run_for(1);
    report_of(S1);
    assert_err(&fx->cx, ERR_INVALID, leave(""));
    assert_err(&fx->cx, ERR_INVALID, leave("a\033b"));
    assert_err(&fx->cx, ERR_INVALID, leave("\xff"));
    const char *big = arena_printf(fx->cx.arena, "%01021d", 1);
    assert_err(&fx->cx, ERR_INVALID, leave(big));
    assert_ok(&fx->cx, leave("c2VjcmV0"));
    assert_err(&fx->cx, ERR_CONFLICT, leave("another"));
    restart_agent(); /* before it was told */
    take(true, server_item(S1, true, 1, 1, true), network_item(true));
    assert_err(&fx->cx, ERR_CONFLICT, leave("another"));
    assert_true(agent_server_by_ip(&fx->cx, fx->a, NET, "10.0.0.5", &s));
    assert_string_equal(s.password_data, "c2VjcmV0");
    run_for(1);
    assert_string_equal(json_get_str(report_of(S1), "password_data"), "c2VjcmV0");
    change(server_with(S1, true, 1, 1, NIC ",'password_data':'c2VjcmV0'"));
    run_for(1);
    const json_t *r = report_of(S1);
    assert_null(json_get_str(r, "password_data"));
    assert_true(agent_server_by_ip(&fx->cx, fx->a, NET, "10.0.0.5", &s));
    assert_string_equal(s.password_data, "c2VjcmV0");
    assert_err(&fx->cx, ERR_CONFLICT, leave("another"));
    change(server_item(S1, true, 1, 1, true)); /* its owner cleared it */
    assert_ok(&fx->cx, leave("again"));
    run_for(1);
    assert_string_equal(json_get_str(report_of(S1), "password_data"), "again");
    change(server_item(S1, true, 1, 1, true)); /* cleared as soon as it was told */
    run_for(1);
    assert_null(json_get_str(report_of(S1), "password_data"));
    change(deleted_item("server", S1));
    run_for(1);
    const char *file = arena_printf(fx->cx.arena, "%s/passwords/" S1, fx->dir);
    assert_int_equal(access(file, F_OK), -1);
}

static int ask_again(const char *path, const char *body, int64_t waited_us, struct buf *ret)
{
    const char *type = NULL;
    int status = 0;
    const struct metadata_ask a = {.network_id = NET,
                                   .source_ip = "10.0.0.5",
                                   .path = path,
                                   .body = body,
                                   .body_size = body ? strlen(body) : 0,
                                   .waited_us = waited_us};
    buf_init(ret, fx->cx.arena);
    assert_ok(&fx->cx, metadata_answer(&fx->cx, fx->a, &a, ret, &type, &status));
    assert_string_equal(type, "text/plain");
    return status;
}

static int ask(const char *path, const char *body, struct buf *ret)
{
    return ask_again(path, body, 0, ret);
}

/* As the guest does it. */
static void test_password_service(void **state UNUSED)
{
    struct buf b;
    assert_int_equal(ask("/openstack/latest/password", NULL, &b), 404); /* nobody's address */
    fx->revision = 1;
    take(true, server_item(S1, true, 1, 1, true), network_item(true));
    assert_int_equal(ask("/openstack/latest/password", NULL, &b), 200);
    assert_string_equal(buf_cstr(&b), "");
    assert_int_equal(ask("/openstack/latest/user_data", "x", &b), 405);
    assert_int_equal(ask("/latest/password", "x", &b), 405);
    assert_int_equal(ask("/openstack/latest/password", "", &b), 400);
    const char *path = "/openstack/2013-04-04/password";
    assert_int_equal(ask(path, "c2VjcmV0", &b), METADATA_LATER);
    assert_int_equal(ask("/openstack/latest/password", "x", &b), 409);
    run_for(1);
    assert_int_equal(ask_again(path, "c2VjcmV0", 1, &b), METADATA_LATER); /* nobody heard of it */
    assert_int_equal(ask_again(path, "c2VjcmV0", 60000000, &b), 200);     /* nobody may for long */
    report_of(S1);
    assert_int_equal(ask_again(path, "c2VjcmV0", 1, &b), 200);
    assert_int_equal(ask("//openstack/latest/password?x", NULL, &b), 200);
    assert_string_equal(buf_cstr(&b), "c2VjcmV0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGENT_TEST(test_pause),      AGENT_TEST(test_suspend),
        AGENT_TEST(test_rescue),     AGENT_TEST(test_resize),
        AGENT_TEST(test_interfaces), AGENT_TEST(test_suspended_loses_port),
        AGENT_TEST(test_password),   AGENT_TEST(test_password_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
