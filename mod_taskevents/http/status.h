/* SetHandler taskevents-status: what an operator sees and does. */
#ifndef TE_HTTP_STATUS_H
#define TE_HTTP_STATUS_H

#include "request.h"

#define TE_STATUS_HANDLER "taskevents-status"

/* The route of a request for the status handler: what follows the path of the
 * <Location> that set it. */
te_match_t te_status_match(request_rec *r);

/* Whether a <Location> gives paths to the status handler without any Require
 * for them, which leaves them shut. @return its path, or NULL */
const char *te_status_unguarded(apr_pool_t *p, const ap_directive_t *tree);

#endif
