#include "shared.h"

#include <apr_shm.h>
#include <apr_strings.h>
#include <http_config.h>
#include <string.h>

/* What outlives the module, which httpd unloads at each restart. */
typedef struct {
    apr_shm_t *memory;
    const char *layout;
} retained_t;

static retained_t *retained(const char *name)
{
    retained_t *kept = ap_retained_data_get(name);

    return kept ? kept : ap_retained_data_create(name, sizeof *kept);
}

apr_status_t te_shared_keep(process_rec *process, const char *name,
                            const char *layout, apr_size_t size,
                            void **memory)
{
    retained_t *kept = retained(name);

    if (kept->layout == NULL || strcmp(kept->layout, layout) != 0) {
        apr_status_t rv = apr_shm_create(&kept->memory, size, NULL,
                                         process->pool);

        if (rv != APR_SUCCESS) {
            return rv;
        }
        memset(apr_shm_baseaddr_get(kept->memory), 0, size);
        kept->layout = apr_pstrdup(process->pool, layout);
    }
    *memory = apr_shm_baseaddr_get(kept->memory);
    return APR_SUCCESS;
}
