/* What the files of store/ share: running statements, reading results. */
#ifndef TE_STORE_DB_INTERNAL_H
#define TE_STORE_DB_INTERNAL_H

#include <apr_hash.h>
#include <apr_tables.h>
#include <apr_thread_mutex.h>
#include <libpq-fe.h>

#include "db.h"
#include "statements.h"

/* The operator's conninfo, with limits on how long a vanished server can
 * hold a thread, unless the operator set them; in p. */
const char *te_db_conninfo_complete(apr_pool_t *p, const char *conninfo);

/* What a pool's process remembers (store/remembered.c). */
typedef struct te_remembered_t {
    apr_thread_mutex_t *mutex;          /* all below */
    apr_int64_t next_id, last_id;       /* of the block in use */
    apr_int64_t spare_id;               /* where the next begins; 0: none */
    apr_pool_t *zone_pool;
    apr_hash_t *zones;
} te_remembered_t;

apr_status_t te_remembered_init(te_remembered_t *known, apr_pool_t *p);
void te_remembered_forget(te_remembered_t *known);
te_remembered_t *te_db_remembered(te_db_pool_t *pool);

/* The schema is not what it was when connections were opened: each of them is
 * opened anew, and so asked, before it is used again. */
void te_db_doubt(void);

/* What the connection's settings want at least. */
int te_db_schema_needed(const te_db_t *db);

/* What goes along with a statement in the same round trip. */
typedef enum {
    TE_TX_NONE = 0,
    TE_TX_BEGIN = 1,            /* BEGIN before it */
    TE_TX_COMMIT = 2            /* COMMIT after it */
} te_tx_e;

/* Run one statement, one round trip (two when it is new on the connection).
 * params: as many texts as the statement has, NULL is SQL NULL; they need
 * live only during the call.
 * @param result  on TE_DB_OK, its rows, cleared by te_db_clear or, at the
 *                latest, by the next call on this connection
 * On any error an open transaction is over: rolled back, or will be when the
 * connection goes back. */
te_db_err_e te_db_run(te_db_t *db, te_statement_e statement, int tx,
                      const char *const *params, PGresult **result);

/* One of the statements that go along in one round trip. */
typedef struct te_db_call_t {
    te_statement_e statement;
    const char *const *params;          /* as te_db_run's */
    PGresult *result;                   /* its rows, as te_db_run's */
} te_db_call_t;

#define TE_DB_MOST_CALLS 33

/* Same for up to TE_DB_MOST_CALLS statements, in this order. Each sees what
 * was committed before it began. Without TE_TX_BEGIN and outside of a
 * transaction they are one of their own: all of them, or none. */
te_db_err_e te_db_run_all(te_db_t *db, int tx, te_db_call_t *calls, int n);

/* Which of them PostgreSQL refused when that failed; -1: none of them. */
int te_db_refused(const te_db_t *db);

/* Same for a statement put together for this one call; unnamed, so that its
 * plan fits its values. n: number of params. */
te_db_err_e te_db_run_text(te_db_t *db, const char *sql, int n,
                           const char *const *params, PGresult **result);

/* Send a statement of its own transaction and do not wait: its end is awaited
 * by te_db_finish, or by the next call, which fails if it failed. Its rows
 * are not kept. After a failure the connection is closed. */
te_db_err_e te_db_start(te_db_t *db, te_statement_e statement,
                        const char *const *params);

/* How many rows it wrote: after te_db_finish, until the next call. */
int te_db_affected(const te_db_t *db);

void te_db_clear(te_db_t *db);

/* Copies of what a column holds, NULL for SQL NULL. */
const char *te_db_text(apr_pool_t *p, const PGresult *r, int row, int column);
apr_int64_t te_db_int64(const PGresult *r, int row, int column);
apr_time_t te_db_time(const PGresult *r, int row, int column);

/* Numbers as parameters, in p. */
const char *te_db_from_int64(apr_pool_t *p, apr_int64_t value);

/* text[] literals of PostgreSQL from and to arrays of const char *, in p. From
 * NULL, which is SQL's; to it there is no way. */
const char *te_db_from_array(apr_pool_t *p, const apr_array_header_t *texts);
const char *te_db_from_one(apr_pool_t *p, const char *text);
apr_array_header_t *te_db_to_array(apr_pool_t *p, const char *literal);

/* Rows as parameters, an array for each column: n empty ones of const char *,
 * and their literals. */
void te_db_columns(apr_pool_t *p, apr_array_header_t **columns, int n,
                   int rows);
void te_db_from_columns(apr_pool_t *p, apr_array_header_t *const *columns,
                        int n, const char **params);

/* The name of the constraint that the last TE_DB_TAKEN ran into, or "". */
const char *te_db_constraint(const te_db_t *db);

#endif
