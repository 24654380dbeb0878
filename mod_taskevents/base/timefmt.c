#include "timefmt.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define SECONDS_PER_DAY 86400

/* Proleptic Gregorian days since 1970-01-01: years start in March, so that
 * the leap day is the last of its year. */
static apr_int64_t days_from_civil(int year, int month, int day)
{
    apr_int64_t y = month <= 2 ? year - 1 : year;
    apr_int64_t era = (y >= 0 ? y : y - 399) / 400;
    apr_int64_t year_of_era = y - era * 400;
    apr_int64_t day_of_year =
        (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4
           - year_of_era / 100 + day_of_year - 719468;
}

static void civil_from_days(apr_int64_t days, int *year, int *month, int *day)
{
    apr_int64_t z = days + 719468;
    apr_int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    apr_int64_t day_of_era = z - era * 146097;
    apr_int64_t year_of_era = (day_of_era - day_of_era / 1460
                               + day_of_era / 36524 - day_of_era / 146096)
                              / 365;
    apr_int64_t day_of_year = day_of_era - (365 * year_of_era
                              + year_of_era / 4 - year_of_era / 100);
    apr_int64_t mp = (5 * day_of_year + 2) / 153;

    *day = (int)(day_of_year - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2 ? 1 : 0));
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30,
                               31, 31, 30, 31, 30, 31};
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

/* Exactly n digits at *s, which moves past them. */
static int take_digits(const char **s, int n, int *value)
{
    int i;

    *value = 0;
    for (i = 0; i < n; ++i) {
        if (!apr_isdigit((*s)[i])) {
            return 0;
        }
        *value = *value * 10 + ((*s)[i] - '0');
    }
    *s += n;
    return 1;
}

static int take_char(const char **s, const char *any_of)
{
    if (**s == '\0' || strchr(any_of, **s) == NULL) {
        return 0;
    }
    ++*s;
    return 1;
}

/* An optional ".digits" as microseconds. */
static int take_fraction(const char **s, int *micros)
{
    int scale = 100000;

    *micros = 0;
    if (**s != '.') {
        return 1;
    }
    ++*s;
    if (!apr_isdigit(**s)) {
        return 0;
    }
    for (; apr_isdigit(**s); ++*s) {
        *micros += (**s - '0') * scale;
        scale /= 10;
    }
    return 1;
}

typedef struct {
    int year, month, day, hour, minute, second, micros;
    int offset;                 /* seconds east of UTC */
} stamp_t;

static int take_date_time(const char **s, const char *separators, stamp_t *c)
{
    return take_digits(s, 4, &c->year) && take_char(s, "-")
           && take_digits(s, 2, &c->month) && take_char(s, "-")
           && take_digits(s, 2, &c->day) && take_char(s, separators)
           && take_digits(s, 2, &c->hour) && take_char(s, ":")
           && take_digits(s, 2, &c->minute) && take_char(s, ":")
           && take_digits(s, 2, &c->second) && take_fraction(s, &c->micros);
}

static int in_range(const stamp_t *c)
{
    return c->year >= 1 && c->month >= 1 && c->month <= 12 && c->day >= 1
           && c->day <= days_in_month(c->year, c->month) && c->hour <= 23
           && c->minute <= 59 && c->second <= 60;
}

static apr_time_t to_instant(const stamp_t *c)
{
    apr_int64_t seconds = days_from_civil(c->year, c->month, c->day)
                          * SECONDS_PER_DAY
                          + c->hour * 3600 + c->minute * 60 + c->second
                          - c->offset;

    return seconds * APR_USEC_PER_SEC + c->micros;
}

const char *te_time_parse(const char *text, apr_time_t *out)
{
    const char *s = text;
    stamp_t c;
    int sign, hours, minutes;

    if (!take_date_time(&s, "Tt ", &c)) {
        return "must be an RFC 3339 time such as 2026-01-31T09:00:00Z";
    }
    if (*s == '\0') {
        return "must have an offset: Z, or one such as +02:00";
    }
    c.offset = 0;
    if (!take_char(&s, "Zz")) {
        sign = *s == '-' ? -1 : 1;
        if (!take_char(&s, "+-") || !take_digits(&s, 2, &hours)
            || !take_char(&s, ":") || !take_digits(&s, 2, &minutes)
            || hours > 23 || minutes > 59) {
            return "must end in Z or an offset such as +02:00";
        }
        c.offset = sign * (hours * 3600 + minutes * 60);
    }
    if (*s != '\0') {
        return "has text after the time";
    }
    if (!in_range(&c)) {
        return "is no time of the calendar";
    }
    *out = to_instant(&c);
    if (*out < TE_TIME_FIRST || *out > TE_TIME_LAST) {
        return "must lie in the years 0001 to 9999, in UTC";
    }
    return NULL;
}

int te_time_from_pg(const char *text, apr_time_t *out)
{
    const char *s = text;
    stamp_t c;

    if (!take_date_time(&s, " ", &c) || strcmp(s, "+00") != 0) {
        return 0;
    }
    c.offset = 0;
    *out = to_instant(&c);
    return 1;
}

static char *put_digits(char *at, int value, int n, char behind)
{
    int i;

    for (i = n - 1; i >= 0; --i) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    at[n] = behind;
    return at + n + 1;
}

static const char *format_stamp(apr_pool_t *p, apr_time_t t, int fraction)
{
    apr_int64_t seconds = t / APR_USEC_PER_SEC;
    int micros = (int)(t % APR_USEC_PER_SEC);
    apr_int64_t days;
    int year, month, day, rest;
    char *text = apr_palloc(p, sizeof "2026-01-31T09:00:00.000000Z"), *at;

    if (micros < 0) {
        micros += APR_USEC_PER_SEC;
        --seconds;
    }
    days = seconds / SECONDS_PER_DAY;
    rest = (int)(seconds % SECONDS_PER_DAY);
    if (rest < 0) {
        rest += SECONDS_PER_DAY;
        --days;
    }
    civil_from_days(days, &year, &month, &day);
    at = put_digits(text, year, 4, '-');
    at = put_digits(at, month, 2, '-');
    at = put_digits(at, day, 2, 'T');
    at = put_digits(at, rest / 3600, 2, ':');
    at = put_digits(at, rest / 60 % 60, 2, ':');
    at = put_digits(at, rest % 60, 2, '.');
    if (micros == 0 && !fraction) {
        at[-1] = 'Z';
        *at = '\0';
        return text;
    }
    at = put_digits(at, micros, 6, 'Z');
    *at = '\0';
    return text;
}

const char *te_time_format(apr_pool_t *p, apr_time_t t)
{
    return t == TE_TIME_NONE ? NULL : format_stamp(p, t, 0);
}

const char *te_time_format_us(apr_pool_t *p, apr_time_t t)
{
    return t == TE_TIME_NONE ? NULL : format_stamp(p, t, 1);
}
