/* What the unit tests share. Each test has a pool of its own; the name of a
 * test reads as a promise. */
#ifndef TE_T_UNIT_H
#define TE_T_UNIT_H

#include <apr_pools.h>
#include <apr_tables.h>
/* check.h has macros named fail and such: after everything else */
#include <check.h>

/* The test's pool: made before it, released after it. */
extern apr_pool_t *pool;

/* A case of this name whose tests have `pool`, and `seconds` each. */
TCase *unit_case(const char *name, double seconds);

/* Run the cases as one suite. @return main's exit status */
int unit_run(const char *suite, TCase *(*const cases[])(void));

/* The seed of random cases: TASKEVENTS_TEST_SEED or the clock, and printed,
 * so that a failure can be had again. */
unsigned int unit_seed(void);

/* A random number below n, from a generator of our own: the same sequence on
 * every machine. */
apr_uint64_t unit_random(apr_uint64_t n);

/* A random text of at most n bytes of UTF-8 that has what breaks quoting. */
const char *unit_nasty_text(int n);

/* The texts up to NULL as an array. */
apr_array_header_t *unit_texts(const char *first, ...);

#endif
