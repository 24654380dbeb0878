/* A task: its rules, and its JSON. */
#ifndef TE_CORE_TASK_H
#define TE_CORE_TASK_H

#include <jansson.h>

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

/* Whether a time zone exists; asked only for names other than "UTC". */
typedef int te_zone_check(void *context, const char *name);

/* Read what a client may set of a new task.
 * @param body    any JSON value; one that is no object is one fault
 * @param task    set when there is no fault, in p: fields of the client and
 *                their defaults; id, user, series and times are the caller's
 * @param faults  te_fault_t, empty when all is well */
void te_task_read(apr_pool_t *p, const json_t *body, te_zone_check *zone_known,
                  void *context, te_task_t **task,
                  apr_array_header_t **faults);

/* The task as clients see it; a new reference. */
json_t *te_task_json(apr_pool_t *p, const te_task_t *task);

/* A task out of an event's data (our own JSON come back), NULL and *detail
 * when a field is not what te_task_json writes. Allocated in p. */
te_task_t *te_task_from_event(apr_pool_t *p, const json_t *json,
                              const char **detail);

#endif
