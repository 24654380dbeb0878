/* The chore that tells a receiver of dead letters. */
#include <apr_atomic.h>
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/uuid.h"
#include "../../mod_taskevents/core/alert.h"
#include "cases.h"
#include "database.h"
#include "server.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static te_settings_t settings;
static te_db_pool_t *db_pool;
static te_chore_env_t env;
static volatile apr_uint32_t stopping;
static server_t *receiver;
static _Atomic int status;              /* of the receiver's answers */
static void *state;

static answer_t answer(const asked_t *asked, void *context)
{
    int now = status;
    answer_t a = {now, NULL, 0, now < 0};

    (void)asked;
    (void)context;
    return a;
}

static void open_all(void)
{
    ck_assert_int_eq(te_http_global_init(), APR_SUCCESS);
    status = 200;
    receiver = server_start(answer, NULL);
    memset(&settings, 0, sizeof settings);
    settings.breaker_failures = 3;
    settings.breaker_cooldown = apr_time_from_msec(50);
    settings.alert_url = apr_psprintf(pool, "http://127.0.0.1:%d/hook?a=b",
                                      server_port(receiver));
    ck_assert(te_webhook_secret(pool, SECRET, &settings.alert_secrets[0]));
    db_pool = open_pool(2);
    memset(&env, 0, sizeof env);
    env.settings = &settings;
    env.db = borrow(db_pool);
    env.pool = env.kept = pool;
    apr_atomic_set32(&stopping, 0);
    env.stopping = &stopping;
    ck_assert_int_eq(te_http_client_create(&env.http, pool), APR_SUCCESS);
    state = te_alert_create(&env);
    /* only what this test makes is due */
    sql("UPDATE taskevents.dead_letters SET alert_state = 'none'"
        " WHERE alert_state = 'pending'");
}

static void close_all(void)
{
    te_db_release(env.db);
    close_pool(db_pool);
    server_stop(receiver);
}

/* A dead letter whose alert is due. @return its id, as text */
static const char *letter(void)
{
    return sql("INSERT INTO taskevents.dead_letters (stage, source, event_id,"
               " topic, user_id, body, body_size, reason, attempts,"
               " first_failed_at, last_failed_at, alert_state)"
               " VALUES ('deadletter', '/unit', '%s', 'tasks', 'alice',"
               " '{\"data\":{\"title\":\"secret\"}}', 27, 'given up', 4,"
               " '2026-01-01Z', '2026-01-31 09:00:00.5Z', 'pending')"
               " RETURNING id", te_uuid_v4(pool));
}

static const char *state_of(const char *id)
{
    return sql("SELECT concat_ws(' ', alert_state, alert_attempts) FROM"
               " taskevents.dead_letters WHERE id = %s", id);
}

static void due_now(void)
{
    sql("UPDATE taskevents.dead_letters SET alert_at = '-infinity'"
        " WHERE alert_state = 'pending'");
}

static void alert(void)
{
    env.again_at = 0;
    ck_assert_int_eq(te_alert(&env, state), TE_DB_OK);
}

static const char *header(const asked_t *asked, const char *name)
{
    const char *at = strstr(asked->head, apr_pstrcat(pool, "\r\n", name, ": ",
                                                     NULL));

    ck_assert_msg(at != NULL, "%s: not in %s", name, asked->head);
    at += strlen(name) + 4;
    return apr_pstrmemdup(pool, at, strcspn(at, "\r"));
}

START_TEST(a_letter_is_told_once_signed_and_without_what_users_wrote)
{
    const char *id = letter();
    const asked_t *asked;
    te_webhook_secret_t *secret = &settings.alert_secrets[0];

    alert();
    alert();
    ck_assert_int_eq(server_count(receiver), 1);
    ck_assert_str_eq(state_of(id), "sent 1");
    asked = server_asked(receiver, 0);
    ck_assert_ptr_nonnull(strstr(asked->head, "POST /hook?a=b HTTP/1.1"));
    ck_assert_str_eq(header(asked, "Content-Type"), "application/json");
    ck_assert_str_eq(header(asked, "webhook-signature"),
                     te_webhook_sign(pool, secret, header(asked, "webhook-id"),
                                     header(asked, "webhook-timestamp"),
                                     asked->body));
    ck_assert_str_eq(asked->body, apr_pstrcat(
        pool, "{\"type\":\"taskevents.dead_letter\",\"timestamp\":"
        "\"2026-01-31T09:00:00.500000Z\",\"data\":{\"id\":", id,
        ",\"stage\":\"deadletter\",\"reason\":\"given up\",\"source\":"
        "\"/unit\",\"event_id\":\"",
        sql("SELECT event_id FROM taskevents.dead_letters WHERE id = %s", id),
        "\",\"user_id\":\"alice\",\"topic\":\"tasks\",\"attempts\":4}}",
        NULL));
}
END_TEST

START_TEST(while_one_secret_replaces_the_other_both_sign)
{
    const char *both;

    ck_assert(te_webhook_secret(pool,
                                "whsec_AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx",
                                &settings.alert_secrets[1]));
    letter();
    alert();
    both = header(server_asked(receiver, 0), "webhook-signature");
    ck_assert_ptr_nonnull(strstr(both, " v1,"));
    ck_assert_uint_eq(strlen(both), 2 * strlen("v1,") + 2 * 44 + 1);
}
END_TEST

static const int refusals[] = {500, 503, 404, 302, 401, 0};

START_TEST(a_letter_not_taken_is_told_again_later_as_the_same)
{
    const char *id = letter(), *first;

    status = refusals[_i];
    alert();
    ck_assert_str_eq(state_of(id), "pending 1");
    alert();
    ck_assert_int_eq(server_count(receiver), 1);        /* not yet */
    ck_assert_str_eq(sql("SELECT alert_at BETWEEN now() + '1 s' AND"
                         " now() + '3 s' FROM taskevents.dead_letters"
                         " WHERE id = %s", id), "t");
    first = header(server_asked(receiver, 0), "webhook-id");
    status = 204;
    due_now();
    alert();
    ck_assert_str_eq(state_of(id), "sent 2");
    ck_assert_str_eq(header(server_asked(receiver, 1), "webhook-id"), first);
}
END_TEST

START_TEST(a_receiver_that_does_not_want_it_is_not_asked_again)
{
    const char *id = letter();

    status = 410;
    alert();
    ck_assert_str_eq(state_of(id), "failed 1");
    due_now();
    alert();
    ck_assert_int_eq(server_count(receiver), 1);
}
END_TEST

START_TEST(after_days_of_tries_it_is_given_up)
{
    const char *id = letter();

    sql("UPDATE taskevents.dead_letters SET alert_attempts = %d"
        " WHERE id = %s", TE_ALERT_TRIES - 1, id);
    status = 500;
    alert();
    ck_assert_str_eq(state_of(id), apr_psprintf(pool, "failed %d",
                                                TE_ALERT_TRIES));
}
END_TEST

START_TEST(waits_grow_to_an_hour)
{
    apr_interval_time_t all = 0;
    apr_int64_t i;

    ck_assert_int_eq(te_alert_wait(1), apr_time_from_sec(2));
    ck_assert_int_eq(te_alert_wait(2), apr_time_from_sec(4));
    ck_assert_int_eq(te_alert_wait(1000000), apr_time_from_sec(3600));
    for (i = 1; i < TE_ALERT_TRIES; ++i) {
        all += te_alert_wait(i);
    }
    ck_assert_int_gt(all, apr_time_from_sec(70 * 3600));
    ck_assert_int_lt(all, apr_time_from_sec(76 * 3600));
}
END_TEST

START_TEST(a_receiver_that_is_down_is_left_alone_for_a_while)
{
    const char *id = NULL;
    int i;

    /* longer than a busy machine takes for what is done meanwhile */
    settings.breaker_cooldown = apr_time_from_sec(1);
    state = te_alert_create(&env);
    for (i = 0; i < 20; ++i) {
        id = letter();
    }
    status = 500;
    alert();                    /* the breaker opens */
    ck_assert_int_eq(server_count(receiver), 8);
    alert();
    ck_assert_int_eq(server_count(receiver), 8);
    ck_assert_str_eq(state_of(id), "pending 0");
    apr_sleep(apr_time_from_msec(1100));
    alert();                    /* one to probe */
    ck_assert_int_eq(server_count(receiver), 9);
    status = 200;
    apr_sleep(apr_time_from_msec(1100));
    alert();
    ck_assert_int_eq(server_count(receiver), 10);
    for (i = 0; i < 4; ++i) {
        due_now();
        alert();                /* and all that waited */
    }
    ck_assert_str_eq(state_of(id), "sent 1");
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.dead_letters"
                         " WHERE alert_state = 'pending'"), "0");
}
END_TEST

START_TEST(a_receiver_that_hangs_holds_up_no_end_of_a_child)
{
    const char *id = letter();
    apr_time_t began;

    status = -1;
    te_http_client_stop(env.http);
    apr_atomic_set32(&stopping, 1);
    began = apr_time_now();
    alert();
    /* a receiver has 5 s else */
    ck_assert_int_lt(apr_time_now() - began, apr_time_from_msec(4500));
    ck_assert_str_eq(state_of(id), "pending 0");
}
END_TEST

TCase *alert_tests(void)
{
    TCase *tc = unit_case("alert", 60);

    tcase_add_checked_fixture(tc, open_all, close_all);
    tcase_add_test(tc,
                   a_letter_is_told_once_signed_and_without_what_users_wrote);
    tcase_add_test(tc, while_one_secret_replaces_the_other_both_sign);
    tcase_add_loop_test(tc, a_letter_not_taken_is_told_again_later_as_the_same,
                        0, (int)(sizeof refusals / sizeof refusals[0]));
    tcase_add_test(tc, a_receiver_that_does_not_want_it_is_not_asked_again);
    tcase_add_test(tc, after_days_of_tries_it_is_given_up);
    tcase_add_test(tc, waits_grow_to_an_hour);
    tcase_add_test(tc, a_receiver_that_is_down_is_left_alone_for_a_while);
    tcase_add_test(tc, a_receiver_that_hangs_holds_up_no_end_of_a_child);
    return tc;
}
