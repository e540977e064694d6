/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Metering labels and their rules: /v2.0/metering/…, for administrators. They are kept for the
 * tools that read them; no router counts by them.
 */
#include "network/nw.h"

static const char *const meter_directions[] = {"ingress", "egress", NULL};

static const char *check_prefix(struct ctx *cx, const json_t *v, json_t **ret)
{
    struct cidr cidr;
    if (!cidr_parse(json_string_value(v), &cidr))
        return arena_printf(cx->arena, "%s is not a valid IP subnet", json_python(cx, v));
    *ret = json_own(cx, json_string(cidr_text(cx, &cidr)));
    return NULL;
}

#define RESOURCE metering_label
#define RESOURCE_DEF "network/metering_label.def"
#include "resource/declare_fields.h"
#define RESOURCE metering_rule
#define RESOURCE_DEF "network/metering_rule.def"
#include "resource/declare_fields.h"

const struct resource metering_label_resource = {.name = "metering_label",
                                                 .plural = "metering_labels",
                                                 .table = "metering_labels",
                                                 RESOURCE_FIELDS(metering_label),
                                                 .owner = metering_label_f_project_id,
                                                 .not_found = "Metering label %s does not exist",
                                                 .not_found_type = "MeteringLabelNotFound",
                                                 .dflt_sort = "id:asc",
                                                 .doc = "Traffic of a project, by a name."};

static const struct res_index metering_rule_indexes[] = {
    {"metering_rules_label", "metering_label_id", false, NULL}};

const struct resource metering_rule_resource = {.name = "metering_label_rule",
                                                .plural = "metering_label_rules",
                                                .table = "metering_rules",
                                                RESOURCE_FIELDS(metering_rule),
                                                .owner = metering_rule_f_project_id,
                                                .not_found =
                                                    "Metering label rule %s does not exist",
                                                .not_found_type = "MeteringLabelRuleNotFound",
                                                .indexes = metering_rule_indexes,
                                                .n_indexes = ARRAY_LEN(metering_rule_indexes),
                                                .dflt_sort = "id:asc",
                                                .doc = "What a label is about."};

const struct res_where nw_w_rules_of_label = {&metering_rule_resource, "metering_label_id = $1",
                                              "id"};

/* ---------------------------------------------------------------- labels */

static struct err *make_label(struct call *c, void *row)
{
    return res_insert(c->cx, c->tx, &metering_label_resource, row);
}

struct err *nw_metering_labels_create(struct call *c)
{
    return nw_create(c, &metering_label_resource, make_label);
}

struct err *nw_metering_labels_list(struct call *c)
{
    return nw_list(c, NULL);
}

struct err *nw_metering_label_delete(struct call *c)
{
    struct metering_label *l = c->target;
    void **rules;
    size_t n;
    TRY(res_select_by(c->cx, c->tx, &nw_w_rules_of_label, &rules, &n, V_TEXT(l->id)));
    for (size_t i = 0; i < n; i++)
        TRY(res_delete(c->cx, c->tx, &metering_rule_resource, rules[i]));
    TRY(res_delete(c->cx, c->tx, &metering_label_resource, l));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- rules */

static struct err *check_prefixes(struct call *c, const struct metering_rule *r)
{
    if (!r->remote_ip_prefix && !r->source_ip_prefix && !r->destination_ip_prefix)
        return bad(c->cx, "MeteringLabelRuleInvalid",
                   "Invalid rule: one of remote_ip_prefix, source_ip_prefix and "
                   "destination_ip_prefix is needed.");
    if (r->remote_ip_prefix && (r->source_ip_prefix || r->destination_ip_prefix))
        return bad(c->cx, "MeteringLabelRuleInvalid",
                   "Invalid rule: remote_ip_prefix and source_ip_prefix or destination_ip_prefix "
                   "exclude each other.");
    return NULL;
}

static bool overlap(const char *a, const char *b)
{
    struct cidr ca, cb;
    return a && b && cidr_parse(a, &ca) && cidr_parse(b, &cb) && cidr_overlap(&ca, &cb);
}

static struct err *check_apart(struct call *c, const struct metering_rule *r)
{
    void **rules;
    size_t n;
    TRY(res_select_by(c->cx, c->tx, &nw_w_rules_of_label, &rules, &n,
                      V_TEXT(r->metering_label_id)));
    for (size_t i = 0; i < n; i++) {
        const struct metering_rule *o = rules[i];
        if (str_eq(o->direction, r->direction) && o->excluded == r->excluded &&
            overlap(o->remote_ip_prefix, r->remote_ip_prefix))
            return fail_type(c->cx, ERR_CONFLICT, "MeteringLabelRuleOverlaps",
                             "Metering label rule with remote_ip_prefix '%s' overlaps another.",
                             r->remote_ip_prefix);
    }
    return NULL;
}

static struct err *make_rule(struct call *c, void *row)
{
    struct metering_rule *r = row;
    void *label = NULL;
    TRY(res_find(c->cx, c->tx, &metering_label_resource, r->metering_label_id, &label));
    r->project_id = ((struct metering_label *)label)->project_id;
    TRY(check_prefixes(c, r));
    TRY(check_apart(c, r));
    return res_insert(c->cx, c->tx, &metering_rule_resource, r);
}

struct err *nw_metering_rules_create(struct call *c)
{
    return nw_create(c, &metering_rule_resource, make_rule);
}

struct err *nw_metering_rules_list(struct call *c)
{
    return nw_list(c, NULL);
}

struct err *nw_metering_rule_delete(struct call *c)
{
    TRY(res_delete(c->cx, c->tx, &metering_rule_resource, c->target));
    call_reply_empty(c, 204);
    return NULL;
}
