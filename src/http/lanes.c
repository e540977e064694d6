/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Where requests run when not on an I/O thread, and where they wait.
 *
 * Two pools, each with its own bounded queue. A request that was woken is queued whatever the
 * queue's length: it was admitted once. Parked requests hold no thread: they stand in a table by
 * topic and in a heap by time, which one timer thread watches.
 *
 * No wake is lost between a handler's look at the state and the parking: every http_wake takes the
 * next number of a sequence and leaves it in its topic's bucket; the number is read before the
 * handler runs, and a bucket woken since means that the handler runs again instead of parking.
 * (Topics that share a bucket cost a needless run.)
 *
 * MHD_resume_connection is called without the lock, and is the last touch of a request by its
 * thread.
 */
#include "http/conn.h"
#include <signal.h>
#include <sys/resource.h>

#define THREAD_STACK_BYTES ((size_t)512 * 1024) /* address space; what is touched counts */

static struct lane_pool *pool_of(struct http_conn *c)
{
    must(c->lane == LANE_WORKER || c->lane == LANE_SLOW);
    return &c->server->lanes.pools[c->lane == LANE_SLOW];
}

static void list_init(struct conn_list *l)
{
    *l = (struct conn_list){.tail = &l->head};
}

static void list_push(struct conn_list *l, struct http_conn *c)
{
    c->next = NULL;
    *l->tail = c;
    l->tail = &c->next;
    l->n++;
}

static struct http_conn *list_pop(struct conn_list *l)
{
    struct http_conn *c = l->head;
    if (!c)
        return NULL;
    l->head = c->next;
    if (!l->head)
        l->tail = &l->head;
    l->n--;
    return c;
}

/* The heap of timeouts: 1-based positions kept in the requests, so that a wake takes one out. */
static void heap_set(struct lanes *l, size_t idx, struct http_conn *c)
{
    l->heap[idx] = c;
    c->heap_idx = idx;
}

static void heap_up(struct lanes *l, struct http_conn *c)
{
    size_t i = c->heap_idx;
    for (; i > 1 && l->heap[i / 2]->rp.park_until_us > c->rp.park_until_us; i /= 2)
        heap_set(l, i, l->heap[i / 2]);
    heap_set(l, i, c);
}

static void heap_down(struct lanes *l, struct http_conn *c)
{
    size_t i = c->heap_idx;
    for (;;) {
        size_t kid = i * 2;
        if (kid > l->n_heap)
            break;
        if (kid < l->n_heap && l->heap[kid + 1]->rp.park_until_us < l->heap[kid]->rp.park_until_us)
            kid++;
        if (l->heap[kid]->rp.park_until_us >= c->rp.park_until_us)
            break;
        heap_set(l, i, l->heap[kid]);
        i = kid;
    }
    heap_set(l, i, c);
}

static void heap_add(struct lanes *l, struct http_conn *c)
{
    if (l->n_heap + 1 >= l->cap_heap) {
        l->cap_heap = l->cap_heap ? l->cap_heap * 2 : 64;
        l->heap = realloc(l->heap, l->cap_heap * sizeof(struct http_conn *));
        must(l->heap != NULL);
    }
    c->heap_idx = ++l->n_heap;
    heap_up(l, c);
}

static void heap_remove(struct lanes *l, struct http_conn *c)
{
    struct http_conn *last = l->heap[l->n_heap--];
    if (last != c) {
        last->heap_idx = c->heap_idx;
        heap_up(l, last);
        heap_down(l, last);
    }
    c->heap_idx = 0;
}

static struct topic_bucket *bucket_of(struct lanes *l, const char *topic)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *topic; topic++)
        h = (h ^ (unsigned char)*topic) * 16777619u;
    return &l->topics[(h ^ (h >> 16)) % TOPIC_BUCKETS];
}

/* Under the lock: a request that waits no more goes to its queue, or to the list of those to resume
 * on their I/O threads. */
static void make_ready(struct http_conn *c, bool timed_out, struct conn_list *resume)
{
    c->rq.wakeups++;
    c->rq.timed_out = timed_out;
    if (c->lane == LANE_INLINE) {
        c->stage = STAGE_AGAIN;
        list_push(resume, c);
        return;
    }
    struct lane_pool *pool = pool_of(c);
    c->stage = STAGE_QUEUED;
    list_push(&pool->queue, c);
    pthread_cond_signal(&pool->more);
}

static void unpark(struct http_conn *c, bool timed_out, struct conn_list *resume)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    heap_remove(&c->server->lanes, c);
    make_ready(c, timed_out, resume);
}

static void resume_all(struct conn_list *resume)
{
    for (struct http_conn *c; (c = list_pop(resume));)
        MHD_resume_connection(c->mhd);
}

void lanes_note_seq(struct http_conn *c)
{
    c->seen_seq = atomic_load(&c->server->lanes.wake_seq);
}

static void park_locked(struct http_conn *c, struct conn_list *resume)
{
    struct lanes *l = &c->server->lanes;
    struct topic_bucket *b = bucket_of(l, c->rp.park_topic);
    if (b->woken_seq > c->seen_seq || l->draining) {
        make_ready(c, l->draining, resume);
        return;
    }
    c->stage = STAGE_PARKED;
    c->next = b->parked;
    c->link = &b->parked;
    if (c->next)
        c->next->link = &c->next;
    b->parked = c;
    heap_add(l, c);
    if (l->heap[1] == c)
        pthread_cond_signal(&l->timer_cond);
}

void lanes_park(struct http_conn *c)
{
    struct lanes *l = &c->server->lanes;
    struct conn_list resume;
    list_init(&resume);
    pthread_mutex_lock(&l->lock);
    bool again_in_drain = l->draining && c->rq.timed_out;
    if (!again_in_drain)
        park_locked(c, &resume);
    pthread_mutex_unlock(&l->lock);
    if (again_in_drain) {
        exchange_refuse(c, 503, "The server is shutting down; try again in a moment.");
        MHD_resume_connection(c->mhd);
        return;
    }
    resume_all(&resume);
}

void lanes_wake(struct http_server *s, const char *topic)
{
    struct lanes *l = &s->lanes;
    struct conn_list resume;
    list_init(&resume);
    pthread_mutex_lock(&l->lock);
    struct topic_bucket *b = bucket_of(l, topic);
    b->woken_seq = atomic_fetch_add(&l->wake_seq, 1) + 1;
    for (struct http_conn *c = b->parked, *next; c; c = next) {
        next = c->next;
        if (strcmp(c->rp.park_topic, topic) == 0)
            unpark(c, false, &resume);
    }
    pthread_mutex_unlock(&l->lock);
    resume_all(&resume);
}

void lanes_wake_all(struct http_server *s)
{
    struct lanes *l = &s->lanes;
    struct conn_list resume;
    list_init(&resume);
    pthread_mutex_lock(&l->lock);
    uint64_t seq = atomic_fetch_add(&l->wake_seq, 1) + 1;
    for (size_t i = 0; i < ARRAY_LEN(l->topics); i++)
        l->topics[i].woken_seq = seq;
    while (l->n_heap)
        unpark(l->heap[1], false, &resume);
    pthread_mutex_unlock(&l->lock);
    resume_all(&resume);
}

void lanes_drain(struct http_server *s)
{
    struct lanes *l = &s->lanes;
    struct conn_list resume;
    list_init(&resume);
    pthread_mutex_lock(&l->lock);
    l->draining = true;
    while (l->n_heap)
        unpark(l->heap[1], true, &resume);
    pthread_mutex_unlock(&l->lock);
    resume_all(&resume);
}

bool lanes_submit(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct lane_pool *pool = pool_of(c);
    AUTO_LOCK(&s->lanes.lock);
    if (s->lanes.stopping || pool->queue.n >= s->cfg.queue_max)
        return false;
    c->stage = STAGE_QUEUED;
    list_push(&pool->queue, c);
    pthread_cond_signal(&pool->more);
    return true;
}

static void *worker_main(void *arg)
{
    struct lane_pool *pool = arg;
    struct lanes *l = &pool->server->lanes;
    pthread_setname_np(pthread_self(), pool->nice ? "http-slow" : "http-worker");
    if (pool->nice)
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(), pool->nice);
    pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        struct http_conn *c = list_pop(&pool->queue);
        if (!c) {
            pthread_cond_wait(&pool->more, &l->lock);
            continue;
        }
        pthread_mutex_unlock(&l->lock);
        if (exchange_run(c))
            MHD_resume_connection(c->mhd);
        else
            lanes_park(c);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static void *timer_main(void *arg)
{
    struct lanes *l = arg;
    struct conn_list resume;
    list_init(&resume);
    pthread_setname_np(pthread_self(), "http-timer");
    pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        int64_t now = clock_system()->mono_us(clock_system());
        while (l->n_heap && l->heap[1]->rp.park_until_us <= now)
            unpark(l->heap[1], true, &resume);
        if (resume.head) {
            pthread_mutex_unlock(&l->lock);
            resume_all(&resume);
            pthread_mutex_lock(&l->lock);
        } else if (!l->n_heap) {
            pthread_cond_wait(&l->timer_cond, &l->lock);
        } else {
            int64_t until = l->heap[1]->rp.park_until_us;
            struct timespec ts = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};
            pthread_cond_timedwait(&l->timer_cond, &l->lock, &ts);
        }
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

struct err *http_thread_start(struct ctx *cx, pthread_t *ret, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    int rc = pthread_create(ret, &attr, fn, arg);
    pthread_attr_destroy(&attr);
    if (rc)
        return fail(cx, ERR_UNAVAILABLE, "cannot start a thread: %s", strerror(rc));
    return NULL;
}

static struct err *pool_start(struct ctx *cx, struct lane_pool *pool, unsigned n)
{
    pool->threads = calloc(n, sizeof(pthread_t));
    must(pool->threads != NULL);
    for (unsigned i = 0; i < n; i++) {
        TRY(http_thread_start(cx, &pool->threads[i], worker_main, pool));
        pool->n_threads++;
    }
    return NULL;
}

void lanes_init(struct http_server *s)
{
    struct lanes *l = &s->lanes;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_cond_init(&l->timer_cond, &mono);
    pthread_condattr_destroy(&mono);
    for (size_t i = 0; i < ARRAY_LEN(l->pools); i++) {
        l->pools[i].server = s;
        list_init(&l->pools[i].queue);
        pthread_cond_init(&l->pools[i].more, NULL);
    }
    l->pools[1].nice = 10;
}

void lanes_fini(struct http_server *s)
{
    struct lanes *l = &s->lanes;
    for (size_t i = 0; i < ARRAY_LEN(l->pools); i++)
        pthread_cond_destroy(&l->pools[i].more);
    pthread_cond_destroy(&l->timer_cond);
    pthread_mutex_destroy(&l->lock);
    free(l->heap);
}

struct err *lanes_start(struct ctx *cx, struct http_server *s)
{
    struct lanes *l = &s->lanes;
    TRY(pool_start(cx, &l->pools[0], s->cfg.workers));
    TRY(pool_start(cx, &l->pools[1], s->cfg.slow_workers));
    TRY(http_thread_start(cx, &l->timer, timer_main, l));
    l->has_timer = true;
    return NULL;
}

static void refuse_queued(struct lanes *l)
{
    for (size_t i = 0; i < ARRAY_LEN(l->pools); i++) {
        for (;;) {
            pthread_mutex_lock(&l->lock);
            struct http_conn *c = list_pop(&l->pools[i].queue);
            pthread_mutex_unlock(&l->lock);
            if (!c)
                break;
            exchange_refuse(c, 503, "The server is shutting down; try again in a moment.");
            MHD_resume_connection(c->mhd);
        }
    }
}

void lanes_stop(struct http_server *s)
{
    struct lanes *l = &s->lanes;
    lanes_drain(s);
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_broadcast(&l->timer_cond);
    for (size_t i = 0; i < ARRAY_LEN(l->pools); i++)
        pthread_cond_broadcast(&l->pools[i].more);
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < ARRAY_LEN(l->pools); i++) {
        for (unsigned t = 0; t < l->pools[i].n_threads; t++)
            pthread_join(l->pools[i].threads[t], NULL);
        free(l->pools[i].threads);
        l->pools[i].threads = NULL;
        l->pools[i].n_threads = 0;
    }
    if (l->has_timer)
        pthread_join(l->timer, NULL);
    l->has_timer = false;
    refuse_queued(l);
}

void lanes_count(struct http_server *s, uint64_t *ret_queued, uint64_t *ret_parked)
{
    struct lanes *l = &s->lanes;
    AUTO_LOCK(&l->lock);
    *ret_queued = l->pools[0].queue.n + l->pools[1].queue.n;
    *ret_parked = l->n_heap;
}
