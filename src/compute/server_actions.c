/* SPDX-License-Identifier: EUPL-1.2 */
/* POST /servers/{id}/action: the body's only member names the action; each is a row. */
#include "compute/impl.h"

struct action_row {
    const char *name;
    struct err *(*act)(struct call *c, struct server *s, const json_t *args);
    const char *policy;
    bool admin, reads; /* reads: answered before the transaction, by server_act_before */
};

/* ---------------------------------------------------------------- power */

static struct err *accepted(struct call *c, struct server *s)
{
    TRY(server_save(c->cx, c->tx, s));
    call_reply_empty(c, 202);
    return NULL;
}

/* A start is a new boot: a late report of the last shutdown must not be taken for a new one. */
static struct err *act_start(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_begin(c, s, SA_START));
    s->want_power = true;
    s->boot_seq++;
    return accepted(c, s);
}

static struct err *act_stop(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_begin(c, s, SA_STOP));
    s->want_power = false;
    return accepted(c, s);
}

static struct err *act_reboot(struct call *c, struct server *s, const json_t *args)
{
    const char *type = json_get_str(args, "type");
    bool hard = type && strcasecmp(type, "HARD") == 0;
    if (!hard && !(type && strcasecmp(type, "SOFT") == 0))
        return bad_member(c, "type", json_get(args, "type"),
                          "it is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', "
                          "'soft']");
    TRY(server_begin(c, s, hard ? SA_HARD_REBOOT : SA_REBOOT));
    s->want_power = true;
    if (hard)
        s->boot_seq++;
    else
        s->reset_seq++;
    return accepted(c, s);
}

/* ---------------------------------------------------------------- rebuild */

static struct err *rebuild_member(struct call *c, struct server *s, const char *key,
                                  const json_t *v, bool *ret_taken)
{
    json_t *one = json_own(c->cx, json_object());
    json_object_set(one, key, (json_t *)(uintptr_t)v);
    *ret_taken = true;
    if (str_eq(key, "name") || str_eq(key, "accessIPv4") || str_eq(key, "accessIPv6") ||
        str_eq(key, "OS-DCF:diskConfig") || str_eq(key, "description") || str_eq(key, "hostname"))
        return res_decode(c->cx, c->service->family, &server_resource, one, DECODE_UPDATE,
                          c->microversion, c->actor->admin, s);
    /* Members of a create that a rebuild takes too: decoded by the same table into a row of their
     * own. */
    bool copied = str_eq(key, "metadata") || str_eq(key, "adminPass") ||
                  (str_eq(key, "user_data") && c->microversion >= 57) ||
                  (str_eq(key, "key_name") && c->microversion >= 54) ||
                  str_eq(key, "trusted_image_certificates");
    if (!copied) {
        *ret_taken = false;
        return NULL;
    }
    struct server *in = res_new(c->cx, &server_resource);
    json_object_set_new(one, "name", json_string("x"));
    json_object_set_new(one, "flavorRef", json_string("x"));
    TRY(res_decode(c->cx, c->service->family, &server_resource, one, DECODE_CREATE, c->microversion,
                   c->actor->admin, in));
    if (str_eq(key, "metadata"))
        s->metadata = in->metadata;
    else if (str_eq(key, "adminPass"))
        s->admin_pass = in->admin_pass;
    else if (str_eq(key, "user_data"))
        s->user_data = in->user_data;
    else if (str_eq(key, "key_name"))
        s->key_name = in->key_name;
    return NULL;
}

static struct err *rebuild_read(struct call *c, struct server *s, const json_t *args)
{
    const char *key;
    json_t *v;
    bool taken;
    json_object_foreach((json_t *)(uintptr_t)args, key, v)
    {
        if (str_eq(key, "imageRef") || str_eq(key, "preserve_ephemeral"))
            continue;
        TRY(rebuild_member(c, s, key, v, &taken));
        if (!taken)
            return fail(c->cx, ERR_INVALID,
                        "Invalid input for field/attribute rebuild. Additional properties are not "
                        "allowed ('%s' was unexpected)",
                        key);
    }
    if (!json_is_string(json_get(args, "imageRef")))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute rebuild. 'imageRef' is a required property");
    return take_image(c, s, json_get_str(args, "imageRef"));
}

static struct err *take_rebuild_key(struct call *c, struct server *s, const char *old_name)
{
    struct keypair *k;
    if (str_eq(s->key_name, old_name))
        return NULL;
    s->key_data = s->key_type = NULL;
    if (!s->key_name)
        return NULL;
    struct err *e = keypair_find(c, s->user_id, s->key_name, &k);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_INVALID, "Invalid key_name provided.");
    TRY(e);
    s->key_data = k->public_key;
    s->key_type = k->type;
    return NULL;
}

/* A new root disk; what was off stays off, addresses stay. */
static struct err *act_rebuild(struct call *c, struct server *s, const json_t *args)
{
    const char *key_name = s->key_name;
    if (!json_is_object(args))
        return bad_member(c, "rebuild", args, "it is not of type 'object'");
    s->admin_pass = NULL;
    TRY(rebuild_read(c, s, args));
    TRY(take_rebuild_key(c, s, key_name));
    TRY(check_metadata_count(c, s->metadata));
    if (s->want_hostname)
        s->hostname = s->want_hostname;
    bool was_on = s->want_power && state_of(s) != ST_SHUTOFF;
    TRY(server_begin(c, s, SA_REBUILD));
    s->want_power = was_on;
    s->build_seq++;
    s->boot_seq++;
    if (!s->admin_pass)
        s->admin_pass = new_password(c->cx);
    TRY(server_save(c->cx, c->tx, s));
    return reply_changed(c, 202, s);
}

/* ---------------------------------------------------------------- the rest */

static struct err *act_lock(struct call *c, struct server *s, const json_t *args)
{
    const json_t *reason = json_get(args, "locked_reason");
    if (reason && (c->microversion < 73 || !json_is_string(reason) ||
                   str_utf8_len(json_string_value(reason)) > 255 || !*json_string_value(reason)))
        return bad_member(c, "locked_reason", reason,
                          "A text of 1 to 255 characters is needed, from 2.73 on");
    s->locked = true;
    s->locked_reason = json_string_value(reason);
    TRY(action_record(c, s, "lock", "api_lock", true));
    return accepted(c, s);
}

static struct err *act_unlock(struct call *c, struct server *s, const json_t *args UNUSED)
{
    s->locked = false;
    s->locked_reason = NULL;
    TRY(action_record(c, s, "unlock", "api_unlock", true));
    return accepted(c, s);
}

static struct err *change_group(struct call *c, struct server *s, const json_t *args, bool add)
{
    const char *name = json_get_str(args, "name");
    TRY(server_check_lock(c, s));
    if (!name || !*name || str_utf8_len(name) > 255)
        return fail(c->cx, ERR_INVALID, "Security group name cannot be empty");
    TRY(network_group_on_server(c, s->id, name, add));
    call_reply_empty(c, 202);
    return NULL;
}

static struct err *act_add_group(struct call *c, struct server *s, const json_t *args)
{
    return change_group(c, s, args, true);
}

static struct err *act_remove_group(struct call *c, struct server *s, const json_t *args)
{
    return change_group(c, s, args, false);
}

/* "active" lets the host's next report decide again; "error" holds until an action. */
static struct err *act_reset_state(struct call *c, struct server *s, const json_t *args)
{
    const char *state = json_get_str(args, "state");
    bool error = str_eq(state, "error");
    if (!error && !str_eq(state, "active"))
        return bad_member(c, "state", json_get(args, "state"),
                          "it is not one of ['active', 'error']");
    if (state_of(s) == ST_DELETING)
        return fail(c->cx, ERR_CONFLICT, "Instance %s is being deleted", s->id);
    if (error)
        server_fault(c->cx, s, 500, "An administrator set this server to ERROR");
    if (!error && !s->host_id)
        return fail(c->cx, ERR_CONFLICT,
                    "Instance %s was never placed on a host: it can only be deleted", s->id);
    struct server_desired d = desired_of(s);
    struct server_observed o = observed_of(s);
    if (!error && state_of(s) == ST_FAILED) /* through the state that listens to reports */
        TRY(server_move(c->cx, c->tx, s, ST_ERROR));
    TRY(server_move(c->cx, c->tx, s,
                    error ? ST_FAILED : lifecycle_next(state_of(s), &d, &o).state));
    TRY(action_record(c, s, "resetState", "api_reset_state", true));
    return accepted(c, s);
}

static struct err *act_force_delete(struct call *c, struct server *s UNUSED,
                                    const json_t *args UNUSED)
{
    TRY(server_delete(c));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- console output */

static struct err *load_for_console(struct call *c, struct server **ret,
                                    struct fleet_host *ret_host)
{
    AUTO_TXN struct tx *tx = NULL;
    void *row = NULL;
    TRY(tx_read(c->cx, c->store, &tx));
    TRY(res_find_visible(c->cx, tx, &server_resource, call_param(c, "server_id"), c->actor, &row));
    struct server *s = *ret = row;
    TRY(call_require_owner(c, s->project_id, &server_resource, s->id));
    if (!s->host_id || !s->launched_at)
        return fail(c->cx, ERR_CONFLICT, "Instance %s is not ready", s->id);
    return fleet_host_get(c->cx, tx, s->host_id, ret_host);
}

/* Serial lines may hold any byte: what is no UTF-8 becomes '?'. */
static const char *clean_text(struct ctx *cx, const struct buf *b)
{
    char *s = arena_strndup(cx->arena, b->len ? b->data : "", b->len);
    for (size_t i = 0; i < b->len; i++)
        if (!s[i] || ((unsigned char)s[i] < 0x20 && !strchr("\t\r\n\x1b", s[i])))
            s[i] = '?';
    if (str_utf8_len(s) < 0)
        for (size_t i = 0; i < b->len; i++)
            if ((unsigned char)s[i] >= 0x80)
                s[i] = '?';
    return s;
}

static const char *last_lines(const char *text, int64_t lines)
{
    const char *end = text + strlen(text), *p = end;
    if (p > text && p[-1] == '\n')
        p--;
    while (p > text && lines > 0) {
        p--;
        if (*p == '\n' && --lines == 0)
            return p + 1;
    }
    return lines ? text : end;
}

static struct err *console_output(struct call *c, const json_t *args)
{
    struct server *s;
    struct fleet_host host;
    struct buf body;
    int status = 0;
    int64_t lines = -1;
    const json_t *length = json_get(args, "length");
    if (json_is_integer(length))
        lines = json_integer_value(length);
    else if (length && !json_is_null(length) &&
             !(json_is_string(length) &&
               str_to_i64(json_string_value(length), -1, INT32_MAX, &lines)))
        return bad_member(c, "length", length, "it is not of type 'integer'");
    if (lines < -1)
        return bad_member(c, "length", length, "it is less than the minimum of -1");
    TRY(load_for_console(c, &s, &host));
    buf_init(&body, c->cx->arena);
    const char *path = arena_printf(c->cx->arena, "/servers/%s/console", s->id);
    if (lines > 0)
        path = arena_printf(c->cx->arena, "%s?length=%" PRId64, path, min_i64(lines, 1000000));
    TRY(fleet_call(c->cx, &host, path, &body, &status));
    if (status != 200 && status != 404)
        return fail(c->cx, ERR_UNAVAILABLE,
                    "The host of instance %s could not read its console (status %d)", s->id,
                    status);
    if (status == 404)
        buf_clear(&body);
    const char *text = clean_text(c->cx, &body);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "output", lines >= 0 ? last_lines(text, lines) : text);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- dispatch */

static const struct action_row rows[] = {
    {"os-start", act_start, "os_compute_api:servers:start", false, false},
    {"os-stop", act_stop, "os_compute_api:servers:stop", false, false},
    {"reboot", act_reboot, "os_compute_api:servers:reboot", false, false},
    {"rebuild", act_rebuild, "os_compute_api:servers:rebuild", false, false},
    {"lock", act_lock, "os_compute_api:os-lock-server:lock", false, false},
    {"unlock", act_unlock, "os_compute_api:os-lock-server:unlock", false, false},
    {"addSecurityGroup", act_add_group, "os_compute_api:os-security-groups:add", false, false},
    {"removeSecurityGroup", act_remove_group, "os_compute_api:os-security-groups:remove", false,
     false},
    {"forceDelete", act_force_delete, "os_compute_api:os-deferred-delete:force", false, false},
    {"os-resetState", act_reset_state, "os_compute_api:os-admin-actions:reset_state", true, false},
    {"os-getConsoleOutput", NULL, "os_compute_api:os-console-output", false, true},
};

static const struct action_row *find_row(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(rows[i].name, name))
            return &rows[i];
    return NULL;
}

struct err *server_act_before(struct call *c)
{
    const char *name;
    const json_t *args;
    TRY(body_only_member(c, &name, &args));
    const struct action_row *r = find_row(name);
    if (!r)
        return fail(c->cx, ERR_INVALID, "There is no such action: %s", name);
    return r->reads ? console_output(c, args) : NULL;
}

struct err *server_act(struct call *c)
{
    const char *name;
    const json_t *args;
    TRY(body_only_member(c, &name, &args));
    const struct action_row *r = find_row(name);
    must(r && !r->reads);
    if (r->admin && !c->actor->admin)
        return fail(c->cx, ERR_FORBIDDEN, "Policy doesn't allow %s to be performed.", r->policy);
    return r->act(c, c->target, args);
}
