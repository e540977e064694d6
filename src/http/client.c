/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * See client.h. The multi interface drives one easy handle: its poll can be woken from another
 * thread, so that a cancelled call ends at once. No proxy is ever used: Colvert's parts talk to
 * each other directly.
 */
#include "http/tunnel.h"
#include <curl/curl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define TIMEOUT_DEFAULT_MS ((int64_t)30000)
#define CONNECT_MAX_MS 5000L /* of which a machine that is gone takes no more */
#define LONG_MS 60000        /* who may wait longer asks whether the other side is there still */
#define REPLY_MAX_DEFAULT ((size_t)16 * 1024 * 1024)
#define HEADERS_MAX 64

struct http_client {
    CURLM *multi;
    CURL *easy;
    _Atomic bool cancelled;
};

/* One call under way. */
struct call {
    struct ctx *cx;
    const struct http_call *what;
    CURL *easy;
    struct http_answer *ret;
    size_t reply_max;
    struct err *error; /* of a callback */
};

static void global_init(void)
{
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

struct http_client *http_client_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    struct http_client *c = calloc(1, sizeof(*c));
    must(c != NULL);
    c->multi = curl_multi_init();
    c->easy = curl_easy_init();
    must(c->multi && c->easy);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 4L);
    return c;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->easy);
    curl_multi_cleanup(c->multi);
    free(c);
}

void http_client_cancel(struct http_client *c)
{
    atomic_store(&c->cancelled, true);
    curl_multi_wakeup(c->multi);
}

static size_t on_body(char *data, size_t unit, size_t n, void *arg)
{
    struct call *call = arg;
    size_t size = unit * n;
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (call->what->on_data && status / 100 == 2) {
        call->error = call->what->on_data(call->cx, call->what->arg, data, size);
    } else if (size > call->reply_max - call->ret->body.len) {
        call->error = fail(call->cx, ERR_BAD_GATEWAY, "%s answered with more than %zu bytes",
                           call->what->url, call->reply_max);
    } else {
        buf_add(&call->ret->body, data, size);
    }
    return call->error ? CURL_WRITEFUNC_ERROR : size;
}

static size_t on_header(char *data, size_t unit, size_t n, void *arg)
{
    struct call *call = arg;
    struct http_answer *ret = call->ret;
    struct arena *arena = call->cx->arena;
    size_t size = unit * n, len = size;
    while (len && strchr(" \t\r\n", data[len - 1]))
        len--;
    if (len > 5 && memcmp(data, "HTTP/", 5) == 0)
        ret->n_headers = 0; /* after a 100 the real ones come */
    const char *colon = memchr(data, ':', len);
    if (!colon || colon == data || ret->n_headers == HEADERS_MAX)
        return size;
    const char *value = colon + 1;
    while (value < data + len && (*value == ' ' || *value == '\t'))
        value++;
    const char *name = arena_strndup(arena, data, (size_t)(colon - data));
    ret->headers[ret->n_headers++] = (struct http_pair){
        str_lower(call->cx, name), arena_strndup(arena, value, (size_t)(data + len - value))};
    return size;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *text)
{
    list = curl_slist_append(list, text);
    must(list != NULL);
    return list;
}

static struct curl_slist *make_headers(struct ctx *cx, const struct http_call *what)
{
    struct curl_slist *list = add_header(NULL, "Expect:"); /* no 100-continue: bodies are small */
    bool typed = false;
    for (size_t i = 0; i < what->n_headers; i++) {
        const struct http_pair *h = &what->headers[i];
        typed = typed || strcasecmp(h->name, "Content-Type") == 0;
        list = add_header(
            list, arena_printf(cx->arena, *h->value ? "%s: %s" : "%s;%s", h->name, h->value));
    }
    if ((what->body || what->body_file) && !typed)
        list = add_header(list, "Content-Type: application/json");
    return list;
}

static int64_t time_left_ms(struct ctx *cx, const struct http_call *what)
{
    int64_t ms = what->timeout_ms ? what->timeout_ms : TIMEOUT_DEFAULT_MS;
    if (cx->deadline_us)
        ms = min_i64(ms, (cx->deadline_us - mono_us(cx) + 999) / 1000);
    return ms;
}

static size_t on_upload(char *to, size_t unit, size_t n, void *arg)
{
    struct call *call = arg;
    size_t got = fread(to, 1, unit * n, call->what->body_file);
    if (!ferror(call->what->body_file))
        return got;
    call->error = fail(call->cx, ERR_UNAVAILABLE, "cannot read what is to be sent to %s: %m",
                       call->what->url);
    return CURL_READFUNC_ABORT;
}

/* Of known length, so that the server can refuse it early. */
static void set_upload(CURL *h, struct call *call)
{
    FILE *f = call->what->body_file;
    off_t at = ftello(f);
    struct stat st;
    must(at >= 0 && fstat(fileno(f), &st) == 0);
    curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(st.st_size - at));
    curl_easy_setopt(h, CURLOPT_READFUNCTION, on_upload);
    curl_easy_setopt(h, CURLOPT_READDATA, call);
}

static struct curl_blob blob(const char *text)
{
    return (struct curl_blob){
        .data = (void *)(uintptr_t)text, .len = strlen(text), .flags = CURL_BLOB_COPY};
}

/* Connections are used again only by the same certificate and authorities: curl compares both. */
static void set_identity(CURL *h, const struct http_identity *i)
{
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
    if (i->authorities) {
        struct curl_blob b = blob(i->authorities);
        curl_easy_setopt(h, CURLOPT_CAINFO_BLOB, &b);
        curl_easy_setopt(h, CURLOPT_CAPATH, NULL);
    } else {
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (i->cert) {
        struct curl_blob cert = blob(i->cert), key = blob(i->key);
        curl_easy_setopt(h, CURLOPT_SSLCERT_BLOB, &cert);
        curl_easy_setopt(h, CURLOPT_SSLKEY_BLOB, &key);
    }
}

/*
 * The URL with the peer's name for its host, and curl told where that is: so it is the name that
 * the certificate is held against.
 */
static struct err *name_peer(struct ctx *cx, const struct http_call *what, const char **ret_url,
                             const char **ret_connect_to)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL, *url = NULL;
    const char *name = what->identity->peer;
    must(u);
    bool ok = str_starts(what->url, "https://") &&
              curl_url_set(u, CURLUPART_URL, what->url, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              (!name || curl_url_set(u, CURLUPART_HOST, name, 0) == CURLUE_OK) &&
              curl_url_get(u, CURLUPART_URL, &url, 0) == CURLUE_OK;
    if (ok) {
        *ret_url = arena_strdup(cx->arena, url);
        *ret_connect_to =
            name ? arena_printf(cx->arena, "%s:%s:%s:%s", name, port, host, port) : NULL;
    }
    curl_free(host);
    curl_free(port);
    curl_free(url);
    curl_url_cleanup(u);
    return ok ? NULL
              : fail(cx, ERR_INVALID, "'%s' must begin with https://: both sides show certificates",
                     what->url);
}

static void set_options(CURL *h, struct call *call, struct curl_slist *headers, int64_t timeout_ms)
{
    const struct http_call *what = call->what;
    curl_easy_reset(h); /* options only: connections stay */
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_PROXY, "");
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    if (what->identity)
        set_identity(h, what->identity);
    else if (what->ca_file)
        curl_easy_setopt(h, CURLOPT_CAINFO, what->ca_file);
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MAX_MS);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, (long)(timeout_ms > LONG_MS));
    curl_easy_setopt(h, CURLOPT_TCP_KEEPIDLE, (long)ALIVE_IDLE_S);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPINTVL, (long)ALIVE_AGAIN_S);
    curl_easy_setopt(h, CURLOPT_USERAGENT, "colvert/" COLVERT_VERSION);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, call);
    if (what->body_file)
        set_upload(h, call);
    else if (what->body) {
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)what->body_size);
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, what->body);
    }
    if (strcmp(what->method, "HEAD") == 0)
        curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, what->method);
}

/* CURLE_OK or what ended the call; CURLE_ABORTED_BY_CALLBACK when cancelled. */
static CURLcode perform(struct http_client *c)
{
    if (curl_multi_add_handle(c->multi, c->easy) != CURLM_OK)
        return CURLE_FAILED_INIT;
    CURLcode code = CURLE_ABORTED_BY_CALLBACK;
    while (!atomic_load(&c->cancelled)) {
        int running = 0, queued;
        if (curl_multi_perform(c->multi, &running) != CURLM_OK) {
            code = CURLE_FAILED_INIT;
            break;
        }
        CURLMsg *msg = running ? NULL : curl_multi_info_read(c->multi, &queued);
        if (msg && msg->msg == CURLMSG_DONE) {
            code = msg->data.result;
            break;
        }
        curl_multi_poll(c->multi, NULL, 0, 1000, NULL);
    }
    curl_multi_remove_handle(c->multi, c->easy);
    return code;
}

static struct err *explain(struct call *call, CURLcode code, const char *detail)
{
    struct ctx *cx = call->cx;
    const char *url = call->what->url, *why = *detail ? detail : curl_easy_strerror(code);
    bool http_url = strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
    switch (code) {
    case CURLE_OK:
        return NULL;
    case CURLE_OPERATION_TIMEDOUT:
        return fail(cx, ERR_TIMEOUT, "%s did not answer in time", url);
    case CURLE_ABORTED_BY_CALLBACK:
        return fail(cx, ERR_UNAVAILABLE, "the call of %s was cancelled", url);
    case CURLE_URL_MALFORMAT:
        return fail(cx, ERR_INVALID, "'%s' is not a URL: %s", url, why);
    default:
        if (!http_url)
            return fail(cx, ERR_INVALID, "'%s' is not an HTTP URL: %s", url, why);
        return fail(cx, ERR_UNAVAILABLE, "cannot reach %s: %s", url, why);
    }
}

struct err *http_client_call(struct ctx *cx, struct http_client *c, const struct http_call *what,
                             struct http_answer *ret)
{
    struct http_answer answer = {.headers =
                                     arena_new_array(cx->arena, struct http_pair, HEADERS_MAX)};
    buf_init(&answer.body, cx->arena);
    struct call call = {.cx = cx,
                        .what = what,
                        .easy = c->easy,
                        .ret = &answer,
                        .reply_max =
                            what->reply_max_bytes ? what->reply_max_bytes : REPLY_MAX_DEFAULT};
    int64_t timeout_ms = time_left_ms(cx, what);
    if (timeout_ms <= 0)
        return fail(cx, ERR_TIMEOUT, "no time left to call %s", what->url);
    const char *url = what->url, *connect_to = NULL;
    if (what->identity)
        TRY(name_peer(cx, what, &url, &connect_to));
    struct curl_slist *headers = make_headers(cx, what),
                      *to = connect_to ? add_header(NULL, connect_to) : NULL;
    char detail[CURL_ERROR_SIZE] = "";
    set_options(c->easy, &call, headers, timeout_ms);
    curl_easy_setopt(c->easy, CURLOPT_URL, url);
    curl_easy_setopt(c->easy, CURLOPT_CONNECT_TO, to);
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, detail);
    CURLcode code = perform(c);
    long status = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(c->easy, CURLOPT_CONNECT_TO, NULL);
    curl_slist_free_all(headers);
    curl_slist_free_all(to);
    if (call.error)
        return call.error;
    TRY(explain(&call, code, detail));
    answer.status = (int)status;
    *ret = answer;
    return NULL;
}
