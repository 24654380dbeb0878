/* core/lines: what of the outbox is in memory, in the order it is sent. */
#include "../../mod_taskevents/core/lines.h"

#include <apr_strings.h>
#include <string.h>

#include "cases.h"

static te_lines_t lines;
static int freed;                       /* reads whose memory is gone */

static void start(void)
{
    te_lines_init(&lines, pool);
    freed = 0;
}

static void stop(void)
{
}

static apr_status_t count_freed(void *data)
{
    ++*(int *)data;
    return APR_SUCCESS;
}

static te_read_t *begin_read(apr_pool_t **p, apr_array_header_t **rows)
{
    te_read_t *read = te_lines_read(&lines, p);

    apr_pool_cleanup_register(*p, &freed, count_freed, apr_pool_cleanup_null);
    *rows = apr_array_make(*p, 8, sizeof(te_outbox_row_t *));
    return read;
}

/* Events first..last of a user, of `size` bytes each. */
static void put(apr_pool_t *p, apr_array_header_t *rows, const char *user,
                const char *topic, int first, int last, apr_size_t size)
{
    for (; first <= last; ++first) {
        te_outbox_row_t *row = apr_pcalloc(p, sizeof *row);

        row->user_id = apr_pstrdup(p, user);
        row->topic = apr_pstrdup(p, topic);
        row->sequence = first;
        row->event_size = size;
        APR_ARRAY_PUSH(rows, te_outbox_row_t *) = row;
    }
}

/* A look that brings events 1..n of each user, of whom it wanted `each`. */
static int add(const char *users, int n, int each)
{
    apr_array_header_t *rows;
    apr_pool_t *p;
    te_read_t *read = begin_read(&p, &rows);

    for (; *users; ++users) {
        put(p, rows, apr_pstrmemdup(pool, users, 1), "tasks", 1, n, 10);
    }
    return te_lines_add(&lines, read, rows, each);
}

static te_wave_t *pick(int n)
{
    te_wave_t *wave = apr_palloc(pool, sizeof *wave);

    te_lines_pick(&lines, n, 1000, 10, pool, wave);
    return wave;
}

/* "a1 b1" */
static const char *text_of(const te_wave_t *wave)
{
    const char *text = "";
    int i;

    for (i = 0; i < wave->n; ++i) {
        const te_outbox_row_t *row = wave->sendings[i].row;

        text = apr_psprintf(pool, "%s%s%s%d", text, *text ? " " : "",
                            row->user_id, (int)row->sequence);
    }
    return text;
}

static void accept_all(const te_wave_t *wave)
{
    int i;

    for (i = 0; i < wave->n; ++i) {
        te_lines_go_on(&lines, wave->lines[i]);
        te_lines_release(wave->reads[i]);
    }
}

START_TEST(one_event_of_each_stream_is_on_its_way)
{
    te_wave_t *first, *second;

    ck_assert_int_eq(add("abc", 2, 2), 3);
    first = pick(2);
    ck_assert_str_eq(text_of(first), "a1 b1");
    second = pick(2);
    ck_assert_str_eq(text_of(second), "c1");
    ck_assert_str_eq(text_of(pick(2)), "");
    accept_all(second);
    accept_all(first);
    ck_assert_str_eq(text_of(pick(9)), "c2 a2 b2");
}
END_TEST

START_TEST(a_stream_that_stops_is_forgotten_until_it_is_read_anew)
{
    te_stream_t a = {"a", "tasks", 0};
    te_wave_t *wave;

    add("ab", 3, 3);
    wave = pick(9);
    te_lines_stop(&lines, wave->lines[0]);
    te_lines_release(wave->reads[0]);
    ck_assert(!te_lines_has(&lines, &a));
    te_lines_go_on(&lines, wave->lines[1]);
    te_lines_release(wave->reads[1]);
    ck_assert_str_eq(text_of(pick(9)), "b2");
    ck_assert_int_eq(add("a", 1, 2), 1);
    ck_assert_str_eq(text_of(pick(9)), "a1");
}
END_TEST

START_TEST(a_wave_is_of_one_topic_and_no_larger_than_allowed)
{
    apr_array_header_t *rows;
    te_wave_t wave;
    apr_pool_t *p;
    te_read_t *read = begin_read(&p, &rows);

    put(p, rows, "a", "tasks", 1, 1, 2000);
    put(p, rows, "a", "reminders", 1, 1, 10);
    put(p, rows, "b", "tasks", 1, 1, 500);
    put(p, rows, "c", "tasks", 1, 1, 470);
    put(p, rows, "d", "tasks", 1, 1, 1);
    ck_assert_int_eq(te_lines_add(&lines, read, rows, 9), 5);
    te_lines_pick(&lines, 9, 1000, 10, pool, &wave);
    ck_assert_str_eq(text_of(&wave), "a1");     /* alone, for it must go */
    te_lines_pick(&lines, 9, 1000, 10, pool, &wave);
    ck_assert_str_eq(text_of(&wave), "a1");
    ck_assert_str_eq(wave.sendings[0].row->topic, "reminders");
    te_lines_pick(&lines, 9, 1000, 10, pool, &wave);
    ck_assert_str_eq(text_of(&wave), "b1 c1");
    te_lines_pick(&lines, 9, 1000, 10, pool, &wave);
    ck_assert_str_eq(text_of(&wave), "d1");
}
END_TEST

START_TEST(more_is_read_of_those_with_few_left_behind_the_last_one)
{
    apr_array_header_t *rows, *low;
    apr_pool_t *p;
    te_wave_t *wave;
    te_read_t *read;

    add("ab", 2, 2);
    add("c", 1, 2);                     /* fewer than wanted: it has no more */
    ck_assert_int_eq(te_lines_low(&lines, 1, 9, pool)->nelts, 0);
    wave = pick(9);
    low = te_lines_low(&lines, 1, 9, pool);
    ck_assert_int_eq(low->nelts, 2);
    ck_assert_int_eq(APR_ARRAY_IDX(low, 0, te_stream_t *)->above, 2);
    ck_assert_int_eq(te_lines_low(&lines, 1, 1, pool)->nelts, 1);
    read = begin_read(&p, &rows);
    put(p, rows, "a", "tasks", 3, 4, 10);
    te_lines_more(&lines, read, low, rows, 2);
    low = te_lines_low(&lines, 9, 9, pool);
    ck_assert_int_eq(low->nelts, 1);    /* b had no more */
    ck_assert_str_eq(APR_ARRAY_IDX(low, 0, te_stream_t *)->user_id, "a");
    accept_all(wave);
    ck_assert_int_eq(te_lines_count(&lines), 2);
    wave = pick(9);
    ck_assert_str_eq(text_of(wave), "a2 b2");
    accept_all(wave);
    ck_assert_str_eq(text_of(pick(9)), "a3");
    ck_assert_int_eq(te_lines_count(&lines), 1);
}
END_TEST

START_TEST(a_stream_that_waits_for_more_leaves_when_there_is_none)
{
    apr_array_header_t *rows, *low;
    apr_pool_t *p;
    te_read_t *read;

    add("ab", 1, 1);
    accept_all(pick(9));
    ck_assert_int_eq(te_lines_count(&lines), 2);
    low = te_lines_low(&lines, 0, 1, pool);
    read = begin_read(&p, &rows);
    te_lines_more(&lines, read, low, rows, 2);
    ck_assert_int_eq(te_lines_count(&lines), 1);
    te_lines_dry(&lines, pool);
    ck_assert_int_eq(te_lines_count(&lines), 0);
    ck_assert_int_eq(freed, 2);
}
END_TEST

START_TEST(the_memory_of_a_read_goes_with_its_last_event)
{
    te_wave_t *wave;

    add("ab", 2, 3);
    accept_all(pick(9));
    wave = pick(9);
    te_lines_go_on(&lines, wave->lines[0]);
    te_lines_go_on(&lines, wave->lines[1]);
    ck_assert_int_eq(te_lines_count(&lines), 0);
    te_lines_release(wave->reads[0]);
    ck_assert_int_eq(freed, 0);         /* b's row is still looked at */
    te_lines_release(wave->reads[1]);
    ck_assert_int_eq(freed, 1);
    add("", 0, 3);
    ck_assert_int_eq(freed, 2);
    add("abc", 5, 5);
    pick(2);
    te_lines_drop(&lines);
    ck_assert_int_eq(freed, 3);
    ck_assert_str_eq(text_of(pick(9)), "");
}
END_TEST

TCase *lines_tests(void)
{
    TCase *c = unit_case("lines", 20);

    tcase_add_checked_fixture(c, start, stop);
    tcase_add_test(c, one_event_of_each_stream_is_on_its_way);
    tcase_add_test(c, a_stream_that_stops_is_forgotten_until_it_is_read_anew);
    tcase_add_test(c, a_wave_is_of_one_topic_and_no_larger_than_allowed);
    tcase_add_test(
        c, more_is_read_of_those_with_few_left_behind_the_last_one);
    tcase_add_test(c, a_stream_that_waits_for_more_leaves_when_there_is_none);
    tcase_add_test(c, the_memory_of_a_read_goes_with_its_last_event);
    return c;
}
