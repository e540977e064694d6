/* SPDX-License-Identifier: EUPL-1.2 */
/* Which services there are, where they are mounted, and what a region starts with. */
#include "cmd/wiring.h"
#include "identity/identity.h"

const struct service *const all_services[] = {&engine_service, &identity_service};
const size_t n_all_services = ARRAY_LEN(all_services);

const char *const catalog_paths[] = {"identity", "/identity/v3", "image", "/image", "network", "/network", "compute",
                                     "/compute/v2.1", NULL, NULL};

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
    const char *url = *s->state ? s->state : arena_printf(cx->arena, "sqlite:%s/state.db", control_dir(cx, s));
    return store_open(cx, url, (unsigned)s->store_connections, ret);
}

struct err *parse_listen(struct ctx *cx, const char *text, const char **ret_host, uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    int64_t port;
    if (!colon || !str_to_i64(colon + 1, 0, 65535, &port))
        return fail(cx, ERR_INVALID, "listen must be ADDRESS:PORT, such as 127.0.0.1:5000, not '%s'", text);
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
