/* SPDX-License-Identifier: EUPL-1.2 */
/* The operator's commands. */
#include "cmd/wiring.h"
#include "fleet/fleet.h"
#include "identity/identity.h"
#include "node/drivers/driver.h"
#include "store/move.h"

static struct err *bootstrap(struct ctx *cx, const struct settings *s)
{
    const char *password = NULL;
    TRY(bootstrap_region(cx, s, NULL, NULL, false, &password));
    if (password && !*s->bootstrap_password)
        printf("Password of the administrator, shown this once: %s\n", password);
    return NULL;
}

static struct err *with_store(struct ctx *cx, const struct settings *s,
                              struct err *(*work)(struct ctx *cx, struct store *store,
                                                  const char *arg),
                              const char *arg)
{
    struct store *store = NULL;
    TRY(open_state(cx, s, &store));
    struct err *e = work(cx, store, arg);
    store_close(store);
    return e;
}

static struct err *migrate(struct ctx *cx, struct store *store, const char *arg UNUSED)
{
    return store_migrate(cx, store, all_migrations, n_all_migrations);
}

static struct err *rotate_keys(struct ctx *cx, struct store *store, const char *arg UNUSED)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(cx, store, &tx));
    TRY(identity_new_token_key(cx, tx));
    return tx_commit(cx, &tx);
}

/* name NULL: the network writer. */
static struct err *host_add(struct ctx *cx, struct store *store, const char *name)
{
    uint8_t raw[24];
    AUTO_TXN struct tx *tx = NULL;
    const char *id;
    if (name && (!*name || strlen(name) > 255))
        return fail(cx, ERR_INVALID, "A host's name has 1 to 255 characters");
    rng_bytes(rng_system(), raw, sizeof(raw));
    char *secret = base64url_encode(cx, raw, sizeof(raw));
    TRY(tx_write(cx, store, &tx));
    TRY(name ? fleet_host_add(cx, tx, name, secret, &id) : fleet_writer_add(cx, tx, secret, &id));
    TRY(tx_commit(cx, &tx));
    printf("Host %s: %s\nIts secret, shown this once: %s\n", name ? name : FLEET_WRITER, id,
           secret);
    secret_wipe(secret, strlen(secret));
    return NULL;
}

static struct err *rotate_ca(struct ctx *cx, const struct settings *s)
{
    bool changed;
    TRY(authority_rotate(cx, s, &changed));
    puts(changed
             ? "The next certificate authority is the one in use. Restart the control planes."
             : "The next certificate authority is made. Restart the control planes; when each host "
               "has been up since, do this again: then it is used.");
    return NULL;
}

/* "from=URL" → "URL"; NULL: not there. */
static const char *option(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (str_starts(argv[i], name) && argv[i][strlen(name)] == '=')
            return argv[i] + strlen(name) + 1;
    return NULL;
}

struct moved {
    int64_t rows, tables;
};

static void tell_progress(void *arg, const char *table, int64_t rows, bool done)
{
    struct moved *m = arg;
    m->rows += done ? rows : 0;
    m->tables += done;
    if (rows)
        printf("%s: %" PRId64 " rows%s\n", table, rows, done ? "" : " so far");
    fflush(stdout);
}

static struct err *migrate_state(struct ctx *cx, int argc, char **argv)
{
    const char *from = option(argc, argv, "from"), *to = option(argc, argv, "to");
    struct moved m = {0};
    if (!from || !to || argc != 3)
        return fail(cx, ERR_INVALID,
                    "usage: colvert admin migrate-state --from URL --to URL, such as "
                    "sqlite:/var/lib/colvert/control/state.db and postgresql://host/name");
    TRY(store_move(cx, from, to, all_migrations, n_all_migrations, tell_progress, &m));
    printf("%" PRId64 " tables with %" PRId64 " rows were moved; counts and checksums agree.\n"
           "Now name the new database in the setting 'state', on every machine that runs an api.\n",
           m.tables, m.rows);
    return NULL;
}

static struct err *host(struct ctx *cx, const struct settings *s, const char *word, int argc,
                        char **argv)
{
    struct store *store = NULL;
    TRY(open_state(cx, s, &store));
    struct err *e = admin_host(cx, s, store, word, argc, argv);
    store_close(store);
    return e;
}

static struct err *pool_make(struct ctx *cx, const char *dir)
{
    const char *id;
    TRY(qcow2_pool_make(cx, dir, &id));
    printf("Pool %s. Hosts that have it mounted are to be told of it: shared_dir.\n", id);
    return NULL;
}

int admin_main(const struct settings *s, int argc, char **argv)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct err *e = NULL;
    if (str_eq(argv[0], "bootstrap") && argc == 1)
        e = bootstrap(&cx, s);
    else if (str_eq(argv[0], "migrate") && argc == 1)
        e = with_store(&cx, s, migrate, NULL);
    else if (str_eq(argv[0], "rotate-keys") && argc == 1)
        e = with_store(&cx, s, rotate_keys, NULL);
    else if (str_eq(argv[0], "migrate-state"))
        e = migrate_state(&cx, argc, argv);
    else if (str_eq(argv[0], "host-add") && argc == 2)
        e = with_store(&cx, s, host_add, argv[1]);
    else if (str_eq(argv[0], "host-add"))
        e = fail(&cx, ERR_INVALID, "usage: colvert admin host-add NAME");
    else if (str_eq(argv[0], "network-add") && argc == 1)
        e = with_store(&cx, s, host_add, NULL);
    else if (str_eq(argv[0], "rotate-ca") && argc == 1)
        e = rotate_ca(&cx, s);
    else if (str_eq(argv[0], "pool-make") && argc == 2)
        e = pool_make(&cx, argv[1]);
    else if (str_starts(argv[0], "host "))
        e = host(&cx, s, argv[0] + strlen("host "), argc - 1, argv + 1);
    else
        e = fail(&cx, ERR_INVALID, "unknown admin command '%s' ('colvert --help' lists them)",
                 argv[0]);
    return e ? complain(&cx, e) : 0;
}
