/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to http/: a TLS connection that looks like a plain one. */
#pragma once

#include "http/client.h"

/* A machine without power hangs up on nobody. Whoever only waits for its answer asks so often
 * whether it is there, once nothing came for a while. */
#define ALIVE_IDLE_S 5
#define ALIVE_AGAIN_S 3

/*
 * Shakes hands over the connected, non-blocking socket, which is the tunnel's from then on (closed
 * on errors too). ret_fd: a non-blocking socket of the caller's; a thread moves what it carries,
 * until either end is shut down. url: for messages.
 */
MUST_USE struct err *tunnel_open(struct ctx *cx, int fd, const struct http_identity *identity,
                                 const char *url, int64_t until_us, int *ret_fd);
/* The other side of it: the thread shakes hands, and gives up if the peer is another one, or slow.
 * -1: no socket or thread for it. */
int tunnel_accept(int fd, const struct http_identity *identity);
/* Who is on the other side of what tunnel_accept gave, once anything came through; NULL: nobody
 * knows. */
const char *tunnel_peer(struct ctx *cx, int fd);
