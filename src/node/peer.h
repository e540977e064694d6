/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Agents among themselves: a server on its way comes from the host that the control plane named, to
 * the listener of the other one (README.md has the calls). With certificates each side is who the
 * other's spec says; on the control plane's own machine, by a token that only the two are told.
 */
#pragma once

#include "http/http.h"
#include "node/agent.h"
#include "node/enrolment.h"

#define MOVES_PATH "/moves/"

/* enrolment NULL: this host is the control plane's own machine. It outlives the sender. */
struct move_sender peer_sender(struct enrolment *enrolment);

/* The other end, for requests below MOVES_PATH. peer: the host's id; NULL: by the token, which
 * secret_sha256 makes. */
struct peer_receiver {
    struct agent *agent;
    struct guest_backend guests;
    const char *secret_sha256;
};
MUST_USE struct err *peer_answer(const struct peer_receiver *r, const char *peer,
                                 struct http_request *rq, struct http_reply *rp);
