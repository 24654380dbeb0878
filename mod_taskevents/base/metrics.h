/* What is counted, in memory that all children of an httpd share, and its
 * text for Prometheus (exposition format 0.0.4).
 *
 * Each child has a slot of its own, so a count is one atomic addition to
 * memory that no other child writes. Who ends leaves its counts in the slot,
 * and the next child goes on from there: a metric is the sum over the slots.
 * Only what describes one child (TE_KIND_CHILD, TE_KIND_BEAT) ends with it;
 * base/children.h reads that.
 *
 * Without te_metrics_use, as in a unit test, nothing is counted. */
#ifndef TE_BASE_METRICS_H
#define TE_BASE_METRICS_H

#include <apr_pools.h>
#include <apr_time.h>

#include "metrics_table.h"

#define TE_METRIC_ENUM(id, name, kind, label1, label2, help) TE_METRIC_##id,
typedef enum {
    TE_METRICS(TE_METRIC_ENUM)
    TE_METRIC_COUNT
} te_metric_e;
#undef TE_METRIC_ENUM

/* The methods and names of the routes, as "GET,task", which are the values of
 * two labels in one; before te_metrics_size. The last one stands for all
 * others. They must live as long as the process. */
void te_metrics_routes(const char *const *names, int n);

/* Bytes for the slots of that many children, and a text that names their
 * layout: memory of another layout must not be used. */
apr_size_t te_metrics_size(int slots);
const char *te_metrics_layout(apr_pool_t *p);

/* From now on count in this memory: zeros, or what an earlier generation of
 * the same layout left. Once in the parent, before it forks. */
void te_metrics_use(void *memory, int slots);

/* Take a slot for this process (of nobody, or of somebody who is gone) and
 * give it back. Without a free one the first is shared: counts stay right,
 * and what describes the child alone is not told. */
void te_metrics_enter(void);
void te_metrics_leave(void);

/* --- counting: any thread ---------------------------------------------- */

/* Count one. The values are those of the metric's labels, NULL where it has
 * none; a value that the table does not know counts as the label's last. */
void te_metric_add(te_metric_e metric, const char *value1,
                   const char *value2);

/* Put a duration into a histogram. */
void te_metric_observe(te_metric_e metric, const char *value1,
                       const char *value2, apr_interval_time_t duration);

/* Say what is so in this child (TE_KIND_CHILD), or by how much it changed,
 * where several threads tell the same. */
void te_metric_set(te_metric_e metric, const char *value1,
                   apr_uint64_t value);
void te_metric_change(te_metric_e metric, const char *value1, int by);

/* Say that it goes on (TE_KIND_BEAT), or is not there any more. */
void te_metric_beat(te_metric_e metric, const char *value1);
void te_metric_end(te_metric_e metric, const char *value1);

/* --- reading: any thread of any child ---------------------------------- */

/* A counter's number in all children; NULL for a label: all its values. */
apr_uint64_t te_metric_total(te_metric_e metric, const char *value1,
                             const char *value2);

/* Buckets of every histogram, and one for what is longer than all. */
#define TE_METRIC_BUCKETS 15

/* Two of them subtracted are what happened in between. */
typedef struct te_histogram_t {
    apr_uint64_t buckets[TE_METRIC_BUCKETS + 1];        /* not cumulative */
    apr_uint64_t micros;                                /* the sum */
} te_histogram_t;

/* Same of a histogram. */
void te_metric_histogram(te_metric_e metric, const char *value1,
                         const char *value2, te_histogram_t *out);

apr_uint64_t te_histogram_count(const te_histogram_t *histogram);

/* The duration that a part q (0 to 1) of what was counted does not exceed,
 * taken to be spread evenly within its bucket; 0 when nothing was counted. */
apr_interval_time_t te_histogram_quantile(const te_histogram_t *histogram,
                                          double q);

/* --- telling ----------------------------------------------------------- */

/* A value that is not kept here but known to who asks (TE_KIND_SAMPLE). */
typedef struct te_sample_t {
    te_metric_e metric;
    const char *value1;                 /* of its label, or NULL */
    double number;
    int decimals;                       /* of it, to be told */
} te_sample_t;

/* All of it as text, in p. A sampled metric without a sample is left out. */
const char *te_metrics_text(apr_pool_t *p, const te_sample_t *samples, int n);

#endif
