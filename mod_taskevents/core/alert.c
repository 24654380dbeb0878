#include "alert.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"
#include "../base/log.h"
#include "../base/timefmt.h"
#include "breaker.h"

#define AT_ONCE 8
#define TIMEOUT apr_time_from_sec(5)
#define GRACE apr_time_from_sec(1)
#define BUDGET apr_time_from_sec(3)
#define LONGEST apr_time_from_sec(3600)
#define STATUS_GONE 410                 /* "do not come back" */
#define HEADERS 6

typedef struct {
    te_breaker_t breaker;
    int failing;                        /* and said so */
} alerting_t;

void *te_alert_create(te_chore_env_t *env)
{
    alerting_t *alerting = apr_pcalloc(env->kept, sizeof *alerting);

    te_breaker_init(&alerting->breaker, env->settings->breaker_failures,
                    env->settings->breaker_cooldown);
    return alerting;
}

apr_interval_time_t te_alert_wait(apr_int64_t attempts)
{
    apr_interval_time_t wait = apr_time_from_sec(2);

    while (--attempts > 0 && wait < LONGEST) {
        wait *= 2;
    }
    return wait < LONGEST ? wait : LONGEST;
}

/* --- one alert --------------------------------------------------------- */

const char *te_alert_text(apr_pool_t *p, const te_letter_t *letter)
{
    json_t *json = te_json_keep(p, json_pack(
        "{s:s,s:s,s:{s:I,s:s,s:s,s:s,s:s,s:s?,s:s?,s:I}}",
        "type", "taskevents.dead_letter",
        "timestamp", te_time_format_us(p, letter->last_failed_at),
        "data", "id", (json_int_t)letter->id,
        "stage", letter->stage,
        "reason", letter->reason,
        "source", letter->source,
        "event_id", letter->event_id,
        "user_id", letter->user_id,
        "topic", letter->topic,
        "attempts", (json_int_t)letter->attempts));

    return te_json_text(p, json);
}

/* While one secret replaces the other, receivers may have either. */
static const char *signatures(const te_chore_env_t *env, const char *id,
                              const char *timestamp, const char *body)
{
    const te_webhook_secret_t *secrets = env->settings->alert_secrets;
    const char *first = te_webhook_sign(env->pool, &secrets[0], id, timestamp,
                                        body);
    const char *second = secrets[1].bytes == NULL
                             ? NULL : te_webhook_sign(env->pool, &secrets[1],
                                                      id, timestamp, body);

    return apr_pstrcat(env->pool, first ? first : "", second ? " " : NULL,
                       second, NULL);
}

static void write_request(const te_chore_env_t *env,
                          const te_letter_t *letter,
                          te_http_request_t *request)
{
    apr_pool_t *p = env->pool;
    const char **headers = apr_pcalloc(p, sizeof(*headers) * HEADERS);
    const char *id = apr_pstrcat(p, "letter_", letter->alert_id, NULL);
    const char *timestamp = apr_psprintf(p, "%" APR_TIME_T_FMT,
                                         apr_time_sec(apr_time_now()));

    request->url = env->settings->alert_url;
    request->body = te_alert_text(p, letter);
    request->body_size = strlen(request->body);
    headers[0] = "Content-Type: application/json";
    headers[1] = "User-Agent: mod_taskevents";
    headers[2] = apr_pstrcat(p, "webhook-id: ", id, NULL);
    headers[3] = apr_pstrcat(p, "webhook-timestamp: ", timestamp, NULL);
    headers[4] = apr_pstrcat(p, "webhook-signature: ",
                             signatures(env, id, timestamp, request->body),
                             NULL);
    request->headers = headers;
}

/* --- what came of it --------------------------------------------------- */

static const char *failure(apr_pool_t *p, const te_http_request_t *request)
{
    return request->status != 0
               ? apr_psprintf(p, "it answered %d", request->status)
               : request->error ? request->error : "no answer";
}

static void note_success(alerting_t *alerting)
{
    te_breaker_succeeded(&alerting->breaker);
    if (alerting->failing) {
        te_log(TE_LOG_NOTICE, 0, "TE0612", "alerts are taken again");
        alerting->failing = 0;
    }
}

static void note_failure(alerting_t *alerting, const te_letter_t *letter,
                         const char *why)
{
    te_breaker_failed(&alerting->breaker, apr_time_now());
    if (!alerting->failing) {
        te_log(TE_LOG_WARNING, 0, "TE0611", "TaskEventsAlertURL did not take "
               "the alert about dead letter %" APR_INT64_T_FMT "; it and "
               "those that follow are sent again: %s", letter->id, why);
        alerting->failing = 1;
    }
}

static te_db_err_e settle(te_chore_env_t *env, alerting_t *alerting,
                          const te_letter_t *letter,
                          const te_http_request_t *request)
{
    apr_int64_t attempts = letter->alert_attempts + 1;

    if (request->status >= 200 && request->status < 300) {
        note_success(alerting);
        return te_letters_alerted(env->db, env->pool, letter, "sent", 0);
    }
    note_failure(alerting, letter, failure(env->pool, request));
    if (request->status != STATUS_GONE && attempts < TE_ALERT_TRIES) {
        return te_letters_alerted(env->db, env->pool, letter, "pending",
                                  te_alert_wait(attempts));
    }
    te_log(TE_LOG_ERR, 0, "TE0613", "the alert about dead letter %"
           APR_INT64_T_FMT " was given up: %s", letter->id,
           failure(env->pool, request));
    return te_letters_alerted(env->db, env->pool, letter, "failed", 0);
}

/* --- the chore --------------------------------------------------------- */

static int is_stopping(const te_chore_env_t *env)
{
    return apr_atomic_read32((volatile apr_uint32_t *)env->stopping) != 0;
}

te_db_err_e te_alert(te_chore_env_t *env, void *state)
{
    te_http_request_t requests[AT_ONCE];
    alerting_t *alerting = state;
    apr_array_header_t *letters;
    te_db_err_e err;
    int i, at_once;

    if (!te_breaker_allows(&alerting->breaker, apr_time_now())) {
        return TE_DB_OK;
    }
    at_once = alerting->breaker.state == TE_BREAKER_CLOSED ? AT_ONCE : 1;
    err = te_letters_alerts_due(env->db, env->pool, at_once, &letters);
    if (err != TE_DB_OK || letters->nelts == 0) {
        return err;
    }
    memset(requests, 0, sizeof requests);
    for (i = 0; i < letters->nelts; ++i) {
        write_request(env, APR_ARRAY_IDX(letters, i, const te_letter_t *),
                      &requests[i]);
    }
    te_http_perform(env->http, requests, letters->nelts, TIMEOUT, GRACE,
                    env->pool);
    te_db_renew(env->db, BUDGET);
    for (i = 0; i < letters->nelts && err == TE_DB_OK; ++i) {
        /* cut off by our own end: nothing is known about the receiver */
        if (requests[i].status != 0 || !is_stopping(env)) {
            err = settle(env, alerting,
                         APR_ARRAY_IDX(letters, i, const te_letter_t *),
                         &requests[i]);
        }
    }
    if (letters->nelts == at_once) {
        env->again_at = apr_time_now();
    }
    return err;
}
