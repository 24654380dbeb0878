#include "trend.h"

#include <apr_strings.h>
#include <math.h>
#include <string.h>

/* One more than is drawn: a rate takes two. */
#define PLACES (TE_TREND_STEPS + 1)
/* A rate over a longer gap says nothing about a step. */
#define LONGEST_GAP 4

typedef struct {
    apr_int64_t step;                   /* of its place; 0: empty, or being
                                         * written */
    apr_time_t at;
    apr_uint64_t published, failures, handled;
    te_histogram_t lag, handling;
    te_trend_seen_t seen;
} sample_t;

typedef struct {
    apr_int64_t claimed;                /* the last step that somebody took */
    sample_t samples[PLACES];
} trend_t;

static trend_t *trend;

apr_size_t te_trend_size(void)
{
    return sizeof(trend_t);
}

const char *te_trend_layout(apr_pool_t *p)
{
    return apr_psprintf(p, "1 %d %d %d", PLACES, (int)sizeof(sample_t),
                        TE_METRIC_BUCKETS);
}

void te_trend_use(void *memory)
{
    trend = memory;
}

static apr_int64_t step_of(apr_time_t t)
{
    return t / TE_TREND_STEP;
}

static sample_t *place_of(apr_int64_t step)
{
    return &trend->samples[step % PLACES];
}

/* --- writing ----------------------------------------------------------- */

/* A clock that was set back begins anew. */
int te_trend_claim(apr_time_t now)
{
    apr_int64_t step = step_of(now), last;

    if (trend == NULL) {
        return 0;
    }
    last = __atomic_load_n(&trend->claimed, __ATOMIC_RELAXED);
    return last != step
           && __atomic_compare_exchange_n(&trend->claimed, &last, step, 0,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void te_trend_take(apr_time_t now, const te_trend_seen_t *seen)
{
    sample_t *sample = place_of(step_of(now));

    __atomic_store_n(&sample->step, 0, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    sample->at = apr_time_now();
    sample->published = te_metric_total(TE_METRIC_PUBLISHED, NULL, NULL);
    sample->failures = te_metric_total(TE_METRIC_PUBLISH_FAILURES, NULL,
                                       NULL);
    sample->handled = te_metric_total(TE_METRIC_DELIVERIES, NULL, "handled");
    te_metric_histogram(TE_METRIC_PUBLISH_LAG, NULL, NULL, &sample->lag);
    te_metric_histogram(TE_METRIC_DELIVERY_DURATION, NULL, NULL,
                        &sample->handling);
    sample->seen = *seen;
    __atomic_store_n(&sample->step, step_of(now), __ATOMIC_RELEASE);
}

/* --- reading ----------------------------------------------------------- */

/* @return 1, or 0 when it is not there or was written meanwhile */
static int read_sample(apr_int64_t step, sample_t *out)
{
    const sample_t *sample = place_of(step);

    if (__atomic_load_n(&sample->step, __ATOMIC_ACQUIRE) != step) {
        return 0;
    }
    memcpy(out, sample, sizeof *out);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&sample->step, __ATOMIC_ACQUIRE) == step;
}

static double rate(apr_uint64_t before, apr_uint64_t now, double seconds)
{
    return now < before ? NAN : (double)(now - before) / seconds;
}

static double part(const te_histogram_t *histogram, double q)
{
    return te_histogram_count(histogram) == 0
               ? NAN
               : (double)te_histogram_quantile(histogram, q)
                     / APR_USEC_PER_SEC;
}

static void quantiles(const te_histogram_t *before, const te_histogram_t *now,
                      double *half, double *most)
{
    te_histogram_t h;
    int i;

    memset(&h, 0, sizeof h);
    for (i = 0; i <= TE_METRIC_BUCKETS; ++i) {
        if (now->buckets[i] > before->buckets[i]) {
            h.buckets[i] = now->buckets[i] - before->buckets[i];
        }
    }
    *half = part(&h, 0.5);
    *most = part(&h, 0.99);
}

static void nothing(te_trend_point_t *point)
{
    point->published = point->failures = point->handled = NAN;
    point->lag_half = point->lag_most = NAN;
    point->handling_half = point->handling_most = NAN;
    point->outbox_events = point->outbox_oldest = NAN;
}

static void between(const sample_t *before, const sample_t *now,
                    te_trend_point_t *point)
{
    double seconds = (double)(now->at - before->at) / APR_USEC_PER_SEC;

    if (seconds <= 0) {
        return;
    }
    point->published = rate(before->published, now->published, seconds);
    point->failures = rate(before->failures, now->failures, seconds);
    point->handled = rate(before->handled, now->handled, seconds);
    quantiles(&before->lag, &now->lag, &point->lag_half, &point->lag_most);
    quantiles(&before->handling, &now->handling, &point->handling_half,
              &point->handling_most);
}

int te_trend_read(te_trend_point_t *points, apr_time_t now)
{
    apr_int64_t first = step_of(now) - TE_TREND_STEPS, step, last = 0;
    sample_t samples[2];
    int i = 0, earliest = TE_TREND_STEPS;

    if (trend == NULL) {
        first = -1;
    }
    for (step = first; step <= first + TE_TREND_STEPS; ++step) {
        te_trend_point_t *point = &points[step == first ? 0
                                                        : step - first - 1];

        nothing(point);
        if (first < 0 || !read_sample(step, &samples[i])) {
            continue;
        }
        if (last != 0 && step - last <= LONGEST_GAP) {
            between(&samples[1 - i], &samples[i], point);
        }
        if (samples[i].seen.outbox_events >= 0) {
            point->outbox_events = (double)samples[i].seen.outbox_events;
            point->outbox_oldest = samples[i].seen.outbox_oldest;
        }
        if (step > first && earliest == TE_TREND_STEPS) {
            earliest = (int)(step - first - 1);
        }
        last = step;
        i = 1 - i;
    }
    return earliest;
}
