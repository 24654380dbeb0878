#include "metrics.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "taskevents_"
#define SLOT_ALIGNMENT 128      /* no two children write one cache line */
#define LABELS 2

typedef struct {
    const char *name;
    te_metric_kind_e kind;
    te_label_e labels[LABELS];
    const char *help;
} metric_t;

#define METRIC_ROW(id, name, kind, label1, label2, help) \
    {PREFIX name, TE_KIND_##kind, {TE_LABEL_##label1, TE_LABEL_##label2}, help},
static const metric_t metrics[TE_METRIC_COUNT] = {TE_METRICS(METRIC_ROW)};

/* The last value of each stands for all that is not in the list. */
#define VALUES(...) \
    (const char *const[]){__VA_ARGS__, "other"}, \
    1 + (int)(sizeof (const char *const[]){__VA_ARGS__} \
              / sizeof(const char *))

static struct {
    const char *name;
    const char *const *values;
    int n;
} labels[TE_LABEL_COUNT] = {
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
    [TE_LABEL_EVENT] = {"event", VALUES("scheduled", "cancelled",
        "triggered")},
    [TE_LABEL_STATE] = {"state", VALUES("open", "redriven", "discarded")},
    [TE_LABEL_ROUTE] = {"route", VALUES("none")},
    [TE_LABEL_STATUS] = {"status", VALUES("200", "201", "204", "304", "400",
        "401", "403", "404", "405", "408", "409", "412", "413", "415", "422",
        "500", "503")},
    [TE_LABEL_VERSION] = {"version", NULL, 1},
};

/* Upper bounds of a histogram's buckets; one more, without a bound, and the
 * sum in microseconds follow them. */
static const struct {
    apr_interval_time_t up_to;
    const char *text;
} buckets[] = {
    {1000, "0.001"}, {2500, "0.0025"}, {5000, "0.005"}, {10000, "0.01"},
    {25000, "0.025"}, {50000, "0.05"}, {100000, "0.1"}, {250000, "0.25"},
    {500000, "0.5"}, {1000000, "1"}, {2500000, "2.5"}, {5000000, "5"},
    {10000000, "10"}, {60000000, "60"}, {600000000, "600"},
};
#define BUCKETS ((int)(sizeof buckets / sizeof buckets[0]))

typedef apr_uint64_t cell_t;

typedef struct {
    pid_t pid;                          /* whose it is; 0: nobody's */
    cell_t cells[];
} slot_t;

static struct {
    char *memory;                       /* NULL: nothing is counted */
    int slots;
    slot_t *mine;
    int own;                            /* mine is nobody else's */
} shared;

/* --- layout ------------------------------------------------------------ */

static int cells_of_series(const metric_t *m)
{
    return m->kind == TE_KIND_HISTOGRAM ? BUCKETS + 2
           : m->kind == TE_KIND_SAMPLE ? 0 : 1;
}

static int cells_of(const metric_t *m)
{
    return cells_of_series(m) * labels[m->labels[0]].n
           * labels[m->labels[1]].n;
}

static int first_cell(te_metric_e metric)
{
    int i, n = 0;

    for (i = 0; i < (int)metric; ++i) {
        n += cells_of(&metrics[i]);
    }
    return n;
}

static apr_size_t slot_size(void)
{
    return APR_ALIGN(sizeof(slot_t) + sizeof(cell_t)
                         * (apr_size_t)first_cell(TE_METRIC_COUNT),
                     SLOT_ALIGNMENT);
}

static slot_t *slot_at(int i)
{
    return (slot_t *)(shared.memory + slot_size() * (apr_size_t)i);
}

void te_metrics_routes(const char *const *names, int n)
{
    labels[TE_LABEL_ROUTE].values = names;
    labels[TE_LABEL_ROUTE].n = n;
}

apr_size_t te_metrics_size(int slots)
{
    return slot_size() * (apr_size_t)slots;
}

const char *te_metrics_layout(apr_pool_t *p)
{
    const char *text = apr_psprintf(p, "%d", BUCKETS);
    int i, j;

    for (i = 0; i < TE_METRIC_COUNT; ++i) {
        text = apr_psprintf(p, "%s %s:%d:%d:%d", text, metrics[i].name,
                            metrics[i].kind, metrics[i].labels[0],
                            metrics[i].labels[1]);
    }
    for (i = 0; i < TE_LABEL_COUNT; ++i) {
        for (j = 0; labels[i].values != NULL && j < labels[i].n; ++j) {
            text = apr_pstrcat(p, text, j ? "," : " ", labels[i].values[j],
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

static void clear_own(void)
{
    int i;

    for (i = 0; i < TE_METRIC_COUNT; ++i) {
        if (metrics[i].kind == TE_KIND_CHILD) {
            te_metric_set((te_metric_e)i, 0);
        }
    }
}

void te_metrics_use(void *memory, int slots)
{
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
        slot_t *slot = slot_at(i);
        pid_t was = __atomic_load_n(&slot->pid, __ATOMIC_RELAXED);

        if (is_gone(was)
            && __atomic_compare_exchange_n(&slot->pid, &was, me, 0,
                                           __ATOMIC_ACQ_REL,
                                           __ATOMIC_RELAXED)) {
            shared.mine = slot;
            shared.own = 1;
            clear_own();
            return;
        }
    }
    shared.mine = shared.slots > 0 ? slot_at(0) : NULL;
}

/* Threads that are not done yet may still count there, beside the next
 * owner: additions are atomic. */
void te_metrics_leave(void)
{
    if (shared.own) {
        clear_own();
        shared.own = 0;
        __atomic_store_n(&shared.mine->pid, 0, __ATOMIC_RELEASE);
    }
}

/* --- counting ---------------------------------------------------------- */

static int place_of(te_label_e label, const char *value)
{
    int i, last = labels[label].n - 1;

    for (i = 0; i < last; ++i) {
        if (value == labels[label].values[i]
            || (value != NULL
                && strcmp(value, labels[label].values[i]) == 0)) {
            return i;
        }
    }
    return last;
}

static cell_t *cells(te_metric_e metric, const char *value1,
                     const char *value2)
{
    const metric_t *m = &metrics[metric];
    int series;

    if (shared.mine == NULL || m->kind == TE_KIND_SAMPLE) {
        return NULL;
    }
    series = place_of(m->labels[0], value1) * labels[m->labels[1]].n
             + place_of(m->labels[1], value2);
    return shared.mine->cells + first_cell(metric)
           + series * cells_of_series(m);
}

static void add(cell_t *cell, cell_t n)
{
    __atomic_fetch_add(cell, n, __ATOMIC_RELAXED);
}

void te_metric_add(te_metric_e metric, const char *value1, const char *value2)
{
    cell_t *cell = cells(metric, value1, value2);

    if (cell != NULL) {
        add(cell, 1);
    }
}

void te_metric_observe(te_metric_e metric, const char *value1,
                       const char *value2, apr_interval_time_t duration)
{
    cell_t *cell = cells(metric, value1, value2);
    int i = 0;

    if (cell == NULL) {
        return;
    }
    if (duration < 0) {                 /* a clock was set back */
        duration = 0;
    }
    while (i < BUCKETS && duration > buckets[i].up_to) {
        ++i;
    }
    add(cell + i, 1);
    add(cell + BUCKETS + 1, (cell_t)duration);
}

void te_metric_set(te_metric_e metric, apr_uint64_t value)
{
    cell_t *cell = cells(metric, NULL, NULL);

    if (cell != NULL && shared.own) {
        __atomic_store_n(cell, value, __ATOMIC_RELAXED);
    }
}

/* --- text -------------------------------------------------------------- */

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

/* {route="tasks",status="200"}, with one more label behind them. */
static const char *label_text(text_t *text, const metric_t *m,
                              const char *const *values, const char *more,
                              const char *more_value)
{
    const char *out = "";
    int i;

    for (i = 0; i < LABELS; ++i) {
        if (m->labels[i] != TE_LABEL_NONE && values[i] != NULL) {
            out = apr_psprintf(text->pool, "%s%s%s=\"%s\"", out,
                               *out ? "," : "", labels[m->labels[i]].name,
                               escaped(text->pool, values[i]));
        }
    }
    if (more != NULL) {
        out = apr_psprintf(text->pool, "%s%s%s=\"%s\"", out, *out ? "," : "",
                           more, more_value);
    }
    return *out ? apr_psprintf(text->pool, "{%s}", out) : "";
}

static void put_head(text_t *text, const metric_t *m)
{
    static const char *const types[] = {"counter", "histogram", "gauge",
                                        "gauge"};

    put(text, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
        types[m->kind]);
}

static cell_t sum(int cell)
{
    cell_t n = 0;
    int i;

    for (i = 0; i < shared.slots; ++i) {
        n += __atomic_load_n(&slot_at(i)->cells[cell], __ATOMIC_RELAXED);
    }
    return n;
}

static void put_histogram(text_t *text, const metric_t *m, int cell,
                          const char *const *values)
{
    cell_t n = 0, micros;
    int i;

    for (i = 0; i <= BUCKETS; ++i) {
        n += sum(cell + i);
        put(text, "%s_bucket%s %" APR_UINT64_T_FMT "\n", m->name,
            label_text(text, m, values, "le",
                       i < BUCKETS ? buckets[i].text : "+Inf"), n);
    }
    micros = sum(cell + BUCKETS + 1);
    put(text, "%s_sum%s %" APR_UINT64_T_FMT ".%06u\n", m->name,
        label_text(text, m, values, NULL, NULL), micros / APR_USEC_PER_SEC,
        (unsigned int)(micros % APR_USEC_PER_SEC));
    put(text, "%s_count%s %" APR_UINT64_T_FMT "\n", m->name,
        label_text(text, m, values, NULL, NULL), n);
}

/* Of two labels most pairs never come about: those are left out. A single
 * label's values are told from the beginning, so that a first count is a
 * rise that can be seen. */
static void put_series(text_t *text, const metric_t *m, int cell)
{
    const te_label_e *by = m->labels;
    int i, j, is_sparse = by[0] != TE_LABEL_NONE && by[1] != TE_LABEL_NONE;

    for (i = 0; i < labels[by[0]].n; ++i) {
        for (j = 0; j < labels[by[1]].n; ++j) {
            const char *const values[LABELS] = {
                by[0] ? labels[by[0]].values[i] : NULL,
                by[1] ? labels[by[1]].values[j] : NULL};

            if (m->kind == TE_KIND_HISTOGRAM) {
                put_histogram(text, m, cell, values);
            }
            else if (!is_sparse || sum(cell) > 0) {
                put(text, "%s%s %" APR_UINT64_T_FMT "\n", m->name,
                    label_text(text, m, values, NULL, NULL), sum(cell));
            }
            cell += cells_of_series(m);
        }
    }
}

static void put_children(text_t *text, const metric_t *m, int cell)
{
    int i;

    for (i = 0; i < shared.slots; ++i) {
        if (!is_gone(__atomic_load_n(&slot_at(i)->pid, __ATOMIC_ACQUIRE))) {
            put(text, "%s{child=\"%d\"} %" APR_UINT64_T_FMT "\n", m->name, i,
                __atomic_load_n(&slot_at(i)->cells[cell], __ATOMIC_RELAXED));
        }
    }
}

static void put_samples(text_t *text, te_metric_e metric,
                        const te_sample_t *samples, int n)
{
    int i, headed = 0;

    for (i = 0; i < n; ++i) {
        const char *const values[LABELS] = {samples[i].value1, NULL};

        if (samples[i].metric == metric) {
            if (!headed++) {
                put_head(text, &metrics[metric]);
            }
            put(text, "%s%s %.*f\n", metrics[metric].name,
                label_text(text, &metrics[metric], values, NULL, NULL),
                samples[i].decimals, samples[i].number);
        }
    }
}

const char *te_metrics_text(apr_pool_t *p, const te_sample_t *samples, int n)
{
    text_t text = {p, apr_array_make(p, 256, sizeof(const char *))};
    int i;

    for (i = 0; i < TE_METRIC_COUNT; ++i) {
        const metric_t *m = &metrics[i];
        int cell = first_cell((te_metric_e)i);

        if (m->kind == TE_KIND_SAMPLE) {
            put_samples(&text, (te_metric_e)i, samples, n);
            continue;
        }
        put_head(&text, m);
        if (m->kind == TE_KIND_CHILD) {
            put_children(&text, m, cell);
        }
        else {
            put_series(&text, m, cell);
        }
    }
    return apr_array_pstrcat(p, text.lines, '\0');
}
