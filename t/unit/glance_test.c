/* store/glance: the state of things, and dead letters by what they name. */
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/base/uuid.h"
#include "../../mod_taskevents/store/dead_letters.h"
#include "../../mod_taskevents/store/glance.h"
#include "cases.h"
#include "database.h"

static te_db_pool_t *db_pool;
static te_db_t *db;
static const char *user;

static void open_all(void)
{
    db_pool = open_pool(1);
    db = borrow(db_pool);
    user = new_user();
    /* what other tests left there is no event */
    sql("DELETE FROM taskevents.outbox WHERE strpos(event, '\"time\"') = 0");
}

static void close_all(void)
{
    te_db_release(db);
    close_pool(db_pool);
}

/* body: in the syntax of bytea */
static void letter(const char *body, const char *reason)
{
    sql("INSERT INTO taskevents.dead_letters (stage, source, event_id, topic,"
        " user_id, body, body_size, reason, attempts, first_failed_at,"
        " last_failed_at) SELECT 'malformed', '/unit', '%s', 'tasks', '%s',"
        " b, octet_length(b), '%s', 1, now(), now()"
        " FROM (SELECT E'%s'::bytea AS b) x", te_uuid_v4(pool), user, reason,
        body);
}

static apr_array_header_t *letters_of(const char *type)
{
    te_letter_filter_t filter;
    apr_array_header_t *letters;

    memset(&filter, 0, sizeof filter);
    filter.user_id = user;
    filter.type = type;
    filter.limit = 10;
    ck_assert_int_eq(te_letters_list(db, pool, &filter, &letters), TE_DB_OK);
    return letters;
}

static const struct {
    const char *body, *type;            /* NULL: none in sight */
} bodies[] = {
    {"{\"id\":\"1\",\"type\":\"task.created\"}", "task.created"},
    {"{\"type\" : \"task.deleted\", \"data\": 1}", "task.deleted"},
    {"{\"title\":\"\\\\\\\\\"type\\\\\\\\\":\\\\\\\\\"a\\\\\\\\\"\","
     "\"type\":\"b\"}", "b"},
    {"not JSON", NULL},
    {"\\\\000\\\\377\"type\":\"x\"", "x"},
    {"{\"type\":7}", NULL},
    {"{\"type\":\"<b>\"}", NULL},
    {"", NULL},
};

START_TEST(letters_are_found_by_the_type_that_their_bodies_name)
{
    const te_letter_t *found;

    letter(bodies[_i].body, "r");
    ck_assert_int_eq(letters_of(NULL)->nelts, 1);
    found = APR_ARRAY_IDX(letters_of(NULL), 0, const te_letter_t *);
    if (bodies[_i].type == NULL) {
        ck_assert_ptr_null(found->type);
        return;
    }
    ck_assert_str_eq(found->type, bodies[_i].type);
    ck_assert_int_eq(letters_of(bodies[_i].type)->nelts, 1);
    ck_assert_int_eq(letters_of("another")->nelts, 0);
}
END_TEST

static te_glance_t glance(int needed)
{
    te_glance_t g;

    ck_assert_int_eq(te_glance_read(db, pool, needed, &g), TE_DB_OK);
    ck_assert_int_gt(g.schema_version, 0);
    ck_assert_ptr_nonnull(g.server);
    return g;
}

START_TEST(what_is_tried_again_is_told_with_its_reason)
{
    const te_retry_t *retry;
    te_glance_t g;

    sql("INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id,"
        " event, attempts, retry_at, last_error) VALUES ('%s', 'tasks', 3,"
        " '%s', '{\"time\":\"2026-01-01T00:00:00.000000Z\"}', 1000000,"
        " '2026-01-01T00:00:00Z', 'no room')", user, te_uuid_v4(pool));
    g = glance(1);
    sql("DELETE FROM taskevents.outbox WHERE user_id = '%s'", user);
    ck_assert(g.known);
    ck_assert_int_ge(g.retrying, 1);
    ck_assert_int_ge(g.outbox.events, 1);
    retry = APR_ARRAY_IDX(g.retries, 0, const te_retry_t *);
    ck_assert_str_eq(retry->user_id, user);
    ck_assert_int_eq(retry->sequence, 3);
    ck_assert_int_eq(retry->attempts, 1000000);
    ck_assert_str_eq(retry->error, "no room");
    ck_assert_str_eq(te_time_format(pool, retry->next_at),
                     "2026-01-01T00:00:00Z");
}
END_TEST

START_TEST(open_letters_are_told_by_reason_the_most_first)
{
    te_glance_t g = glance(1);
    const te_letter_group_t *first;
    int i, most = g.groups->nelts > 0
                      ? (int)APR_ARRAY_IDX(g.groups, 0,
                                           te_letter_group_t *)->letters : 0;

    for (i = 0; i <= most; ++i) {
        letter("x", user);
    }
    g = glance(1);
    sql("DELETE FROM taskevents.dead_letters WHERE user_id = '%s'", user);
    first = APR_ARRAY_IDX(g.groups, 0, const te_letter_group_t *);
    ck_assert_str_eq(first->reason, user);
    ck_assert_str_eq(first->stage, "malformed");
    ck_assert_int_eq(first->letters, most + 1);
    ck_assert_int_ge(g.letters.open, most + 1);
}
END_TEST

START_TEST(reminders_are_told_by_when_they_are_due)
{
    te_glance_t before = glance(1), after;
    static const char *const when[] = {"- interval '1 minute'",
                                       "+ interval '30 minutes'",
                                       "+ interval '2 hours'"};
    int i;

    for (i = 0; i < 3; ++i) {
        sql("INSERT INTO taskevents.reminders (id, task_id, user_id,"
            " due_date, due_since, remind_at, event_id, correlation_id,"
            " traceparent) VALUES ('%s', -%d, '%s', 'infinity', now(),"
            " now() %s, '%s', 'c', 't')", te_uuid_v4(pool), i + 1, user,
            when[i], te_uuid_v4(pool));
    }
    after = glance(1);
    sql("DELETE FROM taskevents.reminders WHERE user_id = '%s'", user);
    ck_assert_int_eq(after.reminders, before.reminders + 3);
    ck_assert_int_eq(after.reminders_due, before.reminders_due + 1);
    ck_assert_int_eq(after.reminders_soon, before.reminders_soon + 1);
    ck_assert_int_ne(after.reminder_next, TE_TIME_NONE);
}
END_TEST

START_TEST(of_a_schema_that_is_too_old_only_its_version_is_told)
{
    ck_assert(!glance(1000000).known);
}
END_TEST

TCase *glance_tests(void)
{
    TCase *tc = unit_case("glance", 20);

    tcase_add_checked_fixture(tc, open_all, close_all);
    tcase_add_loop_test(tc,
                        letters_are_found_by_the_type_that_their_bodies_name,
                        0, (int)(sizeof bodies / sizeof bodies[0]));
    tcase_add_test(tc, what_is_tried_again_is_told_with_its_reason);
    tcase_add_test(tc, open_letters_are_told_by_reason_the_most_first);
    tcase_add_test(tc, reminders_are_told_by_when_they_are_due);
    tcase_add_test(tc, of_a_schema_that_is_too_old_only_its_version_is_told);
    return tc;
}
