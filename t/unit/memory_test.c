/* No memory for libpq, at each moment of a call: the call fails or succeeds, the
 * database has all of it or nothing, and the next call works. */
#include <apr_strings.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/base/uuid.h"
#include "../../mod_taskevents/store/group_commit.h"
#include "../../mod_taskevents/store/group_read.h"
#include "cases.h"
#include "database.h"

#if defined(__has_feature)
#define HAS(x) __has_feature(x)
#else
#define HAS(x) 0
#endif
/* a sanitizer has an allocator of its own */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) \
    && !HAS(address_sanitizer) && !HAS(thread_sanitizer)
#define OWN_MALLOC 1
#endif

#define MOST 400

static volatile int left;               /* allocations up to the refused one;
                                         * 0: none is */
static volatile int refused;

#ifdef OWN_MALLOC
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

/* Whether it is libpq that asks, and its turn has come. */
static int is_refused(const void *caller)
{
    Dl_info info;

    if (left == 0 || !dladdr(caller, &info) || info.dli_fname == NULL
        || strstr(info.dli_fname, "/libpq.") == NULL || --left > 0) {
        return 0;
    }
    refused = 1;
    errno = ENOMEM;
    return 1;
}

/* In place of the C library's, for all libraries of this program. */
void *malloc(size_t size)
{
    return is_refused(__builtin_return_address(0)) ? NULL
                                                   : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return is_refused(__builtin_return_address(0)) ? NULL
                                                   : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    return is_refused(__builtin_return_address(0))
               ? NULL : __libc_realloc(old, size);
}
#endif

static te_db_pool_t *db_pool;
static te_group_commit_t *group;
static te_group_t *reads;

static void open_all(void)
{
    db_pool = open_pool(1);
    ck_assert_int_eq(te_group_commit_create(&group, db_pool, pool),
                     APR_SUCCESS);
    ck_assert_int_eq(te_group_read_create(&reads, db_pool, pool),
                     APR_SUCCESS);
}

static void close_all(void)
{
    left = 0;
    close_pool(db_pool);
}

static te_task_t *new_task(te_db_t *db, const char *user,
                           te_outgoing_t **event)
{
    te_task_t *task = apr_pcalloc(pool, sizeof *task);

    ck_assert_int_eq(te_db_next_task_id(db_pool, db, &task->id), TE_DB_OK);
    task->user_id = user;
    task->title = "t";
    task->completed_at = TE_TIME_NONE;
    task->priority = TE_PRIORITY_MEDIUM;
    task->tags = apr_array_make(pool, 1, sizeof(const char *));
    task->due_date = TE_TIME_NONE;
    task->time_zone = "UTC";
    task->version = 1;
    task->created_at = task->updated_at = apr_time_now();
    *event = apr_pcalloc(pool, sizeof **event);
    (*event)->id = te_uuid_v4(pool);
    (*event)->user_id = user;
    (*event)->topic = "tasks";
    (*event)->head = "<";
    (*event)->tail = ">";
    return task;
}

typedef te_db_err_e call_fn(const char *user, te_task_t *task,
                            te_outgoing_t *event);

static te_db_err_e by_itself(const char *user, te_task_t *task,
                             te_outgoing_t *event)
{
    te_db_t *db;
    te_db_err_e err = te_db_acquire(db_pool, &db, apr_time_from_sec(20));

    (void)user;
    if (err == TE_DB_OK) {
        err = te_tasks_create(db, pool, task, event, 0);
        te_db_release(db);
    }
    return err;
}

static te_db_err_e with_others(const char *user, te_task_t *task,
                               te_outgoing_t *event)
{
    (void)user;
    return te_group_write(group, pool, task, event,
                          apr_time_now() + apr_time_from_sec(20));
}

/* A change: what was made before it is there, or with another title. */
static te_db_err_e changed(const char *user, te_task_t *task,
                           te_outgoing_t *event)
{
    te_task_t *held = NULL;
    te_db_t *db;
    te_db_err_e err = te_db_acquire(db_pool, &db, apr_time_from_sec(20));

    if (err != TE_DB_OK) {
        return err;
    }
    err = te_tasks_lock(db, pool, 1, user, task->id, &held);
    if (err == TE_DB_OK && held != NULL) {
        held->title = "changed";
        held->version = 2;
        held->last_event_id = event->id;
        err = te_tasks_update(db, pool, held, &event, 1, 1);
    }
    te_db_release(db);
    return err == TE_DB_OK && held == NULL ? TE_DB_FAILED : err;
}

static te_db_err_e looked_up(const char *user, te_task_t *task,
                             te_outgoing_t *event)
{
    te_task_t *found = NULL;
    te_db_err_e err = te_group_get(reads, pool, user, task->id, &found,
                                   apr_time_now() + apr_time_from_sec(20));

    (void)event;
    return err == TE_DB_OK && found == NULL ? TE_DB_FAILED : err;
}

static te_db_err_e listed(const char *user, te_task_t *task,
                          te_outgoing_t *event)
{
    apr_array_header_t *tasks = NULL;
    te_task_filter_t filter;
    te_db_t *db;
    te_db_err_e err = te_db_acquire(db_pool, &db, apr_time_from_sec(20));

    (void)task;
    (void)event;
    if (err != TE_DB_OK) {
        return err;
    }
    memset(&filter, 0, sizeof filter);
    filter.user_id = user;
    filter.completed = -1;
    filter.due_before = filter.due_after = TE_TIME_NONE;
    filter.limit = 10;
    err = te_tasks_list(db, pool, &filter, &tasks);
    te_db_release(db);
    return err == TE_DB_OK && tasks->nelts != 1 ? TE_DB_FAILED : err;
}

static const struct {
    call_fn *call;
    int made_before;                    /* a task and its event are there */
    const char *after;                  /* titles and events */
} calls[] = {
    {by_itself, 0, "t 1"},
    {with_others, 0, "t 1"},
    {changed, 1, "changed 2"},
    {looked_up, 1, "t 1"},
    {listed, 1, "t 1"},
};

static const char *state_of(const char *user)
{
    return sql("SELECT coalesce((SELECT string_agg(title, ',')"
               " FROM taskevents.tasks WHERE user_id = '%s'), '') || ' ' ||"
               " (SELECT count(*) FROM taskevents.outbox"
               " WHERE user_id = '%s')", user, user);
}

START_TEST(no_memory_for_libpq_leaves_all_or_nothing)
{
    /* the last round is the first one again, connecting included */
    const int n_calls = (int)(sizeof calls / sizeof calls[0]);
    int n, what = _i % n_calls, connects = _i == n_calls, slow = 0;

    for (n = 1; n <= MOST; n += connects ? 3 : 1) {
        const char *user = new_user(), *before, *after;
        te_outgoing_t *event;
        te_task_t *task;
        te_db_t *db = borrow(db_pool);
        te_db_err_e err;

        task = new_task(db, user, &event);
        if (calls[what].made_before) {
            ck_assert_int_eq(te_tasks_create(db, pool, task, event, 0),
                             TE_DB_OK);
            event->id = te_uuid_v4(pool);
        }
        if (connects) {                 /* that is part of it */
            te_db_close(db);
        }
        te_db_release(db);
        before = state_of(user);
        refused = 0;
        left = n;
        err = calls[what].call(user, task, event);
        left = 0;
        after = state_of(user);
        /* a batch has 2 s: then nothing was refused, and it is asked again */
        if (err == TE_DB_LOST && !refused && ++slow < 5) {
            ck_assert(strcmp(after, before) == 0
                      || strcmp(after, calls[what].after) == 0);
            n -= connects ? 3 : 1;
            continue;
        }
        if (err == TE_DB_OK) {
            ck_assert_str_eq(after, calls[what].after);
        }
        else {
            /* connecting may also take too long */
            ck_assert_msg(refused || (connects && err == TE_DB_AWAY),
                          "failed (%s) without a reason",
                          te_db_err_name(err));
            /* lost: it may be done; a caller looks */
            ck_assert_msg(strcmp(after, before) == 0
                          || (err == TE_DB_LOST
                              && strcmp(after, calls[what].after) == 0),
                          "%d: %s: '%s' after '%s'", n, te_db_err_name(err),
                          after, before);
        }
        db = borrow(db_pool);           /* and the next one works */
        ck_assert_int_eq(te_tasks_get(db, pool, user, task->id, &task),
                         TE_DB_OK);
        te_db_release(db);
        if (!refused) {
            break;
        }
    }
    ck_assert_int_le(n, MOST);
}
END_TEST

TCase *memory_tests(void)
{
    TCase *c = unit_case("memory", 240);

    tcase_add_checked_fixture(c, open_all, close_all);
    tcase_add_loop_test(c, no_memory_for_libpq_leaves_all_or_nothing, 0,
                        sizeof calls / sizeof calls[0] + 1);
    return c;
}
