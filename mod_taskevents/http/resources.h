/* The functions behind the routes: each answers one method of one path and
 * returns what an httpd handler returns. */
#ifndef TE_HTTP_RESOURCES_H
#define TE_HTTP_RESOURCES_H

#include "router.h"

/* tasks.c */
te_route_fn te_tasks_create_route, te_tasks_get_route,
    te_tasks_patch_route, te_tasks_complete_route, te_tasks_delete_route;

/* task_list.c */
te_route_fn te_tasks_list_route, te_tasks_occurrences_route;

/* history.c, stats.c */
te_route_fn te_history_route, te_stats_route;

/* status.c */
te_route_fn te_status;

/* dead_letters.c */
te_route_fn te_letters_route, te_letter_route, te_letters_redrive_route,
    te_letters_discard_route, te_letter_redrive_route, te_letter_discard_route;

/* subscriptions.c */
te_route_fn te_subscribe;

/* deliveries.c */
te_route_fn te_deliver_tasks, te_deliver_reminders, te_deliver_dead_letters;

/* jobs.c */
te_route_fn te_job_route;

/* notifications.c */
te_route_fn te_notifications_list_route, te_notifications_patch_route,
    te_notifications_read_route;

/* health.c */
te_route_fn te_healthz, te_readyz, te_openapi;

#endif
