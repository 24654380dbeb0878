/* base/metrics: counts of several processes in one memory, and their text. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../mod_taskevents/base/children.h"
#include "../../mod_taskevents/base/metrics.h"
#include "cases.h"

#define SLOTS 3

static void *memory;

static void share(void)
{
    static const char *const routes[] = {"GET,tasks", "POST,tasks",
                                         "other,other"};

    te_metrics_routes(routes, 3);
    memory = mmap(NULL, te_metrics_size(SLOTS), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    te_metrics_use(memory, SLOTS);
}

static void unshare(void)
{
    munmap(memory, te_metrics_size(SLOTS));
    te_metrics_use(NULL, 0);
}

/* A child that counts and then ends in this way, waiting to be told. */
static pid_t child(int leave, int n, int *tell)
{
    int ready[2], end[2];
    char byte;
    pid_t pid;

    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(end), 0);
    pid = fork();
    if (pid == 0) {
        te_metrics_enter();
        te_metric_set(TE_METRIC_BREAKER_STATE, NULL, 2);
        te_thread_beat(TE_THREAD_PUBLISHER);
        while (n-- > 0) {
            te_metric_add(TE_METRIC_PUBLISHED, "task.created", NULL);
        }
        if (write(ready[1], "", 1) != 1 || read(end[0], &byte, 1) != 1) {
            _exit(1);
        }
        if (leave) {
            te_metrics_leave();
        }
        _exit(0);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    close(end[0]);
    *tell = end[1];
    return pid;
}

static void end(pid_t pid, int tell)
{
    int status;

    ck_assert_int_eq(write(tell, "", 1), 1);
    close(tell);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

static int has(const char *line)
{
    const char *text = te_metrics_text(pool, NULL, 0);
    const char *at = strstr(text, line);

    return at != NULL && (at == text || at[-1] == '\n');
}

static int breakers_told(void)
{
    const char *at = te_metrics_text(pool, NULL, 0);
    int n = 0;

    while ((at = strstr(at, "\ntaskevents_breaker_state{")) != NULL) {
        ++at;
        ++n;
    }
    return n;
}

START_TEST(a_metric_is_the_sum_over_the_children)
{
    int tell1, tell2;
    pid_t pid1 = child(1, 3, &tell1), pid2 = child(1, 4, &tell2);

    ck_assert(has("taskevents_events_published_total"
                  "{type=\"task.created\"} 7\n"));
    ck_assert_int_eq(breakers_told(), 2);
    end(pid1, tell1);
    end(pid2, tell2);
}
END_TEST

START_TEST(who_ends_leaves_its_counts_and_takes_its_state)
{
    int tell;
    pid_t pid = child(1, 3, &tell);

    ck_assert(has("taskevents_breaker_state{child=\"0\"} 2\n"));
    end(pid, tell);
    ck_assert(has("taskevents_events_published_total"
                  "{type=\"task.created\"} 3\n"));
    ck_assert_int_eq(breakers_told(), 0);
}
END_TEST

START_TEST(who_is_killed_does_so_too_and_its_slot_is_used_again)
{
    int tell, i;

    for (i = 1; i <= 2 * SLOTS; ++i) {
        pid_t pid = child(0, 5, &tell);

        end(pid, tell);
        ck_assert_int_eq(breakers_told(), 0);
    }
    ck_assert(has("taskevents_events_published_total"
                  "{type=\"task.created\"} 30\n"));
    te_metrics_enter();
    ck_assert(has("taskevents_breaker_state{child=\"0\"} 0\n"));
}
END_TEST

START_TEST(more_children_than_slots_share_one)
{
    int tell[SLOTS + 1], i;
    pid_t pid[SLOTS + 1];

    for (i = 0; i <= SLOTS; ++i) {
        pid[i] = child(1, 2, &tell[i]);
    }
    ck_assert(has("taskevents_events_published_total"
                  "{type=\"task.created\"} 8\n"));
    ck_assert_int_eq(breakers_told(), SLOTS);
    for (i = 0; i <= SLOTS; ++i) {
        end(pid[i], tell[i]);
    }
}
END_TEST

static te_child_t *child_at(int i)
{
    apr_array_header_t *children = te_children(pool);

    ck_assert_int_gt(children->nelts, i);
    return &APR_ARRAY_IDX(children, i, te_child_t);
}

START_TEST(any_child_knows_the_state_of_all)
{
    apr_time_t before = apr_time_now();
    int tell;
    pid_t pid = child(1, 1, &tell);

    te_metrics_enter();
    te_metric_set(TE_METRIC_PUBLISHER_SHARDS, NULL, 5);
    te_metric_set(TE_METRIC_CONNECTIONS_MAX, NULL, 20);
    te_metric_change(TE_METRIC_CONNECTIONS, "used", 3);
    te_metric_change(TE_METRIC_CONNECTIONS, "used", -1);
    te_metric_change(TE_METRIC_CONNECTIONS, "idle", -1);
    te_thread_beat(TE_THREAD_OUTSIDE);
    te_thread_ended(TE_THREAD_OUTSIDE);
    te_chore_beat("sweep");
    ck_assert_int_eq(te_children(pool)->nelts, 2);
    ck_assert_int_eq(child_at(0)->pid, pid);
    ck_assert_int_eq(child_at(0)->breaker, 2);
    ck_assert_int_eq(child_at(0)->shards, 0);
    ck_assert(child_at(0)->beats[TE_THREAD_PUBLISHER] >= before);
    ck_assert(child_at(0)->beats[TE_THREAD_CHORES] == 0);
    ck_assert_int_eq(child_at(1)->number, 1);
    ck_assert_int_eq(child_at(1)->pid, getpid());
    ck_assert(child_at(1)->since >= before);
    ck_assert_int_eq(child_at(1)->breaker, 0);
    ck_assert_int_eq(child_at(1)->shards, 5);
    ck_assert(child_at(1)->beats[TE_THREAD_OUTSIDE] == 0);
    ck_assert(child_at(1)->chores[2] >= before);
    ck_assert_int_eq(child_at(1)->connections_used, 2);
    ck_assert_int_eq(child_at(1)->connections_idle, 0);
    ck_assert_int_eq(child_at(1)->connections_max, 20);
    end(pid, tell);
    ck_assert_int_eq(te_children(pool)->nelts, 1);
}
END_TEST

START_TEST(threads_and_chores_have_their_names)
{
    int n;

    ck_assert_str_eq(te_thread_name(TE_THREAD_OUTSIDE), "outside_chores");
    ck_assert_str_eq(te_chore_names(&n)[2], "sweep");
    ck_assert_int_eq(n, 6);
    ck_assert_int_le(n, TE_CHORES_MAX);
}
END_TEST

START_TEST(what_a_child_tells_is_text_too)
{
    te_metrics_enter();
    te_metric_change(TE_METRIC_CONNECTIONS, "used", 3);
    te_metric_change(TE_METRIC_CONNECTIONS, "idle", -1);
    ck_assert(has("taskevents_db_connections{state=\"used\",child=\"0\"} "
                  "3\n"));
    ck_assert(has("taskevents_db_connections{state=\"idle\",child=\"0\"} "
                  "0\n"));
    ck_assert(!has("taskevents_db_connections{state=\"other\""));
    ck_assert(!has("taskevents_thread_beat_timestamp_seconds{"));
    te_thread_beat(TE_THREAD_PUBLISHER);
    ck_assert(has("taskevents_thread_beat_timestamp_seconds"
                  "{thread=\"publisher\",child=\"0\"} "));
}
END_TEST

START_TEST(counters_are_read_as_sums)
{
    int tell;
    pid_t pid = child(1, 3, &tell);

    te_metrics_enter();
    te_metric_add(TE_METRIC_PUBLISHED, "task.deleted", NULL);
    te_metric_add(TE_METRIC_DELIVERIES, "task.created", "handled");
    te_metric_add(TE_METRIC_DELIVERIES, "task.deleted", "handled");
    te_metric_add(TE_METRIC_DELIVERIES, "task.deleted", "failed");
    ck_assert_uint_eq(te_metric_total(TE_METRIC_PUBLISHED, NULL, NULL), 4);
    ck_assert_uint_eq(te_metric_total(TE_METRIC_PUBLISHED, "task.deleted",
                                      NULL), 1);
    ck_assert_uint_eq(te_metric_total(TE_METRIC_DELIVERIES, NULL, "handled"),
                      2);
    ck_assert_uint_eq(te_metric_total(TE_METRIC_DELIVERIES, "task.deleted",
                                      NULL), 2);
    ck_assert_uint_eq(te_metric_total(TE_METRIC_PUBLISH_LAG, NULL, NULL), 0);
    end(pid, tell);
}
END_TEST

START_TEST(a_histogram_tells_its_quantiles)
{
    te_histogram_t h;
    int i;

    te_metrics_enter();
    te_metric_histogram(TE_METRIC_PUBLISH_LAG, NULL, NULL, &h);
    ck_assert_int_eq(te_histogram_quantile(&h, 0.5), 0);
    for (i = 0; i < 90; ++i) {
        te_metric_observe(TE_METRIC_PUBLISH_LAG, NULL, NULL, 1500);
    }
    for (i = 0; i < 10; ++i) {
        te_metric_observe(TE_METRIC_PUBLISH_LAG, NULL, NULL, 70000);
    }
    te_metric_histogram(TE_METRIC_PUBLISH_LAG, NULL, NULL, &h);
    ck_assert_uint_eq(te_histogram_count(&h), 100);
    ck_assert_uint_eq(h.micros, 90 * 1500 + 10 * 70000);
    /* within 1 to 2.5 ms, and within 50 to 100 ms */
    ck_assert_int_eq(te_histogram_quantile(&h, 0.45), 1750);
    ck_assert_int_eq(te_histogram_quantile(&h, 0.9), 2500);
    ck_assert_int_eq(te_histogram_quantile(&h, 0.95), 75000);
    te_metric_observe(TE_METRIC_PUBLISH_LAG, NULL, NULL,
                      apr_time_from_sec(3600));
    te_metric_histogram(TE_METRIC_PUBLISH_LAG, NULL, NULL, &h);
    ck_assert_int_eq(te_histogram_quantile(&h, 1), apr_time_from_sec(600));
}
END_TEST

START_TEST(counts_survive_a_new_generation_of_the_module)
{
    te_metrics_enter();
    te_metric_add(TE_METRIC_DEAD_LETTERS_MADE, "publish", NULL);
    te_metrics_leave();
    te_metrics_use(memory, SLOTS);
    ck_assert(has("taskevents_dead_letters_total{stage=\"publish\"} 1\n"));
}
END_TEST

START_TEST(another_set_of_routes_is_another_layout)
{
    static const char *const routes[] = {"GET,tasks", "GET,task",
                                         "other,other"};
    const char *before = te_metrics_layout(pool);

    te_metrics_routes(routes, 3);
    ck_assert_str_ne(te_metrics_layout(pool), before);
}
END_TEST

START_TEST(a_value_that_is_not_in_the_table_counts_as_other)
{
    te_metrics_enter();
    te_metric_add(TE_METRIC_HTTP_REQUESTS, "POST,tasks", "201");
    te_metric_add(TE_METRIC_HTTP_REQUESTS, NULL, "418");
    te_metric_add(TE_METRIC_PUBLISHED, "com.example.other", NULL);
    ck_assert(has("taskevents_http_requests_total{method=\"POST\","
                  "route=\"tasks\",status=\"201\"} 1\n"));
    ck_assert(has("taskevents_http_requests_total{method=\"other\","
                  "route=\"other\",status=\"other\"} 1\n"));
    ck_assert(has("taskevents_events_published_total{type=\"other\"} 1\n"));
    /* pairs that did not come about are not told */
    ck_assert(!has("taskevents_http_requests_total{method=\"GET\","
                   "route=\"tasks\",status=\"200\"}"));
}
END_TEST

START_TEST(a_histogram_counts_up_to_each_bound)
{
    te_metrics_enter();
    te_metric_observe(TE_METRIC_PUBLISH_LAG, NULL, NULL, 1000);
    te_metric_observe(TE_METRIC_PUBLISH_LAG, NULL, NULL, 1001);
    te_metric_observe(TE_METRIC_PUBLISH_LAG, NULL, NULL, -5);
    te_metric_observe(TE_METRIC_PUBLISH_LAG, NULL, NULL,
                      apr_time_from_sec(3600));
    ck_assert(has("taskevents_publish_lag_seconds_bucket{le=\"0.001\"} 2\n"));
    ck_assert(has("taskevents_publish_lag_seconds_bucket"
                  "{le=\"0.0025\"} 3\n"));
    ck_assert(has("taskevents_publish_lag_seconds_bucket{le=\"600\"} 3\n"));
    ck_assert(has("taskevents_publish_lag_seconds_bucket{le=\"+Inf\"} 4\n"));
    ck_assert(has("taskevents_publish_lag_seconds_sum 3600.002001\n"));
    ck_assert(has("taskevents_publish_lag_seconds_count 4\n"));
}
END_TEST

START_TEST(a_histogram_with_labels_tells_what_happened)
{
    te_metrics_enter();
    te_metric_observe(TE_METRIC_HTTP_DURATION, "POST,tasks", "201", 900);
    ck_assert(has("taskevents_http_request_duration_seconds_bucket"
                  "{method=\"POST\",route=\"tasks\",status=\"201\","
                  "le=\"0.001\"} 1\n"));
    ck_assert(has("taskevents_http_request_duration_seconds_sum"
                  "{method=\"POST\",route=\"tasks\",status=\"201\"} "
                  "0.000900\n"));
    ck_assert(!has("taskevents_http_request_duration_seconds_count"
                   "{method=\"POST\",route=\"tasks\",status=\"200\"}"));
    ck_assert(!has("taskevents_delivery_duration_seconds_count{"));
}
END_TEST

START_TEST(samples_are_told_when_there_are_some_and_escaped)
{
    const te_sample_t samples[] = {
        {TE_METRIC_BUILD_INFO, "a\\b\"c\nd", 1, 0},
        {TE_METRIC_OUTBOX_EVENTS, NULL, 123456789, 0},
        {TE_METRIC_OUTBOX_OLDEST, NULL, 0.25, 3},
    };
    const char *text = te_metrics_text(pool, samples, 3);

    ck_assert_ptr_nonnull(strstr(text, "taskevents_build_info{version="
                                       "\"a\\\\b\\\"c\\nd\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text,
                                 "\ntaskevents_outbox_events 123456789\n"));
    ck_assert_ptr_nonnull(strstr(text,
                                 "\ntaskevents_outbox_oldest_seconds 0.250\n"));
    ck_assert_ptr_null(strstr(text, "taskevents_database_up"));
}
END_TEST

START_TEST(without_memory_nothing_is_counted)
{
    te_metrics_use(NULL, 0);
    te_metrics_enter();
    te_metric_add(TE_METRIC_PUBLISHED, "task.created", NULL);
    te_metric_set(TE_METRIC_BREAKER_STATE, NULL, 2);
    te_metrics_leave();
    ck_assert(has("taskevents_events_published_total"
                  "{type=\"task.created\"} 0\n"));
}
END_TEST

TCase *metrics_tests(void)
{
    TCase *c = unit_case("metrics", 30);

    tcase_add_checked_fixture(c, share, unshare);
    tcase_add_test(c, a_metric_is_the_sum_over_the_children);
    tcase_add_test(c, who_ends_leaves_its_counts_and_takes_its_state);
    tcase_add_test(c, who_is_killed_does_so_too_and_its_slot_is_used_again);
    tcase_add_test(c, more_children_than_slots_share_one);
    tcase_add_test(c, any_child_knows_the_state_of_all);
    tcase_add_test(c, threads_and_chores_have_their_names);
    tcase_add_test(c, what_a_child_tells_is_text_too);
    tcase_add_test(c, counters_are_read_as_sums);
    tcase_add_test(c, a_histogram_tells_its_quantiles);
    tcase_add_test(c, counts_survive_a_new_generation_of_the_module);
    tcase_add_test(c, another_set_of_routes_is_another_layout);
    tcase_add_test(c, a_value_that_is_not_in_the_table_counts_as_other);
    tcase_add_test(c, a_histogram_counts_up_to_each_bound);
    tcase_add_test(c, a_histogram_with_labels_tells_what_happened);
    tcase_add_test(c, samples_are_told_when_there_are_some_and_escaped);
    tcase_add_test(c, without_memory_nothing_is_counted);
    return c;
}
