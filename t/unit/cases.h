/* One function of each *_test.c: its tests as a case. */
#ifndef TE_T_UNIT_CASES_H
#define TE_T_UNIT_CASES_H

#include "unit.h"

TCase *backoff_tests(void);
TCase *breaker_tests(void);
TCase *bulk_tests(void);
TCase *event_tests(void);
TCase *fault_tests(void);
TCase *html_tests(void);
TCase *http_client_tests(void);
TCase *http_failures_tests(void);
TCase *json_tests(void);
TCase *lines_tests(void);
TCase *log_tests(void);
TCase *flood_tests(void);
TCase *metrics_tests(void);
TCase *nonce_tests(void);
TCase *pools_tests(void);
TCase *recurrence_tests(void);
TCase *store_tests(void);
TCase *task_json_tests(void);
TCase *task_patch_tests(void);
TCase *task_read_tests(void);
TCase *text_tests(void);
TCase *timefmt_tests(void);
TCase *transport_dapr_tests(void);
TCase *trend_tests(void);
TCase *uuid_tests(void);
TCase *webhook_tests(void);

/* with a database */
TCase *alert_tests(void);
TCase *batch_tests(void);
TCase *chores_tests(void);
TCase *db_tests(void);
TCase *db_pool_tests(void);
TCase *drain_tests(void);
TCase *group_commit_tests(void);
TCase *group_commit_away_tests(void);
TCase *group_read_tests(void);
TCase *glance_tests(void);
TCase *handling_tests(void);
TCase *letters_tests(void);
TCase *heads_tests(void);
TCase *jobs_tests(void);
TCase *memory_tests(void);
TCase *reminders_tests(void);
TCase *sampler_tests(void);
TCase *sweep_tests(void);
TCase *tasks_tests(void);

#endif
