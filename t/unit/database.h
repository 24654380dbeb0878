/* A connection of the test's own beside those under test. */
#ifndef TE_T_UNIT_DATABASE_H
#define TE_T_UNIT_DATABASE_H

#include "../../mod_taskevents/core/settings.h"
#include "../../mod_taskevents/store/statements.h"
#include "unit.h"

/* TASKEVENTS_TEST_DSN, or NULL. */
const char *test_dsn(void);

/* Settings of a pool of this size in the test database. */
te_db_settings_t *test_settings(int max);

/* A pool, to be closed by close_pool. */
te_db_pool_t *open_pool(int max);
void close_pool(te_db_pool_t *db_pool);

/* Borrow a connection for this test, which fails when there is none. */
te_db_t *borrow(te_db_pool_t *db_pool);

/* Run SQL on the test's own connection; the first value of the first row, or
 * "" when there is none. The test fails when the SQL does. */
const char *sql(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* From now on the library runs this SQL in place of that statement (one SQL
 * for each in a test: connections remember what they prepared). */
void replace_statement(te_statement_e which, int params, const char *text);

/* A user that no test had before. */
const char *new_user(void);

/* n threads run fn(number, context) at the same time. */
void run_threads(int n, void (*fn)(int number, void *context),
                 void *context);

#endif
