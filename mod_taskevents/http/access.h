/* Who may do what: two authorization providers, and problem+json for what
 * httpd itself refuses. */
#ifndef TE_HTTP_ACCESS_H
#define TE_HTTP_ACCESS_H

#include "request.h"

/* Register providers, hooks and the filter. */
void te_access_register(apr_pool_t *p);

/* An ErrorDocument of the whole server must not replace our problems: a text
 * of the request's own comes before it. */
void te_access_claim_errors(request_rec *r);

/* Whether the guard of the request's area let it in. A missing or other
 * Require leaves no mark and so keeps the route shut.
 * @return OK, or DONE: the refusal was sent */
int te_access_check(te_req_t *req);

#endif
