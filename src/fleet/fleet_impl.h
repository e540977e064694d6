/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to fleet/: its statements, and the kinds. */
#pragma once

#include "fleet/fleet.h"
#include "http/pki.h"

/*   name           SQL */
#define FLEET_STMTS(X)                                                                             \
    /* Its feed begins with revision 1: to have seen nothing yet is 0, and is answered at once. */ \
    X(host_add, "INSERT INTO fleet_hosts (id, name, zone, secret_sha256, revision,"                \
                " created_at, updated_at) VALUES ($1, $2, 'nova', $3, 1, $4, $4)")                 \
    X(host_set_secret, "UPDATE fleet_hosts SET secret_sha256 = $2, updated_at = $3 WHERE id = $1") \
    X(host_set_role, "UPDATE fleet_hosts SET role = $2 WHERE id = $1")                             \
    X(writer, "SELECT id FROM fleet_hosts WHERE role = 'network'")                                 \
    X(host_role, "SELECT role FROM fleet_hosts WHERE id = $1")                                     \
    X(host_by_name, "SELECT id FROM fleet_hosts WHERE name = $1")                                  \
    X(host_secret, "SELECT id, secret_sha256 FROM fleet_hosts WHERE id = $1 OR name = $1")         \
    X(host_beat, "UPDATE fleet_hosts SET vcpus = $2, memory_mib = $3, disk_gib = $4,"              \
                 " hypervisor_type = $5, hypervisor_version = $6, cpu_info = $7, agent_url = $8,"  \
                 " version = $9, last_seen_at = $10, uptime = $11,"                                \
                 " leased_since = CASE WHEN lease_until >= $10 THEN leased_since ELSE $10 END,"    \
                 " lease_until = CASE WHEN forced_down = 1 OR lease_until > $12 THEN lease_until"  \
                 " ELSE $12 END, pool_id = $13, pool_gib = $14 WHERE id = $1")                     \
    X(host_chassis, "SELECT chassis FROM fleet_hosts WHERE id = $1")                               \
    X(host_set_chassis, "UPDATE fleet_hosts SET chassis = $2 WHERE id = $1")                       \
    X(chassis_of, "SELECT id, chassis FROM fleet_hosts WHERE id IN " IN_BATCH)                     \
    X(host_is_down, "SELECT forced_down FROM fleet_hosts WHERE id = $1")                           \
    X(host_set_enabled, "UPDATE fleet_hosts SET enabled = $2, disabled_reason = $3,"               \
                        " updated_at = $4 WHERE id = $1")                                          \
    X(host_force_down, "UPDATE fleet_hosts SET forced_down = $2, updated_at = $3 WHERE id = $1")   \
    X(host_remove, "DELETE FROM fleet_hosts WHERE id = $1")                                        \
    X(hosts,                                                                                       \
      "SELECT id, name, zone, hypervisor_type, agent_url, cpu_info, disabled_reason, vcpus,"       \
      " memory_mib, disk_gib, hypervisor_version, last_seen_at, created_at, updated_at,"           \
      " enabled, secret_sha256, forced_down, uptime, revision, lease_until, leased_since,"         \
      " pool_id, pool_gib FROM fleet_hosts WHERE role = 'compute' ORDER BY name")                  \
    X(host, "SELECT id, name, zone, hypervisor_type, agent_url, cpu_info, disabled_reason, vcpus," \
            " memory_mib, disk_gib, hypervisor_version, last_seen_at, created_at, updated_at,"     \
            " enabled, secret_sha256, forced_down, uptime, revision, lease_until, leased_since,"   \
            " pool_id, pool_gib FROM fleet_hosts WHERE id = $1")                                   \
    X(pulses, "SELECT id, revision, last_seen_at, enabled, forced_down, vcpus, memory_mib,"        \
              " disk_gib FROM fleet_hosts WHERE role = 'compute'")                                 \
    X(host_ids, "SELECT id FROM fleet_hosts ORDER BY id")                                          \
    X(members,                                                                                     \
      "SELECT h.id, h.name, h.secret_sha256, h.last_seen_at,"                                      \
      " (SELECT MAX(c.not_after) FROM fleet_certs c WHERE c.host_id = h.id),"                      \
      " (SELECT j.expires_at FROM fleet_joins j"                                                   \
      " WHERE j.host_id = h.id AND j.used_at IS NULL),"                                            \
      " h.agent_url, h.version, h.forced_down, h.lease_until FROM fleet_hosts h ORDER BY h.name")  \
    X(join_put, "INSERT INTO fleet_joins (host_id, token_sha256, expires_at) VALUES ($1, $2, $3)"  \
                " ON CONFLICT (host_id) DO UPDATE SET token_sha256 = excluded.token_sha256,"       \
                " expires_at = excluded.expires_at, used_at = NULL")                               \
    X(join_find, "SELECT h.id, h.name, j.expires_at, j.used_at FROM fleet_joins j"                 \
                 " JOIN fleet_hosts h ON h.id = j.host_id WHERE j.token_sha256 = $1")              \
    X(join_use, "UPDATE fleet_joins SET used_at = $2 WHERE host_id = $1 AND used_at IS NULL")      \
    X(join_drop, "DELETE FROM fleet_joins WHERE host_id = $1")                                     \
    X(hosts_good, "SELECT h.id FROM fleet_hosts h WHERE h.secret_sha256 <> '' OR EXISTS"           \
                  " (SELECT 1 FROM fleet_certs c WHERE c.host_id = h.id AND c.not_after > $1)")    \
    X(cert_add, "INSERT INTO fleet_certs (sha256, host_id, not_after, created_at)"                 \
                " VALUES ($1, $2, $3, $4)")                                                        \
    X(cert_find, "SELECT h.id, h.name, c.not_after FROM fleet_certs c"                             \
                 " JOIN fleet_hosts h ON h.id = c.host_id WHERE c.sha256 = $1")                    \
    X(certs_of, "SELECT sha256 FROM fleet_certs WHERE host_id = $1"                                \
                " ORDER BY created_at DESC, sha256")                                               \
    X(certs_good, "SELECT sha256 FROM fleet_certs WHERE not_after > $1")                           \
    X(certs_end, "DELETE FROM fleet_certs WHERE host_id = $1")                                     \
    X(certs_expire, "DELETE FROM fleet_certs WHERE host_id = $1 AND not_after < $2")               \
    X(cert_drop, "DELETE FROM fleet_certs WHERE sha256 = $1")                                      \
    X(bump, "UPDATE fleet_hosts SET revision = revision + 1 WHERE id = $1 RETURNING revision")     \
    X(revision, "SELECT revision FROM fleet_hosts WHERE id = $1")                                  \
    X(change_put, "INSERT INTO fleet_changes (host_id, kind, item_id, revision)"                   \
                  " VALUES ($1, $2, $3, $4) ON CONFLICT (host_id, kind, item_id)"                  \
                  " DO UPDATE SET revision = excluded.revision")                                   \
    X(changes_since, "SELECT kind, item_id, revision FROM fleet_changes"                           \
                     " WHERE host_id = $1 AND revision > $2 ORDER BY revision")                    \
    X(change_get, "SELECT revision, reported_at FROM fleet_changes"                                \
                  " WHERE host_id = $1 AND kind = $2 AND item_id = $3")                            \
    X(change_reported, "UPDATE fleet_changes SET reported_at = $4"                                 \
                       " WHERE host_id = $1 AND kind = $2 AND item_id = $3")                       \
    X(told_of, "SELECT host_id FROM fleet_changes WHERE kind = $1 AND item_id = $2"                \
               " ORDER BY host_id")                                                                \
    X(change_drop, "DELETE FROM fleet_changes WHERE host_id = $1 AND kind = $2 AND item_id = $3")

#define X(name, sql) extern const struct stmt fleet_stmt_##name;
FLEET_STMTS(X)
#undef X

/* What a host's long poll waits for. */
struct topic {
    char text[128];
};
struct topic fleet_topic(const char *host_id);
/* Whether a host counts as alive: the time in which nobody could be heard is not its fault. */
bool fleet_heard(int64_t last_seen_us, int64_t now_us, struct store_absence away);
const struct fleet_kind *fleet_kind_find(const char *name); /* NULL: none */
const struct fleet_kind *fleet_kind_at(size_t i);           /* NULL: past the last one */
const struct fleet_upload *fleet_upload_parts(void);        /* NULL: no image service */
struct err *fleet_open_image(struct ctx *cx, struct tx *tx, const char *host_id,
                             const char *image_id, int *ret_fd, int64_t *ret_size);

/* enrol.c */
const struct fleet_authority *fleet_authority_get(void);          /* NULL: none */
const char *fleet_host_peer(struct ctx *cx, const char *host_id); /* the name in its certificate */
struct fleet_joined {
    const char *host_id, *name;
    struct pki_cert cert;
};
MUST_USE struct err *fleet_join(struct ctx *cx, struct tx *tx, const char *secret,
                                const char *request, struct fleet_joined *ret);
MUST_USE struct err *fleet_renew(struct ctx *cx, struct tx *tx, const char *host_id,
                                 const char *request, struct fleet_joined *ret);
struct err *fleet_get_authority(struct call *c);
struct err *fleet_post_join(struct call *c);
struct err *fleet_post_certificate(struct call *c);

/* agents.c */
void fleet_streams_cut(bool (*gone)(void *arg, const char *host_id), void *arg);
