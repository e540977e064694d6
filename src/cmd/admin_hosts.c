/* SPDX-License-Identifier: EUPL-1.2 */
/* colvert admin host …: hosts on other machines join the region, are seen, and leave it. */
#include "cmd/wiring.h"
#include "compute/compute.h"
#include "fleet/fleet.h"
#include "http/pki.h"

#define TTL_DEFAULT_S 3600
#define TTL_MAX_S (INT64_C(30) * 86400)

struct add_options {
    const char *name;
    int64_t ttl_s;
    bool again;
};

static struct err *read_add(struct ctx *cx, int argc, char **argv, struct add_options *ret)
{
    *ret = (struct add_options){.name = argv[0], .ttl_s = TTL_DEFAULT_S};
    for (int i = 1; i < argc; i++) {
        if (str_eq(argv[i], "--again"))
            ret->again = true;
        else if (!str_eq(argv[i], "--ttl") || ++i >= argc ||
                 !str_to_i64(argv[i], 1, TTL_MAX_S, &ret->ttl_s))
            return fail(cx, ERR_INVALID,
                        "usage: colvert admin host add NAME [--ttl SECONDS] [--again]; at most "
                        "%" PRId64 " seconds",
                        TTL_MAX_S);
    }
    return NULL;
}

static struct err *add(struct ctx *cx, const struct settings *s, struct store *store, int argc,
                       char **argv)
{
    AUTO_TXN struct tx *tx = NULL;
    struct add_options o;
    struct authority a;
    const char *id;
    char *secret = NULL;
    TRY(read_add(cx, argc, argv, &o));
    TRY(authority_read(cx, s, &a));
    TRY(tx_write(cx, store, &tx));
    TRY(fleet_host_invite(cx, tx, o.name, o.again, o.ttl_s, &id, &secret));
    struct err *e = tx_commit(cx, &tx);
    if (!e)
        printf("Host %s: %s\nIts join token, shown this once, good once and for %" PRId64
               " s:\ncvj1.%s.%s\n",
               o.name, id, o.ttl_s, secret, a.cert.sha256);
    if (!e && !*s->hosts_listen)
        puts("The control plane does not listen for hosts yet: set hosts_listen.");
    secret_wipe(secret, strlen(secret));
    return e;
}

static const char *when(struct ctx *cx, int64_t us)
{
    char text[32];
    struct tm tm;
    time_t t = (time_t)(us / 1000000);
    if (!us)
        return "-";
    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return arena_strdup(cx->arena, text);
}

static const char *state_of(struct ctx *cx, const struct fleet_member *m)
{
    int64_t now = now_us(cx);
    bool up = m->last_seen_us && now - m->last_seen_us < INT64_C(3000000) * FLEET_HEARTBEAT_S;
    if (m->forced_down)
        return "forced down";
    if (up)
        return "up";
    if (!m->local && !m->cert_until_us)
        return m->token_until_us > now ? "to join" : "token expired";
    if (!m->local && m->cert_until_us < now)
        return "certificate expired";
    return m->lease_until_us < now ? "down, lease over" : "down";
}

static struct err *list(struct ctx *cx, const struct settings *s UNUSED, struct store *store,
                        int argc UNUSED, char **argv UNUSED)
{
    AUTO_TXN struct tx *tx = NULL;
    struct fleet_member *m;
    size_t n;
    TRY(tx_read(cx, store, &tx));
    TRY(fleet_members(cx, tx, &m, &n));
    printf("%-24s %-36s %-20s %-20s %s\n", "name", "id", "state", "last seen", "certificate until");
    for (size_t i = 0; i < n; i++)
        printf("%-24s %-36s %-20s %-20s %s\n", m[i].name, m[i].id, state_of(cx, &m[i]),
               when(cx, m[i].last_seen_us), m[i].local ? "local" : when(cx, m[i].cert_until_us));
    return NULL;
}

/* By name or id. */
static struct err *find(struct ctx *cx, struct tx *tx, const char *name, struct fleet_member *ret)
{
    struct fleet_member *m;
    size_t n;
    TRY(fleet_members(cx, tx, &m, &n));
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(m[i].name, name) && !str_eq(m[i].id, name))
            continue;
        *ret = m[i];
        return NULL;
    }
    return fail(cx, ERR_NOT_FOUND, "there is no host %s ('colvert admin host list' has them all)",
                name);
}

static struct err *show(struct ctx *cx, const struct settings *s UNUSED, struct store *store,
                        int argc UNUSED, char **argv)
{
    AUTO_TXN struct tx *tx = NULL;
    struct fleet_member m;
    TRY(tx_read(cx, store, &tx));
    TRY(find(cx, tx, argv[0], &m));
    printf("name: %s\nid: %s\nstate: %s\nlast seen: %s\ncertificate until: %s\n"
           "join token until: %s\nagent: %s\nversion: %s\n",
           m.name, m.id, state_of(cx, &m), when(cx, m.last_seen_us),
           m.local ? "local" : when(cx, m.cert_until_us), when(cx, m.token_until_us),
           m.agent_url ? m.agent_url : "-", m.version ? m.version : "-");
    return NULL;
}

static struct err *drop(struct ctx *cx, const struct settings *s UNUSED, struct store *store,
                        int argc UNUSED, char **argv)
{
    AUTO_TXN struct tx *tx = NULL;
    struct fleet_member m;
    TRY(tx_write(cx, store, &tx));
    TRY(find(cx, tx, argv[0], &m));
    TRY(compute_host_remove(cx, tx, m.id));
    TRY(tx_commit(cx, &tx));
    printf("Host %s is removed; its certificate is good for nothing from now on.\n", m.name);
    return NULL;
}

static struct err *revoke_host(struct ctx *cx, const struct settings *s UNUSED, struct store *store,
                               int argc UNUSED, char **argv)
{
    AUTO_TXN struct tx *tx = NULL;
    struct fleet_member m;
    TRY(tx_write(cx, store, &tx));
    TRY(find(cx, tx, argv[0], &m));
    if (m.local)
        return fail(cx, ERR_INVALID, "host %s is a control plane's own machine: it has none",
                    m.name);
    TRY(fleet_host_revoke(cx, tx, m.id));
    TRY(tx_commit(cx, &tx));
    printf("What host %s has joined with is good for nothing from now on; `colvert admin host add "
           "%s` lets it join again.\n",
           m.name, m.name);
    return NULL;
}

#define DRAIN_LOOK_S 1
#define DRAIN_REASON "drained by an operator"

static void tell(const struct compute_drained *d)
{
    printf("%s %-24s %-12s on %s%s%s\n", d->id, d->name, d->state ? d->state : "deleted",
           d->host ? d->host : "no host", d->why ? ": " : "", d->why ? d->why : "");
    fflush(stdout);
}

/* Told once a change. */
static struct err *await_drained(struct ctx *cx, struct store *store, const char *host_id,
                                 struct compute_drained *all, size_t n)
{
    struct compute_drained *was = arena_new_array(cx->arena, struct compute_drained, n + 1);
    for (bool moves = true; moves;) {
        moves = false;
        memcpy(was, all, n * sizeof(*all));
        TRY(compute_drain_look(cx, store, host_id, all, n));
        for (size_t i = 0; i < n; i++) {
            moves = moves || all[i].moves;
            if (!str_eq(all[i].state, was[i].state) || !str_eq(all[i].host, was[i].host))
                tell(&all[i]);
        }
        if (moves)
            sleep(DRAIN_LOOK_S);
    }
    return NULL;
}

static struct err *drain(struct ctx *cx, const struct settings *s, struct store *store, int argc,
                         char **argv)
{
    bool wait = argc > 1 && str_eq(argv[1], "--wait");
    struct fleet_member m;
    struct compute_drained *all;
    size_t n, stays = 0;
    if (argc > 1 && !wait)
        return fail(cx, ERR_INVALID, "usage: colvert admin host drain NAME [--wait]");
    TRY(configure_services(cx, s)); /* servers are placed by the operator's rules */
    for (size_t i = 0; i < n_all_services; i++)
        for (size_t k = 0; k < all_services[i]->n_resources; k++)
            resource_init(all_services[i]->resources[k]);
    {
        AUTO_TXN struct tx *tx = NULL;
        TRY(tx_read(cx, store, &tx));
        TRY(find(cx, tx, argv[0], &m));
    }
    TRY(compute_host_drain(cx, store, m.id, DRAIN_REASON, &all, &n));
    printf("Host %s gets no more servers ('openstack compute service set --enable' ends that); "
           "%zu of its servers leave:\n",
           m.name, n);
    for (size_t i = 0; i < n; i++)
        tell(&all[i]);
    if (wait)
        TRY(await_drained(cx, store, m.id, all, n));
    for (size_t i = 0; i < n; i++)
        stays += !all[i].left && !all[i].moves;
    if (stays)
        return fail(cx, ERR_CONFLICT, "%zu servers stay on host %s", stays, m.name);
    if (wait)
        printf("Host %s is empty.\n", m.name);
    return NULL;
}

static const struct {
    const char *word, *usage;
    int args_min, args_max; /* behind the word */
    struct err *(*run)(struct ctx *cx, const struct settings *s, struct store *store, int argc,
                       char **argv);
} commands[] = {{"add", "NAME [--ttl SECONDS] [--again]", 1, 4, add},
                {"list", "", 0, 0, list},
                {"show", "NAME", 1, 1, show},
                {"revoke", "NAME", 1, 1, revoke_host},
                {"drain", "NAME [--wait]", 1, 2, drain},
                {"remove", "NAME", 1, 1, drop}};

struct err *admin_host(struct ctx *cx, const struct settings *s, struct store *store,
                       const char *word, int argc, char **argv)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (!str_eq(commands[i].word, word))
            continue;
        if (argc < commands[i].args_min || argc > commands[i].args_max)
            return fail(cx, ERR_INVALID, "usage: colvert admin host %s %s", word,
                        commands[i].usage);
        return commands[i].run(cx, s, store, argc, argv);
    }
    return fail(cx, ERR_INVALID, "usage: colvert admin host add|list|show|revoke|drain|remove …");
}
