/* SPDX-License-Identifier: EUPL-1.2 */
/* Images that are only wanted: fetched, kept while they are, and let go, whatever happened between.
 */
#include "node/test_agent.h"

static bool is_kept(void)
{
    for (size_t i = 0; i < fx->n_users; i++)
        if (str_eq(fx->users[i], CACHED_IMAGE IMAGE))
            return true;
    return false;
}

static void an_image_is_fetched_and_kept(void **state UNUSED)
{
    fx->image_here = false;
    fx->revision = 1;
    take(true, image_item(), NULL);
    run_for(1);
    assert_false(is_kept());
    assert_null(report_of(IMAGE)); /* it is on its way */
    fx->image_here = true;
    agent_poke(fx->a);
    run_for(1);
    assert_true(is_kept());
    assert_true(json_get_bool(report_of(IMAGE), "here", false));
    change(deleted_item("image", IMAGE));
    run_for(1);
    assert_false(is_kept());
    assert_true(json_get_bool(report_of(IMAGE), "absent", false));
}

static void a_fetch_that_fails_is_told_and_tried_again(void **state UNUSED)
{
    fx->image_fails = true;
    fx->revision = 1;
    take(true, image_item(), NULL);
    run_for(1);
    assert_string_equal(json_get_str(report_of(IMAGE), "error"), "no image today");
    fx->image_fails = false;
    run_for(120);
    assert_true(is_kept());
    assert_true(json_get_bool(report_of(IMAGE), "here", false));
}

/* While the agent was away the wish ended: nobody tells it, and the next answers don't name it. */
static void what_nobody_wants_any_more_is_let_go(void **state UNUSED)
{
    fx->revision = 1;
    take(true, image_item(), NULL);
    run_for(1);
    restart_agent();
    assert_true(is_kept());
    for (int i = 0; i < 2; i++) {
        take(true, volume_item(V1, 1, ""), NULL);
        run_for(1);
    }
    assert_false(is_kept());
}

static void a_guest_may_stand_on_it_too(void **state UNUSED)
{
    fx->revision = 1;
    take(true, image_item(), server_item(S1, true, 1, 1, false));
    run_for(1);
    assert_true(is_kept());
    change(deleted_item("image", IMAGE));
    run_for(1);
    assert_false(is_kept());
    assert_int_equal(fx->n_users, 1);
    assert_string_equal(fx->users[0], S1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGENT_TEST(an_image_is_fetched_and_kept),
        AGENT_TEST(a_fetch_that_fails_is_told_and_tried_again),
        AGENT_TEST(what_nobody_wants_any_more_is_let_go),
        AGENT_TEST(a_guest_may_stand_on_it_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
