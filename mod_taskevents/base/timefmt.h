/* Instants: microseconds since 1970 UTC (apr_time_t), years 1..9999. */
#ifndef TE_BASE_TIMEFMT_H
#define TE_BASE_TIMEFMT_H

#include <apr_pools.h>
#include <apr_time.h>

/* "No time": an instant far outside years 1..9999. */
#define TE_TIME_NONE ((apr_time_t)APR_INT64_MIN)

/* The first and the last instant that can be written: 0001-01-01T00:00:00Z
 * and 9999-12-31T23:59:59.999999Z. */
#define TE_TIME_FIRST APR_INT64_C(-62135596800000000)
#define TE_TIME_LAST APR_INT64_C(253402300799999999)

/* Parse an RFC 3339 date-time; any offset is accepted, none is an error, a
 * leap second counts as the first instant of the next minute, digits after
 * the sixth of a fraction are cut.
 * @return NULL and *out set, or a sentence that says what is wrong */
const char *te_time_parse(const char *text, apr_time_t *out);

/* Parse PostgreSQL's ISO output of a timestamptz in a UTC session
 * ("2026-01-31 09:00:00.5+00"). @return 1, or 0 when it is something else */
int te_time_from_pg(const char *text, apr_time_t *out);

/* "2026-01-31T09:00:00Z", with six digits of fraction when there is one.
 * PostgreSQL reads it too. NULL for TE_TIME_NONE. Allocated in p. */
const char *te_time_format(apr_pool_t *p, apr_time_t t);

/* Same, always with six digits: the form of an event's `time`. */
const char *te_time_format_us(apr_pool_t *p, apr_time_t t);

#endif
