/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The API's engine: services declare routes, resources, quotas and statements; the dispatcher runs
 * match → authenticate → load target → policy → decode → handler → audit → commit → answer.
 */
#pragma once

#include "resource/family.h"

/* A call that an actor with limits may make: method and path ("/v2.1/servers/{id}", * one part,
 * ** any) of a service ("compute"). */
struct allowed_call {
    const char *service, *method, *path;
};

/* Who acts. Lives as long as the request. */
struct actor {
    const char *user_id, *user_name, *user_domain_id, *user_domain_name;
    const char *project_id, *project_name, *project_domain_id,
        *project_domain_name;            /* NULL: not scoped to a project */
    const char *domain_id, *domain_name; /* NULL: not scoped to a domain */
    const char *const *roles;            /* names, NULL-terminated */
    const char *token;
    bool admin;   /* has the role admin */
    bool member;  /* may change things in its project */
    bool limited; /* to the allowed calls */
    const struct allowed_call *allowed;
    size_t n_allowed;
    const char *host_id; /* an agent, not a user */
    void *more;          /* identity's own */
};

enum rule {
    RULE_NOBODY, /* a row without .rule is reachable by nobody */
    RULE_PUBLIC, /* without a token */
    RULE_ANY,    /* a valid token, also unscoped */
    RULE_READER, /* scoped to a project, any role; a loaded target must be visible */
    RULE_MEMBER, /* scoped to a project, member or admin; a loaded target must be the project's own,
                    or the actor admin */
    RULE_ADMIN,
    RULE_NODE /* an agent, for its own host */
};

enum route_flags {
    RT_NO_TX =
        1 << 0, /* the handler opens its own transactions (and is not run again on ERR_STALE) */
    RT_READ = 1 << 1,     /* a POST that only reads */
    RT_SLOW = 1 << 2,     /* the low-priority pool: hashing */
    RT_WORKER = 1 << 3,   /* a GET that must not run on an I/O thread */
    RT_STREAM = 1 << 4,   /* the body is streamed: .stream opens the sink */
    RT_RAW_BODY = 1 << 5, /* the body is not parsed as JSON */
    RT_UPDATE = 1 << 6,   /* .body decodes as an update of the target (default for PUT and PATCH) */
    RT_NO_AUDIT = 1 << 7, /* agents' reports: not a user's act */
    RT_BULK = 1 << 8, /* the body may hold many, {"ports": […]}: the handler decodes .body itself */
    RT_WRITES = 1 << 9 /* a GET that changes something, as some APIs have them */
};

struct call;
struct route {
    const char *method, *pattern; /* whole path: "/compute/v2.1/servers/{server_id}" */
    struct err *(*handler)(struct call *c);
    const char *policy; /* OpenStack's name for it: "os_compute_api:servers:create" */
    enum rule rule;
    const struct resource *target; /* found by the parameter .target_param (NULL: the last one),
                                      within the actor's view */
    const char *target_param;
    const struct resource
        *body; /* decoded into c->body (create) or onto a copy of the target (update) */
    const struct resource *list; /* what it lists: documentation and api_list() */
    unsigned flags, since, until;
    const char *query;    /* "limit marker": its query's arguments; NULL: any */
    unsigned query_since; /* from this microversion on others are refused */
    int status;           /* success; 0: 200 */
    struct err *(*stream)(struct call *c, struct http_sink **ret_sink);
    /* Before the transaction, with the body parsed but not decoded, or streamed: slow work
       (hashing, fsync, calls to agents); leaves its result in c->state. For calls that only read it
       may set a status: then that is the answer. */
    struct err *(*before)(struct call *c);
    const char *doc;
};
#define ROUTE(method_, pattern_, handler_, policy_, ...)                                           \
    {                                                                                              \
        .method = #method_, .pattern = pattern_, .handler = handler_, .policy = policy_,           \
        __VA_ARGS__                                                                                \
    }

/* A limit on what a project may have. usage: one row, one number, of $1 = project. */
struct quota {
    const char *name; /* "instances" */
    int64_t dflt;     /* -1: no limit */
    const struct stmt *usage;
};

struct service {
    const char *name;
    const struct family *family;
    const struct resource *const *resources;
    size_t n_resources;
    const struct route *routes;
    size_t n_routes;
    const struct stmt *const
        *stmts; /* every statement that is not a resource's own: all are prepared by a test */
    size_t n_stmts;
    const struct res_where *const *wheres;
    size_t n_wheres;
    const struct quota *quotas;
    size_t n_quotas;
    const char *ddl; /* tables that are no resources */
    /* What every call must fulfil besides its route's rule; NULL: nothing. */
    struct err *(*admit)(struct call *c);
    /* The same once its target is there, in its transaction. */
    struct err *(*loaded)(struct call *c);
};
#define SERVICE_LIST(field, array) .field = array, .n_##field = sizeof(array) / sizeof((array)[0])

struct api;

/* One request in the dispatcher. Everything lives in cx's arena. */
struct call {
    struct ctx *cx;
    struct api *api;
    struct http_request *rq;
    struct http_reply *rp;
    const struct route *route;
    const struct service *service;
    struct bound_route *bound;      /* private to the dispatcher */
    bool admitted;                  /* the same */
    const struct http_pair *params; /* path parameters */
    size_t n_params;
    struct actor *actor; /* never NULL in a handler; empty for public routes without a token */
    struct store *store;
    struct tx *tx;            /* NULL with RT_NO_TX */
    unsigned microversion;    /* minor */
    json_t *json;             /* the parsed body, or NULL */
    void *target;             /* the loaded row */
    void *body;               /* the decoded row */
    void *state;              /* between .stream and .handler */
    const char *audit_target; /* id for the audit event; default: the last path parameter */
};

const char *call_param(const struct call *c, const char *name); /* never NULL for a declared one */
const char *
call_base_url(const struct call *c); /* "http://host:port/compute" + version as in the route */
struct view call_view(struct call *c);
/* Starts a JSON reply. */
struct jw call_json(struct call *c, int status);
/* The row as {"server": {…}} (or bare), with .prepare run. status 0: the route's. */
MUST_USE struct err *call_reply_row(struct call *c, int status, const struct resource *res,
                                    void *row);
void call_reply_empty(struct call *c, int status);
/* An audit event of what the control plane does by itself. */
MUST_USE struct err *audit_note(struct ctx *cx, struct tx *tx, const char *action,
                                const char *target);
struct err *call_require_owner(struct call *c, const char *project_id, const struct resource *res,
                               const char *id);

/*
 * The whole list request: filters, sort, paging, fields, links from the query, within the actor's
 * scope (owner = project unless admin asks all_tenants/all_projects or the family shows admins
 * everything). more_where (may be NULL) is SQL with its own parameters, numbered from $1.
 */
struct list_more {
    const char *where;
    const struct db_value *params;
    size_t n_params;
    bool all_projects; /* don't limit to the actor's project */
    bool brief;
    bool count; /* the number of rows of all pages, as "count" */
    /* Sees each query argument first: taken, or left to the fields. May add a condition: SQL in
       which {value} stands for the argument's value and {project} for the actor's project. */
    struct err *(*filter)(struct call *c, const char *name, const char *value, bool *ret_taken,
                          const char **ret_sql);
    const char
        *shared_where; /* rows of others that are seen too: "shared = 1"; {project} as above */
    /* After loading, drops rows (regular expressions, looked-up things). */
    bool (*keep)(struct call *c, const void *row);
    const int *keep_needs; /* the columns that .keep looks at: NEEDS(…) */
};
MUST_USE struct err *call_reply_list(struct call *c, const struct resource *res,
                                     const struct list_more *more);

/* ---- quota.c */
/* In a project's place: what counts for projects without a limit of their own. */
#define QUOTA_DEFAULTS "class:default"
MUST_USE struct err *quota_limit(struct ctx *cx, struct tx *tx, const struct service *svc,
                                 const char *name, const char *project_id, int64_t *ret_limit);
/* The limit that stands under this very key, if there is one. */
MUST_USE struct err *quota_own(struct ctx *cx, struct tx *tx, const struct service *svc,
                               const char *name, const char *project_id, int64_t *ret_limit,
                               bool *ret_found);
MUST_USE struct err *quota_usage(struct ctx *cx, struct tx *tx, const struct service *svc,
                                 const char *name, const char *project_id, int64_t *ret_used);
/* ERR_QUOTA, in words that name the limit, when `more` of it would be too many. */
MUST_USE struct err *quota_check(struct ctx *cx, struct tx *tx, const struct service *svc,
                                 const char *name, const char *project_id, int64_t more);
MUST_USE struct err *quota_set(struct ctx *cx, struct tx *tx, const struct service *svc,
                               const char *name, const char *project_id, int64_t limit);
/* The same for names that are made at run time ("gigabytes_fast"). */
MUST_USE struct err *quota_limit_named(struct ctx *cx, struct tx *tx, const struct service *svc,
                                       const char *name, const char *project_id, int64_t dflt,
                                       int64_t *ret_limit);
MUST_USE struct err *quota_set_named(struct ctx *cx, struct tx *tx, const struct service *svc,
                                     const char *name, const char *project_id, int64_t limit);
/* svc NULL: of all services, for a project that goes. */
MUST_USE struct err *quota_reset(struct ctx *cx, struct tx *tx, const struct service *svc,
                                 const char *project_id);

/* ---- dispatch.c */
struct api_hooks {
    /* Token → actor. ERR_UNAUTHENTICATED when it is forged, expired or revoked. */
    struct err *(*authenticate)(struct ctx *cx, struct tx *tx, const char *token,
                                struct actor *ret);
    /* Agent's secret → actor.host_id, which must be the route's {host}. */
    struct err *(*authenticate_node)(struct ctx *cx, struct tx *tx, const char *secret,
                                     const char *host, struct actor *ret);
    /* The same by the fingerprint of its certificate, "": it showed none. On a server that asks for
     * certificates nothing else counts. */
    struct err *(*authenticate_cert)(struct ctx *cx, struct tx *tx, const char *sha256,
                                     const char *host, struct actor *ret);
};
struct api_config {
    const char *region;
    bool show_links_https; /* behind a TLS proxy */
};
/* Services are static; store and hooks outlive the api. */
struct api *api_new(struct store *store, const struct service *const *services, size_t n_services,
                    const struct api_hooks *hooks, const struct api_config *cfg);
void api_free(struct api *a);
struct http_app api_app(struct api *a);
void api_set_server(struct api *a, struct http_server *s);       /* for api_wake */
void api_set_hosts_server(struct api *a, struct http_server *s); /* the same: hosts' own */
struct store *api_store(struct api *a);
const struct service *api_service(const struct api *a, const char *name);
/* Runs requests parked on the topic again. Any thread; before the server starts: nothing. */
void api_wake(struct api *a, const char *topic);
/* As many as there are: changes may have gone unheard. */
void api_wake_all(struct api *a);
/* The same once the transaction has committed, in every process. */
void api_wake_on_commit(struct api *a, struct ctx *cx, struct tx *tx, const char *topic);
/* Parks the call: the handler runs again (whole, in a new transaction) when the topic wakes or
 * until_us (monotonic) passes. */
void call_park(struct call *c, const char *topic, int64_t until_us);

/* What each route has answered so far. */
struct route_figures {
    uint64_t answers[6]; /* by the status' first digit */
    uint64_t busy_us;    /* in handlers, waiting for the store included */
};
void api_each_route(struct api *a,
                    void (*fn)(void *arg, const struct service *svc, const struct route *r,
                               const struct route_figures *f),
                    void *arg);
struct http_server *api_server(struct api *a); /* NULL before api_set_server */

/* All DDL of these services, in order: what migration 1 holds. */
const char *api_ddl(struct ctx *cx, const struct service *const *services, size_t n);

/* ---- openapi.c */
/* The OpenAPI 3.0 document of these services (resource_init need not have run). */
void openapi_write(struct ctx *cx, const struct service *const *services, size_t n,
                   struct buf *out);
const char *rule_name(enum rule rule); /* "project member" */

/* Tables of the engine itself: audit events and quotas. */
extern const struct service engine_service;
