/* SPDX-License-Identifier: EUPL-1.2 */
/* Policies: texts that services may fetch. Colvert's own rules stand in its routes. */
#include "identity/resources.h"

static void policy_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    identity_self_link(w, cx, v, "policies", ((const struct policy *)row)->id);
}

#define RESOURCE policy
#define RESOURCE_DEF "identity/policy.def"
#include "resource/declare_fields.h"

const struct resource policy_resource = {.name = "policy",
                                         .plural = "policies",
                                         .table = "policies",
                                         RESOURCE_FIELDS(policy),
                                         .owner = -1,
                                         .extra = EXTRA_KEEP,
                                         .extra_member = policy_f_extra,
                                         .dflt_sort = "id",
                                         .not_found = "Could not find policy: %s.",
                                         .doc = "A set of rules, kept for others."};

struct err *policy_create(struct call *c)
{
    struct policy *p = c->body;
    p->id = uuid_new_hex(c->cx);
    c->audit_target = p->id;
    TRY(res_insert(c->cx, c->tx, &policy_resource, p));
    return call_reply_row(c, 201, &policy_resource, p);
}
