/* Jobs of the sidecar's scheduler: made and taken back as the rows say, and
 * left alone while nobody takes them. */
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/core/jobs.h"
#include "../../mod_taskevents/store/reminders.h"
#include "cases.h"
#include "reminding.h"
#include "server.h"

static answer_t next_answer;
static server_t *sidecar;
static te_chore_env_t env;
static void *state;

static answer_t say_next(const asked_t *asked, void *context)
{
    (void)asked;
    return *(const answer_t *)context;
}

static void start(void)
{
    reminding_open();
    sql("DELETE FROM taskevents.reminders");        /* of other tests */
    memset(&next_answer, 0, sizeof next_answer);
    next_answer.status = 204;
    sidecar = server_start(say_next, &next_answer);
    settings.jobs = 1;
    settings.dapr_url = apr_psprintf(pool, "http://127.0.0.1:%d",
                                     server_port(sidecar));
    settings.dapr_token = "a-token";
    settings.breaker_failures = 3;
    settings.breaker_cooldown = apr_time_from_msec(200);
    ck_assert_int_eq(te_http_global_init(), APR_SUCCESS);
    memset(&env, 0, sizeof env);
    env.settings = &settings;
    env.db = db;
    env.pool = env.kept = pool;
    ck_assert_int_eq(te_http_client_create(&env.http, pool), APR_SUCCESS);
    state = te_jobs_create(&env);
}

static void stop(void)
{
    server_stop(sidecar);
    reminding_close();
}

static void work(void)
{
    ck_assert_int_eq(te_jobs(&env, state), TE_DB_OK);
}

static const char *jobs(void)
{
    return sql("SELECT string_agg(job_state, ' ' ORDER BY due_since) FROM"
               " taskevents.reminders WHERE user_id = '%s'", user);
}

static const char *path(void)
{
    return apr_pstrcat(pool, " /v1.0/jobs/rem-", only_reminder(), " ", NULL);
}

START_TEST(a_reminder_has_a_job_that_never_gives_up)
{
    te_task_t *task = task_with_reminder();
    const asked_t *asked;
    const char *detail;
    json_t *job, *policy;

    ck_assert_str_eq(jobs(), "wanted");
    work();
    ck_assert_str_eq(jobs(), "made");
    work();
    ck_assert_int_eq(server_count(sidecar), 1);
    asked = server_asked(sidecar, 0);
    ck_assert_int_eq(strncmp(asked->head, "POST /v1.0/jobs/rem-", 20), 0);
    ck_assert_ptr_nonnull(strstr(asked->head, path()));
    ck_assert_ptr_nonnull(strstr(asked->head, "dapr-api-token: a-token"));
    job = te_json_parse(pool, asked->body, asked->body_size, &detail);
    ck_assert_str_eq(te_json_get_string(job, "dueTime"),
                     te_time_format(pool, task->due_date - LEAD));
    ck_assert(json_is_true(json_object_get(job, "overwrite")));
    policy = json_object_get(json_object_get(job, "failurePolicy"),
                             "constant");
    ck_assert_str_eq(te_json_get_string(policy, "interval"), "5s");
    ck_assert_ptr_null(json_object_get(policy, "maxRetries"));
}
END_TEST

START_TEST(the_job_of_a_cancelled_one_is_taken_back)
{
    te_task_t *task = task_with_reminder();

    if (_i) {
        work();
    }
    handled(edit_task(task, 0, 1, NULL, apr_time_now()));
    ck_assert_str_eq(jobs(), "unwanted");
    work();
    ck_assert_str_eq(jobs(), "gone");
    ck_assert_int_eq(server_count(sidecar), 1 + _i);
    ck_assert_int_eq(strncmp(server_asked(sidecar, _i)->head,
                             "DELETE /v1.0/jobs/rem-", 22), 0);
}
END_TEST

START_TEST(what_is_due_needs_no_job)
{
    task_with_reminder();
    make_due();
    work();
    ck_assert_int_eq(server_count(sidecar), 0);
    sweep();
    ck_assert_str_eq(jobs(), "gone");
}
END_TEST

START_TEST(without_jobs_none_is_wanted)
{
    settings.jobs = 0;
    task_with_reminder();
    ck_assert_str_eq(jobs(), "none");
    work();
    ck_assert_int_eq(server_count(sidecar), 0);
}
END_TEST

/* One look makes as many as are on their way at once. */
START_TEST(when_there_may_be_more_the_next_look_is_at_once)
{
    int i;

    for (i = 0; i < 17; ++i) {
        user = new_user();
        task_with_reminder();
    }
    env.again_at = 0;
    work();
    ck_assert_int_eq(server_count(sidecar), 16);
    ck_assert(env.again_at != 0 && env.again_at <= apr_time_now());
    env.again_at = 0;
    work();
    ck_assert_int_eq(server_count(sidecar), 17);
    ck_assert(env.again_at == 0);
}
END_TEST

START_TEST(of_many_in_one_minute_the_first_have_a_job)
{
    apr_time_t now = apr_time_now();
    apr_time_t due = now - now % apr_time_from_sec(60) + LEAD + HOUR;
    const char *event;
    int i;

    for (i = 0; i < TE_JOBS_A_MINUTE + 4; ++i) {
        new_task(due + i * apr_time_from_msec(500), now, &event);
        handled(event);
    }
    ck_assert_str_eq(sql("SELECT string_agg(n || ' ' || job_state, ', ') FROM"
                         " (SELECT job_state, count(*) AS n FROM"
                         "  taskevents.reminders WHERE user_id = '%s' GROUP BY"
                         "  job_state ORDER BY n) AS s", user),
                     apr_psprintf(pool, "4 none, %d wanted",
                                  TE_JOBS_A_MINUTE));
    /* those of another minute are others */
    user = new_user();
    new_task(due + apr_time_from_sec(60), now, &event);
    handled(event);
    ck_assert_str_eq(jobs(), "wanted");
}
END_TEST

START_TEST(a_scheduler_that_is_away_is_left_alone_and_probed)
{
    const char *before;
    int i, asked;

    /* longer than a busy machine takes for what is done meanwhile */
    settings.breaker_cooldown = apr_time_from_msec(1500);
    state = te_jobs_create(&env);
    next_answer.status = 500;
    for (i = 0; i < 6; ++i) {
        const char *event;

        new_task(apr_time_now() + LEAD + HOUR, apr_time_now(), &event);
        handled(event);
    }
    before = sql("SELECT clock_timestamp()");
    for (i = 0; i < 5; ++i) {
        work();
    }
    asked = server_count(sidecar);
    ck_assert_int_eq(asked, 6);
    ck_assert_str_eq(sql("SELECT min(job_attempts) || ' ' || min(job_state)"
                         " || ' ' || (min(job_retry_at) > '%s')"
                         " FROM taskevents.reminders WHERE user_id = '%s'",
                         before, user), "1 wanted true");
    apr_sleep(apr_time_from_msec(1600));
    work();
    ck_assert_int_eq(server_count(sidecar), asked + 1);
    next_answer.status = 204;
    apr_sleep(apr_time_from_msec(1600));
    work();
    work();
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.reminders WHERE"
                         " user_id = '%s' AND job_state = 'made'", user),
                     "6");
}
END_TEST

START_TEST(what_was_decided_during_the_call_stays)
{
    apr_array_header_t *wanted;

    task_with_reminder();
    ck_assert_int_eq(te_reminders_jobs(db, pool, 10, &wanted), TE_DB_OK);
    ck_assert_int_eq(wanted->nelts, 1);
    ck_assert_int_eq(te_reminder_cancel(db, only_reminder(), "completed"),
                     TE_DB_OK);
    APR_ARRAY_IDX(wanted, 0, te_job_t *)->done = 1;
    ck_assert_int_eq(te_reminders_jobs_tried(db, pool, wanted), TE_DB_OK);
    ck_assert_str_eq(jobs(), "unwanted");
}
END_TEST

TCase *jobs_tests(void)
{
    TCase *c = unit_case("jobs", 30);

    tcase_add_checked_fixture(c, start, stop);
    tcase_add_test(c, a_reminder_has_a_job_that_never_gives_up);
    tcase_add_loop_test(c, the_job_of_a_cancelled_one_is_taken_back, 0, 2);
    tcase_add_test(c, what_is_due_needs_no_job);
    tcase_add_test(c, without_jobs_none_is_wanted);
    tcase_add_test(
        c, when_there_may_be_more_the_next_look_is_at_once);
    tcase_add_test(c, of_many_in_one_minute_the_first_have_a_job);
    tcase_add_test(c, a_scheduler_that_is_away_is_left_alone_and_probed);
    tcase_add_test(c, what_was_decided_during_the_call_stays);
    return c;
}
