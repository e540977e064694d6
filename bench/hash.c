/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What one password check costs bare: Argon2id at the parameters of Colvert's defaults, nothing
 * around it. usage: hash [COUNT] → {"n": …, "wall_ms": [each], "cpu_ms": mean}
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPS 2
#define MEMORY_BYTES ((size_t)19456 * 1024)

static double now_ms(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    static const char password[] = "a tenant's password";
    char hash[crypto_pwhash_STRBYTES];
    long n = argc > 1 ? strtol(argv[1], NULL, 10) : 10;
    if (n < 1 || sodium_init() < 0 ||
        crypto_pwhash_str_alg(hash, password, strlen(password), OPS, MEMORY_BYTES,
                              crypto_pwhash_ALG_ARGON2ID13) != 0) {
        fprintf(stderr, "usage: hash [COUNT]\n");
        return 2;
    }
    double cpu = now_ms(CLOCK_PROCESS_CPUTIME_ID);
    printf("{\"wall_ms\": [");
    for (long i = 0; i < n; i++) {
        double t0 = now_ms(CLOCK_MONOTONIC);
        if (crypto_pwhash_str_verify(hash, password, strlen(password)) != 0)
            return 1;
        printf("%s%.3f", i ? ", " : "", now_ms(CLOCK_MONOTONIC) - t0);
    }
    printf("], \"n\": %ld, \"cpu_ms\": %.3f}\n", n,
           (now_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)n);
    return 0;
}
