/* Logging for code that knows no server: callbacks, set by whoever owns the
 * process (the module: httpd's error log; unit tests: nothing). */
#ifndef TE_BASE_LOG_H
#define TE_BASE_LOG_H

#include <apr_errno.h>
#include <apr_time.h>

/* Same values as syslog's and httpd's APLOG_* levels. */
typedef enum {
    TE_LOG_ALERT = 1,
    TE_LOG_ERR = 3,
    TE_LOG_WARNING = 4,
    TE_LOG_NOTICE = 5,
    TE_LOG_INFO = 6,
    TE_LOG_DEBUG = 7
} te_log_level_e;

/* held: the line is of some time ago, whatever this thread does now. */
typedef void te_log_fn(te_log_level_e level, apr_status_t rv,
                       const char *line, int held);

/* Whether lines of that level are wanted now. */
typedef int te_log_wants_fn(te_log_level_e level);

/* Install the callbacks. Call it before any thread exists; NULL: silence, and
 * for wants: all of them are. */
void te_log_to(te_log_fn *fn, te_log_wants_fn *wants);

/* From now on lines that come in masses are held back (flood.h): what is of
 * level notice or worse. Call it before any thread exists; until p ends, which
 * is to be after every thread. */
apr_status_t te_log_control_floods(apr_pool_t *p);

/* Whether te_log would say it: before putting together what few ask for. */
int te_log_wants(te_log_level_e level);

/* Log one line "CODE: text". code is stable ("TE0501") and listed in
 * docs/log-codes.md; text says what the operator can do, holds ids only, never
 * a secret and, below TE_LOG_DEBUG, no text a user wrote. rv: 0 or the cause.
 * In the line are printable ASCII characters other than '"' and '\\' only;
 * others are replaced. Any thread. */
void te_log(te_log_level_e level, apr_status_t rv, const char *code,
            const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The same for what is a record of its own. What an operator did is never held
 * back; of alerts, events given up on, a child says up to 1000 a minute. */
void te_log_record(te_log_level_e level, const char *code, const char *fmt,
                   ...) __attribute__((format(printf, 3, 4)));

/* The same for a state that te_log has told of and that goes on: counted, and
 * said once an interval. */
void te_log_goes_on(te_log_level_e level, const char *code, const char *fmt,
                    ...) __attribute__((format(printf, 3, 4)));

/* That state is over. */
void te_log_ended(const char *code);

/* Say what was held back, if its time has come, or all of it. To be called
 * about each second, and at the end. Any thread. */
void te_log_tell_held(int all, apr_time_t now);

#endif
