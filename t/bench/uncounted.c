/* The counting functions that count nothing: ./dev bench metrics links the
 * objects of the module with these (ld --wrap) for its other build. */
#include "../../mod_taskevents/base/metrics.h"

void __wrap_te_metric_add(te_metric_e metric, const char *value1,
                          const char *value2);
void __wrap_te_metric_observe(te_metric_e metric, const char *value1,
                              const char *value2,
                              apr_interval_time_t duration);
void __wrap_te_metric_set(te_metric_e metric, const char *value1,
                          apr_uint64_t value);
void __wrap_te_metric_change(te_metric_e metric, const char *value1, int by);
void __wrap_te_metric_beat(te_metric_e metric, const char *value1);
void __wrap_te_metric_end(te_metric_e metric, const char *value1);
void __wrap_te_metrics_count_request(void *r);

void __wrap_te_metric_add(te_metric_e metric, const char *value1,
                          const char *value2)
{
    (void)metric;
    (void)value1;
    (void)value2;
}

void __wrap_te_metric_observe(te_metric_e metric, const char *value1,
                              const char *value2,
                              apr_interval_time_t duration)
{
    (void)metric;
    (void)value1;
    (void)value2;
    (void)duration;
}

void __wrap_te_metric_set(te_metric_e metric, const char *value1,
                          apr_uint64_t value)
{
    (void)metric;
    (void)value1;
    (void)value;
}

void __wrap_te_metric_change(te_metric_e metric, const char *value1, int by)
{
    (void)metric;
    (void)value1;
    (void)by;
}

void __wrap_te_metric_beat(te_metric_e metric, const char *value1)
{
    (void)metric;
    (void)value1;
}

void __wrap_te_metric_end(te_metric_e metric, const char *value1)
{
    (void)metric;
    (void)value1;
}

void __wrap_te_metrics_count_request(void *r)
{
    (void)r;
}
