/* SPDX-License-Identifier: EUPL-1.2 */
/* Which services there are, where they are mounted, and what a region starts with. */
#include "cmd/wiring.h"
#include "compute/compute.h"
#include "fleet/fleet.h"
#include "identity/identity.h"
#include "image/image.h"
#include "network/network.h"
#include "placement/placement.h"
#include "volume/volume.h"
#include <arpa/inet.h>

const struct service *const all_services[] = {
    &engine_service,  &operations_service, &console_files_service, &identity_service,
    &fleet_service,   &image_service,      &network_service,       &volume_service,
    &compute_service, &placement_service};
const size_t n_all_services = ARRAY_LEN(all_services);

/* Old clients look for volumes by the alias. */
const char *const catalog_paths[] = {
    "identity", "/identity/v3",  "image",     "/image",     "network",       "/network",
    "compute",  "/compute/v2.1", "placement", "/placement", "block-storage", "/volume/v3",
    "volumev3", "/volume/v3",    NULL,        NULL};

static const char migration_1[] = {
#include "0001_first.sql.inc"
    , 0};
const struct migration all_migrations[] = {{1, "first", migration_1}};
const size_t n_all_migrations = ARRAY_LEN(all_migrations);

const char *control_dir(struct ctx *cx, const struct settings *s)
{
    return arena_printf(cx->arena, "%s/control", s->data);
}

const char *node_dir(struct ctx *cx, const struct settings *s)
{
    return arena_printf(cx->arena, "%s/node", s->data);
}

const char *writer_dir(struct ctx *cx, const struct settings *s)
{
    return arena_printf(cx->arena, "%s/network", s->data);
}

const char *node_name(struct ctx *cx, const struct settings *s)
{
    char host[256];
    if (*s->node_name)
        return s->node_name;
    if (gethostname(host, sizeof(host)) < 0)
        return "localhost";
    host[sizeof(host) - 1] = 0;
    return arena_strdup(cx->arena, host);
}

struct err *open_state(struct ctx *cx, const struct settings *s, struct store **ret)
{
    const char *url =
        *s->state ? s->state : arena_printf(cx->arena, "sqlite:%s/state.db", control_dir(cx, s));
    return store_open(cx, url, (unsigned)s->store_connections, ret);
}

bool is_loopback(const char *address)
{
    return str_starts(address, "127.") || str_eq(address, "::1") || str_eq(address, "localhost");
}

/* A host's secret reads the images of its own servers and volumes, and no others. */
static struct err *image_for_host(struct ctx *cx, struct tx *tx, const char *host_id,
                                  const char *image_id, int *ret_fd, int64_t *ret_size)
{
    bool used = false;
    TRY(compute_uses_image(cx, tx, host_id, image_id, &used));
    if (!used)
        TRY(volume_uses_image(cx, tx, host_id, image_id, &used));
    if (!used)
        return fail(cx, ERR_NOT_FOUND, "Nothing on this host is made from image %s", image_id);
    return image_open(cx, tx, image_id, ret_fd, ret_size);
}

static struct err *read_ratio(struct ctx *cx, const char *name, const char *text, int64_t *ret)
{
    if (place_ratio_read(text, ret))
        return NULL;
    return fail(cx, ERR_INVALID, "%s must be a number above 0 such as 1.5, not '%s'", name, text);
}

static struct err *read_weight(struct ctx *cx, const char *name, const char *text, double *ret)
{
    if (place_weight_read(text, ret))
        return NULL;
    return fail(cx, ERR_INVALID, "%s_weight_multiplier must be a number such as -1.0, not '%s'",
                name, text);
}

static struct err *compute_settings(struct ctx *cx, const struct settings *s,
                                    struct compute_config *ret)
{
    *ret = (struct compute_config){.default_zone = "nova",
                                   .reserved_vcpus = s->reserved_host_cpus,
                                   .reserved_memory_mib = s->reserved_host_memory_mib,
                                   .reserved_disk_gib = s->reserved_host_disk_gib,
                                   .servers_max = s->max_instances_per_host,
                                   .placement.subset = s->host_subset_size};
    TRY(read_ratio(cx, "cpu_allocation_ratio", s->cpu_allocation_ratio, &ret->ratios.vcpus));
    TRY(read_ratio(cx, "ram_allocation_ratio", s->ram_allocation_ratio, &ret->ratios.memory));
    TRY(read_ratio(cx, "disk_allocation_ratio", s->disk_allocation_ratio, &ret->ratios.disk));
#define WEIGHER(name, dflt, doc)                                                                   \
    TRY(read_weight(cx, #name, s->name##_weight_multiplier,                                        \
                    &ret->placement.weights[PLACE_WEIGH_##name]));
#include "schedule/weighers.def"
#undef WEIGHER
    return place_filters_read(cx, s->enabled_filters, &ret->placement.filters);
}

struct err *configure_services(struct ctx *cx, const struct settings *s)
{
    const struct identity_config identity = {.region = s->region,
                                             .token_ttl_s = s->token_ttl_s,
                                             .token_key_days = s->token_key_days,
                                             .lockout_attempts = s->lockout_attempts,
                                             .lockout_s = s->lockout_s,
                                             .unique_last_passwords = s->unique_last_passwords,
                                             .password_expires_days = s->password_expires_days,
                                             .change_password_upon_first_use =
                                                 s->change_password_upon_first_use,
                                             .forbid_rescope = s->forbid_rescope,
                                             .argon2_mem_kib = (uint64_t)s->argon2_mem_kib,
                                             .argon2_ops = (uint64_t)s->argon2_ops};
    const struct image_config image = {
        .dir = arena_strdup(cx->arena, arena_printf(cx->arena, "%s/images", control_dir(cx, s))),
        .size_max_bytes = s->image_max_gib << 30};
    bool ovn = str_eq(s->network_driver, "ovn");
    const struct network_config network = {.default_mtu = ovn ? 1442 : 1450, /* Geneve: 58 bytes */
                                           .dns_domain = "openstacklocal",
                                           .has_writer = ovn};
    struct compute_config compute;
    if (!ovn && !str_eq(s->network_driver, "kernel"))
        return fail(cx, ERR_INVALID, "network_driver must be kernel or ovn, not '%s'",
                    s->network_driver);
    TRY(compute_settings(cx, s, &compute));
    fleet_set_lease(s->host_lease_s);
    const struct volume_config volume = {.default_zone = "nova",
                                         .used_elsewhere = compute_disk_by_host,
                                         .zones = compute_zone_by_host,
                                         .extending = compute_volume_extending,
                                         .extended = compute_volume_extended};
    console_files_configure(s->novnc_dir);
    identity_configure(&identity);
    network_configure(&network);
    volume_configure(&volume);
    compute_configure(&compute);
    fleet_set_images(image_for_host);
    return image_configure(cx, &image);
}

struct err *first_address_of(struct ctx *cx, const char *cidr, const char **ret)
{
    const char *slash = strchr(cidr, '/');
    struct in_addr a;
    char text[INET_ADDRSTRLEN];
    int64_t prefix;
    if (!slash || !str_to_i64(slash + 1, 1, 30, &prefix) ||
        inet_pton(AF_INET, arena_strndup(cx->arena, cidr, (size_t)(slash - cidr)), &a) != 1)
        return fail(cx, ERR_INVALID,
                    "external_cidr must be an IPv4 subnet such as 203.0.113.0/24, not '%s'", cidr);
    a.s_addr = htonl(ntohl(a.s_addr) + 1);
    must(inet_ntop(AF_INET, &a, text, sizeof(text)));
    *ret = arena_strdup(cx->arena, text);
    return NULL;
}

struct err *parse_listen(struct ctx *cx, const char *text, const char **ret_host,
                         uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    int64_t port;
    if (!colon || !str_to_i64(colon + 1, 0, 65535, &port))
        return fail(cx, ERR_INVALID,
                    "listen must be ADDRESS:PORT, such as 127.0.0.1:5000, not '%s'", text);
    char *host = arena_strndup(cx->arena, text, (size_t)(colon - text));
    size_t len = strlen(host);
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = 0;
        host++;
    }
    *ret_host = host;
    *ret_port = (uint16_t)port;
    return NULL;
}
