#include "jobs.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/timefmt.h"
#include "../store/reminders.h"
#include "backoff.h"
#include "breaker.h"

#define IN_FLIGHT 16
#define TIMEOUT apr_time_from_sec(2)
#define STOP_GRACE apr_time_from_msec(500)

typedef struct {
    te_breaker_t breaker;
    const char *headers[3];
    const char *url;                    /* and the name behind it */
    unsigned int seed;
} jobs_t;

void *te_jobs_create(te_chore_env_t *env)
{
    const te_settings_t *settings = env->settings;
    jobs_t *jobs = apr_pcalloc(env->kept, sizeof *jobs);

    te_breaker_init(&jobs->breaker, settings->breaker_failures,
                    settings->breaker_cooldown);
    jobs->headers[0] = "Content-Type: application/json";
    if (settings->dapr_token != NULL) {
        jobs->headers[1] = apr_pstrcat(env->kept, "dapr-api-token: ",
                                       settings->dapr_token, NULL);
    }
    jobs->url = apr_pstrcat(env->kept, settings->dapr_url,
                            "/v1.0/jobs/" TE_JOB_PREFIX, NULL);
    jobs->seed = (unsigned int)(apr_time_now() ^ ((apr_time_t)getpid() << 19));
    return jobs;
}

/* The failure policy has no maximum of retries: the default one would drop a
 * job after three, within seconds. */
static void write_request(const jobs_t *jobs, apr_pool_t *p,
                          const te_job_t *job, te_http_request_t *request)
{
    request->url = apr_pstrcat(p, jobs->url, job->reminder_id, NULL);
    request->headers = jobs->headers;
    if (job->unwanted) {
        request->method = "DELETE";
        return;
    }
    request->body = apr_psprintf(
        p, "{\"dueTime\":\"%s\",\"overwrite\":true,"
        "\"failurePolicy\":{\"constant\":{\"interval\":\"5s\"}},"
        "\"data\":{\"reminder_id\":\"%s\",\"task_id\":%" APR_INT64_T_FMT
        "}}", te_time_format(p, job->remind_at), job->reminder_id,
        job->task_id);
    request->body_size = strlen(request->body);
}

static void note_success(jobs_t *jobs)
{
    if (te_breaker_succeeded(&jobs->breaker)) {
        te_log(TE_LOG_NOTICE, 0, "TE0706", "the scheduler takes jobs again");
    }
}

static void note_failure(jobs_t *jobs, te_job_t *job,
                         const te_http_request_t *request)
{
    job->wait = te_backoff(job->attempts + 1,
                           (unsigned int)rand_r(&jobs->seed));
    if (te_breaker_failed(&jobs->breaker, apr_time_now())) {
        te_log(TE_LOG_WARNING, 0, "TE0705", "the sidecar's scheduler takes no "
               "jobs (HTTP status %d, %s); reminders are triggered without "
               "them; start it, or set TaskEventsJobs Off", request->status,
               request->error ? request->error : "an answer");
    }
}

/* Some of them side by side. */
static void perform(te_chore_env_t *env, jobs_t *jobs, te_job_t **some, int n)
{
    te_http_request_t requests[IN_FLIGHT];
    int i;

    memset(requests, 0, sizeof requests);
    for (i = 0; i < n; ++i) {
        write_request(jobs, env->pool, some[i], &requests[i]);
    }
    te_http_perform(env->http, requests, n, TIMEOUT, STOP_GRACE, env->pool);
    for (i = 0; i < n; ++i) {
        some[i]->done = requests[i].status >= 200 && requests[i].status < 300;
        if (some[i]->done) {
            note_success(jobs);
        }
        else {
            note_failure(jobs, some[i], &requests[i]);
        }
    }
}

te_db_err_e te_jobs(te_chore_env_t *env, void *state)
{
    jobs_t *jobs = state;
    apr_array_header_t *wanted;
    te_db_err_e err;
    int n;

    if (!env->settings->jobs
        || !te_breaker_allows(&jobs->breaker, apr_time_now())) {
        return TE_DB_OK;
    }
    /* one alone probes */
    err = te_reminders_jobs(env->db, env->pool,
                            jobs->breaker.state == TE_BREAKER_CLOSED
                                ? IN_FLIGHT : 1, &wanted);
    n = err == TE_DB_OK ? wanted->nelts : 0;
    if (n == 0) {
        return err;
    }
    perform(env, jobs, (te_job_t **)wanted->elts, n);
    te_db_renew(env->db, apr_time_from_sec(3));
    if (n == IN_FLIGHT && jobs->breaker.state == TE_BREAKER_CLOSED) {
        env->again_at = apr_time_now();
    }
    return te_reminders_jobs_tried(env->db, env->pool, wanted);
}
