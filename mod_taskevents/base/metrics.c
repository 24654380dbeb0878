#include "metrics_internal.h"

#include <apr_strings.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "taskevents_"
#define SLOT_ALIGNMENT 128      /* no two children write one cache line */

#define METRIC_ROW(id, name, kind, label1, label2, help) \
    {PREFIX name, TE_KIND_##kind, {TE_LABEL_##label1, TE_LABEL_##label2}, help},
const te_metric_t te_metric_table[TE_METRIC_COUNT] = {TE_METRICS(METRIC_ROW)};

/* The last value of each stands for all that is not in the list. */
#define VALUES(...) \
    (const char *const[]){__VA_ARGS__, "other"}, \
    1 + (int)(sizeof (const char *const[]){__VA_ARGS__} \
              / sizeof(const char *))

te_metric_label_t te_metric_labels[TE_LABEL_COUNT] = {
    [TE_LABEL_NONE] = {NULL, NULL, 1},
    [TE_LABEL_TYPE] = {"type", VALUES("task.created", "task.updated",
        "task.completed", "task.deleted", "reminder.scheduled",
        "reminder.cancelled", "reminder.triggered")},
    [TE_LABEL_OUTCOME] = {"outcome", VALUES("handled", "duplicate",
        "ignored", "dead_letter", "failed")},
    [TE_LABEL_REASON] = {"reason", VALUES("unreachable", "no_answer",
        "answer", "database", "topic", "event", "refused")},
    [TE_LABEL_STAGE] = {"stage", VALUES("publish", "handle", "malformed",
        "deadletter")},
    [TE_LABEL_EFFECT] = {"effect", VALUES("occurrence", "reminder",
        "notification")},
    [TE_LABEL_EVENT] = {"event", VALUES("scheduled", "cancelled",
        "triggered")},
    [TE_LABEL_STATE] = {"state", VALUES("open", "redriven", "discarded")},
    [TE_LABEL_ROUTE] = {"method,route", VALUES("none,none")},
    [TE_LABEL_STATUS] = {"status", VALUES("200", "201", "204", "304", "400",
        "401", "403", "404", "405", "408", "409", "412", "413", "415", "422",
        "500", "503")},
    [TE_LABEL_THREAD] = {"thread", VALUES("publisher", "chores",
        "outside_chores")},
    [TE_LABEL_CHORE] = {"chore", VALUES("forget", "tidy", "sweep", "sample",
        "jobs", "alert")},
    [TE_LABEL_CONNECTION] = {"state", VALUES("used", "idle")},
    [TE_LABEL_VERSION] = {"version", NULL, 1},
};

const te_metric_bound_t te_metric_bounds[TE_METRIC_BUCKETS] = {
    {1000, "0.001"}, {2500, "0.0025"}, {5000, "0.005"}, {10000, "0.01"},
    {25000, "0.025"}, {50000, "0.05"}, {100000, "0.1"}, {250000, "0.25"},
    {500000, "0.5"}, {1000000, "1"}, {2500000, "2.5"}, {5000000, "5"},
    {10000000, "10"}, {60000000, "60"}, {600000000, "600"},
};

static struct {
    char *memory;                       /* NULL: nothing is counted */
    int slots;
    int first[TE_METRIC_COUNT + 1];     /* cells */
    te_slot_t *mine;
    int own;                            /* mine is nobody else's */
} shared;

/* --- layout ------------------------------------------------------------ */

int te_metrics_length(te_metric_e metric)
{
    switch (te_metric_table[metric].kind) {
    case TE_KIND_HISTOGRAM:
        return TE_METRIC_BUCKETS + 2;
    case TE_KIND_SAMPLE:
        return 0;
    default:
        return 1;
    }
}

int te_metrics_series(te_metric_e metric)
{
    const te_label_e *by = te_metric_table[metric].labels;

    return te_metric_labels[by[0]].n * te_metric_labels[by[1]].n;
}

static void place_metrics(void)
{
    int i;

    for (i = 0; i < TE_METRIC_COUNT; ++i) {
        shared.first[i + 1] = shared.first[i]
                              + te_metrics_length((te_metric_e)i)
                                    * te_metrics_series((te_metric_e)i);
    }
}

int te_metrics_first(te_metric_e metric)
{
    return shared.first[metric];
}

static apr_size_t slot_size(void)
{
    return APR_ALIGN(sizeof(te_slot_t)
                         + sizeof(te_cell_t)
                               * (apr_size_t)shared.first[TE_METRIC_COUNT],
                     SLOT_ALIGNMENT);
}

te_slot_t *te_metrics_slot(int i)
{
    return (te_slot_t *)(shared.memory + slot_size() * (apr_size_t)i);
}

int te_metrics_slots(void)
{
    return shared.slots;
}

void te_metrics_routes(const char *const *names, int n)
{
    te_metric_labels[TE_LABEL_ROUTE].values = names;
    te_metric_labels[TE_LABEL_ROUTE].n = n;
}

apr_size_t te_metrics_size(int slots)
{
    place_metrics();
    return slot_size() * (apr_size_t)slots;
}

const char *te_metrics_layout(apr_pool_t *p)
{
    const char *text = apr_psprintf(p, "%d", TE_METRIC_BUCKETS);
    int i, j;

    for (i = 0; i < TE_METRIC_COUNT; ++i) {
        const te_metric_t *m = &te_metric_table[i];

        text = apr_psprintf(p, "%s %s:%d:%d:%d", text, m->name, m->kind,
                            m->labels[0], m->labels[1]);
    }
    for (i = 0; i < TE_LABEL_COUNT; ++i) {
        const te_metric_label_t *label = &te_metric_labels[i];

        for (j = 0; label->values != NULL && j < label->n; ++j) {
            text = apr_pstrcat(p, text, j ? "," : " ", label->values[j],
                               NULL);
        }
    }
    return text;
}

/* --- slots ------------------------------------------------------------- */

static int is_gone(pid_t pid)
{
    return pid == 0 || (kill(pid, 0) != 0 && errno == ESRCH);
}

pid_t te_metrics_owner(const te_slot_t *slot)
{
    pid_t pid = __atomic_load_n(&slot->pid, __ATOMIC_ACQUIRE);

    return is_gone(pid) ? 0 : pid;
}

/* What describes the child alone. */
static void clear(te_slot_t *slot)
{
    int i, cell;

    for (i = 0; i < TE_METRIC_COUNT; ++i) {
        te_metric_kind_e kind = te_metric_table[i].kind;

        if (kind == TE_KIND_CHILD || kind == TE_KIND_BEAT) {
            for (cell = shared.first[i]; cell < shared.first[i + 1]; ++cell) {
                __atomic_store_n(&slot->cells[cell], 0, __ATOMIC_RELAXED);
            }
        }
    }
}

void te_metrics_use(void *memory, int slots)
{
    place_metrics();
    shared.memory = memory;
    shared.slots = slots;
    shared.mine = NULL;
    shared.own = 0;
}

void te_metrics_enter(void)
{
    pid_t me = getpid();
    int i;

    for (i = 0; i < shared.slots; ++i) {
        te_slot_t *slot = te_metrics_slot(i);
        pid_t was = __atomic_load_n(&slot->pid, __ATOMIC_RELAXED);

        if (is_gone(was)
            && __atomic_compare_exchange_n(&slot->pid, &was, me, 0,
                                           __ATOMIC_ACQ_REL,
                                           __ATOMIC_RELAXED)) {
            clear(slot);
            slot->since = apr_time_now();
            shared.mine = slot;
            shared.own = 1;
            return;
        }
    }
    shared.mine = shared.slots > 0 ? te_metrics_slot(0) : NULL;
}

/* Threads that are not done yet may still count there, beside the next
 * owner: additions are atomic. */
void te_metrics_leave(void)
{
    if (shared.own) {
        shared.own = 0;
        clear(shared.mine);
        __atomic_store_n(&shared.mine->pid, 0, __ATOMIC_RELEASE);
    }
}

/* --- counting ---------------------------------------------------------- */

/* Most callers pass the very text of the list. */
int te_metrics_place(te_label_e label, const char *value)
{
    const te_metric_label_t *l = &te_metric_labels[label];
    int i, last = l->n - 1;

    for (i = 0; i < last; ++i) {
        if (value == l->values[i]) {
            return i;
        }
    }
    for (i = 0; i < last && value != NULL; ++i) {
        if (strcmp(value, l->values[i]) == 0) {
            return i;
        }
    }
    return last;
}

/* The first cell of a series of this child; NULL: nothing is counted. */
static te_cell_t *cells(te_metric_e metric, const char *value1,
                        const char *value2)
{
    const te_label_e *by = te_metric_table[metric].labels;
    int series;

    if (shared.mine == NULL || te_metrics_length(metric) == 0) {
        return NULL;
    }
    series = te_metrics_place(by[0], value1) * te_metric_labels[by[1]].n
             + te_metrics_place(by[1], value2);
    return shared.mine->cells + shared.first[metric]
           + series * te_metrics_length(metric);
}

static void add(te_cell_t *cell, te_cell_t n)
{
    __atomic_fetch_add(cell, n, __ATOMIC_RELAXED);
}

void te_metric_add(te_metric_e metric, const char *value1, const char *value2)
{
    te_cell_t *cell = cells(metric, value1, value2);

    if (cell != NULL) {
        add(cell, 1);
    }
}

void te_metric_observe(te_metric_e metric, const char *value1,
                       const char *value2, apr_interval_time_t duration)
{
    te_cell_t *cell = cells(metric, value1, value2);
    int i = 0;

    if (cell == NULL) {
        return;
    }
    if (duration < 0) {                 /* a clock was set back */
        duration = 0;
    }
    while (i < TE_METRIC_BUCKETS && duration > te_metric_bounds[i].up_to) {
        ++i;
    }
    add(cell + i, 1);
    add(cell + TE_METRIC_BUCKETS + 1, (te_cell_t)duration);
}

void te_metric_set(te_metric_e metric, const char *value1,
                   apr_uint64_t value)
{
    te_cell_t *cell = shared.own ? cells(metric, value1, NULL) : NULL;

    if (cell != NULL) {
        __atomic_store_n(cell, value, __ATOMIC_RELAXED);
    }
}

void te_metric_change(te_metric_e metric, const char *value1, int by)
{
    te_cell_t *cell = shared.own ? cells(metric, value1, NULL) : NULL;

    if (cell != NULL) {
        add(cell, (te_cell_t)(apr_int64_t)by);
    }
}

void te_metric_beat(te_metric_e metric, const char *value1)
{
    te_metric_set(metric, value1, (te_cell_t)apr_time_now());
}

void te_metric_end(te_metric_e metric, const char *value1)
{
    te_metric_set(metric, value1, 0);
}

/* --- reading ----------------------------------------------------------- */

te_cell_t te_metrics_cell(const te_slot_t *slot, int cell)
{
    return __atomic_load_n(&slot->cells[cell], __ATOMIC_RELAXED);
}

te_cell_t te_metrics_sum(int cell)
{
    te_cell_t n = 0;
    int i;

    for (i = 0; i < shared.slots; ++i) {
        n += te_metrics_cell(te_metrics_slot(i), cell);
    }
    return n;
}

/* Add up to n cells of each series that has these values. */
static void sum_series(te_metric_e metric, const char *value1,
                       const char *value2, te_cell_t *out, int n)
{
    const te_label_e *by = te_metric_table[metric].labels;
    int columns = te_metric_labels[by[1]].n, i, j;

    memset(out, 0, sizeof *out * (apr_size_t)n);
    for (i = 0; i < te_metrics_series(metric); ++i) {
        if ((value1 == NULL
             || i / columns == te_metrics_place(by[0], value1))
            && (value2 == NULL
                || i % columns == te_metrics_place(by[1], value2))) {
            int first = shared.first[metric] + i * te_metrics_length(metric);

            for (j = 0; j < n; ++j) {
                out[j] += te_metrics_sum(first + j);
            }
        }
    }
}

apr_uint64_t te_metric_total(te_metric_e metric, const char *value1,
                             const char *value2)
{
    te_cell_t n = 0;

    if (te_metrics_length(metric) == 1) {
        sum_series(metric, value1, value2, &n, 1);
    }
    return n;
}

void te_metric_histogram(te_metric_e metric, const char *value1,
                         const char *value2, te_histogram_t *out)
{
    te_cell_t sums[TE_METRIC_BUCKETS + 2] = {0};

    if (te_metrics_length(metric) == TE_METRIC_BUCKETS + 2) {
        sum_series(metric, value1, value2, sums, TE_METRIC_BUCKETS + 2);
    }
    memcpy(out->buckets, sums, sizeof out->buckets);
    out->micros = sums[TE_METRIC_BUCKETS + 1];
}

apr_uint64_t te_histogram_count(const te_histogram_t *histogram)
{
    apr_uint64_t n = 0;
    int i;

    for (i = 0; i <= TE_METRIC_BUCKETS; ++i) {
        n += histogram->buckets[i];
    }
    return n;
}

apr_interval_time_t te_histogram_quantile(const te_histogram_t *histogram,
                                          double q)
{
    double rank = q * (double)te_histogram_count(histogram);
    apr_interval_time_t from = 0, to = 0;
    int i;

    if (rank <= 0) {
        return 0;
    }
    for (i = 0; i < TE_METRIC_BUCKETS; ++i) {
        double n = (double)histogram->buckets[i];

        to = te_metric_bounds[i].up_to;
        if (n > 0 && rank <= n) {
            return from + (apr_interval_time_t)((double)(to - from) * rank / n);
        }
        rank -= n;
        from = to;
    }
    return to;                  /* or longer: the last bound is all we know */
}
