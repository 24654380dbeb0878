/* PostgreSQL connections: opened by apr_dbd's pgsql driver, pooled by an
 * apr_reslist of our own, worked through the driver's native handle.
 *
 * Why not mod_dbd and apr_dbd's statements: mod_dbd waits for ever for a free
 * connection and cannot drop a bad one; apr_dbd tells no SQLSTATE, forgets
 * its statements over a reconnect, and its transaction_start crashes on a
 * dead connection. */
#ifndef TE_STORE_DB_H
#define TE_STORE_DB_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct te_db_pool_t te_db_pool_t;

/* One connection, in use by one thread at a time. */
typedef struct te_db_t te_db_t;

/* How a database call ended. */
typedef enum {
    TE_DB_OK = 0,
    TE_DB_AWAY,         /* no connection to be had: nothing was done */
    TE_DB_OLD,          /* the schema lacks what this build needs: nothing
                         * was done */
    TE_DB_LOST,         /* the connection ended within the call: what it was
                         * to write may or may not be there */
    TE_DB_AGAIN,        /* rolled back by PostgreSQL (deadlock, serialization,
                         * stale statement): the whole transaction again */
    TE_DB_BUSY,         /* a lock or statement took too long, or PostgreSQL
                         * has no room: rolled back */
    TE_DB_TAKEN,        /* a unique constraint: somebody was first */
    TE_DB_FAILED        /* anything else: a fault of ours or of the schema */
} te_db_err_e;

typedef struct te_db_settings_t {
    const char *conninfo;               /* libpq conninfo or URI */
    int min, keep, max;                 /* connections of this process */
    apr_interval_time_t wait;           /* longest wait for a free one */
    int schema_needed;                  /* no work with an older one */
} te_db_settings_t;

/* How often a transaction is tried that PostgreSQL rolled back. */
#define TE_DB_TRIES 3

/* Whether libpq can read a conninfo; nothing is connected. What libpq has to
 * say about a bad one may quote a password, so it is not told. */
int te_db_conninfo_valid(const char *conninfo);

/* Whether a valid one has a password in it. */
int te_db_conninfo_has_password(const char *conninfo);

/* Load the pgsql driver of apr_dbd; once per process, before threads.
 * @return APR_SUCCESS, or the reason that it is not there */
apr_status_t te_db_driver_init(apr_pool_t *p);

/* A pool of connections in p. Nothing is connected yet. All connections must
 * be back (te_db_pool_close) before p goes. */
apr_status_t te_db_pool_create(te_db_pool_t **out,
                               const te_db_settings_t *settings,
                               apr_pool_t *p);

/* Wait until all connections are back, at most `longest`, then close them.
 * @return 1, or 0 when some are still out (nothing was closed) */
int te_db_pool_close(te_db_pool_t *pool, apr_interval_time_t longest);

/* Borrow a connection that is alive as far as can be told without asking.
 * Everything done with it must end within `budget` from now.
 * @return TE_DB_OK; TE_DB_BUSY: none was free in time; TE_DB_AWAY;
 *         TE_DB_OLD */
te_db_err_e te_db_acquire(te_db_pool_t *pool, te_db_t **out,
                          apr_interval_time_t budget);

/* Give it back; an open transaction is rolled back, a bad connection is
 * closed. NULL is fine. */
void te_db_release(te_db_t *db);

/* A connection outside any pool, for one thread that keeps it (the
 * publisher): same settings, opened by te_db_reopen. Lives in p. */
te_db_t *te_db_standalone(apr_pool_t *p, const te_db_settings_t *settings);

/* Open (or keep) a standalone connection and start a new budget.
 * @return TE_DB_OK, TE_DB_AWAY, TE_DB_OLD */
te_db_err_e te_db_reopen(te_db_t *db, apr_interval_time_t budget);

/* Close it: what it held (transaction, advisory locks) is gone. */
void te_db_close(te_db_t *db);

/* Start a new budget for the calls that follow. */
void te_db_renew(te_db_t *db, apr_interval_time_t budget);

/* Roll back an open transaction, if there is one. */
void te_db_rollback(te_db_t *db);

/* Whether a transaction that has ended (who holds a row that it held knows)
 * ended by COMMIT: what a lost connection left open.
 * @param xact  its number, as te_tasks_lock tells it */
te_db_err_e te_db_committed(te_db_t *db, const char *xact, int *committed);

/* COMMIT what te_db_* calls left open with TE_TX_BEGIN. */
te_db_err_e te_db_commit(te_db_t *db);

/* Wait for the end of what was started without waiting (te_outbox_accepted).
 * A failure closes the connection. */
te_db_err_e te_db_finish(te_db_t *db);

/* Whether two numbers of the session agree: PostgreSQL's own process id and
 * the one libpq was told. They differ behind a transaction pooler, where
 * session locks are worthless. @return 1 the same, 0 not, -1 no answer */
int te_db_is_direct(te_db_t *db);

/* The session's process id, as libpq was told it; 0 when not connected. */
int te_db_backend(const te_db_t *db);

/* What the last call that did not return TE_DB_OK ran into: one line without
 * user text, for the log. */
const char *te_db_error(const te_db_t *db);

/* Words for an error, for logs and metrics. */
const char *te_db_err_name(te_db_err_e err);

/* Each new connection is asked for the schema's version first, and is closed
 * when that is less than schema_needed: so nothing of this process works with
 * half a schema, whatever it is, and what a migration brings is noticed by the
 * next try. A connection is opened anew when anybody has met something that is
 * not there (a migration was reverted). */

/* The version that the last connection of this process found; 0: none. */
int te_db_schema_found(void);

/* The schema's version number now (taskevents.schema_version()). One that is
 * too old makes all connections look again. */
te_db_err_e te_db_schema_version(te_db_t *db, int *version);

/* The next task id: a process takes them from PostgreSQL in blocks, so ids
 * are unique, not consecutive over processes. */
te_db_err_e te_db_next_task_id(te_db_pool_t *pool, te_db_t *db,
                               apr_int64_t *id);

/* Same without a connection: 0 when the process has none left. */
apr_int64_t te_db_take_task_id(te_db_pool_t *pool);

/* Fetch more when few are left, so that nobody finds none. */
te_db_err_e te_db_stock_task_ids(te_db_pool_t *pool, te_db_t *db);

/* Whether name is a time zone that PostgreSQL knows as such (its names are
 * IANA's); the list is read once per process. */
te_db_err_e te_db_zone_known(te_db_pool_t *pool, te_db_t *db,
                             const char *name, int *known);

#endif
