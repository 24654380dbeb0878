/* Times, as clients write them and as PostgreSQL does. */
#include <apr_strings.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../../mod_taskevents/base/timefmt.h"
#include "fuzz.h"

/* The same instant by the C library; text is known to be a time. */
static apr_int64_t by_libc(const char *text)
{
    int offset_hours = 0, offset_minutes = 0, n = 0;
    const char *zone = text + 19;
    struct tm tm;

    memset(&tm, 0, sizeof tm);
    PROMISE(sscanf(text, "%4d-%2d-%2d%*c%2d:%2d:%2d%n", &tm.tm_year,
                   &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
                   &tm.tm_sec, &n) == 6 && n == 19);
    tm.tm_year -= 1900;
    --tm.tm_mon;
    zone += strcspn(zone, "Zz+-");
    if (*zone == '+' || *zone == '-') {
        PROMISE(sscanf(zone + 1, "%2d:%2d", &offset_hours, &offset_minutes)
                == 2);
    }
    return (apr_int64_t)timegm(&tm)
           - (*zone == '-' ? -1 : 1)
                 * (offset_hours * 3600 + offset_minutes * 60);
}

static apr_int64_t seconds_of(apr_time_t t)
{
    apr_int64_t seconds = t / APR_USEC_PER_SEC;

    return t % APR_USEC_PER_SEC < 0 ? seconds - 1 : seconds;
}

/* As PostgreSQL writes it in a session of UTC. */
static const char *pg_text(const char *text)
{
    char *out = apr_pstrcat(pool, text, "  ", NULL);
    apr_size_t n = strlen(text);

    out[10] = ' ';
    memcpy(out + n - 1, "+00", 4);
    return out;
}

void fuzz_time(const char *bytes, apr_size_t size)
{
    const char *text = fuzz_text(bytes, size), *again, *error;
    apr_time_t t = TE_TIME_NONE, back;

    if (te_time_from_pg(text, &t)) {
        PROMISE(strlen(text) >= 22);
    }
    error = te_time_parse(text, &t);
    if (error != NULL) {
        PROMISE(fuzz_is_sentence(error));
        return;
    }
    PROMISE(t >= TE_TIME_FIRST && t <= TE_TIME_LAST);
    PROMISE(seconds_of(t) == by_libc(text));
    again = te_time_format(pool, t);
    PROMISE(te_time_parse(again, &back) == NULL && back == t);
    PROMISE(te_time_from_pg(pg_text(again), &back) && back == t);
    again = te_time_format_us(pool, t);
    PROMISE(strlen(again) == 27);
    PROMISE(te_time_parse(again, &back) == NULL && back == t);
}
