/* SPDX-License-Identifier: EUPL-1.2 */
/* For tests of the engine: one on fake drivers, in virtual time; answers of the watch in, reports
 * out. */
#pragma once

#include "base/test.h"
#include "node/agent.h"
#include "node/drivers/fake/fake.h"

#define NET "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
#define IMAGE "cccccccc-bbbb-4ccc-8ddd-eeeeeeeeeeee"
#define S1 "10000000-0000-4000-8000-000000000001"
#define S2 "20000000-0000-4000-8000-000000000002"
#define P1 "11111111-0000-4000-8000-000000000001"
#define V1 "10000000-aaaa-4000-8000-000000000001"
#define V2 "20000000-aaaa-4000-8000-000000000002"
#define POOL "40000000-aaaa-4000-8000-000000000004"
#define X1 "30000000-aaaa-4000-8000-000000000003"

#define SHA16 "0123456789abcdef"
#define SHA64 SHA16 SHA16 SHA16 SHA16
#define IMAGE_SPEC "{'id':'" IMAGE "','size':1,'sha512':'" SHA64 SHA64 "','disk_format':'raw'}"

struct fixture {
    struct ctx cx;
    struct clock clock;
    struct rng_seeded rng;
    int64_t now;
    struct guest_backend guests;
    struct net_backend net;
    struct volume_backend volumes, shared; /* its own, and what other hosts have too */
    struct agent *a;
    char dir[40]; /* the agent's files */
    bool image_here, image_fails, send_fails;
    char users[64][64]; /* of images */
    size_t n_users;
    int sends;
    char sent[128]; /* where the data of the image sent last came from */
    int64_t revision;
};
extern struct fixture *fx;

int fixture_setup(void **state);
int fixture_teardown(void **state);
#define AGENT_TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

/* The agent is killed and starts again: it sweeps before it hears anything. */
void restart_agent(void);
/* … and its sweep is still to come. */
void restart_blind_agent(void);

json_t *parse(const char *text); /* with ' for " */
/* Of revision fx->revision; more: members of the spec besides what each server has. */
const char *server_with(const char *id, bool on, int boot, int build, const char *more);
const char *server_item(const char *id, bool on, int boot, int build, bool nic);
const char *network_item(bool port);
const char *volume_item(const char *id, int size_gib, const char *more);
const char *export_item(const char *id, const char *source, const char *disk_format);
const char *image_item(void);
const char *deleted_item(const char *kind, const char *id);
/* One answer with up to two items, asked for since what the agent has. */
void take(bool full, const char *one, const char *two);
/* A changed item, of the next revision. */
#define change(item)                                                                               \
    do {                                                                                           \
        fx->revision++;                                                                            \
        take(false, (item), NULL);                                                                 \
    } while (0)
/* Steps until nothing is due within this time. */
int run_for(int64_t seconds);
/* The undelivered report of an item, delivered now; NULL if there is none. */
const json_t *report_of(const char *id);
enum guest_power power_of(const char *id);
struct guest_state state_of(const char *id);
