/* SPDX-License-Identifier: EUPL-1.2 */
/* The only place that sees every service. */
#pragma once

#include "cmd/settings.h"
#include "http/pki.h"
#include "resource/api.h"

extern const struct service *const all_services[];
extern const size_t n_all_services;
extern const struct migration all_migrations[];
extern const size_t n_all_migrations;

/* /healthz and /metrics. */
extern const struct service operations_service;

/* noVNC's files, of this folder. */
extern const struct service console_files_service;
void console_files_configure(const char *dir);

/* Pairs type, path for the catalogue, NULL-terminated. */
extern const char *const catalog_paths[];

/* The state store of these settings, opened. */
MUST_USE struct err *open_state(struct ctx *cx, const struct settings *s, struct store **ret);
/* "127.0.0.1:5000" → host and port; ERR_INVALID says what is wrong. */
MUST_USE struct err *parse_listen(struct ctx *cx, const char *text, const char **ret_host,
                                  uint16_t *ret_port);
/* "203.0.113.0/24" → "203.0.113.1": what the host has on the external bridge. */
MUST_USE struct err *first_address_of(struct ctx *cx, const char *cidr, const char **ret);
const char *control_dir(struct ctx *cx, const struct settings *s);
const char *node_dir(struct ctx *cx, const struct settings *s);
const char *writer_dir(struct ctx *cx, const struct settings *s);
/* Where an agent on this machine finds the control plane, and DIR/secret. */
MUST_USE struct err *agent_api_urls(struct ctx *cx, const struct settings *s, const char **ret);
MUST_USE struct err *agent_secret(struct ctx *cx, const char *dir, const char **ret);
/* The host's name in the region. */
const char *node_name(struct ctx *cx, const struct settings *s);

/* Gives each service its settings; cx lives as long as they are used. */
MUST_USE struct err *configure_services(struct ctx *cx, const struct settings *s);
/*
 * Schema and first rows; idempotent. host_secret NULL: no host is added; writer_secret NULL: no
 * network writer. keep_passwords: those in
 * the settings are for users that are not there yet. *ret_password: a new admin password, or NULL.
 */
MUST_USE struct err *bootstrap_region(struct ctx *cx, const struct settings *s,
                                      const char *host_secret, const char *writer_secret,
                                      bool keep_passwords, const char **ret_password);

/* The region's certificate authority, see authority.c; key and cert: PEM. */
struct authority {
    struct pki_cert cert;
    const char *key, *authorities; /* those that hosts trust: cert, and others */
};
/* Unless it is there. */
MUST_USE struct err *authority_make(struct ctx *cx, const struct settings *s);
MUST_USE struct err *authority_read(struct ctx *cx, const struct settings *s,
                                    struct authority *ret);
/* Two steps: a next one, that hosts are told of; then (*ret_changed) it is the one in use. */
MUST_USE struct err *authority_rotate(struct ctx *cx, const struct settings *s, bool *ret_changed);

/* The listener for hosts on other machines: hosts.c. like: its limits. In cx's arena. */
struct hosts;
MUST_USE struct err *hosts_start(struct ctx *cx, const struct settings *s,
                                 const struct http_config *like, struct api *api,
                                 struct hosts **ret);
/* Ends the connections of hosts that are gone. */
MUST_USE struct err *hosts_look(struct ctx *cx, struct store *store, struct hosts *h);
void hosts_stop(struct hosts *h, unsigned drain_ms); /* NULL is fine */

/* colvert admin host WORD ARGUMENTS. */
MUST_USE struct err *admin_host(struct ctx *cx, const struct settings *s, struct store *store,
                                const char *word, int argc, char **argv);
bool is_loopback(const char *address);

/* Roles' main functions: process exit codes. */
int api_main(const struct settings *s);
int node_main(const struct settings *s);
int node_purge(const struct settings *s);
int network_main(const struct settings *s);
int up_main(const struct settings *s, const char *self);
int admin_main(const struct settings *s, int argc, char **argv);
int schema_main(const struct settings *s, int argc, char **argv);
/* Prints the error for a person at a terminal; returns 1. */
int complain(struct ctx *cx, const struct err *e);
