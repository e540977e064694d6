/* SPDX-License-Identifier: EUPL-1.2 */
/* OAuth1 consumers: the register of applications that may ask users for access. */
#include "identity/resources.h"

static void consumer_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    identity_self_link(w, cx, v, "OS-OAUTH1/consumers", ((const struct consumer *)row)->id);
}

#define RESOURCE consumer
#define RESOURCE_DEF "identity/consumer.def"
#include "resource/declare_fields.h"

/* Its secret too, in the answer to its creation. */
static void consumer_more(struct ctx *cx UNUSED, struct jw *w, const void *row,
                          const struct view *v UNUSED)
{
    const struct consumer *k = row;
    if (k->row.extra)
        jw_kstr(w, "secret", k->secret);
}

const struct resource consumer_resource = {.name = "consumer",
                                           .plural = "consumers",
                                           .table = "consumers",
                                           RESOURCE_FIELDS(consumer),
                                           .owner = -1,
                                           .extra = EXTRA_KEEP,
                                           .extra_member = consumer_f_extra,
                                           .encode_more = consumer_more,
                                           .dflt_sort = "id",
                                           .not_found = "Could not find Consumer: %s.",
                                           .doc = "An application that asks users for access."};

struct err *consumer_create(struct call *c)
{
    struct consumer *k = c->body;
    k->id = uuid_new_hex(c->cx);
    k->secret = uuid_new_hex(c->cx);
    k->row.extra = k;
    c->audit_target = k->id;
    TRY(res_insert(c->cx, c->tx, &consumer_resource, k));
    return call_reply_row(c, 201, &consumer_resource, k);
}
