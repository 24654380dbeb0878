#include "app.h"

#include <apr_strings.h>

apr_status_t te_app_tell_init(te_app_t *app, apr_pool_t *p)
{
    /* any worker thread may allocate from it, under the mutex */
    apr_status_t rv = apr_pool_create_unmanaged_ex(&app->told_pool, NULL,
                                                   NULL);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    app->told = apr_hash_make(app->told_pool);
    return apr_thread_mutex_create(&app->told_mutex, APR_THREAD_MUTEX_DEFAULT,
                                   p);
}

int te_app_tell_once(te_app_t *app, const char *what)
{
    int first;

    apr_thread_mutex_lock(app->told_mutex);
    first = apr_hash_get(app->told, what, APR_HASH_KEY_STRING) == NULL;
    if (first) {
        const char *copy = apr_pstrdup(app->told_pool, what);

        apr_hash_set(app->told, copy, APR_HASH_KEY_STRING, copy);
    }
    apr_thread_mutex_unlock(app->told_mutex);
    return first;
}
