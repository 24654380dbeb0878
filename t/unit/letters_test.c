/* What becomes of dead letters, and of all that was kept long enough. */
#include <apr_atomic.h>
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/uuid.h"
#include "../../mod_taskevents/core/effects.h"
#include "../../mod_taskevents/core/forget.h"
#include "../../mod_taskevents/core/redrive.h"
#include "../../mod_taskevents/store/retention.h"
#include "cases.h"
#include "database.h"

static te_settings_t settings;
static te_db_pool_t *db_pool;
static te_db_t *db;
static const char *user;
static volatile apr_uint32_t stopping;

static void open_all(void)
{
    memset(&settings, 0, sizeof settings);
    settings.source = apr_pstrcat(pool, "/unit/", te_uuid_v4(pool), NULL);
    settings.topics[TE_TOPIC_TASKS] = "tasks";
    settings.topics[TE_TOPIC_REMINDERS] = "reminders";
    settings.topics[TE_TOPIC_DEAD_LETTERS] = "tasks-dlq";
    settings.keep_answers = settings.keep_history = settings.keep_letters =
        settings.keep_notifications = apr_time_from_sec(30 * 86400);
    db_pool = open_pool(6);
    db = borrow(db_pool);
    user = new_user();
}

static void close_all(void)
{
    te_db_release(db);
    close_pool(db_pool);
}

static const char *deletion(const char *id)
{
    return apr_psprintf(pool, "{\"specversion\":\"1.0\",\"id\":\"%s\","
                        "\"source\":\"%s\",\"type\":\"task.deleted\","
                        "\"sequence\":\"00000000000000000007\","
                        "\"data\":{\"user_id\":\"%s\",\"task_id\":1}}", id,
                        settings.source, user);
}

static apr_int64_t letter(const char *stage, const char *id,
                          const char *body)
{
    return apr_atoi64(sql(
        "INSERT INTO taskevents.dead_letters (stage, source, event_id, topic,"
        " user_id, body, body_size, reason, attempts, first_failed_at,"
        " last_failed_at) VALUES ('%s', '%s', '%s', 'tasks', '%s',"
        " convert_to('%s', 'UTF8'), %d, 'r', 1, now(), now()) RETURNING id",
        stage, settings.source, id, user, body, (int)strlen(body)));
}

static const char *state_of(apr_int64_t id)
{
    return sql("SELECT concat_ws(' ', state, attempts, closed_by, note,"
               " closed_at IS NOT NULL) FROM taskevents.dead_letters"
               " WHERE id = %" APR_INT64_T_FMT, id);
}

static te_redriven_t redriven(apr_int64_t id)
{
    static const te_operator_t by = {"op", NULL};
    te_redriven_t r;

    ck_assert_int_eq(te_redrive(&settings, db_pool, db, pool, id, &by, &r),
                     TE_DB_OK);
    return r;
}

/* --- redrive ----------------------------------------------------------- */

START_TEST(a_redrive_handles_the_event_and_closes_its_letter)
{
    const char *id = te_uuid_v4(pool);
    apr_int64_t l = letter("deadletter", id, deletion(id));

    ck_assert_int_eq(redriven(l).result, TE_REDRIVE_DONE);
    ck_assert_str_eq(state_of(l), "redriven 1 op handled t");
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.processed_events"
                         " WHERE event_id = '%s'", id), "1");
    ck_assert_int_eq(redriven(l).result, TE_REDRIVE_CLOSED);
    ck_assert_str_eq(state_of(l), "redriven 1 op handled t");
}
END_TEST

START_TEST(an_event_handled_before_closes_its_letter)
{
    const char *id = te_uuid_v4(pool);
    apr_int64_t first = letter("deadletter", id, deletion(id));
    apr_int64_t second = letter("handle", id, deletion(id));

    redriven(first);
    ck_assert_int_eq(redriven(second).result, TE_REDRIVE_DONE);
    ck_assert_str_eq(state_of(second), "redriven 1 op handled already t");
}
END_TEST

START_TEST(what_fails_again_stays_open_and_counts)
{
    apr_int64_t l = letter("malformed", te_uuid_v4(pool), "no JSON");
    te_redriven_t r = redriven(l);

    ck_assert_int_eq(r.result, TE_REDRIVE_FAILED);
    ck_assert_str_eq(r.letter->reason, r.reason);
    ck_assert_str_eq(state_of(l), "open 2 a redrive by op failed f");
}
END_TEST

START_TEST(a_fault_of_the_handler_is_told_and_undoes_all)
{
    const char *id = te_uuid_v4(pool);
    apr_int64_t l = letter("deadletter", id, deletion(id));

    replace_statement(TE_LETTER_CLOSE, 4,
                      "SELECT 1 / (length($1::text || $2::text || $3::text"
                      " || $4::text) * 0)");
    ck_assert_int_eq(redriven(l).result, TE_REDRIVE_FAILED);
    ck_assert_str_eq(state_of(l), "open 2 a redrive by op failed f");
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.processed_events"
                         " WHERE event_id = '%s'", id), "0");
}
END_TEST

/* The update that closes it finds none that is open. */
START_TEST(of_a_letter_closed_meanwhile_nothing_is_done)
{
    const char *id = te_uuid_v4(pool);
    apr_int64_t l = letter("deadletter", id, deletion(id));

    replace_statement(TE_LETTER_CLOSE, 4,
                      "SELECT 1 WHERE length($1::text || $2::text ||"
                      " $3::text || $4::text) < 0");
    ck_assert_int_eq(redriven(l).result, TE_REDRIVE_CLOSED);
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.processed_events"
                         " WHERE event_id = '%s'", id), "0");
}
END_TEST

START_TEST(a_letter_that_is_not_there_is_gone)
{
    ck_assert_int_eq(redriven(APR_INT64_MAX).result, TE_REDRIVE_GONE);
}
END_TEST

START_TEST(what_was_never_published_goes_out_with_its_number)
{
    const char *id = te_uuid_v4(pool);
    apr_int64_t l = letter("publish", id, deletion(id));
    te_redriven_t r = redriven(l);

    ck_assert_int_eq(r.result, TE_REDRIVE_DONE);
    ck_assert_int_eq(r.wrote, 1);
    ck_assert_str_eq(state_of(l), "redriven 1 op published again t");
    ck_assert_str_eq(sql("SELECT concat_ws(' ', topic, sequence, event_id,"
                         " attempts) FROM taskevents.outbox"
                         " WHERE user_id = '%s'", user),
                     apr_pstrcat(pool, "tasks 7 ", id, " 0", NULL));
    ck_assert_int_eq(redriven(l).result, TE_REDRIVE_CLOSED);
}
END_TEST

START_TEST(given_up_once_more_it_is_open_again_and_told_again)
{
    const char *id = te_uuid_v4(pool), *alert_id;
    apr_int64_t l = letter("publish", id, deletion(id));
    te_outbox_row_t row;

    alert_id = sql("SELECT alert_id FROM taskevents.dead_letters WHERE id = %"
                   APR_INT64_T_FMT, l);
    redriven(l);
    memset(&row, 0, sizeof row);
    row.user_id = user;
    row.topic = "tasks";
    row.sequence = 7;
    ck_assert_int_eq(te_outbox_park(db, pool, &row, "publish",
                                    settings.source, "again", 1), TE_DB_OK);
    ck_assert_str_eq(state_of(l), "open 2 f");
    ck_assert_str_eq(sql("SELECT concat_ws(' ', reason, alert_state,"
                         " alert_id <> '%s') FROM taskevents.dead_letters"
                         " WHERE id = %" APR_INT64_T_FMT, alert_id, l),
                     "again pending t");
}
END_TEST

/* --- the chores -------------------------------------------------------- */

static void run_chore(te_chore_fn *chore, void *(*create)(te_chore_env_t *),
                      int turns)
{
    te_chore_env_t env;
    void *state;

    memset(&env, 0, sizeof env);
    env.settings = &settings;
    env.db = db;
    env.pool = env.kept = pool;
    env.stopping = &stopping;
    state = create ? create(&env) : NULL;
    do {
        env.again_at = 0;
        te_db_renew(db, apr_time_from_sec(20));
        ck_assert_int_eq(chore(&env, state), TE_DB_OK);
    } while (env.again_at != 0 && --turns > 0);
    ck_assert_int_eq(env.again_at, 0);
}

START_TEST(letters_whose_event_was_handled_meanwhile_are_closed)
{
    const char *done = te_uuid_v4(pool), *open = te_uuid_v4(pool);
    apr_int64_t a = letter("deadletter", done, deletion(done));
    apr_int64_t b = letter("deadletter", open, deletion(open));
    apr_int64_t c = letter("malformed", done, "x");

    redriven(letter("handle", done, deletion(done)));
    run_chore(te_tidy, te_tidy_create, 1000);
    ck_assert_str_eq(state_of(a), "redriven 1 taskevents handled already t");
    ck_assert_str_eq(state_of(b), "open 1 f");
    ck_assert_str_eq(state_of(c), "open 1 f");
}
END_TEST

START_TEST(what_was_kept_long_enough_is_deleted_and_nothing_else)
{
    const char *ages[] = {"31 days", "29 days"};
    const char *left;
    int i;

    for (i = 0; i < 2; ++i) {
        const char *id = te_uuid_v4(pool);

        sql("INSERT INTO taskevents.processed_events (source, event_id,"
            " user_id, position, type, event, outcome, processed_at) VALUES"
            " ('/s', '%s', '%s', %d, 't', '{}', 'handled', now() - '%s'"
            "::interval)", id, user, i + 1, ages[i]);
        sql("INSERT INTO taskevents.idempotency_keys (user_id, scope, key,"
            " fingerprint, status, body, created_at) VALUES ('%s', 's', '%d',"
            " '%s', 201, '{}', now() - '%s'::interval)", user, i, id,
            ages[i]);
        sql("UPDATE taskevents.dead_letters SET first_failed_at = now() -"
            " '90 days'::interval, last_failed_at = now() - '%s'::interval"
            " WHERE id = %" APR_INT64_T_FMT, ages[i],
            letter("handle", apr_pstrcat(pool, "open ", ages[i], NULL), "x"));
        sql("UPDATE taskevents.dead_letters SET state = 'discarded',"
            " last_failed_at = now() - '90 days'::interval, closed_at ="
            " now() - '%s'::interval WHERE id = %" APR_INT64_T_FMT, ages[i],
            letter("handle", apr_pstrcat(pool, "closed ", ages[i], NULL),
                   "x"));
    }
    run_chore(te_forget, NULL, 1000);
    left = sql("SELECT string_agg(what, ', ' ORDER BY what) FROM ("
               " SELECT 'event ' || position AS what"
               "  FROM taskevents.processed_events WHERE user_id = '%s'"
               " UNION ALL SELECT 'answer ' || key FROM"
               "  taskevents.idempotency_keys WHERE user_id = '%s'"
               " UNION ALL SELECT event_id FROM taskevents.dead_letters"
               "  WHERE user_id = '%s') AS l", user, user, user);
    ck_assert_str_eq(left, "answer 1, closed 29 days, event 2, open 29 days");
}
END_TEST

static const te_statement_e forgetting[] = {
    TE_FORGET_ANSWERS, TE_FORGET_HISTORY, TE_FORGET_LETTERS};

START_TEST(what_is_to_be_deleted_is_found_by_an_index)
{
    const char *plan;

    /* so small a table would be read as a whole */
    sql("SET enable_seqscan = off; SET plan_cache_mode ="
        " force_generic_plan");
    sql("PREPARE forget(int) AS %s", te_statement(forgetting[_i])->sql);
    plan = sql("EXPLAIN (FORMAT JSON) EXECUTE forget(2592000)");
    ck_assert_ptr_nonnull(strstr(plan, "_oldest"));
    ck_assert_ptr_nonnull(strstr(plan, "Index Cond"));
    ck_assert_ptr_nonnull(strstr(plan, "Tid Scan"));
    ck_assert_ptr_null(strstr(plan, "Seq Scan"));
}
END_TEST

#define MANY 100000
#define HANDLERS 4

typedef struct {
    volatile apr_uint32_t over;
    volatile apr_uint32_t handled, failed;
    apr_time_t slowest[HANDLERS];
} load_t;

static void handle_on_and_on(load_t *load, int number)
{
    te_db_t *mine = borrow(db_pool);
    apr_pool_t *own;

    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    while (!apr_atomic_read32(&load->over)) {
        apr_time_t began = apr_time_now();
        te_event_outcome_e outcome = TE_EVENT_IGNORED;
        te_delivery_t delivery;
        int followed;

        apr_pool_clear(own);
        memset(&delivery, 0, sizeof delivery);
        delivery.bytes = apr_psprintf(
            own, "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"%s\","
            "\"type\":\"task.deleted\",\"data\":{\"user_id\":\"%s-%d\","
            "\"task_id\":1}}", te_uuid_v4(own), settings.source, user,
            number);
        delivery.size = strlen(delivery.bytes);
        delivery.full_size = (apr_off_t)delivery.size;
        delivery.topic = "tasks";
        te_db_renew(mine, apr_time_from_sec(20));
        if (te_event_handle(&settings, db_pool, mine, own, &delivery,
                            &outcome, &followed) == TE_DB_OK
            && outcome == TE_EVENT_HANDLED) {
            apr_atomic_inc32(&load->handled);
        }
        else {
            apr_atomic_inc32(&load->failed);
        }
        if (apr_time_now() - began > load->slowest[number - 1]) {
            load->slowest[number - 1] = apr_time_now() - began;
        }
    }
    apr_pool_destroy(own);
    te_db_release(mine);
}

static void forget_or_handle(int number, void *context)
{
    load_t *load = context;

    if (number > 0) {
        handle_on_and_on(load, number);
        return;
    }
    run_chore(te_forget, NULL, 10000);
    apr_atomic_set32(&load->over, 1);
}

/* @return what the slowest event took meanwhile */
static apr_interval_time_t forget_much(void)
{
    apr_interval_time_t slowest = 0;
    load_t load;
    int i;

    memset((void *)&load, 0, sizeof load);
    sql("INSERT INTO taskevents.processed_events (source, event_id, user_id,"
        " position, type, event, outcome, processed_at) SELECT '%s',"
        " 'old ' || n, '%s', n, 't', repeat('x', 300), 'handled',"
        " now() - '40 days'::interval - n * '1 ms'::interval"
        " FROM generate_series(1, %d) AS n", settings.source, user, MANY);
    run_threads(1 + HANDLERS, forget_or_handle, &load);
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.processed_events"
                         " WHERE user_id = '%s'", user), "0");
    ck_assert_uint_eq(load.failed, 0);
    ck_assert_uint_gt(load.handled, 100);
    for (i = 0; i < HANDLERS; ++i) {
        slowest = load.slowest[i] > slowest ? load.slowest[i] : slowest;
    }
    return slowest;
}

START_TEST(handlers_go_on_while_much_is_deleted)
{
    int tries = 1;

    /* a lock held for a batch would show each time; a busy machine may, too,
     * but now and then */
    while (forget_much() >= apr_time_from_sec(1)) {
        ck_assert_int_lt(tries++, 3);
    }
}
END_TEST

TCase *letters_tests(void)
{
    TCase *tc = unit_case("letters", 120);

    tcase_add_checked_fixture(tc, open_all, close_all);
    tcase_add_test(tc, a_redrive_handles_the_event_and_closes_its_letter);
    tcase_add_test(tc, an_event_handled_before_closes_its_letter);
    tcase_add_test(tc, what_fails_again_stays_open_and_counts);
    tcase_add_test(tc, a_fault_of_the_handler_is_told_and_undoes_all);
    tcase_add_test(tc, of_a_letter_closed_meanwhile_nothing_is_done);
    tcase_add_test(tc, a_letter_that_is_not_there_is_gone);
    tcase_add_test(tc, what_was_never_published_goes_out_with_its_number);
    tcase_add_test(tc, given_up_once_more_it_is_open_again_and_told_again);
    tcase_add_test(tc, letters_whose_event_was_handled_meanwhile_are_closed);
    tcase_add_test(tc,
                   what_was_kept_long_enough_is_deleted_and_nothing_else);
    tcase_add_loop_test(tc, what_is_to_be_deleted_is_found_by_an_index, 0,
                        (int)(sizeof forgetting / sizeof forgetting[0]));
    tcase_add_test(tc, handlers_go_on_while_much_is_deleted);
    return tc;
}
