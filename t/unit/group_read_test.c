/* Tasks that several threads look up, read with one statement: each has its
 * own. */
#include "../../mod_taskevents/store/group_read.h"

#include <apr_strings.h>
#include <string.h>

#include "cases.h"
#include "database.h"

#define THREADS 24              /* more than the short statement takes */
#define TASKS 9
#define SLOW apr_time_from_msec(600)

static te_db_pool_t *db_pool;
static te_group_t *group;

typedef struct {
    apr_pool_t *pool;
    const char *user;
    apr_int64_t id;
    te_task_t *task;
    int tries;
    te_db_err_e err;
    apr_interval_time_t took;
} reader_t;

/* With connections that are there: one that has to be made first gives the
 * others time to lose their patience. */
static void open_all(void)
{
    te_db_t *warm[4];
    int i;

    db_pool = open_pool(4);
    for (i = 0; i < 4; ++i) {
        warm[i] = borrow(db_pool);
    }
    for (i = 0; i < 4; ++i) {
        te_db_release(warm[i]);
    }
    ck_assert_int_eq(te_group_read_create(&group, db_pool, pool),
                     APR_SUCCESS);
}

static void close_all(void)
{
    close_pool(db_pool);
}

/* So that others come while the first one reads. */
static void read_slowly(void)
{
    const te_statement_t *get = te_statement(TE_TASK_GET);

    replace_statement(TE_TASK_GET, get->params,
                      apr_pstrcat(pool, get->sql,
                                  " AND pg_sleep(0.6)::text = ''", NULL));
}

/* n of a user, of a block of ids that is nobody else's.
 * @return the first one's id, the others' follow */
static apr_int64_t some_tasks(const char *user, int n)
{
    apr_int64_t first = apr_atoi64(
        sql("SELECT nextval('taskevents.task_ids')"));

    sql("INSERT INTO taskevents.tasks (id, user_id, title, tags,"
        " last_event_id, created_at, updated_at)"
        " SELECT i, '%s', 'task ' || i, ARRAY['of ' || i],"
        "  gen_random_uuid(), now(), now()"
        " FROM generate_series(%" APR_INT64_T_FMT ", %" APR_INT64_T_FMT
        ") AS i", user, first, first + n - 1);
    return first;
}

static void read_one(int number, void *context)
{
    reader_t *r = (reader_t *)context + number;
    apr_time_t start;
    int tries = 0;

    apr_sleep(number == 0 ? 0 : apr_time_from_msec(20));
    start = apr_time_now();
    do {
        r->err = te_group_get(group, r->pool, r->user, r->id, &r->task,
                              start + apr_time_from_sec(20));
    } while (r->err == TE_DB_AGAIN && ++tries < r->tries);
    r->took = apr_time_now() - start;
}

static void set_up_readers(reader_t *readers, int n, const char *user,
                           apr_int64_t first)
{
    int i;

    for (i = 0; i < n; ++i) {
        /* of its own allocator: a thread works with it */
        apr_pool_create_unmanaged_ex(&readers[i].pool, NULL, NULL);
        readers[i].user = user;
        readers[i].id = first + i % TASKS;
        readers[i].task = NULL;
        /* who waited too long on a busy machine may come once more */
        readers[i].tries = 5;
    }
}

static void forget_readers(reader_t *readers, int n)
{
    int i;

    for (i = 0; i < n; ++i) {
        apr_pool_destroy(readers[i].pool);
    }
}

static void assert_read(const reader_t *r)
{
    const char *wanted = apr_psprintf(pool, "task %" APR_INT64_T_FMT, r->id);

    ck_assert_int_eq(r->err, TE_DB_OK);
    ck_assert_ptr_nonnull(r->task);
    ck_assert_int_eq(r->task->id, r->id);
    ck_assert_str_eq(r->task->user_id, r->user);
    ck_assert_str_eq(r->task->title, wanted);
    ck_assert_int_eq(r->task->tags->nelts, 1);
}

/* Who reads alone takes that long; most do not. A machine that stands still makes
 * all of them late, but not three times: then they are to read once more.
 * @param tries  how many times they have */
static int read_apart(const reader_t *readers, int n, int *tries)
{
    int i, alone = 0;

    for (i = 0; i < n; ++i) {
        alone += readers[i].took >= SLOW;
    }
    if (alone < n / 2) {
        return 0;
    }
    ck_assert_int_lt(++*tries, 3);
    return 1;
}

/* One; few; many; several times the same. */
START_TEST(each_has_the_task_that_it_asked_for)
{
    static const int counts[] = {1, 2, 8, 9, THREADS};
    const char *user = new_user();
    reader_t readers[THREADS];
    int n = counts[_i], i, again, tries = 0;

    read_slowly();
    do {
        set_up_readers(readers, n, user, some_tasks(user, TASKS));
        run_threads(n, read_one, readers);
        for (i = 0; i < n; ++i) {
            assert_read(&readers[i]);
        }
        again = n >= 8 && read_apart(readers, n, &tries);
        forget_readers(readers, n);
    } while (again);
}
END_TEST

START_TEST(what_is_not_there_or_somebody_elses_is_nobodys)
{
    const char *user = new_user(), *other = new_user();
    apr_int64_t first = some_tasks(user, TASKS);
    reader_t readers[THREADS];
    int i, again, tries = 0;

    read_slowly();
    do {
        set_up_readers(readers, THREADS, user, first);
        for (i = 1; i < THREADS; i += 3) {
            readers[i].user = other;
            readers[i + 1].id = first + TASKS;
        }
        run_threads(THREADS, read_one, readers);
        for (i = 0; i < THREADS; ++i) {
            if (i % 3 == 0) {
                assert_read(&readers[i]);
            }
            else {
                ck_assert_int_eq(readers[i].err, TE_DB_OK);
                ck_assert_ptr_null(readers[i].task);
            }
        }
        again = read_apart(readers, THREADS, &tries);
        forget_readers(readers, THREADS);
    } while (again);
}
END_TEST

/* The statements of several, with one more condition. */
static void read_together_if(const char *condition)
{
    static const te_statement_e together[] = {TE_TASKS_GET_FEW,
                                              TE_TASKS_GET_MANY};
    int i;

    for (i = 0; i < 2; ++i) {
        const te_statement_t *get = te_statement(together[i]);

        replace_statement(together[i], get->params,
                          apr_pstrcat(pool, get->sql, condition, NULL));
    }
}

/* @return how many are to try by themselves */
static int left_to_themselves(const reader_t *readers, int n)
{
    int i, left = 0;

    for (i = 0; i < n; ++i) {
        if (readers[i].err == TE_DB_OK) {
            assert_read(&readers[i]);
        }
        else {
            ck_assert_int_eq(readers[i].err, TE_DB_AGAIN);
            ck_assert_ptr_null(readers[i].task);
            ++left;
        }
    }
    return left;
}

/* n threads run fn, of which THREADS read. @return as above */
static int left_when(const char *condition, int n, void (*fn)(int, void *))
{
    const char *user = new_user();
    reader_t readers[THREADS];
    int i, left;

    read_slowly();
    read_together_if(condition);
    set_up_readers(readers, THREADS, user, some_tasks(user, TASKS));
    for (i = 0; i < THREADS; ++i) {
        readers[i].tries = 1;
    }
    run_threads(n, fn, readers);
    left = left_to_themselves(readers, THREADS);
    forget_readers(readers, THREADS);
    return left;
}

START_TEST(what_fails_together_is_left_to_each)
{
    ck_assert_int_gt(left_when(" AND 1 / (id - id) = 0", THREADS, read_one),
                     THREADS / 2);
}
END_TEST

/* One more thread, which ends the first sessions that it finds asleep. */
static void read_or_cut(int number, void *context)
{
    if (number < THREADS) {
        read_one(number, context);
        return;
    }
    while (strcmp(sql("SELECT count(pg_terminate_backend(pid))"
                      " FROM pg_stat_activity"
                      " WHERE application_name = 'mod_taskevents'"
                      " AND state = 'active' AND wait_event = 'PgSleep'"
                      " AND query LIKE '%%IN (%%'"
                      " AND datname = current_database()"), "0") == 0) {
        apr_sleep(apr_time_from_msec(10));
    }
}

START_TEST(of_a_batch_that_is_cut_each_goes_by_himself)
{
    ck_assert_int_gt(left_when(" AND (SELECT pg_sleep(1.2))::text = ''",
                               THREADS + 1, read_or_cut), 0);
}
END_TEST

/* What was committed before somebody asked is what he gets, whoever reads. */
START_TEST(nobody_gets_what_was_there_before_he_asked)
{
    const char *user = new_user();
    apr_int64_t first = some_tasks(user, TASKS);
    reader_t readers[THREADS];
    int round, i;

    for (round = 0; round < 20; ++round) {
        set_up_readers(readers, THREADS, user, first);
        sql("UPDATE taskevents.tasks SET version = %d WHERE user_id = '%s'",
            round + 1, user);
        run_threads(THREADS, read_one, readers);
        for (i = 0; i < THREADS; ++i) {
            assert_read(&readers[i]);
            ck_assert_int_eq(readers[i].task->version, round + 1);
        }
        forget_readers(readers, THREADS);
    }
}
END_TEST

TCase *group_read_tests(void)
{
    TCase *c = unit_case("group read", 60);

    tcase_add_checked_fixture(c, open_all, close_all);
    tcase_add_loop_test(c, each_has_the_task_that_it_asked_for, 0, 5);
    tcase_add_test(c, what_is_not_there_or_somebody_elses_is_nobodys);
    tcase_add_test(c, what_fails_together_is_left_to_each);
    tcase_add_test(c, of_a_batch_that_is_cut_each_goes_by_himself);
    tcase_add_test(c, nobody_gets_what_was_there_before_he_asked);
    return c;
}
