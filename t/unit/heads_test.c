/* core/heads: the oldest events of each stream, by the index and by the end
 * of the table. With a database. */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../mod_taskevents/core/heads.h"
#include "../../mod_taskevents/store/db_internal.h"
#include "cases.h"
#include "database.h"

static te_db_t *db;
static te_heads_t heads;
static char shards[TE_OUTBOX_SHARDS];

static void open_heads(void)
{
    db = te_db_standalone(pool, test_settings(1));
    ck_assert_int_eq(te_db_reopen(db, apr_time_from_sec(20)), TE_DB_OK);
    ck_assert_int_eq(te_outbox_session(db), TE_DB_OK);
    te_heads_init(&heads, db, pool);
    memset(shards, 1, sizeof shards);
    /* what is dead there is these tests' own business */
    sql("TRUNCATE taskevents.outbox;"
        " ALTER TABLE taskevents.outbox SET (autovacuum_enabled = off)");
}

static void close_heads(void)
{
    sql("ALTER TABLE taskevents.outbox RESET (autovacuum_enabled)");
    te_db_close(db);
}

/* Events first..last of a user, due now. */
static void put(const char *user, int first, int last)
{
    sql("INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id,"
        " event) SELECT '%s', 'tasks', n, gen_random_uuid(), '{}'"
        " FROM generate_series(%d, %d) AS n", user, first, last);
}

/* What a whole round brings: "user:1,2 user:1", in the order of users. */
static const char *round_of(void)
{
    const char *text = "", *user = "";
    apr_array_header_t *rows;
    int i;

    te_heads_start(&heads);
    do {
        te_db_renew(db, apr_time_from_sec(20));
        ck_assert_int_eq(te_heads_read(&heads, shards, 100, 3, NULL, pool,
                                       &rows), TE_DB_OK);
        for (i = 0; i < rows->nelts; ++i) {
            const te_outbox_row_t *row =
                APR_ARRAY_IDX(rows, i, const te_outbox_row_t *);

            text = apr_psprintf(pool, "%s%s%" APR_INT64_T_FMT, text,
                                strcmp(row->user_id, user) == 0 ? ","
                                : apr_pstrcat(pool, *text ? " " : "",
                                              row->user_id, ":", NULL),
                                row->sequence);
            user = apr_pstrdup(pool, row->user_id);
        }
    } while (rows->nelts > 0);
    return text;
}

static apr_int64_t blocks(void)
{
    return atol(sql("SELECT pg_relation_size('taskevents.outbox') / 8192"));
}

/* As after a long time: only what is put from now on is at the end. */
static void crowd(void)
{
    heads.crowded = 1;
    heads.slow_read = apr_time_from_sec(600);
    heads.first_block = blocks() + 1;
    heads.whole_at = apr_time_now() + apr_time_from_sec(600);
}

static void sent(const char *user, apr_int64_t sequence)
{
    te_outbox_row_t row = {.user_id = user, .topic = "tasks",
                           .sequence = sequence};

    te_heads_sent(&heads, &row);
}

START_TEST(both_ways_bring_the_oldest_events_of_each_stream)
{
    int i;

    put("a", 4, 9);
    put("b", 1, 1);
    put("c", 1, 2);
    sql("UPDATE taskevents.outbox SET retry_at = now() + interval '1 hour'"
        " WHERE user_id = 'c' AND sequence = 1");
    heads.crowded = _i;
    for (i = 0; i < 2; ++i) {
        const char *text = round_of();

        ck_assert_msg(strcmp(text, "a:4,5,6 b:1") == 0
                      || strcmp(text, "b:1 a:4,5,6") == 0, "%s", text);
    }
}
END_TEST

START_TEST(at_the_end_of_the_table_only_what_is_new_is_found)
{
    put("a", 1, 2);
    heads.crowded = 1;
    heads.first_block = 1;
    heads.whole_at = apr_time_now() + apr_time_from_sec(600);
    ck_assert_str_eq(round_of(), "");
    /* fill the first block, so that the next one is begun */
    put("b", 1, 300);
    ck_assert_str_eq(round_of(), "b:1,2,3");
}
END_TEST

START_TEST(a_stream_found_at_the_end_is_read_from_its_oldest_event_on)
{
    put("a", 1, 300);
    heads.crowded = 1;
    heads.first_block = 1;
    heads.whole_at = apr_time_now() + apr_time_from_sec(600);
    ck_assert_str_eq(round_of(), "a:1,2,3");
    sent("a", 2);
    ck_assert_str_eq(round_of(), "a:3,4,5");
}
END_TEST

/* Only a help, and one of a size: who is forgotten is found all the same. */
START_TEST(what_was_sent_to_many_streams_may_be_forgotten)
{
    int i;

    put("a", 1, 2);
    crowd();
    sent("a", 2);
    for (i = 0; i < 5000; ++i) {
        sent(apr_psprintf(pool, "u%d", i), 1);
    }
    ck_assert_uint_lt(apr_hash_count(heads.sent), 5000);
    heads.first_block = 0;
    ck_assert_str_eq(round_of(), "a:1,2");
}
END_TEST

START_TEST(the_whole_table_is_read_now_and_then)
{
    put("a", 1, 2);
    crowd();
    sent("a", 2);               /* but they could not be deleted */
    ck_assert_str_eq(round_of(), "");
    heads.whole_at = apr_time_now();
    ck_assert_str_eq(round_of(), "a:1,2");
}
END_TEST

START_TEST(a_place_ahead_that_is_used_again_belongs_to_the_end_then)
{
    sql("INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id,"
        " event) SELECT 'u' || n %% 500, 'tasks', n, gen_random_uuid(), '{}'"
        " FROM generate_series(1, 15000) AS n;"
        " DELETE FROM taskevents.outbox WHERE sequence <> 1");
    sql("SELECT pg_stat_force_next_flush()");
    crowd();
    ck_assert_str_eq(round_of(), "");
    heads.whole_at = apr_time_now();
    ck_assert_str_eq(round_of(), "u1:1");
    ck_assert_int_eq(heads.crowded, 1);
    ck_assert_int_eq(heads.first_block, 0);
    ck_assert_str_eq(round_of(), "u1:1");
}
END_TEST

START_TEST(the_end_begins_behind_what_nobody_needs)
{
    put("a", 1, 300);
    heads.crowded = 1;
    heads.first_block = 1;
    heads.whole_at = apr_time_now() + apr_time_from_sec(600);
    heads.mark_time = apr_time_now() - apr_time_from_sec(60);
    heads.mark_block = blocks();
    round_of();
    ck_assert_int_eq(heads.first_block, 1);     /* what waits is kept */
    sql("DELETE FROM taskevents.outbox");
    heads.mark_time = apr_time_now() - apr_time_from_sec(60);
    round_of();
    ck_assert_int_eq(heads.first_block, blocks());
    /* a transaction may still be open that wrote further ahead */
    put("a", 301, 600);
    heads.first_block = 1;
    heads.mark_time = apr_time_now();
    ck_assert_str_eq(round_of(), "a:301,302,303");
    ck_assert_int_eq(heads.first_block, 1);
}
END_TEST

/* As many as a request has. */
static const char *many(const char *element)
{
    const char *list = element;
    int i;

    for (i = 1; i < 256; ++i) {
        list = apr_pstrcat(pool, list, ",", element, NULL);
    }
    return apr_pstrcat(pool, "{", list, "}", NULL);
}

START_TEST(statistics_of_an_empty_outbox_do_not_spoil_the_plans)
{
    const char *by_key = "Index Cond: ((shard = ";
    const char *places = many("\"(0,1)\"");
    const char *ids = many("00000000-0000-4000-8000-000000000001");
    const struct {
        te_statement_e statement;
        const char *by;
        const char *params[7];
    } of[] = {
        {TE_OUTBOX_HEADS, by_key, {"{1,2}", "", "", "10", "10", "{}", "{}"}},
        {TE_OUTBOX_OF_STREAMS, by_key, {"{a}", "{tasks}", "{0}", "10"}},
        {TE_OUTBOX_ACCEPTED, "TID Cond: (ctid = v.place)", {places, ids}},
        {TE_OUTBOX_SETTLE, by_key, {"a", "tasks", "1"}},
        {TE_OUTBOX_FAILED, by_key, {"a", "tasks", "1", "1", "x"}},
    };
    const te_statement_t *statement = te_statement(of[_i].statement);
    const char *plan = "";
    PGresult *r;
    int i;

    put("a", 1, 300);
    sql("DELETE FROM taskevents.outbox");
    sql("VACUUM ANALYZE taskevents.outbox");
    ck_assert_int_eq(te_outbox_session(db), TE_DB_OK);
    replace_statement(TE_TASK_GET, statement->params,
                      apr_pstrcat(pool, "EXPLAIN ", statement->sql, NULL));
    te_db_renew(db, apr_time_from_sec(20));
    ck_assert_int_eq(te_db_run(db, TE_TASK_GET, TE_TX_NONE, of[_i].params,
                               &r), TE_DB_OK);
    for (i = 0; i < PQntuples(r); ++i) {
        plan = apr_pstrcat(pool, plan, PQgetvalue(r, i, 0), "\n", NULL);
    }
    ck_assert_msg(strstr(plan, of[_i].by) != NULL, "%s", plan);
    ck_assert_msg(strstr(plan, "Seq Scan") == NULL, "%s", plan);
    ck_assert_msg(strstr(plan, "JIT") == NULL, "%s", plan);
}
END_TEST

START_TEST(what_is_accepted_goes_wherever_it_is)
{
    apr_array_header_t *rows;

    put("a", 1, 2);
    put("b", 1, 5);
    te_db_renew(db, apr_time_from_sec(20));
    ck_assert_int_eq(te_heads_read(&heads, shards, 100, 3, NULL, pool, &rows),
                     TE_DB_OK);
    ck_assert_int_eq(rows->nelts, 5);
    if (_i) {                   /* others are where these were */
        sql("DELETE FROM taskevents.outbox WHERE sequence = 1;"
            " UPDATE taskevents.outbox SET attempts = 1");
        sql("VACUUM FULL taskevents.outbox");
    }
    ck_assert_int_eq(te_outbox_accepted(db, pool, rows), TE_DB_OK);
    ck_assert_int_eq(te_outbox_forgotten(db, pool, rows), TE_DB_OK);
    ck_assert_str_eq(sql("SELECT string_agg(user_id || sequence, ' '"
                         " ORDER BY sequence) FROM taskevents.outbox"),
                     "b4 b5");
}
END_TEST

START_TEST(streams_left_aside_are_not_read)
{
    apr_array_header_t *rows, *some;
    te_lines_t lines;
    apr_pool_t *p;
    te_read_t *read;
    int crowded;

    te_lines_init(&lines, pool);
    put("a", 1, 2);
    put("b", 1, 1);
    te_db_renew(db, apr_time_from_sec(20));
    read = te_lines_read(&lines, &p);
    ck_assert_int_eq(te_heads_read(&heads, shards, 1, 1, NULL, p, &some),
                     TE_DB_OK);
    ck_assert_int_eq(te_lines_add(&lines, read, some, 1), 1);
    for (crowded = 0; crowded < 2; ++crowded) {
        te_heads_start(&heads);
        heads.crowded = crowded;
        ck_assert_int_eq(te_heads_read(&heads, shards, 9, 9, &lines, pool,
                                       &rows), TE_DB_OK);
        ck_assert_int_eq(te_outbox_streams(rows), 1);
        ck_assert_str_ne(APR_ARRAY_IDX(rows, 0, te_outbox_row_t *)->user_id,
                         APR_ARRAY_IDX(some, 0, te_outbox_row_t *)->user_id);
    }
}
END_TEST

START_TEST(dead_rows_that_an_old_transaction_holds_crowd_it_until_vacuum)
{
    te_db_t *old = te_db_standalone(pool, test_settings(1));
    int i, skipped = 0;
    PGresult *r;

    replace_statement(TE_SCHEMA_VERSION, 0,
                      "SELECT pg_current_xact_id()::text");
    ck_assert_int_eq(te_db_reopen(old, apr_time_from_sec(60)), TE_DB_OK);
    ck_assert_int_eq(te_db_run(old, TE_SCHEMA_VERSION, TE_TX_BEGIN, NULL, &r),
                     TE_DB_OK);
    sql("INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id,"
        " event) SELECT 'u' || n %% 500, 'tasks', n, gen_random_uuid(), '{}'"
        " FROM generate_series(1, 60000) AS n;"
        " DELETE FROM taskevents.outbox");
    sql("SELECT pg_stat_force_next_flush()");
    put("a", 1, 4);
    ck_assert_str_eq(round_of(), "a:1,2,3");
    ck_assert_int_eq(heads.crowded, 1);
    ck_assert_str_eq(round_of(), "a:1,2,3");
    ck_assert_int_eq(heads.crowded, 1);
    /* reading the whole table is no quicker: it was a busy machine */
    heads.whole_at = heads.slow_read = 0;
    ck_assert_str_eq(round_of(), "a:1,2,3");
    ck_assert_int_eq(heads.crowded, 0);
    ck_assert(heads.slow_until > apr_time_now());
    heads.crowded = 1;
    heads.slow_read = apr_time_from_sec(600);
    te_db_close(old);           /* whose session may end a little later */
    do {
        sql("VACUUM taskevents.outbox");
        sql("SELECT pg_sleep(0.05)");
    } while (strcmp(sql("SELECT pg_stat_get_dead_tuples("
                        "'taskevents.outbox'::regclass)"), "0") != 0);
    heads.whole_at = 0;
    ck_assert_str_eq(round_of(), "a:1,2,3");
    ck_assert_int_eq(heads.crowded, 0);
    /* a machine that is busy may make one read slow, not all of them */
    for (i = 0; i < 20; ++i) {
        ck_assert_str_eq(round_of(), "a:1,2,3");
        skipped += !heads.crowded;
    }
    ck_assert_int_gt(skipped, 0);
}
END_TEST

TCase *heads_tests(void)
{
    TCase *c = unit_case("heads", 120);

    tcase_add_checked_fixture(c, open_heads, close_heads);
    tcase_add_loop_test(
        c, both_ways_bring_the_oldest_events_of_each_stream, 0, 2);
    tcase_add_test(
        c, at_the_end_of_the_table_only_what_is_new_is_found);
    tcase_add_test(
        c, a_stream_found_at_the_end_is_read_from_its_oldest_event_on);
    tcase_add_test(c, what_was_sent_to_many_streams_may_be_forgotten);
    tcase_add_test(c, the_whole_table_is_read_now_and_then);
    tcase_add_test(
        c, a_place_ahead_that_is_used_again_belongs_to_the_end_then);
    tcase_add_test(c, the_end_begins_behind_what_nobody_needs);
    tcase_add_loop_test(
        c, statistics_of_an_empty_outbox_do_not_spoil_the_plans, 0, 5);
    tcase_add_loop_test(c, what_is_accepted_goes_wherever_it_is, 0, 2);
    tcase_add_test(c, streams_left_aside_are_not_read);
    tcase_add_test(
        c, dead_rows_that_an_old_transaction_holds_crowd_it_until_vacuum);
    return c;
}
