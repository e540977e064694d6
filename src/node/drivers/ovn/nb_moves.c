/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A port from one host to another. Were it taken and let go at the same moment, the new host's
 * ovn-controller (23.03) would miss flows that hold where the port is, its floating IP's answers to
 * ARP among them, until it computes all anew. So it is nobody's in between.
 */
#include "node/drivers/ovn/nb_impl.h"
#include <stdatomic.h>

#define OPTION "requested-chassis"
#define NOBODY "(moving)"
#define PORTS "Logical_Switch_Port"
#define LET_GO_MS 500
#define IMPATIENT_US (10 * 1000000LL)

/* The columns that are there of the row with this uuid; NULL: none. */
static const json_t *row_of(const json_t *results, const char *uuid)
{
    const json_t *result, *row;
    size_t i, k;
    json_array_foreach((json_t *)(uintptr_t)results, i, result)
    {
        json_array_foreach(json_get(result, "rows"), k, row)
        {
            if (str_eq(nb_uuid_of(json_get(row, "_uuid")), uuid))
                return row;
        }
    }
    return NULL;
}

/* The first of hosts, with commas between, is who has it; a second one may take it. */
static bool same_first(const char *a, const char *b)
{
    size_t n = strcspn(a, ",");
    return n == strcspn(b, ",") && strncmp(a, b, n) == 0;
}

static bool takes_away(const json_t *op, const json_t *results)
{
    const json_t *want = json_get(json_get(op, "row"), "options");
    if (!want || !str_eq(json_get_str(op, "op"), "update") ||
        !str_eq(json_get_str(op, "table"), PORTS))
        return false;
    const json_t *where = json_array_get(json_get(op, "where"), 0);
    const json_t *row = row_of(results, nb_uuid_of(json_array_get(where, 2)));
    const char *is = ovsdb_map_get(json_get(row, "options"), OPTION);
    const char *to = ovsdb_map_get(want, OPTION);
    return is && to && !same_first(is, to);
}

void nb_letting_go(struct ctx *cx, const json_t *ops, const json_t *results, json_t **ret_release,
                   json_t **ret_wait)
{
    const json_t *op;
    size_t i;
    json_t *release = json_own(cx, json_array()), *wait = json_own(cx, json_array());
    json_array_foreach((json_t *)(uintptr_t)ops, i, op)
    {
        if (!takes_away(op, results))
            continue;
        json_t *where = json_get(op, "where");
        json_array_append_new(
            release, json_pack("{s:s,s:s,s:O,s:[[s,s,[s,[s]]],[s,s,[s,[[s,s]]]]]}", "op", "mutate",
                               "table", PORTS, "where", where, "mutations", "options", "delete",
                               "set", OPTION, "options", "insert", "map", OPTION, NOBODY));
        json_array_append_new(wait, json_pack("{s:s,s:s,s:O,s:i,s:[s],s:s,s:[{s:b}]}", "op", "wait",
                                              "table", PORTS, "where", where, "timeout", LET_GO_MS,
                                              "columns", "up", "until", "!=", "rows", "up", 1));
    }
    *ret_release = json_array_size(release) ? release : NULL;
    *ret_wait = json_array_size(release) ? wait : NULL;
}

struct err *nb_let_go(struct ctx *cx, struct ovsdb *o, const json_t *ops, const json_t *results,
                      struct nb_patience *p)
{
    struct clock *c = clock_system();
    json_t *release, *wait, *ret;
    nb_letting_go(cx, ops, results, &release, &wait);
    if (!release || c->mono_us(c) < atomic_load(&p->lost_until_us))
        return NULL;
    TRY(ovsdb_transact(cx, o, json_incref(release), &ret));
    struct err *e = ovsdb_transact(cx, o, json_incref(wait), &ret);
    if (e && e->kind == ERR_STALE)
        return e;
    if (e) /* a dead host lets nothing go, and OVN gives it to the other one all the same */
        atomic_store(&p->lost_until_us, c->mono_us(c) + IMPATIENT_US);
    return NULL;
}
