#include "../../mod_taskevents/core/recurrence.h"

#include <string.h>

#include "cases.h"

START_TEST(there_are_three_intervals)
{
    ck_assert(te_interval_valid("daily"));
    ck_assert(te_interval_valid("weekly"));
    ck_assert(te_interval_valid("monthly"));
    ck_assert(!te_interval_valid("yearly"));
    ck_assert(!te_interval_valid("Daily"));
    ck_assert(!te_interval_valid("daily "));
    ck_assert(!te_interval_valid(""));
}
END_TEST

/* The task now: gone, reopened, or still complete. */
enum { GONE, OPEN, COMPLETE };

static const struct {
    const char *series;
    int occurrence, now, last, ended;
    te_next_e decision;
} table[] = {
    /* the last occurrence, complete or deleted since */
    {"s", 1, COMPLETE, 1, 0, TE_NEXT_MAKE},
    {"s", 1, GONE, 1, 0, TE_NEXT_MAKE},
    {"s", 17, COMPLETE, 17, 0, TE_NEXT_MAKE},
    /* no series */
    {NULL, 0, COMPLETE, 0, 0, TE_NEXT_NONE},
    {NULL, 1, COMPLETE, 1, 0, TE_NEXT_NONE},
    {"s", 0, COMPLETE, 0, 0, TE_NEXT_NONE},
    {"s", -1, COMPLETE, -1, 0, TE_NEXT_NONE},
    /* reopened since */
    {"s", 1, OPEN, 1, 0, TE_NEXT_OPEN_AGAIN},
    {"s", 1, OPEN, 2, 0, TE_NEXT_OPEN_AGAIN},
    /* ended, or never was */
    {"s", 1, COMPLETE, 1, 1, TE_NEXT_SERIES_ENDED},
    {"s", 1, GONE, 1, 1, TE_NEXT_SERIES_ENDED},
    {"s", 1, COMPLETE, 0, 0, TE_NEXT_SERIES_ENDED},
    {"s", 1, GONE, 0, 0, TE_NEXT_SERIES_ENDED},
    /* a number is used once, for ever */
    {"s", 1, COMPLETE, 2, 0, TE_NEXT_NUMBER_USED},
    {"s", 1, GONE, 2, 0, TE_NEXT_NUMBER_USED},
    /* one that the series has not come to: nothing to go on from */
    {"s", 3, COMPLETE, 2, 0, TE_NEXT_NUMBER_USED},
};

START_TEST(the_next_occurrence_is_decided_by_the_state_of_now)
{
    te_series_t series = {"s", "user", table[_i].last, table[_i].ended};
    te_task_t completed, now;

    memset(&completed, 0, sizeof completed);
    memset(&now, 0, sizeof now);
    completed.series_id = table[_i].series;
    completed.occurrence = table[_i].occurrence;
    completed.completed = 1;
    now.completed = table[_i].now == COMPLETE;
    ck_assert_int_eq(te_recurrence_decide(&completed,
                                          table[_i].now == GONE ? NULL : &now,
                                          table[_i].last ? &series : NULL),
                     table[_i].decision);
}
END_TEST

/* Interval and due date before and after a change, and the zone after. */
static const struct {
    const char *before, *after;
    int due_before, due_after;
    const char *zone;
    te_series_change_e change;
} series_table[] = {
    {NULL, NULL, 1, 2, "X", TE_SERIES_SAME},
    {NULL, "daily", 1, 1, "UTC", TE_SERIES_START},
    {"daily", NULL, 1, 1, "UTC", TE_SERIES_STOP},
    {"daily", NULL, 1, 2, "X", TE_SERIES_STOP},
    {"daily", "daily", 1, 1, "UTC", TE_SERIES_SAME},
    {"daily", "weekly", 1, 1, "UTC", TE_SERIES_ANCHOR},
    {"daily", "daily", 1, 2, "UTC", TE_SERIES_ANCHOR},
    {"daily", "daily", 1, 1, "X", TE_SERIES_ANCHOR},
};

START_TEST(a_change_of_due_date_zone_or_interval_anchors_anew)
{
    te_task_t before, after;

    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    before.recurring_interval = series_table[_i].before;
    after.recurring_interval = series_table[_i].after;
    before.due_date = series_table[_i].due_before;
    after.due_date = series_table[_i].due_after;
    before.time_zone = "UTC";
    after.time_zone = series_table[_i].zone;
    ck_assert_int_eq(te_series_change(&before, &after),
                     series_table[_i].change);
}
END_TEST

TCase *recurrence_tests(void)
{
    TCase *c = unit_case("recurrence", 30);

    tcase_add_test(c, there_are_three_intervals);
    tcase_add_loop_test(c, the_next_occurrence_is_decided_by_the_state_of_now,
                        0, sizeof table / sizeof table[0]);
    tcase_add_loop_test(c, a_change_of_due_date_zone_or_interval_anchors_anew,
                        0, sizeof series_table / sizeof series_table[0]);
    return c;
}
