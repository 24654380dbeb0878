/* A user's handled events, and how many there were. */
#ifndef TE_STORE_HISTORY_H
#define TE_STORE_HISTORY_H

#include <apr_tables.h>

#include "db.h"

typedef struct te_history_item_t {
    apr_int64_t position;               /* the user's own, from 1 */
    apr_time_t processed_at;
    const char *outcome;
    const char *event;                  /* JSON text, as it came */
} te_history_item_t;

/* Oldest first.
 * @param after  the position before; 0: from the beginning
 * @param type   only events of it; NULL: all
 * @param items  te_history_item_t */
te_db_err_e te_history_list(te_db_t *db, apr_pool_t *p, const char *user_id,
                            apr_int64_t after, const char *type, int limit,
                            apr_array_header_t **items);

/* The events of one day and type, by their own times. */
typedef struct te_day_count_t {
    const char *day;                    /* 2026-01-31 */
    const char *type;
    apr_int64_t n;
} te_day_count_t;

/* Counts of the days from..to ("2026-01-31") of a zone that PostgreSQL knows,
 * in order; days without events are left out.
 * @param counts  te_day_count_t */
te_db_err_e te_stats_days(te_db_t *db, apr_pool_t *p, const char *user_id,
                          const char *zone, const char *from, const char *to,
                          apr_array_header_t **counts);

/* How it stands now.
 * @param today    the day that it is in the zone, in p
 * @param streak   days in a row with a completed task, up to today or, as long
 *                 as there is none today, to yesterday
 * @param overdue  open tasks that were due before now */
te_db_err_e te_stats_now(te_db_t *db, apr_pool_t *p, const char *user_id,
                         const char *zone, const char **today,
                         apr_int64_t *streak, apr_int64_t *overdue);

#endif
