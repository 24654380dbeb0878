/* The tests that need a migrated database. */
#include <apr_general.h>
#include <stdio.h>

#include "../../mod_taskevents/store/db.h"
#include "cases.h"
#include "database.h"

#define SKIPPED 77              /* automake's word for it */

/* With a static driver table the pool must outlive every test. */
static apr_status_t load_driver(void)
{
    apr_pool_t *whole;

    apr_initialize();
    apr_pool_create(&whole, NULL);
    return te_db_driver_init(whole);
}

int main(void)
{
    static TCase *(*const cases[])(void) = {
        db_tests, db_pool_tests, tasks_tests, group_commit_tests,
        group_commit_away_tests, group_read_tests, handling_tests, batch_tests,
        reminders_tests, sweep_tests, jobs_tests, chores_tests, heads_tests,
        drain_tests, letters_tests, glance_tests, sampler_tests, alert_tests,
        memory_tests, NULL,
    };

    if (test_dsn() == NULL) {
        printf("SKIPPED: the tests of the database. Name a migrated one, "
               "which they may write to, in TASKEVENTS_TEST_DSN.\n");
        return SKIPPED;
    }
    if (load_driver() != APR_SUCCESS) {
        printf("apr_dbd's pgsql driver is not there (Debian: "
               "libaprutil1-dbd-pgsql)\n");
        return 1;
    }
    return unit_run("taskevents-db", cases);
}
