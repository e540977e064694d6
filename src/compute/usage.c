/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The record of what servers used. A server's use begins when it has run for the first time, is
 * ended and begun anew when its size or host changes, and ends with its row; each in the
 * transaction that changes the server, so the record can neither miss nor invent anything.
 */
#include "compute/impl.h"

#define RESOURCE server_usage
#define RESOURCE_DEF "compute/usage.def"
#include "resource/declare_fields.h"

static const struct res_index usage_indexes[] = {
    {"server_usages_project", "project_id, server_id, started_at", false, NULL},
    {"server_usages_open", "server_id", true, "ended_at IS NULL"}};
const struct resource server_usage_resource = {.name = "server_usage",
                                               .plural = "server_usages",
                                               .table = "server_usages",
                                               RESOURCE_FIELDS(server_usage),
                                               .owner = server_usage_f_project_id,
                                               .indexes = usage_indexes,
                                               .n_indexes = ARRAY_LEN(usage_indexes),
                                               .time_style = TIME_MICROS,
                                               .doc = "What servers used, from when to when."};

const struct stmt stmt_usage_end = {
    "usage_end", "UPDATE server_usages SET ended_at = $1, name = $2, generation = generation + 1 "
                 "WHERE server_id = $3 AND ended_at IS NULL"};

struct err *usage_begin(struct ctx *cx, struct tx *tx, const struct server *s)
{
    struct server_usage *u = res_new(cx, &server_usage_resource);
    u->id = uuid_new(cx);
    u->server_id = s->id;
    u->project_id = s->project_id;
    u->name = s->display_name;
    u->flavor_name = s->flavor_name;
    u->vcpus = s->vcpus;
    u->memory_mib = s->memory_mib;
    u->disk_gib = s->root_gib + s->ephemeral_gib;
    u->host_name = s->host_name ? s->host_name : "";
    u->started_at = now_us(cx);
    return res_insert(cx, tx, &server_usage_resource, u);
}

struct err *usage_end(struct ctx *cx, struct tx *tx, const struct server *s)
{
    return db_run(cx, tx, &stmt_usage_end, V_INT(now_us(cx)), V_TEXT(s->display_name),
                  V_TEXT(s->id));
}

struct err *usage_change(struct ctx *cx, struct tx *tx, const struct server *s)
{
    TRY(usage_end(cx, tx, s));
    return usage_begin(cx, tx, s);
}
