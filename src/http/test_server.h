/* SPDX-License-Identifier: EUPL-1.2 */
/* For http's tests: a server with one application that does what the path says, and a bare socket
 * client. */
#pragma once

#include "base/test.h"
#include "http/client.h"
#include "http/http.h"
#include <stdatomic.h>

/*
 * Paths of the application; arguments in the query:
 * - /inline /worker /slow: lanes; hold=1 waits for let_go; answers "METHOD path query body"
 * - /json: {"a":1}, inline
 * - /park /park-worker: parks on topic=T until ms=MS; answers "woken", "timeout" or, when "flag" is
 *   set, "flag"
 * - /upload: streams into a sink; fail=N fails at the Nth byte; answers the count and a sum
 * - /early: answers 401 in begin
 * - /file: off=, len= of file_fd
 * - /silent: handler that answers nothing
 * - /header: echoes X-Echo in X-Echo and in the body
 */
struct test_server {
    struct http_server *http;
    uint16_t port;
    int file_fd;
    _Atomic int handled, aborted, sink_bytes, refused;
    _Atomic bool flag, let_go;
    _Atomic int slow_nice;
    char url[64];
};

/* Zeros in cfg: small defaults for tests. */
void test_server_start(struct test_server *t, const struct http_config *cfg);
void test_server_stop(struct test_server *t, unsigned drain_ms);

/* For applications of one's own: each request goes to a worker; refusals say why. */
enum http_lane test_begin_worker(void *arg, struct http_request *rq, struct http_reply *rp,
                                 struct http_sink **ret_sink);
void test_refuse(void *arg, struct http_request *rq, struct http_reply *rp, int status,
                 const char *message);

/* Bare sockets. */
int raw_connect(uint16_t port);
bool raw_listens(uint16_t port); /* somebody accepts connections */
void raw_send(int fd, const void *data, size_t size);
void raw_text(int fd, const char *text);
/* Waits for the pattern in what comes; all that came so far is in out (NUL-terminated). False:
 * closed or 5 s over. */
bool raw_until(int fd, char *out, size_t cap, const char *pattern);
/* One whole reply: headers and, by Content-Length, its body. Returns the status, 0 if none. */
int raw_reply(int fd, char *out, size_t cap);
/* A reply of a HEAD: headers only. */
int raw_head(int fd, char *out, size_t cap);
/* True if the other side closes within 5 s; drops what still comes. */
bool raw_closed(int fd);
const char *raw_body(const char *reply);
/* GET in a new connection: status, body in out. */
int raw_get(uint16_t port, const char *target, char *out, size_t cap);
void sleep_ms(unsigned ms);
/* Polls until the expression holds; fails the test after 5 s. */
#define wait_until(cond)                                                                           \
    do {                                                                                           \
        int tries_ = 5000;                                                                         \
        while (!(cond) && tries_-- > 0)                                                            \
            sleep_ms(1);                                                                           \
        assert_true(cond);                                                                         \
    } while (0)
