/* Connections, and the one way a statement is run. */
#include "connection.h"

#include <apr_atomic.h>
#include <apr_dbd.h>
#include <apr_strings.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/timefmt.h"

/* Sent on each new connection: no statement outlives a request's patience,
 * plain read committed, and text forms that timefmt can read. And the one
 * question that comes before all work.
 *
 * The server is told to end the session of a machine that is gone without a
 * word. By itself it notices after two hours, or, when it is just sending,
 * after a quarter of one; and till then it keeps what the session has: the
 * publisher's shards, or, when only the first half of a pipeline has come
 * through, the rows that this half has written, and no timeout of its own ends
 * that. */
static const char session_setup[] =
    "SET statement_timeout = '5s'; SET lock_timeout = '2s';"
    " SET idle_in_transaction_session_timeout = '10s';"
    " SET default_transaction_isolation = 'read committed';"
    " SET client_encoding = 'UTF8'; SET TimeZone = 'UTC';"
    " SET DateStyle = 'ISO, YMD'; SET standard_conforming_strings = on;"
    " SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5;"
    " SET tcp_keepalives_count = 3; SET tcp_user_timeout = '15s';"
    " SELECT taskevents.schema_version()";

static const apr_dbd_driver_t *driver;

/* What this process knows of the schema. */
static volatile apr_uint32_t schema_found, schema_old, schema_doubts;

/* --- one connection ---------------------------------------------------- */

apr_status_t te_db_driver_init(apr_pool_t *p)
{
    apr_status_t rv = apr_dbd_init(p);

    return rv != APR_SUCCESS ? rv : apr_dbd_get_driver(p, "pgsql", &driver);
}

void te_db_note(te_db_t *db, const char *message)
{
    apr_size_t n = strcspn(message, "\n");

    apr_cpystrn(db->message, message,
                n + 1 < sizeof db->message ? n + 1 : sizeof db->message);
}

void te_db_clear(te_db_t *db)
{
    int i;

    for (i = 0; i < TE_DB_MOST_CALLS; ++i) {
        PQclear(db->results[i]);
        db->results[i] = NULL;
    }
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

static int set_up(te_db_t *db, int *version);

void te_db_doubt(void)
{
    apr_atomic_inc32(&schema_doubts);
}

int te_db_schema_needed(const te_db_t *db)
{
    return db->settings->schema_needed;
}

int te_db_schema_found(void)
{
    return (int)apr_atomic_read32(&schema_found);
}

/* Once for each change, whoever finds it. @return whether it will do */
static int schema_serves(te_db_t *db, int version)
{
    int needed = db->settings->schema_needed;
    apr_uint32_t old = version < needed;

    apr_atomic_set32(&schema_found, (apr_uint32_t)version);
    if (old) {
        apr_snprintf(db->message, sizeof db->message, "its schema has version "
                     "%d, this build needs %d", version, needed);
    }
    if (apr_atomic_xchg32(&schema_old, old) != old) {
        if (old) {
            te_log(TE_LOG_ERR, 0, "TE0204", "the database's schema has "
                   "version %d, this build needs %d: task routes answer 503, "
                   "deliveries 500, nothing is published; run the "
                   "migrations, no restart is needed", version, needed);
        }
        else {
            te_log(TE_LOG_NOTICE, 0, "TE0205", "the database's schema has "
                   "version %d now, which will do", version);
        }
    }
    return !old;
}

te_db_err_e te_db_open(te_db_t *db)
{
    const char *error = NULL;
    int version = 0;

    apr_pool_create(&db->connection_pool, db->pool);
    if (apr_dbd_open_ex(driver, db->connection_pool,
                        te_db_conninfo_complete(db->connection_pool,
                                                db->settings->conninfo),
                        &db->handle, &error) != APR_SUCCESS) {
        te_db_note(db, error ? error : "cannot connect");
        te_db_close(db);
        return TE_DB_AWAY;
    }
    db->conn = apr_dbd_native_handle(driver, db->handle);
    PQsetNoticeReceiver(db->conn, ignore_notice, NULL);
    db->message[0] = '\0';
    db->doubts = apr_atomic_read32(&schema_doubts);
    if (!set_up(db, &version)) {
        if (db->message[0] == '\0') {
            te_db_note(db, PQerrorMessage(db->conn));
        }
        te_db_close(db);
        return TE_DB_AWAY;
    }
    if (!schema_serves(db, version)) {
        te_db_close(db);
        return TE_DB_OLD;
    }
    return TE_DB_OK;
}

/* Nobody speaks on an idle connection but a server that says goodbye: what
 * can be read there means that it ended. Seen without a round trip. */
int te_db_usable(te_db_t *db)
{
    struct pollfd fd;

    fd.fd = PQsocket(db->conn);
    fd.events = POLLIN;
    return PQstatus(db->conn) == CONNECTION_OK
           && PQtransactionStatus(db->conn) == PQTRANS_IDLE
           && db->doubts == apr_atomic_read32(&schema_doubts)
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
    if (db->conn != NULL && te_db_usable(db)) {
        return TE_DB_OK;
    }
    te_db_close(db);
    return te_db_open(db);
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
    static const char *const names[] = {"ok",    "away", "old",   "lost",
                                        "again", "busy", "taken", "failed"};

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
            te_db_note(db, "no answer in time");
            *ok = 0;
            return NULL;
        }
        if (!PQconsumeInput(db->conn)) {
            te_db_note(db, PQerrorMessage(db->conn));
            *ok = 0;
            return NULL;
        }
    }
    return PQgetResult(db->conn);
}

/* There is no such schema, table, column or function. */
static int says_missing(const char *state)
{
    static const char *const missing[] = {"3F000", "42P01", "42703", "42883"};
    apr_size_t i;

    for (i = 0; i < sizeof missing / sizeof missing[0]; ++i) {
        if (state != NULL && strcmp(state, missing[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* PQexec of session_setup, but not beyond the deadline: a server can fall
 * silent behind its login too. A database without our schema has version 0. */
static int set_up(te_db_t *db, int *version)
{
    int ok = 1, going_on = PQsetnonblocking(db->conn, 1) == 0
                           && PQsendQuery(db->conn, session_setup)
                           && flush(db);
    PGresult *r;

    while (going_on && (r = next_result(db, &going_on)) != NULL) {
        if (PQresultStatus(r) == PGRES_TUPLES_OK) {
            *version = (int)te_db_int64(r, 0, 0);
        }
        else if (PQresultStatus(r) != PGRES_COMMAND_OK) {
            ok = ok && says_missing(PQresultErrorField(r, PG_DIAG_SQLSTATE));
        }
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
    if (says_missing(state)) {
        te_db_doubt();
    }
    return TE_DB_FAILED;
}

/* A command of the pipeline did what it was to do. */
static void keep_result(te_db_t *db, int index, PGresult *r)
{
    command_t nothing = {-1, -1},
              done = index < db->n_commands ? db->commands[index] : nothing;

    if (done.prepares >= 0) {
        db->prepared[done.prepares] = 1;
    }
    if (done.call >= 0) {
        PQclear(db->results[done.call]);
        db->results[done.call] = r;
    }
    else {
        PQclear(r);
    }
}

/* Read everything up to the sync; the first error of any command decides. */
static te_db_err_e collect(te_db_t *db)
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
                || ++index > db->n_commands) {
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
            keep_result(db, index, r);
            continue;
        case PGRES_PIPELINE_ABORTED:
            break;
        default:
            if (err == TE_DB_OK) {
                err = classify(db, r);
                db->refused = index < db->n_commands
                                  ? db->commands[index].call : -1;
            }
            break;
        }
        PQclear(r);
        if (err == TE_DB_LOST) {
            return err;
        }
    }
}

static void note_command(te_db_t *db, int prepares, int call)
{
    db->commands[db->n_commands].prepares = prepares;
    db->commands[db->n_commands].call = call;
    ++db->n_commands;
}

static int send_simple(te_db_t *db, const char *sql)
{
    note_command(db, -1, -1);
    return PQsendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 0);
}

static int is_prepared(const te_db_t *db, te_statement_e statement)
{
    int i;

    for (i = 0; i < db->n_commands; ++i) {
        if (db->commands[i].prepares == (int)statement) {
            return 1;
        }
    }
    return db->prepared[statement];
}

static int send_call(te_db_t *db, const te_db_call_t *call, int number)
{
    const te_statement_t *s = te_statement(call->statement);
    char name[64];

    apr_snprintf(name, sizeof name, db->generation ? "%s/%u" : "%s", s->name,
                 db->generation);
    if (!is_prepared(db, call->statement)) {
        if (!PQsendPrepare(db->conn, name, s->sql, 0, NULL)) {
            return 0;
        }
        note_command(db, (int)call->statement, -1);
    }
    note_command(db, -1, number);
    return PQsendQueryPrepared(db->conn, name, s->params, call->params, NULL,
                               NULL, 0);
}

/* Queue [BEGIN] {[prepare] statement} [COMMIT] sync. */
static int send_all(te_db_t *db, int tx, const te_db_call_t *calls, int n)
{
    int i;

    if ((tx & TE_TX_BEGIN) && !send_simple(db, "BEGIN")) {
        return 0;
    }
    for (i = 0; i < n; ++i) {
        if (!send_call(db, &calls[i], i)) {
            return 0;
        }
    }
    return (!(tx & TE_TX_COMMIT) || send_simple(db, "COMMIT"))
           && PQpipelineSync(db->conn) && flush(db);
}

/* A pipeline begins: what the last call left is gone. */
static int begin_call(te_db_t *db)
{
    if (te_db_finish(db) != TE_DB_OK) {
        return 0;
    }
    te_db_clear(db);
    db->n_commands = 0;
    db->refused = -1;
    db->message[0] = db->constraint[0] = '\0';
    if (db->conn == NULL) {
        te_db_note(db, "not connected");
        return 0;
    }
    return PQenterPipelineMode(db->conn);
}

/* The connection is of no use any more. */
static te_db_err_e lose(te_db_t *db)
{
    if (db->message[0] == '\0' && db->conn != NULL) {
        te_db_note(db, PQerrorMessage(db->conn));
    }
    te_db_close(db);
    return TE_DB_LOST;
}

/* A pipeline was sent: its end. */
static te_db_err_e end_call(te_db_t *db)
{
    te_db_err_e err = collect(db);

    if (err == TE_DB_LOST || !PQexitPipelineMode(db->conn)) {
        return lose(db);
    }
    return err;
}

static te_db_err_e end_statement(te_db_t *db)
{
    te_db_err_e err = end_call(db);

    if (err != TE_DB_OK && err != TE_DB_LOST) {
        te_db_clear(db);
        te_db_rollback(db);
    }
    return err;
}

int te_db_refused(const te_db_t *db)
{
    return db->refused;
}

te_db_err_e te_db_run_all(te_db_t *db, int tx, te_db_call_t *calls, int n)
{
    te_db_err_e err;
    int i;

    if (!begin_call(db) || !send_all(db, tx, calls, n)) {
        return lose(db);
    }
    err = end_statement(db);
    for (i = 0; i < n; ++i) {
        calls[i].result = db->results[i];
    }
    return err;
}

te_db_err_e te_db_run(te_db_t *db, te_statement_e statement, int tx,
                      const char *const *params, PGresult **result)
{
    te_db_call_t call = {statement, params, NULL};
    te_db_err_e err = te_db_run_all(db, tx, &call, 1);

    *result = call.result;
    return err;
}

te_db_err_e te_db_start(te_db_t *db, te_statement_e statement,
                        const char *const *params)
{
    te_db_call_t call = {statement, params, NULL};

    if (!begin_call(db) || !send_all(db, TE_TX_NONE, &call, 1)) {
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
    err = end_call(db);
    if (err != TE_DB_OK) {
        lose(db);
    }
    return err;
}

int te_db_affected(const te_db_t *db)
{
    return db->results[0] ? (int)apr_atoi64(PQcmdTuples(db->results[0])) : 0;
}

te_db_err_e te_db_run_text(te_db_t *db, const char *sql, int n,
                           const char *const *params, PGresult **result)
{
    te_db_err_e err;

    if (!begin_call(db)
        || !PQsendQueryParams(db->conn, sql, n, NULL, params, NULL, NULL, 0)
        || !PQpipelineSync(db->conn) || !flush(db)) {
        return lose(db);
    }
    note_command(db, -1, 0);
    err = end_statement(db);
    *result = db->results[0];
    return err;
}

/* BEGIN, COMMIT, ROLLBACK alone; the message of the call before stays. */
static te_db_err_e run_simple(te_db_t *db, const char *sql)
{
    if (db->conn == NULL) {
        return TE_DB_LOST;
    }
    db->n_commands = 0;
    if (!PQenterPipelineMode(db->conn) || !send_simple(db, sql)
        || !PQpipelineSync(db->conn) || !flush(db)) {
        return lose(db);
    }
    return end_call(db);
}

te_db_err_e te_db_commit(te_db_t *db)
{
    /* COMMIT of a failed transaction answers without an error */
    if (db->conn != NULL
        && PQtransactionStatus(db->conn) != PQTRANS_INTRANS) {
        te_db_rollback(db);
        te_db_note(db, "the transaction had failed");
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
