/* SPDX-License-Identifier: EUPL-1.2 */
/* Leases, with processes whose clocks the test sets: two stores on one database, two contexts. */
#include "store/lease.h"
#include "store/test_env.h"

struct hand {
    struct clock clock; /* first: it is all that the functions see */
    int64_t wall, mono;
};

static int64_t wall_of(struct clock *c)
{
    return ((struct hand *)(void *)c)->wall;
}

static int64_t mono_of(struct clock *c)
{
    return ((struct hand *)(void *)c)->mono;
}

struct process {
    struct hand hand;
    struct ctx cx;
    struct store *s;
    struct lease lease;
};

static struct env *env;
static struct process a, b;

static void start(struct process *p)
{
    *p = (struct process){
        .hand = {.clock = {wall_of, mono_of}, .wall = 1000 * LEASE_US, .mono = LEASE_US}};
    ctx_init(&p->cx);
    assert_ok(&p->cx, store_open(&p->cx, env->url, 2, &p->s));
    p->lease = lease_of(&p->cx, "work");
    p->cx.clock = &p->hand.clock;
}

static int setup(void **state UNUSED)
{
    env = env_new(2);
    env_run(env, LEASE_DDL);
    start(&a);
    start(&b);
    return 0;
}

static int teardown(void **state UNUSED)
{
    store_close(a.s);
    store_close(b.s);
    ctx_release(&a.cx);
    ctx_release(&b.cx);
    env_free(env);
    return 0;
}

static void pass_us(int64_t us)
{
    a.hand.wall += us;
    a.hand.mono += us;
    b.hand.wall += us;
    b.hand.mono += us;
}

static bool holds(struct process *p)
{
    bool held = false;
    assert_ok(&p->cx, lease_hold(&p->cx, p->s, &p->lease, &held));
    return held;
}

static struct err *checked(struct process *p)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(&p->cx, p->s, &tx));
    return lease_check(&p->cx, tx, &p->lease);
}

static void test_one_holds_it(void **state UNUSED)
{
    assert_true(holds(&a));
    assert_false(holds(&b));
    assert_err(&b.cx, ERR_STALE, checked(&b));
    /* As long as it is renewed. */
    for (int i = 0; i < 10; i++) {
        pass_us(LEASE_US / 2 + 1);
        assert_true(holds(&a));
        assert_false(holds(&b));
    }
    assert_ok(&a.cx, checked(&a));
    assert_int_equal(a.lease.generation, 1);
}

static void test_the_holder_dies(void **state UNUSED)
{
    assert_true(holds(&a));
    pass_us(LEASE_US + LEASE_SKEW_US - 1);
    assert_false(holds(&b));
    pass_us(2);
    assert_true(holds(&b));
    assert_int_equal(b.lease.generation, 2);
    /* It only slept: what it was about to do is refused, and it hears that it has it no more. */
    assert_err(&a.cx, ERR_STALE, checked(&a));
    assert_false(holds(&a));
    assert_ok(&b.cx, checked(&b));
}

/* A holder whose clock is behind believes no longer than the others do. */
static void test_clocks_differ(void **state UNUSED)
{
    b.hand.wall += LEASE_SKEW_US;
    assert_true(holds(&a));
    pass_us(LEASE_US);
    assert_false(holds(&b));
    assert_true(mono_us(&a.cx) >= a.lease.until_us);
    pass_us(1);
    assert_true(holds(&b));
}

static void test_release(void **state UNUSED)
{
    assert_true(holds(&a));
    assert_ok(&a.cx, lease_release(&a.cx, a.s, &a.lease));
    assert_true(holds(&b));
    assert_ok(&a.cx, lease_release(&a.cx, a.s, &a.lease)); /* not its own any more */
    assert_ok(&b.cx, checked(&b));
    assert_false(holds(&a));
}

static void *race(void *arg)
{
    struct process *p = arg;
    bool held = false;
    /* "Lost a race" is "not held"; on one file it may also be kept waiting. */
    struct err *e = lease_hold(&p->cx, p->s, &p->lease, &held);
    must(!e);
    return NULL;
}

static void test_they_race(void **state UNUSED)
{
    for (int i = 0; i < 20; i++) {
        pthread_t t[2];
        pass_us(LEASE_US + LEASE_SKEW_US + 1);
        must(pthread_create(&t[0], NULL, race, &a) == 0);
        must(pthread_create(&t[1], NULL, race, &b) == 0);
        pthread_join(t[0], NULL);
        pthread_join(t[1], NULL);
        assert_int_equal((a.lease.until_us != 0) + (b.lease.until_us != 0), 1);
    }
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_one_holds_it), T(test_the_holder_dies),
                                       T(test_clocks_differ), T(test_release), T(test_they_race)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
