/* The state of things at a glance, for an operator. */
#ifndef TE_STORE_GLANCE_H
#define TE_STORE_GLANCE_H

#include "inbox.h"

/* An event that failed to be published and is tried again. */
typedef struct te_retry_t {
    const char *user_id, *topic;
    apr_int64_t sequence, attempts;
    apr_time_t next_at;
    const char *error;                  /* of the last try; NULL: not told */
} te_retry_t;

/* Open dead letters of one stage that failed for the same reason. */
typedef struct te_letter_group_t {
    const char *stage, *reason;
    apr_int64_t letters;
    apr_time_t last_failed_at;
} te_letter_group_t;

typedef struct te_glance_t {
    int schema_version;
    const char *server;                 /* PostgreSQL's version */

    /* the rest only when the schema is new enough */
    int known;
    te_outbox_size_t outbox;
    apr_int64_t retrying;               /* events that failed at least once */
    apr_array_header_t *retries;        /* te_retry_t *, the most tried ones */
    te_dead_letter_counts_t letters;
    apr_array_header_t *groups;         /* te_letter_group_t *, largest first */
    apr_int64_t reminders;              /* scheduled, */
    apr_int64_t reminders_due;          /* of them: their time has come, */
    apr_int64_t reminders_soon;         /* or comes within the hour */
    apr_time_t reminder_next;           /* TE_TIME_NONE: none */
    apr_time_t reminder_oldest;         /* same; passed if any is due */
} te_glance_t;

#define TE_GLANCE_MOST_RETRIES 10
#define TE_GLANCE_MOST_GROUPS 10

/* Look at everything; all in p.
 * @param needed  the least version of the schema that the rest takes
 * @param glance  what is known of it, also when that failed */
te_db_err_e te_glance_read(te_db_t *db, apr_pool_t *p, int needed,
                           te_glance_t *glance);

#endif
