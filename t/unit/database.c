#include "database.h"

#include <apr_strings.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>

#include "../../mod_taskevents/base/uuid.h"
#include "../../mod_taskevents/store/db.h"

#define MOST_THREADS 64

const char *test_dsn(void)
{
    const char *dsn = getenv("TASKEVENTS_TEST_DSN");

    return dsn != NULL && *dsn ? dsn : NULL;
}

te_db_settings_t *test_settings(int max)
{
    te_db_settings_t *settings = apr_pcalloc(pool, sizeof *settings);

    settings->conninfo = test_dsn();
    settings->keep = settings->max = max;
    settings->wait = apr_time_from_sec(20);
    return settings;
}

te_db_pool_t *open_pool(int max)
{
    te_db_pool_t *db_pool = NULL;

    ck_assert_int_eq(te_db_pool_create(&db_pool, test_settings(max), pool),
                     APR_SUCCESS);
    return db_pool;
}

void close_pool(te_db_pool_t *db_pool)
{
    ck_assert_msg(te_db_pool_close(db_pool, apr_time_from_sec(5)),
                  "a connection did not come back");
}

te_db_t *borrow(te_db_pool_t *db_pool)
{
    te_db_t *db = NULL;
    te_db_err_e err = te_db_acquire(db_pool, &db, apr_time_from_sec(60));

    ck_assert_msg(err == TE_DB_OK, "no connection: %s", te_db_err_name(err));
    return db;
}

static apr_status_t finish(void *conn)
{
    PQfinish(conn);
    return APR_SUCCESS;
}

/* One for each test: tests are processes of their own. */
static PGconn *own_connection(void)
{
    static PGconn *conn;

    if (conn == NULL) {
        conn = PQconnectdb(test_dsn());
        ck_assert_msg(PQstatus(conn) == CONNECTION_OK, "%s",
                      PQerrorMessage(conn));
        apr_pool_cleanup_register(pool, conn, finish, apr_pool_cleanup_null);
        PQclear(PQexec(conn, "SET client_min_messages = error;"
                       " SET TimeZone = 'UTC'"));
    }
    return conn;
}

const char *sql(const char *fmt, ...)
{
    PGconn *conn = own_connection();
    const char *text, *value = "";
    PGresult *r;
    va_list ap;

    va_start(ap, fmt);
    text = apr_pvsprintf(pool, fmt, ap);
    va_end(ap);
    r = PQexec(conn, text);
    ck_assert_msg(PQresultStatus(r) == PGRES_TUPLES_OK
                  || PQresultStatus(r) == PGRES_COMMAND_OK, "%s: %s", text,
                  PQerrorMessage(conn));
    if (PQntuples(r) > 0) {
        value = apr_pstrdup(pool, PQgetvalue(r, 0, 0));
    }
    PQclear(r);
    return value;
}

/* --- statements -------------------------------------------------------- */

const te_statement_t *__real_te_statement(te_statement_e which);
const te_statement_t *__wrap_te_statement(te_statement_e which);

static te_statement_t replaced[TE_STATEMENT_COUNT];

const te_statement_t *__wrap_te_statement(te_statement_e which)
{
    return replaced[which].sql ? &replaced[which]
                               : __real_te_statement(which);
}

void replace_statement(te_statement_e which, int params, const char *text)
{
    replaced[which].name = apr_psprintf(pool, "unit_%d", (int)which);
    replaced[which].params = params;
    replaced[which].sql = text;
}

const char *new_user(void)
{
    return apr_pstrcat(pool, "unit-", te_uuid_v4(pool), NULL);
}

/* --- threads ----------------------------------------------------------- */

typedef struct {
    int number;
    void (*fn)(int number, void *context);
    void *context;
    pthread_barrier_t *start;
} runner_t;

static void *run(void *data)
{
    runner_t *r = data;

    pthread_barrier_wait(r->start);
    r->fn(r->number, r->context);
    return NULL;
}

void run_threads(int n, void (*fn)(int number, void *context), void *context)
{
    pthread_t threads[MOST_THREADS];
    runner_t runners[MOST_THREADS];
    pthread_barrier_t start;
    int i;

    ck_assert_int_le(n, MOST_THREADS);
    pthread_barrier_init(&start, NULL, (unsigned)n);
    for (i = 0; i < n; ++i) {
        runners[i].number = i;
        runners[i].fn = fn;
        runners[i].context = context;
        runners[i].start = &start;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run, &runners[i]),
                         0);
    }
    for (i = 0; i < n; ++i) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&start);
}
