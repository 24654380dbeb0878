/* How long to wait before trying again. */
#ifndef TE_CORE_BACKOFF_H
#define TE_CORE_BACKOFF_H

#include <apr_time.h>

/* Exponential: 0.5 s after the first failure, doubled each time, at most
 * 30 s, each between half and all of that by chance.
 * @param attempts  failures so far, the last one counted
 * @param chance    0..65535 */
apr_interval_time_t te_backoff(int attempts, unsigned int chance);

#endif
