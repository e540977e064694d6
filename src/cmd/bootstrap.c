/* SPDX-License-Identifier: EUPL-1.2 */
/* A region's first rows, from each service; running it again completes what is missing. */
#include "cmd/wiring.h"
#include "compute/compute.h"
#include "fleet/fleet.h"
#include "identity/identity.h"
#include "network/network.h"
#include "volume/volume.h"

/* name NULL: the network writer. */
static struct err *add_host(struct ctx *cx, struct store *store, const char *name,
                            const char *secret)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *id;
    TRY(tx_write(cx, store, &tx));
    TRY(name ? fleet_host_add(cx, tx, name, secret, &id) : fleet_writer_add(cx, tx, secret, &id));
    return tx_commit(cx, &tx);
}

/* The external network 'public': its first address is the host's, the gateway of every router. */
static struct err *external_network(struct ctx *cx, const struct settings *s, struct store *store)
{
    const char *id, *slash = strchr(s->external_cidr, '/');
    struct network_bootstrap b = {.name = "public", .cidr = s->external_cidr};
    if (!*s->external_cidr)
        return NULL;
    if (!slash)
        return fail(cx, ERR_INVALID,
                    "external_cidr must be an IPv4 subnet such as 203.0.113.0/24, not '%s'",
                    s->external_cidr);
    TRY(first_address_of(cx, s->external_cidr, &b.gateway_ip));
    TRY(identity_admin_project(cx, store, &b.project_id));
    return network_bootstrap(cx, store, &b, &id);
}

struct err *bootstrap_region(struct ctx *cx, const struct settings *s, const char *host_secret,
                             const char *writer_secret, bool keep_passwords,
                             const char **ret_password)
{
    struct store *store = NULL;
    struct identity_bootstrap identity = {
        .admin_password = *s->bootstrap_password ? s->bootstrap_password : NULL,
        .demo_password = *s->demo_password ? s->demo_password : NULL,
        .keep_passwords = keep_passwords,
        .public_url = *s->public_url ? s->public_url : NULL,
        .region = s->region,
        .service_types = catalog_paths};
    TRY(configure_services(cx, s));
    TRY(authority_make(cx, s));
    TRY(open_state(cx, s, &store));
    struct err *e = store_migrate(cx, store, all_migrations, n_all_migrations);
    if (!e)
        e = identity_bootstrap(cx, store, &identity, ret_password);
    if (!e)
        e = external_network(cx, s, store);
    if (!e)
        e = compute_bootstrap(cx, store);
    if (!e)
        e = volume_bootstrap(cx, store);
    if (!e && host_secret)
        e = add_host(cx, store, node_name(cx, s), host_secret);
    if (!e && writer_secret)
        e = add_host(cx, store, NULL, writer_secret);
    store_close(store);
    return e;
}
