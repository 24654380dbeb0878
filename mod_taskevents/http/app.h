/* What a child process has while it serves. */
#ifndef TE_HTTP_APP_H
#define TE_HTTP_APP_H

#include <apr_hash.h>
#include <apr_thread_mutex.h>

#include "../core/chores.h"
#include "../core/publisher.h"
#include "../core/settings.h"
#include "../store/group_commit.h"
#include "../store/group_read.h"

typedef struct te_app_t {
    const te_settings_t *settings;
    te_db_pool_t *db;
    te_group_commit_t *creates;         /* new tasks of several requests */
    te_group_t *reads;                  /* tasks that several look up */
    te_publisher_t *publisher;
    te_chores_t *chores;                /* within the database */
    te_chores_t *outside_chores;        /* that call others by HTTP */
    apr_pool_t *told_pool;              /* these under told_mutex */
    apr_hash_t *told;
    apr_thread_mutex_t *told_mutex;
} te_app_t;

/* Set up what te_app_tell_once remembers, in p. */
apr_status_t te_app_tell_init(te_app_t *app, apr_pool_t *p);

/* @return 1 the first time that it is asked with this text, then 0 */
int te_app_tell_once(te_app_t *app, const char *what);

/* NULL in the parent, and in a child where start-up failed. */
te_app_t *te_app(void);

#endif
