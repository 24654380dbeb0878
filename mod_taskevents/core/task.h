/* A task: its rules, and its JSON. */
#ifndef TE_CORE_TASK_H
#define TE_CORE_TASK_H

#include <jansson.h>

#include "../base/json.h"
#include "../store/tasks.h"
#include "fault.h"

#define TE_USER_ID_MAX 128
#define TE_TITLE_MAX 200
#define TE_DESCRIPTION_MAX 1000
#define TE_TAGS_MAX 10
#define TE_TAG_MAX 50

/* @return 1 when text may be a user id: 1..128 of [A-Za-z0-9._@:+|=~-], and
 * none of the names that paths need: "events", "." and ".." */
int te_user_id_valid(const char *text);

/* The time zone that a body names and somebody has to know: NULL when it
 * names none, UTC, or no text. */
const char *te_task_zone_named(const json_t *body);

/* Read what a client may set of a new task.
 * @param body        a JSON object
 * @param zone_known  whether te_task_zone_named exists
 * @param task        set when there is no fault, in p: fields of the client
 *                    and their defaults; id, user, series and times are the
 *                    caller's
 * @param faults      te_fault_t, empty when all is well */
void te_task_read(apr_pool_t *p, const json_t *body, int zone_known,
                  te_task_t **task, apr_array_header_t **faults);

/* Same for a change of a task (merge patch, RFC 7396): null clears a field or
 * restores its default.
 * @param after  before with the changes; completed_at, series, version and
 *               times are the caller's */
void te_task_patch(apr_pool_t *p, const json_t *body, int zone_known,
                   const te_task_t *before, te_task_t **after,
                   apr_array_header_t **faults);

/* What differs between two states of a task, as {field: {"old", "new"}}
 * without version and updated_at; a new reference, empty when nothing. */
json_t *te_task_changes(apr_pool_t *p, const te_task_t *before,
                        const te_task_t *after);

/* Write the task as clients see it. */
void te_task_write(te_json_out_t *out, const te_task_t *task);

/* About what te_task_write writes of a task with short texts. */
#define TE_TASK_TEXT_SIZE 800

/* "low", "medium", "high" as a te_priority_e; 0 for anything else, NULL
 * included. */
int te_priority_of(const char *name);

/* A task out of an event's data (our own JSON come back), NULL and *detail
 * when a field is not what te_task_write writes. Allocated in p. */
te_task_t *te_task_from_event(apr_pool_t *p, const json_t *json,
                              const char **detail);

#endif
