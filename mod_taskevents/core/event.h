/* CloudEvents 1.0, structured JSON (cloudevents/spec: spec.md and
 * formats/json-format.md), with the extensions partitionkey, sequence,
 * correlationid, causationid, traceparent (distributed tracing), traceid. */
#ifndef TE_CORE_EVENT_H
#define TE_CORE_EVENT_H

#include <jansson.h>

#include "../store/outbox.h"

#define TE_TASK_CREATED "task.created"
#define TE_TASK_UPDATED "task.updated"
#define TE_TASK_COMPLETED "task.completed"
#define TE_TASK_DELETED "task.deleted"
#define TE_REMINDER_SCHEDULED "reminder.scheduled"
#define TE_REMINDER_CANCELLED "reminder.cancelled"
#define TE_REMINDER_TRIGGERED "reminder.triggered"

/* Who started the change: only events of users make tasks. */
#define TE_ORIGIN_USER "user"
#define TE_ORIGIN_RECURRENCE "recurrence"
#define TE_ORIGIN_REMINDER "reminder"

/* An event to be. */
typedef struct te_event_t {
    const char *id;                     /* uuid */
    const char *source;
    const char *type;
    const char *topic;
    const char *user_id;
    apr_int64_t task_id;
    apr_time_t time;
    const char *origin;
    const char *correlation_id;         /* NULL: the first of its chain */
    const char *causation_id;           /* NULL: the first of its chain */
    const char *traceparent;            /* W3C, never NULL */
    json_t *data;                       /* members besides user_id, task_id,
                                         * timestamp, origin, task; taken
                                         * over; NULL: none */
    const struct te_task_t *task;       /* data.task; NULL: none */
} te_event_t;

/* Its text, around the sequence it will get; all in p. */
te_outgoing_t *te_event_text(apr_pool_t *p, const te_event_t *event);

/* An event that came in. Strings belong to its pool. */
typedef struct te_incoming_t {
    const char *id, *source, *type;
    const char *user_id;                /* NULL: it names none */
    apr_int64_t task_id;                /* 0: none */
    apr_time_t time;                    /* TE_TIME_NONE: none */
    const char *origin;                 /* "" when not said */
    const char *correlation_id;         /* its own id when not said */
    const char *traceparent;            /* NULL: none */
    const json_t *data;                 /* an object, or NULL */
    const char *data_fault;             /* what of the above cannot be read,
                                         * which matters for our own types
                                         * alone; NULL: nothing */
    const char *text;                   /* the event as it came */
} te_incoming_t;

/* Parse and check an envelope.
 * @return it, or NULL and *reason: a sentence without the sender's text */
te_incoming_t *te_event_parse(apr_pool_t *p, const char *bytes,
                              apr_size_t size, const char **reason);

/* What can be read of the identity of a message that may be no event at all:
 * each is set, to a copy in p, only when it is there and sound. */
void te_event_identity(apr_pool_t *p, const char *bytes, apr_size_t size,
                       const char **source, const char **id,
                       const char **user_id);

/* The W3C trace-context header to go on with: the one given when it is
 * valid (version 00, ids not zero), else a new one. In p. */
const char *te_traceparent(apr_pool_t *p, const char *given);

#endif
