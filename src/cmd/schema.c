/* SPDX-License-Identifier: EUPL-1.2 */
/* Prints what the tables in the code declare. */
#include "cmd/wiring.h"

static const char *rule_name(enum rule rule)
{
    static const char *const names[] = {[RULE_NOBODY] = "nobody", [RULE_PUBLIC] = "public", [RULE_ANY] = "any token",
                                        [RULE_READER] = "project reader", [RULE_MEMBER] = "project member",
                                        [RULE_ADMIN] = "admin", [RULE_NODE] = "agent"};
    return names[rule];
}

static void print_docs(void)
{
    for (size_t i = 0; i < n_all_services; i++) {
        const struct service *svc = all_services[i];
        printf("# %s\n", svc->name);
        for (size_t k = 0; k < svc->n_routes; k++) {
            const struct route *r = &svc->routes[k];
            printf("%-6s %-70s %-60s %s\n", r->method, r->pattern, r->policy, rule_name(r->rule));
        }
        for (size_t k = 0; k < svc->n_resources; k++) {
            const struct resource *res = svc->resources[k];
            printf("\n## %s: %s\n", res->name, res->doc ? res->doc : "");
            for (size_t f = 0; f < res->n_fields; f++)
                if (!(res->fields[f].flags & F_HIDDEN))
                    printf("  %-36s %s\n", res->fields[f].wire, res->fields[f].doc ? res->fields[f].doc : "");
        }
        putchar('\n');
    }
}

int schema_main(const struct settings *s UNUSED, int argc, char **argv)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    if (argc == 1 && str_eq(argv[0], "config")) {
        settings_print(stdout);
    } else if (argc == 1 && str_eq(argv[0], "sql")) {
        for (size_t i = 0; i < n_all_services; i++)
            for (size_t k = 0; k < all_services[i]->n_resources; k++)
                resource_init(all_services[i]->resources[k]);
        fputs(api_ddl(&cx, all_services, n_all_services), stdout);
    } else if (argc == 1 && str_eq(argv[0], "docs")) {
        print_docs();
    } else {
        return complain(&cx, fail(&cx, ERR_INVALID, "unknown schema '%s': config, sql, docs or openapi", argv[0]));
    }
    return 0;
}
