/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Who holds which address: one row of ip_allocations each, taken by its insertion and given back
 * exactly once by its deletion. The next free one is the one after the highest taken; at the end of
 * a pool the first gap is found.
 */
#include "network/nw.h"

const struct stmt nw_st_ip_insert = {
    "ip_insert",
    "INSERT INTO ip_allocations (subnet_id, address, next_address, network_id, holder_id, ip) "
    "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"};
const struct stmt nw_st_ip_delete = {
    "ip_delete",
    "DELETE FROM ip_allocations WHERE subnet_id = $1 AND address = $2 AND holder_id = $3"};
const struct stmt nw_st_ip_delete_holder = {"ip_delete_holder",
                                            "DELETE FROM ip_allocations WHERE holder_id = $1"};
const struct stmt nw_st_ip_max = {"ip_max", "SELECT MAX(address) FROM ip_allocations WHERE "
                                            "subnet_id = $1 AND address >= $2 AND address <= $3"};
const struct stmt nw_st_ip_first = {"ip_first",
                                    "SELECT MIN(address) FROM ip_allocations WHERE subnet_id = $1 "
                                    "AND address >= $2 AND address <= $3"};
const struct stmt nw_st_ip_gap = {"ip_gap",
                                  "SELECT a.next_address FROM ip_allocations a WHERE a.subnet_id = "
                                  "$1 AND a.address >= $2 AND a.address < $3 "
                                  "AND NOT EXISTS (SELECT 1 FROM ip_allocations b WHERE "
                                  "b.subnet_id = a.subnet_id AND b.address = a.next_address) "
                                  "ORDER BY a.address LIMIT 1"};
const struct stmt nw_st_mac_used = {
    "mac_used", "SELECT 1 FROM ports WHERE network_id = $1 AND mac_address = $2"};

static struct err *insert(struct ctx *cx, struct tx *tx, const struct subnet *s,
                          const struct addr *a, const char *holder_id, bool *ret_taken)
{
    struct addr next = addr_add(a, 1);
    int64_t changes = 0;
    struct db_value params[] = {
        V_TEXT(s->id),         V_TEXT(addr_hex(cx, a)), V_TEXT(addr_hex(cx, &next)),
        V_TEXT(s->network_id), V_TEXT(holder_id),       V_TEXT(addr_text(cx, a))};
    TRY(db_exec(cx, tx, &nw_st_ip_insert, params, 6, &changes));
    *ret_taken = changes == 1;
    return NULL;
}

struct err *nw_ip_take(struct ctx *cx, struct tx *tx, const struct subnet *s, const struct addr *a,
                       const char *holder_id)
{
    bool taken = false;
    TRY(insert(cx, tx, s, a, holder_id, &taken));
    if (taken)
        return NULL;
    return fail_type(cx, ERR_EXISTS, "IpAddressAlreadyAllocated",
                     "IP address %s already allocated in subnet %s", addr_text(cx, a), s->id);
}

static struct err *text_of(struct ctx *cx, struct tx *tx, const struct stmt *st,
                           const struct subnet *s, const struct addr *first,
                           const struct addr *last, const char **ret)
{
    struct db_value params[] = {V_TEXT(s->id), V_TEXT(addr_hex(cx, first)),
                                V_TEXT(addr_hex(cx, last))};
    struct db_rows rows;
    TRY(db_query(cx, tx, st, params, 3, &rows));
    *ret = rows.n_rows ? db_text(&rows, 0, 0) : NULL;
    return NULL;
}

static struct err *free_in_pool(struct ctx *cx, struct tx *tx, const struct subnet *s,
                                const struct addr *first, const struct addr *last, struct addr *ret,
                                bool *ret_found)
{
    const char *hex;
    *ret_found = true;
    TRY(text_of(cx, tx, &nw_st_ip_max, s, first, last, &hex));
    *ret = *first;
    if (!hex)
        return NULL;
    must(addr_from_hex(hex, ret));
    if (addr_cmp(ret, last) < 0) {
        *ret = addr_add(ret, 1);
        return NULL;
    }
    TRY(text_of(cx, tx, &nw_st_ip_first, s, first, last, &hex));
    *ret = *first;
    if (!str_eq(hex, addr_hex(cx, first)))
        return NULL;
    TRY(text_of(cx, tx, &nw_st_ip_gap, s, first, last, &hex));
    *ret_found = hex && addr_from_hex(hex, ret);
    return NULL;
}

struct err *nw_ip_next(struct ctx *cx, struct tx *tx, const struct subnet *s, const char *holder_id,
                       struct addr *ret, bool *ret_found)
{
    const json_t *pools = nw_json(cx, s->allocation_pools);
    *ret_found = false;
    for (size_t i = 0; i < json_array_size(pools) && !*ret_found; i++) {
        struct addr first, last;
        must(addr_parse(json_get_str(json_array_get(pools, i), "start"), &first));
        must(addr_parse(json_get_str(json_array_get(pools, i), "end"), &last));
        TRY(free_in_pool(cx, tx, s, &first, &last, ret, ret_found));
    }
    if (!*ret_found)
        return NULL;
    bool taken = false;
    TRY(insert(cx, tx, s, ret, holder_id, &taken));
    must(taken); /* transactions that write are serializable */
    return NULL;
}

struct err *nw_ip_release(struct ctx *cx, struct tx *tx, const char *subnet_id, const char *ip,
                          const char *holder_id)
{
    struct addr a;
    must(addr_parse(ip, &a));
    return db_run(cx, tx, &nw_st_ip_delete, V_TEXT(subnet_id), V_TEXT(addr_hex(cx, &a)),
                  V_TEXT(holder_id));
}

struct err *nw_ip_release_all(struct ctx *cx, struct tx *tx, const char *holder_id)
{
    return db_run(cx, tx, &nw_st_ip_delete_holder, V_TEXT(holder_id));
}

/* ---------------------------------------------------------------- MACs */

static struct err *mac_used(struct ctx *cx, struct tx *tx, const char *network_id, const char *mac,
                            bool *ret)
{
    struct db_value params[] = {V_TEXT(network_id), V_TEXT(mac)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &nw_st_mac_used, params, 2, &rows));
    *ret = rows.n_rows > 0;
    return NULL;
}

struct err *nw_mac_new(struct ctx *cx, struct tx *tx, const char *network_id, const char **ret)
{
    for (int tries = 0; tries < 16; tries++) {
        uint8_t r[3];
        bool used = true;
        rng_bytes(cx->rng, r, sizeof(r));
        const char *mac = arena_printf(cx->arena, "fa:16:3e:%02x:%02x:%02x", r[0], r[1], r[2]);
        TRY(mac_used(cx, tx, network_id, mac, &used));
        if (!used) {
            *ret = mac;
            return NULL;
        }
    }
    return fail_type(cx, ERR_UNAVAILABLE, "MacAddressGenerationFailure",
                     "Unable to generate unique MAC on network %s", network_id);
}

struct err *nw_mac_check(struct ctx *cx, struct tx *tx, const char *network_id, const char *mac)
{
    bool used = false;
    TRY(mac_used(cx, tx, network_id, mac, &used));
    if (used)
        return fail_type(
            cx, ERR_EXISTS, "MacAddressInUse",
            "Unable to complete operation for network %s. The mac address %s is in use.",
            network_id, mac);
    unsigned first = 0;
    if (sscanf(mac, "%2x", &first) != 1 || (first & 1) || str_eq(mac, "00:00:00:00:00:00"))
        return bad_input(cx, "'%s' is not a valid MAC address of a port", mac);
    return NULL;
}
