/* counting THREADS: the processor's time for what a request counts, in ns, with
 * so many threads of one child at it at once. */
#include <apr_general.h>
#include <apr_strings.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../mod_taskevents/base/metrics.h"

#define REQUESTS 1000000
#define ROUTES 80
#define MOST_THREADS 16

static const char *routes[ROUTES];
static double took[MOST_THREADS];

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The request and its time; a connection borrowed and given back. */
static void count_request(void)
{
    const char status[] = "200";

    te_metric_change(TE_METRIC_POOL_WAITING, NULL, 1);
    te_metric_change(TE_METRIC_POOL_WAITING, NULL, -1);
    te_metric_observe(TE_METRIC_POOL_WAIT, NULL, NULL, apr_time_now() % 9);
    te_metric_change(TE_METRIC_CONNECTIONS, "idle", -1);
    te_metric_change(TE_METRIC_CONNECTIONS, "used", 1);
    te_metric_change(TE_METRIC_CONNECTIONS, "used", -1);
    te_metric_change(TE_METRIC_CONNECTIONS, "idle", 1);
    te_metric_add(TE_METRIC_HTTP_REQUESTS, routes[ROUTES / 2], status);
    te_metric_observe(TE_METRIC_HTTP_DURATION, routes[ROUTES / 2], status,
                      apr_time_now() % 9000);
}

static void *run(void *out)
{
    double began = seconds();
    int i;

    for (i = 0; i < REQUESTS; ++i) {
        count_request();
    }
    *(double *)out = (seconds() - began) * 1e9 / REQUESTS;
    return NULL;
}

int main(int argc, char **argv)
{
    int i, n = argc > 1 ? atoi(argv[1]) : 1;
    pthread_t threads[MOST_THREADS];
    double most = 0;
    apr_pool_t *p;

    if (n < 1 || n > MOST_THREADS) {
        return 2;
    }
    apr_initialize();
    apr_pool_create(&p, NULL);
    for (i = 0; i < ROUTES; ++i) {
        routes[i] = apr_psprintf(p, "GET,route%d", i);
    }
    te_metrics_routes(routes, ROUTES);
    te_metrics_use(calloc(1, te_metrics_size(1)), 1);
    te_metrics_enter();
    for (i = 0; i < n; ++i) {
        pthread_create(&threads[i], NULL, run, &took[i]);
    }
    for (i = 0; i < n; ++i) {
        pthread_join(threads[i], NULL);
        most = took[i] > most ? took[i] : most;
    }
    printf("%.0f\n", most);
    return 0;
}
