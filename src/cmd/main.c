/* SPDX-License-Identifier: EUPL-1.2 */
/* colvert: one executable, a few roles. */
#include "cmd/wiring.h"
#include "node/guard.h"
#include <malloc.h>
#include <sodium.h>

static void usage(FILE *out)
{
    fputs(
        "colvert " COLVERT_VERSION ": an OpenStack-compatible IaaS cloud in one program\n"
        "\n"
        "usage: colvert COMMAND [OPTIONS]\n"
        "\n"
        "  up                  everything on this machine: starts and watches api and node\n"
        "  api                 the control plane: all service APIs on one listener\n"
        "  node                the agent of this host; node --purge removes all that it made\n"
        "  network             with network_driver ovn: writes the region's networks to OVN; of "
        "several,\n"
        "                      one at a time\n"
        "  admin bootstrap     schema, first administrator, catalogue (idempotent)\n"
        "  admin migrate       brings the state store's schema up to date\n"
        "  admin migrate-state --from URL --to URL\n"
        "                      moves all state to an empty database, sqlite:FILE or postgresql:…;\n"
        "                      every api must be stopped; the other way round it moves back\n"
        "  admin rotate-keys   a new token signing key; older tokens stay valid until they expire\n"
        "  admin pool-make DIR shared storage for volumes (shared_dir), made once in the mounted "
        "folder\n"
        "  admin rotate-ca     the hosts' certificate authority: first makes the next one, then "
        "uses it\n"
        "  admin host-add NAME a control plane's own machine, and its agent's secret (printed "
        "once)\n"
        "  admin network-add   the secret of 'colvert network' (printed once), for "
        "DATA/network/secret "
        "where\n"
        "                      it runs; 'up' makes one by itself\n"
        "  admin host add NAME a host on another machine: its join token (printed once)\n"
        "  admin host list     hosts; also: host show, revoke, remove NAME\n"
        "  schema config       the documented configuration file\n"
        "  schema sql          the tables\n"
        "  schema docs         routes with their policies, and resources\n"
        "  schema openapi      OpenAPI 3 description of the APIs\n"
        "\n"
        "options (also in /etc/colvert/colvert.conf as key_name = value, or --config FILE):\n",
        out);
    settings_help(out);
}

int complain(struct ctx *cx, const struct err *e)
{
    fprintf(stderr, "colvert: %s\n", e->message);
    for (const struct err *c = e->cause; c; c = c->cause)
        fprintf(stderr, "  because: %s\n", c->message);
    (void)cx;
    return 1;
}

/* Options of one command, which no setting knows: "from" for "--from" and "--from=URL". */
static const char *own_option(const char *arg)
{
    static const char *const names[] = {"--from", "--to"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t len = strlen(names[i]);
        if (strncmp(arg, names[i], len) == 0 && (!arg[len] || arg[len] == '='))
            return names[i] + 2;
    }
    return NULL;
}

/* Behind all that are settings, as arguments "from=URL". argv[first] and on. */
static void own_options_last(struct ctx *cx, int *argc, char **argv, int first)
{
    char **own = arena_new_array(cx->arena, char *, (size_t)*argc);
    int n_own = 0, n = first;
    for (int i = first; i < *argc; i++) {
        const char *name = own_option(argv[i]);
        if (!name)
            argv[n++] = argv[i];
        else if (strchr(argv[i], '='))
            own[n_own++] = argv[i] + 2;
        else if (i + 1 < *argc)
            own[n_own++] = arena_printf(cx->arena, "%s=%s", name, argv[++i]);
    }
    for (int i = 0; i < n_own; i++)
        argv[n++] = own[i];
    *argc = n;
}

static int run(struct settings *s, int argc, char **argv)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const char *command = argv[1];
    bool purge = false, words = str_eq(command, "admin") || str_eq(command, "schema");
    int first = 2, rest = 0;
    if (words && argc > 2)
        first = 3;
    const char *word = first == 3 ? argv[2] : "";
    if (str_eq(command, "admin") && str_eq(word, "host") && argc > 3) { /* a word of two */
        word = arena_printf(cx.arena, "host %s", argv[3]);
        first = 4;
    }
    if (str_eq(command, "node") && argc > 2 && str_eq(argv[2], "--purge")) {
        purge = true;
        first = 3;
    }
    if (argc > 2 && str_eq(argv[2], "migrate-state"))
        own_options_last(&cx, &argc, argv, first);
    struct err *e = settings_args(&cx, s, argc - first, argv + first, &rest);
    enum log_level level;
    if (!e && !log_level_parse(s->log_level, &level))
        e = fail(&cx, ERR_INVALID, "log_level must be debug, info, warn or error, not '%s'",
                 s->log_level);
    if (e)
        return complain(&cx, e);
    log_set_level(level);
    if (str_eq(command, "up"))
        return up_main(s, argv[0]);
    if (str_eq(command, "api"))
        return api_main(s);
    if (str_eq(command, "node"))
        return purge ? node_purge(s) : node_main(s);
    if (str_eq(command, "network"))
        return network_main(s);
    if (words && argc > 2) {
        argv[first + rest - 1] = (char *)(uintptr_t)word; /* then its arguments */
        int n = argc - first - rest + 1;
        return str_eq(command, "admin") ? admin_main(s, n, argv + first + rest - 1)
                                        : schema_main(s, n, argv + first + rest - 1);
    }
    usage(stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct settings s;
    mallopt(M_ARENA_MAX, 2); /* a small program stays small */
    must(sodium_init() >=
         0); /* without it the portable code runs: a password's hash takes twice as long */
    if (argc < 2 || str_eq(argv[1], "--help") || str_eq(argv[1], "-h") || str_eq(argv[1], "help")) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (str_eq(argv[1], "--version")) {
        puts("colvert " COLVERT_VERSION);
        return 0;
    }
    if (argc == 4 && str_eq(argv[1], "guard")) /* the agent starts it */
        return guard_main(argv[2], argv[3]);
    settings_defaults(&s);
    return run(&s, argc, argv);
}
