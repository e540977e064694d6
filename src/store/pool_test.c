/* SPDX-License-Identifier: EUPL-1.2 */
/* The parts inside: gate, statement cache, the age of idle connections. */
#include "store/test_env.h"
#include "store/impl.h"

struct queued {
    struct gate *gate;
    pthread_t thread;
    int64_t wait_us;
    bool entered;
    int order, *next_order;
};

static void *enter(void *arg)
{
    struct queued *q = arg;
    q->entered = gate_enter(q->gate, q->wait_us);
    if (q->entered) {
        q->order = (*q->next_order)++; /* the gate has one place: it guards this */
        gate_leave(q->gate);
    }
    return NULL;
}

static const void *last_waiter(struct gate *g)
{
    AUTO_LOCK(&g->lock);
    return g->last;
}

/* Starts the thread and returns when it stands in the queue. */
static void enqueue(struct queued *q)
{
    const void *before = last_waiter(q->gate);
    must(pthread_create(&q->thread, NULL, enter, q) == 0);
    while (last_waiter(q->gate) == before)
        usleep(1000);
}

static void test_gate_is_fair(void **state UNUSED)
{
    struct gate g;
    gate_init(&g, 1);
    int next_order = 0;
    struct queued q[5];
    assert_true(gate_enter(&g, 0));
    for (int i = 0; i < 5; i++) {
        /* The middle one gives up: the others keep their order. */
        q[i] = (struct queued){&g, .wait_us = i == 2 ? 50000 : 20000000, .next_order = &next_order};
        enqueue(&q[i]);
    }
    pthread_join(q[2].thread, NULL);
    assert_false(q[2].entered);
    assert_int_equal(next_order, 0);
    gate_leave(&g);
    static const int order[] = {0, 1, -1, 2, 3};
    for (int i = 0; i < 5; i++) {
        if (i == 2)
            continue;
        pthread_join(q[i].thread, NULL);
        assert_true(q[i].entered);
        assert_int_equal(q[i].order, order[i]);
    }
    assert_int_equal(g.free, 1);
    gate_fini(&g);
}

static void test_gate_gives_up(void **state UNUSED)
{
    struct ctx cx;
    ctx_init(&cx);
    struct gate g;
    gate_init(&g, 2);
    assert_true(gate_enter(&g, -5));
    assert_true(gate_enter(&g, 0));
    assert_false(gate_enter(&g, 0));
    assert_false(gate_enter(&g, -1));
    int64_t start_us = mono_us(&cx);
    assert_false(gate_enter(&g, 30000));
    assert_true(mono_us(&cx) - start_us >= 30000);
    gate_leave(&g);
    assert_true(gate_enter(&g, 0));
    gate_leave(&g);
    gate_leave(&g);
    assert_int_equal(g.free, 2);
    gate_fini(&g);
    ctx_release(&cx);
}

/* The cache never looks into a statement: any address will do. */
static struct prepared *nth(size_t i)
{
    static char things[STMT_CACHE_MAX + 8];
    return (struct prepared *)(void *)&things[i];
}

static const char *sql_of(struct ctx *cx, size_t i)
{
    return arena_printf(cx->arena, "SELECT %zu", i);
}

static void test_cache_order(void **state UNUSED)
{
    struct ctx cx;
    ctx_init(&cx);
    struct stmt_cache *c = calloc(1, sizeof(*c));
    assert_null(cache_get(c, "SELECT 0"));
    for (size_t i = 0; i < STMT_CACHE_MAX; i++)
        assert_null(cache_put(c, sql_of(&cx, i), nth(i)));
    assert_int_equal(c->n, STMT_CACHE_MAX);
    for (size_t i = 0; i < STMT_CACHE_MAX; i++)
        assert_ptr_equal(cache_get(c, sql_of(&cx, i)), nth(i));
    /* Number 0 was used just now: 1 and 2 have to go. */
    assert_ptr_equal(cache_get(c, "SELECT 0"), nth(0));
    assert_ptr_equal(cache_put(c, "new", nth(STMT_CACHE_MAX)), nth(1));
    assert_ptr_equal(cache_put(c, "newer", nth(STMT_CACHE_MAX + 1)), nth(2));
    assert_int_equal(c->n, STMT_CACHE_MAX);
    assert_null(cache_get(c, "SELECT 1"));
    assert_null(cache_get(c, "SELECT 2"));
    assert_ptr_equal(cache_get(c, "SELECT 0"), nth(0));
    assert_ptr_equal(cache_get(c, "newer"), nth(STMT_CACHE_MAX + 1));
    assert_ptr_equal(cache_pop(c), nth(3));
    unsigned left = 0;
    while (cache_pop(c))
        left++;
    assert_int_equal(left, STMT_CACHE_MAX - 1);
    assert_null(cache_get(c, "newer"));
    free(c);
    ctx_release(&cx);
}

static unsigned n_idle(const struct store *s)
{
    unsigned n = 0;
    for (const struct tx *tx = s->idle; tx; tx = tx->next)
        n++;
    return n;
}

static void test_old_connections_close(void **state UNUSED)
{
    struct env *e = env_new(4);
    struct ctx *cx = &e->cx;
    struct tx *tx[4];
    assert_int_equal(n_idle(e->s), 1);
    for (size_t i = 0; i < ARRAY_LEN(tx); i++)
        assert_ok(cx, tx_read(cx, e->s, &tx[i]));
    assert_int_equal(n_idle(e->s), 0);
    for (size_t i = 0; i < ARRAY_LEN(tx); i++)
        tx_rollback(&tx[i]);
    assert_int_equal(n_idle(e->s), 4);
    for (struct tx *i = e->s->idle; i; i = i->next)
        i->idle_since_us -= 31000000;
    /* Each transaction closes one of the others, and the last one stays. */
    for (unsigned left = 3; left > 0; left--) {
        assert_ok(cx, tx_read(cx, e->s, &tx[0]));
        tx_rollback(&tx[0]);
        assert_int_equal(n_idle(e->s), left);
    }
    e->s->idle->idle_since_us -= 31000000;
    assert_ok(cx, tx_read(cx, e->s, &tx[0]));
    tx_rollback(&tx[0]);
    assert_int_equal(n_idle(e->s), 1);
    env_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate_is_fair),
        cmocka_unit_test(test_gate_gives_up),
        cmocka_unit_test(test_cache_order),
        cmocka_unit_test(test_old_connections_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
