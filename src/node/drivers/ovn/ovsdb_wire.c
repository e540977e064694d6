/* SPDX-License-Identifier: EUPL-1.2 */
/* What an OVSDB server says: framed, read, sorted. JSON-RPC has no delimiters: a message ends where
 * its braces do. */
#include "node/drivers/ovn/ovsdb.h"

struct err *ovsdb_frame_end(struct ctx *cx, struct ovsdb_frame *f, const char *data, size_t len,
                            size_t *ret_end)
{
    *ret_end = 0;
    for (; f->at < len; f->at++) {
        char c = data[f->at];
        if (f->in_string) {
            f->in_string = f->escaped || c != '"';
            f->escaped = !f->escaped && c == '\\';
        } else if (c == '"' && f->depth) {
            f->in_string = true;
        } else if (c == '{' || (c == '[' && f->depth)) {
            if (++f->depth > JSON_READ_DEPTH)
                return fail(cx, ERR_INVALID, "the OVSDB server nests its message too deep");
        } else if ((c == '}' || c == ']') && f->depth) {
            if (--f->depth == 0) {
                *ret_end = f->at + 1;
                *f = (struct ovsdb_frame){0};
                return NULL;
            }
        } else if (!f->depth && !strchr(" \t\r\n", c)) {
            return fail(cx, ERR_INVALID, "the OVSDB server does not speak JSON-RPC");
        }
    }
    if (len > OVSDB_MESSAGE_MAX)
        return fail(cx, ERR_INVALID, "the OVSDB server's message is longer than %zu MiB",
                    OVSDB_MESSAGE_MAX >> 20);
    return NULL;
}

struct err *ovsdb_message_read(struct ctx *cx, const char *text, size_t len,
                               struct ovsdb_message *ret)
{
    json_t *j;
    TRY(json_read(cx, text, len, &j));
    const char *method = json_get_str(j, "method");
    const json_t *id = json_get(j, "id"), *error = json_get(j, "error");
    *ret = (struct ovsdb_message){.kind = OVSDB_OTHER, .id = -1};
    if (!json_is_object(j))
        return fail(cx, ERR_INVALID, "the OVSDB server sends no object");
    if (!method) {
        ret->kind = OVSDB_REPLY;
        ret->id = json_is_integer(id) ? json_integer_value(id) : -1;
        ret->result = json_get(j, "result");
        ret->error = error && !json_is_null(error) ? error : NULL;
        return NULL;
    }
    ret->params = json_get(j, "params");
    if (str_eq(method, "echo")) {
        ret->kind = OVSDB_ECHO;
        ret->echo_id = id;
    }
    ret->lock = json_string_value(json_array_get(ret->params, 0));
    if (str_eq(method, "locked") && ret->lock)
        ret->kind = OVSDB_LOCKED;
    if (str_eq(method, "stolen") && ret->lock)
        ret->kind = OVSDB_STOLEN;
    return NULL;
}

/* "not owner" is the failed assertion of a lock. */
struct err *ovsdb_results_check(struct ctx *cx, const json_t *results, size_t n_ops)
{
    if (!json_is_array(results) || json_array_size(results) < n_ops)
        return fail(cx, ERR_BAD_GATEWAY,
                    "the OVSDB server's answer has not a result for each of "
                    "the operations");
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *r = json_array_get(results, i);
        const char *error = json_get_str(r, "error"), *details = json_get_str(r, "details");
        if (error)
            return fail(cx, str_eq(error, "not owner") ? ERR_STALE : ERR_UNAVAILABLE,
                        "the OVSDB server refuses: %s%s%s", error, details ? ": " : "",
                        details ? details : "");
        if (!json_is_object(r) && i < n_ops)
            return fail(cx, ERR_BAD_GATEWAY,
                        "the OVSDB server did not come to operation %zu of the transaction", i);
    }
    return NULL;
}

const char *ovsdb_map_get(const json_t *map, const char *key)
{
    const json_t *pairs = json_array_get(map, 1);
    for (size_t i = 0; i < json_array_size(pairs); i++)
        if (str_eq(json_string_value(json_array_get(json_array_get(pairs, i), 0)), key))
            return json_string_value(json_array_get(json_array_get(pairs, i), 1));
    return NULL;
}
