/* SPDX-License-Identifier: EUPL-1.2 */
/* Prints what the tables in the code declare. */
#include "cmd/wiring.h"

static void print_routes(const struct service *svc)
{
    printf("\n## %s\n\n", svc->name);
    if (svc->n_routes)
        fputs("| method | path | policy | who |\n|---|---|---|---|\n", stdout);
    for (size_t i = 0; i < svc->n_routes; i++) {
        const struct route *r = &svc->routes[i];
        printf("| %s | `%s` | `%s` | %s |\n", r->method, r->pattern, r->policy, rule_name(r->rule));
    }
}

static const char *may_set(const struct field *f)
{
    bool create = f->flags & F_CREATE, update = f->flags & F_UPDATE, admin = f->flags & F_ADMIN_SET;
    if (!create && !update)
        return f->flags & F_ADMIN ? "shown to administrators" : "shown";
    if (admin)
        return create && update ? "set by administrators" : "set by administrators, once";
    return create && update ? (f->flags & F_REQ ? "required" : "set")
           : create         ? (f->flags & F_REQ ? "required, once" : "once")
                            : "changed";
}

static void print_resource(const struct resource *res)
{
    static const char *const kinds[] = {[KIND_UUID] = "id",
                                        [KIND_STR] = "text",
                                        [KIND_INT] = "number",
                                        [KIND_BOOL] = "boolean",
                                        [KIND_TIME] = "time",
                                        [KIND_JSON] = "JSON",
                                        [KIND_MAP] = "object of texts",
                                        [KIND_LIST] = "list of texts"};
    printf("\n### %s\n\n%s\n\n| member | kind | use | default | meaning |\n|---|---|---|---|---|\n",
           res->name, res->doc ? res->doc : "");
    for (size_t i = 0; i < res->n_fields; i++) {
        const struct field *f = &res->fields[i];
        if ((f->flags & F_HIDDEN) && !(f->flags & F_RW))
            continue;
        printf("| `%s`%s%s%s | %s | %s | %s | %s", f->wire, f->also ? ", `" : "",
               f->also ? f->also : "", f->also ? "`" : "", kinds[f->kind], may_set(f),
               f->dflt             ? f->dflt
               : f->flags & F_NULL ? "null"
                                   : "",
               f->doc ? f->doc : "");
        if (f->since)
            printf(" (since microversion %u)", f->since);
        if (f->until)
            printf(" (until microversion %u)", f->until);
        puts(" |");
    }
}

/* Markdown: who may call what, and what each member means. */
static void print_docs(void)
{
    puts("# Colvert's APIs, as its tables declare them");
    for (size_t i = 0; i < n_all_services; i++) {
        print_routes(all_services[i]);
        for (size_t k = 0; k < all_services[i]->n_resources; k++)
            print_resource(all_services[i]->resources[k]);
    }
}

static void print_openapi(struct ctx *cx)
{
    struct buf b;
    buf_init(&b, cx->arena);
    openapi_write(cx, all_services, n_all_services, &b);
    fputs(buf_cstr(&b), stdout);
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
    } else if (argc == 1 && str_eq(argv[0], "openapi")) {
        print_openapi(&cx);
    } else {
        return complain(&cx, fail(&cx, ERR_INVALID,
                                  "unknown schema '%s': config, sql, docs or openapi", argv[0]));
    }
    return 0;
}
