/* APR's atomic functions, as ThreadSanitizer sees them. libapr is not built
 * with it: what one thread hands to another by them (httpd's recycled pools,
 * our flags) would look like a race. Loaded before it, in the same httpd
 * (./dev test tsan --long). */
#include <apr_atomic.h>
#include <pthread.h>
#include <stdlib.h>

#define ORDER __ATOMIC_SEQ_CST

#define ATOMICS(bits)                                                        \
    apr_uint##bits##_t apr_atomic_read##bits(                                \
        volatile apr_uint##bits##_t *mem)                                    \
    {                                                                        \
        return __atomic_load_n(mem, ORDER);                                  \
    }                                                                        \
    void apr_atomic_set##bits(volatile apr_uint##bits##_t *mem,              \
                              apr_uint##bits##_t val)                        \
    {                                                                        \
        __atomic_store_n(mem, val, ORDER);                                   \
    }                                                                        \
    apr_uint##bits##_t apr_atomic_add##bits(                                 \
        volatile apr_uint##bits##_t *mem, apr_uint##bits##_t val)            \
    {                                                                        \
        return __atomic_fetch_add(mem, val, ORDER);                          \
    }                                                                        \
    void apr_atomic_sub##bits(volatile apr_uint##bits##_t *mem,              \
                              apr_uint##bits##_t val)                        \
    {                                                                        \
        __atomic_fetch_sub(mem, val, ORDER);                                 \
    }                                                                        \
    apr_uint##bits##_t apr_atomic_inc##bits(                                 \
        volatile apr_uint##bits##_t *mem)                                    \
    {                                                                        \
        return __atomic_fetch_add(mem, 1, ORDER);                            \
    }                                                                        \
    int apr_atomic_dec##bits(volatile apr_uint##bits##_t *mem)               \
    {                                                                        \
        return __atomic_sub_fetch(mem, 1, ORDER) != 0;                       \
    }                                                                        \
    apr_uint##bits##_t apr_atomic_cas##bits(                                 \
        volatile apr_uint##bits##_t *mem, apr_uint##bits##_t with,           \
        apr_uint##bits##_t cmp)                                              \
    {                                                                        \
        __atomic_compare_exchange_n(mem, &cmp, with, 0, ORDER, ORDER);       \
        return cmp;                                                          \
    }                                                                        \
    apr_uint##bits##_t apr_atomic_xchg##bits(                                \
        volatile apr_uint##bits##_t *mem, apr_uint##bits##_t val)            \
    {                                                                        \
        return __atomic_exchange_n(mem, val, ORDER);                         \
    }

ATOMICS(32)
ATOMICS(64)

void *apr_atomic_casptr(volatile void **mem, void *with, const void *cmp)
{
    void *was = (void *)cmp;

    __atomic_compare_exchange_n((void **)mem, &was, with, 0, ORDER, ORDER);
    return was;
}

void *apr_atomic_xchgptr(volatile void **mem, void *with)
{
    return __atomic_exchange_n((void **)mem, with, ORDER);
}

/* --- a race that is meant ---------------------------------------------- */

/* With TASKEVENTS_TSAN_PLANTED in its environment a process has one: whether
 * it is reported tells whether any other one would be. */
static int planted;

static void *race(void *data)
{
    ++planted;
    return data;
}

__attribute__((constructor)) static void plant(void)
{
    pthread_t threads[2];
    int i;

    if (getenv("TASKEVENTS_TSAN_PLANTED") == NULL) {
        return;
    }
    for (i = 0; i < 2; ++i) {
        pthread_create(&threads[i], NULL, race, NULL);
    }
    for (i = 0; i < 2; ++i) {
        pthread_join(threads[i], NULL);
    }
}
