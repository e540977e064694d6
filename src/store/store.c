/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The store's generic part: which engine a URL means, the pool of connections, transactions and
 * their hooks, faults on demand. query.c runs statements, migrate.c moves the schema; sqlite.c and
 * postgres.c are the engines.
 */
#include "store/impl.h"

/* A connection beyond the first that nobody needs for so long is closed: its caches cost memory. */
#define IDLE_MAX_US 30000000

static const struct {
    const char *prefix;
    const struct engine *engine;
    bool whole_url; /* the engine wants the prefix, too */
    bool keep;
} schemes[] = {
    {"sqlite::memory:", &sqlite_engine, .keep = true},
    {"sqlite:", &sqlite_engine},
    {"postgresql://", &postgres_engine, .whole_url = true},
    {"postgres://", &postgres_engine, .whole_url = true},
};

/* How long a server that is away is left alone before it is asked again. */
#define AWAY_US 300000

/* Lost races: the first pause's limit, how often it doubles, and how many races are lost for good.
 */
#define AGAIN_US 1000
#define AGAIN_DOUBLES 8
#define AGAIN_TRIES 20

static void tx_free(struct tx *tx)
{
    for (struct prepared *p; (p = cache_pop(&tx->cache));)
        tx->store->engine->unprepare(tx->conn, p);
    tx->store->engine->disconnect(tx->conn);
    free(tx->hooks);
    free(tx->topics);
    free(tx);
}

static struct err *tx_new(struct ctx *cx, struct store *s, struct tx **ret)
{
    TRY(fault(cx, s, "connect"));
    struct conn *conn;
    TRY(s->engine->connect(cx, s->where, s->claim, &conn));
    struct tx *tx = calloc(1, sizeof(*tx));
    must(tx);
    tx->store = s;
    tx->conn = conn;
    *ret = tx;
    return NULL;
}

static struct err *store_new(struct ctx *cx, const char *url, unsigned max_conns, enum claim claim,
                             struct store **ret)
{
    size_t i = 0;
    while (i < ARRAY_LEN(schemes) && !str_starts(url, schemes[i].prefix))
        i++;
    if (i == ARRAY_LEN(schemes))
        return fail(cx, ERR_INVALID,
                    "database URL: expected sqlite:/path/to/file, sqlite::memory: "
                    "or postgresql://host/name");
    struct store *s = calloc(1, sizeof(*s));
    must(s);
    s->engine = schemes[i].engine;
    s->keep = schemes[i].keep || claim == CLAIM_ALONE;
    s->claim = claim;
    snprintf(s->own, sizeof(s->own), "%016" PRIx64, rng_u64(rng_system()));
    s->where = strdup(schemes[i].whole_url ? url : url + strlen("sqlite:"));
    must(s->where);
    must(pthread_mutex_init(&s->lock, NULL) == 0);
    must(pthread_mutex_init(&s->settling.lock, NULL) == 0 &&
         pthread_cond_init(&s->settling.settled_more, NULL) == 0);
    gate_init(&s->writers, 1);
    gate_init(&s->conns, s->keep || max_conns == 0 ? 1 : max_conns);
    /* The first connection now: a wrong path or password shows when the program starts. */
    struct err *e = tx_new(cx, s, &s->idle);
    if (e) {
        store_close(s);
        return e;
    }
    s->idle->idle_since_us = mono_us(cx);
    *ret = s;
    return NULL;
}

struct err *store_open(struct ctx *cx, const char *url, unsigned max_conns, struct store **ret)
{
    return store_new(cx, url, max_conns, CLAIM_SHARED, ret);
}

struct err *store_open_alone(struct ctx *cx, const char *url, struct store **ret)
{
    return store_new(cx, url, 1, CLAIM_ALONE, ret);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    store_unlisten(s);
    while (s->idle) {
        struct tx *tx = s->idle;
        s->idle = tx->next;
        tx_free(tx);
    }
    for (struct kept *k; (k = s->kept);) {
        s->kept = k->next;
        k->key->drop(k->value);
        free(k);
    }
    gate_fini(&s->writers);
    gate_fini(&s->conns);
    pthread_cond_destroy(&s->settling.settled_more);
    pthread_mutex_destroy(&s->settling.lock);
    pthread_mutex_destroy(&s->lock);
    secret_wipe(s->where, strlen(s->where)); /* may hold a password */
    free(s->where);
    free(s);
}

const char *store_engine(const struct store *s)
{
    return s->engine->name;
}

void *store_memory(struct store *s, const struct store_memory *key)
{
    AUTO_LOCK(&s->lock);
    for (struct kept *k = s->kept; k; k = k->next)
        if (k->key == key)
            return k->value;
    struct kept *k = malloc(sizeof(*k));
    must(k);
    *k = (struct kept){key, key->make(), s->kept};
    s->kept = k;
    return k->value;
}

long store_fail_nth(struct store *s, long nth)
{
    atomic_store(&s->fail_at, nth);
    return atomic_exchange(&s->calls, 0);
}

struct err *fault(struct ctx *cx, struct store *s, const char *what)
{
    long call = atomic_fetch_add_explicit(&s->calls, 1, memory_order_relaxed) + 1;
    if (call != atomic_load_explicit(&s->fail_at, memory_order_relaxed))
        return NULL;
    return fail(cx, ERR_UNAVAILABLE, "database call %ld (%s) was made to fail", call, what);
}

/* Connections. */

static struct tx *idle_pop(struct store *s)
{
    AUTO_LOCK(&s->lock);
    struct tx *tx = s->idle;
    if (tx)
        s->idle = tx->next;
    return tx;
}

/* Returns one that is idle for too long, for the caller to free. */
static struct tx *idle_push(struct store *s, struct tx *tx)
{
    tx->idle_since_us = mono_us(&(struct ctx){.clock = clock_system()});
    AUTO_LOCK(&s->lock);
    tx->next = s->idle;
    s->idle = tx;
    struct tx **last = &s->idle;
    while ((*last)->next)
        last = &(*last)->next;
    if (*last == tx || tx->idle_since_us - (*last)->idle_since_us < IDLE_MAX_US)
        return NULL;
    return TAKE_PTR(*last);
}

static void end_turn(struct tx *tx)
{
    if (tx->turn)
        gate_leave(&tx->store->writers);
    tx->turn = false;
}

static void release(struct tx *tx)
{
    struct store *s = tx->store;
    bool turn = tx->turn;
    tx->turn = false;
    tx->n_hooks = 0;
    free(TAKE_PTR(tx->topics));
    struct tx *old = tx;
    if (s->keep || !s->engine->broken(tx->conn))
        old = idle_push(s, tx);
    if (turn)
        gate_leave(&s->writers);
    if (old)
        tx_free(old);
    gate_leave(&s->conns);
}

/* Transactions. */

static int64_t wait_us(struct ctx *cx)
{
    return cx->deadline_us ? cx->deadline_us - mono_us(cx) : WAIT_US;
}

static int64_t real_us(void)
{
    return mono_us(&(struct ctx){.clock = clock_system()});
}

/*
 * While a server doesn't answer, one caller at a time finds out whether it does again, and all
 * others are told at once: nobody stands in line for an answer that takes seconds not to come.
 */
static bool may_ask(struct store *s)
{
    int64_t until = atomic_load(&s->away_until_us), now = real_us();
    if (!until)
        return true;
    return now >= until &&
           atomic_compare_exchange_strong(&s->away_until_us, &until, now + 2 * WAIT_US);
}

static void note_absence(struct store *s, bool away)
{
    int64_t now = now_us(&(struct ctx){.clock = clock_system()});
    struct store_absence *a = &s->absence;
    AUTO_LOCK(&s->lock);
    if (away && (!a->from_us || a->until_us))
        *a = (struct store_absence){.from_us = now};
    else if (!away && a->from_us && !a->until_us)
        a->until_us = now;
}

struct store_absence store_absence(struct store *s)
{
    AUTO_LOCK(&s->lock);
    return s->absence;
}

static void answered(struct store *s, const struct err *e)
{
    bool away = s->engine->remote && e && e->kind == ERR_UNAVAILABLE;
    if (!away && !atomic_load_explicit(&s->away_until_us, memory_order_relaxed))
        return;
    note_absence(s, away);
    atomic_store(&s->away_until_us, away ? real_us() + AWAY_US : 0);
}

/* One try. *ret_next: the pooled connection had been lost while idle, another may be good. */
static struct err *begin_once(struct ctx *cx, struct store *s, enum tx_mode mode, struct tx **ret,
                              bool *ret_next)
{
    struct tx *tx = idle_pop(s);
    bool pooled = tx != NULL;
    *ret_next = false;
    if (!tx) {
        struct err *e = tx_new(cx, s, &tx);
        answered(s, e);
        if (e)
            return e;
    }
    struct err *e = fault(cx, s, "begin");
    bool injected = e != NULL;
    int64_t from = real_us();
    if (!e)
        e = s->engine->begin(cx, tx->conn, mode);
    if (!e) {
        answered(s, NULL);
        tx->mode = mode;
        tx->failed = false;
        *ret = tx;
        return NULL;
    }
    s->engine->rollback(tx->conn);
    bool broken = !s->keep && s->engine->broken(tx->conn);
    if (!broken)
        tx = idle_push(s, tx);
    if (tx)
        tx_free(tx);
    *ret_next = !injected && pooled && broken && real_us() - from < WAIT_US / 2;
    if (!injected && !*ret_next)
        answered(s, e);
    return e;
}

/* Places in the gates are held. */
static struct err *begin(struct ctx *cx, struct store *s, enum tx_mode mode, struct tx **ret)
{
    if (!may_ask(s))
        return fail(cx, ERR_UNAVAILABLE, "the database does not answer, try again later");
    for (;;) {
        bool next;
        struct err *e = begin_once(cx, s, mode, ret, &next);
        if (!next)
            return e;
    }
}

struct err *tx_start(struct ctx *cx, struct store *s, enum tx_mode mode, struct tx **ret)
{
    /* The turn to write comes first: writers that wait hold no connection, so readers find one. */
    bool queue = s->engine->one_writer && mode != TX_READ;
    if (queue && !gate_enter(&s->writers, wait_us(cx)))
        return fail(cx, ERR_UNAVAILABLE,
                    "the database is busy with other changes, try again later");
    struct err *e;
    if (!gate_enter(&s->conns, wait_us(cx))) {
        e = fail(cx, ERR_UNAVAILABLE, "all database connections are in use, try again later");
    } else {
        e = begin(cx, s, mode, ret);
        if (e)
            gate_leave(&s->conns);
    }
    if (e && queue)
        gate_leave(&s->writers);
    if (!e)
        (*ret)->turn = queue;
    return e;
}

struct err *tx_read(struct ctx *cx, struct store *s, struct tx **ret)
{
    return tx_start(cx, s, TX_READ, ret);
}

struct err *tx_write(struct ctx *cx, struct store *s, struct tx **ret)
{
    return tx_start(cx, s, TX_WRITE, ret);
}

bool tx_again(struct ctx *cx, const struct err *e, unsigned *tries)
{
    if (!e || e->kind != ERR_STALE || *tries >= AGAIN_TRIES)
        return false;
    uint64_t limit = (uint64_t)AGAIN_US << (*tries < AGAIN_DOUBLES ? *tries : AGAIN_DOUBLES);
    uint64_t us = rng_below(cx->rng, limit);
    nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
    ++*tries;
    return true;
}

struct store *tx_store(const struct tx *tx)
{
    return tx->store;
}

void tx_on_commit(struct tx *tx, void (*fn)(void *arg), void *arg)
{
    if (tx->n_hooks == tx->cap_hooks) {
        tx->cap_hooks = tx->cap_hooks ? tx->cap_hooks * 2 : 4;
        tx->hooks = reallocarray(tx->hooks, tx->cap_hooks, sizeof(*tx->hooks));
        must(tx->hooks);
    }
    tx->hooks[tx->n_hooks++] = (struct hook){fn, arg};
}

struct err *tx_usable(struct ctx *cx, struct tx *tx)
{
    must(!tx->walking);
    if (tx->failed)
        return fail(cx, tx->failure, "the transaction failed before: only a rollback is left");
    return NULL;
}

static struct err *commit(struct ctx *cx, struct tx *tx)
{
    TRY(tx_usable(cx, tx));
    TRY(tx_send_topics(cx, tx));
    TRY(fault(cx, tx->store, "commit"));
    return tx->store->engine->commit(cx, tx->conn);
}

/* ---- putting commits on disk, many at once ---- */

static uint64_t commit_number(struct store *s)
{
    AUTO_LOCK(&s->settling.lock);
    return ++s->settling.committed;
}

/* With the lock held, which is given up meanwhile. */
static void settle_all(struct ctx *cx, struct tx *tx)
{
    struct settling *st = &tx->store->settling;
    uint64_t upto = st->committed;
    st->under_way = true;
    pthread_mutex_unlock(&st->lock);
    struct err *e = tx->store->engine->settle(cx, tx->conn);
    if (e) { /* what is on disk is unknown, and asking again would not tell: as after a crash */
        log_err(cx, LOG_ERROR, e, "commits can't be put on disk: the process ends", NULL);
        abort();
    }
    pthread_mutex_lock(&st->lock);
    st->under_way = false;
    st->settled = upto;
    pthread_cond_broadcast(&st->settled_more);
}

static void settle(struct ctx *cx, struct tx *tx, uint64_t number)
{
    struct settling *st = &tx->store->settling;
    AUTO_LOCK(&st->lock);
    while (st->settled < number) {
        if (st->under_way)
            pthread_cond_wait(&st->settled_more, &st->lock);
        else
            settle_all(cx, tx);
    }
}

void store_settled(struct store *s)
{
    struct settling *st = &s->settling;
    AUTO_LOCK(&st->lock);
    for (uint64_t number = st->committed; st->settled < number;) /* who committed sees to it */
        pthread_cond_wait(&st->settled_more, &st->lock);
}

struct err *tx_commit(struct ctx *cx, struct tx **ptx)
{
    struct tx *tx = TAKE_PTR(*ptx);
    struct err *e = commit(cx, tx);
    if (e) {
        tx_rollback(&tx);
        return e;
    }
    if (tx->store->engine->settle && tx->mode != TX_READ) {
        uint64_t number = commit_number(tx->store); /* in the order of commits */
        end_turn(tx);
        settle(cx, tx, number);
    }
    /* The connection goes back first: a hook may begin a transaction of its own. */
    AUTO_FREE struct hook *hooks = TAKE_PTR(tx->hooks);
    size_t n_hooks = tx->n_hooks;
    tx->cap_hooks = 0;
    release(tx);
    for (size_t i = 0; i < n_hooks; i++)
        hooks[i].fn(hooks[i].arg);
    return NULL;
}

void tx_rollback(struct tx **ptx)
{
    struct tx *tx = TAKE_PTR(*ptx);
    if (!tx)
        return;
    must(!tx->walking);
    tx->store->engine->rollback(tx->conn);
    release(tx);
}
