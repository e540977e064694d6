/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * For services' tests: their routes behind a real server on loopback, tables from the descriptors
 * in memory (or on COLVERT_TEST_POSTGRES), tokens that name the actor: "admin" administrator,
 * project "admin-project" "p1"           member of project p1, user "user-p1" "p1:reader"    reader
 * only Agents: secret "secret" for any host.
 */
#pragma once

#include "base/test.h"
#include "http/client.h"
#include "resource/api.h"
#include <stdatomic.h>

struct test_clock {
    struct clock clock;
    _Atomic int64_t later_us;
};

struct test_api {
    struct ctx cx;
    struct test_clock clock; /* the server's and cx's */
    int port_reserved;       /* until test_api_stop, for who starts the server again */
    struct store *store;
    struct api *api;
    struct http_server *server;
    struct http_client *client;
    char url[64];
    const char *headers[8]; /* further request headers "Name: value", NULL-terminated */
};

struct test_reply {
    int status;
    json_t *json; /* NULL: no JSON body */
    const char *text;
    struct http_answer answer;
};

void test_api_start(struct test_api *t, const struct service *const *services, size_t n);
/* With other hooks, such as identity's own. */
void test_api_start_with(struct test_api *t, const struct service *const *services, size_t n,
                         const struct api_hooks *hooks);
/* On a database of the caller's, empty or (joins) in use by others: one of several processes. */
void test_api_start_on(struct test_api *t, const struct service *const *services, size_t n,
                       const char *url, bool joins);
void test_api_stop(struct test_api *t);
/* The wall clock goes forward: what would be so after that time. */
void test_api_later(struct test_api *t, int64_t seconds);
/* body_fmt NULL: none. Single quotes in it become double quotes, for readable JSON. */
struct test_reply test_call(struct test_api *t, const char *token, const char *method,
                            const char *path, const char *body_fmt, ...) PRINTF_LIKE(5, 6);
/* Asserts the status and prints the body when it differs. */
#define test_expect(t, status_, token, method, path, ...)                                          \
    ({                                                                                             \
        struct test_reply r_ = test_call(t, token, method, path, __VA_ARGS__);                     \
        if (r_.status != (status_)) {                                                              \
            print_error("%s %s: %d, expected %d: %s\n", method, path, r_.status, status_,          \
                        r_.text);                                                                  \
            _fail(__FILE__, __LINE__);                                                             \
        }                                                                                          \
        r_;                                                                                        \
    })
/* "server.addresses.net[0].addr" of the reply as text; NULL if absent. */
const char *test_str(struct test_api *t, const struct test_reply *r, const char *path);
const json_t *test_at(const struct test_reply *r, const char *path);
/* Fails where a row of which only what its fields' .needs name was read looks other than the whole
 * row, in a view of this list's; up to this microversion. */
void test_needs(struct test_api *t, const struct resource *res, const char *id,
                const char *list_pattern, unsigned microversion);
