/* What the <Location> sections of the configuration do with our paths, read
 * from httpd's configuration tree at start-up: mistakes there would otherwise
 * only show as lost events or closed routes. */
#ifndef TE_HTTP_SECTIONS_H
#define TE_HTTP_SECTIONS_H

#include <httpd.h>
#include <http_config.h>

#define TE_HANDLER "taskevents"

/* Whether some section gives path to our handler. Sections by pattern
 * (LocationMatch, ~) are believed to. */
int te_sections_map(apr_pool_t *p, const ap_directive_t *tree,
                    const char *path);

/* The path of a <Location> that sets this handler while no section of its
 * server that covers it has any Require; NULL: none. */
const char *te_sections_open(apr_pool_t *p, const ap_directive_t *tree,
                             const char *handler);

/* Whether some server (the main one or a <VirtualHost>) gives path to our
 * handler without requiring `provider` for it. */
int te_sections_unguarded(apr_pool_t *p, const ap_directive_t *tree,
                          const char *path, const char *provider);

#endif
