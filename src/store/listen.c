/* SPDX-License-Identifier: EUPL-1.2 */
/* What processes on one database tell each other: topics, sent with the commit that they speak of.
 */
#include "store/impl.h"

struct err *store_listen(struct ctx *cx, struct store *s, void (*fn)(void *arg, const char *topic),
                         void *arg)
{
    must(!s->listener);
    return s->engine->listen(cx, s->where, &(struct hearer){fn, arg, s->own}, &s->listener);
}

void store_unlisten(struct store *s)
{
    struct listener *l = TAKE_PTR(s->listener);
    if (l)
        s->engine->unlisten(l);
}

static bool has_line(const char *lines, const char *line, size_t len)
{
    for (const char *p = lines; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (strncmp(p, line, len) == 0 && (p[len] == '\n' || !p[len]))
            return true;
    return false;
}

/* Each line is "<own> <topic>". */
void tx_notify(struct tx *tx, const char *topic)
{
    char line[256];
    if (!tx->store->engine->notify_sql)
        return;
    int len = snprintf(line, sizeof(line), "%s %s", tx->store->own, topic);
    must(len > 0 && (size_t)len < sizeof(line) && !strchr(topic, '\n'));
    if (has_line(tx->topics, line, (size_t)len))
        return;
    char *all = NULL;
    must(asprintf(&all, "%s%s%s", tx->topics ? tx->topics : "", tx->topics ? "\n" : "", line) > 0);
    free(tx->topics);
    tx->topics = all;
}

struct err *tx_send_topics(struct ctx *cx, struct tx *tx)
{
    if (!tx->topics)
        return NULL;
    const struct stmt notify = {"notify", tx->store->engine->notify_sql};
    return db_run(cx, tx, &notify, V_TEXT(tx->topics));
}
