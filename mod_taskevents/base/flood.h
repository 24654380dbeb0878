/* Flood control for lines of a log: of each kind the first few are said, then
 * one an interval with the count of those that were not. */
#ifndef TE_BASE_FLOOD_H
#define TE_BASE_FLOOD_H

#include <apr_pools.h>
#include <apr_time.h>

#define TE_FLOOD_FIRST 10               /* of a kind, before any is held */
#define TE_FLOOD_RECORDS 1000           /* where each is worth a line */
#define TE_FLOOD_INTERVAL apr_time_from_sec(60)
#define TE_FLOOD_LINE 640               /* bytes of a line that are kept */

typedef struct te_flood_t te_flood_t;

/* A line that was held back; those before it are only counted. */
typedef struct {
    int level;
    unsigned int held;                  /* how many, this one included */
    apr_interval_time_t over;           /* in the time that it tells of */
    apr_interval_time_t ago;            /* when this one was */
    char line[TE_FLOOD_LINE];
} te_flood_told_t;

/* In p. The clock is the caller's: each now is that of the call. Any thread. */
apr_status_t te_flood_create(te_flood_t **flood, apr_pool_t *p);

/* One more line of a kind (a code at a level).
 * @param most  how many of it are said in an interval; 0: it was said before
 *              and still holds, and is only counted
 * @return 1: say it; 0: it is held back. A kind that there is no more room
 *         for is always said. */
int te_flood_admits(te_flood_t *flood, const char *code, int level,
                    unsigned int most, const char *line, apr_time_t now);

/* What was held back and is due to be told of, one kind a call.
 * @param all  whether due or not
 * @return 1 and *told; 0: no more */
int te_flood_due(te_flood_t *flood, int all, apr_time_t now,
                 te_flood_told_t *told);

/* What a code said holds no longer: what is held back of it is forgotten. */
void te_flood_forget(te_flood_t *flood, const char *code);

#endif
