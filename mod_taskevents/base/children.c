#include "children.h"

#include "metrics_internal.h"

#define LATE apr_time_from_sec(30)

const char *te_thread_name(te_thread_e thread)
{
    return te_metric_labels[TE_LABEL_THREAD].values[thread];
}

void te_thread_beat(te_thread_e thread)
{
    te_metric_beat(TE_METRIC_THREAD_BEAT, te_thread_name(thread));
}

void te_thread_ended(te_thread_e thread)
{
    te_metric_end(TE_METRIC_THREAD_BEAT, te_thread_name(thread));
}

void te_chore_beat(const char *chore)
{
    te_metric_beat(TE_METRIC_CHORE_BEAT, chore);
}

const char *const *te_chore_names(int *n)
{
    *n = te_metric_labels[TE_LABEL_CHORE].n - 1;
    return te_metric_labels[TE_LABEL_CHORE].values;
}

static apr_int64_t value_of(const te_slot_t *slot, te_metric_e metric, int i)
{
    apr_int64_t value =
        (apr_int64_t)te_metrics_cell(slot, te_metrics_first(metric) + i);

    return value > 0 ? value : 0;
}

static int number_of(const te_slot_t *slot, te_metric_e metric,
                     const char *value1)
{
    te_label_e label = te_metric_table[metric].labels[0];

    return (int)value_of(slot, metric, te_metrics_place(label, value1));
}

static void read_child(const te_slot_t *slot, te_child_t *child)
{
    int i, n;

    child->since = slot->since;
    child->breaker = number_of(slot, TE_METRIC_BREAKER_STATE, NULL);
    child->shards = number_of(slot, TE_METRIC_PUBLISHER_SHARDS, NULL);
    for (i = 0; i < TE_THREAD_COUNT; ++i) {
        child->beats[i] = value_of(slot, TE_METRIC_THREAD_BEAT, i);
    }
    te_chore_names(&n);
    for (i = 0; i < n && i < TE_CHORES_MAX; ++i) {
        child->chores[i] = value_of(slot, TE_METRIC_CHORE_BEAT, i);
    }
    child->connections_used = number_of(slot, TE_METRIC_CONNECTIONS, "used");
    child->connections_idle = number_of(slot, TE_METRIC_CONNECTIONS, "idle");
    child->connections_max = number_of(slot, TE_METRIC_CONNECTIONS_MAX, NULL);
    child->waiting = number_of(slot, TE_METRIC_POOL_WAITING, NULL);
}

int te_thread_is_late(apr_time_t beat, apr_time_t now)
{
    return beat != 0 && beat < now - LATE;
}

const char *te_child_breaker(int breaker)
{
    return breaker == 2 ? "open" : breaker == 1 ? "half-open" : "closed";
}

apr_array_header_t *te_children(apr_pool_t *p)
{
    apr_array_header_t *children = apr_array_make(p, 4, sizeof(te_child_t));
    int i;

    for (i = 0; i < te_metrics_slots(); ++i) {
        const te_slot_t *slot = te_metrics_slot(i);
        pid_t pid = te_metrics_owner(slot);

        if (pid != 0) {
            te_child_t *child = apr_array_push(children);

            child->number = i;
            child->pid = pid;
            read_child(slot, child);
        }
    }
    return children;
}
