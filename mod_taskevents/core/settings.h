/* What the operator chose for the whole process; set once at start-up from
 * the directives of the same names, read-only afterwards. */
#ifndef TE_CORE_SETTINGS_H
#define TE_CORE_SETTINGS_H

#include "../base/webhook.h"
#include "../store/db.h"

typedef enum {
    TE_TRANSPORT_DAPR,
    TE_TRANSPORT_LOCAL
} te_transport_e;

typedef enum {
    TE_TOPIC_TASKS,
    TE_TOPIC_REMINDERS,
    TE_TOPIC_DEAD_LETTERS,
    TE_TOPIC_COUNT
} te_topic_e;

/* Which events the sidecar is asked to deliver in batches. */
typedef enum {
    TE_BULK_NONE,
    TE_BULK_REMINDERS,
    TE_BULK_ALL
} te_bulk_e;

typedef struct te_settings_t {
    te_db_settings_t db;
    te_transport_e transport;
    const char *dapr_url;               /* no slash at its end */
    const char *dapr_token;             /* NULL: none */
    const char *pubsub;
    const char *topics[TE_TOPIC_COUNT];
    te_bulk_e bulk;
    const char *source;                 /* of our CloudEvents */
    apr_interval_time_t publish_timeout;
    int publish_batch;                  /* events of one request */
    int breaker_failures;
    apr_interval_time_t breaker_cooldown;
    int catch_up_skip;                  /* TaskEventsCatchUp Skip */
    apr_interval_time_t keep_answers;   /* of Idempotency-Key */
    apr_interval_time_t keep_history;   /* of handled events; 0: for ever */
    apr_interval_time_t keep_letters, keep_notifications;
    const char *alert_url;              /* NULL: nobody is told */
    te_webhook_secret_t alert_secrets[2];       /* two while one replaces
                                                 * the other */
    apr_interval_time_t reminder_lead;
    apr_interval_time_t reminder_late;  /* 0: off */
    int jobs;                           /* a scheduler has jobs for them */
} te_settings_t;

#endif
