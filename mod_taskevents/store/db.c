/* Connections, the pool, and the one way a statement is run. */
#include "db_internal.h"

#include <apr_atomic.h>
#include <apr_dbd.h>
#include <apr_reslist.h>
#include <apr_strings.h>
#include <poll.h>
#include <string.h>

#include "../base/log.h"
#include "../base/timefmt.h"

#define IDLE_CONNECTION_TTL apr_time_from_sec(300)
#define PROBE_PATIENCE apr_time_from_msec(500)
#define MESSAGE_MAX 400
#define STATEMENT_NAME_MAX 64

/* Sent on each new connection: no statement outlives a request's patience,
 * plain read committed, and text forms that timefmt can read. */
static const char session_setup[] =
    "SET statement_timeout = '5s'; SET lock_timeout = '2s';"
    " SET idle_in_transaction_session_timeout = '10s';"
    " SET default_transaction_isolation = 'read committed';"
    " SET client_encoding = 'UTF8'; SET TimeZone = 'UTC';"
    " SET DateStyle = 'ISO, YMD'; SET standard_conforming_strings = on";

struct te_db_t {
    const te_db_settings_t *settings;
    te_db_pool_t *owner;                /* NULL: standalone */
    apr_pool_t *pool;                   /* lives as long as this struct */
    apr_pool_t *connection_pool;        /* lives as long as the connection */
    apr_dbd_t *handle;
    PGconn *conn;                       /* NULL: not connected */
    PGresult *last;
    int unfinished;                     /* te_db_start without its end */
    apr_time_t deadline;
    char prepared[TE_STATEMENT_COUNT];
    unsigned int generation;            /* of the prepared statements' names */
    int preparing;                      /* the call begins with it: which */
    int commands;                       /* of the call */
    int refused;                        /* the first that failed; -1: none */
    char message[MESSAGE_MAX];
    char constraint[64];
};

struct te_db_pool_t {
    te_db_settings_t settings;
    apr_reslist_t *connections;
    apr_pool_t *pool;
    te_remembered_t remembered;
    volatile apr_uint32_t out;          /* borrowed now */
    volatile apr_uint32_t down;         /* the last connect failed */
    volatile apr_uint32_t probing;      /* somebody tries again */
};

static const apr_dbd_driver_t *driver;

/* --- one connection ---------------------------------------------------- */

apr_status_t te_db_driver_init(apr_pool_t *p)
{
    apr_status_t rv = apr_dbd_init(p);

    return rv != APR_SUCCESS ? rv : apr_dbd_get_driver(p, "pgsql", &driver);
}

/* Keep the first line: what follows may quote rows. */
static void note(te_db_t *db, const char *message)
{
    apr_size_t n = strcspn(message, "\n");

    apr_cpystrn(db->message, message,
                n + 1 < sizeof db->message ? n + 1 : sizeof db->message);
}

void te_db_clear(te_db_t *db)
{
    PQclear(db->last);
    db->last = NULL;
}

void te_db_close(te_db_t *db)
{
    te_db_clear(db);
    if (db->handle != NULL) {
        apr_dbd_close(driver, db->handle);      /* no pool does it */
    }
    if (db->connection_pool != NULL) {
        apr_pool_destroy(db->connection_pool);
    }
    db->connection_pool = NULL;
    db->handle = NULL;
    db->conn = NULL;
    db->unfinished = 0;
    db->generation = 0;
    memset(db->prepared, 0, sizeof db->prepared);
}

static void ignore_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

static int set_up(te_db_t *db);

static int open_connection(te_db_t *db)
{
    const char *error = NULL;

    apr_pool_create(&db->connection_pool, db->pool);
    if (apr_dbd_open_ex(driver, db->connection_pool,
                        te_db_conninfo_complete(db->connection_pool,
                                                db->settings->conninfo),
                        &db->handle, &error) != APR_SUCCESS) {
        note(db, error ? error : "cannot connect");
        te_db_close(db);
        return 0;
    }
    db->conn = apr_dbd_native_handle(driver, db->handle);
    PQsetNoticeReceiver(db->conn, ignore_notice, NULL);
    db->message[0] = '\0';
    if (!set_up(db)) {
        if (db->message[0] == '\0') {
            note(db, PQerrorMessage(db->conn));
        }
        te_db_close(db);
        return 0;
    }
    return 1;
}

/* Nobody speaks on an idle connection but a server that says goodbye: what
 * can be read there means that it ended. Seen without a round trip. */
static int looks_alive(te_db_t *db)
{
    struct pollfd fd;

    fd.fd = PQsocket(db->conn);
    fd.events = POLLIN;
    return PQstatus(db->conn) == CONNECTION_OK
           && PQtransactionStatus(db->conn) == PQTRANS_IDLE
           && poll(&fd, 1, 0) == 0;
}

void te_db_renew(te_db_t *db, apr_interval_time_t budget)
{
    db->deadline = apr_time_now() + budget;
}

te_db_t *te_db_standalone(apr_pool_t *p, const te_db_settings_t *settings)
{
    te_db_t *db = apr_pcalloc(p, sizeof *db);

    db->settings = settings;
    db->pool = p;
    return db;
}

te_db_err_e te_db_reopen(te_db_t *db, apr_interval_time_t budget)
{
    te_db_renew(db, budget);
    if (db->conn != NULL && looks_alive(db)) {
        return TE_DB_OK;
    }
    te_db_close(db);
    return open_connection(db) ? TE_DB_OK : TE_DB_AWAY;
}

const char *te_db_error(const te_db_t *db)
{
    return db->message;
}

const char *te_db_constraint(const te_db_t *db)
{
    return db->constraint;
}

const char *te_db_err_name(te_db_err_e err)
{
    static const char *const names[] = {"ok",   "away",  "lost",  "again",
                                        "busy", "taken", "failed"};

    return names[err];
}

/* --- running a statement ----------------------------------------------- */

/* Wait until the socket is ready, at most to the deadline. */
static int wait_socket(te_db_t *db, short events)
{
    apr_interval_time_t left = db->deadline - apr_time_now();
    struct pollfd fd;

    if (left <= 0) {
        return 0;
    }
    fd.fd = PQsocket(db->conn);
    fd.events = events;
    return poll(&fd, 1, (int)(left / 1000) + 1) > 0;
}

static int flush(te_db_t *db)
{
    int more;

    while ((more = PQflush(db->conn)) == 1) {
        if (!wait_socket(db, POLLOUT | POLLIN)
            || !PQconsumeInput(db->conn)) {
            return 0;
        }
    }
    return more == 0;
}

/* The next result of the pipeline, waited for; *ok is 0 when the connection
 * or the time ended. NULL with *ok: the end of one command's results. */
static PGresult *next_result(te_db_t *db, int *ok)
{
    *ok = 1;
    while (PQisBusy(db->conn)) {
        if (!wait_socket(db, POLLIN)) {
            note(db, "no answer in time");
            *ok = 0;
            return NULL;
        }
        if (!PQconsumeInput(db->conn)) {
            note(db, PQerrorMessage(db->conn));
            *ok = 0;
            return NULL;
        }
    }
    return PQgetResult(db->conn);
}

/* PQexec of session_setup, but not beyond the deadline: a server can fall
 * silent behind its login too. */
static int set_up(te_db_t *db)
{
    int ok = 1, going_on = PQsetnonblocking(db->conn, 1) == 0
                           && PQsendQuery(db->conn, session_setup)
                           && flush(db);
    PGresult *r;

    while (going_on && (r = next_result(db, &going_on)) != NULL) {
        ok = ok && PQresultStatus(r) == PGRES_COMMAND_OK;
        PQclear(r);
    }
    return going_on && ok;
}

static int starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Messages about data (class 22) and constraints (23) repeat what a user
 * wrote, which no log may hold. */
static int quotes_values(const char *state)
{
    return state != NULL && state[0] == '2'
           && (state[1] == '2' || state[1] == '3');
}

/* PostgreSQL, appendix A: error codes. */
static te_db_err_e classify(te_db_t *db, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *constraint = PQresultErrorField(r, PG_DIAG_CONSTRAINT_NAME);

    apr_snprintf(db->message, sizeof db->message, "%s %s",
                 state ? state : "-----",
                 quotes_values(state) ? constraint ? constraint : ""
                                      : primary ? primary : "");
    apr_cpystrn(db->constraint, constraint ? constraint : "",
                sizeof db->constraint);
    if (state == NULL || starts_with(state, "08")
        || starts_with(state, "57P")) {
        return TE_DB_LOST;
    }
    if (strcmp(state, "23505") == 0) {
        return TE_DB_TAKEN;
    }
    if (strcmp(state, "26000") == 0 || strcmp(state, "0A000") == 0) {
        /* somebody deallocated or a migration changed what was prepared:
         * all is prepared anew, under names that none can have */
        memset(db->prepared, 0, sizeof db->prepared);
        ++db->generation;
        return TE_DB_AGAIN;
    }
    if (starts_with(state, "40")) {
        return TE_DB_AGAIN;
    }
    if (strcmp(state, "55P03") == 0 || strcmp(state, "57014") == 0
        || starts_with(state, "53") || strcmp(state, "25P03") == 0) {
        return TE_DB_BUSY;
    }
    return TE_DB_FAILED;
}

/* Read everything up to the sync. The statement's own result is the one at
 * index `wanted`; the first error of any command decides. */
static te_db_err_e collect(te_db_t *db, int wanted)
{
    te_db_err_e err = TE_DB_OK;
    int index = 0, ok;
    PGresult *r;

    for (;;) {
        r = next_result(db, &ok);
        if (!ok) {
            return TE_DB_LOST;
        }
        if (r == NULL) {
            if (PQstatus(db->conn) != CONNECTION_OK
                || ++index > db->commands) {
                return TE_DB_LOST;
            }
            continue;
        }
        switch (PQresultStatus(r)) {
        case PGRES_PIPELINE_SYNC:
            PQclear(r);
            return err;
        case PGRES_TUPLES_OK:
        case PGRES_COMMAND_OK:
            if (index == 0 && db->preparing >= 0) {
                db->prepared[db->preparing] = 1;
            }
            if (index == wanted) {
                te_db_clear(db);
                db->last = r;
                continue;
            }
            break;
        case PGRES_PIPELINE_ABORTED:
            break;
        default:
            if (err == TE_DB_OK) {
                err = classify(db, r);
                db->refused = index;
            }
            break;
        }
        PQclear(r);
        if (err == TE_DB_LOST) {
            return err;
        }
    }
}

static int send_simple(te_db_t *db, const char *sql)
{
    ++db->commands;
    return PQsendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 0);
}

/* The name under which this connection knows a statement. */
static const char *name_of(const te_db_t *db, te_statement_e statement,
                           char *room, apr_size_t size)
{
    apr_snprintf(room, size, db->generation ? "%s/%u" : "%s",
                 te_statement(statement)->name, db->generation);
    return room;
}

static int send_prepare(te_db_t *db, te_statement_e statement)
{
    char name[STATEMENT_NAME_MAX];

    db->preparing = (int)statement;
    ++db->commands;
    return PQsendPrepare(db->conn, name_of(db, statement, name, sizeof name),
                         te_statement(statement)->sql, 0, NULL);
}

static int send_prepared(te_db_t *db, te_statement_e statement,
                         const char *const *params)
{
    char name[STATEMENT_NAME_MAX];

    ++db->commands;
    return PQsendQueryPrepared(db->conn,
                               name_of(db, statement, name, sizeof name),
                               te_statement(statement)->params, params, NULL,
                               NULL, 0);
}

/* Queue [prepare] [BEGIN] statement [COMMIT] sync. *wanted: the statement's
 * place among them. */
static int send_all(te_db_t *db, te_statement_e statement, int tx,
                    const char *const *params, int *wanted)
{
    if (!db->prepared[statement] && !send_prepare(db, statement)) {
        return 0;
    }
    if ((tx & TE_TX_BEGIN) && !send_simple(db, "BEGIN")) {
        return 0;
    }
    *wanted = db->commands;
    return send_prepared(db, statement, params)
           && (!(tx & TE_TX_COMMIT) || send_simple(db, "COMMIT"))
           && PQpipelineSync(db->conn) && flush(db);
}

/* A pipeline begins: what the last call left is gone. */
static int begin_call(te_db_t *db)
{
    if (te_db_finish(db) != TE_DB_OK) {
        return 0;
    }
    te_db_clear(db);
    db->preparing = db->refused = -1;
    db->commands = 0;
    db->message[0] = db->constraint[0] = '\0';
    if (db->conn == NULL) {
        note(db, "not connected");
        return 0;
    }
    return PQenterPipelineMode(db->conn);
}

/* The connection is of no use any more. */
static te_db_err_e lose(te_db_t *db)
{
    if (db->message[0] == '\0' && db->conn != NULL) {
        note(db, PQerrorMessage(db->conn));
    }
    te_db_close(db);
    return TE_DB_LOST;
}

/* A pipeline was sent: its end. */
static te_db_err_e end_call(te_db_t *db, int wanted)
{
    te_db_err_e err = collect(db, wanted);

    if (err == TE_DB_LOST || !PQexitPipelineMode(db->conn)) {
        return lose(db);
    }
    return err;
}

static te_db_err_e end_statement(te_db_t *db, int wanted, PGresult **result)
{
    te_db_err_e err = end_call(db, wanted);

    if (err != TE_DB_OK && err != TE_DB_LOST) {
        te_db_clear(db);
        te_db_rollback(db);
    }
    *result = db->last;
    return err;
}

te_db_err_e te_db_run(te_db_t *db, te_statement_e statement, int tx,
                      const char *const *params, PGresult **result)
{
    int wanted;

    if (!begin_call(db) || !send_all(db, statement, tx, params, &wanted)) {
        return lose(db);
    }
    return end_statement(db, wanted, result);
}

te_db_err_e te_db_start(te_db_t *db, te_statement_e statement,
                        const char *const *params)
{
    int wanted;

    if (!begin_call(db)
        || !send_all(db, statement, TE_TX_NONE, params, &wanted)) {
        return lose(db);
    }
    db->unfinished = 1;
    return TE_DB_OK;
}

te_db_err_e te_db_finish(te_db_t *db)
{
    te_db_err_e err;

    if (!db->unfinished) {
        return TE_DB_OK;
    }
    db->unfinished = 0;
    err = end_call(db, -1);
    if (err != TE_DB_OK) {
        lose(db);
    }
    return err;
}

te_db_err_e te_db_run_text(te_db_t *db, const char *sql, int n,
                           const char *const *params, PGresult **result)
{
    if (!begin_call(db)
        || !PQsendQueryParams(db->conn, sql, n, NULL, params, NULL, NULL, 0)
        || !PQpipelineSync(db->conn) || !flush(db)) {
        return lose(db);
    }
    db->commands = 1;
    return end_statement(db, 0, result);
}

/* Prepare what of these is not yet, in round trips of their own: a connection
 * has them once. */
static te_db_err_e prepare_all(te_db_t *db, const te_call_t *calls, int n)
{
    te_db_err_e err = TE_DB_OK;
    int i;

    for (i = 0; i < n && err == TE_DB_OK; ++i) {
        if (db->prepared[calls[i].statement]) {
            continue;
        }
        if (!begin_call(db) || !send_prepare(db, calls[i].statement)
            || !PQpipelineSync(db->conn) || !flush(db)) {
            return lose(db);
        }
        err = end_call(db, -1);
    }
    return err;
}

te_db_err_e te_db_run_together(te_db_t *db, const te_call_t *calls, int n,
                               int *refused)
{
    te_db_err_e err = prepare_all(db, calls, n);
    int i;

    *refused = -1;
    if (err != TE_DB_OK) {
        return err;
    }
    if (!begin_call(db)) {
        return lose(db);
    }
    for (i = 0; i < n; ++i) {
        if (!send_prepared(db, calls[i].statement, calls[i].params)) {
            return lose(db);
        }
    }
    if (!PQpipelineSync(db->conn) || !flush(db)) {
        return lose(db);
    }
    err = end_call(db, -1);
    *refused = db->refused;
    return err;
}

/* BEGIN, COMMIT, ROLLBACK alone; the message of the call before stays. */
static te_db_err_e run_simple(te_db_t *db, const char *sql)
{
    if (db->conn == NULL) {
        return TE_DB_LOST;
    }
    db->preparing = -1;
    db->commands = 0;
    if (!PQenterPipelineMode(db->conn) || !send_simple(db, sql)
        || !PQpipelineSync(db->conn) || !flush(db)) {
        return lose(db);
    }
    return end_call(db, -1);
}

te_db_err_e te_db_commit(te_db_t *db)
{
    /* COMMIT of a failed transaction answers without an error */
    if (db->conn != NULL
        && PQtransactionStatus(db->conn) != PQTRANS_INTRANS) {
        te_db_rollback(db);
        note(db, "the transaction had failed");
        return TE_DB_FAILED;
    }
    return run_simple(db, "COMMIT");
}

void te_db_rollback(te_db_t *db)
{
    if (db->conn == NULL || PQtransactionStatus(db->conn) == PQTRANS_IDLE) {
        return;
    }
    if (run_simple(db, "ROLLBACK") != TE_DB_OK
        || PQtransactionStatus(db->conn) != PQTRANS_IDLE) {
        te_db_close(db);
    }
}

te_db_err_e te_db_committed(te_db_t *db, const char *xact, int *committed)
{
    PGresult *r;
    te_db_err_e err = te_db_run(db, TE_COMMITTED, TE_TX_NONE, &xact, &r);

    if (err == TE_DB_OK) {
        *committed = PQgetvalue(r, 0, 0)[0] == 't';
    }
    return err;
}

int te_db_is_direct(te_db_t *db)
{
    PGresult *r;

    if (te_db_run(db, TE_BACKEND_PID, TE_TX_NONE, NULL, &r) != TE_DB_OK) {
        return -1;
    }
    return te_db_int64(r, 0, 0) == te_db_backend(db);
}

int te_db_backend(const te_db_t *db)
{
    return db->conn ? PQbackendPID(db->conn) : 0;
}

/* --- the pool ---------------------------------------------------------- */

/* A place in the pool. It connects when it is first borrowed, outside the
 * reslist's mutex, so that a slow connect holds up nobody else. */
static apr_status_t make_place(void **resource, void *params,
                               apr_pool_t *unused)
{
    te_db_pool_t *pool = params;
    apr_pool_t *own;
    te_db_t *db;
    apr_status_t rv;

    (void)unused;
    rv = apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    db = te_db_standalone(own, &pool->settings);
    db->owner = pool;
    *resource = db;
    return APR_SUCCESS;
}

static apr_status_t drop_place(void *resource, void *params,
                               apr_pool_t *unused)
{
    te_db_t *db = resource;

    (void)params;
    (void)unused;
    te_db_close(db);
    apr_pool_destroy(db->pool);
    return APR_SUCCESS;
}

apr_status_t te_db_pool_create(te_db_pool_t **out,
                               const te_db_settings_t *settings, apr_pool_t *p)
{
    te_db_pool_t *pool = apr_pcalloc(p, sizeof *pool);
    apr_status_t rv;

    pool->settings = *settings;
    /* of its own allocator: the reslist allocates in whichever thread comes
     * by */
    rv = apr_pool_create_unmanaged_ex(&pool->pool, NULL, NULL);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = te_remembered_init(&pool->remembered, pool->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_reslist_create(&pool->connections, settings->min, settings->keep,
                            settings->max, IDLE_CONNECTION_TTL, make_place,
                            drop_place, pool, pool->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_reslist_timeout_set(pool->connections, settings->wait);
    *out = pool;
    return APR_SUCCESS;
}

int te_db_pool_close(te_db_pool_t *pool, apr_interval_time_t longest)
{
    apr_time_t give_up = apr_time_now() + longest;

    while (apr_atomic_read32(&pool->out) > 0) {
        if (apr_time_now() > give_up) {
            return 0;
        }
        apr_sleep(apr_time_from_msec(10));
    }
    apr_reslist_destroy(pool->connections);
    te_remembered_forget(&pool->remembered);
    apr_pool_destroy(pool->pool);
    return 1;
}

/* Another thread is trying to connect: when PostgreSQL is back that takes a
 * moment. @return whether it is */
static int wait_for_probe(te_db_pool_t *pool)
{
    apr_time_t give_up = apr_time_now() + PROBE_PATIENCE;

    while (apr_atomic_read32(&pool->probing) && apr_time_now() < give_up) {
        apr_sleep(apr_time_from_msec(5));
    }
    return !apr_atomic_read32(&pool->down);
}

/* While PostgreSQL is away one thread at a time tries to connect. The others
 * wait for a moment and no longer: nobody queues behind a connect that
 * hangs. */
static te_db_err_e connect_place(te_db_pool_t *pool, te_db_t *db)
{
    int ok;

    if (apr_atomic_read32(&pool->down)
        && apr_atomic_cas32(&pool->probing, 1, 0) != 0
        && !wait_for_probe(pool)) {
        note(db, "cannot connect; another thread is trying");
        return TE_DB_AWAY;
    }
    ok = open_connection(db);
    if (ok != !apr_atomic_read32(&pool->down)) {
        if (ok) {
            te_log(TE_LOG_NOTICE, 0, "TE0201", "PostgreSQL is back");
        }
        else {
            te_log(TE_LOG_ERR, 0, "TE0202", "cannot connect to PostgreSQL, "
                   "requests answer 503 until it is back; see that it runs "
                   "and that TaskEventsDatabase is right: %s", db->message);
        }
    }
    apr_atomic_set32(&pool->down, !ok);
    apr_atomic_set32(&pool->probing, 0);
    return ok ? TE_DB_OK : TE_DB_AWAY;
}

te_db_err_e te_db_acquire(te_db_pool_t *pool, te_db_t **out,
                          apr_interval_time_t budget)
{
    apr_time_t start = apr_time_now();
    te_db_err_e err = TE_DB_OK;
    void *resource;
    te_db_t *db;

    *out = NULL;
    if (apr_reslist_acquire(pool->connections, &resource) != APR_SUCCESS) {
        return TE_DB_BUSY;
    }
    apr_atomic_inc32(&pool->out);
    db = resource;
    db->deadline = start + budget;
    if (db->conn != NULL && !looks_alive(db)) {
        te_db_close(db);
    }
    if (db->conn == NULL) {
        err = connect_place(pool, db);
    }
    if (err != TE_DB_OK) {
        te_db_release(db);
        return err;
    }
    *out = db;
    return TE_DB_OK;
}

void te_db_release(te_db_t *db)
{
    te_db_pool_t *pool;

    if (db == NULL) {
        return;
    }
    pool = db->owner;
    te_db_clear(db);
    te_db_rollback(db);
    apr_reslist_release(pool->connections, db);
    apr_atomic_dec32(&pool->out);
}

te_remembered_t *te_db_remembered(te_db_pool_t *pool)
{
    return &pool->remembered;
}
