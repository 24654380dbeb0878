/* What the counters of all children were during the last hour: a sample for
 * each quarter of a minute, in memory that the children of an httpd share.
 * Whichever child comes first takes it.
 *
 * Without te_trend_use, as in a unit test, there is nothing to be read. */
#ifndef TE_BASE_TREND_H
#define TE_BASE_TREND_H

#include "metrics.h"

#define TE_TREND_STEP apr_time_from_sec(15)
#define TE_TREND_STEPS 240

/* Bytes of it, and a text that names its layout. */
apr_size_t te_trend_size(void);
const char *te_trend_layout(apr_pool_t *p);

/* From now on it is there: zeros, or what an earlier generation of the same
 * layout left. Once in the parent, before it forks. */
void te_trend_use(void *memory);

/* What is known beside the counters. */
typedef struct te_trend_seen_t {
    apr_int64_t outbox_events;          /* -1: not known */
    double outbox_oldest;               /* seconds */
} te_trend_seen_t;

/* Whether the sample of this moment is still to be taken, and the caller's to
 * take: it must call te_trend_take. */
int te_trend_claim(apr_time_t now);

/* Take the claimed sample. now: as it was claimed. */
void te_trend_take(apr_time_t now, const te_trend_seen_t *seen);

/* A step as it is drawn; NAN: not known. Rates are per second, times in
 * seconds, and are those since the sample before. */
typedef struct te_trend_point_t {
    double published, failures, handled;
    double lag_half, lag_most;          /* 50 and 99 of 100 were quicker */
    double handling_half, handling_most;
    double outbox_events, outbox_oldest;
} te_trend_point_t;

/* The last hour, oldest step first.
 * @param points  TE_TREND_STEPS of them
 * @return the first of them of which anything is known; TE_TREND_STEPS: of
 *         none */
int te_trend_read(te_trend_point_t *points, apr_time_t now);

#endif
