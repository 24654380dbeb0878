/* Memory that all children share, made before they are forked. */
#ifndef TE_HTTP_SHARED_H
#define TE_HTTP_SHARED_H

#include <httpd.h>

/* Memory of that name that outlives graceful restarts: zeros at first, and
 * again when the layout is another one than before (the module was replaced);
 * then the old memory is left to the old children. In post_config.
 * @param memory  out: it */
apr_status_t te_shared_keep(process_rec *process, const char *name,
                            const char *layout, apr_size_t size,
                            void **memory);

#endif
