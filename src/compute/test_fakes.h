/* SPDX-License-Identifier: EUPL-1.2 */
/* For compute's tests: networks and images as simple as can be, kept in the same transaction as the
 * servers. */
#pragma once

#include "compute/impl.h"
#include "resource/test_api.h"
#include "volume/volume.h"

#define NET_A "aaaaaaaa-0000-4000-8000-000000000001" /* named "net-a" */
#define NET_B "aaaaaaaa-0000-4000-8000-000000000002" /* named "net-b" */
#define IMAGE_OK "bbbbbbbb-0000-4000-8000-000000000001"
#define IMAGE_QUEUED "bbbbbbbb-0000-4000-8000-000000000002"
#define IMAGE_BIG "bbbbbbbb-0000-4000-8000-000000000003"
#define IMAGE_P2 "bbbbbbbb-0000-4000-8000-000000000004" /* private to project p2 */

extern const struct service fake_network_service;
extern char fake_expected_on[64]; /* where ports are sent to, by the last call */
/* Its tables are the network's too. */
#define FAKE_IMAGES_DDL                                                                            \
    "CREATE TABLE fake_images (\n"                                                                 \
    "    id TEXT PRIMARY KEY NOT NULL,\n"                                                          \
    "    server_id TEXT,\n"                                                                        \
    "    held BIGINT NOT NULL,\n"                                                                  \
    "    name TEXT NOT NULL,\n"                                                                    \
    "    project_id TEXT NOT NULL,\n"                                                              \
    "    properties TEXT NOT NULL,\n"                                                              \
    "    number BIGINT NOT NULL\n"                                                                 \
    ");\n"

struct compute_world {
    struct test_api t;
    const char *host_id[4];
    size_t n_hosts;
};
/* The service with fleet, fakes and default flavors; n_hosts of 4 vCPUs and memory_mib each, named
 * h0, h1 … */
void world_start(struct compute_world *w, size_t n_hosts, int64_t memory_mib);
/* With a service of the test's own beside. */
void world_start_with(struct compute_world *w, size_t n_hosts, int64_t memory_mib,
                      const struct service *more);
/* On a database of the caller's; joins: one that world_start_on has filled, without its hosts'
 * ids. */
void world_start_on(struct compute_world *w, size_t n_hosts, int64_t memory_mib, const char *url,
                    bool joins);
void world_stop(struct compute_world *w);
/* What the host's agent would say; body_fmt with single quotes. */
void world_report(struct compute_world *w, const char *host_id, const char *server_id,
                  const char *body_fmt, ...) PRINTF_LIKE(4, 5);
/* The spec that the host gets for the server, or NULL when it is no longer wanted there. */
const json_t *world_spec(struct compute_world *w, const char *host_id, const char *server_id);
/* What the host says of a volume, an answer to its latest word; body_fmt with single quotes. */
void world_report_volume(struct compute_world *w, const char *volume_id, const char *body);
/* A volume of project p1, of 1 GiB, made. */
const char *world_volume(struct compute_world *w);
const char *world_volume_status(struct compute_world *w, const char *volume_id);
/* Of the item's latest word to the server's host. */
int64_t world_revision(struct compute_world *w, const char *server_id);
/* The export of this server ends; error NULL: well. */
void world_export_end(struct compute_world *w, const char *server_id, const char *error);
/* Rows that the statement gives. */
size_t world_count(struct compute_world *w, const char *sql);
/* Formatted, in the world's arena. */
const char *world_path(struct compute_world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Requests ask for 2.MINOR from here on; NULL: for none. */
void world_version(struct compute_world *w, const char *minor);
/* "/compute/v2.1/servers/ID" and what follows. */
const char *world_at(struct compute_world *w, const char *server_id, const char *rest);
/* POST …/action by this actor; asserts the status. */
struct test_reply world_act(struct compute_world *w, int status, const char *who,
                            const char *server_id, const char *body);
/* A member of the server as administrators see it, or "404". */
const char *world_show(struct compute_world *w, const char *server_id, const char *member);
/* Makes a server of project p1 on network NET_A and returns its id. */
const char *world_server(struct compute_world *w, const char *project);
/* As world_server, reported to run. */
const char *world_running(struct compute_world *w, const char *project);
const char *world_host_of(struct compute_world *w, const char *server_id);
const char *world_status(struct compute_world *w, const char *server_id);
