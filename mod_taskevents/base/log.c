#include "log.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <limits.h>
#include <stdarg.h>

#include "flood.h"

#define LINE_MAX_BYTES 2048

typedef enum { SAY, RECORD, GOES_ON } manner_e;

static te_log_fn *log_fn;
static te_log_wants_fn *wants_fn;
static te_flood_t *flood;               /* NULL: nothing is held back */

void te_log_to(te_log_fn *fn, te_log_wants_fn *wants)
{
    log_fn = fn;
    wants_fn = wants;
}

static apr_status_t let_floods(void *data)
{
    (void)data;
    flood = NULL;
    return APR_SUCCESS;
}

apr_status_t te_log_control_floods(apr_pool_t *p)
{
    apr_pool_cleanup_register(p, NULL, let_floods, apr_pool_cleanup_null);
    return te_flood_create(&flood, p);
}

int te_log_wants(te_log_level_e level)
{
    return log_fn != NULL && (wants_fn == NULL || wants_fn(level));
}

/* Whatever a line repeats of others, of PostgreSQL or the sidecar, it stays one
 * line of plain text, and a string in a log of JSON lines. */
static void make_plain(char *line)
{
    char *c;

    for (c = line; *c; ++c) {
        if (*c == '"' || *c == '\\') {
            *c = *c == '"' ? '\'' : '/';
        }
        else if (!apr_isascii(*c) || apr_iscntrl(*c)) {
            *c = *c == '\n' || *c == '\t' ? ' ' : '?';
        }
    }
}

/* How many lines of a kind are said in an interval. */
static unsigned int share(te_log_level_e level, manner_e manner)
{
    switch (manner) {
    case RECORD:
        return level == TE_LOG_ALERT ? TE_FLOOD_RECORDS : UINT_MAX;
    case GOES_ON:
        return 0;
    case SAY:
        break;
    }
    return TE_FLOOD_FIRST;
}

static void say(te_log_level_e level, apr_status_t rv, const char *code,
                manner_e manner, const char *fmt, va_list ap)
{
    char line[LINE_MAX_BYTES];
    apr_time_t now = apr_time_now();
    apr_size_t used;

    if (!te_log_wants(level)) {
        return;
    }
    used = (apr_size_t)apr_snprintf(line, sizeof line, "%s: ", code);
    apr_vsnprintf(line + used, sizeof line - used, fmt, ap);
    make_plain(line);
    if (flood != NULL && level <= TE_LOG_NOTICE) {
        te_log_tell_held(0, now);
        if (!te_flood_admits(flood, code, (int)level, share(level, manner),
                             line, now)) {
            return;
        }
    }
    log_fn(level, rv, line, 0);
}

void te_log(te_log_level_e level, apr_status_t rv, const char *code,
            const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(level, rv, code, SAY, fmt, ap);
    va_end(ap);
}

void te_log_record(te_log_level_e level, const char *code, const char *fmt,
                   ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(level, 0, code, RECORD, fmt, ap);
    va_end(ap);
}

void te_log_goes_on(te_log_level_e level, const char *code, const char *fmt,
                    ...)
{
    va_list ap;

    if (flood != NULL) {
        va_start(ap, fmt);
        say(level, 0, code, GOES_ON, fmt, ap);
        va_end(ap);
    }
}

void te_log_ended(const char *code)
{
    if (flood != NULL) {
        te_flood_forget(flood, code);
    }
}

void te_log_tell_held(int all, apr_time_t now)
{
    char line[LINE_MAX_BYTES];
    te_flood_told_t told;

    while (flood != NULL && log_fn != NULL
           && te_flood_due(flood, all, now, &told)) {
        apr_snprintf(line, sizeof line, "%s (said %u times in the last %d s, "
                     "this one %d s ago)", told.line, told.held,
                     (int)apr_time_sec(told.over), (int)apr_time_sec(told.ago));
        log_fn((te_log_level_e)told.level, 0, line, 1);
    }
}
