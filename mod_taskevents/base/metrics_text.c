/* The metrics as text. */
#include <apr_strings.h>
#include <apr_tables.h>
#include <stdarg.h>
#include <string.h>

#include "metrics_internal.h"

typedef struct {
    apr_pool_t *pool;
    apr_array_header_t *lines;
} text_t;

static void put(text_t *text, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void put(text_t *text, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    APR_ARRAY_PUSH(text->lines, const char *) =
        apr_pvsprintf(text->pool, fmt, ap);
    va_end(ap);
}

/* A label's value: backslash, quote and newline are escaped. */
static const char *escaped(apr_pool_t *p, const char *value)
{
    char *out = apr_palloc(p, 2 * strlen(value) + 1), *o = out;

    for (; *value != '\0'; ++value) {
        if (*value == '\\' || *value == '"' || *value == '\n') {
            *o++ = '\\';
        }
        *o++ = (char)(*value == '\n' ? 'n' : *value);
    }
    *o = '\0';
    return out;
}

/* The one label or the two of these names and values, behind what is there. */
static const char *with_label(text_t *text, const char *there,
                              const char *name, const char *value)
{
    /* no value, no call: `more` tells */
    /* cppcheck-suppress ctunullpointer */
    const char *comma = strchr(name, ','), *cut = strchr(value, ',');
    const char *more = *there ? "," : "";

    if (comma == NULL || cut == NULL) {
        return apr_psprintf(text->pool, "%s%s%s=\"%s\"", there, more, name,
                            escaped(text->pool, value));
    }
    return apr_psprintf(text->pool, "%s%s%.*s=\"%.*s\",%s=\"%s\"", there, more,
                        (int)(comma - name), name, (int)(cut - value), value,
                        comma + 1, cut + 1);
}

/* {method="GET",route="tasks",status="200"}, with one more label behind them. */
static const char *label_text(text_t *text, const te_metric_t *m,
                              const char *const *values, const char *more,
                              const char *more_value)
{
    const char *out = "";
    int i;

    for (i = 0; i < TE_METRIC_LABELS; ++i) {
        if (m->labels[i] != TE_LABEL_NONE && values[i] != NULL) {
            out = with_label(text, out, te_metric_labels[m->labels[i]].name,
                             values[i]);
        }
    }
    if (more != NULL) {
        out = with_label(text, out, more, more_value);
    }
    return *out ? apr_psprintf(text->pool, "{%s}", out) : "";
}

static void put_head(text_t *text, const te_metric_t *m)
{
    static const char *const types[] = {"counter", "histogram", "gauge",
                                        "gauge", "gauge"};

    put(text, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
        types[m->kind]);
}

static void put_histogram(text_t *text, const te_metric_t *m, int cell,
                          const char *const *values)
{
    te_cell_t n = 0, micros;
    int i;

    for (i = 0; i <= TE_METRIC_BUCKETS; ++i) {
        n += te_metrics_sum(cell + i);
        put(text, "%s_bucket%s %" APR_UINT64_T_FMT "\n", m->name,
            label_text(text, m, values, "le",
                       i < TE_METRIC_BUCKETS ? te_metric_bounds[i].text
                                             : "+Inf"), n);
    }
    micros = te_metrics_sum(cell + TE_METRIC_BUCKETS + 1);
    put(text, "%s_sum%s %" APR_UINT64_T_FMT ".%06u\n", m->name,
        label_text(text, m, values, NULL, NULL), micros / APR_USEC_PER_SEC,
        (unsigned int)(micros % APR_USEC_PER_SEC));
    put(text, "%s_count%s %" APR_UINT64_T_FMT "\n", m->name,
        label_text(text, m, values, NULL, NULL), n);
}

static int has_happened(const te_metric_t *m, int cell)
{
    int i, n = m->kind == TE_KIND_HISTOGRAM ? TE_METRIC_BUCKETS + 1 : 1;

    for (i = 0; i < n; ++i) {
        if (te_metrics_sum(cell + i) > 0) {
            return 1;
        }
    }
    return 0;
}

/* Of two labels most pairs never come about: those are left out, and so are
 * histograms, of many lines. A single label's counters are told from the
 * beginning, so that a first count is a rise that can be seen. */
static void put_series(text_t *text, te_metric_e metric)
{
    const te_metric_t *m = &te_metric_table[metric];
    const te_label_e *by = m->labels;
    int is_sparse = by[0] != TE_LABEL_NONE
                    && (by[1] != TE_LABEL_NONE
                        || m->kind == TE_KIND_HISTOGRAM);
    int i, cell = te_metrics_first(metric);

    for (i = 0; i < te_metrics_series(metric); ++i) {
        const char *const values[TE_METRIC_LABELS] = {
            by[0] ? te_metric_labels[by[0]].values[i / te_metric_labels[by[1]].n]
                  : NULL,
            by[1] ? te_metric_labels[by[1]].values[i % te_metric_labels[by[1]].n]
                  : NULL};

        if (is_sparse && !has_happened(m, cell)) {
            /* left out */
        }
        else if (m->kind == TE_KIND_HISTOGRAM) {
            put_histogram(text, m, cell, values);
        }
        else {
            put(text, "%s%s %" APR_UINT64_T_FMT "\n", m->name,
                label_text(text, m, values, NULL, NULL),
                te_metrics_sum(cell));
        }
        cell += te_metrics_length(metric);
    }
}

/* What never happened there is left out: a time of no beat, and what stands
 * for values of no list. */
static void put_child(text_t *text, const te_metric_t *m, int child,
                      const te_slot_t *slot, int cell)
{
    const te_metric_label_t *label = &te_metric_labels[m->labels[0]];
    int i;

    for (i = 0; i < label->n; ++i) {
        const char *const values[TE_METRIC_LABELS] = {
            m->labels[0] ? label->values[i] : NULL, NULL};
        apr_int64_t value = (apr_int64_t)te_metrics_cell(slot, cell + i);
        const char *labels = label_text(text, m, values, "child",
                                        apr_itoa(text->pool, child));

        if (m->kind == TE_KIND_BEAT && value > 0) {
            put(text, "%s%s %" APR_INT64_T_FMT ".%03d\n", m->name, labels,
                apr_time_sec(value), (int)apr_time_msec(value));
        }
        else if (m->kind == TE_KIND_CHILD
                 && (value > 0 || label->n == 1 || i < label->n - 1)) {
            put(text, "%s%s %" APR_INT64_T_FMT "\n", m->name, labels,
                value > 0 ? value : 0);
        }
    }
}

static void put_children(text_t *text, te_metric_e metric)
{
    int i;

    for (i = 0; i < te_metrics_slots(); ++i) {
        const te_slot_t *slot = te_metrics_slot(i);

        if (te_metrics_owner(slot) != 0) {
            put_child(text, &te_metric_table[metric], i, slot,
                      te_metrics_first(metric));
        }
    }
}

static void put_samples(text_t *text, te_metric_e metric,
                        const te_sample_t *samples, int n)
{
    int i, headed = 0;

    for (i = 0; i < n; ++i) {
        const char *const values[TE_METRIC_LABELS] = {samples[i].value1, NULL};

        if (samples[i].metric == metric) {
            if (!headed++) {
                put_head(text, &te_metric_table[metric]);
            }
            put(text, "%s%s %.*f\n", te_metric_table[metric].name,
                label_text(text, &te_metric_table[metric], values, NULL, NULL),
                samples[i].decimals, samples[i].number);
        }
    }
}

const char *te_metrics_text(apr_pool_t *p, const te_sample_t *samples, int n)
{
    text_t text = {p, apr_array_make(p, 256, sizeof(const char *))};
    int i;

    for (i = 0; i < TE_METRIC_COUNT; ++i) {
        te_metric_kind_e kind = te_metric_table[i].kind;

        if (kind == TE_KIND_SAMPLE) {
            put_samples(&text, (te_metric_e)i, samples, n);
            continue;
        }
        put_head(&text, &te_metric_table[i]);
        if (kind == TE_KIND_CHILD || kind == TE_KIND_BEAT) {
            put_children(&text, (te_metric_e)i);
        }
        else {
            put_series(&text, (te_metric_e)i);
        }
    }
    return apr_array_pstrcat(p, text.lines, '\0');
}
