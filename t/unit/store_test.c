/* What store/ does without a database. */
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../mod_taskevents/store/db_internal.h"
#include "cases.h"

static void assert_comes_back(const apr_array_header_t *texts)
{
    const char *literal = te_db_from_array(pool, texts);
    apr_array_header_t *out = te_db_to_array(pool, literal);
    int i;

    ck_assert_msg(out->nelts == texts->nelts, "%s", literal);
    for (i = 0; i < texts->nelts; ++i) {
        ck_assert_str_eq(APR_ARRAY_IDX(out, i, const char *),
                         APR_ARRAY_IDX(texts, i, const char *));
    }
}

START_TEST(an_array_literal_quotes_every_element)
{
    ck_assert_str_eq(te_db_from_array(pool, unit_texts(NULL)), "{}");
    ck_assert_str_eq(te_db_from_array(pool, unit_texts("", NULL)), "{\"\"}");
    ck_assert_str_eq(te_db_from_array(pool, unit_texts("a", "NULL", NULL)),
                     "{\"a\",\"NULL\"}");
    ck_assert_str_eq(te_db_from_array(pool, unit_texts("\"\\", NULL)),
                     "{\"\\\"\\\\\"}");
}
END_TEST

START_TEST(an_array_comes_back)
{
    assert_comes_back(unit_texts(NULL));
    assert_comes_back(unit_texts("", NULL));
    assert_comes_back(unit_texts("", "", "", NULL));
    assert_comes_back(unit_texts("a", "b", NULL));
    assert_comes_back(unit_texts("{", "}", ",", "\"", "\\", "\\\"", "{}",
                                 "{\"a\",b}", NULL));
}
END_TEST

START_TEST(random_nasty_arrays_come_back)
{
    int i;

    unit_seed();
    for (i = 0; i < 3000; ++i) {
        apr_array_header_t *texts = unit_texts(NULL);
        int n = (int)unit_random(12);

        for (; n > 0; --n) {
            APR_ARRAY_PUSH(texts, const char *) = unit_nasty_text(40);
        }
        assert_comes_back(texts);
        apr_pool_clear(pool);
    }
}
END_TEST

START_TEST(the_output_of_postgresql_needs_no_quotes)
{
    apr_array_header_t *out = te_db_to_array(pool, "{a,\"b c\",é,\"x\\\"y\"}");

    ck_assert_int_eq(out->nelts, 4);
    ck_assert_str_eq(APR_ARRAY_IDX(out, 0, const char *), "a");
    ck_assert_str_eq(APR_ARRAY_IDX(out, 1, const char *), "b c");
    ck_assert_str_eq(APR_ARRAY_IDX(out, 2, const char *), "é");
    ck_assert_str_eq(APR_ARRAY_IDX(out, 3, const char *), "x\"y");
}
END_TEST

START_TEST(a_broken_literal_ends)
{
    te_db_to_array(pool, "");
    te_db_to_array(pool, "{");
    te_db_to_array(pool, "{\"");
    te_db_to_array(pool, "{\"a\\");
    te_db_to_array(pool, "{a");
    te_db_to_array(pool, "{\"a\"b}");
}
END_TEST

START_TEST(numbers_are_written_whole)
{
    ck_assert_str_eq(te_db_from_int64(pool, 0), "0");
    ck_assert_str_eq(te_db_from_int64(pool, -1), "-1");
    ck_assert_str_eq(te_db_from_int64(pool, APR_INT64_MAX),
                     "9223372036854775807");
}
END_TEST

/* --- the statements ---------------------------------------------------- */

START_TEST(every_statement_has_a_name_and_sql)
{
    const te_statement_t *s = te_statement((te_statement_e)_i);

    ck_assert_ptr_nonnull(s);
    ck_assert_msg(s->name != NULL && s->sql != NULL, "statement %d", _i);
    ck_assert(apr_isalpha(s->name[0]));
    ck_assert_msg(strlen(s->name) < 64, "%s: cut by PostgreSQL", s->name);
    ck_assert_uint_gt(strlen(s->sql), 7);
}
END_TEST

START_TEST(no_two_statements_have_the_same_name)
{
    int i, j;

    for (i = 0; i < TE_STATEMENT_COUNT; ++i) {
        for (j = 0; j < i; ++j) {
            ck_assert_str_ne(te_statement((te_statement_e)i)->name,
                             te_statement((te_statement_e)j)->name);
        }
    }
}
END_TEST

START_TEST(a_statement_uses_each_of_its_parameters)
{
    const te_statement_t *s = te_statement((te_statement_e)_i);
    char used[100] = {0};
    const char *at;
    int i, most = 0;

    for (at = strchr(s->sql, '$'); at; at = strchr(at + 1, '$')) {
        int n = atoi(at + 1);

        ck_assert_int_ge(n, 1);
        ck_assert_int_lt(n, 100);
        used[n] = 1;
        most = n > most ? n : most;
    }
    ck_assert_msg(s->params == most, "%s: %d parameters, says %d", s->name,
                  most, s->params);
    for (i = 1; i <= most; ++i) {
        ck_assert_msg(used[i], "%s: $%d is not used", s->name, i);
    }
}
END_TEST

START_TEST(no_statement_selects_a_star)
{
    const char *sql = te_statement((te_statement_e)_i)->sql, *at;

    for (at = strchr(sql, '*'); at; at = strchr(at + 1, '*')) {
        /* a product has an operand before it */
        ck_assert_msg(strncmp(at, "* interval", 10) == 0
                      || strncmp(at - 6, "count(*)", 8) == 0, "%s", sql);
    }
}
END_TEST

/* --- conninfo ---------------------------------------------------------- */

START_TEST(a_conninfo_is_checked_without_connecting)
{
    ck_assert(te_db_conninfo_valid(""));
    ck_assert(te_db_conninfo_valid("host=x dbname='a b'"));
    ck_assert(te_db_conninfo_valid("postgresql://u@h:1/d"));
    ck_assert(!te_db_conninfo_valid("hots=x"));
    ck_assert(!te_db_conninfo_valid("host"));
    ck_assert(!te_db_conninfo_valid("dbname='x"));
    ck_assert(!te_db_conninfo_valid("postgresql://[::1/d"));
}
END_TEST

static const char *option(const char *conninfo, const char *name)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL), *o;
    const char *value = NULL;

    ck_assert_msg(options != NULL, "%s", conninfo);
    for (o = options; o->keyword != NULL; ++o) {
        if (strcmp(o->keyword, name) == 0) {
            value = apr_pstrdup(pool, o->val);
        }
    }
    PQconninfoFree(options);
    return value;
}

START_TEST(a_conninfo_is_completed_and_says_what_it_said)
{
    const char *out = te_db_conninfo_complete(
        pool, "host=x password='\\'\\\\ q' connect_timeout=9");
    ck_assert_str_eq(option(out, "host"), "x");
    ck_assert_str_eq(option(out, "password"), "'\\ q");
    ck_assert_str_eq(option(out, "connect_timeout"), "9");
    ck_assert_str_eq(option(out, "application_name"), "mod_taskevents");
    ck_assert_ptr_null(option(out, "user"));
}
END_TEST

START_TEST(a_password_in_a_conninfo_is_noticed)
{
    ck_assert(te_db_conninfo_has_password("host=x password=y"));
    ck_assert(te_db_conninfo_has_password("postgresql://u:secret@h/d"));
    ck_assert(te_db_conninfo_has_password("host=x sslpassword=y"));
    ck_assert(!te_db_conninfo_has_password("host=x passfile=/y user=z"));
}
END_TEST

START_TEST(every_error_has_words)
{
    int err;

    for (err = TE_DB_OK; err <= TE_DB_FAILED; ++err) {
        const char *name = te_db_err_name((te_db_err_e)err);

        ck_assert(name != NULL && *name);
    }
    ck_assert_str_eq(te_db_err_name(TE_DB_AGAIN), "again");
}
END_TEST

START_TEST(a_connection_that_is_not_open_answers_lost)
{
    te_db_settings_t settings = {"host=127.0.0.1 port=1", 0, 1, 1, 1000, 0};
    te_db_t *db = te_db_standalone(pool, &settings);
    PGresult *r;

    ck_assert_int_eq(te_db_run(db, TE_SCHEMA_VERSION, TE_TX_NONE, NULL, &r),
                     TE_DB_LOST);
    ck_assert_int_eq(te_db_commit(db), TE_DB_LOST);
    te_db_rollback(db);
    te_db_clear(db);
    te_db_close(db);
    ck_assert_int_eq(te_db_is_direct(db), -1);
}
END_TEST

TCase *store_tests(void)
{
    TCase *c = unit_case("store", 30);

    tcase_add_test(c, an_array_literal_quotes_every_element);
    tcase_add_test(c, an_array_comes_back);
    tcase_add_test(c, random_nasty_arrays_come_back);
    tcase_add_test(c, the_output_of_postgresql_needs_no_quotes);
    tcase_add_test(c, a_broken_literal_ends);
    tcase_add_test(c, numbers_are_written_whole);
    tcase_add_loop_test(c, every_statement_has_a_name_and_sql, 0,
                        TE_STATEMENT_COUNT);
    tcase_add_test(c, no_two_statements_have_the_same_name);
    tcase_add_loop_test(c, a_statement_uses_each_of_its_parameters, 0,
                        TE_STATEMENT_COUNT);
    tcase_add_loop_test(c, no_statement_selects_a_star, 0,
                        TE_STATEMENT_COUNT);
    tcase_add_test(c, a_conninfo_is_checked_without_connecting);
    tcase_add_test(c, a_conninfo_is_completed_and_says_what_it_said);
    tcase_add_test(c, a_password_in_a_conninfo_is_noticed);
    tcase_add_test(c, every_error_has_words);
    tcase_add_test(c, a_connection_that_is_not_open_answers_lost);
    return c;
}
