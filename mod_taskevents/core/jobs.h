/* Jobs of Dapr's scheduler: a reminder has one that calls /job/rem-<id>
 * when its time comes. They are triggers at hand, no more: the rows of the
 * reminders decide, and the sweep finds what no job told of. */
#ifndef TE_CORE_JOBS_H
#define TE_CORE_JOBS_H

#include "chores.h"

/* The name of a reminder's job is this and the reminder's id. */
#define TE_JOB_PREFIX "rem-"

/* When more reminders than this are scheduled for one minute, the others have
 * no job. One that fires costs several times what the sweep takes for one, and
 * all that came due while the service was away fire at once on its return. */
#define TE_JOBS_A_MINUTE 100

/* The chore that makes the jobs that are wanted and takes back those that are
 * not, several requests side by side. While the sidecar or its scheduler does
 * not answer, a breaker leaves it alone and probes. */
te_chore_fn te_jobs;
void *te_jobs_create(te_chore_env_t *env);

#endif
