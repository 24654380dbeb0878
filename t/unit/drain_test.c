/* core/drain: what becomes of events that were taken, and of those that were
 * not. With a database, and a transport whose answers the test chooses. */
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/core/drain.h"
#include "cases.h"
#include "database.h"

#define MOST_SENT 8192

static te_settings_t settings;
static te_transport_t transport;
static te_breaker_t breaker;
static te_heads_t heads;
static te_drain_t drain;
static unsigned int seed = 1;
static volatile apr_uint32_t stopping;
static char shards[TE_OUTBOX_SHARDS];
static te_db_t *db;

/* What was sent, "user:sequence topic", and what is said to it. */
static const char *sent[MOST_SENT];
static int sent_count;
static te_sent_e (*answer)(const te_sending_t *sending);
/* The first waves: how many events they had, and when they began. */
static int waves, wave_size[16];
static apr_time_t wave_began[16];

/* --- the transport ------------------------------------------------------ */

typedef struct {
    te_sending_t *wave;
    int n;
} begun_t;

static void *begin(te_transport_t *t, te_sending_t *wave, int n,
                   apr_pool_t *p)
{
    begun_t *begun = apr_palloc(p, sizeof *begun);

    (void)t;
    if (waves < 16) {
        wave_size[waves] = n;
        wave_began[waves++] = apr_time_now();
    }
    begun->wave = wave;
    begun->n = n;
    return begun;
}

static int wait_for(te_transport_t *t, void *const *begun, int n)
{
    int i = 0;

    (void)t;
    while (i < n - 1 && begun[i] == NULL) {
        ++i;
    }
    return i;
}

static void end(te_transport_t *t, void *data)
{
    begun_t *begun = data;
    int i;

    (void)t;
    for (i = 0; i < begun->n; ++i) {
        te_sending_t *s = &begun->wave[i];

        ck_assert_int_lt(sent_count, MOST_SENT);
        sent[sent_count++] = apr_psprintf(pool, "%s:%" APR_INT64_T_FMT " %s",
                                          s->row->user_id, s->row->sequence,
                                          s->row->topic);
        s->result = answer(s);
        s->error = s->result == TE_SENT_ACCEPTED ? NULL : "for a test";
    }
}

static apr_interval_time_t backoff(int attempts, unsigned int chance)
{
    (void)chance;
    return apr_time_from_sec(100) * attempts;
}

static te_sent_e take(const te_sending_t *sending)
{
    (void)sending;
    return TE_SENT_ACCEPTED;
}

static te_sent_e is_away(const te_sending_t *sending)
{
    (void)sending;
    return TE_SENT_UNKNOWN;
}

/* Of the user "bad". */
static te_sent_e fail_bad(const te_sending_t *sending)
{
    return strcmp(sending->row->user_id, "bad") == 0 ? TE_SENT_FAILED
                                                     : TE_SENT_ACCEPTED;
}

static te_sent_e fail_the_first(const te_sending_t *sending)
{
    (void)sending;
    return sent_count == 1 ? TE_SENT_FAILED : TE_SENT_ACCEPTED;
}

static te_sent_e fail_all(const te_sending_t *sending)
{
    (void)sending;
    return TE_SENT_FAILED;
}

static te_sent_e refuse_bad(const te_sending_t *sending)
{
    return strcmp(sending->row->user_id, "bad") == 0
                   && sending->row->sequence == 1
               ? TE_SENT_REFUSED : TE_SENT_ACCEPTED;
}

/* Alone in its request, and turned down. */
static te_sent_e turn_down(const te_sending_t *sending)
{
    ((te_sending_t *)sending)->maybe_refused = 1;
    return TE_SENT_FAILED;
}

static te_sent_e hold_reminders(const te_sending_t *sending)
{
    return strcmp(sending->row->topic, "reminders") == 0 ? TE_SENT_HELD
                                                         : TE_SENT_ACCEPTED;
}

static te_sent_e hold_all(const te_sending_t *sending)
{
    (void)sending;
    return TE_SENT_HELD;
}

static te_sent_e lose_the_database(const te_sending_t *sending)
{
    (void)sending;
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
        " datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'");
    return TE_SENT_ACCEPTED;
}

/* --- the drain ---------------------------------------------------------- */

static void open_drain(void)
{
    memset(&settings, 0, sizeof settings);
    settings.source = "/unit";
    settings.publish_batch = 256;
    settings.breaker_failures = 1;
    settings.breaker_cooldown = apr_time_from_sec(600);
    memset(&transport, 0, sizeof transport);
    transport.name = "unit";
    transport.stage = "publish";
    transport.side_by_side = 4;
    transport.bytes = 1024 * 1024;
    transport.begin = begin;
    transport.wait_for = wait_for;
    transport.end = end;
    transport.backoff = backoff;
    transport.longest_wait_alone = apr_time_from_sec(7);
    te_breaker_init(&breaker, settings.breaker_failures,
                    settings.breaker_cooldown);
    db = te_db_standalone(pool, test_settings(1));
    ck_assert_int_eq(te_db_reopen(db, apr_time_from_sec(20)), TE_DB_OK);
    te_heads_init(&heads, db, pool);
    memset(&drain, 0, sizeof drain);
    drain.settings = &settings;
    drain.db = db;
    drain.heads = &heads;
    drain.transport = &transport;
    drain.breaker = &breaker;
    apr_pool_create(&drain.pool, pool);
    drain.seed = &seed;
    drain.stopping = &stopping;
    te_drain_init(&drain, pool);
    memset(shards, 1, sizeof shards);
    stopping = 0;
    sent_count = waves = 0;
    answer = take;
    sql("TRUNCATE taskevents.outbox");
}

static void close_drain(void)
{
    te_db_close(db);
}

/* Events 1..n of a user. */
static void put(const char *user, const char *topic, int n)
{
    sql("INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id,"
        " event) SELECT '%s', '%s', n, gen_random_uuid(), '{}'"
        " FROM generate_series(1, %d) AS n", user, topic, n);
}

static void drain_all(void)
{
    memset(shards, 1, sizeof shards);   /* of which a drain may give back */
    ck_assert_int_eq(te_drain(&drain, shards), TE_DB_OK);
}

/* "user:sequence ..." of what waits; with attempts and whether it is due. */
static const char *waiting(void)
{
    return sql("SELECT string_agg(user_id || ':' || sequence || CASE WHEN"
               " attempts > 0 THEN '*' || attempts ELSE '' END, ' ' ORDER BY"
               " user_id, sequence) FROM taskevents.outbox");
}

/* As often as that was sent. */
static int times(const char *what)
{
    int i, n = 0;

    for (i = 0; i < sent_count; ++i) {
        n += strcmp(sent[i], what) == 0;
    }
    return n;
}

START_TEST(all_of_it_is_sent_once_and_each_stream_in_order)
{
    int i, j;

    for (i = 0; i < 40; ++i) {
        put(apr_psprintf(pool, "u%d", i), "tasks", 1 + i);
    }
    drain_all();
    ck_assert_str_eq(waiting(), "");
    ck_assert_int_eq(sent_count, 40 * 41 / 2);
    for (i = 0; i < 40; ++i) {
        int next = 1;

        for (j = 0; j < sent_count; ++j) {
            if (strcmp(sent[j], apr_psprintf(pool, "u%d:%d tasks", i, next))
                == 0) {
                ++next;
            }
        }
        ck_assert_int_eq(next - 1, 1 + i);
    }
}
END_TEST

static te_sent_e take_while_others_come(const te_sending_t *sending)
{
    (void)sending;
    if (sent_count <= 60) {
        put(apr_psprintf(pool, "new%d", sent_count), "tasks", 1);
    }
    return TE_SENT_ACCEPTED;
}

/* 2 ms for each event of the request before, 40 ms at most. */
START_TEST(what_has_just_come_waits_for_company)
{
    int i;

    for (i = 0; i < 20; ++i) {
        put(apr_psprintf(pool, "u%d", i), "tasks", 1);
    }
    answer = take_while_others_come;
    drain_all();
    ck_assert_str_eq(waiting(), "");
    ck_assert_int_eq(sent_count, 80);
    ck_assert_int_eq(waves, 4);
    for (i = 1; i < waves; ++i) {
        ck_assert_int_eq(wave_size[i], 20);
        ck_assert_int_ge(wave_began[i] - wave_began[i - 1],
                         apr_time_from_msec(39));
    }
}
END_TEST

START_TEST(a_backlog_does_not_wait)
{
    apr_interval_time_t least = apr_time_from_sec(9);
    int i;

    for (i = 0; i < 20; ++i) {
        put(apr_psprintf(pool, "u%d", i), "tasks", i == 0 ? 12 : 1);
    }
    drain_all();
    ck_assert_str_eq(waiting(), "");
    ck_assert_int_ge(waves, 12);
    for (i = 1; i < waves; ++i) {
        apr_interval_time_t gap = wave_began[i] - wave_began[i - 1];

        least = gap < least ? gap : least;
    }
    ck_assert_int_lt(least, apr_time_from_msec(39));
}
END_TEST

START_TEST(more_streams_than_a_look_finds_are_all_sent)
{
    sql("INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id,"
        " event) SELECT 'u' || u, 'tasks', n, gen_random_uuid(), '{}'"
        " FROM generate_series(1, 1500) AS u, generate_series(1, 3) AS n");
    drain_all();
    ck_assert_str_eq(waiting(), "");
    ck_assert_int_eq(sent_count, 4500);
}
END_TEST

START_TEST(one_that_fails_holds_up_its_own_stream_and_no_other)
{
    apr_time_t began = apr_time_now(), next;

    put("bad", "tasks", 3);
    put("good", "tasks", 30);
    answer = fail_bad;
    drain_all();
    ck_assert_str_eq(waiting(), "bad:1*1 bad:2 bad:3");
    ck_assert_int_eq(times("bad:1 tasks"), 1);
    ck_assert_int_eq(times("bad:2 tasks"), 0);
    /* the publisher sleeps until it is due, and no longer */
    next = te_drain_next_retry(&drain);
    ck_assert(next >= began + backoff(1, 0));
    ck_assert(next <= apr_time_now() + backoff(1, 0));
    te_drain_forget_due(&drain);
    ck_assert(te_drain_next_retry(&drain) == next);
    ck_assert_str_eq(sql("SELECT retry_at > now() + interval '90 seconds'"
                         " FROM taskevents.outbox WHERE attempts = 1"), "t");
    /* and then it goes on */
    sql("UPDATE taskevents.outbox SET retry_at = now()");
    answer = take;
    drain_all();
    ck_assert_str_eq(waiting(), "");
    ck_assert_int_eq(times("bad:3 tasks"), 1);
}
END_TEST

START_TEST(while_nothing_else_is_taken_it_waits_less)
{
    put("bad", "tasks", 1);
    answer = fail_all;
    drain_all();
    ck_assert_str_eq(sql("SELECT retry_at < now() + interval '8 seconds'"
                         " FROM taskevents.outbox"), "t");
}
END_TEST

START_TEST(the_earliest_of_many_retries_is_remembered)
{
    int i;

    for (i = 0; i < TE_DRAIN_RETRIES; ++i) {
        put(apr_psprintf(pool, "late%d", i), "tasks", 1);
    }
    sql("UPDATE taskevents.outbox SET attempts = 4");
    transport.longest_wait_alone = apr_time_from_sec(5000);
    answer = fail_all;
    drain_all();
    put("bad", "tasks", 1);
    drain_all();
    ck_assert(te_drain_next_retry(&drain)
              < apr_time_now() + apr_time_from_sec(101));
    for (i = 0; i < TE_DRAIN_RETRIES; ++i) {
        drain.retries[i] = apr_time_now() - 1;
    }
    te_drain_forget_due(&drain);
    ck_assert(te_drain_next_retry(&drain) == 0);
}
END_TEST

START_TEST(one_that_is_refused_is_a_dead_letter_and_its_stream_goes_on)
{
    const char *id;

    put("bad", "tasks", 3);
    put("good", "tasks", 3);
    id = sql("SELECT event_id FROM taskevents.outbox WHERE user_id = 'bad'"
             " AND sequence = 1");
    answer = refuse_bad;
    drain_all();
    ck_assert_str_eq(waiting(), "");
    ck_assert_int_eq(times("bad:1 tasks"), 1);
    ck_assert_int_eq(times("bad:2 tasks"), 1);
    ck_assert_int_eq(times("bad:3 tasks"), 1);
    ck_assert_str_eq(sql("SELECT stage || ' ' || state || ' ' || reason FROM"
                         " taskevents.dead_letters WHERE event_id = '%s'",
                         id), "publish open for a test");
}
END_TEST

START_TEST(one_that_is_turned_down_alone_has_three_tries)
{
    int attempt;

    put("bad", "tasks", 1);
    answer = turn_down;
    for (attempt = 1; attempt <= 3; ++attempt) {
        drain_all();
        ck_assert_str_eq(waiting(), apr_psprintf(pool, "bad:1*%d", attempt));
        sql("UPDATE taskevents.outbox SET retry_at = now()");
    }
    drain_all();
    ck_assert_str_eq(waiting(), "");
}
END_TEST

START_TEST(a_topic_that_is_not_to_be_had_holds_up_no_other)
{
    int i;

    put("a", "reminders", 3);
    put("b", "reminders", 3);
    put("a", "tasks", 3);
    answer = hold_reminders;
    for (i = 0; i < 3; ++i) {
        drain_all();
        ck_assert_str_eq(waiting(), "a:1 a:2 a:3 b:1 b:2 b:3");
    }
    ck_assert_int_eq(times("a:3 tasks"), 1);
    /* it was asked for once, and is left alone for a while */
    ck_assert_int_le(times("a:1 reminders"), 1);
    ck_assert_int_eq(times("a:2 reminders"), 0);
    ck_assert_int_eq(breaker.state, TE_BREAKER_CLOSED);
    for (i = 0; i < TE_TOPIC_COUNT; ++i) {
        drain.held_until[i] = 0;
    }
    answer = take;
    drain_all();
    ck_assert_str_eq(waiting(), "");
}
END_TEST

START_TEST(several_topics_may_be_held)
{
    int i;

    put("a", "reminders", 1);
    put("b", "tasks", 1);
    put("c", "tasks-dlq", 1);
    answer = hold_all;
    for (i = 0; i < 3; ++i) {
        drain_all();
    }
    ck_assert_int_eq(times("a:1 reminders"), 1);
    ck_assert_int_eq(times("b:1 tasks"), 1);
    ck_assert_int_eq(times("c:1 tasks-dlq"), 1);
    ck_assert_str_eq(waiting(), "a:1 b:1 c:1");
}
END_TEST

START_TEST(a_transport_that_is_away_touches_no_row)
{
    put("a", "tasks", 2);
    put("b", "tasks", 2);
    answer = is_away;
    drain_all();
    ck_assert_str_eq(waiting(), "a:1 a:2 b:1 b:2");
    ck_assert_int_eq(breaker.state, TE_BREAKER_OPEN);
    ck_assert_int_le(sent_count, 2);
    /* and is left alone, until one event probes it */
    sent_count = 0;
    drain_all();
    ck_assert_int_eq(sent_count, 0);
    breaker.probe_at = apr_time_now();
    drain_all();
    ck_assert_int_eq(sent_count, 1);
    breaker.probe_at = apr_time_now();
    answer = take;
    drain_all();
    ck_assert_int_eq(breaker.state, TE_BREAKER_CLOSED);
    ck_assert_str_eq(waiting(), "a:2 b:1 b:2");
    drain_all();
    ck_assert_str_eq(waiting(), "");
}
END_TEST

/* It says nothing about the transport; the shards that were given back for it
 * are taken again, or the next one may be in none that is left. */
START_TEST(a_probe_that_fails_by_itself_is_followed_by_another)
{
    put("a", "tasks", 1);
    put("b", "tasks", 1);
    answer = is_away;
    drain_all();
    sent_count = 0;
    breaker.probe_at = apr_time_now();
    answer = fail_the_first;
    drain_all();
    ck_assert_int_eq(breaker.state, TE_BREAKER_CLOSED);
    ck_assert_int_eq(sent_count, 2);
    ck_assert_str_eq(sql("SELECT string_agg(attempts::text, ' ')"
                         " FROM taskevents.outbox"), "1");
}
END_TEST

START_TEST(who_stops_sends_nothing_more)
{
    put("a", "tasks", 2);
    stopping = 1;
    drain_all();
    ck_assert_int_eq(sent_count, 0);
    ck_assert_str_eq(waiting(), "a:1 a:2");
}
END_TEST

START_TEST(a_database_that_is_lost_ends_it)
{
    put("a", "tasks", 200);
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
        " datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'");
    ck_assert_int_ne(te_drain(&drain, shards), TE_DB_OK);
    ck_assert_int_eq(te_db_reopen(db, apr_time_from_sec(20)), TE_DB_OK);
    drain_all();
    ck_assert_str_eq(waiting(), "");
}
END_TEST

START_TEST(what_is_on_its_way_when_it_is_lost_is_sent_again)
{
    sql("INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id,"
        " event) SELECT 'u' || u, 'tasks', 1, gen_random_uuid(), '{}'"
        " FROM generate_series(1, 600) AS u");
    answer = lose_the_database;
    ck_assert_int_ne(te_drain(&drain, shards), TE_DB_OK);
    ck_assert_int_eq(te_db_reopen(db, apr_time_from_sec(20)), TE_DB_OK);
    answer = take;
    drain_all();
    ck_assert_str_eq(waiting(), "");
}
END_TEST

TCase *drain_tests(void)
{
    TCase *c = unit_case("drain", 60);

    tcase_add_checked_fixture(c, open_drain, close_drain);
    tcase_add_test(c, all_of_it_is_sent_once_and_each_stream_in_order);
    tcase_add_test(c, what_has_just_come_waits_for_company);
    tcase_add_test(c, a_backlog_does_not_wait);
    tcase_add_test(c, more_streams_than_a_look_finds_are_all_sent);
    tcase_add_test(c, one_that_fails_holds_up_its_own_stream_and_no_other);
    tcase_add_test(c, while_nothing_else_is_taken_it_waits_less);
    tcase_add_test(c, the_earliest_of_many_retries_is_remembered);
    tcase_add_test(
        c, one_that_is_refused_is_a_dead_letter_and_its_stream_goes_on);
    tcase_add_test(c, one_that_is_turned_down_alone_has_three_tries);
    tcase_add_test(c, a_topic_that_is_not_to_be_had_holds_up_no_other);
    tcase_add_test(c, several_topics_may_be_held);
    tcase_add_test(c, a_transport_that_is_away_touches_no_row);
    tcase_add_test(c, a_probe_that_fails_by_itself_is_followed_by_another);
    tcase_add_test(c, who_stops_sends_nothing_more);
    tcase_add_test(c, a_database_that_is_lost_ends_it);
    tcase_add_test(c, what_is_on_its_way_when_it_is_lost_is_sent_again);
    return c;
}
