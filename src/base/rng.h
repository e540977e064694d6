/* SPDX-License-Identifier: EUPL-1.2 */
/* Random bytes: the kernel's, or a seeded sequence for simulation (never for secrets). */
#pragma once

struct rng {
    void (*bytes)(struct rng *r, void *out, size_t size);
};

struct rng_seeded {
    struct rng rng;
    uint64_t state;
};

struct rng *rng_system(void);
struct rng *rng_seed(struct rng_seeded *r, uint64_t seed);
void rng_bytes(struct rng *r, void *out, size_t size);
uint64_t rng_u64(struct rng *r);
/* Uniform in [0, n); n > 0. */
uint64_t rng_below(struct rng *r, uint64_t n);
