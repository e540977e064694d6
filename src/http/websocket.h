/* SPDX-License-Identifier: EUPL-1.2 */
/* WebSockets (RFC 6455), server side, and moving bytes between two connections. Framing is wslay's.
 */
#pragma once

#include "http/http.h"

/*
 * Answers the handshake with 101; then t has the connection. ERR_INVALID when the request is none,
 * ERR_FORBIDDEN when a page of another host sent it (its Origin). t and its arg live as long as the
 * request.
 */
MUST_USE struct err *websocket_accept(struct http_request *rq, struct http_reply *rp,
                                      const struct http_takeover *t);

/*
 * Binary messages of the websocket become bytes of the stream, and the other way round, until
 * either ends or neither moves for idle_ms. early: bytes of the websocket read ahead; stream_early:
 * of the stream. Both descriptors become non-blocking and stay the caller's. stream -1: says good
 * bye to the websocket at once.
 */
void websocket_relay(int ws, const char *early, size_t n_early, int stream,
                     const char *stream_early, size_t n_stream_early, int idle_ms);
/* The same between two plain streams. */
void stream_relay(int a, const char *early, size_t n_early, int b, int idle_ms);
