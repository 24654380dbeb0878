#include "../../mod_taskevents/base/pools.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"

#define MEGABYTE (1024 * 1024)
#define HELD_BACK (24 * MEGABYTE)       /* valgrind's list of what was freed */

/* Bytes of this process that are in memory. */
static apr_size_t resident(void)
{
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned long size = 0, pages = 0;

    ck_assert_ptr_nonnull(statm);
    ck_assert_int_eq(fscanf(statm, "%lu %lu", &size, &pages), 2);
    fclose(statm);
    return (apr_size_t)pages * (apr_size_t)sysconf(_SC_PAGESIZE);
}

static void use(apr_pool_t *p, apr_size_t bytes)
{
    apr_size_t n;

    for (n = 0; n < bytes; n += 4000) {
        memset(apr_palloc(p, 4000), 1, 4000);
    }
}

START_TEST(what_a_pool_needed_once_goes_back_to_the_system)
{
    apr_pool_t *own, *round;
    apr_size_t before, most, after;

    ck_assert_int_eq(te_pool_create(&own, TE_POOL_KEEPS), APR_SUCCESS);
    apr_pool_create(&round, own);
    use(round, MEGABYTE);
    apr_pool_clear(round);
    before = resident();
    use(round, 64 * MEGABYTE);
    most = resident();
    apr_pool_clear(round);
    after = resident();
    ck_assert_uint_gt(most, before + 48 * MEGABYTE);
    ck_assert_uint_lt(after, before + 2 * TE_POOL_KEEPS + HELD_BACK);
    apr_pool_destroy(own);
}
END_TEST

TCase *pools_tests(void)
{
    TCase *c = unit_case("pools", 30);

    tcase_add_test(c, what_a_pool_needed_once_goes_back_to_the_system);
    return c;
}
