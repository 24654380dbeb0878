/* Every metric: adding one is adding it here and to the table of
 * docs/metrics.md. Names get the prefix "taskevents_". */
#ifndef TE_BASE_METRICS_TABLE_H
#define TE_BASE_METRICS_TABLE_H

/* What kind of number it is. */
typedef enum {
    TE_KIND_COUNTER,
    TE_KIND_HISTOGRAM,          /* of durations, in seconds */
    TE_KIND_CHILD,              /* a gauge of each child */
    TE_KIND_BEAT,               /* same: the time of its last sign of life */
    TE_KIND_SAMPLE              /* a gauge, asked for when it is told */
} te_metric_kind_e;

/* Labels, and the values that each can have. */
typedef enum {
    TE_LABEL_NONE,
    TE_LABEL_TYPE,
    TE_LABEL_OUTCOME,
    TE_LABEL_REASON,
    TE_LABEL_STAGE,
    TE_LABEL_EFFECT,
    TE_LABEL_EVENT,
    TE_LABEL_STATE,
    TE_LABEL_ROUTE,             /* and method: two labels in one */
    TE_LABEL_STATUS,
    TE_LABEL_THREAD,
    TE_LABEL_CHORE,
    TE_LABEL_CONNECTION,
    TE_LABEL_VERSION,           /* of samples only: any value */
    TE_LABEL_COUNT
} te_label_e;

#define TE_METRICS(M) \
    M(BUILD_INFO, "build_info", SAMPLE, VERSION, NONE, \
      "1, with the version of the module as a label") \
    M(DATABASE_UP, "database_up", SAMPLE, NONE, NONE, \
      "1 when PostgreSQL answered this scrape, else 0") \
    M(HTTP_REQUESTS, "http_requests_total", COUNTER, ROUTE, STATUS, \
      "Requests answered") \
    M(HTTP_DURATION, "http_request_duration_seconds", HISTOGRAM, ROUTE, \
      STATUS, "Time from the first line of a request until its answer was " \
      "handed to the network") \
    M(PUBLISH_ATTEMPTS, "publish_attempts_total", COUNTER, TYPE, NONE, \
      "Events sent to the transport, whatever came of it") \
    M(PUBLISHED, "events_published_total", COUNTER, TYPE, NONE, \
      "Events that the transport accepted") \
    M(PUBLISH_FAILURES, "publish_failures_total", COUNTER, REASON, NONE, \
      "Events sent and not accepted; each is sent again or kept as a dead" \
      " letter") \
    M(PUBLISH_LAG, "publish_lag_seconds", HISTOGRAM, NONE, NONE, \
      "Time from an event's own time, just before its commit, until the " \
      "transport accepted it") \
    M(BREAKER_STATE, "breaker_state", CHILD, NONE, NONE, \
      "The publisher's circuit breaker: 0 closed, 1 half-open (it " \
      "probes), 2 open") \
    M(PUBLISHER_SHARDS, "publisher_shards", CHILD, NONE, NONE, \
      "Parts of the outbox that the child's publisher holds now, of 16") \
    M(THREAD_BEAT, "thread_beat_timestamp_seconds", BEAT, THREAD, NONE, \
      "When a thread of the child last told that it goes on") \
    M(CHORE_BEAT, "chore_beat_timestamp_seconds", BEAT, CHORE, NONE, \
      "When a chore's turn last went well in the child") \
    M(CONNECTIONS, "db_connections", CHILD, CONNECTION, NONE, \
      "Connections to PostgreSQL in the child's pool") \
    M(CONNECTIONS_MAX, "db_connections_max", CHILD, NONE, NONE, \
      "Connections that the child's pool may have") \
    M(POOL_WAITING, "db_connections_waiting", CHILD, NONE, NONE, \
      "Threads of the child that wait for a connection now") \
    M(POOL_WAIT, "db_connection_wait_seconds", HISTOGRAM, NONE, NONE, \
      "Time that a thread waited for a connection of the pool") \
    M(POOL_TIMEOUTS, "db_connection_timeouts_total", COUNTER, NONE, NONE, \
      "Times that none was free in time") \
    M(OUTBOX_EVENTS, "outbox_events", SAMPLE, NONE, NONE, \
      "Events committed and not yet accepted by the transport") \
    M(OUTBOX_OLDEST, "outbox_oldest_seconds", SAMPLE, NONE, NONE, \
      "Age of the oldest event in the outbox; 0 when it is empty") \
    M(DELIVERIES, "deliveries_total", COUNTER, TYPE, OUTCOME, \
      "Events handed to the handlers") \
    M(DELIVERY_DURATION, "delivery_duration_seconds", HISTOGRAM, TYPE, NONE, \
      "Time that a try to handle an event took, with the others of its " \
      "batch") \
    M(EFFECTS, "effects_total", COUNTER, EFFECT, NONE, \
      "What handled events changed") \
    M(REMINDERS_DUE, "reminders_due", SAMPLE, NONE, NONE, \
      "Reminders whose time has come and that are not triggered yet") \
    M(REMINDERS_DUE_OLDEST, "reminders_due_oldest_seconds", SAMPLE, NONE, \
      NONE, "How long ago the time of the oldest of them came; 0 when " \
      "there is none") \
    M(REMINDERS, "reminders_total", COUNTER, EVENT, NONE, \
      "Reminders scheduled, cancelled and triggered") \
    M(REMINDER_LATENESS, "reminder_lateness_seconds", HISTOGRAM, NONE, NONE, \
      "Time from a reminder's time until it was triggered") \
    M(DEAD_LETTERS_MADE, "dead_letters_total", COUNTER, STAGE, NONE, \
      "Dead letters made by this httpd") \
    M(DEAD_LETTERS, "dead_letters", SAMPLE, STATE, NONE, \
      "Dead letters that the database keeps")

#endif
