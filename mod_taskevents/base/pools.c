#include "pools.h"

#include <apr_allocator.h>

apr_status_t te_pool_create(apr_pool_t **out, apr_size_t keeps)
{
    apr_status_t rv = apr_pool_create_unmanaged_ex(out, NULL, NULL);

    if (rv == APR_SUCCESS) {
        apr_allocator_max_free_set(apr_pool_allocator_get(*out), keeps);
    }
    return rv;
}
