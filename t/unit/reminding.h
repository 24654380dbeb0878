/* A user with tasks and their reminders: what the tests of reminders share. */
#ifndef TE_T_UNIT_REMINDING_H
#define TE_T_UNIT_REMINDING_H

#include "../../mod_taskevents/core/effects.h"
#include "../../mod_taskevents/core/event.h"
#include "../../mod_taskevents/core/sweep.h"
#include "database.h"

#define HOUR apr_time_from_sec(3600)
#define LEAD (24 * HOUR)

extern te_settings_t settings;
extern te_db_pool_t *db_pool;
extern te_db_t *db;
extern const char *user;

/* The fixture. */
void reminding_open(void);
void reminding_close(void);

te_outgoing_t *event_of(const te_task_t *task, const char *type,
                        json_t *data, apr_time_t time);

/* As it is delivered. */
const char *whole(const te_outgoing_t *event);

/* A task that was made at `at`; *event: that it was. */
te_task_t *new_task(apr_time_t due, apr_time_t at, const char **event);

typedef struct {
    apr_time_t due;                     /* 0: as it is */
    int completed;                      /* -1: as it is */
    const char *title;                  /* NULL: as it is */
    apr_time_t at;
} edit_t;

te_db_err_e write_edit(te_db_t *on, apr_pool_t *p, apr_int64_t id,
                       const edit_t *edit, const char **event);

/* Change a task, or delete it. @return the event of that */
const char *edit_task(const te_task_t *task, apr_time_t due, int completed,
                      const char *title, apr_time_t at);
const char *delete_task(const te_task_t *task);

te_event_outcome_e handled(const char *text);

/* In one delivery, which must succeed. */
void handled_together(const char *const *texts, int n);

/* One batch on that connection; until nothing is due; one by its job. */
te_db_err_e sweep_on(te_db_t *on, apr_pool_t *p);
void sweep(void);
te_fired_e fire(const char *id);

/* The user's reminders: state, seconds before due, reason. */
const char *reminders(void);
const char *only_reminder(void);

/* The events of the user's stream of reminders, in order; the n-th. */
const char *told(void);
const char *told_event(int n);
const char *stream_is_gapless(void);

/* How many the user has. */
const char *notifications(void);

/* Let the time of all of the user's reminders have come. */
void make_due(void);

te_task_t *task_with_reminder(void);

#endif
