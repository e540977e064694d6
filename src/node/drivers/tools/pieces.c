/* SPDX-License-Identifier: EUPL-1.2 */
/* See pieces.h. */
#include "node/drivers/tools/pieces.h"
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#define PIECE_BYTES ((size_t)256 << 10)
#define STILL_MS 60000   /* nothing moves for so long: the other side is gone */
#define ANSWER_MS 300000 /* it puts all of it on its disk */
#define LOOK_MS 200
#define KEPT 'k'

/* Until it is ready, in steps in which giving up is noticed. */
static struct err *await(struct ctx *cx, int fd, short events, int64_t max_ms,
                         const atomic_bool *given_up)
{
    int64_t until_us = mono_us(cx) + max_ms * 1000;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, LOOK_MS);
        if (n > 0)
            return NULL;
        if (n < 0 && errno != EINTR)
            return fail(cx, ERR_UNAVAILABLE, "cannot wait for a host: %m");
        if (given_up && atomic_load(given_up))
            return fail(cx, ERR_TIMEOUT, "it is not wanted there any more");
        if (mono_us(cx) > until_us)
            return fail(cx, ERR_TIMEOUT, "the other host stands still");
    }
}

static struct err *send_all(struct ctx *cx, int fd, const void *data, size_t size,
                            const atomic_bool *given_up)
{
    const char *at = data;
    while (size) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            TRY(await(cx, fd, POLLOUT, STILL_MS, given_up));
            continue;
        }
        if (n <= 0)
            return fail(cx, ERR_UNAVAILABLE, "the other host hung up: %m");
        at += n;
        size -= (size_t)n;
    }
    return NULL;
}

static struct err *receive_all(struct ctx *cx, int fd, void *data, size_t size, int64_t max_ms,
                               const atomic_bool *given_up)
{
    char *at = data;
    while (size) {
        ssize_t n = recv(fd, at, size, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            TRY(await(cx, fd, POLLIN, max_ms, given_up));
            continue;
        }
        if (n <= 0)
            return fail(cx, ERR_UNAVAILABLE, "the other host hung up");
        at += n;
        size -= (size_t)n;
    }
    return NULL;
}

static struct err *send_piece(struct ctx *cx, int to, const void *data, size_t size,
                              const atomic_bool *given_up)
{
    uint32_t length = htonl((uint32_t)size);
    TRY(send_all(cx, to, &length, sizeof(length), given_up));
    return send_all(cx, to, data, size, given_up);
}

struct err *pieces_send(struct ctx *cx, int to, int from, const atomic_bool *given_up)
{
    char answer, *piece = arena_alloc(cx->arena, PIECE_BYTES);
    for (;;) {
        ssize_t n = read(from, piece, PIECE_BYTES);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            TRY(await(cx, from, POLLIN, STILL_MS, given_up));
            continue;
        }
        if (n < 0)
            return fail(cx, ERR_UNAVAILABLE, "cannot read what is to be sent: %m");
        TRY(send_piece(cx, to, piece, (size_t)n, given_up));
        if (n == 0)
            break;
        if (atomic_load(given_up))
            return fail(cx, ERR_TIMEOUT, "it is not wanted there any more");
    }
    TRY(receive_all(cx, to, &answer, 1, ANSWER_MS, given_up));
    return answer == KEPT ? NULL : fail(cx, ERR_BAD_GATEWAY, "the other host did not keep it");
}

static struct err *write_all(struct ctx *cx, int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(cx, ERR_UNAVAILABLE, "cannot write what is received: %m");
        data += n;
        size -= (size_t)n;
    }
    return NULL;
}

struct err *pieces_receive(struct ctx *cx, int from, int to)
{
    char *piece = arena_alloc(cx->arena, PIECE_BYTES);
    for (;;) {
        uint32_t length;
        TRY(receive_all(cx, from, &length, sizeof(length), STILL_MS, NULL));
        size_t size = ntohl(length);
        if (size == 0)
            return NULL;
        if (size > PIECE_BYTES)
            return fail(cx, ERR_INVALID, "a piece of %zu bytes is too long", size);
        TRY(receive_all(cx, from, piece, size, STILL_MS, NULL));
        TRY(write_all(cx, to, piece, size));
    }
}

struct err *pieces_answer(struct ctx *cx, int to)
{
    const char kept = KEPT;
    return send_all(cx, to, &kept, 1, NULL);
}

/* ---- both ways ---- */

struct side {
    int fd;
    char data[65536];
    size_t at, len; /* read from fd, not yet written to the other */
};

static bool fill(struct side *s)
{
    ssize_t n = recv(s->fd, s->data, sizeof(s->data), MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    s->at = 0;
    s->len = (size_t)n;
    return n > 0;
}

static bool drain(struct side *s, int to)
{
    ssize_t n = send(to, s->data + s->at, s->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    s->at += (size_t)n;
    s->len -= (size_t)n;
    return true;
}

void sockets_relay(int a, int b, const atomic_bool *given_up)
{
    struct side *s = calloc(2, sizeof(*s));
    must(s);
    s[0].fd = a;
    s[1].fd = b;
    bool good = true;
    while (good && !(given_up && atomic_load(given_up))) {
        struct pollfd p[2] = {{.fd = a}, {.fd = b}};
        for (int i = 0; i < 2; i++) {
            p[i].events = (short)((s[i].len ? 0 : POLLIN) | (s[!i].len ? POLLOUT : 0));
            if (!p[i].events)
                p[i].fd = -1; /* poll tells of hang-ups unasked */
        }
        if (poll(p, 2, LOOK_MS) < 0 && errno != EINTR)
            break;
        for (int i = 0; i < 2 && good; i++) {
            if (p[i].fd >= 0 && !s[i].len && (p[i].revents & (POLLIN | POLLHUP | POLLERR)))
                good = fill(&s[i]);
            if (good && s[i].len)
                good = drain(&s[i], s[!i].fd);
        }
    }
    free(s);
    shutdown(a, SHUT_RDWR); /* neither waits for the other any more */
    shutdown(b, SHUT_RDWR);
}
