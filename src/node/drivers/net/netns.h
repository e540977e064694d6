/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Named network namespaces, kept as iproute2 keeps them: a bind mount at /run/netns/NAME. A thread
 * enters one, does its thing and leaves; other threads are not affected. Each namespace carries its
 * owner's name (the alias of its lo), set before the namespace gets a name of its own, so that
 * agents of one machine never touch one another's.
 */
#pragma once

#include "base/base.h"

/* Made if absent, lo up. ERR_CONFLICT when another owner has it. owner NULL: anybody's. */
MUST_USE struct err *netns_ensure(struct ctx *cx, const char *name, const char *owner);
MUST_USE struct err *netns_exists(struct ctx *cx, const char *name, bool *ret);
/* The owner's name, "" if none is known. */
MUST_USE struct err *netns_owner(struct ctx *cx, const char *name, const char **ret_owner);
/* The name goes; the namespace itself once nothing holds it. Absent is success. */
MUST_USE struct err *netns_delete(struct ctx *cx, const char *name);
/* Names that start with prefix. */
MUST_USE struct err *netns_list(struct ctx *cx, const char *prefix, const char ***ret,
                                size_t *ret_n);

/* An open namespace; ERR_NOT_FOUND. name NULL: the calling thread's own. */
MUST_USE struct err *netns_open(struct ctx *cx, const char *name, int *ret_fd);
/* The calling thread moves in until AUTO_NETNS leaves; name NULL: it stays where it is. */
MUST_USE struct err *netns_enter(struct ctx *cx, const char *name, int *ret_back);
void netns_leave(int *back);
#define AUTO_NETNS __attribute__((cleanup(netns_leave)))

/* A setting below /proc/sys/net in the calling thread's namespace, written only if it differs. */
MUST_USE struct err *sysctl_set(struct ctx *cx, const char *path, const char *value);
