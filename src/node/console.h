/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The agent's own small listener, for the control plane: GET /servers/{id}/console?length=LINES;
 * and connections to the guest's screen and serial line (/servers/{id}/vnc, /servers/{id}/serial
 * with "Upgrade: colvert-stream").
 */
#pragma once

#include "http/http.h"
#include "node/agent.h"
#include "node/enrolment.h"

struct console;

/* Callers show the control plane's certificate to the enrolment's; without one (NULL) they bring a
 * token, made from host_secret (README.md). port 0: any free one. */
MUST_USE struct err *console_start(struct ctx *cx, struct agent *a,
                                   const struct guest_backend *guests, struct enrolment *enrolment,
                                   const char *host_secret, const char *address, uint16_t port,
                                   struct console **ret);
uint16_t console_port(const struct console *c);
void console_stop(struct console *c);
