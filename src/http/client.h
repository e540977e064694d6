/* SPDX-License-Identifier: EUPL-1.2 */
/* HTTP client on libcurl: one handle with its connection cache a thread. */
#pragma once

#include "http/http.h"

struct http_client;

struct http_call {
    const char *method, *url;
    const struct http_pair *headers;
    size_t n_headers;
    const char *body; /* NULL: none */
    size_t body_size;
    FILE *body_file;        /* instead of body: read from where it stands to its end; NULL: none */
    int64_t timeout_ms;     /* 0: 30 s; the context's deadline shortens it */
    size_t reply_max_bytes; /* 0: 16 MiB; more: ERR_BAD_GATEWAY */
    const char *ca_file;    /* PEM, whom to trust; NULL: the system's */
    const struct http_identity *identity; /* https:// only; instead of ca_file. NULL: none */
    /*
     * The body of a 2xx answer as it comes instead of into the answer; a non-NULL result ends the
     * call with that error. Other bodies go into the answer.
     */
    struct err *(*on_data)(struct ctx *cx, void *arg, const char *data, size_t size);
    void *arg;
};

struct http_answer {
    int status;
    struct buf body;
    struct http_pair *headers; /* names in lower case */
    size_t n_headers;
};

struct http_client *http_client_new(void);
void http_client_free(struct http_client *c);
/* Ends a call under way in another thread (shutdown), and each later one: ERR_UNAVAILABLE. */
void http_client_cancel(struct http_client *c);
/*
 * GET with "Upgrade: protocol", by the call's url, headers, timeout and identity: the connection
 * itself after a 101, as a non-blocking socket of the caller's; ret_early has what came behind the
 * answer's headers. With an identity a thread of its own moves the bytes between that socket and
 * the TLS connection, until either is shut down; otherwise http:// only. ERR_BAD_GATEWAY for any
 * other answer, ERR_UNAVAILABLE, ERR_TIMEOUT.
 */
MUST_USE struct err *http_client_upgrade(struct ctx *cx, const struct http_call *what,
                                         const char *protocol, int *ret_fd, struct buf *ret_early);

/*
 * No answer: ERR_UNAVAILABLE, or ERR_TIMEOUT. Any HTTP status is an answer; redirections are not
 * followed.
 */
MUST_USE struct err *http_client_call(struct ctx *cx, struct http_client *c,
                                      const struct http_call *call, struct http_answer *ret);
