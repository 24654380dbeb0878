/* SetHandler taskevents-metrics, and the memory that it tells from. */
#ifndef TE_HTTP_METRICS_H
#define TE_HTTP_METRICS_H

#include <httpd.h>

#define TE_METRICS_HANDLER "taskevents-metrics"

/* In post_config: make the memory that the children will count in, or find
 * that of the generation before, so that a graceful restart loses nothing. */
apr_status_t te_metrics_share(apr_pool_t *pconf, server_rec *main_server);

/* The handler. Who may ask is up to httpd's Require. */
int te_metrics_handler(request_rec *r);

/* After the response of a request of ours: count it. */
void te_metrics_count_request(request_rec *r);

#endif
