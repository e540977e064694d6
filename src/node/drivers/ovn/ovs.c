/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * See ovs.h. The switch follows its database: each change asks for a pass over it (next_cfg), and
 * is waited for, so that a guest's first packet finds its port.
 */
#include "node/drivers/ovn/ovs.h"
#include "node/drivers/ovn/ovsdb.h"

enum { PASS_MS = 10000, LOOK_MS = 10, CHASSIS_US = 1000000 };

static struct err *open_db(struct ctx *cx, const char *db, struct ovsdb **ret)
{
    struct err *e = ovsdb_open(cx, db, "Open_vSwitch", ret);
    return e ? wrap(cx, e, ERR_UNAVAILABLE, "no Open vSwitch on this host (%s)", db) : NULL;
}

static json_t *select_op(const char *table, const char *name, const char *column)
{
    json_t *where = json_array();
    if (name)
        json_array_append_new(where, json_pack("[s,s,s]", "name", "==", name));
    return json_pack("{s:s,s:s,s:o,s:[s,s]}", "op", "select", "table", table, "where", where,
                     "columns", "_uuid", column);
}

static const json_t *first_row(const json_t *results, size_t i)
{
    return json_array_get(json_get(json_array_get(results, i), "rows"), 0);
}

static json_t *next_pass(void)
{
    return json_pack("{s:s,s:s,s:[],s:[[s,s,i]]}", "op", "mutate", "table", "Open_vSwitch", "where",
                     "mutations", "next_cfg", "+=", 1);
}

/* Until the switch has passed over what the database said when this was asked. */
static struct err *wait_pass(struct ctx *cx, struct ovsdb *o)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    int64_t until_us = mono_us(cx) + PASS_MS * INT64_C(1000), want = -1;
    for (;;) {
        json_t *results;
        json_t *ops = json_pack("[o,o]", select_op("Open_vSwitch", NULL, "next_cfg"),
                                select_op("Open_vSwitch", NULL, "cur_cfg"));
        TRY(ovsdb_transact(cx, o, ops, &results));
        if (want < 0)
            want = json_get_int(first_row(results, 0), "next_cfg", 0);
        if (json_get_int(first_row(results, 1), "cur_cfg", -1) >= want)
            return NULL;
        if (mono_us(cx) > until_us)
            return fail(cx, ERR_TIMEOUT,
                        "ovs-vswitchd of this host does not follow its database: "
                        "is it running?");
        nanosleep(&pause, NULL);
    }
}

struct err *ovs_is_userspace(struct ctx *cx, const char *db, bool *ret)
{
    struct ovsdb *o;
    json_t *results;
    TRY(open_db(cx, db, &o));
    struct err *e = ovsdb_transact(
        cx, o, json_pack("[o]", select_op("Bridge", INTEGRATION_BRIDGE, "datapath_type")),
        &results);
    ovsdb_close(o);
    if (e)
        return e;
    const json_t *row = first_row(results, 0);
    if (!row)
        return fail(cx, ERR_UNAVAILABLE,
                    "this host has no bridge " INTEGRATION_BRIDGE ": is ovn-controller running?");
    *ret = str_eq(json_get_str(row, "datapath_type"), "netdev");
    return NULL;
}

static struct err *unplug(struct ctx *cx, struct ovsdb *o, const char *link)
{
    json_t *results;
    TRY(ovsdb_transact(cx, o, json_pack("[o]", select_op("Port", link, "name")), &results));
    const char *uuid =
        json_string_value(json_array_get(json_get(first_row(results, 0), "_uuid"), 1));
    if (!uuid)
        return NULL;
    json_t *ops = json_pack("[{s:s,s:s,s:[[s,s,[s,s]]],s:[[s,s,[s,s]]]},o]", "op", "mutate",
                            "table", "Bridge", "where", "ports", "includes", "uuid", uuid,
                            "mutations", "ports", "delete", "uuid", uuid, next_pass());
    TRY(ovsdb_transact(cx, o, ops, &results));
    return wait_pass(cx, o);
}

static struct err *is_plugged(struct ctx *cx, struct ovsdb *o, const char *link,
                              const char *logical_port, bool *ret)
{
    json_t *results;
    *ret = false;
    TRY(ovsdb_transact(cx, o,
                       json_pack("[o,o]", select_op("Interface", link, "external_ids"),
                                 select_op("Interface", link, "ofport")),
                       &results));
    const json_t *ids = json_get(first_row(results, 0), "external_ids");
    *ret = json_get_int(first_row(results, 1), "ofport", -1) > 0 &&
           str_eq(ovsdb_map_get(ids, "iface-id"), logical_port);
    return NULL;
}

static struct err *plug(struct ctx *cx, struct ovsdb *o, const char *link, const char *logical_port,
                        const char *owner)
{
    json_t *results, *ops = json_array();
    json_array_append_new(ops, json_pack("{s:s,s:s,s:s,s:{s:s,s:[s,[[s,s],[s,s]]]}}", "op",
                                         "insert", "table", "Interface", "uuid-name", "i", "row",
                                         "name", link, "external_ids", "map", "iface-id",
                                         logical_port, "colvert-owner", owner));
    json_array_append_new(ops, json_pack("{s:s,s:s,s:s,s:{s:s,s:[s,s]}}", "op", "insert", "table",
                                         "Port", "uuid-name", "p", "row", "name", link,
                                         "interfaces", "named-uuid", "i"));
    json_array_append_new(ops,
                          json_pack("{s:s,s:s,s:[[s,s,s]],s:[[s,s,[s,[[s,s]]]]]}", "op", "mutate",
                                    "table", "Bridge", "where", "name", "==", INTEGRATION_BRIDGE,
                                    "mutations", "ports", "insert", "set", "named-uuid", "p"));
    json_array_append_new(ops, next_pass());
    TRY(ovsdb_transact(cx, o, ops, &results));
    if (json_get_int(json_array_get(results, 2), "count", 0) != 1)
        return fail(cx, ERR_UNAVAILABLE,
                    "this host has no bridge " INTEGRATION_BRIDGE ": is ovn-controller running?");
    return wait_pass(cx, o);
}

static struct err *plug_anew(struct ctx *cx, struct ovsdb *o, const char *link,
                             const char *logical_port, const char *owner)
{
    bool plugged = false;
    TRY(is_plugged(cx, o, link, logical_port, &plugged));
    if (plugged)
        return NULL;
    TRY(unplug(cx, o, link));
    TRY(plug(cx, o, link, logical_port, owner));
    TRY(is_plugged(cx, o, link, logical_port, &plugged));
    if (!plugged)
        return fail(
            cx, ERR_UNAVAILABLE,
            "Open vSwitch does not take %s as a port of " INTEGRATION_BRIDGE ": see its log", link);
    return NULL;
}

struct err *ovs_plug(struct ctx *cx, const char *db, const char *link, const char *logical_port,
                     const char *owner)
{
    struct ovsdb *o;
    TRY(open_db(cx, db, &o));
    struct err *e = plug_anew(cx, o, link, logical_port, owner);
    ovsdb_close(o);
    return e;
}

struct err *ovs_unplug(struct ctx *cx, const char *db, const char *link)
{
    struct ovsdb *o;
    TRY(open_db(cx, db, &o));
    struct err *e = unplug(cx, o, link);
    ovsdb_close(o);
    return e;
}

static struct err *read_chassis(struct ctx *cx, const char *db, const char **ret)
{
    struct ovsdb *o;
    json_t *results;
    TRY(open_db(cx, db, &o));
    struct err *e = ovsdb_transact(
        cx, o, json_pack("[o]", select_op("Open_vSwitch", NULL, "external_ids")), &results);
    ovsdb_close(o);
    if (e)
        return e;
    *ret = ovsdb_map_get(json_get(first_row(results, 0), "external_ids"), "system-id");
    return *ret ? NULL : fail(cx, ERR_UNAVAILABLE, "Open vSwitch has no external_ids:system-id");
}

struct err *ovs_chassis(struct ctx *cx, const char *db, const char **ret)
{
    int64_t deadline_us = cx->deadline_us, soon_us = mono_us(cx) + CHASSIS_US;
    cx->deadline_us = deadline_us ? min_i64(deadline_us, soon_us) : soon_us;
    struct err *e = read_chassis(cx, db, ret);
    cx->deadline_us = deadline_us;
    return e;
}
