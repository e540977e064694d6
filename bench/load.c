/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A small HTTP/1.1 load generator: one thread a connection, blocking sockets, keep-alive (a
 * connection the server closed is opened again). "{i}" in path and body stands for the request's
 * number. Prints one line of JSON; ends with 1 when a request failed or was not answered by 2xx.
 */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_S 120
#define EXCERPT 300
#define USAGE                                                                                      \
    "usage: load [-c CONNECTIONS] (-n REQUESTS | -d SECONDS) [-X METHOD] [-H 'Name: value']…\n"  \
    "            [-b BODY] [-i FIRST_NUMBER] http://host:port/path\n"

static struct {
    const char *method, *path, *body;
    char host[128], port[8];
    char *headers;
    long connections, requests, first;
    double seconds;
} opt = {.method = "GET", .body = "", .connections = 1};

static struct addrinfo *address;
static atomic_long next_number;
static double end_ms;

struct text {
    char *s;
    size_t len, cap;
};

struct worker {
    pthread_t thread;
    int fd;
    char in[65536]; /* what was received: [lo, hi) is unread */
    size_t lo, hi;
    struct text request;
    float *took_ms;
    size_t n, cap;
    long good, bad, lost;
    int64_t bytes;
    int bad_status;
    char bad_body[EXCERPT + 1];
    size_t bad_len;
};

static void die(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(2);
}

static void *need(void *p)
{
    if (!p)
        die("out of memory");
    return p;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---------------------------------------------------------------- the request */

static void add(struct text *t, const char *s, size_t len)
{
    if (t->len + len > t->cap) {
        t->cap = (t->len + len) * 2;
        t->s = need(realloc(t->s, t->cap));
    }
    memcpy(t->s + t->len, s, len);
    t->len += len;
}

static void add_numbered(struct text *t, const char *s, long number)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%ld", number);
    for (const char *hole; (hole = strstr(s, "{i}")); s = hole + 3) {
        add(t, s, (size_t)(hole - s));
        add(t, digits, (size_t)n);
    }
    add(t, s, strlen(s));
}

static void write_request(struct worker *w, long number)
{
    struct text body = {0};
    char line[512];
    add_numbered(&body, opt.body, number);
    w->request.len = 0;
    add(&w->request, opt.method, strlen(opt.method));
    add(&w->request, " ", 1);
    add_numbered(&w->request, opt.path, number);
    int n = snprintf(line, sizeof(line), " HTTP/1.1\r\nHost: %s:%s\r\nContent-Length: %zu\r\n",
                     opt.host, opt.port, body.len);
    add(&w->request, line, (size_t)n);
    add(&w->request, opt.headers, strlen(opt.headers));
    add(&w->request, "\r\n", 2);
    add(&w->request, body.s ? body.s : "", body.len);
    free(body.s);
}

/* ---------------------------------------------------------------- the connection */

static bool dial(struct worker *w)
{
    int on = 1;
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    w->lo = w->hi = 0;
    w->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (w->fd < 0)
        return false;
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(w->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(w->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return connect(w->fd, address->ai_addr, address->ai_addrlen) == 0;
}

static void hang_up(struct worker *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

static bool send_all(struct worker *w)
{
    for (size_t at = 0; at < w->request.len;) {
        ssize_t n = send(w->fd, w->request.s + at, w->request.len - at, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static bool fill(struct worker *w)
{
    if (w->lo == w->hi)
        w->lo = w->hi = 0;
    if (w->hi == sizeof(w->in)) {
        if (w->lo == 0)
            return false; /* a line longer than the buffer */
        memmove(w->in, w->in + w->lo, w->hi - w->lo);
        w->hi -= w->lo;
        w->lo = 0;
    }
    ssize_t n = recv(w->fd, w->in + w->hi, sizeof(w->in) - w->hi, 0);
    if (n <= 0)
        return false;
    w->hi += (size_t)n;
    return true;
}

/* The next line without its end; valid until the next call. */
static char *read_line(struct worker *w)
{
    for (;;) {
        char *from = w->in + w->lo, *end = memchr(from, '\n', w->hi - w->lo);
        if (end) {
            *end = 0;
            if (end > from && end[-1] == '\r')
                end[-1] = 0;
            w->lo = (size_t)(end + 1 - w->in);
            return from;
        }
        if (!fill(w))
            return NULL;
    }
}

static bool read_bytes(struct worker *w, int64_t size, bool keep)
{
    while (size > 0) {
        if (w->lo == w->hi && !fill(w))
            return false;
        size_t n = w->hi - w->lo;
        if ((int64_t)n > size)
            n = (size_t)size;
        if (keep && w->bad_len < EXCERPT) {
            size_t some = n < EXCERPT - w->bad_len ? n : EXCERPT - w->bad_len;
            memcpy(w->bad_body + w->bad_len, w->in + w->lo, some);
            w->bad_len += some;
        }
        w->lo += n;
        w->bytes += (int64_t)n;
        size -= (int64_t)n;
    }
    return true;
}

static bool read_chunks(struct worker *w, bool keep)
{
    for (;;) {
        const char *line = read_line(w);
        int64_t size = line ? strtoll(line, NULL, 16) : -1;
        if (size < 0 || !read_bytes(w, size, keep) || !(line = read_line(w)))
            return false;
        if (size == 0) /* that line ended the body: trailers are not sent to us */
            return !*line;
    }
}

/* The status, or -1 when the connection broke. */
static int read_reply(struct worker *w)
{
    int64_t length = 0;
    bool chunked = false, close_after = false;
    const char *line = read_line(w);
    if (!line || strncmp(line, "HTTP/1.", 7) != 0 || strlen(line) < 12)
        return -1;
    int status = (int)strtol(line + 9, NULL, 10);
    while ((line = read_line(w)) && *line) {
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            length = strtoll(line + 15, NULL, 10);
        else if (strncasecmp(line, "Transfer-Encoding:", 18) == 0)
            chunked = true;
        else if (strncasecmp(line, "Connection:", 11) == 0)
            close_after = strcasestr(line, "close") != NULL;
    }
    bool keep = (status < 200 || status > 299) && !w->bad_status;
    bool no_body = strcmp(opt.method, "HEAD") == 0 || status == 204 || status == 304;
    if (!line || (!no_body && !(chunked ? read_chunks(w, keep) : read_bytes(w, length, keep))))
        return -1;
    if (close_after)
        hang_up(w);
    return status;
}

/* A connection that was kept may have been closed by the server meanwhile: once more on a new one.
 */
static int exchange(struct worker *w)
{
    for (;;) {
        bool fresh = w->fd < 0;
        int status = (fresh && !dial(w)) || !send_all(w) ? -1 : read_reply(w);
        if (status < 0)
            hang_up(w);
        if (status >= 0 || fresh)
            return status;
    }
}

/* ---------------------------------------------------------------- running and counting */

static void note(struct worker *w, int status, double took_ms)
{
    if (status < 0)
        w->lost++;
    else if (status >= 200 && status <= 299)
        w->good++;
    else {
        w->bad++;
        w->bad_status = w->bad_status ? w->bad_status : status;
    }
    if (w->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 4096;
        w->took_ms = need(realloc(w->took_ms, w->cap * sizeof(*w->took_ms)));
    }
    w->took_ms[w->n++] = (float)took_ms;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        long i = atomic_fetch_add(&next_number, 1);
        if (opt.requests ? i >= opt.requests : now_ms() >= end_ms)
            break;
        write_request(w, opt.first + i);
        double t0 = now_ms();
        int status = exchange(w);
        note(w, status, now_ms() - t0);
        if (status < 0)
            usleep(1000);
    }
    hang_up(w);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double percentile(const float *sorted, size_t n, double share)
{
    return n ? (double)sorted[(size_t)((double)(n - 1) * share)] : 0;
}

static void print_json_text(const char *s)
{
    for (; *s; s++)
        putchar((unsigned char)*s < 32 || (unsigned char)*s > 126 || *s == '"' || *s == '\\' ? ' '
                                                                                             : *s);
}

static int report(const struct worker *w, double took_ms)
{
    size_t n = 0;
    long good = 0, bad = 0, lost = 0;
    int64_t bytes = 0;
    const struct worker *refused = NULL;
    for (long i = 0; i < opt.connections; i++) {
        n += w[i].n;
        good += w[i].good;
        bad += w[i].bad;
        lost += w[i].lost;
        bytes += w[i].bytes;
        refused = !refused && w[i].bad_status ? &w[i] : refused;
    }
    float *all = need(calloc(n + 1, sizeof(*all)));
    for (long i = 0, at = 0; i < opt.connections; at += (long)w[i++].n)
        if (w[i].n)
            memcpy(all + at, w[i].took_ms, w[i].n * sizeof(*all));
    qsort(all, n, sizeof(*all), compare);
    printf("{\"n\": %zu, \"good\": %ld, \"bad\": %ld, \"lost\": %ld, \"seconds\": %.4f, \"rps\": "
           "%.2f, "
           "\"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, \"bytes\": %" PRId64,
           n, good, bad, lost, took_ms / 1e3, (double)good / took_ms * 1e3, percentile(all, n, .5),
           percentile(all, n, .99), percentile(all, n, 1), bytes);
    if (refused) {
        printf(", \"status\": %d, \"body\": \"", refused->bad_status);
        print_json_text(refused->bad_body);
        printf("\"");
    }
    printf("}\n");
    free(all);
    return bad || lost ? 1 : 0;
}

static void read_url(char *url)
{
    if (strncmp(url, "http://", 7) != 0)
        die("the URL must begin with http://");
    url += 7;
    size_t n = strcspn(url, "/");
    opt.path = url[n] ? url + n : "/";
    const char *colon = memchr(url, ':', n);
    size_t host = colon ? (size_t)(colon - url) : n;
    snprintf(opt.host, sizeof(opt.host), "%.*s", (int)host, url);
    snprintf(opt.port, sizeof(opt.port), "%.*s", colon ? (int)(n - host - 1) : 2,
             colon ? colon + 1 : "80");
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(opt.host, opt.port, &hints, &address) != 0)
        die("the host is unknown");
}

static void read_options(int argc, char **argv)
{
    struct text headers = {0};
    for (int o; (o = getopt(argc, argv, "c:n:d:X:H:b:i:")) != -1;) {
        switch (o) {
        case 'c':
            opt.connections = strtol(optarg, NULL, 10);
            break;
        case 'n':
            opt.requests = strtol(optarg, NULL, 10);
            break;
        case 'd':
            opt.seconds = strtod(optarg, NULL);
            break;
        case 'X':
            opt.method = optarg;
            break;
        case 'b':
            opt.body = optarg;
            break;
        case 'i':
            opt.first = strtol(optarg, NULL, 10);
            break;
        case 'H':
            add(&headers, optarg, strlen(optarg));
            add(&headers, "\r\n", 2);
            break;
        default:
            die(USAGE);
        }
    }
    add(&headers, "", 1);
    opt.headers = headers.s;
    if (optind + 1 != argc || opt.connections < 1 || (opt.requests > 0) == (opt.seconds > 0))
        die(USAGE);
    read_url(argv[optind]);
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    struct worker *w = need(calloc((size_t)opt.connections, sizeof(*w)));
    double t0 = now_ms();
    end_ms = t0 + opt.seconds * 1e3;
    for (long i = 0; i < opt.connections; i++) {
        w[i].fd = -1;
        if (pthread_create(&w[i].thread, NULL, run, &w[i]) != 0)
            die("cannot start a thread");
    }
    for (long i = 0; i < opt.connections; i++)
        pthread_join(w[i].thread, NULL);
    int rc = report(w, now_ms() - t0);
    for (long i = 0; i < opt.connections; i++) {
        free(w[i].took_ms);
        free(w[i].request.s);
    }
    free(w);
    free(opt.headers);
    freeaddrinfo(address);
    return rc;
}
