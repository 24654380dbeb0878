/* Connections, the pool, and the one way a statement is run. */
#include "db_internal.h"

#include <apr_atomic.h>
#include <apr_dbd.h>
#include <apr_reslist.h>
#include <apr_strings.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/timefmt.h"

#define IDLE_CONNECTION_TTL apr_time_from_sec(300)
#define PROBE_PATIENCE apr_time_from_msec(500)
#define MESSAGE_MAX 400
#define MOST_COMMANDS (2 + 2 * TE_DB_MOST_CALLS)    /* BEGIN, COMMIT, and to
                                 * prepare and run each call */

/* Sent on each new connection: no statement outlives a request's patience,
 * plain read committed, and text forms that timefmt can read. */
static const char session_setup[] =
    "SET statement_timeout = '5s'; SET lock_timeout = '2s';"
    " SET idle_in_transaction_session_timeout = '10s';"
    " SET default_transaction_isolation = 'read committed';"
    " SET client_encoding = 'UTF8'; SET TimeZone = 'UTC';"
    " SET DateStyle = 'ISO, YMD'; SET standard_conforming_strings = on";

/* What a command of a pipeline is for. */
typedef struct {
    int prepares;               /* a statement, or -1 */
    int call;                   /* whose result it brings, or -1 */
} command_t;

struct te_db_t {
    const te_db_settings_t *settings;
    te_db_pool_t *owner;                /* NULL: standalone */
    apr_pool_t *pool;                   /* lives as long as this struct */
    apr_pool_t *connection_pool;        /* lives as long as the connection */
    apr_dbd_t *handle;
    PGconn *conn;                       /* NULL: not connected */
    PGresult *results[TE_DB_MOST_CALLS];
    int unfinished;                     /* te_db_start without its end */
    apr_time_t deadline;
    char prepared[TE_STATEMENT_COUNT];
    unsigned int generation;            /* of the prepared statements' names */
    command_t commands[MOST_COMMANDS];  /* of the pipeline under way */
    int n_commands;
    int refused;                        /* the first call that failed, or -1 */
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
    return db->results[0] ? atoi(PQcmdTuples(db->results[0])) : 0;
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
