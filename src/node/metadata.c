/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * See metadata.h. The paths are those of nova's metadata service
 * (https://docs.openstack.org/nova/latest/user/metadata.html): the tables below are all there is.
 * The tree is small and read-only, but for the password that a guest may leave once, so listings
 * are made from the same rows.
 */
#include "node/metadata.h"

struct request {
    struct ctx *cx;
    const struct spec_server *s;
    const char *ip;
    struct buf *out;
};

/* False: this server has no such thing. */
typedef bool page_fn(struct request *rq);

struct page {
    const char *path; /* below the version */
    page_fn *write;
    const char *type;
};

static const char *const openstack_versions[] = {
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30",
    "2016-10-06", "2017-02-22", "2018-08-27", "2020-10-14", "latest"};
static const char *const ec2_versions[] = {"1.0",        "2007-01-19", "2007-03-01", "2007-08-29",
                                           "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
                                           "2009-04-04", "latest"};

static const char *meta(const struct request *rq, const char *key)
{
    return json_get_str(rq->s->meta_data, key);
}

static bool json_page(struct request *rq, const json_t *j)
{
    struct jw w;
    jw_init(&w, rq->out);
    if (j)
        jw_json(&w, j);
    else
        buf_str(rq->out, "{}");
    return true;
}

/* ---- OpenStack's ---- */

static bool meta_data(struct request *rq)
{
    return json_page(rq, rq->s->meta_data);
}

static bool network_data(struct request *rq)
{
    return json_page(rq, rq->s->network_data);
}

static bool vendor_data(struct request *rq)
{
    return json_page(rq, rq->s->vendor_data);
}

static bool vendor_data2(struct request *rq)
{
    return json_page(rq, NULL);
}

static bool user_data(struct request *rq)
{
    if (!rq->s->user_data)
        return false;
    buf_add(rq->out, rq->s->user_data, rq->s->user_data_size);
    return true;
}

/* Empty until the guest left one. */
static bool password(struct request *rq)
{
    buf_str(rq->out, rq->s->password_data ? rq->s->password_data : "");
    return true;
}

#define PASSWORD "password"
#define PASSWORD_WAIT_US 5000000 /* for the control plane to have it */

static const struct page openstack_pages[] = {
    {"meta_data.json", meta_data, "application/json"},
    {"network_data.json", network_data, "application/json"},
    {PASSWORD, password, "text/plain"},
    {"user_data", user_data, "application/octet-stream"},
    {"vendor_data.json", vendor_data, "application/json"},
    {"vendor_data2.json", vendor_data2, "application/json"},
};

/* ---- EC2's ---- */

static bool add(struct request *rq, const char *text)
{
    if (!text)
        return false;
    buf_str(rq->out, text);
    return true;
}

static bool ami_id(struct request *rq)
{
    return add(rq, rq->s->image.id);
}

static bool instance_id(struct request *rq)
{
    return add(rq, rq->s->id);
}

static bool zero(struct request *rq)
{
    return add(rq, "0");
}

static bool instance_type(struct request *rq)
{
    const char *flavor = meta(rq, "instance_type");
    return add(rq, flavor ? flavor : "unknown");
}

static bool hostname(struct request *rq)
{
    const char *name = meta(rq, "hostname");
    return add(rq, name ? name : rq->s->hostname);
}

static bool local_ipv4(struct request *rq)
{
    return !strchr(rq->ip, ':') && add(rq, rq->ip);
}

/* Empty without a floating IP, as nova has it. */
static bool public_ipv4(struct request *rq)
{
    return add(rq, rq->s->public_ip ? rq->s->public_ip : "");
}

static bool mac(struct request *rq)
{
    return rq->s->n_nics && add(rq, rq->s->nics[0].mac);
}

static bool zone(struct request *rq)
{
    return add(rq, meta(rq, "availability_zone"));
}

static bool reservation_id(struct request *rq)
{
    return add(rq, arena_printf(rq->cx->arena, "r-%.8s", rq->s->id));
}

static bool security_groups(struct request *rq)
{
    const char *names =
        meta(rq, "security_groups"); /* joined with newlines by the control plane, if known */
    return add(rq, names ? names : "default");
}

static bool root_device(struct request *rq)
{
    return add(rq, "/dev/vda");
}

static const json_t *first_key(const struct request *rq)
{
    return json_array_get(json_get(rq->s->meta_data, "keys"), 0);
}

static bool key_list(struct request *rq)
{
    const char *name = json_get_str(first_key(rq), "name");
    return name && add(rq, arena_printf(rq->cx->arena, "0=%s", name));
}

static bool key_data(struct request *rq)
{
    const char *key = json_get_str(first_key(rq), "data");
    if (!key)
        return false;
    buf_str(rq->out, key);
    if (!str_ends(key, "\n"))
        buf_char(rq->out, '\n');
    return true;
}

/* In the order of their paths: listings print them as they stand. */
static const struct page ec2_pages[] = {
    {"meta-data/ami-id", ami_id, "text/plain"},
    {"meta-data/ami-launch-index", zero, "text/plain"},
    {"meta-data/block-device-mapping/ami", root_device, "text/plain"},
    {"meta-data/block-device-mapping/root", root_device, "text/plain"},
    {"meta-data/hostname", hostname, "text/plain"},
    {"meta-data/instance-id", instance_id, "text/plain"},
    {"meta-data/instance-type", instance_type, "text/plain"},
    {"meta-data/local-hostname", hostname, "text/plain"},
    {"meta-data/local-ipv4", local_ipv4, "text/plain"},
    {"meta-data/mac", mac, "text/plain"},
    {"meta-data/placement/availability-zone", zone, "text/plain"},
    {"meta-data/public-hostname", hostname, "text/plain"},
    {"meta-data/public-ipv4", public_ipv4, "text/plain"},
    {"meta-data/public-keys/0/openssh-key", key_data, "text/plain"},
    {"meta-data/reservation-id", reservation_id, "text/plain"},
    {"meta-data/security-groups", security_groups, "text/plain"},
    {"user-data", user_data, "application/octet-stream"},
};

/* ---- the tree ---- */

static bool exists(struct request *rq, const struct page *p)
{
    struct buf scratch;
    struct request probe = *rq;
    buf_init(&scratch, rq->cx->arena);
    probe.out = &scratch;
    return p->write(&probe);
}

/* The names right below dir ("meta-data/"), each once; those with children end with '/'. */
static bool list_dir(struct request *rq, const struct page *pages, size_t n, const char *dir)
{
    const char *last = NULL;
    size_t dir_len = strlen(dir), last_len = 0;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (!str_starts(pages[i].path, dir) || !exists(rq, &pages[i]))
            continue;
        const char *name = pages[i].path + dir_len;
        size_t len = strcspn(name, "/");
        len += name[len] == '/';
        if (last && len == last_len && strncmp(last, name, len) == 0)
            continue;
        if (any)
            buf_char(rq->out, '\n');
        buf_add(rq->out, name, len);
        any = true;
        last = name;
        last_len = len;
    }
    return any;
}

static bool serve(struct request *rq, const struct page *pages, size_t n, const char *path,
                  const char **ret_type)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(pages[i].path, path)) {
            *ret_type = pages[i].type;
            return pages[i].write(rq);
        }
    }
    *ret_type = "text/plain";
    if (str_eq(path, "meta-data/public-keys") || str_eq(path, "meta-data/public-keys/"))
        return key_list(rq);
    const char *dir =
        !*path || str_ends(path, "/") ? path : arena_printf(rq->cx->arena, "%s/", path);
    return list_dir(rq, pages, n, dir);
}

static bool list_versions(struct request *rq, const char *const *versions, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(rq->out, "%s%s", i ? "\n" : "", versions[i]);
    return true;
}

/* The rest of the path after a version of the list; NULL if it starts with none of them. */
static const char *after_version(const char *path, const char *const *versions, size_t n)
{
    size_t len = strcspn(path, "/");
    for (size_t i = 0; i < n; i++)
        if (strlen(versions[i]) == len && strncmp(versions[i], path, len) == 0)
            return path[len] ? path + len + 1 : path + len;
    return NULL;
}

/* Without slashes before and arguments after it. */
static const char *clean(struct ctx *cx, const char *path)
{
    path = arena_strndup(cx->arena, path, strcspn(path, "?#"));
    return path + strspn(path, "/");
}

/* The rest of a path below "openstack"; NULL: it is EC2's. */
static const char *below_openstack(const char *path)
{
    if (!str_eq(path, "openstack") && !str_starts(path, "openstack/"))
        return NULL;
    return path + (path[9] ? 10 : 9);
}

bool metadata_render(struct ctx *cx, const struct spec_server *s, const char *ip, const char *path,
                     struct buf *ret_body, const char **ret_content_type)
{
    struct request rq = {.cx = cx, .s = s, .ip = ip, .out = ret_body};
    *ret_content_type = "text/plain";
    path = clean(cx, path);
    const char *below = below_openstack(path);
    const char *const *versions = below ? openstack_versions : ec2_versions;
    size_t n = below ? ARRAY_LEN(openstack_versions) : ARRAY_LEN(ec2_versions);
    if (below)
        path = below;
    if (!*path)
        return list_versions(&rq, versions, n);
    const char *rest = after_version(path, versions, n);
    if (!rest)
        return false;
    return below ? serve(&rq, openstack_pages, ARRAY_LEN(openstack_pages), rest, ret_content_type)
                 : serve(&rq, ec2_pages, ARRAY_LEN(ec2_pages), rest, ret_content_type);
}

static bool is_password(struct ctx *cx, const char *path)
{
    const char *below = below_openstack(clean(cx, path));
    const char *rest =
        below ? after_version(below, openstack_versions, ARRAY_LEN(openstack_versions)) : NULL;
    return str_eq(rest, PASSWORD);
}

/* Kept in a file from the first moment on. Who has left it may tell others: so they find it, unless
 * the control plane is away for long. */
static struct err *leave_password(struct ctx *cx, struct agent *a, const char *server_id,
                                  const struct metadata_ask *ask, int *ret_status)
{
    *ret_status = 405;
    if (!is_password(cx, ask->path))
        return NULL;
    if (!ask->waited_us) {
        struct err *e = agent_leave_password(cx, a, server_id, ask->body, ask->body_size);
        *ret_status = e ? err_http_status(e->kind) : 200;
        if (e) /* what is wrong with a guest's request is the guest's to hear, the rest is ours */
            return *ret_status < 500 ? NULL : e;
    }
    bool told = agent_password_told(cx, a, server_id) || ask->waited_us >= PASSWORD_WAIT_US;
    *ret_status = told ? 200 : METADATA_LATER;
    return NULL;
}

struct err *metadata_answer(struct ctx *cx, void *agent, const struct metadata_ask *ask,
                            struct buf *ret_body, const char **ret_content_type, int *ret_status)
{
    struct spec_server s;
    *ret_status = 404;
    *ret_content_type = "text/plain";
    if (!agent_server_by_ip(cx, agent, ask->network_id, ask->source_ip, &s))
        return NULL;
    if (ask->body)
        return leave_password(cx, agent, s.id, ask, ret_status);
    if (metadata_render(cx, &s, ask->source_ip, ask->path, ret_body, ret_content_type))
        *ret_status = 200;
    return NULL;
}
