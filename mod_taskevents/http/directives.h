/* The directives: what the operator may say, defaults, merging. */
#ifndef TE_HTTP_DIRECTIVES_H
#define TE_HTTP_DIRECTIVES_H

#include <httpd.h>
#include <http_config.h>

#include "../core/settings.h"

/* The schema this build needs (taskevents.schema_version()), at least. */
#define TE_SCHEMA_NEEDED 6

/* Process-wide choices: from the main server only. */
typedef struct te_process_conf_t {
    te_settings_t settings;
    const char *app_tokens[2];          /* NULL: none; two while rotating */
    apr_array_header_t *loose_files;    /* const char *: what is to be said
                                         * of files with secrets */
    int password_shown;                 /* in TaskEventsDatabase itself */
} te_process_conf_t;

/* One (virtual) server's; -1 and NULL: not said, the main server's holds. */
typedef struct te_server_conf_t {
    te_process_conf_t *process;         /* shared by all servers */
    int engine;
    const char *prefix;                 /* of the task routes: "/api" */
    apr_int64_t max_body;               /* bytes of a task request's body */
    int open;
    int sidecar_token;
} te_server_conf_t;

extern const command_rec te_directives[];

void *te_server_conf_create(apr_pool_t *p, server_rec *s);
void *te_server_conf_merge(apr_pool_t *p, void *base, void *add);

/* A server's configuration, as merged. */
te_server_conf_t *te_server_conf(const server_rec *s);

/* The name of the counter of history positions among a user's streams; see
 * store/statements.c. No topic can have it. */
#define TE_HISTORY_STREAM "history"

/* Names that stand in URLs and in Kafka: its own rule for topics. */
int te_topic_valid(const char *text);

/* Defaults that come last, after the whole configuration was read: those of
 * the environment, and what was not said anywhere. */
void te_conf_finish(apr_pool_t *p, server_rec *main_server);

#endif
