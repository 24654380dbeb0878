/* What the files that count, tell and read metrics share: where everything is
 * in the memory of the children. */
#ifndef TE_BASE_METRICS_INTERNAL_H
#define TE_BASE_METRICS_INTERNAL_H

#include "metrics.h"

#include <sys/types.h>

#define TE_METRIC_LABELS 2

typedef struct te_metric_t {
    const char *name;
    te_metric_kind_e kind;
    te_label_e labels[TE_METRIC_LABELS];
    const char *help;
} te_metric_t;

extern const te_metric_t te_metric_table[TE_METRIC_COUNT];

/* Of each label its name and values, or of two that go together, with a comma
 * in both. The last value of several stands for all
 * that is not in the list. */
typedef struct te_metric_label_t {
    const char *name;
    const char *const *values;
    int n;
} te_metric_label_t;

extern te_metric_label_t te_metric_labels[TE_LABEL_COUNT];

/* The upper bounds of a histogram's buckets. One more bucket, without a
 * bound, and the sum in microseconds follow them. */
typedef struct te_metric_bound_t {
    apr_interval_time_t up_to;
    const char *text;
} te_metric_bound_t;

extern const te_metric_bound_t te_metric_bounds[TE_METRIC_BUCKETS];

typedef apr_uint64_t te_cell_t;

typedef struct te_slot_t {
    pid_t pid;                          /* whose it is; 0: nobody's */
    apr_time_t since;                   /* when he took it */
    te_cell_t cells[];
} te_slot_t;

/* How many slots there are, and each of them. */
int te_metrics_slots(void);
te_slot_t *te_metrics_slot(int i);

/* The process whose slot it is; 0 when it is nobody's, or he is gone. */
pid_t te_metrics_owner(const te_slot_t *slot);

/* Where the first series of a metric begins, how long each is, and how many
 * there are. */
int te_metrics_first(te_metric_e metric);
int te_metrics_length(te_metric_e metric);
int te_metrics_series(te_metric_e metric);

/* A label's value by its place in the list; the last place if it is in none. */
int te_metrics_place(te_label_e label, const char *value);

/* Of one slot, and the sum over all. */
te_cell_t te_metrics_cell(const te_slot_t *slot, int cell);
te_cell_t te_metrics_sum(int cell);

#endif
