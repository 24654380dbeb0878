/* New tasks of several threads in one transaction: nobody loses by it. */
#include "../../mod_taskevents/store/group_commit.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/base/uuid.h"
#include "cases.h"
#include "database.h"

#define THREADS 12
#define ROUNDS 40
#define USERS 5

/* A batch that takes its time, so that others come meanwhile. */
#define SLOWLY(seconds, patience) \
    "SELECT set_config('lock_timeout', " patience ", true)," \
    " pg_sleep(" seconds "), $1::text"

static te_db_pool_t *db_pool;
static te_group_commit_t *group;

static te_group_commit_t *group_of(te_db_pool_t *of)
{
    te_group_commit_t *g = NULL;

    ck_assert_int_eq(te_group_commit_create(&g, of, pool), APR_SUCCESS);
    return g;
}

static void open_all(void)
{
    db_pool = open_pool(THREADS + 1);
    group = group_of(db_pool);
}

static void close_all(void)
{
    close_pool(db_pool);
}

/* What a thread does, and how it went. Threads assert nothing. */
typedef struct {
    apr_pool_t *pool;
    te_db_pool_t *db_pool;
    te_group_commit_t *group;
    const char *user;
    const char *title;
    unsigned int seed;                  /* of the one who writes many */
    apr_interval_time_t budget;
    te_db_err_e together, alone;        /* how it ended */
    apr_interval_time_t took;           /* together */
} writer_t;

static void set_up_writers(writer_t *writers, int n, const char *user)
{
    int i;

    memset(writers, 0, (apr_size_t)n * sizeof *writers);
    for (i = 0; i < n; ++i) {
        /* of its own allocator: a thread works with it */
        apr_pool_create_unmanaged_ex(&writers[i].pool, NULL, NULL);
        writers[i].db_pool = db_pool;
        writers[i].group = group;
        writers[i].user = user != NULL ? user : new_user();
        writers[i].title = "t";
        writers[i].budget = apr_time_from_sec(20);
    }
}

static void forget_writers(writer_t *writers, int n)
{
    int i;

    for (i = 0; i < n; ++i) {
        apr_pool_destroy(writers[i].pool);
    }
}

static te_task_t *new_task(const writer_t *w, te_outgoing_t **event)
{
    te_task_t *task = apr_pcalloc(w->pool, sizeof *task);

    task->user_id = w->user;
    task->title = w->title;
    task->completed_at = task->due_date = TE_TIME_NONE;
    task->priority = TE_PRIORITY_MEDIUM;
    task->tags = apr_array_make(w->pool, 1, sizeof(const char *));
    task->time_zone = "UTC";
    task->version = 1;
    task->created_at = task->updated_at = apr_time_now();
    *event = apr_pcalloc(w->pool, sizeof **event);
    (*event)->id = te_uuid_v4(w->pool);
    (*event)->user_id = w->user;
    (*event)->topic = "tasks";
    (*event)->head = "<";
    (*event)->tail = ">";
    return task;
}

/* As a request does it: together, else alone. */
static void write_one(writer_t *w)
{
    te_outgoing_t *event;
    te_task_t *task = new_task(w, &event);
    int tries, again = 0;
    apr_time_t start;
    te_db_t *db;

    if (te_db_acquire(w->db_pool, &db, w->budget) == TE_DB_OK) {
        te_db_next_task_id(w->db_pool, db, &task->id);
        te_db_release(db);
    }
    start = apr_time_now();
    w->together = w->alone = te_group_write(w->group, w->pool, task, event,
                                            start + w->budget);
    w->took = apr_time_now() - start;
    for (tries = 0; tries < 3 && (w->alone == TE_DB_AGAIN
                                  || w->alone == TE_DB_LOST); ++tries) {
        again |= w->alone == TE_DB_LOST;
        if (te_db_acquire(w->db_pool, &db, w->budget) == TE_DB_OK) {
            w->alone = te_tasks_create(db, w->pool, task, event, again);
            te_db_release(db);
        }
    }
}

static void run_writer(int number, void *context)
{
    write_one((writer_t *)context + number);
}

static int how_many(const writer_t *writers, int n, te_db_err_e together)
{
    int i, count = 0;

    for (i = 0; i < n; ++i) {
        count += writers[i].together == together;
    }
    return count;
}

static void assert_all_done(const writer_t *writers, int n)
{
    int i;

    for (i = 0; i < n; ++i) {
        ck_assert_msg(writers[i].alone == TE_DB_OK, "writer %d: %s, then %s",
                      i, te_db_err_name(writers[i].together),
                      te_db_err_name(writers[i].alone));
    }
}

/* n tasks, each with one event; the events numbered without a gap. */
static void assert_stored(const char *user, int n)
{
    const char *wanted = apr_psprintf(pool, "%d %d %d %d", n, n, n, n);

    ck_assert_str_eq(
        sql("SELECT concat_ws(' ', count(*), max(o.sequence),"
            " count(DISTINCT o.event_id), (SELECT count(*)"
            "  FROM taskevents.tasks t JOIN taskevents.outbox x"
            "  ON x.event_id = t.last_event_id WHERE t.user_id = '%s'))"
            " FROM taskevents.outbox o WHERE o.user_id = '%s'", user, user),
        wanted);
}

static int transactions_of(const char *user)
{
    return atoi(sql("SELECT count(DISTINCT xmin::text) FROM taskevents.tasks"
                    " WHERE user_id = '%s'", user));
}

START_TEST(those_who_come_together_share_a_transaction)
{
    writer_t writers[THREADS];
    const char *user = new_user();
    int i;

    replace_statement(TE_LOCK_PATIENCE, 1, SLOWLY("0.05", "'20s'"));
    for (i = 1; i <= 3; ++i) {
        set_up_writers(writers, THREADS, user);
        run_threads(THREADS, run_writer, writers);
        assert_all_done(writers, THREADS);
        assert_stored(user, i * THREADS);
        forget_writers(writers, THREADS);
    }
    ck_assert_int_lt(transactions_of(user), 3 * THREADS);
}
END_TEST

START_TEST(one_alone_writes_at_once)
{
    writer_t writer;

    set_up_writers(&writer, 1, NULL);
    write_one(&writer);
    write_one(&writer);
    ck_assert_int_eq(writer.together, TE_DB_OK);
    assert_stored(writer.user, 2);
    forget_writers(&writer, 1);
}
END_TEST

/* --- many users in any order ------------------------------------------- */

static void write_many(int number, void *context)
{
    writer_t *w = (writer_t *)context + number;
    const char *const *users = (const char *const *)w->user;
    unsigned int state = w->seed + (unsigned int)number;
    te_db_err_e worst = TE_DB_OK;
    int i;

    for (i = 0; i < ROUNDS; ++i) {
        w->user = users[rand_r(&state) % USERS];
        write_one(w);
        worst = w->alone > worst ? w->alone : worst;
    }
    w->alone = worst;
}

/* Two processes as far as PostgreSQL can see. A lock is waited for long
 * enough that a deadlock would be found. */
START_TEST(batches_of_the_same_users_never_deadlock)
{
    te_db_pool_t *other_pool = open_pool(THREADS + 1);
    te_group_commit_t *other = group_of(other_pool);
    const char *users[USERS], *before;
    writer_t writers[THREADS];
    unsigned int seed = unit_seed();
    int i, stored = 0;

    replace_statement(TE_LOCK_PATIENCE, 1, SLOWLY("0.003", "'20s'"));
    before = sql("SELECT deadlocks FROM pg_stat_database"
                 " WHERE datname = current_database()");
    for (i = 0; i < USERS; ++i) {
        users[i] = new_user();
    }
    set_up_writers(writers, THREADS, (const char *)users);
    for (i = 0; i < THREADS; ++i) {
        writers[i].seed = seed;
        if (i % 2) {
            writers[i].db_pool = other_pool;
            writers[i].group = other;
        }
    }
    run_threads(THREADS, write_many, writers);
    assert_all_done(writers, THREADS);
    for (i = 0; i < USERS; ++i) {
        int n = atoi(sql("SELECT count(*) FROM taskevents.tasks"
                         " WHERE user_id = '%s'", users[i]));

        assert_stored(users[i], n);
        stored += n;
    }
    ck_assert_int_eq(stored, THREADS * ROUNDS);
    close_pool(other_pool);
    ck_assert_str_eq(sql("SELECT deadlocks FROM pg_stat_database,"
                         " pg_sleep(0.2) WHERE datname = current_database()"),
                     before);
    forget_writers(writers, THREADS);
}
END_TEST

/* --- what is written --------------------------------------------------- */

static const char *const titles[] = {
    "plain", "NULL", "\"quoted\" \\ back\\", "{a,b}", "it's $1, \xC3\xA4",
    "," , "with a date", "done", "daily", "{}", "{NULL}", "last"};

/* Each of them another shape of task. */
static void shape(te_task_t *task, apr_pool_t *p, int number)
{
    int i;

    task->title = titles[number];
    task->description = number % 3 ? titles[THREADS - 1 - number] : NULL;
    task->priority = (te_priority_e)(1 + number % 3);
    for (i = 0; i < number % 4; ++i) {
        APR_ARRAY_PUSH(task->tags, const char *) =
            apr_pstrcat(p, titles[number], i == 0 ? "" : i == 1 ? "1" : "2",
                        NULL);
    }
    if (number % 2) {
        task->due_date = APR_INT64_C(1800000000123456);
    }
    if (number == 7) {
        task->completed = 1;
        task->completed_at = task->created_at;
    }
    if (number == 8 || number == 9) {
        task->time_zone = "Europe/Berlin";
        task->recurring_interval = number == 8 ? "daily" : "monthly";
        task->series_id = te_uuid_v4(p);
        task->occurrence = 1;
    }
}

typedef struct {
    writer_t writer;
    te_task_t *task;
    te_outgoing_t *event;
} shaped_t;

static void write_shaped(int number, void *context)
{
    shaped_t *s = (shaped_t *)context + number;
    int tries;

    /* who waited too long on a busy machine may come once more */
    s->writer.together = TE_DB_AGAIN;
    for (tries = 0; tries < 5 && s->writer.together == TE_DB_AGAIN; ++tries) {
        s->writer.together = te_group_write(
            group, s->writer.pool, s->task, s->event,
            apr_time_now() + s->writer.budget);
    }
}

/* All that is stored of a user's tasks, whatever their ids and times. */
static const char *all_of(const char *user)
{
    return sql(
        "SELECT string_agg(concat_ws('|', t.title, t.description, t.completed,"
        " t.completed_at = t.created_at, t.priority, t.tags, t.due_date,"
        " t.time_zone, t.recurring_interval, t.occurrence, t.version,"
        " t.updated_at = t.created_at, t.due_since = t.created_at,"
        " s.last_occurrence, s.anchor_due, s.time_zone, s.recurring_interval,"
        " s.user_id = t.user_id, o.topic, o.user_id = t.user_id, o.event ="
        " '<' || t.title || lpad(o.sequence::text, 20, '0') || '>'), E'\\n'"
        " ORDER BY t.title) || ' ' || max(o.sequence) || ' ' ||"
        " count(DISTINCT o.sequence)"
        " FROM taskevents.tasks t"
        " LEFT JOIN taskevents.series s USING (series_id)"
        " LEFT JOIN taskevents.outbox o ON o.event_id = t.last_event_id"
        " WHERE t.user_id = '%s'", user);
}

/* The same tasks by one statement and by one for each. */
START_TEST(what_is_written_together_is_as_if_alone)
{
    const char *together = new_user(), *alone = new_user();
    writer_t writers[THREADS];
    shaped_t shaped[THREADS];
    te_db_t *db = borrow(db_pool);
    int i;

    replace_statement(TE_LOCK_PATIENCE, 1, SLOWLY("0.05", "'20s'"));
    set_up_writers(writers, THREADS, alone);
    for (i = 0; i < THREADS; ++i) {
        shaped_t *s = &shaped[i];

        s->writer = writers[i];
        s->task = new_task(&s->writer, &s->event);
        shape(s->task, s->writer.pool, i);
        s->event->head = apr_pstrcat(s->writer.pool, "<", titles[i], NULL);
        ck_assert_int_eq(te_db_next_task_id(db_pool, db, &s->task->id),
                         TE_DB_OK);
        ck_assert_int_eq(te_tasks_create(db, pool, s->task, s->event, 0),
                         TE_DB_OK);
        s->task->user_id = together;
        s->task->series_id = s->task->series_id ? te_uuid_v4(pool) : NULL;
        s->event->id = te_uuid_v4(pool);
        s->event->user_id = together;
        ck_assert_int_eq(te_db_next_task_id(db_pool, db, &s->task->id),
                         TE_DB_OK);
    }
    te_db_release(db);
    run_threads(THREADS, write_shaped, shaped);
    for (i = 0; i < THREADS; ++i) {
        ck_assert_int_eq(shaped[i].writer.together, TE_DB_OK);
    }
    ck_assert_int_lt(transactions_of(together), THREADS);
    ck_assert_int_eq(transactions_of(alone), THREADS);
    ck_assert_str_eq(all_of(together), all_of(alone));
    assert_stored(together, THREADS);
    forget_writers(writers, THREADS);
}
END_TEST

/* --- what goes wrong --------------------------------------------------- */

START_TEST(a_faulty_one_fails_alone)
{
    writer_t writers[THREADS];
    const char *user = new_user();
    int i;

    replace_statement(TE_LOCK_PATIENCE, 1, SLOWLY("0.05", "'20s'"));
    set_up_writers(writers, THREADS, user);
    writers[5].title = "";
    run_threads(THREADS, run_writer, writers);
    for (i = 0; i < THREADS; ++i) {
        ck_assert_int_eq(writers[i].alone, i == 5 ? TE_DB_FAILED : TE_DB_OK);
    }
    ck_assert_int_eq(writers[5].together, TE_DB_AGAIN);
    assert_stored(user, THREADS - 1);
    forget_writers(writers, THREADS);
}
END_TEST

/* A batch leaves ids for those who come next, or nothing is written. */
START_TEST(without_ids_for_the_next_ones_each_goes_by_himself)
{
    writer_t writer;
    te_outgoing_t *event;
    te_task_t *task;

    set_up_writers(&writer, 1, NULL);
    task = new_task(&writer, &event);
    task->id = apr_atoi64(sql("SELECT nextval('taskevents.task_ids')"));
    replace_statement(TE_TASK_IDS, 0, "SELECT 1 / 0");
    ck_assert_int_eq(te_group_write(group, writer.pool, task, event,
                                    apr_time_now() + writer.budget),
                     TE_DB_AGAIN);
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.tasks"
                         " WHERE user_id = '%s'", writer.user), "0");
    forget_writers(&writer, 1);
}
END_TEST

/* How soon he is told to go by himself: at once, he does not even join. */
static apr_interval_time_t quickest(writer_t *w)
{
    apr_interval_time_t least = apr_time_from_sec(9);
    int i;

    for (i = 0; i < 5; ++i) {
        te_outgoing_t *event;
        te_task_t *task = new_task(w, &event);
        apr_time_t start = apr_time_now(), took;

        if (te_group_write(w->group, w->pool, task, event, start + w->budget)
            == TE_DB_AGAIN) {
            took = apr_time_now() - start;
            least = took < least ? took : least;
        }
    }
    return least;
}

/* By himself he waits as te_tasks_create does: 2 s. */
START_TEST(one_who_is_locked_out_holds_up_nobody_for_long)
{
    writer_t writers[THREADS], again[THREADS];
    int i;

    set_up_writers(writers, THREADS, NULL);
    write_one(&writers[3]);
    sql("BEGIN");
    sql("SELECT 1 FROM taskevents.streams WHERE user_id = '%s' FOR UPDATE",
        writers[3].user);
    run_threads(THREADS, run_writer, writers);
    ck_assert_int_eq(writers[3].together, TE_DB_AGAIN);
    ck_assert_int_eq(writers[3].alone, TE_DB_BUSY);
    set_up_writers(again, THREADS, NULL);
    again[3].user = writers[3].user;
    run_threads(THREADS, run_writer, again);
    ck_assert_int_eq(again[3].together, TE_DB_AGAIN);
    ck_assert_int_lt(quickest(&again[3]), apr_time_from_msec(50));
    sql("COMMIT");
    for (i = 0; i < THREADS; ++i) {
        if (i != 3) {
            ck_assert_int_eq(writers[i].alone, TE_DB_OK);
            /* who waits for the lock, waits for 2 s */
            ck_assert_int_lt(writers[i].took, apr_time_from_msec(1900));
            ck_assert_int_eq(again[i].alone, TE_DB_OK);
            assert_stored(writers[i].user, 1);
        }
    }
    assert_stored(writers[3].user, 1);
    write_one(&again[3]);
    ck_assert_int_eq(again[3].alone, TE_DB_OK);
    assert_stored(writers[3].user, 2);
    forget_writers(writers, THREADS);
    forget_writers(again, THREADS);
}
END_TEST

static void run_or_cut(int number, void *context)
{
    if (number < THREADS) {
        run_writer(number, context);
        return;
    }
    while (strcmp(sql("SELECT count(pg_terminate_backend(pid))"
                      " FROM pg_stat_activity"
                      " WHERE application_name = 'mod_taskevents'"
                      " AND state = 'active' AND wait_event = 'PgSleep'"
                      " AND datname = current_database()"), "0") == 0) {
        apr_sleep(apr_time_from_msec(10));
    }
}

START_TEST(of_a_batch_that_is_cut_each_is_stored_once)
{
    writer_t writers[THREADS];
    const char *user = new_user();

    replace_statement(TE_LOCK_PATIENCE, 1, SLOWLY("1", "'20s'"));
    set_up_writers(writers, THREADS, user);
    sql("SELECT 1");                    /* who cuts is connected */
    run_threads(THREADS + 1, run_or_cut, writers);
    ck_assert_int_gt(how_many(writers, THREADS, TE_DB_LOST), 0);
    assert_all_done(writers, THREADS);
    assert_stored(user, THREADS);
    forget_writers(writers, THREADS);
}
END_TEST

static volatile apr_uint32_t hangs;

static void run_when_it_hangs(int number, void *context)
{
    if (number == THREADS) {
        while (strcmp(sql("SELECT count(*) FROM pg_locks"
                          " WHERE locktype = 'advisory'"
                          " AND objid = 20261124"), "0") == 0) {
            apr_sleep(apr_time_from_msec(5));
        }
        apr_atomic_set32(&hangs, 1);
        return;
    }
    while (number > 0 && !apr_atomic_read32(&hangs)) {
        apr_sleep(apr_time_from_msec(5));
    }
    run_writer(number, context);
}

/* The session that is the first to get the advisory lock sleeps. */
/* @return what the slowest of the others took */
static apr_interval_time_t hang_a_batch(void)
{
    apr_interval_time_t slowest = 0;
    writer_t writers[THREADS];
    const char *user = new_user();
    int i;

    set_up_writers(writers, THREADS, NULL);
    for (i = 1; i < THREADS; ++i) {
        writers[i].user = user;
    }
    apr_atomic_set32(&hangs, 0);
    run_threads(THREADS + 1, run_when_it_hangs, writers);
    assert_all_done(writers, THREADS);
    ck_assert_int_eq(writers[0].together, TE_DB_OK);
    ck_assert_int_ge(writers[0].took, apr_time_from_msec(1400));
    for (i = 1; i < THREADS; ++i) {
        slowest = writers[i].took > slowest ? writers[i].took : slowest;
    }
    assert_stored(user, THREADS - 1);
    forget_writers(writers, THREADS);
    return slowest;
}

/* Who waits for the one that hangs does so each time; a busy machine may hold
 * them up, too, but not three times. */
START_TEST(a_batch_that_hangs_holds_up_nobody_else)
{
    int tries = 1;

    replace_statement(TE_LOCK_PATIENCE, 1,
                      SLOWLY("CASE WHEN pg_try_advisory_xact_lock(20261124)"
                             " THEN 1.5 ELSE 0 END", "'20s'"));
    while (hang_a_batch() >= apr_time_from_msec(1200)) {
        ck_assert_int_lt(tries++, 3);
    }
}
END_TEST

/* @return how much later than that the one who was later came */
static apr_interval_time_t end_by(apr_interval_time_t soon,
                                  apr_interval_time_t late)
{
    apr_interval_time_t over;
    writer_t writers[2];

    set_up_writers(writers, 2, NULL);
    writers[1].budget = apr_time_from_msec(300);
    run_writer(1, writers);
    ck_assert_int_eq(writers[1].together, TE_DB_LOST);
    over = writers[1].took - soon;
    run_writer(0, writers);
    ck_assert_int_eq(writers[0].together, TE_DB_LOST);
    over = writers[0].took - late > over ? writers[0].took - late : over;
    ck_assert_int_eq(writers[0].alone, TE_DB_OK);
    forget_writers(writers, 2);
    return over;
}

/* His own of 300 ms, and the 2 s that are all that a batch has. */
START_TEST(a_batch_ends_by_the_deadline)
{
    int tries = 1;

    replace_statement(TE_LOCK_PATIENCE, 1, SLOWLY("4", "'20s'"));
    while (end_by(apr_time_from_msec(1900), apr_time_from_msec(3900)) >= 0) {
        ck_assert_int_lt(tries++, 3);
    }
}
END_TEST

/* 8 try to begin a batch; the others do not wait for them. */
START_TEST(without_a_connection_nobody_waits_long)
{
    te_db_settings_t *settings = test_settings(1);
    writer_t writers[THREADS];
    te_db_t *db;
    int i;

    settings->wait = apr_time_from_sec(2);
    ck_assert_int_eq(te_db_pool_create(&db_pool, settings, pool),
                     APR_SUCCESS);
    group = group_of(db_pool);
    set_up_writers(writers, THREADS, NULL);
    db = borrow(db_pool);
    run_threads(THREADS, run_writer, writers);
    te_db_release(db);
    for (i = 0; i < THREADS; ++i) {
        if (writers[i].together == TE_DB_AGAIN) {
            ck_assert_int_lt(writers[i].took, apr_time_from_msec(1900));
        }
    }
    ck_assert_int_eq(how_many(writers, THREADS, TE_DB_BUSY), 8);
    ck_assert_int_eq(how_many(writers, THREADS, TE_DB_AGAIN), THREADS - 8);
    write_one(&writers[0]);
    ck_assert_int_eq(writers[0].together, TE_DB_OK);
    forget_writers(writers, THREADS);
    close_pool(db_pool);
}
END_TEST

START_TEST(while_postgresql_is_away_nobody_waits_long)
{
    te_db_settings_t *settings = test_settings(4);
    writer_t writers[THREADS];
    int i;

    settings->conninfo = "host=127.0.0.1 port=1";
    ck_assert_int_eq(te_db_pool_create(&db_pool, settings, pool),
                     APR_SUCCESS);
    group = group_of(db_pool);
    set_up_writers(writers, THREADS, NULL);
    run_threads(THREADS, run_writer, writers);
    for (i = 0; i < THREADS; ++i) {
        ck_assert(writers[i].together == TE_DB_AWAY
                  || writers[i].together == TE_DB_AGAIN);
        ck_assert_int_lt(writers[i].took, apr_time_from_msec(1500));
    }
    forget_writers(writers, THREADS);
    close_pool(db_pool);
}
END_TEST

TCase *group_commit_tests(void)
{
    TCase *c = unit_case("group commit", 60);

    tcase_add_checked_fixture(c, open_all, close_all);
    tcase_add_test(c, those_who_come_together_share_a_transaction);
    tcase_add_test(c, one_alone_writes_at_once);
    tcase_add_test(c, batches_of_the_same_users_never_deadlock);
    tcase_add_test(c, what_is_written_together_is_as_if_alone);
    tcase_add_test(c, a_faulty_one_fails_alone);
    tcase_add_test(c, without_ids_for_the_next_ones_each_goes_by_himself);
    tcase_add_test(c, one_who_is_locked_out_holds_up_nobody_for_long);
    tcase_add_test(c, of_a_batch_that_is_cut_each_is_stored_once);
    tcase_add_test(c, a_batch_that_hangs_holds_up_nobody_else);
    tcase_add_test(c, a_batch_ends_by_the_deadline);
    return c;
}

/* Those that have a pool of their own. */
TCase *group_commit_away_tests(void)
{
    TCase *c = unit_case("group commit without", 30);

    tcase_add_test(c, without_a_connection_nobody_waits_long);
    tcase_add_test(c, while_postgresql_is_away_nobody_waits_long);
    return c;
}
