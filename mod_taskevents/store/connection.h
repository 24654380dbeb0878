/* A connection, for db.c and pool.c alone. */
#ifndef TE_STORE_CONNECTION_H
#define TE_STORE_CONNECTION_H

#include <apr_dbd.h>

#include "db_internal.h"

#define MESSAGE_MAX 400
#define MOST_COMMANDS (2 + 2 * TE_DB_MOST_CALLS)    /* BEGIN, COMMIT, and to
                                 * prepare and run each call */

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
    apr_uint32_t doubts;                /* there were when it was opened */
    command_t commands[MOST_COMMANDS];  /* of the pipeline under way */
    int n_commands;
    int refused;                        /* the first call that failed, or -1 */
    char message[MESSAGE_MAX];
    char constraint[64];
};

/* Connects a closed one, and asks for the schema's version.
 * @return TE_DB_AWAY or TE_DB_OLD with it closed again */
te_db_err_e te_db_open(te_db_t *db);

/* Whether an idle one can be used, without a round trip. */
int te_db_usable(te_db_t *db);

/* What te_db_error says: the first line of the message, since what follows
 * may quote rows. */
void te_db_note(te_db_t *db, const char *message);

#endif
