/* SPDX-License-Identifier: EUPL-1.2 */
/* Guests from one driver to another, as between two hosts: what was in memory and on the disk is
 * there afterwards; where the way is cut, the guest runs on where it was. */
#include "node/drivers/qemu/e2e.h"
#include "node/drivers/tools/files.h"
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* ---- two hosts ---- */

static char other_dir[160];
static struct guest_backend here, there;

static void open_there(void)
{
    struct qemu_config cfg = config();
    cfg.data_dir = other_dir;
    cfg.instance = arena_printf(cx.arena, "%s-b", instance);
    cfg.uid_first = UID_FIRST + 20;
    assert_ok(&cx, qemu_driver_new(&cx, &cfg, &there));
}

static int begin(void **state UNUSED)
{
    snprintf(other_dir, sizeof(other_dir), "%s/other", data_dir);
    here = open_driver();
    open_there();
    write_image(image, 'I');
    return 0;
}

static int end(void **state UNUSED)
{
    const struct guest_backend *both[] = {&here, &there};
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, both[i]->ops->destroy(&cx, both[i]->drv, ID_A));
    there.ops->free(there.drv);
    close_driver();
    return 0;
}

/* ---- the way between them ---- */

static atomic_bool given_up;
static bool cut_parts, cut_end, lose_answer;

struct arriving {
    char part[64];
    int fd;
};

static void *arrive(void *arg)
{
    struct arriving *a = arg;
    AUTO_CTX struct ctx c;
    ctx_init(&c);
    struct err *e = there.ops->receive(&c, there.drv, ID_A, a->part, a->fd);
    if (e)
        log_err(&c, LOG_WARN, e, "a part did not arrive", "part", a->part, NULL);
    close(a->fd);
    free(a);
    return NULL;
}

static struct err *open_part(struct ctx *c, void *arg UNUSED, const char *part, int *ret_fd)
{
    int ends[2];
    pthread_t thread;
    if (cut_parts)
        return fail(c, ERR_UNAVAILABLE, "cut");
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    struct arriving *a = calloc(1, sizeof(*a));
    must(a);
    snprintf(a->part, sizeof(a->part), "%s", part);
    a->fd = ends[1];
    must(pthread_create(&thread, NULL, arrive, a) == 0);
    pthread_detach(thread);
    *ret_fd = ends[0];
    return NULL;
}

static struct err *end_all(struct ctx *c, void *arg UNUSED, const char *text)
{
    if (cut_end)
        return fail(c, ERR_UNAVAILABLE, "cut");
    struct err *e = there.ops->receive_end(c, there.drv, ID_A, text);
    return !e && lose_answer ? fail(c, ERR_UNAVAILABLE, "the answer is lost") : e;
}

static const struct move_link way = {open_part, end_all, NULL};

static struct err *sent(int64_t seq, bool live)
{
    return here.ops->send(&cx, here.drv, ID_A, seq, live, &way, &given_up);
}

/* ---- the guest ---- */

static struct err *start_on(const struct guest_backend *b, const struct spec_server *spec)
{
    return b->ops->start(&cx, b->drv, spec, NULL, NULL);
}

static long count_on(const struct guest_backend *b, int nth)
{
    type(b, ID_A, "c");
    await_console(b, ID_A, "count ", nth);
    const char *at = console_of(b, ID_A), *last = NULL;
    while ((at = strstr(at, "count ")))
        last = at, at++;
    return strtol(last + strlen("count "), NULL, 16);
}

static struct spec_server ready(void)
{
    struct spec_server spec = spec_of(ID_A, 1);
    cut_parts = cut_end = lose_answer = false;
    atomic_store(&given_up, false);
    assert_ok(&cx, here.ops->prepare(&cx, here.drv, &spec, image));
    assert_ok(&cx, there.ops->prepare(&cx, there.drv, &spec, image));
    assert_ok(&cx, start_on(&here, &spec));
    await_console(&here, ID_A, "guest: up", 1);
    type(&here, ID_A, "w0A");
    await_console(&here, ID_A, "read A", 1);
    return spec;
}

static void runs_here(int nth_count, long at_least)
{
    struct guest_state s = state_of(&here, ID_A);
    assert_int_equal(s.power, GUEST_ON);
    assert_false(s.paused);
    assert_int_equal(s.sent_seq, 0);
    assert_true(count_on(&here, nth_count) > at_least);
    assert_int_equal(state_of(&there, ID_A).power, GUEST_OFF);
}

static void live(void **state UNUSED)
{
    struct spec_server spec = ready();
    long before = count_on(&here, 1);
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, sent(1, true));
    struct guest_state s = state_of(&here, ID_A);
    assert_int_equal(s.power, GUEST_ON);
    assert_true(s.paused);
    assert_int_equal(s.sent_seq, 1);
    s = state_of(&there, ID_A);
    assert_int_equal(s.power, GUEST_OFF);
    assert_true(s.suspended);
    assert_int_equal(s.boot_seq, 1);
    /* Both agents are started anew in between. */
    here = open_driver();
    there.ops->free(there.drv);
    open_there();
    assert_true(state_of(&here, ID_A).paused);
    assert_ok(&cx, start_on(&there, &spec));
    s = state_of(&there, ID_A);
    assert_int_equal(s.power, GUEST_ON);
    assert_false(s.suspended);
    assert_true(count_on(&there, 1) > before); /* goes on; it did not boot again */
    assert_null(strstr(console_of(&there, ID_A), "guest: up"));
    type(&there, ID_A, "r0-");
    await_console(&there, ID_A, "read A", 1);
    type(&there, ID_A, "w0B");
    await_console(&there, ID_A, "read B", 1);
    assert_ok(&cx, here.ops->destroy(&cx, here.drv, ID_A));
    assert_nothing_left(ID_A);
    /* What is on its disk is its own. */
    assert_ok(&cx, there.ops->stop(&cx, there.drv, ID_A));
    spec.boot_seq = 2;
    assert_ok(&cx, start_on(&there, &spec));
    await_console(&there, ID_A, "guest: up", 1);
    type(&there, ID_A, "r0-");
    await_console(&there, ID_A, "read B", 2);
}

static void paused_it_arrives_paused(void **state UNUSED)
{
    struct spec_server spec = ready();
    assert_ok(&cx, here.ops->pause(&cx, here.drv, ID_A, true));
    assert_ok(&cx, sent(1, true));
    spec.paused = true;
    assert_ok(&cx, start_on(&there, &spec));
    assert_true(state_of(&there, ID_A).paused);
    assert_ok(&cx, there.ops->pause(&cx, there.drv, ID_A, false));
    assert_true(count_on(&there, 1) > 0);
}

static void cold(void **state UNUSED)
{
    struct spec_server spec = ready();
    assert_err(&cx, ERR_CONFLICT, sent(1, false)); /* it is on */
    assert_ok(&cx, here.ops->stop(&cx, here.drv, ID_A));
    assert_err(&cx, ERR_CONFLICT, sent(1, true));
    assert_ok(&cx, sent(1, false));
    spec.boot_seq = 2;
    spec.root_gib = 2; /* a resize */
    assert_ok(&cx, start_on(&there, &spec));
    await_console(&there, ID_A, "guest: up", 1);
    type(&there, ID_A, "r0-");
    await_console(&there, ID_A, "read A", 1);
    type(&there, ID_A, "w0B");
    await_console(&there, ID_A, "read B", 1);
    /* Back: what is here is as it was. */
    assert_ok(&cx, there.ops->destroy(&cx, there.drv, ID_A));
    spec.boot_seq = 3;
    spec.root_gib = 1;
    assert_ok(&cx, start_on(&here, &spec));
    await_console(&here, ID_A, "guest: up", 2);
    type(&here, ID_A, "r0-");
    await_console(&here, ID_A, "read A", 2);
}

static void cut_it_runs_on(void **state UNUSED)
{
    ready();
    long n = count_on(&here, 1);
    cut_parts = true;
    assert_err(&cx, ERR_UNAVAILABLE, sent(1, true));
    runs_here(2, n);
    cut_parts = false;
    cut_end = true;
    assert_err(&cx, ERR_UNAVAILABLE, sent(1, true));
    runs_here(3, n);
    cut_end = false;
    atomic_store(&given_up, true);
    assert_err(&cx, ERR_TIMEOUT, sent(1, true));
    runs_here(4, n);
    atomic_store(&given_up, false);
    lose_answer = true; /* the other side has it all, and nobody knows */
    assert_err(&cx, ERR_UNAVAILABLE, sent(1, true));
    runs_here(5, n);
    lose_answer = false;
    type(&here, ID_A, "w0C");
    await_console(&here, ID_A, "read C", 1);
    assert_ok(&cx, sent(1, true));
    /* The control plane decides that it stays. */
    assert_true(state_of(&here, ID_A).paused);
    assert_ok(&cx, here.ops->pause(&cx, here.drv, ID_A, false));
    assert_true(count_on(&here, 6) > n);
    type(&here, ID_A, "w0D");
    await_console(&here, ID_A, "read D", 1);
    assert_ok(&cx, sent(2, true));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
int main(void)
{
    ctx_init(&cx);
    const struct CMUnitTest tests[] = {TEST(live), TEST(cold), TEST(cut_it_runs_on),
                                       TEST(paused_it_arrives_paused)};
    return cmocka_run_group_tests(tests, scene_begin, scene_end);
}
